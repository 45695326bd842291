//! Reading by queue, by key and by id, and waiting for what comes.

use engine::{Error, QueueOffset, ReadRequest, Result, Status};

use crate::boundary::invalid;
use crate::error::cairn_error;
use crate::filter::cairn_filter;
use crate::open_struct::{self, OpenStruct};
use crate::opened::of_either;
use crate::read::cairn_batch;
use crate::status::cairn_status;
use crate::store::{cairn_store, physical_offset, wait_limit};
use crate::text::cairn_str;

/// What is read from a queue. Begin with `CAIRN_READ_REQUEST_INIT`; a field that stays zero has its
/// default.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct cairn_read_request {
    /// The size of this struct as the program knows it.
    pub struct_size: u32,
    /// The queue inside the topic.
    pub queue_id: i32,
    /// The topic.
    pub topic: cairn_str,
    /// The index of the first message wanted. A negative one is too small.
    pub offset: i64,
    /// Messages returned at most; 0 for 32.
    pub max_messages: usize,
    /// Bytes of records returned at most, but at least one message; 0 for 128 MiB.
    pub max_bytes: usize,
    /// Which messages are wanted; null for all.
    pub filter: *const cairn_filter,
}

// SAFETY: repr(C) with the size first, numbers and raw pointers only, no padding (`abi/layout.txt`
// is checked for that), and all zeroes is valid.
unsafe impl OpenStruct for cairn_read_request {
    const MIN_SIZE: usize = std::mem::offset_of!(cairn_read_request, max_messages);
}

impl cairn_read_request {
    /// The engine's request.
    ///
    /// # Safety
    ///
    /// - `topic` is readable for its length and `filter` null or live, during `'a`.
    unsafe fn engine_request<'a>(&self) -> Result<ReadRequest<'a>> {
        // SAFETY: readable for its length, says the caller.
        let topic = unsafe { self.topic.text("topic", Status::TopicIllegal) }?;
        // SAFETY: null or live, says the caller.
        let filter = unsafe { self.filter.as_ref() };
        let mut request = ReadRequest::new(topic, self.queue_id, self.offset)
            .filter(cairn_filter::engine_filter(filter));
        if self.max_messages > 0 {
            request.max_messages = self.max_messages;
        }
        if self.max_bytes > 0 {
            request.max_bytes = self.max_bytes;
        }
        Ok(request)
    }
}

/// An index in a queue that the caller gave.
pub(crate) fn queue_offset(offset: i64, name: &str) -> Result<QueueOffset> {
    QueueOffset::from_i64(offset)
        .ok_or_else(|| invalid(format!("{name} is negative")).expected("at least 0", offset))
}

/// Reads messages of a queue from an index on. It does not wait. Where nothing is found the batch
/// is empty, `cairn_batch_outcome` says why and `cairn_batch_next_offset` where to go on.
///
/// One call looks at 800 messages or `max_messages`, whichever is more, and at one file of the
/// queue, so fewer messages than asked for do not mean that the queue ends. A message can be read a
/// moment after its append returned: once it was dispatched to its queue, in a synchronous store
/// only when it is durable (unless `read_uncommitted` is set).
///
/// Gives `CAIRN_STATUS_INVALID_ARGUMENT` in a store without consume queues,
/// `CAIRN_STATUS_CORRUPTION` when the queue points to something that is not its message;
/// `*out_batch` is then null.
///
/// # Safety
/// - `store` is null or live.
/// - `request` is null, or readable for as many bytes as its `struct_size` says; its topic is
///   readable for its length and its filter is null or live.
/// - `out_batch` is null or writable.
/// - `out_error` is null or writable.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_store_read(
    store: *const cairn_store,
    request: *const cairn_read_request,
    out_batch: *mut *mut cairn_batch,
    out_error: *mut *mut cairn_error,
) -> cairn_status {
    boundary!(out_error, {
        let out_batch = require!(out out_batch).clear();
        let store = require!(store);
        // SAFETY: null or as long as it says, says the caller.
        let request = unsafe { open_struct::read(request, "request") }?;
        // SAFETY: what it points to is readable and live during the call, says the caller.
        let request = unsafe { request.engine_request() }?;
        let _inside = store.fence.enter();
        let batch = of_either!(store.opened, it => it.read(&request))?;
        let outcome = batch.outcome().code();
        let next_offset = batch.next_offset();
        let range = (batch.min_offset().to_i64(), batch.max_offset().to_i64());
        let messages = batch.into_messages();
        out_batch.give(cairn_batch::of_queue(outcome, messages, next_offset, range));
        Ok(())
    })
}

/// Finds the newest messages of a topic that have a key: one of their keys, or the unique key that
/// a RocketMQ client gave them. They were stored from `begin_ms` to `end_ms`, both included, in
/// milliseconds since the Unix epoch. At most `max_messages`, in the order of the log.
///
/// If there are none, the batch is empty and its outcome `CAIRN_READ_OUTCOME_NO_MATCHED_MESSAGE`.
/// Gives `CAIRN_STATUS_INVALID_ARGUMENT` for a `max_messages` of zero and in a store without
/// consume queues or key index.
///
/// # Safety
/// - `store` is null or live.
/// - `topic` and `key` are readable for their lengths.
/// - `out_batch` is null or writable.
/// - `out_error` is null or writable.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_store_query_key(
    store: *const cairn_store,
    topic: cairn_str,
    key: cairn_str,
    begin_ms: i64,
    end_ms: i64,
    max_messages: usize,
    out_batch: *mut *mut cairn_batch,
    out_error: *mut *mut cairn_error,
) -> cairn_status {
    boundary!(out_error, {
        let out_batch = require!(out out_batch).clear();
        let store = require!(store);
        // SAFETY: readable for its length, says the caller.
        let topic = unsafe { topic.text("topic", Status::TopicIllegal) }?;
        // SAFETY: readable for its length, says the caller.
        let key = unsafe { key.text("key", Status::InvalidArgument) }?;
        if max_messages == 0 {
            return Err(invalid("max_messages is zero"));
        }
        let _inside = store.fence.enter();
        let messages = of_either!(
            store.opened, it => it.query_key(topic, key, begin_ms, end_ms, max_messages)
        )?;
        out_batch.give(cairn_batch::looked_up(messages));
        Ok(())
    })
}

/// Finds the message with an id: RocketMQ's `offsetMsgId`, as `cairn_message_view_message_id` and
/// `cairn_append_result_message_id` write it, or else the unique key that a RocketMQ client gave
/// it.
///
/// If there is none, or it has another topic, the batch is empty and its outcome
/// `CAIRN_READ_OUTCOME_NO_MATCHED_MESSAGE`. Fails as `cairn_store_query_key` does.
///
/// # Safety
/// - `store` is null or live.
/// - `topic` and `message_id` are readable for their lengths.
/// - `out_batch` is null or writable.
/// - `out_error` is null or writable.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_store_find_by_message_id(
    store: *const cairn_store,
    topic: cairn_str,
    message_id: cairn_str,
    out_batch: *mut *mut cairn_batch,
    out_error: *mut *mut cairn_error,
) -> cairn_status {
    boundary!(out_error, {
        let out_batch = require!(out out_batch).clear();
        let store = require!(store);
        // SAFETY: readable for its length, says the caller.
        let topic = unsafe { topic.text("topic", Status::TopicIllegal) }?;
        // SAFETY: readable for its length, says the caller.
        let message_id = unsafe { message_id.text("message_id", Status::InvalidArgument) }?;
        let _inside = store.fence.enter();
        let message = of_either!(store.opened, it => it.find_by_message_id(topic, message_id))?;
        out_batch.give(cairn_batch::looked_up(Vec::from_iter(message)));
        Ok(())
    })
}

/// What came of a wait: an error if it was in vain.
fn waited(store: &cairn_store, happened: bool) -> Result<()> {
    if happened {
        return Ok(());
    }
    if store.opened.is_closed() {
        return Err(Error::new(Status::StoreClosed, "the store was closed during the wait"));
    }
    Err(Error::new(Status::WaitTimeout, "what was waited for did not come in time"))
}

/// Waits until a queue can be read at an index, at most `timeout_ms` milliseconds
/// (`CAIRN_WAIT_FOREVER`: without limit). The queue need not exist yet.
///
/// Gives `CAIRN_STATUS_WAIT_TIMEOUT` when the time runs out, `CAIRN_STATUS_STORE_CLOSED` when the
/// store is closed meanwhile.
///
/// # Safety
/// - `store` is null or live.
/// - `topic` is readable for its length.
/// - `out_error` is null or writable.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_store_wait_message(
    store: *const cairn_store,
    topic: cairn_str,
    queue_id: i32,
    queue_offset: i64,
    timeout_ms: u64,
    out_error: *mut *mut cairn_error,
) -> cairn_status {
    boundary!(out_error, {
        let store = require!(store);
        // SAFETY: readable for its length, says the caller.
        let topic = unsafe { topic.text("topic", Status::TopicIllegal) }?;
        let offset = self::queue_offset(queue_offset, "queue_offset")?;
        let _inside = store.fence.enter();
        let limit = wait_limit(timeout_ms);
        let came = of_either!(
            store.opened, it => it.wait_message(topic, queue_id, offset, limit)
        )?;
        waited(store, came)
    })
}

/// Waits until everything below `physical_offset` can be found in the queues and by key, at most
/// `timeout_ms` milliseconds (`CAIRN_WAIT_FOREVER`: without limit). The offset is usually a
/// result's `end_offset`.
///
/// Gives `CAIRN_STATUS_WAIT_TIMEOUT` when the time runs out, `CAIRN_STATUS_STORE_CLOSED` when the
/// store is closed meanwhile; `cairn_store_check_dispatch` tells whether anything is in the way.
///
/// # Safety
/// - `store` is null or live.
/// - `out_error` is null or writable.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_store_wait_dispatched(
    store: *const cairn_store,
    physical_offset: i64,
    timeout_ms: u64,
    out_error: *mut *mut cairn_error,
) -> cairn_status {
    boundary!(out_error, {
        let store = require!(store);
        let end = self::physical_offset(physical_offset, "physical_offset")?;
        let _inside = store.fence.enter();
        waited(store, store.writer()?.wait_dispatched(end, wait_limit(timeout_ms))?)
    })
}

/// Tells whether records come into the queues and the key index.
///
/// Gives `CAIRN_STATUS_DISPATCH_BLOCKED` while a file of theirs cannot be written; the error says
/// which and why. Nothing is lost: the store tries again every second.
///
/// # Safety
/// - `store` is null or live.
/// - `out_error` is null or writable.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_store_check_dispatch(
    store: *const cairn_store,
    out_error: *mut *mut cairn_error,
) -> cairn_status {
    boundary!(out_error, {
        let store = require!(store);
        let _inside = store.fence.enter();
        store.writer()?.dispatch_error().map_or(Ok(()), Err)
    })
}
