//! `retain`: removes old files of the log, or says which would go.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use cairnlog::{LogEntry, LogFile, LogReader, PhysicalOffset, RemovedFiles, StoreOptions};
use serde::Serialize;

use crate::arguments::{MAX_HOURS, Retain};
use crate::failure::{Failure, Outcome};
use crate::output::Output;
use crate::walk::Walk;
use crate::{interrupt, open};

/// Runs the command.
pub(crate) fn run(command: &Retain, mut options: StoreOptions) -> Outcome {
    set_rules(command, &mut options)?;
    let report =
        if command.dry_run { plan(command, &options)? } else { remove(command, &options)? };
    let mut output = Output::new();
    if command.json {
        output.json(&report)?;
    } else {
        output.line(report.text())?;
    }
    output.flush()
}

/// What was or would be removed of the log.
#[derive(Debug, Serialize)]
struct Report {
    dry_run: bool,
    files: u64,
    bytes: u64,
    /// Where the log begins afterwards.
    min_offset: u64,
}

impl Report {
    fn text(&self) -> String {
        let Self { files, bytes, min_offset, .. } = self;
        match self.dry_run {
            true => format!(
                "would remove {files} files with {bytes} bytes; the log would begin at {min_offset}"
            ),
            false => {
                format!("removed {files} files with {bytes} bytes; the log begins at {min_offset}")
            }
        }
    }
}

/// Rules that are not asked for are set so that they never hold, if any is asked for.
fn set_rules(command: &Retain, options: &mut StoreOptions) -> Outcome {
    if command.max_age.is_some() || command.max_bytes.is_some() || command.before.is_some() {
        options.file_reserved_time_hours = command.max_age.unwrap_or(MAX_HOURS);
        options.max_total_bytes = command.max_bytes.map_or(0, |bytes| bytes as u64);
    }
    options.validate().map_err(|error| Failure::Usage(format!("wrong usage: {error}")))
}

fn remove(command: &Retain, options: &StoreOptions) -> Result<Report, Failure> {
    let store = open::maintained(&command.dir, options)?;
    let removed = open::wait_dispatched(&store).and_then(|()| {
        let before = match command.before {
            Some(offset) => store.remove_before(PhysicalOffset::new(offset))?,
            None => RemovedFiles::default(),
        };
        let expired = store.remove_expired()?;
        Ok(Report {
            dry_run: false,
            files: before.files + expired.files,
            bytes: before.bytes + expired.bytes,
            min_offset: store.min_offset().get(),
        })
    });
    let closed = store.close();
    let report = removed?;
    closed?;
    Ok(report)
}

/// What [`remove`] would do, from the files alone.
fn plan(command: &Retain, options: &StoreOptions) -> Result<Report, Failure> {
    let mut report = Report { dry_run: true, files: 0, bytes: 0, min_offset: 0 };
    let Some(reader) = open::log(&command.dir, options)? else {
        return Ok(report);
    };
    report.min_offset = reader.min_offset().get();
    let rules = Rules::new(command, options, &reader)?;
    for pair in reader.files().windows(2) {
        interrupt::check()?;
        let [oldest, next] = pair else {
            break;
        };
        // Of a file without a message behind it the log knows nothing: it is the one that is
        // appended to next.
        let is_newest = next.start_offset.get() >= rules.end;
        if is_newest || is_read_only(&oldest.path, options) || !rules.is_due(oldest, &reader)? {
            break;
        }
        report.files += 1;
        report.bytes += oldest.size_bytes;
        report.min_offset = next.start_offset.get();
    }
    Ok(report)
}

fn is_read_only(file: &Path, options: &StoreOptions) -> bool {
    let paths = &options.read_only_commit_log_paths;
    file.parent().is_some_and(|parent| paths.iter().any(|path| path == parent))
}

/// When a file is due.
struct Rules {
    /// One past the last record of the log.
    end: u64,
    before: u64,
    max_bytes: u64,
    /// What was stored then or before is expired, in milliseconds since the Unix epoch.
    expired_ms: i64,
}

impl Rules {
    fn new(command: &Retain, options: &StoreOptions, reader: &LogReader) -> Result<Self, Failure> {
        let end = end_of(reader)?;
        let before = command.before.unwrap_or(0);
        if before > end {
            let why = format!("the log does not reach that far: expected at most {end}");
            return Err(Failure::failed(format!("--before {before}"), why));
        }
        let hours = i64::try_from(options.file_reserved_time_hours).unwrap_or(i64::MAX);
        let now = milliseconds(SystemTime::now()).unwrap_or(0);
        let expired_ms = now.saturating_sub(hours.saturating_mul(3_600_000));
        Ok(Self { end, before, max_bytes: options.max_total_bytes, expired_ms })
    }

    fn is_due(&self, file: &LogFile, reader: &LogReader) -> Result<bool, Failure> {
        let start = file.start_offset.get();
        let is_too_much = self.max_bytes > 0 && self.end - start > self.max_bytes;
        if is_too_much || start + file.size_bytes <= self.before {
            return Ok(true);
        }
        Ok(newest_ms(file, reader, self.expired_ms)?.is_some_and(|time| time <= self.expired_ms))
    }
}

/// One past the last record of the log.
fn end_of(reader: &LogReader) -> Result<u64, Failure> {
    let mut end = reader.min_offset().get();
    for file in reader.files().iter().rev() {
        let mut walk = Walk::new(reader, file.start_offset);
        for entry in walk.by_ref() {
            interrupt::check()?;
            entry?;
        }
        if walk.position() > file.start_offset {
            end = walk.position().get();
            break;
        }
    }
    Ok(end)
}

/// When the newest message of a file was stored, or one that is newer than `limit_ms`. A file whose
/// messages cannot all be read is as old as its last modification.
fn newest_ms(file: &LogFile, reader: &LogReader, limit_ms: i64) -> Result<Option<i64>, Failure> {
    let file_end = file.start_offset.get() + file.size_bytes;
    let mut newest = None;
    let mut walk = Walk::new(reader, file.start_offset);
    while walk.position().get() < file_end && newest <= Some(limit_ms) {
        interrupt::check()?;
        match walk.next() {
            Some(Ok(LogEntry::Message(message))) => {
                newest = newest.max(Some(message.store_timestamp_ms()));
            }
            Some(Ok(LogEntry::Blank { .. })) => {}
            Some(Err(_)) | None => {
                newest = None;
                break;
            }
        }
    }
    let modified = || milliseconds(file.path.metadata().ok()?.modified().ok()?);
    Ok(newest.or_else(modified))
}

fn milliseconds(time: SystemTime) -> Option<i64> {
    i64::try_from(time.duration_since(UNIX_EPOCH).ok()?.as_millis()).ok()
}
