//! The next queue offset of every (topic, queue), and the counters of every topic.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use parking_lot::RwLock;

use crate::error::{Error, Result};
use crate::state::QueueKind;
use crate::stats::{LockedCounter, TopicStats};
use crate::status::Status;

/// A topic's name, kind and counters, shared by its queues.
#[derive(Debug)]
pub(crate) struct TopicState {
    name: Box<str>,
    /// 0 before the first message, 1 simple, 2 batch. Once the store is open it moves under the
    /// append lock only.
    kind: AtomicU8,
    pub(crate) messages: LockedCounter,
    pub(crate) bytes: LockedCounter,
}

impl TopicState {
    /// Of what kind the topic's queues are; `None` before its first message.
    pub(crate) fn kind(&self) -> Option<QueueKind> {
        match self.kind.load(Ordering::Relaxed) {
            0 => None,
            1 => Some(QueueKind::Simple),
            _ => Some(QueueKind::Batch),
        }
    }

    /// Sets of what kind the topic's queues are.
    pub(crate) fn set_kind(&self, kind: QueueKind) {
        let number = match kind {
            QueueKind::Simple => 1,
            QueueKind::Batch => 2,
        };
        self.kind.store(number, Ordering::Relaxed);
    }

    /// Refuses a record whose kind of queue is not the topic's.
    pub(crate) fn check_kind(&self, kind: QueueKind) -> Result<()> {
        let what = match (self.kind(), kind) {
            (Some(QueueKind::Simple), QueueKind::Batch) => {
                "the topic has single messages and takes no inner batches"
            }
            (Some(QueueKind::Batch), QueueKind::Simple) => {
                "the topic has inner batches and takes nothing else"
            }
            _ => return Ok(()),
        };
        Err(Error::new(Status::BatchIllegal, format!("{what}: {}", self.name)))
    }
}

/// One queue of a topic.
#[derive(Debug)]
pub(crate) struct QueueState {
    pub(crate) topic: Arc<TopicState>,
    pub(crate) queue_id: i32,
    /// Read and moved under the append lock only.
    next_offset: AtomicU64,
}

impl QueueState {
    /// The topic's name.
    pub(crate) fn topic_name(&self) -> &str {
        &self.topic.name
    }

    /// The index the next message gets.
    pub(crate) fn next_offset(&self) -> u64 {
        self.next_offset.load(Ordering::Relaxed)
    }

    /// Sets the index the next message gets.
    pub(crate) fn set_next_offset(&self, next: u64) {
        self.next_offset.store(next, Ordering::Relaxed);
    }

    /// Makes sure that no index below `next` is given out.
    pub(crate) fn raise_next_offset(&self, next: u64) {
        self.next_offset.fetch_max(next, Ordering::Relaxed);
    }
}

/// A topic and its queues.
#[derive(Debug)]
struct Topic {
    state: Arc<TopicState>,
    queues: HashMap<i32, Arc<QueueState>>,
}

/// All topics that were seen in the log or appended to.
#[derive(Debug, Default)]
pub(crate) struct TopicTable {
    topics: RwLock<HashMap<Box<str>, Topic>>,
}

impl TopicTable {
    /// The queue, if it is known.
    pub(crate) fn find(&self, topic: &str, queue_id: i32) -> Option<Arc<QueueState>> {
        self.topics.read().get(topic)?.queues.get(&queue_id).cloned()
    }

    /// The queue, made when it is new.
    pub(crate) fn queue(&self, topic: &str, queue_id: i32) -> Arc<QueueState> {
        if let Some(known) = self.find(topic, queue_id) {
            return known;
        }
        let mut topics = self.topics.write();
        let topic = topics.entry(topic.into()).or_insert_with(|| {
            let messages = LockedCounter::default();
            let bytes = LockedCounter::default();
            let state = Arc::new(TopicState {
                name: topic.into(),
                kind: AtomicU8::new(0),
                messages,
                bytes,
            });
            Topic { state, queues: HashMap::new() }
        });
        let queue = topic.queues.entry(queue_id).or_insert_with(|| {
            let topic = Arc::clone(&topic.state);
            Arc::new(QueueState { topic, queue_id, next_offset: AtomicU64::new(0) })
        });
        Arc::clone(queue)
    }

    /// Takes in what was counted in records behind those that are counted here.
    pub(crate) fn take_in(&self, later: Self) {
        for (name, topic) in later.topics.into_inner() {
            for (queue_id, counted) in topic.queues {
                let queue = self.queue(&name, queue_id);
                if let (None, Some(kind)) = (queue.topic.kind(), topic.state.kind()) {
                    queue.topic.set_kind(kind);
                }
                queue.raise_next_offset(counted.next_offset());
            }
        }
    }

    /// Every queue.
    pub(crate) fn queues(&self) -> Vec<Arc<QueueState>> {
        let topics = self.topics.read();
        topics.values().flat_map(|topic| topic.queues.values().cloned()).collect()
    }

    /// The counters of topics that were appended to, sorted by name.
    pub(crate) fn stats(&self) -> Vec<TopicStats> {
        let topics = self.topics.read();
        let mut stats: Vec<_> = topics
            .values()
            .map(|topic| &topic.state)
            .filter(|topic| topic.messages.get() > 0)
            .map(|topic| TopicStats {
                topic: topic.name.to_string(),
                messages: topic.messages.get(),
                bytes: topic.bytes.get(),
            })
            .collect();
        stats.sort_by(|one, other| one.topic.cmp(&other.topic));
        stats
    }
}

/// Places for queues that were named lately.
const RECENT_QUEUES: usize = 64;

/// Queues that were named lately, so that a message to one of them needs no look at the table. It
/// belongs to whoever holds the append lock.
#[derive(Debug)]
pub(crate) struct RecentQueues([Option<Arc<QueueState>>; RECENT_QUEUES]);

impl Default for RecentQueues {
    fn default() -> Self {
        Self([const { None }; RECENT_QUEUES])
    }
}

impl RecentQueues {
    /// Takes out the queue of a name, from here or from the table. Whoever takes one gives it back.
    #[inline(always)]
    pub(crate) fn take(
        &mut self,
        table: &TopicTable,
        topic: &str,
        queue_id: i32,
    ) -> Arc<QueueState> {
        let place = self.0.get_mut(Self::place(topic, queue_id));
        match place.and_then(Option::take) {
            Some(queue) if queue.queue_id == queue_id && queue.topic_name() == topic => queue,
            _ => table.queue(topic, queue_id),
        }
    }

    /// Gives a queue back.
    #[inline(always)]
    pub(crate) fn give_back(&mut self, queue: Arc<QueueState>) {
        if let Some(place) = self.0.get_mut(Self::place(queue.topic_name(), queue.queue_id)) {
            *place = Some(queue);
        }
    }

    /// The place of a name: a few of its bytes and the queue, mixed.
    #[inline]
    fn place(topic: &str, queue_id: i32) -> usize {
        let byte = |byte: Option<&u8>| usize::from(byte.copied().unwrap_or_default());
        let (first, last) = (byte(topic.as_bytes().first()), byte(topic.as_bytes().last()));
        let name = first.wrapping_mul(7) ^ last.wrapping_mul(3) ^ topic.len();
        name.wrapping_add(queue_id.unsigned_abs() as usize) % RECENT_QUEUES
    }
}

#[cfg(test)]
impl TopicTable {
    /// Every queue with its topic's kind and its next offset.
    pub(crate) fn all(
        &self,
    ) -> std::collections::BTreeMap<(String, i32), (Option<QueueKind>, u64)> {
        self.queues()
            .iter()
            .map(|queue| {
                let name = (queue.topic_name().to_owned(), queue.queue_id);
                (name, (queue.topic.kind(), queue.next_offset()))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_share_a_place_get_each_its_own_queue() {
        let (table, mut recent) = (TopicTable::default(), RecentQueues::default());
        let names = ["ab", "axb", "acccb", "adb", "a", "b"];
        for round in 0..3 {
            for (topic, queue_id) in
                names.iter().flat_map(|name| (0..130).map(move |id| (*name, id)))
            {
                let queue = recent.take(&table, topic, queue_id);
                assert_eq!((queue.topic_name(), queue.queue_id), (topic, queue_id));
                assert_eq!(queue.next_offset(), round);
                queue.set_next_offset(round + 1);
                recent.give_back(queue);
            }
        }
        let places: std::collections::BTreeSet<_> =
            names.iter().map(|name| RecentQueues::place(name, 0)).collect();
        assert!(places.len() < names.len(), "no names share a place");
    }
}
