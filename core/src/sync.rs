//! Locks, atomics and threads of those parts that are explored by a model checker, which puts its
//! own in the place of these (`tests/loom`).

pub(crate) use parking_lot::{Condvar, Mutex, MutexGuard};

/// Those of the standard library, whose condition variable wakes all waiters by one system call.
/// That of `parking_lot` wakes one, which wakes the next when it has run: with many waiters the
/// last would run long after the first.
pub(crate) mod native {
    pub(crate) use std::sync::{Condvar, Mutex, MutexGuard};
}

pub(crate) mod atomic {
    #[cfg(cairnlog_thread_sanitizer)]
    pub(crate) use super::seen::AtomicU64;
    #[cfg(not(cairnlog_thread_sanitizer))]
    pub(crate) use std::sync::atomic::AtomicU64;
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering, fence};
}

/// What ThreadSanitizer sees. The compiler does not tell it of `fetch_max`, and whatever is handed
/// over by one would look like a race.
#[cfg(cairnlog_thread_sanitizer)]
mod seen {
    use std::ops::Deref;
    use std::sync::atomic::{self, Ordering};

    /// That of the standard library, with a `fetch_max` that is made of exchanges.
    #[derive(Debug, Default)]
    pub(crate) struct AtomicU64(atomic::AtomicU64);

    impl AtomicU64 {
        pub(crate) const fn new(value: u64) -> Self {
            Self(atomic::AtomicU64::new(value))
        }

        pub(crate) fn fetch_max(&self, value: u64, order: Ordering) -> u64 {
            let larger = |before: u64| Some(before.max(value));
            let before = self.0.fetch_update(order, Ordering::Relaxed, larger);
            before.unwrap_or_else(|before| before)
        }
    }

    impl Deref for AtomicU64 {
        type Target = atomic::AtomicU64;

        fn deref(&self) -> &Self::Target {
            &self.0
        }
    }
}

pub(crate) mod thread {
    pub(crate) use std::thread::{Builder, JoinHandle, ThreadId, current, yield_now};
}
