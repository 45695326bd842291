//! `ScheduleMessageService`: puts delayed messages into their queues when their time has come.
//!
//! Its thread is started by the first delayed message and sleeps until the next one is due, another
//! is dispatched, or an offset is to be stored. While nothing is delayed it does not run at all.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use parking_lot::Mutex;

use super::levels::{DelayLevels, SCHEDULE_TOPIC};
use crate::clock::Clock;
use crate::codec::RecordView;
use crate::codec::properties::{PROPERTY_REAL_QUEUE_ID, PROPERTY_REAL_TOPIC};
use crate::codec::record::{CrcCheck, Parsed, parse};
use crate::commit_log::{MessageView, check_pages};
use crate::consume_queue::{ConsumeQueue, ConsumeQueues, Slot, Unit};
use crate::error::{Error, Result};
use crate::fence::Fence;
use crate::mapped::MappedFileQueue;
use crate::offset::QueueOffset;
use crate::service::{ServiceThread, Signal, Wake};
use crate::state::delay_offsets::DelayOffsets;

/// Units of one level that are looked at before the others have their turn.
const UNITS_PER_TURN: u64 = 256;
/// How long the first failure of a put makes its level wait; it doubles with each further one.
const FIRST_PAUSE_MS: u64 = 100;
const MAX_PAUSE_MS: u64 = 60_000;
/// The longest sleep while something is delayed: the wall clock may have been turned meanwhile.
const MAX_SLEEP: Duration = Duration::from_secs(30);
/// For how long further messages are gathered when one was dispatched.
const GATHER: Duration = Duration::from_millis(5);
/// How soon it is looked again whether the log is durable behind what was delivered.
const DURABLE_AFTER_MS: u64 = 1000;
/// Where messages wait that belong to no queue before their transaction is committed.
const HALF_TOPIC: &str = "RMQ_SYS_TRANS_HALF_TOPIC";

/// What takes the messages whose time has come: the store.
pub(crate) trait Redeliver: Send + Sync {
    /// Puts a copy of a message into a queue, without waiting for its sync.
    ///
    /// A status below 100 says that this can never be.
    fn redeliver(&self, message: &MessageView, topic: &str, queue_id: i32) -> Result<()>;
}

/// What the service works on.
#[derive(Debug)]
pub(crate) struct ScheduleParts {
    pub(crate) log: Arc<MappedFileQueue>,
    pub(crate) queues: Arc<ConsumeQueues>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) fence: Arc<Fence>,
    pub(crate) levels: DelayLevels,
    pub(crate) offsets: DelayOffsets,
    pub(crate) flush_interval_ms: u64,
}

/// What became of delayed messages since the store was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ScheduleCounts {
    pub(crate) delivered: u64,
    pub(crate) undeliverable: u64,
}

/// How far one level was delivered.
#[derive(Debug, Default)]
struct Progress {
    next: u64,
    /// Failures of the next unit, one after the other.
    failures: u32,
    /// Monotonic; not before then the next unit is tried again.
    retry_at_ms: u64,
}

#[derive(Debug, Default)]
struct Rounds {
    /// By queue id.
    progress: BTreeMap<i32, Progress>,
    /// Whether something moved that is neither staged nor stored.
    moved: bool,
    /// Monotonic; not before then offsets are stored again.
    store_at_ms: Option<u64>,
    staged: Option<StagedOffsets>,
}

/// Offsets that may be stored when the log is durable up to `end`.
#[derive(Debug)]
struct StagedOffsets {
    end: u64,
    levels: Vec<(i32, QueueOffset)>,
}

/// What is to become of a unit.
enum Due {
    /// Not yet; for so long.
    In(Duration),
    Message(Box<MessageView>),
    /// Retention removed it.
    Removed,
}

/// The service; see the module.
#[derive(Debug)]
pub(crate) struct ScheduleMessageService {
    parts: ScheduleParts,
    signal: Arc<Signal>,
    target: OnceLock<Target>,
    rounds: Mutex<Rounds>,
    delivered: AtomicU64,
    undeliverable: AtomicU64,
    started: AtomicBool,
    thread: Mutex<Thread>,
}

/// The store, as far as it is needed here.
struct Target(Weak<dyn Redeliver>);

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Target")
    }
}

#[derive(Debug, Default)]
struct Thread {
    running: Option<ServiceThread>,
    stopped: bool,
}

impl ScheduleMessageService {
    /// A service without a thread yet.
    pub(crate) fn new(parts: ScheduleParts) -> Self {
        Self {
            parts,
            signal: Arc::default(),
            target: OnceLock::new(),
            rounds: Mutex::default(),
            delivered: AtomicU64::new(0),
            undeliverable: AtomicU64::new(0),
            started: AtomicBool::new(false),
            thread: Mutex::default(),
        }
    }

    /// Sets offsets behind the end of their queue back to it, for good: those indexes are given out
    /// again when what told of them is lost. For when the queues hold all of the log.
    pub(crate) fn set_back_offsets(&self) -> Result<()> {
        for (level, stored) in self.parts.offsets.levels() {
            let queue = self.parts.queues.find(SCHEDULE_TOPIC, level.saturating_sub(1));
            let end = QueueOffset::new(queue.map_or(0, |queue| queue.range().end));
            if stored > end {
                tracing::warn!(level, %stored, %end, "a delay offset was set back");
                self.parts.offsets.set(level, end);
            }
        }
        self.parts.offsets.persist().map(|_| ())
    }

    /// Says where messages go, and starts the thread if some wait already.
    pub(crate) fn bind(self: &Arc<Self>, target: Weak<dyn Redeliver>) {
        // There is one store, and it calls this once.
        let _ = self.target.set(Target(target));
        let waits = |queue: &Arc<ConsumeQueue>| {
            let stored = self.parts.offsets.get(level_of(queue.queue_id()));
            let range = queue.range();
            range.start.max(stored.map_or(0, QueueOffset::get)) < range.end
        };
        if self.parts.queues.of_topic(SCHEDULE_TOPIC).iter().any(waits) {
            self.notice();
        }
    }

    /// Says that delayed messages can be read that could not be before.
    pub(crate) fn notice(self: &Arc<Self>) {
        self.signal.wakeup();
        if self.started.load(Ordering::Acquire) {
            return;
        }
        let mut thread = self.thread.lock();
        if thread.stopped || thread.running.is_some() || self.target.get().is_none() {
            return;
        }
        let (service, fence) = (Arc::clone(self), Arc::clone(&self.parts.fence));
        let body = move |signal: &Signal| service.serve(signal);
        let started =
            ServiceThread::start("cairn-schedule", Arc::clone(&self.signal), body, move |text| {
                fence.close_after_panic("ScheduleMessageService", &text);
            });
        match started {
            Ok(running) => {
                thread.running = Some(running);
                self.started.store(true, Ordering::Release);
            }
            // The next delayed message tries again.
            Err(error) => tracing::error!(%error, "delayed messages are not delivered"),
        }
    }

    /// Ends the thread; a message that is being put is put.
    pub(crate) fn shutdown(&self) {
        let running = {
            let mut thread = self.thread.lock();
            thread.stopped = true;
            thread.running.take()
        };
        if let Some(running) = running {
            running.stop_and_join();
        }
    }

    /// Stores how far everything was delivered, once the log is durable to its end and the service
    /// was shut down.
    pub(crate) fn store_all(&self) -> Result<()> {
        let mut rounds = self.rounds.lock();
        rounds.staged = None;
        rounds.moved = false;
        self.set_offsets(&offsets_of(&rounds.progress));
        self.parts.offsets.persist().map(|_| ())
    }

    /// What became of delayed messages.
    pub(crate) fn counts(&self) -> ScheduleCounts {
        ScheduleCounts {
            delivered: self.delivered.load(Ordering::Relaxed),
            undeliverable: self.undeliverable.load(Ordering::Relaxed),
        }
    }

    fn serve(&self, signal: &Signal) {
        loop {
            let Some(target) = self.target.get().and_then(|target| target.0.upgrade()) else {
                return;
            };
            let sleep = self.round(&*target);
            drop(target);
            match signal.wait(sleep.map(|sleep| sleep.min(MAX_SLEEP))) {
                Wake::Stopped => return,
                Wake::Notified if signal.rest(GATHER) => return,
                Wake::Notified | Wake::TimedOut => {}
            }
        }
    }

    /// Delivers what is due, and stores offsets if it is time for that. Returns how long there is
    /// nothing to do; `None` if that is until a message is dispatched.
    pub(crate) fn round(&self, target: &dyn Redeliver) -> Option<Duration> {
        let mut rounds = self.rounds.lock();
        let mut sleep = None;
        for queue in self.parts.queues.of_topic(SCHEDULE_TOPIC) {
            let progress = rounds.progress.entry(queue.queue_id());
            let progress = progress.or_insert_with(|| self.begin(&queue));
            let before = progress.next;
            let level = self.deliver(&queue, progress, target);
            rounds.moved |= progress_moved(&rounds.progress, queue.queue_id(), before);
            sleep = earlier(sleep, level);
        }
        earlier(sleep, self.store_in_time(&mut rounds))
    }

    /// Where a level goes on after the store was opened.
    fn begin(&self, queue: &ConsumeQueue) -> Progress {
        let range = queue.range();
        let stored = self.parts.offsets.get(level_of(queue.queue_id())).map_or(0, QueueOffset::get);
        let next = stored.clamp(range.start, range.end);
        if stored > range.end {
            let (level, end) = (level_of(queue.queue_id()), range.end);
            tracing::warn!(level, stored, end, "a delay offset lies behind its queue");
        }
        Progress { next, ..Progress::default() }
    }

    /// Delivers units of one level. Returns how long it has nothing to do.
    fn deliver(
        &self,
        queue: &ConsumeQueue,
        progress: &mut Progress,
        target: &dyn Redeliver,
    ) -> Option<Duration> {
        let now = self.parts.clock.monotonic_ms();
        if progress.failures > 0 && now < progress.retry_at_ms {
            return Some(Duration::from_millis(progress.retry_at_ms - now));
        }
        let range = queue.range();
        if progress.next < range.start {
            let (level, lost) = (level_of(queue.queue_id()), range.start - progress.next);
            tracing::warn!(level, lost, "delayed messages were removed before their time");
            progress.next = range.start;
        }
        let count = UNITS_PER_TURN.min(range.end.saturating_sub(progress.next));
        if count == 0 {
            return None;
        }
        let units = match queue.read(progress.next, count) {
            Ok(units) => units,
            Err(error) => return Some(self.failed(queue, progress, &error)),
        };
        if units.len() == 0 {
            // The file was removed; what it pointed to was, too.
            match queue.index_behind_file(units.first) {
                Ok(next) => progress.next = next,
                Err(error) => return Some(self.failed(queue, progress, &error)),
            }
            return Some(Duration::ZERO);
        }
        for (_, slot) in units.iter() {
            if let Slot::Unit(unit) = slot {
                match self.deliver_unit(queue, progress.next, unit, target) {
                    Ok(None) => {}
                    Ok(wait) => return wait,
                    Err(error) => return Some(self.failed(queue, progress, &error)),
                }
            }
            progress.next += 1;
            progress.failures = 0;
        }
        Some(Duration::ZERO)
    }

    /// Notes that the next unit could not be delivered, and returns how long its level waits.
    fn failed(&self, queue: &ConsumeQueue, progress: &mut Progress, error: &Error) -> Duration {
        let pause = FIRST_PAUSE_MS.checked_shl(progress.failures).unwrap_or(MAX_PAUSE_MS);
        // At ten doublings the pause has long reached its limit.
        progress.failures = (progress.failures + 1).min(10);
        let pause = pause.min(MAX_PAUSE_MS);
        progress.retry_at_ms = self.parts.clock.monotonic_ms().saturating_add(pause);
        let (level, offset) = (level_of(queue.queue_id()), progress.next);
        tracing::warn!(%error, level, offset, pause, "a delayed message cannot be delivered yet");
        Duration::from_millis(pause)
    }

    /// Delivers a unit, or passes over one that cannot be delivered ever. Returns how long to wait
    /// if it is not due.
    fn deliver_unit(
        &self,
        queue: &ConsumeQueue,
        index: u64,
        unit: Unit,
        target: &dyn Redeliver,
    ) -> Result<Option<Duration>> {
        let delivered = match self.look(queue, index, unit) {
            Ok(Due::In(wait)) => return Ok(Some(wait)),
            Ok(Due::Removed) => Err(None),
            Ok(Due::Message(message)) => match real_queue(&message.record()) {
                Ok((topic, queue_id)) => target.redeliver(&message, &topic, queue_id).map_err(Some),
                Err(error) => Err(Some(error)),
            },
            Err(error) => Err(Some(error)),
        };
        match delivered {
            Ok(()) => {
                self.delivered.fetch_add(1, Ordering::Relaxed);
            }
            Err(Some(error)) if can_be_cured(&error) => return Err(error),
            Err(error) => {
                self.undeliverable.fetch_add(1, Ordering::Relaxed);
                let cause =
                    error.map_or_else(|| "retention removed it".to_owned(), |e| e.to_string());
                let (level, offset) = (level_of(queue.queue_id()), unit.physical_offset);
                tracing::error!(level, index, offset, cause, "a delayed message is passed over");
            }
        }
        Ok(None)
    }

    fn look(&self, queue: &ConsumeQueue, index: u64, unit: Unit) -> Result<Due> {
        let now = self.parts.clock.wall_ms();
        let due = self.due_ms(level_of(queue.queue_id()), unit.tags_code, now);
        if let Ok(wait) = u64::try_from(due.saturating_sub(now))
            && wait > 0
        {
            return Ok(Due::In(Duration::from_millis(wait)));
        }
        let offset = unit.physical_offset;
        let Some(pin) = self.parts.log.pin(offset) else {
            if offset < self.parts.log.min_offset() {
                return Ok(Due::Removed);
            }
            return Err(unreadable("a unit points behind the log", offset));
        };
        // A damaged body must not get a new CRC that fits.
        let parsed = parse(pin.bytes(), offset, CrcCheck::Verify);
        check_pages(&pin, &parsed)?;
        let Ok(Parsed::Record(layout)) = parsed else {
            return Err(unreadable("a delayed message is damaged", offset));
        };
        let message = MessageView::new(pin, layout);
        let record = message.record();
        let same = record.topic_bytes() == SCHEDULE_TOPIC.as_bytes()
            && record.queue_id() == queue.queue_id()
            && record.queue_offset().get() == index;
        if !same {
            return Err(unreadable("a unit points to another message", offset));
        }
        Ok(Due::Message(Box::new(message)))
    }

    /// When a unit is due. A time further away than the level's delay is none that the level gave
    /// it by this clock: it is due now.
    fn due_ms(&self, level: i32, tags_code: i64, now: i64) -> i64 {
        let known = usize::try_from(level).ok().and_then(|level| self.parts.levels.find(level));
        let delay = known.map(|delay| i64::try_from(delay.as_millis()).unwrap_or(i64::MAX));
        match delay {
            Some(delay) if tags_code > now.saturating_add(delay) => now,
            _ => tags_code,
        }
    }

    /// Stores offsets if their time has come and the log is durable behind what they stand for.
    /// Returns how long there is nothing to store.
    fn store_in_time(&self, rounds: &mut Rounds) -> Option<Duration> {
        let now = self.parts.clock.monotonic_ms();
        if rounds.staged.is_none() && !rounds.moved && !self.parts.offsets.is_dirty() {
            return None;
        }
        let at =
            *rounds.store_at_ms.get_or_insert(now.saturating_add(self.parts.flush_interval_ms));
        if now < at {
            return Some(Duration::from_millis(at - now));
        }
        if rounds.staged.is_none() {
            let levels = offsets_of(&rounds.progress);
            rounds.staged = Some(StagedOffsets { end: self.parts.log.published(), levels });
            rounds.moved = false;
        }
        if let Some(staged) = &rounds.staged
            && self.parts.log.durable().get() < staged.end
        {
            return Some(Duration::from_millis(DURABLE_AFTER_MS.min(self.parts.flush_interval_ms)));
        }
        if let Some(staged) = rounds.staged.take() {
            self.set_offsets(&staged.levels);
        }
        if let Err(error) = self.parts.offsets.persist() {
            tracing::error!(%error, "it cannot be stored which delayed messages were delivered");
        }
        rounds.store_at_ms = None;
        let more = rounds.moved || self.parts.offsets.is_dirty();
        more.then(|| Duration::from_millis(self.parts.flush_interval_ms))
    }

    fn set_offsets(&self, levels: &[(i32, QueueOffset)]) {
        for (level, offset) in levels {
            self.parts.offsets.set(*level, *offset);
        }
    }
}

#[cfg(test)]
impl ScheduleMessageService {
    /// Whether the thread was started.
    pub(crate) fn is_started(&self) -> bool {
        self.started.load(Ordering::Acquire)
    }
}

/// The level of a queue of the schedule topic.
fn level_of(queue_id: i32) -> i32 {
    queue_id.saturating_add(1)
}

fn offsets_of(progress: &BTreeMap<i32, Progress>) -> Vec<(i32, QueueOffset)> {
    let offset = |(queue_id, progress): (&i32, &Progress)| {
        (level_of(*queue_id), QueueOffset::new(progress.next))
    };
    progress.iter().map(offset).collect()
}

fn progress_moved(progress: &BTreeMap<i32, Progress>, queue_id: i32, before: u64) -> bool {
    progress.get(&queue_id).is_some_and(|progress| progress.next != before)
}

/// The shorter of two waits, of which none means for ever.
fn earlier(one: Option<Duration>, other: Option<Duration>) -> Option<Duration> {
    one.into_iter().chain(other).min()
}

/// Whether a put that failed may succeed later. The message stays as it is, and so does what is
/// wrong with it; damage stays, too.
fn can_be_cured(error: &Error) -> bool {
    use crate::status::Status;
    // A file that was shortened meanwhile is no reason to give up what was in it.
    error.status() == Status::WrongFileSize || !matches!(error.status().code(), 1..100 | 300..400)
}

/// Where a delayed message is meant to go.
fn real_queue(record: &RecordView<'_>) -> Result<(String, i32)> {
    use crate::status::Status;
    let topic = record.property(PROPERTY_REAL_TOPIC).filter(|topic| {
        // RocketMQ passes over these, too: they would never come to a consumer.
        topic != SCHEDULE_TOPIC && topic != HALF_TOPIC
    });
    let topic = topic.ok_or_else(|| {
        Error::new(Status::TopicIllegal, "a delayed message names no topic it can go to")
    })?;
    let queue_id = record.property(PROPERTY_REAL_QUEUE_ID).and_then(|id| id.parse().ok());
    let queue_id = queue_id.ok_or_else(|| {
        Error::new(Status::QueueIdIllegal, "a delayed message names no queue it can go to")
    })?;
    Ok((topic.into_owned(), queue_id))
}

fn unreadable(what: &'static str, offset: u64) -> Error {
    Error::new(crate::status::Status::Corruption, what).at_offset(offset)
}
