//! What a store must be like that was opened on what a cut left.

use std::path::Path;

use super::disk::ModelDisk;
use super::journal::Image;
use super::session::{BATCH_TOPIC, GROUP, Record, Recorded, TOPIC, body_of, key_of, open_on};
use super::survival::Owed;
use crate::{Message, QueueOffset, ReadRequest, Store};

/// What was found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    /// How many records the log has had, those included that retention removed.
    pub(super) records: usize,
    /// Where the log begins.
    pub(super) min: u64,
}

/// How much is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    /// The store as it was opened, a further message, closing.
    Opened,
    /// The same, and the store opened once more after that.
    Reopened,
}

macro_rules! hold {
    ($holds:expr, $($what:tt)+) => {
        if !$holds {
            return Err(format!($($what)+));
        }
    };
}

fn say(error: crate::Error) -> String {
    error.to_string()
}

/// Opens an image once and says what is in the log.
pub(super) fn recovered(image: &Image, recorded: &Recorded, boot_id: u64) -> Result<Found, String> {
    let root = tempfile::tempdir().unwrap();
    let disk = ModelDisk::plain(root.path(), image);
    let store = open_on(&disk, root.path(), &recorded.options, boot_id).map_err(say)?;
    look_at_log(&store, &recorded.history.records)
}

/// Opens an image and holds it against what was appended and promised.
pub(super) fn check(
    root: &Path,
    image: &Image,
    recorded: &Recorded,
    owed: &Owed,
    depth: Depth,
) -> Result<(), String> {
    let disk = ModelDisk::plain(root, image);
    let boot_id = recorded.boot_id + 1;
    let (options, history) = (&recorded.options, &recorded.history);
    let opened = open_on(&disk, root, options, boot_id);
    let store = opened.map_err(|error| format!("it does not open: {error}"))?;
    let found = look_at_log(&store, &history.records)?;
    let promised = history.records.partition_point(|record| record.end <= owed.durable);
    hold!(
        found.records >= promised.max(owed.records),
        "{} records are left, {promised} were durable at {} and {} found before",
        found.records,
        owed.durable,
        owed.records
    );
    hold!(found.min <= owed.most_min, "it begins at {}, not {}", found.min, owed.most_min);
    look_behind(&disk, &store)?;
    if let Some(bytes) = &history.set_aside {
        let kept = disk.contents("lost+found");
        hold!(kept.iter().any(|(_, kept)| kept == bytes), "what was cut off was not kept");
    }
    let has_queues = options.consume_queue_enable;
    look_at_queues(&store, &history.records, found, has_queues)?;
    look_at_offsets(&store, recorded, owed)?;
    let appended = append(&store, &history.records, found)?;
    close(store)?;
    if depth == Depth::Opened {
        return Ok(());
    }
    let store = open_on(&disk, root, options, boot_id).map_err(say)?;
    hold!(store.recovery_report().clean_stop, "closing left it as if it had not been closed");
    hold!(
        store.recovery_report().damage.is_none(),
        "damage after closing: {:?}",
        store.recovery_report().damage
    );
    let mut records = history.records[..found.records].to_vec();
    records.push(appended);
    let again = look_at_log(&store, &records)?;
    hold!(again.records == records.len(), "{} records after closing, not one more", again.records);
    look_at_queues(&store, &records, again, has_queues)?;
    close(store)
}

fn close(store: Store) -> Result<(), String> {
    store.close().map_err(|error| format!("it does not close: {error}"))
}

/// The log is a piece of what was appended, from the beginning of a file to some record.
fn look_at_log(store: &Store, records: &[Record]) -> Result<Found, String> {
    let min = store.min_offset().get();
    let first = records.partition_point(|record| record.start < min);
    let mut next = first;
    for message in store.scan(store.min_offset()).map_err(say)? {
        let message = message.map_err(|error| format!("record {next}: {error}"))?;
        let at = message.physical_offset().get();
        let Some(expected) = records.get(next) else {
            return Err(format!("a record at {at} that nobody appended"));
        };
        hold!(at == expected.start, "record {next} is at {at}, not at {}", expected.start);
        hold!(
            message.body() == expected.body
                && message.topic() == expected.topic
                && message.queue_id() == expected.queue_id
                && message.queue_offset().get() == expected.queue_offset,
            "record {next} at {at} is another one"
        );
        let keys = message.record().keys();
        let has_its_key = expected.key.iter().all(|key| keys == [key.as_str()]);
        hold!(has_its_key, "record {next} at {at} has the keys {keys:?}");
        next += 1;
    }
    let end = store.max_offset().get();
    let last = if next > first { records[next - 1].end } else { min };
    // Behind the last record there may be a blank to the end of the file.
    let blank = end.is_multiple_of(store.segment_size_bytes());
    hold!(end == last || blank, "the log ends at {end}, its last record at {last}");
    Ok(Found { records: next, min })
}

/// Behind the end there is nothing, or it would come back later.
fn look_behind(disk: &ModelDisk, store: &Store) -> Result<(), String> {
    let end = store.max_offset().get();
    for (name, bytes) in disk.contents("commitlog") {
        let start: u64 = name.parse().map_err(|_| format!("a file {name} in the log"))?;
        let within = end.saturating_sub(start).min(bytes.len() as u64) as usize;
        let used = bytes[within..].chunks(4096).any(|part| part != &[0; 4096][..part.len()]);
        hold!(!used, "something stands behind the end {end} of the log");
    }
    Ok(())
}

/// Each queue goes on behind its last record. If the store has queues, every record of the log is
/// in its queue and can be found by its key; nothing else is.
fn look_at_queues(
    store: &Store,
    records: &[Record],
    found: Found,
    has_queues: bool,
) -> Result<(), String> {
    let first = records.partition_point(|record| record.start < found.min);
    let there = &records[first..found.records];
    let mut queues: Vec<(&str, i32)> =
        there.iter().map(|record| (&*record.topic, record.queue_id)).collect();
    queues.sort_unstable();
    queues.dedup();
    for (topic, queue_id) in queues {
        let expected: Vec<_> = there
            .iter()
            .filter(|record| record.topic == topic && record.queue_id == queue_id)
            .collect();
        let end = expected.last().map_or(0, |newest| newest.queue_offset + newest.count);
        let next = store.next_queue_offset(topic, queue_id).get();
        hold!(next == end, "queue {topic} {queue_id} goes on at {next}, not {end}");
        if has_queues {
            look_at_queue(store, topic, queue_id, &expected)?;
        }
    }
    if !has_queues {
        return Ok(());
    }
    let mut asked: Vec<usize> = vec![0, there.len() / 2, there.len().saturating_sub(1)];
    asked.dedup();
    for record in asked.into_iter().filter_map(|at| there.get(at)) {
        let Some(key) = &record.key else { continue };
        let hits = store.query_key(&record.topic, key, 0, i64::MAX, 10).map_err(say)?;
        let at: Vec<_> = hits.iter().map(|hit| hit.physical_offset().get()).collect();
        hold!(at == [record.start], "key {key} leads to {at:?}, not to {}", record.start);
    }
    Ok(())
}

fn look_at_queue(
    store: &Store,
    topic: &str,
    queue_id: i32,
    expected: &[&Record],
) -> Result<(), String> {
    let (Some(oldest), Some(newest)) = (expected.first(), expected.last()) else {
        return Ok(());
    };
    let range = store.queue_range(topic, queue_id).map_err(say)?;
    let end = range.as_ref().map_or(0, |range| range.end.get());
    hold!(
        end == newest.queue_offset + newest.count,
        "queue {topic} {queue_id} ends at {end}, not behind {} of {}",
        newest.queue_offset,
        newest.count
    );
    let mut offset = oldest.queue_offset;
    let mut left = expected.iter();
    while offset < end {
        let request = ReadRequest::new(topic, queue_id, offset as i64).max_messages(1000);
        let batch = store.read(&request).map_err(say)?;
        hold!(
            !batch.messages().is_empty(),
            "queue {topic} {queue_id} has {:?} at {offset}",
            batch.outcome()
        );
        for message in batch.messages() {
            let at = message.physical_offset().get();
            let expected = left.next().map(|record| (record.start, record.queue_offset));
            hold!(
                expected == Some((at, message.queue_offset().get())),
                "queue {topic} {queue_id} leads to {at} at {offset}, not to {expected:?}"
            );
        }
        offset = batch.next_offset() as u64;
    }
    Ok(())
}

/// A committed offset is as new as was promised, unless the queue lost what it stands behind.
fn look_at_offsets(store: &Store, recorded: &Recorded, owed: &Owed) -> Result<(), String> {
    for (&queue_id, &greatest) in &recorded.history.committed {
        let found = store.consumer_offset(GROUP, TOPIC, queue_id).map_err(say)?;
        let found = found.map(QueueOffset::get);
        let range = store.queue_range(TOPIC, queue_id).map_err(say)?;
        let end = range.map_or(0, |range| range.end.get());
        let least = owed.committed.get(&queue_id).map(|&offset| offset.min(end));
        hold!(
            found >= least && found <= Some(greatest) && found.is_none_or(|found| found <= end),
            "the group is at {found:?} in queue {queue_id}, not from {least:?} to {greatest}"
        );
    }
    Ok(())
}

/// Appends a message of the size of the one that was lost next: it ends where that one did.
fn append(store: &Store, records: &[Record], found: Found) -> Result<Record, String> {
    // A plain message goes to a queue of its own kind.
    let lost = records.get(found.records).filter(|lost| lost.topic != BATCH_TOPIC);
    let (topic, queue_id) = lost.map_or((TOPIC, 0), |lost| (&*lost.topic, lost.queue_id));
    let end = store.max_offset().get();
    let expected = records[..found.records]
        .iter()
        .filter(|record| record.topic == topic && record.queue_id == queue_id)
        .map(|record| record.queue_offset + record.count)
        .max()
        .unwrap_or(0);
    // The same number has the same length; the rest differs.
    let length = lost.map_or(100, |lost| lost.body.len());
    let mut body = body_of(found.records, length);
    let filling = body.iter().position(|&byte| byte == b':').map_or(0, |at| at + 1);
    body[filling..].fill(b'n');
    let key = key_of(found.records);
    let keys = [key.as_str()];
    let message = Message::new(topic, &body).queue_id(queue_id).keys(&keys);
    let placed = store.append(&message).map_err(|error| format!("no append: {error}"))?;
    let start = placed.physical_offset.get();
    let rolled = start == end.next_multiple_of(store.segment_size_bytes());
    hold!(start == end || rolled, "what is appended comes to {start}, not to {end}");
    let offset = placed.queue_offset.get();
    hold!(offset == expected, "what is appended has the index {offset}, not {expected}");
    store.flush().map_err(|error| format!("no flush: {error}"))?;
    let durable = store.durable_offset();
    hold!(durable >= placed.end_offset(), "a flush left the log durable to {durable} only");
    Ok(Record {
        topic: topic.to_owned(),
        queue_id,
        queue_offset: offset,
        start,
        end: placed.end_offset().get(),
        body,
        count: 1,
        key: Some(key),
    })
}
