//! The threads that append and the thread that takes completions.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use cairnlog::{
    AppendResult, CompletionSink, Error, Message, QueueAppender, Result as StoreResult, Status,
    Store,
};

use super::acknowledgement::{Acknowledged, Acknowledgements};
use super::input::{Chunk, Line};
use super::message::{JsonMessage, Shared};
use super::window::{Event, InFlight, Sink, Window};
use crate::arguments::Format;
use crate::failure::{Failure, Outcome};

/// How often a thread without input looks whether it is to stop.
const LOOK: Duration = Duration::from_millis(50);
/// How long an append is tried again while the store says it is busy.
const BUSY_LIMIT: Duration = Duration::from_secs(10);
/// The pause between two tries.
const BUSY_PAUSE: Duration = Duration::from_millis(1);

/// Tells all threads to end, and counts those that append.
#[derive(Debug, Default)]
pub(crate) struct Stop {
    stopped: AtomicBool,
    workers: AtomicUsize,
}

impl Stop {
    /// Tells everybody to end.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
    }

    /// Whether that was said.
    pub(crate) fn stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// The number of threads that append.
    pub(crate) fn workers(&self) -> usize {
        self.workers.load(Ordering::SeqCst)
    }
}

/// Where messages go: a prepared queue, or the store for messages that name their own.
#[derive(Clone, Copy)]
enum Target<'a> {
    Queue(&'a QueueAppender),
    Store(&'a Store),
}

impl Target<'_> {
    fn append(self, message: &Message<'_>) -> StoreResult<AppendResult> {
        match self {
            Self::Queue(queue) => queue.append(message),
            Self::Store(store) => store.append(message),
        }
    }

    fn append_to_sink(
        self,
        message: &Message<'_>,
        sink: &Arc<dyn CompletionSink>,
        token: u64,
    ) -> StoreResult<AppendResult> {
        match self {
            Self::Queue(queue) => queue.append_to_sink(message, sink, token),
            Self::Store(store) => store.append_to_sink(message, sink, token),
        }
    }
}

/// Completions of a thread that keeps several appends on their way.
struct Pipeline {
    window: Arc<Window>,
    sink: Arc<dyn CompletionSink>,
}

/// What an appending thread has; each has a clone.
#[derive(Clone)]
pub(crate) struct Worker {
    /// Where messages go.
    pub(crate) store: Arc<Store>,
    /// What they share.
    pub(crate) shared: Shared,
    /// What a line holds.
    pub(crate) format: Format,
    /// The most appends on their way at the same time.
    pub(crate) inflight: usize,
    /// The input.
    pub(crate) chunks: Arc<Mutex<Receiver<Chunk>>>,
    /// Where acknowledged messages are counted.
    pub(crate) acknowledgements: Arc<Acknowledgements>,
    /// When to end.
    pub(crate) stop: Arc<Stop>,
    /// To the thread that takes completions.
    pub(crate) events: Sender<Event>,
}

impl Worker {
    /// Appends until the input ends or somebody says stop, and waits for what is on its way.
    pub(crate) fn run(&self) -> Outcome {
        self.stop.workers.fetch_add(1, Ordering::SeqCst);
        let pipeline = (self.inflight > 1).then(|| {
            let window = Window::new(self.inflight);
            let events = Mutex::new(self.events.clone());
            let sink: Arc<dyn CompletionSink> =
                Arc::new(Sink { window: Arc::clone(&window), events });
            Pipeline { window, sink }
        });
        let outcome = self.append_lines(pipeline.as_ref());
        if let Some(pipeline) = pipeline {
            pipeline.window.drain(|| true);
        }
        self.stop.workers.fetch_sub(1, Ordering::SeqCst);
        outcome
    }

    fn append_lines(&self, pipeline: Option<&Pipeline>) -> Outcome {
        let mut queues = Vec::new();
        if self.format == Format::Lines {
            for queue in self.shared.queues() {
                queues.push(self.store.queue(self.shared.topic(), queue)?);
            }
        }
        let keys = self.shared.keys();
        while let Some(chunk) = self.next_chunk() {
            for (line, bytes) in chunk.lines() {
                if self.stop.stopped() {
                    return Ok(());
                }
                match self.format {
                    Format::Lines => {
                        let turn = usize::try_from(line.ordinal).unwrap_or_default();
                        let Some(queue) = queues.get(turn % queues.len().max(1)) else {
                            return Err(Failure::failed("cannot append", "no queue"));
                        };
                        let message = self.shared.line(&keys, queue.queue_id(), bytes);
                        self.append(Target::Queue(queue), &message, line, pipeline)?;
                    }
                    Format::Jsonl => self.append_object(line, bytes, pipeline)?,
                }
            }
        }
        Ok(())
    }

    fn append_object(&self, line: &Line, bytes: &[u8], pipeline: Option<&Pipeline>) -> Outcome {
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(());
        }
        let wrong = |why: String| Failure::failed(format!("line {}", line.number), why);
        let object = JsonMessage::parse(bytes).map_err(wrong)?;
        object
            .with_message(&self.shared, line.ordinal, |message| {
                self.append(Target::Store(&self.store), message, line, pipeline)
            })
            .map_err(wrong)?
    }

    /// The next lines; `None` at the end of the input or when it is time to stop.
    fn next_chunk(&self) -> Option<Chunk> {
        loop {
            if self.stop.stopped() {
                return None;
            }
            let chunks = self.chunks.lock().unwrap_or_else(PoisonError::into_inner);
            match chunks.recv_timeout(LOOK) {
                Ok(chunk) => return Some(chunk),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    fn append(
        &self,
        target: Target<'_>,
        message: &Message<'_>,
        line: &Line,
        pipeline: Option<&Pipeline>,
    ) -> Outcome {
        let started = Instant::now();
        let body_bytes = message.body.len() as u64;
        let Some(pipeline) = pipeline else {
            let placed = self.try_while_busy(line, || target.append(message))?;
            return self.acknowledgements.add(&Acknowledged {
                line: line.number,
                body_bytes,
                placed,
                latency: started.elapsed(),
            });
        };
        let in_flight = InFlight { line: line.number, body_bytes, started };
        let goes_on = || !self.stop.stopped();
        let Some(token) = pipeline.window.take(in_flight, goes_on) else {
            return Ok(());
        };
        let appended =
            self.try_while_busy(line, || target.append_to_sink(message, &pipeline.sink, token));
        if let Err(failure) = appended {
            pipeline.window.give_back(token);
            return Err(failure);
        }
        Ok(())
    }

    /// Appends, again while the store refuses because another append is slow.
    fn try_while_busy(
        &self,
        line: &Line,
        append: impl Fn() -> StoreResult<AppendResult>,
    ) -> Result<AppendResult, Failure> {
        let started = Instant::now();
        loop {
            let error = match append() {
                Ok(placed) => return Ok(placed),
                Err(error) => error,
            };
            let busy = matches!(error.status(), Status::PageCacheBusy | Status::PoolExhausted);
            if !busy || self.stop.stopped() || started.elapsed() >= BUSY_LIMIT {
                return Err(refused(line.number, &error));
            }
            thread::sleep(BUSY_PAUSE);
        }
    }
}

fn refused(line: u64, error: &Error) -> Failure {
    let mut why = error.to_string();
    if let Some(placed) = error.appended() {
        why.push_str(&format!(" (the message is in the log at {})", placed.physical_offset));
    }
    Failure::failed(format!("cannot append line {line}"), why)
}

/// Takes completions until the end: writes acknowledgements, then frees the places. Returns the
/// first failure, and goes on behind it so that nobody waits for a place.
pub(crate) fn acknowledge(
    events: &Receiver<Event>,
    acknowledgements: &Acknowledgements,
    stop: &Stop,
) -> Outcome {
    let mut first: Outcome = Ok(());
    while let Ok(Event::Completed(window, group, at)) = events.recv() {
        for completion in group {
            let Some(append) = window.give_back(completion.token) else {
                continue;
            };
            let outcome = match completion.result {
                Err(error) => Err(refused(append.line, &error)),
                // Acknowledged is acknowledged, but nobody reads it after a failed write.
                Ok(_) if first.is_err() => Ok(()),
                Ok(placed) => acknowledgements.add(&Acknowledged {
                    line: append.line,
                    body_bytes: append.body_bytes,
                    placed,
                    latency: at.saturating_duration_since(append.started),
                }),
            };
            if outcome.is_err() && first.is_ok() {
                first = outcome;
                stop.stop();
            }
        }
    }
    first
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};
    use std::sync::mpsc::channel;

    use cairnlog::{Completion, PhysicalOffset, QueueOffset};

    use super::*;

    fn placed(offset: u64) -> AppendResult {
        AppendResult {
            physical_offset: PhysicalOffset::new(offset),
            size_bytes: 100,
            queue_offset: QueueOffset::new(offset / 100),
            queue_id: 3,
            message_count: 1,
            store_timestamp_ms: 1,
            store_host: SocketAddr::from((Ipv4Addr::LOCALHOST, 1)),
        }
    }

    #[test]
    fn a_failed_completion_is_never_acknowledged_and_ends_the_command() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("acks");
        let acknowledgements = Acknowledgements::new(Some(&path)).unwrap();
        let (sender, events) = channel();
        let window = Window::new(3);
        let sink = Sink { window: Arc::clone(&window), events: Mutex::new(sender.clone()) };
        let group = (0..3u64).map(|number| {
            let in_flight = InFlight { line: number + 1, body_bytes: 10, started: Instant::now() };
            let failed = Error::new(Status::FlushTimeout, "too slow").with_appended(placed(100));
            Completion {
                token: window.take(in_flight, || true).unwrap(),
                result: if number == 1 { Err(failed) } else { Ok(placed(100 * number)) },
            }
        });
        sink.complete(group.collect());
        sender.send(Event::End).unwrap();
        let stop = Stop::default();
        let failure = acknowledge(&events, &acknowledgements, &stop).unwrap_err();
        let Failure::Failed(text) = failure else {
            panic!("{failure:?}");
        };
        assert!(text.contains("line 2"), "{text}");
        assert!(text.contains("in the log at 100"), "{text}");
        assert!(stop.stopped());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "1 0 3 0\n");
        window.drain(|| panic!("a place is not free"));
    }
}
