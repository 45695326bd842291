//! Random operations against a plain list of messages.
//!
//! The seed of a run stands in the message of a failure; set `CAIRNLOG_MODEL_SEED` to it to see the
//! same operations again, and `CAIRNLOG_MODEL_CASES` to the number of lists to run in each mode.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::hash::{BuildHasher, RandomState};
use std::path::Path;

use cairnlog::{
    AppendResult, EncodedBatch, FlushMode, Message, PhysicalOffset, Store, StoreOptions,
    encode_batch_item,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

const CASES: &str = "CAIRNLOG_MODEL_CASES";
const SEED: &str = "CAIRNLOG_MODEL_SEED";
const SEGMENT: u64 = 64 * 1024;
/// The last one is of inner batches.
const TOPICS: [&str; 4] = ["orders", "a", "pay-events", "batches"];
const BATCHES: usize = TOPICS.len() - 1;

#[derive(Debug, Clone)]
enum Operation {
    Append { queue: Queue, length: usize, waits: bool },
    Batch { queue: Queue, lengths: Vec<usize> },
    InnerBatch { queue: Queue, count: usize },
    Refused { queue: Queue },
    Flush,
    Read { at: usize },
    Reopen,
    Kill,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Queue {
    topic: usize,
    queue_id: i32,
}

/// A message as the model knows it.
#[derive(Debug, Clone, PartialEq)]
struct Stored {
    queue: Queue,
    queue_offset: u64,
    /// How many indexes it takes in its queue.
    messages: u64,
    start: u64,
    end: u64,
    body: Vec<u8>,
}

fn queues() -> impl Strategy<Value = Queue> {
    (0..BATCHES, 0..2).prop_map(|(topic, queue_id)| Queue { topic, queue_id })
}

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let length = prop_oneof![4 => 1..200usize, 3 => 200..9000usize, 1 => 30_000..60_000usize];
    let append = (queues(), length, any::<bool>())
        .prop_map(|(queue, length, waits)| Operation::Append { queue, length, waits });
    let batch = (queues(), prop::collection::vec(1..3000usize, 1..6))
        .prop_map(|(queue, lengths)| Operation::Batch { queue, lengths });
    let operation = prop_oneof![
        20 => append,
        4 => batch,
        2 => (0..2, 1..5usize).prop_map(|(queue_id, count)| {
            Operation::InnerBatch { queue: Queue { topic: BATCHES, queue_id }, count }
        }),
        1 => queues().prop_map(|queue| Operation::Refused { queue }),
        3 => Just(Operation::Flush),
        3 => (0..100usize).prop_map(|at| Operation::Read { at }),
        2 => Just(Operation::Reopen),
        2 => Just(Operation::Kill),
    ];
    prop::collection::vec(operation, 1..50)
}

fn options(mode: FlushMode, pool: Option<usize>, record_crc: bool) -> StoreOptions {
    let mut options = StoreOptions::default();
    options.segment_size_bytes = SEGMENT;
    options.flush_mode = mode;
    options.append_record_crc = record_crc;
    options.transient_store_pool_enable = pool.is_some();
    options.transient_store_pool_size = pool.unwrap_or(1);
    // Only the operations commit and flush, so that a copy of the directory is of one moment.
    options.commit_interval_ms = 3_600_000;
    options.wake_commit_when_append = false;
    options.flush_interval_ms = 3_600_000;
    // Directories are copied to see what a kill leaves.
    options.consume_queue_file_size_bytes = 2000;
    options.max_hash_slot_num = 50;
    options.max_index_num = 200;
    options
}

/// A store, and what it must hold.
struct Pair {
    directory: tempfile::TempDir,
    options: StoreOptions,
    store: Store,
    stored: Vec<Stored>,
    counter: u8,
}

impl Pair {
    fn new(options: StoreOptions) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), &options).unwrap();
        Self { directory, options, store, stored: Vec::new(), counter: 0 }
    }

    fn body(&mut self, length: usize) -> Vec<u8> {
        self.counter = self.counter.wrapping_add(1);
        vec![self.counter; length]
    }

    fn next(&self, queue: Queue) -> u64 {
        let newest = self.stored.iter().rev().find(|stored| stored.queue == queue);
        newest.map_or(0, |stored| stored.queue_offset + stored.messages)
    }

    fn run(&mut self, operation: &Operation) {
        match operation {
            Operation::Append { queue, length, waits } => {
                let body = self.body(*length);
                let message = message(*queue, &body).wait_store_ok(*waits);
                let placed = self.store.append(&message).unwrap();
                let synced = *waits && self.options.flush_mode == FlushMode::Sync;
                assert!(!synced || self.store.durable_offset() >= placed.end_offset());
                self.add(*queue, 1, &placed, vec![body]);
            }
            Operation::Batch { queue, lengths } => {
                let bodies: Vec<_> = lengths.iter().map(|&length| self.body(length)).collect();
                let mut items = Vec::new();
                for body in &bodies {
                    encode_batch_item(&mut items, 0, body, b"p\x01v").unwrap();
                }
                let batch = EncodedBatch { shared: message(*queue, b""), items: &items };
                let placed = self.store.append_batch(&batch).unwrap();
                self.add(*queue, 1, &placed, bodies);
            }
            Operation::InnerBatch { queue, count } => {
                let mut items = Vec::new();
                for _ in 0..*count {
                    let body = self.body(10);
                    encode_batch_item(&mut items, 0, &body, b"").unwrap();
                }
                let batch = EncodedBatch { shared: message(*queue, b""), items: &items };
                let placed = self.store.append_inner_batch(&batch).unwrap();
                self.add(*queue, *count as u64, &placed, vec![items]);
            }
            Operation::Refused { queue } => {
                let body = self.body(70_000);
                assert!(self.store.append(&message(*queue, &body)).is_err());
                assert!(self.store.append(&message(*queue, b"")).is_err());
            }
            Operation::Flush => {
                self.store.flush().unwrap();
                assert_eq!(self.store.durable_offset(), self.store.max_offset());
            }
            Operation::Read { at } => self.read(*at),
            Operation::Reopen => {
                self.store.close().unwrap();
                self.store = Store::open(self.directory.path(), &self.options).unwrap();
                assert!(self.store.recovery_report().clean_stop);
            }
            Operation::Kill => self.kill(),
        }
        for (topic, name) in TOPICS.iter().enumerate() {
            for queue_id in 0..2 {
                let queue = Queue { topic, queue_id };
                let found = self.store.next_queue_offset(name, queue_id);
                assert_eq!(found.get(), self.next(queue), "{queue:?}");
            }
        }
    }

    /// Adds the records of one call to the model: they differ in length by their bodies only.
    fn add(&mut self, queue: Queue, messages: u64, placed: &AppendResult, bodies: Vec<Vec<u8>>) {
        let mut start = placed.physical_offset.get();
        let ends_at = self.stored.last().map_or(0, |stored| stored.end);
        let rolled = start.is_multiple_of(SEGMENT) && start > ends_at;
        assert!(start == ends_at || rolled, "{start} behind {ends_at}");
        let body_bytes: usize = bodies.iter().map(Vec::len).sum();
        let others = placed.size_bytes as usize - body_bytes;
        assert_eq!(others % bodies.len(), 0);
        for body in bodies.iter() {
            let end = start + (others / bodies.len() + body.len()) as u64;
            let queue_offset = self.next(queue);
            self.stored.push(Stored {
                queue,
                queue_offset,
                messages,
                start,
                end,
                body: body.clone(),
            });
            start = end;
        }
        assert_eq!(start, placed.end_offset().get());
        assert_eq!(self.store.max_offset(), placed.end_offset());
        let count = messages * bodies.len() as u64;
        assert_eq!(u64::from(placed.message_count), count);
        let first = self.next(queue) - count;
        assert_eq!(placed.queue_offset.get(), first);
    }

    fn read(&self, at: usize) {
        let committed = self.store.committed_offset().get();
        let readable = self.stored.iter().filter(|stored| stored.end <= committed);
        let readable: Vec<_> = readable.collect();
        let Some(first) = readable.get(at % readable.len().max(1)) else {
            return;
        };
        let view = self.store.read_at(PhysicalOffset::new(first.start)).unwrap();
        assert_same(&view, first);
        let batch = self.store.read_log(PhysicalOffset::new(first.start), 5, 20_000);
        let from = readable.iter().position(|stored| stored.start == first.start);
        for (view, stored) in batch.unwrap().messages().iter().zip(&readable[from.unwrap()..]) {
            assert_same(view, stored);
        }
    }

    /// Goes on with a copy of the directory as it is now: what a kill leaves. What was committed
    /// is there, and whatever else is, follows it without a gap.
    fn kill(&mut self) {
        let committed = self.store.committed_offset().get();
        let copy = tempfile::tempdir().unwrap();
        copy_directory(self.directory.path(), copy.path());
        let store = Store::open(copy.path(), &self.options).unwrap();
        assert!(!store.recovery_report().clean_stop);
        let end = store.max_offset().get();
        assert!(end >= committed, "{end} of {committed} committed");
        assert_eq!(store.durable_offset().get(), end);
        self.stored.retain(|stored| stored.end <= end);
        self.store = store;
        self.directory = copy;
        self.check();
    }

    /// The store holds what the model does, and nothing else.
    fn check(&self) {
        let committed = self.store.committed_offset().get();
        let scan = self.store.scan(self.store.min_offset()).unwrap();
        let views: Vec<_> = scan.map(|view| view.unwrap()).collect();
        let readable = self.stored.iter().filter(|stored| stored.end <= committed);
        let readable: Vec<_> = readable.collect();
        assert_eq!(views.len(), readable.len());
        for (view, stored) in views.iter().zip(readable) {
            assert_same(view, stored);
        }
    }
}

fn message(queue: Queue, body: &[u8]) -> Message<'_> {
    Message::new(TOPICS[queue.topic], body).queue_id(queue.queue_id)
}

fn assert_same(view: &cairnlog::MessageView, stored: &Stored) {
    let queue = Queue {
        topic: TOPICS.iter().position(|topic| *topic == view.topic()).unwrap(),
        queue_id: view.queue_id(),
    };
    let found = Stored {
        queue,
        queue_offset: view.queue_offset().get(),
        messages: stored.messages,
        start: view.physical_offset().get(),
        end: view.end_offset().get(),
        body: view.body().to_vec(),
    };
    assert!(found == *stored, "{found:?}\n{stored:?}");
}

fn copy_directory(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            std::fs::create_dir_all(&target).unwrap();
            copy_directory(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn the_store_holds_what_a_plain_list_holds() {
    let seed = std::env::var(SEED).map_or_else(
        |_| RandomState::new().hash_one(std::process::id()),
        |seed| seed.parse().unwrap(),
    );
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_be_bytes());
    let modes = [
        (FlushMode::Async, None),
        (FlushMode::Async, Some(5)),
        (FlushMode::Async, Some(1)),
        (FlushMode::Sync, None),
        (FlushMode::Sync, Some(1)),
    ];
    let cases = std::env::var(CASES).map_or(20, |cases| cases.parse().unwrap());
    for (mode, pool) in modes {
        for record_crc in [false, true] {
            let config = Config {
                cases,
                max_shrink_iters: 200,
                failure_persistence: None,
                ..Config::default()
            };
            let random = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
            let outcome = TestRunner::new_with_rng(config, random).run(&operations(), |list| {
                let mut pair = Pair::new(options(mode, pool, record_crc));
                for operation in &list {
                    pair.run(operation);
                }
                pair.check();
                pair.run(&Operation::Kill);
                pair.run(&Operation::Reopen);
                pair.check();
                Ok(())
            });
            if let Err(error) = outcome {
                panic!("{SEED}={seed}, {mode:?}, pool {pool:?}, record CRC {record_crc}: {error}");
            }
        }
    }
}
