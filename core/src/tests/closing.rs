//! What a clean end promises, and what the checkpoint may claim.

#[cfg(target_os = "linux")]
use std::path::Path;
#[cfg(target_os = "linux")]
use std::time::Duration;

use super::fault_disk::{Call, Hits};
use super::scene::{SEGMENT, Scene, bodies, fill};
use crate::checkpoint::StoreCheckpoint;
use crate::{FlushMode, Message, Status, Store, StoreOptions};

/// F13. Shutdown flushed at most ten files (or one), and then called the stop a clean one.
#[test]
fn f13_closing_flushes_every_file_however_many() {
    for scene in [
        Scene::new(FlushMode::Async),
        Scene::new(FlushMode::Sync),
        Scene::with_pool(FlushMode::Async, 20),
        Scene::with_pool(FlushMode::Async, 1),
    ] {
        let store = scene.open().unwrap();
        let body = vec![b'x'; 30_000];
        for _ in 0..28 {
            let message = Message::new("t", &body).wait_store_ok(false);
            // In a synchronous store nothing is flushed meanwhile either.
            if scene.options.flush_mode == FlushMode::Sync {
                drop(store.append_async(&message).unwrap());
            } else {
                store.append(&message).unwrap();
            }
        }
        assert_eq!(store.max_offset().get() / SEGMENT, 13);
        if scene.options.flush_mode == FlushMode::Async {
            assert_eq!(scene.disk.count(Call::SyncData, "commitlog"), 0);
        }
        store.close().unwrap();
        assert_eq!(store.durable_offset(), store.max_offset());
        for index in 0..14 {
            let name = format!("{:020}", index * SEGMENT);
            assert!(scene.disk.count(Call::SyncData, &name) > 0, "{name} was not synced");
        }
        assert!(!scene.path().join("abort").exists());
        drop(store);
        let store = scene.open().unwrap();
        assert_eq!(bodies(&store).len(), 28);
        assert!(store.recovery_report().clean_stop);
    }
}

/// The file that was made ahead and not used goes away, durably, or closing says that it did not.
#[test]
fn r6_an_unused_file_is_removed_durably_at_the_end() {
    for fails in [None, Some(Call::Remove), Some(Call::SyncDirectory)] {
        let scene = Scene::new(FlushMode::Async);
        let store = scene.open().unwrap();
        fill(&store, 2, 20_000);
        // The next file is made ahead by a thread of its own, which an append wakes at the latest
        // when it is needed. Space in it is the last that is asked for.
        let mut appended = 2;
        while scene.disk.count(Call::Allocate, &format!("{SEGMENT:020}")) == 0 {
            fill(&store, 1, 1);
            appended += 1;
            assert!(store.max_offset().get() < SEGMENT, "no file was made ahead");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        assert!(scene.file(SEGMENT).exists());
        scene.disk.forget_calls();
        if let Some(call) = fails {
            scene.disk.fail(call, "commitlog", Hits::From(1), libc::EIO);
        }
        let closed = store.close();
        assert_eq!(closed.as_ref().err().map(|error| error.status()), fails.map(|_| Status::Io));
        assert_eq!(scene.path().join("abort").exists(), fails.is_some());
        if fails.is_none() {
            assert!(!scene.file(SEGMENT).exists());
            assert_eq!(scene.disk.count(Call::SyncDirectory, "commitlog"), 1);
        }
        scene.disk.mend();
        drop(store);
        assert_eq!(bodies(&scene.open().unwrap()).len(), appended);
    }
}

fn physic_timestamp(scene: &Scene) -> i64 {
    let fields = StoreCheckpoint::read(scene.path()).unwrap();
    fields.unwrap().physic_msg_timestamp_ms
}

/// F15. The checkpoint named times of data that was dispatched but not forced, so after a power cut
/// recovery could begin too late.
#[test]
fn f15_the_checkpoint_is_never_newer_than_what_was_forced() {
    let scene = Scene::new(FlushMode::Async);
    let store = scene.open().unwrap();
    let first = store.append(&Message::new("t", b"1")).unwrap();
    assert_eq!(physic_timestamp(&scene), 0, "nothing was forced yet");
    store.close().unwrap();
    assert_eq!(physic_timestamp(&scene), first.store_timestamp_ms);

    scene.clock.turn_wall(60_000);
    let store = scene.open().unwrap();
    let second = store.append(&Message::new("t", b"2")).unwrap();
    assert!(second.store_timestamp_ms > first.store_timestamp_ms);
    assert_eq!(physic_timestamp(&scene), first.store_timestamp_ms);
    scene.disk.fail(Call::SyncData, "commitlog/", Hits::From(1), libc::EIO);
    assert!(store.close().is_err());
    assert_eq!(physic_timestamp(&scene), first.store_timestamp_ms, "a failed force forces nothing");
    scene.disk.mend();
    drop(store);
    let store = scene.open().unwrap();
    store.close().unwrap();
    assert_eq!(physic_timestamp(&scene), second.store_timestamp_ms);
}

/// F15. The log is forced before the checkpoint that speaks of it is written, and the checkpoint
/// before the mark of an unclean end goes.
#[test]
fn f15_the_log_is_forced_before_the_checkpoint_and_that_before_the_abort_file_goes() {
    for (call, path) in [
        (Call::SyncData, "commitlog/"),
        (Call::WriteAt, "checkpoint"),
        (Call::SyncData, "checkpoint"),
        (Call::Remove, "abort"),
        (Call::SyncDirectory, ""),
    ] {
        let scene = Scene::new(FlushMode::Async);
        let store = scene.open().unwrap();
        store.append(&Message::new("t", b"1")).unwrap();
        scene.disk.forget_calls();
        scene.disk.fail(call, path, Hits::From(1), libc::EIO);
        assert_eq!(store.close().unwrap_err().os_code(), Some(libc::EIO), "{call:?} {path}");
        if path == "commitlog/" {
            // It tells of the failure, and of nothing that was to be forced.
            assert_eq!(physic_timestamp(&scene), 0);
        }
        if path != "abort" && call != Call::SyncDirectory {
            assert_eq!(scene.disk.count(Call::Remove, "abort"), 0);
        }
        scene.disk.mend();
        drop(store);
        assert_eq!(bodies(&scene.open().unwrap()), [b"1"]);
    }
}

/// F16. The checkpoint's fields are neither written at once nor checksummed: a torn one, or one of
/// zeros, must not keep a store from opening, nor make it believe anything.
#[test]
fn f16_a_torn_checkpoint_is_not_believed() {
    let scene = Scene::new(FlushMode::Async);
    let store = scene.open().unwrap();
    fill(&store, 3, 1000);
    let crash = scene.copy();
    store.close().unwrap();
    let whole = std::fs::read(crash.path().join("checkpoint")).unwrap();
    let notes = 2048;
    let mut wrong_size = whole.clone();
    wrong_size[notes + 9] ^= 0x55;
    for bytes in
        [Vec::new(), vec![0; 4096], whole[..39].to_vec(), whole[..notes + 20].to_vec(), wrong_size]
    {
        let scene = crash.copy();
        std::fs::write(scene.path().join("checkpoint"), bytes).unwrap();
        let store = scene.open().unwrap();
        assert_eq!(bodies(&store).len(), 3);
        store.close().unwrap();
        assert_eq!(std::fs::metadata(scene.path().join("checkpoint")).unwrap().len(), 4096);
    }
}

/// The files below a directory that this process has open or mapped.
#[cfg(target_os = "linux")]
fn held(directory: &Path) -> Vec<String> {
    let directory = directory.canonicalize().unwrap().to_str().unwrap().to_owned();
    let descriptors = std::fs::read_dir("/proc/self/fd").unwrap();
    // One that another test closes meanwhile is none of ours.
    let links = descriptors.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    let open: Vec<_> = links.map(|path| path.to_string_lossy().into_owned()).collect();
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let all = open.into_iter().chain(maps.lines().map(str::to_owned));
    all.filter(|line| line.contains(&directory)).collect()
}

/// The key index kept its descriptors, and the slots of its newest file, until the last reference
/// to a closed store was gone; a file system could not be unmounted while a garbage collector had
/// the store.
#[test]
#[cfg(target_os = "linux")]
fn a_closed_store_that_is_still_referred_to_holds_no_file() {
    let directory = tempfile::tempdir().unwrap();
    let mut options = StoreOptions {
        segment_size_bytes: SEGMENT,
        max_hash_slot_num: 10,
        max_index_num: 10,
        ..StoreOptions::default()
    };
    for mode in [FlushMode::Async, FlushMode::Sync] {
        options.flush_mode = mode;
        let store = Store::open(directory.path(), &options).unwrap();
        for _ in 0..25 {
            store.append(&Message::new("t", b"m").keys(&["k"])).unwrap();
        }
        assert!(store.wait_dispatched(store.max_offset(), Duration::from_secs(20)).unwrap());
        let reader = Store::open_reader(directory.path(), &options).unwrap();
        let found = |found: Vec<_>| assert!(found.len() >= 25);
        found(store.query_key("t", "k", 0, i64::MAX, 99).unwrap());
        found(reader.query_key("t", "k", 0, i64::MAX, 99).unwrap());
        assert!(held(directory.path()).iter().any(|line| line.contains("/index/")));
        store.close().unwrap();
        reader.close();
        let left = held(directory.path());
        assert!(!left.iter().any(|line| line.contains("/index/")), "{left:#?}");
        drop(reader);
        assert_eq!(held(directory.path()), [""; 0]);
        drop(store);
    }
}
