//! A store that is only read, beside the process that writes it.

use std::path::PathBuf;
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::{Opened, ReadableStore};
use crate::blocking;
use crate::errors::OrRaise;
use crate::options::from_keywords;

/// A store that is only read, from `Store.open_reader`, also while another process, or this one,
/// writes it. It takes no lock, makes no file and changes nothing; the right to read the directory
/// is enough. It has the methods of `Store` that read, and no other.
///
/// Every call looks at what the writer stored until then: messages of a queue once the writer
/// dispatched them, records of the log as soon as they are whole. Waiting calls look again in
/// pauses that double up to 50 ms while nothing comes. The writer may close the store, die, and
/// open it again. What retention removes can be read no longer a second later, at most; messages
/// read before stay valid. Should the writer cut the log below what was read, which it does only
/// after damage, reading there raises CorruptionError, and the reader has to be opened again.
///
/// >>> with cairnlog.Store.open(directory) as store:
/// ...     placed = store.append("orders", b"20 pears")
/// ...     with cairnlog.Store.open_reader(directory) as reader:
/// ...         for message in reader.tail("orders", timeout=1):
/// ...             print(bytes(message.body))
/// b'20 pears'
#[pyclass(frozen, extends = ReadableStore, module = "cairnlog")]
pub(crate) struct StoreReader {
    engine: Arc<cairnlog::StoreReader>,
}

impl StoreReader {
    pub(super) fn open(
        py: Python<'_>,
        path: PathBuf,
        options: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Py<Self>> {
        let options = from_keywords(py, options)?;
        let open = move || cairnlog::Store::open_reader(path, &options);
        let engine = Arc::new(blocking::run_apart(py, open)?.or_raise(py)?);
        let readable = ReadableStore::new(Opened::Reader(Arc::clone(&engine)));
        Py::new(py, PyClassInitializer::from(readable).add_subclass(Self { engine }))
    }
}

#[pymethods]
impl StoreReader {
    /// Ends all waits and refuses further calls; messages read before stay valid. Closing twice is
    /// no error.
    fn close(&self, py: Python<'_>) {
        blocking::run(py, || self.engine.close());
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

    fn __repr__(&self) -> String {
        let state = if self.engine.is_closed() { "closed" } else { "open" };
        format!("StoreReader({:?}, {state})", self.engine.path())
    }
}
