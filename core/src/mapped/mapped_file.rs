//! One file of a log and its mapping.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::region::{self, Region};
use super::staging::StagingBuffer;
use super::transient_pool::PoolBuffer;
use crate::error::{Error, Result};
use crate::status::Status;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sys::disk::{Access, Disk, DiskFile};

/// A file of fixed size, mapped whole, whose first byte has the physical offset `start`.
///
/// The descriptor is kept only while the file may still have to be written or synced.
///
/// It begins with lines of its own: whoever reads the log moves the count of references in front of
/// it for each record, and an append looks at the file for each record, too.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct MappedFile {
    path: PathBuf,
    start: u64,
    region: Region,
    handle: Mutex<Option<Arc<dyn DiskFile>>>,
    /// Where appends go before they are committed to the file, in pool mode.
    buffer: Mutex<Option<Arc<PoolBuffer>>>,
    /// One past the last byte that was written to the file's buffer, relative to the file. The
    /// bytes behind a blank are never written: the file holds zeros there already.
    buffered_end: AtomicU64,
    /// Space reserved from the file's beginning.
    reserved: AtomicU64,
}

impl MappedFile {
    /// Maps an existing file.
    pub(crate) fn open(
        disk: &dyn Disk,
        path: PathBuf,
        start: u64,
        size_bytes: u64,
        access: Access,
    ) -> Result<Self> {
        let error = |what, source| Error::io(what, source).at_path(&path);
        let handle = disk.open(&path, access).map_err(|source| error("cannot open", source))?;
        let region = usize::try_from(size_bytes)
            .map_err(|_| io::ErrorKind::OutOfMemory.into())
            .and_then(|size| handle.map(size, access))
            .map_err(|source| error("cannot map", source))?;
        Ok(Self::new(path, start, region, None))
    }

    /// Makes the file with its full length and maps it. Its existence is made durable.
    pub(crate) fn create(
        disk: &dyn Disk,
        path: PathBuf,
        start: u64,
        size_bytes: u64,
    ) -> Result<Self> {
        let error = |what, source| Error::io(what, source).at_path(&path);
        let handle =
            disk.create(&path, size_bytes).map_err(|source| error("cannot create", source))?;
        let mapped = handle
            .sync_all()
            .and_then(|()| sync_parent(disk, &path))
            .map_err(|source| error("cannot make the new file durable", source))
            .and_then(|()| {
                usize::try_from(size_bytes)
                    .map_err(|_| io::ErrorKind::OutOfMemory.into())
                    .and_then(|size| handle.map(size, Access::Write))
                    .map_err(|source| error("cannot map", source))
            });
        match mapped {
            Ok(region) => Ok(Self::new(path, start, region, Some(Arc::from(handle)))),
            Err(error) => {
                // Without its directory entry made durable the file is of no use; the error that
                // matters is the first one.
                let _ = disk.remove(&path);
                Err(error)
            }
        }
    }

    fn new(path: PathBuf, start: u64, region: Region, handle: Option<Arc<dyn DiskFile>>) -> Self {
        Self {
            path,
            start,
            region,
            handle: Mutex::new(handle),
            buffer: Mutex::new(None),
            buffered_end: AtomicU64::new(0),
            reserved: AtomicU64::new(0),
        }
    }

    /// The path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The physical offset of the first byte.
    pub(crate) fn start(&self) -> u64 {
        self.start
    }

    /// The size in bytes.
    pub(crate) fn size_bytes(&self) -> u64 {
        self.region.len() as u64
    }

    /// The physical offset one past the last byte.
    pub(crate) fn end(&self) -> u64 {
        self.start + self.size_bytes()
    }

    /// A position of the log as an index into this file.
    pub(crate) fn index(&self, position: u64) -> usize {
        usize::try_from(position.saturating_sub(self.start)).unwrap_or(usize::MAX)
    }

    /// The open file; opened anew if the descriptor was given up.
    pub(crate) fn handle(&self, disk: &dyn Disk) -> Result<Arc<dyn DiskFile>> {
        let mut handle = self.handle.lock();
        if let Some(handle) = &*handle {
            return Ok(Arc::clone(handle));
        }
        let opened: Arc<dyn DiskFile> = disk
            .open(&self.path, Access::Write)
            .map_err(|source| Error::io("cannot open", source).at_path(&self.path))?
            .into();
        *handle = Some(Arc::clone(&opened));
        Ok(opened)
    }

    /// Gives up the descriptor.
    pub(crate) fn release_handle(&self) {
        self.handle.lock().take();
    }

    /// Reserves space so that everything below the log position `end` can be stored.
    pub(crate) fn reserve(&self, disk: &dyn Disk, end: u64) -> Result<()> {
        let from = self.reserved.load(Ordering::Acquire);
        let to = end.saturating_sub(self.start).min(self.size_bytes());
        if to <= from {
            return Ok(());
        }
        self.handle(disk)?.allocate(from, to - from).map_err(|source| {
            Error::io("cannot reserve space", source)
                .at_path(&self.path)
                .at_offset(self.start + from)
        })?;
        self.reserved.fetch_max(to, Ordering::AcqRel);
        Ok(())
    }

    /// Counts everything below the log position `end` as reserved: it is in the file already.
    pub(crate) fn assume_reserved(&self, end: u64) {
        let to = end.saturating_sub(self.start).min(self.size_bytes());
        self.reserved.fetch_max(to, Ordering::AcqRel);
    }

    /// The log position up to which space is reserved.
    pub(crate) fn reserved_end(&self) -> u64 {
        self.start + self.reserved.load(Ordering::Acquire)
    }

    /// The mapping.
    pub(crate) fn region(&self) -> &Region {
        &self.region
    }

    /// Lets appends go to `buffer` from now on.
    pub(crate) fn attach_buffer(&self, buffer: Arc<PoolBuffer>) {
        *self.buffer.lock() = Some(buffer);
    }

    /// Fails if bytes in a range of log positions were not there when they were read, or written,
    /// through the mapping: another program has shortened the file, or its device fails.
    #[inline(always)]
    pub(crate) fn check(&self, range: Range<u64>) -> Result<()> {
        match self.region.lost(self.index(range.start)..self.index(range.end)) {
            false => Ok(()),
            true => Err(self.lost(range.start)),
        }
    }

    #[cold]
    fn lost(&self, position: u64) -> Error {
        match std::fs::metadata(&self.path) {
            Ok(metadata) if metadata.len() < self.size_bytes() => self.shortened(metadata.len()),
            _ => {
                let source = io::Error::from_raw_os_error(libc::EIO);
                Error::io("a page cannot be read or written", source)
                    .at_path(&self.path)
                    .at_offset(position)
            }
        }
    }

    fn shortened(&self, length: u64) -> Error {
        Error::new(Status::WrongFileSize, "the file was shortened while it was in use")
            .at_path(&self.path)
            .expected(format!("{} bytes", self.size_bytes()), length)
    }

    /// Says that bytes at a log position are in a buffer, to be written by
    /// [`MappedFile::commit`].
    pub(crate) fn note_buffered(&self, position: u64, length: usize) {
        let end = self.index(position).saturating_add(length);
        self.buffered_end.fetch_max(end as u64, Ordering::Release);
    }

    /// Writes buffered bytes from one log position to another to the file. At the end of the file
    /// its buffer, if it has one, goes back to its pool.
    pub(crate) fn commit(
        &self,
        disk: &dyn Disk,
        staging: Option<&StagingBuffer>,
        range: Range<u64>,
    ) -> Result<()> {
        let written = self.start + self.buffered_end.load(Ordering::Acquire);
        let buffered = range.start..range.end.min(written);
        let buffer = self.buffer.lock().clone();
        if let (Some(region), false) =
            (buffer.as_ref().and_then(|b| b.region()), buffered.is_empty())
        {
            let indexes = self.index(buffered.start)..self.index(buffered.end);
            self.write(disk, buffered.start, region::published(region, indexes))?;
        } else if let (Some(staging), false) = (staging, buffered.is_empty()) {
            for (position, bytes) in staging.bytes(buffered) {
                self.write(disk, position, bytes)?;
            }
        }
        if range.end >= self.end() {
            self.buffer.lock().take();
        }
        Ok(())
    }

    /// Writes zeros from a log position on.
    pub(super) fn write_zeros(&self, disk: &dyn Disk, position: u64, length: u64) -> Result<()> {
        self.handle(disk)?.write_zeros(position - self.start, length).map_err(|source| {
            Error::io("cannot write", source).at_path(&self.path).at_offset(position)
        })
    }

    fn write(&self, disk: &dyn Disk, position: u64, bytes: &[u8]) -> Result<()> {
        self.handle(disk)?.write_all_at(bytes, position - self.start).map_err(|source| {
            Error::io("cannot write", source).at_path(&self.path).at_offset(position)
        })
    }

    /// Makes the file's bytes durable. Fails as [`MappedFile::check`] does, and when the file is
    /// shorter than it was: what was written behind its end is not in it.
    pub(crate) fn sync(&self, disk: &dyn Disk) -> Result<()> {
        self.sync_with(disk, |handle| handle.sync_data())
    }

    /// As [`MappedFile::sync`], of a range of log positions: what was made ready behind it need not
    /// be written, and appends there take no page faults for that.
    pub(crate) fn sync_range(&self, disk: &dyn Disk, range: Range<u64>) -> Result<()> {
        let indexes = self.index(range.start)..self.index(range.end);
        self.sync_with(disk, |handle| handle.sync_range(&self.region, indexes))
    }

    fn sync_with(
        &self,
        disk: &dyn Disk,
        sync: impl FnOnce(&dyn DiskFile) -> io::Result<()>,
    ) -> Result<()> {
        let failed = |source| Error::io("cannot sync", source).at_path(&self.path);
        let handle = self.handle(disk)?;
        sync(&*handle).map_err(failed)?;
        match handle.length().map_err(failed)? {
            Some(length) if length < self.size_bytes() => Err(self.shortened(length)),
            _ => self.check(self.start..self.end()),
        }
    }
}

/// Makes the entry of a file in its directory durable.
pub(crate) fn sync_parent(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => disk.sync_directory(parent),
        _ => disk.sync_directory(Path::new(".")),
    }
}

/// How far ahead of what is looked at memory is asked for.
const FETCH_DISTANCE_BYTES: usize = 4096;

/// Readable bytes of one file, which stay readable as long as the pin lives: also after the store
/// was closed or the file removed.
#[derive(Debug, Clone)]
pub(crate) struct Pin {
    file: Arc<MappedFile>,
    range: Range<usize>,
}

impl Pin {
    /// Pins the bytes from `from` to `to` or the end of the file. Everything below `to` is
    /// committed.
    pub(super) fn new(file: Arc<MappedFile>, from: u64, to: u64) -> Self {
        let end = file.index(to).min(file.region.len());
        let range = file.index(from).min(end)..end;
        Self { file, range }
    }

    /// The bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        region::published(&self.file.region, self.range.clone())
    }

    /// Fails if some of the first `length` bytes were not there when they were read.
    #[inline(always)]
    pub(crate) fn check(&self, length: usize) -> Result<()> {
        let start = self.file.start + self.range.start as u64;
        let length = length.min(self.range.len());
        self.file.check(start..start + length as u64)
    }

    /// The file.
    pub(crate) fn file(&self) -> &MappedFile {
        &self.file
    }

    /// The pin of what it has from a log position on; `None` if it does not have that.
    pub(crate) fn at(&self, position: u64) -> Option<Self> {
        let start = usize::try_from(position.checked_sub(self.file.start)?).ok()?;
        let range = start..self.range.end;
        self.range.contains(&start).then(|| Self { file: Arc::clone(&self.file), range })
    }

    /// Asks the processor for some of what it will soon look at, if it looks at all bytes in order,
    /// at so many each time. By itself the processor looks ahead inside of a page only.
    #[inline(always)]
    pub(crate) fn fetch_ahead(&self, count: usize) {
        let start = self.range.start.saturating_add(FETCH_DISTANCE_BYTES);
        let end = start.saturating_add(count.min(region::FETCH_MOST_BYTES)).min(self.range.end);
        region::fetch(&self.file.region, start..end);
    }

    /// Leaves out its first `count` bytes, in place: a pin that is moved was just stored, and to
    /// load it waits for that. False if none are left.
    #[inline]
    pub(crate) fn advance(&mut self, count: usize) -> bool {
        self.range.start = self.range.start.saturating_add(count).min(self.range.end);
        !self.range.is_empty()
    }
}
