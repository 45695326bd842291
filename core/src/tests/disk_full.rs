//! A disk without space.

use super::fault_disk::{Call, Hits};
use super::scene::{SEGMENT, Scene, assert_unchanged, bodies, fill, snapshot};
use crate::{FlushMode, Message, Status};

/// F14. RocketMQ's files are sparse and nothing is reserved, so a full disk shows up as a memory
/// fault while the mapping is written. Here space is reserved first, and its lack is an error.
#[test]
fn f14_without_space_nothing_is_stored_and_later_appends_work() {
    let scene = Scene::new(FlushMode::Async);
    let store = scene.open().unwrap();
    let before = snapshot(scene.path());
    scene.disk.fail(Call::Allocate, "commitlog", Hits::From(1), libc::ENOSPC);
    for _ in 0..3 {
        let error = store.append(&Message::new("t", b"body")).unwrap_err();
        assert_eq!(error.status(), Status::DiskFull);
        assert_eq!(error.os_code(), Some(libc::ENOSPC));
        assert_eq!(error.appended(), None);
        assert_eq!(store.max_offset().get(), 0);
        assert_eq!(store.next_queue_offset("t", 0).get(), 0);
    }
    assert_unchanged(&before, &snapshot(scene.path()));
    scene.disk.mend();
    let placed = store.append(&Message::new("t", b"body")).unwrap();
    assert_eq!(placed.queue_offset.get(), 0);
    store.close().unwrap();
    assert_eq!(bodies(&scene.open().unwrap()), [b"body"]);
}

/// F14 inside a file: what is reserved is used up to the end, and no byte behind it is written.
#[test]
fn f14_no_append_goes_beyond_reserved_space() {
    for pool in [false, true] {
        let mut scene = Scene::new(FlushMode::Async);
        scene.options.segment_size_bytes = 4 << 20;
        scene.options.reserve_ahead_bytes = 1 << 20;
        scene.options.transient_store_pool_enable = pool;
        let store = scene.open().unwrap();
        scene.disk.fail(Call::Allocate, "commitlog", Hits::From(2), libc::ENOSPC);
        let body = vec![1; 10_000];
        let mut stored = 0;
        let error = loop {
            match store.append(&Message::new("t", &body)) {
                Ok(_) => stored += 1,
                Err(error) => break error,
            }
            assert!(store.max_offset().get() <= 1 << 20, "beyond what was reserved");
        };
        assert_eq!(error.status(), Status::DiskFull);
        assert!(stored > 50, "reserved space is used: {stored}");
        assert_eq!(store.next_queue_offset("t", 0).get(), stored);
        // Something smaller may still fit.
        store.append(&Message::new("t", b"small")).unwrap();
        store.flush().unwrap();
        assert_eq!(bodies(&store).len() as u64, stored + 1);
        scene.disk.mend();
        let placed = store.append(&Message::new("t", &body)).unwrap();
        assert_eq!(placed.queue_offset.get(), stored + 1);
        store.close().unwrap();
        let store = scene.open().unwrap();
        assert_eq!(bodies(&store).len() as u64, stored + 2);
        assert_eq!(store.recovery_report().damage, None);
    }
}

/// A step ahead that fails for lack of space, begun before an appender waited, does not forget what
/// the appender waits for: it is told that the disk is full, and not after five seconds that no
/// space was made ready.
#[test]
fn who_begins_to_wait_while_a_step_ahead_fails_is_told_why() {
    let mut scene = Scene::new(FlushMode::Async);
    scene.options.segment_size_bytes = 4 << 20;
    scene.options.reserve_ahead_bytes = 1 << 20;
    let store = scene.open().unwrap();
    store.append(&Message::new("t", b"first")).unwrap();
    let gate = scene.disk.hold(Call::Allocate, "commitlog", Hits::Nth(1));
    scene.disk.fail(Call::Allocate, "commitlog", Hits::From(1), libc::ENOSPC);
    let (sender, waits) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let appender = scope.spawn(|| {
            let body = vec![1; 10_000];
            loop {
                sender.send(()).unwrap();
                if let Err(error) = store.append(&Message::new("t", &body)) {
                    return error;
                }
            }
        });
        gate.wait_for_call();
        while waits.recv_timeout(std::time::Duration::from_millis(200)).is_ok() {}
        gate.open();
        assert_eq!(appender.join().unwrap().status(), Status::DiskFull);
    });
    scene.disk.mend();
    store.append(&Message::new("t", b"last")).unwrap();
    store.close().unwrap();
}

/// What is reserved ahead grows with the file: when an eighth of it is used another half is there,
/// before the next file is made, which may take long.
#[test]
fn a_file_that_is_used_to_an_eighth_is_reserved_to_its_half() {
    use std::os::unix::fs::MetadataExt;
    const SEGMENT: u64 = 32 << 20;
    let mut scene = Scene::new(FlushMode::Async);
    scene.options.segment_size_bytes = SEGMENT;
    scene.options.reserve_ahead_bytes = 1 << 20;
    let store = scene.open().unwrap();
    let body = vec![1; 500_000];
    store.append(&Message::new("t", &body)).unwrap();
    let reserved = || std::fs::metadata(scene.file(0)).unwrap().blocks() * 512;
    assert!(reserved() <= 2 << 20, "a small store is small");
    let gate = scene.disk.hold(Call::Create, "commitlog", Hits::Nth(1));
    while store.max_offset().get() < SEGMENT / 8 + 1_000_000 {
        store.append(&Message::new("t", &body)).unwrap();
    }
    gate.wait_for_call();
    assert!(reserved() >= SEGMENT / 2, "{} of {SEGMENT}", reserved());
    let calls = scene.disk.count(Call::Allocate, "commitlog");
    assert!(calls < 12, "reserved in {calls} steps");
    gate.open();
    store.close().unwrap();
}

/// On a nearly full disk the space for one record may be there although that ahead of it is not.
#[test]
fn f14_the_last_space_is_used_record_by_record() {
    let mut scene = Scene::new(FlushMode::Async);
    scene.options.segment_size_bytes = 4 << 20;
    scene.options.reserve_ahead_bytes = 1 << 20;
    let store = scene.open().unwrap();
    let body = vec![1; 600_000];
    store.append(&Message::new("t", &body)).unwrap();
    // Whatever is reserved ahead fails; what is needed now comes as the second call and passes.
    scene.disk.fail(Call::Allocate, "commitlog", Hits::Nth(1), libc::ENOSPC);
    store.append(&Message::new("t", &body)).unwrap();
    assert_eq!(store.max_offset().get() / 600_000, 2);
    store.close().unwrap();
}

/// F14, F9. When the next file cannot be made, the current one gets no blank: everything is as
/// before the append. Every call on the way is failed in turn.
#[test]
fn f14_a_next_file_that_cannot_be_made_changes_nothing() {
    for call in [Call::Create, Call::SyncAll, Call::SyncDirectory, Call::Map, Call::Allocate] {
        let scene = Scene::new(FlushMode::Async);
        let store = scene.open().unwrap();
        // So little that the next file is not made ahead yet.
        store.append(&Message::new("t", b"first")).unwrap();
        scene.disk.fail(call, "commitlog", Hits::From(1), libc::ENOSPC);
        let body = vec![1; 25_000];
        store.append(&Message::new("t", &body)).unwrap();
        let second = store.append(&Message::new("t", &body)).unwrap();
        let rest = second.end_offset().get()..SEGMENT;
        for _ in 0..2 {
            let error = store.append(&Message::new("t", &body)).unwrap_err();
            assert_eq!(error.status(), Status::DiskFull, "{call:?}: {error}");
            assert_eq!(store.max_offset(), second.end_offset());
            assert!(
                scene.bytes(rest.clone()).iter().all(|&byte| byte == 0),
                "{call:?}: a blank was written"
            );
            // The service that makes files may be at another attempt just now.
            for attempt in 0.. {
                if !scene.file(SEGMENT).exists() {
                    break;
                }
                assert!(attempt < 1000, "{call:?}: a useless file was left");
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
        }
        // A record that fits needs no next file.
        store.append(&Message::new("t", b"small")).unwrap();
        scene.disk.mend();
        let third = store.append(&Message::new("t", &body)).unwrap();
        assert_eq!(third.physical_offset.get(), SEGMENT);
        assert_eq!(third.queue_offset.get(), 4);
        store.close().unwrap();
        let store = scene.open().unwrap();
        assert_eq!(bodies(&store).len(), 5);
        fill(&store, 4, 25_000);
        store.close().unwrap();
    }
}

/// A store that cannot be opened for lack of space can be opened when there is space.
#[test]
fn opening_fails_at_any_call_without_harm() {
    let scene = Scene::new(FlushMode::Async);
    let store = scene.open().unwrap();
    fill(&store, 5, 20_000);
    // Killed with a torn record, so that opening has much to do.
    let crash = scene.copy();
    store.close().unwrap();
    let end = store.max_offset().get();
    crash.overwrite(end, b"torn bytes");
    for call in [
        Call::CreateDirectory,
        Call::Create,
        Call::Remove,
        Call::WriteAt,
        Call::SyncAll,
        Call::SyncData,
        Call::SyncDirectory,
        Call::Open,
        Call::Map,
        Call::List,
        Call::ReadAt,
        Call::DataRanges,
    ] {
        let mut number = 0;
        loop {
            number += 1;
            let scene = crash.copy();
            scene.disk.fail(call, "", Hits::Nth(number), libc::ENOSPC);
            let store = match scene.open() {
                Ok(store) => store,
                Err(error) => {
                    assert_eq!(error.status(), Status::DiskFull, "{call:?} {number}");
                    assert!(error.path().is_some(), "{call:?} {number}: {error}");
                    // Threads that were started already had gone on for ever.
                    assert_eq!(scene.disk.users(), 0, "{call:?} {number} leaves threads or files");
                    scene.disk.mend();
                    scene.open().unwrap()
                }
            };
            assert_eq!(bodies(&store).len(), 5, "{call:?} {number}");
            assert_eq!(store.max_offset().get(), end);
            assert!(
                scene.bytes(end..end / SEGMENT * SEGMENT + SEGMENT).iter().all(|&byte| byte == 0)
            );
            if scene.disk.count(call, "") < number as usize {
                assert!(number > 1, "{call:?} is never made");
                break;
            }
        }
    }
}
