//! The queue offsets that a store without consume queues gives out next, kept from a clean stop to
//! the next opening, which then need not walk the log to count them.
//!
//! The file is read only where the store was closed (no `abort`), and is removed before anything
//! is appended. It is believed if the log still has, in front of the end that it was written for,
//! the same last bytes: a record names its time and its place, so another history does not. Records
//! behind that end, which RocketMQ may have appended, are walked.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::recover::{Before, WalkStart};
use super::topics::TopicTable;
use crate::error::{Error, Result};
use crate::mapped::MappedFileQueue;
use crate::state::QueueKind;
use crate::sys::disk::Disk;

/// The file's name in the store's directory, after RocketMQ's table in memory.
const TOPIC_QUEUE_TABLE_FILE: &str = "topicqueuetable";
const MAGIC: &[u8; 8] = b"CAIRNTQ1";
/// The largest file that is read or written: some five million queues.
const MOST_BYTES: usize = 64 << 20;
/// How much of the log in front of the end is compared.
const TAIL_BYTES: u64 = 4096;

fn path_of(store_path: &Path) -> PathBuf {
    store_path.join(TOPIC_QUEUE_TABLE_FILE)
}

/// Writes the file for a log that ends, durably, at what is committed, behind a record of
/// `timestamp_ms`. Whoever stops the store cleanly without is only slower to open again.
pub(crate) fn write(
    disk: &dyn Disk,
    store_path: &Path,
    log: &MappedFileQueue,
    topics: &TopicTable,
    timestamp_ms: i64,
) -> Result<()> {
    let end = log.committed().get();
    let Some(tail_crc) = tail_crc(log, end)? else { return Ok(()) };
    let bytes = encode(end, tail_crc, timestamp_ms, topics);
    if bytes.len() > MOST_BYTES {
        return Ok(());
    }
    let path = path_of(store_path);
    disk.create(&path, 0)
        .and_then(|file| {
            file.write_all_at(&bytes, 0)?;
            file.sync_all()
        })
        .map_err(|source| {
            // Of no use. The error that matters is the first one.
            let _ = disk.remove(&path);
            Error::io("cannot write", source).at_path(&path)
        })
}

/// The queues as they were when the store was closed, and where the walk goes on from there; `None`
/// where the log has to be walked from its beginning.
pub(crate) fn read(
    disk: &dyn Disk,
    store_path: &Path,
    log: &MappedFileQueue,
    before: Before,
) -> Result<Option<(TopicTable, WalkStart)>> {
    let Some(notes) = before.notes.filter(|_| before.clean_stop) else { return Ok(None) };
    let path = path_of(store_path);
    let bytes = match disk.read_whole(&path, MOST_BYTES) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            tracing::warn!(%error, path = %path.display(), "cannot be read: the log is walked");
            return Ok(None);
        }
    };
    let Some(noted) = decode(&bytes) else {
        tracing::warn!(path = %path.display(), "damaged: the log is walked");
        return Ok(None);
    };
    let end = noted.start.position;
    let same = end == notes.durable_offset
        && (log.min_offset()..=log.committed().get()).contains(&end)
        && tail_crc(log, end)? == Some(noted.tail_crc);
    Ok(same.then_some((noted.topics, noted.start)))
}

/// Removes the file. That this is durable is seen to by whoever takes `abort` away.
pub(crate) fn remove(disk: &dyn Disk, store_path: &Path) -> Result<()> {
    let path = path_of(store_path);
    match disk.remove(&path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(Error::io("cannot remove", error).at_path(&path))
        }
        _ => Ok(()),
    }
}

/// The checksum of the log's last bytes in front of `end`, as far as one file has them; `None` of
/// an empty log.
fn tail_crc(log: &MappedFileQueue, end: u64) -> Result<Option<u32>> {
    let Some(file) = end.checked_sub(1).and_then(|last| log.find(last)) else { return Ok(None) };
    let from = end.saturating_sub(TAIL_BYTES).max(file.start());
    let Some(pin) = log.pin(from) else { return Ok(None) };
    let length = usize::try_from(end - from).unwrap_or(usize::MAX);
    let Some(tail) = pin.bytes().get(..length) else { return Ok(None) };
    let crc = crc32fast::hash(tail);
    pin.check(length)?;
    Ok(Some(crc))
}

/// What the file says.
struct Noted {
    topics: TopicTable,
    start: WalkStart,
    tail_crc: u32,
}

/// Big-endian: magic, end, checksum of the tail, time; of each queue its number, next offset, kind,
/// and its topic behind the topic's length; the checksum of all that.
fn encode(end: u64, tail_crc: u32, timestamp_ms: i64, topics: &TopicTable) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&end.to_be_bytes());
    bytes.extend_from_slice(&tail_crc.to_be_bytes());
    bytes.extend_from_slice(&timestamp_ms.to_be_bytes());
    for queue in topics.queues() {
        let topic = queue.topic_name();
        // Of a queue that was only asked for there is nothing to tell; a longer topic is in no log.
        let (Some(kind), Ok(length)) = (queue.topic.kind(), u16::try_from(topic.len())) else {
            continue;
        };
        bytes.extend_from_slice(&queue.queue_id.to_be_bytes());
        bytes.extend_from_slice(&queue.next_offset().to_be_bytes());
        bytes.push(u8::from(kind == QueueKind::Batch));
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(topic.as_bytes());
    }
    let crc = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&crc.to_be_bytes());
    bytes
}

fn decode(bytes: &[u8]) -> Option<Noted> {
    let (covered, crc) = bytes.split_last_chunk()?;
    if crc32fast::hash(covered) != u32::from_be_bytes(*crc) {
        return None;
    }
    let mut rest = covered.strip_prefix(MAGIC)?;
    let position = u64::from_be_bytes(take(&mut rest)?);
    let tail_crc = u32::from_be_bytes(take(&mut rest)?);
    let timestamp_ms = i64::from_be_bytes(take(&mut rest)?);
    let topics = TopicTable::default();
    while !rest.is_empty() {
        let queue_id = i32::from_be_bytes(take(&mut rest)?);
        let next_offset = u64::from_be_bytes(take(&mut rest)?);
        let [kind] = take(&mut rest)?;
        let length = usize::from(u16::from_be_bytes(take(&mut rest)?));
        let (topic, behind) = rest.split_at_checked(length)?;
        rest = behind;
        let queue = topics.queue(std::str::from_utf8(topic).ok()?, queue_id);
        queue.topic.set_kind(if kind == 0 { QueueKind::Simple } else { QueueKind::Batch });
        queue.raise_next_offset(next_offset);
    }
    Some(Noted { topics, start: WalkStart { position, timestamp_ms }, tail_crc })
}

/// The first bytes of what is left.
fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (first, behind) = rest.split_first_chunk()?;
    *rest = behind;
    Some(*first)
}
