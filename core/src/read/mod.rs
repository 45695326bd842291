//! Reading by queue: from an index through the consume queue to the records in the log.

mod async_tail;
mod follow;
mod gap;
mod tail;

pub use async_tail::AsyncTail;
pub(crate) use follow::Follower;
pub use tail::Tail;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use crate::codec::RecordView;
use crate::codec::message_id::decode_offset_message_id;
use crate::codec::properties::PROPERTY_UNIQUE_KEY;
use crate::codec::record::{CrcCheck, Parsed, parse};
use crate::commit_log::{MessageView, check_pages, defect_at};
use crate::consume_queue::{ConsumeQueue, ConsumeQueues, Slot, Unit, Units, partition_point};
use crate::dispatch::Dispatcher;
use crate::error::{Error, Result};
use crate::filter::Filter;
use crate::index::{Index, KeyQuery};
use crate::mapped::{MappedFileQueue, Pin};
use crate::offset::QueueOffset;
use crate::state::QueueKind;
use crate::status::Status;

/// Units that one read looks at, at least; with more messages asked for, as many as those.
const SCANNED_UNITS: u64 = 800;
/// Units that are read from the file at first, at least.
const FIRST_UNITS: u64 = 16;

/// What came of a read by queue; RocketMQ's `GetMessageStatus`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(i32)]
pub enum ReadOutcome {
    /// At least one message was read.
    Found = 0,
    /// The filter let none of the messages pass that were looked at.
    NoMatchedMessage = 1,
    /// Retention removed the messages that were looked at.
    MessageWasRemoving = 2,
    /// The queue has no file there; go on at the next offset. A [`crate::StoreReader`] stays at the
    /// same offset while the log has messages that the file had: they are to be waited for.
    OffsetFoundNull = 3,
    /// The offset lies behind the end of the queue.
    OffsetOverflowBadly = 4,
    /// The offset is the end of the queue: nothing has come yet.
    OffsetOverflowOne = 5,
    /// The offset lies in front of the queue's first message.
    OffsetTooSmall = 6,
    /// There is no such queue.
    NoMatchedLogicQueue = 7,
    /// The queue has had no message yet.
    NoMessageInQueue = 8,
}

impl ReadOutcome {
    /// Every outcome, in ascending order of its number.
    pub const ALL: &'static [Self] = &[
        Self::Found,
        Self::NoMatchedMessage,
        Self::MessageWasRemoving,
        Self::OffsetFoundNull,
        Self::OffsetOverflowBadly,
        Self::OffsetOverflowOne,
        Self::OffsetTooSmall,
        Self::NoMatchedLogicQueue,
        Self::NoMessageInQueue,
    ];

    /// The number, the same in every language.
    #[must_use]
    pub const fn code(self) -> i32 {
        self as i32
    }

    /// RocketMQ's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Found => "FOUND",
            Self::NoMatchedMessage => "NO_MATCHED_MESSAGE",
            Self::MessageWasRemoving => "MESSAGE_WAS_REMOVING",
            Self::OffsetFoundNull => "OFFSET_FOUND_NULL",
            Self::OffsetOverflowBadly => "OFFSET_OVERFLOW_BADLY",
            Self::OffsetOverflowOne => "OFFSET_OVERFLOW_ONE",
            Self::OffsetTooSmall => "OFFSET_TOO_SMALL",
            Self::NoMatchedLogicQueue => "NO_MATCHED_LOGIC_QUEUE",
            Self::NoMessageInQueue => "NO_MESSAGE_IN_QUEUE",
        }
    }
}

/// What is read from a queue.
///
/// ```
/// use cairnlog::{Filter, ReadRequest};
///
/// let wanted = Filter::tags("a || b")?;
/// let request = ReadRequest::new("orders", 0, 42).max_messages(100).filter(wanted);
/// # Ok::<(), cairnlog::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct ReadRequest<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The queue.
    pub queue_id: i32,
    /// The index of the first message wanted. A negative one is too small.
    pub offset: i64,
    /// Messages returned at most, but at least one. An inner batch in a batch queue is returned as
    /// one and counts for as many as it has. Default 32.
    pub max_messages: usize,
    /// Bytes of records returned at most, but at least one message. Default 128 MiB.
    pub max_bytes: usize,
    /// Which messages are wanted. Default all.
    pub filter: Filter,
}

impl<'a> ReadRequest<'a> {
    /// A request for up to 32 messages from an index on.
    #[must_use]
    pub fn new(topic: &'a str, queue_id: i32, offset: i64) -> Self {
        let filter = Filter::all();
        Self { topic, queue_id, offset, max_messages: 32, max_bytes: 128 << 20, filter }
    }

    /// Sets how many messages are returned at most.
    #[must_use]
    pub fn max_messages(mut self, max_messages: usize) -> Self {
        self.max_messages = max_messages;
        self
    }

    /// Sets how many bytes of records are returned at most; one message always is.
    #[must_use]
    pub fn max_bytes(mut self, max_bytes: usize) -> Self {
        self.max_bytes = max_bytes;
        self
    }

    /// Sets which messages are wanted.
    #[must_use]
    pub fn filter(mut self, filter: Filter) -> Self {
        self.filter = filter;
        self
    }
}

/// Messages read from a queue, and where to go on.
#[derive(Debug, Clone)]
pub struct QueueBatch {
    outcome: ReadOutcome,
    messages: Vec<MessageView>,
    next_offset: i64,
    range: std::ops::Range<u64>,
}

impl QueueBatch {
    /// What came of the read.
    #[must_use]
    pub fn outcome(&self) -> ReadOutcome {
        self.outcome
    }

    /// The messages, in the order of the queue. Each pins the file it lies in.
    #[must_use]
    pub fn messages(&self) -> &[MessageView] {
        &self.messages
    }

    /// The messages, without the batch.
    #[must_use]
    pub fn into_messages(self) -> Vec<MessageView> {
        self.messages
    }

    /// Where to go on reading.
    #[must_use]
    pub fn next_offset(&self) -> i64 {
        self.next_offset
    }

    /// The index of the queue's first message at the time of the read.
    #[must_use]
    pub fn min_offset(&self) -> QueueOffset {
        QueueOffset::new(self.range.start)
    }

    /// One past the index of the queue's last message at the time of the read.
    #[must_use]
    pub fn max_offset(&self) -> QueueOffset {
        QueueOffset::new(self.range.end)
    }
}

/// Which of the messages around a time is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeBoundary {
    /// The first message stored at or after the time; the end of the queue if there is none.
    Lower,
    /// The last message stored at or before the time; the first message if there is none.
    Upper,
}

/// What reading needs of a store.
#[derive(Debug, Clone)]
pub(crate) struct Reading {
    pub(crate) log: Arc<MappedFileQueue>,
    pub(crate) queues: Arc<ConsumeQueues>,
    /// Absent in a store without a key index.
    pub(crate) index: Option<Arc<Index>>,
    pub(crate) source: Source,
    /// How thoroughly messages are looked at.
    pub(crate) crc: CrcCheck,
}

/// Who brings messages to the queues.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// This process.
    Dispatcher(Arc<Dispatcher>),
    /// Another one, which is followed.
    Follower(Arc<Follower>),
}

/// A batch while it is filled.
struct Filling {
    /// The record that was looked at before, and what is readable behind it.
    near: Option<Pin>,
    messages: usize,
    bytes: usize,
    next: u64,
}

/// What became of one unit.
enum Examined {
    Message(MessageView),
    Filtered,
    Removed,
}

impl Reading {
    /// Messages of a queue from an index on.
    pub(crate) fn read(&self, request: &ReadRequest<'_>) -> Result<QueueBatch> {
        let end = |outcome, next_offset, range| {
            Ok(QueueBatch { outcome, messages: Vec::new(), next_offset, range })
        };
        let Some(queue) = self.queue(request.topic, request.queue_id)? else {
            return end(ReadOutcome::NoMatchedLogicQueue, 0, 0..0);
        };
        let range = queue.range();
        if range.end == 0 {
            return end(ReadOutcome::NoMessageInQueue, 0, range);
        }
        let offset = u64::try_from(request.offset).unwrap_or(0);
        if offset < range.start && self.will_come(&queue, offset..range.start)? {
            return end(ReadOutcome::OffsetFoundNull, request.offset, range);
        }
        if offset < range.start || request.offset < 0 {
            return end(ReadOutcome::OffsetTooSmall, signed(range.start), range);
        }
        if offset == range.end {
            return end(ReadOutcome::OffsetOverflowOne, request.offset, range);
        }
        if offset > range.end {
            return end(ReadOutcome::OffsetOverflowBadly, signed(range.end), range);
        }
        self.read_units(&queue, offset, range, request)
    }

    /// Looks at units until the batch is full, the file of the queue ends, or enough were seen.
    fn read_units(
        &self,
        queue: &ConsumeQueue,
        offset: u64,
        range: std::ops::Range<u64>,
        request: &ReadRequest<'_>,
    ) -> Result<QueueBatch> {
        let wanted = request.max_messages as u64;
        let most = SCANNED_UNITS.max(wanted).min(range.end - offset);
        // One more than wanted tells that the batch is full. What a filter passes over takes more.
        let first = wanted.saturating_add(1).max(FIRST_UNITS).min(most);
        let units = queue.read(offset, first)?;
        let count = units.len();
        if let Some(next) = self.index_behind_gap(queue, offset, &units)? {
            let will_come = self.will_come(queue, offset..next)?;
            if will_come || count == 0 {
                let next_offset = signed(if will_come { offset } else { next });
                let (outcome, messages) = (ReadOutcome::OffsetFoundNull, Vec::new());
                return Ok(QueueBatch { outcome, messages, next_offset, range });
            }
        }
        let mut batch = QueueBatch {
            outcome: ReadOutcome::NoMatchedMessage,
            messages: Vec::with_capacity(request.max_messages.min(count)),
            next_offset: signed(offset),
            range,
        };
        let mut filling = Filling { near: None, messages: 0, bytes: 0, next: offset };
        let (mut units, mut seen) = (units, 0);
        let first = units.first;
        loop {
            let full = self.fill(&mut batch, &mut filling, queue, &units, request)?;
            let count = units.len() as u64;
            seen += count;
            if full || seen >= most {
                break;
            }
            units = queue.read_on(&units, count.saturating_mul(2).min(most - seen))?;
            if units.len() == 0 {
                break;
            }
        }
        // A follower waits there for a queue that is being built again.
        if filling.next == offset && matches!(self.source, Source::Dispatcher(_)) {
            return Err(mismatch(queue, first, "a unit stands for other indexes than its own"));
        }
        batch.next_offset = signed(filling.next);
        Ok(batch)
    }

    /// Puts the messages of units into the batch. True if no more are to come.
    fn fill(
        &self,
        batch: &mut QueueBatch,
        filling: &mut Filling,
        queue: &ConsumeQueue,
        units: &Units,
        request: &ReadRequest<'_>,
    ) -> Result<bool> {
        for (number, slot) in units.iter() {
            if slot == Slot::Free && matches!(self.source, Source::Follower(_)) {
                // The queue is being built again, and will have this index again.
                return Ok(true);
            }
            if slot == Slot::Free {
                // No queue has one in front of its end.
                if batch.messages.is_empty() {
                    return Err(mismatch(queue, number, "a unit is missing"));
                }
                return Ok(true);
            }
            let Slot::Unit(unit) = slot else {
                // An index without a message, or inside an inner batch that was read.
                filling.next = filling.next.max(number + 1);
                continue;
            };
            let messages = filling.messages.saturating_add(unit.messages as usize);
            let bytes = filling.bytes.saturating_add(unit.size_bytes as usize);
            let full = messages > request.max_messages || bytes > request.max_bytes;
            if full && !batch.messages.is_empty() || unit.index >= batch.range.end {
                return Ok(true);
            }
            filling.next = filling.next.max(unit.index_end());
            let examined = self.examine(queue, number, unit, &request.filter, &mut filling.near);
            if examined.is_err() && !batch.messages.is_empty() {
                // What is good is returned first; the next read meets the damage.
                filling.next = unit.index;
                return Ok(true);
            }
            match examined? {
                Examined::Filtered => {
                    batch.outcome = batch.unless_found(ReadOutcome::NoMatchedMessage)
                }
                Examined::Removed => {
                    batch.outcome = batch.unless_found(ReadOutcome::MessageWasRemoving)
                }
                Examined::Message(message) => {
                    (filling.messages, filling.bytes) = (messages, bytes);
                    if queue.kind() == QueueKind::Simple {
                        let end = unit.index + u64::from(message.record().message_count());
                        filling.next = filling.next.max(end);
                    }
                    batch.messages.push(message);
                    batch.outcome = ReadOutcome::Found;
                }
            }
        }
        Ok(false)
    }

    fn examine(
        &self,
        queue: &ConsumeQueue,
        number: u64,
        unit: Unit,
        filter: &Filter,
        near: &mut Option<Pin>,
    ) -> Result<Examined> {
        if !filter.may_match_tags_code(unit.tags_code) {
            return Ok(Examined::Filtered);
        }
        let Some(message) = self.message(queue, number, unit, near)? else {
            return Ok(Examined::Removed);
        };
        Ok(if filter.matches(&message) { Examined::Message(message) } else { Examined::Filtered })
    }

    /// The message of a unit; `None` if retention removed it. `near` pins an earlier message,
    /// which mostly lies in the same file.
    // A call of its own takes a tenth of what it does.
    #[inline(always)]
    fn message(
        &self,
        queue: &ConsumeQueue,
        number: u64,
        unit: Unit,
        near: &mut Option<Pin>,
    ) -> Result<Option<MessageView>> {
        let pin = match near.as_ref().and_then(|pin| pin.at(unit.physical_offset)) {
            Some(pin) => pin,
            None => match self.pin(queue, number, unit)? {
                Some(pin) => near.insert(pin).clone(),
                None => return Ok(None),
            },
        };
        let parsed = parse(pin.bytes(), unit.physical_offset, self.crc);
        check_pages(&pin, &parsed)?;
        let layout = match parsed {
            Ok(Parsed::Record(layout)) => layout,
            Err(defect) if defect.is_of_crc() => {
                return Err(defect_at(&pin, unit.physical_offset, defect));
            }
            _ => return Err(mismatch(queue, number, "a unit points to no record")),
        };
        let message = MessageView::new(pin, layout);
        if !belongs(&message.record(), queue, unit.index) || message.size_bytes() != unit.size_bytes
        {
            return Err(mismatch(queue, number, "a unit points to another message"));
        }
        Ok(Some(message))
    }

    /// What is readable from the beginning of a unit's record on; `None` if retention removed it.
    fn pin(&self, queue: &ConsumeQueue, number: u64, unit: Unit) -> Result<Option<Pin>> {
        if unit.physical_offset < self.log.min_offset() {
            return Ok(None);
        }
        let pin = self.log.pin(unit.physical_offset);
        if pin.is_none() && unit.physical_offset >= self.log.min_offset() {
            return Err(mismatch(queue, number, "a unit points behind the log"));
        }
        Ok(pin)
    }

    /// The index of the message stored around a time; of a batch queue the first of the batch.
    pub(crate) fn offset_at_time(
        &self,
        queue: &ConsumeQueue,
        time_ms: i64,
        boundary: TimeBoundary,
    ) -> Result<u64> {
        let range = queue.range();
        let numbers = queue.numbers_of(range.clone())?;
        let before = |number: u64| {
            let time = self.time_of(queue, number)?;
            Ok(time.is_none_or(|time| match boundary {
                TimeBoundary::Lower => time < time_ms,
                TimeBoundary::Upper => time <= time_ms,
            }))
        };
        let first_behind = partition_point(numbers.clone(), before)?;
        let number = match boundary {
            TimeBoundary::Lower => first_behind,
            TimeBoundary::Upper => first_behind.saturating_sub(1).max(numbers.start),
        };
        Ok(queue.index_of(number)?.clamp(range.start, range.end))
    }

    /// The queue as it is now, if it ever had a message.
    pub(crate) fn queue(&self, topic: &str, queue_id: i32) -> Result<Option<Arc<ConsumeQueue>>> {
        match &self.source {
            Source::Dispatcher(_) => {
                Ok(self.queues.find(topic, queue_id).filter(|queue| queue.exists()))
            }
            Source::Follower(follower) => follower.queue(topic, queue_id),
        }
    }

    /// Waits until a queue can be read at an index. False when the deadline passed, the store was
    /// closed, or there can be no such queue.
    pub(crate) fn wait_message(
        &self,
        topic: &str,
        queue_id: i32,
        offset: u64,
        deadline: Option<Instant>,
    ) -> bool {
        match &self.source {
            Source::Dispatcher(dispatcher) => {
                let end = self.queues.end_of(topic, queue_id);
                end.is_some_and(|end| dispatcher.wait_past(&end, offset, deadline, || false))
            }
            Source::Follower(follower) => {
                // What cannot be read is left to the read that follows.
                let brings = || self.brings(topic, queue_id, offset).unwrap_or(true);
                follower.wait(deadline, brings)
            }
        }
    }

    /// The newest messages with a key, at most `max_messages`, in the order of the log.
    pub(crate) fn query_key(
        &self,
        query: &KeyQuery<'_>,
        max_messages: usize,
    ) -> Result<Vec<MessageView>> {
        let Some(index) = &self.index else {
            return Err(Error::new(Status::InvalidArgument, "the store has no key index"));
        };
        let mut found = Vec::new();
        if max_messages == 0 {
            return Ok(found);
        }
        if let Source::Follower(follower) = &self.source {
            follower.look_at_index()?;
        }
        index.query(query, |offset| {
            // What retention removed, or a cut log no longer has, is not found.
            if let Some(message) = self.message_at(offset)?.filter(|message| has(message, query)) {
                found.push(message);
            }
            let full = found.len() >= max_messages;
            Ok(if full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        found.reverse();
        Ok(found)
    }

    /// The message of a topic with an id: `offsetMsgId`, or else the unique key.
    pub(crate) fn find_by_message_id(&self, topic: &str, id: &str) -> Result<Option<MessageView>> {
        if let Some((_, offset)) = decode_offset_message_id(id)
            && let Some(message) = self.message_at(offset.get())?
            && message.offset_message_id().eq_ignore_ascii_case(id)
        {
            return Ok(Some(message).filter(|message| message.topic() == topic));
        }
        let query = KeyQuery { topic, key: id, begin_ms: 0, end_ms: i64::MAX };
        Ok(self.query_key(&query, 1)?.pop())
    }

    /// The message whose record begins at an offset, if one does.
    pub(crate) fn message_at(&self, offset: u64) -> Result<Option<MessageView>> {
        let Some(pin) = self.log.pin(offset) else {
            return Ok(None);
        };
        let parsed = parse(pin.bytes(), offset, self.crc);
        check_pages(&pin, &parsed)?;
        match parsed {
            Ok(Parsed::Record(layout)) => Ok(Some(MessageView::new(pin, layout))),
            Err(defect) if defect.is_of_crc() => Err(defect_at(&pin, offset, defect)),
            _ => Ok(None),
        }
    }

    /// When a message was stored; `None` if there is none any more.
    fn time_of(&self, queue: &ConsumeQueue, number: u64) -> Result<Option<i64>> {
        let Slot::Unit(unit) = queue.unit(number)? else {
            return Ok(None);
        };
        if unit.store_timestamp_ms.is_some() && unit.physical_offset >= self.log.min_offset() {
            return Ok(unit.store_timestamp_ms);
        }
        let message = self.message(queue, number, unit, &mut None)?;
        Ok(message.map(|message| message.store_timestamp_ms()))
    }
}

impl QueueBatch {
    /// Messages that were read stay the outcome.
    fn unless_found(&self, outcome: ReadOutcome) -> ReadOutcome {
        if self.messages.is_empty() { outcome } else { ReadOutcome::Found }
    }
}

/// Whether a message has the topic and key, and was stored in the time asked for.
fn has(message: &MessageView, query: &KeyQuery<'_>) -> bool {
    let record = message.record();
    (query.begin_ms..=query.end_ms).contains(&record.store_timestamp_ms())
        && record.topic() == query.topic
        && (record.property(PROPERTY_UNIQUE_KEY).is_some_and(|key| key == query.key)
            || record.keys().iter().any(|key| key == query.key))
}

/// Whether a record is the message of an index.
fn belongs(record: &RecordView<'_>, queue: &ConsumeQueue, index: u64) -> bool {
    record.queue_offset().get() == index
        && record.queue_id() == queue.queue_id()
        && record.topic_bytes() == queue.topic().as_bytes()
        && record.is_queued()
}

fn mismatch(queue: &ConsumeQueue, number: u64, what: &'static str) -> Error {
    let (path, position) = queue.locate(number);
    Error::new(Status::Corruption, what).at_path(path).at_offset(position)
}

/// An index as RocketMQ's clients count.
fn signed(index: u64) -> i64 {
    QueueOffset::new(index).to_i64()
}
