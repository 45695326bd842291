//! A thread that waits for messages dispatches them itself, in the dispatcher's place.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use super::fault_disk::{Call, Hits, Made};
use super::scene::{Random, Scene};
use crate::error::Result;
use crate::{ConsumerOptions, Filter, FlushMode, Message, QueueOffset, Status, Store};

const PATIENCE: Duration = Duration::from_secs(20);

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < PATIENCE, "{what}");
        thread::yield_now();
    }
}

/// Nothing is to be done, the dispatcher's thread sleeps, and a reader as well.
fn wait_for_reader(store: &Store) {
    wait_until("nobody waits", || is_dispatched(store) && store.reader_stands_in());
}

fn append(store: &Store, topic: &str) {
    store.append(&Message::new(topic, b"body").wait_store_ok(false)).unwrap();
}

fn is_dispatched(store: &Store) -> bool {
    store.dispatched_offset() == store.max_offset()
}

#[test]
fn who_waits_dispatches() {
    for mode in [FlushMode::Async, FlushMode::Sync] {
        let scene = Scene::new(mode);
        let store = scene.open().unwrap();
        let mut tail = store.tail("t", 0, QueueOffset::new(0), Filter::all()).unwrap();
        thread::scope(|scope| {
            let reader = scope.spawn(move || {
                for index in 0..20 {
                    let message = tail.next_timeout(PATIENCE).unwrap().expect("a message");
                    assert_eq!(message.queue_offset().get(), index);
                }
            });
            for _ in 0..20 {
                wait_for_reader(&store);
                append(&store, "t");
            }
            let id = reader.thread().id();
            reader.join().unwrap();
            let made = scene.disk.made();
            let written: Vec<_> = made.iter().filter(|made| is_unit(made)).collect();
            assert_eq!(written.len(), 20, "{mode:?}");
            assert!(written.iter().all(|made| made.by == id), "{mode:?}");
        });
        store.close().unwrap();
    }
}

fn is_unit(made: &Made) -> bool {
    made.call == Call::WriteAt && made.path.to_string_lossy().contains("consumequeue")
}

/// Readers come and go, also for queues that get nothing, and members of a group; whatever they
/// leave undone is dispatched when nobody waits any more.
#[test]
fn nothing_is_left_undone() {
    let mut random = Random::seeded();
    for mode in [FlushMode::Async, FlushMode::Sync] {
        let scene = Scene::new(mode);
        let store = scene.open().unwrap();
        let ended = AtomicBool::new(false);
        thread::scope(|scope| {
            for topic in ["t", "never"] {
                let (store, ended) = (&store, &ended);
                let mut pause = Random(random.below(u64::MAX) | 1);
                scope.spawn(move || {
                    let mut offset = 0;
                    while !ended.load(Ordering::Relaxed) {
                        let timeout = Duration::from_micros(pause.below(300));
                        let at = QueueOffset::new(offset);
                        offset += u64::from(store.wait_message(topic, 0, at, timeout).unwrap());
                    }
                });
            }
            let (store_of_group, ended_of_group) = (&store, &ended);
            scope.spawn(move || {
                let options = ConsumerOptions::of_topic("t");
                let consumer = store_of_group.consumer("g", options).unwrap();
                while !ended_of_group.load(Ordering::Relaxed) {
                    consumer.poll(32, Duration::from_micros(150)).unwrap();
                }
            });
            for count in 1..=600 {
                append(&store, "t");
                if count % 10 == 0 {
                    wait_until("a message was left", || is_dispatched(&store));
                }
                thread::sleep(Duration::from_micros(random.below(200)));
            }
            ended.store(true, Ordering::Relaxed);
        });
        append(&store, "t");
        wait_until("the last was left", || is_dispatched(&store));
        store.close().unwrap();
    }
}

/// Opens a store, does something to it while a reader waits for its first message, and returns
/// whether that came.
fn while_one_waits(scene: &Scene, act: impl FnOnce(&Store, ThreadId)) -> (Store, Result<bool>) {
    let store = scene.open().unwrap();
    let arrived = thread::scope(|scope| {
        let reader = scope.spawn(|| store.wait_message("t", 0, QueueOffset::new(0), PATIENCE));
        wait_for_reader(&store);
        act(&store, reader.thread().id());
        reader.join().unwrap()
    });
    (store, arrived)
}

#[test]
fn the_thread_goes_on_where_a_reader_failed() {
    let scene = Scene::new(FlushMode::Async);
    let (store, arrived) = while_one_waits(&scene, |store, reader| {
        scene.disk.fail(Call::WriteAt, "consumequeue", Hits::From(1), libc::ENOSPC);
        append(store, "t");
        wait_until("nothing is told", || store.dispatch_error().is_some());
        assert_eq!(store.dispatch_error().unwrap().status(), Status::DispatchBlocked);
        let failed = scene.disk.made().into_iter().find(|call| call.failed).unwrap();
        assert_eq!(failed.by, reader);
        scene.disk.mend();
    });
    assert!(arrived.unwrap());
    // A queue's readers see what is written to it before the rest of the batch is.
    wait_until("the store says that it does not go on", || store.dispatch_error().is_none());
    store.close().unwrap();
}

#[test]
fn a_panic_closes_the_fence_and_the_thread_goes_on() {
    let scene = Scene::new(FlushMode::Async);
    let (store, arrived) = while_one_waits(&scene, |store, _| {
        scene.disk.panic_at(Call::WriteAt, "consumequeue", Hits::Nth(1));
        append(store, "t");
    });
    assert!(arrived.unwrap());
    let refused = store.append(&Message::new("t", b"late")).unwrap_err();
    assert_eq!(refused.status(), Status::Fenced);
    assert!(refused.to_string().contains("a reader that dispatched panicked"), "{refused}");
    assert!(store.close().is_err());
}

/// The directory may be another's as soon as the store is closed.
#[test]
fn closing_waits_for_who_dispatches() {
    let scene = Scene::new(FlushMode::Async);
    // Whether the reader still sees its message, or that the store was closed, is left open.
    let _ = while_one_waits(&scene, |store, _| {
        let gate = scene.disk.hold(Call::WriteAt, "consumequeue", Hits::Nth(1));
        append(store, "t");
        gate.wait_for_call();
        thread::scope(|scope| {
            let closing = scope.spawn(|| store.close());
            thread::sleep(Duration::from_millis(50));
            assert!(!closing.is_finished(), "closed while a reader writes");
            gate.open();
            closing.join().unwrap().unwrap();
        });
    });
}
