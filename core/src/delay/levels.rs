//! Delay levels of scheduled messages.

use std::time::Duration;

use crate::error::{Error, Result};
use crate::status::Status;

/// The topic that delayed messages wait in; its queue is the delay level less one.
pub(crate) const SCHEDULE_TOPIC: &str = "SCHEDULE_TOPIC_XXXX";
/// RocketMQ's delay levels.
pub(crate) const DEFAULT_DELAY_LEVELS: &str =
    "1s 5s 10s 30s 1m 2m 3m 4m 5m 6m 7m 8m 9m 10m 20m 30m 1h 2h";
/// The delay of a level that the store does not have.
const UNKNOWN_LEVEL: Duration = Duration::from_secs(1);

/// The delay of each level, which are counted from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DelayLevels(Vec<Duration>);

impl DelayLevels {
    /// Reads a list such as `1s 5s 2m 1h 1d`.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        text.split_ascii_whitespace().map(parse_delay).collect::<Result<_>>().map(Self)
    }

    /// The number of levels.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// The delay of a level, if there is such a level.
    pub(crate) fn find(&self, level: usize) -> Option<Duration> {
        self.0.get(level.checked_sub(1)?).copied()
    }

    /// The delay of a level; one second for one there is not.
    pub(crate) fn delay(&self, level: usize) -> Duration {
        self.find(level).unwrap_or(UNKNOWN_LEVEL)
    }
}

fn parse_delay(text: &str) -> Result<Duration> {
    let illegal = || {
        Error::new(Status::InvalidArgument, "a delay level is malformed")
            .expected("a number and one of s, m, h and d, as in 30s", format!("{text:?}"))
    };
    let unit = text.chars().next_back().ok_or_else(illegal)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return Err(illegal()),
    };
    let number = text.strip_suffix(unit).unwrap_or_default();
    let number: u32 = number.parse().map_err(|_| illegal())?;
    Ok(Duration::from_secs(u64::from(number) * seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_counted_from_one() {
        let levels = DelayLevels::parse(DEFAULT_DELAY_LEVELS).unwrap();
        assert_eq!(levels.count(), 18);
        assert_eq!(levels.delay(1), Duration::from_secs(1));
        assert_eq!(levels.delay(5), Duration::from_secs(60));
        assert_eq!(levels.delay(18), Duration::from_secs(7200));
        assert_eq!(levels.delay(19), Duration::from_secs(1));
        assert_eq!(levels.delay(0), Duration::from_secs(1));
        assert_eq!(DelayLevels::parse("2d").unwrap().delay(1), Duration::from_secs(172_800));
        for text in ["s", "1", "1x", "-1s", "1.5s", "99999999999s"] {
            let error = DelayLevels::parse(text).unwrap_err();
            assert_eq!(error.status(), Status::InvalidArgument, "{text}");
        }
    }
}
