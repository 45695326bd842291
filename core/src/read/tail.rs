//! Following a queue.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{ReadOutcome, ReadRequest, Reading};
use crate::commit_log::MessageView;
use crate::error::Result;
use crate::filter::Filter;
use crate::offset::QueueOffset;
use crate::watermark::Watermark;

/// Messages that one read takes ahead.
const READ_AHEAD: usize = 32;

/// An iterator over the messages of a queue.
///
/// `next` returns `None` where the queue ends for now and may be called again when more was
/// appended; [`Tail::next_timeout`] waits for it. Messages that retention removed are passed over:
/// the tail goes on with the first that is there.
#[derive(Debug)]
pub struct Tail {
    reading: Reading,
    topic: String,
    queue_id: i32,
    filter: Filter,
    /// The index of the next message that is to be read.
    position: i64,
    /// Messages that were read and not yet returned.
    ahead: VecDeque<MessageView>,
}

impl Tail {
    pub(crate) fn new(
        reading: Reading,
        topic: &str,
        queue_id: i32,
        from: QueueOffset,
        filter: Filter,
    ) -> Self {
        let position = from.to_i64();
        let topic = topic.to_owned();
        Self { reading, topic, queue_id, filter, position, ahead: VecDeque::new() }
    }

    /// The index behind the message that was returned last, where a later tail goes on.
    #[must_use]
    pub fn offset(&self) -> QueueOffset {
        let ahead = self.ahead.front().map(MessageView::queue_offset);
        ahead.unwrap_or_else(|| QueueOffset::from_i64(self.position).unwrap_or_default())
    }

    /// The next message, waited for if there is none yet; `None` when the time runs out, or the
    /// store is closed.
    ///
    /// # Errors
    ///
    /// As [`crate::Store::read`].
    pub fn next_timeout(&mut self, timeout: Duration) -> Result<Option<MessageView>> {
        let deadline = Instant::now().checked_add(timeout);
        loop {
            if let Some(message) = self.step()? {
                return Ok(Some(message));
            }
            let position = self.position.cast_unsigned();
            if !self.reading.wait_message(&self.topic, self.queue_id, position, deadline) {
                return self.step();
            }
        }
    }

    /// The next message that is there.
    fn step(&mut self) -> Result<Option<MessageView>> {
        loop {
            if let Some(message) = self.next_read() {
                return Ok(Some(message));
            }
            if !self.read_on()? {
                return Ok(None);
            }
        }
    }

    /// The next message that was read.
    pub(super) fn next_read(&mut self) -> Option<MessageView> {
        self.ahead.pop_front()
    }

    /// Reads what follows. False where the queue ends for now.
    pub(super) fn read_on(&mut self) -> Result<bool> {
        let request = ReadRequest::new(&self.topic, self.queue_id, self.position)
            .max_messages(READ_AHEAD)
            .filter(self.filter.clone());
        let batch = self.reading.read(&request)?;
        let moved = batch.next_offset() > self.position;
        match batch.outcome() {
            ReadOutcome::OffsetOverflowOne
            | ReadOutcome::OffsetOverflowBadly
            | ReadOutcome::NoMatchedLogicQueue
            | ReadOutcome::NoMessageInQueue => return Ok(false),
            _ if !moved => return Ok(false),
            _ => {}
        }
        self.position = batch.next_offset();
        self.ahead.extend(batch.into_messages());
        Ok(true)
    }

    /// One past the last index of the queue, to wait for, and the index that is waited for. `None`
    /// if there can be no such queue.
    pub(super) fn awaited(&self) -> Option<(Arc<Watermark>, u64)> {
        let end = self.reading.queues.end_of(&self.topic, self.queue_id)?;
        Some((end, self.position.cast_unsigned()))
    }
}

impl Iterator for Tail {
    type Item = Result<MessageView>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step().transpose()
    }
}
