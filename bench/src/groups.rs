//! Groups: messages per second that members poll and acknowledge.

use std::hint::black_box;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use cairnlog::{Consumer, ConsumerOptions, Message, ReadRequest, StartFrom};

use crate::amounts::Amounts;
use crate::report::{Figure, Report};
use crate::scene::{self, LONG, SMALL_BODY, TemporaryStore, body, per_second};
use crate::{Case, Result};

/// Messages of a poll.
const POLLED: usize = 32;
/// How long a poll waits when everything was handed out.
const WAIT: Duration = Duration::from_millis(1);

const ONE_BY_ONE: Figure = Figure {
    name: "consume 1 queue, 1 member",
    unit: "messages/s",
    floor: "read the same queues one after the other, without a group",
    target: None,
};

/// Queues of a topic, and the rows for one member and for two.
struct Topic {
    name: &'static str,
    queues: i32,
    rows: [Figure; 2],
}

const fn row(name: &'static str) -> Figure {
    Figure { name, ..ONE_BY_ONE }
}

const TOPICS: [Topic; 3] = [
    Topic { name: "q1", queues: 1, rows: [ONE_BY_ONE, row("consume 1 queue, 2 members")] },
    Topic {
        name: "q16",
        queues: 16,
        rows: [row("consume 16 queues, 1 member"), row("consume 16 queues, 2 members")],
    },
    Topic {
        name: "q256",
        queues: 256,
        rows: [row("consume 256 queues, 1 member"), row("consume 256 queues, 2 members")],
    },
];

struct Groups {
    store: TemporaryStore,
    amounts: Amounts,
    /// So many groups were made.
    groups: u64,
}

/// Fills the queues.
pub(crate) fn prepare(path: &Path, amounts: Amounts) -> Result<Box<dyn Case>> {
    let mut options = scene::options();
    options.message_index_enable = false;
    let bytes = usize::try_from(amounts.consumed)? * TOPICS.len() * 256;
    let store = TemporaryStore::new(&path.join("store"), &options, bytes)?;
    let body = body(SMALL_BODY);
    for topic in &TOPICS {
        for number in 0..amounts.consumed {
            let queue_id = i32::try_from(number)? % topic.queues;
            store.store.append(&Message::new(topic.name, &body).queue_id(queue_id))?;
        }
    }
    store.wait_dispatched()?;
    Ok(Box::new(Groups { store, amounts, groups: 0 }))
}

impl Case for Groups {
    fn round(&mut self, report: &mut Report) -> Result<()> {
        for topic in &TOPICS {
            let floor = self.read_all(topic)?;
            for (figure, members) in topic.rows.into_iter().zip([1, 2]) {
                report.add(figure, self.consume(topic, members)?, floor);
            }
        }
        Ok(())
    }
}

impl Groups {
    /// The floor: every queue, one after the other.
    fn read_all(&self, topic: &Topic) -> Result<f64> {
        let (started, mut count) = (Instant::now(), 0);
        for queue_id in 0..topic.queues {
            let mut next = 0;
            loop {
                let request = ReadRequest::new(topic.name, queue_id, next).max_messages(POLLED);
                let batch = self.store.store.read(&request)?;
                if batch.messages().is_empty() {
                    break;
                }
                next = batch.next_offset();
                count += batch.messages().len() as u64;
                black_box(batch.messages());
            }
        }
        if count != self.amounts.consumed {
            return Err(format!("{count} messages were read").into());
        }
        Ok(per_second(count, started.elapsed()))
    }

    /// Consumes every message with a new group.
    fn consume(&mut self, topic: &Topic, members: usize) -> Result<f64> {
        self.groups += 1;
        let group = format!("group-{}", self.groups);
        let mut options = ConsumerOptions::of_topic(topic.name);
        options.start_from = StartFrom::First;
        let mut consumers = Vec::new();
        for _ in 0..members {
            consumers.push(self.store.store.consumer(&group, options.clone())?);
        }
        let (acknowledged, all) = (AtomicU64::new(0), self.amounts.consumed);
        let started = Instant::now();
        thread::scope(|scope| {
            let run = |consumer| poll_all(consumer, &acknowledged, all);
            let threads: Vec<_> =
                consumers.iter().map(|consumer| scope.spawn(move || run(consumer))).collect();
            threads.into_iter().try_for_each(|thread| {
                thread.join().unwrap_or_else(|_| Err("a member failed".into()))
            })
        })?;
        Ok(per_second(all, started.elapsed()))
    }
}

/// Polls and acknowledges until the group has consumed everything.
fn poll_all(consumer: &Consumer, acknowledged: &AtomicU64, all: u64) -> Result<()> {
    let give_up = Instant::now() + LONG;
    while acknowledged.load(Ordering::Relaxed) < all {
        let deliveries = consumer.poll(POLLED, WAIT)?;
        if Instant::now() > give_up {
            return Err("not every message was delivered".into());
        }
        let count = deliveries.iter().filter(|delivery| consumer.acknowledge(delivery)).count();
        acknowledged.fetch_add(count as u64, Ordering::Relaxed);
    }
    Ok(())
}
