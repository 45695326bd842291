//! The append path takes no memory from the heap: not for checking, not for encoding, not for the
//! result. A test binary of its own, because it counts what the allocator is asked for.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod counting;

use std::cell::Cell;
use std::time::Duration;

use cairnlog::{FlushMode, Message, Store, StoreOptions};

use counting::Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    // A thread that is ending has no counter any more.
    let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
}

#[global_allocator]
static ALLOCATOR: Counting = Counting(count);

/// How often this thread asked for memory during `act`.
fn allocations(act: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.with(Cell::get);
    act();
    ALLOCATIONS.with(Cell::get) - before
}

/// Waits once, for what a thread needs for its first wait is allocated then.
fn wait_once() {
    let (mutex, condition) = (parking_lot::Mutex::new(()), parking_lot::Condvar::new());
    condition.wait_for(&mut mutex.lock(), Duration::from_millis(1));
}

fn open(directory: &tempfile::TempDir, mode: FlushMode, record_crc: bool, pool: bool) -> Store {
    let mut options = StoreOptions::default();
    options.segment_size_bytes = 16 << 20;
    options.flush_mode = mode;
    options.append_record_crc = record_crc;
    options.transient_store_pool_enable = pool;
    options.transient_store_pool_size = 2;
    Store::open(directory.path(), &options).unwrap()
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| drop(std::hint::black_box(Box::new(1)))), 1);
    assert_eq!(allocations(|| ()), 0);
}

#[test]
fn an_append_allocates_nothing() {
    wait_once();
    let body = vec![b'x'; 1000];
    let long_topic = "t".repeat(200);
    let properties = [("name", "value"), ("other", "value")];
    for (record_crc, pool) in [(false, false), (true, false), (false, true), (true, true)] {
        let directory = tempfile::tempdir().unwrap();
        let store = open(&directory, FlushMode::Async, record_crc, pool);
        let messages = [
            Message::new("plain", &body),
            Message::new(&long_topic, &body)
                .tag("tag")
                .keys(&["k1", "k2"])
                .properties(&properties)
                .wait_store_ok(false),
            Message::new("delayed", &body).tag("tag").delay_level(18),
            Message::new("delayed", &body).properties(&[("DELAY", "17")]),
            Message {
                born_host: Some("[2001:db8::1]:65535".parse().unwrap()),
                ..Message::new("plain", &body)
            },
        ];
        let queues = messages.map(|message| store.queue(message.topic, 0).unwrap());
        for message in &messages {
            store.append(message).unwrap();
        }
        let count = allocations(|| {
            for _ in 0..500 {
                for (message, queue) in messages.iter().zip(&queues) {
                    store.append(message).unwrap();
                    queue.append(message).unwrap();
                    let (_, pending) = queue.begin_append(message).unwrap();
                    pending.wait().unwrap();
                }
            }
        });
        assert_eq!(count, 0, "record CRC {record_crc}, pool {pool}");
        assert_eq!(store.stats().messages, 7505);
        store.close().unwrap();
    }
}

/// Appends that wait for their sync are counted in `allocation_threads.rs`.
#[test]
fn a_synchronous_append_that_does_not_wait_allocates_nothing() {
    wait_once();
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory, FlushMode::Sync, false, false);
    let message = Message::new("t", b"body");
    store.append(&message).unwrap();
    let unwaited = message.wait_store_ok(false);
    let count = allocations(|| {
        for _ in 0..500 {
            store.append(&unwaited).unwrap();
        }
    });
    assert_eq!(count, 0);
}

/// Reading hands out the mapping: a scan allocates nothing per message.
#[test]
fn a_scan_allocates_nothing() {
    wait_once();
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory, FlushMode::Async, false, false);
    let body = vec![b'x'; 1000];
    for _ in 0..1000 {
        store.append(&Message::new("t", &body).tag("tag").keys(&["k"])).unwrap();
    }
    let mut scan = store.scan(store.min_offset()).unwrap();
    let count = allocations(|| {
        let mut bytes = 0;
        for view in scan.by_ref() {
            let view = view.unwrap();
            assert_eq!(view.topic(), "t");
            assert_eq!(view.tag().as_deref(), Some("tag"));
            bytes += view.body().len();
        }
        assert_eq!(bytes, 1_000_000);
    });
    assert_eq!(count, 0);
}
