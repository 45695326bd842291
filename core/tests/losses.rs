//! What is left when a part of a store is gone: indexes that are given out again are not taken for
//! those that had them before, and nothing is passed over.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use cairnlog::{Message, PhysicalOffset, QueueOffset, ReadRequest, Store, StoreOptions};

const SEGMENT: u64 = 64 * 1024;
const PATIENCE: Duration = Duration::from_secs(60);
const HOUR_MS: u64 = 3_600_000;

fn options() -> StoreOptions {
    let mut options = StoreOptions::default();
    options.segment_size_bytes = SEGMENT;
    options.message_delay_level = "0s".to_owned();
    options.flush_consumer_offset_interval_ms = HOUR_MS;
    options.flush_delay_offset_interval_ms = HOUR_MS;
    options.max_hash_slot_num = 10;
    options.max_index_num = 30;
    // Recovery has to tell torn records without.
    options.append_record_crc = false;
    options
}

fn open(path: &Path) -> Store {
    Store::open(path, &options()).unwrap()
}

fn append(store: &Store, body: &[u8]) {
    store.append(&Message::new("t", body)).unwrap();
    assert!(store.wait_dispatched(store.max_offset(), PATIENCE).unwrap());
}

/// A copy of the directory as it is now: what a kill leaves.
fn kill(store: &Store) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    copy_directory(store.path(), copy.path());
    copy
}

fn copy_directory(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy_directory(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), target).unwrap()),
        }
    }
}

fn lose(directory: &Path, names: &[&str]) {
    for name in names {
        std::fs::remove_dir_all(directory.join(name)).unwrap();
    }
}

#[test]
fn a_lost_index_is_built_again_also_for_the_first_record_alone() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    store.append(&Message::new("t", b"1").keys(&["k"])).unwrap();
    store.close().unwrap();
    lose(directory.path(), &["index"]);
    let store = open(directory.path());
    assert_eq!(store.query_key("t", "k", 0, i64::MAX, 9).unwrap().len(), 1);
}

#[test]
fn an_offset_that_was_set_back_stays_there_over_the_next_kill() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    (0..5).for_each(|_| append(&store, b"lost"));
    store.commit_offset("g", "t", 0, QueueOffset::new(5)).unwrap();
    store.close().unwrap();
    lose(directory.path(), &["commitlog", "consumequeue"]);
    // Without which it would be noticed that the log has lost what was durable.
    std::fs::remove_file(directory.path().join("checkpoint")).unwrap();
    let store = open(directory.path());
    (0..3).for_each(|_| append(&store, b"not consumed"));
    let copy = kill(&store);
    let store = open(copy.path());
    assert_eq!(store.consumer_offset("g", "t", 0).unwrap(), Some(QueueOffset::new(0)));
}

#[test]
fn a_delayed_message_is_delivered_when_its_index_was_given_out_before() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    for end in 0..3 {
        store.append(&Message::new("t", b"lost").delay_level(1)).unwrap();
        assert!(store.wait_message("t", 0, QueueOffset::new(end), PATIENCE).unwrap());
    }
    store.close().unwrap();
    lose(directory.path(), &["commitlog", "consumequeue"]);
    // Without which it would be noticed that the log has lost what was durable.
    std::fs::remove_file(directory.path().join("checkpoint")).unwrap();
    let store = open(directory.path());
    store.append(&Message::new("t", b"delayed").delay_level(1)).unwrap();
    assert!(store.wait_message("t", 0, QueueOffset::new(0), Duration::from_secs(5)).unwrap());
    let copy = kill(&store);
    let store = open(copy.path());
    assert!(store.wait_message("t", 0, QueueOffset::new(1), Duration::from_secs(5)).unwrap());
}

#[test]
fn a_transaction_is_not_ended_by_what_ended_another_with_its_index() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let first = store.begin_transaction(&Message::new("t", b"first")).unwrap();
    append(&store, &[7; 60_000]);
    append(&store, &[7; 10_000]);
    first.rollback().unwrap();
    store.flush().unwrap();
    assert!(store.wait_dispatched(store.max_offset(), PATIENCE).unwrap());
    assert_eq!(store.remove_before(PhysicalOffset::new(SEGMENT)).unwrap().files, 1);
    let copy = kill(&store);
    lose(copy.path(), &["consumequeue"]);
    let store = open(copy.path());
    let second = store.begin_transaction(&Message::new("t", b"second")).unwrap();
    assert_eq!(first.half().queue_offset, second.half().queue_offset);
    assert!(store.wait_dispatched(store.max_offset(), PATIENCE).unwrap());
    let copy = kill(&store);
    let store = open(copy.path());
    assert_eq!(store.open_transactions().unwrap(), [second.half_offset()]);
}

/// Which queue a file belongs to stands in its path alone, and the checkpoint told only how many
/// units all queues had: the longer queue was taken for the shorter one, and its last messages were
/// passed over. Of queues that are equally long none could be read.
#[test]
fn queues_whose_files_were_exchanged_are_built_again() {
    for [ours, theirs] in [[3, 8], [5, 5]] {
        let directory = tempfile::tempdir().unwrap();
        let store = open(directory.path());
        let bodies = |topic: &str, count: usize| {
            (0..count).map(|number| format!("{topic} {number}")).collect::<Vec<_>>()
        };
        for (topic, count) in [("ours", ours), ("theirs", theirs)] {
            for body in bodies(topic, count) {
                store.append(&Message::new(topic, body.as_bytes())).unwrap();
            }
        }
        assert!(store.wait_dispatched(store.max_offset(), PATIENCE).unwrap());
        store.close().unwrap();
        let queues = directory.path().join("consumequeue");
        let [here, there, aside] = ["ours", "theirs", "aside"].map(|name| queues.join(name));
        std::fs::rename(&here, &aside).unwrap();
        std::fs::rename(&there, &here).unwrap();
        std::fs::rename(&aside, &there).unwrap();
        let store = open(directory.path());
        for (topic, count) in [("ours", ours), ("theirs", theirs)] {
            let batch = store.read(&ReadRequest::new(topic, 0, 0)).unwrap();
            let found = batch.messages().iter().map(|message| message.body().to_vec());
            let found: Vec<_> = found.map(|body| String::from_utf8(body).unwrap()).collect();
            assert_eq!(found, bodies(topic, count));
        }
    }
}

#[test]
fn a_record_whose_end_did_not_reach_the_disk_is_set_aside() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    append(&store, b"whole");
    for (message, missing) in [
        (Message::new("t", b"torn").tag("new"), 3),
        (Message::new("t", b"torn").tag("new"), 7),
        (Message::new("t", b"torn").wait_store_ok(true), 3),
    ] {
        let whole = store.max_offset();
        let placed = store.append(&message).unwrap();
        let copy = kill(&store);
        let log = copy.path().join("commitlog/00000000000000000000");
        let log = OpenOptions::new().write(true).open(log).unwrap();
        let zeros = vec![0; missing];
        log.write_all_at(&zeros, placed.end_offset().get() - missing as u64).unwrap();
        let torn = open(copy.path());
        assert_eq!(torn.recovery_report().end_offset, whole, "{missing} of {placed:?}");
        assert!(torn.recovery_report().set_aside.is_some());
        torn.close().unwrap();
        // Whole, it is there.
        let store = open(kill(&store).path());
        assert_eq!(store.recovery_report().end_offset, placed.end_offset());
    }
}
