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
    pub(crate) use std::sync::atomic::{
        AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
    };
}

pub(crate) mod thread {
    pub(crate) use std::thread::{Builder, JoinHandle, ThreadId, current, yield_now};
}
