//! A store on the model of a disk that a script works with, and what the script put into it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use super::super::fault_disk::TurnableClock;
use super::super::scene::SEGMENT;
use super::disk::ModelDisk;
use super::journal::{Image, Journal, Promise};
use super::survival::Owed;
use crate::store::open::{Environment, open};
use crate::{
    AppendResult, EncodedBatch, FlushMode, Message, Pending, PhysicalOffset, QueueOffset, Result,
    Store, StoreOptions, encode_batch_item,
};

/// The consumer group of the scripts.
pub(super) const GROUP: &str = "group";
/// The topic whose queues the group consumes.
pub(super) const TOPIC: &str = "t";
/// The topic that has batch queues.
pub(super) const BATCH_TOPIC: &str = "batches";
/// How long nothing may be done to the disk before it counts as at rest.
const REST: Duration = Duration::from_micros(400);

/// A message that was appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) topic: String,
    pub(super) queue_id: i32,
    pub(super) queue_offset: u64,
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) body: Vec<u8>,
    /// How many indexes of the queue it takes.
    pub(super) count: u64,
    /// A key that no other record has.
    pub(super) key: Option<String>,
}

/// The key of the record of a number, of one length for all.
pub(super) fn key_of(number: usize) -> String {
    format!("k{number:06}")
}

/// The body of the record of a number: of a length, and without a zero in it.
pub(super) fn body_of(number: usize, bytes: usize) -> Vec<u8> {
    let mut body = format!("{number}:").into_bytes();
    let filling = (0u8..=255).cycle().skip(number % 256).map(|byte| byte | 1);
    body.extend(filling.take(bytes.saturating_sub(body.len())));
    body
}

fn encoded(bodies: &[Vec<u8>]) -> Vec<u8> {
    let mut items = Vec::new();
    for body in bodies {
        encode_batch_item(&mut items, 0, body, b"").unwrap();
    }
    items
}

/// What was done, as far as it can be found again.
#[derive(Debug, Clone, Default)]
pub(super) struct History {
    /// In the order of the log.
    pub(super) records: Vec<Record>,
    /// The greatest offset that was committed in each queue, whether durable or not.
    pub(super) committed: BTreeMap<i32, u64>,
    /// Bytes that were cut off the log, and must be kept beside it.
    pub(super) set_aside: Option<Vec<u8>>,
}

/// Everything about a script that was run: cut it where you like.
#[derive(Debug)]
pub(super) struct Recorded {
    /// How it is made again: a workload, and if it began on what a cut left, which cut that was.
    pub(super) name: String,
    pub(super) options: StoreOptions,
    pub(super) journal: Journal,
    pub(super) history: History,
    /// What could be relied on before the first step.
    pub(super) owed: Owed,
    /// The boot of the machine it ran under.
    pub(super) boot_id: u64,
}

/// What stores of these tests are opened with.
pub(super) fn options(mode: FlushMode) -> StoreOptions {
    let an_hour = 3_600_000;
    StoreOptions {
        segment_size_bytes: SEGMENT,
        flush_mode: mode,
        // Services work when the script asks them to.
        flush_interval_ms: an_hour,
        flush_thorough_interval_ms: an_hour,
        commit_interval_ms: an_hour,
        wake_commit_when_append: false,
        flush_consume_queue_interval_ms: an_hour,
        flush_consumer_offset_interval_ms: an_hour,
        consume_queue_file_size_bytes: 20_000,
        batch_consume_queue_file_size_bytes: 46_000,
        max_hash_slot_num: 100,
        max_index_num: 1000,
        transient_store_pool_size: 3,
        ..StoreOptions::default()
    }
}

/// An open store, opened below a directory of its own that holds its lock.
pub(super) fn open_on(
    disk: &ModelDisk,
    root: &Path,
    options: &StoreOptions,
    boot_id: u64,
) -> Result<Store> {
    let environment = Environment {
        disk: Arc::new(disk.clone()),
        clock: Arc::new(TurnableClock::new()),
        boot_id: Some(boot_id),
    };
    open(root, options, &environment)
}

/// What a script works with.
pub(super) struct Session {
    root: tempfile::TempDir,
    disk: ModelDisk,
    pub(super) options: StoreOptions,
    boot_id: u64,
    store: Option<Arc<Store>>,
    /// Offsets that were committed since the store was opened.
    committed: BTreeMap<i32, u64>,
    pub(super) history: History,
}

impl Session {
    /// No store is open yet.
    pub(super) fn new(options: StoreOptions, image: &Image, boot_id: u64) -> Self {
        let root = tempfile::tempdir().unwrap();
        let disk = ModelDisk::journaled(root.path(), image);
        let (committed, history) = (BTreeMap::new(), History::default());
        Self { root, disk, options, boot_id, store: None, committed, history }
    }

    /// Opens the store; what opening makes sure of is promised.
    pub(super) fn open(&mut self) -> Result<()> {
        let opened = open_on(&self.disk, self.root.path(), &self.options, self.boot_id)?;
        let store = Arc::new(opened);
        let weak: Weak<Store> = Arc::downgrade(&store);
        self.disk.probe(move |journal| {
            if let Some(store) = weak.upgrade() {
                journal.promise(Promise::Durable(store.durable_offset().get()));
            }
        });
        self.store = Some(store);
        self.settle();
        Ok(())
    }

    pub(super) fn store(&self) -> &Store {
        self.store.as_deref().expect("the store is open")
    }

    /// Waits until the services have done what there is to do.
    pub(super) fn settle(&self) {
        let store = self.store();
        let end = match self.options.flush_mode {
            // What was appended was waited for.
            FlushMode::Sync => store.max_offset(),
            FlushMode::Async => store.committed_offset(),
        };
        if self.options.consume_queue_enable {
            assert!(store.wait_dispatched(end, Duration::from_secs(10)).unwrap());
        }
        let (mut steps, mut since) = (self.disk.steps(), Instant::now());
        while since.elapsed() < REST {
            thread::sleep(REST / 4);
            self.disk.look();
            let now = self.disk.steps();
            if now != steps {
                (steps, since) = (now, Instant::now());
            }
        }
    }

    fn promise(&self, promise: Promise) {
        self.disk.note(|journal| journal.promise(promise));
    }

    /// The number of the next record. Under another boot it is another one: what is appended in
    /// place of a record that was lost can be told from it.
    fn next_number(&self) -> usize {
        self.history.records.len() + 100_000 * (self.boot_id as usize - 1)
    }

    fn put(&mut self, topic: &str, body: Vec<u8>, placed: &AppendResult) {
        let key = Some(key_of(self.next_number()));
        self.history.records.push(Record {
            topic: topic.to_owned(),
            queue_id: placed.queue_id,
            queue_offset: placed.queue_offset.get(),
            start: placed.physical_offset.get(),
            end: placed.end_offset().get(),
            body,
            count: u64::from(placed.message_count),
            key,
        });
    }

    fn begin(&mut self, topic: &str, queue_id: i32, bytes: usize) -> (PhysicalOffset, Pending) {
        let number = self.next_number();
        let (body, key) = (body_of(number, bytes), key_of(number));
        let keys = [key.as_str()];
        let message = Message::new(topic, &body).queue_id(queue_id).keys(&keys);
        let (placed, pending) = self.store().begin_append(&message).unwrap();
        self.put(topic, body, &placed);
        (placed.end_offset(), pending)
    }

    /// Appends one message, waits if the store does, and lets the services follow.
    pub(super) fn append(&mut self, topic: &str, queue_id: i32, bytes: usize) {
        let (end, pending) = self.begin(topic, queue_id, bytes);
        if self.options.flush_mode == FlushMode::Sync {
            pending.wait().unwrap();
            self.promise(Promise::Durable(end.get()));
        }
        self.settle();
    }

    /// Appends messages of which all but the last are not waited for before the next.
    pub(super) fn append_group(&mut self, count: usize, bytes: usize) {
        let group: Vec<_> =
            (0..count).map(|number| self.begin(TOPIC, number as i32 % 2, bytes)).collect();
        for (end, pending) in group {
            pending.wait().unwrap();
            if self.options.flush_mode == FlushMode::Sync {
                self.promise(Promise::Durable(end.get()));
            }
        }
        self.settle();
    }

    /// Appends messages in one call.
    pub(super) fn append_many(&mut self, count: usize, bytes: usize) {
        let first = self.next_number();
        let bodies: Vec<_> = (first..first + count).map(|at| body_of(at, bytes)).collect();
        let keys: Vec<_> = (first..first + count).map(key_of).collect();
        let keys: Vec<_> = keys.iter().map(|key| [key.as_str()]).collect();
        let messages: Vec<_> = bodies
            .iter()
            .zip(&keys)
            .map(|(body, keys)| Message::new(TOPIC, body).keys(keys))
            .collect();
        let mut results = Vec::new();
        self.store().append_many(&messages, &mut results).unwrap();
        for (body, placed) in bodies.into_iter().zip(&results) {
            self.put(TOPIC, body, placed);
        }
        self.acknowledged(results.last().unwrap());
    }

    /// Appends a client's batch as records of their own, all of the same size.
    pub(super) fn append_batch(&mut self, count: usize, bytes: usize) {
        let first = self.next_number();
        let bodies: Vec<_> = (first..first + count).map(|at| body_of(at, bytes)).collect();
        let items = encoded(&bodies);
        let batch = EncodedBatch { shared: Message::new(TOPIC, b"-"), items: &items };
        let placed = self.store().append_batch(&batch).unwrap();
        let size = u64::from(placed.size_bytes) / count as u64;
        for (at, body) in (0u64..).zip(bodies) {
            let start = placed.physical_offset.get() + at * size;
            self.history.records.push(Record {
                topic: TOPIC.to_owned(),
                queue_id: placed.queue_id,
                queue_offset: placed.queue_offset.get() + at,
                start,
                end: start + size,
                body,
                count: 1,
                key: None,
            });
        }
        self.acknowledged(&placed);
    }

    /// Appends a client's batch as one record, which goes to a batch queue.
    pub(super) fn append_inner_batch(&mut self, count: usize, bytes: usize) {
        let number = self.next_number();
        let bodies: Vec<_> = (0..count).map(|at| body_of(number + at, bytes)).collect();
        let (items, key) = (encoded(&bodies), key_of(number));
        let keys = [key.as_str()];
        let shared = Message::new(BATCH_TOPIC, b"-").keys(&keys);
        let batch = EncodedBatch { shared, items: &items };
        let placed = self.store().append_inner_batch(&batch).unwrap();
        self.put(BATCH_TOPIC, items, &placed);
        self.acknowledged(&placed);
    }

    fn acknowledged(&self, placed: &AppendResult) {
        if self.options.flush_mode == FlushMode::Sync {
            self.promise(Promise::Durable(placed.end_offset().get()));
        }
        self.settle();
    }

    /// Forces the log.
    pub(super) fn flush(&mut self) {
        let end = self.store().max_offset();
        self.store().flush().unwrap();
        self.promise(Promise::Durable(end.get()));
        self.settle();
    }

    /// Syncs the queues, and notes it in the checkpoint.
    pub(super) fn flush_queues(&mut self) {
        self.store().flush_queues().unwrap();
        self.settle();
    }

    /// Commits an offset of the group, which is not durable by that.
    pub(super) fn commit(&mut self, queue_id: i32, offset: u64) {
        let offset = QueueOffset::new(offset);
        self.store().commit_offset(GROUP, TOPIC, queue_id, offset).unwrap();
        self.committed.insert(queue_id, offset.get());
        self.history.committed.insert(queue_id, offset.get());
    }

    /// Makes the committed offsets durable.
    pub(super) fn persist(&mut self) {
        self.store().persist_offsets().unwrap();
        self.promise_committed();
        self.settle();
    }

    fn promise_committed(&self) {
        for (&queue_id, &offset) in &self.committed {
            self.promise(Promise::Committed { queue_id, offset });
        }
    }

    /// Closes the store, after which everything is promised.
    pub(super) fn close(&mut self) {
        let end = self.store().max_offset();
        self.store().close().unwrap();
        self.promise(Promise::Durable(end.get()));
        self.promise_committed();
        self.store = None;
    }

    /// Kills the process; the machine goes on, and what was written with it. Another process opens
    /// the store.
    pub(super) fn kill(&mut self) {
        let root = tempfile::tempdir().unwrap();
        self.disk = self.disk.kill(root.path());
        // Its calls fail from now on, and its end changes nothing.
        self.store = None;
        self.committed.clear();
        self.root = root;
        self.open().unwrap();
    }

    /// Ends the script.
    pub(super) fn finish(mut self, name: String, owed: Owed) -> Recorded {
        let journal = self.disk.finish();
        // A store that was not closed is let go on a disk that is written down no more.
        self.store = None;
        let history = std::mem::take(&mut self.history);
        let Self { options, boot_id, .. } = self;
        Recorded { name, options, journal, history, owed, boot_id }
    }
}
