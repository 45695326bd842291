//! Removing old files on request.

use engine::RemovedFiles;

use crate::boundary::Out;
use crate::error::cairn_error;
use crate::status::cairn_status;
use crate::store::{cairn_store, physical_offset};

/// Tells the caller what was removed.
fn tell(removed: RemovedFiles, out_files: Option<Out<u64>>, out_bytes: Option<Out<u64>>) {
    out_files.inspect(|out| out.set(removed.files));
    out_bytes.inspect(|out| out.set(removed.bytes));
}

/// Removes the commit log files that are expired (`file_reserved_time_hours`) or too much
/// (`max_total_bytes`), whatever the hour and whether `retention_enable` is set or not; then what
/// the queues have for them.
///
/// Files go whole and oldest first. The one that is appended to stays, and so does whatever is not
/// yet durable or not yet dispatched. Views into removed files stay valid, and keep their space.
/// `*out_files` and `*out_bytes` tell how many files went and their bytes; both may be null, and
/// are left as they are on failure.
///
/// Gives `CAIRN_STATUS_IO` and the like when a file cannot be removed; it stays in the log with all
/// that follow.
///
/// # Safety
/// - `store` is null or live.
/// - `out_files` and `out_bytes` are null or writable.
/// - `out_error` is null or writable.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_store_remove_expired(
    store: *mut cairn_store,
    out_files: *mut u64,
    out_bytes: *mut u64,
    out_error: *mut *mut cairn_error,
) -> cairn_status {
    boundary!(out_error, {
        // SAFETY: null or writable, says the caller.
        let out_files = unsafe { Out::optional(out_files) };
        // SAFETY: null or writable, says the caller.
        let out_bytes = unsafe { Out::optional(out_bytes) };
        let store = require!(store);
        let _inside = store.fence.enter_write()?;
        tell(store.writer()?.remove_expired()?, out_files, out_bytes);
        Ok(())
    })
}

/// Removes the commit log files that end at or in front of a physical offset; else as
/// `cairn_store_remove_expired`.
///
/// Gives `CAIRN_STATUS_OFFSET_OUT_OF_RANGE` when the log does not reach that far.
///
/// # Safety
/// - `store` is null or live.
/// - `out_files` and `out_bytes` are null or writable.
/// - `out_error` is null or writable.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_store_remove_before(
    store: *mut cairn_store,
    physical_offset: i64,
    out_files: *mut u64,
    out_bytes: *mut u64,
    out_error: *mut *mut cairn_error,
) -> cairn_status {
    boundary!(out_error, {
        // SAFETY: null or writable, says the caller.
        let out_files = unsafe { Out::optional(out_files) };
        // SAFETY: null or writable, says the caller.
        let out_bytes = unsafe { Out::optional(out_bytes) };
        let store = require!(store);
        let offset = self::physical_offset(physical_offset, "physical_offset")?;
        let _inside = store.fence.enter_write()?;
        tell(store.writer()?.remove_before(offset)?, out_files, out_bytes);
        Ok(())
    })
}
