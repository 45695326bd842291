//! Key index files: `index/<yyyyMMddHHmmssSSS>`, a header, hash slots, entries chained per slot.
//!
//! A file does not say how many slots and entries it was made with. Its length allows several
//! pairs; the one that fits the chains is the right one.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::{i32_at, i64_at, java_hash, list, name, read_full};

/// Bytes of the header.
const HEADER_BYTES: u64 = 40;
/// Bytes of a slot.
const SLOT_BYTES: u64 = 4;
/// Bytes of an entry.
pub(crate) const ENTRY_BYTES: u64 = 20;
/// The most bytes of slots that are read to find out their number.
const MAX_GUESSED_SLOT_BYTES: u64 = 64 << 20;

/// What a file was made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Geometry {
    /// Hash slots.
    pub(crate) slots: u32,
    /// Entries, the unused number 0 included.
    pub(crate) items: u32,
}

impl Geometry {
    /// RocketMQ's default.
    pub(crate) const DEFAULT: Self = Self { slots: 5_000_000, items: 20_000_000 };

    /// The length of such a file in bytes.
    pub(crate) fn file_size(self) -> u64 {
        HEADER_BYTES + SLOT_BYTES * u64::from(self.slots) + ENTRY_BYTES * u64::from(self.items)
    }

    /// Where entry `number` lies in the file.
    pub(crate) fn entry_position(self, number: u32) -> u64 {
        HEADER_BYTES + SLOT_BYTES * u64::from(self.slots) + ENTRY_BYTES * u64::from(number)
    }

    /// Where slot `slot` lies in the file.
    pub(crate) fn slot_position(slot: u32) -> u64 {
        HEADER_BYTES + SLOT_BYTES * u64::from(slot)
    }
}

/// The first 40 bytes of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    /// Store time of the first entry's record, in milliseconds.
    pub(crate) begin_timestamp: i64,
    /// Store time of the last entry's record.
    pub(crate) end_timestamp: i64,
    /// Where the first entry's record lies.
    pub(crate) begin_physical_offset: i64,
    /// Where the last entry's record lies.
    pub(crate) end_physical_offset: i64,
    /// Slots in use.
    pub(crate) hash_slot_count: i32,
    /// The number the next entry gets.
    pub(crate) index_count: i32,
}

impl Header {
    fn decode(bytes: &[u8]) -> Self {
        Self {
            begin_timestamp: i64_at(bytes, 0),
            end_timestamp: i64_at(bytes, 8),
            begin_physical_offset: i64_at(bytes, 16),
            end_physical_offset: i64_at(bytes, 24),
            hash_slot_count: i32_at(bytes, 32),
            index_count: i32_at(bytes, 36),
        }
    }

    /// The number of entries.
    pub(crate) fn entries(&self) -> u32 {
        u32::try_from(self.index_count.max(1) - 1).unwrap_or_default()
    }
}

/// One key of one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The hash of `topic#key`.
    pub(crate) key_hash: i32,
    /// Where the record begins in the log.
    pub(crate) physical_offset: i64,
    /// Seconds from the header's begin timestamp to the record's store time.
    pub(crate) time_difference_s: i32,
    /// The number of the slot's entry before this one; 0 for none.
    pub(crate) previous: i32,
}

impl Entry {
    fn decode(bytes: &[u8]) -> Self {
        Self {
            key_hash: i32_at(bytes, 0),
            physical_offset: i64_at(bytes, 4),
            time_difference_s: i32_at(bytes, 12),
            previous: i32_at(bytes, 16),
        }
    }
}

/// The hash under which a key is found.
pub(crate) fn key_hash(topic: &str, key: &str) -> i32 {
    without_sign(java_hash(&format!("{topic}#{key}")))
}

/// The absolute value; 0 for the one number that has none.
fn without_sign(hash: i32) -> i32 {
    hash.checked_abs().unwrap_or(0)
}

/// An index file.
#[derive(Debug)]
pub(crate) struct IndexFile {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// Its length in bytes.
    pub(crate) size: u64,
    /// Its header.
    pub(crate) header: Header,
    /// What it was made with; `None` if nothing fits.
    pub(crate) geometry: Option<Geometry>,
}

/// A store's index files by name, and paths that do not belong there.
pub(crate) fn files(store: &Path) -> io::Result<(Vec<PathBuf>, Vec<PathBuf>)> {
    Ok(list(&store.join("index"))?.into_iter().partition(|path| {
        let name = name(path);
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit()) && path.is_file()
    }))
}

impl IndexFile {
    /// Reads the header and finds out the geometry, unless it is given.
    pub(crate) fn open(path: &Path, given: Option<Geometry>) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let size = file.metadata()?.len();
        let mut bytes = [0; HEADER_BYTES as usize];
        read_full(&mut file, &mut bytes)?;
        let header = Header::decode(&bytes);
        let mut index = Self {
            path: path.to_path_buf(),
            size,
            header,
            geometry: given.filter(|given| given.file_size() == size),
        };
        if given.is_none() {
            index.geometry = index.find_geometry()?;
        }
        Ok(index)
    }

    /// The default if the length is the default's, else the first geometry of this length whose
    /// chains are whole.
    fn find_geometry(&self) -> io::Result<Option<Geometry>> {
        if self.size == Geometry::DEFAULT.file_size() {
            return Ok(Some(Geometry::DEFAULT));
        }
        let Some(body) = self.size.checked_sub(HEADER_BYTES) else {
            return Ok(None);
        };
        if body % SLOT_BYTES != 0 || self.header.entries() == 0 {
            return Ok(None);
        }
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(HEADER_BYTES))?;
        let mut bytes = Vec::new();
        file.take(body.min(MAX_GUESSED_SLOT_BYTES)).read_to_end(&mut bytes)?;
        let words = body / SLOT_BYTES;
        let mut used = 0;
        for slots in 1..words {
            let last = usize::try_from((slots - 1) * SLOT_BYTES).unwrap_or(usize::MAX);
            if last + 4 > bytes.len() {
                break;
            }
            used += i32::from(i32_at(&bytes, last) != 0);
            let items = words - slots;
            let fits = used == self.header.hash_slot_count && items.is_multiple_of(5);
            let geometry = u32::try_from(slots).ok().zip(u32::try_from(items / 5).ok());
            if let (true, Some((slots, items))) = (fits, geometry) {
                let geometry = Geometry { slots, items };
                if self.header.entries() < items && self.chains_fit(geometry)? {
                    return Ok(Some(geometry));
                }
            }
        }
        Ok(None)
    }

    fn chains_fit(&self, geometry: Geometry) -> io::Result<bool> {
        let mut chains = Chains::new(geometry);
        let mut entries = self.entries(geometry)?;
        while let Some((number, entry)) = entries.next()? {
            let first = number == 1 && entry.physical_offset != self.header.begin_physical_offset;
            let last = number == self.header.entries()
                && entry.physical_offset != self.header.end_physical_offset;
            if first || last || chains.add(number, &entry) != entry.previous {
                return Ok(false);
            }
        }
        Ok(chains.first_difference(&self.slots(geometry)?).is_none())
    }

    /// The slot table.
    pub(crate) fn slots(&self, geometry: Geometry) -> io::Result<Vec<i32>> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(HEADER_BYTES))?;
        let mut bytes = vec![0; geometry.slots as usize * SLOT_BYTES as usize];
        let length = read_full(&mut file, &mut bytes)?;
        bytes.truncate(length);
        Ok(bytes.chunks_exact(4).map(|slot| i32_at(slot, 0)).collect())
    }

    /// The entries with a hash, newest first. What a writer adds meanwhile is not seen.
    pub(crate) fn find(&self, geometry: Geometry, hash: i32) -> io::Result<Vec<Entry>> {
        let mut file = File::open(&self.path)?;
        let slot = hash.unsigned_abs() % geometry.slots.max(1);
        let mut bytes = [0; ENTRY_BYTES as usize];
        file.seek(SeekFrom::Start(Geometry::slot_position(slot)))?;
        read_full(&mut file, &mut bytes)?;
        // A chain leads to ever lower numbers; one that does not is damaged.
        let mut number = i32_at(&bytes, 0);
        let mut above = i32::MAX;
        let mut found = Vec::new();
        while let Some(at) = u32::try_from(number).ok().filter(|at| *at > 0 && number < above) {
            above = number;
            file.seek(SeekFrom::Start(geometry.entry_position(at)))?;
            bytes = [0; ENTRY_BYTES as usize];
            read_full(&mut file, &mut bytes)?;
            let entry = Entry::decode(&bytes);
            if entry.key_hash == hash {
                found.push(entry);
            }
            number = entry.previous;
        }
        Ok(found)
    }

    /// The entries, from number 1 on.
    pub(crate) fn entries(&self, geometry: Geometry) -> io::Result<EntryReader> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(geometry.entry_position(1)))?;
        let limit = self.header.entries().min(geometry.items.saturating_sub(1));
        Ok(EntryReader { file: BufReader::with_capacity(64 * 1024, file), number: 0, limit })
    }
}

/// Reads the entries of a file one after the other.
#[derive(Debug)]
pub(crate) struct EntryReader {
    file: BufReader<File>,
    number: u32,
    limit: u32,
}

impl EntryReader {
    /// The next entry and its number.
    pub(crate) fn next(&mut self) -> io::Result<Option<(u32, Entry)>> {
        if self.number >= self.limit {
            return Ok(None);
        }
        let mut bytes = [0; ENTRY_BYTES as usize];
        match self.file.read_exact(&mut bytes) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error),
        }
        self.number += 1;
        Ok(Some((self.number, Entry::decode(&bytes))))
    }
}

/// The slots as the entries make them.
#[derive(Debug)]
pub(crate) struct Chains {
    newest: Vec<i32>,
    used: i32,
}

impl Chains {
    /// All slots empty.
    pub(crate) fn new(geometry: Geometry) -> Self {
        Self { newest: vec![0; geometry.slots as usize], used: 0 }
    }

    /// Puts an entry at the head of its slot's chain, and returns the number of the one that was
    /// there.
    pub(crate) fn add(&mut self, number: u32, entry: &Entry) -> i32 {
        let slots = self.newest.len().max(1) as u64;
        let slot = u64::from(entry.key_hash.unsigned_abs()) % slots;
        let newest = usize::try_from(slot).ok().and_then(|slot| self.newest.get_mut(slot));
        let number = i32::try_from(number).unwrap_or(i32::MAX);
        let previous = newest.map_or(0, |newest| std::mem::replace(newest, number));
        self.used += i32::from(previous == 0);
        previous
    }

    /// Slots in use.
    pub(crate) fn used(&self) -> i32 {
        self.used
    }

    /// The first slot that differs from the table of the file: its number, expected, found.
    pub(crate) fn first_difference(&self, table: &[i32]) -> Option<(u32, i32, i32)> {
        let found = table.iter().chain(std::iter::repeat(&0));
        self.newest
            .iter()
            .zip(found)
            .zip(0u32..)
            .find(|((expected, found), _)| expected != found)
            .map(|((expected, found), slot)| (slot, *expected, *found))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes an index file the way it is filled: entries chained per slot.
    fn write_index(path: &Path, geometry: Geometry, keys: &[(&str, i64)]) {
        let mut bytes = vec![0; usize::try_from(geometry.file_size()).unwrap()];
        let mut put = |at: u64, field: &[u8]| {
            let at = usize::try_from(at).unwrap();
            bytes[at..at + field.len()].copy_from_slice(field);
        };
        let mut chains = Chains::new(geometry);
        for (number, (key, offset)) in (1u32..).zip(keys) {
            let mut entry = Entry {
                key_hash: key_hash("T", key),
                physical_offset: *offset,
                time_difference_s: 0,
                previous: 0,
            };
            entry.previous = chains.add(number, &entry);
            let at = geometry.entry_position(number);
            put(at, &entry.key_hash.to_be_bytes());
            put(at + 4, &offset.to_be_bytes());
            put(at + 16, &entry.previous.to_be_bytes());
        }
        for (slot, newest) in (0u32..).zip(&chains.newest) {
            put(Geometry::slot_position(slot), &newest.to_be_bytes());
        }
        put(16, &keys.first().map_or(0, |(_, offset)| *offset).to_be_bytes());
        put(24, &keys.last().map_or(0, |(_, offset)| *offset).to_be_bytes());
        put(32, &chains.used.to_be_bytes());
        put(36, &(i32::try_from(keys.len()).unwrap() + 1).to_be_bytes());
        std::fs::write(path, bytes).unwrap();
    }

    #[test]
    fn the_geometry_is_found_out_from_the_chains() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("20260101000000000");
        let names: Vec<String> = (0..150).map(|n| format!("key{n}")).collect();
        let keys: Vec<(&str, i64)> =
            names.iter().map(String::as_str).zip((0..).step_by(100)).collect();
        for (slots, items) in [(100, 400), (37, 200), (1, 151)] {
            let geometry = Geometry { slots, items };
            write_index(&path, geometry, &keys);
            let index = IndexFile::open(&path, None).unwrap();
            assert_eq!(index.geometry, Some(geometry));
            assert_eq!(index.header.entries(), 150);
            let other = Geometry { slots: slots + 1, items };
            assert_eq!(IndexFile::open(&path, Some(other)).unwrap().geometry, None);
        }
    }

    #[test]
    fn a_damaged_chain_fits_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("20260101000000000");
        let geometry = Geometry { slots: 10, items: 20 };
        write_index(&path, geometry, &[("a", 0), ("b", 50), ("a", 90)]);
        let mut bytes = std::fs::read(&path).unwrap();
        let at = usize::try_from(geometry.entry_position(3)).unwrap();
        bytes[at + 19] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(IndexFile::open(&path, None).unwrap().geometry, None);
        assert!(IndexFile::open(&path, Some(geometry)).unwrap().geometry.is_some());
    }

    #[test]
    fn the_hash_is_never_negative() {
        assert_eq!(key_hash("TopicTest", "k1"), 2_746_024);
        assert_eq!(without_sign(-7), 7);
        assert_eq!(without_sign(java_hash("polygenelubricants")), 0);
    }
}
