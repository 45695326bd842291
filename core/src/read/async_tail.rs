//! Following a queue from a task.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;

use super::Tail;
use crate::commit_log::MessageView;
use crate::dispatch::{Dispatcher, Watching};
use crate::error::Result;
use crate::offset::QueueOffset;
use crate::watermark::Registration;

/// Reads of one poll, at most: with a filter that lets nothing pass, other tasks get their turn.
const MAX_READS: usize = 16;

/// A stream of the messages of a queue, as [`Tail`] is an iterator; from
/// [`Store::tail_async`](crate::Store::tail_async).
///
/// It needs no runtime and has no thread: while it waits, its task's waker is kept with the queue,
/// and is woken on the thread that brings messages there. So a waker must not wait for anything.
/// What is there is read inside the poll, from mapped files, as with [`Tail`].
///
/// The stream ends when the store is closed. An error does not end it: the next poll tries again.
///
/// ```
/// # use cairnlog::{Filter, Message, QueueOffset, Result, Store, StoreOptions};
/// async fn greet(store: &Store) -> Result<()> {
///     let mut tail = store.tail_async("orders", 0, QueueOffset::new(0), Filter::all())?;
///     while let Some(message) = tail.next().await {
///         let message = message?; // a view on the mapped file: nothing is copied
///         println!("{}", String::from_utf8_lossy(message.body()));
///         # return Ok(());
///     }
///     Ok(())
/// }
/// # let directory = tempfile::tempdir()?;
/// # let mut options = StoreOptions::default();
/// # options.segment_size_bytes = 1 << 20;
/// # let store = Store::open(directory.path(), &options)?;
/// # store.append(&Message::new("orders", b"20 pears"))?;
/// # store.wait_dispatched(store.max_offset(), std::time::Duration::from_secs(10))?;
/// # let mut context = std::task::Context::from_waker(std::task::Waker::noop());
/// # assert!(std::pin::pin!(greet(&store)).poll(&mut context).is_ready());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "a stream does nothing unless it is polled"]
pub struct AsyncTail {
    tail: Tail,
    dispatcher: Arc<Dispatcher>,
    waiting: Option<Waiting>,
}

/// What a task that waits has left behind: both end when it is dropped.
#[derive(Debug)]
struct Waiting {
    _registration: Registration,
    _watching: Watching<Arc<Dispatcher>>,
}

impl AsyncTail {
    pub(crate) fn new(tail: Tail, dispatcher: Arc<Dispatcher>) -> Self {
        Self { tail, dispatcher, waiting: None }
    }

    /// The index behind the message that was returned last, where a later tail goes on.
    #[must_use]
    pub fn offset(&self) -> QueueOffset {
        self.tail.offset()
    }

    /// The next message, waited for if there is none yet; `None` when the store is closed. A call
    /// that is given up loses nothing.
    ///
    /// # Errors
    ///
    /// As [`crate::Store::read`].
    pub async fn next(&mut self) -> Option<Result<MessageView>> {
        poll_fn(|context| self.poll(context)).await
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<MessageView>>> {
        self.waiting = None;
        for _ in 0..MAX_READS {
            if let Some(message) = self.tail.next_read() {
                return Poll::Ready(Some(Ok(message)));
            }
            match self.tail.read_on() {
                Err(error) => return Poll::Ready(Some(Err(error))),
                Ok(true) => continue,
                Ok(false) => {}
            }
            let Some((end, index)) = self.tail.awaited() else {
                return Poll::Ready(None);
            };
            // Counted first: the dispatcher is not to gather while somebody waits.
            let watching = self.dispatcher.watch_shared();
            if let Some(registration) = end.register(index, context.waker().clone()) {
                self.waiting = Some(Waiting { _registration: registration, _watching: watching });
                return Poll::Pending;
            }
            if end.is_closed() {
                // What came before the end may still be there, or its files are gone.
                return Poll::Ready(self.tail.next());
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Stream for AsyncTail {
    type Item = Result<MessageView>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll(context)
    }
}
