//! What has to hold when a directory is opened, whatever is in it.

use std::path::Path;
use std::time::Duration;

use cairnlog::fuzzing::{Check, decode_record};
use cairnlog::{
    Error, Filter, LogReader, Message, MessageView, PhysicalOffset, QueueOffset, ReadOutcome,
    ReadRequest, RecoveryReport, Status, Store, StoreOptions, TimeBoundary,
};

use crate::record::look_at;

/// Reads of a queue, at most: a queue may say that it has any number of messages.
const MAX_READS: usize = 64;

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub struct Found {
    /// What opening told.
    pub report: RecoveryReport,
    /// Where every message of the log lies.
    pub messages: Vec<u64>,
}

/// Opens a directory, reads everything and opens it again, which finds nothing more to do.
///
/// # Errors
///
/// Why it is refused.
pub fn open_twice(directory: &Path, options: &StoreOptions) -> Result<Found, Error> {
    look_from_outside(directory, options);
    let planned = Store::plan_recovery(directory, options);
    let store = match Store::open(directory, options) {
        Ok(store) => store,
        Err(error) => {
            assert_ne!(error.status(), Status::Internal, "{error}");
            let again = Store::open(directory, options).expect_err("it was refused before");
            assert_eq!(again.status(), error.status(), "{again}; before: {error}");
            return Err(error);
        }
    };
    let first = look(&store, options);
    if let Ok(planned) = planned {
        assert_eq!(planned.end_offset, first.report.end_offset);
        assert_eq!(planned.bytes_set_aside, first.report.bytes_set_aside);
        assert_eq!(planned.files_removed, first.report.files_removed);
    }
    let closed = close(&store);
    let second = Store::open(directory, options).expect("it was opened before");
    let found = look(&second, options);
    let report = &found.report;
    if !options.schedule_enable {
        assert_eq!(report.end_offset, first.report.end_offset);
        assert_eq!(found.messages, first.messages);
    }
    assert_eq!(report.damage, None);
    assert_eq!(report.bytes_set_aside, 0);
    assert_eq!(report.files_removed, 0);
    assert!(!report.created || first.report.created);
    // Without queues the abort marker stays where there are some: they fall behind.
    assert!(!options.consume_queue_enable || report.clean_stop == closed);
    append(&second, options);
    let messages = messages(&second, false);
    if close(&second) {
        let third = Store::open(directory, options).expect("it was opened before");
        let report = third.recovery_report();
        assert_eq!((report.damage.as_ref(), report.bytes_set_aside), (None, 0));
        if !options.schedule_enable {
            assert_eq!(self::messages(&third, false), messages);
        }
        close(&third);
    }
    Ok(first)
}

/// Closes a store, of which not all could be dispatched at the worst; whether it could.
fn close(store: &Store) -> bool {
    match store.close() {
        Ok(()) => true,
        Err(error) => {
            assert_eq!(error.status(), Status::DispatchBlocked, "{error}");
            false
        }
    }
}

/// Readers that change nothing.
fn look_from_outside(directory: &Path, options: &StoreOptions) {
    if let Ok(reader) = LogReader::open(directory) {
        let entries = reader.entries(reader.min_offset());
        for entry in entries.take(100_000).flatten() {
            if let cairnlog::LogEntry::Message(message) = entry {
                check(&message, true);
            }
        }
    }
    let Ok(reader) = Store::open_reader(directory, options) else {
        return;
    };
    let _ = reader.max_offset();
    for topic in reader.topics().unwrap_or_default() {
        for queue_id in reader.queues_of(&topic).unwrap_or_default() {
            let request = ReadRequest::new(&topic, queue_id, 0).max_messages(100);
            for message in reader.read(&request).iter().flat_map(|batch| batch.messages()) {
                check(message, false);
            }
        }
        let _ = reader.query_key(&topic, "k1", 0, i64::MAX, 10);
    }
}

/// A message that was returned decodes, and its CRC is right if that was verified.
fn check(message: &MessageView, verified: bool) {
    look_at(&message.record());
    let offset = message.physical_offset().get();
    let how = if verified { Check::Crc } else { Check::Structure };
    let again = decode_record(message.bytes(), offset, how);
    assert!(again.is_some(), "the message at {offset} is none");
}

fn look(store: &Store, options: &StoreOptions) -> Found {
    let report = store.recovery_report().clone();
    assert!(report.min_offset <= report.end_offset);
    // Only what was walked now has been verified now.
    let walked = report.walked_from == report.min_offset;
    let messages = messages(store, walked && options.check_crc_on_recover);
    read_queues(store);
    Found { report: RecoveryReport { duration: Duration::ZERO, ..report }, messages }
}

/// Every message of the log.
fn messages(store: &Store, verified: bool) -> Vec<u64> {
    let mut offsets = Vec::new();
    for message in store.scan(store.min_offset()).expect("the log's beginning") {
        let Ok(message) = message else {
            // Only in a part that was trusted.
            assert!(!verified, "{message:?}");
            break;
        };
        check(&message, verified);
        let offset = message.physical_offset();
        let alone = store.read_at(offset);
        match alone {
            Ok(alone) => assert_eq!(alone.bytes(), message.bytes()),
            Err(error) => {
                assert!(!verified && error.status() == Status::Corruption, "{error}");
            }
        }
        offsets.push(offset.get());
    }
    offsets
}

fn read_queues(store: &Store) {
    let refused = [Status::Corruption, Status::InvalidArgument];
    let Ok(topics) = store.topics() else {
        return;
    };
    for topic in topics {
        for queue_id in store.queues_of(&topic).expect("a topic that is listed") {
            let range = store.queue_range(&topic, queue_id).expect("a queue that is listed");
            let range = range.unwrap_or_default();
            assert!(range.start <= range.end);
            read_queue(store, &topic, queue_id, range.start);
            read_queue(
                store,
                &topic,
                queue_id,
                QueueOffset::new(range.end.get().saturating_sub(3)),
            );
            for boundary in [TimeBoundary::Lower, TimeBoundary::Upper] {
                let found = store.offset_at_time(&topic, queue_id, 1_700_000_000_000, boundary);
                if let Ok(Some(offset)) = found {
                    assert!((range.start..=range.end).contains(&offset));
                }
            }
        }
        for key in ["k1", "k2", "unique"] {
            match store.query_key(&topic, key, 0, i64::MAX, 10) {
                Ok(found) => found.iter().for_each(|message| check(message, false)),
                Err(error) => assert!(refused.contains(&error.status()), "{error}"),
            }
            let _ = store.find_by_message_id(&topic, key);
        }
    }
    let _ = (store.open_transactions(), store.groups(), store.stats());
}

fn read_queue(store: &Store, topic: &str, queue_id: i32, from: QueueOffset) {
    let filters = [Filter::all(), Filter::tags("a || b").expect("tags")];
    for filter in filters {
        let mut next = from.to_i64();
        for _ in 0..MAX_READS {
            let request = ReadRequest::new(topic, queue_id, next).filter(filter.clone());
            let batch = match store.read(&request) {
                Ok(batch) => batch,
                Err(error) => {
                    assert_eq!(error.status(), Status::Corruption, "{error}");
                    break;
                }
            };
            for message in batch.messages() {
                check(message, false);
                assert_eq!((&*message.topic(), message.queue_id()), (topic, queue_id));
                assert!(message.queue_offset().to_i64() >= next || message.sys_flag() & 0x80 != 0);
            }
            let goes_on = [
                ReadOutcome::Found,
                ReadOutcome::NoMatchedMessage,
                ReadOutcome::MessageWasRemoving,
                ReadOutcome::OffsetFoundNull,
            ];
            if !goes_on.contains(&batch.outcome()) {
                break;
            }
            let after = batch.next_offset();
            assert!(after > next, "reading {topic}/{queue_id} at {next} goes on at {after}");
            next = after;
        }
    }
}

/// A store that could be opened takes messages, or says why it does not.
fn append(store: &Store, options: &StoreOptions) {
    for (topic, queue_id) in [("t", 0), ("orders", 1), ("new", 0)] {
        let message = Message::new(topic, b"appended").queue_id(queue_id).keys(&["k1"]).tag("a");
        let before = store.max_offset();
        match store.append(&message) {
            Ok(placed) => {
                assert!(placed.physical_offset >= before);
                let found = store.read_at(placed.physical_offset).expect("it was appended");
                assert_eq!(found.body(), b"appended");
                assert_eq!(found.queue_offset(), placed.queue_offset);
                if options.consume_queue_enable {
                    in_queue(store, topic, queue_id, placed.queue_offset, placed.end_offset());
                }
            }
            Err(error) => {
                assert_ne!(error.status(), Status::Internal, "{error}");
                assert_ne!(error.status(), Status::Fenced, "{error}");
            }
        }
    }
    let flushed = store.flush();
    assert!(flushed.is_ok(), "{flushed:?}");
}

/// What was appended comes to its queue, unless something in front of it cannot.
fn in_queue(store: &Store, topic: &str, queue_id: i32, at: QueueOffset, end: PhysicalOffset) {
    if !store.wait_dispatched(end, Duration::from_millis(20)).expect("an open store") {
        return;
    }
    let request = ReadRequest::new(topic, queue_id, at.to_i64());
    if let Ok(batch) = store.read(&request) {
        let first = batch.messages().first().map(MessageView::queue_offset);
        assert!(first.is_none_or(|first| first == at), "{topic}/{queue_id}: {first:?}, not {at}");
    }
}
