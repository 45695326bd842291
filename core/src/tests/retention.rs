//! Old files go: which, when, and what a failure or a kill in between leaves.

use std::path::Path;
use std::time::Duration;

use super::fault_disk::{Call, Hits};
use super::scene::{SEGMENT, Scene, bodies, fill};
use crate::checkpoint;
use crate::sys::disk::OsDisk;
use crate::{
    EncodedBatch, FlushMode, Message, PhysicalOffset, ReadOutcome, ReadRequest, RemovedFiles,
    Status, Store, encode_batch_item,
};

const HOUR_MS: i64 = 3_600_000;
/// Three such messages fill a file of the log.
const THIRD: usize = 20_000;

/// A scene whose queue files hold two units, and in which retention is left to the test.
fn scene() -> Scene {
    let mut scene = Scene::new(FlushMode::Async);
    scene.options.consume_queue_file_size_bytes = 40;
    scene
}

/// A scene in which rounds come quickly.
fn periodic() -> Scene {
    let mut scene = scene();
    scene.options.retention_enable = true;
    scene.options.clean_resource_interval_ms = 5;
    scene.options.delete_commit_log_files_interval_ms = 0;
    scene.disk.fill_to("", 50);
    scene
}

/// Makes everything durable and dispatched.
fn settle(store: &Store) {
    store.flush().unwrap();
    assert!(store.wait_dispatched(store.max_offset(), Duration::from_secs(10)).unwrap());
}

/// Fills `files` files of the log and begins another.
fn fill_files(store: &Store, files: usize) {
    fill(store, 3 * files + 1, THIRD);
    settle(store);
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..2000 {
        if holds() {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("never: {what}");
}

/// Waits until whole rounds have passed.
fn rounds_pass(scene: &Scene) {
    let seen = scene.disk.count(Call::Usage, "commitlog");
    eventually("rounds", || scene.disk.count(Call::Usage, "commitlog") > seen + 3);
}

/// Up to where the checkpoint says that queues are durable.
fn noted(scene: &Scene) -> u64 {
    let (_, notes) = checkpoint::read(&OsDisk, scene.path()).unwrap().unwrap();
    notes.unwrap().dispatched_offset
}

fn min(store: &Store) -> u64 {
    store.min_offset().get()
}

fn removed(files: u64) -> RemovedFiles {
    RemovedFiles { files, bytes: files * SEGMENT }
}

/// The names in a directory, ascending.
fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn outcome(store: &Store, topic: &str, offset: i64) -> (ReadOutcome, usize, i64) {
    let batch = store.read(&ReadRequest::new(topic, 0, offset)).unwrap();
    (batch.outcome(), batch.messages().len(), batch.next_offset())
}

/// The indexes that can be read of queue 0 of a topic, each with its message there.
fn indexes(store: &Store, topic: &str) -> Vec<u64> {
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
    eventually("noted", || noted(&scene) == end.get());
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
    eventually("noted", || noted(&scene) == store.max_offset().get());
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

#[test]
fn nothing_goes_by_itself_unless_asked_to() {
    let mut scene = periodic();
    scene.options.retention_enable = false;
    scene.options.max_total_bytes = 1;
    scene.disk.fill_to("", 95);
    scene.clock.set_local_hour(4);
    let store = scene.open().unwrap();
    fill_files(&store, 2);
    scene.clock.turn_wall(1000 * HOUR_MS);
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(scene.disk.count(Call::Usage, ""), 0);
    assert_eq!(min(&store), 0);
}

#[test]
fn expired_files_go_in_the_hour_that_was_set() {
    let mut scene = periodic();
    scene.options.delete_when = "3;17".to_owned();
    let store = scene.open().unwrap();
    fill_files(&store, 2);
    scene.clock.set_local_hour(17);
    rounds_pass(&scene);
    assert_eq!(min(&store), 0, "not yet expired");
    scene.clock.set_local_hour(4);
    scene.clock.turn_wall(73 * HOUR_MS);
    rounds_pass(&scene);
    assert_eq!(min(&store), 0, "not the hour");
    scene.clock.set_local_hour(3);
    eventually("removed", || min(&store) == 2 * SEGMENT);
    eventually("followed", || outcome(&store, "t", 0) == (ReadOutcome::OffsetTooSmall, 0, 6));
}

#[test]
fn bytes_beyond_the_limit_go_at_any_hour() {
    let mut scene = periodic();
    scene.options.max_total_bytes = 2 * SEGMENT;
    let store = scene.open().unwrap();
    fill_files(&store, 4);
    eventually("removed", || min(&store) == 3 * SEGMENT);
    rounds_pass(&scene);
    assert_eq!(min(&store), 3 * SEGMENT);
}

#[test]
fn a_round_removes_no_more_files_than_it_may() {
    let mut scene = periodic();
    scene.options.delete_file_batch_max = 2;
    scene.options.clean_resource_interval_ms = 3_600_000;
    scene.options.max_total_bytes = 1;
    let store = scene.open().unwrap();
    fill_files(&store, 5);
    let cleaner = store.cleaner();
    assert_eq!(cleaner.round(|| false).unwrap(), removed(2));
    assert_eq!(cleaner.round(|| true).unwrap(), removed(1), "the store is about to close");
    assert_eq!(cleaner.round(|| false).unwrap(), removed(2));
    assert_eq!(cleaner.round(|| false).unwrap(), removed(0));
    assert_eq!(indexes(&store, "t"), [15]);
}

/// The rows of RocketMQ's table, for the log's disk and for that of the queues.
#[test]
fn a_full_disk_lets_files_go() {
    for path in ["commitlog", "consumequeue"] {
        let mut scene = periodic();
        scene.options.clean_resource_interval_ms = 3_600_000;
        let store = scene.open().unwrap();
        fill_files(&store, 5);
        let cleaner = store.cleaner();
        let round = || cleaner.round(|| true).unwrap().files;
        // Up to 75 nothing goes at this hour, above it what is expired, above 85 anything.
        for (per_cent, young, expired) in [(75, 0, 0), (76, 0, 1), (85, 0, 1), (86, 1, 1)] {
            scene.disk.fill_to(path, per_cent);
            assert_eq!(round(), young, "{path} {per_cent}");
            scene.clock.turn_wall(73 * HOUR_MS);
            assert_eq!(round(), expired, "{path} {per_cent}");
            scene.clock.turn_wall(-73 * HOUR_MS);
            assert!(store.append(&Message::new("t", b"there is room")).is_ok());
            settle(&store);
        }
        assert_eq!(min(&store), 4 * SEGMENT);
    }
}

#[test]
fn files_that_are_not_expired_can_be_kept_on_a_full_disk() {
    let mut scene = periodic();
    scene.options.clean_resource_interval_ms = 3_600_000;
    scene.options.clean_file_forcibly_enable = false;
    scene.disk.fill_to("", 95);
    let store = scene.open().unwrap();
    assert_eq!(store.append(&Message::new("t", b"x")).unwrap_err().status(), Status::DiskUsageHigh);
    scene.disk.fill_to("", 89);
    let cleaner = store.cleaner();
    cleaner.round(|| false).unwrap();
    fill_files(&store, 2);
    assert_eq!(cleaner.round(|| false).unwrap(), removed(0));
    scene.clock.turn_wall(73 * HOUR_MS);
    assert_eq!(cleaner.round(|| false).unwrap(), removed(2));
}

/// A disk that cannot be measured lets expired files go at any hour, and appends come in.
#[test]
fn a_disk_that_cannot_be_measured_lets_expired_files_go() {
    let mut scene = periodic();
    scene.options.clean_resource_interval_ms = 3_600_000;
    let store = scene.open().unwrap();
    fill_files(&store, 1);
    scene.disk.fill_to("", 95);
    let cleaner = store.cleaner();
    scene.disk.fail(Call::Usage, "", Hits::From(1), libc::EIO);
    assert_eq!(cleaner.round(|| false).unwrap(), removed(0));
    store.append(&Message::new("t", b"x")).unwrap();
    scene.clock.turn_wall(73 * HOUR_MS);
    assert_eq!(cleaner.round(|| false).unwrap(), removed(1));
}

/// Of several directories the least used one counts.
#[test]
fn new_files_fit_where_there_is_room() {
    let mut scene = periodic();
    let root = scene.path().to_path_buf();
    let path = |name| root.join(name);
    scene.options.commit_log_paths = vec![path("disk-a"), path("disk-b")];
    scene.options.clean_resource_interval_ms = 3_600_000;
    let store = scene.open().unwrap();
    fill_files(&store, 5);
    let cleaner = store.cleaner();
    scene.disk.fill_to("disk-a", 95);
    assert_eq!(cleaner.round(|| true).unwrap(), removed(0));
    store.append(&Message::new("t", b"x")).unwrap();
    scene.disk.fill_to("disk-b", 91);
    assert_eq!(cleaner.round(|| true).unwrap(), removed(1));
    assert_eq!(store.append(&Message::new("t", b"x")).unwrap_err().status(), Status::DiskUsageHigh);
    scene.disk.fill_to("disk-b", 50);
    assert_eq!(store.remove_before(PhysicalOffset::new(5 * SEGMENT)).unwrap(), removed(4));
    assert_eq!(names(&path("disk-a")), Vec::<String>::new());
    store.close().unwrap();
    let store = scene.open().unwrap();
    assert_eq!(min(&store), 5 * SEGMENT);
}

/// Files in directories that are only read are not ours to remove.
#[test]
fn files_that_are_only_read_stay() {
    let mut scene = scene();
    let store = scene.open().unwrap();
    fill_files(&store, 3);
    store.close().unwrap();
    let archive = scene.path().join("archive");
    std::fs::create_dir(&archive).unwrap();
    std::fs::rename(scene.file(0), archive.join(format!("{:020}", 0))).unwrap();
    scene.options.read_only_commit_log_paths = vec![archive.clone()];
    let store = scene.open().unwrap();
    assert_eq!(store.remove_before(PhysicalOffset::new(2 * SEGMENT)).unwrap(), removed(0));
    assert_eq!((names(&archive).len(), bodies(&store).len()), (1, 10));
}

/// Above the warning ratio every way of appending is refused, and everything else goes on; a later
/// round that finds room lets appends in again.
#[test]
fn appends_are_refused_while_the_disk_is_too_full() {
    let mut scene = periodic();
    scene.options.clean_file_forcibly_enable = false;
    let store = scene.open().unwrap();
    let queue = store.queue("t", 0).unwrap();
    fill_files(&store, 1);
    scene.disk.fill_to("", 91);
    let message = Message::new("t", b"body");
    eventually("refused", || store.append(&message).is_err());
    let error = store.append(&message).unwrap_err();
    assert_eq!(error.status(), Status::DiskUsageHigh);
    assert!(error.to_string().ends_with("expected at most 90 per cent in use, found 91"));
    let mut items = Vec::new();
    encode_batch_item(&mut items, 0, b"item", b"").unwrap();
    let batch = EncodedBatch { shared: Message::new("t", b""), items: &items };
    let refused = [
        queue.append(&message).map(|_| ()),
        store.append_batch(&batch).map(|_| ()),
        store.append_inner_batch(&batch).map(|_| ()),
        store.append_many(&[message], &mut Vec::new()),
        store.append_async(&message).map(|_| ()),
    ];
    for result in refused {
        assert_eq!(result.unwrap_err().status(), Status::DiskUsageHigh);
    }
    let end = store.max_offset();
    assert_eq!(bodies(&store).len() as u64, indexes(&store, "t").len() as u64);
    store.flush().unwrap();
    assert_eq!(store.remove_before(end).unwrap(), removed(1));
    assert_eq!(store.max_offset(), end);
    scene.disk.fill_to("", 90);
    eventually("taken", || store.append(&message).is_ok());
    store.close().unwrap();
    // A store opened on a full disk knows it at once.
    scene.disk.fill_to("", 91);
    let store = scene.open().unwrap();
    assert_eq!(store.append(&message).unwrap_err().status(), Status::DiskUsageHigh);
    assert_eq!(bodies(&store).last().unwrap(), b"body");
}

/// What a killed process left undone the next one does.
#[test]
fn the_first_round_finishes_what_a_killed_process_began() {
    let mut scene = periodic();
    scene.options.clean_resource_interval_ms = 3_600_000;
    let store = scene.open().unwrap();
    fill_files(&store, 2);
    scene.disk.fail(Call::Remove, "consumequeue", Hits::From(1), libc::EIO);
    assert_eq!(
        store.remove_before(PhysicalOffset::new(2 * SEGMENT)).unwrap_err().status(),
        Status::Io
    );
    let killed = scene.copy();
    killed.disk.fill_to("", 50);
    let directory = killed.path().join("consumequeue/t/0");
    assert_eq!(names(&directory).len(), 4);
    let after = killed.open().unwrap();
    assert_eq!(after.cleaner().round(|| false).unwrap(), removed(0));
    assert_eq!(names(&directory), [format!("{:020}", 120)]);
    // And the process that met the failure, in its own next round.
    scene.disk.mend();
    scene.disk.fill_to("", 50);
    store.cleaner().round(|| false).unwrap();
    assert_eq!(names(&scene.path().join("consumequeue/t/0")), [format!("{:020}", 120)]);
}
