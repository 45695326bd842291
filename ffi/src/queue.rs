//! A prepared (topic, queue) for the hot path.

use std::ffi::c_void;
use std::sync::Arc;

use engine::{Message, QueueAppender, Status};

use crate::append::cairn_append_callback;
use crate::boundary;
use crate::callbacks::{self, Callbacks};
use crate::error::cairn_error;
use crate::fence::Fence;
use crate::message::{MessageParts, UseTopic, cairn_append_result, cairn_message};
use crate::open_struct::OutStruct;
use crate::status::cairn_status;
use crate::store::cairn_store;
use crate::text::cairn_str;

/// A topic and queue whose checks are done once. Any number of threads may use it.
///
/// It may outlive the store's handle; once the store is closed, its appends give
/// `CAIRN_STATUS_STORE_CLOSED`.
pub struct cairn_queue {
    appender: QueueAppender,
    fence: Fence,
    callbacks: Arc<Callbacks>,
}

/// Prepares a topic and queue for appending.
///
/// # Safety
/// - `store` is null or live.
/// - `topic` is readable for its length.
/// - `out_queue` is null or writable.
/// - `out_error` is null or writable.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_queue_open(
    store: *mut cairn_store,
    topic: cairn_str,
    queue_id: i32,
    out_queue: *mut *mut cairn_queue,
    out_error: *mut *mut cairn_error,
) -> cairn_status {
    boundary!(out_error, {
        let out_queue = require!(out out_queue).clear();
        let store = require!(store);
        // SAFETY: readable for its length, says the caller.
        let topic = unsafe { topic.text("topic", Status::TopicIllegal) }?;
        let _inside = store.fence.enter_write()?;
        out_queue.give(cairn_queue {
            appender: store.writer()?.queue(topic, queue_id)?,
            fence: store.fence.clone(),
            callbacks: Arc::clone(&store.callbacks),
        });
        Ok(())
    })
}

/// Appends a message to the prepared queue; the message's own topic and queue are not looked at.
/// Otherwise as `cairn_store_append`.
///
/// # Safety
/// - `queue` is null or live.
/// - `message` is null, or readable for as many bytes as its `struct_size` says, and so is what it
///   points to.
/// - `out_result` is null, or writable for as many bytes as its `struct_size` says.
/// - `out_error` is null or writable.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_queue_append(
    queue: *mut cairn_queue,
    message: *const cairn_message,
    out_result: *mut cairn_append_result,
    out_error: *mut *mut cairn_error,
) -> cairn_status {
    boundary!(out_error, {
        let queue = require!(queue);
        // SAFETY: null or as long as it says, says the caller.
        let out_result = unsafe { OutStruct::optional(out_result, "out_result") }?;
        // SAFETY: readable as it says, says the caller.
        let parts = unsafe { MessageParts::read(message) }?;
        let _inside = queue.fence.enter_write()?;
        let append = |message: &Message<'_>| {
            let placed = queue.appender.append(message)?;
            if let Some(out_result) = out_result {
                out_result.write(placed.into());
            }
            Ok(())
        };
        // SAFETY: what it points to is readable during the call, says the caller.
        unsafe { parts.with_message(UseTopic::No, append) }
    })
}

/// Appends a message to the prepared queue and returns at once. Otherwise as
/// `cairn_store_append_async`.
///
/// # Safety
/// - `queue` is null or live.
/// - `message` is null, or readable for as many bytes as its `struct_size` says, and so is what it
///   points to, until this function returns.
/// - `callback` is null or may be called with `user_data` from another thread.
/// - `out_error` is null or writable.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_queue_append_async(
    queue: *mut cairn_queue,
    message: *const cairn_message,
    callback: cairn_append_callback,
    user_data: *mut c_void,
    out_error: *mut *mut cairn_error,
) -> cairn_status {
    boundary!(out_error, {
        let queue = require!(queue);
        let callback = callbacks::required(callback)?;
        // SAFETY: readable as it says, says the caller.
        let parts = unsafe { MessageParts::read(message) }?;
        let _inside = queue.fence.enter_write()?;
        let sink = queue.callbacks.sink(callback);
        let token = callbacks::token(user_data);
        let append = |message: &Message<'_>| queue.appender.append_to_sink(message, &sink, token);
        // SAFETY: what it points to is readable during the call, says the caller.
        unsafe { parts.with_message(UseTopic::No, append) }?;
        Ok(())
    })
}

/// Frees a prepared queue. Null is accepted. What was appended through it stays.
///
/// # Safety
/// - `queue` is null or live, and no call on it is running or comes later.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cairn_queue_free(queue: *mut cairn_queue) {
    // SAFETY: the caller's promise is the same.
    unsafe { boundary::free(queue) }
}
