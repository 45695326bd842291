//! A member of a consumer group, and what it is handed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cairnlog::{ConsumeMode, ConsumeOrder, ConsumerOptions, Error, StartFrom, Status};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use pyo3::types::{PyDict, PyMapping, PyString};

use crate::blocking::{self, Limit};
use crate::errors::{OrRaise, exception, invalid_argument};
use crate::read::{self, FilterArgument};
use crate::store::Store;
use crate::view::MessageView;

/// A member of a consumer group, from `Store.consumer`. Any thread may call any method. Use it in a
/// `with` statement, or call `close`, which leaves the group.
///
/// What was handed out is in hand until it is acknowledged or sent back, each by its own call:
/// nothing is acknowledged by itself. What is still in hand when the consumer closes, or when
/// `consume_timeout_ms` is over, is handed out again, to whoever has the queue then.
///
/// Iterating hands out one message at a time and waits for more; with the `timeout` that
/// `Store.consumer` was given it stops when there was none for so many seconds.
///
/// >>> with cairnlog.Store.open(directory) as store:
/// ...     placed = store.append("orders", b"20 pears")
/// ...     with store.consumer("billing", "orders", start_from="first", timeout=1) as consumer:
/// ...         for delivery in consumer:
/// ...             print(bytes(delivery.message.body), delivery.acknowledge())
/// b'20 pears' True
#[pyclass(frozen, weakref, module = "cairnlog")]
pub(crate) struct Consumer {
    engine: Arc<cairnlog::Consumer>,
    timeout: Option<Duration>,
    /// Polls end, but what is in hand can be acknowledged.
    stopped: AtomicBool,
    /// The process that joined the group.
    process: u32,
    store: Py<Store>,
}

impl Drop for Consumer {
    fn drop(&mut self) {
        if self.is_forked() {
            // A thread of the parent may hold the group's lock for ever here.
            std::mem::forget(Arc::clone(&self.engine));
            return;
        }
        let engine = Arc::clone(&self.engine);
        if Python::try_attach(|py| blocking::run(py, || engine.close())).is_none() {
            engine.close();
        }
    }
}

impl Consumer {
    pub(crate) fn join(
        store: &Bound<'_, Store>,
        group: &str,
        options: ConsumerOptions,
        timeout: Option<Duration>,
    ) -> PyResult<Self> {
        let (py, engine) = (store.py(), store.get().engine());
        let joined = blocking::run(py, || engine.consumer(group, options)).or_raise(py)?;
        Ok(Self {
            engine: Arc::new(joined),
            timeout,
            stopped: AtomicBool::new(false),
            process: std::process::id(),
            store: store.clone().unbind(),
        })
    }

    fn is_forked(&self) -> bool {
        std::process::id() != self.process
    }

    /// Refuses a call in a child made by `fork()`, which must not take the group's lock.
    fn check_process(&self, py: Python<'_>) -> PyResult<()> {
        if self.is_forked() {
            let what = "the consumer belongs to the process that joined the group";
            return Err(exception(py, &Error::new(Status::Forked, what)));
        }
        Ok(())
    }

    /// Why no message can come any more.
    fn ended(&self) -> Option<Error> {
        let what = if self.store.get().engine().is_closed() {
            "the store was closed"
        } else if self.engine.is_closed() || self.stopped.load(Ordering::Acquire) {
            "the consumer was closed"
        } else {
            return None;
        };
        Some(Error::new(Status::StoreClosed, what))
    }

    /// Refuses a call about messages in hand when closing gave them back.
    fn check_member(&self, py: Python<'_>) -> PyResult<()> {
        self.check_process(py)?;
        let ended = self.ended().filter(|_| {
            // One that only stopped polling is a member still.
            self.engine.is_closed() || self.store.get().engine().is_closed()
        });
        ended.map_or(Ok(()), |error| Err(exception(py, &error)))
    }

    /// Messages of one queue, waited for in slices; empty when the time ran out.
    fn take(slf: &Bound<'_, Self>, max_messages: usize, limit: Limit) -> PyResult<Vec<Delivery>> {
        let (py, consumer) = (slf.py(), slf.get());
        consumer.check_process(py)?;
        let found = blocking::wait_until(py, limit, |slice| {
            if let Some(error) = consumer.ended() {
                return Some(Err(error));
            }
            match consumer.engine.poll(max_messages, slice) {
                Ok(found) if found.is_empty() => consumer.ended().map(Err),
                outcome => Some(outcome),
            }
        })?;
        let found = found.unwrap_or_else(|| Ok(Vec::new())).or_raise(py)?;
        let deliver = |delivery| Delivery { delivery, consumer: slf.clone().unbind() };
        Ok(found.into_iter().map(deliver).collect())
    }

    fn complete(&self, py: Python<'_>, delivery: &cairnlog::Delivery) -> PyResult<bool> {
        self.check_member(py)?;
        Ok(blocking::run(py, || self.engine.acknowledge(delivery)))
    }

    fn send_back(&self, py: Python<'_>, delivery: &cairnlog::Delivery) -> PyResult<bool> {
        self.check_member(py)?;
        blocking::run(py, || self.engine.retry_later(delivery)).or_raise(py)
    }
}

#[pymethods]
impl Consumer {
    /// Messages of one of the member's queues, at most `max_messages`, waited for at most `timeout`
    /// seconds (None: without end) if there are none yet. Empty when the time ran out.
    #[pyo3(signature = (max_messages=32, timeout=None))]
    fn poll(
        slf: &Bound<'_, Self>,
        max_messages: usize,
        timeout: Option<f64>,
    ) -> PyResult<Vec<Delivery>> {
        if max_messages == 0 {
            let what = "a poll asks for at least 1 message: found 0".to_owned();
            return Err(invalid_argument(slf.py(), what));
        }
        Self::take(slf, max_messages, Limit::after(blocking::timeout(timeout)?))
    }

    /// The message was processed: the group does not get it again. False if it is no longer in this
    /// consumer's hand: its time was over, or it was acknowledged or sent back before.
    fn acknowledge(&self, py: Python<'_>, delivery: &Delivery) -> PyResult<bool> {
        self.complete(py, &delivery.delivery)
    }

    /// The message could not be processed now: it is handed out again. In an orderly queue that is
    /// after `suspend_queue_ms`, with everything behind it waiting; else by way of the group's
    /// retry topic, after a delay that grows with each attempt. After `max_reconsume_times` it goes
    /// to the topic "%DLQ%" + group. When broadcasting, it is dropped. False as `acknowledge`.
    fn retry_later(&self, py: Python<'_>, delivery: &Delivery) -> PyResult<bool> {
        self.send_back(py, &delivery.delivery)
    }

    /// Goes to an index of a queue, forwards or backwards; what is in hand of it is let go. False
    /// if the queue is not assigned to this member.
    fn seek(&self, py: Python<'_>, topic: &str, queue_id: i32, offset: u64) -> PyResult<bool> {
        self.check_member(py)?;
        let offset = read::queue_offset(py, offset)?;
        Ok(blocking::run(py, || self.engine.seek(topic, queue_id, offset)))
    }

    /// Makes what was acknowledged durable now, instead of with the store's next interval.
    fn commit(&self, py: Python<'_>) -> PyResult<()> {
        self.check_member(py)?;
        blocking::run(py, || self.engine.commit()).or_raise(py)
    }

    /// The queues assigned to this member at present: (topic, number). Of a clustering group the
    /// retry topic's is among them once a message was sent back.
    #[getter]
    fn assigned(&self, py: Python<'_>) -> PyResult<Vec<(String, i32)>> {
        self.check_process(py)?;
        Ok(blocking::run(py, || self.engine.assigned()))
    }

    /// The group.
    #[getter]
    fn group(&self) -> &str {
        self.engine.group()
    }

    /// Whether consumer or store were closed.
    #[getter]
    fn closed(&self) -> bool {
        self.engine.is_closed() || self.store.get().engine().is_closed()
    }

    /// Leaves the group: what is in hand is handed out to others, and polls end with ClosedError.
    /// Closing twice is no error.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.check_process(py)?;
        blocking::run(py, || self.engine.close());
        Ok(())
    }

    /// Ends polls within 100 ms; what is in hand can still be acknowledged.
    fn _stop(&self) {
        self.stopped.store(true, Ordering::Release);
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(slf: &Bound<'_, Self>) -> PyResult<Option<Delivery>> {
        let limit = Limit::after(slf.get().timeout);
        Ok(Self::take(slf, 1, limit)?.pop())
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
    ) -> PyResult<()> {
        let _ = (exception_type, exception, traceback);
        self.close(py)
    }

    fn __repr__(&self) -> String {
        let state = if self.closed() { "closed" } else { "open" };
        format!("Consumer({:?}, {state})", self.engine.group())
    }
}

/// A message handed out to a consumer, which it keeps alive.
#[pyclass(frozen, module = "cairnlog")]
pub(crate) struct Delivery {
    delivery: cairnlog::Delivery,
    consumer: Py<Consumer>,
}

#[pymethods]
impl Delivery {
    /// The message. Of one that is tried again, the topic is the group's retry topic.
    #[getter]
    fn message(&self) -> MessageView {
        self.delivery.message().clone().into()
    }

    /// The topic the message was first appended to.
    #[getter]
    fn topic(&self) -> String {
        self.delivery.topic()
    }

    /// How often the message was sent back before.
    #[getter]
    fn reconsume_times(&self) -> i32 {
        self.delivery.reconsume_times()
    }

    /// As `Consumer.acknowledge` with this delivery.
    fn acknowledge(&self, py: Python<'_>) -> PyResult<bool> {
        self.consumer.get().complete(py, &self.delivery)
    }

    /// As `Consumer.retry_later` with this delivery.
    fn retry_later(&self, py: Python<'_>) -> PyResult<bool> {
        self.consumer.get().send_back(py, &self.delivery)
    }

    fn __repr__(&self) -> String {
        format!(
            "Delivery({:?}, physical_offset={}, reconsume_times={})",
            self.delivery.topic(),
            self.delivery.message().physical_offset(),
            self.delivery.reconsume_times()
        )
    }
}

/// The topics of a consumer: one, several, or a mapping from topics to filters. `filter` is for
/// topics without one of their own. `keywords` are the engine's other options.
pub(crate) fn options(
    topics: &Bound<'_, PyAny>,
    filter: Option<FilterArgument<'_>>,
    keywords: Option<&Bound<'_, PyDict>>,
) -> PyResult<ConsumerOptions> {
    let py = topics.py();
    let filter = read::filter(py, filter)?;
    let mut options = ConsumerOptions::default();
    if let Ok(topic) = topics.cast::<PyString>() {
        options = options.subscribe(topic.to_str()?, filter);
    } else if let Ok(mapping) = topics.cast::<PyMapping>() {
        for pair in mapping.items()? {
            let (topic, own): (PyBackedStr, Option<FilterArgument<'_>>) = pair.extract()?;
            let own = own.map(|own| read::filter(py, Some(own))).transpose()?;
            options = options.subscribe(&topic, own.unwrap_or_else(|| filter.clone()));
        }
    } else {
        for topic in topics.try_iter()? {
            options = options.subscribe(&topic?.extract::<PyBackedStr>()?, filter.clone());
        }
    }
    for (name, value) in keywords.into_iter().flatten() {
        set(&mut options, name.cast::<PyString>()?.to_str()?, &value)?;
    }
    Ok(options)
}

fn set(options: &mut ConsumerOptions, name: &str, value: &Bound<'_, PyAny>) -> PyResult<()> {
    match name {
        "mode" => {
            options.mode = one_of(
                name,
                value,
                &[
                    ("clustering", ConsumeMode::Clustering),
                    ("broadcasting", ConsumeMode::Broadcasting),
                ],
            )?;
        }
        "order" => {
            options.order = one_of(
                name,
                value,
                &[("concurrent", ConsumeOrder::Concurrent), ("orderly", ConsumeOrder::Orderly)],
            )?;
        }
        "start_from" if !value.is_instance_of::<PyString>() => {
            options.start_from = StartFrom::Timestamp(value.extract()?);
        }
        "start_from" => {
            let known = [("last", StartFrom::Last), ("first", StartFrom::First)];
            options.start_from = one_of(name, value, &known)?;
        }
        "max_in_hand" => options.max_in_hand = value.extract()?,
        "consume_timeout_ms" => options.consume_timeout_ms = value.extract()?,
        "max_reconsume_times" => options.max_reconsume_times = value.extract()?,
        "suspend_queue_ms" => options.suspend_queue_ms = value.extract()?,
        _ => {
            return Err(PyTypeError::new_err(format!("there is no keyword argument {name:?}")));
        }
    }
    Ok(())
}

fn one_of<T: Copy>(name: &str, value: &Bound<'_, PyAny>, known: &[(&str, T)]) -> PyResult<T> {
    let given: PyBackedStr = value.extract()?;
    let found = known.iter().find(|(word, _)| *word == &*given);
    found.map(|(_, option)| *option).ok_or_else(|| {
        let words: Vec<_> = known.iter().map(|(word, _)| format!("{word:?}")).collect();
        let what = format!("{name} is {}: found {:?}", words.join(" or "), &*given);
        invalid_argument(value.py(), what)
    })
}
