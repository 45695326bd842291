//! `bench`: appends per second, latencies, and the raw limit of the machine beside them.
//!
//! Machines are shared and files warm up, so only figures of one run can be compared. The measured
//! appends and the floor therefore take short turns in the same directory. The store is made anew
//! when it has grown, outside the measured time, so that a run needs a bounded amount of disk.

mod floor;
mod load;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cairnlog::{FlushMode, Store, StoreOptions};
use indicatif::ProgressBar;
use serde::Serialize;

use self::floor::Floor;
use self::load::Load;
use crate::arguments::{Bench, Flush};
use crate::failure::{Failure, Outcome};
use crate::interrupt;
use crate::latency::{Latencies, human};
use crate::output::Output;
use crate::progress;

/// How long a turn lasts at most.
const TURN: Duration = Duration::from_millis(200);
/// How many bytes a turn writes at most, over all threads.
const TURN_BYTES: u64 = 192 << 20;
/// The store is made anew when it holds this many bytes.
const STORE_BYTES: usize = 512 << 20;
/// Memory is touched in steps of this many bytes, no more than the smallest page.
const PAGE_BYTES: usize = 4096;
/// How long a new store may prepare its files before it is measured.
const SETTLE: Duration = Duration::from_millis(300);

/// Messages and the time they took.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Rate {
    messages: u64,
    elapsed: Duration,
}

impl Rate {
    fn add(&mut self, other: Self) {
        self.messages += other.messages;
        self.elapsed += other.elapsed;
    }

    fn per_second(self) -> f64 {
        self.messages as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }
}

/// When a turn ends: at a time, or after this many messages of each thread.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Turn {
    /// The time.
    pub(crate) until: Instant,
    /// The messages of a thread.
    pub(crate) messages: u64,
}

/// Runs the command.
pub(crate) fn run(command: &Bench, options: StoreOptions) -> Outcome {
    let directory = WorkDirectory::make(command.dir.as_deref())?;
    let measured = measure(command, options, &directory.path);
    let removed = directory.remove();
    let result = measured?;
    removed?;
    let mut output = Output::new();
    if command.json {
        output.json(&result)?;
    } else {
        result.print(&mut output)?;
    }
    output.flush()
}

/// A directory of this run alone.
struct WorkDirectory {
    path: PathBuf,
}

impl WorkDirectory {
    fn make(parent: Option<&Path>) -> Result<Self, Failure> {
        let parent = parent.unwrap_or_else(|| Path::new("."));
        let path = parent.join(format!("cairnlog-bench-{}", std::process::id()));
        fs::create_dir_all(parent)
            .and_then(|()| fs::create_dir(&path))
            .map_err(|error| Failure::failed(format!("cannot create {}", path.display()), error))?;
        Ok(Self { path })
    }

    fn remove(&self) -> Outcome {
        remove(&self.path)
    }
}

fn remove(path: &Path) -> Outcome {
    fs::remove_dir_all(path)
        .map_err(|error| Failure::failed(format!("cannot remove {}", path.display()), error))
}

/// One store after the other, each in the same place.
struct Stores<'a> {
    path: PathBuf,
    options: StoreOptions,
    command: &'a Bench,
    current: Option<(Store, Load)>,
    syncs: u64,
}

impl Stores<'_> {
    /// The store to measure next.
    fn store(&mut self) -> Result<(&Store, &mut Load), Failure> {
        let grown = self
            .current
            .as_ref()
            .is_some_and(|(store, _)| store.max_offset().get() >= STORE_BYTES as u64);
        if grown {
            self.end()?;
        }
        if self.current.is_none() {
            touch_memory(STORE_BYTES + TURN_BYTES as usize);
            let store = Store::open(&self.path, &self.options)?;
            let load = Load::new(&store, self.command)?;
            self.current = Some((store, load));
            std::thread::sleep(SETTLE);
        }
        match &mut self.current {
            Some((store, load)) => Ok((store, load)),
            None => Err(Failure::failed("cannot measure", "there is no store")),
        }
    }

    fn end(&mut self) -> Outcome {
        if let Some((store, load)) = self.current.take() {
            drop(load);
            self.syncs += store.stats().syncs;
            store.close()?;
            drop(store);
            remove(&self.path)?;
        }
        Ok(())
    }
}

/// Has the memory for the next store's pages in the machine before it is needed. A virtual machine
/// gives free memory back to its host, and to get it again takes many times as long as an append:
/// that would be measured, not the store.
fn touch_memory(bytes: usize) {
    let mut memory = vec![0u8; bytes];
    for page in memory.chunks_mut(PAGE_BYTES) {
        if let Some(byte) = page.first_mut() {
            *byte = 1;
        }
    }
    std::hint::black_box(&memory);
}

fn measure(
    command: &Bench,
    mut options: StoreOptions,
    directory: &Path,
) -> Result<Report, Failure> {
    options.flush_mode = match command.mode {
        Flush::Sync => FlushMode::Sync,
        Flush::Async => FlushMode::Async,
    };
    options.create_if_missing = true;
    options.commit_log_paths.clear();
    options.read_only_commit_log_paths.clear();
    let mut stores =
        Stores { path: directory.join("store"), options, command, current: None, syncs: 0 };
    let mut latencies = Latencies::new()?;
    let (mut rate, mut floor_rate) = (Rate::default(), Rate::default());
    let bar = progress::bytes(None, "measuring");
    let outcome = turns(command, directory, &mut stores, &bar, |load, floor, turn| {
        rate.add(load.turn(turn, &mut latencies)?);
        if let Some(floor) = floor {
            floor_rate.add(floor.turn(Turn { until: Instant::now() + TURN, ..turn })?);
        }
        Ok(rate.elapsed)
    });
    bar.finish_and_clear();
    let ended = stores.end();
    outcome?;
    ended?;
    Ok(Report::new(command, rate, floor_rate, &latencies, stores.syncs))
}

/// Takes turns until the measured time is over.
fn turns(
    command: &Bench,
    directory: &Path,
    stores: &mut Stores<'_>,
    bar: &ProgressBar,
    mut take: impl FnMut(&mut Load, Option<&mut Floor>, Turn) -> Result<Duration, Failure>,
) -> Outcome {
    let limit = Duration::from_secs_f64(command.seconds);
    let mut floor: Option<Floor> = None;
    let mut elapsed = Duration::ZERO;
    while elapsed < limit {
        interrupt::check()?;
        let (_, load) = stores.store()?;
        if command.floor && floor.is_none() {
            let record_bytes = load.record_bytes()?;
            floor = Some(Floor::new(command, record_bytes, &directory.join("floor"))?);
        }
        let each = u64::from(command.threads) * (command.size as u64 + 128);
        let turn = Turn {
            until: Instant::now() + TURN.min(limit - elapsed),
            messages: (TURN_BYTES / each).max(1),
        };
        elapsed = take(load, floor.as_mut(), turn)?;
        bar.tick();
    }
    Ok(())
}

/// What was measured.
#[derive(Debug, Serialize)]
struct Report {
    mode: &'static str,
    size: usize,
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
    syncs: u64,
    /// Each of a synced floor is a sync of its own.
    floor_messages: Option<u64>,
    floor_messages_per_second: Option<f64>,
    ratio_to_floor: Option<f64>,
}

impl Report {
    fn new(command: &Bench, rate: Rate, floor: Rate, latencies: &Latencies, syncs: u64) -> Self {
        let floor_messages = command.floor.then_some(floor.messages);
        let floor = command.floor.then(|| floor.per_second());
        Self {
            mode: match command.mode {
                Flush::Sync => "sync",
                Flush::Async => "async",
            },
            size: command.size,
            threads: command.threads,
            inflight: command.inflight,
            seconds: rate.elapsed.as_secs_f64(),
            messages: rate.messages,
            messages_per_second: rate.per_second(),
            p50_ns: latencies.quantile_ns(0.5),
            p99_ns: latencies.quantile_ns(0.99),
            p999_ns: latencies.quantile_ns(0.999),
            p9999_ns: latencies.quantile_ns(0.9999),
            max_ns: latencies.max_ns(),
            syncs,
            floor_messages,
            floor_messages_per_second: floor,
            ratio_to_floor: floor.map(|floor| rate.per_second() / floor),
        }
    }

    fn print(&self, output: &mut Output) -> Outcome {
        output.line(format!(
            "{} append, {} byte bodies, {} threads, {} in flight each, {:.2} s",
            self.mode, self.size, self.threads, self.inflight, self.seconds
        ))?;
        output.line(format!(
            "{:.0} messages/s ({} messages, {} syncs)",
            self.messages_per_second, self.messages, self.syncs
        ))?;
        output.line(format!(
            "p50 {}, p99 {}, p99.9 {}, p99.99 {}, max {}",
            human(self.p50_ns),
            human(self.p99_ns),
            human(self.p999_ns),
            human(self.p9999_ns),
            human(self.max_ns)
        ))?;
        if let (Some(floor), Some(ratio)) = (self.floor_messages_per_second, self.ratio_to_floor) {
            output.line(format!("floor {floor:.0} messages/s, ratio {ratio:.3}"))?;
        }
        Ok(())
    }
}
