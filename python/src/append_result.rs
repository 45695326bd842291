//! Where a message came to lie.

use std::net::SocketAddr;

use pyo3::prelude::*;
use pyo3::types::PyList;

/// Where a message, or a batch, came to lie.
#[pyclass(frozen, eq, module = "cairnlog")]
#[derive(Clone, PartialEq)]
pub(crate) struct AppendResult(cairnlog::AppendResult);

impl From<cairnlog::AppendResult> for AppendResult {
    fn from(result: cairnlog::AppendResult) -> Self {
        Self(result)
    }
}

/// The results of many appends. The cycle collector need not look at them: they refer to nothing,
/// and to walk through them costs as much as to make them.
#[allow(
    unsafe_code,
    reason = "the interpreter has no safe call to take an object off the collector"
)]
pub(crate) fn list(
    py: Python<'_>,
    results: Vec<cairnlog::AppendResult>,
) -> PyResult<Bound<'_, PyList>> {
    let made = results.into_iter().map(|result| {
        let object = Bound::new(py, AppendResult::from(result))?;
        // SAFETY: the object is alive, its type takes part in the collection, and an object that is
        // off the collector may be taken off again when it ends.
        unsafe { pyo3::ffi::PyObject_GC_UnTrack(object.as_ptr().cast()) };
        Ok(object)
    });
    PyList::new(py, made.collect::<PyResult<Vec<_>>>()?)
}

/// An address as Python's sockets write it.
pub(crate) fn host(address: SocketAddr) -> (String, u16) {
    (address.ip().to_string(), address.port())
}

#[pymethods]
impl AppendResult {
    /// Where the first record begins in the log, in bytes.
    #[getter]
    fn physical_offset(&self) -> u64 {
        self.0.physical_offset.get()
    }

    /// One past the last byte of the call; `Store.wait_durable` takes it.
    #[getter]
    fn end_offset(&self) -> u64 {
        self.0.end_offset().get()
    }

    /// Bytes written for all records of the call.
    #[getter]
    fn size_bytes(&self) -> u32 {
        self.0.size_bytes
    }

    /// The first message's index in its queue.
    #[getter]
    fn queue_offset(&self) -> u64 {
        self.0.queue_offset.get()
    }

    /// The queue.
    #[getter]
    fn queue_id(&self) -> i32 {
        self.0.queue_id
    }

    /// The number of messages.
    #[getter]
    fn message_count(&self) -> u32 {
        self.0.message_count
    }

    /// The store's clock at the append, in milliseconds since the Unix epoch.
    #[getter]
    fn store_timestamp_ms(&self) -> i64 {
        self.0.store_timestamp_ms
    }

    /// The address stored as the store's host: (IP address, port).
    #[getter]
    fn store_host(&self) -> (String, u16) {
        host(self.0.store_host)
    }

    /// RocketMQ's `offsetMsgId` of the first record.
    #[getter]
    fn offset_message_id(&self) -> String {
        self.0.offset_message_id()
    }

    fn __hash__(&self) -> u64 {
        self.0.physical_offset.get()
    }

    fn __repr__(&self) -> String {
        format!(
            "AppendResult(physical_offset={}, size_bytes={}, queue_id={}, queue_offset={}, \
             message_count={})",
            self.0.physical_offset,
            self.0.size_bytes,
            self.0.queue_id,
            self.0.queue_offset,
            self.0.message_count
        )
    }
}
