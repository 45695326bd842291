//! The cairnlog command line tool: append to, read, consume, inspect, verify, recover, thin out and
//! measure stores.
//!
//! Exit status: 0 done, 1 the operation failed or found damage, 2 wrong usage, 130 interrupted.
//! Errors are one line on stderr, `cairnlog: what: why`.
#![deny(unsafe_code)]

mod arguments;
mod commands;
mod failure;
mod follow;
mod formats;
mod interrupt;
mod latency;
mod open;
mod output;
mod progress;
mod queue_reader;
mod record_json;
mod walk;

use std::process::ExitCode;

use arguments::{Arguments, Command};
use failure::{Failure, Outcome};
use interrupt::Interruption;

fn main() -> ExitCode {
    let arguments = match arguments::parse() {
        Ok(arguments) => arguments,
        Err(status) => return status,
    };
    failure::exit_status(run(&arguments))
}

fn run(arguments: &Arguments) -> Outcome {
    let interruption = match &arguments.command {
        Command::Groups(command) if command.reset_to.is_some() => Interruption::Wait,
        Command::Retain(command) if !command.dry_run => Interruption::Wait,
        Command::Append(_) | Command::Consume(_) | Command::Recover(_) | Command::Bench(_) => {
            Interruption::Wait
        }
        Command::Cat(_)
        | Command::Query(_)
        | Command::Topics(_)
        | Command::Groups(_)
        | Command::Delays(_)
        | Command::Retain(_)
        | Command::Inspect(_)
        | Command::Verify(_) => Interruption::End,
    };
    interrupt::install(interruption)?;
    let options = || open::options(arguments.conf.as_deref());
    match &arguments.command {
        Command::Append(command) => commands::append::run(command, options()?),
        Command::Cat(command) => commands::cat::run(command, &options()?),
        Command::Query(command) => commands::query::run(command, &options()?),
        Command::Consume(command) => commands::consume::run(command, &options()?),
        Command::Retain(command) => commands::retain::run(command, options()?),
        Command::Topics(command) => commands::topics::run(command, &options()?),
        Command::Groups(command) => commands::groups::run(command, &options()?),
        Command::Delays(command) => commands::delays::run(command, &options()?),
        Command::Inspect(command) => commands::inspect::run(command, &options()?),
        Command::Verify(command) => commands::verify::run(command, &options()?),
        Command::Recover(command) => commands::recover::run(command, options()?),
        Command::Bench(command) => commands::bench::run(command, options()?),
    }
    .or_else(Failure::quiet_when_pipe_closed)
}
