//! How a consumer consumes: an opaque object with setters.

use engine::{ConsumeMode, ConsumeOrder, ConsumerOptions, Result, StartFrom, Status};

use crate::boundary::{self, invalid};
use crate::error::cairn_error;
use crate::filter::cairn_filter;
use crate::status::cairn_status;
use crate::store::wait_limit;
use crate::text::cairn_str;

/// How a consumer consumes. Used by one thread at a time; opening a consumer copies it, so one
/// object may serve many, and may be freed at once.
pub struct cairn_consumer_options {
    options: ConsumerOptions,
}

/// Who gets a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum cairn_consume_mode {
    /// One member of the group; the group's offsets are kept in the store. The default.
    Clustering = 0,
    /// Every member. Each begins where `cairn_consumer_options_set_start_from` says, and what it
    /// cannot process is dropped.
    Broadcasting = 1,
}

/// Whether a queue's next message may be handed out before the last is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum cairn_consume_order {
    /// It may. The default.
    Concurrent = 0,
    /// It waits: the messages of a queue are processed in their order.
    Orderly = 1,
}

/// Where a group begins with a queue of which it has committed nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum cairn_start_from {
    /// With the first message that comes after the consumer joined. The default.
    Last = 0,
    /// With the first message there is.
    First = 1,
    /// With the first message stored at or after a time.
    Timestamp = 2,
}

impl cairn_consumer_options {
    /// A copy for a consumer.
    pub(crate) fn engine_options(&self) -> ConsumerOptions {
        self.options.clone()
    }
}

/// A time in milliseconds that clocks can add; a longer one counts as 100 years.
fn milliseconds(time_ms: u64) -> u64 {
    u64::try_from(wait_limit(time_ms).as_millis()).unwrap_or(time_ms)
}

/// Changes one option.
///
/// # Safety
///
/// - `options` is null, or live and used by nobody else during the call.
unsafe fn change(
    options: *mut cairn_consumer_options,
    change: impl FnOnce(&mut ConsumerOptions) -> Result<()>,
) -> cairn_status {
    boundary!({
        let options = require!(mut options);
        change(&mut options.options)
    })
}

/// Makes options with every default and no subscription. Null only if memory ran out.
#[unsafe(no_mangle)]
pub extern "C" fn cairn_consumer_options_new() -> *mut cairn_consumer_options {
    value!(std::ptr::null_mut(), {
        let options = cairn_consumer_options { options: ConsumerOptions::default() };
        Some(Box::into_raw(Box::new(options)))
    })
}

/// Adds a topic, or changes its filter; a consumer subscribes to at least one. `filter` may be null
/// for all messages, and may be freed at once. All members of a group should subscribe to the same.
///
/// # Safety
/// - `options` is null, or live and used by nobody else during the call.
/// - `topic` is readable for its length.
/// - `filter` is null or live.
/// - `out_error` is null or writable.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_consumer_options_subscribe(
    options: *mut cairn_consumer_options,
    topic: cairn_str,
    filter: *const cairn_filter,
    out_error: *mut *mut cairn_error,
) -> cairn_status {
    boundary!(out_error, {
        let options = require!(mut options);
        // SAFETY: readable for its length, says the caller.
        let topic = unsafe { topic.text("topic", Status::TopicIllegal) }?;
        // SAFETY: null or live, says the caller.
        let filter = cairn_filter::engine_filter(unsafe { filter.as_ref() });
        options.options.subscriptions.insert(topic.to_owned(), filter);
        Ok(())
    })
}

/// Sets who gets a message: a `cairn_consume_mode`.
///
/// # Safety
/// - `options` is null, or live and used by nobody else during the call.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_consumer_options_set_mode(
    options: *mut cairn_consumer_options,
    mode: i32,
) -> cairn_status {
    let set = |options: &mut ConsumerOptions| {
        options.mode = match mode {
            value if value == cairn_consume_mode::Clustering as i32 => ConsumeMode::Clustering,
            value if value == cairn_consume_mode::Broadcasting as i32 => ConsumeMode::Broadcasting,
            other => return Err(invalid("there is no such mode").expected("0 or 1", other)),
        };
        Ok(())
    };
    // SAFETY: the caller's promise is the same.
    unsafe { change(options, set) }
}

/// Sets whether a queue is processed in its order: a `cairn_consume_order`.
///
/// # Safety
/// - `options` is null, or live and used by nobody else during the call.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_consumer_options_set_order(
    options: *mut cairn_consumer_options,
    order: i32,
) -> cairn_status {
    let set = |options: &mut ConsumerOptions| {
        options.order = match order {
            value if value == cairn_consume_order::Concurrent as i32 => ConsumeOrder::Concurrent,
            value if value == cairn_consume_order::Orderly as i32 => ConsumeOrder::Orderly,
            other => return Err(invalid("there is no such order").expected("0 or 1", other)),
        };
        Ok(())
    };
    // SAFETY: the caller's promise is the same.
    unsafe { change(options, set) }
}

/// Sets where queues without a committed offset are begun: a `cairn_start_from`. `timestamp_ms`, in
/// milliseconds since the Unix epoch, counts for `CAIRN_START_FROM_TIMESTAMP` only.
///
/// # Safety
/// - `options` is null, or live and used by nobody else during the call.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_consumer_options_set_start_from(
    options: *mut cairn_consumer_options,
    start_from: i32,
    timestamp_ms: i64,
) -> cairn_status {
    let set = |options: &mut ConsumerOptions| {
        options.start_from = match start_from {
            value if value == cairn_start_from::Last as i32 => StartFrom::Last,
            value if value == cairn_start_from::First as i32 => StartFrom::First,
            value if value == cairn_start_from::Timestamp as i32 => {
                StartFrom::Timestamp(timestamp_ms)
            }
            other => return Err(invalid("there is no such start").expected("0 to 2", other)),
        };
        Ok(())
    };
    // SAFETY: the caller's promise is the same.
    unsafe { change(options, set) }
}

/// Sets how many messages of one queue are in hand at most, at least 1. Default 1000.
///
/// # Safety
/// - `options` is null, or live and used by nobody else during the call.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_consumer_options_set_max_in_hand(
    options: *mut cairn_consumer_options,
    messages: usize,
) -> cairn_status {
    let set = |options: &mut ConsumerOptions| {
        if messages == 0 {
            return Err(invalid("max_in_hand is zero").expected("at least 1", messages));
        }
        options.max_in_hand = messages;
        Ok(())
    };
    // SAFETY: the caller's promise is the same.
    unsafe { change(options, set) }
}

/// Sets after how many milliseconds a message that is not acknowledged is handed out again. Default
/// 900000 (15 minutes).
///
/// # Safety
/// - `options` is null, or live and used by nobody else during the call.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_consumer_options_set_consume_timeout_ms(
    options: *mut cairn_consumer_options,
    timeout_ms: u64,
) -> cairn_status {
    let set = |options: &mut ConsumerOptions| {
        options.consume_timeout_ms = milliseconds(timeout_ms);
        Ok(())
    };
    // SAFETY: the caller's promise is the same.
    unsafe { change(options, set) }
}

/// Sets how often a message is tried again, from 0, before it goes to the dead-letter topic
/// `%DLQ%group`. Default 16.
///
/// # Safety
/// - `options` is null, or live and used by nobody else during the call.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_consumer_options_set_max_reconsume_times(
    options: *mut cairn_consumer_options,
    times: i32,
) -> cairn_status {
    let set = |options: &mut ConsumerOptions| {
        if times < 0 {
            let what = "max_reconsume_times is negative";
            return Err(invalid(what).expected("at least 0", times));
        }
        options.max_reconsume_times = times;
        Ok(())
    };
    // SAFETY: the caller's promise is the same.
    unsafe { change(options, set) }
}

/// Sets how many milliseconds an orderly queue pauses before it tries its message again. Default
/// 1000.
///
/// # Safety
/// - `options` is null, or live and used by nobody else during the call.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_consumer_options_set_suspend_queue_ms(
    options: *mut cairn_consumer_options,
    pause_ms: u64,
) -> cairn_status {
    let set = |options: &mut ConsumerOptions| {
        options.suspend_queue_ms = milliseconds(pause_ms);
        Ok(())
    };
    // SAFETY: the caller's promise is the same.
    unsafe { change(options, set) }
}

/// Frees options. Null is accepted. Consumers that were opened with them go on.
///
/// # Safety
/// - `options` is null or live, and not used afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cairn_consumer_options_free(options: *mut cairn_consumer_options) {
    // SAFETY: the caller's promise is the same.
    unsafe { boundary::free(options) }
}
