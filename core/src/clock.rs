//! Time as an input, so that tests can turn the clock.

use std::fmt::Debug;
use std::sync::OnceLock;
use std::time::Instant;

use crate::sys::local_time::local_time;

/// The two clocks the store reads.
pub(crate) trait Clock: Debug + Send + Sync {
    /// Milliseconds since the Unix epoch; may jump.
    fn wall_ms(&self) -> i64;
    /// Milliseconds since some moment; never goes back.
    fn monotonic_ms(&self) -> u64;
    /// The hour of the day here, from 0 to 23; `None` if the machine cannot tell.
    fn local_hour(&self) -> Option<u32> {
        let now = local_time(self.wall_ms().div_euclid(1000))?;
        u32::try_from(now.hour).ok()
    }
}

/// The machine's clocks.
#[derive(Debug)]
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    fn wall_ms(&self) -> i64 {
        crate::sys::wall_ms().unwrap_or_default()
    }

    fn monotonic_ms(&self) -> u64 {
        static START: OnceLock<Instant> = OnceLock::new();
        crate::sys::coarse_monotonic_ms().unwrap_or_else(|| {
            let start = *START.get_or_init(Instant::now);
            u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX)
        })
    }
}
