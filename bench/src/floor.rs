//! Floors: what the machine does without a store around it.

use std::fs::File;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread::{self, JoinHandle};
use std::time::{SystemTime, UNIX_EPOCH};

use memmap2::{Advice, Mmap, MmapMut};
use parking_lot::Mutex;

/// Bytes of a unit of a consume queue.
const UNIT_BYTES: usize = 20;
/// Bytes of an entry of the index.
const ENTRY_BYTES: usize = 20;

/// A log file in memory.
#[derive(Debug)]
pub(crate) struct MappedLog {
    mapping: Mmap,
    end: usize,
}

impl MappedLog {
    /// Maps a log that ends there and will not be removed while it is used.
    #[allow(unsafe_code, reason = "what the store reads is mapped, too")]
    pub(crate) fn new(path: &Path, end: u64) -> crate::Result<Self> {
        let file = File::open(path)?;
        // SAFETY: this process made the file a moment ago; it only appends behind `end` and never
        // shortens the file while it is mapped.
        let mapping = unsafe { Mmap::map(&file)? };
        Ok(Self { end: usize::try_from(end)?.min(mapping.len()), mapping })
    }

    /// The bytes of all records.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.mapping.get(..self.end).unwrap_or_default()
    }

    fn at(&self, start: usize, length: usize) -> &[u8] {
        self.mapping.get(start..start + length).unwrap_or_default()
    }
}

/// Pages are touched in steps of this many bytes, no more than the smallest page.
const PAGE_BYTES: usize = 4096;
/// Bytes of a record in front of its body.
const HEAD_BYTES: usize = 88;

/// A mapped file whose pages were all touched.
#[derive(Debug)]
pub(crate) struct TouchedFile(MmapMut);

impl TouchedFile {
    /// Makes the file.
    #[allow(unsafe_code, reason = "what the store writes to is mapped, too")]
    pub(crate) fn new(path: &Path, bytes: usize) -> crate::Result<Self> {
        let file = File::options().read(true).write(true).create_new(true).open(path)?;
        file.set_len(bytes as u64)?;
        // SAFETY: this process made the file a moment ago, and nobody else knows of it.
        let mut mapping = unsafe { MmapMut::map_mut(&file)? };
        mapping.fill(1);
        Ok(Self(mapping))
    }

    /// Touches every page once more: the system may have written pages back meanwhile, and the
    /// first store to each such page is a fault.
    pub(crate) fn touch(&mut self) {
        for page in self.0.chunks_mut(PAGE_BYTES) {
            if let Some(byte) = page.first_mut() {
                *byte = byte.wrapping_add(1);
            }
        }
    }

    /// The CRC of a body and a copy of its record at a place, or at the beginning if it does not
    /// fit there; where the next one goes.
    pub(crate) fn copy_one(&mut self, at: usize, record: &[u8], body_bytes: usize) -> usize {
        let crc = crc32fast::hash(black_box(record.get(..body_bytes).unwrap_or(record)));
        let at = if at + record.len() > self.0.len() { 0 } else { at };
        if let Some(place) = self.0.get_mut(at..at + record.len()) {
            place.copy_from_slice(black_box(record));
            if let Some(field) = place.get_mut(..4) {
                field.copy_from_slice(&crc.to_be_bytes());
            }
        }
        at + record.len()
    }

    /// That so many times, one record behind the other; where the next one goes.
    pub(crate) fn copy(
        &mut self,
        at: usize,
        record: &[u8],
        body_bytes: usize,
        count: u64,
    ) -> usize {
        (0..count).fold(at, |at, _| self.copy_one(at, record, body_bytes))
    }

    /// So many appends with nothing but what none can do without: the CRC, and under a lock the
    /// clock, the head, the copy, and a position for others to see; where the next one goes.
    pub(crate) fn append(
        &mut self,
        at: usize,
        record: &[u8],
        body_bytes: usize,
        count: u64,
    ) -> usize {
        let (position, published) = (Mutex::new(at), AtomicU64::new(0));
        for number in 0..count {
            let body = black_box(record.get(..body_bytes).unwrap_or(record));
            let crc = crc32fast::hash(body);
            let mut position = position.lock();
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let now = now.as_secs() * 1000 + u64::from(now.subsec_millis());
            if *position + record.len() > self.0.len() {
                *position = 0;
            }
            let end = *position + record.len();
            if let Some(place) = self.0.get_mut(*position..end) {
                let (head, rest) = place.split_at_mut(HEAD_BYTES.min(record.len()));
                put_head(head, record.len(), crc, [number, end as u64, now]);
                let (to, tail) = rest.split_at_mut(body_bytes.min(rest.len()));
                to.copy_from_slice(body.get(..to.len()).unwrap_or_default());
                tail.copy_from_slice(record.get(..tail.len()).unwrap_or_default());
            }
            *position = end;
            published.store(end as u64, Ordering::SeqCst);
        }
        position.into_inner()
    }
}

/// Files one after the other, each made, reserved and populated by another thread before it is
/// begun, and never synced.
#[derive(Debug)]
pub(crate) struct FreshFiles {
    ready: Receiver<crate::Result<TouchedFile>>,
    maker: JoinHandle<()>,
    current: TouchedFile,
    at: usize,
    /// To unmap a file takes long, and is not what is measured.
    done: Vec<TouchedFile>,
}

impl FreshFiles {
    /// Files of so many bytes in a directory, as many as are taken.
    pub(crate) fn new(directory: &Path, bytes: usize) -> crate::Result<Self> {
        std::fs::create_dir_all(directory)?;
        let directory = PathBuf::from(directory);
        let (sender, ready) = mpsc::sync_channel(0);
        let maker = thread::spawn(move || {
            for number in 0u64.. {
                if sender.send(populated(&directory.join(number.to_string()), bytes)).is_err() {
                    break;
                }
            }
        });
        let current = ready.recv()??;
        Ok(Self { ready, maker, current, at: 0, done: Vec::new() })
    }

    /// The CRC of a body and a copy of its record behind the one before, in the next file if it
    /// does not fit.
    pub(crate) fn copy_one(&mut self, record: &[u8], body_bytes: usize) -> crate::Result<()> {
        if self.at + record.len() > self.current.0.len() {
            let next = self.ready.recv()??;
            self.done.push(std::mem::replace(&mut self.current, next));
            self.at = 0;
        }
        self.at = self.current.copy_one(self.at, record, body_bytes);
        Ok(())
    }

    /// Waits until no further file is made.
    pub(crate) fn finish(self) -> crate::Result<()> {
        drop(self.ready);
        self.maker.join().map_err(|_| "the thread that makes files failed".into())
    }
}

/// A new file with memory for all its pages.
#[allow(unsafe_code, reason = "what the store writes to is mapped, too")]
fn populated(path: &Path, bytes: usize) -> crate::Result<TouchedFile> {
    let file = File::options().read(true).write(true).create_new(true).open(path)?;
    rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, bytes as u64)?;
    // SAFETY: this process made the file a moment ago, and nobody else knows of it.
    let mapping = unsafe { MmapMut::map_mut(&file)? };
    mapping.advise(Advice::PopulateWrite)?;
    Ok(TouchedFile(mapping))
}

/// Fills in fields of as many bytes as those of a record.
fn put_head(head: &mut [u8], size: usize, crc: u32, [offset, position, now]: [u64; 3]) {
    let Some(head) = head.first_chunk_mut::<HEAD_BYTES>() else {
        return;
    };
    head[..4].copy_from_slice(&u32::try_from(size).unwrap_or_default().to_be_bytes());
    head[4..8].copy_from_slice(&0xDAA3_20A7u32.to_be_bytes());
    head[8..12].copy_from_slice(&crc.to_be_bytes());
    for (place, value) in [(12, 0), (20, offset), (28, position), (36, 0), (40, now), (48, 0)] {
        head[place..place + 8].copy_from_slice(&u64::to_be_bytes(value));
    }
    for (place, value) in [(56, now), (64, 0), (72, 0), (80, 0)] {
        head[place..place + 8].copy_from_slice(&u64::to_be_bytes(value));
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |four| u32::from_be_bytes(*four))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |word| u64::from_be_bytes(*word))
}

/// The sum of all words.
pub(crate) fn sum(bytes: &[u8]) -> u64 {
    let (words, _) = bytes.as_chunks::<8>();
    words.iter().fold(0, |sum, word| sum.wrapping_add(u64::from_ne_bytes(*word)))
}

/// The CRC of every kilobyte.
pub(crate) fn crc_of_blocks(bytes: &[u8]) -> u32 {
    bytes.chunks(1024).fold(0, |all, block| all ^ crc32fast::hash(block))
}

/// Walks a log by the size of each record and writes 20 bytes for it; the number of records.
pub(crate) fn write_units(log: &MappedLog, units: &mut Vec<u8>) -> u64 {
    units.clear();
    let (mut at, mut count) = (0usize, 0);
    while at < log.end {
        let size = u32_at(&log.mapping, at);
        if size == 0 {
            break;
        }
        units.extend_from_slice(&(at as u64).to_be_bytes());
        units.extend_from_slice(&size.to_be_bytes());
        units.extend_from_slice(&u64::from(u32_at(&log.mapping, at + 4)).to_be_bytes());
        at += size as usize;
        count += 1;
    }
    black_box(&units);
    count
}

/// What an index is made of: slots that are found by hash, and entries one after the other.
#[derive(Debug)]
pub(crate) struct Table {
    slots: Vec<u32>,
    entries: Vec<[u8; ENTRY_BYTES]>,
}

impl Table {
    /// A table for so many entries, with a slot for every four, as RocketMQ's.
    pub(crate) fn new(entries: usize) -> Self {
        let count = u32::try_from(entries / 4).unwrap_or(u32::MAX).max(1);
        let slots = (0..count).map(|slot| slot * 4).collect();
        Self { slots, entries: vec![[1; ENTRY_BYTES]; entries.max(1)] }
    }

    /// Puts the keys of a log's records: hashes `key_bytes` of each, stores its slot and entry.
    /// Returns the number of records.
    pub(crate) fn put_all(&mut self, log: &MappedLog, key_bytes: usize) -> u64 {
        let (mut at, mut count) = (0usize, 0usize);
        while at < log.end {
            let size = u32_at(&log.mapping, at) as usize;
            if size == 0 {
                break;
            }
            // The last bytes of a record are its properties.
            let hash = java_hash(log.at(at + size.saturating_sub(key_bytes), key_bytes));
            let (slots, entries) = (self.slots.len(), self.entries.len());
            let mut entry = [0; ENTRY_BYTES];
            entry[..4].copy_from_slice(&hash.to_be_bytes());
            entry[4..12].copy_from_slice(&(at as u64).to_be_bytes());
            if let Some(slot) = self.slots.get_mut(hash as usize % slots) {
                entry[16..].copy_from_slice(&slot.to_be_bytes());
                *slot = u32::try_from(count).unwrap_or_default();
            }
            if let Some(place) = self.entries.get_mut(count % entries) {
                *place = entry;
            }
            at += size;
            count += 1;
        }
        black_box(&self.entries);
        count as u64
    }

    /// Hashes a key and loads its slot and one entry: what no look-up can do without.
    pub(crate) fn look_up(&self, key: &[u8]) -> u64 {
        let hash = java_hash(key) as usize;
        let slot = self.slots.get(hash % self.slots.len()).copied().unwrap_or_default();
        let entry = self.entries.get(slot as usize % self.entries.len());
        entry.map_or(0, |entry| u64_at(entry, 4))
    }
}

/// The hash the format demands.
fn java_hash(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |hash: u32, byte| hash.wrapping_mul(31).wrapping_add(u32::from(*byte)))
}

/// Units of a queue and the log they point to.
#[derive(Debug)]
pub(crate) struct Records {
    pub(crate) log: MappedLog,
    pub(crate) units: Vec<u8>,
}

impl Records {
    /// The record of a unit.
    pub(crate) fn record(&self, number: usize) -> &[u8] {
        let unit = self.units.get(number * UNIT_BYTES..).unwrap_or_default();
        let at = usize::try_from(u64_at(unit, 0)).unwrap_or_default();
        self.log.at(at, u32_at(unit, 8) as usize)
    }

    /// Loads the head of the record of a unit: the least that shows that it is the right one.
    pub(crate) fn load_head(&self, number: usize) -> u64 {
        let record = self.record(number);
        u64_at(record, 0) ^ u64_at(record, 20)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_keeps_what_was_put() {
        let mut log = vec![0u8; 400];
        for record in 0..4usize {
            log[record * 100..][..4].copy_from_slice(&100u32.to_be_bytes());
            log[record * 100 + 99] = b'0' + u8::try_from(record).unwrap();
        }
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        std::fs::write(&path, &log).unwrap();
        let log = MappedLog::new(&path, 400).unwrap();
        let mut units = Vec::new();
        assert_eq!(write_units(&log, &mut units), 4);
        assert_eq!(units[20..32], [0, 0, 0, 0, 0, 0, 0, 100, 0, 0, 0, 100]);
        let mut table = Table::new(8);
        assert_eq!(table.put_all(&log, 1), 4);
        assert_eq!(table.look_up(b"3"), 300);
        let records = Records { log, units };
        assert_eq!(records.record(2).last(), Some(&b'2'));
        assert_eq!(records.load_head(2), 100 << 32);
    }
}
