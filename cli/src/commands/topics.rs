//! `topics`: what topics and queues there are, and what they hold.

use std::collections::BTreeMap;

use cairnlog::{StoreOptions, TopicConfig, Topics as TopicConfigs};
use serde::Serialize;

use crate::arguments::Topics;
use crate::failure::{Failure, Outcome};
use crate::output::{Output, or_dash};
use crate::queue_reader::{Place, QueueReader};
use crate::{interrupt, open};

/// Runs the command.
pub(crate) fn run(command: &Topics, options: &StoreOptions) -> Outcome {
    let configs = TopicConfigs::read(&command.dir)?;
    let mut reader = open::queues(&command.dir, options)?;
    // Topics that have settings but no queue yet are listed, too.
    let mut topics: BTreeMap<String, Vec<i32>> =
        configs.names().into_iter().map(|topic| (topic, Vec::new())).collect();
    for (topic, queue_id) in reader.queues()? {
        topics.entry(topic).or_default().push(queue_id);
    }
    let mut output = Output::new();
    if !command.json {
        output.line(
            "topic queue_id first_offset next_offset messages last_store_timestamp perm \
             read_queues write_queues",
        )?;
    }
    for (topic, queues) in topics {
        let config = configs.get(&topic);
        let mut lines = Vec::new();
        for queue_id in queues {
            interrupt::check()?;
            lines.push(QueueLine::new(&topic, config.as_ref()).filled(&mut reader, queue_id)?);
        }
        if lines.is_empty() {
            lines.push(QueueLine::new(&topic, config.as_ref()));
        }
        for line in lines {
            if command.json {
                output.json(&line)?;
            } else {
                output.line(line.text())?;
            }
        }
    }
    output.flush()
}

#[derive(Debug, Serialize)]
struct QueueLine<'a> {
    topic: &'a str,
    queue_id: Option<i32>,
    first_offset: Option<u64>,
    next_offset: Option<u64>,
    messages: u64,
    last_store_timestamp: Option<i64>,
    perm: Option<i32>,
    read_queues: Option<i32>,
    write_queues: Option<i32>,
}

impl<'a> QueueLine<'a> {
    fn new(topic: &'a str, config: Option<&TopicConfig>) -> Self {
        Self {
            topic,
            queue_id: None,
            first_offset: None,
            next_offset: None,
            messages: 0,
            last_store_timestamp: None,
            perm: config.map(|config| config.perm),
            read_queues: config.map(|config| config.read_queue_nums),
            write_queues: config.map(|config| config.write_queue_nums),
        }
    }

    fn filled(mut self, reader: &mut QueueReader, queue_id: i32) -> Result<Self, Failure> {
        self.queue_id = Some(queue_id);
        let Some(range) = reader.queue_range(self.topic, queue_id)? else {
            return Ok(self);
        };
        self.first_offset = Some(range.start);
        self.next_offset = Some(range.end);
        self.messages = range.end - range.start;
        if self.messages > 0
            && let Place::Message(last) = reader.read(self.topic, queue_id, range.end - 1)?
        {
            self.last_store_timestamp = Some(last.store_timestamp_ms());
        }
        Ok(self)
    }

    fn text(&self) -> String {
        format!(
            "{} {} {} {} {} {} {} {} {}",
            self.topic,
            or_dash(self.queue_id),
            or_dash(self.first_offset),
            or_dash(self.next_offset),
            self.messages,
            or_dash(self.last_store_timestamp),
            or_dash(self.perm),
            or_dash(self.read_queues),
            or_dash(self.write_queues),
        )
    }
}
