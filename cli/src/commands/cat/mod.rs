//! `cat`: message bodies, in log order, or with topic and queue in queue order.
//!
//! It reads the files and nothing else: a store may be in use, by cairnlog or by RocketMQ, or may
//! not have been closed.

mod queue_order;

use cairnlog::{Error, Filter, LogEntry, LogReader, PhysicalOffset, RecordView, StoreOptions};

use crate::arguments::Cat;
use crate::failure::{Failure, Outcome, report};
use crate::follow::Follow;
use crate::output::Output;
use crate::record_json::MessageJson;
use crate::walk::Walk;
use crate::{interrupt, open};

/// The transaction type in a system flag, and the one type besides "none" that has a place in a
/// queue.
const TRANSACTION_TYPE: i32 = 0xC;
const TRANSACTION_COMMIT: i32 = 0x8;

/// Whether consumers see a record in its queue: prepared and rolled back ones they do not.
pub(crate) fn is_in_queue(record: &RecordView<'_>) -> bool {
    matches!(record.sys_flag() & TRANSACTION_TYPE, 0 | TRANSACTION_COMMIT)
}

/// Runs the command.
pub(crate) fn run(command: &Cat, options: &StoreOptions) -> Outcome {
    let mut printer = Printer {
        command,
        filter: command.filter.filter()?,
        output: Output::new(),
        left: command.max.unwrap_or(u64::MAX),
        time_reached: command.from_time.is_none(),
        damaged: false,
    };
    if let (Some(topic), Some(queue), None) = (&command.topic, command.queue, command.from_offset)
        && open::queues(&command.dir, options)?.queue_range(topic, queue)?.is_some()
    {
        queue_order::run(&mut printer, topic, queue, options)?;
    } else {
        in_log_order(&mut printer, options)?;
    }
    if printer.damaged {
        return Err(Failure::Damage);
    }
    Ok(())
}

/// Prints from the log alone: also a queue that has no files, since they are made from the log.
fn in_log_order(printer: &mut Printer<'_>, options: &StoreOptions) -> Outcome {
    let command = printer.command;
    let mut position = command.from_offset.map(PhysicalOffset::new);
    let mut follow = Follow::new(&command.dir, options);
    loop {
        let before = position;
        if let Some(reader) = open::log(&command.dir, options)? {
            // Retention may have removed what was to be read next.
            let begin = match position {
                Some(position) if command.follow => position.max(reader.min_offset()),
                Some(position) => position,
                None => reader.min_offset(),
            };
            let end = printer.print_from(&reader, begin)?;
            // A store without files begins at 0, whatever its first file will be.
            position = (!reader.files().is_empty()).then_some(end);
        }
        printer.output.flush()?;
        if !command.follow || printer.left == 0 {
            return Ok(());
        }
        interrupt::check()?;
        if position == before {
            let end = position.unwrap_or_default();
            follow.wait(|reader, limit| reader.wait_readable(end, limit));
        } else {
            follow.went_on();
        }
    }
}

struct Printer<'a> {
    command: &'a Cat,
    filter: Filter,
    output: Output,
    left: u64,
    time_reached: bool,
    damaged: bool,
}

impl Printer<'_> {
    /// Prints up to the present end and returns where that is.
    fn print_from(
        &mut self,
        reader: &LogReader,
        begin: PhysicalOffset,
    ) -> Result<PhysicalOffset, Failure> {
        let mut walk = Walk::new(reader, begin);
        // Damage that ends the log so far, or will turn out to have good records behind it.
        let mut damage: Option<Error> = None;
        while self.left > 0 {
            interrupt::check()?;
            let entry = walk.next();
            if let Some(Ok(_)) = entry {
                self.tell(damage.take())?;
            }
            match entry {
                None => break,
                Some(Ok(LogEntry::Message(message))) => {
                    let record = message.record();
                    if self.is_wanted(&record) {
                        self.print(&record)?;
                    }
                }
                Some(Ok(LogEntry::Blank { .. })) => {}
                Some(Err(error)) => self.tell(damage.replace(error))?,
            }
        }
        // With nothing good behind it, it may be a record that is being written.
        if !self.command.follow {
            self.tell(damage)?;
        }
        Ok(walk.position())
    }

    fn tell(&mut self, damage: Option<Error>) -> Outcome {
        damage.map_or(Ok(()), |error| self.report(&error.to_string()))
    }

    /// Tells what is damaged, at its place between the messages.
    fn report(&mut self, damage: &str) -> Outcome {
        self.output.flush()?;
        report(damage);
        self.damaged = true;
        Ok(())
    }

    fn is_wanted(&mut self, record: &RecordView<'_>) -> bool {
        let command = self.command;
        if !self.time_reached {
            self.time_reached =
                command.from_time.is_none_or(|time| record.store_timestamp_ms() >= time);
        }
        let topic =
            command.topic.as_ref().is_none_or(|topic| record.topic_bytes() == topic.as_bytes());
        let queue =
            command.queue.is_none_or(|queue| record.queue_id() == queue && is_in_queue(record));
        let offset =
            command.from_queue_offset.is_none_or(|offset| record.queue_offset().get() >= offset);
        self.time_reached && topic && queue && offset && self.filter.matches_record(record)
    }

    fn print(&mut self, record: &RecordView<'_>) -> Outcome {
        self.left -= 1;
        if self.command.json {
            return self.output.json(&MessageJson::new(record));
        }
        self.output.bytes_line(record.body())
    }
}
