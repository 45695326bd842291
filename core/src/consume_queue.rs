//! What the consume queues of an existing store tell recovery: how far each queue has come, also
//! when retention removed its messages from the log.
//!
//! A queue is `consumequeue/<topic>/<queue id>/`, files of 20-byte units: physical offset, record
//! size, tag code. A filler unit (offset 0, size 2^31 - 1) stands for an index without a message.

use std::path::Path;

use crate::codec::{read_i32, read_i64};
use crate::error::{Error, Result};
use crate::sys::disk::{Access, Disk, Entry};

use crate::commit_log::TopicTable;

const UNIT_BYTES: u64 = 20;
/// The directory of the queues in the store's root.
pub(crate) const CONSUME_QUEUE_DIRECTORY: &str = "consumequeue";

/// Makes sure that no queue of `topics` gives out an index that its consume queue already has for a
/// record below `log_end`.
pub(crate) fn raise_next_offsets(
    disk: &dyn Disk,
    store_path: &Path,
    log_end: u64,
    topics: &TopicTable,
) -> Result<()> {
    let root = store_path.join(CONSUME_QUEUE_DIRECTORY);
    for topic in list(disk, &root)?.iter().filter(|entry| !entry.is_file) {
        let Some(topic_name) = topic.name.to_str() else {
            continue;
        };
        let topic_path = root.join(topic_name);
        for queue in list(disk, &topic_path)?
            .iter()
            .filter(|entry| !entry.is_file)
        {
            let Some(queue_name) = queue.name.to_str() else {
                continue;
            };
            let Ok(queue_id) = queue_name.parse::<i32>() else {
                continue;
            };
            let next = next_offset(disk, &topic_path.join(queue_name), log_end)?;
            if next > 0 {
                topics.queue(topic_name, queue_id).raise_next_offset(next);
            }
        }
    }
    Ok(())
}

fn list(disk: &dyn Disk, directory: &Path) -> Result<Vec<Entry>> {
    match disk.list(directory) {
        Ok(entries) => Ok(entries),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(Error::io("cannot list", error).at_path(directory)),
    }
}

/// One past the last index of a queue whose unit points below `log_end`.
fn next_offset(disk: &dyn Disk, queue: &Path, log_end: u64) -> Result<u64> {
    let mut files: Vec<(u64, Entry)> = list(disk, queue)?
        .into_iter()
        .filter(|entry| entry.is_file)
        .filter_map(|entry| Some((entry.name.to_str()?.parse().ok()?, entry)))
        .collect();
    files.sort_by_key(|(start, _)| *start);
    for (start, entry) in files.iter().rev() {
        let units = used_units(disk, &queue.join(&entry.name), entry.size_bytes, log_end)?;
        if units > 0 {
            return Ok(start / UNIT_BYTES + units);
        }
    }
    Ok(0)
}

/// The number of units at the beginning of a file that are in use and point below `log_end`. They
/// ascend, so a binary search finds the last.
fn used_units(disk: &dyn Disk, path: &Path, size_bytes: u64, log_end: u64) -> Result<u64> {
    let failed = |source| Error::io("cannot read", source).at_path(path);
    let file = disk.open(path, Access::Read).map_err(failed)?;
    let (mut low, mut high) = (0, size_bytes / UNIT_BYTES);
    while low < high {
        let middle = low + (high - low) / 2;
        let mut unit = [0; UNIT_BYTES as usize];
        let mut filled = 0;
        while let Some(rest) = unit.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match file.read_at(rest, middle * UNIT_BYTES + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(error)),
            }
        }
        if in_use(&unit, log_end) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low)
}

fn in_use(unit: &[u8], log_end: u64) -> bool {
    let (Some(offset), Some(size)) = (read_i64(unit, 0), read_i32(unit, 8)) else {
        return false;
    };
    let filler = offset == 0 && size == i32::MAX;
    let end = u64::try_from(offset).ok().zip(u64::try_from(size).ok());
    filler || (size > 0 && end.is_some_and(|(offset, size)| offset + size <= log_end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::disk::OsDisk;

    fn unit(offset: i64, size: i32) -> Vec<u8> {
        [&offset.to_be_bytes()[..], &size.to_be_bytes(), &[0; 8]].concat()
    }

    #[test]
    fn the_last_unit_below_the_end_of_the_log_counts() {
        let store = tempfile::tempdir().unwrap();
        let queue = store.path().join("consumequeue/t/3");
        std::fs::create_dir_all(&queue).unwrap();
        let first = [unit(0, i32::MAX), unit(0, i32::MAX), unit(100, 10)].concat();
        std::fs::write(queue.join(format!("{:020}", 0)), &first).unwrap();
        let second = [unit(110, 10), unit(120, 10), vec![0; 20]].concat();
        std::fs::write(queue.join(format!("{:020}", 60)), &second).unwrap();
        for (log_end, next) in [(1000, 5), (130, 5), (129, 4), (110, 3), (50, 2)] {
            let topics = TopicTable::default();
            raise_next_offsets(&OsDisk, store.path(), log_end, &topics).unwrap();
            let found = topics.find("t", 3).map(|queue| queue.next_offset());
            assert_eq!(found, Some(next), "log end {log_end}");
        }
    }
}
