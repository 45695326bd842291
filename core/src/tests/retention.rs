//! Old files go: which, when, and what a failure or a kill in between leaves.

use std::path::Path;
use std::time::Duration;

use super::fault_disk::{Call, Hits};
use super::scene::{SEGMENT, Scene, bodies, fill};
use crate::{
    EncodedBatch, FlushMode, Message, PhysicalOffset, ReadOutcome, ReadRequest, RemovedFiles,
    Status, Store, encode_batch_item,
};

pub(super) const HOUR_MS: i64 = 3_600_000;
/// Three such messages fill a file of the log.
pub(super) const THIRD: usize = 20_000;

/// A scene whose queue files hold two units, and in which retention is left to the test.
pub(super) fn scene() -> Scene {
    let mut scene = Scene::new(FlushMode::Async);
    scene.options.consume_queue_file_size_bytes = 40;
    scene
}

/// Makes everything durable and dispatched.
pub(super) fn settle(store: &Store) {
    store.flush().unwrap();
    assert!(store.wait_dispatched(store.max_offset(), Duration::from_secs(10)).unwrap());
}

/// Fills `files` files of the log and begins another.
pub(super) fn fill_files(store: &Store, files: usize) {
    fill(store, 3 * files + 1, THIRD);
    settle(store);
}

pub(super) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..2000 {
        if holds() {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("never: {what}");
}

pub(super) fn min(store: &Store) -> u64 {
    store.min_offset().get()
}

pub(super) fn removed(files: u64) -> RemovedFiles {
    RemovedFiles { files, bytes: files * SEGMENT }
}

/// The names in a directory, ascending.
pub(super) fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

pub(super) fn outcome(store: &Store, topic: &str, offset: i64) -> (ReadOutcome, usize, i64) {
    let batch = store.read(&ReadRequest::new(topic, 0, offset)).unwrap();
    (batch.outcome(), batch.messages().len(), batch.next_offset())
}

/// The indexes that can be read of queue 0 of a topic, each with its message there.
pub(super) fn indexes(store: &Store, topic: &str) -> Vec<u64> {
    let Some(range) = store.queue_range(topic, 0).unwrap() else { return Vec::new() };
    let mut indexes = Vec::new();
    let mut offset = range.start.to_i64();
    while offset < range.end.to_i64() {
        let batch = store.read(&ReadRequest::new(topic, 0, offset)).unwrap();
        assert_eq!(batch.outcome(), ReadOutcome::Found, "{topic} {offset}");
        for message in batch.messages() {
            assert_eq!(message.topic(), topic);
            indexes.push(message.queue_offset().get());
        }
        offset = batch.next_offset();
    }
    indexes
}

#[test]
fn whole_files_in_front_of_an_offset_go_and_the_queues_follow() {
    let scene = scene();
    let store = scene.open().unwrap();
    store.append(&Message::new("gone", b"only in the first file")).unwrap();
    fill_files(&store, 4);
    let place = |offset| store.remove_before(PhysicalOffset::new(offset));
    assert_eq!(place(SEGMENT - 1).unwrap(), removed(0));
    assert_eq!(place(3 * SEGMENT - 1).unwrap(), removed(2));
    assert_eq!(min(&store), 2 * SEGMENT);
    assert_eq!(names(&scene.path().join("commitlog"))[0], format!("{:020}", 2 * SEGMENT));
    let error = store.read_at(PhysicalOffset::new(0)).unwrap_err();
    assert_eq!(error.status(), Status::OffsetOutOfRange);
    assert!(error.to_string().contains("expected 131072 to"), "{error}");
    assert_eq!(
        store.scan(PhysicalOffset::new(SEGMENT)).unwrap_err().status(),
        Status::OffsetOutOfRange
    );
    // The first file holds three messages, two of which are of queue t.
    let first = indexes(&store, "t")[0];
    assert_eq!(first, 6);
    assert_eq!(outcome(&store, "t", 0), (ReadOutcome::OffsetTooSmall, 0, 6));
    assert_eq!(names(&scene.path().join("consumequeue/t/0"))[0], format!("{:020}", 6 * 20));
    // A queue without messages keeps its end.
    assert_eq!(outcome(&store, "gone", 0), (ReadOutcome::OffsetTooSmall, 0, 1));
    assert_eq!(outcome(&store, "gone", 1), (ReadOutcome::OffsetOverflowOne, 0, 1));
    // The newest file stays, whatever is asked for; and nothing goes that is not there.
    assert_eq!(place(store.max_offset().get()).unwrap(), removed(2));
    assert_eq!(min(&store), 4 * SEGMENT);
    assert_eq!(place(store.max_offset().get()).unwrap(), removed(0));
    let error = place(store.max_offset().get() + 1).unwrap_err();
    assert_eq!(error.status(), Status::OffsetOutOfRange);
    let (end, left) = (store.max_offset(), indexes(&store, "t"));
    store.close().unwrap();
    let error = store.remove_before(PhysicalOffset::new(0)).unwrap_err();
    assert_eq!(error.status(), Status::StoreClosed);

    for rebuilt in [false, true] {
        if rebuilt {
            std::fs::remove_dir_all(scene.path().join("consumequeue/t")).unwrap();
            scene.forget_checkpoint();
        }
        let store = scene.open().unwrap();
        assert_eq!((min(&store), store.max_offset()), (4 * SEGMENT, end));
        assert_eq!(store.next_queue_offset("gone", 0).get(), 1);
        assert_eq!(store.next_queue_offset("t", 0).get(), 13);
        assert_eq!(indexes(&store, "t"), left);
        assert_eq!(outcome(&store, "gone", 1), (ReadOutcome::OffsetOverflowOne, 0, 1));
        store.close().unwrap();
    }
    let store = scene.open().unwrap();
    assert_eq!(store.append(&Message::new("gone", b"next")).unwrap().queue_offset.get(), 1);
    settle(&store);
    assert_eq!(indexes(&store, "gone"), [1]);
}

/// The key index lets go of files whose messages are all gone; keys of the others are found.
#[test]
fn the_key_index_follows() {
    let mut scene = scene();
    scene.options.max_hash_slot_num = 4;
    scene.options.max_index_num = 5;
    let store = scene.open().unwrap();
    let body = vec![1; THIRD];
    for number in 0..13 {
        let key = number.to_string();
        store.append(&Message::new("t", &body).keys(&[&key])).unwrap();
    }
    settle(&store);
    let directory = scene.path().join("index");
    let before = names(&directory);
    assert_eq!(store.remove_before(PhysicalOffset::new(3 * SEGMENT)).unwrap(), removed(3));
    let after = names(&directory);
    assert!(after.len() < before.len() && before.ends_with(&after), "{before:?} {after:?}");
    let find = |store: &Store, key: &str| store.query_key("t", key, 0, i64::MAX, 10).unwrap().len();
    assert_eq!((find(&store, "8"), find(&store, "9"), find(&store, "12")), (0, 1, 1));
    let killed = scene.copy();
    store.close().unwrap();
    for scene in [killed, scene] {
        let store = scene.open().unwrap();
        assert_eq!((find(&store, "8"), find(&store, "9"), find(&store, "12")), (0, 1, 1));
    }
}

/// A queue built again from a log that begins later has fillers in front, up to its first message.
#[test]
fn a_rebuilt_queue_of_a_shortened_log_begins_with_fillers() {
    let mut scene = scene();
    scene.options.consume_queue_file_size_bytes = 200;
    let store = scene.open().unwrap();
    fill_files(&store, 5);
    assert_eq!(store.remove_before(PhysicalOffset::new(4 * SEGMENT)).unwrap(), removed(4));
    let left = indexes(&store, "t");
    assert_eq!(left, [12, 13, 14, 15]);
    store.close().unwrap();
    std::fs::remove_dir_all(scene.path().join("consumequeue")).unwrap();
    let store = scene.open().unwrap();
    assert_eq!(indexes(&store, "t"), left);
    assert_eq!(outcome(&store, "t", 11), (ReadOutcome::OffsetTooSmall, 0, 12));
    let file = scene.path().join(format!("consumequeue/t/0/{:020}", 200));
    let units = std::fs::read(file).unwrap();
    let filler = [&[0; 8][..], &[0x7F, 0xFF, 0xFF, 0xFF], &[0; 8]].concat();
    assert_eq!(units[..40], [filler.clone(), filler].concat());
    assert_eq!(units[40..48], (4 * SEGMENT).to_be_bytes());
    // And it can be shortened further.
    assert_eq!(store.remove_before(PhysicalOffset::new(5 * SEGMENT)).unwrap(), removed(1));
    assert_eq!(indexes(&store, "t"), [15]);
}

/// The newest message of a file decides, not the file's times: a copied store is as old as it was.
#[test]
fn a_file_is_as_old_as_its_newest_message() {
    let scene = scene();
    let store = scene.open().unwrap();
    fill(&store, 2, THIRD);
    scene.clock.turn_wall(50 * HOUR_MS);
    fill(&store, 4, THIRD);
    scene.clock.turn_wall(100 * HOUR_MS);
    fill(&store, 1, THIRD);
    settle(&store);
    let scene = scene.copy();
    store.close().unwrap();
    let store = scene.open().unwrap();
    // The newest messages of the first two files are 100 hours old, but the files are new.
    scene.clock.turn_wall(-28 * HOUR_MS - 1);
    assert_eq!(store.remove_expired().unwrap(), removed(0));
    scene.clock.turn_wall(1);
    assert_eq!(store.remove_expired().unwrap(), removed(2));
    assert_eq!(min(&store), 2 * SEGMENT);
    assert_eq!(indexes(&store, "t"), [6]);
    assert_eq!(scene.disk.count(Call::Modified, ""), 0);
}

/// Where the next message came much later, the file is looked through once.
#[test]
fn the_newest_message_is_found_inside_a_file() {
    let mut scene = scene();
    scene.options.file_reserved_time_hours = 10;
    let store = scene.open().unwrap();
    fill(&store, 2, THIRD);
    scene.clock.turn_wall(5 * HOUR_MS);
    fill(&store, 1, THIRD);
    scene.clock.turn_wall(9 * HOUR_MS);
    fill(&store, 1, THIRD);
    settle(&store);
    // Its messages are 14 and 9 hours old, the one behind it is new.
    assert_eq!(store.remove_expired().unwrap(), removed(0));
    scene.clock.turn_wall(HOUR_MS);
    assert_eq!(store.remove_expired().unwrap(), removed(1));
}

/// Of a file that cannot be read its modification time is known.
#[test]
fn an_unreadable_file_is_as_old_as_its_last_modification() {
    let mut scene = scene();
    scene.options.consume_queue_enable = false;
    let store = scene.open().unwrap();
    fill(&store, 3, THIRD);
    scene.clock.turn_wall(80 * HOUR_MS);
    fill(&store, 1, THIRD);
    store.flush().unwrap();
    // Damaged while the store is open, at its second record.
    let second = store.scan(store.min_offset()).unwrap().nth(1).unwrap().unwrap();
    scene.overwrite(second.physical_offset().get(), &[0xFF; 8]);
    // The clock of these tests stands in the past: the file was modified later.
    scene.clock.turn_wall(-1);
    assert_eq!(store.remove_expired().unwrap(), removed(0));
    assert_eq!(scene.disk.count(Call::Modified, "commitlog"), 1);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let now = i64::try_from(now.as_millis()).unwrap();
    let wall = 1_700_000_000_000 + 80 * HOUR_MS - 1;
    scene.clock.turn_wall(now - wall + 71 * HOUR_MS);
    let next = store.scan(PhysicalOffset::new(SEGMENT)).unwrap().next().unwrap().unwrap();
    assert!(next.store_timestamp_ms() < now);
    scene.disk.fail(Call::Modified, "", Hits::From(1), libc::EIO);
    // The message behind it tells that all in front of it is older.
    scene.overwrite(0, &[0xFF; 8]);
    assert_eq!(store.remove_expired().unwrap(), removed(0), "nobody knows its time");
    scene.disk.mend();
    assert_eq!(store.remove_expired().unwrap(), removed(0));
    scene.clock.turn_wall(2 * HOUR_MS);
    assert_eq!(store.remove_expired().unwrap(), removed(1));
}

#[test]
fn bytes_beyond_the_limit_go_but_never_the_newest_file() {
    let mut scene = scene();
    scene.options.max_total_bytes = 3 * SEGMENT;
    let store = scene.open().unwrap();
    fill_files(&store, 6);
    assert_eq!(store.remove_expired().unwrap(), removed(4));
    assert_eq!(min(&store), 4 * SEGMENT);
    assert_eq!(store.remove_expired().unwrap(), removed(0));
    store.close().unwrap();
    scene.options.max_total_bytes = 1;
    let store = scene.open().unwrap();
    assert_eq!(store.remove_expired().unwrap(), removed(2));
    assert_eq!(store.remove_expired().unwrap(), removed(0));
    assert_eq!(bodies(&store).len(), 1);
}

/// What a power cut may take back, and what is not in the queues, stays.
#[test]
fn what_is_not_durable_or_not_dispatched_stays() {
    let mut scene = scene();
    scene.options.flush_consume_queue_interval_ms = 1;
    let store = scene.open().unwrap();
    fill(&store, 7, THIRD);
    let end = store.max_offset();
    assert!(store.wait_dispatched(end, Duration::from_secs(10)).unwrap());
    assert_eq!(store.durable_offset().get(), 0);
    assert_eq!(store.remove_before(end).unwrap(), removed(0));
    store.flush().unwrap();
    eventually("noted", || scene.notes().dispatched_offset == end.get());
    scene.disk.fail(Call::WriteAt, "consumequeue", Hits::From(1), libc::ENOSPC);
    fill(&store, 3, THIRD);
    store.flush().unwrap();
    eventually("the dispatcher is blocked", || store.dispatch_error().is_some());
    assert_eq!(store.remove_before(store.max_offset()).unwrap(), removed(2));
    assert_eq!(store.remove_before(store.max_offset()).unwrap(), removed(0));
    scene.disk.mend();
    settle(&store);
    assert_eq!(store.remove_before(store.max_offset()).unwrap(), removed(1));
    assert_eq!(indexes(&store, "t"), [9]);
}

#[test]
fn what_is_not_durable_stays_in_a_store_without_queues() {
    let mut scene = scene();
    scene.options.consume_queue_enable = false;
    let store = scene.open().unwrap();
    fill(&store, 7, THIRD);
    assert_eq!(store.remove_before(store.max_offset()).unwrap(), removed(0));
    store.flush().unwrap();
    assert_eq!(store.remove_before(store.max_offset()).unwrap(), removed(2));
}

/// The end of a queue must be in a file that a power cut leaves. Its newest file may be one that
/// was made but not written, or not synced.
#[test]
fn the_next_index_of_a_queue_survives_a_power_cut() {
    let mut scene = scene();
    scene.options.flush_consume_queue_interval_ms = 1;
    let store = scene.open().unwrap();
    for _ in 0..2 {
        store.append(&Message::new("rare", b"body")).unwrap();
    }
    fill_files(&store, 1);
    eventually("noted", || scene.notes().dispatched_offset == store.max_offset().get());
    scene.disk.fail(Call::WriteAt, "rare/0/00000000000000000040", Hits::From(1), libc::ENOSPC);
    let third = store.append(&Message::new("rare", b"lost")).unwrap();
    eventually("the dispatcher is blocked", || store.dispatch_error().is_some());
    let directory = scene.path().join("consumequeue/rare/0");
    assert_eq!(names(&directory).len(), 2, "the next file was made");
    assert_eq!(store.remove_before(PhysicalOffset::new(SEGMENT)).unwrap(), removed(1));
    assert_eq!(names(&directory).len(), 2);
    let cut = scene.copy();
    scene.disk.mend();
    cut.overwrite(third.physical_offset.get(), &vec![0; third.size_bytes as usize]);
    let after = cut.open().unwrap();
    assert_eq!(after.next_queue_offset("rare", 0).get(), 2);
    // Once the third is in a durable queue, the first two are not needed any more.
    settle(&store);
    fill_files(&store, 1);
    assert_eq!(store.remove_before(PhysicalOffset::new(2 * SEGMENT)).unwrap(), removed(1));
    assert_eq!(names(&directory), [format!("{:020}", 40)]);
}

/// R6. RocketMQ drops a file from memory even if it could not be deleted, and at the next start it
/// is back. Here it stays, in front of all that follow, and nothing behind it goes.
#[test]
fn r6_a_file_that_cannot_be_removed_stays() {
    for (call, errno) in [(Call::Remove, libc::EACCES), (Call::SyncDirectory, libc::EIO)] {
        let scene = scene();
        let store = scene.open().unwrap();
        fill_files(&store, 4);
        scene.disk.fail(call, "commitlog", Hits::Nth(2), errno);
        let error = store.remove_before(PhysicalOffset::new(3 * SEGMENT)).unwrap_err();
        assert_eq!(error.os_code(), Some(errno), "{call:?}");
        assert!(error.path().unwrap().ends_with(format!("{SEGMENT:020}")), "{error}");
        assert_eq!(min(&store), SEGMENT);
        // The queues follow as far as the log went; what is left is readable.
        assert_eq!(indexes(&store, "t").len(), 10);
        assert_eq!(bodies(&store).len(), 10);
        assert!(scene.file(2 * SEGMENT).exists());
        scene.disk.mend();
        assert_eq!(store.remove_before(PhysicalOffset::new(3 * SEGMENT)).unwrap(), removed(2));
        assert_eq!(indexes(&store, "t").len(), 4);
        store.close().unwrap();
        assert_eq!(bodies(&scene.open().unwrap()).len(), 4);
    }
}

/// A kill, or a disk that fails, at any removal and any sync of one leaves a store that opens with
/// all that was not asked to go, and the same indexes.
#[test]
fn a_kill_at_any_step_leaves_a_whole_store() {
    for call in [Call::Remove, Call::SyncDirectory, Call::Open, Call::SyncData, Call::WriteAt] {
        let mut number = 0;
        loop {
            number += 1;
            let scene = scene();
            let store = scene.open().unwrap();
            store.append(&Message::new("gone", b"in the first file")).unwrap();
            fill_files(&store, 4);
            scene.disk.forget_calls();
            scene.disk.fail(call, "", Hits::Nth(number), libc::EIO);
            let outcome = store.remove_before(PhysicalOffset::new(3 * SEGMENT));
            let made = scene.disk.count(call, "") as u64;
            let after = scene.copy();
            scene.disk.mend();
            drop(store);
            let store = after.open().unwrap();
            let least = if outcome.is_ok() { 3 * SEGMENT } else { 0 };
            assert!((least..=3 * SEGMENT).contains(&min(&store)), "{call:?} {number}");
            let left = indexes(&store, "t");
            assert_eq!(left.last(), Some(&12));
            assert_eq!(bodies(&store).len(), left.len() + usize::from(min(&store) == 0));
            assert_eq!(store.next_queue_offset("gone", 0).get(), 1);
            store.remove_before(PhysicalOffset::new(3 * SEGMENT)).unwrap();
            assert_eq!(indexes(&store, "t"), [9, 10, 11, 12]);
            let queue = names(&after.path().join("consumequeue/t/0"));
            assert_eq!(queue[0], format!("{:020}", 8 * 20), "{call:?} {number}");
            if made < number {
                assert!(call == Call::WriteAt || number > 1, "{call:?} is never made");
                break;
            }
        }
    }
}

/// R5. RocketMQ unmaps a file under its readers in the end. Here a view keeps its bytes, and a scan
/// reads its file to the end before it is told.
#[test]
fn r5_views_outlive_the_removal_of_their_file() {
    let scene = scene();
    let store = scene.open().unwrap();
    let places = fill(&store, 7, THIRD);
    settle(&store);
    let view = store.read_at(places[0]).unwrap();
    let mut scan = store.scan(places[0]).unwrap();
    let mut fresh = store.scan(places[0]).unwrap();
    scan.next().unwrap().unwrap();
    assert_eq!(store.remove_before(PhysicalOffset::new(2 * SEGMENT)).unwrap(), removed(2));
    assert_eq!(view.body(), vec![b'x'; THIRD]);
    for place in &places[1..3] {
        assert_eq!(scan.next().unwrap().unwrap().physical_offset(), *place);
    }
    for scan in [&mut scan, &mut fresh] {
        for _ in 0..2 {
            let error = scan.next().unwrap().unwrap_err();
            assert_eq!(error.status(), Status::OffsetOutOfRange);
            assert!(error.to_string().contains("expected 131072 or more"), "{error}");
        }
        let error = scan.next_timeout(Duration::from_secs(10)).unwrap_err();
        assert_eq!(error.status(), Status::OffsetOutOfRange);
    }
    let mut again = store.scan(store.min_offset()).unwrap();
    assert_eq!(again.next().unwrap().unwrap().physical_offset(), places[6]);
    store.close().unwrap();
    // The end of a closed store is no removal.
    assert!(again.next().is_none() && scan.next().is_none());
    assert_eq!(view.body().len(), THIRD);
}

/// An inner batch has its unit at its first index and fillers behind. They belong to it: they
/// neither hide messages behind them nor let a file go that still has some.
#[test]
fn fillers_inside_a_batch_live_as_long_as_the_batch() {
    let scene = scene();
    let store = scene.open().unwrap();
    let mut items = Vec::new();
    for _ in 0..5 {
        encode_batch_item(&mut items, 0, b"item", b"").unwrap();
    }
    let shared = Message::new("b", b"");
    let append = || {
        let batch = EncodedBatch { shared, items: &items };
        store.append_inner_batch(&batch).unwrap().queue_offset.get()
    };
    assert_eq!((append(), append()), (0, 5));
    fill(&store, 4, THIRD);
    let kept = append();
    assert_eq!((kept, append()), (10, 15));
    fill_files(&store, 1);
    assert_eq!(store.remove_before(PhysicalOffset::new(SEGMENT)).unwrap(), removed(1));
    let range = store.queue_range("b", 0).unwrap().unwrap();
    assert_eq!((range.start.get(), range.end.get()), (10, 20));
    assert_eq!(outcome(&store, "b", 10).0, ReadOutcome::Found);
    store.close().unwrap();
    let store = scene.open().unwrap();
    let range = store.queue_range("b", 0).unwrap().unwrap();
    assert_eq!((range.start.get(), range.end.get()), (10, 20));
}
