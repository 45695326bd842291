//! Times between two threads.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use hdrhistogram::Histogram;

use crate::Result;

/// The longest time told apart, one minute in nanoseconds.
const MAX_NANOSECONDS: u64 = 60_000_000_000;

/// When each of a number of messages was sent.
#[derive(Debug)]
pub(crate) struct Sent {
    epoch: Instant,
    nanoseconds: Vec<AtomicU64>,
}

impl Sent {
    /// None of so many yet.
    pub(crate) fn new(count: usize) -> Self {
        Self { epoch: Instant::now(), nanoseconds: (0..count).map(|_| AtomicU64::new(0)).collect() }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// A message is about to be sent.
    pub(crate) fn send(&self, number: usize) {
        if let Some(at) = self.nanoseconds.get(number) {
            at.store(self.now(), Ordering::Release);
        }
    }

    /// A message has come: since when it is on its way.
    pub(crate) fn received(&self, number: usize) -> u64 {
        let now = self.now();
        now.saturating_sub(self.nanoseconds.get(number).map_or(0, |at| at.load(Ordering::Acquire)))
    }
}

/// Collected times.
#[derive(Debug)]
pub(crate) struct Latencies(Histogram<u64>);

impl Latencies {
    /// None yet.
    pub(crate) fn new() -> Result<Self> {
        let histogram = Histogram::new_with_bounds(1, MAX_NANOSECONDS, 3);
        Ok(Self(histogram.map_err(|error| format!("cannot make a histogram: {error:?}"))?))
    }

    /// Adds one; what is above a minute counts as a minute.
    pub(crate) fn record(&mut self, nanoseconds: u64) {
        self.0.saturating_record(nanoseconds);
    }

    /// The time in microseconds that this share of all does not exceed.
    pub(crate) fn microseconds(&self, quantile: f64) -> f64 {
        self.0.value_at_quantile(quantile) as f64 / 1e3
    }
}
