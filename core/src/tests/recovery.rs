//! What opening makes of a log that was not closed, or is damaged.

use std::time::Duration;

use super::fault_disk::{Call, Hits};
use super::scene::{SEGMENT, Scene, assert_unchanged, bodies, fill, snapshot};
use crate::{DamagePolicy, FlushMode, Message, PhysicalOffset, Status, Store};

/// A record without properties ends with their length, which is zero: what is set aside ends with
/// the last byte that is not.
const ZERO_END: u64 = 2;

/// R1. RocketMQ cuts a log in memory only. When later records then end on an old record's boundary,
/// the next recovery goes on into the stale ones behind: their physical offsets even match.
#[test]
fn r1_stale_records_behind_a_cut_never_come_back() {
    let mut scene = Scene::new(FlushMode::Async);
    scene.options.damage_policy = DamagePolicy::Truncate;
    let store = scene.open().unwrap();
    // Over three files, so that whole files of stale records are behind the cut.
    let starts = fill(&store, 8, 20_000);
    store.close().unwrap();
    drop(store);
    scene.overwrite(starts[1].get() + 100, b"damage");
    scene.forget_checkpoint();

    let store = scene.open().unwrap();
    assert_eq!(store.max_offset(), starts[1]);
    assert!(scene.bytes(starts[1].get()..SEGMENT).iter().all(|&byte| byte == 0));
    // The next file may be there again, made ahead.
    for start in [SEGMENT, 2 * SEGMENT] {
        let file = std::fs::read(scene.file(start)).unwrap_or_default();
        assert!(file.iter().all(|&byte| byte == 0), "stale records are left at {start}");
    }
    // The new record ends exactly where the third one began.
    let body = vec![b'n'; 20_000];
    let placed = store.append(&Message::new("t", &body)).unwrap();
    assert_eq!(placed.end_offset(), starts[2]);
    assert_eq!(placed.queue_offset.get(), 1);
    store.flush().unwrap();
    let crash = scene.copy().open().unwrap();
    assert_eq!(bodies(&crash), [vec![b'x'; 20_000], body]);
    assert_eq!(crash.recovery_report().damage, None);
}

/// R1 behind a torn record, when the torn part covers what was once whole.
#[test]
fn r1_zeroing_is_durable_before_the_store_opens() {
    let scene = Scene::new(FlushMode::Async);
    let store = scene.open().unwrap();
    fill(&store, 3, 1000);
    let crash = scene.copy();
    let end = store.max_offset().get();
    store.close().unwrap();
    crash.overwrite(end, &[0, 0, 4, 0, 0xDA, 0xA3, 0x20, 0xA7, 1, 2, 3]);
    crash.disk.fail(Call::SyncAll, "commitlog/0", Hits::From(1), libc::EIO);
    let error = crash.open().unwrap_err();
    assert_eq!(error.os_code(), Some(libc::EIO));
    assert_eq!(error.path(), Some(&*crash.file(0)));
    crash.disk.mend();
    crash.disk.forget_calls();
    let store = crash.open().unwrap();
    assert_eq!(store.max_offset().get(), end);
    assert_eq!(bodies(&store).len(), 3);
}

/// R6. Files behind the end were dropped from memory even when their deletion failed, and came back
/// at the next start.
#[test]
fn r6_a_file_behind_the_end_is_removed_durably_or_opening_fails() {
    let scene = Scene::new(FlushMode::Async);
    let store = scene.open().unwrap();
    fill(&store, 1, 1000);
    let crash = scene.copy();
    store.close().unwrap();
    // Two files that were made ahead.
    for start in [SEGMENT, 2 * SEGMENT] {
        std::fs::write(crash.file(start), vec![0; SEGMENT as usize]).unwrap();
    }
    for call in [Call::Remove, Call::SyncDirectory] {
        crash.disk.fail(call, "commitlog", Hits::From(1), libc::EIO);
        let error = crash.open().unwrap_err();
        assert_eq!(error.os_code(), Some(libc::EIO), "{error}");
        let named = error.path().unwrap();
        assert!(named.starts_with(crash.path().join("commitlog")), "{error}");
        crash.disk.mend();
    }
    crash.disk.forget_calls();
    let store = crash.open().unwrap();
    assert!(!crash.file(SEGMENT).exists() && !crash.file(2 * SEGMENT).exists());
    let removed = crash.disk.count(Call::Remove, "commitlog");
    assert!(removed > 0);
    assert_eq!(crash.disk.count(Call::SyncDirectory, "commitlog"), removed);
    assert_eq!(store.recovery_report().files_removed, removed as u64);
    assert_eq!(bodies(&store).len(), 1);
}

/// R7. RocketMQ takes its lock after recovery has changed files, so a second process could cut the
/// log of a live store. Here everything a recovery would do is waiting, and nothing is done.
#[test]
fn r7_the_lock_is_taken_before_anything_is_touched() {
    let scene = Scene::new(FlushMode::Async);
    let store = scene.open().unwrap();
    fill(&store, 1, 1000);
    store.flush().unwrap();
    assert!(store.wait_dispatched(store.max_offset(), Duration::from_secs(30)).unwrap());
    let end = store.max_offset().get();
    scene.overwrite(end, b"a record that is being written");
    std::fs::write(scene.file(SEGMENT), vec![0; SEGMENT as usize]).unwrap();
    std::fs::write(scene.file(2 * SEGMENT), b"").unwrap();
    let before = snapshot(scene.path());
    scene.disk.forget_calls();
    let error = scene.open().unwrap_err();
    assert_eq!(error.status(), Status::StoreLocked);
    assert_unchanged(&before, &snapshot(scene.path()));
    for call in [Call::Create, Call::Remove, Call::WriteAt, Call::SyncData, Call::SyncAll] {
        assert_eq!(scene.disk.count(call, ""), 0, "{call:?}");
    }
}

/// R9. Bytes that a crash cut short are set aside before they are zeroed.
#[test]
fn r9_a_torn_tail_is_set_aside() {
    let scene = Scene::new(FlushMode::Async);
    let store = scene.open().unwrap();
    let starts = fill(&store, 4, 1000);
    let (last, end) = (starts[3].get(), store.max_offset().get());
    let crashed = scene.copy();
    store.close().unwrap();
    // The record's size is written last, so a kill leaves zeros there; a power cut may leave any
    // part of it.
    for zeroed in [
        last..last + 4,
        last..last + 50,
        last + 4..last + 8,
        last + 500..end,
        end - 1..end,
        last + 80..last + 700,
    ] {
        let scene = crashed.copy();
        scene.overwrite(zeroed.start, &vec![0; (zeroed.end - zeroed.start) as usize]);
        let torn = scene.bytes(last..end);
        let unchanged = torn == crashed.bytes(last..end);
        let store = scene.open().unwrap();
        if unchanged {
            assert_eq!(store.max_offset().get(), end);
            continue;
        }
        let report = store.recovery_report();
        assert_eq!(report.end_offset, starts[3], "{zeroed:?}");
        assert_eq!(report.records, 3);
        let damage = report.damage.clone().unwrap();
        assert!(damage.contains("commitlog/00000000000000000000"), "{damage}");
        assert!(damage.contains(&last.to_string()), "{damage}");
        let used = torn.iter().rposition(|&byte| byte != 0).unwrap() + 1;
        assert_eq!(report.bytes_set_aside, used as u64);
        let aside = report.set_aside.clone().unwrap();
        assert!(aside.starts_with(scene.path().join("lost+found")));
        assert_eq!(std::fs::read(aside).unwrap(), torn[..used]);
        assert!(scene.bytes(last..SEGMENT).iter().all(|&byte| byte == 0));
        let placed = store.append(&Message::new("t", b"next")).unwrap();
        assert_eq!(placed.physical_offset, starts[3]);
        assert_eq!(placed.queue_offset.get(), 3);
    }
}

/// R9. A damaged record with good ones behind it is no torn tail: RocketMQ drops the good ones too,
/// without a copy. Here opening refuses, and says where.
#[test]
fn r9_corruption_in_the_middle_refuses_and_changes_nothing() {
    let scene = Scene::new(FlushMode::Async);
    let store = scene.open().unwrap();
    let starts = fill(&store, 8, 20_000);
    store.close().unwrap();
    for (index, at, bytes) in [
        (1, 120, &b"flip"[..]),    // the body
        (1, 0, &[0; 8]),           // size and magic: looks like free space
        (1, 0, &[0x7F]),           // the size
        (1, 4, &[1]),              // the magic
        (1, 28, &[1]),             // the physical offset
        (6, 120, b"flip"),         // in the last file
        (3, 88, &[0x7F, 0, 0, 0]), // the body's length
    ] {
        let scene = scene.copy();
        let start = starts[index].get();
        scene.overwrite(start + at, bytes);
        scene.forget_checkpoint();
        let before = snapshot(scene.path());
        for error in [
            scene.open().unwrap_err(),
            Store::plan_recovery(scene.path(), &scene.options).unwrap_err(),
        ] {
            assert_eq!(error.status(), Status::Corruption, "{error}");
            assert_eq!(error.path(), Some(&*scene.file(start / SEGMENT * SEGMENT)));
            assert_eq!(error.offset(), Some(start));
        }
        assert_unchanged(&before, &snapshot(scene.path()));
    }
}

/// R9. When told to, opening cuts the log at the damage, and keeps a copy of all it cuts off.
#[test]
fn r9_truncating_copies_everything_behind_the_damage() {
    let mut scene = Scene::new(FlushMode::Async);
    let store = scene.open().unwrap();
    let starts = fill(&store, 8, 20_000);
    let end = store.max_offset().get() - ZERO_END;
    store.close().unwrap();
    drop(store);
    let cut = starts[4].get();
    scene.overwrite(cut + 200, b"flip");
    scene.forget_checkpoint();
    let removed = [scene.bytes(cut..2 * SEGMENT), scene.bytes(2 * SEGMENT..end)].concat();
    scene.options.damage_policy = DamagePolicy::Truncate;
    let store = scene.open().unwrap();
    let report = store.recovery_report();
    assert_eq!(report.end_offset.get(), cut);
    assert_eq!(report.bytes_set_aside, end - cut);
    assert_eq!(report.files_removed, 1);
    let aside = report.set_aside.clone().unwrap();
    assert!(std::fs::read(aside).unwrap() == removed);
    assert_eq!(bodies(&store).len(), 4);
    assert_eq!(store.next_queue_offset("t", 0).get(), 4);
    // What was set aside before is not overwritten by a second time.
    fill(&store, 2, 20_000);
    store.close().unwrap();
    drop(store);
    scene.overwrite(cut + 200, b"flip");
    scene.forget_checkpoint();
    let store = scene.open().unwrap();
    assert_eq!(store.max_offset().get(), cut);
    let kept = std::fs::read_dir(scene.path().join("lost+found")).unwrap();
    assert_eq!(kept.count(), 2);
}

/// After a clean stop the log is not walked in front of what the checkpoint notes. When the index
/// was gone and had to be built from there, a damaged record stopped the dispatcher of a store that
/// had opened; every message behind it stayed unseen. Opening walks what the index lacks, and
/// refuses before it changes anything: once, `abort`, notes and index had been changed by then.
#[test]
fn damage_that_is_met_when_the_index_is_built_again_refuses() {
    let mut scene = Scene::new(FlushMode::Async);
    let store = scene.open().unwrap();
    for index in 0..8 {
        let key = format!("key{index}");
        store.append(&Message::new("t", &[7; 20_000]).keys(&[&key])).unwrap();
    }
    store.close().unwrap();
    drop(store);
    std::fs::remove_dir_all(scene.path().join("index")).unwrap();
    let good = scene.bytes(0..SEGMENT);
    scene.overwrite(0, &vec![0; SEGMENT as usize]);
    let before = snapshot(scene.path());
    for _ in 0..2 {
        let error = scene.open().unwrap_err();
        assert_eq!((error.status(), error.offset()), (Status::Corruption, Some(0)), "{error}");
        assert_unchanged(&before, &snapshot(scene.path()));
    }
    // Nothing was cut: with its bytes back it is as it was.
    scene.overwrite(0, &good);
    let store = scene.open().unwrap();
    let found = store.query_key("t", "key3", 0, i64::MAX, 32).unwrap();
    assert_eq!((bodies(&store).len(), found.len()), (8, 1));
    store.close().unwrap();
    drop(store);
    // Queues of a log that is cut in front of what they were trusted for are cut with it.
    std::fs::remove_dir_all(scene.path().join("index")).unwrap();
    scene.overwrite(SEGMENT, &vec![0; SEGMENT as usize]);
    scene.options.damage_policy = DamagePolicy::Truncate;
    let store = scene.open().unwrap();
    let kept = bodies(&store).len() as u64;
    assert!((1..8).contains(&kept), "{kept} messages");
    assert!(store.max_offset().get() <= SEGMENT);
    assert_eq!(store.queue_range("t", 0).unwrap().unwrap().end.get(), kept);
    let found = |key: &str| store.query_key("t", key, 0, i64::MAX, 32).unwrap().len();
    assert_eq!((found("key0"), found("key7")), (1, 0));
    assert!(store.recovery_report().set_aside.is_some());
    let placed = store.append(&Message::new("t", b"next")).unwrap();
    assert_eq!(placed.queue_offset.get(), kept);
}

/// The same after a power cut that took the newest index file: that is known only once the index is
/// made sound, and the next opening walks all of the log.
#[test]
fn damage_that_is_met_when_a_lost_index_file_is_built_again_refuses() {
    let scene = Scene::new(FlushMode::Async);
    let store = scene.open().unwrap();
    for _ in 0..8 {
        store.append(&Message::new("t", &[7; 20_000]).keys(&["key"])).unwrap();
    }
    store.close().unwrap();
    drop(store);
    scene.clock.turn_wall(5_000);
    let store = scene.open().unwrap();
    store.append(&Message::new("t", b"later").keys(&["later"])).unwrap();
    assert!(store.wait_dispatched(store.max_offset(), Duration::from_secs(30)).unwrap());
    let mut cut = scene.copy();
    cut.boot_id = 2;
    let good = cut.bytes(0..SEGMENT);
    cut.overwrite(0, &vec![0; SEGMENT as usize]);
    for _ in 0..2 {
        let error = cut.open().unwrap_err();
        assert_eq!((error.status(), error.offset()), (Status::Corruption, Some(0)), "{error}");
    }
    cut.overwrite(0, &good);
    let store = cut.open().unwrap();
    let found = |key: &str| store.query_key("t", key, 0, i64::MAX, 32).unwrap().len();
    assert_eq!((bodies(&store).len(), found("key"), found("later")), (9, 8, 1));
}

/// An index file can end between the keys of a record. When the next file was gone, after a power
/// cut or because somebody removed it, the index still ended with the record that was noted as its
/// last one, and the record's other keys were never put in again.
#[test]
fn the_last_keys_of_a_record_are_put_in_again_when_their_file_is_gone() {
    let mut scene = Scene::new(FlushMode::Async);
    // Three entries a file: the last key stands in a file of its own.
    scene.options.max_index_num = 4;
    let store = scene.open().unwrap();
    for keys in [["a", "b"], ["c", "d"]] {
        store.append(&Message::new("t", b"body").keys(&keys)).unwrap();
    }
    store.close().unwrap();
    drop(store);
    let found_in = |scene: &Scene| {
        let store = scene.open().unwrap();
        let found = |key| store.query_key("t", key, 0, i64::MAX, 32).unwrap().len();
        ["a", "b", "c", "d"].map(found)
    };
    let removed = scene.copy();
    let mut files: Vec<_> = std::fs::read_dir(removed.path().join("index")).unwrap().collect();
    files.sort_by_key(|file| file.as_ref().unwrap().file_name());
    assert_eq!(files.len(), 2);
    std::fs::remove_file(files.pop().unwrap().unwrap().path()).unwrap();
    assert_eq!(found_in(&removed), [1; 4]);

    scene.clock.turn_wall(5_000);
    let store = scene.open().unwrap();
    store.append(&Message::new("t", b"later").keys(&["e"])).unwrap();
    assert!(store.wait_dispatched(store.max_offset(), Duration::from_secs(30)).unwrap());
    let mut cut = scene.copy();
    cut.boot_id = 2;
    assert_eq!(found_in(&cut), [1; 4]);
}

/// R9. If the copy cannot be made, nothing is cut.
#[test]
fn r9_what_cannot_be_set_aside_is_not_zeroed() {
    let mut scene = Scene::new(FlushMode::Async);
    scene.options.damage_policy = DamagePolicy::Truncate;
    let store = scene.open().unwrap();
    let starts = fill(&store, 8, 20_000);
    store.close().unwrap();
    drop(store);
    scene.overwrite(starts[1].get() + 200, b"flip");
    scene.forget_checkpoint();
    let log = |scene: &Scene| snapshot(&scene.path().join("commitlog"));
    let before = log(&scene);
    for call in [Call::Create, Call::WriteAt, Call::SyncAll, Call::SyncDirectory] {
        scene.disk.fail(call, "lost+found", Hits::From(1), libc::ENOSPC);
        assert_eq!(scene.open().unwrap_err().status(), Status::DiskFull);
        assert_unchanged(&before, &log(&scene));
        scene.disk.mend();
    }
    assert_eq!(bodies(&scene.open().unwrap()).len(), 1);
}

/// After a power cut, pages behind what was durable may be missing although later ones are there.
/// That is no corruption: the log ends at the hole, and what lies behind is set aside. Without a
/// boot in between, or below what was durable, a hole is corruption.
#[test]
fn a_hole_is_cut_only_above_what_was_durable_and_after_a_reboot() {
    let scene = Scene::new(FlushMode::Async);
    let store = scene.open().unwrap();
    let first = fill(&store, 3, 1000);
    store.close().unwrap();
    drop(store);
    let store = scene.open().unwrap();
    let durable = store.max_offset();
    let second = fill(&store, 5, 1000);
    let crashed = scene.copy();
    let end = store.max_offset().get();
    let hole = |at: PhysicalOffset, boot_id: u64| {
        let mut scene = crashed.copy();
        scene.boot_id = boot_id;
        scene.overwrite(at.get(), &[0; 1100]);
        scene
    };
    for at in [second[0], second[2]] {
        let scene = hole(at, 2);
        let store = scene.open().unwrap();
        let report = store.recovery_report();
        assert_eq!(report.end_offset, at);
        assert!(report.end_offset >= durable);
        assert_eq!(report.bytes_set_aside, end - ZERO_END - at.get());
        assert!(report.set_aside.is_some() && report.damage.is_some());
        drop(store);

        let same_boot = hole(at, 1);
        let error = same_boot.open().unwrap_err();
        assert_eq!(error.status(), Status::Corruption);
        assert_eq!(error.offset(), Some(at.get()));
        let clean = hole(at, 2);
        std::fs::remove_file(clean.path().join("abort")).unwrap();
        assert_eq!(clean.open().unwrap_err().status(), Status::Corruption);
    }
    let below = hole(first[1], 2);
    assert_eq!(below.open().unwrap_err().status(), Status::Corruption);
    store.close().unwrap();
}

/// What survived a kill may be in the page cache only. Before the next session builds on it, it is
/// forced: each file once; after a clean stop nothing has to be.
#[test]
fn what_survived_a_kill_is_forced_at_opening() {
    let scene = Scene::new(FlushMode::Async);
    let store = scene.open().unwrap();
    fill(&store, 8, 20_000);
    let crashed = scene.copy();
    store.close().unwrap();
    let store = crashed.open().unwrap();
    assert!(!store.recovery_report().clean_stop);
    assert_eq!(crashed.disk.count(Call::SyncData, "commitlog"), 3);
    assert_eq!(store.durable_offset(), store.max_offset());
    store.close().unwrap();
    drop(store);
    crashed.disk.forget_calls();
    let store = crashed.open().unwrap();
    assert!(store.recovery_report().clean_stop);
    assert_eq!(crashed.disk.count(Call::SyncData, "commitlog"), 0);
}

/// R12. Emptying a log reset the flushed position but not the committed one. A log cut down to
/// nothing begins anew with all positions at its start.
#[test]
fn r12_a_log_cut_to_nothing_has_all_positions_at_its_start() {
    for pool in [false, true] {
        let mut scene = Scene::new(FlushMode::Async);
        scene.options.damage_policy = DamagePolicy::Truncate;
        scene.options.transient_store_pool_enable = pool;
        let store = scene.open().unwrap();
        fill(&store, 8, 20_000);
        store.close().unwrap();
        drop(store);
        scene.overwrite(100, b"flip");
        scene.forget_checkpoint();
        let store = scene.open().unwrap();
        let positions = [store.durable_offset(), store.committed_offset(), store.max_offset()];
        assert_eq!(positions, [PhysicalOffset::new(0); 3]);
        let starts = fill(&store, 5, 20_000);
        assert_eq!(starts[0].get(), 0);
        store.close().unwrap();
        assert_eq!(store.durable_offset(), store.max_offset());
        drop(store);
        assert_eq!(bodies(&scene.open().unwrap()).len(), 5);
    }
}

/// Prepared and rolled back transactions have no index in their queue; committed ones do.
#[test]
fn transactions_that_are_not_committed_do_not_count_in_their_queue() {
    let scene = Scene::new(FlushMode::Async);
    let store = scene.open().unwrap();
    let append = |topic, sys_flag| {
        let mut message = Message::new(topic, b"body");
        message.sys_flag = sys_flag;
        store.append(&message).unwrap().queue_offset.get()
    };
    assert_eq!(append("half", 0x4), 0);
    assert_eq!(append("half", 0xC), 0);
    let mixed = [0, 0x4, 0x8, 0xC, 0x8].map(|sys_flag| append("mixed", sys_flag));
    assert_eq!(mixed, [0, 0, 1, 0, 2]);
    let next =
        |store: &Store| ["half", "mixed"].map(|topic| store.next_queue_offset(topic, 0).get());
    assert_eq!(next(&store), [0, 3]);
    store.close().unwrap();
    drop(store);
    let store = scene.open().unwrap();
    assert_eq!(next(&store), [0, 3]);
}

/// A crash while a store was being opened after a crash: the `abort` file of the first was removed
/// before the new one was made. The next opening took the stop for a clean one, refused the hole
/// that the first cut had left as corruption, and did not force what was in the page cache only.
#[test]
fn a_crash_while_a_crashed_store_is_opened_does_not_look_like_a_clean_stop() {
    let scene = Scene::new(FlushMode::Async);
    let store = scene.open().unwrap();
    fill(&store, 1, 1000);
    let crash = scene.copy();
    store.close().unwrap();
    for call in [Call::Create, Call::WriteAt, Call::SyncAll, Call::Rename] {
        crash.disk.fail(call, "abort", Hits::From(1), libc::EIO);
        assert_eq!(crash.open().unwrap_err().os_code(), Some(libc::EIO));
        assert!(crash.path().join("abort").exists(), "{call:?}");
        crash.disk.mend();
    }
    let store = crash.open().unwrap();
    assert!(!store.recovery_report().clean_stop);
    let content = std::fs::read_to_string(crash.path().join("abort")).unwrap();
    assert_eq!(content, std::process::id().to_string());
    assert!(!crash.path().join("abort.tmp").exists());
}

/// The CRC covers the body alone. A power cut that lost a sector of the properties, and kept the
/// next one, left a record that was taken for whole, and was not found by its keys. A zero inside a
/// property is not that.
#[test]
fn a_record_that_lost_a_sector_of_its_properties_is_torn() {
    let scene = Scene::new(FlushMode::Async);
    let store = scene.open().unwrap();
    let value = "v".repeat(2000);
    let with_zero = format!("{}\0{}", "v".repeat(1000), "v".repeat(1000));
    let append = |value: &str| {
        let properties = [("name", value)];
        let message = Message::new("t", b"body").properties(&properties);
        store.append(&message).unwrap()
    };
    let [zero, torn, behind] = [&with_zero, &value, &value].map(|value| append(value));
    let crashed = scene.copy();
    store.close().unwrap();
    let lost = (torn.end_offset().get() - 1500).next_multiple_of(512);
    assert!(zero.end_offset() == torn.physical_offset && lost + 512 < torn.end_offset().get());
    for (last, boot_id) in [(true, 1), (true, 2), (false, 2)] {
        let mut scene = crashed.copy();
        scene.boot_id = boot_id;
        if last {
            let bytes = vec![0; behind.size_bytes as usize];
            scene.overwrite(behind.physical_offset.get(), &bytes);
        }
        let whole = scene.copy().open().unwrap();
        assert_eq!(bodies(&whole).len(), if last { 2 } else { 3 });
        scene.overwrite(lost, &[0; 512]);
        let store = scene.open().unwrap();
        assert_eq!(store.max_offset(), torn.physical_offset, "{last} {boot_id}");
        let report = store.recovery_report();
        assert!(report.damage.as_ref().is_some_and(|damage| damage.contains("in part")));
        assert!(report.set_aside.is_some());
        assert_eq!(bodies(&store), [b"body"]);
    }
}
