//! `GroupCommitService`: synchronous flush. One force covers all who asked while the one before
//! ran, over as many files as needed.

use std::sync::Arc;
use std::time::Duration;

use super::group::{FlushGroup, FlushGroups};
use super::{Desk, FlushContext, FlushService};
use crate::error::{Error, Result};
use crate::service::{ServiceThread, Wake};
use crate::status::Status;

/// How long the service looks for the next group before it sleeps: an appender that was just told of
/// its sync often comes back within this time.
const NEXT_GROUP_SPIN: Duration = Duration::from_micros(20);

/// The service; never waits to collect a group: what came during the last sync is the next one.
#[derive(Debug)]
pub(crate) struct GroupCommitService {
    desk: Arc<Desk>,
    thread: ServiceThread,
}

impl GroupCommitService {
    /// Starts the service.
    pub(crate) fn start(context: Arc<FlushContext>) -> Result<Self> {
        let desk = Arc::new(Desk::default());
        let (worker, panicked) = (Arc::clone(&desk), Arc::clone(&desk));
        let panic_context = Arc::clone(&context);
        let thread = ServiceThread::start(
            "cairn-group-commit",
            Arc::clone(&desk.signal),
            move |signal| {
                while signal.wait(None) == Wake::Notified {
                    run_once(&context, &worker.groups);
                    signal.spin(NEXT_GROUP_SPIN);
                }
                run_once(&context, &worker.groups);
                worker.groups.close(&Err(ended()));
            },
            move |message| {
                panic_context.panicked("GroupCommitService", &message, &panicked.groups);
            },
        )?;
        Ok(Self { desk, thread })
    }
}

fn run_once(context: &FlushContext, groups: &FlushGroups) {
    let group = groups.take();
    let result = context.force();
    FlushGroups::complete(group, &result);
    context.completions.wakeup();
}

/// The outcome for those who ask a service that has ended.
pub(super) fn ended() -> Error {
    Error::new(Status::StoreClosed, "the store was closed")
}

impl FlushService for GroupCommitService {
    fn wakeup(&self) {
        self.desk.signal.wakeup();
    }

    fn demand(&self) -> Arc<FlushGroup> {
        self.desk.demand()
    }

    fn shutdown(&self) {
        self.thread.stop_and_join();
    }
}
