//! walrus-rust: a topic for each thread, since appends to one topic exclude each other. Its default
//! of `pwrite`; durable appends by its schedule of a sync for each entry.

use std::env;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use walrus_rust::{FsyncSchedule, ReadConsistency, Walrus};

use super::{Peer, Writer};
use crate::{Mode, Result};

/// How often the files are synced when appends do not wait.
const SYNC_EVERY_MS: u64 = 500;

const DIRECTORY_VARIABLE: &str = "WALRUS_DATA_DIR";

struct Store {
    walrus: Walrus,
}

struct Topic<'a> {
    walrus: &'a Walrus,
    name: String,
}

pub(super) fn open(directory: &Path, mode: Mode) -> Result<Box<dyn Peer>> {
    let schedule = match mode {
        Mode::Async => FsyncSchedule::Milliseconds(SYNC_EVERY_MS),
        Mode::Sync => FsyncSchedule::SyncEach,
    };
    let reads = ReadConsistency::AtLeastOnce { persist_every: u32::MAX };
    // By variables alone it can be told where its files are, and not to print every step. Those of
    // a running process cannot be set safely, so it begins again.
    if env::var_os(DIRECTORY_VARIABLE).is_none() {
        let mut again = Command::new(env::current_exe()?);
        again.args(env::args_os().skip(1)).env(DIRECTORY_VARIABLE, directory);
        return Err(again.env("WALRUS_QUIET", "1").exec().into());
    }
    let walrus = Walrus::with_consistency_and_schedule(reads, schedule)?;
    Ok(Box::new(Store { walrus }))
}

impl Peer for Store {
    fn writer(&self, thread: u32) -> Result<Box<dyn Writer + '_>> {
        Ok(Box::new(Topic { walrus: &self.walrus, name: format!("bench-{thread}") }))
    }
}

impl Writer for Topic<'_> {
    fn append(&mut self, _index: u64, body: &[u8]) -> Result<()> {
        Ok(self.walrus.append_for_topic(&self.name, body)?)
    }
}
