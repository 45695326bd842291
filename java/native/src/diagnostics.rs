//! What the engine says through `tracing`, on its way to `System.Logger`.
//!
//! Events go to a queue of fixed length that never makes the engine wait: what finds it full is
//! counted and left out. One daemon thread of the Java package takes them off.

use std::fmt::{Debug, Write};
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{LazyLock, Mutex, PoisonError};

use jni::Env;
use jni::objects::{JByteArray, JClass};
use jni::sys::jint;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::boundary::Outcome;
use crate::wire::Writer;

/// Events that wait for the Java thread, at most.
const QUEUE_LENGTH: usize = 1024;
/// Events taken off the queue in one call, at most.
const MAX_EVENTS_PER_CALL: usize = 256;

/// One event, as text.
struct Diagnostic {
    level: i32,
    target: &'static str,
    text: String,
}

struct Queue {
    sender: SyncSender<Diagnostic>,
    receiver: Mutex<Receiver<Diagnostic>>,
}

static QUEUE: LazyLock<Queue> = LazyLock::new(|| {
    let (sender, receiver) = sync_channel(QUEUE_LENGTH);
    Queue { sender, receiver: Mutex::new(receiver) }
});

/// Events that found the queue full.
static LEFT_OUT: AtomicU64 = AtomicU64::new(0);
/// The least severe level that Java wants: 1 for errors to 5 for traces, 0 for nothing.
static MAX_LEVEL: AtomicI32 = AtomicI32::new(0);

fn number_of(level: Level) -> i32 {
    match level {
        Level::ERROR => 1,
        Level::WARN => 2,
        Level::INFO => 3,
        Level::DEBUG => 4,
        Level::TRACE => 5,
    }
}

/// Collects the message and the fields of an event: `message name=value ...`.
#[derive(Default)]
struct EventText(String);

impl Visit for EventText {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // Writing to a String cannot fail.
        if field.name() == "message" {
            let mut message = format!("{value:?}");
            if !self.0.is_empty() {
                message.push(' ');
            }
            self.0.insert_str(0, &message);
        } else {
            let space = if self.0.is_empty() { "" } else { " " };
            let _ = write!(self.0, "{space}{}={value:?}", field.name());
        }
    }
}

struct JavaSubscriber;

impl Subscriber for JavaSubscriber {
    fn register_callsite(
        &self,
        _metadata: &'static Metadata<'static>,
    ) -> tracing::subscriber::Interest {
        // Java may change its level at any time, so no answer may be kept.
        tracing::subscriber::Interest::sometimes()
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && number_of(*metadata.level()) <= MAX_LEVEL.load(Ordering::Relaxed)
    }

    fn new_span(&self, _span: &Attributes<'_>) -> Id {
        // Spans are not enabled; an id is asked for nevertheless when one is made by force.
        Id::from_u64(1)
    }

    fn record(&self, _span: &Id, _values: &Record<'_>) {}

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut text = EventText::default();
        event.record(&mut text);
        let diagnostic = Diagnostic {
            level: number_of(*event.metadata().level()),
            target: event.metadata().target(),
            text: text.0,
        };
        if QUEUE.sender.try_send(diagnostic).is_err() {
            LEFT_OUT.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn enter(&self, _span: &Id) {}

    fn exit(&self, _span: &Id) {}
}

/// Makes this library's events, and the text of its panics, go to Java; called once, when the
/// natives are registered.
pub(crate) fn install() {
    // The library carries its own copy of `tracing`, so nobody else can have set a subscriber.
    let _ = tracing::subscriber::set_global_default(JavaSubscriber);
    // The same is true of the standard library and its hook, which would print.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let text = panic.payload_as_str().unwrap_or("no text");
        tracing::error!(place, "cairnlog panicked: {text}");
    }));
}

pub(crate) fn set_diagnostics_level<'local>(
    _env: &mut Env<'local>,
    _class: JClass<'local>,
    level: jint,
) -> Outcome<()> {
    MAX_LEVEL.store(level, Ordering::Relaxed);
    Ok(())
}

/// Waits for events and returns all that are there: how many were left out, then level, target and
/// text of each.
pub(crate) fn await_diagnostics<'local>(
    env: &mut Env<'local>,
    _class: JClass<'local>,
) -> Outcome<JByteArray<'local>> {
    let receiver = QUEUE.receiver.lock().unwrap_or_else(PoisonError::into_inner);
    let mut events: Vec<Diagnostic> = receiver.recv().into_iter().collect();
    events.extend(receiver.try_iter().take(MAX_EVENTS_PER_CALL));
    drop(receiver);
    let mut writer = Writer::default();
    writer.u64(LEFT_OUT.swap(0, Ordering::Relaxed)).count(events.len());
    for event in &events {
        writer.i32(event.level).text(event.target).text(&event.text);
    }
    Ok(env.byte_array_from_slice(writer.as_slice())?)
}
