//! One consume queue: which indexes it has, and the units that wait to be written.

mod follow;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

pub(super) use follow::Followed;

use super::files::{Place, QueueFiles, Run, Shared};
use super::unit::{MAX_BATCH_MESSAGES, Slot, Unit, Units, partition_point, put_filler};
use crate::error::Result;
use crate::state::QueueKind;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::watermark::{Watermark, Woken};

/// The queue of a topic: for every index where its message lies.
///
/// Indexes from `min` to `max` can be read. One thread writes: the dispatcher. The units of a
/// simple queue are numbered as its indexes. Those of a batch queue are numbered as they came, and
/// tell which indexes they stand for.
#[derive(Debug)]
pub(crate) struct ConsumeQueue {
    topic: Box<str>,
    queue_id: i32,
    files: QueueFiles,
    min: AtomicU64,
    max: Arc<Watermark>,
    /// One past the number of the last unit; moved before `max` is.
    end: AtomicU64,
    /// Where the message of the last unit lies; [`NOWHERE`] if that is a filler.
    last_offset: AtomicU64,
    staging: Mutex<Staging>,
}

/// Stands for the offset of a unit that points at no message.
const NOWHERE: u64 = u64::MAX;

/// A buffer for units is kept when it is no larger: there may be ten thousand queues.
const MOST_KEPT_BYTES: usize = 1 << 10;

/// Units that are to be written.
#[derive(Debug, Default)]
struct Staging {
    /// In runs without gaps, ascending. An empty one is a buffer that is used again.
    runs: Vec<Run>,
    /// The first index.
    first: u64,
    /// One past the last unit's number, and one past its last index.
    end: Option<(u64, u64)>,
    /// Where the message of the last unit lies.
    last_offset: u64,
}

impl Staging {
    /// Forgets what was written. Queues that get their messages one by one need no new memory.
    fn clear(&mut self) {
        self.end = None;
        self.runs.truncate(1);
        self.runs.retain(|run| run.bytes.capacity() <= MOST_KEPT_BYTES);
        self.runs.iter_mut().for_each(|run| run.bytes.clear());
    }
}

/// What became of a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Staged {
    /// Its index is known already.
    Known,
    /// It is the first that is staged since the last write.
    First,
    /// It is staged behind others.
    Further,
}

/// Who a queue is, and who waits for it.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) topic: Box<str>,
    pub(super) queue_id: i32,
    pub(super) max: Arc<Watermark>,
}

impl ConsumeQueue {
    /// A queue with files that start there, whose range is not known yet.
    pub(super) fn new(
        shared: &Arc<Shared>,
        identity: Identity,
        place: Place,
        starts: Vec<u64>,
    ) -> Self {
        let Identity { topic, queue_id, max } = identity;
        Self {
            topic,
            queue_id,
            files: QueueFiles::new(shared, place, starts),
            min: AtomicU64::new(0),
            max,
            end: AtomicU64::new(0),
            last_offset: AtomicU64::new(NOWHERE),
            staging: Mutex::default(),
        }
    }

    /// The topic.
    pub(crate) fn topic(&self) -> &str {
        &self.topic
    }

    /// The queue's number in the topic.
    pub(crate) fn queue_id(&self) -> i32 {
        self.queue_id
    }

    /// What the queue's units stand for.
    pub(crate) fn kind(&self) -> QueueKind {
        self.files.kind()
    }

    /// The size of its files.
    pub(super) fn file_bytes(&self) -> u64 {
        self.files.file_bytes()
    }

    /// The first index that can be read, and one past the last.
    pub(crate) fn range(&self) -> Range<u64> {
        // In this order: `max` never falls, so the range is never upside down.
        let min = self.min.load(Ordering::Acquire);
        min..self.max.get().max(min)
    }

    /// Tells the queue from others, and from itself with another end. Only while nothing is
    /// written.
    pub(super) fn fingerprint(&self) -> u64 {
        let queue_id = self.queue_id.to_be_bytes();
        let end = self.max.get().to_be_bytes();
        let last_offset = self.last_offset.load(Ordering::Relaxed).to_be_bytes();
        fnv_1a(&[self.topic.as_bytes(), &queue_id, &end, &last_offset])
    }

    /// How many files it has that begin in front of its end.
    pub(super) fn used_files(&self) -> u64 {
        self.files.count_before(self.end.load(Ordering::Acquire))
    }

    /// Whether it ever had a message.
    pub(crate) fn exists(&self) -> bool {
        self.max.get() > 0
    }

    /// One past the last index, to wait for.
    pub(crate) fn max(&self) -> &Arc<Watermark> {
        &self.max
    }

    /// Stages the unit of a record for the next [`ConsumeQueue::write_staged`]. A unit of an index
    /// that is there already is passed over.
    ///
    /// A simple queue that starts late gets filler units in front, and so does a gap, which a log
    /// can only have if its writer lost a message: an index always means the message that was given
    /// it (R3). Fillers also stand for the further messages of an inner batch that came into a
    /// simple queue.
    pub(crate) fn stage(&self, unit: &Unit) -> Staged {
        let kind = self.kind();
        let mut staging = self.staging.lock();
        let staged = if staging.end.is_none() { Staged::First } else { Staged::Further };
        let written = || (self.end.load(Ordering::Acquire), self.max.get());
        let (end, end_index) = staging.end.unwrap_or_else(written);
        if unit.index < end_index {
            return Staged::Known;
        }
        if end_index > 0 && unit.index > end_index {
            tracing::warn!(
                topic = &*self.topic,
                queue_id = self.queue_id,
                expected = end_index,
                found = unit.index,
                "the log skips indexes of a queue"
            );
        }
        let (number, units, messages) = match kind {
            QueueKind::Simple => (unit.index, u64::from(unit.messages), unit.messages),
            QueueKind::Batch => (end, 1, unit.messages.min(MAX_BATCH_MESSAGES)),
        };
        // A file that was begun is filled up; those without any message are not made.
        let (begun, beside) = (self.files.first_beside(end), self.files.first_beside(number));
        if begun < end && begun < beside {
            let bytes = self.staged_from(&mut staging, end);
            (end..self.files.end_beside(end)).for_each(|_| put_filler(bytes));
        }
        let fill_from = end.max(beside);
        let bytes = self.staged_from(&mut staging, fill_from);
        (fill_from..number).for_each(|_| put_filler(bytes));
        unit.encode(kind, bytes);
        (1..units).for_each(|_| put_filler(bytes));
        if staged == Staged::First {
            staging.first = unit.index;
        }
        staging.end = Some((number + units, unit.index + u64::from(messages)));
        staging.last_offset = if units == 1 { unit.physical_offset } else { NOWHERE };
        staged
    }

    /// Where the unit that has a number is put behind what is staged.
    fn staged_from<'s>(&self, staging: &'s mut Staging, number: u64) -> &'s mut Vec<u8> {
        let run_end = |run: &Run| run.first + self.files.units_in(run);
        match staging.runs.last_mut() {
            Some(unused) if unused.bytes.is_empty() => unused.first = number,
            Some(run) if run_end(run) == number => {}
            _ => staging.runs.push(Run { first: number, bytes: Vec::new() }),
        }
        let last = staging.runs.len() - 1;
        &mut staging.runs[last].bytes
    }

    /// Writes what is staged and makes it readable. On failure nothing becomes readable, and the
    /// call may be repeated. Returns the tasks that waited for it.
    pub(crate) fn write_staged(&self) -> Result<Woken> {
        let mut staging = self.staging.lock();
        let Some((end, end_index)) = staging.end else {
            return Ok(Woken::default());
        };
        staging.runs.iter().try_for_each(|run| self.files.write(run))?;
        if !self.exists() {
            self.min.store(staging.first, Ordering::Release);
        }
        self.end.store(end, Ordering::Release);
        self.last_offset.store(staging.last_offset, Ordering::Relaxed);
        let woken = self.max.advance_quietly(end_index);
        staging.clear();
        Ok(woken)
    }

    /// Makes durable what was written since the last call. Returns the directory if files were made
    /// in it, whose entries are not durable yet.
    pub(super) fn sync(&self) -> Result<Option<&Path>> {
        self.files.sync()
    }

    /// Reads units from the one of an index on, at most so many, as far as they lie in one file:
    /// none where the file is missing.
    pub(crate) fn read(&self, index: u64, most: u64) -> Result<Units> {
        let end = self.end.load(Ordering::Acquire);
        let from = self.number_of(index, end)?;
        self.files.read(from, end.min(from.saturating_add(most)))
    }

    /// Reads the units behind others, at most so many, as far as they lie in the same file: none
    /// where it ends.
    pub(crate) fn read_on(&self, units: &Units, most: u64) -> Result<Units> {
        let from = units.first + units.len() as u64;
        let same_file = self.files.first_beside(from) == self.files.first_beside(units.first);
        let end = if same_file { self.end.load(Ordering::Acquire) } else { from };
        self.files.read(from, end.min(from.saturating_add(most)))
    }

    /// The number of the unit of an index; of the next unit if there is none.
    fn number_of(&self, index: u64, end: u64) -> Result<u64> {
        match self.kind() {
            QueueKind::Simple => Ok(index),
            QueueKind::Batch => partition_point(self.files.first()..end, |number| {
                let unit = match self.files.unit(number)? {
                    Slot::Unit(unit) => Some(unit),
                    // Retention removed its file from the front, or somebody another one.
                    Slot::Free | Slot::Filler => self.files.unit_before(number)?,
                };
                Ok(unit.is_none_or(|unit| unit.index_end() <= index))
            }),
        }
    }

    /// The first index of the unit that has a number; the queue's end behind the last unit.
    pub(crate) fn index_of(&self, number: u64) -> Result<u64> {
        if self.kind() == QueueKind::Simple {
            return Ok(number);
        }
        if number >= self.end.load(Ordering::Acquire) {
            return Ok(self.max.get());
        }
        Ok(match self.files.unit(number)? {
            Slot::Unit(unit) => unit.index,
            // Retention removed it meanwhile.
            Slot::Free | Slot::Filler => self.range().start,
        })
    }

    /// The numbers of the units of a range of indexes.
    pub(crate) fn numbers_of(&self, range: Range<u64>) -> Result<Range<u64>> {
        let end = self.end.load(Ordering::Acquire);
        Ok(self.number_of(range.start, end)?..self.number_of(range.end, end)?)
    }

    /// The unit that has a number.
    pub(crate) fn unit(&self, number: u64) -> Result<Slot> {
        self.files.unit(number)
    }

    /// The last unit.
    pub(crate) fn last_unit(&self) -> Result<Slot> {
        let last = self.end.load(Ordering::Acquire).checked_sub(1);
        last.map_or(Ok(Slot::Free), |last| self.files.unit(last))
    }

    /// The first index of the first file behind the one that holds a unit; the queue's end if
    /// there is none.
    pub(crate) fn index_behind_file(&self, number: u64) -> Result<u64> {
        let next = self.files.first_behind(number);
        next.map_or_else(|| Ok(self.max.get()), |next| self.index_of(next))
    }

    /// The file that holds a unit, and the unit's position in the queue in bytes.
    pub(crate) fn locate(&self, number: u64) -> (PathBuf, u64) {
        self.files.locate(number)
    }

    /// Finds the range again: units that point below `log_end` count, and those that point below
    /// `log_min` are in front of the queue. Reads only.
    pub(super) fn find_range(&self, log_min: u64, log_end: u64) -> Result<()> {
        let end = self.files.end_of(|slot| match slot {
            Slot::Free => false,
            Slot::Filler => true,
            Slot::Unit(unit) => unit.physical_end() <= log_end,
        })?;
        self.end.store(end, Ordering::Release);
        let last = self.last_unit()?;
        let last_offset = match last {
            Slot::Unit(unit) => unit.physical_offset,
            Slot::Free | Slot::Filler => NOWHERE,
        };
        self.last_offset.store(last_offset, Ordering::Relaxed);
        let max = match (self.kind(), last) {
            (QueueKind::Batch, Slot::Unit(unit)) => unit.index_end(),
            (QueueKind::Batch, _) => 0,
            (QueueKind::Simple, _) => end,
        };
        self.max.reset(max);
        self.min.store(0, Ordering::Release);
        self.find_min(log_min)
    }

    /// Raises the first index to the first message at or behind `log_min`.
    pub(super) fn find_min(&self, log_min: u64) -> Result<()> {
        let end = self.end.load(Ordering::Acquire);
        let first = self.files.first_not(end, |slot| match slot {
            Slot::Free => false,
            Slot::Filler => true,
            Slot::Unit(unit) => unit.physical_offset < log_min,
        })?;
        let min = self.index_of(first.min(end))?;
        self.min.fetch_max(min, Ordering::AcqRel);
        Ok(())
    }

    /// Takes out, durably, what stands behind the end.
    pub(super) fn cut_behind_end(&self) -> Result<()> {
        self.files.cut(self.end.load(Ordering::Acquire))
    }

    /// Removes files whose units all point below `log_min`, oldest first. The file that follows
    /// must have a unit that points below `synced`. Counts in `removed`.
    pub(super) fn remove_before(&self, log_min: u64, synced: u64, removed: &mut u64) -> Result<()> {
        self.files.remove_before(log_min, synced, removed)
    }
}

/// FNV-1a with 64 bits, the same on every machine (Fowler, Noll and Vo).
fn fnv_1a(parts: &[&[u8]]) -> u64 {
    parts.iter().copied().flatten().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
