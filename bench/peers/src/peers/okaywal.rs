//! okaywal: each append an entry of one chunk. Committing an entry always waits for a sync, which
//! threads share. Files of 64 MiB, written whole before they are given back.

use std::io;
use std::path::Path;

use okaywal::{
    Configuration, Entry, EntryId, LogManager, ReadChunkResult, SegmentReader, WriteAheadLog,
};

use super::{Peer, Writer};
use crate::{Mode, Result};

const FILE_BYTES: u32 = 64 << 20;

struct Store {
    log: WriteAheadLog,
}

struct Entries<'a> {
    log: &'a WriteAheadLog,
}

/// Keeps nothing: a file that is full is used again.
#[derive(Debug)]
struct Forget;

impl LogManager for Forget {
    fn recover(&mut self, entry: &mut Entry<'_>) -> io::Result<()> {
        while let ReadChunkResult::Chunk(chunk) = entry.read_chunk()? {
            chunk.skip_remaining_bytes()?;
        }
        Ok(())
    }

    fn checkpoint_to(
        &mut self,
        _last: EntryId,
        _entries: &mut SegmentReader,
        _log: &WriteAheadLog,
    ) -> io::Result<()> {
        Ok(())
    }
}

pub(super) fn open(directory: &Path, mode: Mode) -> Result<Box<dyn Peer>> {
    if mode == Mode::Async {
        return Err("okaywal cannot append without waiting for a sync".into());
    }
    let log = Configuration::default_for(directory)
        .preallocate_bytes(FILE_BYTES)
        .checkpoint_after_bytes(u64::from(FILE_BYTES) - (1 << 20))
        .open(Forget)?;
    Ok(Box::new(Store { log }))
}

impl Peer for Store {
    fn writer(&self, _thread: u32) -> Result<Box<dyn Writer + '_>> {
        Ok(Box::new(Entries { log: &self.log }))
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(self.log.shutdown()?)
    }
}

impl Writer for Entries<'_> {
    fn append(&mut self, _index: u64, body: &[u8]) -> Result<()> {
        let mut entry = self.log.begin_entry()?;
        entry.write_chunk(body)?;
        entry.commit()?;
        Ok(())
    }
}
