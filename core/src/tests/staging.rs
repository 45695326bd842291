//! Synchronous flush through the staging buffer.

use std::time::{Duration, Instant};

use super::fault_disk::{Call, Hits};
use super::scene::{Scene, bodies};
use crate::{EncodedBatch, FlushMode, Message, Status, encode_batch_item};

#[test]
fn a_group_is_one_write() {
    let scene = Scene::new(FlushMode::Sync);
    let store = scene.open().unwrap();
    let gate = scene.disk.hold(Call::SyncData, "commitlog", Hits::Nth(1));
    let (placed, first) = store.begin_append(&Message::new("t", b"first")).unwrap();
    gate.wait_for_call();
    let group: Vec<_> =
        (0..8).map(|_| store.begin_append(&Message::new("t", b"group")).unwrap().1).collect();
    assert_eq!(store.committed_offset(), placed.end_offset(), "the others are not written yet");
    gate.open();
    first.wait().unwrap();
    for pending in group {
        pending.wait().unwrap();
    }
    assert_eq!(scene.disk.count(Call::WriteAt, "commitlog"), 2);
    assert_eq!(bodies(&scene.copy().open().unwrap()).len(), 9);
    store.close().unwrap();
}

/// What is acknowledged without a sync is in the page cache, behind all before it.
#[test]
fn a_kill_takes_nothing_that_was_acknowledged() {
    let scene = Scene::new(FlushMode::Sync);
    let store = scene.open().unwrap();
    let gate = scene.disk.hold(Call::SyncData, "commitlog", Hits::Nth(1));
    let first = store.begin_append(&Message::new("t", b"first")).unwrap().1;
    gate.wait_for_call();
    let waits = store.begin_append(&Message::new("t", b"waits")).unwrap().1;
    assert_eq!(bodies(&scene.copy().open().unwrap()), [b"first"]);
    store.append(&Message::new("t", b"goes").wait_store_ok(false)).unwrap();
    let killed = scene.copy().open().unwrap();
    assert_eq!(bodies(&killed), [&b"first"[..], b"waits", b"goes"]);
    assert_eq!(killed.recovery_report().damage, None);
    gate.open();
    first.wait().unwrap();
    waits.wait().unwrap();
    store.close().unwrap();
}

/// Pieces larger than a quarter of the staging buffer go to the mapping, in order with the others;
/// and the buffer is gone round many times, over many files, while no sync ends.
#[test]
fn records_of_every_size_keep_their_order() {
    let mut scene = Scene::new(FlushMode::Sync);
    scene.options.segment_size_bytes = 4 << 20;
    let store = scene.open().unwrap();
    let gate = scene.disk.hold(Call::SyncData, "commitlog", Hits::Nth(1));
    let sizes = [100, 700_000, 1_000_000, 1_500_000, 50, 1_047_000, 1_048_576, 3_000_000, 9];
    let (mut expected, mut pending) = (Vec::new(), Vec::new());
    for round in 0..3u8 {
        for (number, size) in sizes.into_iter().enumerate() {
            let body = vec![round * 16 + number as u8 + 1; size];
            pending.push(store.begin_append(&Message::new("t", &body)).unwrap().1);
            expected.push(body);
        }
        let mut items = Vec::new();
        for number in 0..50 {
            let body = vec![number + 1; 1000];
            encode_batch_item(&mut items, 0, &body, b"").unwrap();
            expected.push(body);
        }
        let batch = EncodedBatch { shared: Message::new("t", b""), items: &items };
        pending.push(store.begin_append_batch(&batch).unwrap().1);
    }
    gate.open();
    for pending in pending {
        pending.wait().unwrap();
    }
    assert!(bodies(&scene.copy().open().unwrap()) == expected);
    store.close().unwrap();
    assert!(bodies(&scene.open().unwrap()) == expected);
}

/// The calls that write the first megabyte of zeros; behind its middle the next is asked for.
const FIRST_ZEROS: usize = 8;

fn wait_for_zeros(scene: &Scene, calls: usize) {
    let patience = Instant::now() + Duration::from_secs(20);
    while scene.disk.count(Call::WriteZeros, "commitlog") < calls {
        assert!(Instant::now() < patience, "no zeros were written");
        std::thread::yield_now();
    }
}

/// Where a sync has much to write, it does not have to write zeros as well.
#[test]
fn no_zeros_are_written_ahead_of_large_groups() {
    let mut scene = Scene::new(FlushMode::Sync);
    scene.options.segment_size_bytes = 8 << 20;
    let store = scene.open().unwrap();
    store.append(&Message::new("t", b"first")).unwrap();
    wait_for_zeros(&scene, FIRST_ZEROS);
    let gate = scene.disk.hold(Call::SyncData, "commitlog", Hits::Nth(1));
    let large = vec![1; 600_000];
    let (_, pending) = store.begin_append(&Message::new("t", &large)).unwrap();
    gate.wait_for_call();
    // Long enough for zeros that do not wait for the sync.
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(scene.disk.count(Call::WriteZeros, "commitlog"), FIRST_ZEROS);
    gate.open();
    pending.wait().unwrap();
    for _ in 0..20 {
        store.append(&Message::new("t", &large[..100_000])).unwrap();
    }
    wait_for_zeros(&scene, FIRST_ZEROS + 1);
    store.close().unwrap();
}

/// Zeros are written ahead of the log's end. What is appended meanwhile, through the staging buffer
/// or the mapping, is not overwritten.
#[test]
fn zeros_that_are_late_overwrite_nothing() {
    for sizes in [vec![1_500_000], vec![500_000, 500_000, 500_000]] {
        let mut scene = Scene::new(FlushMode::Sync);
        scene.options.segment_size_bytes = 4 << 20;
        let store = scene.open().unwrap();
        let mut expected = vec![vec![1; 100], vec![2; 300_000], vec![2; 300_000]];
        store.append(&Message::new("t", &expected[0])).unwrap();
        wait_for_zeros(&scene, FIRST_ZEROS);
        store.append(&Message::new("t", &expected[1])).unwrap();
        let gate = scene.disk.hold(Call::WriteZeros, "commitlog", Hits::Nth(1));
        // Its own sync may have to wait for the zeros that it asks for.
        let (_, pending) = store.begin_append(&Message::new("t", &expected[2])).unwrap();
        gate.wait_for_call();
        let late: Vec<_> = sizes.iter().map(|size| vec![3; *size]).collect();
        std::thread::scope(|scope| {
            let append = scope.spawn(|| {
                for body in &late {
                    store.append(&Message::new("t", body)).unwrap();
                }
            });
            // Long enough for an append that does not wait for the zeros.
            std::thread::sleep(Duration::from_millis(100));
            gate.open();
            append.join().unwrap();
        });
        pending.wait().unwrap();
        expected.extend(late);
        assert!(bodies(&store) == expected);
        store.close().unwrap();
        assert!(bodies(&scene.open().unwrap()) == expected);
    }
}

/// Two threads whose acknowledgements need a write, the first of which fails: the second must not
/// try it again, since what came of the first is not known.
#[test]
fn whoever_waited_behind_a_write_that_fails_writes_nothing() {
    let scene = Scene::new(FlushMode::Sync);
    let store = scene.open().unwrap();
    let gate = scene.disk.hold(Call::WriteAt, "commitlog", Hits::Nth(1));
    scene.disk.fail(Call::WriteAt, "commitlog", Hits::Nth(1), libc::EIO);
    let message = Message::new("t", b"lost").wait_store_ok(false);
    std::thread::scope(|scope| {
        let first = scope.spawn(|| store.append(&message).unwrap_err());
        gate.wait_for_call();
        let second = scope.spawn(|| store.append(&message).unwrap_err());
        while store.next_queue_offset("t", 0).get() < 2 {
            std::thread::yield_now();
        }
        gate.open();
        for error in [first.join().unwrap(), second.join().unwrap()] {
            assert_eq!((error.status(), error.os_code()), (Status::Io, Some(libc::EIO)));
        }
    });
    assert_eq!(scene.disk.count(Call::WriteAt, "commitlog"), 1);
    assert!(bodies(&store).is_empty());
    assert!(store.close().is_err());
}

#[test]
fn a_write_that_fails_is_told_to_everybody_who_waits() {
    for unwaited in [false, true] {
        let scene = Scene::new(FlushMode::Sync);
        let store = scene.open().unwrap();
        store.append(&Message::new("t", b"safe")).unwrap();
        scene.disk.fail(Call::WriteAt, "commitlog", Hits::From(1), libc::EIO);
        let message = Message::new("t", b"lost").wait_store_ok(!unwaited);
        let error = store.append(&message).unwrap_err();
        assert_eq!((error.status(), error.os_code()), (Status::Io, Some(libc::EIO)));
        assert_eq!(error.path(), Some(&*scene.file(0)));
        assert!(error.appended().is_some());
        assert_eq!(store.append(&message).unwrap_err().status(), Status::Fenced);
        assert_eq!(bodies(&store), [b"safe"]);
        assert_eq!(store.close().unwrap_err().os_code(), Some(libc::EIO));
        assert_eq!(scene.disk.count(Call::WriteAt, "commitlog"), 2, "no write is tried again");
        scene.disk.mend();
        let store = scene.open().unwrap();
        assert_eq!(bodies(&store), [b"safe"]);
        store.append(&Message::new("t", b"again")).unwrap();
        store.close().unwrap();
    }
}
