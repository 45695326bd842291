//! The one way from Python into a call that can wait: detached from the interpreter, in slices,
//! with a look for signals between them, so that Ctrl-C works and other threads run.

use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use cairnlog::Pending;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::errors::OrRaise;

/// The longest time between two looks for signals.
pub(crate) const SLICE: Duration = Duration::from_millis(100);

/// Runs a call that takes a bounded time, detached from the interpreter.
pub(crate) fn run<T: Send>(py: Python<'_>, call: impl FnOnce() -> T + Send) -> T {
    py.detach(call)
}

/// Runs `step` detached with slices of at most [`SLICE`] until it returns something or a signal
/// handler raises, as Ctrl-C does.
pub(crate) fn wait<T: Send>(
    py: Python<'_>,
    mut step: impl FnMut(Duration) -> Option<T> + Send,
) -> PyResult<T> {
    loop {
        if let Some(outcome) = py.detach(|| step(SLICE)) {
            return Ok(outcome);
        }
        py.check_signals()?;
    }
}

/// As [`wait`] with a limit: `None` when the time ran out. The step is tried at least once.
pub(crate) fn wait_until<T: Send>(
    py: Python<'_>,
    limit: Limit,
    mut step: impl FnMut(Duration) -> Option<T> + Send,
) -> PyResult<Option<T>> {
    loop {
        let slice = limit.slice();
        if let Some(outcome) = py.detach(|| step(slice)) {
            return Ok(Some(outcome));
        }
        py.check_signals()?;
        if limit.remaining() == Some(Duration::ZERO) {
            return Ok(None);
        }
    }
}

/// As [`wait_until`] for a call of the engine that says whether something happened in time.
pub(crate) fn wait_for(
    py: Python<'_>,
    limit: Limit,
    mut call: impl FnMut(Duration) -> cairnlog::Result<bool> + Send,
) -> PyResult<bool> {
    let happened = wait_until(py, limit, |slice| match call(slice) {
        Ok(false) => None,
        outcome => Some(outcome),
    })?;
    happened.unwrap_or(Ok(false)).or_raise(py)
}

/// What the engine's `begin_` calls return.
pub(crate) type Begun<T> = cairnlog::Result<(T, Pending)>;

/// Begins an append and waits for its acknowledgement, both detached from the interpreter; the
/// first slice of the wait needs no second detaching.
pub(crate) fn acknowledged<T: Copy + Send>(
    py: Python<'_>,
    begin: impl FnOnce() -> Begun<T> + Send,
) -> PyResult<T> {
    let begun = run(py, || {
        let begun = begin();
        // What is over needs no more than its value to come back, which is copied from where it
        // lies: to move the rest with it waits until all of it is stored.
        if let Ok((value, pending)) = &begun
            && let Some(outcome) = pending.wait_for(SLICE)
        {
            return outcome.map(|()| (*value, None));
        }
        begun.map(|(value, pending)| (value, Some(Box::new(pending))))
    });
    let (value, pending) = begun.or_raise(py)?;
    if let Some(pending) = pending {
        finish(py, &pending, None)?;
    }
    Ok(value)
}

/// Waits for the rest of an append or flush whose first slice gave `first`.
pub(crate) fn finish(
    py: Python<'_>,
    pending: &Pending,
    first: Option<cairnlog::Result<()>>,
) -> PyResult<()> {
    if let Some(outcome) = first {
        return outcome.or_raise(py);
    }
    py.check_signals()?;
    wait(py, |slice| pending.wait_for(slice))?.or_raise(py)
}

/// Runs a call that offers no slices on a thread of its own and waits for it as [`wait`] does.
///
/// When a signal handler raises, the call goes on and its outcome is dropped on that thread.
pub(crate) fn run_apart<T: Send + 'static>(
    py: Python<'_>,
    call: impl FnOnce() -> T + Send + 'static,
) -> PyResult<T> {
    let (sender, receiver) = sync_channel(1);
    let thread = std::thread::Builder::new()
        .name("cairnlog-call".to_owned())
        .spawn(move || drop(sender.send(call())))?;
    let receiver = std::sync::Mutex::new(receiver);
    let outcome = wait(py, |slice| {
        let receiver = receiver.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match receiver.recv_timeout(slice) {
            Ok(outcome) => Some(Some(outcome)),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => Some(None),
        }
    })?;
    match (outcome, thread.join()) {
        (Some(outcome), _) => Ok(outcome),
        (None, Err(panic)) => std::panic::resume_unwind(panic),
        (None, Ok(())) => Err(pyo3::exceptions::PyRuntimeError::new_err(
            "the thread of a call ended without an outcome",
        )),
    }
}

/// When a wait ends; without end if `None`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limit(Option<Instant>);

impl Limit {
    /// A limit from now on; a time too long to count is no limit.
    pub(crate) fn after(timeout: Option<Duration>) -> Self {
        Self(timeout.and_then(|timeout| Instant::now().checked_add(timeout)))
    }

    /// What is left, zero once it is over; `None` without an end.
    pub(crate) fn remaining(self) -> Option<Duration> {
        self.0.map(|end| end.saturating_duration_since(Instant::now()))
    }

    /// How long to wait until signals are looked for again.
    pub(crate) fn slice(self) -> Duration {
        self.remaining().map_or(SLICE, |rest| rest.min(SLICE))
    }
}

/// A Python timeout in seconds; `None` means without end.
pub(crate) fn timeout(seconds: Option<f64>) -> PyResult<Option<Duration>> {
    let Some(seconds) = seconds else {
        return Ok(None);
    };
    if seconds.is_nan() || seconds < 0.0 {
        return Err(PyValueError::new_err(format!(
            "a timeout is a number of seconds from 0 on: found {seconds}"
        )));
    }
    Ok(Duration::try_from_secs_f64(seconds).ok())
}
