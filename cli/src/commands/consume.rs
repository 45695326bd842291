//! `consume`: what a consumer group has not had yet, printed as a member of the group.
//!
//! A message counts as consumed once standard output took it, never before: whatever ends the
//! command, the group gets again what may not have been seen.

use std::time::{Duration, Instant};

use cairnlog::{Consumer, ConsumerOptions, Delivery, Store, StoreOptions};

use crate::arguments::Consume;
use crate::failure::{Failure, Outcome};
use crate::output::Output;
use crate::record_json::MessageJson;
use crate::{interrupt, open};

/// Messages taken, printed and acknowledged together.
const BATCH_MESSAGES: usize = 256;
/// How often a command that waits looks at Ctrl-C.
const LOOK: Duration = Duration::from_millis(50);

/// Runs the command.
pub(crate) fn run(command: &Consume, options: &StoreOptions) -> Outcome {
    let consumer_options = consumer_options(command)?;
    let store = open::existing(&command.dir, options)?;
    let consumed = consume(command, &store, consumer_options);
    // Also makes durable what was acknowledged since the last commit.
    let closed = store.close();
    consumed?;
    Ok(closed?)
}

fn consumer_options(command: &Consume) -> Result<ConsumerOptions, Failure> {
    let filter = command.filter.filter()?;
    let mut options = ConsumerOptions::default();
    options.start_from = command.from;
    for topic in &command.topics {
        options = options.subscribe(topic, filter.clone());
    }
    Ok(options)
}

fn consume(command: &Consume, store: &Store, options: ConsumerOptions) -> Outcome {
    open::wait_dispatched(store)?;
    let consumer = store.consumer(&command.group, options)?;
    let printed = print_all(command, &consumer);
    consumer.close();
    printed
}

/// Prints until there is nothing left, or nothing left to wait for.
fn print_all(command: &Consume, consumer: &Consumer) -> Outcome {
    let mut output = Output::new();
    let mut left = command.max.unwrap_or(u64::MAX);
    let patience = Duration::from_millis(command.timeout);
    let mut last_message = Instant::now();
    while left > 0 {
        interrupt::check()?;
        let most = usize::try_from(left).map_or(BATCH_MESSAGES, |left| left.min(BATCH_MESSAGES));
        let mut batch = consumer.poll(most, Duration::ZERO)?;
        if batch.is_empty() {
            // Time to make durable how far the group has come.
            consumer.commit()?;
            let waited = last_message.elapsed();
            if !command.follow && waited >= patience {
                return Ok(());
            }
            let slice = if command.follow { LOOK } else { LOOK.min(patience - waited) };
            batch = consumer.poll(most, slice)?;
        }
        if !batch.is_empty() {
            print(command, &batch, &mut output)?;
            for delivery in &batch {
                consumer.acknowledge(delivery);
            }
            left = left.saturating_sub(batch.len() as u64);
            last_message = Instant::now();
        }
    }
    Ok(())
}

fn print(command: &Consume, batch: &[Delivery], output: &mut Output) -> Outcome {
    for delivery in batch {
        let record = delivery.message().record();
        if command.json {
            output.json(&MessageJson::new(&record))?;
        } else {
            output.bytes_line(record.body())?;
        }
    }
    output.flush()
}
