//! The three flush services: who forces the log, and when.
//!
//! They know positions and files, not messages. Exactly one of [`GroupCommitService`] and
//! [`FlushRealTimeService`] runs in a store and is the only one that moves the durable position;
//! [`CommitRealTimeService`] runs beside it in pool mode. After the first failure the fence is
//! closed, every waiter gets the error, and nothing is tried again.

mod checkpoint;
mod commit_real_time;
mod completion;
mod flush_real_time;
mod group;
mod group_commit;

use std::fmt::Debug;
use std::sync::Arc;

pub(crate) use checkpoint::CheckpointService;
pub(crate) use commit_real_time::CommitRealTimeService;
pub use completion::{Completion, CompletionSink};
pub(crate) use completion::{CompletionService, Waiting, flush_timeout};
pub(crate) use flush_real_time::FlushRealTimeService;
pub(crate) use group::FlushGroup;
use group::FlushGroups;
pub(crate) use group_commit::GroupCommitService;

use crate::error::Result;
use crate::fence::Fence;
use crate::mapped::MappedFileQueue;
use crate::service::Signal;

/// A service that moves a position of the log up to what is published.
pub(crate) trait FlushService: Debug + Send + Sync {
    /// Something was appended, and nobody waits for it.
    fn wakeup(&self);
    /// Joins the group that the service's next run completes: that run covers everything that was
    /// published before this call.
    fn demand(&self) -> Arc<FlushGroup>;
    /// As [`FlushService::demand`], for a caller that has nothing else to do until then: the
    /// service may run on its thread.
    fn demand_and_wait_here(&self) -> Arc<FlushGroup> {
        self.demand()
    }
    /// Runs once more and ends.
    fn shutdown(&self);
}

/// What the services share.
#[derive(Debug)]
pub(crate) struct FlushContext {
    pub(crate) queue: Arc<MappedFileQueue>,
    pub(crate) fence: Arc<Fence>,
    /// Told after each run of the flush service, also of one that failed.
    pub(crate) completions: Arc<CompletionService>,
    /// Told whenever the durable position has moved.
    pub(crate) moved: Arc<Signal>,
}

impl FlushContext {
    /// Commits at least `least_pages` pages, or anything if that is 0.
    fn commit(&self, least_pages: u64) -> Result<bool> {
        self.guarded(|| self.queue.commit(least_pages))
    }

    /// Syncs at least `least_pages` pages of what is committed, or anything if that is 0.
    fn flush(&self, least_pages: u64) -> Result<bool> {
        let moved = self.guarded(|| self.queue.flush(least_pages))?;
        if moved {
            self.moved.wakeup();
        }
        Ok(moved)
    }

    /// Commits and syncs everything published.
    fn force(&self) -> Result<()> {
        self.commit(0)?;
        self.flush(0)?;
        Ok(())
    }

    /// Does nothing behind a closed fence, and closes it on failure. Who waits for a run behind the
    /// fence appended before it was closed, and is told what closed it.
    fn guarded(&self, act: impl FnOnce() -> Result<bool>) -> Result<bool> {
        if let Some(cause) = self.fence.cause() {
            return Err(cause.clone());
        }
        act().inspect_err(|error| self.fence.close(error))
    }

    /// Closes the fence and frees the waiters after a service panicked.
    fn panicked(&self, service: &str, message: &str, groups: &FlushGroups) {
        self.fence.close_after_panic(service, message);
        groups.close(&self.fence.check());
        self.completions.wakeup();
    }
}

/// A service's doorbell and the group that waits for its next run.
#[derive(Debug, Default)]
struct Desk {
    signal: Arc<Signal>,
    groups: FlushGroups,
}

impl Desk {
    fn demand(&self) -> Arc<FlushGroup> {
        let group = self.groups.join();
        self.signal.wakeup();
        group
    }
}
