//! Retention: which files of the log are removed, and when.
//!
//! Files go whole, strictly from the oldest on, never the newest, and none that is not durable or
//! not in consume queues that are: what is left on the disk is at every moment a log that begins
//! later, which any store opens. The log goes first; then the queues let go of what points in front
//! of it, which a process that died in between leaves to the next one.

mod age;
mod clean_commit_log;
mod cleaner;

pub(crate) use clean_commit_log::CleanCommitLogService;
pub(crate) use cleaner::{Cleaner, CleanerParts};

use crate::error::{Error, Result};
use crate::options::StoreOptions;
use crate::status::Status;

/// What was removed from the commit log. The space is free once the last view into a file is gone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RemovedFiles {
    /// Commit log files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// When and what to remove.
#[derive(Debug, Clone)]
pub(crate) struct RetentionRules {
    reserved_ms: i64,
    /// One bit for each hour of the day.
    delete_hours: u32,
    max_total_bytes: u64,
    batch_max: u64,
    clean_forcibly: bool,
    max_used_per_cent: u32,
    clean_forcibly_per_cent: u32,
    warning_per_cent: u32,
}

impl RetentionRules {
    /// The rules of a store, whose options were validated.
    pub(crate) fn new(options: &StoreOptions) -> Result<Self> {
        let hours = i64::try_from(options.file_reserved_time_hours).unwrap_or(i64::MAX);
        Ok(Self {
            reserved_ms: hours.saturating_mul(3_600_000),
            delete_hours: delete_hours(&options.delete_when)?,
            max_total_bytes: options.max_total_bytes,
            batch_max: options.delete_file_batch_max,
            clean_forcibly: options.clean_file_forcibly_enable,
            max_used_per_cent: options.disk_max_used_space_ratio,
            clean_forcibly_per_cent: options.disk_space_clean_forcibly_ratio,
            warning_per_cent: options.disk_space_warning_ratio,
        })
    }

    fn is_delete_hour(&self, hour: Option<u32>) -> bool {
        hour.is_some_and(|hour| hour < 24 && self.delete_hours & (1 << hour) != 0)
    }
}

/// How full the file systems are; `None` where that cannot be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pressure {
    log_per_cent: Option<u32>,
    queues_per_cent: Option<u32>,
}

impl Pressure {
    fn is_above(self, per_cent: u32) -> bool {
        self.log_per_cent.max(self.queues_per_cent) > Some(per_cent)
    }

    fn is_unknown(self) -> bool {
        self.log_per_cent.is_none() || self.queues_per_cent.is_none()
    }
}

/// The hours that `delete_when` names, one bit for each.
pub(crate) fn delete_hours(text: &str) -> Result<u32> {
    let mut hours = 0;
    for part in text.split(';').map(str::trim).filter(|part| !part.is_empty()) {
        let hour = part.parse::<u32>().ok().filter(|hour| *hour < 24).ok_or_else(|| {
            Error::new(Status::InvalidArgument, "option delete_when is out of its limits")
                .expected("hours from 0 to 23, separated by semicolons", format!("{text:?}"))
        })?;
        hours |= 1 << hour;
    }
    Ok(hours)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delete_when_names_hours() {
        assert_eq!(delete_hours("04").unwrap(), 1 << 4);
        assert_eq!(delete_hours("0; 4;23;").unwrap(), 1 | 1 << 4 | 1 << 23);
        assert_eq!(delete_hours("").unwrap(), 0);
        for wrong in ["24", "-1", "4,5", "noon"] {
            assert_eq!(delete_hours(wrong).unwrap_err().status(), Status::InvalidArgument);
        }
        let options = StoreOptions { delete_when: "4;23".to_owned(), ..StoreOptions::default() };
        let rules = RetentionRules::new(&options).unwrap();
        let due = (0..=24).filter(|hour| rules.is_delete_hour(Some(*hour)));
        assert_eq!(due.collect::<Vec<_>>(), [4, 23]);
        assert!(!rules.is_delete_hour(None));
    }

    #[test]
    fn the_fuller_file_system_presses() {
        let pressure = Pressure { log_per_cent: Some(40), queues_per_cent: Some(80) };
        assert!(pressure.is_above(79) && !pressure.is_above(80) && !pressure.is_unknown());
        let pressure = Pressure { log_per_cent: Some(91), queues_per_cent: None };
        assert!(pressure.is_above(90) && pressure.is_unknown());
        let pressure = Pressure { log_per_cent: None, queues_per_cent: None };
        assert!(!pressure.is_above(0));
    }
}
