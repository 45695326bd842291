//! A member of a group.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::group::{Bounds, Completed, ConsumeOrder, MemberId, QueueKey, Turn};
use super::retry::Retry;
use super::{Group, Groups, RETRY_TOPIC_PREFIX};
use crate::commit_log::{MessageView, check_topic};
use crate::dispatch::Dispatcher;
use crate::error::{Error, Result};
use crate::filter::Filter;
use crate::offset::QueueOffset;
use crate::read::{QueueBatch, ReadOutcome, ReadRequest, Reading, TimeBoundary};
use crate::state::consumer_offsets::check_group;
use crate::status::Status;
use crate::store::StoreHandle;

/// The longest pause of an orderly queue.
const MAX_PAUSE_MS: u64 = 100 * 365 * 24 * 3600 * 1000;

/// Where a group begins with a queue of which it has committed nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartFrom {
    /// With the first message there is.
    First,
    /// With the first message that comes after the consumer joined.
    Last,
    /// With the first message stored at or after a time, in milliseconds since the Unix epoch.
    Timestamp(i64),
}

/// Who gets a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConsumeMode {
    /// One member of the group; the group's offsets are kept in the store.
    Clustering,
    /// Every member. Each begins where [`ConsumerOptions::start_from`] says, and what it cannot
    /// process is dropped; [`Consumer::seek`] goes to an offset that the application kept.
    Broadcasting,
}

/// How a consumer consumes. RocketMQ's defaults.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ConsumerOptions {
    /// Topics and which of their messages are wanted; at least one. All members of a group should
    /// subscribe to the same.
    pub subscriptions: BTreeMap<String, Filter>,
    /// Who gets a message. Default [`ConsumeMode::Clustering`].
    pub mode: ConsumeMode,
    /// Whether a queue's next message may be handed out before the last is acknowledged. Default
    /// [`ConsumeOrder::Concurrent`].
    pub order: ConsumeOrder,
    /// Where queues without a committed offset are begun. Default [`StartFrom::Last`].
    pub start_from: StartFrom,
    /// Messages of one queue in hand at most, at least 1. Default 1000.
    pub max_in_hand: usize,
    /// A message not acknowledged after this time, in milliseconds, is handed out again. Default
    /// 900000 (15 minutes).
    pub consume_timeout_ms: u64,
    /// How often a message is tried again before it goes to the dead-letter topic `%DLQ%group`; 0
    /// or more. Default 16.
    pub max_reconsume_times: i32,
    /// The pause before an orderly queue tries its message again, in milliseconds, at most a
    /// hundred years. Default 1000.
    pub suspend_queue_ms: u64,
}

impl Default for ConsumerOptions {
    fn default() -> Self {
        Self {
            subscriptions: BTreeMap::new(),
            mode: ConsumeMode::Clustering,
            order: ConsumeOrder::Concurrent,
            start_from: StartFrom::Last,
            max_in_hand: 1000,
            consume_timeout_ms: 900_000,
            max_reconsume_times: 16,
            suspend_queue_ms: 1000,
        }
    }
}

impl ConsumerOptions {
    /// Options for all messages of one topic.
    #[must_use]
    pub fn of_topic(topic: &str) -> Self {
        Self::default().subscribe(topic, Filter::all())
    }

    /// Adds a topic, or changes its filter.
    #[must_use]
    pub fn subscribe(mut self, topic: &str, filter: Filter) -> Self {
        self.subscriptions.insert(topic.to_owned(), filter);
        self
    }

    fn check(&self) -> Result<()> {
        if self.subscriptions.is_empty() {
            let what = "a consumer subscribes to at least one topic";
            return Err(Error::new(Status::InvalidArgument, what));
        }
        let check = |ok: bool, name: &str, expected: &str, found: &dyn std::fmt::Display| {
            let what = || format!("option {name} is out of its limits");
            let error = || Error::new(Status::InvalidArgument, what()).expected(expected, found);
            if ok { Ok(()) } else { Err(error()) }
        };
        let (tries, pause) = (self.max_reconsume_times, self.suspend_queue_ms);
        check(self.max_in_hand >= 1, "max_in_hand", "at least 1", &self.max_in_hand)?;
        check(tries >= 0, "max_reconsume_times", "0 or more", &tries)?;
        check(pause <= MAX_PAUSE_MS, "suspend_queue_ms", "at most 100 years", &pause)?;
        self.subscriptions.keys().try_for_each(|topic| check_topic(topic))
    }
}

/// A message handed out to a consumer.
#[derive(Debug, Clone)]
pub struct Delivery {
    message: MessageView,
    queue: QueueKey,
}

impl Delivery {
    /// The message. Of one that is tried again, the topic is the group's retry topic.
    #[must_use]
    pub fn message(&self) -> &MessageView {
        &self.message
    }

    /// The topic the message was first appended to.
    #[must_use]
    pub fn topic(&self) -> String {
        let origin = self.message.property(super::retry::PROPERTY_RETRY_TOPIC);
        let retried = self.queue.0.starts_with(RETRY_TOPIC_PREFIX);
        origin.filter(|_| retried).map_or_else(|| self.queue.0.clone(), |topic| topic.into_owned())
    }

    /// How often the message was tried before.
    #[must_use]
    pub fn reconsume_times(&self) -> i32 {
        self.message.reconsume_times()
    }
}

/// A member of a group that asks for messages.
///
/// May be used from several threads. Dropping it leaves the group; messages in hand are then handed
/// out to others.
#[derive(Debug)]
pub struct Consumer {
    store: StoreHandle,
    reading: Reading,
    dispatcher: Arc<Dispatcher>,
    groups: Arc<Groups>,
    group: Arc<Group>,
    member: MemberId,
    options: ConsumerOptions,
    /// The version of the store's queues that the group knows.
    known: AtomicU64,
    closed: AtomicBool,
    left: AtomicBool,
}

impl Consumer {
    /// Joins a group.
    pub(crate) fn join(
        store: StoreHandle,
        reading: Reading,
        dispatcher: Arc<Dispatcher>,
        groups: &Arc<Groups>,
        group: &str,
        mut options: ConsumerOptions,
    ) -> Result<Self> {
        check_group(group)?;
        options.check()?;
        let shared = match options.mode {
            ConsumeMode::Clustering => {
                let retry = format!("{RETRY_TOPIC_PREFIX}{group}");
                options.subscriptions.insert(retry, Filter::all());
                groups.group(group)
            }
            // Each member is a group of its own.
            ConsumeMode::Broadcasting => {
                Arc::new(Group { name: group.to_owned(), state: Default::default() })
            }
        };
        let member = shared.state.lock().join(options.subscriptions.clone(), options.order);
        let groups = Arc::clone(groups);
        let consumer = Self {
            store,
            reading,
            dispatcher,
            groups,
            group: shared,
            member,
            options,
            known: AtomicU64::new(u64::MAX),
            closed: AtomicBool::new(false),
            left: AtomicBool::new(false),
        };
        consumer.find_queues(true)?;
        consumer.wake_others();
        Ok(consumer)
    }

    /// The group.
    #[must_use]
    pub fn group(&self) -> &str {
        &self.group.name
    }

    /// The queues assigned to this member at present: topic and number.
    #[must_use]
    pub fn assigned(&self) -> Vec<(String, i32)> {
        self.group.state.lock().assigned(self.member)
    }

    /// Messages of one of the member's queues, at most `max_messages`: waited for if there are none
    /// yet. None when the time runs out, or consumer or store were closed.
    ///
    /// # Errors
    ///
    /// - [`Status::StoreClosed`], [`Status::Forked`]: the store cannot.
    /// - As [`crate::Store::read`].
    pub fn poll(&self, max_messages: usize, timeout: Duration) -> Result<Vec<Delivery>> {
        let deadline = Instant::now().checked_add(timeout);
        loop {
            self.store.check()?;
            if self.closed.load(Ordering::Acquire) {
                return Ok(Vec::new());
            }
            let dispatched = self.dispatcher.dispatched();
            let seen = dispatched.get();
            self.find_queues(false)?;
            let generation = self.group.state.lock().generation();
            let found = self.take(max_messages)?;
            if !found.is_empty() {
                return Ok(found);
            }
            let now = Instant::now();
            if deadline.is_some_and(|deadline| deadline <= now) {
                return Ok(Vec::new());
            }
            let paused = self.group.state.lock().paused_until(self.member, now);
            let until = [deadline, paused].into_iter().flatten().min();
            self.dispatcher.wait_past(dispatched, seen, until, || {
                self.closed.load(Ordering::Acquire)
                    || self.group.state.lock().generation() != generation
            });
            if dispatched.is_closed() {
                return Ok(Vec::new());
            }
        }
    }

    /// Messages of the first queue that has any.
    fn take(&self, max_messages: usize) -> Result<Vec<Delivery>> {
        let now = Instant::now();
        let ready = self.group.state.lock().candidates(self.member, self.bounds(), now);
        for queue in ready {
            let turn = self.group.state.lock().begin_read(self.member, &queue, self.bounds());
            let Some(turn) = turn else {
                continue;
            };
            let found = self.take_from(&turn, max_messages.min(turn.room));
            if !matches!(&found, Ok(found) if found.is_empty()) {
                return found;
            }
        }
        Ok(Vec::new())
    }

    fn bounds(&self) -> Bounds {
        Bounds {
            max_in_hand: self.options.max_in_hand,
            consume_timeout: Duration::from_millis(self.options.consume_timeout_ms),
        }
    }

    fn take_from(&self, turn: &Turn, max_messages: usize) -> Result<Vec<Delivery>> {
        let (topic, queue_id) = &turn.queue;
        let filter = self.group.state.lock().filter(self.member, topic).unwrap_or_default();
        let mut next = turn.next;
        let messages = loop {
            let from = QueueOffset::new(next).to_i64();
            let request = ReadRequest::new(topic, *queue_id, from)
                .max_messages(max_messages)
                .filter(filter.clone());
            let batch = match self.reading.read(&request) {
                Ok(batch) => batch,
                Err(error) => {
                    let mut state = self.group.state.lock();
                    state.end_read(self.member, turn, &[], turn.next, Instant::now());
                    return Err(error);
                }
            };
            let moved = u64::try_from(batch.next_offset()).unwrap_or(next);
            let at_end = ends(&batch) || moved == next;
            if batch.outcome() != ReadOutcome::NoMatchedLogicQueue
                && batch.outcome() != ReadOutcome::NoMessageInQueue
            {
                next = moved;
            }
            if at_end || !batch.messages().is_empty() {
                break batch.into_messages();
            }
        };
        let indexes: Vec<_> = messages.iter().map(|view| view.queue_offset().get()).collect();
        let mut state = self.group.state.lock();
        if !state.end_read(self.member, turn, &indexes, next, Instant::now()) {
            return Ok(Vec::new());
        }
        let committed = state.committed(&turn.queue);
        drop(state);
        if next != turn.next {
            self.commit_queue(&turn.queue, committed);
        }
        let deliver = |message| Delivery { message, queue: turn.queue.clone() };
        Ok(messages.into_iter().map(deliver).collect())
    }

    /// The message was processed. False if it is no longer this member's (it timed out, or was
    /// acknowledged before), or the store was closed, so that nothing is remembered any more.
    pub fn acknowledge(&self, delivery: &Delivery) -> bool {
        if self.store.check().is_err() {
            return false;
        }
        let index = delivery.message.queue_offset().get();
        let mut state = self.group.state.lock();
        let completed = state.complete(self.member, &delivery.queue, index, self.bounds());
        let committed = state.committed(&delivery.queue);
        drop(state);
        if completed == Completed::NotInHand {
            return false;
        }
        self.commit_queue(&delivery.queue, committed);
        if completed == Completed::Freed {
            self.wake_others();
        }
        true
    }

    /// The message could not be processed now. It is handed out again: in an orderly queue after a
    /// pause, with everything behind it waiting; else by way of the group's retry topic, after a
    /// delay that grows with each attempt. After `max_reconsume_times` it goes to the group's
    /// dead-letter topic. When broadcasting, it is dropped.
    ///
    /// False if it is no longer this member's.
    ///
    /// # Errors
    ///
    /// - As [`crate::Store::append`]: it could not be put into the retry or dead-letter topic, and
    ///   stays in hand.
    pub fn retry_later(&self, delivery: &Delivery) -> Result<bool> {
        let index = delivery.message.queue_offset().get();
        let in_hand = self.group.state.lock().has_in_hand(self.member, &delivery.queue, index);
        if !in_hand || self.options.mode == ConsumeMode::Broadcasting {
            return Ok(self.acknowledge(delivery));
        }
        let most = self.options.max_reconsume_times;
        if self.options.order == ConsumeOrder::Orderly {
            let until = Instant::now() + Duration::from_millis(self.options.suspend_queue_ms);
            let mut state = self.group.state.lock();
            let failures = state.fail_orderly(self.member, &delivery.queue, index, until);
            drop(state);
            if i64::from(failures) <= i64::from(most) {
                self.wake_others();
                return Ok(failures > 0);
            }
            self.retry().give_up(&self.store, &delivery.message)?;
            let behind = index + u64::from(delivery.message.record().message_count());
            let committed = self.group.state.lock().pass_over(&delivery.queue, index, behind);
            self.commit_queue(&delivery.queue, committed);
            self.wake_others();
            return Ok(true);
        }
        self.retry().send_back(&self.store, &delivery.message, most)?;
        Ok(self.acknowledge(delivery))
    }

    fn retry(&self) -> Retry<'_> {
        Retry { group: &self.group.name }
    }

    /// Makes the group's offsets durable now, instead of with the next interval.
    ///
    /// # Errors
    ///
    /// - [`Status::Io`], [`Status::DiskFull`]: the file could not be written.
    /// - [`Status::StoreClosed`], [`Status::Forked`]: the store cannot.
    pub fn commit(&self) -> Result<()> {
        self.store.check()?;
        self.groups.persist()
    }

    /// Goes to an index of a queue, forwards or backwards. False if the queue is not assigned to
    /// this member.
    pub fn seek(&self, topic: &str, queue_id: i32, offset: QueueOffset) -> bool {
        let queue = (topic.to_owned(), queue_id);
        let mut state = self.group.state.lock();
        let mine = state.assigned(self.member).contains(&queue);
        let moved = mine && state.seek(&queue, offset.get());
        drop(state);
        if moved {
            self.commit_queue(&queue, Some(offset.get()));
            self.wake_others();
        }
        moved
    }

    /// Leaves the group; what is in hand is handed out to others. Polls under way end.
    pub fn close(&self) {
        self.stop_polls();
        if self.left.swap(true, Ordering::AcqRel) {
            return;
        }
        self.group.state.lock().leave(self.member);
        self.groups.forget_if_empty(&self.group);
        self.wake_others();
    }

    /// Whether [`Consumer::close`] was called.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Ends polls, now and later; messages in hand can still be acknowledged.
    pub(super) fn stop_polls(&self) {
        self.closed.store(true, Ordering::Release);
        self.wake_others();
    }

    /// Whether no message can come any more.
    pub(super) fn is_at_end(&self) -> bool {
        self.is_closed() || self.dispatcher.dispatched().is_closed()
    }

    /// Whether this is a copy in a child made by `fork`.
    pub(super) fn is_in_child(&self) -> bool {
        self.store.check().is_err_and(|error| error.status() == Status::Forked)
    }

    pub(super) fn is_orderly(&self) -> bool {
        self.options.order == ConsumeOrder::Orderly
    }

    pub(super) fn wake_others(&self) {
        self.dispatcher.interrupt();
    }

    fn commit_queue(&self, queue: &QueueKey, committed: Option<u64>) {
        if let (ConsumeMode::Clustering, Some(committed)) = (self.options.mode, committed) {
            let offset = QueueOffset::new(committed);
            self.groups.offsets.reset(&self.group.name, &queue.0, queue.1, offset);
            self.groups.changed();
        }
    }

    /// Takes in queues that the group does not know yet.
    fn find_queues(&self, joining: bool) -> Result<()> {
        let version = self.reading.queues.version();
        if self.known.load(Ordering::Acquire) == version {
            return Ok(());
        }
        let mut state = self.group.state.lock();
        let mut found = false;
        for topic in state.topics() {
            for queue_id in self.reading.queues.numbers(&topic) {
                let queue = (topic.clone(), queue_id);
                if !state.knows(&queue) {
                    let next = self.first_index(&queue, joining)?;
                    state.add_queue(queue.clone(), next);
                    found = true;
                }
            }
        }
        if found {
            state.assign();
        }
        self.known.store(version, Ordering::Release);
        Ok(())
    }

    /// Where the group begins with a queue. One that came up later has no message from before.
    fn first_index(&self, queue: &QueueKey, joining: bool) -> Result<u64> {
        let clustering = self.options.mode == ConsumeMode::Clustering;
        let committed = self.groups.offsets.get(&self.group.name, &queue.0, queue.1);
        if let Some(committed) = committed.filter(|_| clustering) {
            return Ok(committed.get());
        }
        let Some(known) = self.reading.queues.find(&queue.0, queue.1) else {
            return Ok(0);
        };
        let first = match self.options.start_from {
            StartFrom::Timestamp(time_ms) => {
                self.reading.offset_at_time(&known, time_ms, TimeBoundary::Lower)?
            }
            StartFrom::Last if joining && !queue.0.starts_with(RETRY_TOPIC_PREFIX) => {
                known.range().end
            }
            StartFrom::First | StartFrom::Last => known.range().start,
        };
        self.commit_queue(queue, Some(first));
        Ok(first)
    }
}

/// Whether there is nothing more to read at present.
fn ends(batch: &QueueBatch) -> bool {
    matches!(
        batch.outcome(),
        ReadOutcome::OffsetOverflowOne
            | ReadOutcome::OffsetOverflowBadly
            | ReadOutcome::NoMatchedLogicQueue
            | ReadOutcome::NoMessageInQueue
    )
}

impl Drop for Consumer {
    fn drop(&mut self) {
        // In a forked child the membership is the parent's, whose threads may have held the locks.
        if !self.is_in_child() {
            self.close();
        }
    }
}
