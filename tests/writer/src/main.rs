//! Writes stores for the compatibility tests and says what must be in them.
//!
//! `write SCENARIO DIR` makes a store, `continue DIR` appends to one that is there, and `dump DIR`
//! reads one without opening it (its log is in `commitlog`, or in the LOG_DIRs). One JSON object
//! per line goes to the standard output: per acknowledged message the fields of a fixture's
//! manifest, per blank `{"blank":true,...}`. `look` opens damaged stores, see its module.
//!
//! `probe DIR` does with a store what the standard input says, for tests in which the system
//! refuses things; see [`probe`].
//!
//! What a line says comes from what was asked for and from a model of the format kept here, not
//! from the engine: the process fails when the engine acknowledges something else. With `--kill N`
//! the process kills itself once N messages were acknowledged; nothing is closed then.

mod dump;
mod expected;
mod look;
mod message;
mod probe;
mod scenarios;
mod writer;

use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use cairnlog::Store;

use scenarios::Scenario;
use writer::Writer;

/// What ends the process with a failure.
type Outcome<T> = Result<T, Box<dyn Error>>;

/// How the process is called.
const USAGE: &str = "write SCENARIO DIR [--kill N] | continue DIR [--kill N] | \
                     dump DIR [LOG_DIR...] | probe DIR [OPTION=VALUE...] | look | list";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // There is nobody left to tell when this fails.
            let _ = writeln!(std::io::stderr(), "cairnlog-test-writer: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[&str]) -> Outcome<()> {
    match words {
        ["list"] => list(),
        ["look"] => look::look(),
        ["dump", directory, log_directories @ ..] => {
            dump::dump(Path::new(directory), log_directories)
        }
        ["probe", directory, options @ ..] => probe::run(Path::new(directory), options),
        ["write", name, directory] => write(name, Path::new(directory), None),
        ["write", name, directory, "--kill", count] => {
            write(name, Path::new(directory), Some(count.parse()?))
        }
        ["continue", directory] => go_on(Path::new(directory), None),
        ["continue", directory, "--kill", count] => {
            go_on(Path::new(directory), Some(count.parse()?))
        }
        _ => Err(USAGE.into()),
    }
}

fn list() -> Outcome<()> {
    for scenario in Scenario::ALL {
        writeln!(std::io::stdout(), "{}", scenario.name)?;
    }
    Ok(())
}

fn write(name: &str, directory: &Path, kill_after: Option<usize>) -> Outcome<()> {
    let scenario = Scenario::ALL
        .iter()
        .find(|scenario| scenario.name == name)
        .ok_or_else(|| format!("there is no scenario {name}"))?;
    let mut options = scenarios::small_files();
    (scenario.configure)(&mut options, directory);
    let mut writer = Writer::new(Store::open(directory, &options)?, &options, kill_after);
    (scenario.write)(&mut writer)?;
    writer.close()
}

/// Appends a mix to a store that somebody else may have written.
fn go_on(directory: &Path, kill_after: Option<usize>) -> Outcome<()> {
    // Sizes are for what is new: what is there goes on with those it has.
    let options = scenarios::small_files();
    let mut writer = Writer::new(Store::open(directory, &options)?, &options, kill_after);
    scenarios::continue_mix(&mut writer)?;
    writer.close()
}
