//! What a store without consume queues keeps from a clean stop to the next opening.

use super::fault_disk::{Call, Hits};
use super::scene::{SEGMENT, Scene, bodies, fill};
use crate::{EncodedBatch, FlushMode, Message, Status, Store, encode_batch_item};

const FILE: &str = "topicqueuetable";

fn without_queues() -> Scene {
    let mut scene = Scene::new(FlushMode::Async);
    scene.options.consume_queue_enable = false;
    scene
}

fn append(store: &Store, topic: &str, queue_id: i32, count: u64) {
    for _ in 0..count {
        store.append(&Message::new(topic, b"body").queue_id(queue_id)).unwrap();
    }
}

fn append_inner_batch(store: &Store, topic: &str) -> crate::Result<crate::AppendResult> {
    let mut items = Vec::new();
    for body in [b"one", b"two"] {
        encode_batch_item(&mut items, 0, body, b"").unwrap();
    }
    store.append_inner_batch(&EncodedBatch { shared: Message::new(topic, b""), items: &items })
}

/// A store that was closed with some queues of both kinds, over several files.
fn closed() -> Scene {
    let scene = without_queues();
    let store = scene.open().unwrap();
    append(&store, "a", 0, 3);
    append(&store, "a", 7, 5);
    append_inner_batch(&store, "batches").unwrap();
    fill(&store, 8, 20_000);
    store.close().unwrap();
    scene
}

/// Opens, checks that the offsets of `closed` go on, and returns where the walk began.
fn goes_on(scene: &Scene) -> u64 {
    let store = scene.open().unwrap();
    let next = |topic, queue_id| store.next_queue_offset(topic, queue_id).get();
    assert_eq!([next("a", 0), next("a", 7), next("batches", 0), next("t", 0)], [3, 5, 2, 8]);
    assert_eq!(append_inner_batch(&store, "batches").unwrap().queue_offset.get(), 2);
    assert_eq!(append_inner_batch(&store, "a").unwrap_err().status(), Status::BatchIllegal);
    let single = Message::new("batches", b"single");
    assert_eq!(store.append(&single).unwrap_err().status(), Status::BatchIllegal);
    assert_eq!(bodies(&store).len(), 18);
    store.recovery_report().walked_from.get()
}

#[test]
fn what_was_closed_is_not_walked_again() {
    let scene = closed();
    let end = scene.notes().durable_offset;
    assert!(end > 2 * SEGMENT);
    let planned = Store::plan_recovery(scene.path(), &scene.options).unwrap();
    assert_eq!((planned.walked_from.get(), planned.records), (end, 0));
    assert_eq!(goes_on(&scene.copy()), end);
    // Over several stops, each behind more records.
    for round in 0..3 {
        let store = scene.open().unwrap();
        let report = store.recovery_report();
        assert_eq!((report.records, report.walked_from), (0, store.max_offset()));
        assert_eq!(store.next_queue_offset("a", 0).get(), 3 + round);
        append(&store, "a", 0, 1);
        store.close().unwrap();
    }
}

/// Times do not go back either, also with a clock that does.
#[test]
fn the_time_of_the_newest_record_goes_on() {
    let scene = without_queues();
    let store = scene.open().unwrap();
    let time =
        |store: &Store| store.append(&Message::new("t", b"body")).unwrap().store_timestamp_ms;
    let newest = time(&store);
    store.close().unwrap();
    scene.clock.turn_wall(-1000);
    let store = scene.open().unwrap();
    assert_eq!(store.recovery_report().records, 0);
    assert_eq!(time(&store), newest);
}

#[test]
fn whoever_opens_for_writing_takes_the_file_away() {
    for queues in [false, true] {
        let mut scene = closed();
        assert!(scene.path().join(FILE).exists());
        scene.options.consume_queue_enable = queues;
        let store = scene.open().unwrap();
        assert!(!scene.path().join(FILE).exists());
        append(&store, "a", 0, 1);
        let mut killed = scene.copy();
        killed.options.consume_queue_enable = false;
        let again = killed.open().unwrap();
        assert_eq!(again.recovery_report().walked_from.get(), 0);
        assert_eq!(again.next_queue_offset("a", 0).get(), 4);
    }
}

/// A store that was killed may have the file from before: it is `abort` that counts.
#[test]
fn nothing_is_believed_of_a_store_that_was_not_closed() {
    let scene = closed();
    let kept = std::fs::read(scene.path().join(FILE)).unwrap();
    let store = scene.open().unwrap();
    let killed = scene.copy();
    std::fs::write(killed.path().join(FILE), kept).unwrap();
    assert_eq!(goes_on(&killed), 0);
    drop(store);
}

#[test]
fn damage_to_the_file_costs_a_walk_and_no_more() {
    let scene = closed();
    let path = scene.path().join(FILE);
    let whole = std::fs::read(&path).unwrap();
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        for bytes in [&damaged[..], &whole[..at]] {
            let copy = scene.copy();
            std::fs::write(copy.path().join(FILE), bytes).unwrap();
            let plan = Store::plan_recovery(copy.path(), &copy.options).unwrap();
            assert_eq!((plan.walked_from.get(), plan.records), (0, 17), "byte {at}");
        }
    }
    std::fs::write(&path, []).unwrap();
    assert_eq!(goes_on(&scene), 0);
}

/// Another log of the same length, to which other offsets belong.
#[test]
fn a_file_of_another_log_is_not_believed() {
    let scene = without_queues();
    let store = scene.open().unwrap();
    append(&store, "a", 0, 3);
    let other = scene.copy();
    append(&store, "a", 0, 1);
    store.close().unwrap();
    let store = other.open().unwrap();
    append(&store, "a", 1, 1);
    store.close().unwrap();
    assert_eq!(scene.notes().durable_offset, other.notes().durable_offset);
    std::fs::copy(scene.path().join(FILE), other.path().join(FILE)).unwrap();
    let store = other.open().unwrap();
    assert_eq!(store.recovery_report().walked_from.get(), 0);
    let next = |queue_id| store.next_queue_offset("a", queue_id).get();
    assert_eq!([next(0), next(1)], [3, 1]);
}

/// A version that knows no such file may have closed the store since.
#[test]
fn a_file_that_another_close_left_is_not_believed() {
    let scene = closed();
    let [kept, checkpoint] =
        [FILE, "checkpoint"].map(|name| std::fs::read(scene.path().join(name)).unwrap());
    let store = scene.open().unwrap();
    append(&store, "a", 0, 1);
    store.close().unwrap();
    for (checkpoint, is_believed) in [(None, false), (Some(checkpoint), true)] {
        let copy = scene.copy();
        std::fs::write(copy.path().join(FILE), &kept).unwrap();
        if let Some(checkpoint) = checkpoint {
            std::fs::write(copy.path().join("checkpoint"), checkpoint).unwrap();
        }
        let store = copy.open().unwrap();
        assert_eq!(store.recovery_report().walked_from.get() > 0, is_believed);
        assert_eq!(store.next_queue_offset("a", 0).get(), 4);
    }
}

/// RocketMQ leaves the file alone and appends behind what it was written for.
#[test]
fn what_another_writer_appended_is_counted() {
    let scene = closed();
    let end = scene.notes().durable_offset;
    let kept = std::fs::read(scene.path().join(FILE)).unwrap();
    let checkpoint = std::fs::read(scene.path().join("checkpoint")).unwrap();
    let store = scene.open().unwrap();
    append(&store, "a", 0, 2);
    append(&store, "new", 3, 1);
    store.close().unwrap();
    std::fs::write(scene.path().join(FILE), kept).unwrap();
    std::fs::write(scene.path().join("checkpoint"), checkpoint).unwrap();
    let store = scene.open().unwrap();
    let report = store.recovery_report();
    assert_eq!((report.walked_from.get(), report.records), (end, 3));
    let next = |topic, queue_id| store.next_queue_offset(topic, queue_id).get();
    assert_eq!([next("a", 0), next("a", 7), next("new", 3)], [5, 5, 1]);
}

#[test]
fn a_stop_that_cannot_write_the_file_is_clean() {
    for call in [Call::Create, Call::WriteAt, Call::SyncAll] {
        let scene = without_queues();
        let store = scene.open().unwrap();
        append(&store, "a", 0, 3);
        scene.disk.fail(call, FILE, Hits::From(1), libc::ENOSPC);
        store.close().unwrap();
        assert!(!scene.path().join(FILE).exists());
        scene.disk.mend();
        let store = scene.open().unwrap();
        let report = store.recovery_report();
        assert_eq!((report.clean_stop, report.records), (true, 3));
        assert_eq!(store.next_queue_offset("a", 0).get(), 3);
    }
}
