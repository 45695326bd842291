//! A store that is read beside the process that writes it.
//!
//! The test runs itself as a child that writes, kills it, removes files under the reader, and
//! compares what the reader saw with what must be there.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use cairnlog::{
    EncodedBatch, Filter, FlushMode, LogReader, Message, PhysicalOffset, QueueOffset, ReadOutcome,
    ReadRequest, Status, Store, StoreOptions, StoreReader, TimeBoundary, encode_batch_item,
};

const DIRECTORY: &str = "CAIRNLOG_READER_TEST_DIRECTORY";
const MODE: &str = "CAIRNLOG_READER_TEST_MODE";
const QUEUES: i32 = 4;
const LONG: Duration = Duration::from_secs(60);

fn options(mode: usize) -> StoreOptions {
    let mut options = StoreOptions::default();
    options.segment_size_bytes = 64 * 1024;
    options.consume_queue_file_size_bytes = 2000;
    options.max_hash_slot_num = 50;
    options.max_index_num = 300;
    options.transient_store_pool_enable = mode == 1;
    options.commit_interval_ms = 1;
    options.flush_mode = if mode == 2 { FlushMode::Sync } else { FlushMode::Async };
    options
}

fn body(queue_id: i32, index: u64) -> Vec<u8> {
    let filling = usize::try_from(index % 700).unwrap();
    format!("{queue_id} {index} {}", "x".repeat(filling)).into_bytes()
}

/// Appends to all queues in turn, and goes on where an earlier child was killed.
fn write_until_killed(directory: &Path, mode: usize) -> ! {
    let store = Store::open(directory, &options(mode)).unwrap();
    loop {
        for queue_id in 0..QUEUES {
            let index = store.next_queue_offset("t", queue_id).get();
            let (body, key) = (body(queue_id, index), format!("{queue_id}-{index}"));
            store.append(&Message::new("t", &body).queue_id(queue_id).keys(&[&key])).unwrap();
            if index == 0 && queue_id == QUEUES - 1 {
                std::io::stderr().write_all(b"ready\n").unwrap();
            }
        }
    }
}

/// Kills its process when dropped.
struct Writer(Child);

impl Writer {
    fn start(directory: &Path, mode: usize) -> Self {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "a_reader_follows_a_writer_that_is_killed", "--nocapture"])
            .env(DIRECTORY, directory)
            .env(MODE, mode.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self(child)
    }

    fn wait_ready(&mut self) {
        let mut line = String::new();
        BufReader::new(self.0.stderr.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
    }

    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // It may be dead already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Sets a flag when dropped.
struct SetAtEnd<'f>(&'f AtomicBool);

impl Drop for SetAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Follows a queue until `done` and nothing more comes, and checks each message. Returns how many
/// there were.
fn follow_queue(reader: &StoreReader, queue_id: i32, done: &AtomicBool) -> u64 {
    let mut tail = reader.tail("t", queue_id, QueueOffset::new(0), Filter::all()).unwrap();
    let mut next = 0;
    loop {
        let last = done.load(Ordering::Acquire);
        while let Some(message) = tail.next_timeout(Duration::from_millis(200)).unwrap() {
            assert_eq!(message.queue_offset().get(), next, "queue {queue_id}");
            assert_eq!(message.queue_id(), queue_id);
            assert_eq!(message.body(), body(queue_id, next));
            next += 1;
        }
        if last {
            return next;
        }
    }
}

/// Follows the log likewise. Returns how many messages each queue had.
fn follow_log(reader: &StoreReader, done: &AtomicBool) -> BTreeMap<i32, u64> {
    let mut scan = reader.scan(PhysicalOffset::new(0)).unwrap();
    let mut counts = BTreeMap::new();
    loop {
        let last = done.load(Ordering::Acquire);
        while let Some(message) = scan.next_timeout(Duration::from_millis(200)).unwrap() {
            let count = counts.entry(message.queue_id()).or_insert(0);
            assert_eq!(message.queue_offset().get(), *count);
            assert_eq!(message.body(), body(message.queue_id(), *count));
            *count += 1;
        }
        if last {
            return counts;
        }
    }
}

#[test]
fn a_reader_follows_a_writer_that_is_killed() {
    if let Ok(directory) = std::env::var(DIRECTORY) {
        let mode = std::env::var(MODE).unwrap().parse().unwrap();
        write_until_killed(Path::new(&directory), mode);
    }
    for mode in 0..3 {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let mut writer = Writer::start(path, mode);
        writer.wait_ready();
        let readers = [0, 1].map(|_| Store::open_reader(path, &options(mode)).unwrap());
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let mut followers = Vec::new();
            for (number, reader) in readers.iter().enumerate() {
                for queue_id in 0..QUEUES {
                    let done = &done;
                    let follow = move || (queue_id, follow_queue(reader, queue_id, done));
                    followers.push((number, scope.spawn(follow)));
                }
            }
            let scan = scope.spawn(|| follow_log(&readers[0], &done));
            // A failure here must not leave them following for ever.
            let ending = SetAtEnd(&done);
            // Killed, started again and killed again, under the readers.
            let write_more = || {
                assert!(readers[0].wait_message("t", 0, QueueOffset::new(0), LONG).unwrap());
                let written = readers[0].queue_range("t", 0).unwrap().unwrap().end.get();
                let more = QueueOffset::new(written + 50);
                assert!(readers[0].wait_message("t", 0, more, LONG).unwrap());
                std::thread::sleep(Duration::from_millis(100));
            };
            for _ in 0..3 {
                write_more();
                writer.kill();
                std::thread::sleep(Duration::from_millis(20));
                writer = Writer::start(path, mode);
            }
            write_more();
            writer.kill();
            // What the killed writer had not dispatched yet.
            let store = Store::open(path, &options(mode)).unwrap();
            let expected: BTreeMap<_, _> =
                (0..QUEUES).map(|id| (id, store.next_queue_offset("t", id).get())).collect();
            store.close().unwrap();
            drop(ending);
            assert!(expected[&0] > 200, "the writer hardly wrote: {expected:?}");
            for (number, follower) in followers {
                let (queue_id, count) = follower.join().unwrap();
                assert_eq!(count, expected[&queue_id], "reader {number}, queue {queue_id}");
            }
            assert_eq!(scan.join().unwrap(), expected, "mode {mode}");
            for reader in &readers {
                for queue_id in 0..QUEUES {
                    let last = expected[&queue_id] - 1;
                    let key = format!("{queue_id}-{last}");
                    let found = reader.query_key("t", &key, 0, i64::MAX, 10).unwrap();
                    assert_eq!(found.len(), 1, "{key}");
                    assert_eq!(found[0].body(), body(queue_id, last));
                }
            }
        });
    }
}

/// The files below a directory: their bytes, times of change and modes.
fn snapshot(root: &Path) -> BTreeMap<PathBuf, (Vec<u8>, SystemTime, u32)> {
    fn visit(at: &Path, found: &mut BTreeMap<PathBuf, (Vec<u8>, SystemTime, u32)>) {
        for entry in std::fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            let metadata = std::fs::metadata(&path).unwrap();
            let mode = metadata.permissions().mode();
            let bytes = if path.is_dir() { Vec::new() } else { std::fs::read(&path).unwrap() };
            if path.is_dir() {
                visit(&path, found);
            }
            found.insert(path, (bytes, metadata.modified().unwrap(), mode));
        }
    }
    let mut found = BTreeMap::new();
    visit(root, &mut found);
    found
}

fn chmod_all(root: &Path, file: u32, directory: u32) {
    for path in snapshot(root).into_keys().chain([root.to_path_buf()]) {
        let mode = if path.is_dir() { directory } else { file };
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
}

/// Uses every call of a reader.
fn use_everything(reader: &StoreReader) -> usize {
    let mut count = 0;
    for message in reader.scan(reader.min_offset()).unwrap() {
        let message = message.unwrap();
        let read = reader.read_at(message.physical_offset()).unwrap();
        assert_eq!(read.body(), message.body());
        let id = message.offset_message_id();
        let found = reader.find_by_message_id(&message.topic(), &id).unwrap();
        assert_eq!(found.unwrap().physical_offset(), message.physical_offset());
        for key in message.keys() {
            let time = message.store_timestamp_ms();
            let found = reader.query_key(&message.topic(), &key, time, time, 1000).unwrap();
            let same =
                |view: &cairnlog::MessageView| view.physical_offset() == message.physical_offset();
            // RocketMQ indexes no rolled back transactions.
            assert!(found.iter().any(same) || message.sys_flag() & 0xC == 0xC, "{key}");
        }
        count += 1;
    }
    assert_eq!(reader.read_log(reader.min_offset(), 5, 1 << 20).unwrap().messages().len(), 5);
    assert!(!reader.wait_readable(reader.max_offset(), Duration::from_millis(3)).unwrap());
    for topic in reader.topics().unwrap() {
        for queue_id in reader.queues_of(&topic).unwrap() {
            let range = reader.queue_range(&topic, queue_id).unwrap().unwrap();
            let tail = reader.tail(&topic, queue_id, range.start, Filter::all()).unwrap();
            let read: Vec<_> = tail.map(|message| message.unwrap()).collect();
            assert_eq!(read.last().unwrap().topic(), topic);
            assert_eq!(read.len() as u64, range.end.get() - range.start.get());
            let time = read[0].store_timestamp_ms();
            let at = reader.offset_at_time(&topic, queue_id, time, TimeBoundary::Lower).unwrap();
            assert_eq!(at, Some(range.start));
            let wait = Duration::from_millis(2);
            assert!(!reader.wait_message("t", queue_id, QueueOffset::new(1 << 40), wait).unwrap());
        }
    }
    count
}

#[test]
fn a_reader_writes_nothing_and_needs_no_right_to() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let store = Store::open(path, &options(0)).unwrap();
    for number in 0..300 {
        let body = body(number % 3, number as u64);
        let key = number.to_string();
        store.append(&Message::new("t", &body).queue_id(number % 3).keys(&[&key])).unwrap();
    }
    store.close().unwrap();
    drop(store);
    chmod_all(path, 0o444, 0o555);
    let before = snapshot(path);
    let reader = Store::open_reader(path, &options(0)).unwrap();
    assert_eq!(use_everything(&reader), 300);
    for line in std::fs::read_to_string("/proc/self/maps").unwrap_or_default().lines() {
        if line.contains(path.to_str().unwrap()) {
            assert!(line.contains(" r--"), "{line}");
        }
    }
    drop(reader);
    let after = snapshot(path);
    chmod_all(path, 0o644, 0o755);
    assert!(before == after, "the reader changed something");
}

/// RocketMQ's files, which cairnlog never opened; what was being written is not there.
#[test]
fn stores_of_rocketmq_are_read_as_they_are() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures");
    let mut read = 0;
    for entry in std::fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        let Ok(text) = std::fs::read_to_string(path.join("manifest.json")) else {
            continue;
        };
        let manifest: serde_json::Value = serde_json::from_str(&text).unwrap();
        let store = path.join("store");
        if !manifest["damage"].is_null() || manifest["records"].as_array().unwrap().is_empty() {
            continue;
        }
        let before = snapshot(&store);
        let reader = Store::open_reader(&store, &StoreOptions::default()).unwrap();
        let records = manifest["records"].as_array().unwrap();
        let scanned = reader.scan(reader.min_offset()).unwrap();
        let offsets: Vec<_> =
            scanned.map(|message| message.unwrap().physical_offset().get()).collect();
        let expected: Vec<_> =
            records.iter().map(|record| record["physical_offset"].as_u64().unwrap()).collect();
        assert_eq!(offsets, expected, "{}", path.display());
        for queue in manifest["queues"].as_array().unwrap() {
            let topic = queue["topic"].as_str().unwrap();
            let queue_id = i32::try_from(queue["queue_id"].as_i64().unwrap()).unwrap();
            let range = reader.queue_range(topic, queue_id).unwrap();
            let max = range.map_or(0, |range| range.end.get());
            assert_eq!(max, queue["max_offset"].as_u64().unwrap(), "{topic} {queue_id}");
        }
        assert!(before == snapshot(&store));
        read += 1;
    }
    assert!(read >= 6, "{read}");
}

#[test]
fn where_there_is_no_store_there_is_no_reader() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    for name in ["", "none", "made"] {
        if name == "made" {
            std::fs::create_dir_all(path.join("made/commitlog")).unwrap();
        }
        let error = Store::open_reader(path.join(name), &options(0)).unwrap_err();
        assert_eq!(error.status(), Status::StoreNotFound, "{name}");
    }
    assert!(!path.join("none").exists());
    assert_eq!(std::fs::read_dir(path.join("made/commitlog")).unwrap().count(), 0);
}

/// A log without queues, which come later, with one after the other of their files.
#[test]
fn queues_are_seen_when_they_come() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let mut without = options(0);
    without.consume_queue_enable = false;
    let store = Store::open(path, &without).unwrap();
    store.append(&Message::new("t", &body(0, 0))).unwrap();
    let reader = Store::open_reader(path, &options(0)).unwrap();
    let read = |offset| {
        let batch = reader.read(&ReadRequest::new("t", 0, offset)).unwrap();
        (batch.outcome(), batch.messages().len(), batch.next_offset())
    };
    assert_eq!(reader.scan(PhysicalOffset::new(0)).unwrap().count(), 1);
    assert_eq!(read(0), (ReadOutcome::NoMatchedLogicQueue, 0, 0));
    assert_eq!(reader.topics().unwrap(), Vec::<String>::new());
    store.close().unwrap();
    drop(store);
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            let wait = |index| reader.wait_message("t", 0, QueueOffset::new(index), LONG).unwrap();
            wait(0) && wait(450)
        });
        let store = Store::open(path, &options(0)).unwrap();
        for index in 1..=450 {
            store.append(&Message::new("t", &body(0, index))).unwrap();
        }
        assert!(waiter.join().unwrap());
        assert_eq!(read(0), (ReadOutcome::Found, 32, 32));
        assert_eq!(read(451), (ReadOutcome::OffsetOverflowOne, 0, 451));
        assert_eq!(read(452), (ReadOutcome::OffsetOverflowBadly, 0, 451));
        assert_eq!(read(-1), (ReadOutcome::OffsetTooSmall, 0, 0));
        assert_eq!(reader.topics().unwrap(), ["t"]);
        assert_eq!(reader.queues_of("t").unwrap(), [0]);
        store.close().unwrap();
    });
    // A closed reader refuses, and ends the wait of others.
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| reader.wait_message("t", 0, QueueOffset::new(1 << 30), LONG));
        std::thread::sleep(Duration::from_millis(20));
        reader.close();
        assert!(matches!(waiter.join().unwrap(), Ok(false)));
    });
    let error = reader.read(&ReadRequest::new("t", 0, 0)).unwrap_err();
    assert_eq!(error.status(), Status::StoreClosed);
}

/// Retention removes the log's oldest files, and the queue files and index files that led there.
#[test]
fn what_is_removed_under_the_reader_is_gone_but_for_views() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let store = Store::open(path, &options(0)).unwrap();
    for index in 0..800 {
        store.append(&Message::new("t", &body(0, index))).unwrap();
    }
    assert!(store.wait_dispatched(store.max_offset(), LONG).unwrap());
    let reader = Store::open_reader(path, &options(0)).unwrap();
    let first = reader.read(&ReadRequest::new("t", 0, 0)).unwrap().into_messages();
    let names = |name: &str| {
        let entries = std::fs::read_dir(path.join(name)).unwrap();
        let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths
    };
    let log_files = names("commitlog");
    assert!(log_files.len() > 4);
    for file in &log_files[..3] {
        std::fs::remove_file(file).unwrap();
    }
    let min = 3 * 65_536;
    let deadline = Instant::now() + LONG;
    while reader.min_offset().get() != min && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(reader.min_offset().get(), min);
    let range = reader.queue_range("t", 0).unwrap().unwrap();
    assert_eq!(range.end.get(), 800);
    let batch = reader.read(&ReadRequest::new("t", 0, 0)).unwrap();
    assert_eq!(batch.outcome(), ReadOutcome::OffsetTooSmall);
    assert_eq!(batch.next_offset(), range.start.to_i64());
    let start = range.start.get();
    let batch = reader.read(&ReadRequest::new("t", 0, range.start.to_i64())).unwrap();
    assert_eq!(batch.outcome(), ReadOutcome::Found);
    assert!(batch.messages()[0].physical_offset().get() >= min);
    // The queue's files follow; one of them is open.
    let gone = start / 100;
    assert!(gone > 0);
    for file in &names("consumequeue/t/0")[..usize::try_from(gone).unwrap()] {
        std::fs::remove_file(file).unwrap();
    }
    for message in reader.tail("t", 0, QueueOffset::new(0), Filter::all()).unwrap() {
        assert!(message.unwrap().queue_offset().get() >= start);
    }
    let count = reader.tail("t", 0, QueueOffset::new(0), Filter::all()).unwrap().count();
    assert_eq!(count as u64, 800 - start);
    let error = reader.read_at(PhysicalOffset::new(0)).unwrap_err();
    assert_eq!(error.status(), Status::OffsetOutOfRange);
    for (view, index) in first.iter().zip(0..) {
        assert_eq!(view.body(), body(0, index));
    }
    store.append(&Message::new("t", &body(0, 800))).unwrap();
    assert!(reader.wait_message("t", 0, QueueOffset::new(800), LONG).unwrap());
}

/// Queues that are lost are built again by the next writer; a reader that follows misses nothing.
#[test]
fn queues_that_are_built_again_are_followed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let done = AtomicBool::new(false);
    let store = Store::open(path, &options(0)).unwrap();
    store.append(&Message::new("t", &body(0, 0))).unwrap();
    let reader = Store::open_reader(path, &options(0)).unwrap();
    std::thread::scope(|scope| {
        let follower = scope.spawn(|| follow_queue(&reader, 0, &done));
        let mut store = store;
        let mut index = 1;
        for round in 0..5 {
            for _ in 0..300 {
                store.append(&Message::new("t", &body(0, index))).unwrap();
                index += 1;
            }
            store.close().unwrap();
            std::fs::remove_dir_all(path.join("consumequeue")).unwrap();
            if round % 2 == 0 {
                std::fs::remove_dir_all(path.join("index")).ok();
            }
            store = Store::open(path, &options(0)).unwrap();
        }
        assert!(store.wait_dispatched(store.max_offset(), LONG).unwrap());
        done.store(true, Ordering::Release);
        assert_eq!(follower.join().unwrap(), index);
        store.close().unwrap();
    });
}

/// The same, one moment after the other: a tail waits where units are missing, and passes over a
/// file that is missing between others, as RocketMQ does.
#[test]
fn nothing_is_passed_over_that_is_about_to_come_back() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let store = Store::open(path, &options(0)).unwrap();
    for index in 0..950 {
        store.append(&Message::new("t", &body(0, index))).unwrap();
    }
    store.close().unwrap();
    let file = |number: usize| path.join(format!("consumequeue/t/0/{:020}", number * 2000));
    let whole: Vec<_> = (0..10).map(|number| std::fs::read(file(number)).unwrap()).collect();
    let reader = Store::open_reader(path, &options(0)).unwrap();
    let read = |offset| {
        let batch = reader.read(&ReadRequest::new("t", 0, offset).max_messages(100)).unwrap();
        (batch.outcome(), batch.messages().len(), batch.next_offset())
    };
    assert_eq!(read(700), (ReadOutcome::Found, 100, 800));
    // Units are gone from the middle of a file, and then from another one.
    let mut holes = whole[7].clone();
    holes[20 * 50..20 * 60].fill(0);
    std::fs::write(file(7), &holes).unwrap();
    assert_eq!(read(700), (ReadOutcome::Found, 50, 750));
    assert_eq!(read(750), (ReadOutcome::NoMatchedMessage, 0, 750));
    let wait = |index| {
        reader.wait_message("t", 0, QueueOffset::new(index), Duration::from_millis(5)).unwrap()
    };
    assert!(wait(749) && !wait(750));
    std::fs::write(file(7), &whole[7]).unwrap();
    assert!(wait(750));
    assert_eq!(read(750), (ReadOutcome::Found, 50, 800));
    // All are gone, and come back one after the other.
    let mut tail = reader.tail("t", 0, QueueOffset::new(350), Filter::all()).unwrap();
    assert_eq!(tail.next().unwrap().unwrap().queue_offset().get(), 350);
    (0..10).rev().for_each(|number| std::fs::remove_file(file(number)).unwrap());
    let mut seen = 351;
    for message in &mut tail {
        assert_eq!(message.unwrap().queue_offset().get(), seen);
        seen += 1;
    }
    assert!(seen < 950);
    for (number, bytes) in whole.iter().enumerate() {
        // Without any file the queue is as it was known, and open files can be read.
        assert!(number == 0 || !wait(100 * number as u64));
        std::fs::write(file(number), bytes).unwrap();
        while let Some(message) = tail.next_timeout(Duration::from_millis(2)).unwrap() {
            assert_eq!(message.queue_offset().get(), seen);
            seen += 1;
        }
    }
    assert_eq!(seen, 950);
}

/// Whoever removes the files of a queue does so one after the other, in any order, and may take
/// long. A reader that looked meanwhile went on with what was left: behind files that were missing,
/// or with the first that was there, and did so also when all were there again.
#[test]
fn what_the_log_has_and_a_queue_lacks_is_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let store = Store::open(path, &options(0)).unwrap();
    for index in 0..950 {
        store.append(&Message::new("t", &body(0, index))).unwrap();
        store.append(&Message::new("t", &body(1, index)).queue_id(1)).unwrap();
    }
    store.close().unwrap();
    let file = |number: u64| path.join(format!("consumequeue/t/0/{:020}", number * 2000));
    let whole: Vec<_> = (0..10).map(|number| std::fs::read(file(number)).unwrap()).collect();
    for left in [vec![9], vec![4, 9], vec![0, 9], vec![2, 3, 5, 9], vec![0, 1, 2, 7, 8, 9]] {
        let reader = Store::open_reader(path, &options(0)).unwrap();
        let mut tails: Vec<_> = (0..9)
            .map(|hundred| {
                let from = QueueOffset::new(100 * hundred + 50);
                (from.get(), reader.tail("t", 0, from, Filter::all()).unwrap())
            })
            .collect();
        let mut read_on = || {
            for (seen, tail) in &mut tails {
                while let Some(message) = tail.next_timeout(Duration::from_millis(2)).unwrap() {
                    assert_eq!(message.queue_offset().get(), *seen, "left are {left:?}");
                    *seen += 1;
                }
            }
        };
        let gone = (0..10).filter(|number| !left.contains(number));
        for number in gone.clone() {
            std::fs::remove_file(file(number)).unwrap();
            read_on();
        }
        for number in gone.clone() {
            let offset = 100 * number as i64 + 50;
            let batch = reader.read(&ReadRequest::new("t", 0, offset)).unwrap();
            let expected = (ReadOutcome::OffsetFoundNull, offset);
            assert_eq!((batch.outcome(), batch.next_offset()), expected, "left are {left:?}");
            let (offset, short) =
                (QueueOffset::from_i64(offset).unwrap(), Duration::from_millis(2));
            assert!(!reader.wait_message("t", 0, offset, short).unwrap(), "left are {left:?}");
        }
        // Who comes now waits as well.
        let late = Store::open_reader(path, &options(0)).unwrap();
        let mut tail = late.tail("t", 0, QueueOffset::new(0), Filter::all()).unwrap();
        let there = tail.by_ref().count();
        assert_eq!(there, 100 * (0..10).take_while(|number| left.contains(number)).count());
        for number in gone.rev() {
            std::fs::write(file(number), &whole[number as usize]).unwrap();
            read_on();
        }
        read_on();
        assert!(tails.iter().all(|(seen, _)| *seen == 950), "left are {left:?}");
        assert_eq!(there + tail.count(), 950);
        assert_eq!(reader.queue_range("t", 0).unwrap().unwrap().start.get(), 0);
    }
}

/// The units of a batch queue are not numbered as its messages: what is found behind a missing file
/// was taken for the next message.
#[test]
fn what_a_batch_queue_lacks_is_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let mut options = options(0);
    options.batch_consume_queue_file_size_bytes = 46 * 4;
    let store = Store::open(path, &options).unwrap();
    let mut items = Vec::new();
    for number in 0..3 {
        encode_batch_item(&mut items, 0, &body(0, number), b"").unwrap();
    }
    for _ in 0..18 {
        let batch = EncodedBatch { shared: Message::new("t", b""), items: &items };
        store.append_inner_batch(&batch).unwrap();
    }
    store.close().unwrap();
    let file = |number: u64| path.join(format!("batchconsumequeue/t/0/{:020}", number * 46 * 4));
    let mut waited = 0;
    for missing in 0..5 {
        let reader = Store::open_reader(path, &options).unwrap();
        assert_eq!(reader.queue_range("t", 0).unwrap().unwrap().end.get(), 54);
        let tail = |unit| reader.tail("t", 0, QueueOffset::new(3 * unit), Filter::all()).unwrap();
        let mut tails = [0, 3, 6, 13].map(|unit| (unit, tail(unit)));
        let mut read_on = || {
            for (seen, tail) in &mut tails {
                while let Some(message) = tail.next_timeout(Duration::from_millis(2)).unwrap() {
                    assert_eq!(message.queue_offset().get(), 3 * *seen, "{missing} is missing");
                    *seen += 1;
                }
            }
            tails.iter().filter(|(seen, _)| *seen < 18).count()
        };
        let whole = std::fs::read(file(missing)).unwrap();
        std::fs::remove_file(file(missing)).unwrap();
        // A file that is open can be read.
        waited += read_on();
        std::fs::write(file(missing), &whole).unwrap();
        assert_eq!(read_on(), 0, "{missing} is missing");
    }
    assert!(waited > 5);
}

/// A message is seen a moment after the append, and one that comes late not much later.
#[test]
fn a_waiting_reader_sees_what_comes() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), &options(0)).unwrap();
    store.append(&Message::new("t", b"0")).unwrap();
    let reader = Store::open_reader(directory.path(), &options(0)).unwrap();
    let mut tail = reader.tail("t", 0, QueueOffset::new(0), Filter::all()).unwrap();
    assert_eq!(tail.next_timeout(LONG).unwrap().unwrap().body(), b"0");
    let mut scan = reader.scan(reader.max_offset()).unwrap();
    for pause in [0, 1, 10, 100, 300] {
        let placed = std::thread::scope(|scope| {
            let append = scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(pause));
                store.append(&Message::new("t", b"x")).unwrap()
            });
            let message = tail.next_timeout(LONG).unwrap().unwrap();
            let placed = append.join().unwrap();
            assert_eq!(message.physical_offset(), placed.physical_offset);
            placed
        });
        assert!(reader.wait_readable(placed.physical_offset, LONG).unwrap());
        let message = scan.next_timeout(LONG).unwrap().unwrap();
        assert_eq!(message.physical_offset(), placed.physical_offset);
    }
    let started = Instant::now();
    assert!(tail.next_timeout(Duration::from_millis(30)).unwrap().is_none());
    assert!(started.elapsed() >= Duration::from_millis(30));
}

/// The next file, made ahead, is removed when its writer closes the store without it. Whoever had
/// listed the files, and not yet opened that one, was told that it is not there: `cat --follow`
/// ended with it when the writer did.
#[test]
fn a_file_that_is_removed_while_the_log_is_opened_is_no_error() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), &options(0)).unwrap();
    store.append(&Message::new("t", b"b")).unwrap();
    store.close().unwrap();
    let [aside, there] = ["aside", "commitlog"].map(|name| directory.path().join(name));
    let [aside, there] = [aside, there].map(|place| place.join(format!("{:020}", 64 * 1024)));
    std::fs::create_dir(aside.parent().unwrap()).unwrap();
    std::fs::File::create(&aside).unwrap().set_len(64 * 1024).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let ending = SetAtEnd(&done);
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                std::fs::rename(&aside, &there).unwrap();
                std::fs::rename(&there, &aside).unwrap();
            }
        });
        for _ in 0..2000 {
            let log = LogReader::open(directory.path()).unwrap();
            assert_eq!(log.entries(PhysicalOffset::new(0)).map(Result::unwrap).count(), 1);
            let reader = Store::open_reader(directory.path(), &options(0)).unwrap();
            assert_eq!(reader.scan(PhysicalOffset::new(0)).unwrap().count(), 1);
        }
        drop(ending);
    });
}
