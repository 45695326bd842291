//! What of the index is kept when a store is opened, and from where the log is to be put again.

use std::collections::HashMap;
use std::sync::Arc;

use super::Index;
use super::file::IndexFile;
use super::layout::{ENTRY_BYTES, Header, IndexEntry, SLOT_BYTES};
use crate::codec::read_i32;
use crate::error::Result;
use crate::sys::disk::{Disk, DiskFile};

/// Bytes that are read at once.
const CHUNK_BYTES: usize = 20 << 10;
const _: () = assert!(CHUNK_BYTES.is_multiple_of(ENTRY_BYTES * SLOT_BYTES));

/// How the store was last in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LastStop {
    /// It was closed, and everything forced.
    Clean,
    /// The process died, but not the machine: every write that was made is there.
    Killed,
    /// The machine may have stopped: only what was forced is sure to be there.
    PowerLost {
        /// The checkpoint's `indexMsgTimestamp`.
        index_timestamp_ms: i64,
    },
}

impl Index {
    /// Removes what cannot be relied on, repairs what a killed call left, and returns from where
    /// the log has to be put again: the last record of which a key is in, or 0 if none is. Keys
    /// that are in are passed over then. A removed file began at or behind that place, and the
    /// file's own word for where it began is not needed.
    ///
    /// A file goes, durably and with all newer ones, when its header is implausible, when it
    /// reaches behind `log_end`, because the log was cut there, and after a power cut when it has
    /// records newer than the checkpoint's time. The newest of the rest was perhaps still written
    /// to: its chains are checked after a power cut. RocketMQ never rebuilds what it removes here.
    ///
    /// # Errors
    ///
    /// - [`Status::Io`](crate::Status::Io): a file could not be read, repaired or removed.
    pub(crate) fn recover(&self, log_end: u64, stop: LastStop) -> Result<u64> {
        let mut writer = self.writer.lock();
        writer.last = None;
        while let Some(path) = writer.unfinished.last() {
            self.remove_file(path)?;
            writer.unfinished.pop();
        }
        let files = self.files.read().clone();
        for damaged in files.iter().filter(|file| file.is_damaged()) {
            let path = damaged.path().display();
            tracing::warn!(%path, "a damaged index file is made again, with all newer ones");
        }
        let mut kept = files.len() - files.iter().skip_while(|file| !file.is_damaged()).count();
        kept = kept.min(sound_files(&files, log_end, stop));
        while let Some(newest) = files.get(..kept).and_then(|kept| kept.last()) {
            if stop == LastStop::Clean || self.mend(newest, stop)? {
                break;
            }
            kept -= 1;
        }
        for _ in kept..files.len() {
            self.remove_newest()?;
        }
        Ok(self.end_offset().unwrap_or(0))
    }

    /// Takes out the newest file. Each removal is durable before the next one, so that what is
    /// left is always without gaps.
    fn remove_newest(&self) -> Result<()> {
        let newest = self.files.read().last().cloned();
        let Some(newest) = newest else {
            return Ok(());
        };
        self.remove_file(newest.path())?;
        self.files.write().pop();
        Ok(())
    }

    /// Repairs a file that was perhaps written to when the process ended. False if it is of no
    /// use.
    fn mend(&self, file: &IndexFile, stop: LastStop) -> Result<bool> {
        let disk = &*self.disk;
        let whole = file.is_whole(disk)? && repair(file, disk)?;
        Ok(whole && (stop == LastStop::Killed || chains_are_whole(file, disk)?))
    }
}

/// How many files, from the oldest on, have headers that can be relied on.
fn sound_files(files: &[Arc<IndexFile>], log_end: u64, stop: LastStop) -> usize {
    let mut before = 0;
    for (index, file) in files.iter().enumerate() {
        let header = file.header();
        if header.is_empty() {
            continue;
        }
        let lost = match stop {
            LastStop::PowerLost { index_timestamp_ms } => header.end_ms > index_timestamp_ms,
            LastStop::Clean | LastStop::Killed => false,
        };
        if lost || header.end_offset >= log_end || header.begin_offset < before {
            return index;
        }
        before = header.end_offset;
    }
    files.len()
}

/// Leads slots back to what the header counts, and then clears the entries behind it. False if
/// that is impossible.
fn repair(file: &IndexFile, disk: &dyn Disk) -> Result<bool> {
    let handle = file.writer(disk)?;
    let (header, geometry) = (file.header(), file.geometry());
    let mut stale = HashMap::new();
    for_each_slot(file, &*handle, |slot, value| {
        if u32::try_from(value).is_ok_and(|value| value < header.next) {
            return Ok(true);
        }
        let resolved = file.resolve(&*handle, slot, value, header.next)?;
        Ok(resolved.is_some_and(|number| stale.insert(slot, number).is_none()))
    })
    .and_then(|whole| {
        if !whole {
            return Ok(false);
        }
        for (slot, number) in &stale {
            let at = geometry.slot_position(*slot);
            file.write(&*handle, &number.to_be_bytes(), at)?;
        }
        clear_entries(file, &*handle, &header)?;
        Ok(true)
    })
}

/// Clears the entries behind the header's count, up to the first that is clear.
fn clear_entries(file: &IndexFile, handle: &dyn DiskFile, header: &Header) -> Result<()> {
    let geometry = file.geometry();
    for number in header.next..geometry.entries {
        let mut bytes = [0; ENTRY_BYTES];
        let at = geometry.entry_position(number);
        file.read(handle, &mut bytes, at)?;
        if bytes == [0; ENTRY_BYTES] {
            break;
        }
        file.write(handle, &[0; ENTRY_BYTES], at)?;
    }
    Ok(())
}

/// Whether every entry is there and chained as its slot says.
fn chains_are_whole(file: &IndexFile, disk: &dyn Disk) -> Result<bool> {
    let handle = file.writer(disk)?;
    let (header, geometry) = (file.header(), file.geometry());
    let mut newest: Vec<u32> = vec![0; geometry.slots as usize];
    let mut used_slots = 0;
    let mut before = header.begin_offset;
    let mut seconds = 0;
    let whole = for_each_entry(file, &*handle, &header, |number, entry| {
        let hash = u32::try_from(entry.hash).ok();
        let offset = u64::try_from(entry.offset).ok();
        let slot = hash.and_then(|hash| newest.get_mut(geometry.slot_of(hash) as usize));
        let (Some(slot), Some(offset)) = (slot, offset) else {
            return false;
        };
        let previous = std::mem::replace(slot, number);
        used_slots += u32::from(previous == 0);
        // The time of RocketMQ's first entry may count from elsewhere.
        let times_fit = number == 1 || entry.time_difference_s >= seconds;
        seconds = if number == 1 { 0 } else { entry.time_difference_s };
        let offsets_fit = offset >= before;
        before = offset;
        times_fit && offsets_fit && entry.previous.cast_unsigned() == previous
    })?;
    let last_fits = header.next <= 2 || seconds == header.time_difference_s(header.end_ms);
    if !whole || !last_fits || used_slots != header.used_slots {
        return Ok(false);
    }
    for_each_slot(file, &*handle, |slot, value| {
        Ok(newest.get(slot as usize) == Some(&value.cast_unsigned()))
    })
}

/// Calls `visit` with each entry that the header counts, as long as it returns true.
fn for_each_entry(
    file: &IndexFile,
    handle: &dyn DiskFile,
    header: &Header,
    mut visit: impl FnMut(u32, &IndexEntry) -> bool,
) -> Result<bool> {
    let mut bytes = vec![0; CHUNK_BYTES];
    let mut number = 1;
    while number < header.next {
        let wanted = (header.next - number) as usize * ENTRY_BYTES;
        bytes.truncate(wanted);
        file.read(handle, &mut bytes, file.geometry().entry_position(number))?;
        for entry in bytes.chunks_exact(ENTRY_BYTES) {
            if !IndexEntry::decode(entry).is_some_and(|entry| visit(number, &entry)) {
                return Ok(false);
            }
            number += 1;
        }
    }
    Ok(true)
}

/// Calls `visit` with each slot and its value, as long as it returns true.
fn for_each_slot(
    file: &IndexFile,
    handle: &dyn DiskFile,
    mut visit: impl FnMut(u32, i32) -> Result<bool>,
) -> Result<bool> {
    let slots = file.geometry().slots;
    let mut bytes = vec![0; CHUNK_BYTES];
    let mut slot = 0;
    while slot < slots {
        bytes.truncate((slots - slot) as usize * SLOT_BYTES);
        file.read(handle, &mut bytes, file.geometry().slot_position(slot))?;
        for value in bytes.chunks_exact(SLOT_BYTES) {
            if !visit(slot, read_i32(value, 0).unwrap_or_default())? {
                return Ok(false);
            }
            slot += 1;
        }
    }
    Ok(true)
}
