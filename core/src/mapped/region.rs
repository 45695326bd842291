//! Memory behind a file, or beside one: the only raw pointers of the engine.
//!
//! A region is written through raw pointers only, never through `&mut [u8]`. Bytes that were
//! published never change again, so a shared slice of them is sound; who publishes is
//! [`super::MappedFile`]. Heap regions take the place of mappings in tests and under miri.
#![allow(unsafe_code, reason = "memory shared with the kernel is reached through raw pointers")]

use std::fs::File;
use std::io;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

use memmap2::{MmapOptions, MmapRaw};

use super::guard::Guard;
use super::memory::Memory;
use crate::codec::{RecordSink, Sink};
use crate::sys::disk::Access;
use crate::sys::uninterrupted;

/// Bytes of a page, as RocketMQ counts them on every machine.
pub(crate) const PAGE_BYTES: u64 = 4096;

#[derive(Debug)]
enum Owner {
    Mapping(MmapRaw),
    #[allow(dead_code, reason = "keeps the memory that `base` points into")]
    Heap(Arc<Memory>),
}

/// A piece of memory of fixed length.
#[derive(Debug)]
pub(crate) struct Region {
    base: NonNull<u8>,
    length: usize,
    access: Access,
    /// Of a mapped file. In front of the owner: it ends before the mapping does.
    guard: Option<Guard>,
    owner: Owner,
}

// SAFETY: the memory lives as long as the region and stays where it is; writers and readers of
// one byte are kept apart by the positions of the file that owns the region.
unsafe impl Send for Region {}
// SAFETY: as above; every access goes through raw pointers or slices of published bytes.
unsafe impl Sync for Region {}

impl Region {
    /// Maps the first bytes of a file.
    pub(crate) fn map(file: &File, length: usize, access: Access) -> io::Result<Self> {
        let mut options = MmapOptions::new();
        options.len(length);
        let mapping = match access {
            Access::Read => options.map_raw_read_only(file)?,
            Access::Write => options.map_raw(file)?,
        };
        let mut region = Self::of_mapping(mapping, access)?;
        region.guard = Some(Guard::new(region.base, region.length, access));
        Ok(region)
    }

    /// Private memory of the operating system, zeroed.
    pub(crate) fn anonymous(length: usize) -> io::Result<Self> {
        let mapping = MmapOptions::new().len(length).map_anon()?;
        Self::of_mapping(MmapRaw::from(mapping), Access::Write)
    }

    /// As [`Region::anonymous`], locked as it is touched where that is allowed.
    pub(crate) fn anonymous_locked(length: usize) -> io::Result<Self> {
        let region = Self::anonymous(length)?;
        #[cfg(target_os = "linux")]
        {
            let address = region.base.as_ptr().cast();
            let on_fault = rustix::mm::MlockFlags::ONFAULT;
            // SAFETY: the range is a mapping of ours.
            let locked = unsafe { rustix::mm::mlock_with(address, length, on_fault) };
            if let Err(error) = locked {
                tracing::warn!(%error, length, "a transient pool buffer cannot be locked");
            }
        }
        Ok(region)
    }

    /// Zeroed memory of this process.
    #[cfg(test)]
    pub(crate) fn heap(length: usize) -> Self {
        Self::of_memory(Arc::new(Memory::zeroed(length)), length, Access::Write)
    }

    /// The first bytes of memory that others may hold, too.
    #[cfg(test)]
    pub(crate) fn of_memory(memory: Arc<Memory>, length: usize, access: Access) -> Self {
        assert!(length <= memory.len());
        Self { base: memory.base(), length, access, guard: None, owner: Owner::Heap(memory) }
    }

    fn of_mapping(mapping: MmapRaw, access: Access) -> io::Result<Self> {
        let base = NonNull::new(mapping.as_mut_ptr()).ok_or(io::ErrorKind::OutOfMemory)?;
        let (length, owner) = (mapping.len(), Owner::Mapping(mapping));
        Ok(Self { base, length, access, guard: None, owner })
    }

    /// The length in bytes.
    pub(crate) fn len(&self) -> usize {
        self.length
    }

    /// The bytes of a range; empty when it leaves the region.
    ///
    /// # Safety
    ///
    /// - No byte of the range changes while the slice lives.
    pub(crate) unsafe fn slice(&self, range: Range<usize>) -> &[u8] {
        if range.start > range.end || range.end > self.length {
            return &[];
        }
        // SAFETY: the start lies inside the region.
        let start = unsafe { self.base.as_ptr().add(range.start) };
        // SAFETY: the range lies inside the region; the caller vouches that it does not change.
        unsafe { std::slice::from_raw_parts(start, range.end - range.start) }
    }

    /// The four bytes at `start`, which whoever writes a record stores last: what lies behind them
    /// is there if they are not zero. `None` when they leave the region.
    pub(crate) fn stored_last(&self, start: usize) -> Option<[u8; 4]> {
        if start.checked_add(4)? > self.length {
            return None;
        }
        // SAFETY: four bytes from `start` lie inside the region.
        let source = unsafe { self.base.as_ptr().add(start) };
        // SAFETY: as above. The read is volatile: another process may write the bytes meanwhile.
        let bytes = unsafe { source.cast::<[u8; 4]>().read_volatile() };
        fence(Ordering::Acquire);
        Some(bytes)
    }

    /// Whether bytes of a range are not the file's any more; to be asked after they were read or
    /// written.
    #[inline(always)]
    pub(crate) fn lost(&self, range: Range<usize>) -> bool {
        self.guard.as_ref().is_some_and(|guard| guard.lost(range))
    }

    /// A writer for `length` bytes at `start`; `None` when they leave the region or it is
    /// read-only.
    pub(crate) fn writer(&self, start: usize, length: usize) -> Option<RegionWriter<'_>> {
        let end = start.checked_add(length)?;
        if end > self.length || self.access != Access::Write {
            return None;
        }
        // The next records go there. A store to memory that is not near keeps the lock from being
        // released until it is.
        let behind = end + FETCH_BEHIND_BYTES;
        fetch(self, behind..behind + length.min(FETCH_MOST_BYTES));
        Some(RegionWriter { region: self, start, position: start, end, size: [0; 4] })
    }

    /// Takes the page faults of a range now, so that nobody waits for them later. Its pages are
    /// then writeable, and dirty.
    pub(crate) fn populate(&self, range: Range<usize>) {
        let Owner::Mapping(mapping) = &self.owner else {
            return;
        };
        let start = range.start & !(PAGE_BYTES as usize - 1);
        let end = range.end.min(self.length);
        if start >= end {
            return;
        }
        #[cfg(target_os = "linux")]
        {
            // Kernels before 5.14 do not know the advice; the pages are then faulted in as they
            // are touched, which costs time and nothing else.
            let _ = mapping.advise_range(memmap2::Advice::PopulateWrite, start, end - start);
        }
    }

    /// Makes a range durable by `msync`. On Linux that calls the same of the file system as
    /// `fdatasync` does, for the range; elsewhere it may do less.
    ///
    /// The whole pages of the range are unmapped first, and mapped again as somebody touches them.
    /// A page that is written back while it is mapped for writing has to be protected from writes,
    /// and the kernel tells all processors that run this process of each such page by itself. A
    /// writer behind the range was interrupted 250 times for each MiB.
    pub(crate) fn sync(&self, range: Range<usize>) -> io::Result<()> {
        match (&self.owner, &self.guard) {
            (Owner::Mapping(mapping), Some(_)) => {
                #[cfg(target_os = "linux")]
                unmap_pages(mapping, &range);
                uninterrupted(|| mapping.flush_range(range.start, range.len()))
            }
            // No file is behind it.
            _ => Ok(()),
        }
    }

    /// Locks the region in memory.
    pub(crate) fn lock(&self) -> io::Result<()> {
        match &self.owner {
            Owner::Mapping(mapping) => mapping.lock(),
            Owner::Heap(_) => Ok(()),
        }
    }

    /// Undoes [`Region::lock`].
    pub(crate) fn unlock(&self) -> io::Result<()> {
        match &self.owner {
            Owner::Mapping(mapping) => mapping.unlock(),
            Owner::Heap(_) => Ok(()),
        }
    }
}

/// Takes the whole pages of a range of a mapped file out of the process's page tables, all at once.
/// They stay in the page cache, with what was written to them.
#[cfg(target_os = "linux")]
fn unmap_pages(mapping: &MmapRaw, range: &Range<usize>) {
    let [start, end] = [range.start, range.end].map(|at| at & !(PAGE_BYTES as usize - 1));
    if start < end {
        let advice = memmap2::UncheckedAdvice::DontNeed;
        // SAFETY: the mapping is a shared one of a file. What it holds is the page cache's, where
        // whoever touches an address next finds it again (madvise(2)). Locked pages are refused,
        // which costs time and nothing else.
        let _ = unsafe { mapping.unchecked_advise_range(advice, start, end - start) };
    }
}

/// The bytes of a range that was published; empty when it leaves the region. Only [`super`] calls
/// this, with ranges below the position up to which the region's owner has published.
pub(super) fn published(region: &Region, range: Range<usize>) -> &[u8] {
    // SAFETY: published bytes never change while others can see the region.
    unsafe { region.slice(range) }
}

/// Asks the processor to have bytes ready that are looked at or written soon. It changes nothing
/// else: what is not in memory, or not in the region, is not fetched, and no fault is taken.
#[inline(always)]
#[cfg_attr(
    any(not(target_arch = "x86_64"), miri),
    allow(unused_variables, reason = "no such call")
)]
pub(super) fn fetch(region: &Region, range: Range<usize>) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let mut at = range.start;
        while at < range.end {
            let line = region.base.as_ptr().cast_const().wrapping_add(at);
            // SAFETY: a hint, which is defined for every address.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(line.cast()) };
            at += CACHE_LINE_BYTES;
        }
    }
}

#[cfg(all(target_arch = "x86_64", not(miri)))]
const CACHE_LINE_BYTES: usize = 64;

/// How far behind a record memory is asked for when it is about to be written.
const FETCH_BEHIND_BYTES: usize = 2048;
/// How much memory is asked for at once: a processor has only so many requests under way.
pub(super) const FETCH_MOST_BYTES: usize = 4096;

/// Writes a record into a region, its first four bytes, the size, last.
///
/// Until [`RegionWriter::finish`] the size is zero, so that whoever looks at the memory (another
/// process, or recovery after a kill) sees a whole record or none.
pub(crate) struct RegionWriter<'r> {
    region: &'r Region,
    start: usize,
    position: usize,
    end: usize,
    /// Zero until it is announced.
    size: [u8; 4],
}

impl RegionWriter<'_> {
    /// Stores the size. True if it was there, and exactly the announced bytes were written.
    #[inline]
    pub(crate) fn finish(self) -> bool {
        if self.size == [0; 4] || self.position != self.end {
            return false;
        }
        fence(Ordering::Release);
        // SAFETY: `start` lies inside the region, four bytes before `end` or more, as there was
        // room for the size.
        let target = unsafe { self.region.base.as_ptr().add(self.start) };
        // SAFETY: as above. The write is volatile so that it stays behind the copies.
        unsafe { target.cast::<[u8; 4]>().write_volatile(self.size) };
        true
    }
}

impl Sink for RegionWriter<'_> {
    #[inline(always)]
    fn put_size(&mut self, size: [u8; 4]) {
        if self.position == self.start && self.end - self.start >= size.len() {
            self.position += size.len();
            self.size = size;
        }
    }

    /// Copies as many of the bytes as there is room for.
    #[inline(always)]
    fn put(&mut self, bytes: &[u8]) {
        let room = self.end - self.position;
        // Not the smaller of both: a length known when this is compiled needs no call to copy.
        let length = if bytes.len() <= room { bytes.len() } else { room };
        // SAFETY: `position` is at most `end`, which lies inside the region.
        let target = unsafe { self.region.base.as_ptr().add(self.position) };
        // SAFETY: `length` bytes fit before `end`; the source is a caller's slice, which cannot
        // overlap unpublished memory.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), target, length) };
        self.position += length;
    }

    #[inline(always)]
    fn put_filled<const N: usize>(&mut self, fill: impl FnOnce(&mut [u8; N])) {
        if self.end - self.position < N {
            let mut bytes = [0; N];
            fill(&mut bytes);
            return self.put(&bytes);
        }
        // SAFETY: `position` is at most `end`, which lies inside the region.
        let target = unsafe { self.region.base.as_ptr().add(self.position) };
        // SAFETY: `N` bytes fit before `end`. They are initialised, as all of a region is, and not
        // published yet: nobody else looks at them.
        fill(unsafe { &mut *target.cast::<[u8; N]>() });
        self.position += N;
    }
}

impl RecordSink for RegionWriter<'_> {
    #[inline]
    fn sum_first(&self, length: usize) -> crc32fast::Hasher {
        let mut hasher = crc32fast::Hasher::new();
        if self.size == [0; 4] {
            return hasher;
        }
        hasher.update(&self.size);
        let end = self.start.saturating_add(length).min(self.position);
        // SAFETY: what was not published yet is written by this writer only, which is borrowed.
        hasher.update(unsafe { self.region.slice(self.start + self.size.len()..end) });
        hasher
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(all(target_os = "linux", not(miri)))]
    fn mapped_file(pages: usize) -> (tempfile::TempDir, std::path::PathBuf, Region) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
        let length = pages * PAGE_BYTES as usize;
        file.set_len(length as u64).unwrap();
        let region = Region::map(&file, length, Access::Write).unwrap();
        (directory, path, region)
    }

    #[cfg(all(target_os = "linux", not(miri)))]
    fn write(region: &Region, start: usize, bytes: &[u8]) {
        let mut writer = region.writer(start, bytes.len()).unwrap();
        writer.put_size(bytes[..4].try_into().unwrap());
        writer.put(&bytes[4..]);
        assert!(writer.finish());
    }

    /// An append of 1 KiB met up to six interrupts of 25 us each while the log was flushed.
    #[cfg(all(target_os = "linux", target_arch = "x86_64", not(miri)))]
    #[test]
    fn pages_are_not_mapped_while_they_are_synced() {
        use std::os::unix::fs::FileExt;
        let page = PAGE_BYTES as usize;
        let (_directory, path, region) = mapped_file(8);
        // One word for each page; the highest bit says whether it is there (proc_pid_pagemap(5)).
        let pagemap = File::open("/proc/self/pagemap").unwrap();
        let there = || {
            let first = region.base.as_ptr() as u64 / page as u64;
            let mut words = [0; 8 * 8];
            pagemap.read_exact_at(&mut words, first * 8).unwrap();
            words.chunks_exact(8).map(|word| word[7] >> 7 == 1).collect::<Vec<_>>()
        };
        region.populate(0..8 * page);
        assert_eq!(there(), [true; 8]);
        let bytes = vec![7; 4 * page];
        write(&region, page / 2, &bytes);
        region.sync(page / 2..page / 2 + bytes.len()).unwrap();
        assert_eq!(there(), [false, false, false, false, true, true, true, true]);
        assert_eq!(published(&region, page / 2..page / 2 + bytes.len()), bytes);
        assert_eq!(std::fs::read(path).unwrap()[page / 2..][..bytes.len()], bytes);
    }

    /// Others write into the pages that are unmapped.
    #[cfg(all(target_os = "linux", not(miri)))]
    #[test]
    fn nothing_is_lost_that_is_written_while_its_page_is_synced() {
        const RECORD: usize = 24;
        let (_directory, path, region) = mapped_file(64);
        let count = region.len() / RECORD;
        let record = |number: usize| [(number % 255) as u8 + 1; RECORD];
        for _ in 0..20 {
            let written = std::sync::atomic::AtomicBool::new(false);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    for number in 0..count {
                        write(&region, number * RECORD, &record(number));
                    }
                    written.store(true, Ordering::Release);
                });
                while !written.load(Ordering::Acquire) {
                    region.sync(0..region.len()).unwrap();
                }
            });
            let expected: Vec<_> = (0..count).flat_map(record).collect();
            assert_eq!(published(&region, 0..count * RECORD), expected);
            assert_eq!(std::fs::read(&path).unwrap()[..count * RECORD], expected);
            write(&region, 0, &vec![0xFF; count * RECORD]);
        }
    }

    #[test]
    fn the_size_is_stored_last() {
        let region = Region::heap(64);
        let mut writer = region.writer(8, 12).unwrap();
        writer.put_size([1, 2, 3, 4]);
        writer.put(&[5, 6]);
        writer.put_filled(|bytes: &mut [u8; 2]| *bytes = [7, 8]);
        assert_eq!(published(&region, 8..16), [0, 0, 0, 0, 5, 6, 7, 8]);
        writer.put(&[9, 10, 11, 12]);
        assert!(writer.finish());
        assert_eq!(published(&region, 8..20), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
    }

    #[test]
    fn a_writer_never_leaves_its_range() {
        let region = Region::heap(16);
        assert!(region.writer(8, 9).is_none());
        assert!(region.writer(usize::MAX, 2).is_none());
        let mut writer = region.writer(0, 8).unwrap();
        writer.put_size([1; 4]);
        writer.put(&[1; 20]);
        writer.put_filled(|bytes: &mut [u8; 3]| *bytes = [1; 3]);
        assert!(writer.finish());
        assert_eq!(published(&region, 8..16), [0; 8]);
    }

    #[test]
    fn a_record_without_a_size_or_of_another_length_is_not_there() {
        let region = Region::heap(16);
        let mut writer = region.writer(0, 8).unwrap();
        writer.put_size([1; 4]);
        writer.put(&[1; 3]);
        assert!(!writer.finish());
        let mut writer = region.writer(0, 8).unwrap();
        writer.put(&[0; 8]);
        writer.put_size([1; 4]);
        assert!(!writer.finish());
        let mut writer = region.writer(0, 3).unwrap();
        writer.put_size([1; 4]);
        writer.put(&[0; 3]);
        assert!(!writer.finish());
        assert_eq!(published(&region, 0..4), [0; 4]);
    }
}
