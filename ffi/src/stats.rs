//! Statistics of a store, for all topics and for each.

use engine::StoreStats;

use crate::boundary::{self, invalid};
use crate::error::cairn_error;
use crate::open_struct::{OpenStruct, OutStruct};
use crate::status::cairn_status;
use crate::store::cairn_store;
use crate::text::cairn_str;

/// The number of classes of append times.
pub const CAIRN_LATENCY_CLASSES: usize = 13;

const _: () = assert!(CAIRN_LATENCY_CLASSES == engine::APPEND_LATENCY_BOUNDS_MS.len() + 1);

/// The statistics of a store at one moment. They do not change.
pub struct cairn_stats {
    stats: StoreStats,
}

/// The figures of a store since it was opened. Begin with `CAIRN_STORE_STATS_INIT`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct cairn_store_stats {
    /// The size of this struct as the program knows it.
    pub struct_size: u32,
    /// Zero.
    pub reserved: u32,
    /// Messages appended.
    pub messages: u64,
    /// Bytes of their records.
    pub bytes: u64,
    /// Append calls that stored nothing.
    pub refused: u64,
    /// Sync calls on commit log files.
    pub syncs: u64,
    /// The longest append call, in milliseconds.
    pub append_latency_max_ms: u64,
    /// Append calls by the time they took, waits for the sync included, in RocketMQ's classes: up
    /// to 0, 10, 50, 100, 200, 500 ms, 1, 2, 3, 4, 5, 10 s, and above.
    pub append_latency_counts: [u64; CAIRN_LATENCY_CLASSES],
    /// Delayed messages that were put into their queues.
    pub delayed_delivered: u64,
    /// Delayed messages that were passed over when their time had come, because they can never be
    /// put into a queue: they name none that can be, are damaged, or retention removed them.
    pub delayed_undeliverable: u64,
}

// SAFETY: repr(C) with the size first, numbers only, no padding (`abi/layout.txt` is checked for
// that), and all zeroes is valid.
unsafe impl OpenStruct for cairn_store_stats {
    const MIN_SIZE: usize = std::mem::offset_of!(cairn_store_stats, refused);
}

/// The figures of a topic since the store was opened. Begin with `CAIRN_TOPIC_STATS_INIT`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct cairn_topic_stats {
    /// The size of this struct as the program knows it.
    pub struct_size: u32,
    /// Zero.
    pub reserved: u32,
    /// The topic. It lives as long as the statistics.
    pub topic: cairn_str,
    /// Messages appended.
    pub messages: u64,
    /// Bytes of their records.
    pub bytes: u64,
}

// SAFETY: repr(C) with the size first, numbers and raw pointers only, no padding (`abi/layout.txt`
// is checked for that), and all zeroes is valid.
unsafe impl OpenStruct for cairn_topic_stats {
    const MIN_SIZE: usize = std::mem::offset_of!(cairn_topic_stats, messages);
}

/// Takes the statistics of a store. Free them with `cairn_stats_free`.
///
/// # Safety
/// - `store` is null or live.
/// - `out_stats` is null or writable.
/// - `out_error` is null or writable.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_store_take_stats(
    store: *const cairn_store,
    out_stats: *mut *mut cairn_stats,
    out_error: *mut *mut cairn_error,
) -> cairn_status {
    boundary!(out_error, {
        let out_stats = require!(out out_stats).clear();
        let store = require!(store);
        let _inside = store.fence.enter();
        out_stats.give(cairn_stats { stats: store.writer()?.stats() });
        Ok(())
    })
}

/// Gives the figures of the whole store.
///
/// # Safety
/// - `stats` is null or live.
/// - `out_totals` is null, or writable for as many bytes as its `struct_size` says.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_stats_totals(
    stats: *const cairn_stats,
    out_totals: *mut cairn_store_stats,
) -> cairn_status {
    boundary!({
        let stats = require!(stats);
        // SAFETY: null or as long as it says, says the caller.
        let out_totals = unsafe { OutStruct::new(out_totals, "out_totals") }?;
        let stats = &stats.stats;
        out_totals.write(cairn_store_stats {
            struct_size: size_of::<cairn_store_stats>() as u32,
            reserved: 0,
            messages: stats.messages,
            bytes: stats.bytes,
            refused: stats.refused,
            syncs: stats.syncs,
            append_latency_max_ms: stats.append_latency_max_ms,
            append_latency_counts: stats.append_latency_counts,
            delayed_delivered: stats.delayed_delivered,
            delayed_undeliverable: stats.delayed_undeliverable,
        });
        Ok(())
    })
}

/// Returns the number of topics.
///
/// # Safety
/// - `stats` is null or live.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cairn_stats_topic_count(stats: *const cairn_stats) -> usize {
    value!(0, {
        // SAFETY: null or live, says the caller.
        let stats = unsafe { stats.as_ref() }?;
        Some(stats.stats.topics.len())
    })
}

/// Gives the figures of a topic, from 0.
///
/// Gives `CAIRN_STATUS_INVALID_ARGUMENT` for an index beyond the last.
///
/// # Safety
/// - `stats` is null or live.
/// - `out_topic` is null, or writable for as many bytes as its `struct_size` says.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_stats_topic(
    stats: *const cairn_stats,
    index: usize,
    out_topic: *mut cairn_topic_stats,
) -> cairn_status {
    boundary!({
        let stats = require!(stats);
        // SAFETY: null or as long as it says, says the caller.
        let out_topic = unsafe { OutStruct::new(out_topic, "out_topic") }?;
        let topic = stats
            .stats
            .topics
            .get(index)
            .ok_or_else(|| invalid(format!("the statistics have no topic {index}")))?;
        out_topic.write(cairn_topic_stats {
            struct_size: size_of::<cairn_topic_stats>() as u32,
            reserved: 0,
            topic: cairn_str::of(topic.topic.as_bytes()),
            messages: topic.messages,
            bytes: topic.bytes,
        });
        Ok(())
    })
}

/// Frees statistics. Null is accepted.
///
/// # Safety
/// - `stats` is null or live, and not used afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cairn_stats_free(stats: *mut cairn_stats) {
    // SAFETY: the caller's promise is the same.
    unsafe { boundary::free(stats) }
}
