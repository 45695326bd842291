//! Uses a store in every way at once for as long as it is told, and looks whether it grows.
//!
//! Threads append, consume, read, query, begin transactions and remove old files; every few seconds
//! the store is closed and opened again, in the next flush mode. One JSON object per sample goes to
//! the standard output, and one at the end with `"ended": true`. The process fails when a message
//! is wrong or missing, when a closed store leaves threads, descriptors or mappings behind, or, in
//! a long run, when later samples hold more than earlier ones.

mod load;
mod resources;

use std::error::Error;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use cairnlog::{FlushMode, Store, StoreOptions};
use clap::Parser;
use serde::Serialize;

use load::{Load, Totals};
use resources::{Bounds, Resources};

/// What ends the process with a failure.
pub(crate) type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// How much of the log is kept.
const KEPT_BYTES: u64 = 48 << 20;

/// Uses a store in every way at once, and looks whether it grows.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where the store is made; must not exist.
    directory: PathBuf,
    /// How long it is used.
    #[arg(long, default_value_t = 1800.0)]
    seconds: f64,
    /// How long until it is closed and opened again.
    #[arg(long, default_value_t = 10.0)]
    life_seconds: f64,
    /// The time between two samples.
    #[arg(long, default_value_t = 1.0)]
    sample_seconds: f64,
    /// What the random choices begin with.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// From so long a run on it is said whether anything grows.
const LONG_SECONDS: f64 = 600.0;
/// What a closed store had is gone after that.
const ENDING: Duration = Duration::from_secs(10);

/// One line of the output.
#[derive(Debug, Serialize)]
struct Sample {
    ended: bool,
    seed: u64,
    seconds: f64,
    /// How often the store was opened.
    lives: u64,
    #[serde(flatten)]
    totals: Totals,
    #[serde(flatten)]
    resources: Resources,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // There is nobody left to tell when this fails.
            let _ = writeln!(std::io::stderr(), "cairnlog-soak: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Small files, so that many are begun and removed.
fn options(life: u64) -> StoreOptions {
    let mut options = StoreOptions::default();
    options.segment_size_bytes = 4 << 20;
    options.reserve_ahead_bytes = 1 << 20;
    options.consume_queue_file_size_bytes = 20_000;
    options.max_hash_slot_num = 5000;
    options.max_index_num = 20_000;
    options.flush_interval_ms = 50;
    options.flush_consumer_offset_interval_ms = 200;
    options.message_delay_level = "1s 2s".to_owned();
    (options.flush_mode, options.transient_store_pool_enable) = match life % 3 {
        0 => (FlushMode::Async, false),
        1 => (FlushMode::Sync, false),
        _ => (FlushMode::Async, true),
    };
    options
}

fn run(arguments: &Arguments) -> Outcome<()> {
    let directory = &arguments.directory;
    if directory.exists() {
        return Err(format!("{} is there already", directory.display()).into());
    }
    let started = Instant::now();
    let mut bounds = Bounds::default();
    let mut load = Load::new(arguments.seed);
    let mut lives = 0;
    while started.elapsed().as_secs_f64() < arguments.seconds {
        let store = Store::open(directory, &options(lives))?;
        lives += 1;
        load.check_kept(&store)?;
        let left = arguments.seconds - started.elapsed().as_secs_f64();
        let life = Duration::from_secs_f64(arguments.life_seconds.min(left.max(0.1)));
        load.live(&store, life, arguments.sample_seconds, KEPT_BYTES, |totals| {
            let resources = Resources::now(directory)?;
            // Until the first file goes, the store fills.
            if totals.files_removed > 0 {
                bounds.add(resources);
            }
            sample(arguments, started, lives, totals, resources, false)
        })?;
        store.close()?;
        drop(store);
        // The first closing shows what stays for good: what the runtime keeps of its threads. One
        // that ended, and was joined, is counted for a moment more.
        let deadline = Instant::now() + ENDING;
        while let Err(left) = bounds.closed(Resources::now(directory)?) {
            if Instant::now() > deadline {
                return Err(left);
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
    verify(directory)?;
    sample(arguments, started, lives, load.totals(), Resources::now(directory)?, true)?;
    let judged = bounds.check()?;
    if !judged && arguments.seconds >= LONG_SECONDS {
        return Err("there are too few samples to say whether anything grows".into());
    }
    Ok(())
}

/// Whether everything that is kept can be read, with a reader of its own.
fn verify(directory: &Path) -> Outcome<()> {
    let reader = Store::open_reader(directory, &StoreOptions::default())?;
    let mut at = reader.min_offset();
    for message in reader.scan(at)? {
        let message = message?;
        load::check_message(&message)?;
        at = message.physical_offset();
    }
    if at == reader.min_offset() {
        return Err("there is no message in the log".into());
    }
    Ok(())
}

fn sample(
    arguments: &Arguments,
    started: Instant,
    lives: u64,
    totals: Totals,
    resources: Resources,
    ended: bool,
) -> Outcome<()> {
    let seconds = started.elapsed().as_secs_f64();
    let sample = Sample { ended, seed: arguments.seed, seconds, lives, totals, resources };
    let mut output = std::io::stdout().lock();
    serde_json::to_writer(&mut output, &sample)?;
    output.write_all(b"\n")?;
    Ok(output.flush()?)
}
