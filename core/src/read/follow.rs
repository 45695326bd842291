//! Following a store that another process writes: where its log ends, which files it has.
//!
//! Processes tell each other nothing here. Bytes behind the end of the log are zero, and a record's
//! size is stored last, so the word at the end says in memory whether a record came. Whoever waits
//! looks at it in pauses that double while nothing comes. Directories are listed when the end
//! reaches the end of the last known file, and now and then.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::gap::Lacking;
use crate::codec::record::{CrcCheck, Parsed, parse};
use crate::commit_log::recover::ends_in_zero;
use crate::commit_log::{FollowLog, view};
use crate::consume_queue::{ConsumeQueue, ConsumeQueues, ReadableLog};
use crate::error::Result;
use crate::index::Index;
use crate::mapped::{FoundFile, MappedFile, MappedFileQueue, QueuePaths, list_files};
use crate::sys::disk::Access;

/// The pause after something came.
const LEAST_PAUSE: Duration = Duration::from_micros(200);
/// The pause when nothing has come for long.
const MAX_PAUSE: Duration = Duration::from_millis(50);
/// How often directories are listed while the next file is missing, or somebody asks for the
/// beginning.
const LIST_SOON: Duration = Duration::from_millis(10);
/// How often directories are listed while there is something to read.
const LIST_LATER: Duration = Duration::from_secs(1);

/// Moves the positions of a store that another process writes, as far as somebody looks.
#[derive(Debug)]
pub(crate) struct Follower {
    paths: QueuePaths,
    pub(super) log: Arc<MappedFileQueue>,
    queues: Arc<ConsumeQueues>,
    index: Option<Arc<Index>>,
    /// When the log's files were last listed. Held by whoever looks.
    listed: Mutex<Instant>,
    pub(super) lacking: Lacking,
    closed: AtomicBool,
}

impl Follower {
    /// Follows the log from the newest file with a record on: a file begins with one.
    pub(crate) fn new(
        paths: QueuePaths,
        log: Arc<MappedFileQueue>,
        queues: Arc<ConsumeQueues>,
        index: Option<Arc<Index>>,
    ) -> Self {
        let used = |file: &&Arc<MappedFile>| log.size_stored_at(file.start()) > 0;
        let newest = log.files().iter().rev().find(used).map(|file| file.start());
        log.set_end(newest.unwrap_or_else(|| log.min_offset()));
        let (listed, lacking) = (Mutex::new(Instant::now()), Lacking::default());
        let closed = AtomicBool::new(false);
        let follower = Self { paths, log, queues, index, listed, lacking, closed };
        follower.look();
        follower
    }

    /// Ends all waits.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.log.committed().close();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Looks which files there are, unless that was done just now.
    pub(crate) fn look_at_files(&self) {
        let mut listed = self.listed.lock();
        self.list(&mut listed, LIST_SOON);
    }

    /// Looks which files there are now.
    pub(super) fn list_now(&self) {
        let mut listed = self.listed.lock();
        self.list(&mut listed, Duration::ZERO);
    }

    /// A queue as it is now; `None` if it never had a message.
    pub(crate) fn queue(&self, topic: &str, queue_id: i32) -> Result<Option<Arc<ConsumeQueue>>> {
        let lacked = self.lacking.find(topic, queue_id);
        let queue = self.queues.follow(topic, queue_id, lacked.is_some(), self)?;
        let queue = queue.filter(|queue| queue.exists());
        if let (Some(queue), Some(lacked)) = (&queue, lacked)
            && queue.has(lacked.index)?
        {
            self.lacking.note(queue, None);
        }
        Ok(queue)
    }

    /// Looks for queues that came.
    pub(crate) fn look_for_queues(&self) -> Result<()> {
        self.queues.follow_all(self)
    }

    /// Looks for keys that came.
    pub(crate) fn look_at_index(&self) -> Result<()> {
        self.look();
        self.index.as_ref().map_or(Ok(()), |index| index.refresh())
    }

    /// Looks again and again, in pauses that double while the log does not grow.
    pub(super) fn wait(&self, deadline: Option<Instant>, there: impl Fn() -> bool) -> bool {
        let mut pause = LEAST_PAUSE;
        let mut end = self.log.committed().get();
        loop {
            if there() {
                return true;
            }
            let now = Instant::now();
            if self.is_closed() || deadline.is_some_and(|deadline| deadline <= now) {
                return false;
            }
            let left = deadline.map_or(MAX_PAUSE, |deadline| deadline - now);
            std::thread::sleep(pause.min(left));
            self.look();
            let before = std::mem::replace(&mut end, self.log.committed().get());
            pause = if before < end { LEAST_PAUSE } else { MAX_PAUSE.min(pause * 2) };
        }
    }

    /// Walks over what was stored behind the readable end.
    fn walk(&self, listed: &mut Instant) {
        let mut end = self.log.committed().get();
        loop {
            // A file without a record may be removed and made again by the next writer: it is
            // mapped anew as long as nothing is in it.
            let at_file = end.is_multiple_of(self.log.file_size_bytes());
            if at_file && self.log.size_stored_at(end) == 0 {
                self.list(listed, LIST_SOON);
                end = end.max(self.log.committed().get());
            }
            let Some(next) = self.behind(end) else {
                break;
            };
            end = next;
            self.log.follow_to(end);
        }
    }

    /// Where the record or blank ends that begins at a position, if a whole one does.
    fn behind(&self, position: u64) -> Option<u64> {
        let size = self.log.size_stored_at(position);
        let pin = self.log.pin_stored(position, size).filter(|_| size > 0)?;
        let end = position + u64::from(size);
        // A writer that stores the size last has stored the rest. One that copies its buffer to
        // the file, or RocketMQ's, is told by what follows, or else by the CRC. That covers the
        // body: what comes behind it must not end in zeros.
        let last = self.log.size_stored_at(end) == 0;
        let crc = if last { CrcCheck::Verify } else { CrcCheck::Skip };
        match parse(pin.bytes(), position, crc) {
            Ok(Parsed::Record(layout)) if layout.size == size => {
                Some(end).filter(|_| !last || !ends_in_zero(&view(&pin, layout)))
            }
            Ok(Parsed::Blank(_)) => Some(end).filter(|end| *end == pin.file().end()),
            _ => None,
        }
    }

    /// Takes in the files that there are now. What cannot be listed or mapped at this moment, or
    /// is no log, stays as it was known.
    fn list(&self, listed: &mut Instant, interval: Duration) {
        if listed.elapsed() < interval {
            return;
        }
        *listed = Instant::now();
        if let Err(error) = self.take_in_files() {
            tracing::debug!(%error, "the log's files could not be looked at");
        }
    }

    fn take_in_files(&self) -> Result<()> {
        let disk = self.log.disk();
        let found = list_files(disk, &self.paths)?;
        let Some(first) =
            found.first().filter(|file| file.size_bytes == self.log.file_size_bytes())
        else {
            return Ok(());
        };
        let (known, end) = (self.log.files(), self.log.committed().get());
        let mut files = Vec::with_capacity(found.len());
        for FoundFile { path, start, size_bytes, .. } in &found {
            let same = known.iter().find(|known| known.start() == *start && *start < end);
            files.push(match same {
                Some(known) => Arc::clone(known),
                None => {
                    let (path, access) = (path.clone(), Access::Read);
                    Arc::new(MappedFile::open(disk, path, *start, *size_bytes, access)?)
                }
            });
        }
        self.log.set_files(files);
        // All files were removed that were known, and others made meanwhile.
        self.log.follow_to(first.start);
        Ok(())
    }
}

impl FollowLog for Follower {
    fn look(&self) {
        let mut listed = self.listed.lock();
        self.list(&mut listed, LIST_LATER);
        self.walk(&mut listed);
    }

    fn wait_past(&self, position: u64, deadline: Option<Instant>) -> bool {
        self.wait(deadline, || self.log.committed().get() > position)
    }
}

impl ReadableLog for Follower {
    fn min(&self) -> u64 {
        self.log.min_offset()
    }

    fn end_now(&self) -> u64 {
        self.look();
        self.log.committed().get()
    }
}
