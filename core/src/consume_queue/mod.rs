//! Consume queues: for every message of a (topic, queue) where it lies in the log.
//!
//! A queue is `consumequeue/<topic>/<queue id>/`, files of 20-byte units named by the byte offset
//! of their beginning. Everything here follows from the log: a queue that is missing, damaged or
//! behind is built again from it.
//!
//! 1. One thread at a time stages and writes units, in the order of the log: the dispatcher.
//! 2. The unit of index n stands at byte 20 n of the queue, or nowhere.
//! 3. Units below a queue's `max` are written; what is behind it in its files is zero.

mod handles;
mod queue;
mod unit;

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;

use handles::HandleCache;
pub(crate) use queue::{ConsumeQueue, Staged};
use queue::{Identity, Shared};
pub(crate) use unit::{Slot, UNIT_BYTES, Unit, decode_units, partition_point};

use crate::error::{Error, Result};
use crate::mapped::sync_parent;
use crate::sys::disk::{Access, Disk, Entry};

/// The directory of the queues in the store's root.
pub(crate) const CONSUME_QUEUE_DIRECTORY: &str = "consumequeue";

/// How queue files are made and kept open.
#[derive(Debug, Clone, Copy)]
pub(crate) struct QueueSettings {
    pub(crate) file_bytes: u64,
    pub(crate) max_open_files: usize,
    pub(crate) access: Access,
}

/// How many queues there are and how many indexes they have given out: what a checkpoint notes, so
/// that queues that went missing are noticed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct QueueCounts {
    pub(crate) queues: u64,
    pub(crate) units: u64,
}

/// Directories of queues that hold nothing that counts.
#[derive(Debug, Default)]
pub(crate) struct LeftOut {
    /// Their files are no queue's.
    pub(crate) damaged: Vec<PathBuf>,
    /// None of their units point below the end.
    pub(crate) empty: Vec<PathBuf>,
}

type Topic = Vec<(i32, Arc<ConsumeQueue>)>;

/// All queues of a store.
#[derive(Debug)]
pub(crate) struct ConsumeQueues {
    shared: Arc<Shared>,
    root: PathBuf,
    /// The size of the files of new queues: that of those which are there, as RocketMQ knows one
    /// size only.
    file_bytes: AtomicU64,
    next_serial: AtomicU64,
    /// Counts the queues that were taken in.
    version: AtomicU64,
    topics: RwLock<HashMap<Box<str>, Topic>>,
}

/// A queue directory as it was found.
struct FoundQueue {
    topic: String,
    queue_id: i32,
    directory: PathBuf,
    file_bytes: u64,
    files: Vec<u64>,
}

impl ConsumeQueues {
    /// No queues yet.
    pub(crate) fn new(disk: Arc<dyn Disk>, store_path: &Path, settings: QueueSettings) -> Self {
        let handles = HandleCache::new(settings.access, settings.max_open_files);
        Self {
            shared: Arc::new(Shared { disk, handles }),
            root: store_path.join(CONSUME_QUEUE_DIRECTORY),
            file_bytes: AtomicU64::new(settings.file_bytes),
            next_serial: AtomicU64::new(0),
            version: AtomicU64::new(0),
            topics: RwLock::default(),
        }
    }

    /// Takes in the queues of the directory. Units that point below `log_end` count; those that
    /// point below `log_min` are in front of their queue. Reads only. Returns what it did not take
    /// in.
    pub(crate) fn load(&self, log_min: u64, log_end: u64) -> Result<LeftOut> {
        let mut left_out = LeftOut::default();
        self.topics.write().clear();
        for_each_queue(&*self.shared.disk, &self.root, |topic, queue_id, directory| {
            match look_at(&*self.shared.disk, topic, queue_id, directory)? {
                None => {}
                Some(Err(())) => left_out.damaged.push(directory.to_path_buf()),
                Some(Ok(found)) => {
                    let queue = self.make(found);
                    queue.find_range(log_min, log_end)?;
                    if queue.exists() {
                        self.file_bytes.store(queue.file_bytes(), Ordering::Relaxed);
                        self.take_in(queue);
                    } else {
                        left_out.empty.push(directory.to_path_buf());
                    }
                }
            }
            Ok(())
        })?;
        Ok(left_out)
    }

    fn make(&self, found: FoundQueue) -> ConsumeQueue {
        let FoundQueue { topic, queue_id, directory, file_bytes, files } = found;
        let serial = self.next_serial.fetch_add(1, Ordering::Relaxed);
        let topic = topic.into();
        let identity = Identity { serial, topic, queue_id, directory, file_bytes };
        ConsumeQueue::new(&self.shared, identity, files)
    }

    /// Adds a queue; of two that were made at once, the first is kept and returned.
    fn take_in(&self, queue: ConsumeQueue) -> Arc<ConsumeQueue> {
        let mut topics = self.topics.write();
        let topic = topics.entry(queue.topic().into()).or_default();
        let queue_id = queue.queue_id();
        let known = topic.iter().find(|(id, _)| *id == queue_id).map(|(_, known)| known.clone());
        known.unwrap_or_else(|| {
            let queue = Arc::new(queue);
            let place = topic.partition_point(|(id, _)| *id < queue_id);
            topic.insert(place, (queue_id, Arc::clone(&queue)));
            self.version.fetch_add(1, Ordering::Release);
            queue
        })
    }

    /// The queue, if it is known.
    pub(crate) fn find(&self, topic: &str, queue_id: i32) -> Option<Arc<ConsumeQueue>> {
        let topics = self.topics.read();
        let topic = topics.get(topic)?;
        let place = topic.binary_search_by_key(&queue_id, |(id, _)| *id).ok()?;
        topic.get(place).map(|(_, queue)| Arc::clone(queue))
    }

    /// The queue, made in memory when it is new. `None` if there can be no such queue: its topic
    /// would leave the directory, or its number is negative.
    pub(crate) fn queue(&self, topic: &str, queue_id: i32) -> Option<Arc<ConsumeQueue>> {
        if let Some(known) = self.find(topic, queue_id) {
            return Some(known);
        }
        if !names_a_directory(topic) || queue_id < 0 {
            return None;
        }
        let queue = self.make(FoundQueue {
            topic: topic.to_owned(),
            queue_id,
            directory: self.root.join(topic).join(queue_id.to_string()),
            file_bytes: self.file_bytes.load(Ordering::Relaxed),
            files: Vec::new(),
        });
        Some(self.take_in(queue))
    }

    /// All queues.
    pub(crate) fn all(&self) -> Vec<Arc<ConsumeQueue>> {
        let topics = self.topics.read();
        topics.values().flatten().map(|(_, queue)| Arc::clone(queue)).collect()
    }

    /// Changes whenever there is a new queue.
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// The numbers of a topic's queues, ascending, also of those that had no message yet.
    pub(crate) fn numbers(&self, topic: &str) -> Vec<i32> {
        let topics = self.topics.read();
        topics.get(topic).into_iter().flatten().map(|(id, _)| *id).collect()
    }

    /// The queues of a topic, ascending, that ever had a message.
    pub(crate) fn of_topic(&self, topic: &str) -> Vec<Arc<ConsumeQueue>> {
        let topics = self.topics.read();
        let queues = topics.get(topic).into_iter().flatten();
        queues.map(|(_, queue)| Arc::clone(queue)).filter(|queue| queue.exists()).collect()
    }

    /// The topics that ever had a message, sorted.
    pub(crate) fn topics(&self) -> Vec<String> {
        let topics = self.topics.read();
        let used = |topic: &Topic| topic.iter().any(|(_, queue)| queue.exists());
        let mut names: Vec<String> = topics
            .iter()
            .filter(|(_, topic)| used(topic))
            .map(|(name, _)| name.to_string())
            .collect();
        names.sort();
        names
    }

    /// What there is, as a checkpoint notes it. Only while nothing is written.
    pub(crate) fn counts(&self) -> QueueCounts {
        let mut counts = QueueCounts::default();
        for topic in self.topics.read().values() {
            for (_, queue) in topic {
                let max = queue.max().get();
                counts.queues += u64::from(max > 0);
                counts.units += max;
            }
        }
        counts
    }

    /// Takes out, durably, what stands behind the end of each queue, and the files of what
    /// [`ConsumeQueues::load`] left out.
    pub(crate) fn cut(&self, left_out: &LeftOut) -> Result<()> {
        let disk = &*self.shared.disk;
        for directory in &left_out.damaged {
            tracing::warn!(path = %directory.display(), "a damaged consume queue is built again");
        }
        for directory in left_out.damaged.iter().chain(&left_out.empty) {
            let numbered = |entry: &&Entry| entry.is_file && entry.name.len() == 20;
            for entry in list(disk, directory)?.iter().filter(numbered) {
                let path = directory.join(&entry.name);
                disk.remove(&path)
                    .and_then(|()| sync_parent(disk, &path))
                    .map_err(|source| Error::io("cannot remove", source).at_path(&path))?;
            }
        }
        self.all().iter().try_for_each(|queue| queue.cut_behind_end())
    }

    /// Makes durable what was written since the last call.
    pub(crate) fn sync(&self) -> Result<()> {
        // Directories with new entries; each is synced once, after what it names.
        let mut directories = BTreeSet::new();
        for queue in self.all() {
            let made = queue.sync()?.into_iter();
            directories.extend(made.flat_map(Path::ancestors).take(4).map(Path::to_path_buf));
        }
        for directory in directories.iter().rev() {
            let synced = self.shared.disk.sync_directory(directory);
            synced.map_err(|source| Error::io("cannot sync", source).at_path(directory))?;
        }
        Ok(())
    }

    /// Lets go of what points below `log_min`: first indexes rise, and files that point nowhere
    /// else are removed. Every queue keeps a file with a unit that points below `synced`, up to
    /// where the queues are durable, so that its next index is never forgotten. Returns how many
    /// were removed. Not while another thread syncs.
    pub(crate) fn remove_before(&self, log_min: u64, synced: u64) -> Result<u64> {
        let mut removed = 0;
        for queue in self.all() {
            queue.find_min(log_min)?;
            removed += queue.remove_before(log_min, synced)?;
        }
        Ok(removed)
    }

    /// Ends all waits for messages and closes the files.
    pub(crate) fn close(&self) {
        for queue in self.all() {
            queue.max().close();
        }
        self.shared.handles.clear();
    }
}

/// Whether a topic can have a directory of its own, also one that RocketMQ let through and appends
/// here refuse.
fn names_a_directory(topic: &str) -> bool {
    let special = topic.is_empty() || topic == "." || topic == "..";
    !special && topic.len() <= 255 && !topic.contains(['/', '\\', '\0'])
}

/// Calls `visit` with the topic, number and directory of every queue.
fn for_each_queue(
    disk: &dyn Disk,
    root: &Path,
    mut visit: impl FnMut(&str, i32, &Path) -> Result<()>,
) -> Result<()> {
    for topic in list(disk, root)?.iter().filter(|entry| !entry.is_file) {
        let Some(topic_name) = topic.name.to_str().filter(|name| names_a_directory(name)) else {
            continue;
        };
        let topic_path = root.join(topic_name);
        for queue in list(disk, &topic_path)?.iter().filter(|entry| !entry.is_file) {
            let number = queue.name.to_str().and_then(|name| name.parse::<i32>().ok());
            if let Some(queue_id) = number.filter(|id| *id >= 0) {
                visit(topic_name, queue_id, &topic_path.join(&queue.name))?;
            }
        }
    }
    Ok(())
}

/// The files of a queue: `None` if it has none, an error if they cannot be a queue's.
fn look_at(
    disk: &dyn Disk,
    topic: &str,
    queue_id: i32,
    directory: &Path,
) -> Result<Option<std::result::Result<FoundQueue, ()>>> {
    // What is not named as a queue file is somebody else's, and stays.
    let named = |entry: Entry| {
        let name = entry.name.to_str().filter(|name| entry.is_file && name.len() == 20)?;
        Some((name.parse::<u64>().ok()?, entry.size_bytes))
    };
    let found: Vec<_> = list(disk, directory)?.into_iter().filter_map(named).collect();
    let Some(file_bytes) = found.first().map(|(_, size_bytes)| *size_bytes) else {
        return Ok(None);
    };
    let mut files = Vec::with_capacity(found.len());
    for (start, size_bytes) in found {
        let fits = |start: &u64| {
            size_bytes == file_bytes
                && file_bytes >= UNIT_BYTES
                && file_bytes.is_multiple_of(UNIT_BYTES)
                && start.is_multiple_of(file_bytes)
                && i64::try_from(*start).is_ok()
        };
        if !fits(&start) {
            return Ok(Some(Err(())));
        }
        files.push(start);
    }
    files.sort_unstable();
    let (topic, directory) = (topic.to_owned(), directory.to_path_buf());
    Ok(Some(Ok(FoundQueue { topic, queue_id, directory, file_bytes, files })))
}

fn list(disk: &dyn Disk, directory: &Path) -> Result<Vec<Entry>> {
    match disk.list(directory) {
        Ok(entries) => Ok(entries),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(Error::io("cannot list", error).at_path(directory)),
    }
}
