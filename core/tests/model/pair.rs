//! A store, the list of what it must hold, and what is done to both.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::time::{Duration, Instant};

use cairnlog::{
    AppendResult, EncodedBatch, FlushMode, Message, MessageView, PhysicalOffset, QueueAppender,
    Status, Store, StoreOptions, encode_batch_item,
};

use crate::groups::{GroupModel, Offsets};
use crate::model::{HALF, Model, NEVER, Record, empty};
use crate::operations::{BATCHES, Content, End, GROUPS, How, Operation, Queue, TOPICS};

pub(crate) const SEGMENT: u64 = 64 * 1024;
pub(crate) const LONG: Duration = Duration::from_secs(30);

pub(crate) struct Pair {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) options: StoreOptions,
    pub(crate) store: Store,
    pub(crate) model: Model,
    pub(crate) groups: Vec<GroupModel>,
    /// What `consumerOffset.json` has.
    pub(crate) persisted: Offsets,
    handles: HashMap<Queue, QueueAppender>,
    /// Deliveries of delayed messages since the store was opened.
    pub(crate) deliveries: u64,
    counter: u32,
}

impl Pair {
    pub(crate) fn new(options: StoreOptions) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), &options).unwrap();
        assert!(store.recovery_report().created);
        Self {
            directory,
            options,
            store,
            model: Model::default(),
            groups: (0..GROUPS).map(GroupModel::new).collect(),
            persisted: Offsets::new(),
            handles: HashMap::new(),
            deliveries: 0,
            counter: 0,
        }
    }

    pub(crate) fn run(&mut self, operation: &Operation) {
        match operation {
            Operation::Append { queue, content, waits, how } => {
                self.append(*queue, content, *waits, *how);
            }
            Operation::Many { messages } => self.append_many(messages),
            Operation::Batch { queue, contents } => self.append_batch(*queue, contents),
            Operation::InnerBatch { queue_id, shared, count } => {
                self.append_inner_batch(*queue_id, shared, *count);
            }
            Operation::Delay { queue, content, level } => self.delay(*queue, content, *level),
            Operation::Begin { queue, content, level } => self.begin(*queue, content, *level),
            Operation::End { which, how } => self.end(*which, *how),
            Operation::Refused { queue } => self.refused(*queue),
            Operation::Join { group } => self.join(*group),
            Operation::Leave { group, which } => self.leave(*group, *which),
            Operation::Poll { group, which, most, fates } => {
                self.poll(*group, *which, *most, *fates);
            }
            Operation::CommitOffset { queue, at } => self.commit_offset(*queue, *at),
            Operation::Persist => self.persist(),
            Operation::Flush => self.flush(),
            Operation::ReadLog { at } => self.read_log(*at),
            Operation::ReadQueue { queue, from, most, bytes, filter } => {
                self.read_queue(*queue, *from, (*most, *bytes), *filter);
            }
            Operation::Tail { queue, from, filter } => self.tail(*queue, *from, *filter),
            Operation::AtTime { queue, at, shift } => self.at_time(*queue, *at, *shift),
            Operation::QueryKey { topic, key, most, from, to } => {
                self.query_key(*topic, *key, *most, (*from, *to));
            }
            Operation::FindId { at } => self.find_id(*at),
            Operation::RemoveBefore { at, flushes } => self.remove_before(*at, *flushes),
            Operation::RemoveExpired => self.remove_expired(),
            Operation::Reopen { lost } => self.reopen(*lost),
            Operation::Kill { lost, power } => self.kill(*lost, *power),
        }
        self.settle(Vec::new());
        self.check_cheaply();
    }

    /// The end of what queues hold once everything has settled.
    pub(crate) fn limit(&self) -> u64 {
        self.store.committed_offset().get()
    }

    fn is_pool(&self) -> bool {
        self.options.transient_store_pool_enable
    }

    fn is_sync(&self) -> bool {
        self.options.flush_mode == FlushMode::Sync
    }

    /// What is delayed may be delivered as soon as this has committed it.
    pub(crate) fn flush(&mut self) {
        let end = self.store.max_offset();
        self.store.flush().unwrap();
        assert!(self.store.durable_offset() >= end);
    }

    /// Gives a message a body, and a unique key if it is to have one, that nobody else has.
    fn fill(&mut self, content: &Content) -> Content {
        self.counter += 1;
        let mut content = content.clone();
        let digits = self.counter.to_string().into_bytes();
        let bytes = digits.iter().chain(b".").cycle();
        content.body.resize(content.body.len().max(digits.len() + 1), 0);
        content.body.iter_mut().zip(bytes).for_each(|(byte, digit)| *byte = *digit);
        content.unique = content.unique.map(|_| format!("unique-{}", self.counter));
        content
    }

    fn append(&mut self, queue: Queue, content: &Content, waits: bool, how: How) {
        let content = self.fill(content);
        let (keys, properties) = (Vec::from_iter(content.key), content.properties());
        let message = message(queue, &content, &keys, &properties).wait_store_ok(waits);
        let handle = match how {
            How::ByHandle => Some(
                self.handles
                    .entry(queue)
                    .or_insert_with(|| self.store.queue(queue.name(), queue.queue_id).unwrap()),
            ),
            _ => None,
        };
        let placed = match (how, handle) {
            (How::InTwoSteps, _) => {
                let (placed, pending) = self.store.begin_append(&message).unwrap();
                pending.wait().unwrap();
                placed
            }
            (How::Async, _) => self.store.append_async(&message).unwrap().wait().unwrap(),
            (_, Some(handle)) => handle.append(&message).unwrap(),
            (_, None) => self.store.append(&message).unwrap(),
        };
        self.check_acknowledged(&placed, waits);
        let record = Record::new(queue.name(), queue.queue_id, content.clone());
        self.add(&placed, vec![record]);
    }

    /// Asserts what an acknowledgement promises.
    fn check_acknowledged(&self, placed: &AppendResult, waits: bool) {
        let end = placed.end_offset();
        if self.is_sync() && waits {
            assert!(self.store.durable_offset() >= end, "acknowledged and not durable");
        } else if self.is_sync() || !self.is_pool() {
            assert!(self.store.committed_offset() >= end, "acknowledged and not committed");
        }
    }

    fn append_many(&mut self, messages: &[(Queue, Content)]) {
        let filled: Vec<_> =
            messages.iter().map(|(queue, content)| (*queue, self.fill(content))).collect();
        let parts: Vec<_> = filled
            .iter()
            .map(|(_, content)| (Vec::from_iter(content.key), content.properties()))
            .collect();
        let messages: Vec<_> = filled
            .iter()
            .zip(&parts)
            .map(|((queue, content), (keys, properties))| {
                message(*queue, content, keys, properties)
            })
            .collect();
        let mut results = Vec::new();
        self.store.append_many(&messages, &mut results).unwrap();
        assert_eq!(results.len(), filled.len());
        self.check_acknowledged(results.last().unwrap(), true);
        for (placed, (queue, content)) in results.iter().zip(&filled) {
            let record = Record::new(queue.name(), queue.queue_id, content.clone());
            self.add(placed, vec![record]);
        }
    }

    fn append_batch(&mut self, queue: Queue, contents: &[Content]) {
        let contents: Vec<_> = contents.iter().map(|content| self.fill(content)).collect();
        let mut items = Vec::new();
        for content in &contents {
            encode_batch_item(&mut items, 0, &content.body, &content.encoded()).unwrap();
        }
        let shared = Message::new(queue.name(), b"").queue_id(queue.queue_id);
        let placed = self.store.append_batch(&EncodedBatch { shared, items: &items }).unwrap();
        self.check_acknowledged(&placed, true);
        let record = |content| Record::new(queue.name(), queue.queue_id, content);
        self.add(&placed, contents.into_iter().map(record).collect());
    }

    fn append_inner_batch(&mut self, queue_id: i32, shared: &Content, count: usize) {
        let mut content = self.fill(shared);
        let mut items = Vec::new();
        for _ in 0..count {
            let body = self.fill(shared).body;
            encode_batch_item(&mut items, 0, &body, b"").unwrap();
        }
        let queue = Queue { topic: BATCHES, queue_id };
        let (keys, properties) = (Vec::from_iter(content.key), content.properties());
        let shared = Message { body: b"", ..message(queue, &content, &keys, &properties) };
        let placed = self.store.append_inner_batch(&EncodedBatch { shared, items: &items });
        let placed = placed.unwrap();
        drop(properties);
        content.body = items;
        let mut record = Record::new(queue.name(), queue_id, content);
        record.messages = count as u64;
        self.add(&placed, vec![record]);
    }

    fn delay(&mut self, queue: Queue, content: &Content, level: u32) {
        let content = self.fill(content);
        let (keys, properties) = (Vec::from_iter(content.key), content.properties());
        let message = message(queue, &content, &keys, &properties).delay_level(level);
        let placed = self.store.append(&message).unwrap();
        let record = Record::new(queue.name(), queue.queue_id, content.clone()).delayed(level);
        self.add(&placed, vec![record]);
    }

    fn begin(&mut self, queue: Queue, content: &Content, level: u32) {
        let content = self.fill(content);
        let (keys, properties) = (Vec::from_iter(content.key), content.properties());
        let message = message(queue, &content, &keys, &properties).delay_level(level);
        let transaction = self.store.begin_transaction(&message).unwrap();
        assert_eq!(transaction.id(), content.unique.as_deref());
        let placed = transaction.half();
        let mut record = Record::new(HALF, 0, content.clone());
        record.real = Some((queue.name().to_owned(), queue.queue_id));
        record.level = level;
        self.add(&placed, vec![record]);
    }

    /// Ends one of the open transactions. One whose half message was removed can only be forgotten.
    fn end(&mut self, which: usize, how: End) {
        let min = self.model.min;
        let open = self.model.open_halves();
        let open: Vec<_> = open.into_iter().filter(|half| half.start >= min).collect();
        let Some(half) = open.get(which % open.len().max(1)).map(|half| (*half).clone()) else {
            let nowhere = PhysicalOffset::new(self.limit());
            let error = self.store.commit_transaction(nowhere).unwrap_err();
            assert_eq!(error.status(), Status::NoSuchTransaction);
            return;
        };
        if self.model.due(u64::MAX).values().any(|due| !due.is_empty()) {
            // Committing a transaction also commits what is delayed, whose copies then come at any
            // moment.
            self.flush();
            self.settle(Vec::new());
        }
        let offset = PhysicalOffset::new(half.start);
        let op = Record::op(half.queue_offset);
        if how == End::Rollback {
            self.store.rollback_transaction(offset).unwrap();
        } else {
            let placed = self.store.commit_transaction(offset).unwrap();
            self.check_acknowledged(&placed, true);
            let (topic, queue_id) = half.real.clone().unwrap();
            let mut record = Record::new(&topic, queue_id, half.content.clone());
            if half.level > 0 {
                record = record.delayed(half.level);
            }
            self.add(&placed, vec![record]);
        }
        self.settle(vec![op]);
        let error = self.store.rollback_transaction(offset).unwrap_err();
        assert_eq!(error.status(), Status::NoSuchTransaction, "{error}");
    }

    fn refused(&mut self, queue: Queue) {
        let content = Content { body: vec![7; 70_000], ..empty() };
        let message = message(queue, &content, &[], &[]);
        assert!(self.store.append(&message).is_err());
        assert!(self.store.append(&Message { body: b"", ..message }).is_err());
        assert!(self.store.begin_transaction(&message).is_err());
        assert!(self.store.append(&message.delay_level(NEVER)).is_err());
    }

    /// Adds the records of one call to the model: they differ in length by their contents only.
    fn add(&mut self, placed: &AppendResult, records: Vec<Record>) {
        let count = records.len() as u64;
        let messages: u64 = records.iter().map(|record| record.messages).sum();
        let mut start = placed.physical_offset.get();
        let ends_at = self.model.end();
        let rolled = start.is_multiple_of(SEGMENT) && start > ends_at;
        assert!(start == ends_at || rolled, "{start} behind {ends_at}");
        assert_eq!(u64::from(placed.message_count), messages);
        assert_eq!(placed.queue_offset.get(), self.model.next(&records[0].queue));
        assert_eq!(placed.queue_id, records[0].queue.1);
        let length = |record: &Record| match count {
            1 => u64::from(placed.size_bytes),
            _ => (record.content.body.len() + record.content.encoded().len()) as u64,
        };
        let fixed = u64::from(placed.size_bytes) - records.iter().map(length).sum::<u64>();
        assert_eq!(fixed % count, 0);
        for mut record in records {
            let end = start + fixed / count + length(&record);
            record.time_ms = Some(placed.store_timestamp_ms);
            self.model.push(record, start, end);
            start = end;
        }
        assert_eq!(start, placed.end_offset().get());
    }

    /// Waits until nothing moves any more, and adds to the model what came: the records that are
    /// `expected`, in this order, and the deliveries that are due, in the order of each level.
    pub(crate) fn settle(&mut self, mut expected: Vec<Record>) {
        expected.reverse();
        loop {
            let awaited = expected.len();
            let end = self.store.max_offset().get();
            let start = self.model.end().max(end.saturating_sub(1) / SEGMENT * SEGMENT);
            if !self.is_sync() && expected.len() == 1 && self.limit() <= start {
                // It is in a buffer, and cannot be read yet; but nothing else can have come.
                self.model.push(expected.remove(0), start, end);
            }
            if self.is_sync() {
                self.store.wait_durable(self.store.max_offset(), LONG).unwrap();
            }
            let limit = self.store.committed_offset();
            assert!(self.store.wait_dispatched(limit, LONG).unwrap(), "{limit} is not dispatched");
            let mut due = self.model.due(limit.get());
            let count: usize = due.values().map(Vec::len).sum();
            self.await_deliveries(count as u64);
            if count > 0 && self.is_pool() {
                self.store.flush().unwrap();
            }
            self.absorb(&mut expected, &mut due);
            if count == 0 && awaited == 0 {
                break;
            }
        }
    }

    fn await_deliveries(&mut self, count: u64) {
        self.deliveries += count;
        let deadline = Instant::now() + LONG;
        while self.store.stats().delayed_delivered < self.deliveries {
            let stats = self.store.stats();
            assert!(
                Instant::now() < deadline,
                "{} of {}",
                stats.delayed_delivered,
                self.deliveries
            );
            assert_eq!(stats.delayed_undeliverable, 0);
            std::thread::sleep(Duration::from_micros(100));
        }
    }

    /// Adds to the model what the store can read and the model does not know.
    fn absorb(&mut self, expected: &mut Vec<Record>, due: &mut BTreeMap<i32, Vec<Record>>) {
        if self.limit() <= self.model.end() {
            assert!(expected.is_empty() && due.is_empty(), "missing: {expected:?} {due:?}");
            return;
        }
        let from = PhysicalOffset::new(self.model.end().max(self.model.min));
        // What is due since one of the expected records came; its delivery may be here already.
        let mut late = BTreeMap::new();
        for view in self.store.scan(from).unwrap() {
            let view = view.unwrap();
            let in_time = take_delivered(due, &view);
            let delivered = in_time.or_else(|| {
                let delivered = take_delivered(&mut late, &view)?;
                self.deliveries += 1;
                Some(delivered)
            });
            let mut record = match delivered {
                Some(waited) => {
                    self.model.delivered.insert(waited.queue.1, waited.next());
                    let (topic, queue_id) = waited.real.unwrap();
                    let mut copy = Record::new(&topic, queue_id, waited.content);
                    copy.attempts = waited.attempts;
                    copy
                }
                None => expected.pop().unwrap_or_else(|| {
                    let (topic, end) = (view.topic().into_owned(), self.model.end());
                    panic!("nobody appended {} of {topic}, {end}", view.physical_offset())
                }),
            };
            record.time_ms = Some(view.store_timestamp_ms());
            self.model.push(record, view.physical_offset().get(), view.end_offset().get());
            let record = self.model.records.last().unwrap();
            record.assert_is(&view);
            if record.is_due() {
                late.entry(record.queue.1).or_default().push(record.clone());
            }
        }
        assert!(due.values().all(Vec::is_empty), "not delivered: {due:?}");
        assert!(expected.is_empty(), "not appended: {expected:?}");
    }

    /// Forgets what belongs to the store that was just closed or left.
    pub(crate) fn forget_handles(&mut self) {
        self.handles.clear();
        self.deliveries = 0;
    }
}

/// Takes out the first message of one of the levels if it is what was read in its queue.
fn take_delivered(due: &mut BTreeMap<i32, Vec<Record>>, view: &MessageView) -> Option<Record> {
    let is_first = |records: &&mut Vec<Record>| {
        records.first().is_some_and(|first| {
            let (topic, queue_id) = first.real.as_ref().unwrap();
            *topic == view.topic()
                && *queue_id == view.queue_id()
                && first.attempts == view.reconsume_times()
                && first.content.body == view.body()
        })
    };
    due.values_mut().find(is_first).map(|records| records.remove(0))
}

fn message<'m>(
    queue: Queue,
    content: &'m Content,
    keys: &'m [&'m str],
    properties: &'m [(&'m str, &'m str)],
) -> Message<'m> {
    let mut message = Message::new(TOPICS[queue.topic], &content.body).queue_id(queue.queue_id);
    message.tag = content.tag;
    message.keys(keys).properties(properties)
}

pub(crate) fn copy_directory(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_directory(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
