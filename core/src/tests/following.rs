//! Following a store that is written meanwhile.

use std::sync::Arc;
use std::time::Duration;

use super::fault_disk::{FaultDisk, Hits};
use super::impossible::log_of;
use super::scene::{SEGMENT, Scene, fill};
use crate::consume_queue::{ConsumeQueues, QueueSettings, ReadableLog, Slot};
use crate::sys::disk::Access;
use crate::{
    Filter, FlushMode, LogReader, Message, QueueOffset, ReadOutcome, ReadRequest, Status, Store,
};

struct Whole;

impl ReadableLog for Whole {
    fn min(&self) -> u64 {
        0
    }

    fn end_now(&self) -> u64 {
        u64::MAX
    }
}

/// A listing of a directory in which files are made may lack any of those that were made since it
/// began, and show later ones.
#[test]
fn a_listing_that_lacks_a_file_makes_no_hole_in_a_queue() {
    let mut scene = Scene::new(FlushMode::Async);
    scene.options.consume_queue_file_size_bytes = 200;
    let store = scene.open().unwrap();
    fill(&store, 95, 10);
    store.close().unwrap();
    let settings = QueueSettings {
        file_bytes: 200,
        batch_file_bytes: 460,
        max_open_files: 4,
        access: Access::Read,
    };
    for lacked in 0..10 {
        let disk = FaultDisk::default();
        disk.hide("consumequeue/t/0", &format!("{:020}", lacked * 200), Hits::Nth(1));
        let queues = ConsumeQueues::new(Arc::new(disk), scene.path(), settings);
        let queue = queues.follow("t", 0, false, &Whole).unwrap().unwrap();
        let there = if lacked == 9 { 90 } else { 95 };
        assert_eq!(queue.range(), 0..there, "file {lacked} was lacked");
        for number in 0..there {
            assert!(matches!(queue.unit(number).unwrap(), Slot::Unit(_)), "{lacked}: {number}");
        }
        queues.follow("t", 0, false, &Whole).unwrap();
        assert_eq!(queue.range(), 0..95);
    }
}

/// Where a log skips indexes, no message is to be waited for. Where the next one lies in another
/// file of the queue, the rest of the first file was left free, and neither the store nor a reader
/// came beyond it.
#[test]
fn a_reader_goes_on_behind_indexes_that_the_log_skips() {
    let indexes = [25, 26, 27, 28, 29, 60, 61, 75];
    let records: Vec<_> =
        indexes.iter().flat_map(|index| [("other", *index), ("t", *index)]).collect();
    let mut scene = log_of(&records);
    scene.options.consume_queue_file_size_bytes = 200;
    let store = scene.open().unwrap();
    let seen = store.tail("t", 0, QueueOffset::new(0), Filter::all()).unwrap();
    let seen: Vec<_> = seen.map(|message| message.unwrap().queue_offset().get()).collect();
    assert_eq!(seen, indexes);
    store.close().unwrap();
    let file = |number: u64| scene.path().join(format!("consumequeue/t/0/{:020}", number * 200));
    assert!([2, 6, 7].map(file).iter().all(|file| file.exists()));
    assert!([0, 1, 3, 4, 5].map(file).iter().all(|file| !file.exists()));
    let reader = Store::open_reader(scene.path(), &scene.options).unwrap();
    let read = |offset| {
        let batch = reader.read(&ReadRequest::new("t", 0, offset)).unwrap();
        (batch.outcome(), batch.next_offset())
    };
    assert_eq!(read(-1), (ReadOutcome::OffsetTooSmall, 25));
    assert_eq!(read(3), (ReadOutcome::OffsetTooSmall, 25));
    assert_eq!(read(33), (ReadOutcome::OffsetFoundNull, 60));
    let mut tail = reader.tail("t", 0, QueueOffset::new(0), Filter::all()).unwrap();
    let long = Duration::from_secs(60);
    for index in indexes {
        let message = tail.next_timeout(long).unwrap().unwrap();
        assert_eq!(message.queue_offset().get(), index);
    }
    // All this is known at once, by what the queue has in front or by a walk over the log.
    let there = |index| reader.wait_message("t", 0, QueueOffset::new(index), Duration::ZERO);
    assert!([0, 25, 33, 61, 75].into_iter().all(|index| there(index).unwrap()));
    assert!(!there(76).unwrap());
    // What the log has is missed.
    std::fs::remove_file(file(6)).unwrap();
    let reader = Store::open_reader(scene.path(), &scene.options).unwrap();
    for index in [30, 59, 61] {
        let batch = reader.read(&ReadRequest::new("t", 0, index)).unwrap();
        let found = (batch.outcome(), batch.next_offset());
        assert_eq!(found, (ReadOutcome::OffsetFoundNull, index));
    }
}

/// A reader beside the writer showed a message whose topic was nothing but zeros, and whose place
/// recovery then gave to another one: the writer, of a synchronous store, had been killed while it
/// wrote, behind the body of a record and in front of its topic, and the CRC covers the body alone.
#[test]
fn a_reader_does_not_show_what_is_written_up_to_the_body_only() {
    let scene = Scene::new(FlushMode::Sync);
    let store = scene.open().unwrap();
    let first = store.append(&Message::new("topic", b"first")).unwrap().end_offset().get();
    for message in [Message::new("topic", b"second"), Message::new("topic", b"x").tag("tag")] {
        let killed = scene.copy();
        let placed = store.append(&message).unwrap();
        let end = placed.end_offset().get();
        let written = scene.bytes(placed.physical_offset.get()..end);
        // The lengths that make the structure right are there: behind the topic's is cut, or behind
        // that of the properties.
        let rest = if message.tag.is_some() { "TAGS_tag_".len() } else { "topic".len() + 2 };
        let begin = placed.physical_offset.get();
        killed.overwrite(begin, &written[..written.len() - rest]);
        let reader = Store::open_reader(killed.path(), &killed.options).unwrap();
        assert_eq!(reader.max_offset().get(), begin.max(first));
        killed.overwrite(begin, &written);
        assert_eq!(reader.max_offset().get(), end);
    }
    store.close().unwrap();
}

/// Whoever closes a store removes the file that was made ahead. A reader that had it in its list
/// asked the file system, by the file's name, for the parts that hold data, and failed.
#[test]
fn a_file_made_ahead_may_go_while_it_is_read() {
    let scene = Scene::new(FlushMode::Async);
    let store = scene.open().unwrap();
    fill(&store, 2, 20_000);
    for attempt in 0.. {
        if scene.file(SEGMENT).exists() {
            break;
        }
        assert!(attempt < 1000, "no file was made ahead");
        std::thread::sleep(Duration::from_millis(5));
    }
    let log = LogReader::open(scene.path()).unwrap();
    store.close().unwrap();
    assert!(!scene.file(SEGMENT).exists());
    let entries: Vec<_> = log.entries(log.min_offset()).collect();
    assert!(entries.iter().all(Result::is_ok), "{entries:?}");
    assert_eq!(entries.len(), 2);
}

/// The CRC of a record that has none over its whole covers the body alone. A look at a log that was
/// not recovered showed its last record, whose body was there, with half of its properties.
#[test]
fn a_look_at_a_log_ends_at_a_record_without_its_end() {
    let scene = Scene::new(FlushMode::Async);
    let store = scene.open().unwrap();
    fill(&store, 2, 1000);
    let last = store.append(&Message::new("t", b"body").tag("cut").keys(&["short"])).unwrap();
    let (begin, end) = (last.physical_offset.get(), store.max_offset().get());
    let killed = scene.copy();
    store.close().unwrap();
    let look = || {
        let log = LogReader::open(killed.path()).unwrap();
        let mut entries = log.entries(log.min_offset());
        let found: Vec<_> = entries.by_ref().collect();
        (found, entries.offset().get())
    };
    let (found, offset) = look();
    assert!(found.len() == 3 && found.iter().all(Result::is_ok) && offset == end);
    killed.overwrite(end - 3, &[0; 3]);
    let (found, offset) = look();
    assert_eq!((found.len(), offset), (3, begin));
    let error = found[2].as_ref().unwrap_err();
    assert_eq!((error.status(), error.offset()), (Status::Corruption, Some(begin)));
    assert_eq!(error.path(), Some(&*killed.file(0)));
    // Behind a clean stop nothing is torn: who stored it meant it so.
    std::fs::remove_file(killed.path().join("abort")).unwrap();
    let (found, offset) = look();
    assert!(found.iter().all(Result::is_ok) && offset == end);
}
