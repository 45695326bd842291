//! RocksDB: puts of big-endian counters, its own groups of writers, no compression. Of a put only
//! what the log costs is wanted, so the memtable is the plainest and large enough for a run.

use std::path::Path;

use rocksdb::{DB, DBCompressionType, MemtableFactory, Options, WriteOptions};

use super::{Peer, Writer};
use crate::{Mode, Result};

/// Holds a run, so that no table is written meanwhile.
const MEMTABLE_BYTES: usize = 3 << 30;

struct Store {
    database: DB,
    options: WriteOptions,
}

struct Records<'a> {
    store: &'a Store,
    thread: u32,
}

pub(super) fn open(directory: &Path, mode: Mode) -> Result<Box<dyn Peer>> {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_compression_type(DBCompressionType::None);
    options.set_write_buffer_size(MEMTABLE_BYTES);
    options.set_memtable_factory(MemtableFactory::Vector);
    options.set_allow_concurrent_memtable_write(false);
    let database = DB::open(&options, directory)?;
    let mut options = WriteOptions::default();
    options.set_sync(mode == Mode::Sync);
    Ok(Box::new(Store { database, options }))
}

impl Peer for Store {
    fn writer(&self, thread: u32) -> Result<Box<dyn Writer + '_>> {
        Ok(Box::new(Records { store: self, thread }))
    }
}

impl Writer for Records<'_> {
    fn append(&mut self, index: u64, body: &[u8]) -> Result<()> {
        let key = (u128::from(self.thread) << 64 | u128::from(index)).to_be_bytes();
        Ok(self.store.database.put_opt(key, body, &self.store.options)?)
    }
}
