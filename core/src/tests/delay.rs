//! Delayed messages under a clock that is turned by hand, on disks that fail, and after kills.

use std::path::Path;
use std::time::Duration;

use super::fault_disk::{Call, Hits};
use super::scene::Scene;
use crate::delay::SCHEDULE_TOPIC;
use crate::{
    AppendResult, FlushMode, Message, PROPERTY_DELAY, PROPERTY_REAL_QUEUE_ID, PROPERTY_REAL_TOPIC,
    ReadRequest, RecordView, Store,
};

const STORED: &str = "config/delayOffset.json";

/// Appends a message with a delay level, and waits until its queue has it.
fn append(store: &Store, body: &[u8], level: u32) -> AppendResult {
    let message = Message::new("orders", body).queue_id(2).tag("a").delay_level(level);
    let placed = store.append(&message).unwrap();
    dispatched(store);
    placed
}

fn dispatched(store: &Store) {
    assert!(store.wait_dispatched(store.max_offset(), Duration::from_secs(30)).unwrap());
}

/// The bodies in a queue of the topic that messages are meant for.
fn arrived(store: &Store) -> Vec<Vec<u8>> {
    dispatched(store);
    let batch = store.read(&ReadRequest::new("orders", 2, 0).max_messages(100)).unwrap();
    batch.messages().iter().map(|message| message.body().to_vec()).collect()
}

/// What is stored of the offset of a level.
fn stored(scene: &Scene, level: i32) -> Option<u64> {
    let disk = std::sync::Arc::new(crate::sys::disk::OsDisk);
    let offsets = crate::state::delay_offsets::DelayOffsets::load(disk, scene.path()).unwrap();
    offsets.get(level).map(|offset| offset.get())
}

fn pairs<'a>(record: &RecordView<'a>) -> Vec<(&'a [u8], &'a [u8])> {
    let mut pairs: Vec<_> = record.properties().collect();
    pairs.sort_unstable();
    pairs
}

/// The same message, delayed here, gives RocketMQ's record. Properties are compared as a set: Java
/// writes them in the order of a hash map.
#[test]
fn a_delayed_record_is_that_of_rocketmq() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/v533-features");
    let manifest = std::fs::read_to_string(root.join("manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    let mut compared = 0;
    for expected in manifest["records"].as_array().unwrap() {
        if expected["topic"] != SCHEDULE_TOPIC {
            continue;
        }
        let mut scene = Scene::new(FlushMode::Async);
        scene.options.store_host = "10.0.0.1:10911".parse().unwrap();
        let stored_at = expected["store_timestamp"].as_i64().unwrap();
        scene.clock.turn_wall(stored_at - 1_700_000_000_000);
        let store = scene.open().unwrap();
        let (offset, size) =
            (expected["physical_offset"].as_u64(), expected["total_size"].as_u64());
        let (offset, size) = (offset.unwrap() as usize, size.unwrap() as usize);
        let file = std::fs::read(root.join("store/commitlog/00000000000000000000")).unwrap();
        let theirs = &file[offset..offset + size];
        let layout = match crate::codec::record::parse(
            theirs,
            offset as u64,
            crate::codec::record::CrcCheck::Verify,
        ) {
            Ok(crate::codec::record::Parsed::Record(layout)) => layout,
            other => panic!("{other:?}"),
        };
        let theirs = RecordView::new(theirs, layout);
        let (level, key) = (theirs.property(PROPERTY_DELAY).unwrap(), theirs.keys()[0].to_string());
        let message = Message {
            born_timestamp_ms: Some(theirs.born_timestamp_ms()),
            born_host: Some(theirs.born_host()),
            ..Message::new("delayed-target", theirs.body())
                .queue_id(3)
                .tag("later")
                .delay_level(level.parse().unwrap())
        };
        let keys = [&key[..]];
        let placed = store.append(&message.keys(&keys)).unwrap();
        dispatched(&store);
        let ours = store.read_at(placed.physical_offset).unwrap();
        let ours = ours.record();
        assert_eq!(pairs(&ours), pairs(&theirs));
        // Up to the properties all is the same, but for where in the log it lies.
        let until = size - theirs.properties_raw().len();
        assert_eq!(ours.bytes()[..28], theirs.bytes()[..28]);
        assert_eq!(ours.bytes()[36..until], theirs.bytes()[36..until]);
        let queue = format!("consumequeue/{SCHEDULE_TOPIC}/{}/{:020}", theirs.queue_id(), 0);
        let unit = std::fs::read(scene.path().join(queue)).unwrap();
        let due = i64::from_be_bytes(unit[12..20].try_into().unwrap());
        assert_eq!(due, expected["tags_code"].as_i64().unwrap());
        compared += 1;
    }
    assert_eq!(compared, 3);
}

#[test]
fn messages_come_in_order_when_their_time_has_come() {
    let scene = Scene::new(FlushMode::Async);
    let store = scene.open().unwrap();
    let born = "10.1.2.3:4567".parse().unwrap();
    let message = Message {
        flag: 7,
        sys_flag: 1,
        born_host: Some(born),
        born_timestamp_ms: Some(55),
        reconsume_times: 3,
        ..Message::new("orders", b"first").queue_id(2).tag("a").keys(&["k"]).delay_level(2)
    };
    let placed = store.append(&message).unwrap();
    assert_eq!((placed.queue_id, placed.queue_offset.get()), (1, 0));
    append(&store, b"second", 2);
    append(&store, b"sooner", 1);
    assert!(arrived(&store).is_empty());
    scene.clock.turn_wall(999);
    assert_eq!(store.deliver_due(), Some(Duration::from_millis(1)));
    assert!(arrived(&store).is_empty());
    scene.clock.turn_wall(1);
    store.deliver_due();
    assert_eq!(arrived(&store), [b"sooner"]);
    scene.clock.turn_wall(3999);
    store.deliver_due();
    assert_eq!(arrived(&store), [b"sooner"]);
    scene.clock.turn_wall(1);
    store.deliver_due();
    assert_eq!(arrived(&store), [&b"sooner"[..], b"first", b"second"]);
    assert_eq!(store.stats().delayed_delivered, 3);
    let found = store.read(&ReadRequest::new("orders", 2, 1).max_messages(1)).unwrap();
    let found = found.messages()[0].record();
    assert_eq!((found.flag(), found.sys_flag(), found.reconsume_times()), (7, 1, 3));
    assert_eq!((found.born_host(), found.born_timestamp_ms()), (born, 55));
    assert_eq!(found.store_timestamp_ms(), placed.store_timestamp_ms + 5000);
    // The properties are those of the record that waited, and do not delay it again.
    let waited = store.read_at(placed.physical_offset).unwrap();
    assert_eq!(found.properties_raw(), waited.properties_raw());
    assert_eq!(found.property(PROPERTY_DELAY).unwrap(), "2");
    assert_eq!(found.property(PROPERTY_REAL_TOPIC).unwrap(), "orders");
    assert_eq!(found.property(PROPERTY_REAL_QUEUE_ID).unwrap(), "2");
    assert_eq!(store.next_queue_offset(SCHEDULE_TOPIC, 1).get(), 2);
}

/// A message that is further away than its level's delay was stored by another clock.
#[test]
fn a_clock_that_is_turned_back_delays_nothing_for_long() {
    let scene = Scene::new(FlushMode::Async);
    let store = scene.open().unwrap();
    append(&store, b"stored before", 3);
    scene.clock.turn_wall(-86_400_000);
    store.deliver_due();
    assert_eq!(arrived(&store), [b"stored before"]);
    // And one that is turned far ahead brings everything at once.
    scene.clock.turn_wall(86_400_000);
    append(&store, b"two hours", 18);
    store.deliver_due();
    assert_eq!(arrived(&store).len(), 1);
    scene.clock.turn_wall(86_400_000);
    store.deliver_due();
    assert_eq!(arrived(&store), [&b"stored before"[..], b"two hours"]);
}

/// Q1. RocketMQ goes on behind a unit whose delivery met an exception: the message is lost. Here
/// the same unit is tried again, with growing pauses, and those behind it wait.
#[test]
fn q1_a_put_that_fails_is_tried_again() {
    let scene = Scene::new(FlushMode::Async);
    let store = scene.open().unwrap();
    // The file will be full, and there is none behind it.
    scene.disk.fail(Call::Create, "65536", Hits::From(1), libc::ENOSPC);
    append(&store, &[1; 40_000], 1);
    append(&store, &[2; 10], 1);
    scene.clock.turn_wall(1000);
    for pause in [100, 200, 400, 800] {
        store.deliver_due();
        assert!(arrived(&store).is_empty());
        scene.clock.pass(pause - 1);
        assert_eq!(store.deliver_due().unwrap(), Duration::from_millis(1));
        scene.clock.pass(1);
    }
    for _ in 0..20 {
        scene.clock.pass(60_000);
        store.deliver_due();
    }
    assert!(store.deliver_due().unwrap() <= Duration::from_secs(60));
    assert_eq!(store.stats().delayed_undeliverable, 0);
    scene.disk.mend();
    scene.clock.pass(60_000);
    store.deliver_due();
    assert_eq!(arrived(&store), [&[1; 40_000][..], &[2; 10]]);
    store.close().unwrap();
}

/// Only what can never be put is passed over: it is counted, and stays in the log.
#[test]
fn what_can_never_be_delivered_holds_nothing_up() {
    let scene = Scene::new(FlushMode::Async);
    let store = scene.open().unwrap();
    let none: &[(&str, &str)] = &[(PROPERTY_DELAY, "1")];
    let own = [(PROPERTY_DELAY, "1"), (PROPERTY_REAL_TOPIC, SCHEDULE_TOPIC), ("REAL_QID", "0")];
    let illegal = [(PROPERTY_DELAY, "1"), (PROPERTY_REAL_TOPIC, "a/b"), ("REAL_QID", "0")];
    let negative = [(PROPERTY_DELAY, "1"), (PROPERTY_REAL_TOPIC, "t"), ("REAL_QID", "-1")];
    for properties in [none, &own, &illegal, &negative] {
        let message = Message::new(SCHEDULE_TOPIC, b"lost").properties(properties);
        store.append(&message).unwrap();
    }
    let damaged = append(&store, b"damaged", 1);
    append(&store, b"good", 1);
    let body = store.read_at(damaged.physical_offset).unwrap().record().bytes().len() as u64;
    let record = damaged.physical_offset.get()..damaged.physical_offset.get() + body;
    let at = scene.bytes(record.clone()).windows(7).position(|part| part == b"damaged").unwrap();
    scene.overwrite(record.start + at as u64, b"D");
    scene.clock.turn_wall(1000);
    store.deliver_due();
    assert_eq!(arrived(&store), [b"good"]);
    let stats = store.stats();
    assert_eq!((stats.delayed_delivered, stats.delayed_undeliverable), (1, 5));
}

/// After a kill a message may come twice, but never not at all; offsets that were stored hold.
#[test]
fn no_kill_loses_a_delayed_message() {
    let mut scene = Scene::new(FlushMode::Async);
    scene.options.flush_delay_offset_interval_ms = 100;
    let store = scene.open().unwrap();
    append(&store, b"one", 1);
    append(&store, b"two", 1);
    let waiting = scene.copy();
    scene.clock.turn_wall(1000);
    store.deliver_due();
    assert_eq!(arrived(&store).len(), 2);
    let delivered = scene.copy();
    scene.clock.pass(100);
    store.deliver_due();
    // Nothing was flushed, so nothing may be stored that says that the two were delivered.
    assert_eq!(stored(&scene, 1), None);
    let undurable = scene.copy();
    store.flush().unwrap();
    store.deliver_due();
    assert_eq!(stored(&scene, 1), Some(2));
    let noted = scene.copy();
    for (copy, times) in [(waiting, 1), (delivered, 2), (undurable, 2), (noted, 1)] {
        let store = copy.open().unwrap();
        store.deliver_due();
        let expected = [&b"one"[..], b"two"].repeat(times);
        assert_eq!(arrived(&store), expected);
        store.close().unwrap();
        assert_eq!(stored(&copy, 1), Some(2));
        let store = copy.open().unwrap();
        store.deliver_due();
        assert_eq!(arrived(&store), expected);
        append(&store, b"three", 1);
        scene.clock.turn_wall(1000);
        store.deliver_due();
        assert_eq!(arrived(&store).len(), expected.len() + 1);
    }
}

#[test]
fn offsets_that_cannot_be_stored_are_stored_later() {
    let mut scene = Scene::new(FlushMode::Sync);
    scene.options.flush_delay_offset_interval_ms = 100;
    let store = scene.open().unwrap();
    append(&store, b"one", 1);
    scene.clock.turn_wall(1000);
    store.deliver_due();
    store.flush().unwrap();
    scene.disk.fail(Call::Create, "delayOffset", Hits::From(1), libc::ENOSPC);
    scene.clock.pass(100);
    assert!(store.deliver_due().is_some());
    assert_eq!(stored(&scene, 1), None);
    // Closing says so; the log is whole all the same, and the message comes again.
    let copy = scene.copy();
    assert_eq!(store.close().unwrap_err().status(), crate::Status::DiskFull);
    assert!(!scene.path().join("abort").exists());
    let store = copy.open().unwrap();
    store.deliver_due();
    assert_eq!(arrived(&store), [b"one", b"one"]);
    scene.disk.mend();
}

#[test]
fn a_store_may_leave_delivery_to_others() {
    let mut scene = Scene::new(FlushMode::Async);
    scene.options.schedule_enable = false;
    let store = scene.open().unwrap();
    append(&store, b"waits", 1);
    scene.clock.turn_wall(1000);
    assert_eq!(store.deliver_due(), None);
    store.close().unwrap();
    assert!(!scene.path().join(STORED).exists());
    scene.options.schedule_enable = true;
    let store = scene.open().unwrap();
    assert!(store.delivers(), "messages that wait start the thread");
    store.deliver_due();
    assert_eq!(arrived(&store), [b"waits"]);
}

#[test]
fn a_store_without_delayed_messages_has_no_thread_for_them() {
    let scene = Scene::new(FlushMode::Async);
    let store = scene.open().unwrap();
    store.append(&Message::new("orders", b"plain")).unwrap();
    dispatched(&store);
    assert!(!store.delivers());
    append(&store, b"delayed", 1);
    assert!(store.delivers());
    scene.clock.turn_wall(1000);
    store.deliver_due();
    assert_eq!(arrived(&store), [b"delayed"]);
    store.close().unwrap();
    assert!(scene.path().join(STORED).exists());
    assert!(!scene.open().unwrap().delivers(), "everything was delivered");
}

/// An offset of another directory, or one whose queue was cut, is taken for the nearest there is.
#[test]
fn stored_offsets_outside_the_queue_are_moved_into_it() {
    let scene = Scene::new(FlushMode::Async);
    std::fs::create_dir(scene.path().join("config")).unwrap();
    std::fs::write(scene.path().join(STORED), r#"{"offsetTable":{1:900}}"#).unwrap();
    let store = scene.open().unwrap();
    append(&store, b"early", 1);
    scene.clock.turn_wall(1000);
    store.deliver_due();
    append(&store, b"next", 1);
    scene.clock.turn_wall(1000);
    store.deliver_due();
    assert!(arrived(&store).ends_with(&[b"next".to_vec()]));
}
