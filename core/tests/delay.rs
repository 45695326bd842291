//! Delayed messages, as a program sees them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use cairnlog::{
    EncodedBatch, FlushMode, Message, QueueOffset, ReadRequest, Status, Store, StoreOptions,
    Topics, encode_batch_item,
};

const PATIENCE: Duration = Duration::from_secs(60);

fn options(mode: FlushMode) -> StoreOptions {
    let mut options = StoreOptions::default();
    options.segment_size_bytes = 1 << 20;
    options.flush_mode = mode;
    // The first level needs no waiting, the second is never reached.
    options.message_delay_level = "0s 10d".to_owned();
    options
}

fn bodies(store: &Store, topic: &str, queue_id: i32) -> Vec<Vec<u8>> {
    let batch = store.read(&ReadRequest::new(topic, queue_id, 0)).unwrap();
    batch.messages().iter().map(|message| message.body().to_vec()).collect()
}

/// Waits until so many were delivered, and no more: a message is counted after it is there.
fn wait_delivered(store: &Store, expected: u64) {
    let deadline = std::time::Instant::now() + PATIENCE;
    while store.stats().delayed_delivered < expected && std::time::Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(store.stats().delayed_delivered, expected);
}

#[test]
fn delayed_messages_come_to_their_queue_by_themselves() {
    for mode in [FlushMode::Async, FlushMode::Sync] {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), &options(mode)).unwrap();
        let queue = store.queue("orders", 4).unwrap();
        let pair = [("DELAY", "1"), ("shop", "north")];
        store.append(&Message::new("orders", b"field").queue_id(4).delay_level(1)).unwrap();
        store.append(&Message::new("orders", b"pair").queue_id(4).properties(&pair)).unwrap();
        let placed = queue.append(&Message::new("", b"handle").delay_level(1)).unwrap();
        assert_eq!((placed.queue_id, placed.queue_offset.get()), (0, 2));
        queue.append(&Message::new("", b"much later").delay_level(99)).unwrap();
        assert!(store.wait_message("orders", 4, QueueOffset::new(2), PATIENCE).unwrap());
        assert_eq!(bodies(&store, "orders", 4), [&b"field"[..], b"pair", b"handle"]);
        // A level that is too high counts as the highest.
        let first = QueueOffset::new(0);
        assert!(store.wait_message("SCHEDULE_TOPIC_XXXX", 1, first, PATIENCE).unwrap());
        assert_eq!(bodies(&store, "SCHEDULE_TOPIC_XXXX", 1), [b"much later"]);
        let late = store.read(&ReadRequest::new("SCHEDULE_TOPIC_XXXX", 1, 0)).unwrap();
        assert_eq!(late.messages()[0].property("DELAY").unwrap(), "2");
        wait_delivered(&store, 3);
        store.close().unwrap();
        let store = Store::open(directory.path(), &options(mode)).unwrap();
        store.append(&Message::new("orders", b"after").queue_id(4).delay_level(1)).unwrap();
        assert!(store.wait_message("orders", 4, QueueOffset::new(3), PATIENCE).unwrap());
        assert_eq!(bodies(&store, "orders", 4), [&b"field"[..], b"pair", b"handle", b"after"]);
    }
}

/// A broker serves only the topics it is told of: one that went on with a store whose only message
/// of a topic was still waiting, or not committed, delivered it to a topic that nobody could read.
#[test]
fn a_topic_is_known_as_soon_as_a_message_is_to_come_to_it() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), &options(FlushMode::Async)).unwrap();
    store.append(&Message::new("orders", b"late").queue_id(11).delay_level(2)).unwrap();
    let queue = store.queue("returns", 1).unwrap();
    queue.append(&Message::new("", b"late").delay_level(2)).unwrap();
    store.begin_transaction(&Message::new("sales", b"open").queue_id(9)).unwrap();
    store.append(&Message::new("refused", b"").delay_level(2)).unwrap_err();
    store.close().unwrap();
    let topics = Topics::read(directory.path()).unwrap();
    let queues = |topic| topics.get(topic).map(|config| config.read_queue_nums);
    assert_eq!((queues("orders"), queues("returns")), (Some(12), Some(8)));
    assert_eq!((queues("sales"), queues("refused")), (Some(10), None));
    let store = Store::open(directory.path(), &options(FlushMode::Async)).unwrap();
    assert_eq!(store.queue_range("orders", 11).unwrap(), None);
}

#[test]
fn only_what_asks_for_a_delay_is_delayed() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), &options(FlushMode::Async)).unwrap();
    let is_delayed = |message: &Message<'_>| {
        let placed = store.append(message).unwrap();
        store.read_at(placed.physical_offset).unwrap().topic() == "SCHEDULE_TOPIC_XXXX"
    };
    let plain = Message::new("t", b"b");
    assert!(!is_delayed(&plain));
    for (level, delayed) in [("0", false), ("-3", false), ("2", true), ("2147483647", true)] {
        assert_eq!(is_delayed(&plain.properties(&[("DELAY", level)])), delayed, "{level}");
    }
    // Of a name that occurs twice the last counts, and the field before both.
    assert!(!is_delayed(&plain.properties(&[("DELAY", "2"), ("DELAY", "0")])));
    assert!(is_delayed(&plain.properties(&[("DELAY", "0")]).delay_level(2)));
    for (sys_flag, delayed) in [(0x0, true), (0x4, false), (0x8, true), (0xC, false)] {
        let message = Message { sys_flag, ..plain.delay_level(2) };
        assert_eq!(is_delayed(&message), delayed, "{sys_flag}");
    }
    let error = store.append(&plain.properties(&[("DELAY", "soon")])).unwrap_err();
    assert_eq!(error.status(), Status::PropertiesIllegal);
    assert_eq!(
        store.append(&Message::new("t", b"").delay_level(1)).unwrap_err().status(),
        Status::BodyEmpty
    );
    let mut items = Vec::new();
    encode_batch_item(&mut items, 0, b"item", &[]).unwrap();
    let batch = EncodedBatch { shared: plain.delay_level(1), items: &items };
    assert_eq!(store.append_batch(&batch).unwrap_err().status(), Status::BatchIllegal);
}

#[test]
fn many_messages_of_many_levels_all_come_once_and_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let mut options = options(FlushMode::Async);
    options.message_delay_level = ["0s"; 20].join(" ");
    let store = Store::open(directory.path(), &options).unwrap();
    const EACH: u32 = 1000;
    std::thread::scope(|scope| {
        for level in 1..=20u32 {
            let store = &store;
            scope.spawn(move || {
                for number in 0..EACH {
                    let body = number.to_be_bytes();
                    let queue_id = level.cast_signed();
                    let message = Message::new("t", &body).queue_id(queue_id).delay_level(level);
                    store.append(&message).unwrap();
                }
            });
        }
    });
    for level in 1..=20 {
        let last = QueueOffset::new(u64::from(EACH) - 1);
        assert!(store.wait_message("t", level, last, PATIENCE).unwrap(), "level {level}");
        let mut next = 0i64;
        while next < i64::from(EACH) {
            let batch = store.read(&ReadRequest::new("t", level, next).max_messages(100)).unwrap();
            for message in batch.messages() {
                assert_eq!(message.body(), (next as u32).to_be_bytes());
                next += 1;
            }
        }
    }
    wait_delivered(&store, 20_000);
    store.close().unwrap();
}
