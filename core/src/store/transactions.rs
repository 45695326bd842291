//! Transactions: half messages that nobody sees until they are committed.
//!
//! 1. A half message waits in a topic of its own. Committing puts the message itself into its
//!    queue, then an op message that says the half is ended; rolling back puts that one alone.
//! 2. What is open follows from the queues of half and op messages: it is found again at opening.
//! 3. A crash between the two records of a commit leaves the transaction open, and the message in
//!    its queue: it may be committed once more, but is never lost.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Inner, Store};
use crate::codec::properties::{PROPERTY_REAL_QUEUE_ID, PROPERTY_REAL_TOPIC, PROPERTY_UNIQUE_KEY};
use crate::commit_log::{self, MessageView, check_queue_id, check_topic};
use crate::consume::Groups;
use crate::consume_queue::{ConsumeQueues, Slot};
use crate::delay::SCHEDULE_TOPIC;
use crate::error::{Error, Result};
use crate::mapped::MappedFileQueue;
use crate::message::{AppendResult, Message};
use crate::offset::{PhysicalOffset, QueueOffset};
use crate::status::Status;

/// The topic of half messages.
pub(crate) const HALF_TOPIC: &str = "RMQ_SYS_TRANS_HALF_TOPIC";
/// The topic of op messages, which say that half messages are ended.
const OP_TOPIC: &str = "RMQ_SYS_TRANS_OP_HALF_TOPIC";
/// The group under which RocketMQ notes which half and op messages it is done with.
const GROUP: &str = "CID_RMQ_SYS_TRANS";
/// The tag of an op message.
const ENDED_TAG: &str = "d";
/// Half and op messages are in the first queues of their topics.
const QUEUE_ID: i32 = 0;

/// The open transactions of a store: the index of each half message by where it lies.
#[derive(Debug, Default)]
pub(super) struct Transactions(Mutex<BTreeMap<u64, u64>>);

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
    /// Where the half message lies; [`Store::commit_transaction`] takes it.
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
        let half = inner.begin_transaction(message)?;
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

    /// Where the half messages of all open transactions lie, oldest first.
    ///
    /// # Errors
    ///
    /// - [`Status::StoreClosed`], [`Status::Forked`]: the store cannot.
    pub fn open_transactions(&self) -> Result<Vec<PhysicalOffset>> {
        self.inner.check_readable()?;
        let open = self.inner.transactions.0.lock();
        Ok(open.keys().map(|offset| PhysicalOffset::new(*offset)).collect())
    }
}

impl Inner {
    fn begin_transaction(&self, message: &Message<'_>) -> Result<AppendResult> {
        self.check()?;
        check_topic(message.topic)?;
        check_queue_id(message.queue_id)?;
        let draft = self.preparer.half(message, HALF_TOPIC, QUEUE_ID)?;
        let queue = self.topics.queue(HALF_TOPIC, QUEUE_ID);
        let half = self.guarded(|| self.log.lock()?.place(&[draft], &queue, 1))?;
        let (offset, index) = (half.physical_offset.get(), half.queue_offset.get());
        self.transactions.0.lock().insert(offset, index);
        self.acknowledge_now(half, message)
    }

    fn commit_transaction(&self, half: PhysicalOffset) -> Result<AppendResult> {
        self.end_transaction(half, |index| {
            let placed = self.place_committed(half)?;
            self.place_op(index).map_err(|error| error.with_appended(placed))?;
            Ok(placed)
        })
    }

    fn rollback_transaction(&self, half: PhysicalOffset) -> Result<()> {
        self.end_transaction(half, |index| self.place_op(index)).map(|_| ())
    }

    /// Takes a transaction out of the open ones while it is being ended, and puts it back if
    /// nothing was stored. Waits for the end of what was.
    fn end_transaction(
        &self,
        half: PhysicalOffset,
        end: impl FnOnce(u64) -> Result<AppendResult>,
    ) -> Result<AppendResult> {
        self.dispatching()?;
        self.check()?;
        let Some(index) = self.transactions.0.lock().remove(&half.get()) else {
            let what = "no open transaction has its half message there";
            return Err(Error::new(Status::NoSuchTransaction, what).at_offset(half.get()));
        };
        let ended = end(index).inspect_err(|error| {
            if error.appended().is_none() {
                self.transactions.0.lock().insert(half.get(), index);
            }
        })?;
        // Should a power cut take the op message of a commit, the transaction is open once more.
        self.acknowledge_now(ended, &Message::new(OP_TOPIC, b""))
    }

    /// Puts the message itself into the log.
    fn place_committed(&self, half: PhysicalOffset) -> Result<AppendResult> {
        let message = commit_log::read_at(self.log.queue(), half)?;
        let record = message.record();
        let (topic, queue_id) = real_queue(&message)?;
        let level = self.preparer.stored_delay_level(&record);
        let (topic, queue_id) = match level.checked_sub(1) {
            Some(waiting) => (SCHEDULE_TOPIC, waiting.cast_signed()),
            None => (&*topic, queue_id),
        };
        let draft = self.preparer.committed(&record, topic, queue_id)?;
        let queue = self.topics.queue(topic, queue_id);
        self.guarded(|| self.log.lock()?.place(&[draft], &queue, 1))
    }

    /// Notes in the log that the half message of an index is ended.
    fn place_op(&self, index: u64) -> Result<AppendResult> {
        let body = format!("{index},");
        let message = Message::new(OP_TOPIC, body.as_bytes()).tag(ENDED_TAG);
        let draft = self.preparer.message(&message, OP_TOPIC, QUEUE_ID)?;
        let queue = self.topics.queue(OP_TOPIC, QUEUE_ID);
        self.guarded(|| self.log.lock()?.place(&[draft], &queue, 1))
    }
}

/// Where a half message is meant to go.
fn real_queue(message: &MessageView) -> Result<(String, i32)> {
    let record = message.record();
    let topic = record.property(PROPERTY_REAL_TOPIC).unwrap_or_default().into_owned();
    let queue_id = record.property(PROPERTY_REAL_QUEUE_ID).and_then(|id| id.parse().ok());
    check_topic(&topic)?;
    let queue_id = queue_id.unwrap_or(-1);
    check_queue_id(queue_id)?;
    Ok((topic, queue_id))
}

impl Transactions {
    /// Finds the open transactions of a store that is being opened, when its queues hold all of the
    /// log.
    pub(super) fn load(
        log: &MappedFileQueue,
        queues: &ConsumeQueues,
        groups: &Groups,
    ) -> Result<Self> {
        let open = find_open(log, queues, groups)?;
        Ok(Self(Mutex::new(open.into_iter().map(|(index, offset)| (offset, index)).collect())))
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
        let oldest = find_open(log, queues, groups)?.first_key_value().map(|(index, _)| *index);
        let half = QueueOffset::new(oldest.unwrap_or(half_end));
        groups.offsets.reset(GROUP, HALF_TOPIC, QUEUE_ID, half);
        if oldest.is_none() && op_end > 0 {
            groups.offsets.reset(GROUP, OP_TOPIC, QUEUE_ID, QueueOffset::new(op_end));
        }
        Ok(())
    }
}

/// Where the half messages lie that no op message ended, by their index.
fn find_open(
    log: &MappedFileQueue,
    queues: &ConsumeQueues,
    groups: &Groups,
) -> Result<BTreeMap<u64, u64>> {
    let mut open = BTreeMap::new();
    for_each_message(log, queues, groups, HALF_TOPIC, |index, message| {
        open.insert(index, message.physical_offset().get());
    })?;
    for_each_message(log, queues, groups, OP_TOPIC, |_, message| {
        if message.tag().as_deref() != Some(ENDED_TAG) {
            return;
        }
        for digits in message.body().split(|byte| *byte == b',') {
            let digits = std::str::from_utf8(digits).unwrap_or_default();
            if let Ok(index) = digits.parse::<u64>() {
                open.remove(&index);
            }
        }
    })?;
    Ok(open)
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
    for index in range.start.max(done)..range.end {
        let Slot::Unit(unit) = queue.unit(index)? else {
            continue;
        };
        if unit.physical_offset < log.min_offset() {
            continue;
        }
        match commit_log::read_at(log, PhysicalOffset::new(unit.physical_offset)) {
            Ok(message) => look(index, &message),
            Err(error) => {
                tracing::error!(%error, topic, index, "a message of a transaction is unreadable");
            }
        }
    }
    Ok(())
}
