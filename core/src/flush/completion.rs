//! Completions of `append_async`, delivered in groups by a thread of their own, so that no
//! callback ever runs on the flusher or inside an append.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;

use super::group_commit::ended;
use crate::error::{Error, Result};
use crate::fence::Fence;
use crate::mapped::MappedFileQueue;
use crate::message::AppendResult;
use crate::service::{ServiceThread, Signal, Wake, panic_message};
use crate::status::Status;

/// The outcome of one asynchronous append.
#[derive(Debug, Clone)]
pub struct Completion {
    /// What the caller gave to tell its appends apart.
    pub token: u64,
    /// Where the message lies, once acknowledged, or why it is not.
    pub result: Result<AppendResult>,
}

/// Takes the completions of asynchronous appends.
pub trait CompletionSink: Send + Sync {
    /// Called with all that became due together, on the store's completion thread (while the store
    /// is being closed, perhaps on the thread that appended). May append, must
    /// not wait long, for others wait behind it, and must not close the store. A panic is caught
    /// and fences the store.
    fn complete(&self, group: Vec<Completion>);
}

/// An append whose completion is due when everything below `end` is durable.
pub(crate) struct Waiting {
    /// 0 when it is acknowledged already.
    pub(crate) end: u64,
    pub(crate) deadline: Option<Instant>,
    pub(crate) appended: AppendResult,
    pub(crate) token: u64,
    pub(crate) sink: Arc<dyn CompletionSink>,
}

/// What is due. Its buffers are used again for what is due next.
#[derive(Default)]
struct Due {
    ready: Vec<Waiting>,
    /// `None` for those that are acknowledged.
    settled: Vec<(Waiting, Option<Error>)>,
    groups: Vec<(Arc<dyn CompletionSink>, Vec<Completion>)>,
}

/// What waits, and whether the service still looks after it.
#[derive(Default)]
struct WaitingList {
    /// Acknowledged when they came: they wait for nobody.
    ready: Vec<Waiting>,
    entries: VecDeque<Waiting>,
    /// Set when the service has ended: who adds an append then delivers it itself.
    ended: bool,
}

/// The service.
pub(crate) struct CompletionService {
    waiting: Mutex<WaitingList>,
    signal: Arc<Signal>,
    queue: Arc<MappedFileQueue>,
    fence: Arc<Fence>,
    thread: Mutex<Option<ServiceThread>>,
}

impl fmt::Debug for CompletionService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CompletionService({} waiting)", self.waiting.lock().entries.len())
    }
}

impl CompletionService {
    /// Starts the service.
    pub(crate) fn start(queue: Arc<MappedFileQueue>, fence: Arc<Fence>) -> Result<Arc<Self>> {
        let service = Arc::new(Self {
            waiting: Mutex::default(),
            signal: Arc::default(),
            queue,
            fence,
            thread: Mutex::default(),
        });
        let (worker, panicked) = (Arc::clone(&service), Arc::clone(&service));
        let thread = ServiceThread::start(
            "cairn-complete",
            Arc::clone(&service.signal),
            move |signal| worker.run(signal),
            move |message| panicked.fence.close_after_panic("CompletionService", &message),
        )?;
        *service.thread.lock() = Some(thread);
        Ok(service)
    }

    /// Adds an append. Its completion comes exactly once.
    pub(crate) fn submit(&self, waiting: Waiting) {
        let due = waiting.end <= self.queue.durable().get();
        let mut list = self.waiting.lock();
        if due {
            list.ready.push(waiting);
        } else {
            list.entries.push_back(waiting);
        }
        let (first, ended) = (list.entries.len() == 1, list.ended);
        drop(list);
        if ended {
            // An append that was placed before the log closed, and came here after the last run.
            self.deliver_all();
            return;
        }
        // The first one also sets the deadline the service sleeps to.
        if due || first {
            self.signal.wakeup();
        }
    }

    /// Whether an append waits to be acknowledged.
    pub(crate) fn are_awaited(&self) -> bool {
        !self.waiting.lock().entries.is_empty()
    }

    /// The durable position moved, or never will again.
    pub(crate) fn wakeup(&self) {
        if self.are_awaited() {
            self.signal.wakeup();
        }
    }

    /// Completes what waits, with what is known now, and ends.
    pub(crate) fn shutdown(&self) {
        // Taken out first: the service thread itself may be the one that ends the store.
        let thread = self.thread.lock().take();
        if let Some(thread) = thread {
            thread.stop_and_join();
        }
        self.waiting.lock().ended = true;
        self.deliver_all();
    }

    /// Delivers everything, on a thread that is not the service's.
    fn deliver_all(&self) {
        let mut due = Due::default();
        self.take_due(true, &mut due);
        self.deliver(&mut due);
    }

    fn run(&self, signal: &Signal) {
        let mut due = Due::default();
        loop {
            let deadline = self.waiting.lock().entries.front().and_then(|front| front.deadline);
            let limit = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            let wake = signal.wait(limit);
            let stopped = wake == Wake::Stopped;
            loop {
                self.take_due(stopped, &mut due);
                if due.settled.is_empty() {
                    break;
                }
                self.deliver(&mut due);
            }
            if stopped {
                return;
            }
        }
    }

    /// Takes out what is acknowledged, failed or too late; everything when `all`.
    fn take_due(&self, all: bool, due: &mut Due) {
        // What closed the fence: these appends came before it was closed.
        let failure = self.fence.cause().cloned();
        let durable = self.queue.durable().get();
        let now = Instant::now();
        let mut waiting = self.waiting.lock();
        // Swapped: those who append find a buffer that has grown already.
        std::mem::swap(&mut waiting.ready, &mut due.ready);
        due.settled.extend(due.ready.drain(..).map(|ready| (ready, None)));
        while let Some(front) = waiting.entries.front() {
            let error = if front.end <= durable {
                None
            } else if failure.is_some() {
                failure.clone()
            } else if front.deadline.is_some_and(|deadline| deadline <= now) {
                Some(flush_timeout())
            } else if all {
                Some(ended())
            } else {
                break;
            };
            if let Some(front) = waiting.entries.pop_front() {
                due.settled.push((front, error));
            }
        }
    }

    /// Empties `due`. Each sink gets a vector of its own, the only memory that is taken here.
    fn deliver(&self, due: &mut Due) {
        let Due { settled, groups, .. } = due;
        let mut left = settled.len();
        for (waiting, error) in settled.drain(..) {
            let Waiting { appended, token, sink, .. } = waiting;
            let result = match error {
                None => Ok(appended),
                Some(error) => Err(error.with_appended(appended)),
            };
            let completion = Completion { token, result };
            match groups.iter_mut().find(|(other, _)| Arc::ptr_eq(other, &sink)) {
                Some((_, group)) => group.push(completion),
                None => {
                    let mut group = Vec::with_capacity(left);
                    group.push(completion);
                    groups.push((sink, group));
                }
            }
            left -= 1;
        }
        for (sink, group) in groups.drain(..) {
            if let Err(cause) = catch_unwind(AssertUnwindSafe(|| sink.complete(group))) {
                self.fence.close_after_panic("a completion callback", &panic_message(cause));
            }
        }
    }
}

/// The error of a wait for a sync that took too long.
pub(crate) fn flush_timeout() -> Error {
    let what = "the record is in the log, but its sync did not finish in time";
    Error::new(Status::FlushTimeout, what)
}
