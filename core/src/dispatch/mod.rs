//! The dispatcher: from the commit log to the consume queues and the key index, in order.
//!
//! 1. There is one dispatcher per store. Below its position every record is in its queue and in the
//!    index; it stands at a record's beginning, always.
//! 2. It dispatches what is committed, in a synchronous store what is durable, so that no consumer
//!    sees a message that a power cut could take back.
//! 3. What cannot be written stops it at that place. It tries again every second and never skips.
//!    A damaged record stops it, too.

mod flush_consume_queue;

pub(crate) use flush_consume_queue::{FlushConsumeQueueService, QueueFlusher};

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use crate::codec::RecordView;
use crate::codec::java_hash;
use crate::codec::properties::{PROPERTY_KEYS, PROPERTY_TAGS, PROPERTY_UNIQUE_KEY};
use crate::codec::record::{CrcCheck, RecordLayout, sys_flag};
use crate::commit_log::{Found, Walk, view};
use crate::consume_queue::{ConsumeQueue, ConsumeQueues, QueueCounts, Staged, Unit};
use crate::delay::{DelayLevels, SCHEDULE_TOPIC, ScheduleMessageService};
use crate::error::{Error, Result};
use crate::fence::Fence;
use crate::index::{Index, IndexRecord};
use crate::mapped::{MappedFileQueue, Pin};
use crate::service::{ServiceThread, Signal};
use crate::status::Status;
use crate::watermark::Watermark;

/// Records that are written together, at most.
const MAX_BATCH_RECORDS: usize = 4096;
/// How long a failed write waits for its next attempt.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// While nobody waits for messages, appends are gathered for so long: to be woken by each would
/// cost the appender more than the append.
const GATHER: Duration = Duration::from_micros(200);

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
}

/// What was dispatched at one moment: the counts belong to the position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DispatchSnapshot {
    pub(crate) position: u64,
    pub(crate) counts: QueueCounts,
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
    /// Queues with staged units.
    touched: Vec<Arc<ConsumeQueue>>,
    /// Records whose keys are to be put into the index.
    keyed: Vec<(Pin, RecordLayout)>,
    /// The queue of the last record: the next one often goes there, too.
    last_queue: Option<Arc<ConsumeQueue>>,
}

/// Brings records to their queues; see the module.
#[derive(Debug)]
pub(crate) struct Dispatcher {
    parts: DispatchParts,
    work: Mutex<Work>,
    dispatched: Watermark,
    blocked: Mutex<Option<Error>>,
    watchers: AtomicUsize,
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
            touched: Vec::new(),
            keyed: Vec::new(),
            last_queue: None,
        };
        Self {
            parts,
            work: Mutex::new(work),
            dispatched,
            blocked: Mutex::new(None),
            watchers: AtomicUsize::new(0),
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
            counts: self.parts.queues.counts(),
            timestamp_ms: work.timestamp_ms,
        })
    }

    /// Dispatches everything below `limit`.
    pub(crate) fn dispatch_to(&self, limit: u64) -> Result<()> {
        while self.dispatched.get() < limit {
            let result = self.run(limit);
            *self.blocked.lock() = result.as_ref().err().map(block);
            result?;
        }
        Ok(())
    }

    /// Dispatches one batch.
    fn run(&self, limit: u64) -> Result<()> {
        let mut work = self.work.lock();
        if work.is_written() {
            self.stage(&mut work, limit)?;
        }
        while let Some(queue) = work.touched.last() {
            queue.write_staged()?;
            if let Some(schedule) = &self.parts.schedule
                && queue.topic() == SCHEDULE_TOPIC
            {
                schedule.notice();
            }
            work.touched.pop();
        }
        self.put_keys(&mut work)?;
        if work.position == self.dispatched.get() {
            let what = "the log ends inside a record";
            return Err(Error::new(Status::Internal, what).at_offset(limit));
        }
        self.dispatched.advance(work.position);
        Ok(())
    }

    /// Stages the next records. What is in front of a damaged one is staged first.
    fn stage(&self, work: &mut Work, limit: u64) -> Result<()> {
        let begin = work.position;
        let mut walk = Walk::new(&self.parts.log, begin, CrcCheck::Skip);
        for _ in 0..MAX_BATCH_RECORDS {
            let found = if walk.position() < limit { walk.step() } else { break };
            match found {
                Found::Record(pin, layout) => {
                    if walk.position() > limit {
                        break;
                    }
                    self.stage_record(work, &pin, layout);
                }
                Found::Blank(..) => {}
                Found::Free | Found::Damaged(_) if work.position > begin => break,
                Found::Free => {
                    return Err(Error::new(Status::Corruption, "a record is missing")
                        .at_offset(walk.position()));
                }
                Found::Damaged(error) => return Err(error),
            }
            work.position = walk.position();
        }
        Ok(())
    }

    fn stage_record(&self, work: &mut Work, pin: &Pin, layout: RecordLayout) {
        let record = view(pin, layout);
        work.timestamp_ms = record.store_timestamp_ms();
        let transaction = record.sys_flag() & sys_flag::TRANSACTION_TYPE;
        if transaction != sys_flag::TRANSACTION_ROLLBACK
            && self.parts.index.is_some()
            && has_keys(&record)
        {
            work.keyed.push((pin.clone(), layout));
        }
        if ![sys_flag::TRANSACTION_NONE, sys_flag::TRANSACTION_COMMIT].contains(&transaction) {
            return;
        }
        let Some(queue) = self.queue_of(work, &record) else {
            tracing::warn!(
                offset = %record.physical_offset(), topic = ?record.topic(),
                queue_id = record.queue_id(), "a record names a queue that cannot be"
            );
            return;
        };
        let unit = Unit {
            index: record.queue_offset().get(),
            messages: record.message_count(),
            physical_offset: record.physical_offset().get(),
            size_bytes: record.size_bytes(),
            tags_code: self.tags_code(&record),
            store_timestamp_ms: Some(record.store_timestamp_ms()),
        };
        if queue.stage(&unit) == Staged::First {
            work.touched.push(queue);
        }
    }

    fn put_keys(&self, work: &mut Work) -> Result<()> {
        let Some(index) = self.parts.index.as_ref().filter(|_| !work.keyed.is_empty()) else {
            return Ok(());
        };
        let records: Vec<_> = work
            .keyed
            .iter()
            .map(|(pin, layout)| {
                let record = view(pin, *layout);
                IndexRecord {
                    topic: record.topic(),
                    unique_key: record.property(PROPERTY_UNIQUE_KEY),
                    keys: record.property(PROPERTY_KEYS).unwrap_or_default(),
                    physical_offset: record.physical_offset().get(),
                    store_timestamp_ms: record.store_timestamp_ms(),
                }
            })
            .collect();
        index.put(&records)?;
        drop(records);
        work.keyed.clear();
        Ok(())
    }

    fn queue_of(&self, work: &mut Work, record: &RecordView<'_>) -> Option<Arc<ConsumeQueue>> {
        let (topic, queue_id) = (record.topic_bytes(), record.queue_id());
        if let Some(last) = &work.last_queue
            && last.queue_id() == queue_id
            && last.topic().as_bytes() == topic
        {
            return Some(Arc::clone(last));
        }
        let topic = std::str::from_utf8(topic).ok()?;
        let queue = self.parts.queues.queue(topic, queue_id, record.queue_kind())?;
        work.last_queue = Some(Arc::clone(&queue));
        Some(queue)
    }

    /// The hash of the tag; of a delayed message the time of its delivery.
    fn tags_code(&self, record: &RecordView<'_>) -> i64 {
        if record.topic_bytes() == SCHEDULE_TOPIC.as_bytes() {
            let level = record.property("DELAY").and_then(|level| level.parse::<usize>().ok());
            if let Some(level) = level.filter(|level| *level > 0) {
                let level = level.min(self.parts.delays.count());
                let delay = i64::try_from(self.parts.delays.delay(level).as_millis());
                return record.store_timestamp_ms().saturating_add(delay.unwrap_or(i64::MAX));
            }
        }
        let tag = record.properties().find(PROPERTY_TAGS).filter(|tag| !tag.is_empty());
        tag.map_or(0, |tag| i64::from(java_hash(&String::from_utf8_lossy(tag))))
    }

    /// Where the dispatcher may go.
    fn limit(&self) -> &Watermark {
        match self.parts.limit {
            DispatchLimit::Committed => self.parts.log.committed(),
            DispatchLimit::Durable => self.parts.log.durable(),
        }
    }

    /// Counts a caller that waits for messages until the guard is dropped.
    pub(crate) fn watch(&self) -> Watching<'_> {
        self.watchers.fetch_add(1, Ordering::Relaxed);
        Watching(&self.watchers)
    }

    fn is_watched(&self) -> bool {
        self.watchers.load(Ordering::Relaxed) > 0
    }

    fn serve(&self, signal: &Signal, dispatched: &dyn Fn()) {
        loop {
            let position = self.dispatched.get();
            let limit = self.limit().get();
            if position < limit {
                // Whoever waited for these records is awake behind them, and soon waits again.
                let watched = self.is_watched();
                match self.dispatch_to(limit) {
                    Ok(()) => dispatched(),
                    Err(error) => {
                        if self.stopping.load(Ordering::Acquire) {
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
            if self.stopping.load(Ordering::Acquire) || self.limit().is_closed() {
                return;
            }
            let give_up = || self.stopping.load(Ordering::Acquire);
            self.limit().wait_past_unless(position, None, give_up);
        }
    }
}

impl Work {
    /// Whether nothing is staged.
    fn is_written(&self) -> bool {
        self.touched.is_empty() && self.keyed.is_empty()
    }
}

fn has_keys(record: &RecordView<'_>) -> bool {
    let names = [PROPERTY_UNIQUE_KEY, PROPERTY_KEYS];
    record.properties().any(|(name, value)| {
        !value.is_empty() && names.iter().any(|wanted| wanted.as_bytes() == name)
    })
}

/// What a caller gets to see of a failure.
fn block(cause: &Error) -> Error {
    Error::new(Status::DispatchBlocked, format!("records cannot be dispatched ({cause})"))
}

/// A caller that waits for messages.
#[derive(Debug)]
pub(crate) struct Watching<'d>(&'d AtomicUsize);

impl Drop for Watching<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The dispatcher's thread, named after RocketMQ's.
#[derive(Debug)]
pub(crate) struct ReputMessageService {
    dispatcher: Arc<Dispatcher>,
    thread: ServiceThread,
}

impl ReputMessageService {
    /// Starts dispatching. `dispatched` is called after each run that moved the position.
    pub(crate) fn start(
        dispatcher: Arc<Dispatcher>,
        fence: Arc<Fence>,
        dispatched: impl Fn() + Send + 'static,
    ) -> Result<Self> {
        let shared = Arc::clone(&dispatcher);
        let body = move |signal: &Signal| shared.serve(signal, &dispatched);
        let name = "cairn-reput";
        let thread = ServiceThread::start(name, Arc::default(), body, move |message| {
            fence.close_after_panic("ReputMessageService", &message);
        })?;
        Ok(Self { dispatcher, thread })
    }

    /// Dispatches what there is, as far as that can be done, and ends.
    pub(crate) fn stop(&self) {
        self.dispatcher.stopping.store(true, Ordering::Release);
        self.dispatcher.limit().interrupt();
        self.thread.stop_and_join();
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
