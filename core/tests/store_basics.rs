//! The main job: append, read back, close, open again, in every mode.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cairnlog::{AppendLockKind, FlushMode, Message, PhysicalOffset, Status, Store, StoreOptions};

fn small(mode: FlushMode, pool: bool) -> StoreOptions {
    let mut options = StoreOptions::default();
    options.segment_size_bytes = 64 * 1024;
    options.flush_mode = mode;
    options.transient_store_pool_enable = pool;
    options
}

fn bodies(store: &Store) -> Vec<Vec<u8>> {
    let scan = store.scan(store.min_offset()).unwrap();
    scan.map(|message| message.unwrap().body().to_vec()).collect()
}

const MODES: [(FlushMode, bool); 4] = [
    (FlushMode::Async, false),
    (FlushMode::Async, true),
    (FlushMode::Sync, false),
    (FlushMode::Sync, true),
];

#[test]
fn messages_come_back_after_many_rollovers_and_reopenings() {
    for (mode, pool) in MODES {
        let directory = tempfile::tempdir().unwrap();
        let options = small(mode, pool);
        let mut expected = Vec::new();
        for round in 0..3 {
            let store = Store::open(directory.path(), &options).unwrap();
            assert_eq!(store.recovery_report().created, round == 0);
            assert!(store.recovery_report().clean_stop, "{mode:?} pool {pool} round {round}");
            // After a clean stop nothing is walked.
            assert_eq!(store.recovery_report().records, 0);
            for number in 0..200 {
                let body = format!("{round}-{number}-{}", "x".repeat(number * 5)).into_bytes();
                let placed = store
                    .append(&Message::new("orders", &body).queue_id((number % 3) as i32))
                    .unwrap();
                let index = expected.len() as u64;
                assert_eq!(placed.message_count, 1);
                assert!(placed.queue_offset.get() <= index);
                if mode == FlushMode::Sync {
                    assert!(store.durable_offset() >= placed.end_offset());
                }
                expected.push(body);
            }
            store.flush().unwrap();
            assert_eq!(store.durable_offset(), store.max_offset());
            assert_eq!(bodies(&store), expected);
            store.close().unwrap();
            store.close().unwrap();
            assert!(!directory.path().join("abort").exists());
        }
        let store = Store::open(directory.path(), &options).unwrap();
        let next: u64 = (0..3).map(|id| store.next_queue_offset("orders", id).get()).sum();
        assert_eq!(next, expected.len() as u64);
    }
}

#[test]
fn every_lock_kind_keeps_queue_offsets_dense_under_threads() {
    for kind in [AppendLockKind::Spin, AppendLockKind::Mutex, AppendLockKind::Adaptive] {
        let directory = tempfile::tempdir().unwrap();
        let mut options = small(FlushMode::Async, false);
        options.append_lock = kind;
        let store = Store::open(directory.path(), &options).unwrap();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let store = &store;
                scope.spawn(move || {
                    let queue = store.queue("shared", 0).unwrap();
                    for number in 0..500 {
                        let body = format!("{thread} {number}");
                        queue.append(&Message::new("", body.as_bytes())).unwrap();
                    }
                });
            }
        });
        let mut offsets: Vec<u64> = store
            .scan(PhysicalOffset::new(0))
            .unwrap()
            .map(|message| message.unwrap().queue_offset().get())
            .collect();
        assert!(offsets.is_sorted(), "queue order is log order");
        offsets.dedup();
        assert_eq!(offsets.len(), 2000);
        assert_eq!(store.stats().messages, 2000);
    }
}

#[test]
fn illegal_messages_have_a_status_each_and_store_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let mut options = small(FlushMode::Async, false);
    options.max_message_size_bytes = 100_000;
    let store = Store::open(directory.path(), &options).unwrap();
    let long_topic = "t".repeat(256);
    let large = vec![1; 100_001];
    let wide = vec![1; 70_000];
    let long_value = "v".repeat(32_767);
    let cases = [
        (Message::new("", b"b"), Status::TopicEmpty),
        (Message::new(&long_topic, b"b"), Status::TopicTooLong),
        (Message::new("a/b", b"b"), Status::TopicIllegal),
        (Message::new("t", b"b").queue_id(-1), Status::QueueIdIllegal),
        (Message::new("t", b""), Status::BodyEmpty),
        (Message::new("t", &large), Status::BodyTooLarge),
        (Message::new("t", &wide), Status::MessageTooLarge),
        (Message::new("t", b"b").properties(&[("a\u{1}", "v")]), Status::PropertiesIllegal),
        (Message::new("t", b"b").tag("a\u{2}"), Status::PropertiesIllegal),
    ];
    for (message, status) in cases {
        assert_eq!(store.append(&message).unwrap_err().status(), status);
    }
    let properties = [("n", long_value.as_str())];
    let message = Message::new("t", b"b").properties(&properties);
    assert_eq!(store.append(&message).unwrap_err().status(), Status::PropertiesTooLarge);
    assert_eq!(store.max_offset().get(), 0);
    assert_eq!(store.stats().refused, 10);
    store.close().unwrap();
    assert_eq!(store.append(&Message::new("t", b"b")).unwrap_err().status(), Status::StoreClosed);
    assert_eq!(store.flush().unwrap_err().status(), Status::StoreClosed);
    assert_eq!(store.read_at(PhysicalOffset::new(0)).unwrap_err().status(), Status::StoreClosed);
}

#[test]
fn a_follower_sees_what_is_appended_and_ends_with_the_store() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), &small(FlushMode::Async, true)).unwrap();
    let mut scan = store.scan(PhysicalOffset::new(0)).unwrap();
    assert!(scan.next_timeout(Duration::from_millis(1)).unwrap().is_none());
    let count = AtomicUsize::new(0);
    let seen = std::thread::scope(|scope| {
        let follower = scope.spawn(|| {
            let mut seen = Vec::new();
            while let Some(message) = scan.next_timeout(Duration::from_secs(60)).unwrap() {
                seen.push(message);
                count.store(seen.len(), Ordering::Release);
            }
            seen
        });
        for number in 0..1000u32 {
            store.append(&Message::new("t", &number.to_be_bytes())).unwrap();
        }
        while count.load(Ordering::Acquire) < 1000 {
            std::thread::yield_now();
        }
        store.close().unwrap();
        follower.join().unwrap()
    });
    // The views outlive the store.
    for (number, message) in seen.iter().enumerate() {
        assert_eq!(message.body(), (number as u32).to_be_bytes());
    }
    assert_eq!(seen.len(), 1000);
}

#[test]
fn reading_elsewhere_than_at_a_record_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), &small(FlushMode::Async, false)).unwrap();
    let placed = store.append(&Message::new("t", b"body")).unwrap();
    let read = |offset| store.read_at(PhysicalOffset::new(offset)).map(|view| view.body().to_vec());
    assert_eq!(read(0).unwrap(), b"body");
    assert_eq!(read(1).unwrap_err().status(), Status::NotARecord);
    assert_eq!(read(placed.end_offset().get()).unwrap_err().status(), Status::OffsetOutOfRange);
    assert_eq!(read(u64::MAX).unwrap_err().status(), Status::OffsetOutOfRange);
    let mut scan = store.scan(PhysicalOffset::new(3)).unwrap();
    assert_eq!(scan.next().unwrap().unwrap_err().status(), Status::NotARecord);
    let batch = store.read_log(PhysicalOffset::new(0), 10, 1).unwrap();
    assert_eq!(batch.messages().len(), 1);
    assert_eq!(batch.next_offset(), placed.end_offset());
    let batch = store.read_log(batch.next_offset(), 10, 1).unwrap();
    assert!(batch.messages().is_empty());
}

#[test]
fn a_second_opener_is_refused_and_nothing_is_made_without_leave() {
    let directory = tempfile::tempdir().unwrap();
    let path: &Path = directory.path();
    let mut options = small(FlushMode::Async, false);
    options.create_if_missing = false;
    assert_eq!(Store::open(path, &options).unwrap_err().status(), Status::StoreNotFound);
    assert_eq!(std::fs::read_dir(path).unwrap().count(), 0);
    options.create_if_missing = true;
    let store = Store::open(path, &options).unwrap();
    let error = Store::open(path, &options).unwrap_err();
    assert_eq!(error.status(), Status::StoreLocked);
    assert!(error.to_string().contains(&std::process::id().to_string()), "{error}");
    drop(store);
    Store::open(path, &options).unwrap().close().unwrap();
}

/// A follower with messages left to read when the store was closed never returned: their files were
/// gone, and the wait for more ended at once, again and again.
#[test]
fn a_follower_that_lags_ends_with_the_store() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), &small(FlushMode::Async, false)).unwrap();
    let mut scan = store.scan(PhysicalOffset::new(0)).unwrap();
    let body = vec![1; 20_000];
    for _ in 0..10 {
        store.append(&Message::new("t", &body)).unwrap();
    }
    assert!(scan.next_timeout(Duration::ZERO).unwrap().is_some());
    store.close().unwrap();
    let mut left = 0;
    while scan.next_timeout(Duration::from_secs(60)).unwrap().is_some() {
        left += 1;
    }
    assert_eq!(left, 2, "those in the file the scan had pinned");
}
