//! Errors of the engine become exceptions of `cairnlog.errors`; which class, that module decides.

use cairnlog::{Error, Status};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use crate::append_result::AppendResult;

static MAKE_ERROR: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// The exception object for an error; whatever goes wrong in making it is returned instead.
pub(crate) fn exception(py: Python<'_>, error: &Error) -> PyErr {
    make(py, error).unwrap_or_else(|failure| failure)
}

fn make(py: Python<'_>, error: &Error) -> PyResult<PyErr> {
    let make_error = MAKE_ERROR.import(py, "cairnlog.errors", "_make_error")?;
    let path = error.path().map(|path| path.to_string_lossy().into_owned());
    let appended = error.appended().map(AppendResult::from);
    let arguments =
        (error.status().code(), error.to_string(), path, error.offset(), error.os_code(), appended);
    Ok(PyErr::from_value(make_error.call1(arguments)?))
}

/// The exception for use of something that was closed.
pub(crate) fn closed(py: Python<'_>, what: &'static str) -> PyErr {
    exception(py, &Error::new(Status::StoreClosed, what))
}

/// The exception for an argument outside its limits.
pub(crate) fn invalid_argument(py: Python<'_>, what: String) -> PyErr {
    exception(py, &Error::new(Status::InvalidArgument, what))
}

/// Turns the engine's results into Python's.
pub(crate) trait OrRaise<T> {
    /// The value, or the exception.
    fn or_raise(self, py: Python<'_>) -> PyResult<T>;
}

impl<T> OrRaise<T> for cairnlog::Result<T> {
    fn or_raise(self, py: Python<'_>) -> PyResult<T> {
        self.map_err(|error| exception(py, &error))
    }
}
