//! Following a queue.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cairnlog::{Filter, QueueOffset, ReadOutcome, ReadRequest};
use pyo3::prelude::*;

use crate::blocking::{self, Limit};
use crate::errors::{OrRaise, closed};
use crate::store::{Opened, ReadableStore, of_either};
use crate::view::MessageView;

/// Messages that one read takes ahead.
const READ_AHEAD: usize = 32;

/// An iterator over the messages of a queue, from `Store.tail`, that waits for more at the end. One
/// that stopped because none came in time goes on when there is more. Messages that retention
/// removed are passed over. Threads can share it; each message goes to one of them.
#[pyclass(frozen, module = "cairnlog")]
pub(crate) struct Tail {
    topic: String,
    queue_id: i32,
    filter: Filter,
    timeout: Option<Duration>,
    /// `None` once the iterator was closed. Not held while something is waited for.
    place: Mutex<Option<Place>>,
    store: Py<ReadableStore>,
}

/// How far a tail has come.
struct Place {
    /// The index of the next message that is to be read.
    position: i64,
    /// Messages that were read and not yet returned.
    ahead: VecDeque<cairnlog::MessageView>,
}

/// What one step gives.
enum Step {
    Message(cairnlog::MessageView),
    /// Nothing yet, but the end of the queue was not reached.
    More,
    /// Nothing came in the time given.
    Nothing,
    /// The iterator was closed.
    Closed,
}

/// What is there of a queue.
enum Next {
    Message(cairnlog::MessageView),
    /// A read found nothing wanted, but there is more to look at.
    More,
    /// There is nothing yet at this index.
    End(QueueOffset),
}

impl Tail {
    pub(crate) fn open(
        store: &Bound<'_, ReadableStore>,
        topic: &str,
        queue_id: i32,
        from: QueueOffset,
        filter: Filter,
        timeout: Option<Duration>,
    ) -> PyResult<Self> {
        let (py, opened) = (store.py(), store.get().opened());
        // Refuses what can be no queue.
        let at_once = Duration::ZERO;
        blocking::run(
            py,
            || of_either!(*opened, it => it.wait_message(topic, queue_id, from, at_once)),
        )
        .or_raise(py)?;
        let place = Place { position: from.to_i64(), ahead: VecDeque::new() };
        Ok(Self {
            topic: topic.to_owned(),
            queue_id,
            filter,
            timeout,
            place: Mutex::new(Some(place)),
            store: store.clone().unbind(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Option<Place>> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next message, waited for in slices. The time counts only where the queue ends.
    ///
    /// Each step makes one read, which looks at a bounded number of messages: signals are
    /// looked for in between, also where a filter wants none of a million messages.
    fn follow(&self, py: Python<'_>, timeout: Option<Duration>) -> PyResult<Option<MessageView>> {
        let opened = self.store.get().opened();
        let limit = Limit::after(timeout);
        loop {
            let slice = limit.slice();
            match blocking::run(py, || self.step(opened, slice)).or_raise(py)? {
                Step::Message(message) => return Ok(Some(message.into())),
                Step::Closed => return Err(closed(py, "the tail was closed")),
                Step::More => py.check_signals()?,
                Step::Nothing => {
                    py.check_signals()?;
                    if limit.remaining() == Some(Duration::ZERO) {
                        return Ok(None);
                    }
                }
            }
        }
    }

    fn step(&self, opened: &Opened, slice: Duration) -> cairnlog::Result<Step> {
        let next = match self.lock().as_mut() {
            Some(place) => self.take(opened, place)?,
            None => return Ok(Step::Closed),
        };
        match next {
            Next::Message(message) => Ok(Step::Message(message)),
            Next::More => Ok(Step::More),
            Next::End(at) => {
                // What came, another thread may take; or the filter does not want it.
                let (topic, queue_id) = (&*self.topic, self.queue_id);
                let came = of_either!(*opened, it => it.wait_message(topic, queue_id, at, slice))?;
                Ok(if came { Step::More } else { Step::Nothing })
            }
        }
    }

    /// Takes the next message that is there, with one read at most.
    fn take(&self, opened: &Opened, place: &mut Place) -> cairnlog::Result<Next> {
        if place.ahead.is_empty() {
            let request = ReadRequest::new(&self.topic, self.queue_id, place.position)
                .max_messages(READ_AHEAD)
                .filter(self.filter.clone());
            let batch = of_either!(*opened, it => it.read(&request))?;
            match batch.outcome() {
                ReadOutcome::OffsetOverflowOne
                | ReadOutcome::OffsetOverflowBadly
                | ReadOutcome::NoMatchedLogicQueue
                | ReadOutcome::NoMessageInQueue => return Ok(Next::End(place.offset())),
                _ => {}
            }
            place.position = batch.next_offset();
            place.ahead.extend(batch.into_messages());
        } else if opened.is_closed() {
            let what = "the store was closed";
            return Err(cairnlog::Error::new(cairnlog::Status::StoreClosed, what));
        }
        Ok(place.ahead.pop_front().map_or(Next::More, Next::Message))
    }
}

impl Place {
    fn offset(&self) -> QueueOffset {
        let ahead = self.ahead.front().map(cairnlog::MessageView::queue_offset);
        ahead.unwrap_or_else(|| QueueOffset::from_i64(self.position).unwrap_or_default())
    }
}

#[pymethods]
impl Tail {
    /// The index behind the message that was returned last, where a later tail goes on.
    #[getter]
    fn offset(&self, py: Python<'_>) -> PyResult<u64> {
        let offset = blocking::run(py, || self.lock().as_ref().map(Place::offset));
        offset.map(QueueOffset::get).ok_or_else(|| closed(py, "the tail was closed"))
    }

    /// The topic.
    #[getter]
    fn topic(&self) -> &str {
        &self.topic
    }

    /// The queue inside the topic.
    #[getter]
    fn queue_id(&self) -> i32 {
        self.queue_id
    }

    /// The next message, waiting for it at most `timeout` seconds (None: without end), or None when
    /// the time ran out.
    #[pyo3(signature = (timeout=None))]
    fn next_message(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Option<MessageView>> {
        self.follow(py, blocking::timeout(timeout)?)
    }

    /// Gives up the place in the queue and what was read ahead. Closing twice is no error.
    fn close(&self, py: Python<'_>) {
        let place = blocking::run(py, || self.lock().take());
        drop(place);
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<MessageView>> {
        self.follow(py, self.timeout)
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

    fn __repr__(&self) -> String {
        let filter = self.filter.to_string();
        format!("Tail({:?}, {}, filter={filter:?})", self.topic, self.queue_id)
    }
}
