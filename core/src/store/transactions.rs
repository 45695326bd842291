//! Transactions: half messages that nobody sees until they are committed.
//!
//! 1. A half message waits in a topic of its own. Committing puts the message itself into its
//!    queue, then an op message that says the half is ended; rolling back puts that one alone.
//! 2. What is open follows from the queues of half and op messages: it is found again at opening.
//! 3. A half message that is put once more, to count a check, takes the place of its older copy,
//!    which an op message ends; where that was still leads to the transaction.
//! 4. A crash between the two records of a commit leaves the transaction open, and the message in
//!    its queue: it may be committed once more, but is never lost.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Inner, Store};
use crate::codec::properties::{
    PROPERTY_CHECK_IMMUNITY_TIME, PROPERTY_REAL_QUEUE_ID, PROPERTY_REAL_TOPIC,
    PROPERTY_TRANSACTION_CHECK_TIMES, PROPERTY_TRANSACTION_PREPARED_QUEUE_OFFSET,
    PROPERTY_UNIQUE_KEY,
};
use crate::commit_log::{self, MessageView, check_queue_id, check_topic};
use crate::consume::Groups;
use crate::consume_queue::{ConsumeQueues, Slot};
use crate::delay::SCHEDULE_TOPIC;
use crate::error::{Error, Result};
use crate::mapped::MappedFileQueue;
use crate::message::{AppendResult, Message};
use crate::offset::{PhysicalOffset, QueueOffset};
use crate::options::StoreOptions;
use crate::status::Status;

/// The topic of half messages.
pub(crate) const HALF_TOPIC: &str = "RMQ_SYS_TRANS_HALF_TOPIC";
/// The topic of op messages, which say that half messages are ended.
const OP_TOPIC: &str = "RMQ_SYS_TRANS_OP_HALF_TOPIC";
/// The group under which RocketMQ notes which half and op messages it is done with.
const GROUP: &str = "CID_RMQ_SYS_TRANS";
/// The tag of an op message.
const ENDED_TAG: &str = "d";
/// Units that are read together when open transactions are looked for.
const UNITS_AT_ONCE: u64 = 256;
/// Half and op messages are in the first queues of their topics.
pub(super) const QUEUE_ID: i32 = 0;

/// The open transactions of a store.
#[derive(Debug)]
pub(super) struct Transactions {
    pub(super) open: Mutex<OpenHalves>,
    /// From which age on it is asked about a half message that names no other.
    timeout_ms: i64,
    /// The time between two times.
    pub(super) interval_ms: i64,
}

/// The open transactions by where their half messages lie, and where those were before.
#[derive(Debug, Default)]
pub(super) struct OpenHalves {
    pub(super) by_offset: BTreeMap<u64, OpenHalf>,
    /// Where a half message lies now that was put once more.
    pub(super) moved: BTreeMap<u64, u64>,
}

/// The half message of an open transaction.
#[derive(Debug)]
pub(super) struct OpenHalf {
    pub(super) index: u64,
    /// How often it was asked what is to become of it.
    pub(super) times: u32,
    /// It is asked again `wait_ms` behind this wall clock time.
    pub(super) since_ms: i64,
    pub(super) wait_ms: i64,
    /// Where it lay before, oldest first.
    pub(super) former: Vec<u64>,
    /// The indexes of older copies that are still to be ended.
    pub(super) unended: Vec<u64>,
}

/// A transaction that was begun: its message is stored, and nobody sees it.
///
/// Dropping it ends nothing: the transaction stays open, over closing and opening the store, too.
pub struct Transaction {
    inner: Arc<Inner>,
    half: AppendResult,
    id: Option<String>,
}

impl std::fmt::Debug for Transaction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Transaction({})", self.half.physical_offset)
    }
}

impl Transaction {
    /// Where the half message was put at first; [`Store::commit_transaction`] takes it as long as
    /// the store is open, also when the half message was put once more because of a check.
    #[must_use]
    pub fn half_offset(&self) -> PhysicalOffset {
        self.half.physical_offset
    }

    /// What appending the half message gave.
    #[must_use]
    pub fn half(&self) -> AppendResult {
        self.half
    }

    /// The message's unique key (property `UNIQ_KEY`), which is RocketMQ's id of the transaction.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// As [`Store::commit_transaction`].
    ///
    /// # Errors
    ///
    /// As [`Store::commit_transaction`].
    pub fn commit(&self) -> Result<AppendResult> {
        self.inner.commit_transaction(self.half_offset())
    }

    /// As [`Store::rollback_transaction`].
    ///
    /// # Errors
    ///
    /// As [`Store::rollback_transaction`].
    pub fn rollback(&self) -> Result<()> {
        self.inner.rollback_transaction(self.half_offset())
    }
}

impl Store {
    /// Stores a message that comes to its queue only when the transaction is committed. The
    /// transaction type in its `sys_flag` is not looked at; a delay begins with the commit.
    ///
    /// # Errors
    ///
    /// - [`Status::InvalidArgument`]: the store was opened without consume queues.
    /// - As [`Store::append`].
    pub fn begin_transaction(&self, message: &Message<'_>) -> Result<Transaction> {
        let inner = &self.inner;
        inner.dispatching()?;
        let (half, due_ms) = inner.place_half(message)?;
        inner.notice_half(due_ms);
        let half = inner.acknowledge_now(half, message)?;
        let id = message.properties.iter().rev().find(|(name, _)| *name == PROPERTY_UNIQUE_KEY);
        let id = id.map(|(_, value)| (*value).to_owned());
        Ok(Transaction { inner: Arc::clone(inner), half, id })
    }

    /// Puts the message of an open transaction into its queue, and returns where it lies, once it
    /// is as safe as the store's flush mode promises.
    ///
    /// # Errors
    ///
    /// - [`Status::NoSuchTransaction`]: no open transaction has its half message there.
    /// - As [`Store::append`]. The transaction stays open if nothing was stored. If
    ///   [`Error::appended`] says where the message is, it is committed; after a crash the
    ///   transaction may then be open again.
    pub fn commit_transaction(&self, half: PhysicalOffset) -> Result<AppendResult> {
        self.inner.commit_transaction(half)
    }

    /// Ends an open transaction: nobody will ever see its message.
    ///
    /// # Errors
    ///
    /// - [`Status::NoSuchTransaction`]: no open transaction has its half message there.
    /// - As [`Store::append`]; the transaction stays open if nothing was stored.
    pub fn rollback_transaction(&self, half: PhysicalOffset) -> Result<()> {
        self.inner.rollback_transaction(half)
    }

    /// Where the half messages of all open transactions lie, in log order. A check puts a half
    /// message once more: then its newest place counts here.
    ///
    /// # Errors
    ///
    /// - [`Status::StoreClosed`], [`Status::Forked`]: the store cannot.
    pub fn open_transactions(&self) -> Result<Vec<PhysicalOffset>> {
        self.inner.check_readable()?;
        let open = self.inner.transactions.open.lock();
        Ok(open.by_offset.keys().map(|offset| PhysicalOffset::new(*offset)).collect())
    }
}

impl Inner {
    /// Puts a half message into the log, and returns when it is to be asked about.
    fn place_half(&self, message: &Message<'_>) -> Result<(AppendResult, i64)> {
        self.check()?;
        check_topic(message.topic)?;
        check_queue_id(message.queue_id)?;
        let draft = self.preparer.half(message, HALF_TOPIC, QUEUE_ID)?;
        let half = self.put(&[draft], HALF_TOPIC, QUEUE_ID, 1)?;
        self.expect_in(message.topic, message.queue_id);
        let immunity =
            message.properties.iter().rev().find(|(name, _)| *name == PROPERTY_CHECK_IMMUNITY_TIME);
        let stored_ms = half.store_timestamp_ms;
        let open = OpenHalf {
            index: half.queue_offset.get(),
            times: 0,
            since_ms: message.born_timestamp_ms.unwrap_or(stored_ms).min(stored_ms),
            wait_ms: self.transactions.wait_ms(immunity.map(|(_, value)| *value)),
            former: Vec::new(),
            unended: Vec::new(),
        };
        let due_ms = open.due_ms();
        self.transactions.open.lock().by_offset.insert(half.physical_offset.get(), open);
        Ok((half, due_ms))
    }

    pub(super) fn commit_transaction(&self, half: PhysicalOffset) -> Result<AppendResult> {
        self.end_transaction(half, |half, indexes| {
            let placed = self.place_committed(half)?;
            let op = self.place_op(indexes).map_err(|error| error.with_appended(placed))?;
            Ok((placed, op))
        })
    }

    pub(super) fn rollback_transaction(&self, half: PhysicalOffset) -> Result<()> {
        let rolled_back = self.end_transaction(half, |_, indexes| {
            let op = self.place_op(indexes)?;
            Ok((op, op))
        });
        rolled_back.map(|_| ())
    }

    /// Takes a transaction out of the open ones while it is being ended, and puts it back if
    /// nothing was stored. `end` gets where the half message lies now and the indexes to end, and
    /// returns what it put and the op message behind it, which is waited for with all in front.
    pub(super) fn end_transaction(
        &self,
        half: PhysicalOffset,
        end: impl FnOnce(PhysicalOffset, &[u64]) -> Result<(AppendResult, AppendResult)>,
    ) -> Result<AppendResult> {
        self.dispatching()?;
        self.check()?;
        let Some((offset, mut open)) = self.transactions.open.lock().take(half.get()) else {
            let what = "no open transaction has its half message there";
            return Err(Error::new(Status::NoSuchTransaction, what).at_offset(half.get()));
        };
        open.unended.push(open.index);
        let ended = end(PhysicalOffset::new(offset), &open.unended);
        let mut halves = self.transactions.open.lock();
        match ended {
            Err(error) if error.appended().is_none() => {
                open.unended.pop();
                halves.by_offset.insert(offset, open);
                Err(error)
            }
            ended => {
                halves.forget_former(&open);
                drop(halves);
                let (placed, op) = ended?;
                self.acknowledge_now(op, &Message::new(OP_TOPIC, b""))
                    .map_err(|error| error.with_appended(placed))?;
                Ok(placed)
            }
        }
    }

    /// The half message that lies somewhere.
    pub(super) fn read_half(&self, half: PhysicalOffset) -> Result<MessageView> {
        let queue = self.log.queue();
        if queue.committed().get() <= half.get() {
            self.log.commit()?;
        }
        commit_log::read_at(queue, half)
    }

    /// Puts the message itself into the log.
    fn place_committed(&self, half: PhysicalOffset) -> Result<AppendResult> {
        let message = self.read_half(half)?;
        let record = message.record();
        let (topic, queue_id) = real_queue(&message)?;
        let level = self.preparer.stored_delay_level(&record);
        let (topic, queue_id) = match level.checked_sub(1) {
            Some(waiting) => (SCHEDULE_TOPIC, waiting.cast_signed()),
            None => (&*topic, queue_id),
        };
        let draft = self.preparer.committed(&record, topic, queue_id)?;
        self.put(&[draft], topic, queue_id, 1)
    }

    /// Notes in the log that the half messages of these indexes are ended.
    pub(super) fn place_op(&self, indexes: &[u64]) -> Result<AppendResult> {
        let body: String = indexes.iter().map(|index| format!("{index},")).collect();
        let message = Message::new(OP_TOPIC, body.as_bytes()).tag(ENDED_TAG);
        let mut draft = self.preparer.message(&message, OP_TOPIC, QUEUE_ID);
        self.preparer.check(&message, &mut draft)?;
        self.put(&[draft], OP_TOPIC, QUEUE_ID, 1)
    }
}

/// Where a half message is meant to go.
pub(super) fn real_queue(message: &MessageView) -> Result<(String, i32)> {
    let record = message.record();
    let topic = record.property(PROPERTY_REAL_TOPIC).unwrap_or_default().into_owned();
    let queue_id = record.property(PROPERTY_REAL_QUEUE_ID).and_then(|id| id.parse().ok());
    check_topic(&topic)?;
    let queue_id = queue_id.unwrap_or(-1);
    check_queue_id(queue_id)?;
    Ok((topic, queue_id))
}

impl OpenHalves {
    /// Takes out the transaction whose half message lies there, or did before it was put once more.
    fn take(&mut self, half: u64) -> Option<(u64, OpenHalf)> {
        let offset = self.moved.get(&half).copied().unwrap_or(half);
        self.by_offset.remove(&offset).map(|open| (offset, open))
    }

    /// Forgets where a half message was before that is ended.
    pub(super) fn forget_former(&mut self, open: &OpenHalf) {
        for offset in &open.former {
            self.moved.remove(offset);
        }
    }
}

impl OpenHalf {
    /// When it is asked about it, by the wall clock.
    pub(super) fn due_ms(&self) -> i64 {
        self.since_ms.saturating_add(self.wait_ms)
    }

    /// How long it is not asked about it. A beginning further away than the wait is none that this
    /// clock gave: it was turned back.
    pub(super) fn remaining_ms(&self, now_ms: i64) -> i64 {
        if self.since_ms > now_ms.saturating_add(self.wait_ms) {
            return 0;
        }
        self.due_ms().saturating_sub(now_ms).max(0)
    }
}

impl Transactions {
    pub(super) fn new(options: &StoreOptions) -> Self {
        let signed = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
        Self {
            open: Mutex::default(),
            timeout_ms: signed(options.transaction_timeout_ms),
            interval_ms: signed(options.transaction_check_interval_ms),
        }
    }

    /// From which age on it is asked about a half message with this property.
    fn wait_ms(&self, immunity: Option<&str>) -> i64 {
        let seconds = immunity.and_then(|seconds| seconds.parse::<u32>().ok());
        seconds.map_or(self.timeout_ms, |seconds| i64::from(seconds) * 1000)
    }

    /// What is known of a half message by itself.
    fn open_half(&self, index: u64, message: &MessageView) -> OpenHalf {
        let times = message.property(PROPERTY_TRANSACTION_CHECK_TIMES);
        let times = times.and_then(|times| times.parse().ok()).unwrap_or(0);
        let stored_ms = message.store_timestamp_ms();
        let (since_ms, wait_ms) = match times {
            0 => {
                let immunity = message.property(PROPERTY_CHECK_IMMUNITY_TIME);
                (message.born_timestamp_ms().min(stored_ms), self.wait_ms(immunity.as_deref()))
            }
            // It was put once more when it was asked.
            _ => (stored_ms, self.interval_ms),
        };
        OpenHalf { index, times, since_ms, wait_ms, former: Vec::new(), unended: Vec::new() }
    }

    /// Finds the open transactions of a store that is being opened, when its queues hold all of the
    /// log.
    pub(super) fn load(
        &mut self,
        log: &MappedFileQueue,
        queues: &ConsumeQueues,
        groups: &Groups,
    ) -> Result<()> {
        let found = find_open(log, queues, groups, |index, message| {
            (message.physical_offset().get(), self.open_half(index, message))
        })?;
        self.open.get_mut().by_offset = found.into_values().collect();
        Ok(())
    }

    /// Notes what need not be looked at by the next opening. Only when everything is durable: a
    /// transaction whose end a power cut took must be found open.
    /// What is open is found in the queues, which also know of halves that others put there.
    pub(super) fn note(
        log: &MappedFileQueue,
        queues: &ConsumeQueues,
        groups: &Groups,
    ) -> Result<()> {
        let end = |topic| queues.find(topic, QUEUE_ID).map_or(0, |queue| queue.range().end);
        let (half_end, op_end) = (end(HALF_TOPIC), end(OP_TOPIC));
        if half_end == 0 {
            return Ok(());
        }
        let open = find_open(log, queues, groups, |_, _| ())?;
        let oldest = open.first_key_value().map(|(index, ())| *index);
        let half = QueueOffset::new(oldest.unwrap_or(half_end));
        groups.offsets.reset(GROUP, HALF_TOPIC, QUEUE_ID, half);
        if oldest.is_none() && op_end > 0 {
            groups.offsets.reset(GROUP, OP_TOPIC, QUEUE_ID, QueueOffset::new(op_end));
        }
        Ok(())
    }
}

/// What `look` finds of the half messages that no op message ended, by their index.
fn find_open<T>(
    log: &MappedFileQueue,
    queues: &ConsumeQueues,
    groups: &Groups,
    look: impl Fn(u64, &MessageView) -> T,
) -> Result<BTreeMap<u64, T>> {
    let mut open = BTreeMap::new();
    // Of each that RocketMQ put once more without asking, the index that a producer knows.
    let mut copies = BTreeMap::new();
    for_each_message(log, queues, groups, HALF_TOPIC, |index, message| {
        let prepared = message.property(PROPERTY_TRANSACTION_PREPARED_QUEUE_OFFSET);
        if let Some(prepared) = prepared.and_then(|prepared| prepared.parse::<u64>().ok()) {
            copies.entry(prepared).or_insert_with(Vec::new).push(index);
        }
        open.insert(index, (message.physical_offset(), look(index, message)));
    })?;
    for_each_message(log, queues, groups, OP_TOPIC, |_, message| {
        if message.tag().as_deref() != Some(ENDED_TAG) {
            return;
        }
        // An index is given out again when retention removed every half message and the queue that
        // told of them was lost: an op message ends what is in front of it.
        let mut end = |index: u64| {
            if open.get(&index).is_some_and(|(offset, _)| *offset < message.physical_offset()) {
                open.remove(&index);
            }
        };
        for digits in message.body().split(|byte| *byte == b',') {
            let digits = std::str::from_utf8(digits).unwrap_or_default();
            if let Ok(index) = digits.parse::<u64>() {
                end(index);
                for copy in copies.get(&index).into_iter().flatten() {
                    end(*copy);
                }
            }
        }
    })?;
    Ok(open.into_iter().map(|(index, (_, found))| (index, found)).collect())
}

/// Looks at the messages of a queue that RocketMQ, or an earlier opening, was not done with.
fn for_each_message(
    log: &MappedFileQueue,
    queues: &ConsumeQueues,
    groups: &Groups,
    topic: &str,
    mut look: impl FnMut(u64, &MessageView),
) -> Result<()> {
    let Some(queue) = queues.find(topic, QUEUE_ID) else {
        return Ok(());
    };
    let done = groups.offsets.get(GROUP, topic, QUEUE_ID).map_or(0, QueueOffset::get);
    let range = queue.range();
    let mut next = range.start.max(done);
    while next < range.end {
        let units = queue.read(next, UNITS_AT_ONCE)?;
        let before = next;
        for (_, slot) in units.iter() {
            let Slot::Unit(unit) = slot else {
                next += 1;
                continue;
            };
            let index = unit.index;
            next = unit.index_end();
            if unit.physical_offset < log.min_offset() {
                continue;
            }
            match commit_log::read_at(log, PhysicalOffset::new(unit.physical_offset)) {
                Ok(message) => look(index, &message),
                Err(error) => {
                    let what = "a message of a transaction is unreadable";
                    tracing::error!(%error, topic, index, "{what}");
                }
            }
        }
        if next == before {
            // There is no file: a log that skips indexes leaves as many out as it likes.
            next = queue.index_behind_file(units.first)?.max(next + 1);
        }
    }
    Ok(())
}
