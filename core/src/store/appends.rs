//! The append calls of a store and of its prepared queues.

use std::slice;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::pending::{Caller, FutureSink};
use super::{AppendFuture, Inner, Pending, Store};
use crate::codec::properties::InnerBatch;
use crate::codec::record::RecordDraft;
use crate::commit_log::{
    Appender, Delayed, MessageView, Publish, QueueState, check_queue_id, check_topic, waits,
};
use crate::delay::{Redeliver, SCHEDULE_TOPIC};
use crate::error::{Error, Result};
use crate::flush::{CompletionSink, Waiting};
use crate::message::{AppendResult, EncodedBatch, Message};
use crate::status::Status;

/// So many bytes of records, and the rest of the last one, `append_many` writes while it holds the
/// lock: more than it takes to get the lock, less than others who append should wait for.
const TURN_BYTES: usize = 16 << 10;

impl Store {
    /// Appends a message and returns where it lies, once it is as safe as the store's flush mode
    /// and the message's `wait_store_ok` promise.
    ///
    /// # Errors
    ///
    /// Nothing was stored:
    /// - [`Status::StoreClosed`], [`Status::Forked`], [`Status::Fenced`], [`Status::NotWriteable`],
    ///   [`Status::PoolExhausted`], [`Status::DiskUsageHigh`]: the store takes no writes.
    /// - [`Status::TopicEmpty`], [`Status::TopicTooLong`], [`Status::TopicIllegal`],
    ///   [`Status::QueueIdIllegal`], [`Status::BodyEmpty`], [`Status::BodyTooLarge`],
    ///   [`Status::PropertiesIllegal`], [`Status::PropertiesTooLarge`],
    ///   [`Status::MessageTooLarge`], [`Status::InvalidArgument`]: the message is illegal.
    /// - [`Status::PageCacheBusy`]: another append holds the lock for long; try again.
    /// - [`Status::DiskFull`], [`Status::TooManyOpenFiles`], [`Status::OutOfMemory`],
    ///   [`Status::FileTooLarge`], [`Status::ReadOnlyFileSystem`], [`Status::PathNotFound`],
    ///   [`Status::Io`]: there is no space, or no next file; later appends may succeed.
    ///
    /// The message is in the log ([`Error::appended`] says where), but not known to be durable:
    /// - [`Status::FlushTimeout`]: its sync did not finish in time.
    /// - [`Status::Io`], [`Status::DiskFull`], [`Status::Fenced`]: its sync failed; the store is
    ///   fenced.
    pub fn append(&self, message: &Message<'_>) -> Result<AppendResult> {
        self.inner.append(message)
    }

    /// As [`Store::append`], with the waiting left to the caller.
    ///
    /// # Errors
    ///
    /// As [`Store::append`], where nothing was stored.
    pub fn begin_append(&self, message: &Message<'_>) -> Result<(AppendResult, Pending)> {
        let inner = &self.inner;
        inner.timed(|| inner.acknowledge_later(inner.place_by_name(message)?, message))
    }

    /// Appends messages in order, and waits for all of them together. Stops at the first that is
    /// refused; `results` gets an entry for each that was appended, also when an error is
    /// returned.
    ///
    /// Small messages go to the log many at a time, which takes about half as long as to append
    /// each for itself; those of other threads may come to lie between them.
    ///
    /// # Errors
    ///
    /// As [`Store::append`], for the first message that failed.
    pub fn append_many(
        &self,
        messages: &[Message<'_>],
        results: &mut Vec<AppendResult>,
    ) -> Result<()> {
        let (pending, appended) = self.inner.append_many(messages, results, Caller::WaitsHere);
        let waited = pending.wait();
        appended.and(waited)
    }

    /// As [`Store::append_many`], with the waiting left to the caller: it is due for what was
    /// appended, also when not all were.
    pub fn begin_append_many(
        &self,
        messages: &[Message<'_>],
        results: &mut Vec<AppendResult>,
    ) -> (Pending, Result<()>) {
        self.inner.append_many(messages, results, Caller::WaitsLater)
    }

    /// Appends a client's batch as consecutive records in one file: all of them, or none.
    ///
    /// # Errors
    ///
    /// - [`Status::BatchIllegal`]: the encoding is malformed, empty or too large, an item has no
    ///   body, or the batch is transactional or delayed.
    /// - As [`Store::append`].
    pub fn append_batch(&self, batch: &EncodedBatch<'_>) -> Result<AppendResult> {
        let inner = &self.inner;
        inner.timed(|| inner.acknowledge_now(inner.place_batch(batch)?, &batch.shared))
    }

    /// As [`Store::append_batch`], with the waiting left to the caller.
    ///
    /// # Errors
    ///
    /// As [`Store::append_batch`].
    pub fn begin_append_batch(&self, batch: &EncodedBatch<'_>) -> Result<(AppendResult, Pending)> {
        let inner = &self.inner;
        inner.timed(|| inner.acknowledge_later(inner.place_batch(batch)?, &batch.shared))
    }

    /// Appends a client's batch as one record that carries all its messages, for topics whose
    /// queues are batch queues.
    ///
    /// # Errors
    ///
    /// As [`Store::append_batch`].
    pub fn append_inner_batch(&self, batch: &EncodedBatch<'_>) -> Result<AppendResult> {
        let inner = &self.inner;
        inner.timed(|| inner.acknowledge_now(inner.place_inner_batch(batch)?, &batch.shared))
    }

    /// As [`Store::append_inner_batch`], with the waiting left to the caller.
    ///
    /// # Errors
    ///
    /// As [`Store::append_batch`].
    pub fn begin_append_inner_batch(
        &self,
        batch: &EncodedBatch<'_>,
    ) -> Result<(AppendResult, Pending)> {
        let inner = &self.inner;
        inner.timed(|| inner.acknowledge_later(inner.place_inner_batch(batch)?, &batch.shared))
    }

    /// Appends a message and returns a future that resolves when it is acknowledged.
    ///
    /// # Errors
    ///
    /// As [`Store::append`], where nothing was stored; later failures are the future's.
    pub fn append_async(&self, message: &Message<'_>) -> Result<AppendFuture> {
        let inner = &self.inner;
        let placed = inner.timed(|| inner.place_by_name(message))?;
        inner.future(placed, message)
    }

    /// As [`Store::append_async`], for bindings: the completion goes to a sink, together with all
    /// that become due at the same time. It comes exactly once if this returns where the message
    /// lies, and never if this fails.
    ///
    /// # Errors
    ///
    /// As [`Store::append_async`].
    pub fn append_to_sink(
        &self,
        message: &Message<'_>,
        sink: &Arc<dyn CompletionSink>,
        token: u64,
    ) -> Result<AppendResult> {
        let inner = &self.inner;
        let placed = inner.timed(|| inner.place_by_name(message))?;
        inner.submit(placed, message, sink, token)
    }

    /// Prepares a queue for many appends, which then need no look-up.
    ///
    /// # Errors
    ///
    /// - [`Status::TopicEmpty`], [`Status::TopicTooLong`], [`Status::TopicIllegal`],
    ///   [`Status::QueueIdIllegal`]: there can be no such queue.
    /// - [`Status::StoreClosed`], [`Status::Forked`]: the store cannot.
    pub fn queue(&self, topic: &str, queue_id: i32) -> Result<QueueAppender> {
        self.inner.check_readable()?;
        check_topic(topic)?;
        check_queue_id(queue_id)?;
        let queue = self.inner.topics.queue(topic, queue_id);
        Ok(QueueAppender { inner: Arc::clone(&self.inner), queue })
    }
}

/// A prepared queue of a topic: appends without looking it up.
///
/// Of the messages passed, topic and queue id are not looked at. The handle outlives the store, but
/// appends nothing once that was closed.
#[derive(Clone)]
pub struct QueueAppender {
    inner: Arc<Inner>,
    queue: Arc<QueueState>,
}

impl std::fmt::Debug for QueueAppender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "QueueAppender({}, {})", self.topic(), self.queue_id())
    }
}

impl QueueAppender {
    /// The topic.
    #[must_use]
    pub fn topic(&self) -> &str {
        self.queue.topic_name()
    }

    /// The queue.
    #[must_use]
    pub fn queue_id(&self) -> i32 {
        self.queue.queue_id
    }

    /// As [`Store::append`], to this queue.
    ///
    /// # Errors
    ///
    /// As [`Store::append`].
    pub fn append(&self, message: &Message<'_>) -> Result<AppendResult> {
        let inner = &self.inner;
        inner.timed(|| {
            let placed = inner.place(message, &self.queue)?;
            inner.acknowledge_now(placed, message)
        })
    }

    /// As [`Store::begin_append`], to this queue.
    ///
    /// # Errors
    ///
    /// As [`Store::begin_append`].
    pub fn begin_append(&self, message: &Message<'_>) -> Result<(AppendResult, Pending)> {
        let inner = &self.inner;
        inner.timed(|| inner.acknowledge_later(inner.place(message, &self.queue)?, message))
    }

    /// As [`Store::append_async`], to this queue.
    ///
    /// # Errors
    ///
    /// As [`Store::append_async`].
    pub fn append_async(&self, message: &Message<'_>) -> Result<AppendFuture> {
        let placed = self.inner.timed(|| self.inner.place(message, &self.queue))?;
        self.inner.future(placed, message)
    }

    /// As [`Store::append_to_sink`], to this queue.
    ///
    /// # Errors
    ///
    /// As [`Store::append_to_sink`].
    pub fn append_to_sink(
        &self,
        message: &Message<'_>,
        sink: &Arc<dyn CompletionSink>,
        token: u64,
    ) -> Result<AppendResult> {
        let placed = self.inner.timed(|| self.inner.place(message, &self.queue))?;
        self.inner.submit(placed, message, sink, token)
    }
}

// What a single append goes through is inlined by force: its draft and its result then stay in
// registers. Each copy of one that was just put together makes the processor wait for its stores,
// which cost more than the instructions.
impl Inner {
    /// Counts how long an append call took, and whether it was refused.
    #[inline(always)]
    fn timed<T>(&self, append: impl FnOnce() -> Result<T>) -> Result<T> {
        let begin = self.clock.monotonic_ms();
        let result = append();
        if let Err(error) = &result {
            self.count_refused(error);
        }
        self.counters.appends_took(1, self.clock.monotonic_ms().saturating_sub(begin));
        result
    }

    #[cold]
    fn count_refused(&self, error: &Error) {
        if error.appended().is_none() {
            self.counters.refused.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The queue a message names, once its name was checked.
    #[inline(always)]
    fn queue_of<'m>(&self, message: &Message<'m>) -> Result<(&'m str, i32)> {
        self.check_appendable()?;
        check_topic(message.topic)?;
        check_queue_id(message.queue_id)?;
        Ok((message.topic, message.queue_id))
    }

    /// Appends a message and waits as its acknowledgement asks for.
    pub(super) fn append(&self, message: &Message<'_>) -> Result<AppendResult> {
        self.timed(|| self.acknowledge_now(self.place_by_name(message)?, message))
    }

    #[inline(always)]
    fn place_by_name(&self, message: &Message<'_>) -> Result<AppendResult> {
        let (topic, queue_id) = self.queue_of(message)?;
        let level = self.preparer.delay_level(message, topic)?;
        if level > 0 {
            return self.place_delayed(message, topic, queue_id, level);
        }
        let mut draft = self.preparer.message(message, topic, queue_id);
        self.preparer.check(message, &mut draft)?;
        self.put(slice::from_ref(&draft), topic, queue_id, 1)
    }

    /// Puts a message into the log.
    #[inline(always)]
    fn place(&self, message: &Message<'_>, queue: &QueueState) -> Result<AppendResult> {
        self.check_appendable()?;
        let (topic, queue_id) = (queue.topic_name(), queue.queue_id);
        let level = self.preparer.delay_level(message, topic)?;
        if level > 0 {
            return self.place_delayed(message, topic, queue_id, level);
        }
        let mut draft = self.preparer.message(message, topic, queue_id);
        self.preparer.check(message, &mut draft)?;
        match self.lock_and_place(slice::from_ref(&draft), queue) {
            Ok(placed) => Ok(placed),
            Err(error) => Err(self.fenced_if_bug(error)),
        }
    }

    #[inline(always)]
    fn lock_and_place(
        &self,
        drafts: &[RecordDraft<'_>],
        queue: &QueueState,
    ) -> Result<AppendResult> {
        self.log.lock()?.place(drafts, queue, 1, Publish::AtOnce)
    }

    /// Puts a message into the log that comes to its queue later.
    fn place_delayed<'m>(
        &self,
        message: &Message<'m>,
        topic: &'m str,
        real_queue_id: i32,
        level: u32,
    ) -> Result<AppendResult> {
        let Delayed { draft, queue_id } =
            self.preparer.delayed(message, topic, real_queue_id, level)?;
        let placed = self.put(slice::from_ref(&draft), SCHEDULE_TOPIC, queue_id, 1)?;
        self.expect_in(topic, real_queue_id);
        Ok(placed)
    }

    /// Notes that a message comes to this queue later: until then nothing else tells of it, and a
    /// broker that goes on with the store serves only topics that it is told of.
    pub(super) fn expect_in(&self, topic: &str, queue_id: i32) {
        if let Some(config) = &self.config {
            config.groups().expect_in(topic, queue_id);
        }
    }

    /// Puts records into the log that count as so many messages of a queue, whose name was checked.
    #[inline(always)]
    pub(super) fn put(
        &self,
        drafts: &[RecordDraft<'_>],
        topic: &str,
        queue_id: i32,
        count: u32,
    ) -> Result<AppendResult> {
        match self.lock_and_place_named(drafts, (topic, queue_id), count) {
            Ok(placed) => Ok(placed),
            Err(error) => Err(self.fenced_if_bug(error)),
        }
    }

    #[inline(always)]
    fn lock_and_place_named(
        &self,
        drafts: &[RecordDraft<'_>],
        queue: (&str, i32),
        count: u32,
    ) -> Result<AppendResult> {
        self.log.lock()?.place_named(drafts, &self.topics, queue, count, Publish::AtOnce)
    }

    /// Fences the store when an append met a bug of ours.
    fn guarded<T>(&self, append: impl FnOnce() -> Result<T>) -> Result<T> {
        append().map_err(|error| self.fenced_if_bug(error))
    }

    #[cold]
    fn fenced_if_bug(&self, error: Error) -> Error {
        if error.status() == Status::Internal {
            self.fence.close(&error);
        }
        error
    }

    #[inline]
    fn waits_for_sync(&self, message: &Message<'_>) -> bool {
        self.syncs_appends() && waits(message)
    }

    /// Puts a plain batch into the log.
    fn place_batch(&self, batch: &EncodedBatch<'_>) -> Result<AppendResult> {
        let (topic, queue_id) = self.queue_of(&batch.shared)?;
        let drafts = self.preparer.batch(batch, topic, queue_id)?;
        let count = u32::try_from(drafts.len())
            .map_err(|_| Error::new(Status::BatchIllegal, "the batch has too many items"))?;
        self.put(&drafts, topic, queue_id, count)
    }

    /// Puts an inner batch into the log.
    fn place_inner_batch(&self, batch: &EncodedBatch<'_>) -> Result<AppendResult> {
        let (topic, queue_id) = self.queue_of(&batch.shared)?;
        let count = self.preparer.inner_batch_count(batch)?;
        let queue = self.topics.queue(topic, queue_id);
        self.guarded(|| {
            let mut appender = self.log.lock()?;
            // The record names its queue offset, so it is made under the lock.
            let numbers = InnerBatch { count, base: queue.next_offset() };
            let draft = self.preparer.inner_batch(batch, topic, queue_id, numbers)?;
            appender.place(slice::from_ref(&draft), &queue, count, Publish::AtOnce)
        })
    }

    /// Puts messages into the log, up to the first that is refused.
    fn append_many(
        &self,
        messages: &[Message<'_>],
        results: &mut Vec<AppendResult>,
        caller: Caller,
    ) -> (Pending, Result<()>) {
        results.reserve(messages.len());
        let before = results.len();
        let mut outcome = Ok(());
        let mut rest = messages;
        while outcome.is_ok() && !rest.is_empty() {
            outcome = self.place_some(rest, results);
            rest = messages.get(results.len() - before..).unwrap_or_default();
        }
        let placed = results.get(before..).unwrap_or_default();
        let waits = |(message, _): &(&Message<'_>, _)| self.waits_for_sync(message);
        let last_waiting = messages.iter().zip(placed).rev().find(waits);
        // A sync that is waited for covers the messages that do not ask for one, too.
        let unwaited = last_waiting.is_none() && !placed.is_empty();
        let committed = if unwaited { self.settle_unwaited() } else { Ok(()) };
        let pending = last_waiting.map(|(_, last)| self.pending(*last, caller));
        (pending.unwrap_or_else(Pending::done), outcome.and(committed))
    }

    /// Puts the first of the messages into the log, or as many as go there in one turn.
    fn place_some(&self, messages: &[Message<'_>], results: &mut Vec<AppendResult>) -> Result<()> {
        let begin = self.clock.monotonic_ms();
        let before = results.len();
        let mut outcome = self.guarded(|| self.place_turn(messages, results));
        let first = messages.first().filter(|_| results.len() == before);
        if let (Ok(()), Some(first)) = (&outcome, first) {
            outcome = self.place_by_name(first).map(|placed| results.push(placed));
        }
        let calls = results.len() - before + usize::from(outcome.is_err());
        self.counters.appends_took(calls as u64, self.clock.monotonic_ms().saturating_sub(begin));
        outcome.inspect_err(|error| self.count_refused(error))
    }

    /// Takes the append lock once, and publishes once, for as many of the messages as one turn has.
    fn place_turn(&self, messages: &[Message<'_>], results: &mut Vec<AppendResult>) -> Result<()> {
        self.check_appendable()?;
        let mut appender = self.log.lock()?;
        let outcome = self.fill_turn(&mut appender, messages, results);
        appender.publish();
        outcome
    }

    /// Writes messages up to the first that does not go to its queue at once, or is large, or to
    /// the end of the turn.
    fn fill_turn(
        &self,
        appender: &mut Appender<'_>,
        messages: &[Message<'_>],
        results: &mut Vec<AppendResult>,
    ) -> Result<()> {
        let mut bytes = 0;
        let mut checked_topic = "";
        for message in messages {
            let (topic, queue_id) = (message.topic, message.queue_id);
            if topic.is_empty() || topic != checked_topic {
                check_topic(topic)?;
                checked_topic = topic;
            }
            check_queue_id(queue_id)?;
            let large = message.body.len() > TURN_BYTES;
            if large || self.preparer.delay_level(message, topic)? > 0 {
                break;
            }
            let mut draft = self.preparer.message(message, topic, queue_id);
            self.preparer.check(message, &mut draft)?;
            let (drafts, queue) = (slice::from_ref(&draft), (topic, queue_id));
            let placed = appender.place_named(drafts, &self.topics, queue, 1, Publish::Later)?;
            results.push(placed);
            bytes += placed.size_bytes as usize;
            if bytes >= TURN_BYTES {
                break;
            }
        }
        Ok(())
    }

    /// Waits for what a message's acknowledgement needs.
    #[inline(always)]
    pub(super) fn acknowledge_now(
        &self,
        placed: AppendResult,
        message: &Message<'_>,
    ) -> Result<AppendResult> {
        let waited = match self.waits_for_sync(message) {
            true => self.pending(placed, Caller::WaitsHere).wait(),
            false => self.settle_unwaited(),
        };
        match waited {
            Ok(()) => Ok(self.with_host(placed)),
            Err(error) => Err(error.with_appended(placed)),
        }
    }

    /// The result with its address put in anew: a copy of it would wait for the one that was just
    /// stored.
    #[inline(always)]
    fn with_host(&self, placed: AppendResult) -> AppendResult {
        AppendResult { store_host: self.options.store_host, ..placed }
    }

    /// Leaves the wait to the caller.
    #[inline(always)]
    fn acknowledge_later(
        &self,
        placed: AppendResult,
        message: &Message<'_>,
    ) -> Result<(AppendResult, Pending)> {
        if !self.waits_for_sync(message) {
            self.settle_unwaited().map_err(|error| error.with_appended(placed))?;
            return Ok((self.with_host(placed), Pending::done()));
        }
        Ok((placed, self.pending(placed, Caller::WaitsLater)))
    }

    fn pending(&self, placed: AppendResult, caller: Caller) -> Pending {
        let timeout = Duration::from_millis(self.options.sync_flush_timeout_ms);
        let end = placed.end_offset().get();
        Pending::new(self, end, Some(timeout), Some(placed), caller)
    }

    /// Does what the store's mode asks for after appends that nobody waits for.
    #[inline]
    pub(super) fn settle_unwaited(&self) -> Result<()> {
        if self.syncs_appends() {
            // The group commit service forces what was not waited for, too; but it must survive
            // the death of the process now.
            self.log.commit()?;
            self.flush.wakeup();
            return Ok(());
        }
        match &self.commit {
            Some(commit) if self.options.wake_commit_when_append => commit.wakeup(),
            None if self.options.wake_flush_when_append => self.flush.wakeup(),
            _ => {}
        }
        Ok(())
    }

    fn future(&self, placed: AppendResult, message: &Message<'_>) -> Result<AppendFuture> {
        let sink = Arc::new(FutureSink::default());
        let shared: Arc<dyn CompletionSink> = Arc::clone(&sink) as Arc<dyn CompletionSink>;
        let placed = self.submit(placed, message, &shared, 0)?;
        Ok(AppendFuture::new(sink, placed))
    }

    /// Leaves the acknowledgement of an append to the completion service.
    fn submit(
        &self,
        placed: AppendResult,
        message: &Message<'_>,
        sink: &Arc<dyn CompletionSink>,
        token: u64,
    ) -> Result<AppendResult> {
        let waits = self.waits_for_sync(message);
        // What is not synced must survive the death of the process before it is acknowledged. If it
        // cannot, the fence is closed, and its completion says why.
        let settled = !waits && self.settle_unwaited().is_ok();
        let (end, deadline) = if settled {
            (0, None)
        } else {
            let timeout = Duration::from_millis(self.options.sync_flush_timeout_ms);
            (placed.end_offset().get(), Instant::now().checked_add(timeout))
        };
        let sink = Arc::clone(sink);
        self.completions.submit(Waiting { end, deadline, appended: placed, token, sink });
        if !settled {
            self.flush.wakeup();
        }
        Ok(placed)
    }
}

impl Redeliver for Inner {
    fn redeliver(&self, message: &MessageView, topic: &str, queue_id: i32) -> Result<()> {
        self.check()?;
        check_topic(topic)?;
        check_queue_id(queue_id)?;
        let record = message.record();
        let draft = self.preparer.copy(&record, topic, queue_id)?;
        self.put(slice::from_ref(&draft), topic, queue_id, 1)?;
        self.settle_unwaited()
    }
}
