//! The dispatcher: from the commit log to the consume queues and the key index, in order.
//!
//! 1. There is one dispatcher per store. Below its position every record is in its queue and in the
//!    index; it stands at a record's beginning, always.
//! 2. It dispatches what is committed, in a synchronous store what is durable, so that no consumer
//!    sees a message that a power cut could take back.
//! 3. Who dispatches holds the lock on the work: the dispatcher's thread, or somebody who waits for
//!    messages and does it in its place.
//! 4. What cannot be written stops it at that place. It tries again every second and never skips.
//!    A damaged record stops it, too.

mod flush_consume_queue;
mod read_ahead;
mod waiting;

pub(crate) use flush_consume_queue::{FlushConsumeQueueService, QueueFlusher};
pub(crate) use read_ahead::index_keys;
pub(crate) use waiting::Watching;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};

use crate::consume_queue::{ConsumeQueue, ConsumeQueues, QueueSummary, Staged};
use crate::delay::{DelayLevels, SCHEDULE_TOPIC, ScheduleMessageService};
use crate::error::{Error, Result};
use crate::fence::Fence;
use crate::index::Index;
use crate::mapped::MappedFileQueue;
use crate::service::{ServiceThread, Signal};
use crate::status::Status;
use crate::sys::forked_while_open;
use crate::watermark::{Watermark, Woken};
use read_ahead::{Batch, Reader};

/// Records that are written together, at most.
const MAX_BATCH_RECORDS: usize = 4096;
/// How long a failed write waits for its next attempt.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// While nobody waits for messages, appends are gathered for so long: to be woken by each would
/// cost the appender more than the append.
const GATHER: Duration = Duration::from_millis(1);

/// Up to where records are dispatched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DispatchLimit {
    /// What the operating system has.
    Committed,
    /// What survives a power cut.
    Durable,
}

/// What a dispatcher reads and writes.
#[derive(Debug)]
pub(crate) struct DispatchParts {
    pub(crate) log: Arc<MappedFileQueue>,
    pub(crate) queues: Arc<ConsumeQueues>,
    /// Absent in a store without a key index.
    pub(crate) index: Option<Arc<Index>>,
    pub(crate) delays: DelayLevels,
    /// Told of delayed messages; absent in a store that does not deliver them.
    pub(crate) schedule: Option<Arc<ScheduleMessageService>>,
    pub(crate) limit: DispatchLimit,
    pub(crate) fence: Arc<Fence>,
    /// Woken when something was dispatched: who makes queues durable waits for it.
    pub(crate) flush: Arc<Signal>,
}

/// What was dispatched at one moment: the queues belong to the position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DispatchSnapshot {
    pub(crate) position: u64,
    pub(crate) queues: QueueSummary,
    /// Where the last record with a key lies; `None` without an index.
    pub(crate) index_end: Option<u64>,
    /// Store time of the last record.
    pub(crate) timestamp_ms: i64,
}

#[derive(Debug)]
struct Work {
    /// Behind the last record that was staged.
    position: u64,
    timestamp_ms: i64,
    reader: Reader,
    /// Its units are staged; its keys are to be put into the index.
    batch: Batch,
    /// Queues with staged units.
    touched: Vec<Arc<ConsumeQueue>>,
}

/// Brings records to their queues; see the module.
#[derive(Debug)]
pub(crate) struct Dispatcher {
    parts: DispatchParts,
    work: Mutex<Work>,
    dispatched: Watermark,
    blocked: Mutex<Option<Error>>,
    watchers: AtomicUsize,
    /// Whether one of those who wait dispatches.
    standing_in: AtomicBool,
    /// How often those who wait were asked to look whether to give up.
    interrupts: AtomicU64,
    stopping: AtomicBool,
}

impl Dispatcher {
    /// A dispatcher that goes on at `position`, behind a record of `timestamp_ms`.
    pub(crate) fn new(parts: DispatchParts, position: u64, timestamp_ms: i64) -> Self {
        let dispatched = Watermark::default();
        dispatched.reset(position);
        let work = Work {
            position,
            timestamp_ms,
            reader: Reader::default(),
            batch: Batch::default(),
            touched: Vec::new(),
        };
        Self {
            parts,
            work: Mutex::new(work),
            dispatched,
            blocked: Mutex::new(None),
            watchers: AtomicUsize::new(0),
            standing_in: AtomicBool::new(false),
            interrupts: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
        }
    }

    /// Everything below is in queues and index.
    pub(crate) fn dispatched(&self) -> &Watermark {
        &self.dispatched
    }

    /// Why it does not go on, if it does not.
    pub(crate) fn blocked(&self) -> Option<Error> {
        self.blocked.lock().clone()
    }

    /// What was dispatched; `None` while a batch is partly written.
    pub(crate) fn snapshot(&self) -> Option<DispatchSnapshot> {
        let work = self.work.lock();
        let index_end = |index: &Arc<Index>| index.end_offset().unwrap_or(0);
        work.is_written().then(|| DispatchSnapshot {
            index_end: self.parts.index.as_ref().map(index_end),
            position: work.position,
            queues: self.parts.queues.summary(),
            timestamp_ms: work.timestamp_ms,
        })
    }

    /// Dispatches everything below `limit`.
    pub(crate) fn dispatch_to(&self, limit: u64) -> Result<()> {
        while self.dispatched.get() < limit {
            self.run(self.work.lock(), limit, None)?;
        }
        Ok(())
    }

    /// Dispatches one batch, unless an earlier one is partly written: then the rest of that. Takes
    /// the batch that was read ahead, if it is the next. Notes whether that went on, before
    /// somebody else may.
    fn run(&self, mut work: MutexGuard<'_, Work>, limit: u64, ahead: Option<Batch>) -> Result<()> {
        let mut woken = Woken::default();
        let outcome = self.run_locked(&mut work, limit, ahead, &mut woken);
        *self.blocked.lock() = outcome.as_ref().err().map(block);
        drop(work);
        woken.wake_all();
        outcome
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// As [`Dispatcher::run`], with the tasks that are to be woken behind the lock.
    fn run_locked(
        &self,
        work: &mut Work,
        limit: u64,
        ahead: Option<Batch>,
        woken: &mut Woken,
    ) -> Result<()> {
        if work.is_written() {
            if work.position >= limit {
                // Somebody else was here.
                return Ok(());
            }
            work.stage(&self.parts, limit, ahead)?;
        }
        while let Some(queue) = work.touched.last() {
            woken.extend(queue.write_staged()?);
            if let Some(schedule) = &self.parts.schedule
                && queue.topic() == SCHEDULE_TOPIC
            {
                schedule.notice();
            }
            work.touched.pop();
        }
        if let Some(index) = &self.parts.index {
            index.put(&work.batch.keys)?;
        }
        work.batch.keys.clear();
        self.dispatched.advance(work.position);
        Ok(())
    }

    /// Where the dispatcher may go.
    fn limit(&self) -> &Watermark {
        match self.parts.limit {
            DispatchLimit::Committed => self.parts.log.committed(),
            DispatchLimit::Durable => self.parts.log.durable(),
        }
    }

    fn serve(&self, signal: &Signal) {
        loop {
            let position = self.dispatched.get();
            let limit = self.limit().get();
            if position < limit {
                // Whoever waited for these records is awake behind them, and soon waits again.
                let watched = self.is_watched();
                match self.dispatch_to(limit) {
                    Ok(()) => self.parts.flush.wakeup(),
                    Err(error) => {
                        if self.is_stopping() {
                            return;
                        }
                        tracing::error!(%error, position, "the dispatcher is blocked");
                        signal.wait(Some(RETRY_AFTER));
                    }
                }
                if !watched && !self.is_watched() {
                    std::thread::sleep(GATHER);
                }
                continue;
            }
            if self.is_stopping() || self.limit().is_closed() {
                return;
            }
            self.limit().wait_past_behind(position, || self.is_stopping());
        }
    }
}

impl Work {
    /// Whether nothing is staged.
    fn is_written(&self) -> bool {
        self.touched.is_empty() && self.batch.keys.is_empty()
    }

    /// Reads a batch, or takes the one that was read ahead, and stages its units.
    fn stage(&mut self, parts: &DispatchParts, limit: u64, ahead: Option<Batch>) -> Result<()> {
        match ahead.filter(|ahead| ahead.begin == self.position) {
            Some(ahead) => self.batch = ahead,
            None => {
                let read = self.reader.read(parts, self.position, limit, &mut self.batch);
                read.inspect_err(|_| self.batch = Batch::default())?;
            }
        }
        for (queue, unit) in self.batch.units.drain(..) {
            if queue.stage(&unit) == Staged::First {
                self.touched.push(queue);
            }
        }
        self.position = self.batch.end;
        self.timestamp_ms = self.batch.timestamp_ms.unwrap_or(self.timestamp_ms);
        Ok(())
    }
}

/// What a caller gets to see of a failure.
fn block(cause: &Error) -> Error {
    Error::new(Status::DispatchBlocked, format!("records cannot be dispatched ({cause})"))
}

/// The dispatcher's thread, named after RocketMQ's.
#[derive(Debug)]
pub(crate) struct ReputMessageService {
    dispatcher: Arc<Dispatcher>,
    thread: ServiceThread,
}

impl ReputMessageService {
    /// Starts dispatching.
    pub(crate) fn start(dispatcher: Arc<Dispatcher>) -> Result<Self> {
        let (shared, fence) = (Arc::clone(&dispatcher), Arc::clone(&dispatcher.parts.fence));
        let body = move |signal: &Signal| shared.serve(signal);
        let name = "cairn-reput";
        let thread = ServiceThread::start(name, Arc::default(), body, move |message| {
            fence.close_after_panic("ReputMessageService", &message);
        })?;
        Ok(Self { dispatcher, thread })
    }

    /// Dispatches what there is, as far as that can be done, and ends; nobody dispatches in its
    /// place any more.
    pub(crate) fn stop(&self) {
        self.dispatcher.stopping.store(true, Ordering::Release);
        self.dispatcher.limit().interrupt();
        self.thread.stop_and_join();
        // Whoever dispatches at this moment comes to the end of its batch.
        drop(self.dispatcher.work.lock());
    }

    /// As [`ReputMessageService::stop`]. Fails if not everything below `end` was dispatched.
    pub(crate) fn shutdown(&self, end: u64) -> Result<()> {
        self.stop();
        if self.dispatcher.dispatched().get() >= end {
            return Ok(());
        }
        let behind = || Error::new(Status::DispatchBlocked, "not all records are dispatched");
        Err(self.dispatcher.blocked().unwrap_or_else(behind))
    }
}

impl Drop for ReputMessageService {
    fn drop(&mut self) {
        // In a forked child the thread is the parent's.
        if !forked_while_open() {
            self.stop();
        }
    }
}
