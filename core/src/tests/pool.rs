//! Transient pool mode: the copy from private buffers to the files.

use super::fault_disk::{Call, Hits};
use super::scene::{SEGMENT, Scene, bodies, fill};
use crate::{FlushMode, Message, Status};

/// F3. `commit0` ignored how many bytes a write took, and counted all as committed: a hole in the
/// file, and in the log after the buffer went back to the pool.
#[test]
fn f3_short_writes_are_continued_until_all_is_committed() {
    let scene = Scene::with_pool(FlushMode::Async, 5);
    scene.disk.write_short("commitlog", 4093);
    let store = scene.open().unwrap();
    fill(&store, 9, 20_000);
    assert_eq!(store.committed_offset().get(), 0);
    store.flush().unwrap();
    assert_eq!(store.committed_offset(), store.max_offset());
    assert!(scene.disk.count(Call::WriteAt, "commitlog") > 9 * 20_000 / 4093);
    let crash = scene.copy().open().unwrap();
    assert_eq!(bodies(&crash), vec![vec![b'x'; 20_000]; 9]);
    assert_eq!(crash.recovery_report().damage, None);
    assert_eq!(bodies(&store), bodies(&crash));
    store.close().unwrap();
}

/// F3. An error in the middle of a commit stops it: nothing behind counts as committed.
#[test]
fn f3_an_error_stops_the_commit() {
    for (errno, short) in [(Some(libc::EIO), 4096), (None, 0)] {
        let scene = Scene::with_pool(FlushMode::Async, 2);
        let store = scene.open().unwrap();
        fill(&store, 2, 20_000);
        scene.disk.write_short("commitlog", short);
        if let Some(errno) = errno {
            scene.disk.fail(Call::WriteAt, "commitlog", Hits::From(3), errno);
        }
        let error = store.flush().unwrap_err();
        assert_eq!(error.status(), Status::Io, "{error}");
        assert_eq!(error.path(), Some(&*scene.file(0)));
        assert_eq!(store.committed_offset().get(), 0);
        assert_eq!(store.durable_offset().get(), 0);
        assert!(bodies(&store).is_empty());
        assert_eq!(store.append(&Message::new("t", b"more")).unwrap_err().status(), Status::Fenced);
        assert_eq!(store.close().unwrap_err().os_code(), errno);
        scene.disk.mend();
        // What a failed commit left is a torn tail.
        let store = scene.open().unwrap();
        assert!(bodies(&store).is_empty());
        assert_eq!(store.recovery_report().damage.is_some(), short > 0);
    }
}

/// F4. An append whose write failed returned true, and the position moved on.
#[test]
fn f4_a_write_that_fails_is_told_to_the_caller() {
    let scene = Scene::with_pool(FlushMode::Sync, 2);
    let store = scene.open().unwrap();
    scene.disk.fail(Call::WriteAt, "commitlog", Hits::From(1), libc::EIO);
    let message = Message::new("t", b"body").wait_store_ok(false);
    let error = store.append(&message).unwrap_err();
    assert_eq!(error.os_code(), Some(libc::EIO));
    assert!(error.appended().is_some(), "it has a place in the buffer");
    assert_eq!(store.committed_offset().get(), 0);
    assert_eq!(store.append(&message).unwrap_err().status(), Status::Fenced);
    assert!(store.close().is_err());
}

/// F7. A file made while the pool was empty had a pool and no buffer, so its read position stayed
/// 0: what was appended to it was acknowledged, but never flushed, replicated or visible.
#[test]
fn f7_files_made_while_the_pool_is_empty_are_readable_and_flushed() {
    let scene = Scene::with_pool(FlushMode::Async, 1);
    let store = scene.open().unwrap();
    // Three records per file: the first file has the only buffer, the second has none.
    fill(&store, 4, 20_000);
    assert_eq!(store.max_offset().get() / SEGMENT, 1);
    assert_eq!(store.committed_offset(), store.max_offset());
    assert_eq!(bodies(&store).len(), 4);
    assert_eq!(store.durable_offset().get(), 0);
    store.flush().unwrap();
    assert_eq!(store.committed_offset(), store.max_offset());
    assert_eq!(store.durable_offset(), store.max_offset());
    assert_eq!(bodies(&store).len(), 4);
    // Appends to the mapping are readable at once.
    fill(&store, 1, 100);
    assert_eq!(store.committed_offset(), store.max_offset());
    assert!(store.durable_offset() < store.max_offset());
    fill(&store, 10, 20_000);
    store.close().unwrap();
    let store = scene.open().unwrap();
    assert_eq!(bodies(&store).len(), 15);
    assert!(store.recovery_report().clean_stop);
}

/// A kill takes what is in a private buffer and leaves what is in a mapping. A record in the
/// mapping of one file, behind one in the buffer of the file before, would leave a log with a hole,
/// which looks like corruption in the middle.
#[test]
fn a_kill_leaves_no_hole_where_the_mapping_follows_a_buffer() {
    let scene = Scene::with_pool(FlushMode::Async, 2);
    let store = scene.open().unwrap();
    for count in 1..=14 {
        fill(&store, 1, 20_000);
        let crash = scene.copy().open().unwrap();
        let committed = store.committed_offset();
        assert_eq!(crash.max_offset(), committed, "{count} appended");
        assert_eq!(crash.recovery_report().damage, None);
        assert_eq!(bodies(&crash), bodies(&store));
        // The first two files have the buffers; the third, made ahead of their commit, has none.
        match count {
            1..=6 => assert_eq!(committed.get(), 0),
            7 => assert_eq!(committed, store.max_offset()),
            _ => {}
        }
    }
    store.close().unwrap();
}

/// If those buffers cannot be written when the mapping takes over, the append is refused and the
/// store is fenced: later records must not make a hole of it.
#[test]
fn a_mapping_does_not_take_over_from_a_buffer_that_cannot_be_committed() {
    let scene = Scene::with_pool(FlushMode::Async, 1);
    let store = scene.open().unwrap();
    fill(&store, 3, 20_000);
    scene.disk.fail(Call::WriteAt, "commitlog", Hits::From(1), libc::EIO);
    let body = vec![b'x'; 20_000];
    let error = store.append(&Message::new("t", &body)).unwrap_err();
    assert_eq!((error.os_code(), error.appended()), (Some(libc::EIO), None));
    let error = store.append(&Message::new("t", b"small")).unwrap_err();
    assert_eq!(error.status(), Status::Fenced);
    assert!(store.close().is_err());
    scene.disk.mend();
    drop(store);
    let store = scene.open().unwrap();
    assert!(bodies(&store).is_empty());
    fill(&store, 5, 20_000);
    store.close().unwrap();
}

/// With `fast_fail_if_no_buffer` an append that finds the pool empty is refused and stores nothing;
/// it works again once a file was committed whole.
#[test]
fn f7_an_empty_pool_refuses_when_told_to() {
    let mut scene = Scene::with_pool(FlushMode::Async, 2);
    scene.options.fast_fail_if_no_buffer = true;
    let store = scene.open().unwrap();
    fill(&store, 6, 20_000);
    let end = store.max_offset();
    for _ in 0..3 {
        let body = vec![b'x'; 20_000];
        let error = store.append(&Message::new("t", &body)).unwrap_err();
        assert_eq!(error.status(), Status::PoolExhausted);
        assert_eq!(store.max_offset(), end);
        assert_eq!(store.next_queue_offset("t", 0).get(), 6);
    }
    store.flush().unwrap();
    fill(&store, 1, 20_000);
    assert_eq!(store.next_queue_offset("t", 0).get(), 7);
    store.close().unwrap();
    assert_eq!(bodies(&scene.open().unwrap()).len(), 7);
}

/// What lies in a private buffer does not survive the death of the process; what was committed
/// does, and the log ends there without damage.
#[test]
fn a_kill_loses_only_what_was_not_committed() {
    let scene = Scene::with_pool(FlushMode::Async, 2);
    let store = scene.open().unwrap();
    fill(&store, 5, 1000);
    store.flush().unwrap();
    fill(&store, 5, 1000);
    let crash = scene.copy().open().unwrap();
    assert_eq!(bodies(&crash).len(), 5);
    assert_eq!(crash.recovery_report().damage, None);
    assert_eq!(crash.next_queue_offset("t", 0).get(), 5);
    store.close().unwrap();
}

/// With a single buffer, which the current file has, the next file would never get one: after its
/// first file the store would refuse every append.
#[test]
fn a_single_buffer_cannot_fail_fast() {
    let mut scene = Scene::with_pool(FlushMode::Async, 1);
    scene.options.fast_fail_if_no_buffer = true;
    assert_eq!(scene.open().unwrap_err().status(), Status::InvalidArgument);
    scene.options.transient_store_pool_enable = false;
    scene.open().unwrap().close().unwrap();
}
