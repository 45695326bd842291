//! How long single appends take while the log goes from file to file and is flushed.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cairnlog::Message;

use crate::amounts::Amounts;
use crate::floor::{FreshFiles, TouchedFile};
use crate::latency::Latencies;
use crate::report::{Figure, Report, Target};
use crate::scene::{self, LARGE_BODY, TOPIC, TemporaryStore, body};
use crate::{Case, Result};

/// Files that are begun while the clock runs.
const ROLLOVERS: u64 = 10;
/// Bytes of a record, and no more than that of its body and properties.
const RECORD_BYTES: usize = 1126;
/// Between two appends of a load that a store is meant to keep up with: 50 thousand a second.
const PAUSE: Duration = Duration::from_micros(20);

const PACED: Figure = Figure {
    name: "async append across ten rollovers, 50 k/s, p99.99",
    unit: "us",
    floor: "CRC and copy into a mapped, touched file, at the same pace",
    target: Some(Target::AtMost(50.0)),
};
const PACED_WORST: Figure =
    Figure { name: "async append across ten rollovers, 50 k/s, longest", target: None, ..PACED };
const FAST: Figure = Figure {
    name: "async append across ten rollovers, as fast as it goes, p99.99",
    floor: "CRC and copy into new files that another thread reserves and populates",
    ..PACED
};
const FAST_WORST: Figure = Figure {
    name: "async append across ten rollovers, as fast as it goes, longest",
    target: None,
    ..FAST
};

struct Rollover {
    path: PathBuf,
    segment_bytes: u64,
    body: Vec<u8>,
    floor: TouchedFile,
}

/// Stores are made in each round; the floor's file is written over and over.
pub(crate) fn prepare(path: &Path, amounts: Amounts) -> Result<Box<dyn Case>> {
    let floor = TouchedFile::new(&path.join("floor"), usize::try_from(amounts.segment_bytes)?)?;
    let path = path.join("store");
    let body = body(LARGE_BODY);
    Ok(Box::new(Rollover { path, segment_bytes: amounts.segment_bytes, body, floor }))
}

impl Case for Rollover {
    fn round(&mut self, report: &mut Report) -> Result<()> {
        for (pause, p9999, longest) in
            [(PAUSE, PACED, PACED_WORST), (Duration::ZERO, FAST, FAST_WORST)]
        {
            let floor = if pause.is_zero() { self.fresh_files()? } else { self.floor(pause)? };
            let store = self.turn(pause)?;
            report.add(p9999, store.microseconds(0.9999), floor.microseconds(0.9999));
            report.add(longest, store.microseconds(1.0), floor.microseconds(1.0));
        }
        Ok(())
    }
}

impl Rollover {
    fn messages(&self) -> u64 {
        // A file has room for a part of a record at its end.
        (ROLLOVERS + 1) * self.segment_bytes / RECORD_BYTES as u64
    }

    fn turn(&self, pause: Duration) -> Result<Latencies> {
        let mut options = scene::options();
        options.segment_size_bytes = self.segment_bytes;
        let bytes = usize::try_from(self.segment_bytes * (ROLLOVERS + 2))?;
        let store = TemporaryStore::new(&self.path, &options, bytes)?;
        let queue = store.store.queue(TOPIC, 0)?;
        let message = Message::new(TOPIC, &self.body);
        queue.append(&message)?;
        let latencies = timed(self.messages(), pause, || Ok(queue.append(&message).map(drop)?))?;
        let begun = store.store.max_offset().get() / self.segment_bytes;
        if begun < ROLLOVERS {
            return Err(format!("there were {begun} rollovers").into());
        }
        drop(queue);
        store.remove()?;
        Ok(latencies)
    }

    fn fresh_files(&self) -> Result<Latencies> {
        let bytes = usize::try_from(self.segment_bytes)?;
        scene::touch_memory(bytes * (usize::try_from(ROLLOVERS)? + 2));
        let record = body(RECORD_BYTES);
        let directory = self.path.with_extension("fresh");
        let mut files = FreshFiles::new(&directory, bytes)?;
        let messages = self.messages();
        let latencies =
            timed(messages, Duration::ZERO, || files.copy_one(&record, self.body.len()))?;
        files.finish()?;
        std::fs::remove_dir_all(directory)?;
        Ok(latencies)
    }

    fn floor(&mut self, pause: Duration) -> Result<Latencies> {
        let messages = self.messages();
        let record = body(RECORD_BYTES);
        let (mut at, body_bytes) = (0, self.body.len());
        let floor = &mut self.floor;
        timed(messages, pause, || {
            at = floor.copy_one(at, &record, body_bytes);
            Ok(())
        })
    }
}

/// Does something so often, with a pause in between that keeps the processor, and notes how long
/// each time took.
fn timed(count: u64, pause: Duration, mut act: impl FnMut() -> Result<()>) -> Result<Latencies> {
    let mut latencies = Latencies::new()?;
    let mut due = Instant::now();
    for _ in 0..count {
        let mut started = Instant::now();
        while started < due {
            std::hint::spin_loop();
            started = Instant::now();
        }
        act()?;
        latencies.record(u64::try_from(started.elapsed().as_nanos())?);
        due = (due + pause).max(started);
    }
    Ok(latencies)
}
