//! fjall: a keyspace of big-endian counters. Appends are put into the journal and the memtable; a
//! durable one syncs the journal's data after that, which no two threads share.

use std::path::Path;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::{Peer, Writer};
use crate::{Mode, Result};

struct Store {
    database: Database,
    records: Keyspace,
    mode: Mode,
}

struct Records<'a> {
    store: &'a Store,
    thread: u32,
}

pub(super) fn open(directory: &Path, mode: Mode) -> Result<Box<dyn Peer>> {
    let database = Database::builder(directory).open()?;
    let records = database.keyspace("bench", KeyspaceCreateOptions::default)?;
    Ok(Box::new(Store { database, records, mode }))
}

impl Peer for Store {
    fn writer(&self, thread: u32) -> Result<Box<dyn Writer + '_>> {
        Ok(Box::new(Records { store: self, thread }))
    }
}

impl Writer for Records<'_> {
    fn append(&mut self, index: u64, body: &[u8]) -> Result<()> {
        let key = (u128::from(self.thread) << 64 | u128::from(index)).to_be_bytes();
        self.store.records.insert(key, body)?;
        if self.store.mode == Mode::Sync {
            self.store.database.persist(PersistMode::SyncData)?;
        }
        Ok(())
    }
}
