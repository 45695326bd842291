//! Removing old files on request.

use super::Store;
use crate::error::{Error, Result};
use crate::offset::PhysicalOffset;
use crate::retention::RemovedFiles;
use crate::status::Status;

impl Store {
    /// Removes the commit log files that are expired (`file_reserved_time_hours`) or too much
    /// (`max_total_bytes`), whatever the hour and whether `retention_enable` is set or not; then
    /// what the consume queues have for them.
    ///
    /// Files go whole and oldest first. The one that is appended to stays, and so does whatever is
    /// not yet durable, not yet dispatched, or in a directory that is only read. Views into removed
    /// files stay valid, and keep their space.
    ///
    /// # Errors
    ///
    /// - [`Status::StoreClosed`], [`Status::Forked`], [`Status::Fenced`]: the store cannot.
    /// - [`Status::Io`], [`Status::PermissionDenied`], [`Status::DiskFull`]: a file cannot be
    ///   removed. It stays in the log with all that follow; call again.
    pub fn remove_expired(&self) -> Result<RemovedFiles> {
        self.inner.check()?;
        self.inner.cleaner.remove_expired()
    }

    /// Removes the commit log files that end at or in front of an offset; else as
    /// [`Store::remove_expired`].
    ///
    /// # Errors
    ///
    /// - [`Status::OffsetOutOfRange`]: the log does not reach that far.
    /// - As [`Store::remove_expired`].
    pub fn remove_before(&self, offset: PhysicalOffset) -> Result<RemovedFiles> {
        self.inner.check()?;
        let end = self.inner.log.queue().published();
        if offset.get() > end {
            return Err(Error::new(Status::OffsetOutOfRange, "the log does not reach that far")
                .at_offset(offset.get())
                .expected(format!("at most {end}"), offset));
        }
        self.inner.cleaner.remove_before(offset.get())
    }
    /// What removes files, for tests that go round by round.
    #[cfg(test)]
    pub(crate) fn cleaner(&self) -> &crate::retention::Cleaner {
        &self.inner.cleaner
    }
}
