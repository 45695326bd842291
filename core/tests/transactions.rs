//! Transactions, as a program sees them, and as RocketMQ wrote them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::time::Duration;

use cairnlog::{
    ConsumerOffsets, Error, FlushMode, Message, MessageView, PhysicalOffset, ReadRequest, Status,
    Store, StoreOptions,
};

const PATIENCE: Duration = Duration::from_secs(60);
const HALF: &str = "RMQ_SYS_TRANS_HALF_TOPIC";
const OP: &str = "RMQ_SYS_TRANS_OP_HALF_TOPIC";
const GROUP: &str = "CID_RMQ_SYS_TRANS";

fn options(mode: FlushMode) -> StoreOptions {
    let mut options = StoreOptions::default();
    options.segment_size_bytes = 1 << 20;
    options.flush_mode = mode;
    options.message_delay_level = "0s".to_owned();
    options
}

fn read(store: &Store, topic: &str, queue_id: i32) -> Vec<MessageView> {
    assert!(store.wait_dispatched(store.max_offset(), PATIENCE).unwrap());
    store.read(&ReadRequest::new(topic, queue_id, 0)).unwrap().into_messages()
}

fn bodies(store: &Store, topic: &str, queue_id: i32) -> Vec<Vec<u8>> {
    read(store, topic, queue_id).iter().map(|message| message.body().to_vec()).collect()
}

fn no_such<T>(result: Result<T, Error>) -> bool {
    result.err().map(|error| error.status()) == Some(Status::NoSuchTransaction)
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), target).unwrap()),
        }
    }
}

#[test]
fn only_what_is_committed_is_seen_and_each_ends_once() {
    for mode in [FlushMode::Async, FlushMode::Sync] {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), &options(mode)).unwrap();
        let message = Message::new("orders", b"paid").queue_id(3).tag("a");
        let paid = store.begin_transaction(&message).unwrap();
        let refused = store.begin_transaction(&Message::new("orders", b"refused")).unwrap();
        let left = store.begin_transaction(&Message::new("orders", b"left")).unwrap();
        assert!(bodies(&store, "orders", 3).is_empty());
        let placed = paid.commit().unwrap();
        assert_eq!((placed.queue_id, placed.queue_offset.get()), (3, 0));
        refused.rollback().unwrap();
        assert_eq!(bodies(&store, "orders", 3), [b"paid"]);
        assert!(bodies(&store, "orders", 0).is_empty());
        assert_eq!(bodies(&store, OP, 0), [b"0,", b"1,"]);
        let seen = read(&store, "orders", 3).remove(0);
        assert_eq!(seen.sys_flag(), 0x8);
        assert_eq!(seen.prepared_transaction_offset(), paid.half_offset().to_i64());
        for ended in [&paid, &refused] {
            assert!(no_such(ended.commit()) && no_such(ended.rollback()));
        }
        assert!(no_such(store.commit_transaction(placed.physical_offset)));
        assert!(no_such(store.rollback_transaction(PhysicalOffset::new(1 << 40))));
        assert_eq!(store.open_transactions().unwrap(), [left.half_offset()]);
        store.close().unwrap();
        assert_eq!(left.commit().unwrap_err().status(), Status::StoreClosed);

        let store = Store::open(directory.path(), &options(mode)).unwrap();
        assert_eq!(store.open_transactions().unwrap(), [left.half_offset()]);
        assert!(no_such(store.commit_transaction(paid.half_offset())));
        store.commit_transaction(left.half_offset()).unwrap();
        assert_eq!(bodies(&store, "orders", 0), [b"left"]);
        store.close().unwrap();
        // RocketMQ goes on where all is ended.
        let offsets = ConsumerOffsets::read(directory.path()).unwrap();
        let noted = |topic| offsets.get(GROUP, topic, 0).unwrap().get();
        assert_eq!((noted(HALF), noted(OP)), (3, 3));
        let store = Store::open(directory.path(), &options(mode)).unwrap();
        assert!(store.open_transactions().unwrap().is_empty());
        let next = store.begin_transaction(&message).unwrap();
        assert_eq!(next.half().queue_offset.get(), 3);
        next.commit().unwrap();
        assert_eq!(bodies(&store, "orders", 3).len(), 2);
    }
}

/// What a kill leaves at each stage is found: an ended transaction is ended, an open one open.
#[test]
fn a_kill_leaves_open_what_was_not_ended() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), &options(FlushMode::Sync)).unwrap();
    let half = store.begin_transaction(&Message::new("orders", b"one")).unwrap().half_offset();
    let kill = || {
        let copied = tempfile::tempdir().unwrap();
        copy(directory.path(), copied.path());
        copied
    };
    let begun = kill();
    store.commit_transaction(half).unwrap();
    let committed = kill();
    for (copied, open) in [(begun, true), (committed, false)] {
        let store = Store::open(copied.path(), &options(FlushMode::Sync)).unwrap();
        assert_eq!(store.open_transactions().unwrap().len(), usize::from(open));
        if open {
            store.commit_transaction(half).unwrap();
        }
        assert!(no_such(store.rollback_transaction(half)));
        assert_eq!(bodies(&store, "orders", 0), [b"one"]);
    }
}

#[test]
fn a_delay_begins_with_the_commit() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), &options(FlushMode::Async)).unwrap();
    let message = Message::new("orders", b"later").queue_id(1).delay_level(5);
    let transaction = store.begin_transaction(&message).unwrap();
    assert_eq!(bodies(&store, HALF, 0), [b"later"]);
    let placed = transaction.commit().unwrap();
    let waited = store.read_at(placed.physical_offset).unwrap();
    assert_eq!(waited.topic(), "SCHEDULE_TOPIC_XXXX");
    let first = cairnlog::QueueOffset::new(0);
    assert!(store.wait_message("orders", 1, first, PATIENCE).unwrap());
    assert_eq!(bodies(&store, "orders", 1), [b"later"]);
}

/// The same transactions give RocketMQ's records. Properties are compared as a set: Java writes
/// them in the order of a hash map.
#[test]
fn the_records_of_a_transaction_are_those_of_rocketmq() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/v533-features");
    let copied = tempfile::tempdir().unwrap();
    copy(&fixture.join("store"), copied.path());
    let mut as_it_is = StoreOptions::default();
    as_it_is.consume_queue_enable = false;
    let reader = Store::open(copied.path(), &as_it_is).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let mut options = options(FlushMode::Async);
    options.store_host = "10.0.0.1:10911".parse().unwrap();
    options.append_record_crc = false;
    let store = Store::open(directory.path(), &options).unwrap();
    let manifest = std::fs::read_to_string(fixture.join("manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    let records = manifest["records"].as_array().unwrap();
    let of = |topic: &str| -> Vec<MessageView> {
        let of_topic = records.iter().filter(|record| record["topic"] == topic);
        let offset = |record: &serde_json::Value| record["physical_offset"].as_u64().unwrap();
        of_topic.map(|r| reader.read_at(PhysicalOffset::new(offset(r))).unwrap()).collect()
    };
    let (halves, ops) = (of(HALF), of(OP));
    let committed: Vec<_> =
        of("tx-topic").into_iter().filter(|record| record.sys_flag() == 0x8).collect();
    assert_eq!((halves.len(), committed.len(), ops.len()), (3, 2, 3));
    let pairs = |message: &MessageView| {
        let pairs = message.properties().map(|(name, value)| (name.to_vec(), value.to_vec()));
        let mut pairs: Vec<_> = pairs.collect();
        pairs.sort();
        pairs
    };
    let same = |ours: &MessageView, theirs: &MessageView| {
        assert_eq!(pairs(ours), pairs(theirs));
        assert_eq!(ours.size_bytes(), theirs.size_bytes());
        assert_eq!((ours.topic(), ours.body()), (theirs.topic(), theirs.body()));
        assert_eq!(
            (ours.queue_id(), ours.queue_offset()),
            (theirs.queue_id(), theirs.queue_offset())
        );
        assert_eq!((ours.sys_flag(), ours.flag()), (theirs.sys_flag(), theirs.flag()));
    };
    for theirs in &halves {
        let (key, unique) = (theirs.keys()[0].to_string(), theirs.property("UNIQ_KEY").unwrap());
        let properties = [("PGROUP", "tx-producers"), ("UNIQ_KEY", &*unique), ("TRAN_MSG", "no")];
        let keys = [&*key];
        let mut message = Message::new("tx-topic", theirs.body()).queue_id(1).tag("tx");
        message.born_host = Some(theirs.born_host());
        message.born_timestamp_ms = Some(theirs.born_timestamp_ms());
        // Of the transaction type a client sends, nothing is left.
        message.sys_flag = 0x4;
        let message = message.keys(&keys).properties(&properties);
        let transaction = store.begin_transaction(&message).unwrap();
        assert_eq!(transaction.id(), Some(&*unique));
        let ours = store.read_at(transaction.half_offset()).unwrap();
        same(&ours, theirs);
        let prepared = theirs.physical_offset().to_i64();
        let ended = committed.iter().find(|end| end.prepared_transaction_offset() == prepared);
        match ended {
            None => transaction.rollback().unwrap(),
            Some(theirs) => {
                let placed = transaction.commit().unwrap();
                let ours = store.read_at(placed.physical_offset).unwrap();
                same(&ours, theirs);
                assert_eq!(ours.prepared_transaction_offset(), transaction.half_offset().to_i64());
                assert_eq!(ours.born_host(), message.born_host.unwrap());
            }
        }
    }
    for (ours, theirs) in read(&store, OP, 0).iter().zip(&ops) {
        same(ours, theirs);
    }
}
