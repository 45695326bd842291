//! What did not work once works later, in the same store.

use std::time::Duration;

use super::fault_disk::{Call, Hits};
use super::retention::eventually;
use super::scene::{SEGMENT, Scene, bodies, fill};
use crate::{ConsumerOffsets, FlushMode, Message, QueueOffset, Status};

/// A next file was made, found no space, and could not be removed again, or, in a store that warms
/// its files, was not even tried to be removed: each later attempt met it, and the store took no
/// append until it was opened again.
#[test]
fn a_useless_file_that_cannot_be_removed_stands_in_nobodys_way() {
    for warm in [false, true] {
        let mut scene = Scene::new(FlushMode::Async);
        scene.options.segment_size_bytes = 4 << 20;
        scene.options.reserve_ahead_bytes = 1 << 20;
        scene.options.warm_mapped_file_enable = warm;
        let store = scene.open().unwrap();
        scene.disk.fail(Call::Allocate, "commitlog", Hits::From(1), libc::ENOSPC);
        scene.disk.fail(Call::Remove, "commitlog", Hits::From(1), libc::EIO);
        let error = store.append(&Message::new("t", b"body")).unwrap_err();
        assert_eq!(error.status(), Status::DiskFull);
        assert!(scene.file(0).exists());
        // Now it is the removal that is in the way, and says so.
        let error = store.append(&Message::new("t", b"body")).unwrap_err();
        assert_eq!(error.status(), Status::Io);
        scene.disk.mend();
        store.append(&Message::new("t", b"body")).unwrap();
        store.close().unwrap();
        assert_eq!(bodies(&scene.open().unwrap()), [b"body"]);
    }
}

/// A file that warming finds no space for is removed at once: in a store that warms its files all
/// of the space is needed, and the second piece of it was asked for behind the point at which a
/// failure removed the file.
#[test]
fn a_file_that_cannot_be_warmed_is_not_left() {
    let mut scene = Scene::new(FlushMode::Async);
    scene.options.segment_size_bytes = 4 << 20;
    scene.options.reserve_ahead_bytes = 1 << 20;
    scene.options.warm_mapped_file_enable = true;
    let store = scene.open().unwrap();
    scene.disk.fail(Call::Allocate, "commitlog", Hits::From(1), libc::ENOSPC);
    for _ in 0..3 {
        let error = store.append(&Message::new("t", b"body")).unwrap_err();
        assert_eq!(error.status(), Status::DiskFull, "{error}");
        assert!(!scene.file(0).exists());
    }
    scene.disk.mend();
    store.append(&Message::new("t", b"body")).unwrap();
    store.close().unwrap();
}

/// A queue file that could not be opened to be synced counted as one whose sync failed: until the
/// next opening no checkpoint moved, nothing was removed, and closing failed, because descriptors
/// were short for a moment.
#[test]
fn a_queue_that_cannot_be_opened_is_synced_later() {
    let mut scene = Scene::new(FlushMode::Async);
    scene.options.consume_queue_file_size_bytes = 40;
    scene.options.max_open_queue_files = 1;
    scene.options.flush_consume_queue_interval_ms = 3_600_000;
    let store = scene.open().unwrap();
    fill(&store, 20, 10_000);
    store.flush().unwrap();
    assert!(store.wait_dispatched(store.max_offset(), Duration::from_secs(10)).unwrap());
    scene.disk.fail(Call::Open, "consumequeue", Hits::From(1), libc::EMFILE);
    let error = store.remove_before(store.max_offset()).unwrap_err();
    assert_eq!(error.status(), Status::TooManyOpenFiles, "{error}");
    assert_eq!(store.min_offset().get(), 0);
    scene.disk.mend();
    assert!(store.remove_before(store.max_offset()).unwrap().files > 0);
    assert_eq!(store.min_offset().get() % SEGMENT, 0);
    store.close().unwrap();
    assert_eq!(scene.notes().dispatched_offset, store.max_offset().get());
}

/// Retention said that there is nothing to remove when a queue could not be made durable, as long
/// as the store was open.
#[test]
fn retention_tells_of_queues_that_cannot_be_synced() {
    let mut scene = Scene::new(FlushMode::Async);
    scene.options.flush_consume_queue_interval_ms = 3_600_000;
    let store = scene.open().unwrap();
    fill(&store, 10, 20_000);
    store.flush().unwrap();
    assert!(store.wait_dispatched(store.max_offset(), Duration::from_secs(10)).unwrap());
    scene.disk.fail(Call::SyncAll, "consumequeue", Hits::Nth(1), libc::EIO);
    for _ in 0..2 {
        let error = store.remove_before(store.max_offset()).unwrap_err();
        assert_eq!((error.status(), error.os_code()), (Status::Io, Some(libc::EIO)));
    }
    assert_eq!(scene.disk.count(Call::SyncAll, "consumequeue"), 1, "a sync was tried again");
    assert_eq!(store.close().unwrap_err().os_code(), Some(libc::EIO));
}

/// A queue file was removed, and the sync of its directory failed: the file stayed in the list, and
/// each later round wanted to read it and failed, until the next opening.
#[test]
fn a_queue_file_that_is_gone_is_not_looked_for() {
    let mut scene = Scene::new(FlushMode::Async);
    scene.options.consume_queue_file_size_bytes = 40;
    let store = scene.open().unwrap();
    fill(&store, 10, 20_000);
    store.flush().unwrap();
    assert!(store.wait_dispatched(store.max_offset(), Duration::from_secs(10)).unwrap());
    store.close().unwrap();
    drop(store);
    let store = scene.open().unwrap();
    scene.disk.fail(Call::SyncDirectory, "consumequeue", Hits::Nth(1), libc::EIO);
    let error = store.remove_before(store.max_offset()).unwrap_err();
    assert_eq!((error.status(), error.os_code()), (Status::Io, Some(libc::EIO)));
    store.remove_before(store.max_offset()).unwrap();
    let left = std::fs::read_dir(scene.path().join("consumequeue/t/0")).unwrap().count();
    assert!(left <= 2, "{left} files are left");
    let range = store.queue_range("t", 0).unwrap().unwrap();
    assert_eq!(range.start.get(), 9);
    store.close().unwrap();
}

/// Offsets that could not be written were written with the next change only, however long the disk
/// had been good again.
#[test]
fn offsets_are_stored_when_there_is_space_again() {
    let mut scene = Scene::new(FlushMode::Async);
    scene.options.flush_consumer_offset_interval_ms = 1;
    let store = scene.open().unwrap();
    fill(&store, 3, 100);
    assert!(store.wait_dispatched(store.max_offset(), Duration::from_secs(10)).unwrap());
    scene.disk.fail(Call::Create, "config", Hits::From(1), libc::ENOSPC);
    store.commit_offset("group", "t", 0, QueueOffset::new(2)).unwrap();
    eventually("an attempt", || {
        scene.disk.count(Call::Create, "consumerOffset") > 0
            || scene.disk.count(Call::Create, "topics") > 0
    });
    scene.disk.mend();
    let stored = || ConsumerOffsets::read(scene.path()).unwrap().get("group", "t", 0);
    eventually("the offset is stored", || stored() == Some(QueueOffset::new(2)));
    store.close().unwrap();
}

/// A signal that interrupts a call is nobody's concern; one that interrupts every call must not
/// keep a thread for ever.
#[test]
fn a_write_that_is_interrupted_for_ever_is_an_error() {
    for (hits, fails) in [(Hits::Twice(1), false), (Hits::From(1), true)] {
        let scene = Scene::new(FlushMode::Sync);
        let store = scene.open().unwrap();
        scene.disk.fail(Call::WriteAt, "commitlog", hits, libc::EINTR);
        let outcome = store.append(&Message::new("t", b"body"));
        assert_eq!(outcome.is_err(), fails, "{outcome:?}");
        assert_eq!(store.close().is_err(), fails);
    }
}
