//! The machine's local time.
#![allow(unsafe_code, reason = "the C library knows the time zone")]

/// A moment as a calendar and a clock on the wall show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LocalTime {
    pub(crate) year: i32,
    /// From 1.
    pub(crate) month: i32,
    /// From 1.
    pub(crate) day: i32,
    pub(crate) hour: i32,
    pub(crate) minute: i32,
    pub(crate) second: i32,
}

/// The local time of a moment in seconds since the Unix epoch; `None` for years no calendar of the
/// machine knows.
pub(crate) fn local_time(epoch_s: i64) -> Option<LocalTime> {
    let time = libc::time_t::from(epoch_s);
    // SAFETY: tm is a C struct of integers and a pointer, for which zero is a value.
    let mut fields: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to live values of the right types; nothing else is touched.
    let done = unsafe { libc::localtime_r(&raw const time, &raw mut fields) };
    if done.is_null() {
        return None;
    }
    Some(LocalTime {
        year: fields.tm_year.checked_add(1900)?,
        month: fields.tm_mon + 1,
        day: fields.tm_mday,
        hour: fields.tm_hour,
        minute: fields.tm_min,
        second: fields.tm_sec,
    })
}
