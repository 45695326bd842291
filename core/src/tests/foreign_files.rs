//! Directories that are no store: the error names the file, and nothing is changed.

use std::path::Path;

use super::fault_disk::{Call, Hits};
use super::scene::{SEGMENT, Scene, assert_unchanged, bodies, fill, snapshot};
use crate::{FlushMode, LogReader, Status, Store};

/// A closed store with three files in its log.
fn three_files() -> Scene {
    let scene = Scene::new(FlushMode::Async);
    let store = scene.open().unwrap();
    fill(&store, 8, 20_000);
    assert_eq!(store.max_offset().get() / SEGMENT, 2);
    store.close().unwrap();
    scene
}

#[track_caller]
fn assert_refused(scene: &Scene, status: Status, path: &Path) {
    let before = snapshot(scene.path());
    let error = scene.open().unwrap_err();
    assert_eq!(error.status(), status, "{error}");
    assert_eq!(error.path(), Some(path), "{error}");
    assert!(error.to_string().contains(&*path.to_string_lossy()));
    assert_unchanged(&before, &snapshot(scene.path()));
}

/// As `assert_refused`, and the calls that only read say the same.
#[track_caller]
fn assert_refused_everywhere(scene: &Scene, status: Status, path: &Path) {
    assert_refused(scene, status, path);
    let planned = Store::plan_recovery(scene.path(), &scene.options).unwrap_err();
    assert_eq!((planned.status(), planned.path()), (status, Some(path)));
    let read = LogReader::open(scene.path()).unwrap_err();
    assert_eq!((read.status(), read.path()), (status, Some(path)));
}

#[test]
fn a_foreign_file_is_named() {
    for name in [
        "notes.txt",
        "0000000000000000000",
        "000000000000000000000",
        "-0000000000000000001",
        "+0000000000000000001",
        "99999999999999999999",
        ".00000000000000000000.swp",
    ] {
        let scene = three_files();
        let path = scene.path().join("commitlog").join(name);
        std::fs::write(&path, b"mine").unwrap();
        assert_refused_everywhere(&scene, Status::ForeignFile, &path);
    }
}

#[test]
fn a_file_of_another_size_is_named() {
    for (start, size) in [
        (0, SEGMENT / 2),
        (SEGMENT, SEGMENT - 1),
        (SEGMENT, 0),
        (2 * SEGMENT, SEGMENT + 4096),
        (2 * SEGMENT, 1),
    ] {
        let scene = three_files();
        let file = std::fs::OpenOptions::new().write(true).open(scene.file(start)).unwrap();
        file.set_len(size).unwrap();
        assert_refused_everywhere(&scene, Status::WrongFileSize, &scene.file(start));
    }
}

/// With one file left, only the checkpoint knows its right size.
#[test]
fn a_single_file_of_another_size_is_named() {
    let scene = Scene::new(FlushMode::Async);
    let store = scene.open().unwrap();
    fill(&store, 1, 100);
    store.close().unwrap();
    for size in [2 * SEGMENT, SEGMENT / 2] {
        let file = std::fs::OpenOptions::new().write(true).open(scene.file(0)).unwrap();
        file.set_len(size).unwrap();
        assert_refused(&scene, Status::WrongFileSize, &scene.file(0));
    }
}

/// RocketMQ loads a log with a missing middle file, and answers reads with a later message.
#[test]
fn a_missing_middle_file_is_named() {
    let scene = three_files();
    std::fs::remove_file(scene.file(SEGMENT)).unwrap();
    assert_refused_everywhere(&scene, Status::MissingFile, &scene.file(2 * SEGMENT));
    let error = scene.open().unwrap_err();
    assert!(error.to_string().contains(&format!("{SEGMENT:020}")), "{error}");
}

#[test]
fn a_file_whose_name_is_no_multiple_of_the_size_is_named() {
    let scene = three_files();
    let wrong = scene.file(2 * SEGMENT + 4096);
    std::fs::rename(scene.file(2 * SEGMENT), &wrong).unwrap();
    assert_refused_everywhere(&scene, Status::ForeignFile, &wrong);
}

#[test]
fn a_file_that_exists_in_two_directories_is_named() {
    let mut scene = three_files();
    let other = scene.path().join("other");
    std::fs::create_dir(&other).unwrap();
    let name = format!("{SEGMENT:020}");
    std::fs::copy(scene.file(SEGMENT), other.join(&name)).unwrap();
    scene.options.commit_log_paths = vec![scene.path().join("commitlog"), other.clone()];
    assert_refused(&scene, Status::ForeignFile, &other.join(name));
}

#[test]
fn what_cannot_be_read_is_named() {
    for (call, path) in [
        (Call::List, "commitlog".to_owned()),
        (Call::Open, format!("commitlog/{SEGMENT:020}")),
        (Call::Open, "checkpoint".to_owned()),
    ] {
        let scene = three_files();
        scene.disk.fail(call, &path, Hits::From(1), libc::EACCES);
        assert_refused(&scene, Status::PermissionDenied, &scene.path().join(&path));
    }
    for (call, path) in [
        (Call::ReadAt, "checkpoint".to_owned()),
        (Call::Map, format!("commitlog/{:020}", 0)),
        (Call::DataRanges, format!("commitlog/{:020}", 2 * SEGMENT)),
    ] {
        let scene = three_files();
        scene.disk.fail(call, &path, Hits::From(1), libc::EIO);
        assert_refused(&scene, Status::Io, &scene.path().join(&path));
    }
}

/// What other programs may leave there is passed over: a directory, and the file of length zero
/// that a creation leaves which was cut short.
#[test]
fn what_does_no_harm_is_passed_over() {
    let scene = three_files();
    std::fs::create_dir(scene.path().join("commitlog/sub")).unwrap();
    std::fs::write(scene.file(3 * SEGMENT), b"").unwrap();
    std::fs::write(scene.path().join("notes.txt"), b"mine").unwrap();
    let store = scene.open().unwrap();
    assert_eq!(bodies(&store).len(), 8);
    fill(&store, 5, 20_000);
    assert!(store.max_offset().get() > 3 * SEGMENT);
    store.close().unwrap();
    assert_eq!(bodies(&scene.open().unwrap()).len(), 13);
    assert!(scene.path().join("notes.txt").exists());
}

/// A log whose first files retention removed is whole.
#[test]
fn a_log_may_begin_anywhere() {
    let scene = three_files();
    std::fs::remove_file(scene.file(0)).unwrap();
    let store = scene.open().unwrap();
    assert_eq!(store.min_offset().get(), SEGMENT);
    assert_eq!(bodies(&store).len(), 5);
    assert_eq!(store.next_queue_offset("t", 0).get(), 8);
    assert_eq!(
        store.read_at(crate::PhysicalOffset::new(0)).unwrap_err().status(),
        Status::OffsetOutOfRange
    );
}
