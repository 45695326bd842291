//! Consume queues: for every message of a (topic, queue) where it lies in the log.
//!
//! A simple queue is `consumequeue/<topic>/<queue id>/`, files of 20-byte units named by the byte
//! offset of their beginning. A batch queue is `batchconsumequeue/<topic>/<queue id>/`, files of
//! 46-byte units, each of which stands for an inner batch. Everything here follows from the log: a
//! queue that is missing, damaged or behind is built again from it.
//!
//! 1. One thread at a time stages and writes units, in the order of the log: the dispatcher.
//! 2. The unit of index n stands at byte 20 n of a simple queue, or nowhere. In a batch queue it is
//!    the one whose indexes contain n: they rise from unit to unit.
//! 3. Units below a queue's end are written; what is behind it in its files is zero.
//! 4. All queues of a topic are of one kind: that of its queues on the disk or else of the first
//!    record that goes to a queue. Appends keep to it. A log that others wrote may not: then a
//!    single message is a batch of one in a batch queue, and an inner batch has a unit and fillers
//!    in a simple one.

mod files;
mod follow;
mod handles;
mod queue;
mod unit;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, RwLock};

use files::{Place, Shared};
pub(crate) use follow::ReadableLog;
use handles::HandleCache;
use queue::Identity;
pub(crate) use queue::{ConsumeQueue, Staged};
pub(crate) use unit::{
    BATCH_UNIT_BYTES, MAX_BATCH_MESSAGES, MAX_INDEX, Slot, UNIT_BYTES, Unit, Units, partition_point,
};

use crate::error::{Error, Result};
use crate::mapped::sync_parent;
use crate::state::QueueKind;
use crate::status::Status;
use crate::sys::disk::{Access, Disk, Entry};
use crate::watermark::Watermark;

/// Whether a store has a directory of queues.
pub(crate) fn has_queues(disk: &dyn Disk, store_path: &Path) -> bool {
    QueueKind::ALL.iter().any(|kind| disk.has_directory(&store_path.join(kind.directory())))
}

/// How queue files are made and kept open.
#[derive(Debug, Clone, Copy)]
pub(crate) struct QueueSettings {
    /// The size of a simple queue's file.
    pub(crate) file_bytes: u64,
    /// The size of a batch queue's file.
    pub(crate) batch_file_bytes: u64,
    pub(crate) max_open_files: usize,
    pub(crate) access: Access,
}

/// What a checkpoint notes of the queues, so that those that went missing or were exchanged are
/// noticed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct QueueSummary {
    /// The sum of [`ConsumeQueue::fingerprint`].
    pub(crate) fingerprint: u64,
    /// Files that begin in front of their queue's end.
    pub(crate) files: u64,
}

/// Directories of queues that hold nothing that counts.
#[derive(Debug, Default)]
pub(crate) struct LeftOut {
    /// Their files are no queue's.
    pub(crate) damaged: Vec<PathBuf>,
    /// None of their units point below the end.
    pub(crate) empty: Vec<PathBuf>,
}

/// The queues of a topic, ascending.
#[derive(Debug)]
struct Topic {
    kind: QueueKind,
    queues: Vec<(i32, Arc<ConsumeQueue>)>,
}

impl Topic {
    fn find(&self, queue_id: i32) -> Option<&Arc<ConsumeQueue>> {
        let place = self.queues.binary_search_by_key(&queue_id, |(id, _)| *id).ok()?;
        self.queues.get(place).map(|(_, queue)| queue)
    }
}

/// What is known of queues.
#[derive(Debug)]
struct Table {
    topics: HashMap<Box<str>, Topic>,
    /// The sizes of the files of new queues: those of what is there, as RocketMQ knows one size
    /// only for each kind.
    file_bytes: u64,
    batch_file_bytes: u64,
    /// The ends of queues that are waited for and do not exist yet: their first message tells of
    /// what kind they will be.
    awaited: HashMap<(Box<str>, i32), Arc<Watermark>>,
    closed: bool,
}

impl Table {
    fn new(settings: QueueSettings) -> Self {
        let QueueSettings { file_bytes, batch_file_bytes, .. } = settings;
        let (topics, awaited) = (HashMap::new(), HashMap::new());
        Self { topics, file_bytes, batch_file_bytes, awaited, closed: false }
    }

    fn file_bytes(&mut self, kind: QueueKind) -> &mut u64 {
        match kind {
            QueueKind::Simple => &mut self.file_bytes,
            QueueKind::Batch => &mut self.batch_file_bytes,
        }
    }

    fn find(&self, topic: &str, queue_id: i32) -> Option<&Arc<ConsumeQueue>> {
        self.topics.get(topic)?.find(queue_id)
    }

    fn all(&self) -> impl Iterator<Item = &Arc<ConsumeQueue>> {
        self.topics.values().flat_map(|topic| &topic.queues).map(|(_, queue)| queue)
    }
}

/// All queues of a store.
#[derive(Debug)]
pub(crate) struct ConsumeQueues {
    shared: Arc<Shared>,
    store_path: PathBuf,
    next_serial: AtomicU64,
    /// Counts the queues that were taken in.
    version: AtomicU64,
    table: RwLock<Table>,
    /// Directories with new entries that are not durable yet.
    unsynced: Mutex<BTreeSet<PathBuf>>,
}

/// A queue directory as it was found.
struct FoundQueue {
    topic: Box<str>,
    queue_id: i32,
    place: Place,
    starts: Vec<u64>,
}

impl ConsumeQueues {
    /// No queues yet.
    pub(crate) fn new(disk: Arc<dyn Disk>, store_path: &Path, settings: QueueSettings) -> Self {
        let handles = HandleCache::new(settings.access, settings.max_open_files);
        Self {
            shared: Arc::new(Shared { disk, handles, sync_failed: OnceLock::new() }),
            unsynced: Mutex::default(),
            store_path: store_path.to_path_buf(),
            next_serial: AtomicU64::new(0),
            version: AtomicU64::new(0),
            table: RwLock::new(Table::new(settings)),
        }
    }

    /// Takes in the queues of the directory. Units that point below `log_end` count; those that
    /// point below `log_min` are in front of their queue. Reads only. Returns what it did not take
    /// in: also queues of a topic that has queues of the other kind.
    pub(crate) fn load(&self, log_min: u64, log_end: u64) -> Result<LeftOut> {
        let mut left_out = LeftOut::default();
        let mut table = self.table.write();
        table.topics.clear();
        for kind in QueueKind::ALL {
            let root = self.store_path.join(kind.directory());
            // How many queues have files of which size.
            let mut sizes: BTreeMap<u64, usize> = BTreeMap::new();
            for_each_queue(&*self.shared.disk, &root, |topic, queue_id, directory| {
                let serial = self.next_serial.fetch_add(1, Ordering::Relaxed);
                let place = Place { serial, kind, directory: directory.into(), file_bytes: 0 };
                let found = match look_at(&*self.shared.disk, topic, queue_id, place)? {
                    None => return Ok(()),
                    Some(Ok(found)) => found,
                    Some(Err(())) => {
                        left_out.damaged.push(directory.to_path_buf());
                        return Ok(());
                    }
                };
                let queue = self.make(found, Arc::default());
                *sizes.entry(queue.file_bytes()).or_default() += 1;
                queue.find_range(log_min, log_end)?;
                if !queue.exists() {
                    left_out.empty.push(directory.to_path_buf());
                    return Ok(());
                }
                if !self.take_in(&mut table, Arc::new(queue)) {
                    left_out.damaged.push(directory.to_path_buf());
                }
                Ok(())
            })?;
            if let Some((usual, _)) = sizes.into_iter().max_by_key(|(_, count)| *count) {
                *table.file_bytes(kind) = usual;
            }
        }
        Ok(left_out)
    }

    fn make(&self, found: FoundQueue, max: Arc<Watermark>) -> ConsumeQueue {
        let FoundQueue { topic, queue_id, place, starts } = found;
        ConsumeQueue::new(&self.shared, Identity { topic, queue_id, max }, place, starts)
    }

    /// Adds a queue that is not there yet. False if its topic has queues of the other kind.
    fn take_in(&self, table: &mut Table, queue: Arc<ConsumeQueue>) -> bool {
        let (kind, queue_id) = (queue.kind(), queue.queue_id());
        let made = || Topic { kind, queues: Vec::new() };
        let topic = table.topics.entry(queue.topic().into()).or_insert_with(made);
        if topic.kind != kind {
            return false;
        }
        let place = topic.queues.partition_point(|(id, _)| *id < queue_id);
        topic.queues.insert(place, (queue_id, queue));
        self.version.fetch_add(1, Ordering::Release);
        true
    }

    /// The queue, if it is known.
    pub(crate) fn find(&self, topic: &str, queue_id: i32) -> Option<Arc<ConsumeQueue>> {
        self.table.read().find(topic, queue_id).cloned()
    }

    /// The queue, made in memory when it is new: of this kind, unless its topic is of the other.
    /// `None` if there can be no such queue: its topic would leave the directory, or its number is
    /// negative.
    pub(crate) fn queue(
        &self,
        topic: &str,
        queue_id: i32,
        kind: QueueKind,
    ) -> Option<Arc<ConsumeQueue>> {
        if let Some(known) = self.find(topic, queue_id) {
            return Some(known);
        }
        if !names_a_directory(topic) || queue_id < 0 {
            return None;
        }
        let mut table = self.table.write();
        if let Some(known) = table.find(topic, queue_id) {
            return Some(Arc::clone(known));
        }
        let kind = table.topics.get(topic).map_or(kind, |topic| topic.kind);
        let place = Place {
            serial: self.next_serial.fetch_add(1, Ordering::Relaxed),
            kind,
            directory: self
                .store_path
                .join(kind.directory())
                .join(topic)
                .join(queue_id.to_string()),
            file_bytes: *table.file_bytes(kind),
        };
        let max = table.awaited.remove(&(topic.into(), queue_id)).unwrap_or_default();
        let found = FoundQueue { topic: topic.into(), queue_id, place, starts: Vec::new() };
        let queue = Arc::new(self.make(found, max));
        self.take_in(&mut table, Arc::clone(&queue));
        Some(queue)
    }

    /// One past the last index of a queue, to wait for, also of one that does not exist yet.
    /// `None` if there can be no such queue.
    pub(crate) fn end_of(&self, topic: &str, queue_id: i32) -> Option<Arc<Watermark>> {
        if let Some(known) = self.find(topic, queue_id) {
            return Some(Arc::clone(known.max()));
        }
        if !names_a_directory(topic) || queue_id < 0 {
            return None;
        }
        let mut table = self.table.write();
        if let Some(known) = table.find(topic, queue_id) {
            return Some(Arc::clone(known.max()));
        }
        let closed = table.closed;
        let end = table.awaited.entry((topic.into(), queue_id)).or_default();
        if closed {
            end.close();
        }
        Some(Arc::clone(end))
    }

    /// All queues.
    pub(crate) fn all(&self) -> Vec<Arc<ConsumeQueue>> {
        self.table.read().all().cloned().collect()
    }

    /// Changes whenever there is a new queue.
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// The numbers of a topic's queues, ascending, also of those that had no message yet.
    pub(crate) fn numbers(&self, topic: &str) -> Vec<i32> {
        let table = self.table.read();
        let queues = table.topics.get(topic).into_iter().flat_map(|topic| &topic.queues);
        queues.map(|(id, _)| *id).collect()
    }

    /// The queues of a topic, ascending, that ever had a message.
    pub(crate) fn of_topic(&self, topic: &str) -> Vec<Arc<ConsumeQueue>> {
        let table = self.table.read();
        let queues = table.topics.get(topic).into_iter().flat_map(|topic| &topic.queues);
        queues.map(|(_, queue)| Arc::clone(queue)).filter(|queue| queue.exists()).collect()
    }

    /// The topics that ever had a message, sorted.
    pub(crate) fn topics(&self) -> Vec<String> {
        let used = |topic: &Topic| topic.queues.iter().any(|(_, queue)| queue.exists());
        let mut names: Vec<String> = self
            .table
            .read()
            .topics
            .iter()
            .filter(|(_, topic)| used(topic))
            .map(|(name, _)| name.to_string())
            .collect();
        names.sort();
        names
    }

    /// What there is, as a checkpoint notes it. Only while nothing is written.
    pub(crate) fn summary(&self) -> QueueSummary {
        let mut summary = QueueSummary::default();
        for queue in self.table.read().all().filter(|queue| queue.exists()) {
            summary.fingerprint = summary.fingerprint.wrapping_add(queue.fingerprint());
            summary.files += queue.used_files();
        }
        summary
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

    /// Makes durable what was written since the last call. After a failure the call may be
    /// repeated, unless a sync failed.
    pub(crate) fn sync(&self) -> Result<()> {
        // Each directory with new entries is synced once, after what it names.
        let mut directories = self.unsynced.lock();
        for queue in self.all() {
            let made = queue.sync()?.into_iter();
            directories.extend(made.flat_map(Path::ancestors).take(4).map(Path::to_path_buf));
        }
        while let Some(directory) = directories.pop_last() {
            self.shared.disk.sync_directory(&directory).map_err(|source| {
                let error = Error::io("cannot sync", source).at_path(&directory);
                if error.status() == Status::TooManyOpenFiles {
                    // It could not be opened, and is left to the next call.
                    directories.insert(directory.clone());
                } else {
                    let _ = self.shared.sync_failed.set(error.clone());
                }
                error
            })?;
        }
        Ok(())
    }

    /// The first failure of a sync, if there was one: what the queues hold on the disk is then
    /// unknown until the next opening, and no checkpoint may speak of it.
    pub(crate) fn sync_failure(&self) -> Option<&Error> {
        self.shared.sync_failed.get()
    }

    /// Lets go of what points below `log_min`: first indexes rise, and files that point nowhere
    /// else are removed. Every queue keeps a file with a unit that points below `synced`, up to
    /// where the queues are durable, so that its next index is never forgotten. Counts in `removed`
    /// what was removed, also when it fails. Not while another thread syncs.
    pub(crate) fn remove_before(&self, log_min: u64, synced: u64, removed: &mut u64) -> Result<()> {
        for queue in self.all() {
            queue.find_min(log_min)?;
            queue.remove_before(log_min, synced, removed)?;
        }
        Ok(())
    }

    /// Ends all waits for messages and closes the files.
    pub(crate) fn close(&self) {
        let mut table = self.table.write();
        table.closed = true;
        let mut ends: Vec<_> = table.all().map(|queue| Arc::clone(queue.max())).collect();
        ends.extend(table.awaited.values().cloned());
        drop(table);
        ends.iter().for_each(|end| end.close());
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
            let named = |id: &i32| *id >= 0 && queue.name.to_str() == Some(&*id.to_string());
            if let Some(queue_id) = number.filter(named) {
                visit(topic_name, queue_id, &topic_path.join(&queue.name))?;
            }
        }
    }
    Ok(())
}

/// The files of a queue: `None` if it has none, an error if they cannot be a queue's. The size of a
/// file is theirs.
fn look_at(
    disk: &dyn Disk,
    topic: &str,
    queue_id: i32,
    place: Place,
) -> Result<Option<std::result::Result<FoundQueue, ()>>> {
    // What is not named as a queue file is somebody else's, and stays.
    let named = |entry: Entry| {
        let name = entry.name.to_str().filter(|name| entry.is_file && name.len() == 20)?;
        Some((name.parse::<u64>().ok()?, entry.size_bytes))
    };
    let found: Vec<_> = list(disk, &place.directory)?.into_iter().filter_map(named).collect();
    let Some(file_bytes) = found.first().map(|(_, size_bytes)| *size_bytes) else {
        return Ok(None);
    };
    let unit_bytes = place.kind.unit_bytes();
    let mut starts = Vec::with_capacity(found.len());
    for (start, size_bytes) in found {
        let fits = |start: &u64| {
            size_bytes == file_bytes
                && file_bytes >= unit_bytes
                && file_bytes.is_multiple_of(unit_bytes)
                && start.is_multiple_of(file_bytes)
                && start / unit_bytes <= MAX_INDEX
        };
        if !fits(&start) {
            return Ok(Some(Err(())));
        }
        starts.push(start);
    }
    starts.sort_unstable();
    // A simple queue has no file where its log skipped indexes; a batch queue has units only.
    let follow = starts.windows(2).all(|pair| matches!(pair, [a, b] if b - a == file_bytes));
    if place.kind == QueueKind::Batch && !follow {
        return Ok(Some(Err(())));
    }
    let place = Place { file_bytes, ..place };
    Ok(Some(Ok(FoundQueue { topic: topic.into(), queue_id, place, starts })))
}

fn list(disk: &dyn Disk, directory: &Path) -> Result<Vec<Entry>> {
    match disk.list(directory) {
        Ok(entries) => Ok(entries),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(Error::io("cannot list", error).at_path(directory)),
    }
}
