//! Clocks that jump, and appends that take long.

use super::fault_disk::{Call, Hits};
use super::scene::{SEGMENT, Scene, fill};
use crate::{FlushMode, Message, Status};

/// Recovery and look-ups by time rely on store timestamps that never decrease along the log.
#[test]
fn timestamps_do_not_go_back_with_the_wall_clock() {
    let scene = Scene::new(FlushMode::Async);
    let store = scene.open().unwrap();
    let append = |store: &crate::Store| {
        let placed = store.append(&Message::new("t", b"b")).unwrap();
        let view = store.read_at(placed.physical_offset).unwrap();
        assert_eq!(view.store_timestamp_ms(), placed.store_timestamp_ms);
        assert_eq!(view.born_timestamp_ms(), placed.store_timestamp_ms);
        placed.store_timestamp_ms
    };
    let first = append(&store);
    assert_eq!(first, 1_700_000_000_000);
    scene.clock.turn_wall(-86_400_000);
    assert_eq!(append(&store), first);
    store.close().unwrap();
    drop(store);
    // Also over an end of the process: the time of the newest record counts.
    let store = scene.open().unwrap();
    assert_eq!(append(&store), first);
    scene.clock.turn_wall(86_400_001);
    assert_eq!(append(&store), first + 1);
}

/// While an append holds the lock for more than `page_cache_busy_timeout_ms` after another asked
/// for it, further ones are refused instead of piling up behind it; they are served again once it
/// is over (F10 has its own test).
#[test]
fn others_are_refused_while_an_append_holds_the_lock_for_long() {
    let scene = Scene::new(FlushMode::Async);
    let store = scene.open().unwrap();
    // The first append waits for its file, with the lock held.
    let gate = scene.disk.hold(Call::Create, "commitlog", Hits::Nth(1));
    std::thread::scope(|scope| {
        let holder = scope.spawn(|| store.append(&Message::new("t", b"slow")));
        gate.wait_for_call();
        let waiter = scope.spawn(|| store.append(&Message::new("t", b"waits")));
        while !store.lock_is_asked_for() {
            std::thread::yield_now();
        }
        scene.clock.pass(1001);
        let error = store.append(&Message::new("t", b"next")).unwrap_err();
        assert_eq!(error.status(), Status::PageCacheBusy);
        assert_eq!(error.appended(), None);
        assert!(error.to_string().contains("1001 ms"), "{error}");
        gate.open();
        holder.join().unwrap().unwrap();
        waiter.join().unwrap().unwrap();
    });
    let placed = store.append(&Message::new("t", b"next")).unwrap();
    assert_eq!(placed.queue_offset.get(), 2);
    assert_eq!(store.stats().refused, 1);
}

/// A monotonic clock that stands still must not make the lock look free, nor busy.
#[test]
fn a_clock_that_stands_still_refuses_nobody() {
    let scene = Scene::new(FlushMode::Async);
    let store = scene.open().unwrap();
    fill(&store, 20, 20_000);
    assert!(store.max_offset().get() > 6 * SEGMENT);
    assert_eq!(store.stats().append_latency_counts[0], 20);
}
