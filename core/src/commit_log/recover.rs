//! Recovery: where the log ends, what lies behind the end, and the next offset of every queue.
//!
//! The log is walked from its first record, or from where everything before is known to be good and
//! in its consume queues, by several threads at once ([`super::walk_files`]). Where no record
//! follows, everything behind must be zeros. If it is not, a crash cut a record short (a *torn
//! tail*), or a record is damaged and good ones lie behind it. The first is copied to `lost+found/`
//! and zeroed; the second refuses to open, unless the caller asked to truncate, or the machine was
//! rebooted since and the damage lies behind all that was known to be durable, where a power cut
//! may leave holes. So may a sync that failed: a store that ended so is taken for one that lost
//! power, and what was not known to be durable is written once more before it is relied upon.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::topics::TopicTable;
use super::walk::{damage_at, data_ranges, find_record, used_range};
use super::walk_files::{Walked, useful_threads, walk_files};
use crate::checkpoint::{NO_BOOT, Notes};
use crate::codec::RecordView;
use crate::codec::record::CrcCheck;
use crate::consume_queue::MAX_INDEX;
use crate::error::{Error, Result};
use crate::mapped::{MappedFileQueue, sync_parent};
use crate::offset::PhysicalOffset;
use crate::options::{DamagePolicy, StoreOptions};
use crate::progress::{RecoveryPhase, Reporter};
use crate::sys::disk::{Access, Disk};

/// Bytes that are written again at a time.
const WRITTEN_AT_ONCE: usize = 1 << 20;

/// The directory, in the store's root, for bytes that were cut off the log.
pub(crate) const LOST_AND_FOUND: &str = "lost+found";

/// Bytes that a device writes whole or not at all.
const SECTOR_BYTES: usize = 512;
/// The length of the properties, in front of them.
const PROPERTIES_LENGTH_BYTES: usize = 2;

/// What opening a store found and did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoveryReport {
    /// Whether the directory held no store before.
    pub created: bool,
    /// Whether the last use of the store ended cleanly.
    pub clean_stop: bool,
    /// Commit log files found.
    pub files: u64,
    /// Where the walk began: everything before was known to be good, and dispatched if there are
    /// queues.
    pub walked_from: PhysicalOffset,
    /// Records walked.
    pub records: u64,
    /// Where the log begins.
    pub min_offset: PhysicalOffset,
    /// Where the log ends, and the next record goes.
    pub end_offset: PhysicalOffset,
    /// What was wrong at the end, if there was something behind it.
    pub damage: Option<String>,
    /// Bytes copied to `lost+found/` and then zeroed.
    pub bytes_set_aside: u64,
    /// The file they were copied to.
    pub set_aside: Option<PathBuf>,
    /// Files behind the end that were removed.
    pub files_removed: u64,
    /// How long it took.
    pub duration: Duration,
}

/// What recovery will do.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Where the log ends.
    pub(crate) end: u64,
    /// Time of the newest record.
    pub(crate) last_timestamp_ms: i64,
    /// What is not zero behind the end.
    tail: Option<Range<u64>>,
    pub(crate) report: RecoveryReport,
}

/// What is known of the store beside its log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Before {
    pub(crate) created: bool,
    pub(crate) clean_stop: bool,
    pub(crate) notes: Option<Notes>,
    pub(crate) boot_id: Option<u64>,
}

impl Before {
    /// Whether the machine was not started anew since the store was in use.
    pub(crate) fn same_boot(&self) -> bool {
        let noted = self.notes.map(|notes| notes.boot_id).filter(|boot_id| *boot_id != 0);
        noted.is_some() && noted == self.boot_id
    }

    /// Whether the page cache may hold what the disk does not have and no sync would write: after a
    /// sync that failed, until the machine is started anew.
    fn cache_may_differ(&self) -> bool {
        self.same_boot() || self.notes.is_some_and(|notes| notes.boot_id == NO_BOOT)
    }

    /// Whether bytes from `position` on may be missing although later ones are there: only a power
    /// cut or a failed sync does that, and only behind what was durable.
    pub(crate) fn may_have_holes_at(&self, position: u64) -> bool {
        match (self.notes, self.boot_id) {
            (Some(notes), Some(boot_id)) if !self.clean_stop && notes.boot_id != 0 => {
                notes.boot_id != boot_id && position >= notes.durable_offset
            }
            _ => false,
        }
    }

    /// Whether the record at `position` may have been written in part only.
    pub(crate) fn may_be_torn_at(&self, position: u64) -> bool {
        let durable = self.notes.map_or(0, |notes| notes.durable_offset);
        !self.clean_stop && position >= durable
    }
}

/// Where the walk begins, and the store time of the record before.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WalkStart {
    pub(crate) position: u64,
    pub(crate) timestamp_ms: i64,
}

/// Walks the log and decides. Changes nothing but `topics`.
pub(crate) fn plan(
    queue: &MappedFileQueue,
    options: &StoreOptions,
    before: Before,
    start: WalkStart,
    topics: &TopicTable,
    reporter: &mut Reporter,
) -> Result<Plan> {
    plan_with(useful_threads(), queue, options, before, start, topics, reporter)
}

/// As [`plan`], with so many threads.
pub(crate) fn plan_with(
    threads: usize,
    queue: &MappedFileQueue,
    options: &StoreOptions,
    before: Before,
    start: WalkStart,
    topics: &TopicTable,
    reporter: &mut Reporter,
) -> Result<Plan> {
    let started = Instant::now();
    let crc = if options.check_crc_on_recover { CrcCheck::Verify } else { CrcCheck::Skip };
    reporter.begin(RecoveryPhase::Log, bytes_to_walk(queue, start.position));
    let Walked { records, last_timestamp_ms, end, damage } =
        walk_files(queue, before, start, crc, threads, topics, reporter)?;
    reporter.end(end - start.position);
    let tail = used_range(queue, end)?;
    let missing = before.notes.map(|notes| notes.durable_offset).filter(|durable| *durable > end);
    let damage = match (&tail, missing) {
        (Some(tail), _) => Some(damage.unwrap_or_else(|| free_space_is_used(queue, end, tail))),
        (None, Some(durable)) => Some(durable_is_missing(queue, end, durable)),
        (None, None) => None,
    };
    if let Some(error) = &damage
        && options.damage_policy == DamagePolicy::Refuse
        && !before.may_have_holes_at(end)
    {
        let tail_end = tail.as_ref().map_or(end, |tail| tail.end);
        if missing.is_some() || find_record(queue, end + 1..tail_end).is_some() {
            return Err(error.clone());
        }
    }
    let files = queue.files();
    for file in &files {
        file.check(file.start()..file.end())?;
    }
    let report = RecoveryReport {
        created: before.created,
        clean_stop: before.clean_stop,
        files: files.len() as u64,
        walked_from: PhysicalOffset::new(start.position),
        records,
        min_offset: PhysicalOffset::new(queue.min_offset()),
        end_offset: PhysicalOffset::new(end),
        damage: damage.map(|error| error.to_string()),
        bytes_set_aside: tail.as_ref().map_or(0, |tail| tail.end - end),
        set_aside: None,
        files_removed: files.iter().filter(|file| file.start() > end).count() as u64,
        duration: started.elapsed(),
    };
    Ok(Plan { end, last_timestamp_ms, tail, report })
}

/// Whether the record at `at`, which ends at `end`, was written in part only, as far as that shows:
/// no CRC covers topic and properties. If records stand behind it, only a power cut did that.
pub(crate) fn is_torn(
    record: &RecordView<'_>,
    before: &Before,
    queue: &MappedFileQueue,
    range: Range<u64>,
) -> Result<bool> {
    if !before.may_be_torn_at(range.start) {
        return Ok(false);
    }
    let within = range.start % queue.file_size_bytes().max(1);
    let lacks = lacks_a_sector(record, usize::try_from(within).unwrap_or(0));
    if lacks && before.may_have_holes_at(range.start) {
        return Ok(true);
    }
    Ok((lacks || ends_in_zero(record)) && used_range(queue, range.end)?.is_none())
}

/// Whether the last field of a record that can be told from free space seems not to have been
/// written: in topic and properties, no byte is zero, least the last.
pub(crate) fn ends_in_zero(record: &RecordView<'_>) -> bool {
    let last = record.properties_raw().last().or(record.topic_bytes().last());
    last == Some(&0)
}

/// Whether a sector that topic or properties lie in seems not to have been written: all of it that
/// belongs to the record is zero. `within` is where the record begins in its file.
fn lacks_a_sector(record: &RecordView<'_>, within: usize) -> bool {
    let bytes = record.bytes();
    let (topic, properties) = (record.topic_bytes().len(), record.properties_raw().len());
    let properties_start = bytes.len().saturating_sub(properties);
    // Between the two stands the length of the properties, which is zero if there are none.
    let topic_end = properties_start.saturating_sub(PROPERTIES_LENGTH_BYTES);
    let lacks = |part: Range<usize>| {
        let mut at = part.start;
        while at < part.end {
            let sector = (within + at) / SECTOR_BYTES * SECTOR_BYTES;
            let end = (sector + SECTOR_BYTES).saturating_sub(within).min(bytes.len());
            let of_record = bytes.get(sector.saturating_sub(within)..end).unwrap_or_default();
            if of_record.iter().all(|&byte| byte == 0) {
                return true;
            }
            at = end.max(at + 1);
        }
        false
    };
    lacks(topic_end.saturating_sub(topic)..topic_end) || lacks(properties_start..bytes.len())
}

/// Bytes of the log's files from a position on, but for files in which nothing was stored.
fn bytes_to_walk(queue: &MappedFileQueue, from: u64) -> u64 {
    let files = queue.files();
    let used = files.iter().rev().find(|file| queue.size_stored_at(file.start()) > 0);
    used.map_or(0, |last| last.end().saturating_sub(from))
}

fn free_space_is_used(queue: &MappedFileQueue, end: u64, tail: &Range<u64>) -> Error {
    let what = "bytes stand behind the end of the log";
    let error = match queue.find(end) {
        Some(file) => damage_at(&file, end, what),
        None => Error::new(crate::Status::Corruption, what).at_offset(end),
    };
    error.expected("zeros", format!("bytes up to {}", tail.end))
}

fn durable_is_missing(queue: &MappedFileQueue, end: u64, durable: u64) -> Error {
    let what = "the log ends in front of what was durable";
    let error = match queue.find(end) {
        Some(file) => damage_at(&file, end, what),
        None => Error::new(crate::Status::Corruption, what).at_offset(end),
    };
    error.expected(format!("records up to {durable}"), "none")
}

/// Makes sure that the queue goes on behind this record. The first record of a topic that goes to a
/// queue tells of what kind its queues are.
pub(crate) fn count_in_queue(record: &RecordView<'_>, topics: &TopicTable) {
    if !record.is_queued() || record.queue_offset().get() > MAX_INDEX {
        return;
    }
    let next = record.queue_offset().get().saturating_add(u64::from(record.message_count()));
    let queue = topics.queue(&record.topic(), record.queue_id());
    if queue.topic.kind().is_none() {
        queue.topic.set_kind(record.queue_kind());
    }
    queue.raise_next_offset(next);
}

/// Does what was planned: copies what lies behind the end to `lost+found/`, zeroes it, removes the
/// files behind, and makes all of it durable.
pub(crate) fn apply(
    plan: &mut Plan,
    before: Before,
    queue: &MappedFileQueue,
    store_path: &Path,
) -> Result<()> {
    let started = Instant::now();
    if let Some(tail) = plan.tail.clone() {
        let range = plan.end..tail.end;
        plan.report.set_aside = Some(set_aside(queue, store_path, range.clone())?);
        let used = data_ranges(queue, range.start)?;
        zero(queue, used.iter().map(|data| data.start..data.end.min(range.end)))?;
    } else if !plan.report.clean_stop && before.cache_may_differ() {
        // An opening before this one may have zeroed it, in the page cache only.
        let size = size_set_aside(queue.disk(), store_path, plan.end)?;
        zero(queue, std::iter::once(plan.end..plan.end.saturating_add(size)))?;
    }
    while queue.last().is_some_and(|last| last.start() > plan.end) {
        queue.remove_last()?;
    }
    if !plan.report.clean_stop {
        let durable = before.notes.map_or(0, |notes| notes.durable_offset);
        let doubtful = durable.max(queue.min_offset())..plan.end;
        if before.cache_may_differ() {
            write_again(queue, doubtful.clone())?;
        }
        // What survived the crash may still be in the page cache only. Files that hold nothing of
        // it are left alone: a sync that failed is not to be tried again on the same pages.
        for file in queue.files() {
            let (start, end) = (doubtful.start.max(file.start()), doubtful.end.min(file.end()));
            if start < end {
                file.sync(queue.disk())?;
            }
            file.release_handle();
        }
    }
    queue.set_end(plan.end);
    if let Some(last) = queue.last() {
        last.assume_reserved(plan.end);
    }
    plan.report.duration += started.elapsed();
    Ok(())
}

/// Writes a range of the log again, unchanged, for the sync that follows: pages that could not be
/// written once count as clean since, so that a sync would pass over them and succeed.
fn write_again(queue: &MappedFileQueue, range: Range<u64>) -> Result<()> {
    let mut position = range.start;
    // Copied first: bytes are not to be written over themselves.
    let mut copy = Vec::new();
    while position < range.end {
        let Some(pin) = queue.pin(position) else {
            break;
        };
        let length = usize::try_from(range.end - position).unwrap_or(usize::MAX);
        let bytes = pin.bytes().get(..length.min(WRITTEN_AT_ONCE)).unwrap_or(pin.bytes());
        copy.clear();
        copy.extend_from_slice(bytes);
        let file = pin.file();
        file.handle(queue.disk())?.write_all_at(&copy, position - file.start()).map_err(
            |source| Error::io("cannot write", source).at_path(file.path()).at_offset(position),
        )?;
        position += copy.len() as u64;
    }
    Ok(())
}

/// Copies a range of the log into a file of its own; returns its path.
fn set_aside(queue: &MappedFileQueue, store_path: &Path, range: Range<u64>) -> Result<PathBuf> {
    let directory = store_path.join(LOST_AND_FOUND);
    let disk = queue.disk();
    let failed = |path: &Path, source| Error::io("cannot set bytes aside", source).at_path(path);
    disk.create_directory(&directory)
        .and_then(|()| disk.sync_directory(store_path))
        .map_err(|source| failed(&directory, source))?;
    let (path, file) = create_unused(disk, &directory, range.start)?;
    let mut position = range.start;
    while position < range.end {
        let Some(pin) = queue.pin(position) else {
            break;
        };
        let length = usize::try_from(range.end - position).unwrap_or(usize::MAX);
        let bytes = pin.bytes().get(..length).unwrap_or(pin.bytes());
        file.write_all_at(bytes, position - range.start).map_err(|source| failed(&path, source))?;
        position += bytes.len() as u64;
    }
    file.sync_all()
        .and_then(|()| sync_parent(disk, &path))
        .map_err(|source| failed(&path, source))?;
    tracing::warn!(
        path = %path.display(), from = range.start, bytes = range.end - range.start,
        "bytes behind the end of the log were set aside"
    );
    Ok(path)
}

fn create_unused(
    disk: &dyn Disk,
    directory: &Path,
    offset: u64,
) -> Result<(PathBuf, Box<dyn crate::sys::disk::DiskFile>)> {
    let mut attempt = 0u32;
    loop {
        let path = directory.join(format!("{}{attempt}", aside_prefix(offset)));
        match disk.create(&path, 0) {
            Ok(file) => return Ok((path, file)),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => attempt += 1,
            Err(error) => return Err(Error::io("cannot create", error).at_path(&path)),
        }
    }
}

/// How many bytes from `start` on were set aside once.
fn size_set_aside(disk: &dyn Disk, store_path: &Path, start: u64) -> Result<u64> {
    let directory = store_path.join(LOST_AND_FOUND);
    if !disk.has_directory(&directory) {
        return Ok(0);
    }
    let entries = disk
        .list(&directory)
        .map_err(|source| Error::io("cannot list", source).at_path(&directory))?;
    let prefix = aside_prefix(start);
    let of_start = entries.iter().filter(|entry| {
        entry.is_file && entry.name.to_str().is_some_and(|name| name.starts_with(&prefix))
    });
    Ok(of_start.map(|entry| entry.size_bytes).max().unwrap_or(0))
}

/// What the names of files begin with that hold bytes of the log from `start` on.
fn aside_prefix(start: u64) -> String {
    format!("commitlog-{start:020}.")
}

/// Zeroes ranges of the log, and syncs them.
fn zero(queue: &MappedFileQueue, ranges: impl Iterator<Item = Range<u64>>) -> Result<()> {
    let zeros = vec![0; 1 << 16];
    for range in ranges.filter(|range| !range.is_empty()) {
        let Some(file) = queue.find(range.start) else {
            continue;
        };
        let failed = |source| Error::io("cannot zero", source).at_path(file.path());
        let handle = queue.disk().open(file.path(), Access::Write).map_err(failed)?;
        let mut position = range.start;
        let end = range.end.min(file.end());
        while position < end {
            let length = usize::try_from(end - position).unwrap_or(usize::MAX).min(zeros.len());
            let bytes = zeros.get(..length).unwrap_or(&zeros);
            handle.write_all_at(bytes, position - file.start()).map_err(failed)?;
            position += length as u64;
        }
        handle.sync_all().map_err(failed)?;
    }
    Ok(())
}
