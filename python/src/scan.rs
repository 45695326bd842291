//! Reading the log message by message, to its end or following it.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use cairnlog::{PhysicalOffset, Status};
use pyo3::prelude::*;

use crate::blocking::{self, Limit};
use crate::errors::{OrRaise, closed};
use crate::store::{ReadableStore, of_either};
use crate::view::MessageView;

/// What an iterator does at the readable end of the log.
#[derive(Debug, Clone, Copy)]
pub(crate) enum AtEnd {
    /// It stops.
    Stop,
    /// It waits for the next message, at most this long.
    Follow(Option<Duration>),
}

/// An iterator over the log, from `Store.scan` or `Store.tail`. One that stopped at the readable
/// end goes on when there is more. Threads can share it; each message goes to one of them.
#[pyclass(frozen, module = "cairnlog")]
pub(crate) struct Scan {
    scan: Mutex<Option<cairnlog::Scan>>,
    at_end: AtEnd,
    store: Py<ReadableStore>,
}

/// What one step gives; `None` outside when the iterator was closed.
type Step = Option<cairnlog::Result<cairnlog::MessageView>>;

impl Scan {
    pub(crate) fn open(
        store: &Bound<'_, ReadableStore>,
        from: PhysicalOffset,
        at_end: AtEnd,
    ) -> PyResult<Self> {
        let (py, opened) = (store.py(), store.get().opened());
        let scan = blocking::run(py, || of_either!(*opened, it => it.scan(from))).or_raise(py)?;
        Ok(Self { scan: Mutex::new(Some(scan)), at_end, store: store.clone().unbind() })
    }

    /// Runs `act` on the scan, detached, since another thread may hold it for a slice.
    fn with<T: Send>(
        &self,
        py: Python<'_>,
        act: impl FnOnce(&mut cairnlog::Scan) -> T + Send,
    ) -> PyResult<T> {
        let outcome = blocking::run(py, || {
            let mut scan = self.scan.lock().unwrap_or_else(PoisonError::into_inner);
            scan.as_mut().map(act)
        });
        outcome.ok_or_else(|| closed(py, "the scan was closed"))
    }

    /// Waits in slices; the lock is free between them.
    fn follow(&self, py: Python<'_>, timeout: Option<Duration>) -> PyResult<Option<MessageView>> {
        let opened = self.store.get().opened();
        let step = |slice| -> Option<Step> {
            let mut scan = self.scan.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(scan) = scan.as_mut() else {
                return Some(None);
            };
            if let Some(found) = scan.next() {
                return Some(Some(found));
            }
            // Fails when the store is closed, whatever is left to read.
            let from = scan.offset();
            match of_either!(*opened, it => it.wait_readable(from, slice)) {
                Ok(true) => scan.next().map(Some),
                Ok(false) if opened.is_closed() => {
                    let what = "the store was closed";
                    Some(Some(Err(cairnlog::Error::new(Status::StoreClosed, what))))
                }
                Ok(false) => None,
                Err(error) => Some(Some(Err(error))),
            }
        };
        match blocking::wait_until(py, Limit::after(timeout), step)? {
            None => Ok(None),
            Some(None) => Err(closed(py, "the scan was closed")),
            Some(Some(found)) => Ok(Some(found.or_raise(py)?.into())),
        }
    }
}

#[pymethods]
impl Scan {
    /// Where the next message will be read.
    #[getter]
    fn offset(&self, py: Python<'_>) -> PyResult<u64> {
        self.with(py, |scan| scan.offset()).map(PhysicalOffset::get)
    }

    /// The next message, waiting for it at most `timeout` seconds (None: without end), or None when
    /// the time ran out.
    #[pyo3(signature = (timeout=None))]
    fn next_message(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Option<MessageView>> {
        self.follow(py, blocking::timeout(timeout)?)
    }

    /// Gives up the position. Closing twice is no error.
    fn close(&self, py: Python<'_>) {
        blocking::run(py, || {
            *self.scan.lock().unwrap_or_else(PoisonError::into_inner) = None;
        });
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<MessageView>> {
        match self.at_end {
            AtEnd::Stop => {
                self.store.get().check_open(py)?;
                let next = self.with(py, Iterator::next)?;
                Ok(next.transpose().or_raise(py)?.map(MessageView::from))
            }
            AtEnd::Follow(timeout) => self.follow(py, timeout),
        }
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (exception_type, exception, traceback, /))]
    fn __exit__(
        &self,
        py: Python<'_>,
        exception_type: &Bound<'_, PyAny>,
        exception: &Bound<'_, PyAny>,
        traceback: &Bound<'_, PyAny>,
    ) {
        let _ = (exception_type, exception, traceback);
        self.close(py);
    }
}
