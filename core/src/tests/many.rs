//! `append_many`: some messages in each turn of the append lock, and what others see of that.

use super::fault_disk::{Call, Hits};
use super::scene::{SEGMENT, Scene};
use crate::{AppendResult, FlushMode, Message, Status, Store};

/// Messages of two topics and three queues: small ones, some that take a whole turn, some too large
/// for a turn, and delayed ones.
fn mixed(body: &[u8]) -> Vec<Message<'_>> {
    let message = |number: usize| {
        let bytes = match number % 50 {
            13 => 16_300,
            29 => 20_000,
            _ => 1 + number % 300,
        };
        let topic = if number % 7 < 5 { "orders" } else { "bills" };
        let mut message = Message::new(topic, &body[..bytes]);
        message.queue_id = (number % 3) as i32;
        message.tag = number.is_multiple_of(5).then_some("new");
        message.delay_level = u32::from(number % 41 == 7);
        message
    };
    (0..600).map(message).collect()
}

fn end(store: &Store) -> u64 {
    store.max_offset().get()
}

#[test]
fn many_messages_lie_where_single_appends_put_them() {
    let body = vec![b'x'; 20_000];
    let messages = mixed(&body);
    for mode in [FlushMode::Async, FlushMode::Sync] {
        let (one_by_one, together) = (Scene::new(mode), Scene::new(mode));
        let (single, many) = (one_by_one.open().unwrap(), together.open().unwrap());
        let expected: Vec<AppendResult> =
            messages.iter().map(|message| single.append(message).unwrap()).collect();
        let mut results = Vec::new();
        many.append_many(&messages, &mut results).unwrap();
        assert_eq!(results, expected);
        assert_eq!(end(&many), end(&single));
        assert!(end(&many) > 3 * SEGMENT);
        for start in (0..end(&single)).step_by(SEGMENT as usize) {
            let range = start..end(&single).min(start + SEGMENT);
            single.flush().unwrap();
            many.flush().unwrap();
            assert!(together.bytes(range.clone()) == one_by_one.bytes(range), "file {start}");
        }
        let stats = many.stats();
        assert_eq!(stats.messages, 600);
        assert_eq!(stats.append_latency_counts.iter().sum::<u64>(), 600);
    }
}

#[test]
fn the_first_that_is_refused_ends_it_and_those_before_are_there() {
    for (refused, status) in [
        (Message::new("no topic", b"b"), Status::TopicIllegal),
        (Message::new("", b"b"), Status::TopicEmpty),
        (Message::new("t", b""), Status::BodyEmpty),
        (Message { queue_id: -1, ..Message::new("t", b"b") }, Status::QueueIdIllegal),
    ] {
        let scene = Scene::new(FlushMode::Async);
        let store = scene.open().unwrap();
        let mut messages = vec![Message::new("t", b"b"); 9];
        messages[7] = refused;
        let mut results = Vec::new();
        let error = store.append_many(&messages, &mut results).unwrap_err();
        assert_eq!(error.status(), status);
        assert_eq!(results.len(), 7);
        assert_eq!(end(&store), results[6].end_offset().get());
        for placed in &results {
            assert_eq!(store.read_at(placed.physical_offset).unwrap().body(), b"b");
        }
        let stats = store.stats();
        assert_eq!((stats.messages, stats.refused), (7, 1));
        assert_eq!(stats.append_latency_counts.iter().sum::<u64>(), 8);
    }
}

/// Whoever looks for messages from now on by time must find all that he did not see before: none
/// may become visible with a time older than the moment when one before it was.
#[test]
fn what_others_see_already_has_an_older_time() {
    let scene = Scene::new(FlushMode::Async);
    let store = scene.open().unwrap();
    let body = [b'x'; 1000];
    let messages = vec![Message::new("t", &body); 100];
    let mut results = Vec::new();
    // It waits for the second file in the middle of a turn.
    let gate = scene.disk.hold(Call::Create, "commitlog", Hits::Nth(2));
    let seen = std::thread::scope(|scope| {
        let appends = scope.spawn(|| store.append_many(&messages, &mut results));
        gate.wait_for_call();
        while end(&store) + 1200 < SEGMENT {
            std::thread::yield_now();
        }
        let seen = end(&store);
        scene.clock.turn_wall(5);
        gate.open();
        appends.join().unwrap().unwrap();
        seen
    });
    assert!(seen < SEGMENT, "the gate held nothing");
    let first = results[0].store_timestamp_ms;
    for placed in &results {
        let later = if placed.physical_offset.get() < seen { 0 } else { 5 };
        assert_eq!(placed.store_timestamp_ms, first + later, "{placed:?}");
    }
}
