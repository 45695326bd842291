//! The writer in Rust. Those in C, Python and Java, in `hosts/`, are called alike and say the same.
//!
//! A host opens the store, appends from several threads what the seed says, and writes a line for
//! each step it has taken, each line with one system call, since it may be killed after any:
//! `opening`, `open`, `ack ...` for each acknowledgement, `closing`, `closed`. Then it waits to be
//! killed.

use std::collections::VecDeque;
use std::io::{Write, stdout};
use std::path::PathBuf;
use std::time::Duration;

use cairnlog::{
    AppendFuture, AppendResult, EncodedBatch, Message, Store, StoreOptions, encode_batch_item,
};

use crate::Outcome;
use crate::content::{Bodies, Name, QUEUES, Random, TOPICS, mix};

/// Appends that a thread has under way at most.
const MAX_IN_FLIGHT: usize = 16;

/// How a host is called, in every language: the arguments in this order.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct HostArguments {
    /// The store's directory
    pub(crate) directory: PathBuf,
    /// A file of random bytes that bodies are cut from
    pub(crate) pattern: PathBuf,
    /// What decides on the appends
    pub(crate) seed: u64,
    /// The number of this life of the store's writers
    pub(crate) life: u32,
    /// Threads that append
    pub(crate) threads: u8,
    /// 1 if appends wait for the sync of a synchronous store, else 0
    pub(crate) waits: u8,
    /// After how many calls each thread ends, so that the store is closed; 0 for never
    pub(crate) close_after: u32,
    /// Options of the store, as NAME=VALUE
    pub(crate) options: Vec<String>,
}

/// The options that texts like `flush_mode=sync` name.
pub(crate) fn options_of(texts: &[String]) -> Outcome<StoreOptions> {
    let mut options = StoreOptions::default();
    for text in texts {
        let (name, value) = text.split_once('=').ok_or("an option is NAME=VALUE")?;
        options.set(name, value)?;
    }
    Ok(options)
}

/// Runs the host; it ends only when it is killed, or fails.
pub(crate) fn run(arguments: &HostArguments) -> Outcome<()> {
    let bodies = Bodies::new(std::fs::read(&arguments.pattern)?);
    let options = options_of(&arguments.options)?;
    say("opening\n")?;
    let store = Store::open(&arguments.directory, &options)?;
    say("open\n")?;
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..arguments.threads)
            .map(|thread| {
                let mut writer = Writer::new(&store, &bodies, arguments, thread);
                scope.spawn(move || writer.write(arguments.close_after).map_err(|e| e.to_string()))
            })
            .collect();
        for thread in threads {
            thread.join().map_err(|_| "a thread panicked")??;
        }
        Outcome::Ok(())
    })?;
    say("closing\n")?;
    store.close()?;
    say("closed\n")?;
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}

fn say(line: &str) -> Outcome<()> {
    let mut out = stdout();
    // The standard output is written through at each end of a line.
    out.write_all(line.as_bytes())?;
    Ok(())
}

/// Where a call's messages go.
#[derive(Clone, Copy)]
struct Queue {
    topic: &'static str,
    id: i32,
}

struct Writer<'a> {
    store: &'a Store,
    bodies: &'a Bodies,
    random: Random,
    next_name: Name,
    waits: bool,
    in_flight: VecDeque<(Queue, Name, AppendFuture)>,
}

impl<'a> Writer<'a> {
    fn new(store: &'a Store, bodies: &'a Bodies, of: &HostArguments, thread: u8) -> Self {
        let next_name = Name::new(of.life, thread, 0);
        Self {
            store,
            bodies,
            random: Random::new(mix(of.seed ^ next_name.0)),
            next_name,
            waits: of.waits != 0,
            in_flight: VecDeque::new(),
        }
    }

    /// Takes so many steps, or goes on for ever.
    fn write(&mut self, steps: u32) -> Outcome<()> {
        let mut taken = 0;
        while steps == 0 || taken < steps {
            self.step()?;
            taken += 1;
        }
        self.finish_all_but(0)
    }

    fn step(&mut self) -> Outcome<()> {
        let choice = self.random.next();
        let topic = if (choice >> 8) & 1 == 0 { TOPICS[0] } else { TOPICS[1] };
        let queue = Queue { topic, id: (choice >> 9) as i32 & (QUEUES - 1) };
        match choice & 7 {
            0 => self.append_batch(queue, 1 + ((choice >> 3) & 7)),
            1 => self.append_many(queue, 1 + ((choice >> 3) & 3)),
            2 | 3 => self.append_async(queue),
            _ => self.append(queue),
        }
    }

    fn take_names(&mut self, count: u64) -> Name {
        let first = self.next_name;
        self.next_name = first.plus(count);
        first
    }

    /// Lends the message of a name to a function.
    fn lend<T>(&self, queue: Queue, name: Name, body: impl FnOnce(&Message<'_>) -> T) -> T {
        let bytes = self.bodies.body(name);
        let key = name.0.to_string();
        let keys = [key.as_str()];
        let message = Message::new(queue.topic, &bytes)
            .queue_id(queue.id)
            .tag(name.tag())
            .keys(if name.has_key() { &keys } else { &[] })
            .wait_store_ok(self.waits);
        body(&message)
    }

    fn append(&mut self, queue: Queue) -> Outcome<()> {
        let name = self.take_names(1);
        let placed = self.lend(queue, name, |message| self.store.append(message))?;
        self.acknowledge(queue, name, placed)
    }

    fn append_async(&mut self, queue: Queue) -> Outcome<()> {
        let name = self.take_names(1);
        let future = self.lend(queue, name, |message| self.store.append_async(message))?;
        self.in_flight.push_back((queue, name, future));
        self.finish_all_but(MAX_IN_FLIGHT)
    }

    /// Waits until no more appends are under way.
    fn finish_all_but(&mut self, left: usize) -> Outcome<()> {
        while self.in_flight.len() > left {
            let Some((queue, name, future)) = self.in_flight.pop_front() else { break };
            let placed = future.wait()?;
            self.acknowledge(queue, name, placed)?;
        }
        Ok(())
    }

    fn append_many(&mut self, queue: Queue, count: u64) -> Outcome<()> {
        let first = self.take_names(count);
        let bodies: Vec<_> =
            (0..count).map(|number| self.bodies.body(first.plus(number))).collect();
        let messages: Vec<_> = (0..count)
            .zip(&bodies)
            .map(|(number, body)| {
                Message::new(queue.topic, body)
                    .queue_id(queue.id)
                    .tag(first.plus(number).tag())
                    .wait_store_ok(self.waits)
            })
            .collect();
        let mut results = Vec::new();
        self.store.append_many(&messages, &mut results)?;
        for (number, placed) in (0..count).zip(results) {
            self.acknowledge(queue, first.plus(number), placed)?;
        }
        Ok(())
    }

    fn append_batch(&mut self, queue: Queue, count: u64) -> Outcome<()> {
        let first = self.take_names(count);
        let mut items = Vec::new();
        for number in 0..count {
            encode_batch_item(&mut items, 0, &self.bodies.body(first.plus(number)), b"")?;
        }
        let shared = Message::new(queue.topic, b"").queue_id(queue.id).wait_store_ok(self.waits);
        let placed = self.store.append_batch(&EncodedBatch { shared, items: &items })?;
        self.acknowledge(queue, first, placed)
    }

    /// Says where the messages of a call lie, and how far the log is safe by now.
    fn acknowledge(&self, queue: Queue, first: Name, placed: AppendResult) -> Outcome<()> {
        let durable = self.store.durable_offset();
        let committed = self.store.committed_offset();
        say(&format!(
            "ack {} {} {} {} {} {} {} {committed} {durable}\n",
            placed.physical_offset,
            placed.end_offset(),
            queue.topic,
            queue.id,
            placed.queue_offset,
            placed.message_count,
            first.0,
        ))
    }
}
