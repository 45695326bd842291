//! Messages read from the log: views that pin their file and copy nothing.

use std::ffi::c_int;

use pyo3::exceptions::PyBufferError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyMemoryView};

use crate::append_result::host;

/// Which bytes of a record a buffer shows.
#[derive(Clone, Copy)]
enum Part {
    Body,
    Record,
}

/// The owner of a memoryview on a mapped file: as long as a view of it lives, the file stays
/// mapped, also when batch and store are closed.
#[pyclass(frozen, module = "cairnlog")]
pub(crate) struct MappedBytes {
    view: cairnlog::MessageView,
    part: Part,
}

impl MappedBytes {
    fn bytes(&self) -> &[u8] {
        match self.part {
            Part::Body => self.view.body(),
            Part::Record => self.view.record().bytes(),
        }
    }

    fn memoryview<'py>(self, py: Python<'py>) -> PyResult<Bound<'py, PyMemoryView>> {
        PyMemoryView::from(Bound::new(py, self)?.as_any())
    }
}

#[pymethods]
impl MappedBytes {
    fn __len__(&self) -> usize {
        self.bytes().len()
    }

    /// Fills in a read-only, contiguous buffer of bytes.
    #[allow(unsafe_code, reason = "the buffer protocol is a C interface")]
    unsafe fn __getbuffer__(
        slf: Bound<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        if view.is_null() {
            return Err(PyBufferError::new_err("there is no view to fill in"));
        }
        let bytes = slf.get().bytes();
        let length = ffi::Py_ssize_t::try_from(bytes.len())?;
        let start = bytes.as_ptr().cast_mut().cast();
        // SAFETY: `view` is writable by the protocol. The bytes do not move or change while the
        // class lives, which the view keeps alive by the reference that is taken here; they are
        // only lent for reading, which the argument 1 states.
        let filled = unsafe { ffi::PyBuffer_FillInfo(view, slf.as_ptr(), start, length, 1, flags) };
        if filled == 0 { Ok(()) } else { Err(PyErr::fetch(slf.py())) }
    }
}

/// A message read from the log. It pins its file and copies nothing; what it gives stays valid
/// after the store was closed.
#[pyclass(frozen, module = "cairnlog")]
pub(crate) struct MessageView(cairnlog::MessageView);

impl From<cairnlog::MessageView> for MessageView {
    fn from(view: cairnlog::MessageView) -> Self {
        Self(view)
    }
}

impl MessageView {
    pub(crate) fn engine(&self) -> &cairnlog::MessageView {
        &self.0
    }
}

#[pymethods]
impl MessageView {
    /// The payload: a read-only memoryview on the mapped file.
    #[getter]
    fn body<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyMemoryView>> {
        MappedBytes { view: self.0.clone(), part: Part::Body }.memoryview(py)
    }

    /// The whole record as it is stored: a read-only memoryview on the mapped file.
    #[getter]
    fn record<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyMemoryView>> {
        MappedBytes { view: self.0.clone(), part: Part::Record }.memoryview(py)
    }

    /// The topic.
    #[getter]
    fn topic(&self) -> String {
        self.0.record().topic().into_owned()
    }

    /// The queue inside the topic.
    #[getter]
    fn queue_id(&self) -> i32 {
        self.0.record().queue_id()
    }

    /// The tag consumers filter by, if there is one.
    #[getter]
    fn tag(&self) -> Option<String> {
        self.0.record().tag().map(std::borrow::Cow::into_owned)
    }

    /// The keys the message can be found by.
    #[getter]
    fn keys(&self) -> Vec<String> {
        let keys = self.0.record().keys();
        keys.into_iter().map(std::borrow::Cow::into_owned).collect()
    }

    /// Every stored property; of a name that occurs twice, the last value. Bytes that are no UTF-8
    /// are replaced.
    #[getter]
    fn properties<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let properties = PyDict::new(py);
        for (name, value) in self.0.record().properties() {
            properties.set_item(String::from_utf8_lossy(name), String::from_utf8_lossy(value))?;
        }
        Ok(properties)
    }

    /// The value of one property, or None.
    fn property(&self, name: &str) -> Option<String> {
        self.0.record().property(name).map(std::borrow::Cow::into_owned)
    }

    /// Where the record begins in the log, in bytes.
    #[getter]
    fn physical_offset(&self) -> u64 {
        self.0.record().physical_offset().get()
    }

    /// One past the record's last byte.
    #[getter]
    fn end_offset(&self) -> u64 {
        self.0.record().end_offset().get()
    }

    /// The message's index in its queue.
    #[getter]
    fn queue_offset(&self) -> u64 {
        self.0.record().queue_offset().get()
    }

    /// The size of the record in bytes.
    #[getter]
    fn size_bytes(&self) -> u32 {
        self.0.record().size_bytes()
    }

    /// The record's magic number, which tells its version.
    #[getter]
    fn magic(&self) -> i32 {
        self.0.record().magic()
    }

    /// The stored CRC of the body.
    #[getter]
    fn body_crc(&self) -> u32 {
        self.0.record().body_crc()
    }

    /// The application's own number.
    #[getter]
    fn flag(&self) -> i32 {
        self.0.record().flag()
    }

    /// RocketMQ's system flag bits.
    #[getter]
    fn sys_flag(&self) -> i32 {
        self.0.record().sys_flag()
    }

    /// The producer's clock, in milliseconds since the Unix epoch.
    #[getter]
    fn born_timestamp_ms(&self) -> i64 {
        self.0.record().born_timestamp_ms()
    }

    /// The producer's address: (IP address, port).
    #[getter]
    fn born_host(&self) -> (String, u16) {
        host(self.0.record().born_host())
    }

    /// The store's clock at the append, in milliseconds since the Unix epoch.
    #[getter]
    fn store_timestamp_ms(&self) -> i64 {
        self.0.record().store_timestamp_ms()
    }

    /// The address stored as the store's host: (IP address, port).
    #[getter]
    fn store_host(&self) -> (String, u16) {
        host(self.0.record().store_host())
    }

    /// How often the message was consumed before.
    #[getter]
    fn reconsume_times(&self) -> i32 {
        self.0.record().reconsume_times()
    }

    /// The physical offset of the half message of a committed transaction, else 0.
    #[getter]
    fn prepared_transaction_offset(&self) -> i64 {
        self.0.record().prepared_transaction_offset()
    }

    /// RocketMQ's `offsetMsgId`.
    #[getter]
    fn offset_message_id(&self) -> String {
        self.0.record().offset_message_id()
    }

    fn __eq__(&self, other: &Self) -> bool {
        self.0.record().bytes() == other.0.record().bytes()
    }

    fn __hash__(&self) -> u64 {
        self.0.record().physical_offset().get()
    }

    fn __repr__(&self) -> String {
        format!(
            "MessageView(topic={:?}, queue_id={}, queue_offset={}, physical_offset={}, \
             body=<{} bytes>)",
            self.0.record().topic(),
            self.0.record().queue_id(),
            self.0.record().queue_offset(),
            self.0.record().physical_offset(),
            self.0.record().body().len()
        )
    }
}
