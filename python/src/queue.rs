//! A prepared topic and queue, for many appends.

use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use pyo3::types::PyDict;

use crate::append_result::AppendResult;
use crate::blocking::acknowledged;
use crate::message::{Body, CommonFields, Keys, Properties};
use crate::store::Store;

/// A prepared topic and queue of a store, from `Store.queue`: checked and looked up once, for many
/// appends. It keeps its store alive, as an iterator does, but open only until `Store.close`.
#[pyclass(frozen, module = "cairnlog")]
pub(crate) struct QueueAppender {
    appender: cairnlog::QueueAppender,
    store: Py<Store>,
}

impl QueueAppender {
    pub(crate) fn new(appender: cairnlog::QueueAppender, store: Py<Store>) -> Self {
        Self { appender, store }
    }
}

#[pymethods]
impl QueueAppender {
    /// The topic.
    #[getter]
    fn topic(&self) -> &str {
        self.appender.topic()
    }

    /// The queue inside the topic.
    #[getter]
    fn queue_id(&self) -> i32 {
        self.appender.queue_id()
    }

    /// Appends one message and waits, as `Store.append`.
    #[pyo3(signature = (body, *, tag=None, keys=None, properties=None, wait_store_ok=true,
                        **rare))]
    #[expect(clippy::too_many_arguments, reason = "each is a keyword argument in Python")]
    fn append(
        &self,
        py: Python<'_>,
        body: Body<'_>,
        tag: Option<PyBackedStr>,
        keys: Option<Keys>,
        properties: Option<Properties>,
        wait_store_ok: bool,
        rare: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<AppendResult> {
        let common = CommonFields { queue_id: 0, tag, keys, properties, wait_store_ok };
        let fields = common.with(py, rare)?;
        let lists = fields.lists();
        let message = fields.message("", body.as_bytes(), &lists);
        Ok(acknowledged(py, || self.appender.begin_append(&message))?.into())
    }

    /// Appends one message and returns a future, as `Store.append_async`.
    #[pyo3(signature = (body, *, tag=None, keys=None, properties=None, wait_store_ok=true,
                        **rare))]
    #[expect(clippy::too_many_arguments, reason = "each is a keyword argument in Python")]
    fn append_async<'py>(
        &self,
        py: Python<'py>,
        body: Body<'py>,
        tag: Option<PyBackedStr>,
        keys: Option<Keys>,
        properties: Option<Properties>,
        wait_store_ok: bool,
        rare: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let common = CommonFields { queue_id: 0, tag, keys, properties, wait_store_ok };
        let fields = common.with(py, rare)?;
        let lists = fields.lists();
        let message = fields.message("", body.as_bytes(), &lists);
        let append = |sink: &_, token| self.appender.append_to_sink(&message, sink, token);
        self.store.get().append_to_future(py, append)
    }

    fn __repr__(&self) -> String {
        format!("QueueAppender({:?}, {})", self.appender.topic(), self.appender.queue_id())
    }
}
