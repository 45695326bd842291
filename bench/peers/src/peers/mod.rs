//! The stores, a module each, in the configuration that is fastest for this work.

mod fjall;
mod okaywal;
mod raft_engine;
mod rocketmq;
#[cfg(feature = "rocksdb")]
mod rocksdb;
mod walrus;

use std::path::Path;

use clap::ValueEnum;

use crate::{Mode, Result};

/// A store that is open.
pub(crate) trait Peer: Sync {
    /// What one thread appends with.
    fn writer(&self, thread: u32) -> Result<Box<dyn Writer + '_>>;

    /// Ends what the store has running.
    fn close(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

/// Appends of one thread.
pub(crate) trait Writer {
    /// Appends a body, the thread's `index`-th from 0; in sync mode it is durable afterwards.
    fn append(&mut self, index: u64, body: &[u8]) -> Result<()>;
}

/// Which store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Name {
    RaftEngine,
    #[cfg(feature = "rocksdb")]
    Rocksdb,
    Okaywal,
    Walrus,
    Fjall,
    Rocketmq,
}

impl Name {
    /// What the store is called, and its version, as `Cargo.toml` has it.
    pub(crate) const fn describe(self) -> (&'static str, &'static str) {
        match self {
            Self::RaftEngine => ("raft-engine", "0.4.2"),
            #[cfg(feature = "rocksdb")]
            Self::Rocksdb => ("RocksDB", "11.8.1"),
            Self::Okaywal => ("okaywal", "0.3.1"),
            Self::Walrus => ("walrus-rust", "0.2.0"),
            Self::Fjall => ("fjall", "3.1.13"),
            Self::Rocketmq => ("rocketmq-store", "1.0.0"),
        }
    }
}

/// Opens a store in an empty directory.
pub(crate) fn open(name: Name, directory: &Path, mode: Mode) -> Result<Box<dyn Peer>> {
    match name {
        Name::RaftEngine => raft_engine::open(directory, mode),
        #[cfg(feature = "rocksdb")]
        Name::Rocksdb => rocksdb::open(directory, mode),
        Name::Okaywal => okaywal::open(directory, mode),
        Name::Walrus => walrus::open(directory, mode),
        Name::Fjall => fjall::open(directory, mode),
        Name::Rocketmq => rocketmq::open(directory, mode),
    }
}
