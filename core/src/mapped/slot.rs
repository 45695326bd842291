//! What the handler of SIGBUS knows of one mapping. A model checker explores this file
//! (`tests/loom`).

use std::ops::Range;

use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use crate::sys::disk::Access;

/// One mapping, or none. Addresses; all zero while the slot is free.
#[derive(Debug, Default)]
pub(super) struct Slot {
    /// Odd while the mapping is being changed.
    pub(super) version: AtomicUsize,
    pub(super) start: AtomicUsize,
    pub(super) end: AtomicUsize,
    pub(super) writeable: AtomicBool,
    /// The first byte that was lost.
    pub(super) lost_from: AtomicUsize,
    /// One past the last byte that was lost; 0 while nothing was.
    pub(super) lost_to: AtomicUsize,
}

impl Slot {
    /// Makes the slot stand for a mapping, or for none. Only the slot's owner calls this.
    pub(super) fn set(&self, mapping: Range<usize>, writeable: bool) {
        let version = self.version.load(Ordering::Relaxed);
        self.version.store(version.wrapping_add(1), Ordering::Relaxed);
        fence(Ordering::Release);
        self.start.store(mapping.start, Ordering::Relaxed);
        self.end.store(mapping.end, Ordering::Relaxed);
        self.writeable.store(writeable, Ordering::Relaxed);
        self.lost_from.store(usize::MAX, Ordering::Relaxed);
        self.lost_to.store(0, Ordering::Relaxed);
        self.version.store(version.wrapping_add(2), Ordering::Release);
    }

    /// Whether the slot's mapping holds an address, and may be written. A slot that is being
    /// changed holds none: its mapping is not in use yet, or no more.
    pub(super) fn holds(&self, address: usize) -> Option<Access> {
        let before = self.version.load(Ordering::Acquire);
        let start = self.start.load(Ordering::Relaxed);
        let end = self.end.load(Ordering::Relaxed);
        let writeable = self.writeable.load(Ordering::Relaxed);
        fence(Ordering::Acquire);
        let same = before.is_multiple_of(2) && self.version.load(Ordering::Relaxed) == before;
        let access = if writeable { Access::Write } else { Access::Read };
        (same && (start..end).contains(&address)).then_some(access)
    }

    /// Notes that bytes of the mapping are lost. To be called before anything else can be read in
    /// their place.
    pub(super) fn lose(&self, bytes: Range<usize>) {
        self.lost_from.fetch_min(bytes.start, Ordering::SeqCst);
        self.lost_to.fetch_max(bytes.end, Ordering::SeqCst);
    }

    /// Whether some of the bytes were lost. To be asked after they were read.
    #[inline(always)]
    pub(super) fn lost(&self, start: usize, range: Range<usize>) -> bool {
        fence(Ordering::Acquire);
        let to = self.lost_to.load(Ordering::Relaxed);
        to != 0 && self.is_lost_in(to, start, range)
    }

    #[cold]
    fn is_lost_in(&self, to: usize, start: usize, range: Range<usize>) -> bool {
        let from = self.lost_from.load(Ordering::Relaxed);
        let (first, end) = (start.saturating_add(range.start), range.end);
        first < to && from < start.saturating_add(end)
    }
}
