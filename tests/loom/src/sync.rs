//! The model checker's locks, atomics and threads, in the shape of those that the engine uses.

use std::ops::{Deref, DerefMut};
use std::sync::PoisonError;
use std::time::Instant;

/// A lock as that of `parking_lot`.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

/// The held lock. It is away while a condition variable waits with it.
#[derive(Debug)]
pub(crate) struct MutexGuard<'l, T>(Option<loom::sync::MutexGuard<'l, T>>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(loom::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        MutexGuard(Some(self.0.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.0.try_lock().ok().map(|guard| MutexGuard(Some(guard)))
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_ref().expect("the lock is held")
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.as_mut().expect("the lock is held")
    }
}

/// A condition variable as that of `parking_lot`.
#[derive(Debug, Default)]
pub(crate) struct Condvar(loom::sync::Condvar);

/// Whether the time ran out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TimedOut;

impl TimedOut {
    pub(crate) fn timed_out(self) -> bool {
        true
    }
}

impl Condvar {
    pub(crate) fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        if let Some(held) = guard.0.take() {
            guard.0 = Some(self.0.wait(held).unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// Time does not pass in a model, and none waits with a limit: the time is always up.
    pub(crate) fn wait_until<T>(
        &self,
        _guard: &mut MutexGuard<'_, T>,
        _deadline: Instant,
    ) -> TimedOut {
        TimedOut
    }

    pub(crate) fn notify_one(&self) {
        self.0.notify_one();
    }

    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }
}

/// Those that are shaped as the standard library's.
pub(crate) mod native {
    pub(crate) use loom::sync::{Condvar, Mutex, MutexGuard};
}

/// The model checker takes a sequentially consistent access for one that only acquires and
/// releases, but knows such fences. With one on either side an access is as strong as it should be.
pub(crate) mod atomic {
    pub(crate) use std::sync::atomic::Ordering;

    pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU32, fence};

    fn strongly<T>(order: Ordering, weaker: Ordering, access: impl FnOnce(Ordering) -> T) -> T {
        if order != Ordering::SeqCst {
            return access(order);
        }
        fence(Ordering::SeqCst);
        let value = access(weaker);
        fence(Ordering::SeqCst);
        value
    }

    macro_rules! atomic {
        ($name:ident, $value:ty) => {
            #[derive(Debug, Default)]
            pub(crate) struct $name(loom::sync::atomic::$name);

            impl $name {
                pub(crate) fn new(value: $value) -> Self {
                    Self(loom::sync::atomic::$name::new(value))
                }

                pub(crate) fn load(&self, order: Ordering) -> $value {
                    strongly(order, Ordering::Acquire, |order| self.0.load(order))
                }

                pub(crate) fn store(&self, value: $value, order: Ordering) {
                    strongly(order, Ordering::Release, |order| self.0.store(value, order));
                }

                pub(crate) fn fetch_add(&self, value: $value, order: Ordering) -> $value {
                    strongly(order, Ordering::AcqRel, |order| self.0.fetch_add(value, order))
                }

                pub(crate) fn fetch_sub(&self, value: $value, order: Ordering) -> $value {
                    strongly(order, Ordering::AcqRel, |order| self.0.fetch_sub(value, order))
                }

                pub(crate) fn fetch_min(&self, value: $value, order: Ordering) -> $value {
                    strongly(order, Ordering::AcqRel, |order| self.0.fetch_min(value, order))
                }

                pub(crate) fn fetch_max(&self, value: $value, order: Ordering) -> $value {
                    strongly(order, Ordering::AcqRel, |order| self.0.fetch_max(value, order))
                }
            }
        };
    }
    atomic!(AtomicU64, u64);
    atomic!(AtomicUsize, usize);
}

pub(crate) mod thread {
    pub(crate) use loom::thread::{Builder, JoinHandle, ThreadId, current, yield_now};
}
