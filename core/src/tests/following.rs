//! Following a store that is written meanwhile.

use std::sync::Arc;
use std::time::Duration;

use super::fault_disk::{FaultDisk, Hits};
use super::scene::{SEGMENT, Scene, fill};
use crate::consume_queue::{ConsumeQueues, QueueSettings, ReadableLog, Slot};
use crate::sys::disk::Access;
use crate::{FlushMode, LogReader, Message, Status, Store};

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
        let queue = queues.follow("t", 0, &Whole).unwrap().unwrap();
        let there = if lacked == 9 { 90 } else { 95 };
        assert_eq!(queue.range(), 0..there, "file {lacked} was lacked");
        for number in 0..there {
            assert!(matches!(queue.unit(number).unwrap(), Slot::Unit(_)), "{lacked}: {number}");
        }
        queues.follow("t", 0, &Whole).unwrap();
        assert_eq!(queue.range(), 0..95);
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
