//! `GroupCommitService`: synchronous flush. One force covers all who asked while the one before
//! ran, over as many files as needed.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::group::FlushGroup;
use super::{Desk, FlushContext, FlushService};
use crate::error::{Error, Result};
use crate::service::{ServiceThread, Wake, panic_message};
use crate::status::Status;

/// Syncs up to this long are run by an appender that finds the service idle: handing them over and
/// being woken again would cost about as much as a third of a sync on a fast device, and far more
/// when the processors are busy. Longer ones are left to the service's thread, so that a waiter can
/// leave at its deadline.
const FAST_SYNC: Duration = Duration::from_millis(20);

/// The service; never waits to collect a group: what came during the last sync is the next one.
#[derive(Debug)]
pub(crate) struct GroupCommitService {
    shared: Arc<Shared>,
    thread: ServiceThread,
}

#[derive(Debug)]
struct Shared {
    context: Arc<FlushContext>,
    desk: Desk,
    /// Held for a run: there is one at a time, whoever's thread it is on.
    running: Mutex<()>,
    /// Whether the last run was short enough for an appender to do the next.
    fast: AtomicBool,
}

impl GroupCommitService {
    /// Starts the service.
    pub(crate) fn start(context: Arc<FlushContext>) -> Result<Self> {
        let shared = Arc::new(Shared {
            context,
            desk: Desk::default(),
            running: Mutex::default(),
            fast: AtomicBool::new(false),
        });
        let (worker, panicked) = (Arc::clone(&shared), Arc::clone(&shared));
        let thread = ServiceThread::start(
            "cairn-group-commit",
            Arc::clone(&shared.desk.signal),
            move |signal| {
                while signal.wait(None) == Wake::Notified {
                    worker.run();
                }
                worker.run();
                worker.desk.groups.close(&Err(ended()));
            },
            move |message| panicked.after_panic(&message),
        )?;
        Ok(Self { shared, thread })
    }
}

impl Shared {
    /// Forces what is published, for the group that has formed.
    fn run(&self) {
        let _one_at_a_time = self.running.lock();
        self.run_locked();
    }

    /// Runs on the calling thread if nobody runs and it will not take long. True if it did.
    fn run_if_idle(&self) -> bool {
        if !self.fast.load(Ordering::Relaxed) {
            return false;
        }
        let Some(_one_at_a_time) = self.running.try_lock() else {
            return false;
        };
        if let Err(cause) = catch_unwind(AssertUnwindSafe(|| self.run_locked())) {
            self.after_panic(&panic_message(cause));
        }
        true
    }

    fn run_locked(&self) {
        let begin = Instant::now();
        let group = self.desk.groups.take();
        let result = self.context.force();
        self.fast.store(begin.elapsed() <= FAST_SYNC, Ordering::Relaxed);
        group.complete(&result);
        self.context.completions.wakeup();
    }

    fn after_panic(&self, message: &str) {
        self.context.panicked("GroupCommitService", message, &self.desk.groups);
    }
}

/// The outcome for those who ask a service that has ended.
pub(super) fn ended() -> Error {
    Error::new(Status::StoreClosed, "the store was closed")
}

impl FlushService for GroupCommitService {
    fn wakeup(&self) {
        self.shared.desk.signal.wakeup();
    }

    fn demand(&self) -> Arc<FlushGroup> {
        self.shared.desk.demand()
    }

    fn demand_and_wait_here(&self) -> Arc<FlushGroup> {
        let group = self.shared.desk.groups.join();
        if !self.shared.run_if_idle() {
            self.shared.desk.signal.wakeup();
        }
        group
    }

    fn shutdown(&self) {
        self.thread.stop_and_join();
    }
}
