//! Names of index files: the local time of their making, `yyyyMMddHHmmssSSS`.
//!
//! Files are in the order of their names, but local time goes back once a year, and clocks are
//! turned: a name that would not be behind the newest one is made from that one instead.

use crate::sys::local_time::local_time;

/// The name if an index file can have it.
pub(super) fn checked(name: &str) -> Option<&str> {
    let digits = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
    (digits && name.parse::<i64>().is_ok()).then_some(name)
}

/// A name for a file made now, behind that of the newest one.
pub(super) fn next(now_ms: i64, newest: Option<&str>) -> String {
    let name = of_time(now_ms);
    match newest {
        Some(newest) if name.as_str() <= newest => behind(newest),
        _ => name,
    }
}

fn of_time(now_ms: i64) -> String {
    let (second, millisecond) = (now_ms.div_euclid(1000), now_ms.rem_euclid(1000));
    // A number ascends too, should the machine not know the calendar of this moment.
    local_time(second).map_or_else(
        || format!("{:017}", now_ms.max(0)),
        |time| {
            let (year, month, day) = (time.year.clamp(0, 9999), time.month, time.day);
            let (hour, minute, second) = (time.hour, time.minute, time.second);
            format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}{millisecond:03}")
        },
    )
}

/// The least name of the same length behind `name`, or, behind nines alone, a longer one.
fn behind(name: &str) -> String {
    let number = name.parse::<i64>().unwrap_or_default().saturating_add(1);
    let next = format!("{number:0width$}", width = name.len());
    if next.as_str() > name { next } else { format!("{name}0") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_local_times() {
        let name = next(1_700_000_000_123, None);
        assert_eq!(name.len(), 17);
        // Any time zone is at most a day off, and few are off by parts of a quarter of an hour.
        assert!(name.starts_with("2023111") && name.ends_with("20123"), "{name}");
        assert_eq!(checked(&name), Some(name.as_str()));
    }

    #[test]
    fn names_ascend_whatever_the_clock_says() {
        let now = 1_700_000_000_123;
        let plain = next(now, None);
        assert_eq!(next(now, Some("00000000000000007")), plain);
        let second = next(now, Some(&plain));
        assert!(second > plain && second.len() == plain.len());
        for newest in ["9", "99999999999999999", "20991231235959999", "000", &plain] {
            let name = next(now - 3_600_000, Some(newest));
            assert!(name.as_str() > newest, "{name} behind {newest}");
            assert!(checked(&name).is_some());
        }
    }

    #[test]
    fn only_numbers_are_names() {
        for name in ["", "2026112022205169a", "-1", "99999999999999999999", "20261120.tmp"] {
            assert_eq!(checked(name), None, "{name}");
        }
    }
}
