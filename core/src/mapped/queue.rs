//! The files of a log in order, and its positions.

use std::collections::HashMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, MutexGuard, RwLock};

use super::mapped_file::{MappedFile, Pin, sync_parent};
use super::region::PAGE_BYTES;
use super::staging::StagingBuffer;
use crate::error::{Error, Result};
use crate::options::{MAX_SEGMENT_SIZE_BYTES, MIN_SEGMENT_SIZE_BYTES};
use crate::status::Status;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sys::disk::{Access, Disk};
use crate::watermark::Watermark;

/// Zeros that are written ahead of the log's end at a time, while no commit can be made.
const ZEROS_AT_ONCE: u64 = 128 << 10;

/// The directories a log lives in.
#[derive(Debug, Clone)]
pub(crate) struct QueuePaths {
    /// Where new files go, in turn, in sorted order.
    writable: Vec<PathBuf>,
    /// Directories whose files are only read.
    read_only: Vec<PathBuf>,
}

impl QueuePaths {
    pub(crate) fn new(mut writable: Vec<PathBuf>, read_only: Vec<PathBuf>) -> Self {
        writable.sort();
        writable.dedup();
        Self { writable, read_only }
    }

    /// The directories that are written.
    pub(crate) fn writable(&self) -> &[PathBuf] {
        &self.writable
    }

    /// The path of the file that starts at `start`.
    pub(crate) fn file(&self, start: u64, size_bytes: u64) -> PathBuf {
        let number = start / size_bytes.max(1);
        let index = usize::try_from(number % self.writable.len().max(1) as u64).unwrap_or(0);
        let directory = self.writable.get(index).cloned().unwrap_or_default();
        directory.join(format!("{start:020}"))
    }
}

/// A file found in one of the directories.
#[derive(Debug, Clone)]
pub(crate) struct FoundFile {
    pub(crate) path: PathBuf,
    pub(crate) start: u64,
    pub(crate) size_bytes: u64,
    pub(crate) access: Access,
}

/// Lists the files of a log in order of their offsets, and checks names, sizes and sequence.
/// Directories inside, and a zero-length file at the end (a creation that was cut short), are
/// passed over.
pub(crate) fn list_files(disk: &dyn Disk, paths: &QueuePaths) -> Result<Vec<FoundFile>> {
    let mut files = Vec::new();
    let directories = paths.writable.iter().map(|path| (path, Access::Write));
    let read_only = paths.read_only.iter().map(|path| (path, Access::Read));
    for (directory, access) in directories.chain(read_only) {
        let entries = match disk.list(directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(Error::io("cannot list", error).at_path(directory)),
        };
        for entry in entries.into_iter().filter(|entry| entry.is_file) {
            let path = directory.join(&entry.name);
            let start = entry.name.to_str().and_then(parse_name).ok_or_else(|| {
                Error::new(Status::ForeignFile, "the file does not belong into a commit log")
                    .at_path(&path)
                    .expected("a name of 20 digits", entry.name.to_string_lossy())
            })?;
            files.push(FoundFile { path, start, size_bytes: entry.size_bytes, access });
        }
    }
    files.sort_by_key(|file| file.start);
    if files.last().is_some_and(|last| last.size_bytes == 0) {
        files.pop();
    }
    check_sequence(&files)?;
    Ok(files)
}

fn parse_name(name: &str) -> Option<u64> {
    let digits = name.len() == 20 && name.bytes().all(|byte| byte.is_ascii_digit());
    name.parse().ok().filter(|&start| digits && i64::try_from(start).is_ok())
}

fn check_sequence(files: &[FoundFile]) -> Result<()> {
    let size = usual_size(files);
    let limits = MIN_SEGMENT_SIZE_BYTES..=MAX_SEGMENT_SIZE_BYTES;
    for file in files {
        if file.size_bytes != size || !limits.contains(&file.size_bytes) {
            let expected = if limits.contains(&size) && file.size_bytes != size {
                format!("{size} bytes as the other files")
            } else {
                format!("{MIN_SEGMENT_SIZE_BYTES} to {MAX_SEGMENT_SIZE_BYTES} bytes")
            };
            return Err(Error::new(Status::WrongFileSize, "the file has a wrong size")
                .at_path(&file.path)
                .expected(expected, file.size_bytes));
        }
        if file.start % size != 0 {
            return Err(Error::new(Status::ForeignFile, "the file has a wrong name")
                .at_path(&file.path)
                .expected(format!("a multiple of the file size {size}"), file.start));
        }
    }
    for pair in files.windows(2) {
        if let [before, after] = pair {
            let expected = before.start + size;
            if after.start == before.start {
                return Err(Error::new(Status::ForeignFile, "the file exists twice")
                    .at_path(&after.path)
                    .expected("one file of this name", before.path.display()));
            }
            if after.start != expected {
                return Err(Error::new(Status::MissingFile, "a commit log file is missing")
                    .at_path(&after.path)
                    .expected(format!("a file {expected:020} before it"), "none"));
            }
        }
    }
    Ok(())
}

/// The size that most files have; of two, that of the first.
fn usual_size(files: &[FoundFile]) -> u64 {
    let mut counts: HashMap<u64, usize> = HashMap::new();
    for file in files {
        *counts.entry(file.size_bytes).or_default() += 1;
    }
    let most = counts.values().max().copied().unwrap_or(0);
    let usual =
        files.iter().map(|file| file.size_bytes).find(|size| counts.get(size) == Some(&most));
    usual.unwrap_or(0)
}

/// While this is there nothing is committed to the files, and no zeros are written.
pub(crate) struct WritesHeld<'q> {
    _commits: MutexGuard<'q, Option<Error>>,
}

/// The files and positions of one log.
#[derive(Debug)]
pub(crate) struct MappedFileQueue {
    disk: Arc<dyn Disk>,
    size_bytes: u64,
    files: RwLock<Vec<Arc<MappedFile>>>,
    published: AtomicU64,
    committed: Watermark,
    durable: Watermark,
    /// Held for a commit; why one failed, after which there is no other.
    commit_lock: Mutex<Option<Error>>,
    staging: OnceLock<StagingBuffer>,
    syncs: AtomicU64,
}

impl MappedFileQueue {
    /// A queue of these files, everything in them readable: for recovery, which then calls
    /// [`MappedFileQueue::set_end`].
    pub(crate) fn new(disk: Arc<dyn Disk>, size_bytes: u64, files: Vec<Arc<MappedFile>>) -> Self {
        let queue = Self {
            disk,
            size_bytes,
            published: AtomicU64::new(0),
            committed: Watermark::default(),
            durable: Watermark::default(),
            commit_lock: Mutex::default(),
            staging: OnceLock::new(),
            syncs: AtomicU64::new(0),
            files: RwLock::new(files),
        };
        queue.set_end(queue.files.read().last().map_or(0, |last| last.end()));
        queue
    }

    /// Sets all positions: only while nobody else knows the queue.
    pub(crate) fn set_end(&self, end: u64) {
        self.published.store(end, Ordering::Release);
        self.committed.reset(end);
        self.durable.reset(end);
    }

    /// Lets appends go through a staging buffer: before the first of them.
    pub(crate) fn set_staging(&self, staging: StagingBuffer) {
        let _ = self.staging.set(staging);
    }

    /// The staging buffer, if appends go through one.
    pub(crate) fn staging(&self) -> Option<&StagingBuffer> {
        self.staging.get()
    }

    /// The file system.
    pub(crate) fn disk(&self) -> &dyn Disk {
        &*self.disk
    }

    /// The size of every file in bytes.
    pub(crate) fn file_size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Where the oldest file begins; the end of an empty log.
    pub(crate) fn min_offset(&self) -> u64 {
        self.files.read().first().map_or_else(|| self.committed.get(), |first| first.start())
    }

    /// Everything below is whole records or blanks.
    pub(crate) fn published(&self) -> u64 {
        self.published.load(Ordering::Acquire)
    }

    /// What is published and not yet durable.
    pub(crate) fn unsynced_bytes(&self) -> u64 {
        // In this order: both only grow.
        let durable = self.durable.get();
        self.published() - durable
    }

    /// Everything below is readable and survives the death of the process.
    pub(crate) fn committed(&self) -> &Watermark {
        &self.committed
    }

    /// Everything below survives a power cut.
    pub(crate) fn durable(&self) -> &Watermark {
        &self.durable
    }

    /// How many files were synced so far.
    pub(crate) fn syncs(&self) -> u64 {
        self.syncs.load(Ordering::Relaxed)
    }

    /// The files in order.
    pub(crate) fn files(&self) -> Vec<Arc<MappedFile>> {
        self.files.read().clone()
    }

    /// The newest file.
    pub(crate) fn last(&self) -> Option<Arc<MappedFile>> {
        self.files.read().last().cloned()
    }

    /// The file that holds a position.
    pub(crate) fn find(&self, position: u64) -> Option<Arc<MappedFile>> {
        let files = self.files.read();
        let first = files.first()?.start();
        let index = position.checked_sub(first)? / self.size_bytes;
        files.get(usize::try_from(index).ok()?).cloned()
    }

    /// The readable bytes from a position to the end of its file; `None` if there are none.
    pub(crate) fn pin(&self, position: u64) -> Option<Pin> {
        let committed = self.committed.get();
        let file = self.find(position).filter(|_| position < committed)?;
        Some(Pin::new(file, position, committed))
    }

    /// The size that is stored at a position, also behind the readable end: 0 if nothing is.
    pub(crate) fn size_stored_at(&self, position: u64) -> u32 {
        let file = self.find(position);
        let start = |file: &MappedFile| usize::try_from(position - file.start()).ok();
        let bytes = file.and_then(|file| file.region().stored_last(start(&file)?));
        bytes.map_or(0, u32::from_be_bytes)
    }

    /// A record that another process stored behind the readable end; `None` if it would leave its
    /// file.
    pub(crate) fn pin_stored(&self, position: u64, size: u32) -> Option<Pin> {
        let end = position.checked_add(u64::from(size))?;
        let file = self.find(position).filter(|file| end <= file.end())?;
        Some(Pin::new(file, position, end))
    }

    /// Fails if the newest file lost bytes behind the readable end: zeros there tell nothing.
    pub(crate) fn check_behind_end(&self) -> Result<()> {
        let end = self.committed.get();
        self.last().map_or(Ok(()), |last| last.check(end..last.end()))
    }

    /// Moves the readable end of a log that another process writes.
    pub(crate) fn follow_to(&self, end: u64) {
        self.published.fetch_max(end, Ordering::AcqRel);
        self.committed.advance(end);
    }

    /// Takes other files for those that are known: another process made and removed some.
    pub(crate) fn set_files(&self, files: Vec<Arc<MappedFile>>) {
        *self.files.write() = files;
    }

    /// Adds the next file.
    pub(crate) fn push(&self, file: Arc<MappedFile>) {
        self.files.write().push(file);
    }

    /// Takes the newest file out of the queue and removes it from the disk, durably.
    pub(crate) fn remove_last(&self) -> Result<()> {
        let Some(file) = self.last() else {
            return Ok(());
        };
        self.disk
            .remove(file.path())
            .and_then(|()| sync_parent(&*self.disk, file.path()))
            .map_err(|source| Error::io("cannot remove", source).at_path(file.path()))?;
        self.files.write().pop();
        Ok(())
    }

    /// The first position that is left, if there is nothing any more at `position` because older
    /// files were removed.
    pub(crate) fn removed_up_to(&self, position: u64) -> Option<u64> {
        let first = self.files.read().first()?.start();
        (position < first).then_some(first)
    }

    /// The two oldest files; `None` while there is only one, which is appended to.
    pub(crate) fn first_two(&self) -> Option<[Arc<MappedFile>; 2]> {
        match &self.files.read()[..] {
            [first, second, ..] => Some([Arc::clone(first), Arc::clone(second)]),
            _ => None,
        }
    }

    /// Removes the oldest file from the disk, durably, and takes it out of the queue; never the
    /// newest. Pins keep its bytes. On failure it stays in the queue, and the call may be repeated;
    /// nothing younger may be removed before, or a power cut could leave a hole. One thread at a
    /// time calls this.
    pub(crate) fn remove_first(&self) -> Result<()> {
        let Some([oldest, _]) = self.first_two() else {
            return Ok(());
        };
        let gone = match self.disk.remove(oldest.path()) {
            // An earlier attempt came this far.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            other => other,
        };
        gone.and_then(|()| sync_parent(&*self.disk, oldest.path()))
            .map_err(|source| Error::io("cannot remove", source).at_path(oldest.path()))?;
        let mut files = self.files.write();
        // The store may have been closed meanwhile.
        if files.first().is_some_and(|first| Arc::ptr_eq(first, &oldest)) {
            files.remove(0);
        }
        drop(files);
        oldest.release_handle();
        Ok(())
    }

    /// Moves the published position to `end`: everything below is whole. Called under the append
    /// lock; `mapped` says that the bytes went to the mapping, which commits them too, unless
    /// bytes in a buffer before them still wait for their commit.
    pub(crate) fn publish(&self, end: u64, mapped: bool) {
        let before = self.published.load(Ordering::Relaxed);
        self.published.store(end, Ordering::Release);
        if mapped && self.committed.get() == before {
            self.committed.advance(end);
        }
    }

    /// Copies published bytes from buffers to the page cache, when at least `least_pages` pages
    /// wait, or any byte if that is 0. True if the committed position moved. After a failure
    /// nothing is written any more, whoever asks: each call fails as the first did.
    pub(crate) fn commit(&self, least_pages: u64) -> Result<bool> {
        let mut failure = self.commit_lock.lock();
        if let Some(error) = &*failure {
            return Err(error.clone());
        }
        let (from, to) = (self.committed.get(), self.published());
        if !self.enough(from, to, least_pages) {
            return Ok(false);
        }
        let copied = self.copy(from, to);
        copied.map(|()| true).inspect_err(|error| *failure = Some(error.clone()))
    }

    fn copy(&self, from: u64, to: u64) -> Result<()> {
        let mut position = from;
        while position < to {
            let file = self.find(position).ok_or_else(|| missing(position))?;
            let end = to.min(file.end());
            file.commit(&*self.disk, self.staging(), position..end)?;
            position = end;
            self.committed.advance(end);
        }
        Ok(())
    }

    /// Writes zeros into a file ahead of what was published, a piece at a time. No commit is made
    /// meanwhile, nor anything stored into the mapping: what was published since then is left out.
    pub(crate) fn write_zeros(&self, file: &MappedFile, range: Range<u64>) {
        let mut from = range.start;
        while from < range.end {
            let no_commit = self.commit_lock.lock();
            if no_commit.is_some() {
                return;
            }
            from = from.max(self.published());
            let length = range.end.saturating_sub(from).min(ZEROS_AT_ONCE);
            if let Err(error) = file.write_zeros(&*self.disk, from, length) {
                // Appends go on without; what is wrong with the file they will find themselves.
                tracing::warn!(%error, "no zeros can be written ahead of the log's end");
                return;
            }
            from += length.max(1);
        }
    }

    /// Keeps others from writing to the files until the guard is dropped: for whoever stores into
    /// the mapping while they do.
    pub(crate) fn hold_writes(&self) -> WritesHeld<'_> {
        WritesHeld { _commits: self.commit_lock.lock() }
    }

    /// Syncs committed bytes, oldest file first, when at least `least_pages` pages wait, or any
    /// byte if that is 0. Only the flush service calls this. True if the durable position moved.
    pub(crate) fn flush(&self, least_pages: u64) -> Result<bool> {
        let (from, to) = (self.durable.get(), self.committed.get());
        if !self.enough(from, to, least_pages) {
            return Ok(false);
        }
        let mut position = from;
        while position < to {
            let file = self.find(position).ok_or_else(|| missing(position))?;
            let end = to.min(file.end());
            self.syncs.fetch_add(1, Ordering::Relaxed);
            match self.staging() {
                None => file.sync_range(&*self.disk, position..end)?,
                // With the zeros that were written ahead: the next groups find their blocks
                // written already.
                Some(_) => file.sync(&*self.disk)?,
            }
            self.durable.advance(end);
            if end == file.end() {
                file.release_handle();
            }
            position = end;
        }
        Ok(true)
    }

    /// RocketMQ's threshold: a finished file always counts, else whole pages do.
    fn enough(&self, from: u64, to: u64, least_pages: u64) -> bool {
        let finished = from / self.size_bytes < to / self.size_bytes;
        to > from
            && (least_pages == 0 || finished || to / PAGE_BYTES - from / PAGE_BYTES >= least_pages)
    }

    /// Drops all files; pins keep theirs.
    pub(crate) fn clear(&self) {
        self.files.write().clear();
    }
}

fn missing(position: u64) -> Error {
    Error::new(Status::Internal, "no file holds a published position").at_offset(position)
}

/// Maps the files that were found.
pub(crate) fn open_files(disk: &dyn Disk, found: &[FoundFile]) -> Result<Vec<Arc<MappedFile>>> {
    found
        .iter()
        .map(|file| {
            let FoundFile { path, start, size_bytes, access } = file.clone();
            MappedFile::open(disk, path, start, size_bytes, access).map(Arc::new)
        })
        .collect()
}
