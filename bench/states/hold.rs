//! Opens a store, appends to it, says what that took, and holds it open until its input ends.
//!
//!     cairnlog-hold DIRECTORY BODY_BYTES BYTES [OPTION=VALUE]...
//!
//! The log grows by BYTES at least, with one message in any case. One JSON object goes to the
//! output when all is appended and, in a synchronous store, durable. A program that reads it can
//! then look at the process from outside, end its input, which closes the store, or kill it.
#![deny(unsafe_code)]

use std::error::Error;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
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
    let floor = floor_bytes_per_second(&Path::new(directory).join("commitlog"))?;
    let started = Instant::now();
    let store = Store::open(directory, &store_options)?;
    let opened = started.elapsed();
    let queue = store.queue(TOPIC, 0)?;
    queue.append(&Message::new(TOPIC, &body))?;
    let appended = started.elapsed();
    let report = store.recovery_report();
    let end = report.end_offset.get();
    while store.max_offset().get() < end + bytes {
        queue.append(&Message::new(TOPIC, &body))?;
    }
    let said = json!({
        "open_seconds": opened.as_secs_f64(),
        "first_append_seconds": appended.as_secs_f64(),
        "walk_seconds": report.duration.as_secs_f64(),
        "walked_bytes": end - report.walked_from.get(),
        "walked_records": report.records,
        "clean_stop": report.clean_stop,
        "files": report.files,
        "resident_bytes_before": resident_before,
        "floor_bytes_per_second": floor,
    });
    writeln!(io::stdout(), "{said}")?;
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(store.close()?)
}

/// What of this process is in memory.
fn resident_bytes() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")).ok_or("no VmRSS")?;
    Ok(kilobytes.parse::<u64>()? * 1024)
}

/// How fast the log's files are read and a CRC of all bytes is computed, half of the files by each
/// of two threads; none where there is no log.
fn floor_bytes_per_second(log: &Path) -> Result<Option<f64>> {
    let Ok(entries) = fs::read_dir(log) else {
        return Ok(None);
    };
    let mut files = Vec::new();
    for entry in entries {
        files.push(entry?.path());
    }
    files.sort();
    let halves: Vec<&[PathBuf]> =
        files.chunks(files.len().div_ceil(FLOOR_THREADS).max(1)).collect();
    let started = Instant::now();
    let read: Vec<Result<u64>> = thread::scope(|scope| {
        let threads: Vec<_> =
            halves.into_iter().map(|half| scope.spawn(move || read_all(half))).collect();
        let ended = threads.into_iter().map(thread::ScopedJoinHandle::join);
        ended.map(|ended| ended.unwrap_or_else(|_| Err("a thread failed".into()))).collect()
    });
    let elapsed = started.elapsed().max(Duration::from_nanos(1));
    let bytes = read.into_iter().sum::<Result<u64>>()?;
    Ok((bytes > 0).then(|| bytes as f64 / elapsed.as_secs_f64()))
}

fn read_all(files: &[PathBuf]) -> Result<u64> {
    let (mut block, mut bytes, mut crcs) = (vec![0; BLOCK_BYTES], 0, 0);
    for path in files {
        let mut file = File::open(path)?;
        loop {
            let count = file.read(&mut block)?;
            let Some(read) = block.get(..count).filter(|read| !read.is_empty()) else {
                break;
            };
            crcs ^= crc32fast::hash(read);
            bytes += count as u64;
        }
    }
    std::hint::black_box(crcs);
    Ok(bytes)
}
