//! What must be in a store after kills, and whether it is.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;

use cairnlog::{
    LogEntry, LogReader, MessageView, PROPERTY_KEYS, PROPERTY_TAGS, PhysicalOffset, ReadRequest,
    RecoveryReport, Store, StoreOptions,
};

use crate::content::{Bodies, Name, QUEUES, TOPICS};
use crate::failure::{Failure, Kind, Result};
use crate::life::{Ack, Life};
use crate::plan::Promise;

/// A queue: its topic's place in [`TOPICS`], and its number.
type Queue = (usize, i32);

fn place(queue: Queue, index: u64) -> String {
    format!("{} queue {} index {index}", TOPICS.get(queue.0).unwrap_or(&"?"), queue.1)
}

/// A record that was found, with its bytes checked.
#[derive(Debug, Clone, Copy)]
struct Record {
    physical_offset: u64,
    end_offset: u64,
    queue: Queue,
    queue_offset: u64,
    name: Name,
    has_key: bool,
}

impl Record {
    fn of(view: &MessageView, bodies: &Bodies) -> Result<Self> {
        let at = view.physical_offset();
        let wrong = |what: &str| {
            Err(Failure::new(Kind::WrongBytes, format!("the record at {at} has another {what}")))
        };
        let Some(name) = Name::of_body(view.body()) else { return wrong("body: it is too short") };
        if !bodies.is_body(name, view.body()) {
            return wrong(&format!("body than {name}"));
        }
        let topic = view.topic();
        let Some(topic) = TOPICS.iter().position(|known| *known == topic) else {
            return wrong("topic");
        };
        if !(0..QUEUES).contains(&view.queue_id()) {
            return wrong("queue");
        }
        if view.property(PROPERTY_TAGS).is_some_and(|tag| tag != name.tag()) {
            return wrong("tag");
        }
        let key = view.property(PROPERTY_KEYS);
        if key.as_ref().is_some_and(|key| **key != *name.0.to_string()) {
            return wrong("key");
        }
        Ok(Self {
            physical_offset: at.get(),
            end_offset: view.end_offset().get(),
            queue: (topic, view.queue_id()),
            queue_offset: view.queue_offset().get(),
            name,
            has_key: key.is_some(),
        })
    }
}

/// A log that is whole: positions and indexes follow each other, and so do each thread's messages.
#[derive(Debug, Default)]
pub(crate) struct Log {
    records: Vec<Record>,
    /// By their index.
    queues: HashMap<Queue, Vec<Record>>,
    /// The number of the next message of each thread of each life.
    next_numbers: HashMap<u64, u64>,
}

impl Log {
    fn push(&mut self, record: Record) -> Result<()> {
        let before = self.records.last().map_or(0, |last| last.end_offset);
        if record.physical_offset < before {
            let text = format!("a record at {} reaches into another", record.physical_offset);
            return Err(Failure::new(Kind::WrongBytes, text));
        }
        let queue = self.queues.entry(record.queue).or_default();
        if record.queue_offset != queue.len() as u64 {
            let text = format!(
                "the record at {} is {}, expected index {}",
                record.physical_offset,
                place(record.queue, record.queue_offset),
                queue.len()
            );
            return Err(Failure::new(Kind::QueueGap, text));
        }
        let next = self.next_numbers.entry(record.name.writer()).or_default();
        if record.name.number() != *next {
            let text =
                format!("at {} is {}, expected number {next}", record.physical_offset, record.name);
            return Err(Failure::new(Kind::Order, text));
        }
        *next += 1;
        queue.push(record);
        self.records.push(record);
        Ok(())
    }

    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }
}

/// A message that must be there from now on.
#[derive(Debug, Clone, Copy)]
struct Fact {
    name: Name,
    /// Where it lies; unknown for all but the first of a batch until recovery has shown it.
    physical_offset: Option<u64>,
}

/// All that must be there, of every life of a store's writers.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    facts: HashMap<(Queue, u64), Fact>,
}

impl Facts {
    fn insert(&mut self, queue: Queue, index: u64, fact: Fact) -> Result<()> {
        let known = self.facts.entry((queue, index)).or_insert(fact);
        if known.name != fact.name {
            let at = place(queue, index);
            let text = format!("{at} was given to {} and again to {}", known.name, fact.name);
            return Err(Failure::new(Kind::Reused, text));
        }
        match (known.physical_offset, fact.physical_offset) {
            (Some(old), Some(new)) if old != new => {
                let text = format!("{} moved from {old} to {new}", known.name);
                Err(Failure::new(Kind::Reused, text))
            }
            (old, new) => {
                known.physical_offset = old.or(new);
                Ok(())
            }
        }
    }

    /// Notes what a life was promised, and returns how many messages that are. Each acknowledgement
    /// must have kept to its mode.
    pub(crate) fn promised(&mut self, life: &Life, promise: Promise) -> Result<u64> {
        let committed = life.acks.iter().filter_map(|ack| ack.committed).max().unwrap_or(0);
        let mut messages = 0;
        for ack in &life.acks {
            let safe = match promise {
                Promise::Durable => ack.durable.unwrap_or(ack.end_offset),
                Promise::Committed => ack.committed.unwrap_or(ack.end_offset),
                Promise::OnceCommitted => committed,
            };
            if ack.end_offset <= safe {
                self.acknowledge(ack)?;
                messages += ack.count;
            } else if promise != Promise::OnceCommitted {
                let text = format!(
                    "{} was acknowledged when {safe} was {promise:?}, and ends at {}",
                    ack.name, ack.end_offset
                );
                return Err(Failure::new(Kind::FalseAcknowledgement, text));
            }
        }
        Ok(messages)
    }

    fn acknowledge(&mut self, ack: &Ack) -> Result<()> {
        for number in 0..ack.count {
            let fact = Fact {
                name: ack.name.plus(number),
                physical_offset: (number == 0).then_some(ack.physical_offset),
            };
            self.insert((ack.topic, ack.queue_id), ack.queue_offset + number, fact)?;
        }
        Ok(())
    }

    /// Notes that all of a recovered log stays.
    pub(crate) fn settle(&mut self, log: &Log) -> Result<()> {
        log.records.iter().try_for_each(|record| {
            let fact = Fact { name: record.name, physical_offset: Some(record.physical_offset) };
            self.insert(record.queue, record.queue_offset, fact)
        })
    }

    /// Checks that a log has all of them.
    pub(crate) fn check(&self, log: &Log) -> Result<()> {
        for ((queue, index), fact) in &self.facts {
            let found = log.queues.get(queue).and_then(|records| records.get(*index as usize));
            let Some(found) = found else {
                let text = format!("{}, {} is lost", fact.name, place(*queue, *index));
                return Err(Failure::new(Kind::AcknowledgedLost, text));
            };
            let moved = fact.physical_offset.is_some_and(|at| at != found.physical_offset);
            if found.name != fact.name || moved {
                let text = format!(
                    "{} was to be {} at {:?}, and is {} at {}",
                    place(*queue, *index),
                    fact.name,
                    fact.physical_offset,
                    found.name,
                    found.physical_offset
                );
                return Err(Failure::new(Kind::Reused, text));
            }
        }
        Ok(())
    }
}

/// Whether topic and properties were not written to their end; no CRC covers them.
fn ends_in_zero(view: &MessageView) -> bool {
    let record = view.record();
    record.properties_raw().last().or(record.topic_bytes().last()) == Some(&0)
}

/// Reads a log as a kill left it. Behind a record that was cut short nothing may follow.
pub(crate) fn as_left(directory: &Path, bodies: &Bodies) -> Result<Log> {
    let mut log = Log::default();
    if !directory.join("commitlog").is_dir() {
        return Ok(log);
    }
    let reader = LogReader::open(directory)?;
    let mut damage = None;
    for entry in reader.entries(reader.min_offset()) {
        match (entry, &damage) {
            (Ok(LogEntry::Message(view)), None) if ends_in_zero(&view) => {
                let at = view.physical_offset();
                damage = Some(format!("what follows the body at {at} was not written"));
            }
            (Ok(LogEntry::Message(view)), None) => log.push(Record::of(&view, bodies)?)?,
            (Ok(LogEntry::Message(view)), Some(damage)) => {
                let at = view.physical_offset();
                let text =
                    format!("behind the record that was cut short ({damage}) is one at {at}");
                return Err(Failure::new(Kind::WrongBytes, text));
            }
            (Ok(LogEntry::Blank { .. }), _) => {}
            (Err(error), None) => damage = Some(error.to_string()),
            (Err(error), Some(damage)) => {
                let text = format!("two records are cut short: {damage}; {error}");
                return Err(Failure::new(Kind::WrongBytes, text));
            }
        }
    }
    Ok(log)
}

/// Opens a store, which recovers it, reads its log, its queues and some keys, and closes it.
pub(crate) fn reopened(
    directory: &Path,
    options: &StoreOptions,
    bodies: &Bodies,
) -> Result<(Log, RecoveryReport)> {
    let store = Store::open(directory, options)?;
    let mut log = Log::default();
    for view in store.scan(store.min_offset())? {
        log.push(Record::of(&view?, bodies)?)?;
    }
    check_queues(&store, &log)?;
    check_keys(&store, &log)?;
    let report = store.recovery_report().clone();
    store.close()?;
    Ok((log, report))
}

/// Every queue must have the log's messages, and no others.
fn check_queues(store: &Store, log: &Log) -> Result<()> {
    for (topic_at, topic) in TOPICS.into_iter().enumerate() {
        for queue_id in 0..QUEUES {
            let queue = (topic_at, queue_id);
            let expected = log.queues.get(&queue).map_or(&[][..], Vec::as_slice);
            let mut next = 0;
            for record in expected {
                if record.queue_offset < next {
                    continue;
                }
                let request = ReadRequest::new(topic, queue_id, record.queue_offset as i64);
                let batch = store.read(&request.max_messages(4096))?;
                let found = batch.messages();
                let wanted = &expected[record.queue_offset as usize..];
                let equal = found.iter().zip(wanted).all(|(found, wanted)| {
                    found.physical_offset() == PhysicalOffset::new(wanted.physical_offset)
                });
                if found.is_empty() || !equal {
                    let outcome = batch.outcome();
                    let text = format!("{outcome:?} at {}", place(queue, record.queue_offset));
                    return Err(Failure::new(Kind::Derived, text));
                }
                next = record.queue_offset + found.len() as u64;
            }
            let end = store.queue_range(topic, queue_id)?.map_or(0, |range| range.end.get());
            let next_offset = store.next_queue_offset(topic, queue_id).get();
            if (end, next_offset) != (next, next) {
                let at = place(queue, next);
                let text =
                    format!("the log ends at {at}, its queue at {end}, {next_offset} is next");
                return Err(Failure::new(Kind::Derived, text));
            }
        }
    }
    Ok(())
}

/// The newest messages with keys must be found by them.
fn check_keys(store: &Store, log: &Log) -> Result<()> {
    for record in log.records.iter().rev().filter(|record| record.has_key).take(3) {
        let topic = TOPICS.get(record.queue.0).unwrap_or(&"");
        let found = store.query_key(topic, &record.name.0.to_string(), 0, i64::MAX, 4)?;
        let places: Vec<_> = found.iter().map(|view| view.physical_offset().get()).collect();
        if places != [record.physical_offset] {
            let text = format!("{} is found by its key at {places:?}", record.name);
            return Err(Failure::new(Kind::Derived, text));
        }
    }
    Ok(())
}

/// Has the tool check a closed store.
pub(crate) fn verify(tool: &Path, directory: &Path) -> Result<()> {
    let output = Command::new(tool).arg("verify").arg(directory).output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    Err(Failure::new(Kind::VerifyFinding, String::from_utf8_lossy(&said).trim()))
}
