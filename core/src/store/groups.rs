//! Consumer groups of a store.

use std::fmt;
use std::sync::Arc;

use super::{Inner, Store};
use crate::consume::{
    Consumer, ConsumerOptions, GroupProgress, Groups, MessageListener, PushConsumer, PushOptions,
};
use crate::error::{Error, Result};
use crate::message::Message;
use crate::offset::QueueOffset;
use crate::state::consumer_offsets::check_group;
use crate::status::Status;

/// What consumers need of their store beside its queues.
#[derive(Clone)]
pub(crate) struct StoreHandle(Arc<Inner>);

impl fmt::Debug for StoreHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreHandle({})", self.0.path.display())
    }
}

impl StoreHandle {
    /// Refuses a call when the store is closed or belongs to the parent process.
    pub(crate) fn check(&self) -> Result<()> {
        self.0.check_readable()
    }

    /// Appends a message and waits as its acknowledgement asks for.
    pub(crate) fn append(&self, message: &Message<'_>) -> Result<crate::AppendResult> {
        self.0.append(message)
    }
}

impl Store {
    /// Joins a group as one more member, which asks for messages. RocketMQ's pull consumer.
    ///
    /// ```
    /// use std::time::Duration;
    /// use cairnlog::{ConsumerOptions, Message, StartFrom, Store, StoreOptions};
    ///
    /// # let directory = tempfile::tempdir()?;
    /// # let mut options = StoreOptions::default();
    /// # options.segment_size_bytes = 1 << 20;
    /// let store = Store::open(directory.path(), &options)?;
    /// store.append(&Message::new("orders", b"20 pears"))?;
    /// let mut options = ConsumerOptions::of_topic("orders");
    /// options.start_from = StartFrom::First;
    /// let consumer = store.consumer("billing", options)?;
    /// for delivery in consumer.poll(32, Duration::from_secs(1))? {
    ///     assert_eq!(delivery.message().body(), b"20 pears");
    ///     consumer.acknowledge(&delivery);
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// - [`Status::GroupIllegal`]: the group's name is empty, too long or has illegal characters.
    /// - [`Status::InvalidArgument`]: an option is outside its limits, there is no subscription, or
    ///   the store has no consume queues.
    /// - [`Status::TopicIllegal`] and the like: there can be no such topic.
    /// - [`Status::StoreClosed`], [`Status::Forked`]: the store cannot.
    pub fn consumer(&self, group: &str, options: ConsumerOptions) -> Result<Consumer> {
        let reading = self.inner.reading()?;
        let dispatcher = Arc::clone(&self.inner.dispatching()?.dispatcher);
        let handle = StoreHandle(Arc::clone(&self.inner));
        Consumer::join(handle, reading, dispatcher, self.inner.groups()?, group, options)
    }

    /// Joins a group as one more member, whose messages go to a listener, on threads of the
    /// consumer's own. RocketMQ's push consumer.
    ///
    /// # Errors
    ///
    /// - As [`Store::consumer`].
    /// - [`Status::OutOfMemory`]: a thread cannot be started.
    pub fn push_consumer(
        &self,
        group: &str,
        options: ConsumerOptions,
        push: PushOptions,
        listener: Arc<dyn MessageListener>,
    ) -> Result<PushConsumer> {
        PushConsumer::start(self.consumer(group, options)?, listener, push)
    }

    /// The groups that have committed an offset, sorted.
    ///
    /// # Errors
    ///
    /// - [`Status::StoreClosed`], [`Status::Forked`], [`Status::InvalidArgument`]: as
    ///   [`Store::read`].
    pub fn groups(&self) -> Result<Vec<String>> {
        Ok(self.inner.groups()?.offsets.groups())
    }

    /// How far a group has come, queue by queue.
    ///
    /// # Errors
    ///
    /// - [`Status::StoreClosed`], [`Status::Forked`], [`Status::InvalidArgument`]: as
    ///   [`Store::read`].
    pub fn group_progress(&self, group: &str) -> Result<Vec<GroupProgress>> {
        Ok(self.inner.groups()?.progress(group))
    }

    /// The index a group consumes next; `None` if it has committed none.
    ///
    /// # Errors
    ///
    /// - [`Status::StoreClosed`], [`Status::Forked`], [`Status::InvalidArgument`]: as
    ///   [`Store::read`].
    pub fn consumer_offset(
        &self,
        group: &str,
        topic: &str,
        queue_id: i32,
    ) -> Result<Option<QueueOffset>> {
        Ok(self.inner.groups()?.offsets.get(group, topic, queue_id))
    }

    /// Sets the index a group consumes next, for applications that read queues themselves. It is
    /// durable within `flush_consumer_offset_interval_ms`, or when [`Store::persist_offsets`] has
    /// returned. Consumers that are members of the group at present do not see it.
    ///
    /// # Errors
    ///
    /// - [`Status::GroupIllegal`], [`Status::TopicIllegal`] and the like: there can be no such
    ///   group or queue.
    /// - [`Status::OffsetOutOfRange`]: the queue does not reach that far.
    /// - [`Status::StoreClosed`], [`Status::Forked`], [`Status::InvalidArgument`]: as
    ///   [`Store::read`].
    pub fn commit_offset(
        &self,
        group: &str,
        topic: &str,
        queue_id: i32,
        offset: QueueOffset,
    ) -> Result<()> {
        let groups = self.inner.groups()?;
        check_group(group)?;
        crate::commit_log::check_topic(topic)?;
        crate::commit_log::check_queue_id(queue_id)?;
        let end = self.queue_range(topic, queue_id)?.map_or(QueueOffset::new(0), |range| range.end);
        if offset > end {
            return Err(Error::new(Status::OffsetOutOfRange, "the queue does not reach that far")
                .expected(format!("at most {end}"), offset));
        }
        groups.offsets.reset(group, topic, queue_id, offset);
        groups.changed();
        Ok(())
    }

    /// Makes committed offsets and the list of topics durable now.
    ///
    /// # Errors
    ///
    /// - [`Status::Io`], [`Status::DiskFull`]: a file could not be written.
    /// - [`Status::StoreClosed`], [`Status::Forked`], [`Status::InvalidArgument`]: as
    ///   [`Store::read`].
    pub fn persist_offsets(&self) -> Result<()> {
        self.inner.groups()?.persist()
    }
}

impl Inner {
    fn groups(&self) -> Result<&Arc<Groups>> {
        self.check_readable()?;
        self.config.as_ref().map(|config| config.groups()).ok_or_else(|| {
            Error::new(Status::InvalidArgument, "the store was opened without consume queues")
        })
    }
}
