//! A store that is only read, beside the process that writes it.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Store;
use crate::commit_log::{
    self, Batch, FollowLog, MessageView, Scan, check_places, check_queue_id, check_topic,
    open_listed, paths_of,
};
use crate::consume_queue::{ConsumeQueues, QueueSettings};
use crate::error::{Error, Result};
use crate::filter::Filter;
use crate::index::{Index, IndexSettings, KeyQuery};
use crate::mapped::guard;
use crate::offset::{PhysicalOffset, QueueOffset};
use crate::options::StoreOptions;
use crate::read::{Follower, QueueBatch, ReadRequest, Reading, Source, Tail, TimeBoundary};
use crate::status::Status;
use crate::sys::disk::{Access, Disk, OsDisk};

/// A store's directory, open for reading only, while another process (or this one) writes it or
/// nobody does.
///
/// It takes no lock, makes no file and changes nothing; descriptors and mappings are read-only, so
/// the right to read the directory is enough. Every call looks at what the writer stored until
/// then: messages of a queue once the writer dispatched them, which in a synchronous store it does
/// when they are durable; records of the log as soon as they are whole. Waiting calls look again
/// after 0.2 ms, and in pauses that double up to 50 ms while the log does not grow.
///
/// The writer may close the store, die, and open it again: the reader goes on. What retention
/// removes can be read no longer once a listing of the directory, at most a second later, shows
/// that it is gone; views that were read stay valid. While queues that were lost are built again, a
/// queue ends where building has come to. Where files of a queue are missing, in front or in the
/// middle, the log is looked through: messages that it has are waited for, until a writer has built
/// the files again, and nothing is passed over but what it does not have. If the writer cuts the
/// log below what was read (only after damage, with `damage_policy = truncate`), the reader reports
/// [`Status::Corruption`] there and has to be opened again.
///
/// Every method may be called from any thread.
pub struct StoreReader {
    path: PathBuf,
    follower: Arc<Follower>,
    reading: Reading,
}

impl fmt::Debug for StoreReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self.reading.log.committed().get();
        write!(f, "StoreReader({}, {end})", self.path.display())
    }
}

impl Store {
    /// Opens the store in a directory for reading only, also while another process writes it.
    ///
    /// Of the options, those count that say where the log's files are, whether there is a key
    /// index, how many queue files stay open, whether CRCs are verified, and whether the process
    /// gets a handler for SIGBUS.
    ///
    /// # Errors
    ///
    /// - [`Status::InvalidArgument`]: an option is outside its limits.
    /// - [`Status::StoreNotFound`]: there is no commit log with a file here.
    /// - [`Status::ForeignFile`], [`Status::WrongFileSize`], [`Status::MissingFile`]: the commit
    ///   log's files are not a log.
    /// - [`Status::Io`], [`Status::PermissionDenied`], [`Status::OutOfMemory`]: a file cannot be
    ///   read or mapped.
    pub fn open_reader(path: impl AsRef<Path>, options: &StoreOptions) -> Result<StoreReader> {
        StoreReader::open(path.as_ref(), options)
    }
}

impl StoreReader {
    fn open(path: &Path, options: &StoreOptions) -> Result<Self> {
        options.validate()?;
        guard::install_if(options.sigbus_guard_enable);
        let path = std::path::absolute(path)
            .map_err(|source| Error::io("cannot resolve the path", source).at_path(path))?;
        let disk: Arc<dyn Disk> = Arc::new(OsDisk);
        check_places(&path, options)?;
        let paths = paths_of(&path, options);
        let (found, log) = open_listed(&paths)?;
        if found.is_empty() {
            let what = "there is no commit log with a file here";
            return Err(Error::new(Status::StoreNotFound, what).at_path(path));
        }
        let log = Arc::new(log);
        let settings = QueueSettings {
            file_bytes: options.consume_queue_file_bytes(),
            batch_file_bytes: options.batch_consume_queue_file_bytes(),
            max_open_files: options.max_open_queue_files,
            access: Access::Read,
        };
        let queues = Arc::new(ConsumeQueues::new(Arc::clone(&disk), &path, settings));
        let settings =
            IndexSettings { slots: options.max_hash_slot_num, entries: options.max_index_num };
        let index = match options.message_index_enable {
            true => Some(Arc::new(Index::open(disk, &path, settings)?)),
            false => None,
        };
        let (known, keys) = (Arc::clone(&queues), index.clone());
        let follower = Arc::new(Follower::new(paths, Arc::clone(&log), known, keys));
        let source = Source::Follower(Arc::clone(&follower));
        let crc = options.crc_check_on_read();
        Ok(Self { path, follower, reading: Reading { log, queues, index, source, crc } })
    }

    /// The store's directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The size of each commit log file in bytes.
    #[must_use]
    pub fn segment_size_bytes(&self) -> u64 {
        self.reading.log.file_size_bytes()
    }

    /// Where the log begins; known anew at most every 10 ms.
    #[must_use]
    pub fn min_offset(&self) -> PhysicalOffset {
        self.follower.look_at_files();
        PhysicalOffset::new(self.reading.log.min_offset())
    }

    /// One past the last byte that can be read.
    #[must_use]
    pub fn max_offset(&self) -> PhysicalOffset {
        FollowLog::look(&*self.follower);
        PhysicalOffset::new(self.reading.log.committed().get())
    }

    /// As [`Store::read_at`].
    ///
    /// # Errors
    ///
    /// As [`Store::read_at`].
    pub fn read_at(&self, offset: PhysicalOffset) -> Result<MessageView> {
        commit_log::read_at(&self.reading_now()?.log, offset)
    }

    /// As [`Store::read_log`].
    ///
    /// # Errors
    ///
    /// As [`Store::read_at`].
    pub fn read_log(
        &self,
        from: PhysicalOffset,
        max_messages: usize,
        max_bytes: usize,
    ) -> Result<Batch> {
        let Reading { log, crc, .. } = self.reading_now()?;
        commit_log::read_log(log, from, (max_messages, max_bytes), *crc)
    }

    /// As [`Store::scan`]: the iterator sees what is appended later, and can wait for it.
    ///
    /// # Errors
    ///
    /// As [`Store::scan`].
    pub fn scan(&self, from: PhysicalOffset) -> Result<Scan> {
        let Reading { log, crc, .. } = self.reading_now()?;
        let scan = commit_log::open_scan(log, from, *crc)?;
        let follower: Arc<Follower> = Arc::clone(&self.follower);
        Ok(scan.following(follower))
    }

    /// Waits until something at or behind `offset` is readable. False when the time ran out or the
    /// reader was closed.
    ///
    /// # Errors
    ///
    /// - [`Status::StoreClosed`]: the reader was closed before.
    pub fn wait_readable(&self, offset: PhysicalOffset, timeout: Duration) -> Result<bool> {
        self.check()?;
        let deadline = Instant::now().checked_add(timeout);
        FollowLog::look(&*self.follower);
        Ok(self.follower.wait_past(offset.get(), deadline))
    }

    /// As [`Store::read`]. While queues are built again, the read ends in front of an index that
    /// the queue is about to have again.
    ///
    /// # Errors
    ///
    /// As [`Store::read`].
    pub fn read(&self, request: &ReadRequest<'_>) -> Result<QueueBatch> {
        self.reading_now()?.read(request)
    }

    /// As [`Store::queue_range`].
    ///
    /// # Errors
    ///
    /// - [`Status::StoreClosed`]: the reader was closed.
    /// - [`Status::Io`]: a queue file cannot be read.
    pub fn queue_range(&self, topic: &str, queue_id: i32) -> Result<Option<Range<QueueOffset>>> {
        self.check()?;
        self.follower.look_at_files();
        let queue = self.reading_now()?.queue(topic, queue_id)?;
        Ok(queue.map(|queue| {
            let range = queue.range();
            QueueOffset::new(range.start)..QueueOffset::new(range.end)
        }))
    }

    /// As [`Store::offset_at_time`].
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
        let reading = self.reading_now()?;
        let Some(queue) = reading.queue(topic, queue_id)? else {
            return Ok(None);
        };
        reading.offset_at_time(&queue, time_ms, boundary).map(|at| Some(QueueOffset::new(at)))
    }

    /// The topics that have had messages, sorted.
    ///
    /// # Errors
    ///
    /// - [`Status::StoreClosed`]: the reader was closed.
    /// - [`Status::Io`]: a directory cannot be listed.
    pub fn topics(&self) -> Result<Vec<String>> {
        let reading = self.reading_now()?;
        self.follower.look_for_queues()?;
        Ok(reading.queues.topics())
    }

    /// The numbers of a topic's queues that have had messages, ascending.
    ///
    /// # Errors
    ///
    /// As [`StoreReader::topics`].
    pub fn queues_of(&self, topic: &str) -> Result<Vec<i32>> {
        let reading = self.reading_now()?;
        self.follower.look_for_queues()?;
        let queues = reading.queues.of_topic(topic);
        Ok(queues.iter().map(|queue| queue.queue_id()).collect())
    }

    /// As [`Store::wait_message`].
    ///
    /// # Errors
    ///
    /// - [`Status::TopicEmpty`], [`Status::TopicTooLong`], [`Status::TopicIllegal`],
    ///   [`Status::QueueIdIllegal`]: there can be no such queue.
    /// - [`Status::StoreClosed`]: the reader was closed before.
    pub fn wait_message(
        &self,
        topic: &str,
        queue_id: i32,
        offset: QueueOffset,
        timeout: Duration,
    ) -> Result<bool> {
        let reading = self.reading_now()?;
        check_topic(topic)?;
        check_queue_id(queue_id)?;
        let deadline = Instant::now().checked_add(timeout);
        Ok(reading.wait_message(topic, queue_id, offset.get(), deadline))
    }

    /// As [`Store::tail`].
    ///
    /// # Errors
    ///
    /// As [`StoreReader::wait_message`].
    pub fn tail(
        &self,
        topic: &str,
        queue_id: i32,
        from: QueueOffset,
        filter: Filter,
    ) -> Result<Tail> {
        let reading = self.reading_now()?;
        check_topic(topic)?;
        check_queue_id(queue_id)?;
        Ok(Tail::new(reading.clone(), topic, queue_id, from, filter))
    }

    /// As [`Store::query_key`]. A key is found once the writer has put it into the index, which it
    /// does right after the message came to its queue.
    ///
    /// # Errors
    ///
    /// As [`Store::query_key`].
    pub fn query_key(
        &self,
        topic: &str,
        key: &str,
        begin_ms: i64,
        end_ms: i64,
        max_messages: usize,
    ) -> Result<Vec<MessageView>> {
        let query = KeyQuery { topic, key, begin_ms, end_ms };
        self.reading_now()?.query_key(&query, max_messages)
    }

    /// As [`Store::find_by_message_id`].
    ///
    /// # Errors
    ///
    /// As [`Store::query_key`].
    pub fn find_by_message_id(&self, topic: &str, id: &str) -> Result<Option<MessageView>> {
        self.reading_now()?.find_by_message_id(topic, id)
    }

    /// Ends all waits and refuses further calls; views stay valid. A second call changes nothing.
    pub fn close(&self) {
        self.follower.close();
        self.reading.queues.close();
        if let Some(index) = &self.reading.index {
            index.close();
        }
    }

    /// Whether the reader was closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.follower.is_closed()
    }

    fn check(&self) -> Result<()> {
        match self.follower.is_closed() {
            true => Err(Error::new(Status::StoreClosed, "the reader was closed")),
            false => Ok(()),
        }
    }

    /// What can be read now.
    fn reading_now(&self) -> Result<&Reading> {
        self.check()?;
        FollowLog::look(&*self.follower);
        self.reading.log.check_behind_end()?;
        Ok(&self.reading)
    }
}

impl Drop for StoreReader {
    fn drop(&mut self) {
        self.close();
    }
}
