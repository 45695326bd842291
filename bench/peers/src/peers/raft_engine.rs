//! raft-engine: one Raft group a thread, each append a batch of one entry. Batches are not
//! compressed. For durable appends files are filled ahead, so that a sync writes data alone.

use std::path::Path;

use protobuf::well_known_types::BytesValue;
use raft_engine::{Config, Engine, LogBatch, MessageExt, ReadableSize};

use super::{Peer, Writer};
use crate::{Mode, Result};

/// Files that are filled ahead hold so much.
const FILLED_AHEAD_MIB: u64 = 256;
const FILE_MIB: u64 = 64;

struct Store {
    engine: Engine,
    mode: Mode,
}

struct Group<'a> {
    store: &'a Store,
    id: u64,
    batch: LogBatch,
}

/// An entry whose index is in its first eight bytes.
struct Entries;

impl MessageExt for Entries {
    type Entry = BytesValue;

    fn index(entry: &BytesValue) -> u64 {
        let first = entry.value.first_chunk().copied().unwrap_or_default();
        u64::from_le_bytes(first)
    }
}

pub(super) fn open(directory: &Path, mode: Mode) -> Result<Box<dyn Peer>> {
    let ahead = mode == Mode::Sync;
    let config = Config {
        dir: directory.to_string_lossy().into_owned(),
        batch_compression_threshold: ReadableSize(0),
        target_file_size: ReadableSize::mb(FILE_MIB),
        prefill_for_recycle: ahead,
        prefill_limit: ahead.then(|| ReadableSize::mb(FILLED_AHEAD_MIB)),
        ..Config::default()
    };
    Ok(Box::new(Store { engine: Engine::open(config)?, mode }))
}

impl Peer for Store {
    fn writer(&self, thread: u32) -> Result<Box<dyn Writer + '_>> {
        let id = u64::from(thread) + 1;
        Ok(Box::new(Group { store: self, id, batch: LogBatch::with_capacity(1) }))
    }
}

impl Writer for Group<'_> {
    fn append(&mut self, index: u64, body: &[u8]) -> Result<()> {
        let mut entry = BytesValue { value: body.to_vec(), ..BytesValue::default() };
        let first = entry.value.first_chunk_mut().ok_or("no room for the index of an entry")?;
        *first = (index + 1).to_le_bytes();
        self.batch.add_entries::<Entries>(self.id, &[entry])?;
        self.store.engine.write(&mut self.batch, self.store.mode == Mode::Sync)?;
        Ok(())
    }
}
