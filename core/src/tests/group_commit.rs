//! Synchronous flush with many waiters.

use std::time::{Duration, Instant};

use super::fault_disk::{Call, Hits};
use super::scene::{SEGMENT, Scene, bodies};
use crate::{FlushMode, Message, Status};

/// F8. `GroupCommitService` examined its requests one by one, each with up to 1000 tries of a flush
/// of one file and a sleep; those that crossed into a new file always paid the sleep.
#[test]
fn f8_one_group_over_several_files_costs_one_sync_per_file() {
    for scene in [Scene::new(FlushMode::Sync), Scene::with_pool(FlushMode::Sync, 5)] {
        let store = scene.open().unwrap();
        let gate = scene.disk.hold(Call::SyncData, "commitlog", Hits::Nth(1));
        let body = vec![7; 20_000];
        let message = Message::new("t", &body);
        let (_, first) = store.begin_append(&message).unwrap();
        gate.wait_for_call();
        let group: Vec<_> = (0..8).map(|_| store.begin_append(&message).unwrap().1).collect();
        assert_eq!(store.max_offset().get() / SEGMENT, 2);
        gate.open();
        first.wait().unwrap();
        for pending in group {
            pending.wait().unwrap();
        }
        assert_eq!(store.durable_offset(), store.max_offset());
        let syncs = [0, 1, 2].map(|index| {
            let name = format!("{:020}", index * SEGMENT);
            scene.disk.count(Call::SyncData, &name)
        });
        assert_eq!(syncs, [2, 1, 1], "the group of eight costs one sync per file");
        store.close().unwrap();
    }
}

/// F8. A request that was stuck held all later ones, whatever their deadlines. One that waits too
/// long is told so, with the place of its record; the others are served when the sync is done.
#[test]
fn f8_a_wait_that_takes_too_long_ends_alone() {
    let mut scene = Scene::new(FlushMode::Sync);
    scene.options.sync_flush_timeout_ms = 50;
    let store = scene.open().unwrap();
    let gate = scene.disk.hold(Call::SyncData, "commitlog", Hits::Nth(1));
    std::thread::scope(|scope| {
        let begun = Instant::now();
        let slow = scope.spawn(|| store.append(&Message::new("t", b"slow")));
        gate.wait_for_call();
        let patient = scope.spawn(|| {
            let message = Message::new("t", b"patient").wait_store_ok(false);
            let end = store.append(&message).unwrap().end_offset();
            store.wait_durable(end, Duration::from_secs(60))
        });
        let late = store.append_async(&Message::new("t", b"late")).unwrap();
        let error = slow.join().unwrap().unwrap_err();
        assert!(begun.elapsed() >= Duration::from_millis(50));
        assert_eq!(error.status(), Status::FlushTimeout);
        let placed = error.appended().unwrap();
        assert_eq!(store.read_at(placed.physical_offset).unwrap().body(), b"slow");
        let late_error = late.wait().unwrap_err();
        assert_eq!(late_error.status(), Status::FlushTimeout);
        assert!(late_error.appended().is_some());
        assert_eq!(
            store.wait_durable(placed.end_offset(), Duration::from_millis(1)).unwrap_err().status(),
            Status::WaitTimeout
        );
        gate.open();
        patient.join().unwrap().unwrap();
    });
    // On a slow machine this one may take too long as well.
    let (next, _) = store.begin_append(&Message::new("t", b"next")).unwrap();
    store.wait_durable(next.end_offset(), Duration::from_secs(60)).unwrap();
    assert_eq!(store.durable_offset(), store.max_offset());
    assert_eq!(bodies(&store).len(), 4);
    store.close().unwrap();
}

/// A message that does not wait is not held up by a sync, and is durable after the next.
#[test]
fn a_message_that_does_not_wait_returns_during_a_sync() {
    let scene = Scene::new(FlushMode::Sync);
    let store = scene.open().unwrap();
    let gate = scene.disk.hold(Call::SyncData, "commitlog", Hits::Nth(1));
    let (_, pending) = store.begin_append(&Message::new("t", b"waits")).unwrap();
    gate.wait_for_call();
    let placed = store.append(&Message::new("t", b"goes").wait_store_ok(false)).unwrap();
    let named = store.append(&Message::new("t", b"goes").properties(&[("WAIT", "false")])).unwrap();
    let future = store.append_async(&Message::new("t", b"goes").wait_store_ok(false)).unwrap();
    assert_eq!(store.durable_offset().get(), 0);
    assert!(pending.wait_for(Duration::ZERO).is_none());
    gate.open();
    pending.wait().unwrap();
    future.wait().unwrap();
    assert!(placed.end_offset() <= named.physical_offset);
    store.wait_durable(store.max_offset(), Duration::from_secs(60)).unwrap();
    store.close().unwrap();
}

/// A completion that waits for nothing stood behind one that waits for its sync.
#[test]
fn what_waits_for_nothing_is_completed_while_a_sync_hangs() {
    let scene = Scene::new(FlushMode::Sync);
    let store = scene.open().unwrap();
    let gate = scene.disk.hold(Call::SyncData, "commitlog", Hits::Nth(1));
    let waiting = store.append_async(&Message::new("t", b"waits")).unwrap();
    gate.wait_for_call();
    let unwaited = Message::new("t", b"does not").wait_store_ok(false);
    let placed = store.append_async(&unwaited).unwrap().wait().unwrap();
    assert!(store.durable_offset() < placed.end_offset());
    gate.open();
    waiting.wait().unwrap();
    store.close().unwrap();
}
