//! A read-only look at a log, of a store in use, closed or damaged: no lock, no change.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::recover::{LOST_AND_FOUND, ends_in_zero};
use super::scan::MessageView;
use super::walk::{Found, Walk, damage_at, find_record, used_range, view};
use crate::codec::record::{CrcCheck, RecordLayout};
use crate::error::{Error, Result};
use crate::lock::AbortMarker;
use crate::mapped::{FoundFile, MappedFile, MappedFileQueue, Pin, QueuePaths, guard, list_files};
use crate::offset::PhysicalOffset;
use crate::options::{MAX_SEGMENT_SIZE_BYTES, StoreOptions};
use crate::state::QueueKind;
use crate::status::Status;
use crate::sys::disk::{Access, ForeignEntry, OsDisk};

/// How often files are listed at most, while they vanish.
const MAX_LISTINGS: u32 = 16;

/// A read-only view of a store's commit log, as its files are now.
///
/// It takes no lock and changes nothing, so it also looks at a store that is in use, was not
/// closed, or is damaged. Bytes that a writer adds while it looks are seen or not; what is seen is
/// checked.
#[derive(Debug)]
pub struct LogReader {
    queue: MappedFileQueue,
    files: Vec<LogFile>,
    clean_stop: bool,
}

/// A file of the commit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFile {
    /// Its path.
    pub path: PathBuf,
    /// The physical offset of its first byte.
    pub start_offset: PhysicalOffset,
    /// Its size in bytes.
    pub size_bytes: u64,
}

/// What stands in a log.
#[derive(Debug, Clone)]
pub enum LogEntry {
    /// A message.
    Message(MessageView),
    /// The blank that ends a file.
    Blank {
        /// Where it begins.
        physical_offset: PhysicalOffset,
        /// The bytes up to the end of the file, as stored.
        size_bytes: u32,
    },
}

/// The directories of a store's log.
pub(crate) fn paths_of(store_path: &Path, options: &StoreOptions) -> QueuePaths {
    let writable = if options.commit_log_paths.is_empty() {
        vec![store_path.join("commitlog")]
    } else {
        options.commit_log_paths.clone()
    };
    QueuePaths::new(writable, options.read_only_commit_log_paths.clone())
}

/// Refuses a store one of whose directories is something else, least of all a symbolic link: what
/// is written there would lie outside the store, and what retention removes, too. Directories that
/// the caller names may be links.
pub(crate) fn check_places(store_path: &Path, options: &StoreOptions) -> Result<()> {
    let log = options.commit_log_paths.is_empty().then_some("commitlog");
    let beside = [LOST_AND_FOUND, "index", "config"];
    let queues = QueueKind::ALL.map(QueueKind::directory);
    for name in log.into_iter().chain(beside).chain(queues) {
        let path = store_path.join(name);
        match std::fs::symlink_metadata(&path) {
            Ok(found) if !found.is_dir() => {
                let entry = ForeignEntry::of(name.as_ref(), found.file_type());
                let what = "the store has no directory there";
                return Err(Error::io(what, entry.into()).at_path(&path));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Lists the files of a log and maps them read-only. A writer may remove some meanwhile, those that
/// retention does not keep, or the next one, which it did not come to use: then they are listed
/// again.
pub(crate) fn open_listed(paths: &QueuePaths) -> Result<(Vec<FoundFile>, MappedFileQueue)> {
    let mut attempts = 0;
    loop {
        let opened = list_files(&OsDisk, paths)
            .and_then(|found| open_read_only(&found).map(|queue| (found, queue)));
        attempts += 1;
        match opened {
            Err(error) if is_of_removal(&error) && attempts < MAX_LISTINGS => {}
            other => return other,
        }
    }
}

/// Whether this may come of a file that was removed while files were listed or opened.
fn is_of_removal(error: &Error) -> bool {
    error.is_not_found() || error.status() == Status::MissingFile
}

/// Maps files read-only; everything in them counts as readable.
pub(crate) fn open_read_only(found: &[FoundFile]) -> Result<MappedFileQueue> {
    let size = found.first().map_or(MAX_SEGMENT_SIZE_BYTES, |file| file.size_bytes);
    let files = found
        .iter()
        .map(|file| {
            let FoundFile { path, start, size_bytes, .. } = file.clone();
            MappedFile::open(&OsDisk, path, start, size_bytes, Access::Read).map(Arc::new)
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(MappedFileQueue::new(Arc::new(OsDisk), size, files))
}

impl LogReader {
    /// Looks at the log of the store in a directory.
    ///
    /// # Errors
    ///
    /// - [`Status::StoreNotFound`]: the directory has no `commitlog`.
    /// - [`Status::ForeignFile`], [`Status::WrongFileSize`], [`Status::MissingFile`]: the files are
    ///   no log.
    /// - [`Status::Io`], [`Status::PermissionDenied`]: a file cannot be read.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path, &StoreOptions::default())
    }

    /// As [`LogReader::open`], with the log's directories taken from the options.
    ///
    /// # Errors
    ///
    /// As [`LogReader::open`].
    pub fn open_with(path: impl AsRef<Path>, options: &StoreOptions) -> Result<Self> {
        guard::install_if(options.sigbus_guard_enable);
        check_places(path.as_ref(), options)?;
        let paths = paths_of(path.as_ref(), options);
        if !paths.writable().iter().any(|directory| directory.is_dir()) {
            return Err(Error::new(Status::StoreNotFound, "there is no commit log here")
                .at_path(path.as_ref()));
        }
        let (found, queue) = open_listed(&paths)?;
        let files = found
            .iter()
            .map(|file| LogFile {
                path: file.path.clone(),
                start_offset: PhysicalOffset::new(file.start),
                size_bytes: file.size_bytes,
            })
            .collect();
        let clean_stop = !AbortMarker::exists(&OsDisk, path.as_ref())?;
        Ok(Self { queue, files, clean_stop })
    }

    /// The files, in order.
    #[must_use]
    pub fn files(&self) -> &[LogFile] {
        &self.files
    }

    /// The size of every file in bytes; 0 when there is none.
    #[must_use]
    pub fn segment_size_bytes(&self) -> u64 {
        self.files.first().map_or(0, |file| file.size_bytes)
    }

    /// Where the log begins.
    #[must_use]
    pub fn min_offset(&self) -> PhysicalOffset {
        PhysicalOffset::new(self.queue.min_offset())
    }

    /// Messages and blanks from a boundary on, with their CRCs verified.
    ///
    /// The end of the log ends them. Damage is an error, after which they go on with the next good
    /// record, if there is one.
    #[must_use]
    pub fn entries(&self, from: PhysicalOffset) -> Entries<'_> {
        Entries {
            log: self,
            walk: Walk::new(&self.queue, from.get(), CrcCheck::Verify),
            ended: false,
        }
    }
}

/// The messages and blanks of a log; see [`LogReader::entries`].
#[derive(Debug)]
pub struct Entries<'a> {
    log: &'a LogReader,
    walk: Walk<'a>,
    ended: bool,
}

impl Entries<'_> {
    /// Where the next entry is looked for; the end of the log once there is none.
    #[must_use]
    pub fn offset(&self) -> PhysicalOffset {
        PhysicalOffset::new(self.walk.position())
    }

    /// Whether this may be the last record of a store that was not closed, without its end.
    fn may_be_torn(&self, pin: &Pin, layout: RecordLayout) -> bool {
        !self.log.clean_stop
            && ends_in_zero(&view(pin, layout))
            && self.log.queue.size_stored_at(self.walk.position()) == 0
    }

    /// Ends at a record that may be torn, if nothing follows.
    #[cold]
    fn end_if_torn(&mut self, pin: &Pin, layout: RecordLayout) -> Option<Result<LogEntry>> {
        let queue = &self.log.queue;
        let end = self.walk.position();
        let error = match used_range(queue, end) {
            Ok(Some(_)) => return None,
            Ok(None) => {
                let begin = end - u64::from(layout.size);
                self.walk = Walk::new(queue, begin, CrcCheck::Verify);
                damage_at(pin.file(), begin, "the end of the record is missing")
                    .expected("a last byte that is not zero", "zero")
            }
            Err(error) => error,
        };
        self.ended = true;
        Some(Err(error))
    }

    /// Goes on behind damage, or ends.
    fn resume(&mut self, damage: Option<Error>) -> Option<Result<LogEntry>> {
        let queue = &self.log.queue;
        let at = self.walk.position();
        self.ended = true;
        let used = match used_range(queue, at) {
            Ok(used) => used,
            Err(error) => return Some(Err(error)),
        };
        if let Some(next) = used.and_then(|used| find_record(queue, at + 1..used.end)) {
            self.ended = false;
            // A writer may have filled the gap after it was looked at.
            if let Some(entry) = entry_of(self.walk.step()) {
                return Some(Ok(entry));
            }
            self.walk = Walk::new(queue, next, CrcCheck::Verify);
        }
        let gap = || {
            Error::new(Status::Corruption, "records are missing")
                .at_offset(at)
                .expected("a record", format!("none before {}", self.walk.position()))
        };
        match (damage, self.ended) {
            (Some(error), _) => Some(Err(error)),
            (None, false) => Some(Err(gap())),
            (None, true) => None,
        }
    }
}

impl Iterator for Entries<'_> {
    type Item = Result<LogEntry>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        match self.walk.step() {
            Found::Free => self.resume(None),
            Found::Damaged(error) => self.resume(Some(error)),
            Found::Record(pin, layout) if self.may_be_torn(&pin, layout) => self
                .end_if_torn(&pin, layout)
                .or_else(|| entry_of(Found::Record(pin, layout)).map(Ok)),
            found => entry_of(found).map(Ok),
        }
    }
}

/// The message or blank that was found, if one was.
fn entry_of(found: Found) -> Option<LogEntry> {
    match found {
        Found::Record(pin, layout) => Some(LogEntry::Message(MessageView::new(pin, layout))),
        Found::Blank(offset, size_bytes) => {
            let physical_offset = PhysicalOffset::new(offset);
            Some(LogEntry::Blank { physical_offset, size_bytes })
        }
        Found::Free | Found::Damaged(_) => None,
    }
}
