//! Acknowledged messages: counted, timed, and written to `--acks` one line at a time.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use cairnlog::AppendResult;

use crate::failure::{Failure, Outcome};
use crate::latency::Latencies;

/// What is known about everything acknowledged so far.
pub(crate) struct Totals {
    /// Messages.
    pub(crate) messages: u64,
    /// Bytes of their bodies.
    pub(crate) body_bytes: u64,
    /// Time from the append call to its acknowledgement.
    pub(crate) latencies: Latencies,
}

/// Takes acknowledgements, from any thread.
pub(crate) struct Acknowledgements {
    name: String,
    state: Mutex<State>,
}

struct State {
    writer: Option<Box<dyn Write + Send>>,
    totals: Totals,
}

/// One acknowledged message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Acknowledged {
    /// The number of its input line.
    pub(crate) line: u64,
    /// The bytes of its body.
    pub(crate) body_bytes: u64,
    /// Where it is.
    pub(crate) placed: AppendResult,
    /// How long it took.
    pub(crate) latency: Duration,
}

impl Acknowledgements {
    /// Makes the file, if one is wanted; `-` is standard output.
    pub(crate) fn new(path: Option<&Path>) -> Result<Self, Failure> {
        let mut name = String::new();
        let mut writer: Option<Box<dyn Write + Send>> = None;
        if let Some(path) = path {
            name = path.display().to_string();
            writer = Some(if path.as_os_str() == "-" {
                Box::new(io::stdout())
            } else {
                let file = File::create(path).map_err(|error| {
                    Failure::failed(format!("cannot create {}", path.display()), error)
                })?;
                Box::new(file)
            });
        }
        Ok(Self {
            name,
            state: Mutex::new(State {
                writer,
                totals: Totals { messages: 0, body_bytes: 0, latencies: Latencies::new()? },
            }),
        })
    }

    /// Counts the message and writes its line, which is out of this process on return.
    pub(crate) fn add(&self, acknowledged: &Acknowledged) -> Outcome {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.totals.messages += 1;
        state.totals.body_bytes += acknowledged.body_bytes;
        state.totals.latencies.record(acknowledged.latency);
        if let Some(writer) = &mut state.writer {
            let placed = &acknowledged.placed;
            let line = format!(
                "{} {} {} {}\n",
                acknowledged.line, placed.physical_offset, placed.queue_id, placed.queue_offset
            );
            writer
                .write_all(line.as_bytes())
                .and_then(|()| writer.flush())
                .map_err(|error| Failure::write(format!("cannot write {}", self.name), &error))?;
        }
        Ok(())
    }

    /// Looks at the totals. `None` while a line is being written, which a full pipe can make last.
    pub(crate) fn totals<R>(&self, look: impl FnOnce(&Totals) -> R) -> Option<R> {
        match self.state.try_lock() {
            Ok(state) => Some(look(&state.totals)),
            Err(std::sync::TryLockError::Poisoned(poisoned)) => {
                Some(look(&poisoned.into_inner().totals))
            }
            Err(std::sync::TryLockError::WouldBlock) => None,
        }
    }
}
