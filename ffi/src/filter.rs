//! Filters: which messages a reader wants.

use engine::{Filter, Result, Status};

use crate::boundary;
use crate::error::cairn_error;
use crate::read::{cairn_message_view, viewed};
use crate::status::cairn_status;
use crate::text::cairn_str;

/// Which messages a reader wants: made once, used for any number of reads, of any store, by any
/// number of threads at once. A read or a tail keeps what it needs of it.
pub struct cairn_filter {
    filter: Filter,
}

impl cairn_filter {
    /// The engine's filter; that of all messages for null.
    pub(crate) fn engine_filter(filter: Option<&Self>) -> Filter {
        filter.map_or_else(Filter::all, |own| own.filter.clone())
    }
}

/// Makes a filter for messages with one of the tags in `A || B || C`. `*` and the empty text stand
/// for all messages.
///
/// Gives `CAIRN_STATUS_FILTER_ILLEGAL` when the expression names no tag, is longer than 64 KiB or
/// is no UTF-8; `*out_filter` is then null.
///
/// # Safety
/// - `expression` is readable for its length.
/// - `out_filter` is null or writable.
/// - `out_error` is null or writable.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_filter_from_tags(
    expression: cairn_str,
    out_filter: *mut *mut cairn_filter,
    out_error: *mut *mut cairn_error,
) -> cairn_status {
    boundary!(out_error, {
        let out_filter = require!(out out_filter).clear();
        // SAFETY: readable for its length, says the caller.
        let expression = unsafe { expression_text(expression) }?;
        out_filter.give(cairn_filter { filter: Filter::tags(expression)? });
        Ok(())
    })
}

/// Makes a filter for messages for whose properties a condition in SQL92 is true, as in
/// `price BETWEEN 10 AND 20 AND region IN ('north', 'west')`.
///
/// There are `AND`, `OR`, `NOT`, the comparisons `= <> > >= < <=`, `BETWEEN`, `IN`, `CONTAINS`,
/// `STARTSWITH`, `ENDSWITH` and `IS NULL`, numbers, `'text'`, `TRUE` and `FALSE`. The names `TAGS`
/// and `KEYS` stand for the tag and the keys. A message without a property that the condition asks
/// for, or with a value that cannot be compared so, is not wanted.
///
/// Gives `CAIRN_STATUS_FILTER_ILLEGAL` when the condition is malformed, longer than 64 KiB or no
/// UTF-8; `*out_filter` is then null, and `cairn_error_offset` tells where, in bytes from the
/// start.
///
/// # Safety
/// - `expression` is readable for its length.
/// - `out_filter` is null or writable.
/// - `out_error` is null or writable.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_filter_from_sql(
    expression: cairn_str,
    out_filter: *mut *mut cairn_filter,
    out_error: *mut *mut cairn_error,
) -> cairn_status {
    boundary!(out_error, {
        let out_filter = require!(out out_filter).clear();
        // SAFETY: readable for its length, says the caller.
        let expression = unsafe { expression_text(expression) }?;
        out_filter.give(cairn_filter { filter: Filter::sql(expression)? });
        Ok(())
    })
}

/// # Safety
///
/// - `expression` is readable for its length during `'a`.
unsafe fn expression_text<'a>(expression: cairn_str) -> Result<&'a str> {
    // SAFETY: the caller's promise is the same.
    unsafe { expression.text("expression", Status::FilterIllegal) }
}

/// Tells whether a message that was read is wanted, as when the log is read by physical offset. A
/// null filter wants every message; a view that was not filled is never wanted.
///
/// # Safety
/// - `filter` is null or live.
/// - `view` is null, or was begun with `CAIRN_MESSAGE_VIEW_INIT`; if it was filled, its batch is
///   live.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cairn_filter_matches(
    filter: *const cairn_filter,
    view: *const cairn_message_view,
) -> bool {
    value!(false, {
        // SAFETY: the caller's promise is the same.
        let message = unsafe { viewed(view) }?;
        // SAFETY: null or live, says the caller.
        let filter = unsafe { filter.as_ref() };
        Some(filter.is_none_or(|own| own.filter.matches(message)))
    })
}

/// Frees a filter. Null is accepted. Tails that were opened with it go on.
///
/// # Safety
/// - `filter` is null or live, and not used afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cairn_filter_free(filter: *mut cairn_filter) {
    // SAFETY: the caller's promise is the same.
    unsafe { boundary::free(filter) }
}
