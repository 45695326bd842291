//! A queue's messages in its own order, found through its consume queue.

use cairnlog::{QueueOffset, StoreOptions};

use super::Printer;
use crate::commands::verify::message_count;
use crate::failure::{Failure, Outcome};
use crate::follow::Follow;
use crate::queue_reader::{Place, QueueReader};
use crate::{interrupt, open};

/// Prints a queue that has files.
pub(super) fn run(
    printer: &mut Printer<'_>,
    topic: &str,
    queue_id: i32,
    options: &StoreOptions,
) -> Outcome {
    let command = printer.command;
    let mut reader = open::queues(&command.dir, options)?;
    let mut position = command.from_queue_offset.unwrap_or(0);
    if let Some(time_ms) = command.from_time {
        position = position.max(reader.offset_at_time(topic, queue_id, time_ms)?);
    }
    let mut follow = Follow::new(&command.dir, options);
    loop {
        let before = position;
        position = print_from(printer, &mut reader, topic, queue_id, position)?;
        printer.output.flush()?;
        if !command.follow || printer.left == 0 {
            return Ok(());
        }
        interrupt::check()?;
        if position == before {
            let next = QueueOffset::new(position);
            follow.wait(|reader, limit| reader.wait_message(topic, queue_id, next, limit));
        } else {
            follow.went_on();
        }
        reader = open::queues(&command.dir, options)?;
    }
}

/// Prints up to the present end of the queue and returns its offset.
fn print_from(
    printer: &mut Printer<'_>,
    reader: &mut QueueReader,
    topic: &str,
    queue_id: i32,
    position: u64,
) -> Result<u64, Failure> {
    let Some(range) = reader.queue_range(topic, queue_id)? else {
        return Ok(position);
    };
    // Retention may have removed what was to be read next.
    let mut position = position.max(range.start);
    while printer.left > 0 && position < range.end {
        interrupt::check()?;
        let Some(unit) = reader.unit(topic, queue_id, position)? else {
            break;
        };
        position = unit.index_end();
        match reader.read_unit(topic, queue_id, &unit)? {
            Place::Message(message) => {
                let record = message.record();
                // An inner batch in a queue of messages has more indexes than its unit.
                position = position.max(unit.index + message_count(&record));
                if printer.filter.matches_record(&record) {
                    printer.print(&record)?;
                }
            }
            Place::Damaged(text) => printer.report(&text)?,
            Place::Removed | Place::End => {}
        }
    }
    Ok(position)
}
