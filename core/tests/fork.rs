//! A child made by `fork` must not use its parent's store: it shares the files, but not the threads
//! that flush them, and not the lock.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(unsafe_code, reason = "fork, waitpid and _exit are C calls")]

use std::time::Duration;

use cairnlog::{FlushMode, Message, PhysicalOffset, Status, Store, StoreOptions};

/// Runs `body` in a child and returns the index of the first check that failed there.
fn first_failure_in_child(body: impl FnOnce() -> Vec<bool>) -> Option<i32> {
    // SAFETY: the child only makes checks and ends with _exit; it takes no lock that another thread
    // of the parent may hold.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0);
    if pid == 0 {
        let checks = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body));
        let code = match checks {
            Ok(checks) => checks.iter().position(|good| !good).map_or(0, |at| at as i32 + 1),
            Err(_) => 255,
        };
        // SAFETY: ends the child without running the parent's destructors.
        unsafe { libc::_exit(code) };
    }
    let mut status = 0;
    // SAFETY: `pid` is our child and `status` is writable.
    let waited = unsafe { libc::waitpid(pid, &raw mut status, 0) };
    assert_eq!(waited, pid);
    assert!(libc::WIFEXITED(status), "the child died: {status}");
    match libc::WEXITSTATUS(status) {
        0 => None,
        code => Some(code - 1),
    }
}

fn is<T>(result: cairnlog::Result<T>, status: Status) -> bool {
    result.is_err_and(|error| error.status() == status)
}

#[test]
fn a_forked_child_is_refused_and_the_parent_goes_on() {
    for mode in [FlushMode::Async, FlushMode::Sync] {
        let directory = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        let mut options = StoreOptions::default();
        options.segment_size_bytes = 64 * 1024;
        options.flush_mode = mode;
        let store = Store::open(directory.path(), &options).unwrap();
        let placed = store.append(&Message::new("t", b"before")).unwrap();
        let queue = store.queue("t", 0).unwrap();
        let view = store.read_at(placed.physical_offset).unwrap();
        let start = PhysicalOffset::new(0);
        let second = Duration::from_secs(1);
        let failure = first_failure_in_child(|| {
            let message = Message::new("t", b"child");
            let mut results = Vec::new();
            vec![
                is(store.append(&message), Status::Forked),
                is(store.append_many(&[message], &mut results), Status::Forked),
                is(store.append_async(&message), Status::Forked),
                is(queue.append(&message), Status::Forked),
                is(queue.begin_append(&message), Status::Forked),
                is(store.flush(), Status::Forked),
                is(store.wait_durable(start, second), Status::Forked),
                is(store.wait_readable(start, second), Status::Forked),
                is(store.read_at(start), Status::Forked),
                is(store.read_log(start, 1, 1), Status::Forked),
                is(store.scan(start), Status::Forked),
                is(store.queue("t", 1), Status::Forked),
                is(store.close(), Status::Forked),
                view.body() == b"before",
                // Locks may still know threads of the parent, so no store can be opened either.
                is(Store::open(directory.path(), &options), Status::Forked),
                is(Store::open(elsewhere.path(), &options), Status::Forked),
                is(Store::plan_recovery(elsewhere.path(), &options), Status::StoreNotFound),
            ]
        });
        assert_eq!(failure, None, "{mode:?}: the check of this number failed");
        store.append(&Message::new("t", b"after")).unwrap();
        store.close().unwrap();
        let store = Store::open(directory.path(), &options).unwrap();
        assert!(store.recovery_report().clean_stop);
        assert_eq!(store.scan(store.min_offset()).unwrap().count(), 2);
        store.close().unwrap();
        // A child that was forked while no store was open is a process like any other.
        let failure = first_failure_in_child(|| {
            let own = Store::open(elsewhere.path(), &options).unwrap();
            let appended = own.append(&Message::new("t", b"child"));
            vec![appended.is_ok(), own.close().is_ok()]
        });
        assert_eq!(failure, None, "{mode:?}: a store of its own");
    }
}
