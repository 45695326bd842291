//! `groups`: how far each group has consumed, and setting it elsewhere.

use std::ops::Range;

use cairnlog::{ConsumerOffsets, QueueOffset, Store, StoreOptions, TimeBoundary};
use serde::Serialize;

use crate::arguments::{Groups, ResetTo};
use crate::failure::{Failure, Outcome};
use crate::output::{Output, or_dash};
use crate::{interrupt, open};

/// Runs the command.
pub(crate) fn run(command: &Groups, options: &StoreOptions) -> Outcome {
    if let (Some(to), Some(group), Some(topic)) = (command.reset_to, &command.group, &command.topic)
    {
        let store = open::maintained(&command.dir, options)?;
        reset(&store, command, (group, topic), to)?;
        store.close()?;
    }
    list(command, options)
}

/// Sets a group's offsets: of all queues, or if one is wrong of none.
fn reset(store: &Store, command: &Groups, owner: (&str, &str), to: ResetTo) -> Outcome {
    let (group, topic) = owner;
    open::wait_dispatched(store)?;
    let mut targets = Vec::new();
    for queue_id in store.queues_of(topic)? {
        if command.queue.is_none_or(|wanted| wanted == queue_id)
            && let Some(range) = store.queue_range(topic, queue_id)?
        {
            let target = match to {
                ResetTo::First => range.start,
                ResetTo::Last => range.end,
                ResetTo::Offset(offset) => QueueOffset::new(offset),
                ResetTo::TimeMs(time) => store
                    .offset_at_time(topic, queue_id, time, TimeBoundary::Lower)?
                    .unwrap_or(range.start),
            };
            if !(range.start..=range.end).contains(&target) {
                let why = format!("expected {} to {}, found {target}", range.start, range.end);
                return Err(Failure::failed(format!("{topic} queue {queue_id}"), why));
            }
            targets.push((queue_id, target));
        }
    }
    if targets.is_empty() {
        return Err(Failure::failed(topic, "there is no such queue"));
    }
    for (queue_id, target) in targets {
        store.commit_offset(group, topic, queue_id, target)?;
    }
    Ok(store.persist_offsets()?)
}

fn list(command: &Groups, options: &StoreOptions) -> Outcome {
    // Before the queues, so that no group seems to be beyond the end of one.
    let offsets = ConsumerOffsets::read(&command.dir)?;
    let mut reader = open::queues(&command.dir, options)?;
    let mut output = Output::new();
    if !command.json {
        output.line("group topic queue_id next_consumed first_offset next_offset lag")?;
    }
    let is_wanted =
        |wanted: &Option<String>, name: &str| wanted.as_ref().is_none_or(|wanted| wanted == name);
    for group in offsets.groups() {
        if !is_wanted(&command.group, &group) {
            continue;
        }
        for (topic, queue_id, offset) in offsets.queues_of(&group) {
            if !is_wanted(&command.topic, &topic)
                || command.queue.is_some_and(|wanted| wanted != queue_id)
            {
                continue;
            }
            interrupt::check()?;
            let range = reader.queue_range(&topic, queue_id)?;
            // What was removed is nothing that the group has left.
            let left = |range: Range<u64>| range.end.saturating_sub(offset.get().max(range.start));
            let line = GroupLine {
                group: &group,
                topic: &topic,
                queue_id,
                next_consumed: offset.get(),
                first_offset: range.as_ref().map(|range| range.start),
                next_offset: range.as_ref().map(|range| range.end),
                lag: range.map(left),
            };
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
struct GroupLine<'a> {
    group: &'a str,
    topic: &'a str,
    queue_id: i32,
    next_consumed: u64,
    first_offset: Option<u64>,
    next_offset: Option<u64>,
    lag: Option<u64>,
}

impl GroupLine<'_> {
    fn text(&self) -> String {
        format!(
            "{} {} {} {} {} {} {}",
            self.group,
            self.topic,
            self.queue_id,
            self.next_consumed,
            or_dash(self.first_offset),
            or_dash(self.next_offset),
            or_dash(self.lag),
        )
    }
}
