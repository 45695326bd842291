//! Threads of the store: one mutex and condition variable each, so that no wakeup is lost.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::status::Status;
use crate::sync::thread::{self, Builder, JoinHandle, ThreadId};
use crate::sync::{Condvar, Mutex};
use crate::sys::forked_while_open;

/// Why a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wake {
    /// Somebody called [`Signal::wakeup`] since the last wait ended.
    Notified,
    /// The time ran out.
    TimedOut,
    /// The service is to end.
    Stopped,
}

#[derive(Debug, Default)]
struct SignalState {
    notified: bool,
    stopped: bool,
}

/// What a service waits on and others wake it by. Wakeups while it works collapse into one, which
/// ends its next wait at once.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    state: Mutex<SignalState>,
    changed: Condvar,
}

impl Signal {
    /// Asks for a run.
    pub(crate) fn wakeup(&self) {
        let mut state = self.state.lock();
        if !state.notified {
            state.notified = true;
            self.changed.notify_one();
        }
    }

    /// Asks the service to end.
    pub(crate) fn stop(&self) {
        self.state.lock().stopped = true;
        self.changed.notify_one();
    }

    /// Waits for `limit` whether somebody calls or not. True, at once, if the service is to end.
    pub(crate) fn rest(&self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        let mut state = self.state.lock();
        while !state.stopped && !self.changed.wait_until(&mut state, deadline).timed_out() {}
        state.stopped
    }

    /// Waits for a wakeup, at most for `limit` if there is one.
    pub(crate) fn wait(&self, limit: Option<Duration>) -> Wake {
        let deadline = limit.map(|limit| Instant::now() + limit);
        let mut state = self.state.lock();
        loop {
            if state.notified {
                state.notified = false;
                return Wake::Notified;
            }
            if state.stopped {
                return Wake::Stopped;
            }
            match deadline {
                None => self.changed.wait(&mut state),
                Some(deadline) => {
                    if self.changed.wait_until(&mut state, deadline).timed_out() {
                        let notified = std::mem::take(&mut state.notified);
                        return match (notified, state.stopped) {
                            (true, _) => Wake::Notified,
                            (false, true) => Wake::Stopped,
                            (false, false) => Wake::TimedOut,
                        };
                    }
                }
            }
        }
    }
}

/// A running service; ends when told to, and is joined.
#[derive(Debug)]
pub(crate) struct ServiceThread {
    signal: Arc<Signal>,
    id: ThreadId,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl ServiceThread {
    /// Starts a thread named `name`. When `body` panics, `on_panic` is told, with the message.
    pub(crate) fn start(
        name: &str,
        signal: Arc<Signal>,
        body: impl FnOnce(&Signal) + Send + 'static,
        on_panic: impl FnOnce(String) + Send + 'static,
    ) -> Result<Self> {
        let shared = Arc::clone(&signal);
        let thread = Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                if let Err(cause) = catch_unwind(AssertUnwindSafe(|| body(&shared))) {
                    on_panic(panic_message(cause));
                }
            })
            .map_err(|source| {
                Error::io(format!("cannot start the thread {name}"), source)
                    .with_status(Status::OutOfMemory)
            })?;
        Ok(Self { signal, id: thread.thread().id(), thread: Mutex::new(Some(thread)) })
    }

    /// Whether the service itself asks.
    pub(crate) fn is_current(&self) -> bool {
        thread::current().id() == self.id
    }

    /// Tells the service to end.
    pub(crate) fn stop(&self) {
        self.signal.stop();
    }

    /// Tells the service to end and waits until it has, whoever else waits for that. Does not wait
    /// when the service itself calls it.
    pub(crate) fn stop_and_join(&self) {
        self.signal.stop();
        if self.is_current() {
            return;
        }
        // Others who want to wait do so for the lock.
        let mut thread = self.thread.lock();
        if let Some(thread) = thread.take() {
            // The thread catches its panics, so there is no error to see here.
            let _ = thread.join();
        }
    }
}

impl Drop for ServiceThread {
    /// Ends the service of a store that did not come to be opened. One that was opened has ended
    /// its services before; in a forked child they are the parent's.
    fn drop(&mut self) {
        if !forked_while_open() {
            self.stop_and_join();
        }
    }
}

/// How often a panic's drop may panic in turn.
const MOST_PANICS: usize = 3;

/// The text of a panic. What the panic carried is dropped, and may panic at that once more: where
/// the engine calls others, it is theirs. Not to be called in the arguments of a `tracing` macro,
/// which are not looked at when nobody listens.
pub(crate) fn panic_message(cause: Box<dyn Any + Send>) -> String {
    let text = cause.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| cause.downcast_ref::<String>().cloned());
    let mut carried = Some(cause);
    for _ in 0..MOST_PANICS {
        let Some(cause) = carried.take() else { break };
        carried = catch_unwind(AssertUnwindSafe(|| drop(cause))).err();
    }
    // One that goes on like that is left alone.
    std::mem::forget(carried);
    text.unwrap_or_else(|| "a panic without a message".to_owned())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// A wakeup that came while the service worked must end its next wait at once: in RocketMQ's
    /// ServiceThread one that arrived between the failed flag test and the latch reset was lost,
    /// and the service slept its full interval (F12).
    #[test]
    fn f12_no_wakeup_is_lost() {
        let signal = Arc::new(Signal::default());
        let (ran, runs) = mpsc::channel();
        let thread = ServiceThread::start(
            "test",
            Arc::clone(&signal),
            move |signal| while signal.wait(None) == Wake::Notified && ran.send(()).is_ok() {},
            |_| {},
        )
        .unwrap();
        for _ in 0..20_000 {
            signal.wakeup();
            runs.recv_timeout(Duration::from_secs(10)).expect("the wakeup was lost");
        }
        thread.stop_and_join();
    }

    #[test]
    fn a_wakeup_before_the_stop_is_still_served() {
        let signal = Signal::default();
        signal.wakeup();
        signal.stop();
        assert_eq!(signal.wait(None), Wake::Notified);
        assert_eq!(signal.wait(None), Wake::Stopped);
        let signal = Signal::default();
        assert_eq!(signal.wait(Some(Duration::from_millis(1))), Wake::TimedOut);
    }

    /// What a waker or a listener panicked with was never dropped, a little memory each time; and
    /// of that of a consumer's listener or of a checker the drop was unguarded, so that one which
    /// panics ended their thread.
    #[test]
    fn what_a_panic_carried_is_dropped_even_if_that_panics() {
        struct Carried {
            again: bool,
            _held: Arc<()>,
        }
        impl Drop for Carried {
            fn drop(&mut self) {
                assert!(!self.again, "once more");
            }
        }
        for again in [false, true] {
            let held = Arc::new(());
            let carried = Carried { again, _held: Arc::clone(&held) };
            let cause = catch_unwind(AssertUnwindSafe(|| std::panic::panic_any(carried)));
            assert_eq!(panic_message(cause.unwrap_err()), "a panic without a message");
            assert_eq!(Arc::strong_count(&held), 1, "it was not dropped");
        }
    }

    #[test]
    fn a_panic_is_told() {
        let (told, panics) = mpsc::channel();
        let thread = ServiceThread::start(
            "test",
            Arc::default(),
            |_| panic!("on purpose"),
            move |message| told.send(message).unwrap(),
        )
        .unwrap();
        assert_eq!(panics.recv().unwrap(), "on purpose");
        thread.stop_and_join();
    }
}
