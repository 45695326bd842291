//! The engine's diagnostics on their way to Python's `logging`.
//!
//! Engine threads only put a line into a bounded queue and never touch the interpreter: they may
//! hold locks of the engine. A thread of the package (`cairnlog._diagnostics`) takes the lines out
//! and logs them. When the queue is full, lines are counted and dropped.

use std::collections::VecDeque;
use std::fmt::{self, Write as _};
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pyo3::prelude::*;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::blocking;

/// Lines kept for the forwarding thread.
const MAX_QUEUED_LINES: usize = 4096;
/// `logging.WARNING`, the level of a logger that nobody set up.
const WARNING: i32 = 30;

/// Level of Python's `logging`, target and text.
type Line = (i32, &'static str, String);

struct Queue {
    lines: VecDeque<Line>,
    stopped: bool,
}

static QUEUE: Mutex<Queue> = Mutex::new(Queue { lines: VecDeque::new(), stopped: false });
static ARRIVED: Condvar = Condvar::new();
static DROPPED: AtomicU64 = AtomicU64::new(0);
static LEVEL: AtomicI32 = AtomicI32::new(WARNING);

/// Python's number for a level; TRACE, which `logging` does not have, lies below DEBUG.
fn python_level(level: &Level) -> i32 {
    match *level {
        Level::ERROR => 40,
        Level::WARN => WARNING,
        Level::INFO => 20,
        Level::DEBUG => 10,
        Level::TRACE => 5,
    }
}

/// Puts the engine's events into the queue; spans are not kept.
struct Forwarder;

impl Subscriber for Forwarder {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && python_level(metadata.level()) >= LEVEL.load(Ordering::Relaxed)
    }

    fn register_callsite(&self, _: &'static Metadata<'static>) -> tracing::subscriber::Interest {
        tracing::subscriber::Interest::sometimes()
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut text = Text::default();
        event.record(&mut text);
        let metadata = event.metadata();
        push((python_level(metadata.level()), metadata.target(), text.finish()));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

fn push(line: Line) {
    let mut queue = lock();
    if queue.stopped || queue.lines.len() >= MAX_QUEUED_LINES {
        DROPPED.fetch_add(1, Ordering::Relaxed);
        return;
    }
    queue.lines.push_back(line);
    drop(queue);
    ARRIVED.notify_one();
}

/// The message of an event and its fields, as `message (name=value, name=value)`.
#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Text {
    fn finish(mut self) -> String {
        if !self.fields.is_empty() {
            let separator = if self.message.is_empty() { "" } else { " " };
            let _ = write!(self.message, "{separator}({})", self.fields);
        }
        self.message
    }
}

impl Visit for Text {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.message.push_str(value);
        } else {
            self.record_debug(field, &value);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let written = if field.name() == "message" {
            write!(self.message, "{value:?}")
        } else {
            let separator = if self.fields.is_empty() { "" } else { ", " };
            write!(self.fields, "{separator}{}={value:?}", field.name())
        };
        // A value that cannot be written leaves its place empty.
        let _ = written;
    }
}

/// Makes this module's forwarding the engine's, once per process.
pub(crate) fn install() {
    // It fails only if it was done before, by an earlier import of this module.
    let _ = tracing::subscriber::set_global_default(Forwarder);
}

/// The queue, held for moments only and never while waiting for the interpreter.
fn lock() -> MutexGuard<'static, Queue> {
    QUEUE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The queue held by a thread that forks.
pub(crate) struct Held {
    _queue: MutexGuard<'static, Queue>,
}

/// Holds the queue until the result is dropped.
pub(crate) fn hold() -> Held {
    Held { _queue: lock() }
}

/// Sets the level, as a number of `logging`, below which the engine's diagnostics are not made.
#[pyfunction]
pub(crate) fn set_diagnostics_level(level: i32) {
    LEVEL.store(level, Ordering::Relaxed);
}

/// Waits at most `timeout` seconds for diagnostics. Returns them as (level, target, text), with the
/// number of those dropped since the last call; None once `stop_diagnostics` was called and
/// nothing is left.
#[pyfunction]
pub(crate) fn next_diagnostics(py: Python<'_>, timeout: f64) -> PyResult<Option<(Vec<Line>, u64)>> {
    let timeout = blocking::timeout(Some(timeout))?.unwrap_or_default();
    // The package calls this on a thread of its own, which gets no signals: one slice will do.
    let taken = blocking::run(py, || take(timeout));
    let dropped = DROPPED.swap(0, Ordering::Relaxed);
    Ok(taken.map(|lines| (lines, dropped)))
}

/// What is queued, after at most one wait; `None` when stopped and empty.
fn take(timeout: Duration) -> Option<Vec<Line>> {
    let mut queue = lock();
    if queue.lines.is_empty() && !queue.stopped {
        let waited = ARRIVED.wait_timeout(queue, timeout);
        queue = waited.unwrap_or_else(PoisonError::into_inner).0;
    }
    let stopped = queue.lines.is_empty() && queue.stopped;
    (!stopped).then(|| queue.lines.drain(..).collect())
}

/// Ends the forwarding: what is queued is still handed out, nothing new is taken.
#[pyfunction]
pub(crate) fn stop_diagnostics(py: Python<'_>) {
    blocking::run(py, || lock().stopped = true);
    ARRIVED.notify_all();
}
