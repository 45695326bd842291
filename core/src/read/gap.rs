//! Messages that the log has and the files of their queue lack.
//!
//! A log of RocketMQ's may skip indexes, and retention removes files from the front of a queue:
//! then nothing is missing, and reading goes on behind the gap. But somebody may also have removed
//! files, one after the other and in any order, which the next writer builds again. The log tells
//! which it is.

use std::collections::HashMap;
use std::ops::Range;

use parking_lot::Mutex;

use super::{Follower, Reading, Source};
use crate::codec::record::CrcCheck;
use crate::commit_log::{Found, Walk, view};
use crate::consume_queue::{ConsumeQueue, MAX_INDEX, Slot, Units};
use crate::error::Result;

/// Queues that lacked a message when they were last read.
#[derive(Debug, Default)]
pub(super) struct Lacking(Mutex<HashMap<(Box<str>, i32), Lacked>>);

/// A message that the log has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lacked {
    pub(super) index: u64,
    physical_offset: u64,
}

impl Lacking {
    pub(super) fn find(&self, topic: &str, queue_id: i32) -> Option<Lacked> {
        let lacking = self.0.lock();
        // Mostly there are none, and nothing is allocated to find none.
        if lacking.is_empty() { None } else { lacking.get(&(topic.into(), queue_id)).copied() }
    }

    pub(super) fn note(&self, queue: &ConsumeQueue, lacked: Option<Lacked>) {
        let key = (queue.topic().into(), queue.queue_id());
        let mut lacking = self.0.lock();
        match lacked {
            Some(lacked) => lacking.insert(key, lacked),
            None => lacking.remove(&key),
        };
    }
}

impl Reading {
    /// Where a queue goes on behind an index of its range whose unit its files lack; `units` are
    /// those that were read from there on.
    pub(super) fn index_behind_gap(
        &self,
        queue: &ConsumeQueue,
        index: u64,
        units: &Units,
    ) -> Result<Option<u64>> {
        match units.iter().next() {
            None => queue.index_behind_file(units.first).map(|next| Some(next.max(index))),
            Some((_, Slot::Unit(unit))) => Ok(Some(unit.index).filter(|next| *next > index)),
            Some(_) => Ok(None),
        }
    }

    /// Whether messages at indexes that a queue lacks are to be waited for.
    pub(super) fn will_come(&self, queue: &ConsumeQueue, lacked: Range<u64>) -> Result<bool> {
        match &self.source {
            // Who writes the queue builds nothing again while the store is open.
            Source::Dispatcher(_) => Ok(false),
            Source::Follower(follower) => follower.will_come(queue, lacked),
        }
    }

    /// Whether reading a queue at an index brings a message, or leads behind a gap.
    pub(super) fn brings(&self, topic: &str, queue_id: i32, index: u64) -> Result<bool> {
        let Some(queue) = self.queue(topic, queue_id)? else {
            return Ok(false);
        };
        let range = queue.range();
        if index < range.start {
            return Ok(!self.will_come(&queue, index..range.start)?);
        }
        if index >= range.end || queue.has(index)? {
            return Ok(index < range.end);
        }
        match self.index_behind_gap(&queue, index, &queue.read(index, 1)?)? {
            Some(next) => Ok(!self.will_come(&queue, index..next)?),
            None => Ok(false),
        }
    }
}

impl Follower {
    /// Whether the log has a message at one of the indexes that a queue lacks.
    fn will_come(&self, queue: &ConsumeQueue, lacked: Range<u64>) -> Result<bool> {
        if lacked.end == queue.range().start && queue.begins_behind_a_unit()? {
            return Ok(false);
        }
        // What retention removed just now will not come.
        self.list_now();
        let min = self.log.min_offset();
        if let Some(known) = self.lacking.find(queue.topic(), queue.queue_id())
            && lacked.contains(&known.index)
            && known.physical_offset >= min
        {
            return Ok(true);
        }
        let from = queue.physical_offset_before(lacked.start)?.unwrap_or(min).max(min);
        let found = self.find_in_log(queue, lacked.start, from)?;
        let found = found.filter(|found| found.index < lacked.end);
        self.lacking.note(queue, found);
        Ok(found.is_some())
    }

    /// The first message of a queue at an index or behind it that the log has from a position on.
    fn find_in_log(&self, queue: &ConsumeQueue, index: u64, from: u64) -> Result<Option<Lacked>> {
        let mut walk = Walk::new(&self.log, from, CrcCheck::Skip);
        loop {
            match walk.step() {
                Found::Record(pin, layout) => {
                    let record = view(&pin, layout);
                    let first = record.queue_offset().get();
                    let is_of_queue = record.is_queued()
                        && record.queue_id() == queue.queue_id()
                        && record.topic_bytes() == queue.topic().as_bytes()
                        && first <= MAX_INDEX;
                    if is_of_queue && first + u64::from(record.message_count()) > index {
                        let physical_offset = record.physical_offset().get();
                        return Ok(Some(Lacked { index: first.max(index), physical_offset }));
                    }
                }
                Found::Blank(..) => {}
                Found::Free => match self.log.removed_up_to(walk.position()) {
                    Some(first) => walk = Walk::new(&self.log, first, CrcCheck::Skip),
                    None => return Ok(None),
                },
                Found::Damaged(error) => return Err(error),
            }
        }
    }
}
