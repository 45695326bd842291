//! Consume queues against the log: each record's unit, and no unit without its record.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use cairnlog::{PROPERTY_TAGS, RecordView};

use super::finding::{Finding, Findings};
use super::message_count;
use super::usage::Usage;
use crate::commands::delays::SCHEDULE_TOPIC;
use crate::commands::inspect::cannot_read;
use crate::failure::{Failure, Outcome};
use crate::formats::consume_queue::{ConsumeQueue, ConsumeQueues, QueueEnd, Unit};
use crate::formats::java_hash;

/// The record holds several messages.
pub(crate) const INNER_BATCH: i32 = 0x80;
/// Queues beside the messages' own, named in a property of the messages.
const LIGHT_QUEUE_PREFIX: &str = "%LMQ%";
/// Values from here down refer to an extension file.
const EXTENSION_REFERENCE: i64 = i32::MIN as i64 - 1;

/// A queue, and the records of the log that belong to it.
struct Checked {
    queue: ConsumeQueue,
    /// One past the last unit there was before the log was read: each unit below has a record.
    end: QueueEnd,
    /// The indexes of the log's records, as runs: where each begins and ends.
    claimed: BTreeMap<u64, u64>,
    /// The first record that had no unit yet, and the finding it is if a later one has.
    lagging: Option<(u64, Finding)>,
    /// The highest index whose unit was seen while its record was looked at.
    newest: Option<u64>,
}

impl Checked {
    fn new(mut queue: ConsumeQueue) -> io::Result<Self> {
        let end = queue.walk(|_| {})?;
        // What was read may have been the end at that time.
        queue.refresh()?;
        Ok(Self { queue, end, claimed: BTreeMap::new(), lagging: None, newest: None })
    }

    /// Notes that the log has a record with these indexes.
    fn claim(&mut self, indexes: Range<u64>) {
        match self.claimed.range_mut(..=indexes.start).next_back() {
            Some((_, end)) if *end >= indexes.start => *end = indexes.end.max(*end),
            _ => {
                self.claimed.insert(indexes.start, indexes.end);
            }
        }
    }

    fn is_claimed(&self, index: u64) -> bool {
        self.claimed.range(..=index).next_back().is_some_and(|(_, end)| *end > index)
    }

    /// The message unit of an index.
    fn unit(&mut self, index: u64) -> Result<Option<Unit>, Failure> {
        let unit = self.queue.unit_at(index).map_err(cannot_read(&self.queue.path))?;
        Ok(unit.filter(Unit::is_message))
    }

    /// The message unit of an index, as the file has it now.
    fn unit_now(&mut self, index: u64) -> Result<Option<Unit>, Failure> {
        self.queue.refresh().map_err(cannot_read(&self.queue.path))?;
        self.unit(index)
    }

    /// The file and position of a unit, or the queue's directory.
    fn place(&self, unit: &Unit) -> (PathBuf, u64) {
        match self.queue.locate(unit.number) {
            Some((path, position)) => (path.to_path_buf(), position),
            None => (self.queue.path.clone(), 0),
        }
    }
}

/// The queues of a store while its log is walked.
pub(crate) struct QueueCheck {
    queues: HashMap<(Vec<u8>, i32), Checked>,
    foreign: Vec<PathBuf>,
    store: PathBuf,
    usage: Usage,
}

impl QueueCheck {
    /// Lists the queues of a store and finds their ends; the log is to be read afterwards.
    pub(crate) fn open(store: &Path, usage: Usage) -> io::Result<Self> {
        let all = ConsumeQueues::open(store)?;
        let mut queues = HashMap::new();
        for queue in all.queues {
            let key = (queue.topic.clone().into_bytes(), queue.queue_id);
            queues.insert(key, Checked::new(queue)?);
        }
        Ok(Self { queues, foreign: all.foreign, store: store.to_path_buf(), usage })
    }

    /// The number of queues.
    pub(crate) fn count(&self) -> u64 {
        self.queues.len() as u64
    }

    /// One past the last index of a queue; `None` if there is no such queue.
    pub(crate) fn end(&self, topic: &str, queue_id: i32) -> Option<u64> {
        self.queues.get(&(topic.as_bytes().to_vec(), queue_id)).map(|checked| checked.end.index)
    }

    /// Holds a record that consumers see against its unit. A store without any queue files is
    /// complete: they are made from the log.
    pub(crate) fn record(
        &mut self,
        record: &RecordView<'_>,
        damaged: bool,
        findings: &mut Findings,
    ) -> Outcome {
        if self.queues.is_empty() {
            return Ok(());
        }
        let offset = record.queue_offset().get();
        let key = (record.topic_bytes().to_vec(), record.queue_id());
        let Some(checked) = self.queues.get_mut(&key) else {
            if damaged || self.usage.may_lag() {
                return Ok(());
            }
            let is_batch = record.sys_flag() & INNER_BATCH != 0;
            let directory = if is_batch { "batchconsumequeue" } else { "consumequeue" };
            let path = self.store.join(directory);
            return findings.add(missing(record, "there is no queue").path(&path));
        };
        checked.claim(offset..offset.saturating_add(message_count(record)));
        let mut unit = checked.unit(offset)?;
        if unit.is_none() && checked.lagging.is_none() {
            let lags = self.usage.may_lag();
            unit = checked.unit_now(offset)?;
            if unit.is_none() && !lags {
                let path = checked.queue.path.clone();
                return findings.add(missing(record, "there is no unit").path(&path));
            }
        }
        let Some(unit) = unit else {
            let path = checked.queue.path.clone();
            checked
                .lagging
                .get_or_insert_with(|| (offset, missing(record, "there is no unit").path(&path)));
            return Ok(());
        };
        checked.newest = checked.newest.max(Some(offset));
        let (path, position) = checked.place(&unit);
        compare(record, &unit)
            .map_or(Ok(()), |difference| findings.add(difference.path(&path).offset(position)))
    }

    /// Looks for units without a record, once the log was walked from `log.start` to `log.end`.
    pub(crate) fn finish(
        &mut self,
        log: Range<u64>,
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
            still_missing(checked, findings)?;
            for unit in without_record(checked, &log, damaged, units)? {
                let (path, position) = checked.place(&unit);
                findings.add(
                    Finding::new("queue_unit", "the unit points to no record of its queue")
                        .path(&path)
                        .offset(position)
                        .differs(
                            format!("a record in {} to {}", log.start, log.end),
                            format!("{} bytes at {}", unit.size, unit.physical_offset),
                        ),
                )?;
            }
        }
        Ok(())
    }
}

/// A queue that lags behind the log has no unit behind the first one it does not have.
fn still_missing(checked: &mut Checked, findings: &mut Findings) -> Outcome {
    match checked.lagging.take() {
        Some((index, finding)) if checked.newest > Some(index) => {
            if checked.unit_now(index)?.is_none() {
                findings.add(finding)?;
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// The units that point to no record of their queue in the log, and counts all units.
fn without_record(
    checked: &mut Checked,
    log: &Range<u64>,
    damaged: bool,
    units: &mut u64,
) -> Result<Vec<Unit>, Failure> {
    let own_records = !checked.queue.topic.starts_with(LIGHT_QUEUE_PREFIX);
    let mut wrong = Vec::new();
    checked.queue.refresh().map_err(cannot_read(&checked.queue.path))?;
    for number in checked.queue.first_number()..checked.end.number {
        // Retention may have removed the file, and only then is there no unit.
        let unit = checked.queue.unit(number).map_err(cannot_read(&checked.queue.path))?;
        let Some(unit) = unit.filter(Unit::is_message) else {
            continue;
        };
        *units += 1;
        let start = u64::try_from(unit.physical_offset).unwrap_or_default();
        let end = start + u64::try_from(unit.size).unwrap_or_default();
        let has_record = checked.is_claimed(unit.index) || !own_records;
        if start >= log.start && (end > log.end || !has_record && !damaged) {
            wrong.push(unit);
        }
    }
    Ok(wrong)
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
    if let Some(found) = unit.store_timestamp {
        let expected = (record.queue_offset().get(), message_count(record));
        if (unit.index, unit.messages) != expected {
            return Some(
                Finding::new("queue_unit", "the unit has other queue offsets than its record")
                    .differs(
                        format!("{} from {}", expected.1, expected.0),
                        format!("{} from {}", unit.messages, unit.index),
                    ),
            );
        }
        if found != record.store_timestamp_ms() {
            return Some(
                Finding::new("queue_unit", "the unit has another store time than its record")
                    .differs(record.store_timestamp_ms(), found),
            );
        }
    }
    // Here the third field is a delivery time, not the hash of a tag.
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
