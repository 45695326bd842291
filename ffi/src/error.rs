//! Errors: objects the caller owns.

use std::ffi::{CString, c_char};

use engine::Error;

use crate::boundary;
use crate::message::cairn_append_result;
use crate::open_struct::OutStruct;
use crate::status::cairn_status;
use crate::text::cairn_str;

/// Why a call failed: a status, a sentence that names file, offset, what was expected and what was
/// found, and where the record lies if it was appended all the same.
///
/// An error belongs to whoever received it and is freed with `cairn_error_free`. It does not
/// change, so several threads may look at it.
pub struct cairn_error {
    error: Error,
    message: CString,
    path: Vec<u8>,
}

impl From<Error> for cairn_error {
    fn from(error: Error) -> Self {
        let text = error.to_string().replace('\0', "\u{fffd}");
        Self {
            message: CString::new(text).unwrap_or_default(),
            path: error
                .path()
                .map(|path| path.as_os_str().as_encoded_bytes().to_vec())
                .unwrap_or_default(),
            error,
        }
    }
}

/// Returns the status of an error, the same that the call returned. Null gives `CAIRN_STATUS_OK`.
///
/// # Safety
/// - `error` is null or live.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_error_status(error: *const cairn_error) -> cairn_status {
    value!(cairn_status::Ok, {
        // SAFETY: null or live, says the caller.
        let error = unsafe { error.as_ref() }?;
        Some(cairn_status::from(error.error.status()))
    })
}

/// Returns the operating system's error number (`errno`), 0 if no system call failed.
///
/// # Safety
/// - `error` is null or live.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cairn_error_os_code(error: *const cairn_error) -> i32 {
    value!(0, {
        // SAFETY: null or live, says the caller.
        let error = unsafe { error.as_ref() }?;
        error.error.os_code()
    })
}

/// Returns the sentence, terminated, UTF-8. It lives as long as the error. Null gives an empty
/// text.
///
/// # Safety
/// - `error` is null or live.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cairn_error_message(error: *const cairn_error) -> *const c_char {
    value!(c"".as_ptr(), {
        // SAFETY: null or live, says the caller.
        let error = unsafe { error.as_ref() }?;
        Some(error.message.as_ptr())
    })
}

/// Returns the file or directory concerned, as the operating system spells it; an empty text if
/// there is none. It lives as long as the error.
///
/// # Safety
/// - `error` is null or live.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cairn_error_path(error: *const cairn_error) -> cairn_str {
    value!(cairn_str::ABSENT, {
        // SAFETY: null or live, says the caller.
        let error = unsafe { error.as_ref() }?;
        (!error.path.is_empty()).then(|| cairn_str::of(&error.path))
    })
}

/// Returns the offset concerned, a physical offset for the log, else a position in the file or the
/// argument; -1 if there is none.
///
/// # Safety
/// - `error` is null or live.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cairn_error_offset(error: *const cairn_error) -> i64 {
    value!(-1, {
        // SAFETY: null or live, says the caller.
        let error = unsafe { error.as_ref() }?;
        error.error.offset().map(u64::cast_signed)
    })
}

/// Tells whether the record is in the log although the call failed, as after
/// `CAIRN_STATUS_FLUSH_TIMEOUT`.
///
/// # Safety
/// - `error` is null or live.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cairn_error_has_appended(error: *const cairn_error) -> bool {
    value!(false, {
        // SAFETY: null or live, says the caller.
        let error = unsafe { error.as_ref() }?;
        Some(error.error.appended().is_some())
    })
}

/// Tells where the record lies that is in the log although the call failed.
///
/// Gives `CAIRN_STATUS_INVALID_ARGUMENT` when there is none; `cairn_error_has_appended` tells.
///
/// # Safety
/// - `error` is null or live.
/// - `out_result` is null, or writable for as many bytes as its `struct_size` says.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_error_appended(
    error: *const cairn_error,
    out_result: *mut cairn_append_result,
) -> cairn_status {
    boundary!({
        let error = require!(error);
        // SAFETY: null or as long as it says, says the caller.
        let out_result = unsafe { OutStruct::new(out_result, "out_result") }?;
        let appended = error
            .error
            .appended()
            .ok_or_else(|| boundary::invalid("the error carries no appended record"))?;
        out_result.write(cairn_append_result::from(appended));
        Ok(())
    })
}

/// Frees an error. Null is accepted.
///
/// # Safety
/// - `error` is null or live, and not used afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cairn_error_free(error: *mut cairn_error) {
    // SAFETY: the caller's promise is the same.
    unsafe { boundary::free(error) }
}
