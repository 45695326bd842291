//! Counters: messages and bytes, per topic and in all, and how long appends took.

use std::sync::atomic::{AtomicU64, Ordering};

/// Upper bounds of the latency counters in milliseconds; the last counter has none.
pub const APPEND_LATENCY_BOUNDS_MS: [u64; 12] =
    [0, 10, 50, 100, 200, 500, 1000, 2000, 3000, 4000, 5000, 10_000];

/// A counter that one thread at a time moves, under a lock of its own, and all may read.
#[derive(Debug, Default)]
pub(crate) struct LockedCounter(AtomicU64);

impl LockedCounter {
    /// Adds, without the cost of an atomic read-modify-write.
    pub(crate) fn add(&self, amount: u64) {
        let value = self.0.load(Ordering::Relaxed).wrapping_add(amount);
        self.0.store(value, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The counters of a store.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) refused: AtomicU64,
    latencies: [AtomicU64; APPEND_LATENCY_BOUNDS_MS.len() + 1],
    latency_max_ms: AtomicU64,
}

impl Counters {
    /// Counts so many append calls that took this long, their wait for the sync included.
    pub(crate) fn appends_took(&self, calls: u64, milliseconds: u64) {
        let slot = APPEND_LATENCY_BOUNDS_MS.iter().position(|&bound| milliseconds <= bound);
        if let Some(counter) = self.latencies.get(slot.unwrap_or(APPEND_LATENCY_BOUNDS_MS.len())) {
            counter.fetch_add(calls, Ordering::Relaxed);
        }
        if milliseconds > self.latency_max_ms.load(Ordering::Relaxed) {
            self.latency_max_ms.fetch_max(milliseconds, Ordering::Relaxed);
        }
    }

    /// A copy for [`StoreStats`].
    pub(crate) fn read(&self, syncs: u64, topics: Vec<TopicStats>) -> StoreStats {
        let mut counts = [0; APPEND_LATENCY_BOUNDS_MS.len() + 1];
        for (count, counter) in counts.iter_mut().zip(&self.latencies) {
            *count = counter.load(Ordering::Relaxed);
        }
        StoreStats {
            messages: topics.iter().map(|topic| topic.messages).sum(),
            bytes: topics.iter().map(|topic| topic.bytes).sum(),
            refused: self.refused.load(Ordering::Relaxed),
            syncs,
            append_latency_counts: counts,
            append_latency_max_ms: self.latency_max_ms.load(Ordering::Relaxed),
            delayed_delivered: 0,
            delayed_undeliverable: 0,
            topics,
        }
    }
}

/// What a store did since it was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoreStats {
    /// Messages appended.
    pub messages: u64,
    /// Bytes of their records.
    pub bytes: u64,
    /// Append calls that stored nothing.
    pub refused: u64,
    /// Sync calls on commit log files.
    pub syncs: u64,
    /// Append calls by the time they took, waits for the sync included, to the few milliseconds of
    /// a coarse clock. The upper bounds are [`APPEND_LATENCY_BOUNDS_MS`]; the last has none.
    pub append_latency_counts: [u64; APPEND_LATENCY_BOUNDS_MS.len() + 1],
    /// The longest append call, in milliseconds.
    pub append_latency_max_ms: u64,
    /// Delayed messages that were put into their queues.
    pub delayed_delivered: u64,
    /// Delayed messages that were passed over when their time had come, because they can never be
    /// put into a queue: they name none that can be, are damaged, or retention removed them.
    pub delayed_undeliverable: u64,
    /// Messages and bytes by topic, sorted by name.
    pub topics: Vec<TopicStats>,
}

/// What was appended to one topic since the store was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TopicStats {
    /// The topic.
    pub topic: String,
    /// Messages appended.
    pub messages: u64,
    /// Bytes of their records.
    pub bytes: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_fall_between_their_bounds() {
        let counters = Counters::default();
        for milliseconds in [0, 1, 10, 11, 10_000, 10_001] {
            counters.appends_took(1, milliseconds);
        }
        let stats = counters.read(0, Vec::new());
        assert_eq!(stats.append_latency_counts, [1, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
        assert_eq!(stats.append_latency_max_ms, 10_001);
    }
}
