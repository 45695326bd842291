//! `StoreCheckpoint`: the times and positions up to which data is known to be forced.
//!
//! The file has 4096 bytes; RocketMQ's five fields are its first 40. From byte 2048 on, which
//! RocketMQ leaves alone, stands what only cairnlog knows, with a checksum of its own.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::codec::read_i64;
use crate::consume_queue::QueueSummary;
use crate::error::{Error, Result};
use crate::mapped::sync_parent;
use crate::options::{MAX_SEGMENT_SIZE_BYTES, MIN_SEGMENT_SIZE_BYTES};
use crate::sys::disk::{Access, Disk, OsDisk};

/// The file's name in the store's directory.
pub(crate) const CHECKPOINT_FILE: &str = "checkpoint";
const CHECKPOINT_BYTES: usize = 4096;
const NOTES_AT: usize = 2048;
const NOTES_MAGIC: &[u8; 8] = b"CAIRNCK5";
const NOTES_BYTES: usize = 72;
/// Stands for the boot in the notes of a store whose page cache cannot be relied upon any more,
/// although the machine runs on: a sync failed, or something else when it was closed.
pub(crate) const NO_BOOT: u64 = u64::MAX;

/// The fields of RocketMQ's `checkpoint` file. Times are milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StoreCheckpoint {
    /// Store time of the newest message known to be forced in the commit log.
    pub physic_msg_timestamp_ms: i64,
    /// Store time of the newest message known to be forced in the consume queues.
    pub logics_msg_timestamp_ms: i64,
    /// Store time of the newest message in a forced index file.
    pub index_msg_timestamp_ms: i64,
    /// The offset a replica learnt its master has flushed.
    pub master_flushed_offset: i64,
    /// The offset the log is confirmed up to.
    pub confirm_phy_offset: i64,
}

/// What cairnlog notes beside RocketMQ's fields.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Notes {
    /// The size of the commit log files.
    pub(crate) segment_size_bytes: u64,
    /// Everything below was durable.
    pub(crate) durable_offset: u64,
    /// The boot of the machine the store was last opened under; 0 if unknown.
    pub(crate) boot_id: u64,
    /// Everything below was in consume queues that were synced.
    pub(crate) dispatched_offset: u64,
    /// What those queues were.
    pub(crate) queues: QueueSummary,
    /// Where the last record below lies that has a key in the index; `u64::MAX` if it had none.
    pub(crate) index_end: u64,
}

impl StoreCheckpoint {
    /// Reads the checkpoint of a store; `None` if it has none, or an empty one.
    ///
    /// # Errors
    ///
    /// - [`crate::Status::Io`], [`crate::Status::PermissionDenied`]: the file cannot be read.
    pub fn read(store_path: impl AsRef<Path>) -> Result<Option<Self>> {
        Ok(read(&OsDisk, store_path.as_ref())?.map(|(fields, _)| fields))
    }
}

/// The checkpoint of an open store, written whole at each change.
#[derive(Debug)]
pub(crate) struct CheckpointFile {
    disk: Arc<dyn Disk>,
    store_path: PathBuf,
    content: Mutex<(StoreCheckpoint, Notes)>,
}

impl CheckpointFile {
    /// The checkpoint as it was found.
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        store_path: &Path,
        fields: StoreCheckpoint,
        notes: Notes,
    ) -> Self {
        let store_path = store_path.to_path_buf();
        Self { disk, store_path, content: Mutex::new((fields, notes)) }
    }

    /// RocketMQ's fields as they were written last.
    pub(crate) fn fields(&self) -> StoreCheckpoint {
        self.content.lock().0
    }

    /// Changes the checkpoint and writes it, durably. What it says must be durable already.
    pub(crate) fn update(
        &self,
        change: impl FnOnce(&mut StoreCheckpoint, &mut Notes),
    ) -> Result<()> {
        self.write_changed(&mut self.content.lock(), change)
    }

    /// Notes that the log is durable up to `offset`, if that is not known yet. What is not noted,
    /// an opening after a crash has to write again.
    pub(crate) fn note_durable(&self, offset: u64) -> Result<()> {
        let mut content = self.content.lock();
        if offset <= content.1.durable_offset {
            return Ok(());
        }
        self.write_changed(&mut content, |_, notes| notes.durable_offset = offset)
    }

    fn write_changed(
        &self,
        content: &mut (StoreCheckpoint, Notes),
        change: impl FnOnce(&mut StoreCheckpoint, &mut Notes),
    ) -> Result<()> {
        let (mut fields, mut notes) = *content;
        change(&mut fields, &mut notes);
        write(&*self.disk, &self.store_path, &fields, &notes)?;
        *content = (fields, notes);
        Ok(())
    }
}

/// Reads fields and notes; the notes are missing in a file of RocketMQ's.
pub(crate) fn read(
    disk: &dyn Disk,
    store_path: &Path,
) -> Result<Option<(StoreCheckpoint, Option<Notes>)>> {
    let path = store_path.join(CHECKPOINT_FILE);
    let failed = |source| Error::io("cannot read", source).at_path(&path);
    let file = match disk.open(&path, Access::Read) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mut bytes = vec![0; CHECKPOINT_BYTES];
    let filled = file.read_full_at(&mut bytes, 0).map_err(failed)?;
    if filled < 40 {
        return Ok(None);
    }
    let field = |index: usize| read_i64(&bytes, index * 8).unwrap_or_default();
    let fields = StoreCheckpoint {
        physic_msg_timestamp_ms: field(0),
        logics_msg_timestamp_ms: field(1),
        index_msg_timestamp_ms: field(2),
        master_flushed_offset: field(3),
        confirm_phy_offset: field(4),
    };
    Ok(Some((fields, decode_notes(bytes.get(NOTES_AT..).unwrap_or_default()))))
}

fn decode_notes(bytes: &[u8]) -> Option<Notes> {
    let notes = bytes.get(..NOTES_BYTES)?;
    let (covered, crc) = notes.split_at_checked(NOTES_BYTES - 8)?;
    let stored = u64::from_be_bytes(crc.try_into().ok()?);
    if !covered.starts_with(NOTES_MAGIC) || stored != u64::from(crc32fast::hash(covered)) {
        return None;
    }
    let field = |index: usize| read_i64(covered, index * 8).map(i64::cast_unsigned);
    let size = field(1)?;
    if !(MIN_SEGMENT_SIZE_BYTES..=MAX_SEGMENT_SIZE_BYTES).contains(&size) {
        return None;
    }
    let queues = QueueSummary { fingerprint: field(5)?, files: field(7)? };
    Some(Notes {
        segment_size_bytes: size,
        durable_offset: field(2)?,
        boot_id: field(3)?,
        dispatched_offset: field(4)?,
        queues,
        index_end: field(6)?,
    })
}

/// Writes the checkpoint and syncs it.
fn write(
    disk: &dyn Disk,
    store_path: &Path,
    fields: &StoreCheckpoint,
    notes: &Notes,
) -> Result<()> {
    let mut bytes = vec![0; CHECKPOINT_BYTES];
    let stored = [
        fields.physic_msg_timestamp_ms,
        fields.logics_msg_timestamp_ms,
        fields.index_msg_timestamp_ms,
        fields.master_flushed_offset,
        fields.confirm_phy_offset,
    ];
    let mut place = |at: usize, field: &[u8]| {
        if let Some(target) = bytes.get_mut(at..at + field.len()) {
            target.copy_from_slice(field);
        }
    };
    for (index, field) in stored.iter().enumerate() {
        place(index * 8, &field.to_be_bytes());
    }
    let mut covered = NOTES_MAGIC.to_vec();
    let noted = [
        notes.segment_size_bytes,
        notes.durable_offset,
        notes.boot_id,
        notes.dispatched_offset,
        notes.queues.fingerprint,
        notes.index_end,
        notes.queues.files,
    ];
    for note in noted {
        covered.extend_from_slice(&note.to_be_bytes());
    }
    place(NOTES_AT, &covered);
    let crc = u64::from(crc32fast::hash(&covered));
    place(NOTES_AT + covered.len(), &crc.to_be_bytes());

    let path = store_path.join(CHECKPOINT_FILE);
    let opened = match disk.open(&path, Access::Write) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            disk.create(&path, 0).map(|file| (file, true))
        }
        other => other.map(|file| (file, false)),
    };
    opened
        .and_then(|(file, created)| {
            file.write_all_at(&bytes, 0)?;
            if created {
                file.sync_all()?;
                return sync_parent(disk, &path);
            }
            file.sync_data()
        })
        .map_err(|source| Error::io("cannot write", source).at_path(&path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_and_notes_come_back() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(StoreCheckpoint::read(directory.path()).unwrap(), None);
        let fields = StoreCheckpoint { physic_msg_timestamp_ms: 7, ..Default::default() };
        let notes = Notes {
            segment_size_bytes: 65_536,
            durable_offset: 99,
            boot_id: 5,
            dispatched_offset: 98,
            queues: QueueSummary { fingerprint: 11, files: 3 },
            index_end: 97,
        };
        write(&OsDisk, directory.path(), &fields, &notes).unwrap();
        let read_back = read(&OsDisk, directory.path()).unwrap();
        assert_eq!(read_back, Some((fields, Some(notes))));
        let path = directory.path().join(CHECKPOINT_FILE);
        let mut bytes = std::fs::read(&path).unwrap();
        assert_eq!(bytes.len(), 4096);
        assert_eq!(bytes[..8], 7i64.to_be_bytes());
        bytes[NOTES_AT + 20] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(read(&OsDisk, directory.path()).unwrap(), Some((fields, None)));
        std::fs::write(&path, b"").unwrap();
        assert_eq!(StoreCheckpoint::read(directory.path()).unwrap(), None);
    }
}
