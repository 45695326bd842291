//! Groups: who has what in hand, what comes next, and how far each has come.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cairnlog::{
    ConsumeOrder, Consumer, ConsumerOptions, Delivery, QueueOffset, StartFrom, Status, Store,
};

use crate::model::{QueueName, Record};
use crate::operations::{Queue, TOPICS, Wanted};
use crate::pair::Pair;

/// Where groups have come to, by group and queue.
pub(crate) type Offsets = BTreeMap<(String, QueueName), u64>;

const NO_TIME: Duration = Duration::ZERO;
const MAX_MEMBERS: usize = 3;
const MAX_IN_HAND: usize = 6;
/// The group of nobody, whose offsets an application commits by itself.
const PULL: &str = "pull";

/// What is to become of a message in hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Acknowledged,
    Failed,
    Kept,
}

/// A group as the model knows it.
pub(crate) struct GroupModel {
    name: &'static str,
    topics: Vec<&'static str>,
    wanted: Wanted,
    order: ConsumeOrder,
    /// How often a message is tried again.
    tries: i32,
    members: Vec<Member>,
    joined: u64,
    queues: BTreeMap<QueueName, Progress>,
}

struct Member {
    id: u64,
    consumer: Consumer,
    in_hand: Vec<Delivery>,
}

/// How far a group has come with a queue.
#[derive(Debug, Default)]
struct Progress {
    /// Everything wanted below was handed out.
    next: u64,
    in_hand: BTreeSet<u64>,
    owner: Option<u64>,
    /// In an orderly queue: which message failed, and how often.
    failures: (u64, i32),
}

impl Progress {
    /// Gives everything in hand back.
    fn rewind(&mut self) {
        self.next = self.in_hand.first().copied().unwrap_or(self.next);
        self.in_hand.clear();
        self.owner = None;
    }

    fn complete(&mut self, index: u64) {
        assert!(self.in_hand.remove(&index));
        if self.in_hand.is_empty() {
            self.owner = None;
        }
    }
}

impl GroupModel {
    pub(crate) fn new(number: usize) -> Self {
        let (concurrent, orderly) = (ConsumeOrder::Concurrent, ConsumeOrder::Orderly);
        let (name, topics, wanted, order, tries) = match number {
            0 => ("every", &TOPICS[..2], Wanted::All, concurrent, 2),
            1 => ("tagged", &TOPICS[1..], Wanted::Tags("Aa || old"), orderly, 1),
            2 => ("chosen", &TOPICS[..], Wanted::Above(2), concurrent, 1),
            _ => ("strict", &TOPICS[..2], Wanted::All, orderly, 0),
        };
        let (topics, members, queues) = (topics.to_vec(), Vec::new(), BTreeMap::new());
        Self { name, topics, wanted, order, tries, members, joined: 0, queues }
    }

    fn options(&self) -> ConsumerOptions {
        let mut options = ConsumerOptions::default();
        for topic in &self.topics {
            options = options.subscribe(topic, self.wanted.filter());
        }
        options.order = self.order;
        options.start_from = StartFrom::First;
        options.max_in_hand = MAX_IN_HAND;
        options.max_reconsume_times = self.tries;
        options.suspend_queue_ms = 0;
        options
    }

    fn retry_topic(&self) -> String {
        format!("%RETRY%{}", self.name)
    }

    fn wants(&self, record: &Record) -> bool {
        record.queue.0 == self.retry_topic() || self.wanted.wants(record)
    }

    fn subscribes(&self, topic: &str) -> bool {
        self.topics.contains(&topic) || topic == self.retry_topic()
    }

    fn orderly(&self) -> bool {
        self.order == ConsumeOrder::Orderly
    }
}

/// Where all groups have come to.
pub(crate) fn collect_offsets(store: &Store) -> Offsets {
    let mut offsets = Offsets::new();
    for group in store.groups().unwrap() {
        for queue in store.group_progress(&group).unwrap() {
            let name = (group.clone(), (queue.topic, queue.queue_id));
            offsets.insert(name, queue.committed.get());
        }
    }
    offsets
}

/// All but what the store notes of transactions.
pub(crate) fn without_transactions(mut offsets: Offsets) -> Offsets {
    offsets.retain(|(group, _), _| group != "CID_RMQ_SYS_TRANS");
    offsets
}

impl Pair {
    pub(crate) fn join(&mut self, number: usize) {
        let group = &mut self.groups[number];
        if group.members.len() == MAX_MEMBERS {
            return;
        }
        let consumer = self.store.consumer(group.name, group.options()).unwrap();
        group.members.push(Member { id: group.joined, consumer, in_hand: Vec::new() });
        group.joined += 1;
        self.check_offsets(number);
    }

    /// Lets a member go: what it has in hand is read again.
    pub(crate) fn leave(&mut self, number: usize, which: usize) {
        let group = &mut self.groups[number];
        if group.members.is_empty() {
            return;
        }
        let member = group.members.remove(which % group.members.len());
        let (id, last) = (member.id, group.members.is_empty());
        drop(member);
        for progress in group.queues.values_mut() {
            if progress.owner == Some(id) {
                progress.rewind();
            }
            if last {
                progress.failures = (0, 0);
            }
        }
        self.check_offsets(number);
    }

    pub(crate) fn leave_all(&mut self) {
        self.groups.iter_mut().for_each(|group| group.members.clear());
    }

    /// After an opening: groups begin with what is stored.
    pub(crate) fn go_on_from_offsets(&mut self) {
        for group in &mut self.groups {
            let own = self.persisted.iter().filter(|((name, _), _)| name == group.name);
            let progress = |next: &u64| Progress { next: *next, ..Progress::default() };
            group.queues = own.map(|((_, queue), next)| (queue.clone(), progress(next))).collect();
        }
    }

    /// Asks for messages as one of the members, and deals with what it has in hand then.
    pub(crate) fn poll(&mut self, number: usize, which: usize, most: usize, fates: u32) {
        if self.groups[number].members.is_empty() {
            self.join(number);
        }
        let limit = self.limit();
        let group = &mut self.groups[number];
        let which = which % group.members.len();
        let member = &group.members[which];
        let found = member.consumer.poll(most, NO_TIME).unwrap();
        let assigned = member.consumer.assigned();
        self.check_assignment(number);
        let group = &mut self.groups[number];
        let id = group.members[which].id;
        if let Some(first) = found.first() {
            let view = first.message();
            let queue: QueueName = (view.topic().into_owned(), view.queue_id());
            assert!(assigned.contains(&queue), "{queue:?} of {assigned:?}");
            let (wanted, orderly) = (group.wanted, group.orderly());
            let retried = queue.0 == group.retry_topic();
            let progress = group.queues.entry(queue.clone()).or_default();
            assert!(progress.owner.is_none_or(|owner| owner == id), "{queue:?} is another's");
            assert!(!orderly || progress.in_hand.is_empty());
            let room = MAX_IN_HAND - progress.in_hand.len();
            let mut records = self.model.of_queue(&queue, limit).filter(|record| {
                record.queue_offset >= progress.next && (retried || wanted.wants(record))
            });
            let (mut messages, mut next) = (0, progress.next);
            for delivery in &found {
                let record = records.next().expect("more than there is");
                record.assert_is(delivery.message());
                assert_eq!(delivery.reconsume_times(), record.attempts);
                assert!(TOPICS.contains(&&*delivery.topic()));
                messages += record.messages;
                assert!(messages <= room.min(most) as u64 || found.len() == 1);
                assert!(progress.in_hand.insert(record.queue_offset));
                next = record.next();
            }
            drop(records);
            (progress.next, progress.owner) = (next, Some(id));
        } else {
            self.check_nothing_for(number, id, &assigned);
        }
        self.groups[number].members[which].in_hand.extend(found);
        self.check_offsets(number);
        self.decide(number, which, fates);
    }

    /// Nobody was given anything: there must be nothing for this member.
    fn check_nothing_for(&self, number: usize, id: u64, assigned: &[QueueName]) {
        let (group, fresh) = (&self.groups[number], Progress::default());
        for queue in assigned {
            let progress = group.queues.get(queue).unwrap_or(&fresh);
            let mine = progress.owner.is_none_or(|owner| owner == id);
            let most = if group.orderly() { 1 } else { MAX_IN_HAND };
            if mine && progress.in_hand.len() < most {
                let mut records = self.model.of_queue(queue, self.limit());
                let next = records
                    .find(|record| record.queue_offset >= progress.next && group.wants(record));
                assert!(next.is_none(), "{} was not given {next:?}", group.name);
            }
        }
    }

    /// Every queue is somebody's, and everybody has as many as the others, or one less.
    fn check_assignment(&self, number: usize) {
        let group = &self.groups[number];
        let assigned: Vec<_> =
            group.members.iter().map(|member| member.consumer.assigned()).collect();
        let all: BTreeSet<_> = assigned.iter().flatten().cloned().collect();
        assert_eq!(all.len(), assigned.iter().map(Vec::len).sum::<usize>(), "one each");
        for queue in self.model.queues(self.limit()) {
            assert!(!group.subscribes(&queue.0) || all.contains(&queue), "{queue:?} is nobody's");
        }
        for topic in all.iter().map(|queue| &queue.0) {
            let counts = assigned
                .iter()
                .map(|queues| queues.iter().filter(|queue| queue.0 == *topic).count());
            let (least, most) = (counts.clone().min().unwrap(), counts.max().unwrap());
            assert!(most - least <= 1, "{assigned:?}");
        }
    }

    /// Acknowledges, gives back or keeps what a member has in hand.
    fn decide(&mut self, number: usize, which: usize, fates: u32) {
        let in_hand = std::mem::take(&mut self.groups[number].members[which].in_hand);
        for (position, delivery) in in_hand.into_iter().enumerate() {
            let fate = match fates >> (position * 2 % 32) & 3 {
                0 | 1 => Fate::Acknowledged,
                2 => Fate::Failed,
                _ => Fate::Kept,
            };
            let view = delivery.message();
            let queue: QueueName = (view.topic().into_owned(), view.queue_id());
            let index = view.queue_offset().get();
            let group = &mut self.groups[number];
            let member = &mut group.members[which];
            let progress = group.queues.entry(queue.clone()).or_default();
            let held = progress.owner == Some(member.id) && progress.in_hand.contains(&index);
            match fate {
                Fate::Kept => member.in_hand.push(delivery),
                Fate::Acknowledged => {
                    assert_eq!(member.consumer.acknowledge(&delivery), held, "{queue:?} {index}");
                    if held {
                        progress.complete(index);
                    }
                }
                Fate::Failed => {
                    assert_eq!(member.consumer.retry_later(&delivery).unwrap(), held);
                    if held {
                        self.failed(number, &queue, index);
                    }
                }
            }
            self.check_offsets(number);
        }
    }

    /// What becomes of a message that was given back.
    fn failed(&mut self, number: usize, queue: &QueueName, index: u64) {
        let group = &mut self.groups[number];
        let progress = group.queues.entry(queue.clone()).or_default();
        let mut records = self.model.records.iter().rev();
        let record =
            records.find(|record| record.queue == *queue && record.queue_offset == index).unwrap();
        let sent = |topic: String| {
            let mut sent = Record::new(&topic, 0, record.content.clone());
            sent.attempts = record.attempts + 1;
            sent
        };
        let dead = || sent(format!("%DLQ%{}", group.name));
        if group.order == ConsumeOrder::Orderly {
            let before = if progress.failures.0 == index { progress.failures.1 } else { 0 };
            progress.failures = (index, before + 1);
            // Those behind it wait for it.
            progress.in_hand.split_off(&index);
            progress.next = index;
            if progress.in_hand.is_empty() {
                progress.owner = None;
            }
            if before + 1 > group.tries {
                progress.next = record.next();
                let dead = dead();
                self.settle(vec![dead]);
            }
            return;
        }
        progress.complete(index);
        let sent = match record.attempts < group.tries {
            true => {
                let level = 3 + record.attempts.cast_unsigned();
                sent(format!("%RETRY%{}", group.name)).delayed(level)
            }
            false => dead(),
        };
        self.settle(vec![sent]);
    }

    /// What is committed of each queue is the first message in hand, or the next one wanted.
    pub(crate) fn check_offsets(&mut self, number: usize) {
        let limit = self.limit();
        let group = &mut self.groups[number];
        for queue in self.model.queues(limit) {
            if !group.subscribes(&queue.0) {
                continue;
            }
            let retried = queue.0 == group.retry_topic();
            let wanted = group.wanted;
            let progress = group.queues.entry(queue.clone()).or_default();
            let found = self.store.consumer_offset(group.name, &queue.0, queue.1).unwrap();
            let found = found.map_or(0, QueueOffset::get);
            if let Some(first) = progress.in_hand.first() {
                assert_eq!(found, *first, "{} committed of {queue:?}", group.name);
                continue;
            }
            assert!(found >= progress.next, "{found} < {} of {queue:?}", progress.next);
            let mut passed = self.model.of_queue(&queue, limit).filter(|record| {
                let indexes = progress.next..found;
                indexes.contains(&record.queue_offset) && (retried || wanted.wants(record))
            });
            assert_eq!(passed.next(), None, "{} passed over {queue:?}", group.name);
            drop(passed);
            progress.next = found;
        }
    }

    /// Commits an offset for a group that has no members.
    pub(crate) fn commit_offset(&mut self, queue: Queue, at: usize) {
        let (topic, queue_id) = (queue.name(), queue.queue_id);
        let end = self.model.range(&(topic.to_owned(), queue_id), self.limit()).end;
        let beyond = QueueOffset::new(end + 1);
        let error = self.store.commit_offset(PULL, topic, queue_id, beyond).unwrap_err();
        assert_eq!(error.status(), Status::OffsetOutOfRange);
        let offset = QueueOffset::new(at as u64 % (end + 1));
        self.store.commit_offset(PULL, topic, queue_id, offset).unwrap();
        assert_eq!(self.store.consumer_offset(PULL, topic, queue_id).unwrap(), Some(offset));
    }

    pub(crate) fn persist(&mut self) {
        match self.groups.iter().find_map(|group| group.members.first()) {
            Some(member) => member.consumer.commit().unwrap(),
            None => self.store.persist_offsets().unwrap(),
        }
        self.persisted = collect_offsets(&self.store);
    }
}
