//! Retention through the public interface: while others append, read and wait, and over reopening.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cairnlog::{
    FlushMode, Message, PhysicalOffset, ReadOutcome, ReadRequest, RemovedFiles, Status, Store,
    StoreOptions,
};

const SEGMENT: u64 = 64 * 1024;

fn small() -> StoreOptions {
    let mut options = StoreOptions::default();
    options.segment_size_bytes = SEGMENT;
    options.consume_queue_file_size_bytes = 400;
    options
}

fn append(store: &Store, count: usize) {
    for _ in 0..count {
        store.append(&Message::new("t", &[7; 1000])).unwrap();
    }
}

#[test]
fn options_have_rocketmq_s_names_and_limits() {
    let text = "fileReservedTime=48\ndeleteWhen=04;16\ndeleteFileBatchMax=3\n\
                deleteCommitLogFilesInterval=5\ncleanResourceInterval=1000\n\
                cleanFileForciblyEnable=false\ndiskMaxUsedSpaceRatio=70\n\
                diskSpaceCleanForciblyRatio=80\ndiskSpaceWarningLevelRatio=88\n";
    let (options, unknown) = StoreOptions::from_properties(text).unwrap();
    assert!(unknown.is_empty());
    assert!(!options.retention_enable, "removing by itself must be asked for");
    assert_eq!((options.file_reserved_time_hours, &*options.delete_when), (48, "04;16"));
    assert_eq!(options.delete_file_batch_max, 3);
    assert_eq!(options.delete_commit_log_files_interval_ms, 5);
    assert_eq!(options.clean_resource_interval_ms, 1000);
    assert!(!options.clean_file_forcibly_enable);
    let ratios = (
        options.disk_max_used_space_ratio,
        options.disk_space_clean_forcibly_ratio,
        options.disk_space_warning_ratio,
    );
    assert_eq!(ratios, (70, 80, 88));
    options.validate().unwrap();
    for (name, value) in [
        ("file_reserved_time_hours", "8760001"),
        ("delete_when", "24"),
        ("disk_max_used_space_ratio", "9"),
        ("disk_max_used_space_ratio", "96"),
        ("disk_space_clean_forcibly_ratio", "86"),
        ("disk_space_warning_ratio", "91"),
        ("disk_space_warning_ratio", "34"),
    ] {
        let mut options = StoreOptions::default();
        options.set(name, value).unwrap();
        let error = options.validate().unwrap_err();
        assert_eq!(error.status(), Status::InvalidArgument);
        assert!(error.to_string().contains(name), "{error}");
    }
    let mut options = StoreOptions::default();
    options.delete_file_batch_max = 0;
    assert_eq!(options.validate().unwrap_err().status(), Status::InvalidArgument);
}

#[test]
fn expired_files_go_when_asked_and_stay_gone() {
    let directory = tempfile::tempdir().unwrap();
    let mut options = small();
    let store = Store::open(directory.path(), &options).unwrap();
    append(&store, 200);
    store.flush().unwrap();
    assert!(store.wait_dispatched(store.max_offset(), Duration::from_secs(10)).unwrap());
    assert_eq!(store.remove_expired().unwrap(), RemovedFiles::default());
    store.close().unwrap();
    assert_eq!(store.remove_expired().unwrap_err().status(), Status::StoreClosed);
    options.file_reserved_time_hours = 0;
    let store = Store::open(directory.path(), &options).unwrap();
    let removed = store.remove_expired().unwrap();
    assert_eq!(removed, RemovedFiles { files: 3, bytes: 3 * SEGMENT });
    let (min, range) = (store.min_offset(), store.queue_range("t", 0).unwrap().unwrap());
    assert_eq!((min.get(), range.end.get()), (3 * SEGMENT, 200));
    assert!(range.start.get() > 150, "{range:?}");
    store.close().unwrap();
    let store = Store::open(directory.path(), &options).unwrap();
    assert_eq!(store.min_offset(), min);
    assert_eq!(store.queue_range("t", 0).unwrap().unwrap(), range);
    assert_eq!(store.next_queue_offset("t", 0).get(), 200);
}

/// Reads a queue from its beginning for as long as the store is written. Retention may overtake
/// it, which it must be told; every message that it does get must be the one it asked for.
fn read_queue(store: &Store, done: &AtomicBool) -> u64 {
    let (mut offset, mut read) = (0, 0);
    while !done.load(Ordering::Acquire) {
        let batch = store.read(&ReadRequest::new("t", 0, offset).max_messages(3)).unwrap();
        match batch.outcome() {
            ReadOutcome::Found => {
                for message in batch.messages() {
                    assert!(message.queue_offset().to_i64() >= offset);
                    assert_eq!(message.body(), [7; 1000]);
                }
                read += batch.messages().len() as u64;
            }
            ReadOutcome::OffsetTooSmall
            | ReadOutcome::MessageWasRemoving
            | ReadOutcome::OffsetFoundNull => assert!(batch.next_offset() > offset),
            ReadOutcome::OffsetOverflowOne | ReadOutcome::NoMatchedLogicQueue => {}
            other => panic!("{other:?} at {offset}"),
        }
        offset = batch.next_offset();
    }
    read
}

/// Scans the log again and again, and holds on to views of what is removed meanwhile.
fn scan_log(store: &Store, done: &AtomicBool) -> u64 {
    let (mut overtaken, mut held) = (0, Vec::new());
    while !done.load(Ordering::Acquire) {
        let Ok(mut scan) = store.scan(store.min_offset()) else {
            overtaken += 1;
            continue;
        };
        loop {
            match scan.next_timeout(Duration::from_millis(1)) {
                Ok(Some(message)) => {
                    if message.queue_offset().get() % 50 == 0 {
                        held.push(message);
                    }
                }
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(error.status(), Status::OffsetOutOfRange, "{error}");
                    overtaken += 1;
                    break;
                }
            }
        }
    }
    assert!(held.iter().all(|message| message.body() == [7; 1000]));
    overtaken
}

#[test]
fn files_go_while_others_append_read_and_scan() {
    let directory = tempfile::tempdir().unwrap();
    let mut options = small();
    options.flush_mode = FlushMode::Async;
    options.flush_interval_ms = 5;
    options.flush_consume_queue_interval_ms = 5;
    options.max_total_bytes = 4 * SEGMENT;
    let store = Store::open(directory.path(), &options).unwrap();
    let done = AtomicBool::new(false);
    let count = 20_000;
    let read = std::thread::scope(|scope| {
        let reader = scope.spawn(|| read_queue(&store, &done));
        let scanner = scope.spawn(|| scan_log(&store, &done));
        let limiter = scope.spawn(|| {
            let mut files = 0;
            while !done.load(Ordering::Acquire) {
                files += store.remove_expired().unwrap().files;
                std::thread::sleep(Duration::from_millis(1));
            }
            files
        });
        let cutter = scope.spawn(|| {
            let mut files = 0;
            while !done.load(Ordering::Acquire) {
                let end = store.max_offset().get().saturating_sub(3 * SEGMENT);
                files += store.remove_before(PhysicalOffset::new(end)).unwrap().files;
                std::thread::sleep(Duration::from_millis(2));
            }
            files
        });
        let appender = scope.spawn(|| {
            for number in 0..count {
                store.append(&Message::new("t", &[7; 1000])).unwrap();
                if number % 500 == 0 {
                    store.append(&Message::new("rare", &[7; 1000])).unwrap();
                }
            }
            done.store(true, Ordering::Release);
        });
        appender.join().unwrap();
        let read = reader.join().unwrap();
        scanner.join().unwrap();
        assert!(limiter.join().unwrap() + cutter.join().unwrap() > 0);
        read
    });
    assert!(read > 0);
    assert_eq!(store.dispatch_error().map(|error| error.to_string()), None);
    store.flush().unwrap();
    assert!(store.wait_dispatched(store.max_offset(), Duration::from_secs(10)).unwrap());
    store.remove_expired().unwrap();
    assert!(store.max_offset().get() - store.min_offset().get() <= 4 * SEGMENT);
    let rare = store.queue_range("rare", 0).unwrap().unwrap();
    assert_eq!(rare.end.get(), 40);
    store.close().unwrap();
    let bytes: u64 = std::fs::read_dir(directory.path().join("commitlog"))
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum();
    assert!(bytes <= 5 * SEGMENT, "{bytes}");
    let store = Store::open(directory.path(), &small()).unwrap();
    assert_eq!(store.recovery_report().damage, None);
    assert_eq!(store.queue_range("rare", 0).unwrap().unwrap(), rare);
    assert_eq!(store.next_queue_offset("t", 0).get(), count);
    let mut scanned = store.scan(store.min_offset()).unwrap().map(Result::unwrap);
    let first = scanned.find(|message| message.topic() == "t").unwrap();
    let range = store.queue_range("t", 0).unwrap().unwrap();
    assert_eq!(range, first.queue_offset()..cairnlog::QueueOffset::new(count));
}
