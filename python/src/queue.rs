//! A prepared topic and queue, for many appends.

use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::append_result::AppendResult;
use crate::blocking::acknowledged;
use crate::message::{Body, CommonFields, Keys, Properties, RareFields};
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
                        flag=0, sys_flag=0, born_timestamp_ms=None, born_host=None,
                        reconsume_times=0, prepared_transaction_offset=0, delay_level=0))]
    #[expect(clippy::too_many_arguments, reason = "each is a keyword argument in Python")]
    fn append(
        &self,
        py: Python<'_>,
        body: Body<'_>,
        tag: Option<Bound<'_, PyString>>,
        keys: Option<Keys>,
        properties: Option<Properties>,
        wait_store_ok: bool,
        flag: i32,
        sys_flag: i32,
        born_timestamp_ms: Option<i64>,
        born_host: Option<&Bound<'_, PyAny>>,
        reconsume_times: i32,
        prepared_transaction_offset: i64,
        delay_level: u32,
    ) -> PyResult<AppendResult> {
        let common = CommonFields { queue_id: 0, tag, keys, properties, wait_store_ok };
        let rare = RareFields {
            flag,
            sys_flag,
            born_timestamp_ms,
            born_host,
            reconsume_times,
            prepared_transaction_offset,
            delay_level,
        };
        let (given, body) = (common.given(py, rare)?, body.as_bytes());
        let begin = || given.lend("", body, |message| self.appender.begin_append(message));
        Ok(acknowledged(py, begin)?.into())
    }

    /// Appends one message and returns a future, as `Store.append_async`.
    #[pyo3(signature = (body, *, tag=None, keys=None, properties=None, wait_store_ok=true,
                        flag=0, sys_flag=0, born_timestamp_ms=None, born_host=None,
                        reconsume_times=0, prepared_transaction_offset=0, delay_level=0))]
    #[expect(clippy::too_many_arguments, reason = "each is a keyword argument in Python")]
    fn append_async<'py>(
        &self,
        py: Python<'py>,
        body: Body<'py>,
        tag: Option<Bound<'_, PyString>>,
        keys: Option<Keys>,
        properties: Option<Properties>,
        wait_store_ok: bool,
        flag: i32,
        sys_flag: i32,
        born_timestamp_ms: Option<i64>,
        born_host: Option<&Bound<'_, PyAny>>,
        reconsume_times: i32,
        prepared_transaction_offset: i64,
        delay_level: u32,
    ) -> PyResult<Bound<'py, PyAny>> {
        let common = CommonFields { queue_id: 0, tag, keys, properties, wait_store_ok };
        let rare = RareFields {
            flag,
            sys_flag,
            born_timestamp_ms,
            born_host,
            reconsume_times,
            prepared_transaction_offset,
            delay_level,
        };
        let (given, body) = (common.given(py, rare)?, body.as_bytes());
        let append = |sink: &_, token| {
            given.lend("", body, |message| self.appender.append_to_sink(message, sink, token))
        };
        self.store.get().append_to_future(py, append)
    }

    fn __repr__(&self) -> String {
        format!("QueueAppender({:?}, {})", self.appender.topic(), self.appender.queue_id())
    }
}
