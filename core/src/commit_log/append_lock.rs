//! The append lock: one at a time, waited for in one of three manners.

use std::ops::{Deref, DerefMut};

use crate::options::AppendLockKind;
use crate::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use crate::sync::{Mutex, MutexGuard, thread};

/// How often a spinning thread tries before it lets others run.
const SPINS_BEFORE_YIELD: u32 = 1 << 10;
/// Bounds of the tries an adaptive lock makes before it sleeps.
const ADAPTIVE_TRIES: std::ops::RangeInclusive<u32> = 16..=4096;

/// Guards what only the appending thread may touch.
#[derive(Debug)]
pub(crate) struct AppendLock<T> {
    kind: AppendLockKind,
    state: Mutex<T>,
    /// Counts takings and releases: odd while the lock is held.
    turn: AtomicU64,
    /// The turn somebody last met the lock in, and when, packed by [`Met`]. So the holder, which is
    /// nearly always alone, reads no clock.
    met: AtomicU64,
    adaptive_tries: AtomicU32,
}

impl<T> AppendLock<T> {
    pub(crate) fn new(kind: AppendLockKind, state: T) -> Self {
        Self {
            kind,
            state: Mutex::new(state),
            turn: AtomicU64::new(0),
            met: AtomicU64::new(0),
            adaptive_tries: AtomicU32::new(*ADAPTIVE_TRIES.start()),
        }
    }

    /// Takes the lock.
    #[inline]
    pub(crate) fn lock(&self) -> AppendGuard<'_, T> {
        let state = match self.kind {
            AppendLockKind::Mutex => self.state.lock(),
            AppendLockKind::Spin => self.spin(),
            AppendLockKind::Adaptive => self.adapt(),
        };
        self.turn.store(self.turn.load(Ordering::Relaxed) | 1, Ordering::Relaxed);
        AppendGuard { state, turn: &self.turn }
    }

    fn spin(&self) -> MutexGuard<'_, T> {
        let mut tries: u32 = 0;
        loop {
            if let Some(state) = self.state.try_lock() {
                return state;
            }
            tries = tries.wrapping_add(1);
            if tries.is_multiple_of(SPINS_BEFORE_YIELD) {
                thread::yield_now();
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

    /// For how long the lock has been held, in milliseconds, since it was first asked for in this
    /// turn; 0 when it is free. `now_ms` reads the monotonic clock.
    pub(crate) fn held_ms(&self, now_ms: impl FnOnce() -> u64) -> u64 {
        let turn = self.turn.load(Ordering::Relaxed);
        if turn.is_multiple_of(2) {
            return 0;
        }
        let now = Met { turn, at_ms: now_ms() };
        let first = self.met.load(Ordering::Relaxed);
        if !now.is_in_turn_of(first) {
            self.met.store(now.packed(), Ordering::Relaxed);
            return 0;
        }
        now.milliseconds_since(first)
    }
}

#[cfg(test)]
impl<T> AppendLock<T> {
    /// Whether somebody asked for how long the lock has been held in this turn.
    pub(crate) fn is_asked_for(&self) -> bool {
        let turn = self.turn.load(Ordering::Relaxed);
        !turn.is_multiple_of(2)
            && Met { turn, at_ms: 0 }.is_in_turn_of(self.met.load(Ordering::Relaxed))
    }
}

/// A turn in which somebody met the lock held, and when.
#[derive(Debug, Clone, Copy)]
struct Met {
    turn: u64,
    at_ms: u64,
}

impl Met {
    /// Bits of the time: 34 years of milliseconds.
    const TIME_BITS: u32 = 40;
    const TIME: u64 = (1 << Self::TIME_BITS) - 1;

    /// Both in one word, with the lower bits of each.
    fn packed(self) -> u64 {
        self.turn << Self::TIME_BITS | self.at_ms & Self::TIME
    }

    fn is_in_turn_of(self, packed: u64) -> bool {
        self.packed() >> Self::TIME_BITS == packed >> Self::TIME_BITS
    }

    fn milliseconds_since(self, packed: u64) -> u64 {
        (self.at_ms & Self::TIME).saturating_sub(packed & Self::TIME)
    }
}

/// The held lock. Letting go of it, also by a panic, ends the turn.
#[derive(Debug)]
pub(crate) struct AppendGuard<'l, T> {
    state: MutexGuard<'l, T>,
    turn: &'l AtomicU64,
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
    #[inline]
    fn drop(&mut self) {
        self.turn.store(self.turn.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
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
                            let mut state = lock.lock();
                            let before = *state;
                            *state = before + 1;
                        }
                    });
                }
            });
            assert_eq!(*lock.lock(), 40_000, "{kind:?}");
        }
    }

    /// A turn in which nobody asked does not make the next one look long.
    #[test]
    fn each_turn_is_timed_from_its_first_question() {
        let lock = AppendLock::new(AppendLockKind::Mutex, ());
        for begin in [0, 70_000] {
            let held = lock.lock();
            assert_eq!(lock.held_ms(|| begin), 0);
            assert_eq!(lock.held_ms(|| begin + 20), 20);
            drop(held);
            drop(lock.lock());
            assert_eq!(lock.held_ms(|| begin + 60_000), 0);
        }
    }

    /// In RocketMQ an exception inside the lock left the time of its taking set, and every later
    /// put was refused as busy (F10).
    #[test]
    fn f10_a_panic_inside_the_lock_does_not_leave_it_busy() {
        let lock = AppendLock::new(AppendLockKind::Mutex, ());
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _held = lock.lock();
            assert_eq!(lock.held_ms(|| 5), 0);
            assert_eq!(lock.held_ms(|| 1005), 1000);
            panic!("on purpose");
        }));
        assert!(panicked.is_err());
        assert_eq!(lock.held_ms(|| 100_000), 0);
    }
}
