//! Where the parts of an index file lie: a header, hash slots, entries chained per slot.
//!
//! All integers are big-endian. Entries are numbered from 1; entry 0 is never used, so that a slot
//! of 0 is an empty one.

use crate::codec::{read_i32, read_i64};
use crate::error::{Error, Result};
use crate::status::Status;

pub(super) const HEADER_BYTES: usize = 40;
pub(super) const SLOT_BYTES: usize = 4;
pub(super) const ENTRY_BYTES: usize = 20;

/// What index files are made with: RocketMQ's `maxHashSlotNum` and `maxIndexNum`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IndexSettings {
    /// Hash slots per file, at least 1.
    pub(crate) slots: u32,
    /// Entries per file, the unused number 0 included; at least 2.
    pub(crate) entries: u32,
}

impl Default for IndexSettings {
    fn default() -> Self {
        Self { slots: 5_000_000, entries: 20_000_000 }
    }
}

impl IndexSettings {
    /// Refuses what no file can have.
    pub(super) fn check(self) -> Result<()> {
        let limit = i32::MAX.unsigned_abs();
        if self.slots < 1 || self.slots > limit || self.entries < 2 || self.entries > limit {
            let what = "the index needs 1 to 2147483647 slots and 2 to 2147483647 entries";
            let found = format!("{} slots and {} entries", self.slots, self.entries);
            return Err(Error::new(Status::InvalidArgument, what).expected("such numbers", found));
        }
        Ok(())
    }

    /// The length of a file in bytes.
    pub(crate) fn file_bytes(self) -> u64 {
        self.entry_position(self.entries)
    }

    pub(super) fn slot_position(self, slot: u32) -> u64 {
        HEADER_BYTES as u64 + SLOT_BYTES as u64 * u64::from(slot)
    }

    pub(super) fn entry_position(self, number: u32) -> u64 {
        self.slot_position(self.slots) + ENTRY_BYTES as u64 * u64::from(number)
    }

    pub(super) fn slot_of(self, hash: u32) -> u32 {
        hash % self.slots.max(1)
    }

    /// What a file of this length has if it has these slots.
    pub(super) fn of_length(self, bytes: u64) -> Option<Self> {
        let entries = bytes.checked_sub(self.slot_position(self.slots))?;
        let whole = entries.is_multiple_of(ENTRY_BYTES as u64);
        let entries = u32::try_from(entries / ENTRY_BYTES as u64).ok()?;
        let geometry = Self { slots: self.slots, entries };
        (whole && geometry.check().is_ok()).then_some(geometry)
    }
}

/// The first bytes of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// Store time of the first entry's record; the entries' times count from it.
    pub(super) begin_ms: i64,
    /// Store time of the last entry's record.
    pub(super) end_ms: i64,
    /// Where the first entry's record lies.
    pub(super) begin_offset: u64,
    /// Where the last entry's record lies.
    pub(super) end_offset: u64,
    pub(super) used_slots: u32,
    /// The number the next entry gets.
    pub(super) next: u32,
}

impl Header {
    /// Of a file without entries. What RocketMQ copies into such a file from the one before it
    /// means nothing until the first entry replaces it.
    pub(super) const EMPTY: Self =
        Self { begin_ms: 0, end_ms: 0, begin_offset: 0, end_offset: 0, used_slots: 0, next: 1 };

    pub(super) fn is_empty(&self) -> bool {
        self.next == 1
    }

    /// RocketMQ's `timeDiff`: what an entry states of its record's store time.
    pub(super) fn time_difference_s(&self, time_ms: i64) -> i32 {
        if self.begin_ms <= 0 {
            return 0;
        }
        let seconds = time_ms.saturating_sub(self.begin_ms) / 1000;
        i32::try_from(seconds.max(0)).unwrap_or(i32::MAX)
    }

    /// `None` if no file can have such a header.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let next = u32::try_from(read_i32(bytes, 36)?.max(1)).ok()?;
        if next == 1 {
            return Some(Self::EMPTY);
        }
        let header = Self {
            begin_ms: read_i64(bytes, 0)?,
            end_ms: read_i64(bytes, 8)?,
            begin_offset: u64::try_from(read_i64(bytes, 16)?).ok()?,
            end_offset: u64::try_from(read_i64(bytes, 24)?).ok()?,
            used_slots: u32::try_from(read_i32(bytes, 32)?).ok()?,
            next,
        };
        let plausible = header.begin_offset <= header.end_offset && header.used_slots <= next;
        plausible.then_some(header)
    }

    pub(super) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let (times, rest) = bytes.split_at_mut(16);
        times[..8].copy_from_slice(&self.begin_ms.to_be_bytes());
        times[8..].copy_from_slice(&self.end_ms.to_be_bytes());
        rest[..8].copy_from_slice(&self.begin_offset.to_be_bytes());
        rest[8..16].copy_from_slice(&self.end_offset.to_be_bytes());
        rest[16..20].copy_from_slice(&self.used_slots.to_be_bytes());
        rest[20..].copy_from_slice(&self.next.to_be_bytes());
        bytes
    }
}

/// One key of one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct IndexEntry {
    pub(super) hash: i32,
    pub(super) offset: i64,
    /// Whole seconds from the header's begin to the record's store time.
    pub(super) time_difference_s: i32,
    /// The slot's entry before this one; 0 for none.
    pub(super) previous: i32,
}

impl IndexEntry {
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            hash: read_i32(bytes, 0)?,
            offset: read_i64(bytes, 4)?,
            time_difference_s: read_i32(bytes, 12)?,
            previous: read_i32(bytes, 16)?,
        })
    }

    pub(super) fn encode(&self) -> [u8; ENTRY_BYTES] {
        let mut bytes = [0; ENTRY_BYTES];
        bytes[..4].copy_from_slice(&self.hash.to_be_bytes());
        bytes[4..12].copy_from_slice(&self.offset.to_be_bytes());
        bytes[12..16].copy_from_slice(&self.time_difference_s.to_be_bytes());
        bytes[16..].copy_from_slice(&self.previous.to_be_bytes());
        bytes
    }
}
