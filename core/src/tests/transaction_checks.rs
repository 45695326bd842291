//! Asking about open transactions, under a clock that is turned by hand.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use super::fault_disk::{Call, Hits};
use super::scene::Scene;
use crate::{
    FlushMode, Message, MessageView, PROPERTY_TRANSACTION_CHECK_TIMES, ReadRequest, Status, Store,
    Transaction, TransactionAnswer, TransactionCheck,
};

const PATIENCE: Duration = Duration::from_secs(60);
const HALF: &str = "RMQ_SYS_TRANS_HALF_TOPIC";
const OP: &str = "RMQ_SYS_TRANS_OP_HALF_TOPIC";
const TOO_OFTEN: &str = "TRANS_CHECK_MAX_TIME_TOPIC";
const TIMEOUT_MS: i64 = 6000;
const INTERVAL_MS: i64 = 30_000;

/// The body of a message that it was asked about, and which time that was.
type Question = (Vec<u8>, u32);

/// Answers as it is told, and keeps what it was asked.
#[derive(Clone)]
struct Asked {
    answer: Arc<Mutex<TransactionAnswer>>,
    bodies: Arc<Mutex<Vec<Question>>>,
}

impl Asked {
    fn answering(store: &Store, answer: TransactionAnswer) -> Self {
        let asked = Self { answer: Arc::new(Mutex::new(answer)), bodies: Arc::default() };
        let checker = asked.clone();
        store
            .set_transaction_checker(Arc::new(move |check: &TransactionCheck| {
                let body = check.message().body().to_vec();
                assert_eq!((check.topic(), check.queue_id()), ("orders", 3));
                assert_eq!(check.id().as_deref(), Some("id"));
                checker.bodies.lock().unwrap().push((body, check.times()));
                *checker.answer.lock().unwrap()
            }))
            .unwrap();
        asked
    }

    fn taken(&self) -> Vec<Question> {
        std::mem::take(&mut self.bodies.lock().unwrap())
    }
}

fn begin(store: &Store, body: &[u8]) -> Transaction {
    let properties = [("UNIQ_KEY", "id")];
    let message = Message::new("orders", body).queue_id(3).tag("a").properties(&properties);
    store.begin_transaction(&message).unwrap()
}

fn read(store: &Store, topic: &str, queue_id: i32) -> Vec<MessageView> {
    assert!(store.wait_dispatched(store.max_offset(), PATIENCE).unwrap());
    let request = ReadRequest::new(topic, queue_id, 0).max_messages(100);
    store.read(&request).unwrap().into_messages()
}

fn bodies(store: &Store, topic: &str, queue_id: i32) -> Vec<Vec<u8>> {
    read(store, topic, queue_id).iter().map(|message| message.body().to_vec()).collect()
}

fn times(message: &MessageView) -> Option<String> {
    message.property(PROPERTY_TRANSACTION_CHECK_TIMES).map(|times| times.into_owned())
}

fn pairs(message: &MessageView) -> Vec<(Vec<u8>, Vec<u8>)> {
    let own = |(name, _): &(&[u8], &[u8])| *name != PROPERTY_TRANSACTION_CHECK_TIMES.as_bytes();
    let record = message.record();
    let pairs = record.properties().filter(own);
    pairs.map(|(name, value)| (name.to_vec(), value.to_vec())).collect()
}

#[test]
fn an_old_transaction_is_ended_as_is_answered() {
    for mode in [FlushMode::Async, FlushMode::Sync] {
        let scene = Scene::new(mode);
        let store = scene.open().unwrap();
        let asked = Asked::answering(&store, TransactionAnswer::Commit);
        let first = begin(&store, b"first");
        scene.clock.turn_wall(1000);
        let second = begin(&store, b"second");
        scene.clock.turn_wall(TIMEOUT_MS - 1001);
        assert_eq!(store.check_transactions(), Some(Duration::from_millis(1)));
        assert!(asked.taken().is_empty());
        scene.clock.turn_wall(1);
        // The second is younger.
        assert_eq!(store.check_transactions(), Some(Duration::from_secs(1)));
        assert_eq!(asked.taken(), [(b"first".to_vec(), 1)]);
        assert_eq!(bodies(&store, "orders", 3), [b"first"]);
        assert_eq!(first.commit().unwrap_err().status(), Status::NoSuchTransaction);
        *asked.answer.lock().unwrap() = TransactionAnswer::Rollback;
        scene.clock.turn_wall(1000);
        assert_eq!(store.check_transactions(), None);
        assert_eq!(asked.taken(), [(b"second".to_vec(), 1)]);
        assert_eq!(bodies(&store, "orders", 3), [b"first"]);
        assert_eq!(second.rollback().unwrap_err().status(), Status::NoSuchTransaction);
        assert!(store.open_transactions().unwrap().is_empty());
        // Each was put once more, and both copies are ended.
        assert_eq!(bodies(&store, OP, 0), [&b"0,"[..], b"2,", b"1,", b"3,"]);
        store.close().unwrap();
        assert!(scene.open().unwrap().open_transactions().unwrap().is_empty());
    }
}

/// As RocketMQ counts: the half message is put once more, with its count and else as it was.
#[test]
fn the_unknown_is_asked_again_until_it_was_too_often() {
    let mut scene = Scene::new(FlushMode::Async);
    scene.options.transaction_check_max = 3;
    let store = scene.open().unwrap();
    let asked = Asked::answering(&store, TransactionAnswer::Unknown);
    let transaction = begin(&store, b"forgotten");
    scene.clock.turn_wall(TIMEOUT_MS);
    for time in 1..=3 {
        assert_eq!(store.check_transactions(), Some(Duration::from_secs(30)));
        assert_eq!(asked.taken(), [(b"forgotten".to_vec(), time)]);
        scene.clock.turn_wall(INTERVAL_MS - 1);
        store.check_transactions();
        assert!(asked.taken().is_empty());
        assert_eq!(store.open_transactions().unwrap().len(), 1);
        scene.clock.turn_wall(1);
    }
    assert_eq!(store.check_transactions(), None);
    assert!(asked.taken().is_empty());
    assert_eq!(transaction.commit().unwrap_err().status(), Status::NoSuchTransaction);
    let halves = read(&store, HALF, 0);
    let counts: Vec<_> = halves.iter().map(times).collect();
    assert_eq!(counts, [None, Some("1".into()), Some("2".into()), Some("3".into())]);
    for half in &halves[1..] {
        assert_eq!(pairs(half), pairs(&halves[0]));
        assert_eq!(half.born_timestamp_ms(), halves[0].born_timestamp_ms());
        assert_eq!((half.sys_flag(), half.body()), (0, &b"forgotten"[..]));
    }
    assert_eq!(bodies(&store, OP, 0), [b"0,", b"1,", b"2,", b"3,"]);
    let kept = read(&store, TOO_OFTEN, 0).remove(0);
    assert_eq!((pairs(&kept), times(&kept)), (pairs(&halves[0]), Some("3".into())));
    assert_eq!(kept.body(), b"forgotten");
    assert!(bodies(&store, "orders", 3).is_empty());
    store.close().unwrap();
    assert!(scene.open().unwrap().open_transactions().unwrap().is_empty());
}

/// A program that kept the handle, or the offset, ends the transaction wherever its half is now.
#[test]
fn where_a_half_message_was_before_leads_to_its_transaction() {
    let scene = Scene::new(FlushMode::Async);
    let store = scene.open().unwrap();
    let _asked = Asked::answering(&store, TransactionAnswer::Unknown);
    let (kept, other) = (begin(&store, b"kept"), begin(&store, b"other"));
    scene.clock.turn_wall(TIMEOUT_MS);
    store.check_transactions();
    let between = store.open_transactions().unwrap();
    scene.clock.turn_wall(INTERVAL_MS);
    store.check_transactions();
    let now = store.open_transactions().unwrap();
    assert!(!between.contains(&kept.half_offset()) && between[1] < now[0]);
    let placed = kept.commit().unwrap();
    let prepared = store.read_at(placed.physical_offset).unwrap().prepared_transaction_offset();
    assert_eq!(prepared, now[0].to_i64());
    store.rollback_transaction(between[1]).unwrap();
    assert_eq!(bodies(&store, "orders", 3), [b"kept"]);
    for offset in [kept.half_offset(), other.half_offset(), between[0], now[0], now[1]] {
        let error = store.commit_transaction(offset).unwrap_err();
        assert_eq!(error.status(), Status::NoSuchTransaction);
    }
}

#[test]
fn a_panic_counts_as_unknown() {
    let scene = Scene::new(FlushMode::Async);
    let store = scene.open().unwrap();
    let calls = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&calls);
    let checker = move |check: &TransactionCheck| {
        counted.fetch_add(1, Ordering::SeqCst);
        assert!(check.times() > 1, "on purpose");
        TransactionAnswer::Commit
    };
    store.set_transaction_checker(Arc::new(checker)).unwrap();
    begin(&store, b"one");
    begin(&store, b"two");
    scene.clock.turn_wall(TIMEOUT_MS);
    assert_eq!(store.check_transactions(), Some(Duration::from_secs(30)));
    assert_eq!(calls.load(Ordering::SeqCst), 2);
    assert_eq!(store.open_transactions().unwrap().len(), 2);
    scene.clock.turn_wall(INTERVAL_MS);
    assert_eq!(store.check_transactions(), None);
    assert_eq!(bodies(&store, "orders", 3), [b"one", b"two"]);
}

/// Count and time of the last check are in the half message: closing, and a kill, keep them.
#[test]
fn the_count_survives_closing_and_a_kill() {
    let mut scene = Scene::new(FlushMode::Async);
    scene.options.transaction_check_max = 3;
    // An index file is large to copy.
    scene.options.message_index_enable = false;
    let store = scene.open().unwrap();
    let asked = Asked::answering(&store, TransactionAnswer::Unknown);
    begin(&store, b"left");
    scene.clock.turn_wall(TIMEOUT_MS);
    store.check_transactions();
    assert_eq!(asked.taken(), [(b"left".to_vec(), 1)]);
    store.close().unwrap();
    drop(store);

    let store = scene.open().unwrap();
    let asked = Asked::answering(&store, TransactionAnswer::Unknown);
    scene.clock.turn_wall(INTERVAL_MS - 1);
    assert_eq!(store.check_transactions(), Some(Duration::from_millis(1)));
    assert!(asked.taken().is_empty());
    scene.clock.turn_wall(1);
    store.check_transactions();
    assert_eq!(asked.taken(), [(b"left".to_vec(), 2)]);

    let killed = scene.copy();
    let store = killed.open().unwrap();
    assert_eq!(store.open_transactions().unwrap().len(), 1);
    let asked = Asked::answering(&store, TransactionAnswer::Unknown);
    scene.clock.turn_wall(INTERVAL_MS);
    store.check_transactions();
    assert_eq!(asked.taken(), [(b"left".to_vec(), 3)]);
    scene.clock.turn_wall(INTERVAL_MS);
    assert_eq!(store.check_transactions(), None);
    assert_eq!(bodies(&store, TOO_OFTEN, 0), [b"left"]);
}

/// The thread itself asks when the checker comes after the transaction; it is there for nothing
/// else.
#[test]
fn a_checker_set_late_is_asked_and_none_is_no_thread() {
    let scene = Scene::new(FlushMode::Async);
    let store = scene.open().unwrap();
    let transaction = begin(&store, b"waiting");
    scene.clock.turn_wall(1 << 40);
    assert_eq!(store.check_transactions(), None);
    assert!(!store.checks_transactions());
    assert_eq!(store.open_transactions().unwrap(), [transaction.half_offset()]);
    let (tell, told) = mpsc::sync_channel(1);
    let checker = move |check: &TransactionCheck| {
        tell.send(check.times()).unwrap();
        TransactionAnswer::Commit
    };
    store.set_transaction_checker(Arc::new(checker)).unwrap();
    assert_eq!(told.recv_timeout(PATIENCE).unwrap(), 1);
    let first = crate::QueueOffset::new(0);
    assert!(store.wait_message("orders", 3, first, PATIENCE).unwrap());
    assert!(store.checks_transactions());

    // With a checker and nothing open there is no thread, until a transaction is begun.
    let scene = Scene::new(FlushMode::Async);
    let store = scene.open().unwrap();
    let asked = Asked::answering(&store, TransactionAnswer::Commit);
    assert!(!store.checks_transactions());
    let born = Some(1_700_000_000_000 - TIMEOUT_MS);
    let properties = [("UNIQ_KEY", "id")];
    let message = Message::new("orders", b"old").queue_id(3).properties(&properties);
    let message = Message { born_timestamp_ms: born, ..message };
    for next in 0..3 {
        store.begin_transaction(&message).unwrap();
        let next = crate::QueueOffset::new(next);
        assert!(store.wait_message("orders", 3, next, PATIENCE).unwrap());
    }
    assert!(store.checks_transactions());
    assert_eq!(asked.taken().len(), 3);
}

/// A message may ask for more time, or less; a clock that was turned back makes nobody wait.
#[test]
fn a_message_says_from_which_age_on_it_is_asked() {
    let scene = Scene::new(FlushMode::Async);
    let store = scene.open().unwrap();
    let asked = Asked::answering(&store, TransactionAnswer::Rollback);
    for (body, seconds) in [(b"2", "2"), (b"8", "8"), (b"x", "-1")] {
        let properties = [("UNIQ_KEY", "id"), ("CHECK_IMMUNITY_TIME_IN_SECONDS", seconds)];
        let message = Message::new("orders", body).queue_id(3).properties(&properties);
        store.begin_transaction(&message).unwrap();
    }
    let mut ages = Vec::new();
    for age in 1..9 {
        scene.clock.turn_wall(1000);
        store.check_transactions();
        ages.extend(asked.taken().into_iter().map(|(body, _)| (age, body)));
    }
    assert_eq!(ages, [(2, b"2".to_vec()), (6, b"x".to_vec()), (8, b"8".to_vec())]);
    begin(&store, b"turned");
    scene.clock.turn_wall(-86_400_000);
    store.check_transactions();
    assert_eq!(asked.taken().len(), 1);
}

#[test]
fn a_checker_uses_the_store() {
    let scene = Scene::new(FlushMode::Sync);
    let store = Arc::new(scene.open().unwrap());
    let weak = Arc::downgrade(&store);
    let checker = move |check: &TransactionCheck| {
        let store = weak.upgrade().unwrap();
        match check.message().body() {
            b"commit" => drop(store.commit_transaction(check.half_offset()).unwrap()),
            _ => store.rollback_transaction(check.half_offset()).unwrap(),
        }
        store.append(&Message::new("seen", check.message().body())).unwrap();
        let next = store.begin_transaction(&Message::new("orders", b"next")).unwrap();
        next.commit().unwrap();
        // It is ended already.
        TransactionAnswer::Commit
    };
    store.set_transaction_checker(Arc::new(checker)).unwrap();
    begin(&store, b"commit");
    begin(&store, b"rollback");
    scene.clock.turn_wall(TIMEOUT_MS);
    assert_eq!(store.check_transactions(), None);
    assert_eq!(bodies(&store, "orders", 3), [b"commit"]);
    assert_eq!(bodies(&store, "seen", 0), [&b"commit"[..], b"rollback"]);
    assert_eq!(bodies(&store, "orders", 0), [b"next", b"next"]);
}

/// Closing waits for the answer, which comes too late: the check counts, and the transaction is
/// open.
#[test]
fn closing_waits_for_a_check() {
    let scene = Scene::new(FlushMode::Async);
    let store = Arc::new(scene.open().unwrap());
    begin(&store, b"open");
    scene.clock.turn_wall(TIMEOUT_MS);
    let (asked, is_asked) = mpsc::sync_channel(1);
    let weak = Arc::downgrade(&store);
    let kept = Arc::new(());
    let held = Arc::clone(&kept);
    let checker = move |_: &TransactionCheck| {
        let _ = &held;
        asked.send(()).unwrap();
        let store = weak.upgrade().unwrap();
        while !store.is_closed() {
            std::thread::yield_now();
        }
        let refused = store.append(&Message::new("t", b"late")).unwrap_err();
        assert_eq!(refused.status(), Status::StoreClosed);
        TransactionAnswer::Commit
    };
    store.set_transaction_checker(Arc::new(checker)).unwrap();
    is_asked.recv_timeout(PATIENCE).unwrap();
    store.close().unwrap();
    assert_eq!(Arc::strong_count(&kept), 1);
    let late = store.set_transaction_checker(Arc::new(|_: &TransactionCheck| unreachable!()));
    assert_eq!(late.unwrap_err().status(), Status::StoreClosed);
    drop(store);
    let store = scene.open().unwrap();
    assert_eq!(store.open_transactions().unwrap().len(), 1);
    let halves = read(&store, HALF, 0);
    assert_eq!(times(&halves[1]).as_deref(), Some("1"));
    assert!(bodies(&store, "orders", 3).is_empty());
}

/// A half message whose properties have no room for the count is counted as long as the store is
/// open.
#[test]
fn a_count_without_room_is_kept_in_memory() {
    let mut scene = Scene::new(FlushMode::Async);
    scene.options.transaction_check_max = 2;
    let store = scene.open().unwrap();
    let asked = Asked::answering(&store, TransactionAnswer::Unknown);
    let begun = |length| {
        let value = "v".repeat(length);
        let properties = [("UNIQ_KEY", "id"), ("filler", &*value)];
        let message = Message::new("orders", b"full").queue_id(3).properties(&properties);
        store.begin_transaction(&message)
    };
    // The longest there can be.
    let length = (32_000..32_767).rev().find(|length| begun(*length).is_ok()).unwrap();
    assert_eq!(begun(length + 1).unwrap_err().status(), Status::PropertiesTooLarge);
    let half = store.open_transactions().unwrap();
    for time in 1..=2 {
        scene.clock.turn_wall(INTERVAL_MS);
        store.check_transactions();
        assert_eq!(asked.taken(), [(b"full".to_vec(), time)]);
        assert_eq!(store.open_transactions().unwrap(), half);
    }
    scene.clock.turn_wall(INTERVAL_MS);
    assert_eq!(store.check_transactions(), None);
    assert!(asked.taken().is_empty());
    assert_eq!(bodies(&store, TOO_OFTEN, 0), [b"full"]);
}

/// RocketMQ puts a half message once more, too, while it is not to be asked about. A producer then
/// ends the index that it knows.
#[test]
fn a_copy_that_rocketmq_made_is_ended_with_what_it_is_a_copy_of() {
    let scene = Scene::new(FlushMode::Async);
    let store = scene.open().unwrap();
    let first = begin(&store, b"first");
    for prepared in ["0", "0", "77"] {
        let properties =
            [("REAL_TOPIC", "orders"), ("REAL_QID", "3"), ("TRAN_PREPARED_QUEUE_OFFSET", prepared)];
        store.append(&Message::new(HALF, b"copy").properties(&properties)).unwrap();
    }
    let last = read(&store, HALF, 0).remove(3).physical_offset();
    first.rollback().unwrap();
    for _ in 0..2 {
        store.close().unwrap();
        let store = scene.open().unwrap();
        assert_eq!(store.open_transactions().unwrap(), [last]);
        store.close().unwrap();
    }
}

/// What cannot be counted because there is no space is not asked; it is later.
#[test]
fn a_full_disk_puts_checks_off() {
    let scene = Scene::new(FlushMode::Async);
    let store = scene.open().unwrap();
    let asked = Asked::answering(&store, TransactionAnswer::Commit);
    scene.disk.fail(Call::Create, "65536", Hits::From(1), libc::ENOSPC);
    let half = begin(&store, &[1; 40_000]);
    scene.clock.turn_wall(TIMEOUT_MS);
    assert_eq!(store.check_transactions(), Some(Duration::from_secs(30)));
    assert!(asked.taken().is_empty());
    assert_eq!(store.open_transactions().unwrap(), [half.half_offset()]);
    scene.disk.mend();
    scene.clock.turn_wall(INTERVAL_MS);
    assert_eq!(store.check_transactions(), None);
    assert_eq!(asked.taken(), [(vec![1; 40_000], 1)]);
    assert_eq!(bodies(&store, "orders", 3), [[1; 40_000]]);
}

/// With private buffers what was just put cannot be read yet.
#[test]
fn private_buffers_hide_no_half_message() {
    let scene = Scene::with_pool(FlushMode::Async, 2);
    let store = scene.open().unwrap();
    begin(&store, b"at once").commit().unwrap();
    let asked = Asked::answering(&store, TransactionAnswer::Commit);
    begin(&store, b"asked");
    scene.clock.turn_wall(TIMEOUT_MS);
    assert_eq!(store.check_transactions(), None);
    assert_eq!(asked.taken(), [(b"asked".to_vec(), 1)]);
    store.flush().unwrap();
    assert_eq!(bodies(&store, "orders", 3), [&b"at once"[..], b"asked"]);
}
