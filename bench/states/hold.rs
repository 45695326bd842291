//! Opens a store, appends to it, says what that took, and holds it open until its input ends.
//!
//!     cairnlog-hold DIRECTORY BODY_BYTES BYTES [OPTION=VALUE]...
//!
//! The log grows by BYTES at least, with one message in any case. One JSON object goes to the
//! output when all is appended and, in a synchronous store, durable. A program that reads it can
//! then look at the process from outside, have everything made durable by a line of its input
//! (answered by one with the offset), end its input, which closes the store, or kill it.
#![deny(unsafe_code)]

use std::error::Error;
use std::fs::{self, File};
use std::io::{self, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use cairnlog::{Message, Store, StoreOptions};
use serde_json::json;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const TOPIC: &str = "bench";
/// What a thread of the floor reads at a time.
const BLOCK_BYTES: usize = 1 << 20;
/// Threads of the floor, as many as the walk of a log uses on a machine of two processors.
const FLOOR_THREADS: usize = 2;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to be told when stderr is closed.
            let _ = writeln!(io::stderr(), "cairnlog-hold: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<()> {
    let [directory, size, bytes, options @ ..] = arguments else {
        return Err("expected DIRECTORY BODY_BYTES BYTES [OPTION=VALUE]...".into());
    };
    let (body, bytes): (_, u64) = (vec![b'x'; size.parse()?], bytes.parse()?);
    let mut store_options = StoreOptions::default();
    store_options.append_record_crc = false;
    for option in options {
        let (name, value) = option.split_once('=').ok_or("an option is NAME=VALUE")?;
        store_options.set(name, value)?;
    }
    let resident_before = resident_bytes()?;
    let started = Instant::now();
    let store = Store::open(directory, &store_options)?;
    let opened = started.elapsed();
    let queue = store.queue(TOPIC, 0)?;
    queue.append(&Message::new(TOPIC, &body))?;
    let appended = started.elapsed();
    let report = store.recovery_report();
    let end = report.end_offset.get();
    let walked = report.walked_from.get()..end;
    let floor = floor_bytes_per_second(&Path::new(directory).join("commitlog"), walked.clone())?;
    while store.max_offset().get() < end + bytes {
        queue.append(&Message::new(TOPIC, &body))?;
    }
    let said = json!({
        "open_seconds": opened.as_secs_f64(),
        "first_append_seconds": appended.as_secs_f64(),
        "walk_seconds": report.duration.as_secs_f64(),
        "walked_bytes": walked.end - walked.start,
        "walked_records": report.records,
        "clean_stop": report.clean_stop,
        "files": report.files,
        "resident_bytes_before": resident_before,
        "floor_bytes_per_second": floor,
    });
    writeln!(io::stdout(), "{said}")?;
    for line in io::stdin().lines() {
        line?;
        store.flush()?;
        writeln!(io::stdout(), "{}", store.durable_offset().get())?;
    }
    Ok(store.close()?)
}

/// What of this process is in memory.
fn resident_bytes() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")).ok_or("no VmRSS")?;
    Ok(kilobytes.parse::<u64>()? * 1024)
}

/// How fast these bytes of the log are read and a CRC of them is computed, by threads that take
/// a block in turn; none where there is nothing.
fn floor_bytes_per_second(log: &Path, walked: Range<u64>) -> Result<Option<f64>> {
    if walked.is_empty() {
        return Ok(None);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(log)? {
        let entry = entry?;
        let start: u64 = entry.file_name().to_str().ok_or("not a log's file")?.parse()?;
        files.push((start, File::open(entry.path())?));
    }
    files.sort_by_key(|file| file.0);
    let (started, next) = (Instant::now(), AtomicU64::new(walked.start));
    thread::scope(|scope| {
        let read = || read_blocks(&files, &next, walked.end);
        let threads = [(); FLOOR_THREADS].map(|()| scope.spawn(read));
        let mut ended = threads.into_iter().map(thread::ScopedJoinHandle::join);
        ended.try_for_each(|ended| ended.unwrap_or_else(|_| Err("a thread failed".into())))
    })?;
    let elapsed = started.elapsed().max(Duration::from_nanos(1));
    Ok(Some((walked.end - walked.start) as f64 / elapsed.as_secs_f64()))
}

fn read_blocks(files: &[(u64, File)], next: &AtomicU64, end: u64) -> Result<()> {
    let mut block = vec![0; BLOCK_BYTES];
    loop {
        let at = next.fetch_add(BLOCK_BYTES as u64, Ordering::Relaxed);
        if at >= end {
            return Ok(());
        }
        // Files are whole blocks, and the last one goes on behind the end.
        let (start, file) = files.iter().rfind(|file| file.0 <= at).ok_or("no file")?;
        let count = file.read_at(&mut block, at - start)?;
        let read = block.get(..count).unwrap_or_default();
        std::hint::black_box(crc32fast::hash(read));
    }
}
