//! The functions that the library calls.

use std::ffi::c_void;
use std::sync::atomic::{AtomicI32, AtomicI64, Ordering};

use c::error::{cairn_error, cairn_error_status};
use c::message::cairn_append_result;
use c::read::{cairn_batch, cairn_batch_len};
use c::recovery_progress::cairn_recovery_progress;
use c::status::cairn_status;
use c::text::cairn_str;
use c::transaction_checker::cairn_transaction_check;
use cairnlog_fuzz_abi as c;

use super::world::{call, touch_text};

/// Appends that succeeded and whose end was not told yet.
pub(super) static PENDING: AtomicI64 = AtomicI64::new(0);
/// Callbacks that were set and not released yet.
pub(super) static HELD: AtomicI64 = AtomicI64::new(0);
/// What the next callbacks answer.
pub(super) static ANSWER: AtomicI32 = AtomicI32::new(0);

pub(super) unsafe extern "C" fn appended(
    status: cairn_status,
    _result: *const cairn_append_result,
    error: *const cairn_error,
    _user_data: *mut c_void,
) {
    assert_eq!(call!(cairn_error_status, error), status);
    PENDING.fetch_sub(1, Ordering::SeqCst);
}

pub(super) unsafe extern "C" fn consume(batch: *const cairn_batch, _: *mut c_void) -> i32 {
    assert!(call!(cairn_batch_len, batch) > 0);
    ANSWER.load(Ordering::Relaxed)
}

pub(super) unsafe extern "C" fn check(
    check: *const cairn_transaction_check,
    _: *mut c_void,
) -> i32 {
    let check = call!(std::ptr::read_unaligned, check);
    touch_text(check.topic);
    touch_text(check.id);
    assert_eq!(call!(cairn_batch_len, check.batch), 1);
    ANSWER.load(Ordering::Relaxed)
}

pub(super) unsafe extern "C" fn progress(progress: *const cairn_recovery_progress, _: *mut c_void) {
    let progress = call!(std::ptr::read_unaligned, progress);
    assert!(progress.struct_size > 0);
}

pub(super) unsafe extern "C" fn release(_: *mut c_void) {
    HELD.fetch_sub(1, Ordering::SeqCst);
}

pub(super) unsafe extern "C" fn log(_: i32, target: cairn_str, message: cairn_str, _: *mut c_void) {
    touch_text(target);
    touch_text(message);
}
