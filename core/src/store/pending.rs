//! Waiting for durability: in one go, in slices, or as a future.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::Inner;
use crate::error::Result;
use crate::flush::{Completion, CompletionSink, FlushGroup, flush_timeout};
use crate::mapped::MappedFileQueue;
use crate::message::AppendResult;

/// An append or flush that may still have to become durable. Dropping it changes nothing about
/// what was appended.
#[must_use = "what was begun may not be durable yet"]
pub struct Pending {
    /// `None` when there is nothing to wait for.
    awaited: Option<Awaited>,
    deadline: Option<Instant>,
    appended: Option<AppendResult>,
}

/// What the caller does until the group's run is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Caller {
    /// Nothing: the run may take place on its thread.
    WaitsHere,
    /// It comes back later, or waits in slices.
    WaitsLater,
}

struct Awaited {
    group: Arc<FlushGroup>,
    queue: Arc<MappedFileQueue>,
    end: u64,
}

impl std::fmt::Debug for Pending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pending")
            .field("done", &self.awaited.is_none())
            .field("appended", &self.appended)
            .finish_non_exhaustive()
    }
}

impl Pending {
    /// Joins the flush group that covers everything below `end`, unless that is durable.
    pub(super) fn new(
        inner: &Inner,
        end: u64,
        timeout: Option<Duration>,
        appended: Option<AppendResult>,
        caller: Caller,
    ) -> Self {
        let queue = inner.log.queue();
        let awaited = (queue.durable().get() < end).then(|| Awaited {
            group: match caller {
                Caller::WaitsHere => inner.flush.demand_and_wait_here(),
                Caller::WaitsLater => inner.flush.demand(),
            },
            queue: Arc::clone(queue),
            end,
        });
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        Self { awaited, deadline, appended }
    }

    /// Nothing to wait for.
    pub(super) fn done() -> Self {
        Self { awaited: None, deadline: None, appended: None }
    }

    /// Waits to the end: for an append at most `sync_flush_timeout_ms`, for a flush without limit.
    ///
    /// # Errors
    ///
    /// - [`crate::Status::FlushTimeout`]: the time ran out; the error carries where the record
    ///   lies.
    /// - [`crate::Status::Io`], [`crate::Status::DiskFull`], [`crate::Status::Fenced`]: the sync
    ///   failed; the store is fenced.
    /// - [`crate::Status::StoreClosed`]: the store was closed before.
    pub fn wait(self) -> Result<()> {
        self.wait_until(self.deadline).unwrap_or_else(|| Err(flush_timeout())).map_err(|error| {
            self.appended.map_or(error.clone(), |appended| error.with_appended(appended))
        })
    }

    /// Waits at most `slice`; `None` when that was not enough and the deadline has not passed. For
    /// hosts that must look at something else from time to time.
    pub fn wait_for(&self, slice: Duration) -> Option<Result<()>> {
        if self.awaited.is_none() {
            return Some(Ok(()));
        }
        let end = Instant::now().checked_add(slice);
        let until = match (self.deadline, end) {
            (Some(deadline), Some(end)) => Some(deadline.min(end)),
            (one, other) => one.or(other),
        };
        let outcome = match self.wait_until(until) {
            None if self.deadline.is_some_and(|at| at <= Instant::now()) => {
                Some(Err(flush_timeout()))
            }
            other => other,
        };
        outcome.map(|result| {
            result.map_err(|error| {
                self.appended.map_or(error.clone(), |appended| error.with_appended(appended))
            })
        })
    }

    fn wait_until(&self, until: Option<Instant>) -> Option<Result<()>> {
        let Some(awaited) = &self.awaited else {
            return Some(Ok(()));
        };
        let outcome = awaited.group.wait(until)?;
        // A store that was closed, or failed, after the run that mattered has kept its promise.
        let durable = awaited.queue.durable().get() >= awaited.end;
        Some(if durable { Ok(()) } else { outcome })
    }
}

#[derive(Default)]
struct FutureState {
    result: Option<Result<AppendResult>>,
    waker: Option<Waker>,
}

/// The one sink behind a future.
#[derive(Default)]
pub(super) struct FutureSink {
    state: Mutex<FutureState>,
    done: Condvar,
}

impl CompletionSink for FutureSink {
    fn complete(&self, group: Vec<Completion>) {
        let mut state = self.state.lock();
        state.result = group.into_iter().next().map(|completion| completion.result);
        let waker = state.waker.take();
        drop(state);
        self.done.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// An asynchronous append: resolves when the message is acknowledged. Needs no runtime.
#[must_use = "the message may not be acknowledged yet"]
pub struct AppendFuture {
    sink: Arc<FutureSink>,
    placed: AppendResult,
}

impl std::fmt::Debug for AppendFuture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AppendFuture").field("placed", &self.placed).finish_non_exhaustive()
    }
}

impl AppendFuture {
    pub(super) fn new(sink: Arc<FutureSink>, placed: AppendResult) -> Self {
        Self { sink, placed }
    }

    /// Where the message lies, which is known before it is acknowledged.
    #[must_use]
    pub fn placed(&self) -> AppendResult {
        self.placed
    }

    /// Blocks until the message is acknowledged.
    ///
    /// # Errors
    ///
    /// As [`Pending::wait`].
    pub fn wait(self) -> Result<AppendResult> {
        let mut state = self.sink.state.lock();
        loop {
            if let Some(result) = state.result.take() {
                return result;
            }
            self.sink.done.wait(&mut state);
        }
    }
}

impl Future for AppendFuture {
    type Output = Result<AppendResult>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.sink.state.lock();
        if let Some(result) = state.result.take() {
            return Poll::Ready(result);
        }
        state.waker = Some(context.waker().clone());
        Poll::Pending
    }
}
