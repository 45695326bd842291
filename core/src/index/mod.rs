//! The key index: files `index/<yyyyMMddHHmmssSSS>` that lead from a topic and a key to where
//! records lie in the log.
//!
//! Files are filled one after the other, bytes and splits as RocketMQ makes them, by positioned
//! writes: a full disk is an error and never a signal. What holds at any moment:
//!
//! - Only the newest file changes. Each older one was synced before the next was made.
//! - A file's header counts only entries and slots that were written before it. What a killed or
//!   failed call left behind the header's count is invisible, and is written again, byte for byte,
//!   when the same records come again.
//! - The end of the files says which keys are in, so records can be put again from any earlier
//!   place in the log: keys that are in are passed over, one by one.
//!
//! Entries hold hashes only, and times in whole seconds: whoever asks compares topic, key and time
//! of the records found.

mod file;
mod geometry;
mod keys;
mod layout;
mod name;
mod recover;
mod table;

pub(crate) use keys::{IndexRecord, Keyed};
pub(crate) use layout::IndexSettings;
pub(crate) use recover::LastStop;

use std::io::ErrorKind;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, RwLock};

use crate::clock::{Clock, SystemClock};
use crate::error::{Error, Result};
use crate::mapped::sync_parent;
use crate::status::Status;
use crate::sys::disk::{Disk, Entry};
use file::{IndexFile, Scratch, Wanted};
use keys::key_hash;

/// The directory of the index in the store's root.
pub(crate) const INDEX_DIRECTORY: &str = "index";

/// The newest files stay open when they were queried once; of older ones each query opens its own.
const MAX_OPEN_FILES: usize = 64;

/// The key index of a store: one writer, any number of readers.
#[derive(Debug)]
pub(crate) struct Index {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    settings: IndexSettings,
    /// In order; the last one is the newest.
    files: RwLock<Vec<Arc<IndexFile>>>,
    writer: Mutex<Writer>,
    forced: Mutex<Option<i64>>,
    closed: AtomicBool,
}

#[derive(Debug, Default)]
struct Writer {
    /// The last record with keys in the index, once it is known.
    last: Option<Option<LastRecord>>,
    /// The greatest name in the directory that a file could have.
    newest_name: Option<String>,
    /// Files without an entry: nothing in them tells the numbers they were made with.
    unfinished: Vec<PathBuf>,
    scratch: Scratch,
}

/// A record and how many of its keys are in the index, from its first one on.
#[derive(Debug, Clone, Copy)]
struct LastRecord {
    offset: u64,
    keys: u32,
}

/// What to look for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KeyQuery<'a> {
    pub(crate) topic: &'a str,
    pub(crate) key: &'a str,
    /// The earliest store time in milliseconds.
    pub(crate) begin_ms: i64,
    /// The latest store time in milliseconds, itself included.
    pub(crate) end_ms: i64,
}

impl Index {
    /// Looks at the files that exist and changes nothing. A directory that does not exist is an
    /// empty index; names that are no numbers are passed over. Files keep the numbers of slots and
    /// entries that they were made with; new ones get those of the newest, or of the settings.
    ///
    /// # Errors
    ///
    /// - [`Status::Io`]: a file could not be read.
    /// - [`Status::InvalidArgument`]: the settings are outside their limits.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        store_path: &Path,
        settings: IndexSettings,
    ) -> Result<Self> {
        settings.check()?;
        let directory = store_path.join(INDEX_DIRECTORY);
        let found = list(&*disk, &directory)?;
        let mut writer = Writer::default();
        let mut files = Vec::new();
        for (name, entry) in found {
            let path = directory.join(&name);
            writer.newest_name = Some(name);
            match (entry.is_file, entry.size_bytes) {
                (false, _) => {}
                (true, 0) => writer.unfinished.push(path),
                (true, size) => {
                    let file = IndexFile::open(&*disk, path.clone(), size, settings)?;
                    match file {
                        Some(file) => files.push(Arc::new(file)),
                        None => writer.unfinished.push(path),
                    }
                }
            }
        }
        // RocketMQ takes one pair of numbers for all files, and finds nothing in others.
        let newest = files.iter().rev().find(|file: &&Arc<IndexFile>| !file.is_damaged());
        let settings = newest.map_or(settings, |file| file.geometry());
        Ok(Self {
            disk,
            directory,
            settings,
            files: RwLock::new(files),
            writer: Mutex::new(writer),
            forced: Mutex::new(None),
            closed: AtomicBool::new(false),
        })
    }

    /// Looks for what another process put: in the newest file, and in files that came. Those that
    /// went are left out.
    ///
    /// # Errors
    ///
    /// - [`Status::Io`]: a file could not be read.
    pub(crate) fn refresh(&self) -> Result<()> {
        let _one_at_a_time = self.writer.lock();
        let known = self.files.read().clone();
        let newest = known.last();
        let mut files = Vec::new();
        for (name, entry) in list(&*self.disk, &self.directory)? {
            let path = self.directory.join(name);
            if !entry.is_file || entry.size_bytes == 0 {
                continue;
            }
            let same = known.iter().find(|file| file.path() == path && !file.is_damaged());
            let changes =
                |file: &Arc<IndexFile>| newest.is_some_and(|last| Arc::ptr_eq(last, file));
            let same = match same {
                Some(file) if changes(file) => {
                    file.refresh(&*self.disk).map(|same| same.then_some(file))
                }
                other => Ok(other),
            };
            let current = same.and_then(|same| match same {
                Some(file) => Ok(Some(Arc::clone(file))),
                None => {
                    let opened =
                        IndexFile::open(&*self.disk, path, entry.size_bytes, self.settings);
                    opened.map(|file| file.map(Arc::new))
                }
            });
            match current {
                Err(error) if error.is_not_found() => {}
                other => files.extend(other?),
            }
        }
        *self.files.write() = files;
        Ok(())
    }

    /// Puts keys, which come in the order of the log and each record's together; those that are in
    /// already are passed over. RocketMQ puts no keys of rolled back transactions, so the caller
    /// leaves them out.
    ///
    /// After an error some of the first may be in, each once; the caller puts the same keys again
    /// when the cause is gone.
    ///
    /// # Errors
    ///
    /// - [`Status::DiskFull`], [`Status::Io`]: a file could not be written, synced or made.
    /// - [`Status::Fenced`]: a sync of the newest file failed before.
    /// - [`Status::Corruption`]: the newest file needs [`Index::recover`].
    pub(crate) fn put(&self, keys: &[Keyed]) -> Result<()> {
        let mut writer = self.writer.lock();
        let last = self.last_record(&mut writer)?;
        let mut rest = keys.get(last.map_or(0, |last| known(last, keys))..).unwrap_or_default();
        while !rest.is_empty() {
            let file = self.file_with_room(&mut writer)?;
            let (fitting, others) = rest.split_at(rest.len().min(file.room()));
            let Writer { scratch, last, .. } = &mut *writer;
            file.append(&*self.disk, fitting, scratch)?;
            *last = last.map(|last| last_of(last, fitting));
            rest = others;
        }
        Ok(())
    }

    /// How many keys of the record at [`Index::end_offset`] are in.
    ///
    /// # Errors
    ///
    /// - [`Status::Io`]: a file could not be read.
    pub(crate) fn keys_of_last(&self) -> Result<u32> {
        let last = self.last_record(&mut self.writer.lock())?;
        Ok(last.map_or(0, |last| last.keys))
    }

    /// The last record with keys in the index: looked up in the files at first.
    fn last_record(&self, writer: &mut Writer) -> Result<Option<LastRecord>> {
        if let Some(last) = writer.last {
            return Ok(last);
        }
        let mut last: Option<LastRecord> = None;
        for file in self.files.read().iter().rev() {
            let header = file.header();
            let offset = last.map_or(header.end_offset, |last| last.offset);
            if header.is_empty() {
                continue;
            }
            let keys = file.count_last(&*self.disk, offset)?;
            last = Some(LastRecord { offset, keys: last.map_or(0, |last| last.keys) + keys });
            if keys < header.next - 1 {
                break;
            }
        }
        writer.last = Some(last);
        Ok(last)
    }

    /// The newest file if it has room, else a new one; the full one is synced before.
    fn file_with_room(&self, writer: &mut Writer) -> Result<Arc<IndexFile>> {
        let newest = self.files.read().last().cloned();
        if let Some(newest) = newest {
            if newest.is_damaged() {
                let what = "the index file has a header no such file can have";
                return Err(Error::new(Status::Corruption, what).at_path(newest.path()));
            }
            if newest.room() > 0 {
                return Ok(newest);
            }
            self.force()?;
            newest.release();
        }
        self.make_directory()?;
        let name = name::next(SystemClock.wall_ms(), writer.newest_name.as_deref());
        let path = self.directory.join(&name);
        let file = Arc::new(IndexFile::create(&*self.disk, path, self.settings)?);
        writer.newest_name = Some(name);
        let mut files = self.files.write();
        files.push(Arc::clone(&file));
        if let Some(older) = files.iter().nth_back(MAX_OPEN_FILES) {
            older.close_reader();
        }
        Ok(file)
    }

    fn make_directory(&self) -> Result<()> {
        let failed = |source| Error::io("cannot create", source).at_path(&self.directory);
        if !self.files.read().is_empty() {
            return Ok(());
        }
        self.disk.create_directory(&self.directory).map_err(failed)?;
        sync_parent(&*self.disk, &self.directory).map_err(failed)
    }

    /// Makes all that was put durable, and returns the store time of the newest record in it, if
    /// there is any: what the checkpoint may state as `indexMsgTimestamp`.
    ///
    /// # Errors
    ///
    /// - [`Status::Io`]: a sync failed.
    /// - [`Status::Fenced`]: a sync failed before; it is not repeated.
    pub(crate) fn force(&self) -> Result<Option<i64>> {
        let mut forced = self.forced.lock();
        let files = self.files.read().clone();
        for file in &files {
            let header = file.sync(&*self.disk)?;
            if !header.is_empty() {
                *forced = Some(header.end_ms);
            }
        }
        Ok(*forced)
    }

    /// What [`Index::force`] returned last, or would have when the last full file was synced.
    pub(crate) fn forced_timestamp_ms(&self) -> Option<i64> {
        *self.forced.lock()
    }

    /// The store time that the newest file begins with, if it has entries. RocketMQ drops this file
    /// after an unclean stop: the file was written to since it was last forced.
    pub(crate) fn newest_begin_ms(&self) -> Option<i64> {
        let newest = self.files.read().last().map(|file| file.header());
        newest.filter(|header| !header.is_empty()).map(|header| header.begin_ms)
    }

    /// Where the last record lies that has a key in the index.
    pub(crate) fn end_offset(&self) -> Option<u64> {
        let files = self.files.read();
        let mut headers = files.iter().rev().map(|file| file.header());
        headers.find(|header| !header.is_empty()).map(|header| header.end_offset)
    }

    /// Calls `visit` with where records lie that may have the key, newest first, none twice,
    /// until it breaks. Others can be among them whose key has the same hash, or whose time is up
    /// to a second outside the range; none that has the key and the time is missing, as long as
    /// store times never decrease along the log.
    ///
    /// # Errors
    ///
    /// - [`Status::Io`]: a file could not be read.
    /// - What `visit` returns.
    pub(crate) fn query(
        &self,
        query: &KeyQuery<'_>,
        mut visit: impl FnMut(u64) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let files = self.files.read().clone();
        let mut wanted = Wanted {
            hash: key_hash(query.topic, query.key),
            begin_ms: query.begin_ms,
            end_ms: query.end_ms,
            below: u64::MAX,
        };
        for (age, file) in files.iter().rev().enumerate() {
            let visited = file.visit(&*self.disk, &mut wanted, &mut visit);
            if age >= MAX_OPEN_FILES || self.closed.load(Ordering::SeqCst) {
                file.close_reader();
            }
            match visited {
                Ok(ControlFlow::Continue(())) => {}
                Ok(ControlFlow::Break(())) => break,
                Err(_) if !self.has(file) => {} // Removed meanwhile, with its records.
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Gives back descriptors and slots, which queries that are under way no longer keep either:
    /// nothing is put into the index any more.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        let _writer = self.writer.lock();
        for file in self.files.read().iter() {
            file.release();
            file.close_reader();
        }
    }

    /// The bytes of slots in memory.
    #[cfg(test)]
    pub(crate) fn kept_slot_bytes(&self) -> usize {
        self.files.read().iter().map(|file| file.kept_slot_bytes()).sum()
    }

    /// The files that queries keep open.
    #[cfg(test)]
    pub(crate) fn kept_readers(&self) -> usize {
        self.files.read().iter().filter(|file| file.keeps_reader()).count()
    }

    fn has(&self, file: &Arc<IndexFile>) -> bool {
        self.files.read().iter().any(|listed| Arc::ptr_eq(listed, file))
    }

    /// Removes files whose records all lie below `min_offset`, oldest first and never the newest,
    /// and returns how many.
    ///
    /// # Errors
    ///
    /// - [`Status::Io`]: a file could not be removed; it stays in the index.
    pub(crate) fn remove_before(&self, min_offset: u64) -> Result<u64> {
        let _writer = self.writer.lock();
        let mut removed = 0;
        loop {
            let oldest = {
                let files = self.files.read();
                let oldest = files.first().filter(|_| files.len() > 1).cloned();
                oldest.filter(|file| file.header().end_offset < min_offset)
            };
            let Some(oldest) = oldest else {
                return Ok(removed);
            };
            // Out of the list first: a reader that misses the file looks there.
            self.files.write().remove(0);
            if let Err(error) = self.remove_file(oldest.path()) {
                self.files.write().insert(0, oldest);
                return Err(error);
            }
            removed += 1;
        }
    }

    /// Removes a file, durably; one that is gone already is as good.
    fn remove_file(&self, path: &Path) -> Result<()> {
        let gone = match self.disk.remove(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            other => other,
        };
        gone.and_then(|()| sync_parent(&*self.disk, path))
            .map_err(|source| Error::io("cannot remove", source).at_path(path))
    }
}

/// The names and entries of what can be a file of the index, in order.
fn list(disk: &dyn Disk, directory: &Path) -> Result<Vec<(String, Entry)>> {
    let listed = match disk.list(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(Error::io("cannot list", error).at_path(directory)),
    };
    let mut found: Vec<_> = listed
        .into_iter()
        .filter_map(|entry| Some((name::checked(entry.name.to_str()?)?.to_owned(), entry)))
        .collect();
    found.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(found)
}

/// How many of these keys are in, if this is the last record that has any.
fn known(last: LastRecord, keys: &[Keyed]) -> usize {
    let below = keys.partition_point(|key| key.offset < last.offset);
    let same = keys.iter().skip(below).take_while(|key| key.offset == last.offset);
    below + same.take(last.keys as usize).count()
}

/// The last record after these keys were added behind `before`.
fn last_of(before: Option<LastRecord>, keys: &[Keyed]) -> Option<LastRecord> {
    let Some(newest) = keys.last() else {
        return before;
    };
    let count = keys.iter().rev().take_while(|key| key.offset == newest.offset).count();
    let earlier = before.filter(|last| last.offset == newest.offset).map_or(0, |last| last.keys);
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    Some(LastRecord { offset: newest.offset, keys: earlier.saturating_add(count) })
}
