//! Appending without waiting, into files that are ready: what an append itself costs.
//!
//! How fast the system finds memory for new pages, and writes them back, is not measured here: the
//! stores have files that were touched before, and end before the next is needed.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cairnlog::{Message, StoreOptions};

use crate::amounts::Amounts;
use crate::floor::TouchedFile;
use crate::report::{Figure, Report, Target};
use crate::scene::{
    self, LARGE_BODY, SMALL_BODY, TOPIC, TemporaryStore, USED_OF_SEGMENT, body, per_second,
};
use crate::{Case, Result};

/// Bytes of a log file.
const FILE_BYTES: u64 = 1 << 30;
/// Bytes appended to a file, less than those at which the next one is made.
const BURST_BYTES: u64 = FILE_BYTES / USED_OF_SEGMENT - (8 << 20);
/// Records that are appended in one way before the next one has its turn.
const TURN_RECORDS: u64 = 1000;
/// More than a record has beyond its body.
const OVERHEAD_BYTES: u64 = 128;

const BY_HANDLE: Figure = Figure {
    name: "async append by handle into a touched file, 1 KiB",
    unit: "records/s",
    floor: "CRC of the body and copy of the record into a mapped, touched file",
    target: Some(Target::RatioAtLeast(0.80)),
};
const SMALL_BY_HANDLE: Figure =
    Figure { name: "async append by handle into a touched file, 100 B", target: None, ..BY_HANDLE };
const BESIDE_BARE: Figure = Figure {
    name: "async append by handle beside a bare one, 1 KiB",
    floor: "CRC, and under a lock clock, head, copy and published position",
    target: None,
    ..BY_HANDLE
};
const SMALL_BESIDE_BARE: Figure = Figure {
    name: "async append by handle beside a bare one, 100 B",
    target: Some(Target::RatioAtLeast(0.70)),
    ..BESIDE_BARE
};
const BY_NAME: Figure = Figure {
    name: "async append by name into a touched file, 1 KiB",
    floor: "the same by handle",
    target: Some(Target::RatioAtLeast(0.90)),
    ..BY_HANDLE
};
const SMALL_BY_NAME: Figure =
    Figure { name: "async append by name into a touched file, 100 B", ..BY_NAME };

struct Appends {
    path: PathBuf,
    options: StoreOptions,
    bursts: u32,
    count: Option<u64>,
    touched: TouchedFile,
}

/// Stores are made in each round.
pub(crate) fn prepare(path: &Path, amounts: Amounts) -> Result<Box<dyn Case>> {
    let mut options = scene::options();
    options.warm_mapped_file_enable = true;
    let (file, bytes) =
        if amounts.bursts > 0 { (FILE_BYTES, BURST_BYTES) } else { (8 << 20, 1 << 20) };
    options.segment_size_bytes = file;
    Ok(Box::new(Appends {
        path: path.join("store"),
        options,
        bursts: amounts.bursts.max(1),
        count: (amounts.bursts == 0).then_some(1000),
        touched: TouchedFile::new(&path.join("touched"), usize::try_from(bytes)?)?,
    }))
}

impl Case for Appends {
    fn round(&mut self, report: &mut Report) -> Result<()> {
        for (size, by_handle, beside_bare, by_name) in [
            (LARGE_BODY, BY_HANDLE, BESIDE_BARE, BY_NAME),
            (SMALL_BODY, SMALL_BY_HANDLE, SMALL_BESIDE_BARE, SMALL_BY_NAME),
        ] {
            let [handle, name, floor, bare] = self.rates(&body(size))?;
            report.add(by_handle, handle, floor);
            report.add(beside_bare, handle, bare);
            report.add(by_name, name, handle);
        }
        Ok(())
    }
}

impl Appends {
    /// Records per second by handle, by name, and of both floors, in turns so short that whatever
    /// else the machine does meets all four.
    fn rates(&mut self, body: &[u8]) -> Result<[f64; 4]> {
        let record_bytes = body.len() as u64 + OVERHEAD_BYTES;
        // By handle and by name into the same store.
        let count = self.count.unwrap_or(BURST_BYTES / record_bytes / 2);
        let turns = count.div_ceil(TURN_RECORDS);
        let mut times = [Duration::ZERO; 4];
        for _ in 0..self.bursts {
            self.burst(body, turns, &mut times)?;
        }
        let count = turns * TURN_RECORDS * u64::from(self.bursts);
        Ok(times.map(|time| per_second(count, time)))
    }

    /// So many turns in a new store, and their times.
    fn burst(&mut self, body: &[u8], turns: u64, times: &mut [Duration; 4]) -> Result<()> {
        let bytes = if self.count.is_some() { 0 } else { FILE_BYTES };
        let store = TemporaryStore::new(&self.path, &self.options, usize::try_from(bytes)?)?;
        let handle = store.store.queue(TOPIC, 0)?;
        let message = Message::new(TOPIC, body);
        // The first append waits for the file, and for its pages.
        let record = scene::body(handle.append(&message)?.size_bytes as usize);
        self.touched.touch();
        let mut at = 0;
        for _ in 0..turns {
            let mut watch = Instant::now();
            let mut taken = || std::mem::replace(&mut watch, Instant::now()).elapsed();
            for _ in 0..TURN_RECORDS {
                handle.append(&message)?;
            }
            times[0] += taken();
            for _ in 0..TURN_RECORDS {
                store.store.append(&message)?;
            }
            times[1] += taken();
            at = self.touched.copy(at, &record, body.len(), TURN_RECORDS);
            times[2] += taken();
            at = self.touched.append(at, &record, body.len(), TURN_RECORDS);
            times[3] += taken();
        }
        drop(handle);
        store.remove()
    }
}
