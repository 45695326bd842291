//! Latencies in nanoseconds, as percentiles.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::failure::Failure;

/// The longest latency told apart, one minute in nanoseconds.
const MAX_NANOSECONDS: u64 = 60_000_000_000;

/// Collected latencies, with three significant digits.
pub(crate) struct Latencies {
    histogram: Histogram<u64>,
}

impl Latencies {
    /// Nothing collected yet.
    pub(crate) fn new() -> Result<Self, Failure> {
        Histogram::new_with_bounds(1, MAX_NANOSECONDS, 3)
            .map(|histogram| Self { histogram })
            .map_err(|error| Failure::failed("cannot make a histogram", format!("{error:?}")))
    }

    /// Adds one; what is above a minute counts as a minute.
    pub(crate) fn record(&mut self, latency: Duration) {
        let nanoseconds = u64::try_from(latency.as_nanos()).unwrap_or(MAX_NANOSECONDS);
        self.histogram.saturating_record(nanoseconds);
    }

    /// Adds all of another collection.
    pub(crate) fn add(&mut self, other: &Self) {
        // Both have the same bounds, the one thing that could make this fail.
        let _ = self.histogram.add(&other.histogram);
    }

    /// The number collected.
    pub(crate) fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// The latency that this share of all, from 0 to 1, does not exceed; 0 without any.
    pub(crate) fn quantile_ns(&self, quantile: f64) -> u64 {
        self.histogram.value_at_quantile(quantile)
    }

    /// The largest; 0 without any.
    pub(crate) fn max_ns(&self) -> u64 {
        self.histogram.max()
    }
}

/// Nanoseconds as text a person reads.
pub(crate) fn human(nanoseconds: u64) -> String {
    let nanoseconds_f = nanoseconds as f64;
    match nanoseconds {
        0..1_000 => format!("{nanoseconds} ns"),
        1_000..1_000_000 => format!("{:.1} us", nanoseconds_f / 1e3),
        1_000_000..1_000_000_000 => format!("{:.2} ms", nanoseconds_f / 1e6),
        _ => format!("{:.2} s", nanoseconds_f / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_within_a_thousandth() {
        let mut latencies = Latencies::new().unwrap();
        for microseconds in 1..=1000 {
            latencies.record(Duration::from_micros(microseconds));
        }
        let close = |found: u64, expected: f64| (found as f64 / expected - 1.0).abs() < 0.002;
        assert!(close(latencies.quantile_ns(0.5), 500_000.0));
        assert!(close(latencies.quantile_ns(0.99), 990_000.0));
        assert!(close(latencies.max_ns(), 1_000_000.0));
        assert_eq!(latencies.count(), 1000);
    }

    #[test]
    fn text_has_a_fitting_unit() {
        assert_eq!(human(999), "999 ns");
        assert_eq!(human(130_000), "130.0 us");
        assert_eq!(human(2_500_000), "2.50 ms");
        assert_eq!(human(3_000_000_000), "3.00 s");
    }
}
