//! Diagnostics: from the engine's `tracing` events to a function of the host.

use std::cell::Cell;
use std::ffi::c_void;
use std::fmt::{self, Write};
use std::sync::{Once, PoisonError, RwLock};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};

use crate::boundary::invalid;
use crate::status::cairn_status;
use crate::text::cairn_str;

/// How important a diagnostic message is. A higher number is a less important one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum cairn_log_level {
    /// None at all; as a limit only.
    Off = 0,
    /// Something failed and somebody has to act.
    Error = 1,
    /// Something is wrong, and work goes on.
    Warn = 2,
    /// A step that an operator wants to know of: opened, recovered, closed.
    Info = 3,
    /// For finding faults.
    Debug = 4,
    /// Everything.
    Trace = 5,
}

/// Takes diagnostic messages, on any thread and on several at once, any number of times.
///
/// `level` is a `cairn_log_level`, `target` the part of the library that speaks, `message` one
/// line. Both texts are borrowed for the call. It must not call `cairn_set_log_callback`, close or
/// free a store, and must not leave by an exception or `longjmp`; what other calls on cairnlog
/// report while it runs is dropped.
pub type cairn_log_callback = Option<
    unsafe extern "C" fn(level: i32, target: cairn_str, message: cairn_str, user_data: *mut c_void),
>;

type LogFunction = unsafe extern "C" fn(i32, cairn_str, cairn_str, *mut c_void);

#[derive(Clone, Copy)]
struct Destination {
    function: LogFunction,
    user_data: *mut c_void,
    max_level: i32,
}

// SAFETY: the caller of `cairn_set_log_callback` promises that the function may be called with its
// `user_data` on any thread.
unsafe impl Send for Destination {}
// SAFETY: as above, and on several threads at once.
unsafe impl Sync for Destination {}

static DESTINATION: RwLock<Option<Destination>> = RwLock::new(None);

thread_local! {
    /// Whether this thread is inside the function: it must not be called from itself, nor may the
    /// lock be taken twice.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Sends diagnostics of the whole process to a function, in place of the one before; null for none.
/// When this returns, the one before is not running and will not be called again.
///
/// `max_level` is the least important `cairn_log_level` wanted. Gives
/// `CAIRN_STATUS_INVALID_ARGUMENT` for a number that is none, or when called from such a function.
///
/// # Safety
/// - `callback` is null, or may be called with `user_data` from any thread, on several at once,
///   until it is replaced.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_set_log_callback(
    callback: cairn_log_callback,
    user_data: *mut c_void,
    max_level: i32,
) -> cairn_status {
    boundary!({
        let levels = cairn_log_level::Off as i32..=cairn_log_level::Trace as i32;
        if !levels.contains(&max_level) {
            return Err(invalid("there is no such log level").expected("0 to 5", max_level));
        }
        if INSIDE.get() {
            return Err(invalid("a log callback cannot replace itself"));
        }
        install();
        let destination = callback.map(|function| Destination { function, user_data, max_level });
        *DESTINATION.write().unwrap_or_else(PoisonError::into_inner) = destination;
        Ok(())
    })
}

/// Makes [`Forwarder`] the receiver of this library's events, once. The receiver is the library's
/// own: other Rust code in the process has another copy of `tracing`.
fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Fails only if there is a receiver already, and nobody else in this library sets one.
        let _ = tracing::subscriber::set_global_default(Forwarder);
    });
}

fn number(level: Level) -> i32 {
    let level = match level {
        Level::ERROR => cairn_log_level::Error,
        Level::WARN => cairn_log_level::Warn,
        Level::INFO => cairn_log_level::Info,
        Level::DEBUG => cairn_log_level::Debug,
        Level::TRACE => cairn_log_level::Trace,
    };
    level as i32
}

/// The receiver of the engine's events.
struct Forwarder;

impl Subscriber for Forwarder {
    fn register_callsite(&self, _metadata: &'static Metadata<'static>) -> Interest {
        // The limit may change at any time, so each event asks.
        Interest::sometimes()
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        if INSIDE.get() {
            return false;
        }
        let destination = DESTINATION.read().unwrap_or_else(PoisonError::into_inner);
        destination.is_some_and(|to| number(*metadata.level()) <= to.max_level)
    }

    fn event(&self, event: &Event<'_>) {
        if INSIDE.get() {
            return;
        }
        let level = number(*event.metadata().level());
        let mut text = EventText::default();
        event.record(&mut text);
        let message = text.finish();
        let destination = DESTINATION.read().unwrap_or_else(PoisonError::into_inner);
        let Some(to) = destination.filter(|to| level <= to.max_level) else {
            return;
        };
        let target = cairn_str::of(event.metadata().target().as_bytes());
        let message = cairn_str::of(message.as_bytes());
        INSIDE.set(true);
        // SAFETY: the caller of `cairn_set_log_callback` promised that it may be called so, and the
        // lock is held, so it was not replaced yet.
        unsafe { (to.function)(level, target, message, to.user_data) };
        INSIDE.set(false);
    }

    fn new_span(&self, _attributes: &Attributes<'_>) -> Id {
        // Spans are not passed on, so one number does for all.
        Id::from_u64(1)
    }

    fn record(&self, _span: &Id, _values: &Record<'_>) {}

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn enter(&self, _span: &Id) {}

    fn exit(&self, _span: &Id) {}
}

/// An event in one line: the message, then its fields as `name=value`.
#[derive(Default)]
struct EventText {
    message: String,
    fields: String,
}

impl EventText {
    fn finish(mut self) -> String {
        self.message.push_str(&self.fields);
        self.message
    }
}

impl Visit for EventText {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a String cannot fail.
        let _ = if field.name() == "message" {
            write!(self.message, "{value:?}")
        } else {
            write!(self.fields, " {}={value:?}", field.name())
        };
    }
}
