//! Reading by queue, by key and by id, without a lock: the queues and the index as their files
//! are, the records from the log.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use cairnlog::{
    LogEntry, LogReader, MessageView, PROPERTY_UNIQUE_KEY, PhysicalOffset, StoreOptions,
    decode_offset_message_id,
};

use crate::commands::inspect::cannot_read;
use crate::failure::Failure;
use crate::formats::consume_queue::{ConsumeQueue, ConsumeQueues, Unit};
use crate::formats::index::{self, Geometry, IndexFile, key_hash};
use crate::open;

/// A store's queues and log, each as it was when it was first looked at.
pub(crate) struct QueueReader {
    store: PathBuf,
    options: StoreOptions,
    /// `None` for a store without a log.
    log: Option<LogReader>,
    /// The queues that were looked at.
    queues: BTreeMap<(String, i32), ConsumeQueue>,
}

/// What stands at an index of a queue.
pub(crate) enum Place {
    /// A message.
    Message(MessageView),
    /// Nothing yet.
    End,
    /// Nothing any more: retention removed it.
    Removed,
    /// A unit that leads to no message.
    Damaged(String),
}

/// What a key is looked for with.
pub(crate) struct KeyQuery<'a> {
    /// The topic.
    pub(crate) topic: &'a str,
    /// The key.
    pub(crate) key: &'a str,
    /// The first and the last store time that is wanted, in milliseconds.
    pub(crate) times: (i64, i64),
    /// At most so many, the newest.
    pub(crate) max: usize,
}

impl QueueReader {
    /// Opens the log; queues are opened when they are asked for.
    pub(crate) fn open(store: &Path, options: &StoreOptions) -> Result<Self, Failure> {
        Ok(Self {
            store: store.to_path_buf(),
            options: options.clone(),
            log: open::log(store, options)?,
            queues: BTreeMap::new(),
        })
    }

    /// Every topic and queue that has files, sorted.
    pub(crate) fn queues(&self) -> Result<Vec<(String, i32)>, Failure> {
        let all = ConsumeQueues::open(&self.store).map_err(cannot_read(&self.store))?;
        Ok(all.queues.into_iter().map(|queue| (queue.topic, queue.queue_id)).collect())
    }

    /// A queue, unless it has no files.
    fn queue(&mut self, topic: &str, queue_id: i32) -> Result<Option<&mut ConsumeQueue>, Failure> {
        match self.queues.entry((topic.to_owned(), queue_id)) {
            Entry::Occupied(known) => Ok(Some(known.into_mut())),
            Entry::Vacant(unknown) => {
                let opened = ConsumeQueue::open(&self.store, topic, queue_id);
                let opened = opened.map_err(cannot_read(&self.store))?;
                Ok(opened.map(|queue| unknown.insert(queue)))
            }
        }
    }

    /// The indexes of a queue's first message and one past its last; `None` if there is no such
    /// queue.
    pub(crate) fn queue_range(
        &mut self,
        topic: &str,
        queue_id: i32,
    ) -> Result<Option<Range<u64>>, Failure> {
        let log_min = self.log.as_ref().map_or(0, |log| log.min_offset().get());
        let Some(queue) = self.queue(topic, queue_id)? else {
            return Ok(None);
        };
        queue.find_range(log_min).map(Some).map_err(cannot_read(&queue.path))
    }

    /// The unit of an index.
    pub(crate) fn unit(
        &mut self,
        topic: &str,
        queue_id: i32,
        index: u64,
    ) -> Result<Option<Unit>, Failure> {
        let Some(queue) = self.queue(topic, queue_id)? else {
            return Ok(None);
        };
        let unit = queue.unit_at(index).map_err(cannot_read(&queue.path))?;
        Ok(unit.filter(Unit::is_message))
    }

    /// What stands at an index of a queue.
    pub(crate) fn read(
        &mut self,
        topic: &str,
        queue_id: i32,
        index: u64,
    ) -> Result<Place, Failure> {
        match self.unit(topic, queue_id, index)? {
            Some(unit) => self.read_unit(topic, queue_id, &unit),
            None => Ok(Place::End),
        }
    }

    /// What a unit of a queue leads to.
    pub(crate) fn read_unit(
        &mut self,
        topic: &str,
        queue_id: i32,
        unit: &Unit,
    ) -> Result<Place, Failure> {
        let offset = u64::try_from(unit.physical_offset).unwrap_or(u64::MAX);
        if self.log.as_ref().is_none_or(|log| offset < log.min_offset().get()) {
            return Ok(Place::Removed);
        }
        let mut message = self.message_at(offset);
        if message.is_none() {
            // The queue was opened after the log, and may lead to a file that is newer.
            self.log = open::log(&self.store, &self.options)?;
            message = self.message_at(offset);
        }
        match message {
            Some(message)
                if message.topic() == topic
                    && message.queue_id() == queue_id
                    && i64::from(message.record().size_bytes()) == i64::from(unit.size) =>
            {
                Ok(Place::Message(message))
            }
            _ => Ok(Place::Damaged(format!(
                "{topic} queue {queue_id}: the unit of offset {} leads to no message of its \
                 queue: expected {} bytes at {offset} of the log",
                unit.index, unit.size
            ))),
        }
    }

    /// The index of the first message that was stored at this time or later; the end of the queue
    /// if there is none.
    pub(crate) fn offset_at_time(
        &mut self,
        topic: &str,
        queue_id: i32,
        time_ms: i64,
    ) -> Result<u64, Failure> {
        let Some(mut range) = self.queue_range(topic, queue_id)? else {
            return Ok(0);
        };
        while range.start < range.end {
            let middle = range.start + (range.end - range.start) / 2;
            let is_before = match self.read(topic, queue_id, middle)? {
                Place::Message(message) => message.store_timestamp_ms() < time_ms,
                Place::Removed => true,
                Place::End => false,
                Place::Damaged(text) => return Err(Failure::Failed(text)),
            };
            if is_before {
                range.start = middle + 1;
            } else {
                range.end = middle;
            }
        }
        Ok(range.start)
    }

    /// The whole record at a physical offset, if one begins there.
    pub(crate) fn message_at(&self, offset: u64) -> Option<MessageView> {
        let log = self.log.as_ref()?;
        let end = log.files().last().map_or(0, |file| file.start_offset.get() + file.size_bytes);
        if offset < log.min_offset().get() || offset >= end {
            return None;
        }
        match log.entries(PhysicalOffset::new(offset)).next() {
            Some(Ok(LogEntry::Message(message))) if message.physical_offset().get() == offset => {
                Some(message)
            }
            _ => None,
        }
    }

    /// The newest messages of a topic with a key, in the order of the log.
    pub(crate) fn query_key(&self, query: &KeyQuery<'_>) -> Result<Vec<MessageView>, Failure> {
        let hash = key_hash(query.topic, query.key);
        let (paths, _foreign) = index::files(&self.store).map_err(cannot_read(&self.store))?;
        let mut found: BTreeMap<u64, MessageView> = BTreeMap::new();
        for path in paths.iter().rev() {
            if found.len() >= query.max {
                break;
            }
            let entries = match self.entries(path, hash) {
                // Retention removed it since it was listed.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                entries => entries.map_err(cannot_read(path))?,
            };
            for entry in entries {
                let Ok(offset) = u64::try_from(entry.physical_offset) else {
                    continue;
                };
                if found.len() < query.max
                    && let Some(message) = self.message_at(offset)
                    && is_wanted(&message, query)
                {
                    found.insert(offset, message);
                }
            }
        }
        Ok(found.into_values().collect())
    }

    fn entries(&self, path: &Path, hash: i32) -> io::Result<Vec<index::Entry>> {
        let StoreOptions { max_hash_slot_num: slots, max_index_num: items, .. } = self.options;
        let given = IndexFile::open(path, Some(Geometry { slots, items }))?;
        let file = match given.geometry {
            Some(_) => given,
            None => IndexFile::open(path, None)?,
        };
        file.geometry.map_or(Ok(Vec::new()), |geometry| file.find(geometry, hash))
    }

    /// The message with an id: RocketMQ's `offsetMsgId`, or else the unique key that its client
    /// gave it, in one topic or in any.
    pub(crate) fn find_by_message_id(
        &self,
        topic: Option<&str>,
        id: &str,
    ) -> Result<Option<MessageView>, Failure> {
        if let Some((_, offset)) = decode_offset_message_id(id)
            && let Some(message) = self.message_at(offset.get())
            && message.record().offset_message_id().eq_ignore_ascii_case(id)
        {
            return Ok(Some(message).filter(|found| topic.is_none_or(|t| found.topic() == t)));
        }
        let mut topics: Vec<String> = match topic {
            Some(topic) => vec![topic.to_owned()],
            None => self.queues()?.into_iter().map(|(topic, _)| topic).collect(),
        };
        topics.dedup();
        for topic in &topics {
            let query = KeyQuery { topic, key: id, times: (0, i64::MAX), max: 1 };
            let mut found = self.query_key(&query)?;
            if let Some(message) = found.pop() {
                return Ok(Some(message));
            }
        }
        Ok(None)
    }
}

/// Whether a message that shares the key's hash has the key itself, and its time is right.
fn is_wanted(message: &MessageView, query: &KeyQuery<'_>) -> bool {
    let record = message.record();
    let (begin, end) = query.times;
    let unique = record.property(PROPERTY_UNIQUE_KEY);
    record.topic() == query.topic
        && (begin..=end).contains(&record.store_timestamp_ms())
        && (unique.is_some_and(|key| key == query.key)
            || record.keys().iter().any(|key| key == query.key))
}
