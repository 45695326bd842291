//! Consumer groups: who gets what, what becomes of failures, and offsets across reopening.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, OnceLock};
use std::time::Duration;

use cairnlog::{
    ConsumeMode, ConsumeOrder, ConsumeStatus, Consumer, ConsumerOffsets, ConsumerOptions, Delivery,
    Filter, Message, PushConsumer, PushOptions, QueueOffset, StartFrom, Status, Store,
    StoreOptions, Topics,
};

const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(1);

fn open(path: &std::path::Path) -> Store {
    let mut options = StoreOptions::default();
    options.segment_size_bytes = 1 << 20;
    // A retried message comes back at once.
    options.message_delay_level = "0s 0s 0s 0s 0s 0s".to_owned();
    Store::open(path, &options).unwrap()
}

/// Appends messages to queues in turn and waits until they can be read.
fn fill(store: &Store, topic: &str, queues: i32, numbers: std::ops::Range<usize>) {
    for number in numbers {
        let body = number.to_string();
        let queue_id = number as i32 % queues;
        store.append(&Message::new(topic, body.as_bytes()).queue_id(queue_id)).unwrap();
    }
    assert!(store.wait_dispatched(store.max_offset(), LONG).unwrap());
}

fn first(topic: &str) -> ConsumerOptions {
    let mut options = ConsumerOptions::of_topic(topic);
    options.start_from = StartFrom::First;
    options
}

fn number(delivery: &Delivery) -> usize {
    std::str::from_utf8(delivery.message().body()).unwrap().parse().unwrap()
}

/// Polls until `count` messages came, and acknowledges them.
fn take(consumer: &Consumer, count: usize) -> Vec<usize> {
    let mut numbers = Vec::new();
    while numbers.len() < count {
        let deliveries = consumer.poll(count - numbers.len(), LONG).unwrap();
        assert!(!deliveries.is_empty(), "only {numbers:?} came");
        for delivery in &deliveries {
            numbers.push(number(delivery));
            assert!(consumer.acknowledge(delivery));
        }
    }
    numbers
}

#[test]
fn two_members_divide_the_queues_and_one_takes_over_from_the_other() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    fill(&store, "t", 4, 0..40);
    let one = store.consumer("g", first("t")).unwrap();
    let two = store.consumer("g", first("t")).unwrap();
    assert_eq!(one.assigned(), [("t".to_owned(), 0), ("t".to_owned(), 1)]);
    assert_eq!(two.assigned(), [("t".to_owned(), 2), ("t".to_owned(), 3)]);
    let mut seen: BTreeSet<usize> = take(&one, 20).into_iter().collect();
    assert!(seen.iter().all(|number| number % 4 < 2));
    seen.extend(take(&two, 10));
    // The second takes more, acknowledges nothing of it, and is gone.
    let lost: BTreeSet<_> = two.poll(10, LONG).unwrap().iter().map(number).collect();
    assert!(!lost.is_empty());
    drop(two);
    assert_eq!(one.assigned().len(), 4);
    let rest: BTreeSet<_> = take(&one, 10).into_iter().collect();
    assert!(rest.is_superset(&lost));
    seen.extend(rest);
    assert_eq!(seen, (0..40).collect());
    assert!(one.poll(1, SHORT).unwrap().is_empty());
    // A queue that is new goes to a member, too.
    fill(&store, "t", 9, 40..49);
    let more: BTreeSet<_> = take(&one, 9).into_iter().collect();
    assert_eq!(more, (40..49).collect());
}

#[test]
fn offsets_survive_closing_and_what_was_not_acknowledged_comes_again() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    fill(&store, "t", 2, 0..20);
    let consumer = store.consumer("g", first("t")).unwrap();
    let deliveries = consumer.poll(10, LONG).unwrap();
    // The last, but not the one before.
    for delivery in deliveries.iter().take(4).chain(&deliveries[5..]) {
        assert!(consumer.acknowledge(delivery));
        assert!(!consumer.acknowledge(delivery), "once is enough");
    }
    drop(consumer);
    let queue_id = deliveries[0].message().queue_id();
    let expected = QueueOffset::new(4);
    assert_eq!(store.consumer_offset("g", "t", queue_id).unwrap(), Some(expected));
    store.close().unwrap();
    drop(store);
    let read = ConsumerOffsets::read(directory.path()).unwrap();
    assert_eq!(read.get("g", "t", queue_id), Some(expected));
    assert_eq!(Topics::read(directory.path()).unwrap().names(), ["t"]);
    let store = open(directory.path());
    assert_eq!(store.groups().unwrap(), ["g"]);
    let progress = store.group_progress("g").unwrap();
    assert_eq!(progress.iter().map(|queue| queue.lag()).sum::<u64>(), 16);
    let consumer = store.consumer("g", first("t")).unwrap();
    assert_eq!(take(&consumer, 16).len(), 16);
    consumer.commit().unwrap();
    let lag: u64 = store.group_progress("g").unwrap().iter().map(|queue| queue.lag()).sum();
    assert_eq!(lag, 0);
}

#[test]
fn a_group_begins_where_it_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    fill(&store, "t", 1, 0..5);
    std::thread::sleep(Duration::from_millis(5));
    let middle = store.append(&Message::new("t", b"5")).unwrap().store_timestamp_ms;
    fill(&store, "t", 1, 6..8);
    let with = |start_from| {
        let mut options = ConsumerOptions::of_topic("t");
        options.start_from = start_from;
        options
    };
    let last = store.consumer("last", with(StartFrom::Last)).unwrap();
    assert!(last.poll(1, SHORT).unwrap().is_empty());
    let timed = store.consumer("timed", with(StartFrom::Timestamp(middle))).unwrap();
    assert_eq!(take(&timed, 3), [5, 6, 7]);
    let explicit = store.consumer("explicit", with(StartFrom::Last)).unwrap();
    assert!(explicit.seek("t", 0, QueueOffset::new(6)));
    assert!(!explicit.seek("t", 1, QueueOffset::new(6)), "not its queue");
    assert_eq!(take(&explicit, 2), [6, 7]);
    fill(&store, "t", 1, 8..9);
    assert_eq!(take(&last, 1), [8]);
    store.commit_offset("pull", "t", 0, QueueOffset::new(3)).unwrap();
    let pulled = store.consumer("pull", with(StartFrom::Last)).unwrap();
    assert_eq!(take(&pulled, 6), [3, 4, 5, 6, 7, 8]);
    let error = store.commit_offset("pull", "t", 0, QueueOffset::new(10)).unwrap_err();
    assert_eq!(error.status(), Status::OffsetOutOfRange);
    // The start of a group that has not consumed anything yet is remembered.
    drop(last);
    let fresh = store.consumer("fresh", with(StartFrom::Last)).unwrap();
    drop(fresh);
    fill(&store, "t", 1, 9..10);
    assert_eq!(take(&store.consumer("fresh", with(StartFrom::Last)).unwrap(), 1), [9]);
}

#[test]
fn everybody_gets_everything_when_broadcasting() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    fill(&store, "t", 3, 0..9);
    let mut options = first("t");
    options.mode = ConsumeMode::Broadcasting;
    let members = [0, 1].map(|_| store.consumer("g", options.clone()).unwrap());
    for member in &members {
        let numbers: BTreeSet<_> = take(member, 9).into_iter().collect();
        assert_eq!(numbers, (0..9).collect());
    }
    assert_eq!(store.groups().unwrap(), Vec::<String>::new());
    fill(&store, "t", 3, 9..10);
    let delivery = &members[0].poll(1, LONG).unwrap()[0];
    assert!(members[0].retry_later(delivery).unwrap(), "dropped");
    assert!(members[0].poll(1, SHORT).unwrap().is_empty());
}

#[test]
fn what_fails_is_tried_again_and_ends_in_the_dead_letter_topic() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let properties = [("colour", "red"), ("UNIQ_KEY", "id-7")];
    let keys = ["k"];
    let message = Message::new("t", b"7").tag("x").keys(&keys).properties(&properties);
    let placed = store.append(&message).unwrap();
    let mut options = first("t");
    options.max_reconsume_times = 2;
    let consumer = store.consumer("g", options).unwrap();
    for attempt in 0..=2 {
        let delivery = consumer.poll(8, LONG).unwrap().remove(0);
        assert_eq!(delivery.reconsume_times(), attempt);
        assert_eq!(delivery.topic(), "t");
        let message = delivery.message();
        assert_eq!(message.body(), b"7");
        assert_eq!(message.tag().as_deref(), Some("x"));
        assert_eq!(message.keys(), ["k"]);
        assert_eq!(message.property("colour").as_deref(), Some("red"));
        assert!(consumer.retry_later(&delivery).unwrap());
        assert!(!consumer.retry_later(&delivery).unwrap(), "not in hand any more");
    }
    assert!(consumer.poll(8, SHORT).unwrap().is_empty());
    let dead = store.consumer("undertaker", first("%DLQ%g")).unwrap();
    let delivery = dead.poll(8, LONG).unwrap().remove(0);
    let message = delivery.message();
    assert_eq!(message.property("RETRY_TOPIC").as_deref(), Some("t"));
    let origin = message.property("ORIGIN_MESSAGE_ID");
    assert_eq!(origin.as_deref(), Some(&*placed.offset_message_id()));
    let lag: u64 = store.group_progress("g").unwrap().iter().map(|queue| queue.lag()).sum();
    assert_eq!(lag, 0);
}

#[test]
fn an_orderly_queue_waits_for_the_message_that_failed() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    fill(&store, "t", 1, 0..6);
    let mut options = first("t");
    options.order = ConsumeOrder::Orderly;
    options.suspend_queue_ms = 1;
    options.max_reconsume_times = 2;
    let consumer = store.consumer("g", options).unwrap();
    let mut order = Vec::new();
    while order.last() != Some(&5) {
        let deliveries = consumer.poll(2, LONG).unwrap();
        assert!(consumer.poll(2, SHORT).unwrap().is_empty(), "the batch before is in hand");
        for delivery in &deliveries {
            order.push(number(delivery));
            let failing = number(delivery) == 1 || number(delivery) == 4;
            if failing && (number(delivery) == 4 || order.iter().filter(|n| **n == 1).count() < 3) {
                consumer.retry_later(delivery).unwrap();
                break;
            }
            assert!(consumer.acknowledge(delivery));
        }
    }
    assert_eq!(order, [0, 1, 1, 1, 2, 3, 4, 4, 4, 5]);
    let dead = store.consumer("undertaker", first("%DLQ%g")).unwrap();
    assert_eq!(take(&dead, 1), [4]);
}

#[test]
fn a_message_that_is_given_up_takes_none_of_those_in_front_of_it_along() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    fill(&store, "t", 1, 0..4);
    let mut options = first("t");
    options.order = ConsumeOrder::Orderly;
    options.max_reconsume_times = 0;
    let consumer = store.consumer("g", options.clone()).unwrap();
    let deliveries = consumer.poll(3, LONG).unwrap();
    assert_eq!(deliveries.iter().map(number).collect::<Vec<_>>(), [0, 1, 2]);
    assert!(consumer.retry_later(&deliveries[1]).unwrap());
    let committed = store.consumer_offset("g", "t", 0).unwrap();
    assert_eq!(committed, Some(QueueOffset::new(0)), "nobody is done with the first");
    drop(consumer);
    let consumer = store.consumer("g", options).unwrap();
    assert_eq!(take(&consumer, 4), [0, 1, 2, 3]);
    assert_eq!(take(&store.consumer("undertaker", first("%DLQ%g")).unwrap(), 1), [1]);
}

#[test]
fn a_listener_gets_every_message_and_its_panics_are_failures() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    fill(&store, "t", 4, 0..200);
    let done: Arc<Mutex<BTreeMap<usize, usize>>> = Arc::default();
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    // The first two calls wait for each other: they run at the same time.
    let (calls, two) = (AtomicUsize::new(0), Barrier::new(2));
    let listener = {
        let (done, running, most) = (done.clone(), running.clone(), most.clone());
        move |deliveries: &[Delivery]| {
            let now = running.fetch_add(1, Ordering::SeqCst) + 1;
            most.fetch_max(now, Ordering::SeqCst);
            if calls.fetch_add(1, Ordering::SeqCst) < 2 {
                two.wait();
            }
            std::thread::sleep(Duration::from_micros(200));
            running.fetch_sub(1, Ordering::SeqCst);
            assert!(!deliveries.is_empty(), "called for nothing");
            let fresh = deliveries[0].reconsume_times() == 0;
            assert!(number(&deliveries[0]) != 13 || !fresh, "on purpose");
            if number(&deliveries[0]) == 14 && fresh {
                return ConsumeStatus::RetryLater;
            }
            for delivery in deliveries {
                *done.lock().unwrap().entry(number(delivery)).or_default() += 1;
            }
            ConsumeStatus::Success
        }
    };
    let push = PushOptions { threads: 3, max_batch: 1 };
    let consumer = store.push_consumer("g", first("t"), push, Arc::new(listener)).unwrap();
    let deadline = std::time::Instant::now() + LONG;
    while done.lock().unwrap().len() < 200 {
        assert!(std::time::Instant::now() < deadline, "{} came", done.lock().unwrap().len());
        std::thread::sleep(SHORT);
    }
    consumer.close();
    assert!(done.lock().unwrap().values().all(|times| *times == 1));
    assert!((2..=3).contains(&most.load(Ordering::SeqCst)));
    let lag: u64 = store.group_progress("g").unwrap().iter().map(|queue| queue.lag()).sum();
    assert_eq!(lag, 0);
}

/// Whoever closes a push consumer from outside waits for its listeners, also as the second one;
/// listeners that close it wait for nobody, or two of them would wait for each other.
#[test]
fn a_push_consumer_is_closed_by_many_and_from_within() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    fill(&store, "t", 2, 0..2);
    let consumer: Arc<OnceLock<Arc<PushConsumer>>> = Arc::default();
    let (running, both) = (Arc::new(AtomicUsize::new(0)), Arc::new(Barrier::new(3)));
    let listener = {
        let (consumer, running, both) = (consumer.clone(), running.clone(), both.clone());
        move |_: &[Delivery]| {
            running.fetch_add(1, Ordering::SeqCst);
            both.wait();
            consumer.wait().close();
            std::thread::sleep(Duration::from_millis(50));
            running.fetch_sub(1, Ordering::SeqCst);
            ConsumeStatus::Success
        }
    };
    let push = PushOptions { threads: 2, max_batch: 1 };
    let started = store.push_consumer("g", first("t"), push, Arc::new(listener)).unwrap();
    let started = consumer.get_or_init(|| Arc::new(started));
    both.wait();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                started.close();
                assert_eq!(running.load(Ordering::SeqCst), 0);
            });
        }
    });
    assert!(started.consumer().is_closed());
}

#[test]
fn filters_and_wrong_use() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    for number in 0..2000 {
        let tag = if number % 500 == 499 { "wanted" } else { "other" };
        store.append(&Message::new("t", number.to_string().as_bytes()).tag(tag)).unwrap();
    }
    let mut options = first("t").subscribe("t", Filter::tags("wanted").unwrap());
    options.max_in_hand = 3;
    let consumer = store.consumer("g", options).unwrap();
    // One read looks at 800 messages at most.
    let mut in_hand = Vec::new();
    while in_hand.len() < 3 {
        in_hand.extend(consumer.poll(100, LONG).unwrap());
    }
    assert_eq!(in_hand.iter().map(number).collect::<Vec<_>>(), [499, 999, 1499]);
    assert!(consumer.poll(100, SHORT).unwrap().is_empty(), "three in hand are enough");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| consumer.poll(100, LONG).unwrap());
        std::thread::sleep(Duration::from_millis(20));
        consumer.acknowledge(&in_hand[1]);
        assert_eq!(waiting.join().unwrap().iter().map(number).collect::<Vec<_>>(), [1999]);
    });
    for (group, options, status) in [
        ("", first("t"), Status::GroupIllegal),
        ("a b", first("t"), Status::GroupIllegal),
        ("g", ConsumerOptions::default(), Status::InvalidArgument),
        ("g", first("a/b"), Status::TopicIllegal),
    ] {
        assert_eq!(store.consumer(group, options).unwrap_err().status(), status);
    }
    // Closing the store ends a poll.
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| consumer.poll(1, LONG));
        std::thread::sleep(Duration::from_millis(20));
        store.close().unwrap();
        // Empty; or, if the poll began after the end, an error.
        match waiting.join().unwrap() {
            Ok(deliveries) => assert!(deliveries.is_empty()),
            Err(error) => assert_eq!(error.status(), Status::StoreClosed),
        }
    });
    assert_eq!(consumer.poll(1, SHORT).unwrap_err().status(), Status::StoreClosed);
    assert_eq!(consumer.commit().unwrap_err().status(), Status::StoreClosed);
    assert!(!consumer.acknowledge(&in_hand[2]), "nothing would remember it");
}
