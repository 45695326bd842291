//! Following a queue.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use engine::{Error, MessageView, Result, Status, Tail};

use crate::boundary::{self, invalid};
use crate::error::cairn_error;
use crate::fence::Fence;
use crate::filter::cairn_filter;
use crate::opened::{WeakOpened, of_either};
use crate::queue_read::queue_offset;
use crate::read::{cairn_batch, cairn_read_outcome};
use crate::status::cairn_status;
use crate::store::{cairn_store, wait_limit};
use crate::text::cairn_str;

/// A place in a queue that moves on with each message read. Any number of threads may use it: each
/// message goes to one of them.
///
/// It may outlive the store's handle; once the store is closed, it gives
/// `CAIRN_STATUS_STORE_CLOSED`.
pub struct cairn_tail {
    /// Not the tail's to keep open.
    store: WeakOpened,
    fence: Fence,
    topic: String,
    queue_id: i32,
    /// Absent while a thread has its turn.
    tail: Mutex<Option<Tail>>,
    returned: Condvar,
    /// Where the tail stands, told without a turn.
    offset: AtomicI64,
}

/// A thread's turn with a tail; it ends when this is dropped.
struct Turn<'a> {
    owner: &'a cairn_tail,
    tail: Option<Tail>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if let Some(tail) = self.tail.take() {
            self.owner.offset.store(tail.offset().to_i64(), Ordering::Release);
            *self.owner.lock() = Some(tail);
            self.owner.returned.notify_one();
        }
    }
}

impl cairn_tail {
    fn lock(&self) -> MutexGuard<'_, Option<Tail>> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until no other thread has its turn; without a tail when the time runs out.
    fn turn(&self, timeout: Duration) -> Turn<'_> {
        let waited = self.returned.wait_timeout_while(self.lock(), timeout, |tail| tail.is_none());
        let (mut tail, _) = waited.unwrap_or_else(PoisonError::into_inner);
        Turn { owner: self, tail: tail.take() }
    }

    /// Where the queue begins and ends; fails when the store was closed.
    fn range(&self) -> Result<(i64, i64)> {
        let closed = || Error::new(Status::StoreClosed, "the store was closed");
        let store = self.store.upgrade().ok_or_else(closed)?;
        let range = of_either!(store, it => it.queue_range(&self.topic, self.queue_id))?
            .unwrap_or_default();
        Ok((range.start.to_i64(), range.end.to_i64()))
    }

    /// Up to `max_messages`, of which the first is waited for.
    fn next(&self, max_messages: usize, timeout: Duration) -> Result<cairn_batch> {
        let begin = Instant::now();
        let mut turn = self.turn(timeout);
        let before = self.range()?;
        let mut messages = Vec::new();
        if let Some(tail) = &mut turn.tail {
            let left = timeout.saturating_sub(begin.elapsed());
            let first = tail.next_timeout(left);
            // Closing takes the files away under a read; what it then finds is no damage.
            let first = first.or_else(|error| self.range().and(Err(error)))?;
            messages.extend(first);
            if !messages.is_empty() {
                take_ready(tail, max_messages, &mut messages);
            }
        }
        let position = turn.tail.as_ref().map(|tail| tail.offset().to_i64());
        drop(turn);
        let range = self.range().unwrap_or(before);
        let found = !messages.is_empty();
        let outcome =
            if found { cairn_read_outcome::Found } else { cairn_read_outcome::OffsetOverflowOne };
        let next_offset = position.unwrap_or_else(|| self.offset());
        Ok(cairn_batch::of_queue(outcome as i32, messages, next_offset, range))
    }

    fn offset(&self) -> i64 {
        self.offset.load(Ordering::Acquire)
    }
}

/// Takes messages that need not be waited for. After a failure the tail stands where it was, so the
/// next call meets it again.
fn take_ready(tail: &mut Tail, max_messages: usize, messages: &mut Vec<MessageView>) {
    while messages.len() < max_messages
        && let Some(Ok(message)) = tail.next()
    {
        messages.push(message);
    }
}

/// Opens a place in a queue at an index, to follow the queue from there; the queue need not exist
/// yet. `filter` may be null for all messages, and may be freed at once.
///
/// Messages that retention removed are passed over: the tail goes on with the first that is there.
///
/// # Safety
/// - `store` is null or live.
/// - `topic` is readable for its length.
/// - `filter` is null or live.
/// - `out_tail` is null or writable.
/// - `out_error` is null or writable.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_tail_open(
    store: *const cairn_store,
    topic: cairn_str,
    queue_id: i32,
    from_offset: i64,
    filter: *const cairn_filter,
    out_tail: *mut *mut cairn_tail,
    out_error: *mut *mut cairn_error,
) -> cairn_status {
    boundary!(out_error, {
        let out_tail = require!(out out_tail).clear();
        let store = require!(store);
        // SAFETY: readable for its length, says the caller.
        let topic = unsafe { topic.text("topic", Status::TopicIllegal) }?;
        let from = queue_offset(from_offset, "from_offset")?;
        // SAFETY: null or live, says the caller.
        let filter = cairn_filter::engine_filter(unsafe { filter.as_ref() });
        let _inside = store.fence.enter();
        let tail = of_either!(store.opened, it => it.tail(topic, queue_id, from, filter))?;
        out_tail.give(cairn_tail {
            store: store.opened.downgrade(),
            fence: store.fence.clone(),
            topic: topic.to_owned(),
            queue_id,
            tail: Mutex::new(Some(tail)),
            returned: Condvar::new(),
            offset: AtomicI64::new(from_offset),
        });
        Ok(())
    })
}

/// Reads the next messages, at most `max_messages`. Where there is none yet it waits up to
/// `timeout_ms` milliseconds (0: not at all, `CAIRN_WAIT_FOREVER`: without limit) for the first,
/// and not for more.
///
/// When the time runs out, or the store is closed while this waits, the batch is empty and its
/// outcome `CAIRN_READ_OUTCOME_OFFSET_OVERFLOW_ONE`. A call on a store that was closed before gives
/// `CAIRN_STATUS_STORE_CLOSED`.
///
/// # Safety
/// - `tail` is null or live.
/// - `out_batch` is null or writable.
/// - `out_error` is null or writable.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_tail_next(
    tail: *const cairn_tail,
    max_messages: usize,
    timeout_ms: u64,
    out_batch: *mut *mut cairn_batch,
    out_error: *mut *mut cairn_error,
) -> cairn_status {
    boundary!(out_error, {
        let out_batch = require!(out out_batch).clear();
        let tail = require!(tail);
        if max_messages == 0 {
            return Err(invalid("max_messages is zero"));
        }
        let _inside = tail.fence.enter();
        out_batch.give(tail.next(max_messages, wait_limit(timeout_ms))?);
        Ok(())
    })
}

/// Returns the index where the next call goes on, which is where a later tail is opened; -1 for
/// null. While a call runs it is that of before. It never waits.
///
/// # Safety
/// - `tail` is null or live.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cairn_tail_offset(tail: *const cairn_tail) -> i64 {
    value!(-1, {
        // SAFETY: null or live, says the caller.
        let tail = unsafe { tail.as_ref() }?;
        Some(tail.offset())
    })
}

/// Frees a tail. Null is accepted. Batches it gave stay valid until they are freed.
///
/// # Safety
/// - `tail` is null or live, and no call on it is running or comes later.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cairn_tail_free(tail: *mut cairn_tail) {
    // SAFETY: the caller's promise is the same.
    unsafe { boundary::free(tail) }
}
