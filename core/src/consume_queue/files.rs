//! The files of a queue: units of one size, counted from the queue's beginning.

mod follow;

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, RwLock};

use super::handles::HandleCache;
use super::unit::{Slot, Unit, Units, partition_point};
use crate::error::{Error, Result};
use crate::mapped::sync_parent;
use crate::state::QueueKind;
use crate::sys::disk::{Access, Disk, DiskFile};

/// Fillers that are read together when the unit in front of them is looked for.
const FILLERS_READ: u64 = 256;

/// What all queues of a store share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) handles: HandleCache,
    /// The first failure of a sync: no further one can then be believed.
    pub(super) sync_failed: OnceLock<Error>,
}

/// Where the files of a queue lie, and what is in them.
#[derive(Debug)]
pub(super) struct Place {
    /// The queue's number in this process.
    pub(super) serial: u64,
    pub(super) kind: QueueKind,
    pub(super) directory: PathBuf,
    pub(super) file_bytes: u64,
}

/// Files of units, named by the byte offset of their beginning. One thread writes.
#[derive(Debug)]
pub(super) struct QueueFiles {
    shared: Arc<Shared>,
    place: Place,
    /// Where the files start, in bytes, ascending.
    starts: RwLock<Vec<u64>>,
    unsynced: Mutex<Unsynced>,
}

/// What was written since the last sync.
#[derive(Debug, Default)]
struct Unsynced {
    /// Where the files start that were written.
    starts: BTreeSet<u64>,
    /// Whether a file was made whose directory entry is not yet durable.
    made_file: bool,
}

/// Units without a gap that are to be written.
#[derive(Debug)]
pub(super) struct Run {
    /// The number of the first.
    pub(super) first: u64,
    pub(super) bytes: Vec<u8>,
}

impl QueueFiles {
    pub(super) fn new(shared: &Arc<Shared>, place: Place, starts: Vec<u64>) -> Self {
        let (shared, starts) = (Arc::clone(shared), RwLock::new(starts));
        Self { shared, place, starts, unsynced: Mutex::default() }
    }

    /// What the units stand for.
    pub(super) fn kind(&self) -> QueueKind {
        self.place.kind
    }

    /// The size of a file.
    pub(super) fn file_bytes(&self) -> u64 {
        self.place.file_bytes
    }

    fn unit_bytes(&self) -> u64 {
        self.place.kind.unit_bytes()
    }

    fn units_per_file(&self) -> u64 {
        self.place.file_bytes / self.unit_bytes()
    }

    fn path(&self, start: u64) -> PathBuf {
        self.place.directory.join(format!("{start:020}"))
    }

    /// Where the file starts, in bytes, that holds a unit.
    fn start_of(&self, number: u64) -> u64 {
        number / self.units_per_file() * self.place.file_bytes
    }

    /// The number of the first unit in a file.
    fn first_in(&self, start: u64) -> u64 {
        start / self.unit_bytes()
    }

    /// The number of the first unit in the file that holds a unit.
    pub(super) fn first_beside(&self, number: u64) -> u64 {
        self.first_in(self.start_of(number))
    }

    /// One past the number of the last unit in the file that holds a unit.
    pub(super) fn end_beside(&self, number: u64) -> u64 {
        self.first_beside(number) + self.units_per_file()
    }

    /// The number of the first unit of the oldest file.
    pub(super) fn first(&self) -> u64 {
        self.starts.read().first().map_or(0, |start| self.first_in(*start))
    }

    /// How many files begin in front of a unit.
    pub(super) fn count_before(&self, number: u64) -> u64 {
        let starts = self.starts.read();
        starts.partition_point(|start| self.first_in(*start) < number) as u64
    }

    /// The number of the first unit of the first file behind the one that holds `number`.
    pub(super) fn first_behind(&self, number: u64) -> Option<u64> {
        let start = self.start_of(number);
        let starts = self.starts.read();
        starts.iter().find(|&&file| file > start).map(|file| self.first_in(*file))
    }

    /// The file that holds a unit, and the unit's position in the queue in bytes.
    pub(super) fn locate(&self, number: u64) -> (PathBuf, u64) {
        (self.path(self.start_of(number)), number * self.unit_bytes())
    }

    fn handle(&self, start: u64) -> Result<Arc<dyn DiskFile>> {
        let path = || self.path(start);
        self.shared
            .handles
            .get(&*self.shared.disk, (self.place.serial, start), path)
            .map_err(|source| Error::io("cannot open", source).at_path(path()))
    }

    /// How many units a run has.
    pub(super) fn units_in(&self, run: &Run) -> u64 {
        run.bytes.len() as u64 / self.unit_bytes()
    }

    /// Writes a run, and makes the files it needs.
    pub(super) fn write(&self, run: &Run) -> Result<()> {
        let mut unsynced = self.unsynced.lock();
        let mut number = run.first;
        let mut bytes = &run.bytes[..];
        while !bytes.is_empty() {
            let start = self.start_of(number);
            let position = number * self.unit_bytes() - start;
            let room = self.place.file_bytes - position;
            let part = usize::try_from(room).unwrap_or(usize::MAX).min(bytes.len());
            let (now, later) = bytes.split_at(part);
            self.make_file(start, &mut unsynced)?;
            self.handle(start)?
                .write_all_at(now, position)
                .map_err(|source| Error::io("cannot write", source).at_path(self.path(start)))?;
            unsynced.starts.insert(start);
            number += now.len() as u64 / self.unit_bytes();
            bytes = later;
        }
        Ok(())
    }

    fn make_file(&self, start: u64, unsynced: &mut Unsynced) -> Result<()> {
        if self.starts.read().binary_search(&start).is_ok() {
            return Ok(());
        }
        let disk = &*self.shared.disk;
        let path = self.path(start);
        let failed = |source| Error::io("cannot create", source).at_path(&path);
        disk.create_directory(&self.place.directory).map_err(failed)?;
        let file = match disk.create(&path, self.place.file_bytes) {
            // An earlier attempt came this far.
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                disk.open(&path, Access::Write)
            }
            other => other,
        };
        self.shared.handles.insert((self.place.serial, start), file.map_err(failed)?.into());
        unsynced.made_file = true;
        let mut starts = self.starts.write();
        if let Err(place) = starts.binary_search(&start) {
            starts.insert(place, start);
        }
        Ok(())
    }

    /// Makes durable what was written to files since the last call. Returns the directory if files
    /// were made in it, whose entries are not durable yet.
    pub(super) fn sync(&self) -> Result<Option<&Path>> {
        let (starts, made_file) = {
            let mut unsynced = self.unsynced.lock();
            (unsynced.starts.clone(), std::mem::take(&mut unsynced.made_file))
        };
        for start in starts {
            // A file that cannot be opened now is left to the next call.
            let file = self.handle(start).inspect_err(|_| {
                self.unsynced.lock().made_file |= made_file;
            })?;
            self.unsynced.lock().starts.remove(&start);
            let synced = if made_file { file.sync_all() } else { file.sync_data() };
            synced.map_err(|source| {
                let error = Error::io("cannot sync", source).at_path(self.path(start));
                let _ = self.shared.sync_failed.set(error.clone());
                error
            })?;
        }
        Ok(made_file.then_some(&*self.place.directory))
    }

    /// Reads the units from `from` on that lie in one file and below `to`: none where the file is
    /// missing.
    pub(super) fn read(&self, from: u64, to: u64) -> Result<Units> {
        let kind = self.place.kind;
        let start = self.start_of(from);
        let none = Units { kind, first: from, bytes: Vec::new() };
        if self.starts.read().binary_search(&start).is_err() {
            return Ok(none);
        }
        let count = (self.first_in(start) + self.units_per_file()).min(to).saturating_sub(from);
        let file = match self.handle(start) {
            // Retention removed it meanwhile.
            Err(error) if error.is_not_found() => return Ok(none),
            other => other?,
        };
        let mut bytes = vec![0; usize::try_from(count * self.unit_bytes()).unwrap_or(0)];
        let filled = file
            .read_full_at(&mut bytes, from * self.unit_bytes() - start)
            .map_err(|source| Error::io("cannot read", source).at_path(self.path(start)))?;
        bytes.truncate(filled);
        Ok(Units { kind, first: from, bytes })
    }

    /// The unit that has a number.
    pub(super) fn unit(&self, number: u64) -> Result<Slot> {
        let units = self.read(number, number + 1)?;
        Ok(units.iter().next().map_or(Slot::Free, |(_, slot)| slot))
    }

    /// The last unit in front of a number, where a file that is missing has none.
    pub(super) fn unit_before(&self, number: u64) -> Result<Option<Unit>> {
        let starts = self.starts.read().clone();
        let firsts = starts.into_iter().rev().map(|start| self.first_in(start));
        for first in firsts.filter(|first| *first < number) {
            let last = (first + self.units_per_file()).min(number) - 1;
            if let Slot::Unit(unit) = self.unit(last)? {
                return Ok(Some(unit));
            }
        }
        Ok(None)
    }

    /// One past the number of the last unit that is as asked for. In no file does such a unit stand
    /// behind one that is not.
    pub(super) fn end_of(&self, mut wanted: impl FnMut(Slot) -> bool) -> Result<u64> {
        let starts = self.starts.read().clone();
        for &start in starts.iter().rev() {
            let used = self.count_units(start, &mut wanted)?;
            if used > 0 {
                return Ok(self.first_in(start) + used);
            }
        }
        Ok(0)
    }

    /// The number of the first unit below `end` that is not as asked for; `end` if all are.
    pub(super) fn first_not(&self, end: u64, mut wanted: impl FnMut(Slot) -> bool) -> Result<u64> {
        let starts = self.starts.read().clone();
        for start in starts {
            let first = self.first_in(start);
            let past = first + self.units_per_file().min(end.saturating_sub(first));
            let passed = self.count_units(start, &mut wanted)?;
            if first + passed < past {
                return Ok(first + passed);
            }
        }
        Ok(end)
    }

    /// How many units at the beginning of a file are as asked for. A filler is asked for as the
    /// unit it stands behind: it may be an index inside an inner batch.
    fn count_units(&self, start: u64, wanted: &mut dyn FnMut(Slot) -> bool) -> Result<u64> {
        let path = self.path(start);
        let failed = |source| Error::io("cannot read", source).at_path(&path);
        let file = self.shared.disk.open(&path, Access::Read).map_err(failed)?;
        let first = self.first_in(start);
        partition_point(0..self.units_per_file(), |unit| {
            let mut slot = self.read_from(&*file, first, unit..unit + 1).map_err(failed)?;
            let mut end = unit;
            while slot == Slot::Filler && end > 0 {
                let begin = end.saturating_sub(FILLERS_READ);
                slot = self.read_from(&*file, first, begin..end).map_err(failed)?;
                end = begin;
            }
            Ok(wanted(slot))
        })
    }

    /// The last of some units of a file that is no filler; a filler if all are.
    fn read_from(
        &self,
        file: &dyn DiskFile,
        first: u64,
        units: Range<u64>,
    ) -> std::io::Result<Slot> {
        let size = self.unit_bytes();
        let mut bytes = vec![0; usize::try_from((units.end - units.start) * size).unwrap_or(0)];
        file.read_full_at(&mut bytes, units.start * size)?;
        let units = Units { kind: self.place.kind, first: first + units.start, bytes };
        let last = units.iter().map(|(_, slot)| slot).filter(|slot| *slot != Slot::Filler).last();
        Ok(last.unwrap_or(Slot::Filler))
    }

    /// Takes out, durably, what stands behind the end: zeros in the file that holds it, and no
    /// file behind. The log was cut there, and what is appended next comes to lie where such units
    /// point.
    pub(super) fn cut(&self, end: u64) -> Result<()> {
        let end_bytes = end * self.unit_bytes();
        let starts = self.starts.read().clone();
        for start in starts.into_iter().rev() {
            if start >= end_bytes {
                self.remove_file(start)?;
                continue;
            }
            let (path, from) = (self.path(start), end_bytes - start);
            zero_behind(&*self.shared.disk, &path, from, self.place.file_bytes)?;
            break;
        }
        Ok(())
    }

    /// Removes files whose units all point below `log_min`, oldest first. The file that follows
    /// must have a unit that points below `synced`. Counts in `removed`.
    pub(super) fn remove_before(&self, log_min: u64, synced: u64, removed: &mut u64) -> Result<()> {
        loop {
            let (start, next) = match self.starts.read()[..] {
                [first, second, ..] => (first, second),
                _ => return Ok(()),
            };
            let gone = self.count_units(start, &mut |slot| match slot {
                Slot::Free => false,
                Slot::Filler => true,
                Slot::Unit(unit) => unit.physical_offset < log_min,
            })?;
            let next_index_is_kept = match self.unit(self.first_in(next))? {
                Slot::Free => false,
                Slot::Filler => true,
                Slot::Unit(unit) => unit.physical_end() <= synced,
            };
            if gone < self.units_per_file() || !next_index_is_kept {
                return Ok(());
            }
            self.remove_file(start)?;
            *removed += 1;
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
        let failed = |source| Error::io("cannot remove", source).at_path(&path);
        gone.map_err(failed)?;
        // Whatever becomes of the directory, nobody can read the file any more.
        self.starts.write().retain(|&file| file != start);
        self.unsynced.lock().starts.remove(&start);
        self.shared.handles.forget((self.place.serial, start));
        sync_parent(disk, &path).map_err(failed)
    }
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
