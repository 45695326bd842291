//! Kills writers with SIGKILL at random moments and looks at what they leave.
//!
//! Each store has a mode and some options, and goes through several writers, one after the other,
//! in Rust, C, Python and Java. After each kill
//!
//! 1. the log is read as it was left, and must hold every message that any writer of this store was
//!    promised, whole and in order;
//! 2. the store, or a copy of it, is opened, which recovers it; its log, queues and keys must say
//!    the same, and `cairnlog verify` must find nothing;
//! 3. the next writer goes on, with what recovery made or with what the kill left.

mod check;
mod content;
mod failure;
mod host;
mod life;
mod plan;
mod report;
mod trial;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};

use crate::content::mix;
use crate::host::HostArguments;
use crate::report::Totals;
use crate::trial::Trial;

/// What ends the process with a failure.
pub(crate) type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Stores that fail until the run ends.
const MAX_FAILURES: usize = 3;
/// Kills between two lines that say how far the run is.
const KILLS_PER_LINE: u64 = 500;
/// A run in which no kill and check comes to its end for so long hangs.
const MAX_PAUSE: Duration = Duration::from_secs(150);

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    act: Act,
}

#[derive(Subcommand)]
enum Act {
    /// Runs writers, kills them, and checks their stores
    Run(RunArguments),
    /// Is a writer
    Host(HostArguments),
}

/// A run.
#[derive(Debug, clap::Args)]
pub(crate) struct RunArguments {
    /// Kills at least
    #[arg(long, default_value_t = 200)]
    kills: u64,
    /// Comes to the same plan again; by default another each time
    #[arg(long)]
    seed: Option<u64>,
    /// Only this store of the run, until it has had its kills or fails
    #[arg(long)]
    store: Option<u64>,
    /// The command line tool, which verifies
    #[arg(long)]
    pub(crate) tool: PathBuf,
    /// The directory with the hosts `c`, `python` and `java`, and with `slow.so`
    #[arg(long)]
    pub(crate) hosts: PathBuf,
    /// Where stores are made, in turn; a store that failed stays there
    #[arg(long, required = true)]
    pub(crate) directory: Vec<PathBuf>,
    /// Where the figures are written
    #[arg(long)]
    report: PathBuf,
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().act {
        Act::Run(arguments) => run(&arguments),
        Act::Host(arguments) => host::run(&arguments).map(|()| true),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say(&format!("cairnlog-crash: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn say(line: &str) {
    // There is nobody left to tell when this fails.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Another seed for each run.
fn fresh_seed() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let nanoseconds = now.map_or(0, |time| time.as_nanos() as u64);
    // Short, so that it is easily typed again.
    mix(nanoseconds ^ u64::from(std::process::id()) << 40) % 1_000_000_000
}

/// Ends the process when nothing goes on any more: opening or reading a store hangs.
fn watch(lives: &AtomicU64, seed: u64) {
    let mut last = (lives.load(Ordering::Relaxed), Instant::now());
    while last.1.elapsed() < MAX_PAUSE {
        std::thread::sleep(Duration::from_secs(1));
        let now = lives.load(Ordering::Relaxed);
        if now != last.0 {
            last = (now, Instant::now());
        }
    }
    say(&format!("crash: HANGS after {} lives (again: make crash SEED={seed})", last.0));
    std::process::exit(3);
}

/// Runs stores until there were enough kills; false if something was wrong.
fn run(arguments: &RunArguments) -> Outcome<bool> {
    let began = Instant::now();
    let seed = arguments.seed.unwrap_or_else(fresh_seed);
    let trial = Trial::new(arguments, seed)?;
    let lives = Arc::clone(&trial.lives);
    std::thread::spawn(move || watch(&lives, seed));
    let totals = Mutex::new(Totals::default());
    let next_store = AtomicU64::new(0);
    let lanes = std::thread::available_parallelism().map_or(2, usize::from).clamp(2, 16);
    std::thread::scope(|scope| {
        for _ in 0..lanes {
            scope.spawn(|| {
                loop {
                    let number = next_store.fetch_add(1, Ordering::Relaxed);
                    if is_enough(&totals, arguments, number) {
                        break;
                    }
                    let number = arguments.store.unwrap_or(number);
                    let told = trial.run(number);
                    note(&totals, told, seed);
                }
            });
        }
    });
    let totals = totals.into_inner().map_err(|_| "a thread panicked")?;
    let report = totals.report(seed, began.elapsed());
    std::fs::write(&arguments.report, serde_json::to_string_pretty(&report)? + "\n")?;
    say(&totals.text(seed, began.elapsed()));
    Ok(totals.failures.is_empty())
}

fn is_enough(totals: &Mutex<Totals>, arguments: &RunArguments, number: u64) -> bool {
    let Ok(totals) = totals.lock() else { return true };
    totals.kills >= arguments.kills
        || totals.failures.len() >= MAX_FAILURES
        || (arguments.store.is_some() && number > 0)
}

/// Adds what a store's trial came to, and says what was wrong.
fn note(totals: &Mutex<Totals>, told: Totals, seed: u64) {
    let Ok(mut totals) = totals.lock() else { return };
    for failure in &told.failures {
        say(&format!(
            "crash: store {}: {} (again: make crash SEED={seed} STORE={})",
            failure.store, failure.text, failure.store
        ));
    }
    let lines = totals.kills / KILLS_PER_LINE;
    totals.add(told);
    if totals.kills / KILLS_PER_LINE > lines {
        say(&format!("crash: {} kills, {} failures", totals.kills, totals.failures.len()));
    }
}
