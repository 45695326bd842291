//! One consume queue: its range, its files, and the units that wait to be written.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};

use super::handles::HandleCache;
use super::unit::{Slot, UNIT_BYTES, Unit, decode, filler, partition_point};
use crate::error::{Error, Result};
use crate::mapped::sync_parent;
use crate::sys::disk::{Access, Disk, DiskFile};
use crate::watermark::Watermark;

/// What all queues of a store share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) handles: HandleCache,
}

/// The queue of a topic: for every index where its message lies.
///
/// Indexes from `min` to `max` can be read. One thread writes: the dispatcher.
#[derive(Debug)]
pub(crate) struct ConsumeQueue {
    shared: Arc<Shared>,
    serial: u64,
    topic: Box<str>,
    queue_id: i32,
    directory: PathBuf,
    file_bytes: u64,
    min: AtomicU64,
    max: Watermark,
    /// Where the files start, in bytes, ascending.
    files: RwLock<Vec<u64>>,
    writer: Mutex<Writer>,
}

#[derive(Debug, Default)]
struct Writer {
    /// Units that are to be written, in runs without gaps, ascending.
    staged: Vec<Run>,
    /// Where files start that were written since their last sync.
    unsynced: BTreeSet<u64>,
    /// Whether a file was made whose directory entry is not yet durable.
    made_file: bool,
}

#[derive(Debug)]
struct Run {
    first: u64,
    bytes: Vec<u8>,
}

impl Run {
    fn end(&self) -> u64 {
        self.first + self.bytes.len() as u64 / UNIT_BYTES
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

/// Who a queue is and where its files lie.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) serial: u64,
    pub(super) topic: Box<str>,
    pub(super) queue_id: i32,
    pub(super) directory: PathBuf,
    pub(super) file_bytes: u64,
}

impl ConsumeQueue {
    /// A queue with these files, whose range is not known yet.
    pub(super) fn new(shared: &Arc<Shared>, identity: Identity, files: Vec<u64>) -> Self {
        let Identity { serial, topic, queue_id, directory, file_bytes } = identity;
        Self {
            shared: Arc::clone(shared),
            serial,
            topic,
            queue_id,
            directory,
            file_bytes,
            min: AtomicU64::new(0),
            max: Watermark::default(),
            files: RwLock::new(files),
            writer: Mutex::default(),
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

    /// The size of its files.
    pub(super) fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// The first index that can be read, and one past the last.
    pub(crate) fn range(&self) -> Range<u64> {
        // In this order: `max` never falls, so the range is never upside down.
        let min = self.min.load(Ordering::Acquire);
        min..self.max.get().max(min)
    }

    /// Whether it ever had a message.
    pub(crate) fn exists(&self) -> bool {
        self.max.get() > 0
    }

    /// One past the last index, to wait for.
    pub(crate) fn max(&self) -> &Watermark {
        &self.max
    }

    fn units_per_file(&self) -> u64 {
        self.file_bytes / UNIT_BYTES
    }

    fn path(&self, start: u64) -> PathBuf {
        self.directory.join(format!("{start:020}"))
    }

    /// Where the file starts, in bytes, that holds an index.
    fn start_of(&self, index: u64) -> u64 {
        index / self.units_per_file() * self.file_bytes
    }

    fn handle(&self, start: u64) -> Result<Arc<dyn DiskFile>> {
        let path = self.path(start);
        self.shared
            .handles
            .get(&*self.shared.disk, (self.serial, start), &path)
            .map_err(|source| Error::io("cannot open", source).at_path(path))
    }

    /// Stages the unit of a record for the next [`ConsumeQueue::write_staged`]. A unit of an index
    /// that is there already is passed over. A record that stands for several messages has its unit
    /// at the first of their indexes.
    ///
    /// A queue that starts late gets filler units in front, and so does a gap, which a log can only
    /// have if its writer lost a message: an index always means the message that was given it (R3).
    pub(crate) fn stage(&self, index: u64, unit: &Unit, messages: u32) -> Staged {
        let mut writer = self.writer.lock();
        let staged = if writer.staged.is_empty() { Staged::First } else { Staged::Further };
        let end = writer.staged.last().map_or_else(|| self.max.get(), Run::end);
        if index < end {
            return Staged::Known;
        }
        let file_first = self.start_of(index) / UNIT_BYTES;
        let fill_from = end.max(file_first);
        if writer.staged.last().is_none_or(|run| run.end() != fill_from) {
            writer.staged.push(Run { first: fill_from, bytes: Vec::new() });
        }
        if end > 0 && index > end {
            tracing::warn!(
                topic = &*self.topic,
                queue_id = self.queue_id,
                expected = end,
                found = index,
                "the log skips indexes of a queue"
            );
        }
        if let Some(run) = writer.staged.last_mut() {
            for _ in fill_from..index {
                run.bytes.extend_from_slice(&filler());
            }
            run.bytes.extend_from_slice(&unit.encode());
            for _ in 1..messages {
                run.bytes.extend_from_slice(&filler());
            }
        }
        staged
    }

    /// Writes what is staged and makes it readable. On failure nothing becomes readable, and the
    /// call may be repeated. Returns by how many units the end of the queue moved.
    pub(crate) fn write_staged(&self) -> Result<u64> {
        let mut writer = self.writer.lock();
        let Some(last) = writer.staged.last() else {
            return Ok(0);
        };
        let (before, after) = (self.max.get(), last.end());
        let staged = std::mem::take(&mut writer.staged);
        let written = staged.iter().try_for_each(|run| self.write_run(run, &mut writer));
        if let Err(error) = written {
            writer.staged = staged;
            return Err(error);
        }
        if before == 0 {
            self.min.store(first_message(&staged), Ordering::Release);
        }
        self.max.advance(after);
        Ok(after - before)
    }

    fn write_run(&self, run: &Run, writer: &mut Writer) -> Result<()> {
        let mut index = run.first;
        let mut bytes = &run.bytes[..];
        while !bytes.is_empty() {
            let start = self.start_of(index);
            let room = self.file_bytes - (index * UNIT_BYTES - start);
            let part = usize::try_from(room).unwrap_or(usize::MAX).min(bytes.len());
            let (now, later) = bytes.split_at(part);
            self.make_file(start, writer)?;
            self.handle(start)?
                .write_all_at(now, index * UNIT_BYTES - start)
                .map_err(|source| Error::io("cannot write", source).at_path(self.path(start)))?;
            writer.unsynced.insert(start);
            index += now.len() as u64 / UNIT_BYTES;
            bytes = later;
        }
        Ok(())
    }

    fn make_file(&self, start: u64, writer: &mut Writer) -> Result<()> {
        if self.files.read().binary_search(&start).is_ok() {
            return Ok(());
        }
        let disk = &*self.shared.disk;
        let path = self.path(start);
        let failed = |source| Error::io("cannot create", source).at_path(&path);
        disk.create_directory(&self.directory).map_err(failed)?;
        let file = match disk.create(&path, self.file_bytes) {
            // An earlier attempt came this far.
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                disk.open(&path, Access::Write)
            }
            other => other,
        };
        self.shared.handles.insert((self.serial, start), file.map_err(failed)?.into());
        writer.made_file = true;
        let mut files = self.files.write();
        if let Err(place) = files.binary_search(&start) {
            files.insert(place, start);
        }
        Ok(())
    }

    /// Makes durable what was written to files since the last call. Returns the directory if files
    /// were made in it, whose entries are not durable yet.
    pub(super) fn sync(&self) -> Result<Option<&Path>> {
        let (unsynced, made_file) = {
            let mut writer = self.writer.lock();
            (std::mem::take(&mut writer.unsynced), std::mem::take(&mut writer.made_file))
        };
        for start in unsynced {
            let file = self.handle(start)?;
            let synced = if made_file { file.sync_all() } else { file.sync_data() };
            synced.map_err(|source| Error::io("cannot sync", source).at_path(self.path(start)))?;
        }
        Ok(made_file.then_some(&*self.directory))
    }

    /// Reads the units from `from` on, as many as the buffer holds and lie in one file and below
    /// `to`. Returns how many, which is 0 where the file is missing.
    pub(crate) fn read(&self, from: u64, to: u64, buffer: &mut [u8]) -> Result<usize> {
        let start = self.start_of(from);
        if self.files.read().binary_search(&start).is_err() {
            return Ok(0);
        }
        let in_file = (start / UNIT_BYTES + self.units_per_file()).min(to).saturating_sub(from);
        let most = usize::try_from(in_file * UNIT_BYTES).unwrap_or(usize::MAX).min(buffer.len());
        let wanted = buffer.get_mut(..most).unwrap_or_default();
        let file = match self.handle(start) {
            // Retention removed it meanwhile.
            Err(error) if error.is_not_found() => return Ok(0),
            other => other?,
        };
        let count = file
            .read_full_at(wanted, from * UNIT_BYTES - start)
            .map_err(|source| Error::io("cannot read", source).at_path(self.path(start)))?;
        Ok(count / UNIT_BYTES as usize)
    }

    /// The unit of an index.
    pub(crate) fn unit(&self, index: u64) -> Result<Slot> {
        let mut bytes = [0; UNIT_BYTES as usize];
        Ok(if self.read(index, index + 1, &mut bytes)? == 1 { decode(&bytes) } else { Slot::Free })
    }

    /// The first index of the first file behind the one that holds `index`; the queue's end if
    /// there is none.
    pub(crate) fn next_file_index(&self, index: u64) -> u64 {
        let start = self.start_of(index);
        let files = self.files.read();
        let next = files.iter().find(|&&file| file > start);
        next.map_or_else(|| self.max.get(), |file| file / UNIT_BYTES)
    }

    /// The file that holds an index.
    pub(crate) fn path_of(&self, index: u64) -> PathBuf {
        self.path(self.start_of(index))
    }

    /// Finds the range again: units that point below `log_end` count, and those that point below
    /// `log_min` are in front of the queue. Reads only.
    pub(super) fn find_range(&self, log_min: u64, log_end: u64) -> Result<()> {
        let files = self.files.read().clone();
        let mut end = 0;
        for &start in files.iter().rev() {
            let used = self.count_units(start, |slot| match slot {
                Slot::Free => false,
                Slot::Filler => true,
                Slot::Unit(unit) => unit.physical_end() <= log_end,
            })?;
            if used > 0 {
                end = start / UNIT_BYTES + used;
                break;
            }
        }
        self.max.reset(end);
        self.min.store(0, Ordering::Release);
        self.find_min(log_min)
    }

    /// Raises the first index to the first message at or behind `log_min`.
    pub(super) fn find_min(&self, log_min: u64) -> Result<()> {
        let end = self.max.get();
        let files = self.files.read().clone();
        let mut min = end;
        for start in files {
            let first = start / UNIT_BYTES;
            let past = first + self.units_per_file().min(end.saturating_sub(first));
            let gone = self.count_units(start, |slot| match slot {
                Slot::Free => false,
                Slot::Filler => true,
                Slot::Unit(unit) => unit.physical_offset < log_min,
            })?;
            if first + gone < past {
                min = first + gone;
                break;
            }
        }
        self.min.fetch_max(min.min(end), Ordering::AcqRel);
        Ok(())
    }

    /// How many units at the beginning of a file are as asked for. A filler is asked for as the
    /// unit it stands behind: it may be an index inside an inner batch.
    fn count_units(&self, start: u64, mut wanted: impl FnMut(Slot) -> bool) -> Result<u64> {
        let path = self.path(start);
        let failed = |source| Error::io("cannot read", source).at_path(&path);
        let file = self.shared.disk.open(&path, Access::Read).map_err(failed)?;
        partition_point(0..self.units_per_file(), |unit| {
            last_message(&*file, unit).map(&mut wanted).map_err(failed)
        })
    }

    /// Takes out, durably, what stands behind the end: zeros in the file that holds it, and no
    /// file behind. The log was cut there, and what is appended next comes to lie where such units
    /// point.
    pub(super) fn cut_behind_end(&self) -> Result<()> {
        let end_bytes = self.max.get() * UNIT_BYTES;
        let files = self.files.read().clone();
        for start in files.into_iter().rev() {
            if start >= end_bytes {
                self.remove_file(start)?;
                continue;
            }
            zero_behind(&*self.shared.disk, &self.path(start), end_bytes - start, self.file_bytes)?;
            break;
        }
        Ok(())
    }

    /// Removes files whose units all point below `log_min`, oldest first. The file that follows
    /// must have a unit that points below `synced`. Returns how many.
    pub(super) fn remove_before(&self, log_min: u64, synced: u64) -> Result<u64> {
        let mut removed = 0;
        loop {
            let (start, next) = match self.files.read()[..] {
                [first, second, ..] => (first, second),
                _ => return Ok(removed),
            };
            let gone = self.count_units(start, |slot| match slot {
                Slot::Free => false,
                Slot::Filler => true,
                Slot::Unit(unit) => unit.physical_offset < log_min,
            })?;
            let next_index_is_kept = match self.unit(next / UNIT_BYTES)? {
                Slot::Free => false,
                Slot::Filler => true,
                Slot::Unit(unit) => unit.physical_end() <= synced,
            };
            // A file before a gap may not be full.
            let all_gone = gone == self.units_per_file()
                || gone == self.count_units(start, |slot| slot != Slot::Free)?;
            if !all_gone || !next_index_is_kept {
                return Ok(removed);
            }
            self.remove_file(start)?;
            removed += 1;
        }
    }

    fn remove_file(&self, start: u64) -> Result<()> {
        let path = self.path(start);
        let disk = &*self.shared.disk;
        let gone = match disk.remove(&path) {
            // An earlier attempt came this far.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            other => other,
        };
        gone.and_then(|()| sync_parent(disk, &path))
            .map_err(|source| Error::io("cannot remove", source).at_path(&path))?;
        self.files.write().retain(|&file| file != start);
        self.writer.lock().unsynced.remove(&start);
        self.shared.handles.forget((self.serial, start));
        Ok(())
    }
}

/// The unit at an index of a file; where a filler stands, the last unit in front of it. A filler is
/// returned only if the file has no unit in front.
fn last_message(file: &dyn DiskFile, index: u64) -> std::io::Result<Slot> {
    let mut bytes = [0; UNIT_BYTES as usize];
    file.read_full_at(&mut bytes, index * UNIT_BYTES)?;
    if decode(&bytes) != Slot::Filler {
        return Ok(decode(&bytes));
    }
    let mut buffer = [0; 200 * UNIT_BYTES as usize];
    let mut end = index;
    while end > 0 {
        let begin = end.saturating_sub(200);
        let length = usize::try_from((end - begin) * UNIT_BYTES).unwrap_or(0);
        let part = buffer.get_mut(..length).unwrap_or_default();
        file.read_full_at(part, begin * UNIT_BYTES)?;
        let units = part.as_chunks::<{ UNIT_BYTES as usize }>().0.iter().rev();
        let mut slots = units.map(|unit| decode(unit));
        if let Some(unit) = slots.find(|slot| matches!(slot, Slot::Unit(_))) {
            return Ok(unit);
        }
        end = begin;
    }
    Ok(Slot::Filler)
}

/// The index of the first unit that is a message.
fn first_message(runs: &[Run]) -> u64 {
    let Some(run) = runs.first() else {
        return 0;
    };
    let (units, _) = run.bytes.as_chunks::<{ UNIT_BYTES as usize }>();
    let fillers = units.iter().take_while(|unit| decode(&unit[..]) == Slot::Filler).count();
    run.first + fillers as u64
}

/// Zeroes a file from a position on, durably, where it is not zero.
fn zero_behind(disk: &dyn Disk, path: &Path, from: u64, to: u64) -> Result<()> {
    let failed = |source| Error::io("cannot cut", source).at_path(path);
    let file = disk.open(path, Access::Write).map_err(failed)?;
    let mut buffer = vec![0; 1 << 16];
    let mut changed = false;
    for range in file.data_ranges(from..to).map_err(failed)? {
        let mut position = range.start.max(from);
        while position < range.end {
            let most = usize::try_from(range.end - position).unwrap_or(usize::MAX);
            let most = most.min(buffer.len());
            let part = buffer.get_mut(..most).unwrap_or_default();
            let count = file.read_full_at(part, position).map_err(failed)?;
            let part = part.get_mut(..count).unwrap_or_default();
            if count == 0 {
                break;
            }
            if part.iter().any(|&byte| byte != 0) {
                part.fill(0);
                file.write_all_at(part, position).map_err(failed)?;
                changed = true;
            }
            position += count as u64;
        }
    }
    if changed { file.sync_data().map_err(failed) } else { Ok(()) }
}
