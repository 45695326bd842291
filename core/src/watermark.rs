//! A position that only moves forward, and those who wait for it.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

/// A log position. Whoever sees a value sees everything that was written before it was set.
#[derive(Debug, Default)]
pub(crate) struct Watermark {
    value: AtomicU64,
    waiters: AtomicUsize,
    closed: AtomicBool,
    mutex: Mutex<()>,
    moved: Condvar,
}

impl Watermark {
    /// The position.
    pub(crate) fn get(&self) -> u64 {
        self.value.load(Ordering::Acquire)
    }

    /// Moves the position forward to `value`; a smaller value changes nothing.
    pub(crate) fn advance(&self, value: u64) {
        if self.value.fetch_max(value, Ordering::Release) < value {
            self.wake();
        }
    }

    /// Sets the position, also backwards: only while nobody else knows the queue.
    pub(crate) fn reset(&self, value: u64) {
        self.value.store(value, Ordering::Release);
    }

    /// Ends every wait, now and later.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.wake();
    }

    /// Whether every wait was ended.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    fn wake(&self) {
        // Pairs with the fence in `wait_past`: either the waiter sees the new value, or the count
        // of waiters is seen here.
        fence(Ordering::SeqCst);
        if self.waiters.load(Ordering::Relaxed) > 0 {
            // The lock makes sure that a waiter between its test and its sleep is not missed.
            drop(self.mutex.lock());
            self.moved.notify_all();
        }
    }

    /// Makes every waiter look whether it is to give up.
    pub(crate) fn interrupt(&self) {
        self.wake();
    }

    /// Waits until the position exceeds `position`. False when the deadline passed, or the
    /// watermark was closed, without that.
    pub(crate) fn wait_past(&self, position: u64, deadline: Option<Instant>) -> bool {
        self.wait_past_unless(position, deadline, || false)
    }

    /// As [`Watermark::wait_past`], given up when `give_up` says so, which is asked anew after each
    /// [`Watermark::interrupt`].
    pub(crate) fn wait_past_unless(
        &self,
        position: u64,
        deadline: Option<Instant>,
        give_up: impl Fn() -> bool,
    ) -> bool {
        if self.get() > position {
            return true;
        }
        self.waiters.fetch_add(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let mut guard = self.mutex.lock();
        let mut in_time = true;
        while in_time && self.get() <= position && !self.is_closed() && !give_up() {
            in_time = match deadline {
                None => {
                    self.moved.wait(&mut guard);
                    true
                }
                Some(deadline) => !self.moved.wait_until(&mut guard, deadline).timed_out(),
            };
        }
        drop(guard);
        self.waiters.fetch_sub(1, Ordering::Relaxed);
        self.get() > position
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_watermark_never_moves_back() {
        let mark = Watermark::default();
        mark.advance(10);
        mark.advance(7);
        assert_eq!(mark.get(), 10);
        assert!(mark.wait_past(9, None));
        assert!(!mark.wait_past(10, Some(Instant::now() + Duration::from_millis(1))));
    }

    #[test]
    fn no_move_is_missed_and_closing_wakes() {
        let mark = Watermark::default();
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| (0..5000).all(|position| mark.wait_past(position, None)));
            for value in 1..=5000 {
                mark.advance(value);
            }
            assert!(waiter.join().unwrap());
            let closed = scope.spawn(|| mark.wait_past(u64::MAX, None));
            mark.close();
            assert!(!closed.join().unwrap());
        });
    }
}
