//! What the store reaches beside waiting appends: appends, dispatch, reading, key queries, tails,
//! groups, rollovers and threads.
//!
//! Every figure stands beside a floor: what the machine does without a store around it, measured in
//! the same round. Machines are shared, so only the ratio of the two means anything. Prints one
//! JSON object per figure.
#![deny(unsafe_code)]

mod amounts;
mod appends;
mod bare;
mod bare_threads;
mod dispatch;
mod floor;
mod groups;
mod keys;
mod latency;
mod reading;
mod report;
mod rollover;
mod scene;
mod tail;
mod threads;

use std::error::Error;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;

use amounts::Amounts;
use report::Report;

/// What a measurement may end with.
type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Measures dispatch, reading, key queries, tails, groups, rollovers and threads, each beside its
/// floor.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where stores are made; removed afterwards.
    #[arg(long, default_value = "target/bench")]
    directory: PathBuf,
    /// Smaller amounts: a minute.
    #[arg(long)]
    quick: bool,
    /// So little that the figures mean nothing: a second.
    #[arg(long, conflicts_with = "quick")]
    smoke: bool,
    /// Measure only those whose name begins so: append, bare, dispatch, read, keys, tail, groups,
    /// rollover, threads.
    #[arg(long)]
    only: Option<String>,
}

/// Something that is measured in rounds.
trait Case {
    /// Measures once: floors and figures in turn.
    fn round(&mut self, report: &mut Report) -> Result<()>;
}

/// Prepares a case in a directory of its own.
type Prepare = fn(&Path, Amounts) -> Result<Box<dyn Case>>;

const CASES: [(&str, Prepare); 10] = [
    ("append", appends::prepare),
    ("bare", bare::prepare),
    ("bare threads", bare_threads::prepare),
    ("dispatch", dispatch::prepare),
    ("read", reading::prepare),
    ("keys", keys::prepare),
    ("tail", tail::prepare),
    ("groups", groups::prepare),
    ("rollover", rollover::prepare),
    ("threads", threads::prepare),
];

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to be told when stderr is closed.
            let _ = writeln!(io::stderr(), "cairnlog-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let amounts = match (arguments.smoke, arguments.quick) {
        (true, _) => amounts::SMOKE,
        (_, true) => amounts::QUICK,
        _ => amounts::FULL,
    };
    let path = arguments.directory.join(format!("cairnlog-bench-{}", std::process::id()));
    fs::create_dir_all(&path)?;
    let measured = measure(arguments, &path, amounts);
    let removed = fs::remove_dir_all(&path);
    measured?.print(&mut io::stdout().lock())?;
    Ok(removed?)
}

/// Prepares every case, then measures round by round.
fn measure(arguments: &Arguments, path: &Path, amounts: Amounts) -> Result<Report> {
    let mut cases = Vec::new();
    for (name, prepare) in CASES {
        if arguments.only.as_ref().is_none_or(|only| name.starts_with(only.as_str())) {
            let path = path.join(name);
            fs::create_dir(&path)?;
            cases.push(prepare(&path, amounts)?);
        }
    }
    let mut report = Report::default();
    for _ in 0..amounts.rounds {
        for case in &mut cases {
            case.round(&mut report)?;
        }
    }
    Ok(report)
}
