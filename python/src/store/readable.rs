//! What can be read, of a store and of one that is only read.

use std::path::PathBuf;
use std::sync::Arc;

use cairnlog::{PhysicalOffset, QueueOffset, ReadRequest};
use pyo3::prelude::*;

use crate::batch::Batch;
use crate::blocking::{self, Limit};
use crate::errors::{OrRaise, closed};
use crate::read::{self, FilterArgument, QueueRange};
use crate::scan::{AtEnd, Scan};
use crate::tail::Tail;
use crate::view::MessageView;

/// An open store.
#[derive(Clone)]
pub(crate) enum Opened {
    /// Open for appending and reading.
    Store(Arc<cairnlog::Store>),
    /// Open for reading only.
    Reader(Arc<cairnlog::StoreReader>),
}

/// Makes a call that both kinds of an [`Opened`] have.
macro_rules! of_either {
    ($opened:expr, $store:ident => $call:expr) => {
        match &$opened {
            $crate::store::Opened::Store($store) => $call,
            $crate::store::Opened::Reader($store) => $call,
        }
    };
}
pub(crate) use of_either;

impl Opened {
    pub(crate) fn is_closed(&self) -> bool {
        of_either!(*self, it => it.is_closed())
    }
}

/// What can be read: a `Store`, or a `StoreReader` beside it. Any thread may call any method.
#[pyclass(frozen, subclass, weakref, module = "cairnlog")]
pub(crate) struct ReadableStore {
    opened: Opened,
}

impl ReadableStore {
    pub(super) fn new(opened: Opened) -> Self {
        Self { opened }
    }

    pub(crate) fn opened(&self) -> &Opened {
        &self.opened
    }

    pub(crate) fn check_open(&self, py: Python<'_>) -> PyResult<()> {
        if self.opened.is_closed() {
            return Err(closed(py, "the store was closed"));
        }
        Ok(())
    }

    fn first(&self) -> PhysicalOffset {
        of_either!(self.opened, it => it.min_offset())
    }

    fn end(&self) -> PhysicalOffset {
        of_either!(self.opened, it => it.max_offset())
    }
}

#[pymethods]
impl ReadableStore {
    /// The message whose record begins at `offset`. OffsetError if none does.
    fn read_at(&self, py: Python<'_>, offset: u64) -> PyResult<MessageView> {
        let offset = PhysicalOffset::new(offset);
        Ok(blocking::run(py, || of_either!(self.opened, it => it.read_at(offset)))
            .or_raise(py)?
            .into())
    }

    /// Messages from `from_offset` (where a record begins) on, in log order: at most `max_messages`
    /// and, beyond the first, `max_bytes`.
    #[pyo3(signature = (from_offset, *, max_messages=32, max_bytes=4_194_304))]
    fn read_log(
        &self,
        py: Python<'_>,
        from_offset: u64,
        max_messages: usize,
        max_bytes: usize,
    ) -> PyResult<Batch> {
        let from = PhysicalOffset::new(from_offset);
        let (read, range) = blocking::run(py, || {
            of_either!(self.opened, it => {
                let read = it.read_log(from, max_messages, max_bytes);
                (read, it.min_offset().get()..it.max_offset().get())
            })
        });
        Ok(Batch::of_log(read.or_raise(py)?, range))
    }

    /// An iterator over the messages from `from_offset` (default: the first) to the readable end.
    #[pyo3(signature = (from_offset=None))]
    fn scan(slf: &Bound<'_, Self>, from_offset: Option<u64>) -> PyResult<Scan> {
        let store = slf.get();
        store.check_open(slf.py())?;
        let from = from_offset.map_or_else(|| store.first(), PhysicalOffset::new);
        Scan::open(slf, from, AtEnd::Stop)
    }

    /// An iterator over the log from `from_offset` (default: what is appended from now on) that
    /// waits for more at the end. With `timeout` it stops when there was none for so many seconds;
    /// without, it follows until the store is closed.
    #[pyo3(signature = (from_offset=None, *, timeout=None))]
    fn tail_log(
        slf: &Bound<'_, Self>,
        from_offset: Option<u64>,
        timeout: Option<f64>,
    ) -> PyResult<Scan> {
        let store = slf.get();
        store.check_open(slf.py())?;
        let timeout = blocking::timeout(timeout)?;
        let from = from_offset.map_or_else(|| store.end(), PhysicalOffset::new);
        Scan::open(slf, from, AtEnd::Follow(timeout))
    }

    /// Messages of a queue from index `offset` on: at most `max_messages` and, beyond the first,
    /// `max_bytes` of records. A read ends with the file of the queue, and looks at no more than
    /// 800 messages or `max_messages`, so that an empty batch need not be the end: its `outcome`
    /// says what came of the read, its `next_offset` where to go on. `filter` is a Filter, or the
    /// text of a tag expression.
    ///
    /// A message can be read a moment after its append returned, in a synchronous store once it is
    /// durable (unless opened with `read_uncommitted`).
    #[pyo3(signature = (topic, queue_id, offset, *, max_messages=32, max_bytes=134_217_728,
                        filter=None))]
    #[expect(clippy::too_many_arguments, reason = "most are keyword arguments in Python")]
    fn read(
        &self,
        py: Python<'_>,
        topic: &str,
        queue_id: i32,
        offset: i64,
        max_messages: usize,
        max_bytes: usize,
        filter: Option<FilterArgument<'_>>,
    ) -> PyResult<Batch> {
        let filter = read::filter(py, filter)?;
        let request = ReadRequest { topic, queue_id, offset, max_messages, max_bytes, filter };
        Ok(blocking::run(py, || of_either!(self.opened, it => it.read(&request)))
            .or_raise(py)?
            .into())
    }

    /// An iterator over the messages of a queue from index `offset` on that waits for more at the
    /// end. With `timeout` it stops when there was none for so many seconds; without, it follows
    /// until the store is closed. The queue need not exist yet.
    #[pyo3(signature = (topic, queue_id=0, offset=0, *, filter=None, timeout=None))]
    fn tail(
        slf: &Bound<'_, Self>,
        topic: &str,
        queue_id: i32,
        offset: u64,
        filter: Option<FilterArgument<'_>>,
        timeout: Option<f64>,
    ) -> PyResult<Tail> {
        let filter = read::filter(slf.py(), filter)?;
        let timeout = blocking::timeout(timeout)?;
        let from = read::queue_offset(slf.py(), offset)?;
        Tail::open(slf, topic, queue_id, from, filter, timeout)
    }

    /// The indexes of a queue's first message and one past its last; None if the queue never had a
    /// message.
    fn queue_range(
        &self,
        py: Python<'_>,
        topic: &str,
        queue_id: i32,
    ) -> PyResult<Option<QueueRange>> {
        let range =
            blocking::run(py, || of_either!(self.opened, it => it.queue_range(topic, queue_id)))
                .or_raise(py)?;
        Ok(range.map(|range| QueueRange { first: range.start.get(), next: range.end.get() }))
    }

    /// The index of the message of a queue that was stored around a time, in milliseconds since the
    /// Unix epoch; None if the queue never had a message. With boundary "lower" the first stored at
    /// the time or later (the queue's end if there is none), with "upper" the last stored at the
    /// time or earlier (the first message if there is none).
    #[pyo3(signature = (topic, queue_id, timestamp_ms, *, boundary="lower"))]
    fn offset_at_time(
        &self,
        py: Python<'_>,
        topic: &str,
        queue_id: i32,
        timestamp_ms: i64,
        boundary: &str,
    ) -> PyResult<Option<u64>> {
        let boundary = read::boundary(py, boundary)?;
        let at = blocking::run(py, || {
            of_either!(
                self.opened, it => it.offset_at_time(topic, queue_id, timestamp_ms, boundary)
            )
        });
        Ok(at.or_raise(py)?.map(QueueOffset::get))
    }

    /// The topics that have had messages, sorted.
    fn topics(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        blocking::run(py, || of_either!(self.opened, it => it.topics())).or_raise(py)
    }

    /// The numbers of a topic's queues that have had messages, ascending.
    fn queues_of(&self, py: Python<'_>, topic: &str) -> PyResult<Vec<i32>> {
        blocking::run(py, || of_either!(self.opened, it => it.queues_of(topic))).or_raise(py)
    }

    /// The newest messages of a topic that have a key (one of their `keys`, or the unique key that
    /// a RocketMQ client gave them) and were stored from `begin_ms` to `end_ms`, both included
    /// (None: without end). At most `max_messages`, in the order of the log.
    #[pyo3(signature = (topic, key, *, begin_ms=0, end_ms=None, max_messages=64))]
    fn query_key(
        &self,
        py: Python<'_>,
        topic: &str,
        key: &str,
        begin_ms: i64,
        end_ms: Option<i64>,
        max_messages: usize,
    ) -> PyResult<Vec<MessageView>> {
        let end_ms = end_ms.unwrap_or(i64::MAX);
        let found = blocking::run(py, || {
            of_either!(
                self.opened, it => it.query_key(topic, key, begin_ms, end_ms, max_messages)
            )
        });
        Ok(found.or_raise(py)?.into_iter().map(MessageView::from).collect())
    }

    /// The message with an id: RocketMQ's `offsetMsgId`, or else the unique key that its client
    /// gave it. None if there is none, or it has another topic.
    fn find_by_message_id(
        &self,
        py: Python<'_>,
        topic: &str,
        id: &str,
    ) -> PyResult<Option<MessageView>> {
        let found =
            blocking::run(py, || of_either!(self.opened, it => it.find_by_message_id(topic, id)));
        Ok(found.or_raise(py)?.map(MessageView::from))
    }

    /// Waits at most `timeout` seconds (None: without end) until a queue, which need not exist yet,
    /// can be read at index `offset`. False when the time ran out.
    #[pyo3(signature = (topic, queue_id, offset, timeout=None))]
    fn wait_message(
        &self,
        py: Python<'_>,
        topic: &str,
        queue_id: i32,
        offset: u64,
        timeout: Option<f64>,
    ) -> PyResult<bool> {
        let limit = Limit::after(blocking::timeout(timeout)?);
        let offset = read::queue_offset(py, offset)?;
        blocking::wait_for(
            py,
            limit,
            |slice| of_either!(self.opened, it => it.wait_message(topic, queue_id, offset, slice)),
        )
    }

    /// The store's directory.
    #[getter]
    fn path(&self) -> PathBuf {
        of_either!(self.opened, it => it.path().to_path_buf())
    }

    /// The size of a commit log file in bytes.
    #[getter]
    fn segment_size_bytes(&self) -> u64 {
        of_either!(self.opened, it => it.segment_size_bytes())
    }

    /// Whether the store was closed.
    #[getter]
    fn closed(&self) -> bool {
        self.opened.is_closed()
    }

    fn __enter__(slf: Py<Self>, py: Python<'_>) -> PyResult<Py<Self>> {
        slf.get().check_open(py)?;
        Ok(slf)
    }

    /// Where the log begins.
    #[getter]
    fn min_offset(&self, py: Python<'_>) -> PyResult<u64> {
        self.check_open(py)?;
        Ok(blocking::run(py, || self.first()).get())
    }

    /// One past the last byte of the log; of a StoreReader, that can be read.
    #[getter]
    fn max_offset(&self, py: Python<'_>) -> PyResult<u64> {
        self.check_open(py)?;
        Ok(blocking::run(py, || self.end()).get())
    }
}
