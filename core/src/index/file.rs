//! One index file: reading it while it is written, and adding entries to it.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, RwLock};

use super::geometry::{self, Found};
use super::keys::Keyed;
use super::layout::{ENTRY_BYTES, HEADER_BYTES, Header, IndexEntry, IndexSettings, SLOT_BYTES};
use super::table::SlotTable;
use crate::codec::read_i32;
use crate::error::{Error, Result};
use crate::mapped::sync_parent;
use crate::status::Status;
use crate::sys::disk::{Access, Disk, DiskFile};

/// Changed slots that lie closer are written in one call: unchanged bytes between them cost less
/// than a call of their own.
const MAX_GAP_BYTES: usize = 16 << 10;
/// The most bytes of slots that are written in one call, while readers wait.
const MAX_SPAN_BYTES: usize = 256 << 10;

/// A file of the index.
///
/// Slots and header are changed and read under `header`'s lock, so that no reader sees half a
/// number. Entries need no lock: one is written before any slot or the header names it, and never
/// changed afterwards.
#[derive(Debug)]
pub(super) struct IndexFile {
    path: PathBuf,
    geometry: IndexSettings,
    /// What is visible; `None` if the stored one is of no use.
    header: RwLock<Option<Header>>,
    /// Kept for the newest file only.
    handle: Mutex<Option<Arc<dyn DiskFile>>>,
    /// What queries read; see [`IndexFile::close_reader`].
    reader: Mutex<Option<Arc<dyn DiskFile>>>,
    /// The slots as stored, for whoever writes the file; made when something is first put, and
    /// kept for the newest file only.
    table: Mutex<Option<SlotTable>>,
    /// The header's `next` when the file was last synced; 0 if it never was.
    synced_next: AtomicU32,
    /// The first failure of a sync.
    sync_failed: OnceLock<Error>,
}

/// What is looked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub(super) hash: u32,
    pub(super) begin_ms: i64,
    pub(super) end_ms: i64,
    /// Only records that lie below: the last one that was found, so that none is found twice.
    pub(super) below: u64,
}

/// A slot with the number it had and the one it gets.
#[derive(Debug, Clone, Copy)]
struct Change {
    slot: u32,
    before: u32,
    after: u32,
}

/// Room that is used again by every call that adds entries.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// Slot in the upper half, position in the batch in the lower one.
    order: Vec<u64>,
    entries: Vec<u8>,
    slots: Vec<Change>,
    span: Vec<u8>,
}

impl IndexFile {
    /// Looks at an existing file of this length, whatever numbers it was made with; `None` if it
    /// has no entry. A file that no numbers fit is no error here: recovery replaces it.
    pub(super) fn open(
        disk: &dyn Disk,
        path: PathBuf,
        size_bytes: u64,
        settings: IndexSettings,
    ) -> Result<Option<Self>> {
        let handle = disk
            .open(&path, Access::Read)
            .map_err(|source| Error::io("cannot open", source).at_path(&path))?;
        let found = geometry::find(&*handle, size_bytes, settings)
            .map_err(|source| Error::io("cannot read", source).at_path(&path))?;
        let (geometry, header) = match found {
            Found::Fits(geometry, header) => (geometry, Some(header)),
            Found::Vacant => return Ok(None),
            Found::Damaged => (settings, None),
        };
        let mut file = Self::new(path, geometry);
        file.header = RwLock::new(header);
        Ok(Some(file))
    }

    /// Reads the header again: another process writes the file. False if it is another file now.
    pub(super) fn refresh(&self, disk: &dyn Disk) -> Result<bool> {
        // Another file may have the name by now.
        self.close_reader();
        let file = self.reader(disk)?;
        let mut bytes = [0; HEADER_BYTES];
        self.read(&*file, &mut bytes, 0)?;
        // One that is being written may be half old: it counts when it is read twice.
        let mut again = bytes;
        self.read(&*file, &mut again, 0)?;
        if bytes != again {
            return Ok(true);
        }
        let (before, now) = (self.header(), Header::decode(&bytes));
        let goes_on = now.filter(|now| {
            now.next >= before.next
                && now.next <= self.geometry.entries
                && now.begin_offset == before.begin_offset
        });
        if let Some(now) = goes_on {
            *self.header.write() = Some(now);
        }
        Ok(goes_on.is_some())
    }

    fn new(path: PathBuf, geometry: IndexSettings) -> Self {
        Self {
            path,
            geometry,
            header: RwLock::new(Some(Header::EMPTY)),
            handle: Mutex::new(None),
            reader: Mutex::new(None),
            table: Mutex::new(None),
            synced_next: AtomicU32::new(0),
            sync_failed: OnceLock::new(),
        }
    }

    /// Makes the file with its full length, holding nothing. Its existence is made durable.
    pub(super) fn create(disk: &dyn Disk, path: PathBuf, geometry: IndexSettings) -> Result<Self> {
        let failed = |what, source| Error::io(what, source).at_path(&path);
        let created = disk.create(&path, geometry.file_bytes());
        let durable = match created {
            Ok(handle) => handle
                .sync_all()
                .and_then(|()| sync_parent(disk, &path))
                .map(|()| handle)
                .map_err(|source| failed("cannot make the new index file durable", source)),
            Err(source) => Err(failed("cannot create the index file", source)),
        };
        match durable {
            Ok(handle) => {
                let file = Self::new(path, geometry);
                *file.handle.lock() = Some(Arc::from(handle));
                Ok(file)
            }
            Err(error) => {
                // The error that matters is the first one. What is left, if this fails too, has no
                // entries.
                let _ = disk.remove(&path);
                Err(error)
            }
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn geometry(&self) -> IndexSettings {
        self.geometry
    }

    /// What is visible: an empty file's, if the stored header is of no use.
    pub(super) fn header(&self) -> Header {
        self.header.read().unwrap_or(Header::EMPTY)
    }

    /// Whether the stored header is of no use.
    pub(super) fn is_damaged(&self) -> bool {
        self.header.read().is_none()
    }

    /// How many more entries there is room for.
    pub(super) fn room(&self) -> usize {
        self.geometry.entries.saturating_sub(self.header().next) as usize
    }

    fn reader(&self, disk: &dyn Disk) -> Result<Arc<dyn DiskFile>> {
        if let Some(handle) = &*self.handle.lock() {
            return Ok(Arc::clone(handle));
        }
        let opened = disk.open(&self.path, Access::Read).map(Arc::from);
        opened.map_err(|source| Error::io("cannot open", source).at_path(&self.path))
    }

    /// The file for queries, which keep it open.
    fn kept_reader(&self, disk: &dyn Disk) -> Result<Arc<dyn DiskFile>> {
        let mut kept = self.reader.lock();
        if let Some(reader) = &*kept {
            return Ok(Arc::clone(reader));
        }
        let reader = self.reader(disk)?;
        *kept = Some(Arc::clone(&reader));
        Ok(reader)
    }

    /// Gives back the descriptor that queries kept.
    pub(super) fn close_reader(&self) {
        *self.reader.lock() = None;
    }

    /// Whether queries kept a descriptor.
    #[cfg(test)]
    pub(super) fn keeps_reader(&self) -> bool {
        self.reader.lock().is_some()
    }

    pub(super) fn writer(&self, disk: &dyn Disk) -> Result<Arc<dyn DiskFile>> {
        let mut kept = self.handle.lock();
        if let Some(handle) = &*kept {
            return Ok(Arc::clone(handle));
        }
        let opened: Arc<dyn DiskFile> = disk
            .open(&self.path, Access::Write)
            .map(Arc::from)
            .map_err(|source| Error::io("cannot open", source).at_path(&self.path))?;
        *kept = Some(Arc::clone(&opened));
        Ok(opened)
    }

    /// Gives the descriptor and the table back: the file is not written again.
    pub(super) fn release(&self) {
        *self.handle.lock() = None;
        *self.table.lock() = None;
    }

    /// The bytes of slots in memory.
    #[cfg(test)]
    pub(super) fn kept_slot_bytes(&self) -> usize {
        self.table.lock().as_ref().map_or(0, SlotTable::kept_bytes)
    }

    /// Fills the buffer; what the file does not have is an error.
    pub(super) fn read(&self, file: &dyn DiskFile, bytes: &mut [u8], at: u64) -> Result<()> {
        let length = bytes.len();
        let read = file
            .read_full_at(bytes, at)
            .map_err(|source| Error::io("cannot read", source).at_path(&self.path).at_offset(at))?;
        if read < length {
            return Err(Error::new(Status::WrongFileSize, "the index file is too short")
                .at_path(&self.path)
                .at_offset(at)
                .expected(format!("{length} bytes"), read));
        }
        Ok(())
    }

    pub(super) fn write(&self, file: &dyn DiskFile, bytes: &[u8], at: u64) -> Result<()> {
        file.write_all_at(bytes, at)
            .map_err(|source| Error::io("cannot write", source).at_path(&self.path).at_offset(at))
    }

    pub(super) fn entry(&self, file: &dyn DiskFile, number: u32) -> Result<Option<IndexEntry>> {
        let mut bytes = [0; ENTRY_BYTES];
        self.read(file, &mut bytes, self.geometry.entry_position(number))?;
        Ok(IndexEntry::decode(&bytes))
    }

    /// Whether the first and last entry are those of the header, and the last one's slot names it.
    fn ends_fit(&self, file: &dyn DiskFile) -> Result<bool> {
        let header = self.header();
        let newest = header.next - 1;
        let (Some(first), Some(last)) = (self.entry(file, 1)?, self.entry(file, newest)?) else {
            return Ok(false);
        };
        let Ok(hash) = u32::try_from(last.hash) else {
            return Ok(false);
        };
        let slot = self.geometry.slot_of(hash);
        let mut bytes = [0; SLOT_BYTES];
        self.read(file, &mut bytes, self.geometry.slot_position(slot))?;
        let named = self.resolve(file, slot, i32::from_be_bytes(bytes), header.next)?;
        Ok(newest > 0
            && first.offset == header.begin_offset.cast_signed()
            && last.offset == header.end_offset.cast_signed()
            && named == Some(newest))
    }

    /// [`IndexFile::ends_fit`], true for an empty file.
    pub(super) fn is_whole(&self, disk: &dyn Disk) -> Result<bool> {
        Ok(self.header().is_empty() || self.ends_fit(&*self.reader(disk)?)?)
    }

    /// How many entries at the end belong to the record that lies at `offset`.
    pub(super) fn count_last(&self, disk: &dyn Disk, offset: u64) -> Result<u32> {
        let file = self.reader(disk)?;
        let header = self.header();
        let mut number = header.next;
        while number > 1 {
            let entry = self.entry(&*file, number - 1)?;
            if entry.is_none_or(|entry| entry.offset != offset.cast_signed()) {
                break;
            }
            number -= 1;
        }
        Ok(header.next - number)
    }

    /// The newest visible entry of a slot that holds `value`. What a call that failed or was
    /// killed left there leads back over that call's entries, which were written before the
    /// slots; RocketMQ would drop the slot's older entries here. `None` if nothing sensible does.
    pub(super) fn resolve(
        &self,
        file: &dyn DiskFile,
        slot: u32,
        value: i32,
        next: u32,
    ) -> Result<Option<u32>> {
        let Ok(mut number) = u32::try_from(value) else {
            return Ok(None);
        };
        while number >= next {
            let entry = match number < self.geometry.entries {
                true => self.entry(file, number)?,
                false => None,
            };
            let previous = entry.and_then(|entry| {
                let hash = u32::try_from(entry.hash).ok()?;
                let previous = u32::try_from(entry.previous).ok()?;
                (self.geometry.slot_of(hash) == slot && previous < number).then_some(previous)
            });
            match previous {
                Some(previous) => number = previous,
                None => return Ok(None),
            }
        }
        Ok(Some(number))
    }

    /// Calls `visit` with where the wanted records lie, newest first, until it breaks. Numbers and
    /// offsets have to fall from entry to entry, so that a damaged chain ends too.
    pub(super) fn visit(
        &self,
        disk: &dyn Disk,
        wanted: &mut Wanted,
        visit: &mut dyn FnMut(u64) -> Result<ControlFlow<()>>,
    ) -> Result<ControlFlow<()>> {
        let header = self.header();
        if header.is_empty() || !overlaps(&header, wanted) {
            return Ok(ControlFlow::Continue(()));
        }
        let file = self.kept_reader(disk)?;
        let slot = self.geometry.slot_of(wanted.hash);
        let mut bytes = [0; SLOT_BYTES];
        let header = {
            let header = self.header.read();
            self.read(&*file, &mut bytes, self.geometry.slot_position(slot))?;
            header.unwrap_or(Header::EMPTY)
        };
        let value = i32::from_be_bytes(bytes);
        let mut number = self.resolve(&*file, slot, value, header.next)?.unwrap_or(0);
        while number > 0 {
            let Some(entry) = self.entry(&*file, number)? else {
                break;
            };
            let offset = u64::try_from(entry.offset).unwrap_or(u64::MAX);
            let found = u32::try_from(entry.hash) == Ok(wanted.hash)
                && offset < wanted.below
                && in_time(&header, number, &entry, wanted);
            if found {
                wanted.below = offset;
                if visit(offset)?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            let previous = u32::try_from(entry.previous).unwrap_or(0);
            number = if previous < number { previous } else { 0 };
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Adds entries, which become visible together: the entries are written first, then the slots,
    /// then the header, so that a header never counts what is not there. After an error nothing
    /// has changed for readers, and the call can be made again.
    pub(super) fn append(
        &self,
        disk: &dyn Disk,
        keys: &[Keyed],
        scratch: &mut Scratch,
    ) -> Result<()> {
        let (Some(first), Some(last)) = (keys.first(), keys.last()) else {
            return Ok(());
        };
        let file = self.writer(disk)?;
        let mut header = self.header();
        if header.is_empty() {
            // RocketMQ computes the time of a follow-up file's first entry from the end of the
            // file before; readers add it to this file's begin, so it counts from there.
            header.begin_ms = first.time_ms;
            header.begin_offset = first.offset;
        }
        let mut kept = self.table.lock();
        let table = kept.get_or_insert_with(|| SlotTable::new(self.geometry.slots));
        self.chain(&*file, table, &mut header, keys, scratch)?;
        self.write(&*file, &scratch.entries, self.geometry.entry_position(header.next))?;
        scratch.slots.iter().for_each(|change| table.set(change.slot, change.after));
        if let Err(error) = self.write_slots(&*file, table, scratch) {
            scratch.slots.iter().for_each(|change| table.set(change.slot, change.before));
            return Err(error);
        }
        header.next = header.next.saturating_add(u32::try_from(keys.len()).unwrap_or(u32::MAX));
        header.end_ms = last.time_ms;
        header.end_offset = last.offset;
        if let Err(error) = self.write(&*file, &header.encode(), 0) {
            scratch.slots.iter().for_each(|change| table.set(change.slot, change.before));
            return Err(error);
        }
        *self.header.write() = Some(header);
        Ok(())
    }

    /// Reads slots from `first` on, led back to what the header counts.
    fn read_slots(
        &self,
        file: &dyn DiskFile,
        next: u32,
        first: u32,
        slots: &mut [u8],
    ) -> Result<()> {
        self.read(file, slots, self.geometry.slot_position(first))?;
        for (slot, bytes) in (first..).zip(slots.chunks_exact_mut(SLOT_BYTES)) {
            let value = read_i32(bytes, 0).unwrap_or_default();
            if u32::try_from(value).is_ok_and(|value| value < next) {
                continue;
            }
            let number = self.resolve(file, slot, value, next)?.unwrap_or(0);
            bytes.copy_from_slice(&number.to_be_bytes());
        }
        Ok(())
    }

    /// Writes the changed slots, in order, with what lies between close ones.
    fn write_slots(
        &self,
        file: &dyn DiskFile,
        table: &SlotTable,
        scratch: &mut Scratch,
    ) -> Result<()> {
        let Scratch { slots, span, .. } = scratch;
        let mut rest = slots.as_slice();
        while let Some(first) = rest.first() {
            let start = first.slot as usize * SLOT_BYTES;
            let (mut last, mut count) = (first.slot, 0);
            for change in rest {
                let at = change.slot as usize * SLOT_BYTES;
                let end = (last as usize + 1) * SLOT_BYTES;
                if at > end + MAX_GAP_BYTES || at - start >= MAX_SPAN_BYTES {
                    break;
                }
                last = change.slot;
                count += 1;
            }
            table.span(first.slot, last, span);
            let _readers_wait = self.header.write();
            self.write(file, span, self.geometry.slot_position(first.slot))?;
            rest = rest.get(count..).unwrap_or_default();
        }
        Ok(())
    }

    /// Makes the entries of `keys` and the changes of slots, and counts the slots that were empty.
    fn chain(
        &self,
        file: &dyn DiskFile,
        table: &mut SlotTable,
        header: &mut Header,
        keys: &[Keyed],
        scratch: &mut Scratch,
    ) -> Result<()> {
        let Scratch { order, entries, slots, .. } = scratch;
        order.clear();
        let numbered = keys.iter().zip(0u64..);
        order.extend(numbered.map(|(key, index)| {
            let slot = self.geometry.slot_of(key.hash);
            u64::from(slot) << 32 | index
        }));
        order.sort_unstable();
        entries.clear();
        entries.resize(keys.len() * ENTRY_BYTES, 0);
        slots.clear();
        for group in order.chunk_by(|before, after| before >> 32 == after >> 32) {
            let slot = group.first().map_or(0, |first| (first >> 32) as u32);
            let before =
                table.get(slot, |first, slots| self.read_slots(file, header.next, first, slots))?;
            let mut previous = before;
            header.used_slots += u32::from(before == 0);
            for &member in group {
                let index = member as u32;
                let Some(key) = keys.get(index as usize) else {
                    continue;
                };
                let entry = IndexEntry {
                    hash: key.hash.cast_signed(),
                    offset: key.offset.cast_signed(),
                    time_difference_s: header.time_difference_s(key.time_ms),
                    previous: previous.cast_signed(),
                };
                let at = index as usize * ENTRY_BYTES;
                if let Some(target) = entries.get_mut(at..at + ENTRY_BYTES) {
                    target.copy_from_slice(&entry.encode());
                }
                previous = header.next + index;
            }
            slots.push(Change { slot, before, after: previous });
        }
        Ok(())
    }

    /// Makes everything visible durable, and returns its header. A sync that failed is not
    /// repeated: the system may have dropped what it could not write.
    pub(super) fn sync(&self, disk: &dyn Disk) -> Result<Header> {
        if let Some(cause) = self.sync_failed.get() {
            let what = format!("an earlier sync failed; open the store again ({cause})");
            return Err(Error::new(Status::Fenced, what).at_path(&self.path));
        }
        let header = self.header();
        if header.is_empty() || self.synced_next.load(Ordering::Acquire) == header.next {
            return Ok(header);
        }
        self.reader(disk)?.sync_data().map_err(|source| {
            let error = Error::io("cannot sync", source).at_path(&self.path);
            let _ = self.sync_failed.set(error.clone());
            error
        })?;
        self.synced_next.store(header.next, Ordering::Release);
        Ok(header)
    }
}

/// Whether records in the file can have the wanted time.
fn overlaps(header: &Header, wanted: &Wanted) -> bool {
    header.begin_ms <= 0 || (header.begin_ms <= wanted.end_ms && header.end_ms >= wanted.begin_ms)
}

/// Whether an entry's record can have the wanted time: entries know whole seconds only, so the
/// caller compares the record's own time.
fn in_time(header: &Header, number: u32, entry: &IndexEntry, wanted: &Wanted) -> bool {
    if header.begin_ms <= 0 {
        return true;
    }
    // The first entry has the begin itself as its time, whatever RocketMQ computed for it.
    let seconds = if number == 1 { 0 } else { i64::from(entry.time_difference_s) };
    let earliest = header.begin_ms.saturating_add(seconds * 1000);
    earliest <= wanted.end_ms && earliest.saturating_add(1000) >= wanted.begin_ms
}
