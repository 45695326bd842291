//! Members of consumer groups that ask for their messages.

use std::sync::{Arc, Weak};

use engine::{Consumer, Delivery, Error, Result, Status, Store};

use crate::boundary::{self, Out, invalid};
use crate::consumer_options::cairn_consumer_options;
use crate::error::cairn_error;
use crate::fence::Fence;
use crate::open_struct::{OpenStruct, OutStruct};
use crate::queue_read::queue_offset;
use crate::read::cairn_batch;
use crate::status::cairn_status;
use crate::store::{cairn_store, wait_limit};
use crate::text::cairn_str;

/// A member of a consumer group that asks for messages. Any number of threads may use it.
///
/// It may outlive the store's handle; once the store is closed, it gives
/// `CAIRN_STATUS_STORE_CLOSED`.
pub struct cairn_consumer {
    consumer: Arc<Consumer>,
    /// Not the consumer's to keep open.
    store: Weak<Store>,
    fence: Fence,
    /// The process that opened it.
    process: u32,
}

impl cairn_consumer {
    /// Refuses a call when the store was closed, or belongs to the parent process.
    fn check(&self) -> Result<()> {
        let closed = || Error::new(Status::StoreClosed, "the store was closed");
        let store = self.store.upgrade().ok_or_else(closed)?;
        store.consumer_offset(self.consumer.group(), "", 0).map(|_| ())
    }

    /// A message that this consumer handed out.
    fn delivery<'b>(&self, batch: &'b cairn_batch, index: usize) -> Result<&'b Delivery> {
        if !batch.is_of(&self.consumer) {
            return Err(invalid("the batch is none that this consumer gave"));
        }
        batch
            .delivery(index)
            .map(|(delivery, _)| delivery)
            .ok_or_else(|| invalid(format!("the batch has no message {index}")))
    }
}

impl Drop for cairn_consumer {
    /// Leaves the group here and now; in a child made by `fork()` nothing can be given back, since
    /// its locks may be held by threads that are not there.
    fn drop(&mut self) {
        if self.process == std::process::id() {
            self.consumer.close();
        } else {
            std::mem::forget(Arc::clone(&self.consumer));
        }
    }
}

/// A queue that is assigned to a consumer. Begin with `CAIRN_ASSIGNED_QUEUE_INIT`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct cairn_assigned_queue {
    /// The size of this struct as the program knows it.
    pub struct_size: u32,
    /// The queue inside the topic.
    pub queue_id: i32,
    /// The topic. It lives as long as the list.
    pub topic: cairn_str,
}

// SAFETY: repr(C) with the size first, numbers and raw pointers only, no padding (`abi/layout.txt`
// is checked for that), and all zeroes is valid.
unsafe impl OpenStruct for cairn_assigned_queue {
    const MIN_SIZE: usize = size_of::<cairn_assigned_queue>();
}

/// The queues that were assigned to a consumer at one moment. They do not change.
pub struct cairn_assigned_queues {
    queues: Vec<(String, i32)>,
}

/// Joins a group as one more member. The queues of its topics are divided among the group's members
/// in this store anew whenever one comes or goes.
///
/// Gives `CAIRN_STATUS_GROUP_ILLEGAL` for an impossible name, `CAIRN_STATUS_INVALID_ARGUMENT` when
/// there is no subscription or the store has no consume queues, `CAIRN_STATUS_TOPIC_ILLEGAL` and
/// the like for an impossible topic; `*out_consumer` is then null.
///
/// # Safety
/// - `store` is null or live.
/// - `group` is readable for its length.
/// - `options` is null or live.
/// - `out_consumer` is null or writable.
/// - `out_error` is null or writable.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_consumer_open(
    store: *const cairn_store,
    group: cairn_str,
    options: *const cairn_consumer_options,
    out_consumer: *mut *mut cairn_consumer,
    out_error: *mut *mut cairn_error,
) -> cairn_status {
    boundary!(out_error, {
        let out_consumer = require!(out out_consumer).clear();
        let store = require!(store);
        let options = require!(options);
        // SAFETY: readable for its length, says the caller.
        let group = unsafe { group.text("group", Status::GroupIllegal) }?;
        let _inside = store.fence.enter();
        let consumer = store.writer()?.consumer(group, options.engine_options())?;
        out_consumer.give(cairn_consumer {
            consumer: Arc::new(consumer),
            store: Arc::downgrade(store.writer()?),
            fence: store.fence.clone(),
            process: std::process::id(),
        });
        Ok(())
    })
}

/// Gives messages of one of the consumer's queues, at most `max_messages`, of which the first is
/// waited for, up to `timeout_ms` milliseconds (0: not at all, `CAIRN_WAIT_FOREVER`: without
/// limit). Each is in hand until it is acknowledged, sent back or its time is over.
///
/// When the time runs out, or consumer or store are closed while this waits, the batch is empty and
/// its outcome `CAIRN_READ_OUTCOME_OFFSET_OVERFLOW_ONE`. So it is at once after
/// `cairn_consumer_close`. A call on a store that was closed before gives
/// `CAIRN_STATUS_STORE_CLOSED`.
///
/// # Safety
/// - `consumer` is null or live.
/// - `out_batch` is null or writable.
/// - `out_error` is null or writable.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_consumer_poll(
    consumer: *const cairn_consumer,
    max_messages: usize,
    timeout_ms: u64,
    out_batch: *mut *mut cairn_batch,
    out_error: *mut *mut cairn_error,
) -> cairn_status {
    boundary!(out_error, {
        let out_batch = require!(out out_batch).clear();
        let consumer = require!(consumer);
        if max_messages == 0 {
            return Err(invalid("max_messages is zero"));
        }
        let _inside = consumer.fence.enter();
        let deliveries = consumer.consumer.poll(max_messages, wait_limit(timeout_ms));
        // Closing takes the files away under a read; what it then finds is no damage.
        let deliveries = deliveries.or_else(|error| consumer.check().and(Err(error)))?;
        out_batch.give(cairn_batch::of_deliveries(deliveries, Arc::downgrade(&consumer.consumer)));
        Ok(())
    })
}

/// Returns the topic that a delivered message was first appended to, also if it is tried again and
/// so comes from the group's retry topic; absent for a message that was not delivered to a
/// consumer. It lives as long as the batch.
///
/// # Safety
/// - `batch` is null or live.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cairn_delivery_topic(
    batch: *const cairn_batch,
    index: usize,
) -> cairn_str {
    value!(cairn_str::ABSENT, {
        // SAFETY: null or live, says the caller.
        let batch = unsafe { batch.as_ref() }?;
        let (_, topic) = batch.delivery(index)?;
        Some(cairn_str::of(topic.as_bytes()))
    })
}

/// Says that a message was processed. `*out_done` tells whether that counted: not if the message is
/// no longer this consumer's, because its time was over or it was acknowledged before; it may be
/// null.
///
/// The message is given by its batch, which the consumer gave, and its place there, from 0; else
/// the call gives `CAIRN_STATUS_INVALID_ARGUMENT`.
///
/// # Safety
/// - `consumer` is null or live.
/// - `batch` is null or live.
/// - `out_done` is null or writable.
/// - `out_error` is null or writable.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_delivery_acknowledge(
    consumer: *const cairn_consumer,
    batch: *const cairn_batch,
    index: usize,
    out_done: *mut bool,
    out_error: *mut *mut cairn_error,
) -> cairn_status {
    boundary!(out_error, {
        // SAFETY: null or writable, says the caller.
        let out_done = unsafe { Out::optional(out_done) };
        let consumer = require!(consumer);
        let batch = require!(batch);
        let delivery = consumer.delivery(batch, index)?;
        let _inside = consumer.fence.enter();
        consumer.check()?;
        let done = consumer.consumer.acknowledge(delivery);
        out_done.inspect(|out_done| out_done.set(done));
        Ok(())
    })
}

/// Says that a message could not be processed now. It is handed out again: in an orderly queue
/// after a pause, with everything behind it waiting; else by way of the group's retry topic, after
/// a delay that grows with each attempt. After `max_reconsume_times` it goes to the dead-letter
/// topic `%DLQ%group`. When broadcasting it is dropped.
///
/// `*out_done` and the message are as for `cairn_delivery_acknowledge`. On failure the message
/// stays in hand.
///
/// # Safety
/// - `consumer` is null or live.
/// - `batch` is null or live.
/// - `out_done` is null or writable.
/// - `out_error` is null or writable.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_delivery_retry_later(
    consumer: *const cairn_consumer,
    batch: *const cairn_batch,
    index: usize,
    out_done: *mut bool,
    out_error: *mut *mut cairn_error,
) -> cairn_status {
    boundary!(out_error, {
        // SAFETY: null or writable, says the caller.
        let out_done = unsafe { Out::optional(out_done) };
        let consumer = require!(consumer);
        let batch = require!(batch);
        let delivery = consumer.delivery(batch, index)?;
        let _inside = consumer.fence.enter_write()?;
        consumer.check()?;
        let done = consumer.consumer.retry_later(delivery)?;
        out_done.inspect(|out_done| out_done.set(done));
        Ok(())
    })
}

/// Goes to an index of a queue, forwards or backwards; messages of the queue that are in hand are
/// no longer. `*out_moved` tells whether the queue is assigned to this consumer; if not, nothing
/// happens. It may be null.
///
/// # Safety
/// - `consumer` is null or live.
/// - `topic` is readable for its length.
/// - `out_moved` is null or writable.
/// - `out_error` is null or writable.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_consumer_seek(
    consumer: *const cairn_consumer,
    topic: cairn_str,
    queue_id: i32,
    offset: i64,
    out_moved: *mut bool,
    out_error: *mut *mut cairn_error,
) -> cairn_status {
    boundary!(out_error, {
        // SAFETY: null or writable, says the caller.
        let out_moved = unsafe { Out::optional(out_moved) };
        let consumer = require!(consumer);
        // SAFETY: readable for its length, says the caller.
        let topic = unsafe { topic.text("topic", Status::TopicIllegal) }?;
        let offset = queue_offset(offset, "offset")?;
        let _inside = consumer.fence.enter();
        consumer.check()?;
        let moved = consumer.consumer.seek(topic, queue_id, offset);
        out_moved.inspect(|out_moved| out_moved.set(moved));
        Ok(())
    })
}

/// Makes the group's offsets durable now, instead of within `flush_consumer_offset_interval_ms`.
///
/// # Safety
/// - `consumer` is null or live.
/// - `out_error` is null or writable.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_consumer_commit(
    consumer: *const cairn_consumer,
    out_error: *mut *mut cairn_error,
) -> cairn_status {
    boundary!(out_error, {
        let consumer = require!(consumer);
        let _inside = consumer.fence.enter();
        consumer.check()?;
        consumer.consumer.commit()
    })
}

/// Lists the queues that are assigned to the consumer at present. Free the list with
/// `cairn_assigned_queues_free`.
///
/// # Safety
/// - `consumer` is null or live.
/// - `out_queues` is null or writable.
/// - `out_error` is null or writable.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_consumer_assigned(
    consumer: *const cairn_consumer,
    out_queues: *mut *mut cairn_assigned_queues,
    out_error: *mut *mut cairn_error,
) -> cairn_status {
    boundary!(out_error, {
        let out_queues = require!(out out_queues).clear();
        let consumer = require!(consumer);
        let _inside = consumer.fence.enter();
        consumer.check()?;
        out_queues.give(cairn_assigned_queues { queues: consumer.consumer.assigned() });
        Ok(())
    })
}

/// Returns the number of queues.
///
/// # Safety
/// - `queues` is null or live.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cairn_assigned_queues_len(queues: *const cairn_assigned_queues) -> usize {
    value!(0, {
        // SAFETY: null or live, says the caller.
        let queues = unsafe { queues.as_ref() }?;
        Some(queues.queues.len())
    })
}

/// Gives a queue of the list, from 0.
///
/// Gives `CAIRN_STATUS_INVALID_ARGUMENT` for an index beyond the last.
///
/// # Safety
/// - `queues` is null or live.
/// - `out_queue` is null, or writable for as many bytes as its `struct_size` says.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_assigned_queues_get(
    queues: *const cairn_assigned_queues,
    index: usize,
    out_queue: *mut cairn_assigned_queue,
) -> cairn_status {
    boundary!({
        let queues = require!(queues);
        // SAFETY: null or as long as it says, says the caller.
        let out_queue = unsafe { OutStruct::new(out_queue, "out_queue") }?;
        let (topic, queue_id) = queues
            .queues
            .get(index)
            .ok_or_else(|| invalid(format!("the list has no queue {index}")))?;
        out_queue.write(cairn_assigned_queue {
            struct_size: size_of::<cairn_assigned_queue>() as u32,
            queue_id: *queue_id,
            topic: cairn_str::of(topic.as_bytes()),
        });
        Ok(())
    })
}

/// Frees a list of queues; its topics end with it. Null is accepted.
///
/// # Safety
/// - `queues` is null or live, and neither it nor its topics are used afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cairn_assigned_queues_free(queues: *mut cairn_assigned_queues) {
    // SAFETY: the caller's promise is the same.
    unsafe { boundary::free(queues) }
}

/// Leaves the group; what is in hand is handed out to others. Polls under way end. The handle stays
/// valid until `cairn_consumer_free`. A second call does nothing.
///
/// # Safety
/// - `consumer` is null or live.
/// - `out_error` is null or writable.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_consumer_close(
    consumer: *const cairn_consumer,
    out_error: *mut *mut cairn_error,
) -> cairn_status {
    boundary!(out_error, {
        let consumer = require!(consumer);
        if consumer.process != std::process::id() {
            return Err(forked());
        }
        let _inside = consumer.fence.enter();
        consumer.consumer.close();
        Ok(())
    })
}

/// The error for a member of the parent process.
pub(crate) fn forked() -> Error {
    Error::new(Status::Forked, "only the process that opened the consumer can close it")
}

/// Tells whether the consumer was closed; true for null.
///
/// # Safety
/// - `consumer` is null or live.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cairn_consumer_is_closed(consumer: *const cairn_consumer) -> bool {
    value!(true, {
        // SAFETY: null or live, says the caller.
        let consumer = unsafe { consumer.as_ref() }?;
        Some(consumer.consumer.is_closed())
    })
}

/// Frees a consumer; it leaves its group first. Null is accepted. Batches it gave stay valid until
/// they are freed.
///
/// # Safety
/// - `consumer` is null or live, and no call on it is running or comes later.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cairn_consumer_free(consumer: *mut cairn_consumer) {
    // SAFETY: the caller's promise is the same.
    unsafe { boundary::free(consumer) }
}
