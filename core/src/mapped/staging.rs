//! `StagingBuffer`: where the records of a synchronous store wait for the write that takes a whole
//! group of them to the file.
//!
//! After each sync the kernel protects the pages it wrote, and the first store to each of them
//! through a mapping faults again. One write per group from memory of our own costs less.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use super::region::{self, Region};
use crate::error::{Error, Result};

/// A ring for published bytes that are not committed. What is in it dies with the process.
///
/// The byte of a log position stands at the position modulo the ring's size. What one append
/// places stays in one piece: behind the ring there is room for the end of what began in it.
#[derive(Debug)]
pub(crate) struct StagingBuffer {
    region: Region,
    ring_bytes: u64,
    /// The end of the newest piece that runs over the ring's end.
    overrun: AtomicU64,
}

impl StagingBuffer {
    /// Maps a ring of `ring_bytes`, and a quarter of that behind it.
    pub(crate) fn new(ring_bytes: u64) -> Result<Self> {
        let length = usize::try_from(ring_bytes + ring_bytes / 4).unwrap_or(usize::MAX);
        let region = Region::anonymous(length)
            .map_err(|source| Error::io("cannot map the staging buffer", source))?;
        Ok(Self { region, ring_bytes, overrun: AtomicU64::new(0) })
    }

    /// The longest piece.
    pub(crate) fn most_bytes(&self) -> u64 {
        self.ring_bytes / 4
    }

    /// Where a piece of at most [`StagingBuffer::most_bytes`] at a log position is to be written;
    /// `None` while bytes below the position that are not committed stand there. Called under the
    /// append lock, with everything between `committed` and `position` in the ring.
    pub(crate) fn place(&self, position: u64, length: u64, committed: u64) -> Option<usize> {
        let index = position % self.ring_bytes;
        let overruns = index + length > self.ring_bytes;
        let overlaps = position + length > committed.saturating_add(self.ring_bytes);
        if overlaps || (overruns && committed < self.overrun.load(Ordering::Relaxed)) {
            return None;
        }
        if overruns {
            // Published after it: whoever sees the piece sees where it ends.
            self.overrun.store(position + length, Ordering::Relaxed);
        }
        usize::try_from(index).ok()
    }

    /// The memory.
    pub(crate) fn region(&self) -> &Region {
        &self.region
    }

    /// The published, uncommitted bytes of a range that begins and ends where pieces do: one slice
    /// or two, each with its log position.
    pub(crate) fn bytes(&self, range: Range<u64>) -> [(u64, &[u8]); 2] {
        let index = range.start % self.ring_bytes;
        let overrun = self.overrun.load(Ordering::Relaxed);
        let lap_end = range.start - index + self.ring_bytes;
        // Bytes behind the end of the ring are those of a piece that began in it; the next piece
        // stands at its own place.
        let middle =
            if range.end <= lap_end { range.end } else { overrun.clamp(lap_end, range.end) };
        [(range.start, self.slice(range.start, middle)), (middle, self.slice(middle, range.end))]
    }

    fn slice(&self, from: u64, to: u64) -> &[u8] {
        let index = from % self.ring_bytes;
        let (Ok(start), Ok(end)) = (usize::try_from(index), usize::try_from(index + to - from))
        else {
            return &[];
        };
        region::published(&self.region, start..end)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::codec::Sink;

    const RING: u64 = 64;

    /// What a store does: places pieces, commits now and then, and whenever there is no room.
    struct User {
        staging: StagingBuffer,
        position: u64,
        committed: u64,
        written: Vec<u8>,
    }

    impl User {
        fn new(start: u64) -> Self {
            let staging = StagingBuffer::new(RING).unwrap();
            Self { staging, position: start, committed: start, written: Vec::new() }
        }

        fn commit(&mut self) {
            let mut position = self.committed;
            for (at, bytes) in self.staging.bytes(self.committed..self.position) {
                assert_eq!(at, position);
                self.written.extend_from_slice(bytes);
                position += bytes.len() as u64;
            }
            assert_eq!(position, self.position);
            self.committed = position;
        }

        fn append(&mut self, bytes: &[u8]) {
            let length = bytes.len() as u64;
            let index = self.staging.place(self.position, length, self.committed).or_else(|| {
                self.commit();
                self.staging.place(self.position, length, self.committed)
            });
            let mut writer = self.staging.region.writer(index.unwrap(), bytes.len()).unwrap();
            writer.put_size(bytes[..4].try_into().unwrap());
            writer.put(&bytes[4..]);
            assert!(writer.finish());
            self.position += length;
        }
    }

    proptest! {
        #[test]
        fn what_is_placed_is_committed_unchanged(
            start in 0..4 * RING,
            lengths in prop::collection::vec((4..=RING / 4, prop::bool::weighted(0.2)), 0..200),
        ) {
            let mut user = User::new(start);
            let mut expected = Vec::new();
            for (number, (length, commit)) in lengths.into_iter().enumerate() {
                let byte = |at| (number as u64 * 37 + at) as u8;
                let piece: Vec<u8> = (0..length).map(byte).collect();
                user.append(&piece);
                expected.extend_from_slice(&piece);
                if commit {
                    user.commit();
                }
            }
            user.commit();
            prop_assert_eq!(user.written, expected);
        }
    }

    #[test]
    fn nothing_is_placed_over_what_is_not_committed() {
        let staging = StagingBuffer::new(RING).unwrap();
        assert_eq!(staging.place(0, 16, 0), Some(0));
        assert_eq!(staging.place(48, 16, 0), Some(48));
        assert_eq!(staging.place(64, 4, 0), None, "the first piece stands there");
        assert_eq!(staging.place(64, 4, 4), Some(0));
        // A piece over the end, then a lap later another: their ends stand in one place.
        assert_eq!(staging.place(60, 16, 20), Some(60));
        assert_eq!(staging.place(124, 8, 75), None, "the end of the piece before stands there");
        assert_eq!(staging.place(124, 8, 76), Some(60));
    }
}
