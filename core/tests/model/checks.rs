//! What a store answers, beside what the list says.

use std::time::Duration;

use cairnlog::{PhysicalOffset, QueueOffset, ReadOutcome, ReadRequest, Store, TimeBoundary};

use crate::model::{QueueName, Record, SCHEDULE};
use crate::operations::{KEYS, QUEUES, Queue, TOPICS, Wanted};
use crate::pair::Pair;

impl Pair {
    /// What is asked after every operation.
    pub(crate) fn check_cheaply(&self) {
        let store = &self.store;
        let (durable, committed) = (store.durable_offset(), store.committed_offset());
        assert!(durable <= committed && committed <= store.max_offset());
        assert_eq!(store.dispatched_offset(), committed);
        assert!(store.dispatch_error().is_none());
        assert!(store.max_offset().get() >= self.model.end());
        assert_eq!(store.min_offset().get(), self.model.min);
        for (topic, name) in TOPICS.iter().enumerate() {
            for queue_id in 0..QUEUES {
                let queue = self.name(Queue { topic, queue_id });
                let found = store.next_queue_offset(name, queue_id);
                assert_eq!(found.get(), self.model.next(&queue), "{queue:?}");
                self.check_range(&queue);
            }
        }
        let min = self.model.min;
        let open = store.open_transactions().unwrap();
        let open: Vec<_> = open.iter().map(|half| half.get()).filter(|half| *half >= min).collect();
        let halves = self.model.open_halves().into_iter().map(|half| half.start);
        assert_eq!(open, halves.filter(|half| *half >= min).collect::<Vec<_>>(), "open halves");
    }

    fn name(&self, queue: Queue) -> QueueName {
        (queue.name().to_owned(), queue.queue_id)
    }

    fn check_range(&self, queue: &QueueName) {
        let limit = self.limit();
        let found = self.store.queue_range(&queue.0, queue.1).unwrap();
        let found = found.map(|range| range.start.get()..range.end.get()).unwrap_or_default();
        assert_eq!(found, self.model.range(queue, limit), "{queue:?}");
    }

    /// Everything that can be read is what it should be, and there is nothing else.
    pub(crate) fn check(&mut self) {
        let limit = self.limit();
        let mut live = self.model.live(limit);
        for view in self.store.scan(self.store.min_offset()).unwrap() {
            let view = view.unwrap();
            live.next().expect("more than was appended").assert_is(&view);
        }
        assert_eq!(live.next(), None, "it is not in the log");
        drop(live);
        self.check_names();
        let queues = self.model.queues(limit);
        for (number, queue) in queues.iter().enumerate() {
            self.check_range(queue);
            // Of what is delayed, the queue has a time in place of the tag's hash.
            let tags = if queue.0 == SCHEDULE { Wanted::All } else { Wanted::Tags("Aa || new") };
            let wanted = [Wanted::All, tags, Wanted::Above(3)][number % 3];
            self.read_all(queue, self.model.range(queue, limit).start, wanted);
            self.read_all(queue, 0, Wanted::All);
            for record in self.model.of_queue(queue, limit).step_by(7) {
                for shift in [-1, 0, 1] {
                    self.check_time(queue, record.time_ms.unwrap_or_default() + shift);
                }
            }
            for key in KEYS {
                self.check_key(&queue.0, key, 1000, (0, i64::MAX));
                self.check_key(&queue.0, key, 2, (0, i64::MAX));
            }
        }
        for at in 0..self.model.records.len().min(8) {
            self.find_id(at * 7919);
        }
        for number in 0..self.groups.len() {
            self.check_offsets(number);
        }
    }

    fn check_names(&self) {
        let queues = self.model.queues(self.limit());
        let mut topics: Vec<_> = queues.iter().map(|queue| queue.0.clone()).collect();
        topics.dedup();
        assert_eq!(self.store.topics().unwrap(), topics);
        for topic in topics {
            let of_topic = queues.iter().filter(|queue| queue.0 == topic);
            let numbers: Vec<_> = of_topic.map(|queue| queue.1).collect();
            assert_eq!(self.store.queues_of(&topic).unwrap(), numbers, "{topic}");
        }
    }

    pub(crate) fn read_log(&self, at: usize) {
        let readable: Vec<_> = self.model.live(self.limit()).collect();
        let Some(from) = at.checked_rem(readable.len()) else {
            return;
        };
        let start = PhysicalOffset::new(readable[from].start);
        readable[from].assert_is(&self.store.read_at(start).unwrap());
        let batch = self.store.read_log(start, 5, 20_000).unwrap();
        assert!(!batch.messages().is_empty());
        for (view, record) in batch.messages().iter().zip(&readable[from..]) {
            record.assert_is(view);
        }
    }

    pub(crate) fn read_queue(
        &self,
        queue: Queue,
        from: usize,
        (most, bytes): (usize, usize),
        wanted: Wanted,
    ) {
        let name = self.name(queue);
        let range = self.model.range(&name, self.limit());
        let from = from as u64 % (range.end + 3);
        let request = ReadRequest::new(&name.0, name.1, from as i64)
            .filter(wanted.filter())
            .max_messages(most)
            .max_bytes(bytes);
        let batch = self.store.read(&request).unwrap();
        let next = u64::try_from(batch.next_offset()).unwrap();
        let outcome = match from {
            _ if range.end == 0 => ReadOutcome::NoMatchedLogicQueue,
            _ if from < range.start => ReadOutcome::OffsetTooSmall,
            _ if from == range.end => ReadOutcome::OffsetOverflowOne,
            _ if from > range.end => ReadOutcome::OffsetOverflowBadly,
            _ if batch.messages().is_empty() => ReadOutcome::NoMatchedMessage,
            _ => ReadOutcome::Found,
        };
        assert_eq!(batch.outcome(), outcome, "{from} in {range:?}");
        let goes_on = match outcome {
            ReadOutcome::Found | ReadOutcome::NoMatchedMessage => next > from && next <= range.end,
            ReadOutcome::OffsetTooSmall => next == range.start,
            _ => next == range.end,
        };
        assert!(goes_on, "{next} after {from} in {range:?}");
        let seen = self.model.of_queue(&name, self.limit());
        let seen = seen.filter(|record| record.next() > from && record.queue_offset < next);
        let records: Vec<_> = seen.filter(|record| wanted.wants(record)).collect();
        let records = if outcome == ReadOutcome::OffsetTooSmall { Vec::new() } else { records };
        assert_eq!(batch.messages().len(), records.len(), "{from} to {next}: {records:?}");
        for (view, record) in batch.messages().iter().zip(&records) {
            record.assert_is(view);
        }
        let sum = |of: fn(&Record) -> u64| records.iter().map(|record| of(record)).sum::<u64>();
        let fits = sum(|record| record.messages) <= most as u64
            && sum(|record| record.end - record.start) <= bytes as u64;
        assert!(fits || records.len() == 1);
        self.read_all(&name, from, wanted);
    }

    /// Reads a queue from an index to its end.
    fn read_all(&self, queue: &QueueName, from: u64, wanted: Wanted) {
        let records = self.model.of_queue(queue, self.limit());
        let mut records = records.filter(|record| record.next() > from && wanted.wants(record));
        let mut offset = from as i64;
        loop {
            let request = ReadRequest::new(&queue.0, queue.1, offset).filter(wanted.filter());
            let batch = self.store.read(&request).unwrap();
            for view in batch.messages() {
                records.next().expect("more than there is").assert_is(view);
            }
            if batch.next_offset() == offset || batch.outcome() == ReadOutcome::OffsetOverflowBadly
            {
                break;
            }
            offset = batch.next_offset();
        }
        assert_eq!(records.next(), None, "not read of {queue:?} from {from}, {wanted:?}");
    }

    pub(crate) fn tail(&self, queue: Queue, from: usize, wanted: Wanted) {
        let name = self.name(queue);
        let from = from as u64 % (self.model.range(&name, self.limit()).end + 1);
        let filter = wanted.filter();
        let mut tail = self.store.tail(&name.0, name.1, QueueOffset::new(from), filter).unwrap();
        let records = self.model.of_queue(&name, self.limit());
        let records: Vec<_> =
            records.filter(|record| record.next() > from && wanted.wants(record)).collect();
        for (number, record) in records.iter().enumerate() {
            let view = tail.next_timeout(Duration::ZERO).unwrap();
            record.assert_is(&view.expect("less than there is"));
            let next = records.get(number + 1).map_or(u64::MAX, |next| next.queue_offset);
            assert!((record.next()..=next).contains(&tail.offset().get()));
        }
        assert!(tail.next_timeout(Duration::ZERO).unwrap().is_none());
    }

    pub(crate) fn at_time(&self, queue: Queue, at: usize, shift: i64) {
        let times: Vec<_> = self.model.records.iter().filter_map(|record| record.time_ms).collect();
        let time = at.checked_rem(times.len()).map_or(0, |at| times[at]);
        self.check_time(&self.name(queue), time + shift);
    }

    fn check_time(&self, queue: &QueueName, time_ms: i64) {
        let limit = self.limit();
        let ask = |boundary| {
            let found = self.store.offset_at_time(&queue.0, queue.1, time_ms, boundary).unwrap();
            found.map(QueueOffset::get)
        };
        let (lower, upper) = (ask(TimeBoundary::Lower), ask(TimeBoundary::Upper));
        let range = self.model.range(queue, limit);
        if range.end == 0 {
            assert_eq!((lower, upper), (None, None));
            return;
        }
        let of_queue = || self.model.of_queue(queue, limit);
        if of_queue().any(|record| record.time_ms.is_none()) {
            return;
        }
        let first_behind = of_queue().find(|record| record.time_ms >= Some(time_ms));
        let expected = first_behind.map_or(range.end, |record| record.queue_offset);
        assert_eq!(lower, Some(expected), "{time_ms} in {queue:?}");
        let last_before = of_queue().rev().find(|record| record.time_ms <= Some(time_ms));
        let expected = last_before.map_or(range.start, |record| record.queue_offset);
        assert_eq!(upper, Some(expected), "{time_ms} in {queue:?}");
    }

    pub(crate) fn query_key(&self, topic: usize, key: usize, most: usize, at: (usize, usize)) {
        let times: Vec<_> = self.model.records.iter().filter_map(|record| record.time_ms).collect();
        let time = |at: usize| at.checked_rem(times.len()).map_or(0, |at| times[at]);
        let (one, other) = (time(at.0), time(at.1));
        self.check_key(TOPICS[topic], KEYS[key], most, (one.min(other), one.max(other)));
    }

    fn check_key(&self, topic: &str, key: &str, most: usize, (begin, end): (i64, i64)) {
        let found = self.store.query_key(topic, key, begin, end, most).unwrap();
        let has = |record: &&Record| {
            record.queue.0 == topic
                && record.content.key == Some(key)
                && record.time_ms.is_none_or(|time| (begin..=end).contains(&time))
        };
        let records = self.model.live(self.limit()).filter(has);
        let mut records: Vec<_> = records.rev().take(most).collect();
        records.reverse();
        let places: Vec<_> = found.iter().map(|view| view.physical_offset().get()).collect();
        assert_eq!(places.len(), records.len(), "{key} of {topic} at {places:?}: {records:?}");
        for (view, record) in found.iter().zip(records) {
            record.assert_is(view);
        }
    }

    pub(crate) fn find_id(&self, at: usize) {
        let readable: Vec<_> = self.model.live(self.limit()).collect();
        let Some(record) = at.checked_rem(readable.len()).map(|at| readable[at]) else {
            return;
        };
        let view = self.store.read_at(PhysicalOffset::new(record.start)).unwrap();
        let (topic, id) = (&record.queue.0, view.offset_message_id());
        let found = self.store.find_by_message_id(topic, &id).unwrap();
        record.assert_is(&found.expect("not found by its id"));
        assert!(self.store.find_by_message_id("elsewhere", &id).unwrap().is_none());
        if let Some(unique) = &record.content.unique {
            let found = self.store.find_by_message_id(topic, unique).unwrap();
            let newest = readable.iter().rev().find(|other| {
                other.queue.0 == *topic && other.content.unique.as_ref() == Some(unique)
            });
            newest.unwrap().assert_is(&found.expect("not found by its unique key"));
        }
    }

    /// A reader beside the writer finds every message of every queue.
    pub(crate) fn check_beside(&self) {
        let limit = self.limit();
        if self.model.live(limit).next().is_none() {
            return;
        }
        let reader = Store::open_reader(self.directory.path(), &self.options).unwrap();
        for queue in self.model.queues(limit) {
            let mut offset = self.model.range(&queue, limit).start as i64;
            for record in self.model.of_queue(&queue, limit) {
                let request = ReadRequest::new(&queue.0, queue.1, offset).max_messages(1);
                let batch = reader.read(&request).unwrap();
                record.assert_is(batch.messages().first().expect("the reader sees less"));
                offset = batch.next_offset();
            }
        }
    }
}
