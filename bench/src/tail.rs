//! Tails: the time from an append to a reader that waits in another thread.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use cairnlog::{Filter, FlushMode, Message, QueueOffset};

use crate::amounts::Amounts;
use crate::latency::{Latencies, Sent};
use crate::report::{Figure, Report, Target};
use crate::scene::{self, LONG, SMALL_BODY, TOPIC, TemporaryStore, body};
use crate::{Case, Result};

/// Between two messages, so that the reader waits again.
const PAUSE: Duration = Duration::from_micros(100);
/// What a store needs for a turn, and more.
const STORE_BYTES: usize = 64 << 20;
/// Bytes that the floor of a synchronous store writes; about those of a record.
const WRITTEN_BYTES: usize = 192;

const ASYNC_MEDIAN: Figure = Figure {
    name: "append to waiting reader, async store, p50",
    unit: "us",
    floor: "wake a thread that waits on a condition variable",
    target: Some(Target::AtMost(20.0)),
};
const RELAY_MEDIAN: Figure =
    Figure { name: "bare: wake a thread that wakes the reader, p50", target: None, ..ASYNC_MEDIAN };
const ASYNC_TAIL: Figure =
    Figure { name: "append to waiting reader, async store, p99", target: None, ..ASYNC_MEDIAN };
const SYNC_MEDIAN: Figure = Figure {
    name: "append to waiting reader, sync store, p50",
    floor: "pwrite, fdatasync, and wake a waiting thread",
    target: None,
    ..ASYNC_MEDIAN
};
const SYNC_TAIL: Figure =
    Figure { name: "append to waiting reader, sync store, p99", ..SYNC_MEDIAN };

struct Tail {
    path: PathBuf,
    amounts: Amounts,
}

/// Stores are made in each round.
pub(crate) fn prepare(path: &Path, amounts: Amounts) -> Result<Box<dyn Case>> {
    Ok(Box::new(Tail { path: path.to_path_buf(), amounts }))
}

impl Case for Tail {
    fn round(&mut self, report: &mut Report) -> Result<()> {
        let Amounts { tail_async, tail_sync, .. } = self.amounts;
        let floor = ping(tail_async, false, || Ok(()))?;
        let relay = ping(tail_async, true, || Ok(()))?;
        report.add(RELAY_MEDIAN, relay.microseconds(0.5), floor.microseconds(0.5));
        let tail = self.turn(FlushMode::Async, tail_async)?;
        report.add(ASYNC_MEDIAN, tail.microseconds(0.5), floor.microseconds(0.5));
        report.add(ASYNC_TAIL, tail.microseconds(0.99), floor.microseconds(0.99));
        let mut file = SyncedFile::new(&self.path.join("floor"))?;
        let floor = ping(tail_sync, false, || file.write_and_sync())?;
        let tail = self.turn(FlushMode::Sync, tail_sync)?;
        report.add(SYNC_MEDIAN, tail.microseconds(0.5), floor.microseconds(0.5));
        report.add(SYNC_TAIL, tail.microseconds(0.99), floor.microseconds(0.99));
        Ok(())
    }
}

impl Tail {
    /// Appends messages one by one while another thread waits for each.
    fn turn(&self, mode: FlushMode, count: usize) -> Result<Latencies> {
        let mut options = scene::options();
        options.flush_mode = mode;
        let store = TemporaryStore::new(&self.path.join("store"), &options, STORE_BYTES)?;
        let (sent, body) = (Sent::new(count), body(SMALL_BODY));
        let mut reader = store.store.tail(TOPIC, 0, QueueOffset::new(0), Filter::all())?;
        let queue = store.store.queue(TOPIC, 0)?;
        let latencies = thread::scope(|scope| {
            let reading = scope.spawn(|| -> Result<Latencies> {
                let mut latencies = Latencies::new()?;
                for _ in 0..count {
                    let message = reader.next_timeout(LONG)?.ok_or("no message came")?;
                    let number = usize::try_from(message.queue_offset().get())?;
                    latencies.record(sent.received(number));
                }
                Ok(latencies)
            });
            for number in 0..count {
                thread::sleep(PAUSE);
                sent.send(number);
                queue.append(&Message::new(TOPIC, &body))?;
            }
            reading.join().unwrap_or_else(|_| Err("the reader failed".into()))
        })?;
        drop((reader, queue));
        store.remove()?;
        Ok(latencies)
    }
}

/// What a thread waits for.
#[derive(Default)]
struct Gate {
    passed: Mutex<usize>,
    changed: Condvar,
}

impl Gate {
    fn pass(&self) {
        *self.passed.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.changed.notify_one();
    }

    fn wait_past(&self, number: usize) {
        let mut passed = self.passed.lock().unwrap_or_else(PoisonError::into_inner);
        while *passed <= number {
            passed = self.changed.wait(passed).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// The floor: does something and wakes a thread, over and over. With a relay that one wakes
/// another, as a dispatcher does, and it is the second one's waking that is measured.
fn ping(count: usize, relayed: bool, mut act: impl FnMut() -> Result<()>) -> Result<Latencies> {
    let (sent, first, second) = (Sent::new(count), Gate::default(), Gate::default());
    thread::scope(|scope| {
        let reading = scope.spawn(|| -> Result<Latencies> {
            let mut latencies = Latencies::new()?;
            for number in 0..count {
                (if relayed { &second } else { &first }).wait_past(number);
                latencies.record(sent.received(number));
            }
            Ok(latencies)
        });
        if relayed {
            scope.spawn(|| {
                for number in 0..count {
                    first.wait_past(number);
                    second.pass();
                }
            });
        }
        let mut failed = None;
        for number in 0..count {
            thread::sleep(PAUSE);
            sent.send(number);
            failed = failed.or(act().err());
            first.pass();
        }
        let latencies = reading.join().unwrap_or_else(|_| Err("the reader failed".into()));
        failed.map_or(latencies, Err)
    })
}

/// A file of which the same bytes are written over and over, its space reserved.
struct SyncedFile {
    file: File,
    bytes: [u8; WRITTEN_BYTES],
}

impl SyncedFile {
    fn new(path: &Path) -> Result<Self> {
        let mut file = File::create(path)?;
        let bytes = [1; WRITTEN_BYTES];
        file.write_all(&bytes)?;
        file.sync_all()?;
        Ok(Self { file, bytes })
    }

    fn write_and_sync(&mut self) -> Result<()> {
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&self.bytes)?;
        Ok(self.file.sync_data()?)
    }
}
