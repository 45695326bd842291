//! A group: all who wait for the same run of a flush service.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::error::Result;

/// Waits for one run of a service, shared by all who asked since the run before began.
///
/// The standard library's condition variable wakes all waiters by one system call. That of
/// `parking_lot` wakes one, which wakes the next when it has run: with many waiters the last would
/// run long after the first.
#[derive(Debug, Default)]
pub(crate) struct FlushGroup {
    outcome: Mutex<Option<Result<()>>>,
    done: Condvar,
}

impl FlushGroup {
    /// Waits for the outcome; `None` when the deadline passes first.
    pub(crate) fn wait(&self, deadline: Option<Instant>) -> Option<Result<()>> {
        let outcome = self.lock();
        let outcome = match deadline {
            None => self
                .done
                .wait_while(outcome, |outcome| outcome.is_none())
                .unwrap_or_else(PoisonError::into_inner),
            Some(deadline) => {
                let left = deadline.saturating_duration_since(Instant::now());
                let waited =
                    self.done.wait_timeout_while(outcome, left, |outcome| outcome.is_none());
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
        };
        outcome.clone()
    }

    fn complete(&self, result: &Result<()>) {
        *self.lock() = Some(result.clone());
        self.done.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Option<Result<()>>> {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Default)]
struct Current {
    group: Option<Arc<FlushGroup>>,
    /// Set when no run will come any more.
    closed: Option<Result<()>>,
}

/// The group that forms while a run is under way.
#[derive(Debug, Default)]
pub(crate) struct FlushGroups(parking_lot::Mutex<Current>);

impl FlushGroups {
    /// Joins the group of the next run.
    pub(crate) fn join(&self) -> Arc<FlushGroup> {
        let mut current = self.0.lock();
        let group = Arc::clone(current.group.get_or_insert_default());
        if let Some(outcome) = &current.closed {
            group.complete(outcome);
        }
        group
    }

    /// Takes the group that formed, at the beginning of a run; later ones join the next.
    pub(crate) fn take(&self) -> Option<Arc<FlushGroup>> {
        self.0.lock().group.take()
    }

    /// Tells a group how its run ended.
    pub(crate) fn complete(group: Option<Arc<FlushGroup>>, result: &Result<()>) {
        if let Some(group) = group {
            group.complete(result);
        }
    }

    /// No run will come any more: this is the outcome for all who wait or ask.
    pub(crate) fn close(&self, outcome: &Result<()>) {
        let mut current = self.0.lock();
        current.closed = Some(outcome.clone());
        let group = current.group.take();
        drop(current);
        Self::complete(group, outcome);
    }
}
