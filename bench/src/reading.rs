//! Reading: by queue, in order and at random, and the log from end to end.

use std::hint::black_box;
use std::path::Path;

use cairnlog::{LogEntry, LogReader, MessageView, PhysicalOffset, ReadRequest};

use crate::amounts::Amounts;
use crate::floor::{MappedLog, Records, crc_of_blocks, sum};
use crate::report::{Figure, Report, Target};
use crate::scene::{
    self, LARGE_BODY, Pass, Random, SMALL_BODY, TOPIC, TemporaryStore, body, rates,
};
use crate::{Case, Result};

/// Messages of one read.
const MANY: usize = 1024;
/// The default of a read.
const FEW: usize = 32;
/// Reads at random offsets of a pass.
const RANDOM_READS: u64 = 20_000;

const VIEWS: Figure = Figure {
    name: "read a queue in order, 1024 views a read",
    unit: "messages/s",
    floor: "load each unit and the head of its record",
    target: Some(Target::AtLeast(12e6)),
};
const FEW_VIEWS: Figure =
    Figure { name: "read a queue in order, 32 views a read", target: None, ..VIEWS };
const DECODED: Figure = Figure {
    name: "read a queue in order, every field and property decoded",
    unit: "messages/s",
    floor: "load each unit and all of its record",
    target: Some(Target::AtLeast(5e6)),
};
const AT_RANDOM: Figure = Figure {
    name: "read one message at a random offset",
    unit: "messages/s",
    floor: "load a random unit and the head of its record",
    target: None,
};
const SCAN: Figure = Figure {
    name: "scan the log, 1 KiB, no CRC",
    unit: "bytes/s",
    floor: "load every byte",
    target: Some(Target::AtLeast(5e9)),
};
const SCAN_CRC: Figure = Figure {
    name: "scan the log, 1 KiB, CRC verified",
    unit: "bytes/s",
    floor: "CRC of every kilobyte",
    target: Some(Target::RatioAtLeast(0.9)),
};

struct Reading {
    amounts: Amounts,
    queue: TemporaryStore,
    records: Records,
    log: TemporaryStore,
    mapped_log: MappedLog,
    log_reader: LogReader,
    random: Random,
}

/// Fills a store to read by queue, and one to scan.
pub(crate) fn prepare(path: &Path, amounts: Amounts) -> Result<Box<dyn Case>> {
    let mut options = scene::options();
    options.message_index_enable = false;
    let bytes = |count: u64, body: usize| usize::try_from(count).map(|count| count * (body + 160));
    let queue =
        TemporaryStore::new(&path.join("queue"), &options, bytes(amounts.read, SMALL_BODY)?)?;
    queue.fill(amounts.read, &body(SMALL_BODY))?;
    let log =
        TemporaryStore::new(&path.join("log"), &options, bytes(amounts.scanned, LARGE_BODY)?)?;
    log.fill(amounts.scanned, &body(LARGE_BODY))?;
    let records = Records {
        log: MappedLog::new(&queue.log_file(), queue.store.max_offset().get())?,
        units: queue.units(0)?,
    };
    let mapped_log = MappedLog::new(&log.log_file(), log.store.max_offset().get())?;
    let log_reader = LogReader::open(log.store.path())?;
    let random = Random::new(11);
    Ok(Box::new(Reading { amounts, queue, records, log, mapped_log, log_reader, random }))
}

impl Case for Reading {
    fn round(&mut self, report: &mut Report) -> Result<()> {
        let turn = self.amounts.turn;
        let index = |message: &MessageView| message.queue_offset().get();
        let (mut random, mut floor_random) = (self.random.clone(), self.random.clone());
        let mut measure = |figure, pass: &mut Pass<'_>, floor: &mut Pass<'_>| -> Result<()> {
            let (value, floor) = rates(turn, pass, floor)?;
            report.add(figure, value, floor);
            Ok(())
        };
        let heads = &mut || Ok(self.load(Records::load_head));
        measure(VIEWS, &mut || self.in_order(MANY, index), heads)?;
        measure(FEW_VIEWS, &mut || self.in_order(FEW, index), heads)?;
        let whole = &mut || Ok(self.load(|records, number| sum(records.record(number))));
        measure(DECODED, &mut || self.in_order(MANY, decode), whole)?;
        measure(AT_RANDOM, &mut || self.at_random(&mut random), &mut || {
            Ok(self.load_at_random(&mut floor_random))
        })?;
        let all = self.mapped_log.bytes();
        measure(SCAN, &mut || self.scan(), &mut || {
            black_box(sum(all));
            Ok(all.len() as u64)
        })?;
        measure(SCAN_CRC, &mut || self.scan_verified(), &mut || {
            black_box(crc_of_blocks(all));
            Ok(all.len() as u64)
        })?;
        self.random = random;
        Ok(())
    }
}

impl Reading {
    /// Loads something of every record.
    fn load(&self, load: impl Fn(&Records, usize) -> u64) -> u64 {
        let count = usize::try_from(self.amounts.read).unwrap_or_default();
        black_box((0..count).fold(0, |all, number| all ^ load(&self.records, number)));
        self.amounts.read
    }

    fn load_at_random(&self, random: &mut Random) -> u64 {
        let load = |_| {
            let number = usize::try_from(random.below(self.amounts.read)).unwrap_or_default();
            self.records.load_head(number)
        };
        black_box((0..RANDOM_READS).map(load).fold(0, |all, head| all ^ head));
        RANDOM_READS
    }

    /// Reads the queue from its beginning to its end.
    fn in_order(&self, most: usize, look: impl Fn(&MessageView) -> u64) -> Result<u64> {
        let (mut next, mut count) = (0, 0);
        while count < self.amounts.read {
            let request = ReadRequest::new(TOPIC, 0, next).max_messages(most);
            let batch = self.queue.store.read(&request)?;
            if batch.next_offset() == next {
                return Err("the queue ends too early".into());
            }
            black_box(batch.messages().iter().fold(0, |all, message| all ^ look(message)));
            count += batch.messages().len() as u64;
            next = batch.next_offset();
        }
        Ok(count)
    }

    fn at_random(&self, random: &mut Random) -> Result<u64> {
        let reads = RANDOM_READS.min(self.amounts.read);
        for _ in 0..reads {
            let offset = random.below(self.amounts.read);
            let request = ReadRequest::new(TOPIC, 0, offset.cast_signed()).max_messages(1);
            let batch = self.queue.store.read(&request)?;
            match batch.messages() {
                [message] if message.queue_offset().get() == offset => {}
                _ => return Err("another message was read".into()),
            }
        }
        Ok(reads)
    }

    fn scan(&self) -> Result<u64> {
        let mut bytes = 0;
        for message in self.log.store.scan(PhysicalOffset::new(0))? {
            bytes += u64::from(message?.size_bytes());
        }
        Ok(bytes)
    }

    fn scan_verified(&self) -> Result<u64> {
        // The end of the log is not looked for: that would be measured, too.
        let count = usize::try_from(self.amounts.scanned)?;
        let entries = self.log_reader.entries(PhysicalOffset::new(0));
        entries.take(count).try_fold(0, |bytes, entry| match entry? {
            LogEntry::Message(message) => Ok(bytes + u64::from(message.size_bytes())),
            LogEntry::Blank { .. } => Ok(bytes),
        })
    }
}

/// Every field and property.
fn decode(message: &MessageView) -> u64 {
    let record = message.record();
    let numbers = [
        i64::from(record.magic()),
        i64::from(record.queue_id()),
        i64::from(record.flag()),
        i64::from(record.sys_flag()),
        i64::from(record.reconsume_times()),
        record.born_timestamp_ms(),
        record.store_timestamp_ms(),
        record.prepared_transaction_offset(),
        i64::from(record.born_host().port()),
        i64::from(record.store_host().port()),
    ];
    let positions = record.queue_offset().get() ^ record.physical_offset().get();
    let lengths = record.body().len() + record.topic().len();
    let properties = record.properties().fold(0, |all, (name, value)| {
        all + String::from_utf8_lossy(name).len() + String::from_utf8_lossy(value).len()
    });
    let crc = u64::from(record.body_crc() ^ record.size_bytes());
    let all = numbers.iter().fold(crc ^ positions, |all, number| all ^ number.cast_unsigned());
    all ^ (lengths + properties) as u64
}
