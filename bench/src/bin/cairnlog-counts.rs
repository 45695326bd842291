//! What `bench/counts.py` counts the instructions of, by running this under callgrind.
//!
//! [`report`] prints a line for each call of [`measured`], in order: the name of the act, and how
//! often it was done.
#![deny(unsafe_code)]

use std::error::Error;
use std::hint::black_box;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use cairnlog::{
    Completion, CompletionSink, FlushMode, LogReader, Message, PhysicalOffset, ReadRequest, Store,
    StoreOptions,
};
use clap::Parser;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// How often an act is done while it is counted.
const REPETITIONS: u32 = 500;
/// Everything is counted so often: what else the store does at the same time differs.
const ROUNDS: usize = 5;
/// Messages of a call that appends many: they go to the log in one turn.
const MANY: usize = 10;
/// Topics among which one is looked up.
const TOPICS: u32 = 64;
const LONG: Duration = Duration::from_secs(120);

/// Does what `bench/counts.py` counts.
#[derive(Debug, Parser)]
struct Arguments {
    /// An empty directory for stores.
    directory: PathBuf,
}

fn main() -> ExitCode {
    match run(&Arguments::parse().directory) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to be told when stderr is closed.
            let _ = writeln!(io::stderr(), "cairnlog-counts: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Callgrind counts what happens in here and nothing else.
#[inline(never)]
fn measured(act: &mut dyn FnMut() -> Result<()>) -> Result<()> {
    for _ in 0..REPETITIONS {
        act()?;
    }
    Ok(())
}

/// Callgrind writes what it counted to a file of its own when this is called.
#[inline(never)]
fn report(name: &str) -> Result<()> {
    Ok(writeln!(io::stdout(), "{name}\t{REPETITIONS}")?)
}

/// Does something once, unmeasured, and then measured.
fn measure(name: &str, mut act: impl FnMut() -> Result<()>) -> Result<()> {
    act()?;
    measured(&mut act)?;
    report(name)
}

fn run(directory: &Path) -> Result<()> {
    let (small, large) = (vec![b'x'; 100], vec![b'x'; 1024]);
    // Without queues: whether a dispatcher happens to wait, and is woken, changes from run to run.
    let store = open(&directory.join("async"), FlushMode::Async, false)?;
    let synced = open(&directory.join("sync"), FlushMode::Sync, false)?;
    for round in 0..ROUNDS {
        for (body, size) in [(&small, "100 B"), (&large, "1 KiB")] {
            let message = Message::new("topic", body);
            appends(&store, &message, size)?;
            submits(&synced, &message, size)?;
            reads(&directory.join(format!("read-{round}-{}", body.len())), body, size)?;
        }
        look_up(&store)?;
    }
    store.close()?;
    Ok(synced.close()?)
}

fn open(path: &Path, mode: FlushMode, queues: bool) -> Result<Store> {
    let mut options = StoreOptions::default();
    options.segment_size_bytes = 64 << 20;
    options.flush_mode = mode;
    options.schedule_enable = false;
    options.consume_queue_enable = queues;
    options.append_record_crc = false;
    options.check_crc_on_read = false;
    Ok(Store::open(path, &options)?)
}

/// The message with a tag, keys and properties.
fn full<'a>(message: &Message<'a>) -> Message<'a> {
    let properties: &[(&str, &str)] = &[("region", "north"), ("trace", "0123456789abcdef")];
    message.tag("new").keys(&["k1", "k2"]).properties(properties)
}

fn appends(store: &Store, message: &Message<'_>, size: &str) -> Result<()> {
    let queue = store.queue("topic", 0)?;
    let append = |message: &Message<'_>| {
        queue.append(black_box(message))?;
        Ok(())
    };
    measure(&format!("append by handle, {size}"), || append(message))?;
    let with_properties = full(message);
    measure(&format!("append by handle, {size}, properties"), || append(&with_properties))?;
    measure(&format!("append by name, {size}"), || {
        store.append(black_box(message))?;
        Ok(())
    })?;
    let many = [*message; MANY];
    let mut results = Vec::with_capacity(MANY);
    measure(&format!("append {MANY} in a call, {size}"), || {
        results.clear();
        Ok(store.append_many(black_box(&many), &mut results)?)
    })?;
    Ok(store.flush()?)
}

/// Waits until the threads of the store have nothing to do.
fn settle(store: &Store) -> Result<()> {
    store.flush()?;
    match store.wait_dispatched(store.max_offset(), LONG)? {
        true => Ok(()),
        false => Err("records were not dispatched in time".into()),
    }
}

/// Tells when all of some appends are completed.
struct Completed {
    left: AtomicU64,
    done: mpsc::SyncSender<()>,
}

impl CompletionSink for Completed {
    fn complete(&self, group: Vec<Completion>) {
        let count = group.len() as u64;
        if self.left.fetch_sub(count, Ordering::AcqRel) == count {
            // Fails only when nobody waits any more.
            let _ = self.done.try_send(());
        }
    }
}

/// Appends that leave the waiting for the sync to others.
fn submits(store: &Store, message: &Message<'_>, size: &str) -> Result<()> {
    let queue = store.queue("topic", 0)?;
    let (done, wait) = mpsc::sync_channel(1);
    let left = AtomicU64::new(u64::from(REPETITIONS) + 1);
    let sink: Arc<dyn CompletionSink> = Arc::new(Completed { left, done });
    measure(&format!("submit to a synchronous store, {size}"), || {
        queue.append_to_sink(black_box(message), &sink, 1)?;
        Ok(())
    })?;
    Ok(wait.recv_timeout(LONG)?)
}

fn reads(path: &Path, body: &[u8], size: &str) -> Result<()> {
    let store = open(path, FlushMode::Async, true)?;
    let message = Message::new("topic", body);
    for _ in 0..=REPETITIONS {
        store.append(&full(&message))?;
    }
    settle(&store)?;
    let mut scan = store.scan(PhysicalOffset::new(0))?;
    measure(&format!("scan a record, {size}"), || {
        black_box(scan.next().ok_or("the log ends too early")??);
        Ok(())
    })?;
    let log = LogReader::open(path)?;
    let mut entries = log.entries(PhysicalOffset::new(0));
    measure(&format!("scan a record and verify its CRC, {size}"), || {
        black_box(entries.next().ok_or("the log ends too early")??);
        Ok(())
    })?;
    let first = store.read_at(PhysicalOffset::new(0))?;
    measure(&format!("decode properties, {size}"), || {
        for (name, value) in black_box(&first).record().properties() {
            black_box((String::from_utf8_lossy(name), String::from_utf8_lossy(value)));
        }
        Ok(())
    })?;
    for count in [1, 32] {
        let request = ReadRequest::new("topic", 0, 7).max_messages(count);
        measure(&format!("read {count} by queue, {size}"), || {
            let batch = store.read(black_box(&request))?;
            let whole = batch.messages().len() == count;
            if whole { Ok(()) } else { Err("messages are missing".into()) }
        })?;
    }
    Ok(store.close()?)
}

fn look_up(store: &Store) -> Result<()> {
    let topics: Vec<_> = (0..TOPICS).map(|number| format!("topic-{number}")).collect();
    let mut names = topics.iter().cycle();
    for _ in 1..TOPICS {
        drop(store.queue(names.next().ok_or("no topic")?, 0)?);
    }
    measure("look up a queue", || {
        drop(black_box(store.queue(names.next().ok_or("no topic")?, 0)?));
        Ok(())
    })
}
