//! Consume queues against the log: each record's unit, and no unit without its record.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use cairnlog::{PROPERTY_TAGS, RecordView};

use super::finding::{Finding, Findings};
use crate::commands::inspect::cannot_read;
use crate::failure::Outcome;
use crate::formats::consume_queue::{ConsumeQueue, ConsumeQueues, Unit};
use crate::formats::java_hash;

/// Here the third field of a unit is a delivery time, not the hash of a tag.
const SCHEDULE_TOPIC: &str = "SCHEDULE_TOPIC_XXXX";
/// The record holds several messages.
pub(crate) const INNER_BATCH: i32 = 0x80;
/// Queues beside the messages' own, named in a property of the messages.
const LIGHT_QUEUE_PREFIX: &str = "%LMQ%";
/// Values from here down refer to an extension file.
const EXTENSION_REFERENCE: i64 = i32::MIN as i64 - 1;

/// A queue, and the records of the log that belong to it.
struct Checked {
    queue: ConsumeQueue,
    /// The first and one past the last index that the log has records for.
    log_range: Option<(u64, u64)>,
}

/// The queues of a store while its log is walked.
pub(crate) struct QueueCheck {
    queues: HashMap<(Vec<u8>, i32), Checked>,
    foreign: Vec<PathBuf>,
    directory: PathBuf,
    log_min_offset: u64,
    /// The store is in use, or was not closed: queues may lag behind the log.
    in_use: bool,
}

impl QueueCheck {
    /// Lists the queues of a store.
    pub(crate) fn open(store: &Path, log_min_offset: u64, in_use: bool) -> io::Result<Self> {
        let all = ConsumeQueues::open(store)?;
        let queues = all.queues.into_iter().map(|queue| {
            let key = (queue.topic.clone().into_bytes(), queue.queue_id);
            let log_range = None;
            (key, Checked { queue, log_range })
        });
        Ok(Self {
            queues: queues.collect(),
            foreign: all.foreign,
            directory: store.join("consumequeue"),
            log_min_offset,
            in_use,
        })
    }

    /// The number of queues.
    pub(crate) fn count(&self) -> u64 {
        self.queues.len() as u64
    }

    /// Holds a record that consumers see against its unit. A store without any queue files is
    /// complete: they are made from the log.
    pub(crate) fn record(
        &mut self,
        record: &RecordView<'_>,
        damaged: bool,
        findings: &mut Findings,
    ) -> Outcome {
        // Inner batches have queues of another kind.
        if self.queues.is_empty() || record.sys_flag() & INNER_BATCH != 0 {
            return Ok(());
        }
        let offset = record.queue_offset().get();
        let key = (record.topic_bytes().to_vec(), record.queue_id());
        let Some(checked) = self.queues.get_mut(&key) else {
            if self.in_use || damaged {
                return Ok(());
            }
            return findings.add(missing(record, "there is no queue").path(&self.directory));
        };
        let first = checked.log_range.map_or(offset, |(first, _)| first);
        checked.log_range = Some((first.min(offset), offset + 1));
        let path = checked.queue.path.clone();
        let unit = checked.queue.unit(offset).map_err(cannot_read(&path))?;
        let Some(unit) = unit.filter(Unit::is_message) else {
            if self.in_use {
                return Ok(());
            }
            return findings.add(missing(record, "there is no unit").path(&path));
        };
        let (path, position) = match checked.queue.locate(offset) {
            Some((path, position)) => (path.to_path_buf(), position),
            None => (path, 0),
        };
        compare(record, &unit)
            .map_or(Ok(()), |difference| findings.add(difference.path(&path).offset(position)))
    }

    /// Looks for units without a record, once the log was walked to its end.
    pub(crate) fn finish(
        &mut self,
        log_end: u64,
        damaged: bool,
        findings: &mut Findings,
        units: &mut u64,
    ) -> Outcome {
        for path in &self.foreign {
            findings.add(
                Finding::new("foreign_file", "this is no part of a consume queue").path(path),
            )?;
        }
        let mut queues: Vec<_> = self.queues.values_mut().collect();
        queues.sort_by(|a, b| a.queue.path.cmp(&b.queue.path));
        for checked in queues {
            files_follow(&checked.queue, findings)?;
            let own_records = !checked.queue.topic.starts_with(LIGHT_QUEUE_PREFIX);
            let (first, next) = checked.log_range.unwrap_or((u64::MAX, 0));
            let path = checked.queue.path.clone();
            let mut wrong: Vec<(u64, Unit)> = Vec::new();
            let log_min = self.log_min_offset;
            checked
                .queue
                .walk(|index, unit| {
                    if unit.is_filler() {
                        return;
                    }
                    *units += 1;
                    let start = u64::try_from(unit.physical_offset).unwrap_or_default();
                    let end = start + u64::try_from(unit.size).unwrap_or_default();
                    let has_record = (first..next).contains(&index) || !own_records;
                    let behind = end > log_end;
                    if start >= log_min && (behind || !has_record && !damaged) {
                        wrong.push((index, *unit));
                    }
                })
                .map_err(cannot_read(&path))?;
            for (index, unit) in wrong {
                let (path, position) = match checked.queue.locate(index) {
                    Some((path, position)) => (path.to_path_buf(), position),
                    None => (path.clone(), 0),
                };
                findings.add(
                    Finding::new("queue_unit", "the unit points to no record of its queue")
                        .path(&path)
                        .offset(position)
                        .differs(
                            format!("a record in {log_min} to {log_end}"),
                            format!("{} bytes at {}", unit.size, unit.physical_offset),
                        ),
                )?;
            }
        }
        Ok(())
    }
}

fn missing(record: &RecordView<'_>, what: &str) -> Finding {
    Finding::new(
        "queue_missing",
        &format!(
            "{what} for the record at {} ({} queue {} offset {})",
            record.physical_offset(),
            record.topic(),
            record.queue_id(),
            record.queue_offset()
        ),
    )
}

fn files_follow(queue: &ConsumeQueue, findings: &mut Findings) -> Outcome {
    let mut expected: Option<u64> = None;
    for file in &queue.files {
        if let Some(expected) = expected.filter(|expected| *expected != file.start) {
            findings.add(
                Finding::new("missing_file", "the queue's files do not follow each other")
                    .path(&file.path)
                    .differs(format!("start {expected}"), format!("start {}", file.start)),
            )?;
        }
        expected = Some(file.start + file.size);
    }
    Ok(())
}

/// What differs between a record and its unit.
fn compare(record: &RecordView<'_>, unit: &Unit) -> Option<Finding> {
    let physical_offset = record.physical_offset().to_i64();
    if unit.physical_offset != physical_offset {
        return Some(
            Finding::new("queue_unit", "the unit points to another record")
                .differs(physical_offset, unit.physical_offset),
        );
    }
    if i64::from(unit.size) != i64::from(record.size_bytes()) {
        return Some(
            Finding::new("queue_unit", "the unit has another size than its record")
                .differs(record.size_bytes(), unit.size),
        );
    }
    if record.topic() == SCHEDULE_TOPIC {
        let earliest = record.store_timestamp_ms();
        return (unit.tags_code < earliest && record.property("DELAY").is_some()).then(|| {
            Finding::new("queue_unit", "the delivery time is before the store time")
                .differs(format!("at least {earliest}"), unit.tags_code)
        });
    }
    let tags_code = record.property(PROPERTY_TAGS).map_or(0, |tags| i64::from(java_hash(&tags)));
    (unit.tags_code != tags_code && unit.tags_code > EXTENSION_REFERENCE).then(|| {
        Finding::new("queue_unit", "the unit has another tag hash than its record")
            .differs(tags_code, unit.tags_code)
    })
}
