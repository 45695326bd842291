//! Drives another store with the work of `cairnlog bench` and prints the same JSON object.
//!
//! One thread appends for each waiter. In sync mode an append is durable before the next of its
//! thread begins, by the store's own means and with its own way of sharing a sync.

mod driver;
mod peers;

use std::error::Error;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};

/// What a run may end with.
type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Measures appends to another store.
#[derive(Debug, Parser)]
struct Arguments {
    /// The store.
    #[arg(long, value_enum)]
    peer: peers::Name,
    /// When an append is acknowledged: at once, or when it is durable.
    #[arg(long, value_enum, default_value = "async")]
    mode: Mode,
    /// Bytes of a body.
    #[arg(long, default_value = "1024", value_parser = clap::value_parser!(u32).range(8..))]
    size: u32,
    /// Threads that append.
    #[arg(long, default_value = "1", value_parser = clap::value_parser!(u32).range(1..=1024))]
    threads: u32,
    /// Appends of a thread on their way at a time; these stores can one.
    #[arg(long, default_value = "1", value_parser = clap::value_parser!(u32).range(1..=1))]
    inflight: u32,
    /// How long to append.
    #[arg(long, default_value = "1")]
    seconds: f64,
    /// Print JSON, which is what there is.
    #[arg(long)]
    json: bool,
    /// Where the store is made, in a directory of its own that is removed afterwards.
    directory: PathBuf,
}

/// See [`Arguments::mode`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mode {
    Async,
    Sync,
}

fn main() -> ExitCode {
    match driver::run(&Arguments::parse()).and_then(|report| print(&report)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to be told when stderr is closed.
            let _ = writeln!(io::stderr(), "peer-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn print(report: &driver::Report) -> Result<()> {
    Ok(writeln!(io::stdout(), "{}", serde_json::to_string(report)?)?)
}
