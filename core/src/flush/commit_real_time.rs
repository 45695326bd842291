//! `CommitRealTimeService`: pool mode's copy from private buffers to the page cache.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::group::FlushGroup;
use super::group_commit::ended;
use super::{Desk, FlushContext, FlushService};
use crate::error::Result;
use crate::options::StoreOptions;
use crate::service::{ServiceThread, Wake};

/// The service; wakes the flush service after each commit that moved something.
#[derive(Debug)]
pub(crate) struct CommitRealTimeService {
    desk: Arc<Desk>,
    thread: ServiceThread,
}

struct Worker {
    context: Arc<FlushContext>,
    desk: Arc<Desk>,
    flush: Arc<dyn FlushService>,
    least_pages: u64,
    thorough_interval: Duration,
    last_commit: Instant,
}

impl CommitRealTimeService {
    /// Starts the service.
    pub(crate) fn start(
        context: Arc<FlushContext>,
        flush: Arc<dyn FlushService>,
        options: &StoreOptions,
    ) -> Result<Self> {
        let desk = Arc::new(Desk::default());
        let interval = Duration::from_millis(options.commit_interval_ms);
        let (panic_context, panicked) = (Arc::clone(&context), Arc::clone(&desk));
        let mut worker = Worker {
            context,
            desk: Arc::clone(&desk),
            flush,
            least_pages: options.commit_least_pages,
            thorough_interval: Duration::from_millis(options.commit_thorough_interval_ms),
            last_commit: Instant::now(),
        };
        let thread = ServiceThread::start(
            "cairn-commit",
            Arc::clone(&desk.signal),
            move |signal| {
                while signal.wait(Some(interval)) != Wake::Stopped {
                    worker.run_once();
                }
                let group = worker.desk.groups.take();
                group.complete(&worker.context.commit(0).map(|_| ()));
                worker.desk.groups.close(&Err(ended()));
            },
            move |message| {
                panic_context.panicked("CommitRealTimeService", &message, &panicked.groups);
            },
        )?;
        Ok(Self { desk, thread })
    }
}

impl Worker {
    fn run_once(&mut self) {
        let group = self.desk.groups.take();
        let thorough = self.last_commit.elapsed() >= self.thorough_interval;
        let least_pages = if thorough || group.is_wanted() { 0 } else { self.least_pages };
        let result = self.context.commit(least_pages);
        if result.as_ref().is_ok_and(|&moved| moved) {
            self.last_commit = Instant::now();
            self.flush.wakeup();
        }
        group.complete(&result.map(|_| ()));
    }
}

impl FlushService for CommitRealTimeService {
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
