//! What is done with the store, all at once.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use cairnlog::{
    ConsumerOptions, Message, MessageView, PhysicalOffset, ReadRequest, StartFrom, Status, Store,
};
use serde::Serialize;

use crate::Outcome;

const TOPICS: [&str; 3] = ["orders", "payments", "events"];
const QUEUES: u64 = 3;
const APPENDERS: u64 = 2;
/// The number of a message, in front of bytes that follow from it.
const HEAD_BYTES: usize = 8;
/// How long the load waits after each append, so that a disk and two cores can keep up.
const PAUSE: Duration = Duration::from_micros(300);

/// A small generator, so that a seed tells everything.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }
}

/// A body that tells its own content.
fn body(number: u64, length: u64) -> Vec<u8> {
    let mut random = Random(number | 1 << 63);
    let mut body = number.to_be_bytes().to_vec();
    body.extend((0..length).map(|_| random.next().to_be_bytes()[0]));
    body
}

/// Whether a message of the log is as it was made. Those that end transactions are the engine's.
pub(crate) fn check_message(message: &MessageView) -> Outcome<()> {
    let made_here = !message.topic().starts_with("RMQ_SYS_TRANS_OP_");
    if made_here { check_body(message.body()) } else { Ok(()) }
}

/// Whether a body is as it was made.
fn check_body(body: &[u8]) -> Outcome<()> {
    let Some((head, rest)) = body.split_first_chunk::<HEAD_BYTES>() else {
        return Err(format!("a body has {} bytes", body.len()).into());
    };
    if self::body(u64::from_be_bytes(*head), rest.len() as u64) == body {
        return Ok(());
    }
    Err(format!("message {} is wrong", u64::from_be_bytes(*head)).into())
}

/// What was done so far.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Totals {
    pub(crate) appended: u64,
    pub(crate) consumed: u64,
    pub(crate) read: u64,
    pub(crate) queried: u64,
    pub(crate) transactions: u64,
    pub(crate) files_removed: u64,
}

#[derive(Debug, Default)]
struct Counters {
    appended: AtomicU64,
    consumed: AtomicU64,
    read: AtomicU64,
    queried: AtomicU64,
    transactions: AtomicU64,
    files_removed: AtomicU64,
}

/// The load over all lives of the store.
#[derive(Debug)]
pub(crate) struct Load {
    seed: u64,
    lives: u64,
    counters: Counters,
    /// The end of each queue when the store was closed.
    ends: HashMap<(String, i32), u64>,
}

impl Load {
    /// A load whose choices follow from a seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, lives: 0, counters: Counters::default(), ends: HashMap::new() }
    }

    /// What was done so far.
    pub(crate) fn totals(&self) -> Totals {
        self.counters.totals()
    }

    /// Whether all queues end where they did when the store was closed.
    pub(crate) fn check_kept(&self, store: &Store) -> Outcome<()> {
        for ((topic, queue), end) in &self.ends {
            let now = store.next_queue_offset(topic, *queue).get();
            // Delayed messages come by themselves.
            if now < *end {
                return Err(format!("{topic}/{queue} ended at {end}, now at {now}").into());
            }
        }
        Ok(())
    }

    /// Uses a store for some time; `sample` is called again and again meanwhile.
    pub(crate) fn live(
        &mut self,
        store: &Store,
        life: Duration,
        sample_seconds: f64,
        kept_bytes: u64,
        mut sample: impl FnMut(Totals) -> Outcome<()>,
    ) -> Outcome<()> {
        self.lives += 1;
        let scene = Scene {
            store,
            counters: &self.counters,
            over: AtomicBool::new(false),
            failure: Mutex::default(),
            kept_bytes,
        };
        let seed = self.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ (self.lives << 8);
        thread::scope(|scope| {
            for number in 0..APPENDERS {
                scope.spawn({
                    let scene = &scene;
                    move || scene.work(|| scene.append(&mut Random(seed | 1 << 62 | number)))
                });
            }
            scope.spawn(|| scene.work(|| scene.consume()));
            scope.spawn(|| scene.work(|| scene.read(&mut Random(seed | 3 << 61))));
            scope.spawn(|| scene.work(|| scene.remove()));
            let started = Instant::now();
            let mut outcome = Ok(());
            while outcome.is_ok() && started.elapsed() < life && !scene.is_over() {
                thread::sleep(Duration::from_secs_f64(sample_seconds).min(life));
                outcome = sample(self.counters.totals());
            }
            scene.over.store(true, Ordering::Release);
            outcome
        })?;
        if let Some(failure) = scene.failure.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Err(format!("in life {}: {failure}", self.lives).into());
        }
        for topic in store.topics()? {
            for queue in store.queues_of(&topic)? {
                let end = store.next_queue_offset(&topic, queue).get();
                self.ends.insert((topic.clone(), queue), end);
            }
        }
        Ok(())
    }
}

impl Counters {
    fn totals(&self) -> Totals {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Totals {
            appended: get(&self.appended),
            consumed: get(&self.consumed),
            read: get(&self.read),
            queried: get(&self.queried),
            transactions: get(&self.transactions),
            files_removed: get(&self.files_removed),
        }
    }
}

fn count(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}

/// One life of the store.
struct Scene<'a> {
    store: &'a Store,
    counters: &'a Counters,
    over: AtomicBool,
    failure: Mutex<Option<String>>,
    kept_bytes: u64,
}

impl Scene<'_> {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// Runs until the time is over; a failure ends the life for all.
    fn work(&self, mut act: impl FnMut() -> Outcome<()>) {
        if let Err(error) = act() {
            let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
            failure.get_or_insert_with(|| error.to_string());
            self.over.store(true, Ordering::Release);
        }
    }

    /// Single messages, several at once, delayed ones and transactions.
    fn append(&self, random: &mut Random) -> Outcome<()> {
        while !self.is_over() {
            let topic = TOPICS[random.below(TOPICS.len() as u64) as usize];
            let queue = i32::try_from(random.below(QUEUES))?;
            let length = if random.below(50) == 0 { 100_000 } else { random.below(2000) };
            let body = body(random.next(), length);
            let key = format!("key-{}", random.below(1000));
            let keys = [&*key];
            let message = Message::new(topic, &body).queue_id(queue).tag("soak").keys(&keys);
            match random.below(20) {
                0 => {
                    self.store.append_many(&[message, message, message], &mut Vec::new())?;
                    count(&self.counters.appended, 2);
                }
                1 => {
                    let transaction = self.store.begin_transaction(&message)?;
                    if random.below(2) == 0 {
                        transaction.commit()?;
                    } else {
                        transaction.rollback()?;
                    }
                    count(&self.counters.transactions, 1);
                }
                2 => self.store.append(&message.delay_level(1)).map(drop)?,
                _ => self.store.append(&message).map(drop)?,
            }
            count(&self.counters.appended, 1);
            thread::sleep(PAUSE);
        }
        Ok(())
    }

    /// Two members of a group; some messages are put off.
    fn consume(&self) -> Outcome<()> {
        let mut options = ConsumerOptions::of_topic(TOPICS[0]);
        options.start_from = StartFrom::First;
        let members =
            [self.store.consumer("soak", options.clone())?, self.store.consumer("soak", options)?];
        while !self.is_over() {
            for member in &members {
                for delivery in member.poll(32, Duration::from_millis(20))? {
                    check_body(delivery.message().body())?;
                    if delivery.reconsume_times() == 0
                        && delivery.message().queue_offset().get() % 100 == 7
                    {
                        member.retry_later(&delivery)?;
                    } else {
                        member.acknowledge(&delivery);
                    }
                    count(&self.counters.consumed, 1);
                }
            }
        }
        Ok(())
    }

    /// Queues, keys, and the log itself.
    fn read(&self, random: &mut Random) -> Outcome<()> {
        while !self.is_over() {
            let topic = TOPICS[random.below(TOPICS.len() as u64) as usize];
            let queue = i32::try_from(random.below(QUEUES))?;
            if let Some(range) = self.store.queue_range(topic, queue)? {
                let index = range.start.get() + random.below(range.end.get() - range.start.get());
                let request = ReadRequest::new(topic, queue, i64::try_from(index)?);
                for message in self.store.read(&request.max_messages(16))?.messages() {
                    check_body(message.body())?;
                    count(&self.counters.read, 1);
                }
            }
            let key = format!("key-{}", random.below(1000));
            for message in self.store.query_key(topic, &key, 0, i64::MAX, 8)? {
                check_body(message.body())?;
                count(&self.counters.queried, 1);
            }
            let log = self.store.read_log(self.store.min_offset(), 16, 1 << 20);
            match log {
                Ok(batch) => batch.messages().iter().try_for_each(check_message)?,
                // The file was removed meanwhile.
                Err(error) if error.status() == Status::OffsetOutOfRange => {}
                Err(error) => return Err(error.into()),
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Keeps the log as long as it is to be.
    fn remove(&self) -> Outcome<()> {
        while !self.is_over() {
            let end = self.store.max_offset().get();
            let until = PhysicalOffset::new(end.saturating_sub(self.kept_bytes));
            if until > self.store.min_offset() {
                let removed = self.store.remove_before(until)?;
                count(&self.counters.files_removed, removed.files);
            }
            thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }
}
