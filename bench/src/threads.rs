//! Appending threads: what more of them reach than one.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use cairnlog::Message;

use crate::amounts::Amounts;
use crate::report::{Figure, Report, Target};
use crate::scene::{self, LARGE_BODY, TOPIC, TemporaryStore, body, per_second};
use crate::{Case, Result};

/// More bytes than a record has.
const RECORD_BYTES: u64 = 1280;
/// Stores of a turn: each is so small that its next file is not made meanwhile.
const STORES: u32 = 4;
/// Appended by each thread before the clock runs: the first append makes the file.
const BEFORE: u64 = 100;

const TWO: Figure = Figure {
    name: "async append, 1 KiB, 2 threads beside 1",
    unit: "records/s",
    floor: "the same messages by 1 thread",
    target: Some(Target::RatioAtLeast(1.0)),
};
const SIXTEEN: Figure = Figure {
    name: "async append, 1 KiB, 16 threads beside 1",
    target: Some(Target::RatioAtLeast(0.9)),
    ..TWO
};

struct Threads {
    path: PathBuf,
    messages: u64,
    body: Vec<u8>,
}

/// Stores are made in each round.
pub(crate) fn prepare(path: &Path, amounts: Amounts) -> Result<Box<dyn Case>> {
    let path = path.join("store");
    Ok(Box::new(Threads { path, messages: amounts.burst, body: body(LARGE_BODY) }))
}

impl Case for Threads {
    fn round(&mut self, report: &mut Report) -> Result<()> {
        let one = self.turn(1)?;
        report.add(TWO, self.turn(2)?, one);
        let sixteen = self.turn(16)?;
        // Once before and once behind the others, for the machine may have changed meanwhile.
        report.add(SIXTEEN, sixteen, f64::midpoint(one, self.turn(1)?));
        Ok(())
    }
}

impl Threads {
    /// Messages per second, over some stores.
    fn turn(&self, threads: u64) -> Result<f64> {
        let mut time = Duration::ZERO;
        for _ in 0..STORES {
            time += self.burst(threads)?;
        }
        Ok(per_second(self.messages / threads * threads * u64::from(STORES), time))
    }

    /// Appends the same messages in all, whose memory the store made ready before.
    fn burst(&self, threads: u64) -> Result<Duration> {
        let bytes = self.messages * RECORD_BYTES;
        let options = scene::ready_options(bytes);
        let store = TemporaryStore::new(&self.path, &options, 0)?;
        let mut queues = Vec::new();
        for number in 0..threads {
            let queue = store.store.queue(TOPIC, i32::try_from(number)?)?;
            for _ in 0..BEFORE {
                queue.append(&Message::new(TOPIC, &self.body))?;
            }
            queues.push(queue);
        }
        let each = self.messages / threads;
        let started = Instant::now();
        thread::scope(|scope| {
            let append = |queue: &cairnlog::QueueAppender| -> Result<()> {
                let message = Message::new(TOPIC, &self.body);
                for _ in 0..each {
                    queue.append(&message)?;
                }
                Ok(())
            };
            let running: Vec<_> =
                queues.iter().map(|queue| scope.spawn(move || append(queue))).collect();
            running.into_iter().try_for_each(|thread| {
                thread.join().unwrap_or_else(|_| Err("a thread failed".into()))
            })
        })?;
        let taken = started.elapsed();
        drop(queues);
        store.remove()?;
        Ok(taken)
    }
}
