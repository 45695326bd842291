//! What a store must hold: the records of its log, in one list.

use std::collections::{BTreeMap, BTreeSet};

use cairnlog::MessageView;

use crate::operations::Content;

pub(crate) const SCHEDULE: &str = "SCHEDULE_TOPIC_XXXX";
pub(crate) const HALF: &str = "RMQ_SYS_TRANS_HALF_TOPIC";
pub(crate) const OP: &str = "RMQ_SYS_TRANS_OP_HALF_TOPIC";
/// The levels of delay: all but the second are due at once, that one is never during a test.
pub(crate) const LEVELS: &str = "0s 2h 0s 0s";
pub(crate) const NEVER: u32 = 2;
pub(crate) const HIGHEST: u32 = 4;

/// A topic and the number of a queue.
pub(crate) type QueueName = (String, i32);

/// A record of the log as the model knows it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Record {
    pub(crate) queue: QueueName,
    pub(crate) queue_offset: u64,
    /// How many indexes it takes in its queue.
    pub(crate) messages: u64,
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// Unknown while nobody was told and it cannot be read.
    pub(crate) time_ms: Option<i64>,
    pub(crate) content: Content,
    pub(crate) attempts: i32,
    /// Where a delayed message or a half message goes in the end.
    pub(crate) real: Option<QueueName>,
    /// The level a half message is delayed by when it is committed.
    pub(crate) level: u32,
}

impl Record {
    /// A record that has no place yet.
    pub(crate) fn new(topic: &str, queue_id: i32, content: Content) -> Self {
        Self {
            queue: (topic.to_owned(), queue_id),
            queue_offset: 0,
            messages: 1,
            start: 0,
            end: 0,
            time_ms: None,
            content,
            attempts: 0,
            real: None,
            level: 0,
        }
    }

    /// The same message on its way to `real`, by way of a level of delay.
    pub(crate) fn delayed(mut self, level: u32) -> Self {
        let level = level.min(HIGHEST);
        let waiting = (SCHEDULE.to_owned(), level.cast_signed() - 1);
        self.real = Some(std::mem::replace(&mut self.queue, waiting));
        self
    }

    /// One past its last index.
    pub(crate) fn next(&self) -> u64 {
        self.queue_offset + self.messages
    }

    pub(crate) fn is_due(&self) -> bool {
        self.queue.0 == SCHEDULE && self.queue.1 != NEVER.cast_signed() - 1
    }

    /// An op message that ends the half message of an index.
    pub(crate) fn op(index: u64) -> Self {
        let mut content = empty();
        content.body = format!("{index},").into_bytes();
        content.tag = Some("d");
        Self::new(OP, 0, content)
    }

    /// Asserts that this is what was read.
    pub(crate) fn assert_is(&self, view: &MessageView) {
        let text = |name: &str| view.property(name).map(|value| value.into_owned());
        assert_eq!(view.physical_offset().get(), self.start, "{self:?}");
        assert_eq!(view.end_offset().get(), self.end, "{self:?}");
        assert_eq!((view.topic().into_owned(), view.queue_id()), self.queue);
        assert_eq!(view.queue_offset().get(), self.queue_offset, "{:?}", self.queue);
        assert_eq!(view.reconsume_times(), self.attempts);
        assert!(self.time_ms.is_none_or(|time| time == view.store_timestamp_ms()));
        assert!(view.body() == self.content.body, "{:?} of {:?}", view.body(), self.content);
        assert_eq!(view.tag().as_deref(), self.content.tag, "{self:?}");
        assert_eq!(view.keys(), Vec::from_iter(self.content.key));
        assert_eq!(text("n"), self.content.number);
        assert_eq!(text("region").as_deref(), self.content.region);
        assert_eq!(text("UNIQ_KEY"), self.content.unique);
        if let Some((topic, queue_id)) = &self.real {
            assert_eq!(text("REAL_TOPIC").as_ref(), Some(topic));
            assert_eq!(text("REAL_QID"), Some(queue_id.to_string()));
        }
    }
}

/// Nothing in a message.
pub(crate) fn empty() -> Content {
    Content { body: Vec::new(), tag: None, key: None, number: None, region: None, unique: None }
}

/// Everything that was appended and not lost.
#[derive(Debug, Default)]
pub(crate) struct Model {
    /// In the order of the log; those in front of `min` were removed.
    pub(crate) records: Vec<Record>,
    pub(crate) min: u64,
    /// By queue of the schedule topic: the next one to be delivered, and what is stored of that.
    pub(crate) delivered: BTreeMap<i32, u64>,
    pub(crate) delivered_stored: BTreeMap<i32, u64>,
}

impl Model {
    pub(crate) fn end(&self) -> u64 {
        self.records.last().map_or(0, |record| record.end)
    }

    /// The index that the next message of a queue gets.
    pub(crate) fn next(&self, queue: &QueueName) -> u64 {
        self.records.iter().rev().find(|record| record.queue == *queue).map_or(0, Record::next)
    }

    /// Puts a record behind the others.
    pub(crate) fn push(&mut self, mut record: Record, start: u64, end: u64) {
        record.queue_offset = self.next(&record.queue);
        (record.start, record.end) = (start, end);
        self.records.push(record);
    }

    /// What is not removed and ends at or in front of `limit`.
    pub(crate) fn live(&self, limit: u64) -> impl DoubleEndedIterator<Item = &Record> {
        let live = move |record: &&Record| record.start >= self.min && record.end <= limit;
        self.records.iter().filter(live)
    }

    /// The messages of a queue that can be read.
    pub(crate) fn of_queue<'m>(
        &'m self,
        queue: &'m QueueName,
        limit: u64,
    ) -> impl DoubleEndedIterator<Item = &'m Record> {
        self.live(limit).filter(move |record| record.queue == *queue)
    }

    /// The queues that have had messages that can, or could, be read.
    pub(crate) fn queues(&self, limit: u64) -> BTreeSet<QueueName> {
        let dispatched = self.records.iter().filter(|record| record.end <= limit);
        dispatched.map(|record| record.queue.clone()).collect()
    }

    /// The range of the messages of a queue that has had some.
    pub(crate) fn range(&self, queue: &QueueName, limit: u64) -> std::ops::Range<u64> {
        let dispatched = self.records.iter().rev().filter(|record| record.end <= limit);
        let end = dispatched.into_iter().find(|record| record.queue == *queue);
        let end = end.map_or(0, Record::next);
        self.of_queue(queue, limit).next().map_or(end, |first| first.queue_offset)..end
    }

    /// Half messages that nothing ended, those that were removed included.
    pub(crate) fn open_halves(&self) -> Vec<&Record> {
        let mut open: BTreeMap<u64, &Record> = BTreeMap::new();
        for record in &self.records {
            if record.queue.0 == HALF {
                open.insert(record.queue_offset, record);
            } else if record.queue.0 == OP {
                let body = std::str::from_utf8(&record.content.body).unwrap();
                open.remove(&body.trim_end_matches(',').parse().unwrap());
            }
        }
        open.into_values().collect()
    }

    /// What is due and was not yet delivered, by queue, of all that is dispatched.
    pub(crate) fn due(&self, limit: u64) -> BTreeMap<i32, Vec<Record>> {
        let mut due: BTreeMap<i32, Vec<Record>> = BTreeMap::new();
        for record in self.live(limit).filter(|record| record.is_due()) {
            let delivered = self.delivered.get(&record.queue.1).copied().unwrap_or(0);
            if record.queue_offset >= delivered {
                due.entry(record.queue.1).or_default().push(record.clone());
            }
        }
        due
    }

    /// Forgets what a crash took: all that does not end at or in front of `end`.
    pub(crate) fn cut(&mut self, end: u64) {
        self.records.retain(|record| record.end <= end);
        self.delivered = self.delivered_stored.clone();
    }

    /// Forgets what only lost queues told of: how many messages were removed.
    pub(crate) fn forget_removed(&mut self) {
        let min = self.min;
        self.records.retain(|record| record.start >= min);
    }
}
