//! A position that only moves forward, and those who wait for it: threads, and wakers of tasks.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use crate::service::panic_message;
use crate::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
use crate::sync::{Condvar, Mutex};

/// A log position. Whoever sees a value sees everything that was written before it was set.
#[derive(Debug, Default)]
pub(crate) struct Watermark {
    value: AtomicU64,
    /// Waiting threads and registered wakers.
    waiters: AtomicUsize,
    closed: AtomicBool,
    registered: Mutex<Registered>,
    moved: Condvar,
    moved_behind: Condvar,
}

/// Wakers of tasks, each with the position it waits to be exceeded, and who waits in front.
#[derive(Debug, Default)]
struct Registered {
    next_number: u64,
    wakers: BTreeMap<u64, (u64, Waker)>,
    front: Front,
}

/// The thread that waits in the place of the one that waits behind.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Front {
    #[default]
    Absent,
    Waits,
    /// A move has woken it, and it has not come yet.
    Called,
}

/// Tasks that are to be woken, by whoever holds no lock: what a waker does is not known.
#[derive(Debug, Default)]
#[must_use = "tasks wait to be woken"]
pub(crate) struct Woken(Vec<Waker>);

impl Woken {
    /// Wakes them. One that panics keeps no other from being woken.
    pub(crate) fn wake_all(self) {
        for waker in self.0 {
            if let Err(cause) = catch_unwind(AssertUnwindSafe(|| waker.wake())) {
                let message = panic_message(cause);
                tracing::error!(message, "a waker panicked");
            }
        }
    }

    /// Adds those of another watermark.
    pub(crate) fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }
}

/// A waker that was registered. It is forgotten when this is dropped.
#[derive(Debug)]
pub(crate) struct Registration {
    mark: Arc<Watermark>,
    number: u64,
}

impl Drop for Registration {
    fn drop(&mut self) {
        // The waker is dropped behind the lock: what that does is not known.
        let forgotten = self.mark.registered.lock().wakers.remove(&self.number);
        if forgotten.is_some() {
            self.mark.waiters.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Watermark {
    /// The position.
    pub(crate) fn get(&self) -> u64 {
        self.value.load(Ordering::Acquire)
    }

    /// Moves the position forward to `value`; a smaller value changes nothing.
    pub(crate) fn advance(&self, value: u64) {
        if self.moves(value) {
            self.wake(false).wake_all();
        }
    }

    /// As [`Watermark::advance`], with the waking of tasks left to the caller.
    pub(crate) fn advance_quietly(&self, value: u64) -> Woken {
        if self.moves(value) { self.wake(false) } else { Woken::default() }
    }

    /// Moves the position; whether somebody may wait for that.
    #[inline]
    fn moves(&self, value: u64) -> bool {
        // The two accesses need no fence between them, which would cost as much as they do. They
        // pair with the fences in `wait_past` and `register`: either the waiter sees the new value,
        // or the count of waiters is seen here.
        let moved = self.value.fetch_max(value, Ordering::SeqCst) < value;
        moved && self.waiters.load(Ordering::SeqCst) > 0
    }

    /// Sets the position, also backwards: only while nobody else knows the queue.
    pub(crate) fn reset(&self, value: u64) {
        self.value.store(value, Ordering::Release);
    }

    /// Ends every wait, now and later.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.wake(true).wake_all();
    }

    /// Whether every wait was ended.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Wakes waiting threads, and takes out the tasks that wait no longer. Who waits behind sleeps
    /// on while another is in front: unless that one was called before and has not come, or
    /// `everybody` is to look.
    #[cold]
    fn wake(&self, everybody: bool) -> Woken {
        // As in `moves`, for what was changed before.
        fence(Ordering::SeqCst);
        if self.waiters.load(Ordering::Relaxed) == 0 {
            return Woken::default();
        }
        // The lock makes sure that a waiter between its test and its sleep is not missed.
        let mut registered = self.registered.lock();
        let (value, closed) = (self.get(), self.is_closed());
        let due = registered.wakers.extract_if(.., |_, (position, _)| closed || *position < value);
        let woken: Vec<_> = due.map(|(_, (_, waker))| waker).collect();
        let behind = everybody || registered.front != Front::Waits;
        if registered.front == Front::Waits {
            registered.front = Front::Called;
        }
        drop(registered);
        self.waiters.fetch_sub(woken.len(), Ordering::Relaxed);
        self.moved.notify_all();
        if behind {
            self.moved_behind.notify_all();
        }
        Woken(woken)
    }

    /// Has a task woken once when the position exceeds `position` or the watermark is closed.
    /// `None` if that is so already.
    pub(crate) fn register(self: &Arc<Self>, position: u64, waker: Waker) -> Option<Registration> {
        self.waiters.fetch_add(1, Ordering::Relaxed);
        let mut registered = self.registered.lock();
        let number = registered.next_number;
        registered.next_number += 1;
        registered.wakers.insert(number, (position, waker));
        drop(registered);
        fence(Ordering::SeqCst);
        let registration = Registration { mark: Arc::clone(self), number };
        let waits = self.get() <= position && !self.is_closed();
        waits.then_some(registration)
    }

    /// How many wait.
    #[cfg(test)]
    pub(crate) fn waiters(&self) -> usize {
        self.waiters.load(Ordering::Relaxed)
    }

    /// Whether a thread waits in front.
    #[cfg(test)]
    pub(crate) fn is_waited_for_in_front(&self) -> bool {
        self.registered.lock().front == Front::Waits
    }

    /// Makes every waiter look whether it is to give up.
    pub(crate) fn interrupt(&self) {
        self.wake(true).wake_all();
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
        self.wait(&self.moved, position, deadline, give_up, |_, _| {})
    }

    /// As [`Watermark::wait_past_unless`] without a limit, for one thread that sleeps on while
    /// another waits in front.
    pub(crate) fn wait_past_behind(&self, position: u64, give_up: impl Fn() -> bool) -> bool {
        self.wait(&self.moved_behind, position, None, give_up, |_, _| {})
    }

    /// As [`Watermark::wait_past_unless`], for one thread that does what the one that waits behind
    /// would do. Whoever leaves something of that undone calls [`Watermark::interrupt`].
    pub(crate) fn wait_past_in_front(
        &self,
        position: u64,
        deadline: Option<Instant>,
        give_up: impl Fn() -> bool,
    ) -> bool {
        self.wait(&self.moved, position, deadline, give_up, |registered, waits| {
            registered.front = if waits { Front::Waits } else { Front::Absent };
        })
    }

    /// Waits at `place`. `mark` is told under the lock that the thread is about to sleep, or that
    /// it came back.
    fn wait(
        &self,
        place: &Condvar,
        position: u64,
        deadline: Option<Instant>,
        give_up: impl Fn() -> bool,
        mark: impl Fn(&mut Registered, bool),
    ) -> bool {
        if self.get() > position {
            return true;
        }
        self.waiters.fetch_add(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let mut guard = self.registered.lock();
        let mut in_time = true;
        while in_time && self.get() <= position && !self.is_closed() && !give_up() {
            mark(&mut guard, true);
            in_time = match deadline {
                None => {
                    place.wait(&mut guard);
                    true
                }
                Some(deadline) => !place.wait_until(&mut guard, deadline).timed_out(),
            };
            mark(&mut guard, false);
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

    /// Who waits behind is woken when nobody is in front, or who is there was called before and did
    /// not come.
    #[test]
    fn who_is_in_front_is_woken_alone_once() {
        let mark = Watermark::default();
        std::thread::scope(|scope| {
            let behind = scope.spawn(|| mark.wait_past_behind(0, || false));
            while mark.waiters() == 0 {
                std::thread::yield_now();
            }
            // The one in front is slow: it never looks.
            mark.registered.lock().front = Front::Waits;
            mark.waiters.fetch_add(1, Ordering::Relaxed);
            mark.advance(1);
            assert_eq!(mark.registered.lock().front, Front::Called);
            std::thread::sleep(Duration::from_millis(50));
            assert!(!behind.is_finished(), "both were woken");
            mark.advance(2);
            assert!(behind.join().unwrap());
            mark.registered.lock().front = Front::Waits;
            let closed = scope.spawn(|| mark.wait_past_behind(2, || false));
            mark.close();
            assert!(!closed.join().unwrap());
        });
    }

    #[test]
    fn who_was_in_front_is_so_no_longer() {
        let mark = Watermark::default();
        let soon = Some(Instant::now() + Duration::from_millis(1));
        assert!(!mark.wait_past_in_front(0, soon, || false));
        assert_eq!((mark.registered.lock().front, mark.waiters()), (Front::Absent, 0));
        std::thread::scope(|scope| {
            let front = scope.spawn(|| mark.wait_past_in_front(0, None, || false));
            while !mark.is_waited_for_in_front() {
                std::thread::yield_now();
            }
            mark.advance(1);
            assert!(front.join().unwrap());
        });
        assert_eq!((mark.registered.lock().front, mark.waiters()), (Front::Absent, 0));
    }

    struct Counter(AtomicUsize);

    impl std::task::Wake for Counter {
        fn wake(self: Arc<Self>) {
            assert!(self.0.fetch_add(1, Ordering::Relaxed) < 10, "a waker's own fault");
        }
    }

    fn waker(count: usize) -> (Arc<Counter>, Waker) {
        let counter = Arc::new(Counter(AtomicUsize::new(count)));
        (Arc::clone(&counter), Waker::from(counter))
    }

    #[test]
    fn a_task_is_woken_once_when_the_position_is_exceeded() {
        let mark = Arc::new(Watermark::default());
        let (woken, waker) = waker(0);
        let count = || woken.0.load(Ordering::Relaxed);
        let first = mark.register(4, waker.clone()).unwrap();
        let second = mark.register(5, waker.clone()).unwrap();
        mark.advance(4);
        assert_eq!((count(), mark.waiters()), (0, 2));
        mark.advance(5);
        assert_eq!((count(), mark.waiters()), (1, 1));
        assert!(mark.register(4, waker.clone()).is_none());
        drop(first);
        assert_eq!(mark.waiters(), 1);
        drop(second);
        mark.advance(9);
        assert_eq!((count(), mark.waiters()), (1, 0));
        let third = mark.register(u64::MAX, waker.clone()).unwrap();
        mark.close();
        assert_eq!((count(), mark.waiters()), (2, 0));
        assert!(mark.register(u64::MAX, waker).is_none());
        drop(third);
    }

    #[test]
    fn a_waker_that_panics_keeps_nobody_from_being_woken() {
        let mark = Arc::new(Watermark::default());
        let ((_, bad), (woken, good)) = (waker(10), waker(0));
        let waiting = [bad, good].map(|waker| mark.register(0, waker).unwrap());
        mark.advance(1);
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        assert_eq!(mark.waiters(), 0);
        drop(waiting);
    }

    /// A task that looks, registers and sleeps until woken misses no move.
    #[test]
    fn no_move_is_missed_by_a_task() {
        struct Unpark(std::thread::Thread);
        impl std::task::Wake for Unpark {
            fn wake(self: Arc<Self>) {
                self.0.unpark();
            }
        }
        const MOVES: u64 = 20_000;
        const PATIENCE: std::time::Duration = std::time::Duration::from_secs(20);
        let mark = Arc::new(Watermark::default());
        let seen = AtomicU64::new(0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
                for position in 0..MOVES {
                    seen.store(position, Ordering::Release);
                    while mark.get() <= position {
                        if let Some(_registration) = mark.register(position, waker.clone()) {
                            let slept = Instant::now();
                            std::thread::park_timeout(PATIENCE);
                            assert!(slept.elapsed() < PATIENCE, "a wakeup was lost");
                        }
                    }
                }
            });
            // Each move comes about when the task is looking or registering.
            for value in 1..=MOVES {
                while seen.load(Ordering::Acquire) + 1 < value {
                    std::hint::spin_loop();
                }
                (0..value % 200).for_each(|_| std::hint::spin_loop());
                mark.advance(value);
            }
        });
        assert_eq!(mark.waiters(), 0);
    }
}
