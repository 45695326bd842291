//! Why a command ended without being done, and what the shell is told.

use std::io::{self, Write};
use std::process::ExitCode;

/// What a command comes to.
pub(crate) type Outcome = Result<(), Failure>;

/// The exit status after Ctrl-C.
pub(crate) const INTERRUPTED_STATUS: u8 = 130;

/// Why a command is not done.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The command line makes no sense: exit status 2.
    Usage(String),
    /// The operation failed for the reason given: exit status 1.
    Failed(String),
    /// Damage was found and has been reported: exit status 1.
    Damage,
    /// Ctrl-C: exit status 130.
    Interrupted,
    /// Nobody reads the output any more: a quiet end.
    ClosedPipe,
}

impl Failure {
    /// A failed operation: what was being done, and why it did not work.
    pub(crate) fn failed(what: impl std::fmt::Display, why: impl std::fmt::Display) -> Self {
        Self::Failed(format!("{what}: {why}"))
    }

    /// A failed write to where the output goes.
    pub(crate) fn write(what: impl std::fmt::Display, error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::ClosedPipe;
        }
        Self::failed(what, error)
    }

    /// A closed pipe is no failure.
    pub(crate) fn quiet_when_pipe_closed(self) -> Outcome {
        match self {
            Self::ClosedPipe => Ok(()),
            other => Err(other),
        }
    }
}

impl From<cairnlog::Error> for Failure {
    fn from(error: cairnlog::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Writes one line to stderr. If that is not possible there is nobody left to tell.
pub(crate) fn report(text: &str) {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let _ = writeln!(io::stderr().lock(), "cairnlog: {line}");
}

/// Tells the outcome to the user and the shell.
pub(crate) fn exit_status(outcome: Outcome) -> ExitCode {
    match outcome {
        Ok(()) | Err(Failure::ClosedPipe) => ExitCode::SUCCESS,
        Err(Failure::Usage(text)) => {
            report(&text);
            ExitCode::from(2)
        }
        Err(Failure::Failed(text)) => {
            report(&text);
            ExitCode::from(1)
        }
        Err(Failure::Damage) => ExitCode::from(1),
        Err(Failure::Interrupted) => ExitCode::from(INTERRUPTED_STATUS),
    }
}
