//! Which library this is, and whether a program's header fits it.

use std::ffi::c_char;

use crate::boundary::invalid;
use crate::status::cairn_status;

/// Counts the ABI: the major half (times 65536) changes only with a new soname, the minor half with
/// every added symbol, number or field.
pub const CAIRN_ABI_VERSION: u32 = 3;

/// Waits without a limit, where a function takes a time in milliseconds.
pub const CAIRN_WAIT_FOREVER: u64 = 0xFFFF_FFFF_FFFF_FFFF;

const ABI_MAJOR_SHIFT: u32 = 16;

const VERSION_TEXT: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");

/// Returns the version of the loaded library as a number to compare with `CAIRN_VERSION_NUMBER`:
/// major times 1000000, minor times 1000, patch.
#[unsafe(no_mangle)]
pub extern "C" fn cairn_version_number() -> u32 {
    let part = |text: &str| text.parse::<u32>().unwrap_or_default();
    part(env!("CARGO_PKG_VERSION_MAJOR")) * 1_000_000
        + part(env!("CARGO_PKG_VERSION_MINOR")) * 1_000
        + part(env!("CARGO_PKG_VERSION_PATCH"))
}

/// Returns the version of the loaded library, as in `"0.1.0"`. The text lives as long as the
/// library is loaded.
#[unsafe(no_mangle)]
pub extern "C" fn cairn_version_string() -> *const c_char {
    VERSION_TEXT.as_ptr().cast()
}

/// Checks that the loaded library fits the header a program was compiled with; pass
/// `CAIRN_ABI_VERSION`.
///
/// Gives `CAIRN_STATUS_INVALID_ARGUMENT` when the major halves differ or the library is older than
/// the header.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn cairn_abi_check(header_abi_version: u32) -> cairn_status {
    boundary!({
        if header_abi_version >> ABI_MAJOR_SHIFT == CAIRN_ABI_VERSION >> ABI_MAJOR_SHIFT
            && header_abi_version <= CAIRN_ABI_VERSION
        {
            return Ok(());
        }
        Err(invalid("the library does not fit the header")
            .expected(format!("an ABI version up to {CAIRN_ABI_VERSION}"), header_abi_version))
    })
}
