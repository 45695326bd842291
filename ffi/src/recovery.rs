//! What opening found and did, or would do.

use engine::{RecoveryReport, Store};

use crate::boundary;
use crate::error::cairn_error;
use crate::open_struct::{OpenStruct, OutStruct};
use crate::options::cairn_options;
use crate::status::cairn_status;
use crate::store::path_argument;
use crate::text::cairn_str;

/// What opening a store found and did, or would do. It does not change.
pub struct cairn_recovery {
    report: RecoveryReport,
    set_aside: Option<Vec<u8>>,
}

impl From<RecoveryReport> for cairn_recovery {
    fn from(report: RecoveryReport) -> Self {
        let set_aside =
            report.set_aside.as_ref().map(|path| path.as_os_str().as_encoded_bytes().to_vec());
        Self { report, set_aside }
    }
}

/// The report of a recovery. Begin with `CAIRN_RECOVERY_REPORT_INIT`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct cairn_recovery_report {
    /// The size of this struct as the program knows it.
    pub struct_size: u32,
    /// 1 if the directory held no store before, else 0.
    pub created: u32,
    /// 1 if the store was closed cleanly the last time, else 0.
    pub clean_stop: u32,
    /// Zero.
    pub reserved: u32,
    /// The commit log files found.
    pub files: u64,
    /// The records walked.
    pub records: u64,
    /// The first byte the log has.
    pub min_offset: i64,
    /// One past the last byte of the last good record.
    pub end_offset: i64,
    /// Bytes copied to `lost+found/` and then cut or set to zero.
    pub bytes_set_aside: u64,
    /// Files removed behind the end.
    pub files_removed: u64,
    /// How long it took, in microseconds.
    pub duration_us: u64,
    /// The file that holds the bytes set aside; absent if there is none. It lives as long as the
    /// `cairn_recovery`.
    pub set_aside: cairn_str,
    /// What was wrong at the end, if there was something behind it; else absent. It lives as long
    /// as the `cairn_recovery`.
    pub damage: cairn_str,
}

// SAFETY: repr(C) with the size first, numbers and raw pointers only, no padding (`abi/layout.txt`
// is checked for that), and all zeroes is valid.
unsafe impl OpenStruct for cairn_recovery_report {
    const MIN_SIZE: usize = std::mem::offset_of!(cairn_recovery_report, files);
}

/// Tells what opening would do. It only reads, takes no lock and changes nothing. Free the result
/// with `cairn_recovery_free`.
///
/// `options` may be null for every default. Fails as `cairn_store_open` would.
///
/// # Safety
/// - `path` is readable for its length.
/// - `options` is null or live.
/// - `out_recovery` is null or writable.
/// - `out_error` is null or writable.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_plan_recovery(
    path: cairn_str,
    options: *const cairn_options,
    out_recovery: *mut *mut cairn_recovery,
    out_error: *mut *mut cairn_error,
) -> cairn_status {
    boundary!(out_error, {
        let out_recovery = require!(out out_recovery).clear();
        // SAFETY: readable for its length, says the caller.
        let path = unsafe { path_argument(&path) }?;
        // SAFETY: null or live, says the caller.
        let options = cairn_options::engine_options(unsafe { options.as_ref() });
        let report = Store::plan_recovery(&path, &options)?;
        out_recovery.give(cairn_recovery::from(report));
        Ok(())
    })
}

/// Gives the report of a recovery.
///
/// # Safety
/// - `recovery` is null or live.
/// - `out_report` is null, or writable for as many bytes as its `struct_size` says.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_recovery_get(
    recovery: *const cairn_recovery,
    out_report: *mut cairn_recovery_report,
) -> cairn_status {
    boundary!({
        let recovery = require!(recovery);
        // SAFETY: null or as long as it says, says the caller.
        let out_report = unsafe { OutStruct::new(out_report, "out_report") }?;
        let report = &recovery.report;
        out_report.write(cairn_recovery_report {
            struct_size: size_of::<cairn_recovery_report>() as u32,
            created: u32::from(report.created),
            clean_stop: u32::from(report.clean_stop),
            reserved: 0,
            files: report.files,
            records: report.records,
            min_offset: report.min_offset.to_i64(),
            end_offset: report.end_offset.to_i64(),
            bytes_set_aside: report.bytes_set_aside,
            files_removed: report.files_removed,
            duration_us: u64::try_from(report.duration.as_micros()).unwrap_or(u64::MAX),
            set_aside: recovery.set_aside.as_deref().map_or(cairn_str::ABSENT, cairn_str::of),
            damage: report
                .damage
                .as_ref()
                .map_or(cairn_str::ABSENT, |text| cairn_str::of(text.as_bytes())),
        });
        Ok(())
    })
}

/// Frees the result of `cairn_plan_recovery`. Null is accepted. That of `cairn_store_recovery`
/// belongs to the store and is not freed.
///
/// # Safety
/// - `recovery` is null or live, came from `cairn_plan_recovery`, and is not used afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cairn_recovery_free(recovery: *mut cairn_recovery) {
    // SAFETY: the caller's promise is the same.
    unsafe { boundary::free(recovery) }
}
