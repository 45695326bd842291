//! What a store knows of its consumer groups.

use engine::{GroupProgress, Status};

use crate::boundary::{self, invalid};
use crate::error::cairn_error;
use crate::open_struct::{OpenStruct, OutStruct};
use crate::queue_read::queue_offset;
use crate::status::cairn_status;
use crate::store::cairn_store;
use crate::text::cairn_str;

/// The groups of a store at one moment. They do not change.
pub struct cairn_groups {
    names: Vec<String>,
}

/// How far a group had come at one moment, queue by queue. It does not change.
pub struct cairn_group_progress {
    queues: Vec<GroupProgress>,
}

/// How far a group has come with one queue. Begin with `CAIRN_QUEUE_PROGRESS_INIT`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct cairn_queue_progress {
    /// The size of this struct as the program knows it.
    pub struct_size: u32,
    /// The queue inside the topic.
    pub queue_id: i32,
    /// The topic. It lives as long as the list.
    pub topic: cairn_str,
    /// The index the group consumes next.
    pub committed: i64,
    /// The index of the queue's first message.
    pub min_offset: i64,
    /// One past the index of the queue's last message.
    pub max_offset: i64,
    /// Messages of the queue that the group has not consumed.
    pub lag: u64,
}

// SAFETY: repr(C) with the size first, numbers and raw pointers only, no padding (`abi/layout.txt`
// is checked for that), and all zeroes is valid.
unsafe impl OpenStruct for cairn_queue_progress {
    const MIN_SIZE: usize = std::mem::offset_of!(cairn_queue_progress, min_offset);
}

/// Lists the groups that have committed an offset, sorted. Free the list with `cairn_groups_free`.
///
/// # Safety
/// - `store` is null or live.
/// - `out_groups` is null or writable.
/// - `out_error` is null or writable.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_store_groups(
    store: *const cairn_store,
    out_groups: *mut *mut cairn_groups,
    out_error: *mut *mut cairn_error,
) -> cairn_status {
    boundary!(out_error, {
        let out_groups = require!(out out_groups).clear();
        let store = require!(store);
        let _inside = store.fence.enter();
        out_groups.give(cairn_groups { names: store.writer()?.groups()? });
        Ok(())
    })
}

/// Returns the number of groups.
///
/// # Safety
/// - `groups` is null or live.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cairn_groups_len(groups: *const cairn_groups) -> usize {
    value!(0, {
        // SAFETY: null or live, says the caller.
        let groups = unsafe { groups.as_ref() }?;
        Some(groups.names.len())
    })
}

/// Returns the name of a group, from 0; an absent text beyond the last. It lives as long as the
/// list.
///
/// # Safety
/// - `groups` is null or live.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cairn_groups_get(groups: *const cairn_groups, index: usize) -> cairn_str {
    value!(cairn_str::ABSENT, {
        // SAFETY: null or live, says the caller.
        let groups = unsafe { groups.as_ref() }?;
        let name = groups.names.get(index)?;
        Some(cairn_str::of(name.as_bytes()))
    })
}

/// Frees a list of groups; its names end with it. Null is accepted.
///
/// # Safety
/// - `groups` is null or live, and neither it nor its names are used afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cairn_groups_free(groups: *mut cairn_groups) {
    // SAFETY: the caller's promise is the same.
    unsafe { boundary::free(groups) }
}

/// Tells how far a group has come with each queue it committed an offset of; none for a group that
/// is not known. Free it with `cairn_group_progress_free`.
///
/// # Safety
/// - `store` is null or live.
/// - `group` is readable for its length.
/// - `out_progress` is null or writable.
/// - `out_error` is null or writable.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_store_group_progress(
    store: *const cairn_store,
    group: cairn_str,
    out_progress: *mut *mut cairn_group_progress,
    out_error: *mut *mut cairn_error,
) -> cairn_status {
    boundary!(out_error, {
        let out_progress = require!(out out_progress).clear();
        let store = require!(store);
        // SAFETY: readable for its length, says the caller.
        let group = unsafe { group.text("group", Status::GroupIllegal) }?;
        let _inside = store.fence.enter();
        out_progress.give(cairn_group_progress { queues: store.writer()?.group_progress(group)? });
        Ok(())
    })
}

/// Returns the number of queues.
///
/// # Safety
/// - `progress` is null or live.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cairn_group_progress_len(progress: *const cairn_group_progress) -> usize {
    value!(0, {
        // SAFETY: null or live, says the caller.
        let progress = unsafe { progress.as_ref() }?;
        Some(progress.queues.len())
    })
}

/// Gives the progress with one queue, from 0.
///
/// Gives `CAIRN_STATUS_INVALID_ARGUMENT` for an index beyond the last.
///
/// # Safety
/// - `progress` is null or live.
/// - `out_queue` is null, or writable for as many bytes as its `struct_size` says.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_group_progress_get(
    progress: *const cairn_group_progress,
    index: usize,
    out_queue: *mut cairn_queue_progress,
) -> cairn_status {
    boundary!({
        let progress = require!(progress);
        // SAFETY: null or as long as it says, says the caller.
        let out_queue = unsafe { OutStruct::new(out_queue, "out_queue") }?;
        let queue = progress
            .queues
            .get(index)
            .ok_or_else(|| invalid(format!("the progress has no queue {index}")))?;
        out_queue.write(cairn_queue_progress {
            struct_size: size_of::<cairn_queue_progress>() as u32,
            queue_id: queue.queue_id,
            topic: cairn_str::of(queue.topic.as_bytes()),
            committed: queue.committed.to_i64(),
            min_offset: queue.min_offset.to_i64(),
            max_offset: queue.max_offset.to_i64(),
            lag: queue.lag(),
        });
        Ok(())
    })
}

/// Frees the progress of a group; its topics end with it. Null is accepted.
///
/// # Safety
/// - `progress` is null or live, and neither it nor its topics are used afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cairn_group_progress_free(progress: *mut cairn_group_progress) {
    // SAFETY: the caller's promise is the same.
    unsafe { boundary::free(progress) }
}

/// Tells the index a group consumes next; -1 if it has committed none.
///
/// # Safety
/// - `store` is null or live.
/// - `group` and `topic` are readable for their length.
/// - `out_offset` is null or writable.
/// - `out_error` is null or writable.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_store_consumer_offset(
    store: *const cairn_store,
    group: cairn_str,
    topic: cairn_str,
    queue_id: i32,
    out_offset: *mut i64,
    out_error: *mut *mut cairn_error,
) -> cairn_status {
    boundary!(out_error, {
        let store = require!(store);
        let out_offset = require!(out out_offset);
        // SAFETY: readable for its length, says the caller.
        let group = unsafe { group.text("group", Status::GroupIllegal) }?;
        // SAFETY: readable for its length, says the caller.
        let topic = unsafe { topic.text("topic", Status::TopicIllegal) }?;
        let _inside = store.fence.enter();
        let offset = store.writer()?.consumer_offset(group, topic, queue_id)?;
        out_offset.set(offset.map_or(-1, |offset| offset.to_i64()));
        Ok(())
    })
}

/// Sets the index a group consumes next, for applications that read queues themselves. It is
/// durable within `flush_consumer_offset_interval_ms`, or when `cairn_store_persist_offsets` has
/// returned. Consumers that are members of the group at present do not see it;
/// `cairn_consumer_seek` moves those.
///
/// Gives `CAIRN_STATUS_OFFSET_OUT_OF_RANGE` when the queue does not reach that far.
///
/// # Safety
/// - `store` is null or live.
/// - `group` and `topic` are readable for their length.
/// - `out_error` is null or writable.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_store_commit_offset(
    store: *mut cairn_store,
    group: cairn_str,
    topic: cairn_str,
    queue_id: i32,
    offset: i64,
    out_error: *mut *mut cairn_error,
) -> cairn_status {
    boundary!(out_error, {
        let store = require!(store);
        // SAFETY: readable for its length, says the caller.
        let group = unsafe { group.text("group", Status::GroupIllegal) }?;
        // SAFETY: readable for its length, says the caller.
        let topic = unsafe { topic.text("topic", Status::TopicIllegal) }?;
        let offset = queue_offset(offset, "offset")?;
        let _inside = store.fence.enter_write()?;
        store.writer()?.commit_offset(group, topic, queue_id, offset)
    })
}

/// Makes committed offsets and the list of topics durable now.
///
/// # Safety
/// - `store` is null or live.
/// - `out_error` is null or writable.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_store_persist_offsets(
    store: *mut cairn_store,
    out_error: *mut *mut cairn_error,
) -> cairn_status {
    boundary!(out_error, {
        let store = require!(store);
        let _inside = store.fence.enter_write()?;
        store.writer()?.persist_offsets()
    })
}
