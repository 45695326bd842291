//! What goes by itself: in which hour, on how full a disk, and how much at a time.

use std::time::Duration;

use super::fault_disk::{Call, Hits};
use super::retention::{
    HOUR_MS, eventually, fill_files, indexes, min, names, outcome, removed, scene, settle,
};
use super::scene::{SEGMENT, Scene, bodies};
use crate::{EncodedBatch, Message, PhysicalOffset, ReadOutcome, Status, encode_batch_item};

/// A scene in which rounds come quickly.
fn periodic() -> Scene {
    let mut scene = scene();
    scene.options.retention_enable = true;
    scene.options.clean_resource_interval_ms = 5;
    scene.options.delete_commit_log_files_interval_ms = 0;
    scene.disk.fill_to("", 50);
    scene
}

/// Waits until whole rounds have passed.
fn rounds_pass(scene: &Scene) {
    let seen = scene.disk.count(Call::Usage, "commitlog");
    eventually("rounds", || scene.disk.count(Call::Usage, "commitlog") > seen + 3);
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
    for path in ["commitlog", "/consumequeue", "/batchconsumequeue"] {
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
    settle(&store);
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
    settle(&store);
    scene.disk.fill_to("disk-b", 91);
    assert_eq!(cleaner.round(|| true).unwrap(), removed(1));
    assert_eq!(store.append(&Message::new("t", b"x")).unwrap_err().status(), Status::DiskUsageHigh);
    scene.disk.fill_to("disk-b", 50);
    assert_eq!(store.remove_before(PhysicalOffset::new(5 * SEGMENT)).unwrap(), removed(4));
    store.close().unwrap();
    // Closing takes away the file that was made ahead.
    assert_eq!(names(&path("disk-a")), Vec::<String>::new());
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
    assert!(store.wait_dispatched(end, Duration::from_secs(30)).unwrap());
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
