//! The append lock: one at a time, waited for in one of three manners.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use parking_lot::{Mutex, MutexGuard};

use crate::options::AppendLockKind;

/// How often a spinning thread tries before it lets others run.
const SPINS_BEFORE_YIELD: u32 = 1 << 10;
/// Bounds of the tries an adaptive lock makes before it sleeps.
const ADAPTIVE_TRIES: std::ops::RangeInclusive<u32> = 16..=4096;

/// Guards what only the appending thread may touch.
#[derive(Debug)]
pub(crate) struct AppendLock<T> {
    kind: AppendLockKind,
    state: Mutex<T>,
    /// Monotonic milliseconds when the holder took the lock; 0 when it is free.
    held_since_ms: AtomicU64,
    adaptive_tries: AtomicU32,
}

impl<T> AppendLock<T> {
    pub(crate) fn new(kind: AppendLockKind, state: T) -> Self {
        Self {
            kind,
            state: Mutex::new(state),
            held_since_ms: AtomicU64::new(0),
            adaptive_tries: AtomicU32::new(*ADAPTIVE_TRIES.start()),
        }
    }

    /// Takes the lock. `now_ms` reads the monotonic clock.
    pub(crate) fn lock(&self, now_ms: impl FnOnce() -> u64) -> AppendGuard<'_, T> {
        let state = match self.kind {
            AppendLockKind::Mutex => self.state.lock(),
            AppendLockKind::Spin => self.spin(),
            AppendLockKind::Adaptive => self.adapt(),
        };
        self.held_since_ms.store(now_ms().max(1), Ordering::Relaxed);
        AppendGuard { state, held_since_ms: &self.held_since_ms }
    }

    fn spin(&self) -> MutexGuard<'_, T> {
        let mut tries: u32 = 0;
        loop {
            if let Some(state) = self.state.try_lock() {
                return state;
            }
            tries = tries.wrapping_add(1);
            if tries.is_multiple_of(SPINS_BEFORE_YIELD) {
                std::thread::yield_now();
            } else {
                std::hint::spin_loop();
            }
        }
    }

    /// Spins as long as that paid off lately: twice as long after a success, half after a failure.
    fn adapt(&self) -> MutexGuard<'_, T> {
        let most = self.adaptive_tries.load(Ordering::Relaxed);
        for _ in 0..most {
            if let Some(state) = self.state.try_lock() {
                let longer = (most * 2).min(*ADAPTIVE_TRIES.end());
                self.adaptive_tries.store(longer, Ordering::Relaxed);
                return state;
            }
            std::hint::spin_loop();
        }
        let shorter = (most / 2).max(*ADAPTIVE_TRIES.start());
        self.adaptive_tries.store(shorter, Ordering::Relaxed);
        self.state.lock()
    }

    /// For how long the lock has been held, in milliseconds; 0 when it is free.
    pub(crate) fn held_ms(&self, now_ms: u64) -> u64 {
        match self.held_since_ms.load(Ordering::Relaxed) {
            0 => 0,
            since => now_ms.saturating_sub(since),
        }
    }
}

/// The held lock. Letting go of it, also by a panic, ends the time it is held.
#[derive(Debug)]
pub(crate) struct AppendGuard<'l, T> {
    state: MutexGuard<'l, T>,
    held_since_ms: &'l AtomicU64,
}

impl<T> Deref for AppendGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.state
    }
}

impl<T> DerefMut for AppendGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.state
    }
}

impl<T> Drop for AppendGuard<'_, T> {
    fn drop(&mut self) {
        self.held_since_ms.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_excludes() {
        for kind in [AppendLockKind::Spin, AppendLockKind::Mutex, AppendLockKind::Adaptive] {
            let lock = AppendLock::new(kind, 0u64);
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        for _ in 0..10_000 {
                            let mut state = lock.lock(|| 1);
                            let before = *state;
                            *state = before + 1;
                        }
                    });
                }
            });
            assert_eq!(*lock.lock(|| 1), 40_000, "{kind:?}");
        }
    }

    /// In RocketMQ an exception inside the lock left the time of its taking set, and every later
    /// put was refused as busy (F10).
    #[test]
    fn f10_a_panic_inside_the_lock_does_not_leave_it_busy() {
        let lock = AppendLock::new(AppendLockKind::Mutex, ());
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _held = lock.lock(|| 5);
            assert_eq!(lock.held_ms(1005), 1000);
            panic!("on purpose");
        }));
        assert!(panicked.is_err());
        assert_eq!(lock.held_ms(100_000), 0);
        drop(lock.lock(|| 6));
    }
}
