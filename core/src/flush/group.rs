//! A group: all who wait for the same run of a flush service.

use std::sync::{Arc, PoisonError};
use std::time::Instant;

use crate::error::{Error, Result};
use crate::status::Status;
use crate::sync;
use crate::sync::native::{Condvar, Mutex, MutexGuard};

/// Waits for one run of a service, shared by all who asked since the run before began.
#[derive(Debug, Default)]
pub(crate) struct FlushGroup {
    outcome: Mutex<Option<Result<()>>>,
    done: Condvar,
}

impl FlushGroup {
    /// Waits for the outcome; `None` when the deadline passes first.
    pub(crate) fn wait(&self, deadline: Option<Instant>) -> Option<Result<()>> {
        let mut outcome = self.lock();
        while outcome.is_none() {
            let Some(deadline) = deadline else {
                outcome = self.done.wait(outcome).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let waited = self.done.wait_timeout(outcome, left);
            outcome = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        outcome.clone()
    }

    /// Makes it wait for another run. True, so that one can be found that this was done to.
    fn reset(&mut self) -> bool {
        *self.outcome.get_mut().unwrap_or_else(PoisonError::into_inner) = None;
        true
    }

    fn complete(&self, result: &Result<()>) {
        *self.lock() = Some(result.clone());
        self.done.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Option<Result<()>>> {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Groups of past runs that are kept to be used again: that of the last run, whose waiters may
/// just be waking, and those of slower ones. An append then takes no memory for its group.
const MOST_SPARE: usize = 4;

#[derive(Debug, Default)]
struct Current {
    group: Option<Arc<FlushGroup>>,
    /// Of runs that are over. Nobody waits for those that are referred to from here only.
    spare: Vec<Arc<FlushGroup>>,
    /// Set when no run will come any more.
    closed: Option<Result<()>>,
}

impl Current {
    /// The group that forms; one that nobody waits for any more, or a new one, if there is none.
    fn group(&mut self) -> &Arc<FlushGroup> {
        self.group.get_or_insert_with(|| {
            let mut spare = self.spare.iter_mut();
            let unused = spare.position(|group| Arc::get_mut(group).is_some_and(FlushGroup::reset));
            unused.map(|at| self.spare.swap_remove(at)).unwrap_or_default()
        })
    }

    /// Keeps the group of a run that is over.
    fn keep(&mut self, group: Arc<FlushGroup>) {
        if self.spare.len() < MOST_SPARE {
            self.spare.push(group);
        } else if let Some(other) = self.spare.first_mut() {
            // Whoever waits for that one comes back late.
            *other = group;
        }
    }
}

/// The group that forms while a run is under way.
#[derive(Debug, Default)]
pub(crate) struct FlushGroups(sync::Mutex<Current>);

impl FlushGroups {
    /// Joins the group of the next run.
    pub(crate) fn join(&self) -> Arc<FlushGroup> {
        let mut current = self.0.lock();
        let group = Arc::clone(current.group());
        if let Some(outcome) = &current.closed {
            group.complete(outcome);
        }
        group
    }

    /// Takes the group that formed, at the beginning of a run; later ones join the next.
    pub(crate) fn take(&self) -> TakenGroup<'_> {
        TakenGroup { groups: self, group: self.0.lock().group.take() }
    }

    fn complete(&self, group: Option<Arc<FlushGroup>>, result: &Result<()>) {
        if let Some(group) = group {
            group.complete(result);
            self.0.lock().keep(group);
        }
    }

    /// No run will come any more: this is the outcome for all who wait or ask.
    pub(crate) fn close(&self, outcome: &Result<()>) {
        let mut current = self.0.lock();
        current.closed = Some(outcome.clone());
        let group = current.group.take();
        drop(current);
        self.complete(group, outcome);
    }
}

/// The group of the run that is under way. A run that panics drops it, and so tells its waiters.
#[derive(Debug)]
pub(crate) struct TakenGroup<'g> {
    groups: &'g FlushGroups,
    group: Option<Arc<FlushGroup>>,
}

impl TakenGroup<'_> {
    /// Whether anybody waits.
    pub(crate) fn is_wanted(&self) -> bool {
        self.group.is_some()
    }

    /// Tells the group how its run ended.
    pub(crate) fn complete(mut self, result: &Result<()>) {
        self.groups.complete(self.group.take(), result);
    }
}

impl Drop for TakenGroup<'_> {
    fn drop(&mut self) {
        if let Some(group) = self.group.take() {
            group.complete(&Err(Error::new(Status::Internal, "the flush panicked")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_used_again_when_nobody_waits_for_it() {
        let groups = FlushGroups::default();
        let run = |result: &Result<()>| groups.take().complete(result);
        let first = groups.join();
        let place = Arc::as_ptr(&first);
        run(&Ok(()));
        let second = groups.join();
        assert!(!Arc::ptr_eq(&first, &second), "a waiter of the first would wait again");
        assert!(first.wait(None).is_some_and(|outcome| outcome.is_ok()));
        drop(first);
        run(&Ok(()));
        let third = groups.join();
        assert_eq!(Arc::as_ptr(&third), place);
        assert!(third.wait(Some(Instant::now())).is_none(), "it has the outcome of another run");
        let mut waiting = Vec::new();
        for _ in 0..2 * MOST_SPARE {
            waiting.push(groups.join());
            run(&Ok(()));
        }
        assert!(groups.0.lock().spare.len() <= MOST_SPARE);
    }
}
