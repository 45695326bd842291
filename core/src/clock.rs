//! Time as an input, so that tests can turn the clock.

use std::fmt::Debug;
use std::sync::OnceLock;
use std::time::Instant;

use crate::sys::local_time::local_time;
use crate::sys::ticks;

/// The two clocks the store reads.
pub(crate) trait Clock: Debug + Send + Sync {
    /// Milliseconds since the Unix epoch; may jump.
    fn wall_ms(&self) -> i64;
    /// As [`Clock::wall_ms`], by who keeps what was read the last time and is asked again soon.
    fn wall_ms_since(&self, _last: &mut WallReading) -> i64 {
        self.wall_ms()
    }
    /// Milliseconds since some moment; never goes back.
    fn monotonic_ms(&self) -> u64;
    /// The hour of the day here, from 0 to 23; `None` if the machine cannot tell.
    fn local_hour(&self) -> Option<u32> {
        let now = local_time(self.wall_ms().div_euclid(1000))?;
        u32::try_from(now.hour).ok()
    }
}

/// Nanoseconds of a millisecond.
const MILLISECOND_NS: u32 = 1_000_000;
/// So long before the end of its millisecond a reading no longer holds: [`ticks`] may be read
/// early, or late.
const READING_MARGIN_NS: u32 = 1000;

/// The wall clock as it was read, and the ticks in which it shows the same millisecond.
///
/// To read the clock takes 20 to 30 ns, in which a processor does nothing else, to read the ticks a
/// few. Not seen is only that somebody sets the clock, for the rest of a millisecond.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct WallReading {
    ms: i64,
    from: u64,
    until: u64,
}

impl WallReading {
    /// The clock showed `ms` and `ns` nanoseconds not earlier than at `ticks`.
    fn new(ticks: u64, ms: i64, ns: u32) -> Self {
        let rest = MILLISECOND_NS.saturating_sub(ns).saturating_sub(READING_MARGIN_NS);
        // Half a tick a nanosecond is the least; with more, the reading ends too early.
        Self { ms, from: ticks, until: ticks.saturating_add(u64::from(rest / 2)) }
    }

    /// The millisecond, if it is still the one that was read.
    #[inline]
    fn at(&self, ticks: u64) -> Option<i64> {
        (self.from..self.until).contains(&ticks).then_some(self.ms)
    }
}

/// The machine's clocks.
#[derive(Debug)]
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    fn wall_ms(&self) -> i64 {
        crate::sys::wall_time().unwrap_or_default().0
    }

    #[inline]
    fn wall_ms_since(&self, last: &mut WallReading) -> i64 {
        let Some(now) = ticks() else {
            return self.wall_ms();
        };
        last.at(now).unwrap_or_else(|| {
            let (ms, ns) = crate::sys::wall_time().unwrap_or_default();
            *last = WallReading::new(now, ms, ns);
            ms
        })
    }

    fn monotonic_ms(&self) -> u64 {
        static START: OnceLock<Instant> = OnceLock::new();
        crate::sys::coarse_monotonic_ms().unwrap_or_else(|| {
            let start = *START.get_or_init(Instant::now);
            u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// However fast the ticks are, a reading is not used behind its millisecond.
    #[test]
    fn a_reading_holds_for_half_a_tick_of_each_nanosecond_that_is_left() {
        let reading = WallReading::new(7_000_000, 42, 400_000);
        assert_eq!(reading.at(6_999_999), None, "ticks of another processor, or of another boot");
        assert_eq!(reading.at(7_000_000), Some(42));
        assert_eq!(reading.at(7_299_499), Some(42));
        assert_eq!(reading.at(7_299_500), None);
        for ns in [999_000, 999_999, 1_000_000] {
            assert_eq!(WallReading::new(0, 42, ns).at(0), None, "{ns}");
        }
    }

    #[test]
    fn time_read_again_is_the_time() {
        let mut reading = WallReading::default();
        let begin = Instant::now();
        while begin.elapsed().as_millis() < 50 {
            let before = SystemClock.wall_ms();
            let now = SystemClock.wall_ms_since(&mut reading);
            let after = SystemClock.wall_ms();
            assert!((before..=after).contains(&now), "{before} <= {now} <= {after}");
        }
    }

    /// Otherwise the test above, and each append, reads the clock.
    #[test]
    #[cfg(all(target_arch = "x86_64", target_os = "linux", not(miri)))]
    fn ticks_are_used_where_the_system_says_that_they_are_steady() -> std::io::Result<()> {
        let processors = std::fs::read_to_string("/proc/cpuinfo")?;
        assert_eq!(ticks().is_some(), processors.contains("nonstop_tsc"));
        Ok(())
    }
}
