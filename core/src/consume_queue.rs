//! What the consume queues of an existing store tell recovery: how far each queue has come, also
//! when retention removed its messages from the log.
//!
//! A queue is `consumequeue/<topic>/<queue id>/`, files of 20-byte units: physical offset, record
//! size, tag code. A filler unit (offset 0, size 2^31 - 1) stands for an index without a message.

use std::io;
use std::path::Path;

use crate::codec::{read_i32, read_i64};
use crate::commit_log::TopicTable;
use crate::error::{Error, Result};
use crate::mapped::sync_parent;
use crate::sys::disk::{Access, Disk, DiskFile, Entry};

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
    for_each_queue(disk, store_path, |topic, queue_id, path| {
        let next = next_offset(disk, path, log_end)?;
        if next > 0 {
            topics.queue(topic, queue_id).raise_next_offset(next);
        }
        Ok(())
    })
}

/// Takes out the units that point behind `log_end`, durably: the log was cut there, and what is
/// appended next comes to lie where they point. A file that holds nothing else is removed.
pub(crate) fn cut_behind(disk: &dyn Disk, store_path: &Path, log_end: u64) -> Result<()> {
    for_each_queue(disk, store_path, |_, _, path| {
        for (_, entry) in files_of(disk, path)?.iter().rev() {
            let file = path.join(&entry.name);
            let units = used_units(disk, &file, entry.size_bytes, log_end)?;
            if cut_file(disk, &file, units)? && units > 0 {
                break;
            }
        }
        Ok(())
    })
}

/// Takes out what stands in a file behind its first `units` units. True if anything stood there or
/// before.
fn cut_file(disk: &dyn Disk, path: &Path, units: u64) -> Result<bool> {
    let failed = |source| Error::io("cannot cut", source).at_path(path);
    let file = disk.open(path, Access::Write).map_err(failed)?;
    let mut behind = units;
    while read_unit(&*file, behind).map_err(failed)? != [0; UNIT_BYTES as usize] {
        behind += 1;
    }
    if behind == units {
        return Ok(units > 0);
    }
    if units == 0 {
        disk.remove(path).and_then(|()| sync_parent(disk, path)).map_err(failed)?;
        return Ok(true);
    }
    let zeros = [0; UNIT_BYTES as usize];
    for unit in units..behind {
        file.write_all_at(&zeros, unit * UNIT_BYTES).map_err(failed)?;
    }
    file.sync_data().map_err(failed)?;
    Ok(true)
}

/// Calls `visit` with the topic, number and directory of every queue.
fn for_each_queue(
    disk: &dyn Disk,
    store_path: &Path,
    mut visit: impl FnMut(&str, i32, &Path) -> Result<()>,
) -> Result<()> {
    let root = store_path.join(CONSUME_QUEUE_DIRECTORY);
    for topic in list(disk, &root)?.iter().filter(|entry| !entry.is_file) {
        let Some(topic_name) = topic.name.to_str() else {
            continue;
        };
        let topic_path = root.join(topic_name);
        for queue in list(disk, &topic_path)?.iter().filter(|entry| !entry.is_file) {
            let Some(queue_name) = queue.name.to_str() else {
                continue;
            };
            if let Ok(queue_id) = queue_name.parse::<i32>() {
                visit(topic_name, queue_id, &topic_path.join(queue_name))?;
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

/// The files of a queue with the byte position each starts at, in order.
fn files_of(disk: &dyn Disk, queue: &Path) -> Result<Vec<(u64, Entry)>> {
    let mut files: Vec<(u64, Entry)> = list(disk, queue)?
        .into_iter()
        .filter(|entry| entry.is_file)
        .filter_map(|entry| Some((entry.name.to_str()?.parse().ok()?, entry)))
        .collect();
    files.sort_by_key(|(start, _)| *start);
    Ok(files)
}

/// One past the last index of a queue whose unit points below `log_end`.
fn next_offset(disk: &dyn Disk, queue: &Path, log_end: u64) -> Result<u64> {
    for (start, entry) in files_of(disk, queue)?.iter().rev() {
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
        let unit = read_unit(&*file, middle).map_err(failed)?;
        if in_use(&unit, log_end) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low)
}

/// A unit of a file; zeros behind the end of the file.
fn read_unit(file: &dyn DiskFile, unit: u64) -> io::Result<[u8; UNIT_BYTES as usize]> {
    let mut bytes = [0; UNIT_BYTES as usize];
    file.read_full_at(&mut bytes, unit * UNIT_BYTES)?;
    Ok(bytes)
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

    /// After a cut, units behind it would count again as soon as the log has grown past where they
    /// point: queues then skipped indexes, and RocketMQ kept the stale units.
    #[test]
    fn units_behind_a_cut_are_taken_out() {
        let store = tempfile::tempdir().unwrap();
        let queue = store.path().join("consumequeue/t/3");
        std::fs::create_dir_all(&queue).unwrap();
        let file = |start: u64| queue.join(format!("{start:020}"));
        let first = [unit(90, 10), unit(100, 10), unit(110, 10)].concat();
        let second = [unit(120, 10), unit(130, 10), vec![0; 20]].concat();
        let next = || {
            let topics = TopicTable::default();
            raise_next_offsets(&OsDisk, store.path(), u64::MAX, &topics).unwrap();
            topics.find("t", 3).map(|queue| queue.next_offset())
        };
        for (log_end, kept) in [(140, 5), (139, 4), (130, 4), (120, 3), (115, 2), (100, 1)] {
            std::fs::write(file(0), &first).unwrap();
            std::fs::write(file(60), &second).unwrap();
            std::fs::write(file(120), [0; 60]).unwrap();
            cut_behind(&OsDisk, store.path(), log_end).unwrap();
            assert_eq!(next(), Some(kept), "log end {log_end}");
            assert_eq!(file(60).exists(), kept > 3, "log end {log_end}");
            let bytes = std::fs::read(file(0)).unwrap();
            let whole = 20 * kept.min(3) as usize;
            assert_eq!(bytes[..whole], first[..whole]);
            assert!(bytes[whole..].iter().all(|&byte| byte == 0));
        }
        cut_behind(&OsDisk, store.path(), 0).unwrap();
        assert_eq!(next(), None);
    }
}
