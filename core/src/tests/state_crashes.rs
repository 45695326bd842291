//! State files on a disk that fails: whichever call fails, and whether or not the process goes on,
//! a complete content stays readable.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use super::fault_disk::{Call, FaultDisk, Hits};
use crate::{ConsumerOffsets, QueueOffset, Result, Status};

const MAIN: &str = "consumerOffset.json";
const BACKUP: &str = "consumerOffset.json.bak";
/// The calls a write makes.
const CALLS: [Call; 6] = [
    Call::CreateDirectory,
    Call::SyncDirectory,
    Call::Create,
    Call::WriteAt,
    Call::SyncAll,
    Call::Rename,
];

/// What is in the directory before the write.
#[derive(Debug, Clone, Copy)]
enum Before {
    Nothing,
    Main,
    MainAndBackup,
    /// RocketMQ was interrupted while it wrote in place.
    TornMainAndBackup,
    /// An earlier write was interrupted.
    BackupAndTemporary,
}

const ALL_BEFORE: [Before; 5] = [
    Before::Nothing,
    Before::Main,
    Before::MainAndBackup,
    Before::TornMainAndBackup,
    Before::BackupAndTemporary,
];

impl Before {
    fn lay(self, store: &Path) {
        let config = store.join("config");
        let put = |name: &str, text: &str| {
            fs::create_dir_all(&config).unwrap();
            fs::write(config.join(name), text).unwrap();
        };
        let (old, older) = (r#"{"offsetTable":{"t@g":{0:7}}}"#, r#"{"offsetTable":{"t@g":{0:6}}}"#);
        match self {
            Self::Nothing => {}
            Self::Main => put(MAIN, old),
            Self::MainAndBackup => {
                put(MAIN, old);
                put(BACKUP, older);
            }
            Self::TornMainAndBackup => {
                put(MAIN, &old[..20]);
                put(BACKUP, old);
            }
            Self::BackupAndTemporary => {
                put(BACKUP, old);
                put("consumerOffset.json.tmp", "{");
            }
        }
    }

    fn old(self) -> Option<u64> {
        (!matches!(self, Self::Nothing)).then_some(7)
    }
}

fn next(store: &Path) -> Option<u64> {
    ConsumerOffsets::read(store).unwrap().get("g", "t", 0).map(QueueOffset::get)
}

fn load(disk: &FaultDisk, store: &Path) -> Result<ConsumerOffsets> {
    ConsumerOffsets::load(Arc::new(disk.clone()), store)
}

/// Writes 8 once undisturbed and says how often it made a call.
fn undisturbed(before: Before, call: Call) -> u64 {
    let store = tempfile::tempdir().unwrap();
    before.lay(store.path());
    let disk = FaultDisk::default();
    disk.write_short(".tmp", 50);
    let offsets = load(&disk, store.path()).unwrap();
    offsets.commit("g", "t", 0, QueueOffset::new(8));
    assert!(offsets.persist().unwrap());
    assert_eq!(next(store.path()), Some(8));
    assert!(!store.path().join("config/consumerOffset.json.tmp").exists());
    disk.count(call, "") as u64
}

/// R11. RocketMQ rewrites the file in place, unsynced: a crash can leave neither it nor a `.bak`
/// with what was last saved. Here every call of a write fails once, and nothing after it happens.
#[test]
fn r11_a_crash_at_any_call_leaves_the_old_or_the_new_content() {
    let mut crashes = 0;
    for before in ALL_BEFORE {
        for call in CALLS {
            for nth in 1..=undisturbed(before, call) {
                let store = tempfile::tempdir().unwrap();
                before.lay(store.path());
                let disk = FaultDisk::default();
                disk.write_short(".tmp", 50);
                let offsets = load(&disk, store.path()).unwrap();
                disk.fail(call, "", Hits::From(nth), libc::EIO);
                disk.fail(Call::Remove, "", Hits::Nth(1), libc::EIO);
                offsets.commit("g", "t", 0, QueueOffset::new(8));
                let error = offsets.persist().unwrap_err();
                assert_eq!(error.status(), Status::Io);
                let found = next(store.path());
                let at = format!("{before:?} {call:?} {nth}");
                assert!(found == before.old() || found == Some(8), "{at}: {found:?}");
                crashes += 1;
            }
        }
    }
    assert!(crashes >= 50, "{crashes}");
}

#[test]
fn after_a_failed_write_the_next_one_succeeds() {
    for before in ALL_BEFORE {
        for call in CALLS {
            for nth in 1..=undisturbed(before, call) {
                let store = tempfile::tempdir().unwrap();
                before.lay(store.path());
                let disk = FaultDisk::default();
                disk.write_short(".tmp", 50);
                let offsets = load(&disk, store.path()).unwrap();
                disk.fail(call, "", Hits::Nth(nth), libc::ENOSPC);
                offsets.commit("g", "t", 0, QueueOffset::new(8));
                let error = offsets.persist().unwrap_err();
                assert_eq!(error.status(), Status::DiskFull);
                assert!(!store.path().join("config/consumerOffset.json.tmp").exists());
                assert!(offsets.is_dirty());
                let later = offsets.get("g", "t", 0).map(QueueOffset::get);
                assert_eq!(later, Some(8), "{before:?} {call:?} {nth}");
                assert!(offsets.persist().unwrap());
                assert_eq!(next(store.path()), Some(8));
                assert!(!offsets.persist().unwrap());
            }
        }
    }
}

#[test]
fn nothing_takes_the_place_of_the_file_before_it_is_synced() {
    let store = tempfile::tempdir().unwrap();
    Before::MainAndBackup.lay(store.path());
    let disk = FaultDisk::default();
    let offsets = load(&disk, store.path()).unwrap();
    disk.fail(Call::SyncAll, ".tmp", Hits::Nth(1), libc::EIO);
    offsets.commit("g", "t", 0, QueueOffset::new(8));
    assert_eq!(offsets.persist().unwrap_err().status(), Status::Io);
    assert_eq!(disk.count(Call::Rename, ""), 0);
    disk.forget_calls();
    assert!(offsets.persist().unwrap());
    let config = store.path().join("config");
    let renamed = disk.calls(Call::Rename, "");
    assert_eq!(renamed, [config.join(BACKUP), config.join(MAIN)]);
    assert_eq!(disk.calls(Call::SyncDirectory, ""), [config]);
}

/// The older content would be taken for the newest one, and written as such.
#[test]
fn a_file_that_cannot_be_read_is_an_error_and_not_a_reason_for_the_backup() {
    let store = tempfile::tempdir().unwrap();
    Before::MainAndBackup.lay(store.path());
    for call in [Call::Open, Call::ReadAt] {
        let disk = FaultDisk::default();
        disk.fail(call, MAIN, Hits::Nth(1), libc::EIO);
        let error = load(&disk, store.path()).unwrap_err();
        assert_eq!((error.status(), error.os_code()), (Status::Io, Some(libc::EIO)));
        assert!(load(&disk, store.path()).is_ok());
    }
}

#[test]
fn offsets_are_committed_while_the_file_is_written() {
    let store = tempfile::tempdir().unwrap();
    let disk = FaultDisk::default();
    let offsets = load(&disk, store.path()).unwrap();
    offsets.commit("g", "t", 0, QueueOffset::new(1));
    let gate = disk.hold(Call::SyncAll, ".tmp", Hits::Nth(1));
    thread::scope(|scope| {
        let first = scope.spawn(|| offsets.persist());
        gate.wait_for_call();
        offsets.commit("g", "t", 0, QueueOffset::new(2));
        assert_eq!(offsets.get("g", "t", 0), Some(QueueOffset::new(2)));
        assert!(offsets.is_dirty());
        assert_eq!(disk.count(Call::Rename, ""), 0, "they waited for the write");
        let second = scope.spawn(|| offsets.persist());
        gate.open();
        assert!(first.join().unwrap().unwrap());
        assert!(second.join().unwrap().unwrap());
    });
    assert_eq!(next(store.path()), Some(2));
    assert!(!offsets.is_dirty());
    assert_eq!(disk.count(Call::Create, ".tmp"), 2);
}

/// One process reads while another writes: at no moment is there nothing, or half of it.
#[test]
fn a_reader_beside_the_writer_always_finds_a_content() {
    let store = tempfile::tempdir().unwrap();
    Before::Main.lay(store.path());
    let offsets = load(&FaultDisk::default(), store.path()).unwrap();
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for offset in 8..200 {
                offsets.commit("g", "t", 0, QueueOffset::new(offset));
                assert!(offsets.persist().unwrap());
            }
        });
        while !writer.is_finished() {
            assert!(next(store.path()) >= Some(7));
        }
        writer.join().unwrap();
    });
    assert_eq!(next(store.path()), Some(199));
}
