//! Consume queues: `consumequeue/<topic>/<queue id>/<20 digits>`, units of 20 bytes.
//!
//! A file name is the byte offset of the file's beginning in the queue, so the unit of queue
//! offset n lies at byte 20 n. A queue that did not begin at 0 has filler units in its first
//! file, and the last file has empty units behind its data.

use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::{NamedFile, i32_at, i64_at, list, name, number_of, read_full};

/// Bytes of a unit.
pub(crate) const UNIT_BYTES: u64 = 20;
/// The size in a filler unit.
const FILLER_SIZE: i32 = i32::MAX;
/// Bytes read at once, a multiple of the unit.
const WINDOW_BYTES: usize = 20 * 3200;

/// What a queue says about one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unit {
    /// Where the record begins in the log.
    pub(crate) physical_offset: i64,
    /// The bytes of the record.
    pub(crate) size: i32,
    /// The hash of the tag, or the delivery time of a delayed message.
    pub(crate) tags_code: i64,
}

impl Unit {
    fn decode(bytes: &[u8]) -> Self {
        Self {
            physical_offset: i64_at(bytes, 0),
            size: i32_at(bytes, 8),
            tags_code: i64_at(bytes, 12),
        }
    }

    /// Whether the unit stands for an index before the queue's first message.
    pub(crate) fn is_filler(&self) -> bool {
        self.physical_offset == 0 && self.size == FILLER_SIZE
    }

    /// Whether the unit stands for a message.
    pub(crate) fn is_message(&self) -> bool {
        self.physical_offset >= 0 && self.size > 0 && !self.is_filler()
    }
}

/// One queue's files.
#[derive(Debug)]
pub(crate) struct ConsumeQueue {
    /// The topic, its directory's name.
    pub(crate) topic: String,
    /// The queue inside the topic.
    pub(crate) queue_id: i32,
    /// Where it is.
    pub(crate) path: PathBuf,
    /// Its files, ascending.
    pub(crate) files: Vec<NamedFile>,
    window: Option<Window>,
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
        for topic in list(&store.join("consumequeue"))? {
            if !topic.is_dir() {
                all.foreign.push(topic);
                continue;
            }
            for queue in list(&topic)? {
                match name(&queue).parse() {
                    Ok(queue_id) if queue.is_dir() => {
                        all.add(name(&topic), queue_id, queue)?;
                    }
                    _ => all.foreign.push(queue),
                }
            }
        }
        all.queues.sort_by(|a, b| (&a.topic, a.queue_id).cmp(&(&b.topic, b.queue_id)));
        Ok(all)
    }

    fn add(&mut self, topic: String, queue_id: i32, path: PathBuf) -> io::Result<()> {
        let mut files = Vec::new();
        for file in list(&path)? {
            match named_file(&file)? {
                Some(named) => files.push(named),
                // One that retention has just removed is neither.
                None if file.exists() => self.foreign.push(file),
                None => {}
            }
        }
        self.queues.push(ConsumeQueue { topic, queue_id, path, files, window: None });
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

impl ConsumeQueue {
    /// The unit of a queue offset, with the file it lies in; `None` where there is no file.
    pub(crate) fn unit(&mut self, queue_offset: u64) -> io::Result<Option<Unit>> {
        let Some(at) = queue_offset.checked_mul(UNIT_BYTES) else {
            return Ok(None);
        };
        if self.window.as_ref().is_none_or(|window| !window.holds(at)) {
            self.window = self.read_window(at)?;
        }
        Ok(self.window.as_ref().and_then(|window| window.unit(at)))
    }

    /// One queue of a store; `None` if it has no directory.
    pub(crate) fn open(store: &Path, topic: &str, queue_id: i32) -> io::Result<Option<Self>> {
        let path = store.join("consumequeue").join(topic).join(queue_id.to_string());
        if topic.contains('/') || !path.is_dir() {
            return Ok(None);
        }
        let mut queue =
            Self { topic: topic.to_owned(), queue_id, path, files: Vec::new(), window: None };
        queue.refresh()?;
        Ok(Some(queue))
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

    /// The file of a queue offset, and the unit's position in it.
    pub(crate) fn locate(&self, queue_offset: u64) -> Option<(&Path, u64)> {
        let at = queue_offset.checked_mul(UNIT_BYTES)?;
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
        bytes.truncate(length - length % 20);
        Ok(Some(Window { start: at, bytes }))
    }

    /// The first index that has a file.
    pub(crate) fn first_index(&self) -> u64 {
        self.files.first().map_or(0, |file| file.start.div_ceil(UNIT_BYTES))
    }

    /// Walks the units from the first file on, up to the first that is none, and shows each to
    /// `look` with its index.
    pub(crate) fn walk(&mut self, mut look: impl FnMut(u64, &Unit)) -> io::Result<u64> {
        let mut index = self.first_index();
        while let Some(unit) = self.unit(index)? {
            if !unit.is_message() && !unit.is_filler() {
                break;
            }
            look(index, &unit);
            index += 1;
        }
        Ok(index)
    }

    /// The range of messages, given where the log begins.
    pub(crate) fn range(&mut self, log_min_offset: u64) -> io::Result<QueueRange> {
        let mut first: Option<(u64, Unit)> = None;
        let mut last: Option<Unit> = None;
        let log_min = i64::try_from(log_min_offset).unwrap_or(i64::MAX);
        let end = self.walk(|index, unit| {
            if unit.is_filler() {
                return;
            }
            if first.is_none() && unit.physical_offset >= log_min {
                first = Some((index, *unit));
            }
            last = Some(*unit);
        })?;
        Ok(QueueRange {
            min_offset: first.map_or(end, |(index, _)| index),
            max_offset: end,
            ends: first.map(|(_, unit)| unit).zip(last),
        })
    }
}

impl ConsumeQueue {
    /// The indexes of the first message that the log still holds and one past the last, as
    /// [`ConsumeQueue::range`] finds them, but with few reads: units have no gaps, and lead the
    /// further into the log the higher their index.
    pub(crate) fn find_range(&mut self, log_min_offset: u64) -> io::Result<Range<u64>> {
        let first = self.first_index();
        let last = self
            .files
            .last()
            .map_or(first, |file| file.start.saturating_add(file.size) / UNIT_BYTES);
        let end = self.first_without(first..last, |unit| unit.is_message() || unit.is_filler())?;
        let log_min = i64::try_from(log_min_offset).unwrap_or(i64::MAX);
        let start = self
            .first_without(first..end, |unit| unit.is_filler() || unit.physical_offset < log_min)?;
        Ok(start..end)
    }

    /// The first index whose unit is not so, or that has none. If it is not so for one index, it
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
    fn holds(&self, at: u64) -> bool {
        at >= self.start && at + UNIT_BYTES <= self.start + self.bytes.len() as u64
    }

    fn unit(&self, at: u64) -> Option<Unit> {
        let from = usize::try_from(at.checked_sub(self.start)?).ok()?;
        self.bytes.get(from..from + 20).map(Unit::decode)
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
