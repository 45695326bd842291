//! How many slots and entries an existing file has: its length and what stands in it tell.
//!
//! RocketMQ writes neither number into the file, and a file whose numbers are not those of the
//! settings would seem to hold nothing. The length leaves one candidate in five for the number of
//! slots; the first entry, which lies where the header says the file begins, tells which.

use std::collections::HashMap;
use std::io;
use std::ops::Range;

use super::layout::{ENTRY_BYTES, HEADER_BYTES, Header, IndexEntry, IndexSettings, SLOT_BYTES};
use crate::codec::read_i32;
use crate::sys::disk::DiskFile;

/// Bytes that are searched at once.
const CHUNK_BYTES: u64 = 1 << 20;
/// Bytes that are searched at most; RocketMQ's 5,000,000 slots take 20,000,000.
const MAX_SEARCHED_BYTES: u64 = 64 << 20;
/// The file system is asked for the data of this many bytes at a time, so that a file with many
/// holes takes little memory.
const WINDOW_BYTES: u64 = 64 << 20;
/// A piece of data counts for this much at least: finding it costs a call.
const LEAST_BYTES: u64 = 4096;
/// Entries from the first on that have to be as they were written.
const SAMPLED_ENTRIES: u32 = 16;
const SAMPLE_BYTES: u64 = (SAMPLED_ENTRIES as u64 + 1) * ENTRY_BYTES as u64;
/// Places that look like the first entry, and are looked at closely, at most.
const MAX_CANDIDATES: u32 = 4096;

/// What a file turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// It has entries, and these numbers fit it.
    Fits(IndexSettings, Header),
    /// It has no entry, so nothing tells its numbers, and nothing is lost with it.
    Vacant,
    /// No numbers fit it.
    Damaged,
}

/// Looks for the numbers that fit a file of this length, those of the settings first.
pub(super) fn find(
    file: &dyn DiskFile,
    size_bytes: u64,
    settings: IndexSettings,
) -> io::Result<Found> {
    let mut bytes = [0; HEADER_BYTES];
    if file.read_full_at(&mut bytes, 0)? < HEADER_BYTES {
        return Ok(Found::Damaged);
    }
    let Some(header) = Header::decode(&bytes) else {
        return Ok(Found::Damaged);
    };
    if header.is_empty() {
        return Ok(Found::Vacant);
    }
    let look = Look { file, size_bytes, header };
    if let Some(geometry) = settings.of_length(size_bytes)
        && look.agrees(geometry, Care::Ends)?
    {
        return Ok(Found::Fits(geometry, header));
    }
    let found = look.search()?;
    Ok(found.map_or(Found::Damaged, |geometry| Found::Fits(geometry, header)))
}

/// How closely a file is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Care {
    /// First and last entry: for numbers that are expected.
    Ends,
    /// The first entries with their chains too: for numbers out of many.
    Sample,
}

struct Look<'f> {
    file: &'f dyn DiskFile,
    size_bytes: u64,
    header: Header,
}

impl Look<'_> {
    /// Searches what may hold the first entry.
    fn search(&self) -> io::Result<Option<IndexSettings>> {
        let entry = ENTRY_BYTES as u64;
        let least = IndexSettings { slots: 1, entries: 2 }.entry_position(1);
        let counted = entry * u64::from(self.header.next - 1);
        let Some(last) = self.size_bytes.checked_sub(counted).filter(|last| *last >= least) else {
            return Ok(None);
        };
        if !(self.size_bytes - HEADER_BYTES as u64).is_multiple_of(SLOT_BYTES as u64) {
            return Ok(None);
        }
        let mut left = Left { bytes: MAX_SEARCHED_BYTES, candidates: MAX_CANDIDATES };
        let mut window = least..last + entry;
        while window.start < window.end {
            let end = window.end.min(window.start + WINDOW_BYTES);
            for data in self.file.data_ranges(window.start..end)? {
                // An entry may begin in front of the data: its zeros need not be stored.
                let data = data.start.saturating_sub(entry).max(least)..data.end;
                if let Some(found) = self.search_data(data, last, &mut left)? {
                    return Ok(Some(found));
                }
                if left.bytes == 0 || left.candidates == 0 {
                    return Ok(None);
                }
            }
            window.start = end;
        }
        Ok(None)
    }

    /// Looks at every place of a range where the first entry can begin, up to `last`.
    fn search_data(
        &self,
        data: Range<u64>,
        last: u64,
        left: &mut Left,
    ) -> io::Result<Option<IndexSettings>> {
        let entry = ENTRY_BYTES as u64;
        // Entries reach up to the end of the file.
        let mut at = data.start + (self.size_bytes - data.start) % entry;
        let mut bytes = Vec::new();
        while at < data.end && at <= last && left.bytes > 0 {
            let places = (data.end - at).min(CHUNK_BYTES).min(left.bytes).div_ceil(entry);
            let wanted = (places * entry + SAMPLE_BYTES).min(self.size_bytes - at);
            bytes.resize(usize::try_from(wanted).unwrap_or(0), 0);
            let read = self.file.read_full_at(&mut bytes, at)?;
            bytes.truncate(read);
            left.bytes = left.bytes.saturating_sub((places * entry).max(LEAST_BYTES));
            for place in 0..places {
                let position = at + place * entry;
                let here = usize::try_from(place * entry).ok().and_then(|from| bytes.get(from..));
                let Some(geometry) = here.and_then(|here| self.begins(here, position)) else {
                    continue;
                };
                left.candidates -= 1;
                if self.agrees(geometry, Care::Sample)? {
                    return Ok(Some(geometry));
                }
                if left.candidates == 0 {
                    return Ok(None);
                }
            }
            at += places * entry;
        }
        Ok(None)
    }

    /// The numbers of a file whose first entry lies at `position`, if these bytes can be its first
    /// entries.
    fn begins(&self, bytes: &[u8], position: u64) -> Option<IndexSettings> {
        let first = IndexEntry::decode(bytes)?;
        if !self.is_first(&first) {
            return None;
        }
        let zeroth = position.checked_sub(ENTRY_BYTES as u64)?;
        let slots = zeroth.checked_sub(HEADER_BYTES as u64)? / SLOT_BYTES as u64;
        let slots = u32::try_from(slots).ok()?;
        let geometry = IndexSettings { slots, entries: 2 }.of_length(self.size_bytes)?;
        let fits = self.header.next <= geometry.entries;
        (fits && self.chained(bytes, geometry)).then_some(geometry)
    }

    /// Whether this can be the first entry. One of zeros alone cannot be told from the unused
    /// entry in front of it.
    fn is_first(&self, entry: &IndexEntry) -> bool {
        entry.offset == self.header.begin_offset.cast_signed()
            && entry.previous == 0
            && (entry.hash > 0 || entry.offset > 0)
    }

    /// How many entries are sampled.
    fn sampled(&self) -> u32 {
        SAMPLED_ENTRIES.min(self.header.next - 1)
    }

    /// Whether the first entries ascend, and each names the one before it in its slot.
    fn chained(&self, bytes: &[u8], geometry: IndexSettings) -> bool {
        let mut newest = HashMap::new();
        let mut before = self.header.begin_offset;
        let mut entries = bytes.chunks_exact(ENTRY_BYTES).map(IndexEntry::decode);
        (1..=self.sampled()).all(|number| {
            let Some(Some(entry)) = entries.next() else {
                return false;
            };
            let (Ok(hash), Ok(offset)) = (u32::try_from(entry.hash), u64::try_from(entry.offset))
            else {
                return false;
            };
            let previous = newest.insert(geometry.slot_of(hash), number).unwrap_or(0);
            let ascends = (before..=self.header.end_offset).contains(&offset);
            before = offset;
            ascends && entry.previous == previous.cast_signed()
        })
    }

    /// Whether the file can have these numbers: its first and last entry are those of the header
    /// and their slots lead to them.
    fn agrees(&self, geometry: IndexSettings, care: Care) -> io::Result<bool> {
        let newest = self.header.next - 1;
        if self.header.next > geometry.entries {
            return Ok(false);
        }
        let count = if care == Care::Sample { self.sampled() } else { 1 };
        let mut bytes = vec![0; (count as usize + 1) * ENTRY_BYTES];
        self.file.read_full_at(&mut bytes, geometry.entry_position(0))?;
        let (unused, first) = bytes.split_at(ENTRY_BYTES);
        let begins = IndexEntry::decode(first).is_some_and(|entry| self.is_first(&entry));
        if !begins || unused.iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
        if care == Care::Sample && !self.chained(first, geometry) {
            return Ok(false);
        }
        for (entry, number) in first.chunks_exact(ENTRY_BYTES).zip(1..) {
            if self.slot_behind(entry, geometry)?.is_none_or(|value| value < number) {
                return Ok(false);
            }
        }
        let mut last = [0; ENTRY_BYTES];
        self.file.read_full_at(&mut last, geometry.entry_position(newest))?;
        let ends = IndexEntry::decode(&last)
            .is_some_and(|entry| entry.offset == self.header.end_offset.cast_signed());
        // What a killed call left in a slot lies behind what the header counts.
        Ok(ends && self.slot_behind(&last, geometry)?.is_some_and(|value| value >= newest))
    }

    /// What the slot of an entry holds; `None` if it can hold no such thing.
    fn slot_behind(&self, entry: &[u8], geometry: IndexSettings) -> io::Result<Option<u32>> {
        let hash = IndexEntry::decode(entry).and_then(|entry| u32::try_from(entry.hash).ok());
        let Some(hash) = hash else {
            return Ok(None);
        };
        let mut bytes = [0; SLOT_BYTES];
        let position = geometry.slot_position(geometry.slot_of(hash));
        self.file.read_full_at(&mut bytes, position)?;
        let value = read_i32(&bytes, 0).and_then(|value| u32::try_from(value).ok());
        Ok(value.filter(|value| *value < geometry.entries))
    }
}

/// What a search may still cost.
struct Left {
    bytes: u64,
    candidates: u32,
}
