//! Reading by queue: outcomes and next offsets, times, waits, rebuilding, and RocketMQ's stores.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cairnlog::{
    Filter, FlushMode, Message, QueueOffset, ReadOutcome, ReadRequest, RecoveryPhase, Status,
    Store, StoreOptions, TimeBoundary,
};
use serde_json::Value;

fn small() -> StoreOptions {
    let mut options = StoreOptions::default();
    options.segment_size_bytes = 64 * 1024;
    options.consume_queue_file_size_bytes = 200;
    options
}

/// Appends `count` messages to a queue and waits until they are dispatched.
fn fill(store: &Store, topic: &str, queue_id: i32, count: usize) {
    for number in 0..count {
        let body = format!("{topic} {queue_id} {number}");
        store.append(&Message::new(topic, body.as_bytes()).queue_id(queue_id)).unwrap();
    }
    settle(store);
}

fn settle(store: &Store) {
    store.flush().unwrap();
    assert!(store.wait_dispatched(store.max_offset(), Duration::from_secs(10)).unwrap());
}

/// The bodies of a whole queue, read in steps.
fn read_all(store: &Store, topic: &str, queue_id: i32) -> Vec<String> {
    let mut bodies = Vec::new();
    let mut offset = 0;
    loop {
        let batch = store.read(&ReadRequest::new(topic, queue_id, offset).max_messages(7)).unwrap();
        match batch.outcome() {
            ReadOutcome::OffsetOverflowOne | ReadOutcome::NoMatchedLogicQueue => return bodies,
            _ => {}
        }
        for message in batch.messages() {
            bodies.push(String::from_utf8(message.body().to_vec()).unwrap());
        }
        assert!(batch.next_offset() > offset, "{:?}", batch.outcome());
        offset = batch.next_offset();
    }
}

/// The files below a directory with their bytes.
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

#[test]
fn outcomes_and_next_offsets_are_rocketmq_s() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), &small()).unwrap();
    fill(&store, "t", 2, 25);
    let read = |topic, queue_id, offset| {
        let batch = store.read(&ReadRequest::new(topic, queue_id, offset)).unwrap();
        (batch.outcome(), batch.messages().len(), batch.next_offset())
    };
    assert_eq!(read("u", 0, 0), (ReadOutcome::NoMatchedLogicQueue, 0, 0));
    assert_eq!(read("t", 0, 3), (ReadOutcome::NoMatchedLogicQueue, 0, 0));
    assert_eq!(read("t", 2, -1), (ReadOutcome::OffsetTooSmall, 0, 0));
    assert_eq!(read("t", 2, 25), (ReadOutcome::OffsetOverflowOne, 0, 25));
    assert_eq!(read("t", 2, 26), (ReadOutcome::OffsetOverflowBadly, 0, 25));
    assert_eq!(read("t", 2, i64::MAX), (ReadOutcome::OffsetOverflowBadly, 0, 25));
    // One file of the queue, ten units, at a time.
    assert_eq!(read("t", 2, 0), (ReadOutcome::Found, 10, 10));
    assert_eq!(read("t", 2, 24), (ReadOutcome::Found, 1, 25));
    let batch = store.read(&ReadRequest::new("t", 2, 3).max_messages(4)).unwrap();
    assert_eq!((batch.messages().len(), batch.next_offset()), (4, 7));
    assert_eq!((batch.min_offset().get(), batch.max_offset().get()), (0, 25));
    let message = &batch.messages()[3];
    assert_eq!((message.body(), message.queue_offset().get()), (&b"t 2 6"[..], 6));
    // The first message is always returned, further ones as long as they fit.
    let two = 2 * message.size_bytes() as usize;
    for (max_bytes, messages) in [(0, 1), (two - 1, 1), (two, 2)] {
        let batch = store.read(&ReadRequest::new("t", 2, 0).max_bytes(max_bytes)).unwrap();
        assert_eq!(batch.messages().len(), messages, "{max_bytes}");
    }
    assert_eq!(store.topics().unwrap(), ["t"]);
    assert_eq!(store.queues_of("t").unwrap(), [2]);
    let range = QueueOffset::new(0)..QueueOffset::new(25);
    assert_eq!(store.queue_range("t", 2).unwrap(), Some(range));
    assert_eq!(store.queue_range("t", 1).unwrap(), None);
    // Views outlive the store.
    let views = batch.into_messages();
    store.close().unwrap();
    assert_eq!(views[0].body(), b"t 2 3");
    assert_eq!(store.read(&ReadRequest::new("t", 2, 0)).unwrap_err().status(), Status::StoreClosed);
}

#[test]
fn a_filter_that_matches_little_is_told_how_far_it_came() {
    let directory = tempfile::tempdir().unwrap();
    let mut options = small();
    options.consume_queue_file_size_bytes = 6_000_000;
    let store = Store::open(directory.path(), &options).unwrap();
    for number in 0..2000 {
        let tag = if number == 1500 { "wanted" } else { "other" };
        store.append(&Message::new("t", b"x").tag(tag)).unwrap();
    }
    settle(&store);
    let wanted = Filter::tags("none || wanted").unwrap();
    let read = |offset| {
        let request = ReadRequest::new("t", 0, offset).filter(wanted.clone());
        let batch = store.read(&request).unwrap();
        (batch.outcome(), batch.messages().len(), batch.next_offset())
    };
    assert_eq!(read(0), (ReadOutcome::NoMatchedMessage, 0, 800));
    assert_eq!(read(800), (ReadOutcome::Found, 1, 1600));
    assert_eq!(read(1600), (ReadOutcome::NoMatchedMessage, 0, 2000));
    // Tags whose hashes are equal are told apart.
    store.append(&Message::new("hash", b"1").tag("Aa")).unwrap();
    store.append(&Message::new("hash", b"2").tag("BB")).unwrap();
    settle(&store);
    let request = ReadRequest::new("hash", 0, 0).filter(Filter::tags("BB").unwrap());
    let batch = store.read(&request).unwrap();
    assert_eq!(batch.messages().len(), 1);
    assert_eq!(batch.messages()[0].body(), b"2");
}

#[test]
fn a_read_ends_with_the_file_of_the_queue() {
    let wanted = 32;
    for units in [10, wanted, wanted + 1, 2 * wanted] {
        let directory = tempfile::tempdir().unwrap();
        let mut options = small();
        options.consume_queue_file_size_bytes = units * 20;
        let store = Store::open(directory.path(), &options).unwrap();
        fill(&store, "t", 0, 200);
        let none = Filter::tags("none").unwrap();
        let request = |offset| ReadRequest::new("t", 0, offset).max_messages(wanted as usize);
        let batch = store.read(&request(0).filter(none.clone())).unwrap();
        assert_eq!(batch.next_offset(), units as i64, "{units} units a file");
        assert_eq!(batch.outcome(), ReadOutcome::NoMatchedMessage);
        let batch = store.read(&request(5)).unwrap();
        assert_eq!(batch.next_offset(), (5 + wanted).min(units) as i64, "{units} units a file");
        assert_eq!(batch.messages().len() as i64, batch.next_offset() - 5);
    }
}

#[test]
fn queues_come_back_after_closing_killing_and_deleting() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let options = small();
    let store = Store::open(path, &options).unwrap();
    for (topic, queue_id, count) in [("a", 0, 33), ("a", 1, 10), ("b", 7, 900)] {
        fill(&store, topic, queue_id, count);
    }
    // What a kill leaves.
    let killed = tempfile::tempdir().unwrap();
    for (name, bytes) in files(path) {
        let target = killed.path().join(name);
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::write(target, bytes).unwrap();
    }
    let expected = files(&path.join("consumequeue"));
    let check = |path: &Path, walked: Option<u64>| {
        let store = Store::open(path, &options).unwrap();
        if let Some(walked) = walked {
            assert_eq!(store.recovery_report().records, walked);
        }
        assert_eq!(read_all(&store, "a", 0).len(), 33);
        assert_eq!(read_all(&store, "a", 1)[9], "a 1 9");
        assert_eq!(read_all(&store, "b", 7).len(), 900);
        assert_eq!(store.next_queue_offset("b", 7).get(), 900);
        store.close().unwrap();
        let now = files(&path.join("consumequeue"));
        assert_eq!(now.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
        assert!(now == expected);
    };
    store.close().unwrap();
    drop(store);
    check(path, Some(0));
    check(killed.path(), None);
    // Every way in which queues can be missing.
    let remove = |name: &str| {
        let name = path.join(name);
        if name.is_dir() {
            std::fs::remove_dir_all(name).unwrap();
        } else {
            std::fs::remove_file(name).unwrap();
        }
    };
    remove("consumequeue");
    check(path, Some(943));
    remove("consumequeue/a");
    check(path, Some(943));
    remove("consumequeue/a/0/00000000000000000600");
    check(path, Some(943));
    remove("checkpoint");
    check(path, Some(943));
    remove("consumequeue/b/7/00000000000000000000");
    remove("checkpoint");
    check(path, Some(943));
    std::fs::write(path.join("consumequeue/a/1/00000000000000000000"), [7; 40]).unwrap();
    check(path, Some(943));
    std::fs::write(path.join("consumequeue/a/1/00000000000000000000"), [7; 200]).unwrap();
    check(path, Some(943));
}

#[test]
fn a_message_is_found_by_the_time_it_was_stored() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), &small()).unwrap();
    let mut times = Vec::new();
    for number in 0..30 {
        times.push(store.append(&Message::new("t", b"x")).unwrap().store_timestamp_ms);
        if number % 3 == 0 {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
    settle(&store);
    let find =
        |time, boundary| store.offset_at_time("t", 0, time, boundary).unwrap().unwrap().get();
    for time in times[0] - 2..=times[29] + 2 {
        let lower = times.iter().position(|&stored| stored >= time).unwrap_or(30) as u64;
        let upper = times.iter().rposition(|&stored| stored <= time).unwrap_or(0) as u64;
        assert_eq!(find(time, TimeBoundary::Lower), lower, "{time} in {times:?}");
        assert_eq!(find(time, TimeBoundary::Upper), upper, "{time} in {times:?}");
    }
    assert_eq!(store.offset_at_time("none", 0, 0, TimeBoundary::Lower).unwrap(), None);
}

#[test]
fn a_waiting_reader_is_woken_by_the_message_and_by_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let mut options = small();
    options.flush_mode = FlushMode::Sync;
    let store = Store::open(directory.path(), &options).unwrap();
    let wait = |offset, limit| store.wait_message("t", 3, QueueOffset::new(offset), limit);
    assert!(!wait(0, Duration::from_millis(1)).unwrap());
    assert_eq!(store.topics().unwrap(), Vec::<String>::new());
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| wait(1, Duration::from_secs(30)).unwrap());
        for number in 0..2 {
            store.append(&Message::new("t", b"x").queue_id(3)).unwrap();
            assert!(wait(number, Duration::from_secs(10)).unwrap());
        }
        assert!(waiter.join().unwrap());
        let waiter = scope.spawn(|| wait(2, Duration::from_secs(30)));
        std::thread::sleep(Duration::from_millis(20));
        store.close().unwrap();
        assert!(matches!(waiter.join().unwrap(), Ok(false)));
    });
    let error = store.wait_message("t", 3, QueueOffset::new(0), Duration::ZERO).unwrap_err();
    assert_eq!(error.status(), Status::StoreClosed);
}

fn fixtures() -> Vec<(PathBuf, Value)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        if let Ok(text) = std::fs::read_to_string(path.join("manifest.json")) {
            found.push((path, serde_json::from_str(&text).unwrap()));
        }
    }
    assert!(found.len() >= 11);
    found
}

/// What RocketMQ wrote is found, and what is built anew is what RocketMQ wrote.
#[test]
fn queues_of_rocketmq_are_read_and_built_to_the_same_bytes() {
    for (path, manifest) in fixtures() {
        let name = manifest["fixture"].as_str().unwrap().to_owned();
        if name.contains("corrupt") {
            continue;
        }
        let written = files(&path.join("store"));
        let queue_files = |files: &BTreeMap<PathBuf, Vec<u8>>| -> BTreeMap<PathBuf, Vec<u8>> {
            let queues = files.iter().filter(|(name, _)| name.starts_with("consumequeue"));
            queues.map(|(name, bytes)| (name.clone(), bytes.clone())).collect()
        };
        let closed = manifest["closed"].as_str().unwrap().contains("clean");
        for rebuilt in [false, true] {
            let directory = tempfile::tempdir().unwrap();
            for (file, bytes) in &written {
                let derived = ["consumequeue", "index"].iter().any(|dir| file.starts_with(dir));
                if rebuilt && (derived || file == Path::new("checkpoint")) {
                    continue;
                }
                let target = directory.path().join(file);
                std::fs::create_dir_all(target.parent().unwrap()).unwrap();
                std::fs::write(target, bytes).unwrap();
            }
            let mut options = StoreOptions::default();
            let size = manifest["config"]["mappedFileSizeConsumeQueue"].as_u64().unwrap();
            options.consume_queue_file_size_bytes = size;
            // What is due would be delivered meanwhile.
            options.schedule_enable = false;
            let store = Store::open(directory.path(), &options).unwrap();
            let queues = match name.contains("torn") {
                true => &manifest["reopened"]["abort_present"]["queues"],
                false => &manifest["queues"],
            };
            for queue in queues.as_array().unwrap() {
                let topic = queue["topic"].as_str().unwrap();
                let queue_id = queue["queue_id"].as_i64().unwrap() as i32;
                let max = queue["max_offset"].as_u64().unwrap();
                let range = store.queue_range(topic, queue_id).unwrap();
                let found = range.map_or(0, |range| range.end.get());
                assert_eq!(found, max, "{name} {topic} {queue_id} rebuilt {rebuilt}");
                assert_eq!(read_all_offsets(&store, topic, queue_id), max, "{name} {topic}");
            }
            store.close().unwrap();
            if closed {
                let now = queue_files(&files(directory.path()));
                let names: Vec<_> = now.keys().collect();
                assert_eq!(names, queue_files(&written).keys().collect::<Vec<_>>(), "{name}");
                assert!(now == queue_files(&written), "{name} rebuilt {rebuilt}");
            }
        }
    }
}

/// Reads a queue through and returns where it ended.
fn read_all_offsets(store: &Store, topic: &str, queue_id: i32) -> u64 {
    let mut offset = 0;
    loop {
        let batch = store.read(&ReadRequest::new(topic, queue_id, offset)).unwrap();
        if batch.outcome() != ReadOutcome::Found {
            return offset.cast_unsigned();
        }
        for (message, index) in batch.messages().iter().zip(offset..) {
            assert_eq!(message.queue_offset().to_i64(), index);
        }
        offset = batch.next_offset();
    }
}

#[test]
fn keys_and_message_ids_lead_to_their_messages_only() {
    let directory = tempfile::tempdir().unwrap();
    let mut options = small();
    options.max_hash_slot_num = 10;
    options.max_index_num = 50;
    let mut placed = Vec::new();
    for round in 0..3 {
        let store = Store::open(directory.path(), &options).unwrap();
        for number in 0..40 {
            let own = format!("{round}-{number}");
            let keys = ["Aa", &*own];
            let unique = format!("U{own}");
            let unique = [("UNIQ_KEY", &*unique)];
            let message = Message::new("t", own.as_bytes()).keys(&keys).properties(&unique);
            placed.push((own.clone(), store.append(&message).unwrap()));
            store.append(&Message::new("t", b"no key")).unwrap();
        }
        settle(&store);
        let query =
            |topic: &str, key: &str, max| store.query_key(topic, key, 0, i64::MAX, max).unwrap();
        for (own, result) in &placed {
            for key in [own.clone(), format!("U{own}")] {
                let found = query("t", &key, 64);
                assert_eq!(found.len(), 1, "{key} after {round}");
                assert_eq!(found[0].physical_offset(), result.physical_offset);
            }
            for id in [result.offset_message_id(), format!("U{own}")] {
                let found = store.find_by_message_id("t", &id).unwrap().unwrap();
                assert_eq!(found.body(), own.as_bytes());
                assert!(store.find_by_message_id("u", &id).unwrap().is_none());
            }
        }
        // The same hash, another key; another topic.
        assert_eq!(query("t", "BB", 64).len(), 0);
        assert_eq!(query("u", "Aa", 64).len(), 0);
        // The newest, in the order of the log.
        let newest: Vec<_> = query("t", "Aa", 3).iter().map(|m| m.body().to_vec()).collect();
        assert_eq!(newest, [37, 38, 39].map(|n| format!("{round}-{n}").into_bytes()));
        assert_eq!(query("t", "Aa", 1000).len(), 40 * (round + 1));
        let (first, last) = (placed[0].1, placed[placed.len() - 1].1);
        let between = |begin, end| store.query_key("t", "Aa", begin, end, 1000).unwrap().len();
        assert_eq!(between(first.store_timestamp_ms, last.store_timestamp_ms), placed.len());
        assert_eq!(between(last.store_timestamp_ms + 1, i64::MAX), 0);
        assert_eq!(between(0, first.store_timestamp_ms - 1), 0);
        store.close().unwrap();
    }
    // Built anew, it finds the same.
    std::fs::remove_dir_all(directory.path().join("index")).unwrap();
    let store = Store::open(directory.path(), &options).unwrap();
    assert_eq!(store.query_key("t", "Aa", 0, i64::MAX, 1000).unwrap().len(), 120);
    // What the index lacks is walked before anything is changed.
    assert_eq!(store.recovery_report().records, 240);
}

/// A store whose messages have no keys has no index files, and was taken for one that lost them:
/// each opening put the whole log into the index again, which took seconds where there is much.
#[test]
fn a_log_without_keys_is_not_put_into_the_index_again() {
    let directory = tempfile::tempdir().unwrap();
    let put_again = || {
        let bytes = Arc::new(AtomicU64::new(0));
        let (told, mut options) = (Arc::clone(&bytes), small());
        options.on_recovery_progress(move |progress| {
            if progress.phase == RecoveryPhase::Queues {
                told.store(progress.bytes_total, Ordering::Relaxed);
            }
        });
        let store = Store::open(directory.path(), &options).unwrap();
        (store, bytes.load(Ordering::Relaxed))
    };
    let (store, _) = put_again();
    fill(&store, "t", 0, 1000);
    store.close().unwrap();
    let (store, bytes) = put_again();
    assert_eq!(bytes, 0);
    store.append(&Message::new("t", b"b").keys(&["k"])).unwrap();
    store.close().unwrap();
    std::fs::remove_dir_all(directory.path().join("index")).unwrap();
    let (store, bytes) = put_again();
    assert_eq!(bytes, store.max_offset().get());
    assert_eq!(store.query_key("t", "k", 0, i64::MAX, 10).unwrap().len(), 1);
}

/// That a log's first record is the last one with keys is noted as that none has any.
#[test]
fn the_key_of_the_first_record_is_found_after_the_index_was_lost() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), &small()).unwrap();
    store.append(&Message::new("t", b"b").keys(&["k"])).unwrap();
    fill(&store, "t", 0, 10);
    store.close().unwrap();
    std::fs::remove_dir_all(directory.path().join("index")).unwrap();
    let store = Store::open(directory.path(), &small()).unwrap();
    assert_eq!(store.query_key("t", "k", 0, i64::MAX, 10).unwrap().len(), 1);
}

#[test]
fn a_tail_follows_and_goes_on_where_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), &small()).unwrap();
    let start = QueueOffset::new(0);
    let mut tail = store.tail("t", 0, start, Filter::all()).unwrap();
    assert!(tail.next().is_none());
    assert!(tail.next_timeout(Duration::from_millis(1)).unwrap().is_none());
    let (to_main, followed) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let follower = scope.spawn(move || {
            let mut seen = Vec::new();
            while let Some(message) = tail.next_timeout(Duration::from_secs(20)).unwrap() {
                seen.push(message.queue_offset().get());
                assert_eq!(tail.offset().get(), message.queue_offset().get() + 1);
                to_main.send(message.queue_offset().get()).unwrap();
            }
            seen
        });
        fill(&store, "t", 0, 300);
        assert!(followed.iter().any(|offset| offset == 299));
        // Closing ends the wait.
        store.close().unwrap();
        assert_eq!(follower.join().unwrap(), (0..300).collect::<Vec<_>>());
    });
    let store = Store::open(directory.path(), &small()).unwrap();
    let tail = store.tail("t", 0, QueueOffset::new(290), Filter::all()).unwrap();
    let offsets: Vec<_> = tail.map(|message| message.unwrap().queue_offset().get()).collect();
    assert_eq!(offsets, (290..300).collect::<Vec<_>>());
}
