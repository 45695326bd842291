//! Who waits for messages, and the one of them that dispatches meanwhile.
//!
//! A thread that waits for messages has nothing else to do. One of those who wait takes the place
//! of the dispatcher's thread until its own message came: an append then wakes the reader itself,
//! and not a thread that wakes the reader. The dispatcher's thread sleeps on meanwhile, and takes
//! over when the reader leaves something undone, or does not come.

use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::Dispatcher;
use crate::error::{Error, Result};
use crate::service::panic_message;
use crate::status::Status;
use crate::watermark::Watermark;

/// A caller that waits for messages.
#[derive(Debug)]
pub(crate) struct Watching<D: Deref<Target = Dispatcher>>(D);

impl<D: Deref<Target = Dispatcher>> Drop for Watching<D> {
    fn drop(&mut self) {
        self.0.watchers.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The right to dispatch in the place of the dispatcher's thread.
struct StandIn<'d>(&'d Dispatcher);

impl Drop for StandIn<'_> {
    fn drop(&mut self) {
        let dispatcher = self.0;
        dispatcher.standing_in.store(false, Ordering::Release);
        if dispatcher.dispatched.get() < dispatcher.limit().get() {
            dispatcher.limit().interrupt();
        }
    }
}

impl Dispatcher {
    /// Counts a caller that waits for messages, and has no thread to wait with, until the guard is
    /// dropped.
    pub(crate) fn watch_shared(self: &Arc<Self>) -> Watching<Arc<Self>> {
        self.watchers.fetch_add(1, Ordering::Relaxed);
        Watching(Arc::clone(self))
    }

    pub(super) fn is_watched(&self) -> bool {
        self.watchers.load(Ordering::Relaxed) > 0
    }

    /// Whether a reader waits for more to dispatch while the thread sleeps.
    #[cfg(test)]
    pub(crate) fn is_stood_in_for(&self) -> bool {
        self.limit().is_waited_for_in_front() && self.limit().waiters() == 2
    }

    /// Makes everybody who waits look whether to give up.
    pub(crate) fn interrupt(&self) {
        self.interrupts.fetch_add(1, Ordering::AcqRel);
        self.limit().interrupt();
        self.dispatched.interrupt();
    }

    /// Waits until `mark`, which the dispatcher moves, exceeds `position`; dispatches meanwhile if
    /// nobody else does. False when the deadline passed, the mark was closed, or `give_up` said so.
    /// That is asked anew after each [`Dispatcher::interrupt`] by those whose mark is the
    /// dispatcher's position.
    pub(crate) fn wait_past(
        &self,
        mark: &Watermark,
        position: u64,
        deadline: Option<Instant>,
        give_up: impl Fn() -> bool,
    ) -> bool {
        if mark.get() > position {
            return true;
        }
        self.watchers.fetch_add(1, Ordering::Relaxed);
        let _watching = Watching(self);
        if let Some(_stand_in) = self.stand_in() {
            self.dispatch_until(mark, position, deadline, &give_up);
        }
        mark.wait_past_unless(position, deadline, give_up)
    }

    /// The right to dispatch, if nobody has it. What cannot be written is tried again by the thread
    /// alone.
    fn stand_in(&self) -> Option<StandIn<'_>> {
        if self.blocked.lock().is_some() {
            return None;
        }
        let taken = self.standing_in.swap(true, Ordering::Acquire);
        (!taken).then_some(StandIn(self))
    }

    /// Dispatches what comes until `mark` exceeds `position` or there is a reason to stop.
    fn dispatch_until(
        &self,
        mark: &Watermark,
        position: u64,
        deadline: Option<Instant>,
        give_up: &impl Fn() -> bool,
    ) {
        loop {
            let seen = self.interrupts.load(Ordering::Acquire);
            // Read before the mark: whoever dispatches moves the mark first.
            let done = self.dispatched.get();
            if mark.get() > position || mark.is_closed() || self.is_stopping() || give_up() {
                return;
            }
            let limit = self.limit().get();
            if done < limit {
                if self.dispatch_for_thread(limit).is_err() {
                    return;
                }
            } else {
                // What `give_up` does is not known; under the lock of the position it is not asked.
                let stop = || self.is_stopping() || self.interrupts.load(Ordering::Acquire) != seen;
                self.limit().wait_past_in_front(done, deadline, stop);
            }
            if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                return;
            }
        }
    }

    /// Dispatches a batch, unless the thread is to end. What a panic leaves is the thread's to take
    /// up.
    fn dispatch_for_thread(&self, limit: u64) -> Result<()> {
        let run = || {
            let work = self.work.lock();
            if self.is_stopping() { Ok(()) } else { self.run(work, limit, None) }
        };
        let outcome = catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|cause| {
            let message = panic_message(cause);
            self.parts.fence.close_after_panic("a reader that dispatched", &message);
            Err(Error::new(Status::Internal, "dispatching panicked"))
        });
        if outcome.is_ok() {
            self.parts.flush.wakeup();
        }
        outcome
    }
}
