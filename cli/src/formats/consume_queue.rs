//! Consume queues: `consumequeue/<topic>/<queue id>/<20 digits>`, units of 20 bytes, and those of
//! inner batches: `batchconsumequeue/...`, units of 46 bytes.
//!
//! A file name is the byte offset of the file's beginning in the queue. The number of a unit, its
//! place in the queue, is its queue offset in a simple queue; the unit of a batch states the offset
//! of its first message, and how many there are. A simple queue that did not begin at 0 has filler
//! units in its first file, and the last file has empty units behind its data.

use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use cairnlog::QueueKind;

use super::{NamedFile, i32_at, i64_at, list, name, number_of, read_full};

/// The kinds of queues, with their directories and the bytes of their units.
const KINDS: [(QueueKind, &str, u64); 2] =
    [(QueueKind::Simple, "consumequeue", 20), (QueueKind::Batch, "batchconsumequeue", 46)];
/// The size in a filler unit.
const FILLER_SIZE: i32 = i32::MAX;
/// Bytes read at once, a multiple of every unit.
const WINDOW_BYTES: usize = 20 * 46 * 70;

/// What a queue says about one message, or one batch of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unit {
    /// Where the record begins in the log.
    pub(crate) physical_offset: i64,
    /// The bytes of the record.
    pub(crate) size: i32,
    /// The hash of the tag, or the delivery time of a delayed message.
    pub(crate) tags_code: i64,
    /// The unit's place in its queue.
    pub(crate) number: u64,
    /// The queue offset of the first message.
    pub(crate) index: u64,
    /// Messages and queue offsets that the unit stands for; 0 if it says something impossible.
    pub(crate) messages: u64,
    /// When the record was stored; only the units of batches tell.
    pub(crate) store_timestamp: Option<i64>,
}

impl Unit {
    fn decode(kind: QueueKind, number: u64, bytes: &[u8]) -> Self {
        let simple = Self {
            physical_offset: i64_at(bytes, 0),
            size: i32_at(bytes, 8),
            tags_code: i64_at(bytes, 12),
            number,
            index: number,
            messages: 1,
            store_timestamp: None,
        };
        if kind == QueueKind::Simple {
            return simple;
        }
        // The high half of the four bytes is the number of messages.
        let messages = u64::try_from(i32_at(bytes, 36) >> 16).unwrap_or(0);
        let store_timestamp = Some(i64_at(bytes, 20));
        match u64::try_from(i64_at(bytes, 28)) {
            Ok(index) => Self { index, messages, store_timestamp, ..simple },
            Err(_) => Self { messages: 0, store_timestamp, ..simple },
        }
    }

    /// One past the last queue offset that the unit stands for.
    pub(crate) fn index_end(&self) -> u64 {
        self.index.saturating_add(self.messages)
    }

    /// Whether the unit stands for an index before the queue's first message.
    pub(crate) fn is_filler(&self) -> bool {
        self.physical_offset == 0 && self.size == FILLER_SIZE
    }

    /// Whether the unit stands for a message.
    pub(crate) fn is_message(&self) -> bool {
        self.physical_offset >= 0 && self.size > 0 && self.messages > 0 && !self.is_filler()
    }
}

/// One queue's files.
#[derive(Debug)]
pub(crate) struct ConsumeQueue {
    /// The topic, its directory's name.
    pub(crate) topic: String,
    /// The queue inside the topic.
    pub(crate) queue_id: i32,
    /// Whether its units are those of messages or of batches.
    pub(crate) kind: QueueKind,
    unit_bytes: u64,
    /// Where it is.
    pub(crate) path: PathBuf,
    /// Its files, ascending.
    pub(crate) files: Vec<NamedFile>,
    window: Option<Window>,
    /// The number behind the unit of a batch that was found last.
    next_number: u64,
}

/// Bytes of a file that were read together.
#[derive(Debug)]
struct Window {
    /// The queue's byte offset of the first.
    start: u64,
    bytes: Vec<u8>,
}

/// Every queue of a store, and paths that do not belong there.
#[derive(Debug, Default)]
pub(crate) struct ConsumeQueues {
    /// The queues, by topic and queue id.
    pub(crate) queues: Vec<ConsumeQueue>,
    /// Files and directories with foreign names.
    pub(crate) foreign: Vec<PathBuf>,
}

impl ConsumeQueues {
    /// Lists the queues of a store; none if it has no such directory.
    pub(crate) fn open(store: &Path) -> io::Result<Self> {
        let mut all = Self::default();
        for (kind, directory, _) in KINDS {
            for topic in list(&store.join(directory))? {
                // All queues of a topic are of one kind.
                let name = name(&topic);
                let is_other = |queue: &ConsumeQueue| queue.kind != kind && queue.topic == name;
                if topic.is_dir() && !all.queues.iter().any(is_other) {
                    all.add_topic(kind, &name, &topic)?;
                } else {
                    all.foreign.push(topic);
                }
            }
        }
        all.queues.sort_by(|a, b| (&a.topic, a.queue_id).cmp(&(&b.topic, b.queue_id)));
        Ok(all)
    }

    fn add_topic(&mut self, kind: QueueKind, topic: &str, directory: &Path) -> io::Result<()> {
        for path in list(directory)? {
            match name(&path).parse() {
                Ok(queue_id) if path.is_dir() => {
                    self.add(ConsumeQueue::new(kind, topic, queue_id, path))?;
                }
                _ => self.foreign.push(path),
            }
        }
        Ok(())
    }

    fn add(&mut self, mut queue: ConsumeQueue) -> io::Result<()> {
        for file in list(&queue.path)? {
            match named_file(&file)? {
                Some(named) => queue.files.push(named),
                // One that retention has just removed is neither.
                None if file.exists() => self.foreign.push(file),
                None => {}
            }
        }
        self.queues.push(queue);
        Ok(())
    }
}

/// A queue file with its place; `None` if the path is none, or no longer there.
fn named_file(path: &Path) -> io::Result<Option<NamedFile>> {
    let Some(start) = number_of(path) else {
        return Ok(None);
    };
    match path.metadata() {
        Ok(metadata) if metadata.is_file() => {
            Ok(Some(NamedFile { path: path.to_path_buf(), start, size: metadata.len() }))
        }
        Ok(_) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// What a queue's units come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct QueueRange {
    /// The index of the first message that the log still holds.
    pub(crate) min_offset: u64,
    /// One past the index of the last message.
    pub(crate) max_offset: u64,
    /// The first and the last unit of that range.
    pub(crate) ends: Option<(Unit, Unit)>,
}

/// One past the last unit of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct QueueEnd {
    /// Its number.
    pub(crate) number: u64,
    /// Its queue offset.
    pub(crate) index: u64,
}

impl ConsumeQueue {
    fn new(kind: QueueKind, topic: &str, queue_id: i32, path: PathBuf) -> Self {
        let unit_bytes = KINDS.iter().find(|known| known.0 == kind).map_or(1, |known| known.2);
        let (topic, files) = (topic.to_owned(), Vec::new());
        Self { topic, queue_id, kind, unit_bytes, path, files, window: None, next_number: 0 }
    }

    /// The unit that has a number; `None` where there is no file.
    pub(crate) fn unit(&mut self, number: u64) -> io::Result<Option<Unit>> {
        let Some(at) = number.checked_mul(self.unit_bytes) else {
            return Ok(None);
        };
        let size = self.unit_bytes;
        if self.window.as_ref().is_none_or(|window| !window.holds(at, size)) {
            self.window = self.read_window(at)?;
        }
        let bytes = self.window.as_ref().and_then(|window| window.unit(at, size));
        Ok(bytes.map(|bytes| Unit::decode(self.kind, number, bytes)))
    }

    /// The unit that stands for a queue offset.
    pub(crate) fn unit_at(&mut self, index: u64) -> io::Result<Option<Unit>> {
        if self.kind == QueueKind::Simple {
            return self.unit(index);
        }
        let has_it =
            |unit: &Unit| unit.is_message() && (unit.index..unit.index_end()).contains(&index);
        let mut unit = self.unit(self.next_number)?.filter(has_it);
        if unit.is_none() {
            let below = |unit: &Unit| unit.is_message() && unit.index_end() <= index;
            let number = self.first_without(self.numbers(), below)?;
            unit = self.unit(number)?.filter(has_it);
        }
        self.next_number = unit.map_or(0, |unit| unit.number + 1);
        Ok(unit)
    }

    /// One queue of a store; `None` if it has no directory.
    pub(crate) fn open(store: &Path, topic: &str, queue_id: i32) -> io::Result<Option<Self>> {
        if topic.contains('/') {
            return Ok(None);
        }
        for (kind, directory, _) in KINDS {
            let path = store.join(directory).join(topic).join(queue_id.to_string());
            if path.is_dir() {
                let mut queue = Self::new(kind, topic, queue_id, path);
                queue.refresh()?;
                return Ok(Some(queue));
            }
        }
        Ok(None)
    }

    /// Looks at the directory and the files anew: a writer may have added to them.
    pub(crate) fn refresh(&mut self) -> io::Result<()> {
        self.window = None;
        self.files.clear();
        for path in list(&self.path)? {
            self.files.extend(named_file(&path)?);
        }
        Ok(())
    }

    /// The file of the unit that has a number, and its position in it.
    pub(crate) fn locate(&self, number: u64) -> Option<(&Path, u64)> {
        let at = number.checked_mul(self.unit_bytes)?;
        let file = self.file_at(at)?;
        Some((&file.path, at - file.start))
    }

    fn file_at(&self, at: u64) -> Option<&NamedFile> {
        let file = self.files.iter().rev().find(|file| file.start <= at)?;
        (at - file.start < file.size).then_some(file)
    }

    fn read_window(&self, at: u64) -> io::Result<Option<Window>> {
        let Some(file) = self.file_at(at) else {
            return Ok(None);
        };
        let mut handle = match File::open(&file.path) {
            // Retention removed it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        handle.seek(SeekFrom::Start(at - file.start))?;
        let mut bytes = vec![0; WINDOW_BYTES];
        let length = read_full(&mut handle, &mut bytes)?;
        bytes.truncate(length);
        Ok(Some(Window { start: at, bytes }))
    }

    /// The number of the first unit that has a file.
    pub(crate) fn first_number(&self) -> u64 {
        self.files.first().map_or(0, |file| file.start.div_ceil(self.unit_bytes))
    }

    /// The numbers that have files.
    fn numbers(&self) -> Range<u64> {
        let first = self.first_number();
        let last = self.files.last();
        let end = last.map_or(first, |file| file.start.saturating_add(file.size) / self.unit_bytes);
        first..end
    }

    /// Walks the units from the first file on, up to the first that is none, and shows each to
    /// `look`.
    pub(crate) fn walk(&mut self, mut look: impl FnMut(&Unit)) -> io::Result<QueueEnd> {
        let number = self.first_number();
        let index = if self.kind == QueueKind::Simple { number } else { 0 };
        let mut end = QueueEnd { number, index };
        while let Some(unit) = self.unit(end.number)? {
            if !unit.is_message() && !unit.is_filler() {
                break;
            }
            look(&unit);
            end = QueueEnd { number: end.number + 1, index: unit.index_end() };
        }
        Ok(end)
    }

    /// The range of messages, given where the log begins.
    pub(crate) fn range(&mut self, log_min_offset: u64) -> io::Result<QueueRange> {
        let mut first: Option<(u64, Unit)> = None;
        let mut last: Option<Unit> = None;
        let log_min = i64::try_from(log_min_offset).unwrap_or(i64::MAX);
        let end = self.walk(|unit| {
            if unit.is_filler() {
                return;
            }
            if first.is_none() && unit.physical_offset >= log_min {
                first = Some((unit.index, *unit));
            }
            last = Some(*unit);
        })?;
        Ok(QueueRange {
            min_offset: first.map_or(end.index, |(index, _)| index),
            max_offset: end.index,
            ends: first.map(|(_, unit)| unit).zip(last),
        })
    }
}

impl ConsumeQueue {
    /// The indexes of the first message that the log still holds and one past the last, as
    /// [`ConsumeQueue::range`] finds them, but with few reads: units have no gaps, and lead the
    /// further into the log the higher their index.
    pub(crate) fn find_range(&mut self, log_min_offset: u64) -> io::Result<Range<u64>> {
        let Range { start: first, end: last } = self.numbers();
        let end = self.first_without(first..last, |unit| unit.is_message() || unit.is_filler())?;
        let log_min = i64::try_from(log_min_offset).unwrap_or(i64::MAX);
        let start = self
            .first_without(first..end, |unit| unit.is_filler() || unit.physical_offset < log_min)?;
        if self.kind == QueueKind::Simple {
            return Ok(start..end);
        }
        let last = if end > first { self.unit(end - 1)? } else { None };
        let end_index = last.map_or(0, |unit| unit.index_end());
        let begin = if start < end { self.unit(start)? } else { None };
        Ok(begin.map_or(end_index, |unit| unit.index)..end_index)
    }

    /// The first number whose unit is not so, or that has none. If it is not so for one number, it
    /// is not for any higher one.
    fn first_without(
        &mut self,
        mut range: Range<u64>,
        is_so: impl Fn(&Unit) -> bool,
    ) -> io::Result<u64> {
        while range.start < range.end {
            let middle = range.start + (range.end - range.start) / 2;
            if self.unit(middle)?.is_some_and(|unit| is_so(&unit)) {
                range.start = middle + 1;
            } else {
                range.end = middle;
            }
        }
        Ok(range.start)
    }
}

impl Window {
    fn holds(&self, at: u64, size: u64) -> bool {
        at >= self.start && at + size <= self.start + self.bytes.len() as u64
    }

    fn unit(&self, at: u64, size: u64) -> Option<&[u8]> {
        let from = usize::try_from(at.checked_sub(self.start)?).ok()?;
        self.bytes.get(from..from + usize::try_from(size).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn unit(physical_offset: i64, size: i32, tags_code: i64) -> Vec<u8> {
        let mut bytes = physical_offset.to_be_bytes().to_vec();
        bytes.extend(size.to_be_bytes());
        bytes.extend(tags_code.to_be_bytes());
        bytes
    }

    fn queue_of(
        units: &[Vec<u8>],
        first_file: u64,
        units_per_file: usize,
    ) -> (tempfile::TempDir, ConsumeQueue) {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("consumequeue/T%1/3");
        fs::create_dir_all(&directory).unwrap();
        for (number, units) in units.chunks(units_per_file).enumerate() {
            let mut bytes = units.concat();
            bytes.resize(units_per_file * 20, 0);
            let start = first_file + (number * units_per_file * 20) as u64;
            fs::write(directory.join(format!("{start:020}")), bytes).unwrap();
        }
        fs::write(directory.join("note"), b"").unwrap();
        let mut all = ConsumeQueues::open(root.path()).unwrap();
        assert_eq!(all.foreign, [directory.join("note")]);
        assert_eq!(all.queues.len(), 1);
        let queue = all.queues.remove(0);
        assert_eq!((queue.topic.as_str(), queue.queue_id), ("T%1", 3));
        (root, queue)
    }

    #[test]
    fn filler_units_come_before_the_first_message() {
        let units =
            [unit(0, i32::MAX, 0), unit(0, i32::MAX, 0), unit(500, 100, -1), unit(600, 90, 7)];
        let (_root, mut queue) = queue_of(&units, 0, 3);
        let range = queue.range(0).unwrap();
        assert_eq!((range.min_offset, range.max_offset), (2, 4));
        assert_eq!(queue.find_range(0).unwrap(), 2..4);
        assert_eq!(range.ends.unwrap().1.tags_code, 7);
        assert_eq!(queue.unit(3).unwrap().unwrap().physical_offset, 600);
        assert_eq!(queue.unit(6).unwrap(), None);
    }

    #[test]
    fn units_below_the_log_do_not_count() {
        let units: Vec<_> = (0..7).map(|n| unit(n * 100, 100, 0)).collect();
        let (_root, mut queue) = queue_of(&units, 2000, 5);
        let range = queue.range(350).unwrap();
        assert_eq!((range.min_offset, range.max_offset), (104, 107));
        assert_eq!(queue.find_range(350).unwrap(), 104..107);
        assert_eq!(queue.find_range(5000).unwrap(), 107..107);
        let range = queue.range(5000).unwrap();
        assert_eq!((range.min_offset, range.max_offset), (107, 107));
        assert_eq!(queue.locate(105).unwrap().1, 0);
    }
}
