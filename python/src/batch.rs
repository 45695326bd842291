//! Several messages read at once.

use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::PyIndexError;
use pyo3::prelude::*;
use pyo3::types::{PyIterator, PyList};

use crate::errors::closed;
use crate::read::{END_OF_LOG, outcome};
use crate::view::MessageView;

/// The messages of one `Store.read` or `Store.read_log`, a sequence, with what came of the read.
/// Its offsets are indexes in the queue, or positions in the log. Closing it gives up the pins on
/// their files at once; messages and memoryviews taken from it keep theirs.
#[pyclass(frozen, sequence, module = "cairnlog")]
pub(crate) struct Batch {
    messages: Mutex<Option<Vec<cairnlog::MessageView>>>,
    /// Number and name.
    outcome: (i32, &'static str),
    next_offset: i64,
    range: Range<u64>,
}

impl From<cairnlog::QueueBatch> for Batch {
    fn from(batch: cairnlog::QueueBatch) -> Self {
        Self {
            outcome: (batch.outcome().code(), batch.outcome().name()),
            next_offset: batch.next_offset(),
            range: batch.min_offset().get()..batch.max_offset().get(),
            messages: Mutex::new(Some(batch.into_messages())),
        }
    }
}

impl Batch {
    /// What was read from a log that reached over this range of offsets.
    pub(crate) fn of_log(batch: cairnlog::Batch, range: Range<u64>) -> Self {
        let outcome = match batch.messages() {
            [] => END_OF_LOG,
            _ => (cairnlog::ReadOutcome::Found.code(), cairnlog::ReadOutcome::Found.name()),
        };
        let next_offset = batch.next_offset().to_i64();
        Self { messages: Mutex::new(Some(batch.into_messages())), outcome, next_offset, range }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Vec<cairnlog::MessageView>>> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The messages now in the batch, each with a pin of its own.
    fn open_messages(&self, py: Python<'_>) -> PyResult<Vec<cairnlog::MessageView>> {
        let messages = self.lock().clone();
        messages.ok_or_else(|| closed(py, "the batch was closed"))
    }

    fn list<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        PyList::new(py, self.open_messages(py)?.into_iter().map(MessageView::from))
    }
}

#[pymethods]
impl Batch {
    /// What came of the read; of a log, FOUND or, at its end, END_OF_LOG.
    #[getter]
    fn outcome<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        outcome(py, self.outcome.0)
    }

    /// Where to go on reading.
    #[getter]
    fn next_offset(&self) -> i64 {
        self.next_offset
    }

    /// Where the queue, or the log, began at the time of the read.
    #[getter]
    fn min_offset(&self) -> u64 {
        self.range.start
    }

    /// Where the queue, or the log, ended at the time of the read: one past the last message.
    #[getter]
    fn max_offset(&self) -> u64 {
        self.range.end
    }

    /// Whether the batch was closed.
    #[getter]
    fn closed(&self) -> bool {
        self.lock().is_none()
    }

    /// Gives up the pins. Closing twice is no error.
    fn close(&self) {
        let messages = self.lock().take();
        drop(messages);
    }

    /// The first index of a message that equals `value`; ValueError if there is none.
    #[pyo3(signature = (value, start=0, stop=isize::MAX))]
    fn index<'py>(
        &self,
        py: Python<'py>,
        value: &Bound<'py, PyAny>,
        start: isize,
        stop: isize,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.list(py)?.call_method1("index", (value, start, stop))
    }

    /// How many messages equal `value`.
    fn count<'py>(
        &self,
        py: Python<'py>,
        value: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.list(py)?.call_method1("count", (value,))
    }

    fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        let length = self.lock().as_ref().map(Vec::len);
        length.ok_or_else(|| closed(py, "the batch was closed"))
    }

    fn __getitem__<'py>(
        &self,
        py: Python<'py>,
        index: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let Ok(position) = index.extract::<isize>() else {
            return self.list(py)?.as_any().get_item(index);
        };
        let found = match &*self.lock() {
            Some(messages) => {
                let from_end = messages.len().checked_sub(position.unsigned_abs());
                let position = if position < 0 { from_end } else { usize::try_from(position).ok() };
                position
                    .and_then(|position| messages.get(position))
                    .cloned()
                    .ok_or_else(|| PyIndexError::new_err("the index lies outside the batch"))
            }
            None => return Err(closed(py, "the batch was closed")),
        };
        Ok(Bound::new(py, MessageView::from(found?))?.into_any())
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyIterator>> {
        self.list(py)?.try_iter()
    }

    fn __contains__(&self, py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<bool> {
        self.list(py)?.contains(value)
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (exception_type, exception, traceback, /))]
    fn __exit__(
        &self,
        exception_type: &Bound<'_, PyAny>,
        exception: &Bound<'_, PyAny>,
        traceback: &Bound<'_, PyAny>,
    ) {
        let _ = (exception_type, exception, traceback);
        self.close();
    }

    fn __repr__(&self) -> String {
        match &*self.lock() {
            Some(messages) => {
                format!(
                    "Batch(<{} messages>, {}, next_offset={})",
                    messages.len(),
                    self.outcome.1,
                    self.next_offset
                )
            }
            None => "Batch(<closed>)".to_owned(),
        }
    }
}
