//! Reading by queue.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Inner, Store};
use crate::commit_log::{MessageView, check_queue_id, check_topic};
use crate::error::{Error, Result};
use crate::filter::Filter;
use crate::index::KeyQuery;
use crate::offset::{PhysicalOffset, QueueOffset};
use crate::read::{AsyncTail, QueueBatch, ReadRequest, Reading, Source, Tail, TimeBoundary};
use crate::status::Status;
use crate::store::derived::Dispatching;

impl Store {
    /// Reads messages of a queue from an index on. Finding none is an outcome, no error.
    ///
    /// A message can be read a moment after its append returned: once it was dispatched to its
    /// queue, in a synchronous store only when it is durable (unless `read_uncommitted` is set).
    ///
    /// # Errors
    ///
    /// - [`Status::StoreClosed`], [`Status::Forked`]: the store cannot.
    /// - [`Status::InvalidArgument`]: the store was opened without consume queues.
    /// - [`Status::Corruption`]: the queue points to something that is not its message.
    /// - [`Status::Io`]: a queue file cannot be read.
    pub fn read(&self, request: &ReadRequest<'_>) -> Result<QueueBatch> {
        self.inner.reading()?.read(request)
    }

    /// The indexes of a queue's first message and one past its last; `None` if the queue never had
    /// a message.
    ///
    /// # Errors
    ///
    /// - [`Status::StoreClosed`], [`Status::Forked`], [`Status::InvalidArgument`]: as
    ///   [`Store::read`].
    pub fn queue_range(&self, topic: &str, queue_id: i32) -> Result<Option<Range<QueueOffset>>> {
        let queues = self.inner.dispatching()?.queues();
        let queue = queues.find(topic, queue_id).filter(|queue| queue.exists());
        Ok(queue.map(|queue| {
            let range = queue.range();
            QueueOffset::new(range.start)..QueueOffset::new(range.end)
        }))
    }

    /// The index of the message of a queue that was stored around a time, in milliseconds since the
    /// Unix epoch; `None` if the queue never had a message.
    ///
    /// # Errors
    ///
    /// As [`Store::read`].
    pub fn offset_at_time(
        &self,
        topic: &str,
        queue_id: i32,
        time_ms: i64,
        boundary: TimeBoundary,
    ) -> Result<Option<QueueOffset>> {
        let reading = self.inner.reading()?;
        let queue = reading.queues.find(topic, queue_id).filter(|queue| queue.exists());
        let Some(queue) = queue else {
            return Ok(None);
        };
        reading.offset_at_time(&queue, time_ms, boundary).map(|at| Some(QueueOffset::new(at)))
    }

    /// The topics that have had messages, sorted.
    ///
    /// # Errors
    ///
    /// - [`Status::StoreClosed`], [`Status::Forked`], [`Status::InvalidArgument`]: as
    ///   [`Store::read`].
    pub fn topics(&self) -> Result<Vec<String>> {
        Ok(self.inner.dispatching()?.queues().topics())
    }

    /// The numbers of a topic's queues that have had messages, ascending.
    ///
    /// # Errors
    ///
    /// - [`Status::StoreClosed`], [`Status::Forked`], [`Status::InvalidArgument`]: as
    ///   [`Store::read`].
    pub fn queues_of(&self, topic: &str) -> Result<Vec<i32>> {
        let queues = self.inner.dispatching()?.queues().of_topic(topic);
        Ok(queues.iter().map(|queue| queue.queue_id()).collect())
    }

    /// Waits until a queue can be read at an index. False when the time ran out or the store was
    /// closed. The queue need not exist yet.
    ///
    /// # Errors
    ///
    /// - [`Status::TopicEmpty`], [`Status::TopicTooLong`], [`Status::TopicIllegal`],
    ///   [`Status::QueueIdIllegal`]: there can be no such queue.
    /// - [`Status::StoreClosed`], [`Status::Forked`], [`Status::InvalidArgument`]: as
    ///   [`Store::read`].
    pub fn wait_message(
        &self,
        topic: &str,
        queue_id: i32,
        offset: QueueOffset,
        timeout: Duration,
    ) -> Result<bool> {
        let reading = self.inner.reading()?;
        check_topic(topic)?;
        check_queue_id(queue_id)?;
        let deadline = Instant::now().checked_add(timeout);
        Ok(reading.wait_message(topic, queue_id, offset.get(), deadline))
    }

    /// Iterates over the messages of a queue from an index on, and follows it.
    ///
    /// # Errors
    ///
    /// - [`Status::TopicEmpty`], [`Status::TopicTooLong`], [`Status::TopicIllegal`],
    ///   [`Status::QueueIdIllegal`]: there can be no such queue.
    /// - [`Status::StoreClosed`], [`Status::Forked`], [`Status::InvalidArgument`]: as
    ///   [`Store::read`].
    pub fn tail(
        &self,
        topic: &str,
        queue_id: i32,
        from: QueueOffset,
        filter: Filter,
    ) -> Result<Tail> {
        let reading = self.inner.reading()?;
        check_topic(topic)?;
        check_queue_id(queue_id)?;
        Ok(Tail::new(reading, topic, queue_id, from, filter))
    }

    /// As [`Store::tail`], as a stream: for tasks, which wait without a thread.
    ///
    /// # Errors
    ///
    /// As [`Store::tail`].
    pub fn tail_async(
        &self,
        topic: &str,
        queue_id: i32,
        from: QueueOffset,
        filter: Filter,
    ) -> Result<AsyncTail> {
        let dispatcher = Arc::clone(&self.inner.dispatching()?.dispatcher);
        Ok(AsyncTail::new(self.tail(topic, queue_id, from, filter)?, dispatcher))
    }

    /// The newest messages of a topic that have a key (one of their keys, or the unique key that a
    /// RocketMQ client gave them) and were stored from `begin_ms` to `end_ms`, both included, in
    /// milliseconds since the Unix epoch. At most `max_messages`, in the order of the log.
    ///
    /// # Errors
    ///
    /// - [`Status::StoreClosed`], [`Status::Forked`]: the store cannot.
    /// - [`Status::InvalidArgument`]: the store was opened without consume queues or key index.
    /// - [`Status::Io`]: an index file cannot be read.
    pub fn query_key(
        &self,
        topic: &str,
        key: &str,
        begin_ms: i64,
        end_ms: i64,
        max_messages: usize,
    ) -> Result<Vec<MessageView>> {
        let query = KeyQuery { topic, key, begin_ms, end_ms };
        self.inner.reading()?.query_key(&query, max_messages)
    }

    /// The message with an id: RocketMQ's `offsetMsgId`, or else the unique key that its client
    /// gave it. `None` if there is none, or it has another topic.
    ///
    /// # Errors
    ///
    /// As [`Store::query_key`].
    pub fn find_by_message_id(&self, topic: &str, id: &str) -> Result<Option<MessageView>> {
        self.inner.reading()?.find_by_message_id(topic, id)
    }

    /// Everything below is in the consume queues and the key index; the log's minimum in a store
    /// without queues.
    #[must_use]
    pub fn dispatched_offset(&self) -> PhysicalOffset {
        let dispatching = self.inner.dispatching.as_ref();
        let position = dispatching.map(|parts| parts.dispatcher.dispatched().get());
        position.map_or_else(|| self.min_offset(), PhysicalOffset::new)
    }

    /// Why records are not dispatched to the queues at present; `None` while they are.
    ///
    /// The error has the status [`Status::DispatchBlocked`]. The dispatcher tries again every
    /// second.
    #[must_use]
    pub fn dispatch_error(&self) -> Option<Error> {
        self.inner.dispatching.as_ref()?.dispatcher.blocked()
    }

    /// Waits until everything below `end` is in the queues. False when the time ran out.
    ///
    /// # Errors
    ///
    /// - [`Status::StoreClosed`], [`Status::Forked`], [`Status::InvalidArgument`]: as
    ///   [`Store::read`].
    pub fn wait_dispatched(&self, end: PhysicalOffset, timeout: Duration) -> Result<bool> {
        let dispatcher = &self.inner.dispatching()?.dispatcher;
        let Some(before) = end.get().checked_sub(1) else {
            return Ok(true);
        };
        let deadline = Instant::now().checked_add(timeout);
        Ok(dispatcher.wait_past(dispatcher.dispatched(), before, deadline, || false))
    }
}

impl Inner {
    pub(super) fn dispatching(&self) -> Result<&Dispatching> {
        self.check_readable()?;
        self.dispatching.as_ref().ok_or_else(|| {
            Error::new(Status::InvalidArgument, "the store was opened without consume queues")
        })
    }

    pub(super) fn reading(&self) -> Result<Reading> {
        let dispatching = self.dispatching()?;
        Ok(Reading {
            log: Arc::clone(self.log.queue()),
            queues: Arc::clone(dispatching.queues()),
            index: dispatching.index().cloned(),
            source: Source::Dispatcher(Arc::clone(&dispatching.dispatcher)),
            crc: self.options.crc_check_on_read(),
        })
    }
}
