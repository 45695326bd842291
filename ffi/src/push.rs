//! Members of consumer groups whose messages go to a function.

use std::cell::Cell;
use std::ffi::c_void;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use engine::{ConsumeStatus, Delivery, MessageListener, PushConsumer, PushOptions, Status};

use crate::boundary::{self, invalid, null_argument};
use crate::consumer::forked;
use crate::consumer_options::cairn_consumer_options;
use crate::error::cairn_error;
use crate::fence::Fence;
use crate::read::cairn_batch;
use crate::status::cairn_status;
use crate::store::cairn_store;
use crate::text::cairn_str;

/// What became of messages that a callback got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum cairn_consume_status {
    /// All were processed.
    Success = 0,
    /// They are to be handed out again, as `cairn_delivery_retry_later` says.
    RetryLater = 1,
}

/// Takes messages of one queue, in their order, and returns a `cairn_consume_status` for all of
/// them; any other number counts as `CAIRN_CONSUME_STATUS_RETRY_LATER`.
///
/// It runs on the push consumer's own threads, several at once unless there is one, any number of
/// times, and never again once `cairn_push_consumer_close` or `cairn_push_consumer_free` returned.
/// A message may come more than once. `batch` is borrowed for the call and must not be freed;
/// `user_data` is what was passed to `cairn_push_consumer_start`.
///
/// It may call the library, also to append and to wait; but it must not close or free a store, nor
/// free a push consumer, and `cairn_push_consumer_close` refuses it. It must not leave by an
/// exception or `longjmp`.
pub type cairn_consume_callback =
    Option<unsafe extern "C" fn(batch: *const cairn_batch, user_data: *mut c_void) -> i32>;

type ConsumeFunction = unsafe extern "C" fn(*const cairn_batch, *mut c_void) -> i32;

thread_local! {
    /// Whether this thread is inside a callback.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// The function of a push consumer.
struct Callback {
    function: ConsumeFunction,
    user_data: *mut c_void,
}

// SAFETY: the caller of `cairn_push_consumer_start` promises that the function may be called with
// its `user_data` on any thread.
unsafe impl Send for Callback {}
// SAFETY: as above, and on several threads at once.
unsafe impl Sync for Callback {}

impl MessageListener for Callback {
    fn consume(&self, deliveries: &[Delivery]) -> ConsumeStatus {
        if deliveries.is_empty() {
            return ConsumeStatus::Success;
        }
        let batch = cairn_batch::of_deliveries(deliveries.to_vec(), Weak::new());
        INSIDE.set(true);
        // SAFETY: the function may be called so, says the caller of `cairn_push_consumer_start`;
        // the batch lives until it returns.
        let status = unsafe { (self.function)(&batch, self.user_data) };
        INSIDE.set(false);
        if status == cairn_consume_status::Success as i32 {
            ConsumeStatus::Success
        } else {
            ConsumeStatus::RetryLater
        }
    }
}

/// A member of a consumer group whose messages go to a function, on threads of its own.
pub struct cairn_push_consumer {
    /// Absent only while being dropped.
    push: Option<PushConsumer>,
    fence: Fence,
    /// Held while closing, so that a second call waits for the first.
    closing: Mutex<()>,
    /// The process that started it.
    process: u32,
}

impl Drop for cairn_push_consumer {
    /// In a child made by `fork()` the threads that would be waited for are not there.
    fn drop(&mut self) {
        if self.process != std::process::id() {
            std::mem::forget(self.push.take());
        }
    }
}

/// Joins a group as one more member, and calls `callback` for its messages: on `threads` threads (0
/// for 4, at most 1024), with at most `max_batch` messages a time (0 for 1). An orderly consumer
/// has one call at a time for each queue.
///
/// The statuses are those of `cairn_consumer_open`, and `CAIRN_STATUS_OUT_OF_MEMORY` when a thread
/// cannot be started; `*out_push` is then null, and the callback is not called any more.
///
/// # Safety
/// - `store` is null or live.
/// - `group` is readable for its length.
/// - `options` is null or live.
/// - `callback` is null or may be called with `user_data` from other threads.
/// - `out_push` is null or writable.
/// - `out_error` is null or writable.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_push_consumer_start(
    store: *const cairn_store,
    group: cairn_str,
    options: *const cairn_consumer_options,
    callback: cairn_consume_callback,
    user_data: *mut c_void,
    threads: usize,
    max_batch: usize,
    out_push: *mut *mut cairn_push_consumer,
    out_error: *mut *mut cairn_error,
) -> cairn_status {
    boundary!(out_error, {
        let out_push = require!(out out_push).clear();
        let store = require!(store);
        let options = require!(options);
        let function = callback.ok_or_else(|| null_argument("callback"))?;
        // SAFETY: readable for its length, says the caller.
        let group = unsafe { group.text("group", Status::GroupIllegal) }?;
        let mut push = PushOptions::default();
        if threads > 0 {
            push.threads = threads;
        }
        if max_batch > 0 {
            push.max_batch = max_batch;
        }
        let listener = Arc::new(Callback { function, user_data });
        let _inside = store.fence.enter();
        let push =
            store.writer()?.push_consumer(group, options.engine_options(), push, listener)?;
        out_push.give(cairn_push_consumer {
            push: Some(push),
            fence: store.fence.clone(),
            closing: Mutex::default(),
            process: std::process::id(),
        });
        Ok(())
    })
}

/// Waits for the calls of the callback that are running, ends the threads and leaves the group. The
/// handle stays valid until `cairn_push_consumer_free`. A second call does nothing.
///
/// Gives `CAIRN_STATUS_INVALID_ARGUMENT`, and does nothing, when a callback of any push consumer
/// calls it: it would wait for itself.
///
/// # Safety
/// - `push` is null or live.
/// - `out_error` is null or writable.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_push_consumer_close(
    push: *const cairn_push_consumer,
    out_error: *mut *mut cairn_error,
) -> cairn_status {
    boundary!(out_error, {
        let push = require!(push);
        if push.process != std::process::id() {
            return Err(forked());
        }
        if INSIDE.get() {
            return Err(invalid("a callback cannot wait for the end of callbacks"));
        }
        let _inside = push.fence.enter();
        let _closing = push.closing.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(push) = &push.push {
            push.close();
        }
        Ok(())
    })
}

/// Frees a push consumer; closes it first if that was not done. Null is accepted. Not to be called
/// from a callback.
///
/// # Safety
/// - `push` is null or live, and no call on it is running or comes later.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cairn_push_consumer_free(push: *mut cairn_push_consumer) {
    // SAFETY: the caller's promise is the same.
    unsafe { boundary::free(push) }
}
