//! The appends of one thread that wait for their acknowledgement.

use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use cairnlog::{Completion, CompletionSink};

/// How often a waiting thread looks whether it is to stop.
const LOOK: Duration = Duration::from_millis(50);

/// One append on its way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct InFlight {
    /// The number of its input line.
    pub(crate) line: u64,
    /// The bytes of its body.
    pub(crate) body_bytes: u64,
    /// When it was handed over.
    pub(crate) started: Instant,
}

struct Slots {
    in_flight: Vec<Option<InFlight>>,
    free: Vec<usize>,
}

/// A fixed number of places for appends on their way; an append's token is its place.
pub(crate) struct Window {
    slots: Mutex<Slots>,
    freed: Condvar,
}

impl Window {
    /// A window of this many places, all free.
    pub(crate) fn new(size: usize) -> Arc<Self> {
        Arc::new(Self {
            slots: Mutex::new(Slots {
                in_flight: vec![None; size],
                free: (0..size).rev().collect(),
            }),
            freed: Condvar::new(),
        })
    }

    /// Takes a place, waiting for one as long as `goes_on` says so.
    pub(crate) fn take(&self, append: InFlight, goes_on: impl Fn() -> bool) -> Option<u64> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(slot) = slots.free.pop() {
                if let Some(place) = slots.in_flight.get_mut(slot) {
                    *place = Some(append);
                }
                return Some(slot as u64);
            }
            if !goes_on() {
                return None;
            }
            slots = self.freed.wait_timeout(slots, LOOK).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Gives a place back and returns what was there.
    pub(crate) fn give_back(&self, token: u64) -> Option<InFlight> {
        let slot = usize::try_from(token).ok()?;
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let append = slots.in_flight.get_mut(slot)?.take()?;
        slots.free.push(slot);
        drop(slots);
        self.freed.notify_one();
        Some(append)
    }

    /// Waits until every place is free, as long as `goes_on` says so.
    pub(crate) fn drain(&self, goes_on: impl Fn() -> bool) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        while slots.free.len() < slots.in_flight.len() && goes_on() {
            slots = self.freed.wait_timeout(slots, LOOK).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// What the acknowledging thread is told.
pub(crate) enum Event {
    /// Appends of this window were completed at this time.
    Completed(Arc<Window>, Vec<Completion>, Instant),
    /// There will be no more.
    End,
}

/// Passes completions on, so that the store's thread never waits for an output.
pub(crate) struct Sink {
    /// The window the tokens belong to.
    pub(crate) window: Arc<Window>,
    /// Where they go.
    pub(crate) events: Mutex<Sender<Event>>,
}

impl CompletionSink for Sink {
    fn complete(&self, group: Vec<Completion>) {
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        // Nobody listens any more only after the command gave up.
        let _ = events.send(Event::Completed(Arc::clone(&self.window), group, Instant::now()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn append(line: u64) -> InFlight {
        InFlight { line, body_bytes: 1, started: Instant::now() }
    }

    #[test]
    fn a_full_window_waits_and_a_free_one_does_not() {
        let window = Window::new(2);
        let first = window.take(append(1), || true).unwrap();
        let second = window.take(append(2), || true).unwrap();
        assert_ne!(first, second);
        assert_eq!(window.take(append(3), || false), None);
        assert_eq!(window.give_back(second).unwrap().line, 2);
        assert!(window.give_back(second).is_none());
        assert_eq!(window.take(append(3), || false), Some(second));
        let other = Arc::clone(&window);
        let waiter = std::thread::spawn(move || other.take(append(4), || true));
        window.give_back(first);
        assert_eq!(waiter.join().unwrap(), Some(first));
    }
}
