//! The store: one directory, open for appending and reading.
//!
//! What reads stands in [`readable`], in the class that stores and readers have in common.

mod readable;
mod reader;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cairnlog::{CompletionSink, EncodedBatch, PhysicalOffset, QueueOffset, Status};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString, PyType};

use crate::append_result::{self, AppendResult};
use crate::blocking::{self, Limit, acknowledged, finish};
use crate::checker::Checker;
use crate::completion::{CompletionGroup, FutureSink, is_completing};
use crate::consumer::{self, Consumer};
use crate::errors::{OrRaise, closed, exception, invalid_argument};
use crate::message::{Body, CommonFields, Fields, Keys, Properties, RareFields, collect};
use crate::options::from_keywords;
use crate::progress::listen;
use crate::queue::QueueAppender;
use crate::read::{self, FilterArgument};
use crate::reports::{GroupProgress, Positions, RecoveryReport, RemovedFiles, StoreStats};
use crate::shutdown;
use crate::transaction::Transaction;

pub(crate) use readable::{Opened, ReadableStore, of_either};
pub(crate) use reader::StoreReader;

/// A store: one directory, open for appending and reading. Any thread may call any method. Use it
/// in a `with` statement, or call `close`, which makes everything durable.
///
/// >>> with cairnlog.Store.open(directory, flush_mode="sync") as store:
/// ...     placed = store.append("orders", b"20 pears", tag="new", keys=["42"])
/// ...     message = store.read_at(placed.physical_offset)
/// >>> bytes(message.body), message.tag, message.keys
/// (b'20 pears', 'new', ['42'])
#[pyclass(frozen, extends = ReadableStore, module = "cairnlog")]
pub(crate) struct Store {
    engine: Arc<cairnlog::Store>,
    futures: Arc<FutureSink>,
    future_sink: Arc<dyn CompletionSink>,
}

impl Drop for Store {
    fn drop(&mut self) {
        shutdown::close_dropped(Arc::clone(&self.engine));
    }
}

/// What the engine's asynchronous appends return.
type Placed = cairnlog::Result<cairnlog::AppendResult>;

impl Store {
    pub(crate) fn engine(&self) -> &cairnlog::Store {
        &self.engine
    }

    /// Appends so that a future tells the outcome; `append` gets the sink and the token.
    pub(crate) fn append_to_future<'py>(
        &self,
        py: Python<'py>,
        append: impl FnOnce(&Arc<dyn CompletionSink>, u64) -> Placed + Send,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (token, future) = self.futures.begin(py)?;
        match blocking::run(py, || append(&self.future_sink, token)) {
            Ok(_) => Ok(future),
            Err(error) => {
                self.futures.forget(token);
                Err(exception(py, &error))
            }
        }
    }

    fn check_open(&self, py: Python<'_>) -> PyResult<()> {
        if self.engine.is_closed() {
            return Err(closed(py, "the store was closed"));
        }
        Ok(())
    }

    /// Runs a batch append of either kind.
    fn append_encoded(
        &self,
        py: Python<'_>,
        kind: BatchKind,
        topic: &str,
        items: &Body<'_>,
        fields: &Fields,
    ) -> PyResult<AppendResult> {
        let items = items.as_bytes();
        let lists = fields.lists();
        let shared = fields.message(topic, &[], &lists);
        let batch = EncodedBatch { shared, items };
        let placed = acknowledged(py, || match kind {
            BatchKind::Plain => self.engine.begin_append_batch(&batch),
            BatchKind::Inner => self.engine.begin_append_inner_batch(&batch),
        })?;
        Ok(placed.into())
    }
}

/// How a client-encoded batch is stored.
#[derive(Clone, Copy)]
enum BatchKind {
    Plain,
    Inner,
}

#[pymethods]
impl Store {
    /// Opens the store in directory `path`, or makes one, and recovers it.
    ///
    /// Options are keyword arguments, by the names of the engine's options or RocketMQ's, with
    /// numbers, booleans or text ("64M") as values; None leaves the default. The commonest:
    /// `flush_mode` "async" (default) or "sync", `segment_size_bytes` (default 1 GiB),
    /// `create_if_missing`, `damage_policy` "refuse" (default) or "truncate".
    ///
    /// `on_recovery_progress` is called with a `RecoveryProgress` at most ten times a second, and
    /// once more at the end of each phase, on the thread that opens. If it raises, that is logged,
    /// it is not called again, and opening goes on.
    ///
    /// A process that was forked while a store was open cannot open one: ForkedError.
    /// Raises LockedError when another opener holds the store, CorruptionError when a record is
    /// damaged and good ones lie behind it, InvalidArgumentError for an option it does not know.
    #[classmethod]
    #[pyo3(signature = (path, *, on_recovery_progress=None, **options))]
    fn open(
        class: &Bound<'_, PyType>,
        path: PathBuf,
        on_recovery_progress: Option<Bound<'_, PyAny>>,
        options: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Py<Self>> {
        let py = class.py();
        let mut options = from_keywords(py, options)?;
        let listening = listen(&mut options, on_recovery_progress)?;
        shutdown::check_child().or_raise(py)?;
        py.import("cairnlog._diagnostics")?.call_method0("start")?;
        let opened = blocking::run_apart(py, move || {
            let _listening = listening;
            cairnlog::Store::open(path, &options)
        })?;
        let engine = Arc::new(opened.or_raise(py)?);
        blocking::run(py, || shutdown::register(&engine));
        let futures = Arc::new(FutureSink::default());
        let future_sink: Arc<dyn CompletionSink> = Arc::clone(&futures) as _;
        let readable = ReadableStore::new(Opened::Store(Arc::clone(&engine)));
        let store = Self { engine, futures, future_sink };
        Py::new(py, PyClassInitializer::from(readable).add_subclass(store))
    }

    /// Opens the store in directory `path` for reading only, beside the process that writes it, or
    /// beside nobody. Of the options, those count that say where the log's files are, whether there
    /// is a key index, and how many queue files stay open.
    ///
    /// Raises StoreNotFoundError where there is no log with a file, CorruptionError when the log's
    /// files are not a log.
    #[staticmethod]
    #[pyo3(signature = (path, **options))]
    fn open_reader(
        py: Python<'_>,
        path: PathBuf,
        options: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Py<StoreReader>> {
        StoreReader::open(py, path, options)
    }

    /// What opening the store in `path` with these options would do. Takes no lock and changes
    /// nothing. `on_recovery_progress` is told of the phase LOG only.
    #[staticmethod]
    #[pyo3(signature = (path, *, on_recovery_progress=None, **options))]
    fn plan_recovery(
        py: Python<'_>,
        path: PathBuf,
        on_recovery_progress: Option<Bound<'_, PyAny>>,
        options: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<RecoveryReport> {
        let mut options = from_keywords(py, options)?;
        let listening = listen(&mut options, on_recovery_progress)?;
        let plan = move || {
            let _listening = listening;
            cairnlog::Store::plan_recovery(path, &options)
        };
        Ok(RecoveryReport::from(&blocking::run_apart(py, plan)?.or_raise(py)?))
    }

    /// Appends one message and waits as the flush mode and `wait_store_ok` say.
    ///
    /// A `bytes` body is used in place; any other buffer is copied first. In a store with
    /// synchronous flush the record survives a power cut when this returns; FlushTimeoutError says
    /// that this is unknown, and its `appended` where the record lies. After a KeyboardInterrupt
    /// during the wait the record is in the log, too.
    #[pyo3(signature = (topic, body, *, queue_id=0, tag=None, keys=None, properties=None,
                        wait_store_ok=true, flag=0, sys_flag=0, born_timestamp_ms=None,
                        born_host=None, reconsume_times=0, prepared_transaction_offset=0,
                        delay_level=0))]
    #[expect(clippy::too_many_arguments, reason = "each is a keyword argument in Python")]
    fn append(
        &self,
        py: Python<'_>,
        topic: &str,
        body: Body<'_>,
        queue_id: i32,
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
        let common = CommonFields { queue_id, tag, keys, properties, wait_store_ok };
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
        let begin = || given.lend(topic, body, |message| self.engine.begin_append(message));
        Ok(acknowledged(py, begin)?.into())
    }

    /// Appends `Message` objects in order, with one wait for all of them, and returns where each
    /// lies. Stops at the first that is refused: the exception's `results` then tells where those
    /// before it lie.
    fn append_many<'py>(
        &self,
        py: Python<'py>,
        messages: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyList>> {
        let messages = collect(messages)?;
        let lists: Vec<_> = messages.iter().map(|message| message.lists()).collect();
        let lent: Vec<_> =
            messages.iter().zip(&lists).map(|(message, lists)| message.lend(lists)).collect();
        let mut results = Vec::with_capacity(lent.len());
        let (pending, refused, first) = blocking::run(py, || {
            let (pending, refused) = self.engine.begin_append_many(&lent, &mut results);
            let first = pending.wait_for(blocking::SLICE);
            (pending, refused, first)
        });
        let waited = finish(py, &pending, first);
        let results = append_result::list(py, results)?;
        let error = match (waited, refused.or_raise(py)) {
            (Ok(()), Ok(())) => return Ok(results),
            (Ok(()), Err(error)) | (Err(error), Ok(())) => error,
            (Err(error), Err(refusal)) => {
                error.set_cause(py, Some(refusal));
                error
            }
        };
        if error.is_instance_of::<pyo3::exceptions::PyException>(py) {
            error.value(py).setattr("results", results)?;
        }
        Err(error)
    }

    /// Appends messages encoded by `encode_batch`, or by a RocketMQ client, as consecutive records:
    /// all or none. The other arguments are shared by all messages, as in `append`.
    #[pyo3(signature = (topic, items, *, queue_id=0, tag=None, keys=None, properties=None,
                        wait_store_ok=true, **rare))]
    #[expect(clippy::too_many_arguments, reason = "each is a keyword argument in Python")]
    fn append_batch(
        &self,
        py: Python<'_>,
        topic: &str,
        items: Body<'_>,
        queue_id: i32,
        tag: Option<Bound<'_, PyString>>,
        keys: Option<Keys>,
        properties: Option<Properties>,
        wait_store_ok: bool,
        rare: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<AppendResult> {
        let common = CommonFields { queue_id, tag, keys, properties, wait_store_ok };
        self.append_encoded(py, BatchKind::Plain, topic, &items, &common.with(py, rare)?)
    }

    /// As `append_batch`, but stores all messages in one record.
    #[pyo3(signature = (topic, items, *, queue_id=0, tag=None, keys=None, properties=None,
                        wait_store_ok=true, **rare))]
    #[expect(clippy::too_many_arguments, reason = "each is a keyword argument in Python")]
    fn append_inner_batch(
        &self,
        py: Python<'_>,
        topic: &str,
        items: Body<'_>,
        queue_id: i32,
        tag: Option<Bound<'_, PyString>>,
        keys: Option<Keys>,
        properties: Option<Properties>,
        wait_store_ok: bool,
        rare: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<AppendResult> {
        let common = CommonFields { queue_id, tag, keys, properties, wait_store_ok };
        self.append_encoded(py, BatchKind::Inner, topic, &items, &common.with(py, rare)?)
    }

    /// Appends one message and returns a `concurrent.futures.Future` of its AppendResult, completed
    /// when `append` would return, in groups, on a thread of the store. The future cannot be
    /// cancelled: the record is in the log when this returns. A callback of the future may append
    /// but must not close the store.
    #[pyo3(signature = (topic, body, *, queue_id=0, tag=None, keys=None, properties=None,
                        wait_store_ok=true, flag=0, sys_flag=0, born_timestamp_ms=None,
                        born_host=None, reconsume_times=0, prepared_transaction_offset=0,
                        delay_level=0))]
    #[expect(clippy::too_many_arguments, reason = "each is a keyword argument in Python")]
    fn append_async<'py>(
        &self,
        py: Python<'py>,
        topic: &str,
        body: Body<'py>,
        queue_id: i32,
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
        let common = CommonFields { queue_id, tag, keys, properties, wait_store_ok };
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
        self.append_to_future(py, |sink, token| {
            given.lend(topic, body, |message| self.engine.append_to_sink(message, sink, token))
        })
    }

    /// Appends a message whose completion goes to `group` under `token`.
    #[pyo3(signature = (group, token, message))]
    fn _append_to_group(
        &self,
        py: Python<'_>,
        group: &CompletionGroup,
        token: u64,
        message: &crate::message::Message,
    ) -> PyResult<AppendResult> {
        let lists = message.lists();
        let message = message.lend(&lists);
        let sink = group.sink();
        let placed = blocking::run(py, || self.engine.append_to_sink(&message, sink, token));
        Ok(placed.or_raise(py)?.into())
    }

    /// Prepares a topic and queue for many appends.
    fn queue(slf: &Bound<'_, Self>, topic: &str, queue_id: i32) -> PyResult<QueueAppender> {
        let (py, store) = (slf.py(), slf.get());
        let appender = blocking::run(py, || store.engine.queue(topic, queue_id)).or_raise(py)?;
        Ok(QueueAppender::new(appender, slf.clone().unbind()))
    }

    /// Makes everything appended before the call durable.
    fn flush(&self, py: Python<'_>) -> PyResult<()> {
        acknowledged(py, || self.engine.begin_flush().map(|pending| ((), pending)))
    }

    /// Waits at most `timeout` seconds (None: without end) until everything below `offset` is
    /// durable; WaitTimeoutError when the time runs out.
    #[pyo3(signature = (offset, timeout=None))]
    fn wait_durable(&self, py: Python<'_>, offset: u64, timeout: Option<f64>) -> PyResult<()> {
        let limit = Limit::after(blocking::timeout(timeout)?);
        let end = PhysicalOffset::new(offset);
        let waited =
            blocking::wait_until(py, limit, |slice| match self.engine.wait_durable(end, slice) {
                Err(error) if error.status() == Status::WaitTimeout => None,
                outcome => Some(outcome),
            })?;
        match waited {
            Some(outcome) => outcome.or_raise(py),
            // The time is over: the engine words the error.
            None => {
                blocking::run(py, || self.engine.wait_durable(end, Duration::ZERO)).or_raise(py)
            }
        }
    }

    /// Waits at most `timeout` seconds (None: without end) until everything below `offset` of the
    /// log is in the queues and the key index. False when the time ran out.
    #[pyo3(signature = (offset, timeout=None))]
    fn wait_dispatched(&self, py: Python<'_>, offset: u64, timeout: Option<f64>) -> PyResult<bool> {
        let limit = Limit::after(blocking::timeout(timeout)?);
        let end = PhysicalOffset::new(offset);
        blocking::wait_for(py, limit, |slice| self.engine.wait_dispatched(end, slice))
    }

    /// Joins a consumer group as one more member, which asks for messages.
    ///
    /// `topics` is a topic, several, or a mapping from topics to filters; `filter` is for topics
    /// without one of their own. The options, with RocketMQ's defaults:
    ///
    /// `mode` "clustering" (default): one member gets a message, and the store keeps how far the
    /// group has come; "broadcasting": every member gets every message, and what is sent back is
    /// dropped. `order` "concurrent" (default) or "orderly": a queue's next message only when the
    /// one before is done. `start_from`, where nothing was committed: "last" (default), "first" or
    /// a time in milliseconds since the Unix epoch. `max_in_hand` (1000) messages of one queue.
    /// `consume_timeout_ms` (900000): what is not acknowledged then is handed out again.
    /// `max_reconsume_times` (16): how often a message is tried again before it goes to the topic
    /// "%DLQ%" + group. `suspend_queue_ms` (1000): the pause of an orderly queue before it tries
    /// again. `timeout`: iterating stops when there was no message for so many seconds.
    ///
    /// Raises GroupError for a name that no group can have.
    #[pyo3(signature = (group, topics, *, filter=None, timeout=None, **options))]
    fn consumer(
        slf: &Bound<'_, Self>,
        group: &str,
        topics: &Bound<'_, PyAny>,
        filter: Option<FilterArgument<'_>>,
        timeout: Option<f64>,
        options: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Consumer> {
        let options = consumer::options(topics, filter, options)?;
        Consumer::join(slf, group, options, blocking::timeout(timeout)?)
    }

    /// Joins a consumer group as one more member, whose messages go to `listener`, a callable that
    /// is called on `threads` threads with one Delivery, or, with `max_batch`, with a list of at
    /// most so many of one queue. Returning means that they were processed, except for False, which
    /// like an exception means that they are to be retried later; exceptions go to the logger
    /// "cairnlog". The other arguments are those of `consumer`.
    #[pyo3(signature = (group, topics, listener, *, threads=4, max_batch=None, filter=None,
                        **options))]
    #[expect(clippy::too_many_arguments, reason = "most are keyword arguments in Python")]
    fn subscribe<'py>(
        slf: &Bound<'py, Self>,
        group: &str,
        topics: &Bound<'py, PyAny>,
        listener: &Bound<'py, PyAny>,
        threads: usize,
        max_batch: Option<usize>,
        filter: Option<FilterArgument<'_>>,
        options: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        if !listener.is_callable() {
            return Err(PyTypeError::new_err("a listener is callable"));
        }
        if !(1..=1024).contains(&threads) || max_batch == Some(0) {
            let what = format!(
                "a push consumer has 1 to 1024 threads and batches of at least 1 message: found \
                 {threads} threads and batches of {}",
                max_batch.unwrap_or(1)
            );
            return Err(invalid_argument(py, what));
        }
        let consumer =
            Consumer::join(slf, group, consumer::options(topics, filter, options)?, None)?;
        let push = py.import("cairnlog.push")?.getattr("PushConsumer")?;
        push.call1((consumer, listener, threads, max_batch))
    }

    /// The groups that have committed an offset, sorted.
    fn groups(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        blocking::run(py, || self.engine.groups()).or_raise(py)
    }

    /// How far a group has come with each queue it committed an offset of.
    fn group_progress(&self, py: Python<'_>, group: &str) -> PyResult<Vec<GroupProgress>> {
        let progress = blocking::run(py, || self.engine.group_progress(group)).or_raise(py)?;
        Ok(progress.into_iter().map(GroupProgress::from).collect())
    }

    /// The index a group consumes next; None if it has committed none.
    fn consumer_offset(
        &self,
        py: Python<'_>,
        group: &str,
        topic: &str,
        queue_id: i32,
    ) -> PyResult<Option<u64>> {
        let offset = blocking::run(py, || self.engine.consumer_offset(group, topic, queue_id));
        Ok(offset.or_raise(py)?.map(QueueOffset::get))
    }

    /// Sets the index a group consumes next, for programs that read queues themselves. It is
    /// durable within `flush_consumer_offset_interval_ms`, or when `persist_offsets` has returned.
    /// Consumers that are members of the group at present do not see it. OffsetError if the queue
    /// does not reach that far.
    fn commit_offset(
        &self,
        py: Python<'_>,
        group: &str,
        topic: &str,
        queue_id: i32,
        offset: u64,
    ) -> PyResult<()> {
        let offset = read::queue_offset(py, offset)?;
        blocking::run(py, || self.engine.commit_offset(group, topic, queue_id, offset)).or_raise(py)
    }

    /// Makes committed offsets and the list of topics durable now.
    fn persist_offsets(&self, py: Python<'_>) -> PyResult<()> {
        blocking::run(py, || self.engine.persist_offsets()).or_raise(py)
    }

    /// Stores a message that comes to its queue only when the transaction is committed; a delay
    /// begins then.
    fn begin_transaction(
        slf: &Bound<'_, Self>,
        message: &crate::message::Message,
    ) -> PyResult<Transaction> {
        Transaction::begin(slf, message)
    }

    /// Commits the open transaction whose half message lies at an offset, and returns where the
    /// message lies. TransactionError if there is none.
    fn commit_transaction(&self, py: Python<'_>, half_offset: u64) -> PyResult<AppendResult> {
        let half = PhysicalOffset::new(half_offset);
        Ok(blocking::run(py, || self.engine.commit_transaction(half)).or_raise(py)?.into())
    }

    /// Ends the open transaction whose half message lies at an offset: nobody will ever see its
    /// message. TransactionError if there is none.
    fn rollback_transaction(&self, py: Python<'_>, half_offset: u64) -> PyResult<()> {
        let half = PhysicalOffset::new(half_offset);
        blocking::run(py, || self.engine.rollback_transaction(half)).or_raise(py)
    }

    /// Sets the callable that is asked about transactions that stay open, with a TransactionCheck,
    /// in the place of the one that was set before; it returns a TransactionAnswer. Raising, or
    /// returning anything else, means that it is not known yet; both go to the logger "cairnlog",
    /// except for None.
    ///
    /// It is asked about each whose message is older than `transaction_timeout_ms`, or than the
    /// seconds in its property CHECK_IMMUNITY_TIME_IN_SECONDS; as long as the answer is UNKNOWN,
    /// again each `transaction_check_interval_ms`, `transaction_check_max` times in all, over
    /// closing and opening the store, too. Then the half message goes to queue 0 of the topic
    /// "TRANS_CHECK_MAX_TIME_TOPIC", and the transaction is ended.
    ///
    /// The callable runs on a thread of the store, for one transaction after the other. It may use
    /// the store, but not close it, and `close` waits for it. The store keeps it until then: if it
    /// keeps the store in its turn, nothing but `close` or the end of the program closes that.
    fn set_transaction_checker(&self, py: Python<'_>, checker: &Bound<'_, PyAny>) -> PyResult<()> {
        let checker = Checker::new(checker)?;
        blocking::run(py, || self.engine.set_transaction_checker(checker)).or_raise(py)
    }

    /// Where the half messages of all open transactions lie, oldest first.
    fn open_transactions(&self, py: Python<'_>) -> PyResult<Vec<u64>> {
        let open = blocking::run(py, || self.engine.open_transactions()).or_raise(py)?;
        Ok(open.into_iter().map(PhysicalOffset::get).collect())
    }

    /// Removes the commit log files that are expired (`file_reserved_time_hours`) or too much
    /// (`max_total_bytes`), whatever the hour; then what the queues have for them. Files go whole
    /// and oldest first; the one that is appended to stays. Messages read before stay valid.
    fn remove_expired(&self, py: Python<'_>) -> PyResult<RemovedFiles> {
        let engine = Arc::clone(&self.engine);
        let removed = blocking::run_apart(py, move || engine.remove_expired())?;
        Ok(removed.or_raise(py)?.into())
    }

    /// Removes the commit log files that end at or in front of `offset`; else as `remove_expired`.
    /// OffsetError if the log does not reach that far.
    fn remove_before(&self, py: Python<'_>, offset: u64) -> PyResult<RemovedFiles> {
        let (engine, offset) = (Arc::clone(&self.engine), PhysicalOffset::new(offset));
        let removed = blocking::run_apart(py, move || engine.remove_before(offset))?;
        Ok(removed.or_raise(py)?.into())
    }

    /// Everything of the log below this offset is in the queues and the key index.
    #[getter]
    fn dispatched_offset(&self, py: Python<'_>) -> PyResult<u64> {
        self.check_open(py)?;
        Ok(blocking::run(py, || self.engine.dispatched_offset()).get())
    }

    /// Why the log is not put into the queues at present, as an exception that is not raised; None
    /// while it is. The store tries again every second.
    #[getter]
    fn dispatch_error<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.check_open(py)?;
        let error = blocking::run(py, || self.engine.dispatch_error());
        Ok(error.map(|error| exception(py, &error).into_value(py).into_bound(py).into_any()))
    }

    /// The positions of the log now.
    fn positions(&self, py: Python<'_>) -> PyResult<Positions> {
        self.check_open(py)?;
        // Each position only moves forward: asked from the rear to the front, they are in order.
        let durable_offset = self.engine.durable_offset().get();
        let committed_offset = self.engine.committed_offset().get();
        Ok(Positions {
            min_offset: self.engine.min_offset().get(),
            max_offset: self.engine.max_offset().get(),
            committed_offset,
            durable_offset,
        })
    }

    /// The queue offset that the next message of a queue gets; 0 for an unknown queue.
    fn next_queue_offset(&self, py: Python<'_>, topic: &str, queue_id: i32) -> PyResult<u64> {
        self.check_open(py)?;
        Ok(blocking::run(py, || self.engine.next_queue_offset(topic, queue_id)).get())
    }

    /// Counters since the store was opened.
    fn stats(&self, py: Python<'_>) -> PyResult<StoreStats> {
        self.check_open(py)?;
        Ok(blocking::run(py, || self.engine.stats()).into())
    }

    /// What opening the store found and did.
    #[getter]
    fn recovery_report(&self) -> RecoveryReport {
        self.engine.recovery_report().into()
    }

    /// Makes everything durable, stops the store's threads and gives up its lock; reports failure.
    /// Other calls then raise ClosedError; messages read before stay valid. Closing again returns
    /// what the first time did. A KeyboardInterrupt while it flushes leaves the store open.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        if is_completing() {
            return Err(invalid_argument(
                py,
                "a store cannot be closed in the callback of an append or by a transaction's \
                 checker: it would wait for itself"
                    .to_owned(),
            ));
        }
        if let Ok(pending) = blocking::run(py, || self.engine.begin_flush()) {
            // The outcome is dropped: closing flushes again, and reports what it finds.
            drop(blocking::wait(py, |slice| pending.wait_for(slice))?);
        }
        blocking::run(py, || self.engine.close()).or_raise(py)
    }

    #[pyo3(signature = (exception_type, exception, traceback, /))]
    fn __exit__(
        &self,
        py: Python<'_>,
        exception_type: &Bound<'_, PyAny>,
        exception: &Bound<'_, PyAny>,
        traceback: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let _ = (exception_type, exception, traceback);
        self.close(py)
    }

    fn __repr__(&self) -> String {
        let state = if self.engine.is_closed() { "closed" } else { "open" };
        format!("Store({:?}, {state})", self.engine.path())
    }
}
