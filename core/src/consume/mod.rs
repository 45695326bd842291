//! Consumer groups: whose queue is whose, how far each has come, and what becomes of messages that
//! cannot be processed.
//!
//! One engine serves three styles. *Pull*: the application reads queues itself and keeps or commits
//! offsets ([`crate::Store::read`], [`crate::Store::commit_offset`]). *Poll*: a [`Consumer`] hands
//! out messages of its queues and waits for more. *Push*: a [`PushConsumer`] polls on threads of
//! its own and calls a listener.
//!
//! Members of a group live in one process, in one open store. Delivery is at least once: what was
//! handed out and not acknowledged is handed out again, to whoever has the queue then.

mod allocate;
mod consumer;
mod group;
mod push;
mod retry;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

pub use consumer::{ConsumeMode, Consumer, ConsumerOptions, Delivery, StartFrom};
pub use group::ConsumeOrder;
use group::GroupState;
pub use push::{ConsumeStatus, MessageListener, PushConsumer, PushOptions};

use crate::consume_queue::ConsumeQueues;
use crate::error::Result;
use crate::offset::QueueOffset;
use crate::service::{ServiceThread, Signal, Wake};
use crate::state::{ConsumerOffsets, QueueKind, Topics};

/// Begins the topic of a group's messages that are to be processed once more.
pub(crate) const RETRY_TOPIC_PREFIX: &str = "%RETRY%";
/// Begins the topic of a group's messages that were given up.
pub(crate) const DEAD_LETTER_TOPIC_PREFIX: &str = "%DLQ%";

/// One group, shared by its members.
#[derive(Debug)]
pub(crate) struct Group {
    name: String,
    state: Mutex<GroupState>,
}

/// How far a group has come with one queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupProgress {
    /// The topic.
    pub topic: String,
    /// The queue.
    pub queue_id: i32,
    /// The index the group consumes next.
    pub committed: QueueOffset,
    /// The index of the queue's first message.
    pub min_offset: QueueOffset,
    /// One past the index of the queue's last message.
    pub max_offset: QueueOffset,
}

impl GroupProgress {
    /// Messages of the queue that the group has not consumed.
    #[must_use]
    pub fn lag(&self) -> u64 {
        let from = self.committed.max(self.min_offset);
        self.max_offset.get().saturating_sub(from.get())
    }
}

/// The groups and topics of an open store, and their files.
#[derive(Debug)]
pub(crate) struct Groups {
    pub(crate) offsets: ConsumerOffsets,
    topics: Topics,
    queues: Arc<ConsumeQueues>,
    active: Mutex<HashMap<String, Arc<Group>>>,
    signal: Arc<Signal>,
}

impl Groups {
    /// Offsets beyond the end of their queue are set back to it: after a power cut the log may have
    /// lost messages that were consumed, and their indexes are given out again.
    pub(crate) fn new(
        offsets: ConsumerOffsets,
        topics: Topics,
        queues: Arc<ConsumeQueues>,
    ) -> Self {
        for group in offsets.groups() {
            for (topic, queue_id, offset) in offsets.queues_of(&group) {
                let end = queues.find(&topic, queue_id).map_or(0, |queue| queue.range().end);
                if offset.get() > end {
                    tracing::warn!(group, topic, queue_id, %offset, end, "an offset was set back");
                    offsets.reset(&group, &topic, queue_id, QueueOffset::new(end));
                }
            }
        }
        let (active, signal) = (Mutex::default(), Arc::default());
        Self { offsets, topics, queues, active, signal }
    }

    /// Takes in a queue that has a message to come, whose topic may be new.
    pub(crate) fn expect_in(&self, topic: &str, queue_id: i32) {
        match self.topics.ensure(topic, queue_id, QueueKind::Simple) {
            Ok(true) => self.changed(),
            Ok(false) => {}
            Err(error) => tracing::debug!(%error, topic, "a topic's configuration differs"),
        }
    }

    /// Says that offsets or topics may have changed.
    pub(crate) fn changed(&self) {
        self.signal.wakeup();
    }

    /// The group, made when it is new.
    pub(crate) fn group(&self, name: &str) -> Arc<Group> {
        let mut active = self.active.lock();
        let group = active
            .entry(name.to_owned())
            .or_insert_with(|| Arc::new(Group { name: name.to_owned(), state: Mutex::default() }));
        Arc::clone(group)
    }

    /// Forgets a group that nobody is in: the next member begins with what is committed.
    fn forget_if_empty(&self, group: &Arc<Group>) {
        let mut active = self.active.lock();
        if group.state.lock().is_empty() {
            active.remove(&group.name);
        }
    }

    /// How far a group has come with each queue it committed an offset of.
    pub(crate) fn progress(&self, group: &str) -> Vec<GroupProgress> {
        let of = |(topic, queue_id, committed): (String, i32, QueueOffset)| {
            let range = self.queues.find(&topic, queue_id).map(|queue| queue.range());
            let range = range.unwrap_or_default();
            GroupProgress {
                topic,
                queue_id,
                committed,
                min_offset: QueueOffset::new(range.start),
                max_offset: QueueOffset::new(range.end),
            }
        };
        self.offsets.queues_of(group).into_iter().map(of).collect()
    }

    /// Writes offsets and topics, durably, if they changed.
    pub(crate) fn persist(&self) -> Result<()> {
        for queue in self.queues.all() {
            if queue.exists()
                && let Err(error) =
                    self.topics.ensure(queue.topic(), queue.queue_id(), queue.kind())
            {
                tracing::debug!(%error, topic = queue.topic(), "a topic's configuration differs");
            }
        }
        self.topics.persist()?;
        self.offsets.persist().map(|_| ())
    }
}

/// How long a failed write of offsets and topics waits for its next attempt, besides the interval.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The thread that writes offsets and topics.
#[derive(Debug)]
pub(crate) struct ConfigService {
    groups: Arc<Groups>,
    thread: ServiceThread,
}

impl ConfigService {
    /// Starts the service: a change is in the files about `interval` later.
    pub(crate) fn start(groups: Arc<Groups>, interval: Duration) -> Result<Self> {
        let shared = Arc::clone(&groups);
        let body = move |signal: &Signal| {
            let mut again = None;
            while signal.wait(again) != Wake::Stopped && !signal.rest(interval) {
                let outcome = shared.persist();
                // Not lost: they are tried again, with or without a further change.
                again = outcome.is_err().then_some(RETRY_AFTER);
                if let Err(error) = outcome {
                    tracing::error!(%error, "offsets and topics cannot be written");
                }
            }
        };
        let on_panic = |message: String| tracing::error!(message, "ConfigService panicked");
        let signal = Arc::clone(&groups.signal);
        let thread = ServiceThread::start("cairn-config", signal, body, on_panic)?;
        Ok(Self { groups, thread })
    }

    /// The groups.
    pub(crate) fn groups(&self) -> &Arc<Groups> {
        &self.groups
    }

    /// Ends the service.
    pub(crate) fn stop(&self) {
        self.thread.stop_and_join();
    }

    /// Ends the service and writes what changed.
    pub(crate) fn shutdown(&self) -> Result<()> {
        self.thread.stop_and_join();
        self.groups.persist()
    }
}
