//! Dispatch: records per second that come to queues and index, and what that adds to an append.

use std::path::{Path, PathBuf};
use std::time::Instant;

use cairnlog::Message;

use crate::amounts::Amounts;
use crate::floor::{MappedLog, Table, write_units};
use crate::report::{Figure, Report, Target};
use crate::scene::{self, Key, SMALL_BODY, TOPIC, TemporaryStore, body, per_second};
use crate::{Case, Result};

/// More bytes than a record and its share of queue and index have.
const RECORD_BYTES: u64 = 320;
/// Bytes of the key with its topic, as they are hashed.
const HASHED_BYTES: usize = 18;

const TO_QUEUE: Figure = Figure {
    name: "dispatch to a queue, 100 B",
    unit: "records/s",
    floor: "walk the log and write 20 bytes a record, in memory",
    target: Some(Target::AtLeast(2e6)),
};
const TO_INDEX: Figure = Figure {
    name: "dispatch to queue and index, 100 B, one key",
    unit: "records/s",
    floor: "the same, and hash each key, store its slot and entry",
    target: Some(Target::AtLeast(1e6)),
};
const APPEND_BESIDE_QUEUE: Figure = Figure {
    name: "async append while dispatched to a queue, 100 B",
    unit: "records/s",
    floor: "append to a store without queues",
    target: Some(Target::RatioAtLeast(0.91)),
};
const APPEND_BESIDE_INDEX: Figure = Figure {
    name: "async append while dispatched to queue and index, 100 B",
    ..APPEND_BESIDE_QUEUE
};

/// What a store brings its records to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Goal {
    Nothing,
    Queue,
    QueueAndIndex,
}

/// Rates of one store.
#[derive(Debug, Clone, Copy)]
struct Rates {
    appended: f64,
    dispatched: f64,
    floor: f64,
}

struct Dispatch {
    path: PathBuf,
    amounts: Amounts,
    body: Vec<u8>,
    units: Vec<u8>,
    table: Table,
}

/// Stores are made in each round.
pub(crate) fn prepare(path: &Path, amounts: Amounts) -> Result<Box<dyn Case>> {
    let path = path.join("store");
    let table = Table::new(usize::try_from(amounts.dispatched)?);
    Ok(Box::new(Dispatch { path, amounts, body: body(SMALL_BODY), units: Vec::new(), table }))
}

impl Case for Dispatch {
    fn round(&mut self, report: &mut Report) -> Result<()> {
        let alone = self.turn(Goal::Nothing)?;
        let queue = self.turn(Goal::Queue)?;
        let index = self.turn(Goal::QueueAndIndex)?;
        report.add(TO_QUEUE, queue.dispatched, queue.floor);
        report.add(TO_INDEX, index.dispatched, index.floor);
        report.add(APPEND_BESIDE_QUEUE, queue.appended, alone.appended);
        report.add(APPEND_BESIDE_INDEX, index.appended, alone.appended);
        Ok(())
    }
}

impl Dispatch {
    /// Appends as fast as it goes, and waits until everything is dispatched.
    fn turn(&mut self, goal: Goal) -> Result<Rates> {
        let mut options = scene::options();
        options.consume_queue_enable = goal != Goal::Nothing;
        options.message_index_enable = goal == Goal::QueueAndIndex;
        let count = self.amounts.dispatched;
        let bytes = usize::try_from(count * RECORD_BYTES)?;
        let store = TemporaryStore::new(&self.path, &options, bytes)?;
        let queue = store.store.queue(TOPIC, 0)?;
        let mut key = Key::new();
        let started = Instant::now();
        for number in 0..count {
            let keys = [key.set(number)];
            queue.append(&Message::new(TOPIC, &self.body).keys(&keys))?;
        }
        let appended = per_second(count, started.elapsed());
        if goal != Goal::Nothing {
            store.wait_dispatched()?;
        }
        let dispatched = per_second(count, started.elapsed());
        let log = MappedLog::new(&store.log_file(), store.store.max_offset().get())?;
        let floor = self.floor(goal, &log);
        drop(log);
        store.remove()?;
        Ok(Rates { appended, dispatched, floor })
    }

    fn floor(&mut self, goal: Goal, log: &MappedLog) -> f64 {
        // The memory written to is touched before.
        write_units(log, &mut self.units);
        let started = Instant::now();
        let count = write_units(log, &mut self.units);
        if goal == Goal::QueueAndIndex {
            self.table.put_all(log, HASHED_BYTES);
        }
        per_second(count, started.elapsed())
    }
}
