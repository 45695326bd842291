//! What a store has: topics, queues, and where they begin and end.

use engine::{Status, TimeBoundary};

use crate::boundary::{self, invalid};
use crate::error::cairn_error;
use crate::opened::of_either;
use crate::status::cairn_status;
use crate::store::cairn_store;
use crate::text::cairn_str;

/// Which of the messages around a time is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum cairn_time_boundary {
    /// The first message stored at or after the time; the end of the queue if there is none.
    Lower = 0,
    /// The last message stored at or before the time; the first message if there is none.
    Upper = 1,
}

/// The topics of a store at one moment. They do not change.
pub struct cairn_topics {
    names: Vec<String>,
}

/// The queues of a topic at one moment. They do not change.
pub struct cairn_queue_ids {
    ids: Vec<i32>,
}

/// Tells the index of a queue's first message and one past that of its last; both are 0 for a queue
/// that never had a message.
///
/// # Safety
/// - `store` is null or live.
/// - `topic` is readable for its length.
/// - `out_first` and `out_next` are null or writable.
/// - `out_error` is null or writable.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_store_queue_range(
    store: *const cairn_store,
    topic: cairn_str,
    queue_id: i32,
    out_first: *mut i64,
    out_next: *mut i64,
    out_error: *mut *mut cairn_error,
) -> cairn_status {
    boundary!(out_error, {
        let store = require!(store);
        let out_first = require!(out out_first);
        let out_next = require!(out out_next);
        // SAFETY: readable for its length, says the caller.
        let topic = unsafe { topic.text("topic", Status::TopicIllegal) }?;
        let _inside = store.fence.enter();
        let range =
            of_either!(store.opened, it => it.queue_range(topic, queue_id))?.unwrap_or_default();
        out_first.set(range.start.to_i64());
        out_next.set(range.end.to_i64());
        Ok(())
    })
}

/// Tells the index of the message of a queue that was stored around a time, in milliseconds since
/// the Unix epoch; `boundary` is a `cairn_time_boundary`. -1 for a queue that never had a message.
///
/// Gives `CAIRN_STATUS_INVALID_ARGUMENT` for a number that is no boundary.
///
/// # Safety
/// - `store` is null or live.
/// - `topic` is readable for its length.
/// - `out_offset` is null or writable.
/// - `out_error` is null or writable.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_store_offset_at_time(
    store: *const cairn_store,
    topic: cairn_str,
    queue_id: i32,
    timestamp_ms: i64,
    boundary: i32,
    out_offset: *mut i64,
    out_error: *mut *mut cairn_error,
) -> cairn_status {
    boundary!(out_error, {
        let store = require!(store);
        let out_offset = require!(out out_offset);
        // SAFETY: readable for its length, says the caller.
        let topic = unsafe { topic.text("topic", Status::TopicIllegal) }?;
        let boundary = match boundary {
            value if value == cairn_time_boundary::Lower as i32 => TimeBoundary::Lower,
            value if value == cairn_time_boundary::Upper as i32 => TimeBoundary::Upper,
            other => {
                return Err(invalid("there is no such time boundary").expected("0 or 1", other));
            }
        };
        let _inside = store.fence.enter();
        let offset = of_either!(
            store.opened, it => it.offset_at_time(topic, queue_id, timestamp_ms, boundary)
        )?;
        out_offset.set(offset.map_or(-1, |offset| offset.to_i64()));
        Ok(())
    })
}

/// Lists the topics that have had messages, sorted. Free the list with `cairn_topics_free`.
///
/// # Safety
/// - `store` is null or live.
/// - `out_topics` is null or writable.
/// - `out_error` is null or writable.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_store_topics(
    store: *const cairn_store,
    out_topics: *mut *mut cairn_topics,
    out_error: *mut *mut cairn_error,
) -> cairn_status {
    boundary!(out_error, {
        let out_topics = require!(out out_topics).clear();
        let store = require!(store);
        let _inside = store.fence.enter();
        out_topics.give(cairn_topics { names: of_either!(store.opened, it => it.topics())? });
        Ok(())
    })
}

/// Returns the number of topics.
///
/// # Safety
/// - `topics` is null or live.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cairn_topics_len(topics: *const cairn_topics) -> usize {
    value!(0, {
        // SAFETY: null or live, says the caller.
        let topics = unsafe { topics.as_ref() }?;
        Some(topics.names.len())
    })
}

/// Returns the name of a topic, from 0; an absent text beyond the last. It lives as long as the
/// list.
///
/// # Safety
/// - `topics` is null or live.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cairn_topics_get(topics: *const cairn_topics, index: usize) -> cairn_str {
    value!(cairn_str::ABSENT, {
        // SAFETY: null or live, says the caller.
        let topics = unsafe { topics.as_ref() }?;
        let name = topics.names.get(index)?;
        Some(cairn_str::of(name.as_bytes()))
    })
}

/// Frees a list of topics; its names end with it. Null is accepted.
///
/// # Safety
/// - `topics` is null or live, and neither it nor its names are used afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cairn_topics_free(topics: *mut cairn_topics) {
    // SAFETY: the caller's promise is the same.
    unsafe { boundary::free(topics) }
}

/// Lists the queues of a topic that have had messages, ascending; none for a topic that never had
/// one. Free the list with `cairn_queue_ids_free`.
///
/// # Safety
/// - `store` is null or live.
/// - `topic` is readable for its length.
/// - `out_queue_ids` is null or writable.
/// - `out_error` is null or writable.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_store_queues_of(
    store: *const cairn_store,
    topic: cairn_str,
    out_queue_ids: *mut *mut cairn_queue_ids,
    out_error: *mut *mut cairn_error,
) -> cairn_status {
    boundary!(out_error, {
        let out_queue_ids = require!(out out_queue_ids).clear();
        let store = require!(store);
        // SAFETY: readable for its length, says the caller.
        let topic = unsafe { topic.text("topic", Status::TopicIllegal) }?;
        let _inside = store.fence.enter();
        out_queue_ids
            .give(cairn_queue_ids { ids: of_either!(store.opened, it => it.queues_of(topic))? });
        Ok(())
    })
}

/// Returns the number of queues.
///
/// # Safety
/// - `queue_ids` is null or live.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cairn_queue_ids_len(queue_ids: *const cairn_queue_ids) -> usize {
    value!(0, {
        // SAFETY: null or live, says the caller.
        let queue_ids = unsafe { queue_ids.as_ref() }?;
        Some(queue_ids.ids.len())
    })
}

/// Returns a queue of the list, from 0; -1 beyond the last.
///
/// # Safety
/// - `queue_ids` is null or live.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cairn_queue_ids_get(
    queue_ids: *const cairn_queue_ids,
    index: usize,
) -> i32 {
    value!(-1, {
        // SAFETY: null or live, says the caller.
        let queue_ids = unsafe { queue_ids.as_ref() }?;
        queue_ids.ids.get(index).copied()
    })
}

/// Frees a list of queues. Null is accepted.
///
/// # Safety
/// - `queue_ids` is null or live, and not used afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cairn_queue_ids_free(queue_ids: *mut cairn_queue_ids) {
    // SAFETY: the caller's promise is the same.
    unsafe { boundary::free(queue_ids) }
}
