//! `verify`: a read-only check of everything in a store. Every finding is one line, and any
//! finding makes the exit status 1.
//!
//! The log is walked once; each record is held against its queue unit and its index entries on
//! the way, so that memory does not grow with the number of records.

mod finding;
mod index_check;
mod queue_check;
mod state_check;
mod usage;

use std::collections::HashMap;
use std::path::PathBuf;

use cairnlog::{
    LogEntry, LogReader, PROPERTY_INNER_NUM, RecordView, StoreCheckpoint, StoreOptions,
};
use serde::Serialize;

use self::finding::{Finding, Findings};
use self::index_check::IndexCheck;
use self::queue_check::{INNER_BATCH, QueueCheck};
use self::state_check::StateCheck;
use self::usage::Usage;
use crate::arguments::Verify;
use crate::commands::cat::is_in_queue;
use crate::commands::inspect::{cannot_read, geometry};
use crate::failure::{Failure, Outcome};
use crate::output::Output;
use crate::walk::Walk;
use crate::{interrupt, open, progress};

/// Runs the command.
pub(crate) fn run(command: &Verify, options: &StoreOptions) -> Outcome {
    let mut findings = Findings::new(command.json, Output::new());
    let mut summary = Summary::default();
    // What follows from the log is read before it, so that the log has all that it speaks of.
    let parts = Parts::open(command)?;
    let state = StateCheck::read(&command.dir, &mut findings)?;
    let checkpoint = match StoreCheckpoint::read(&command.dir) {
        Ok(checkpoint) => checkpoint,
        Err(error) if open::is_damage(error.status()) => {
            findings.add(Finding::of_error("checkpoint", &error))?;
            None
        }
        Err(error) => return Err(error.into()),
    };
    match open::reader(&command.dir, options) {
        Ok(reader) => {
            let mut check = Check::new(command, &reader, parts);
            check.files(&mut findings)?;
            check.records(&mut findings)?;
            if let Some(checkpoint) = checkpoint {
                check.checkpoint(&checkpoint, &mut findings)?;
            }
            check.state(&state, &mut findings)?;
            summary = check.summary;
        }
        Err(error) if open::is_damage(error.status()) => {
            findings.add(Finding::of_error("log", &error))?;
        }
        // A store without a log, into which nothing was appended, has nothing to check.
        Err(error) => {
            if open::log(&command.dir, options)?.is_some() {
                return Err(error.into());
            }
        }
    }
    summary.findings = findings.count();
    let mut output = findings.into_output();
    if command.json {
        output.json(&summary)?;
    } else {
        output.line(summary.text())?;
    }
    output.flush()?;
    if summary.findings > 0 {
        return Err(Failure::Damage);
    }
    Ok(())
}

/// How much was checked.
#[derive(Debug, Default, Serialize)]
struct Summary {
    findings: u64,
    files: u64,
    records: u64,
    blanks: u64,
    queues: u64,
    units: u64,
    index_files: u64,
    index_entries: u64,
    groups: u64,
    topics: u64,
}

impl Summary {
    fn text(&self) -> String {
        format!(
            "{} findings: {} log files, {} records, {} blanks, {} queues with {} units, \
             {} index files with {} entries",
            self.findings,
            self.files,
            self.records,
            self.blanks,
            self.queues,
            self.units,
            self.index_files,
            self.index_entries
        )
    }
}

/// The next index of a queue, as the log says.
struct NextOffset {
    next: u64,
    /// The number of damaged places before the queue's last record.
    damage_seen: u64,
}

struct Check<'a> {
    command: &'a Verify,
    reader: &'a LogReader,
    queues: QueueCheck,
    index: IndexCheck,
    next_offsets: HashMap<(Vec<u8>, i32), NextOffset>,
    damage: u64,
    end_offset: u64,
    last_store_timestamp: Option<i64>,
    summary: Summary,
}

/// What is held against the log, as it was before the log was read.
struct Parts {
    queues: QueueCheck,
    index: IndexCheck,
}

impl Parts {
    fn open(command: &Verify) -> Result<Self, Failure> {
        let dir = &command.dir;
        let usage = Usage::new(dir);
        Ok(Self {
            index: IndexCheck::open(dir, geometry(command.index_sizes), usage.clone())
                .map_err(cannot_read(dir))?,
            queues: QueueCheck::open(dir, usage).map_err(cannot_read(dir))?,
        })
    }
}

impl<'a> Check<'a> {
    fn new(command: &'a Verify, reader: &'a LogReader, parts: Parts) -> Self {
        Self {
            command,
            reader,
            queues: parts.queues,
            index: parts.index,
            next_offsets: HashMap::new(),
            damage: 0,
            end_offset: reader.min_offset().get(),
            last_store_timestamp: None,
            summary: Summary::default(),
        }
    }

    /// Whether the log's files follow each other, all of one size.
    fn files(&mut self, findings: &mut Findings) -> Outcome {
        let segment = self.reader.segment_size_bytes();
        let mut expected: Option<u64> = None;
        for file in self.reader.files() {
            let start = file.start_offset.get();
            if file.size_bytes != segment {
                findings.add(
                    Finding::new("file_size", "the file has the wrong size")
                        .path(&file.path)
                        .differs(segment, file.size_bytes),
                )?;
            }
            if let Some(expected) = expected.filter(|expected| *expected != start) {
                findings.add(
                    Finding::new("missing_file", "the log's files do not follow each other")
                        .path(&file.path)
                        .differs(format!("start {expected}"), format!("start {start}")),
                )?;
            }
            expected = Some(start + segment);
            self.summary.files += 1;
        }
        Ok(())
    }

    fn records(&mut self, findings: &mut Findings) -> Outcome {
        let min_offset = self.reader.min_offset();
        let total = self.summary.files * self.reader.segment_size_bytes();
        let bar = progress::bytes(Some(total), "verifying");
        for entry in Walk::new(self.reader, min_offset) {
            interrupt::check()?;
            match entry {
                Ok(LogEntry::Message(message)) => {
                    self.record(&message.record(), findings)?;
                    if self.summary.records.is_multiple_of(1024) {
                        bar.set_position(self.end_offset - min_offset.get());
                    }
                }
                Ok(LogEntry::Blank { physical_offset, size_bytes }) => {
                    self.summary.blanks += 1;
                    self.end_offset = physical_offset.get() + u64::from(size_bytes);
                }
                Err(error) => {
                    self.damage += 1;
                    findings.add(Finding::of_error("record", &error))?;
                }
            }
        }
        bar.finish_and_clear();
        let damaged = self.damage > 0;
        let log = min_offset.get()..self.end_offset;
        self.queues.finish(log, damaged, findings, &mut self.summary.units)?;
        self.index.finish(damaged, findings, &mut self.summary.index_entries)?;
        self.summary.queues = self.queues.count();
        self.summary.index_files = self.index.count();
        Ok(())
    }

    fn record(&mut self, record: &RecordView<'_>, findings: &mut Findings) -> Outcome {
        self.summary.records += 1;
        self.end_offset = record.end_offset().get();
        let newest = self.last_store_timestamp.unwrap_or(i64::MIN);
        self.last_store_timestamp = Some(newest.max(record.store_timestamp_ms()));
        if record.store_timestamp_ms() <= 0 {
            findings.add(
                self.at_record(record, "store_timestamp", "the store timestamp is impossible")
                    .differs("a time after 1970", record.store_timestamp_ms()),
            )?;
        }
        if is_in_queue(record) {
            self.queue_offset(record, findings)?;
            self.queues.record(record, self.damage > 0, findings)?;
        }
        self.index.record(record, self.damage > 0, findings)
    }

    /// Whether the record has the index that follows the one before it in its queue. Records of
    /// the queue may be missing at the log's beginning, where retention removed them, and in
    /// damaged places, which are findings of their own.
    fn queue_offset(&mut self, record: &RecordView<'_>, findings: &mut Findings) -> Outcome {
        let found = record.queue_offset().get();
        let key = (record.topic_bytes().to_vec(), record.queue_id());
        let begins_at_zero = self.reader.min_offset().get() == 0;
        let expected = match self.next_offsets.get(&key) {
            Some(last) if last.damage_seen == self.damage || found < last.next => Some(last.next),
            Some(_) => None,
            None => (begins_at_zero && self.damage == 0).then_some(0),
        };
        if let Some(expected) = expected.filter(|expected| *expected != found) {
            findings.add(
                self.at_record(
                    record,
                    "queue_offset",
                    &format!(
                        "the queue offset in {} queue {} does not follow the one before it",
                        record.topic(),
                        record.queue_id()
                    ),
                )
                .differs(expected, found),
            )?;
        }
        let next = NextOffset { next: found + message_count(record), damage_seen: self.damage };
        self.next_offsets.insert(key, next);
        Ok(())
    }

    fn checkpoint(&self, checkpoint: &StoreCheckpoint, findings: &mut Findings) -> Outcome {
        let path = self.command.dir.join("checkpoint");
        let newest = self.last_store_timestamp.unwrap_or(i64::MAX);
        let end = i64::try_from(self.end_offset).unwrap_or(i64::MAX);
        let fields = [
            (0, "physic_msg_timestamp", checkpoint.physic_msg_timestamp_ms, newest),
            (8, "logics_msg_timestamp", checkpoint.logics_msg_timestamp_ms, newest),
            (16, "index_msg_timestamp", checkpoint.index_msg_timestamp_ms, newest),
            (24, "master_flushed_offset", checkpoint.master_flushed_offset, end),
            (32, "confirm_phy_offset", checkpoint.confirm_phy_offset, end),
        ];
        for (offset, name, found, limit) in fields {
            if !(0..=limit).contains(&found) {
                findings.add(
                    Finding::new("checkpoint", &format!("{name} is not plausible"))
                        .path(&path)
                        .offset(offset)
                        .differs(format!("0 to {limit}, as in the log"), found),
                )?;
            }
        }
        Ok(())
    }

    /// Holds the groups' offsets against the queues' ends.
    fn state(&mut self, state: &StateCheck, findings: &mut Findings) -> Outcome {
        self.summary.groups = state.groups();
        self.summary.topics = state.topics();
        let whole = self.damage == 0 && self.reader.min_offset().get() == 0;
        state.offsets(findings, |topic, queue_id| {
            let in_log = self.next_offsets.get(&(topic.as_bytes().to_vec(), queue_id));
            let in_queue = self.queues.end(topic, queue_id);
            match (in_log.map(|last| last.next), in_queue) {
                (Some(log), queue) => Some(queue.map_or(log, |queue| queue.max(log))),
                // Retention may have removed the records and the queue; a log that has its
                // beginning never had any.
                (None, Some(queue)) => Some(queue),
                (None, None) => whole.then_some(0),
            }
        })
    }

    fn at_record(&self, record: &RecordView<'_>, kind: &'static str, what: &str) -> Finding {
        let offset = record.physical_offset().get();
        Finding::new(kind, what).path(&self.log_path(offset)).offset(offset)
    }

    /// The log file that holds this offset.
    fn log_path(&self, offset: u64) -> PathBuf {
        self.reader
            .files()
            .iter()
            .rev()
            .find(|file| file.start_offset.get() <= offset)
            .map_or_else(|| self.command.dir.join("commitlog"), |file| file.path.clone())
    }
}

/// The messages in a record: more than one in an inner batch.
pub(crate) fn message_count(record: &RecordView<'_>) -> u64 {
    if record.sys_flag() & INNER_BATCH == 0 {
        return 1;
    }
    let count = record.property(PROPERTY_INNER_NUM).and_then(|count| count.parse::<u32>().ok());
    u64::from(count.unwrap_or(1).max(1))
}
