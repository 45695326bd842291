//! The appends that are measured, the same for every store.

use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::peers::{self, Peer, Writer};
use crate::{Arguments, Mode, Result};

/// The longest latency told apart, one minute in nanoseconds.
const MAX_NANOSECONDS: u64 = 60_000_000_000;
/// Bodies of so many bytes are appended at most, over all threads: a disk holds only so much.
const MAX_BYTES: u64 = 1 << 30;
/// How long every thread appends before it is measured.
const WARM_UP: Duration = Duration::from_millis(200);
/// Memory is touched in steps of this many bytes, no more than the smallest page.
const PAGE_BYTES: usize = 4096;

/// What was measured, as `cairnlog bench --json` has it.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    peer: &'static str,
    version: &'static str,
    mode: &'static str,
    size: u32,
    threads: u32,
    inflight: u32,
    seconds: f64,
    messages: u64,
    messages_per_second: f64,
    p50_ns: u64,
    p99_ns: u64,
    p999_ns: u64,
    p9999_ns: u64,
    max_ns: u64,
    /// Appends over the whole life of the process, those of the warm-up included: what syncs that
    /// the system counts are to be divided by.
    appended: u64,
}

/// When a thread stops: at a time, or after so many messages.
#[derive(Debug, Clone, Copy)]
struct Limit {
    duration: Duration,
    messages: u64,
}

/// Opens the store, appends, and removes it.
pub(crate) fn run(arguments: &Arguments) -> Result<Report> {
    let directory = WorkDirectory::make(&arguments.directory)?;
    let seconds = Duration::try_from_secs_f64(arguments.seconds)?;
    let measured = measure(arguments, seconds, &directory.path);
    fs::remove_dir_all(&directory.path)?;
    measured
}

struct WorkDirectory {
    path: PathBuf,
}

impl WorkDirectory {
    fn make(parent: &Path) -> Result<Self> {
        let path = parent.join(format!("peer-bench-{}", std::process::id()));
        fs::create_dir_all(&path)?;
        Ok(Self { path: path.canonicalize()? })
    }
}

fn measure(arguments: &Arguments, duration: Duration, directory: &Path) -> Result<Report> {
    touch_memory();
    let peer = peers::open(arguments.peer, directory, arguments.mode)?;
    let each = u64::from(arguments.threads) * u64::from(arguments.size);
    let limit = Limit { duration, messages: (MAX_BYTES / each).max(1) };
    let total = with_threads(&*peer, arguments.threads, &body(arguments.size as usize), limit)?;
    peer.close()?;
    let quantile = |share| total.latencies.value_at_quantile(share);
    let elapsed = (total.ended - total.started).as_secs_f64();
    let messages = total.latencies.len();
    let (name, version) = arguments.peer.describe();
    Ok(Report {
        peer: name,
        version,
        mode: if arguments.mode == Mode::Sync { "sync" } else { "async" },
        size: arguments.size,
        threads: arguments.threads,
        inflight: arguments.inflight,
        seconds: elapsed,
        messages,
        messages_per_second: messages as f64 / elapsed,
        p50_ns: quantile(0.5),
        p99_ns: quantile(0.99),
        p999_ns: quantile(0.999),
        p9999_ns: quantile(0.9999),
        max_ns: total.latencies.max(),
        appended: total.warm_up + messages,
    })
}

/// What a thread did, or all of them.
struct Total {
    warm_up: u64,
    started: Instant,
    ended: Instant,
    latencies: Histogram<u64>,
}

/// Appends with all threads and adds up what they did.
fn with_threads(peer: &dyn Peer, threads: u32, body: &[u8], limit: Limit) -> Result<Total> {
    let warm = Barrier::new(threads as usize);
    let totals: Vec<Result<Total>> = thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|thread| {
                let warm = &warm;
                scope.spawn(move || with_one(peer, thread, body, limit, warm))
            })
            .collect();
        let ended = |thread: thread::ScopedJoinHandle<'_, _>| {
            thread.join().unwrap_or_else(|_| Err("a thread panicked".into()))
        };
        running.into_iter().map(ended).collect()
    });
    let mut totals = totals.into_iter();
    let mut all = totals.next().unwrap_or_else(|| Err("there is no thread".into()))?;
    for total in totals {
        let total = total?;
        all.warm_up += total.warm_up;
        all.started = all.started.min(total.started);
        all.ended = all.ended.max(total.ended);
        all.latencies.add(total.latencies)?;
    }
    Ok(all)
}

fn with_one(
    peer: &dyn Peer,
    thread: u32,
    body: &[u8],
    limit: Limit,
    warm: &Barrier,
) -> Result<Total> {
    let warmed = peer.writer(thread).and_then(|mut writer| {
        let brief = Limit { duration: WARM_UP.min(limit.duration), ..limit };
        let (latencies, _, _) = appends(&mut *writer, body, 0, brief)?;
        Ok((writer, latencies.len()))
    });
    // Those that failed come here, too, or the others would wait for them.
    warm.wait();
    let (mut writer, warm_up) = warmed?;
    let (latencies, started, ended) = appends(&mut *writer, body, warm_up, limit)?;
    Ok(Total { warm_up, started, ended, latencies })
}

/// One clock reading per append: the end of one is the beginning of the next.
fn appends(
    writer: &mut dyn Writer,
    body: &[u8],
    first: u64,
    limit: Limit,
) -> Result<(Histogram<u64>, Instant, Instant)> {
    let mut latencies = Histogram::new_with_bounds(1, MAX_NANOSECONDS, 3)?;
    let started = Instant::now();
    let mut before = started;
    for index in first..first + limit.messages {
        writer.append(index, body)?;
        let now = Instant::now();
        latencies.saturating_record((now - before).as_nanos() as u64);
        before = now;
        if now - started >= limit.duration {
            break;
        }
    }
    Ok((latencies, started, before))
}

/// Has the memory for the store's pages in the machine before it is needed. A virtual machine gives
/// free memory back to its host, and to get it again takes many times as long as an append.
fn touch_memory() {
    let mut memory = vec![0u8; MAX_BYTES as usize];
    for page in memory.chunks_mut(PAGE_BYTES) {
        if let Some(byte) = page.first_mut() {
            *byte = 1;
        }
    }
    black_box(&memory);
}

/// Bytes that compress and check like data, the same as those of `cairnlog bench`.
fn body(size: usize) -> Vec<u8> {
    let mut state: u32 = 0x9E37_79B9;
    (0..size)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            (state >> 24) as u8
        })
        .collect()
}
