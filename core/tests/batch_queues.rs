//! Queues of inner batches: their bytes, reading them, their coming back, and topics of one kind.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::time::Duration;

use cairnlog::{
    AppendResult, EncodedBatch, Filter, Message, QueueOffset, ReadOutcome, ReadRequest, Status,
    Store, StoreOptions, TimeBoundary, encode_batch_item,
};

const UNIT: usize = 46;
const UNITS_PER_FILE: usize = 4;
const FIRST_FILE: &str = "batchconsumequeue/t/0/00000000000000000000";

fn small() -> StoreOptions {
    let mut options = StoreOptions::default();
    options.segment_size_bytes = 64 * 1024;
    options.consume_queue_file_size_bytes = 200;
    // Rounded up to whole units.
    options.batch_consume_queue_file_size_bytes = (UNIT * UNITS_PER_FILE - 5) as u64;
    // Nothing but the sizes of the files is to make a store large.
    options.max_hash_slot_num = 100;
    options.max_index_num = 400;
    options
}

fn items(count: usize) -> Vec<u8> {
    let mut items = Vec::new();
    for number in 0..count {
        encode_batch_item(&mut items, 0, format!("body {number}").as_bytes(), b"").unwrap();
    }
    items
}

fn append(store: &Store, topic: &str, tag: &str, count: usize) -> AppendResult {
    let shared = Message::new(topic, b"").tag(tag);
    store.append_inner_batch(&EncodedBatch { shared, items: &items(count) }).unwrap()
}

fn settle(store: &Store) {
    store.flush().unwrap();
    assert!(store.wait_dispatched(store.max_offset(), Duration::from_secs(10)).unwrap());
}

/// Where the messages of a whole queue begin, read in steps, and where the queue ends.
fn read_all(store: &Store, topic: &str, queue_id: i32) -> (Vec<u64>, i64) {
    let (mut offsets, mut offset) = (Vec::new(), 0);
    loop {
        let batch = store.read(&ReadRequest::new(topic, queue_id, offset)).unwrap();
        if batch.outcome() == ReadOutcome::OffsetOverflowOne {
            return (offsets, offset);
        }
        offsets.extend(batch.messages().iter().map(|view| view.queue_offset().get()));
        assert!(batch.next_offset() > offset, "{:?}", batch.outcome());
        offset = batch.next_offset();
    }
}

/// The files of the queues with their bytes.
fn queue_files(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = files(root);
    found.retain(|name, _| name.components().next().unwrap().as_os_str() != "commitlog");
    found.retain(|name, _| name.to_str().unwrap().contains("consumequeue"));
    found
}

fn files(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    fn visit(root: &Path, at: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
        for entry in std::fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                visit(root, &path, found);
            } else {
                let name = path.strip_prefix(root).unwrap().to_path_buf();
                found.insert(name, std::fs::read(path).unwrap());
            }
        }
    }
    let mut found = BTreeMap::new();
    visit(root, root, &mut found);
    found
}

/// What a kill at this moment leaves.
fn killed(root: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for (name, bytes) in files(root) {
        let target = copy.path().join(name);
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::write(target, bytes).unwrap();
    }
    copy
}

#[test]
fn units_have_rocketmq_s_fields() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), &small()).unwrap();
    let placed: Vec<_> = [3, 1, 2, 5, 4].map(|count| append(&store, "t", "TagA", count)).into();
    settle(&store);
    store.close().unwrap();
    let names: Vec<_> = queue_files(directory.path()).into_keys().collect();
    let second = "batchconsumequeue/t/0/00000000000000000184";
    assert_eq!(names, [Path::new(FIRST_FILE), Path::new(second)]);
    let mut expected = Vec::new();
    for (placed, base, count) in
        [(0, 0, 3), (1, 3, 1), (2, 4, 2), (3, 6, 5), (4, 11, 4)].map(|(n, b, c)| (placed[n], b, c))
    {
        assert_eq!((placed.queue_offset.get(), placed.message_count), (base, count));
        expected.extend(placed.physical_offset.get().to_be_bytes());
        expected.extend(placed.size_bytes.to_be_bytes());
        expected.extend(2_598_919i64.to_be_bytes());
        expected.extend(placed.store_timestamp_ms.to_be_bytes());
        expected.extend(base.to_be_bytes());
        expected.extend((count as i16).to_be_bytes());
        expected.extend((-1i32).to_be_bytes());
        expected.extend(0i32.to_be_bytes());
    }
    assert_eq!(expected.len(), 5 * UNIT);
    expected.resize(2 * UNITS_PER_FILE * UNIT, 0);
    let mut found = std::fs::read(directory.path().join(FIRST_FILE)).unwrap();
    found.extend(std::fs::read(directory.path().join(second)).unwrap());
    assert_eq!(found, expected);
}

#[test]
fn outcomes_and_next_offsets_are_those_of_messages() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), &small()).unwrap();
    for number in 0..10 {
        append(&store, "t", if number == 6 { "wanted" } else { "other" }, 3);
    }
    settle(&store);
    let read = |offset| {
        let batch = store.read(&ReadRequest::new("t", 0, offset)).unwrap();
        let first = batch.messages().first().map(|view| view.queue_offset().get());
        (batch.outcome(), first, batch.messages().len(), batch.next_offset())
    };
    assert_eq!(read(-1), (ReadOutcome::OffsetTooSmall, None, 0, 0));
    assert_eq!(read(30), (ReadOutcome::OffsetOverflowOne, None, 0, 30));
    assert_eq!(read(31), (ReadOutcome::OffsetOverflowBadly, None, 0, 30));
    // One file of the queue at a time, from the batch on that has the message.
    for offset in 0..30 {
        let unit = offset / 3;
        let file_end = (unit / 4 + 1) * 4;
        let next = file_end.min(10);
        let expected =
            (ReadOutcome::Found, Some(unit as u64 * 3), (next - unit) as usize, next * 3);
        assert_eq!(read(offset), expected, "{offset}");
    }
    // Each message of a batch counts; the first batch always comes.
    for (max_messages, batches) in [(0, 1), (3, 1), (5, 1), (6, 2), (8, 2), (9, 3), (100, 4)] {
        let request = ReadRequest::new("t", 0, 1).max_messages(max_messages);
        assert_eq!(store.read(&request).unwrap().messages().len(), batches, "{max_messages}");
    }
    let size = store.read(&ReadRequest::new("t", 0, 0)).unwrap().messages()[0].size_bytes();
    for (max_bytes, batches) in [(0, 1), (2 * size as usize - 1, 1), (2 * size as usize, 2)] {
        let batch = store.read(&ReadRequest::new("t", 0, 0).max_bytes(max_bytes)).unwrap();
        assert_eq!((batch.messages().len(), batch.next_offset()), (batches, 3 * batches as i64));
    }
    let filtered = |offset| {
        let filter = Filter::tags("wanted").unwrap();
        let batch = store.read(&ReadRequest::new("t", 0, offset).filter(filter)).unwrap();
        (batch.outcome(), batch.messages().len(), batch.next_offset())
    };
    assert_eq!(filtered(2), (ReadOutcome::NoMatchedMessage, 0, 12));
    assert_eq!(filtered(12), (ReadOutcome::Found, 1, 24));
    assert_eq!(store.topics().unwrap(), ["t"]);
    assert_eq!(store.queues_of("t").unwrap(), [0]);
    let range = QueueOffset::new(0)..QueueOffset::new(30);
    assert_eq!(store.queue_range("t", 0).unwrap(), Some(range));
}

#[test]
fn a_batch_is_found_by_the_time_it_was_stored() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), &small()).unwrap();
    let mut placed = Vec::new();
    for number in 0..30 {
        placed.push(append(&store, "t", "a", 1 + number % 4));
        if number % 3 == 0 {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
    settle(&store);
    let end = store.queue_range("t", 0).unwrap().unwrap().end.get();
    let find =
        |time, boundary| store.offset_at_time("t", 0, time, boundary).unwrap().unwrap().get();
    for time in placed[0].store_timestamp_ms - 2..=placed[29].store_timestamp_ms + 2 {
        let lower = placed.iter().find(|placed| placed.store_timestamp_ms >= time);
        let upper = placed.iter().rfind(|placed| placed.store_timestamp_ms <= time);
        let index = |found: Option<&AppendResult>, or| found.map_or(or, |at| at.queue_offset.get());
        assert_eq!(find(time, TimeBoundary::Lower), index(lower, end), "{time}");
        assert_eq!(find(time, TimeBoundary::Upper), index(upper, 0), "{time}");
    }
}

#[test]
fn a_reader_waits_for_a_queue_whose_kind_is_not_known_yet() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), &small()).unwrap();
    let wait = |offset, limit| store.wait_message("t", 0, QueueOffset::new(offset), limit).unwrap();
    assert!(!wait(0, Duration::from_millis(1)));
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| wait(4, Duration::from_secs(30)));
        append(&store, "t", "a", 2);
        assert!(wait(1, Duration::from_secs(30)));
        append(&store, "t", "a", 3);
        assert!(waiter.join().unwrap());
    });
    let mut tail = store.tail("none", 0, QueueOffset::new(0), Filter::all()).unwrap();
    store.close().unwrap();
    let begin = std::time::Instant::now();
    assert!(tail.next_timeout(Duration::from_secs(30)).unwrap().is_none());
    assert!(begin.elapsed() < Duration::from_secs(20), "the wait outlived the store");
}

#[test]
fn queues_come_back_after_closing_killing_and_deleting() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let options = small();
    let store = Store::open(path, &options).unwrap();
    for number in 0..21 {
        append(&store, "t", "a", 1 + number % 5);
        append(&store, "other", "a", 2);
        store.append(&Message::new("single", b"x")).unwrap();
    }
    settle(&store);
    let killed = killed(path);
    let expected = queue_files(path);
    assert_eq!(expected.len(), 6 + 6 + 3);
    store.close().unwrap();
    drop(store);
    let check = |path: &Path, walked: Option<u64>| {
        let store = Store::open(path, &options).unwrap();
        if let Some(walked) = walked {
            assert_eq!(store.recovery_report().records, walked);
        }
        let (offsets, end) = read_all(&store, "t", 0);
        assert_eq!((offsets.len(), offsets[20], end), (21, 60, 61));
        assert_eq!(read_all(&store, "other", 0).1, 42);
        assert_eq!(read_all(&store, "single", 0).1, 21);
        assert_eq!(store.next_queue_offset("t", 0).get(), 61);
        // Of the kind that a topic is, its queues tell.
        let error = store.append(&Message::new("t", b"x")).unwrap_err();
        assert_eq!(error.status(), Status::BatchIllegal);
        store.close().unwrap();
        let now = queue_files(path);
        assert_eq!(now.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
        assert!(now == expected);
    };
    check(path, Some(0));
    check(killed.path(), None);
    let remove = |name: &str| {
        let name = path.join(name);
        if name.is_dir() {
            std::fs::remove_dir_all(name).unwrap();
        } else {
            std::fs::remove_file(name).unwrap();
        }
    };
    for missing in [
        "batchconsumequeue",
        "consumequeue",
        "batchconsumequeue/other",
        "batchconsumequeue/t/0/00000000000000000368",
        "batchconsumequeue/t/0/00000000000000000920",
        "checkpoint",
    ] {
        remove(missing);
        check(path, Some(63));
    }
    remove(FIRST_FILE);
    remove("checkpoint");
    check(path, Some(63));
    for damage in [vec![7; 40], vec![7; UNIT * UNITS_PER_FILE], vec![0; UNIT * UNITS_PER_FILE]] {
        std::fs::write(path.join(FIRST_FILE), damage).unwrap();
        remove("checkpoint");
        check(path, Some(63));
    }
    // What an earlier kind of the topic left is no queue.
    let stale = path.join("consumequeue/t/0");
    std::fs::create_dir_all(&stale).unwrap();
    let simple = path.join("consumequeue/single/0/00000000000000000000");
    std::fs::copy(simple, stale.join("00000000000000000000")).unwrap();
    remove("checkpoint");
    check(path, Some(63));
}

/// A queue that was ahead of the log that a power cut left goes on behind what is there.
#[test]
fn units_behind_the_end_of_the_log_are_cut() {
    let directory = tempfile::tempdir().unwrap();
    let mut options = small();
    // What is synced cannot be cut off; on a slow machine a sync would come in between.
    options.flush_interval_ms = 3_600_000;
    let store = Store::open(directory.path(), &options).unwrap();
    let placed: Vec<_> = (0..7).map(|_| append(&store, "t", "a", 3)).collect();
    settle(&store);
    for (kept, cut) in placed.iter().enumerate().skip(1) {
        let killed = killed(directory.path());
        let log = killed.path().join("commitlog/00000000000000000000");
        let end = cut.physical_offset.get();
        let file = std::fs::OpenOptions::new().write(true).open(log).unwrap();
        file.write_all_at(&vec![0; 64 * 1024 - end as usize], end).unwrap();
        let store = Store::open(killed.path(), &options).unwrap();
        assert_eq!(read_all(&store, "t", 0).1, 3 * kept as i64);
        let mut bytes: Vec<u8> = queue_files(killed.path()).into_values().flatten().collect();
        assert!(bytes.split_off(kept * UNIT).iter().all(|&byte| byte == 0), "{kept}");
        let next = append(&store, "t", "a", 2);
        assert_eq!(next.queue_offset.get(), 3 * kept as u64);
        settle(&store);
        assert_eq!(read_all(&store, "t", 0).1, 3 * kept as i64 + 2);
        store.close().unwrap();
    }
    store.close().unwrap();
}

#[test]
fn a_topic_keeps_to_the_kind_of_its_first_message() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), &small()).unwrap();
    store.append(&Message::new("single", b"x")).unwrap();
    append(&store, "inner", "a", 2);
    let items = items(2);
    let batch = |topic, queue_id| EncodedBatch {
        shared: Message::new(topic, b"").queue_id(queue_id),
        items: &items,
    };
    let end = store.max_offset();
    let refused = |result: cairnlog::Result<AppendResult>, said: &str| {
        let error = result.unwrap_err();
        assert_eq!(error.status(), Status::BatchIllegal);
        assert!(error.to_string().contains(said), "{error}");
    };
    for queue_id in 0..2 {
        refused(store.append_inner_batch(&batch("single", queue_id)), "takes no inner batches");
        let message = Message::new("inner", b"x").queue_id(queue_id);
        refused(store.append(&message), "has inner batches");
        refused(store.append_batch(&batch("inner", queue_id)), "has inner batches");
        refused(store.queue("inner", queue_id).unwrap().append(&message), "has inner batches");
    }
    assert_eq!(store.max_offset(), end);
    // What is refused for another reason says nothing of the topic.
    assert!(store.append(&Message::new("fresh", b"")).is_err());
    store.append_inner_batch(&batch("fresh", 0)).unwrap();
    // A unit has two bytes for the number.
    let mut options = small();
    options.segment_size_bytes = 4 << 20;
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), &options).unwrap();
    let most = self::items(32_767);
    let shared = Message::new("t", b"");
    store.append_inner_batch(&EncodedBatch { shared, items: &most }).unwrap();
    let too_many = self::items(32_768);
    let result = store.append_inner_batch(&EncodedBatch { shared, items: &too_many });
    refused(result, "too many items");
    settle(&store);
    assert_eq!(read_all(&store, "t", 0), (vec![0], 32_767));
}

/// Of two threads that make the first appends of a topic, of different kinds, one is refused.
#[test]
fn the_first_append_decides_also_between_threads() {
    let directory = tempfile::tempdir().unwrap();
    let mut options = small();
    options.segment_size_bytes = 1 << 20;
    let store = Store::open(directory.path(), &options).unwrap();
    let items = items(2);
    for number in 0..200 {
        let topic = format!("t{number}");
        let barrier = Barrier::new(2);
        let (single, inner) = std::thread::scope(|scope| {
            let single = scope.spawn(|| {
                barrier.wait();
                store.append(&Message::new(&topic, b"x"))
            });
            let inner = scope.spawn(|| {
                barrier.wait();
                let shared = Message::new(&topic, b"").queue_id(1);
                store.append_inner_batch(&EncodedBatch { shared, items: &items })
            });
            (single.join().unwrap(), inner.join().unwrap())
        });
        assert_ne!(single.is_ok(), inner.is_ok(), "{single:?} {inner:?}");
        let refused = single.err().or(inner.err()).unwrap();
        assert_eq!(refused.status(), Status::BatchIllegal);
    }
    settle(&store);
    store.close().unwrap();
    let in_both = |number: i32| {
        let exists = |kind| directory.path().join(format!("{kind}/t{number}")).exists();
        exists("consumequeue") && exists("batchconsumequeue")
    };
    assert!(!(0..200).any(in_both));
}

/// Makes a record one of another topic (of equal length) and queue offset.
fn rewrite(root: &Path, placed: &AppendResult, body_bytes: usize, topic: &str, queue_offset: u64) {
    let log = root.join("commitlog/00000000000000000000");
    let file = std::fs::OpenOptions::new().write(true).open(log).unwrap();
    let at = placed.physical_offset.get();
    file.write_all_at(&queue_offset.to_be_bytes(), at + 20).unwrap();
    file.write_all_at(topic.as_bytes(), at + 89 + body_bytes as u64).unwrap();
}

/// Earlier versions let a topic have both kinds of messages. Nothing of such a log is lost: its
/// queues are of the kind of its first record.
#[test]
fn a_log_that_mixes_kinds_is_read_whole() {
    for batch_first in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let mut options = small();
        // Records are rewritten.
        options.append_record_crc = false;
        let mut without = options.clone();
        without.consume_queue_enable = false;
        let store = Store::open(path, &without).unwrap();
        let (mut records, mut next) = (Vec::new(), 0u64);
        for number in 0..12 {
            let inner = (number % 3 == 0) == batch_first;
            let placed = if inner {
                append(&store, "b", "a", 3)
            } else {
                store.append(&Message::new("s", b"x")).unwrap()
            };
            let body_bytes = if inner { items(3).len() } else { 1 };
            records.push((placed, body_bytes, next));
            next += u64::from(placed.message_count);
        }
        store.close().unwrap();
        drop(store);
        for (placed, body_bytes, queue_offset) in &records {
            rewrite(path, placed, *body_bytes, "t", *queue_offset);
        }
        let offsets: Vec<_> = records.iter().map(|(_, _, queue_offset)| *queue_offset).collect();
        let (kind, end) = match batch_first {
            true => ("batchconsumequeue", next as i64),
            false => ("consumequeue", next as i64),
        };
        let items = items(1);
        // Built, opened after a clean stop, built again.
        for rebuilt in [true, false, true] {
            if rebuilt {
                std::fs::remove_file(path.join("checkpoint")).unwrap();
            }
            let store = Store::open(path, &options).unwrap();
            assert_eq!(store.recovery_report().records, if rebuilt { 12 } else { 0 });
            assert_eq!(read_all(&store, "t", 0), (offsets.clone(), end));
            let single = Message::new("t", b"x");
            let batch = EncodedBatch { shared: Message::new("t", b""), items: &items };
            let result = match batch_first {
                true => store.append(&single),
                false => store.append_inner_batch(&batch),
            };
            assert_eq!(result.unwrap_err().status(), Status::BatchIllegal);
            store.close().unwrap();
            let files = queue_files(path);
            assert!(files.keys().all(|name| name.starts_with(kind)), "{:?}", files.keys());
        }
    }
}
