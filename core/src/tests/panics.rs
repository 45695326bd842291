//! A panic in a thread of the store, or in an appender that does a service's work: whoever waits
//! gets an error and not a hang, the store is fenced, reads go on, and the next opening has
//! everything that was acknowledged.
//!
//! The group of a run that panicked was in nobody's hands any more: who waited for it with a
//! deadline was told of a timeout, and who waited without, as `flush` does, waited for ever.
#![allow(clippy::print_stderr, reason = "the last word of a test that hangs")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::fault_disk::{Call, Hits};
use super::scene::{Scene, bodies};
use crate::error::{Error, Result};
use crate::{FlushMode, Message, QueueOffset, Status, Store};

const PATIENCE: Duration = Duration::from_secs(20);

/// Runs something that must come to an end. A panic on the thread of the caller is his own to
/// catch, as every binding does.
fn ends<T: Send>(what: &str, run: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let (done, outcome) = mpsc::channel();
        scope.spawn(move || done.send(catch_unwind(AssertUnwindSafe(run))));
        let ended = outcome.recv_timeout(PATIENCE).unwrap_or_else(|_| {
            // The thread cannot be joined.
            eprintln!("{what} hangs");
            std::process::abort()
        });
        ended.unwrap_or_else(|_| Err(Error::new(Status::Internal, "the call panicked")))
    })
}

/// Threads tell of their panic right behind their waiters.
fn wait_refused(store: &Store, at: &str) {
    let started = Instant::now();
    while !is_refused(store) {
        assert!(started.elapsed() < PATIENCE, "{at}: appends go on");
        std::thread::yield_now();
    }
}

fn is_refused(store: &Store) -> bool {
    let message = Message::new("t", b"late");
    matches!(store.append(&message), Err(error) if error.status() == Status::Fenced)
}

/// What happens to a store whose call of this kind panics.
fn after_panic(scene: &Scene, call: Call, path: &str) {
    let store = scene.open().unwrap();
    let at = format!("{:?} with a panic in {call:?} of {path}", scene.options.flush_mode);
    store.append(&Message::new("t", b"before")).unwrap();
    ends(&at, || store.flush()).unwrap();
    scene.disk.panic_at(call, path, Hits::From(1));
    let message = Message::new("t", b"during").wait_store_ok(false);
    // Two files full: every service has something to do.
    let body = vec![b'x'; 20_000];
    for _ in 0..8 {
        let _ = ends(&at, || store.append(&Message::new("t", &body).wait_store_ok(false)));
    }
    let _ = ends(&at, || store.append(&message));
    let flushed = ends(&at, || store.flush());
    assert!(flushed.is_err(), "{at}: a flush succeeded");
    wait_refused(&store, &at);
    assert_eq!(bodies(&store)[0], b"before", "{at}");
    assert!(ends(&at, || store.close()).is_err(), "{at}: closing succeeds");
    drop(store);
    scene.disk.mend();
    let store = scene.open().unwrap();
    assert_eq!(bodies(&store)[0], b"before", "{at}");
    store.append(&Message::new("t", b"after")).unwrap();
    store.close().unwrap();
}

#[test]
fn a_panic_while_syncing_frees_the_waiters() {
    after_panic(&Scene::new(FlushMode::Async), Call::SyncData, "commitlog");
    after_panic(&Scene::new(FlushMode::Sync), Call::SyncData, "commitlog");
    after_panic(&Scene::with_pool(FlushMode::Async, 2), Call::SyncData, "commitlog");
}

#[test]
fn a_panic_while_committing_frees_the_waiters() {
    after_panic(&Scene::with_pool(FlushMode::Async, 2), Call::WriteAt, "commitlog");
    after_panic(&Scene::with_pool(FlushMode::Sync, 2), Call::WriteAt, "commitlog");
    after_panic(&Scene::new(FlushMode::Sync), Call::WriteAt, "commitlog");
}

/// Many threads wait for one group; whichever of them runs it.
#[test]
fn every_member_of_a_group_gets_an_error() {
    let scene = Scene::new(FlushMode::Sync);
    let store = scene.open().unwrap();
    for _ in 0..20 {
        store.append(&Message::new("t", b"before")).unwrap();
    }
    scene.disk.panic_at(Call::SyncData, "commitlog", Hits::From(1));
    let failed = ends("a group", || {
        let failed = std::thread::scope(|scope| {
            let append = || store.append(&Message::new("t", b"during"));
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(append)).collect();
            let outcomes = threads.into_iter().map(|thread| thread.join().unwrap());
            outcomes.filter(|outcome| outcome.is_err()).count()
        });
        Ok(failed)
    });
    assert_eq!(failed.unwrap(), 8);
    wait_refused(&store, "a group");
    assert!(store.close().is_err());
}

#[test]
fn a_panic_while_files_are_made_ends_appends() {
    let scene = Scene::new(FlushMode::Async);
    let store = scene.open().unwrap();
    store.append(&Message::new("t", b"before")).unwrap();
    scene.disk.panic_at(Call::Create, "commitlog", Hits::From(1));
    let body = vec![b'x'; 20_000];
    let append = || (0..8).try_for_each(|_| store.append(&Message::new("t", &body)).map(|_| ()));
    assert!(ends("an append", append).is_err());
    wait_refused(&store, "a new file");
    assert!(ends("closing", || store.close()).is_err());
}

/// The dispatcher: messages stay in the log, and come to their queues when it is opened again.
#[test]
fn a_panic_while_dispatching_closes_the_fence() {
    let scene = Scene::new(FlushMode::Async);
    let store = scene.open().unwrap();
    scene.disk.panic_at(Call::WriteAt, "consumequeue", Hits::From(1));
    store.append(&Message::new("t", b"before")).unwrap();
    wait_refused(&store, "the dispatcher");
    let arrived = store.wait_message("t", 0, QueueOffset::new(0), Duration::from_millis(10));
    assert!(!arrived.unwrap_or(false));
    assert!(ends("closing", || store.close()).is_err());
    drop(store);
    scene.disk.mend();
    let store = scene.open().unwrap();
    assert!(store.wait_message("t", 0, QueueOffset::new(0), PATIENCE).unwrap());
}
