//! The one place where C meets Rust: panics stop here, null is found here, errors are handed out
//! here.
//!
//! An exported function that can fail is
//!
//! ```text
//! boundary!(out_error, {
//!     let store = require!(store);
//!     store.engine().flush()
//! })
//! ```
//!
//! The block runs inside a closure that returns `engine::Result<()>`, so `?` ends the call with an
//! error. Functions without an error object leave `out_error` out; functions that return a value
//! instead of a status use `value!`, with the value to return when an argument is null or a panic
//! was caught.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::sync::Once;

use engine::{Error, Result, Status};

use crate::error::cairn_error;
use crate::status::cairn_status;

/// Runs the body of an exported function and turns its end into a status and an error object.
macro_rules! boundary {
    ($out_error:ident, $body:block) => {{
        let body = || -> engine::Result<()> { $body };
        // SAFETY: the exported function's contract says that `out_error` is null or writable.
        unsafe { $crate::boundary::run($out_error, body) }
    }};
    ($body:block) => {{
        let body = || -> engine::Result<()> { $body };
        $crate::boundary::run_without_error(body)
    }};
}

/// Runs the body of an exported function that returns a value and no status.
macro_rules! value {
    ($default:expr, $body:block) => {{
        let body = || $body;
        $crate::boundary::run_for_value(body).unwrap_or($default)
    }};
}

/// Turns a pointer argument into a reference, or ends the call with `INVALID_ARGUMENT`.
///
/// `require!(x)` gives `&T`, `require!(mut x)` gives `&mut T`, `require!(out x)` gives an
/// [`Out`](crate::boundary::Out) for a result.
macro_rules! require {
    (mut $pointer:ident) => {
        // SAFETY: the exported function's contract says that the argument is null or live, and
        // that nobody else uses it during the call.
        unsafe { $crate::boundary::borrow_mut($pointer, stringify!($pointer)) }?
    };
    (out $pointer:ident) => {
        // SAFETY: the exported function's contract says that the argument is null or writable.
        unsafe { $crate::boundary::Out::new($pointer, stringify!($pointer)) }?
    };
    ($pointer:ident) => {
        // SAFETY: the exported function's contract says that the argument is null or live.
        unsafe { $crate::boundary::borrow($pointer, stringify!($pointer)) }?
    };
}

/// Where a result goes: a pointer of the caller that is known not to be null.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Out<T>(NonNull<T>);

impl<T> Out<T> {
    /// Takes the pointer `name` refers to.
    ///
    /// # Safety
    ///
    /// - `pointer` is null, or writable for the rest of the call.
    pub(crate) unsafe fn new(pointer: *mut T, name: &'static str) -> Result<Self> {
        NonNull::new(pointer).map(Self).ok_or_else(|| null_argument(name))
    }

    /// Takes a pointer of the caller, who passes null for a result that is not wanted.
    ///
    /// # Safety
    ///
    /// - As for [`Out::new`].
    pub(crate) unsafe fn optional(pointer: *mut T) -> Option<Self> {
        NonNull::new(pointer).map(Self)
    }

    /// Writes the result; what was there is not looked at.
    pub(crate) fn set(self, value: T) {
        // SAFETY: whoever made this promised that the pointer is writable during the call.
        unsafe { self.0.write(value) }
    }
}

impl<T> Out<*mut T> {
    /// Sets a handle to null, so that the caller finds no stale one when the call fails.
    pub(crate) fn clear(self) -> Self {
        self.set(std::ptr::null_mut());
        self
    }

    /// Gives a new object to the caller, who has to free it.
    pub(crate) fn give(self, value: T) {
        self.set(Box::into_raw(Box::new(value)));
    }
}

/// The error for an argument that must not be null.
pub(crate) fn null_argument(name: &'static str) -> Error {
    invalid(format!("the argument {name} is null"))
}

/// An error for an argument outside its limits.
pub(crate) fn invalid(what: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(Status::InvalidArgument, what)
}

/// An error that is made out of the way: what its text needs would be stored in every call.
#[cold]
#[inline(never)]
pub(crate) fn refusal(error: impl FnOnce() -> Error) -> Error {
    error()
}

/// Borrows what an argument points to.
///
/// # Safety
///
/// - `pointer` is null, or live and not changed by anyone during the call.
pub(crate) unsafe fn borrow<'a, T>(pointer: *const T, name: &'static str) -> Result<&'a T> {
    // SAFETY: null or live, says the caller.
    unsafe { pointer.as_ref() }.ok_or_else(|| null_argument(name))
}

/// Borrows what an argument points to, for changing it.
///
/// # Safety
///
/// - `pointer` is null, or live and used by nobody else during the call.
pub(crate) unsafe fn borrow_mut<'a, T>(pointer: *mut T, name: &'static str) -> Result<&'a mut T> {
    // SAFETY: null or live and exclusive, says the caller.
    unsafe { pointer.as_mut() }.ok_or_else(|| null_argument(name))
}

/// Takes back an object that was given to the caller, and drops it.
///
/// # Safety
///
/// - `pointer` is null, or came from [`Out::give`] and was not freed before.
/// - Nobody uses it now or later.
pub(crate) unsafe fn free<T>(pointer: *mut T) {
    if pointer.is_null() {
        return;
    }
    // SAFETY: made by `Box::into_raw` in `Out::give`, and freed once, says the caller.
    let owned = unsafe { Box::from_raw(pointer) };
    // A panic while dropping was reported by the hook; there is nobody to tell it to.
    let _ = catch(|| drop(owned));
}

/// Runs a body, sets the error object and gives the status.
///
/// # Safety
///
/// - `out_error` is null or writable.
pub(crate) unsafe fn run(
    out_error: *mut *mut cairn_error,
    body: impl FnOnce() -> Result<()>,
) -> cairn_status {
    let out_error = NonNull::new(out_error).map(Out);
    if let Some(out_error) = out_error {
        out_error.clear();
    }
    match catch(body).unwrap_or_else(|| Err(caught_panic())) {
        Ok(()) => cairn_status::Ok,
        Err(error) => {
            let status = cairn_status::from(error.status());
            if let Some(out_error) = out_error {
                out_error.give(cairn_error::from(error));
            }
            status
        }
    }
}

/// Runs a body whose error is told by the status alone.
pub(crate) fn run_without_error(body: impl FnOnce() -> Result<()>) -> cairn_status {
    match catch(body) {
        Some(Ok(())) => cairn_status::Ok,
        Some(Err(error)) => cairn_status::from(error.status()),
        None => cairn_status::Internal,
    }
}

/// Runs a body that gives a value; `None` when it could not.
pub(crate) fn run_for_value<T>(body: impl FnOnce() -> Option<T>) -> Option<T> {
    catch(body).flatten()
}

fn caught_panic() -> Error {
    Error::new(
        Status::Internal,
        "cairnlog failed in a way that is a bug of its own; the log callback was told where",
    )
}

/// Runs a body; `None` when it panicked.
///
/// What a panic may have left half done is fenced by [`crate::fence::Fence`], so no later write
/// builds on it.
fn catch<T>(body: impl FnOnce() -> T) -> Option<T> {
    report_panics();
    catch_unwind(AssertUnwindSafe(body)).ok()
}

/// Sends the text of panics to the diagnostics instead of the standard error: a library does not
/// print. The hook belongs to this library's own copy of the Rust runtime.
fn report_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if cfg!(test) {
            return;
        }
        std::panic::set_hook(Box::new(|panic| {
            tracing::error!("cairnlog failed: {panic}");
        }));
    });
}
