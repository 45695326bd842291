//! `FlushRealTimeService`: asynchronous flush, by time and by amount.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::group::FlushGroup;
use super::group_commit::ended;
use super::{Desk, FlushContext, FlushService};
use crate::error::Result;
use crate::options::StoreOptions;
use crate::service::{ServiceThread, Wake};

/// The service.
#[derive(Debug)]
pub(crate) struct FlushRealTimeService {
    desk: Arc<Desk>,
    thread: ServiceThread,
    timed: bool,
}

struct Worker {
    context: Arc<FlushContext>,
    desk: Arc<Desk>,
    least_pages: u64,
    thorough_interval: Duration,
    last_thorough: Instant,
}

impl FlushRealTimeService {
    /// Starts the service.
    pub(crate) fn start(context: Arc<FlushContext>, options: &StoreOptions) -> Result<Self> {
        let desk = Arc::new(Desk::default());
        let interval = Duration::from_millis(options.flush_interval_ms);
        let (panic_context, panicked) = (Arc::clone(&context), Arc::clone(&desk));
        let mut worker = Worker {
            context,
            desk: Arc::clone(&desk),
            least_pages: options.flush_least_pages,
            thorough_interval: Duration::from_millis(options.flush_thorough_interval_ms),
            last_thorough: Instant::now(),
        };
        let thread = ServiceThread::start(
            "cairn-flush",
            Arc::clone(&desk.signal),
            move |signal| {
                while signal.wait(Some(interval)) != Wake::Stopped {
                    worker.run_once();
                }
                worker.end();
            },
            move |message| {
                panic_context.panicked("FlushRealTimeService", &message, &panicked.groups);
            },
        )?;
        Ok(Self { desk, thread, timed: options.flush_timed })
    }
}

impl Worker {
    fn run_once(&mut self) {
        let context = &self.context;
        let group = self.desk.groups.take();
        if group.is_wanted() {
            group.complete(&context.force());
        } else {
            let thorough = self.last_thorough.elapsed() >= self.thorough_interval;
            if thorough {
                self.last_thorough = Instant::now();
            }
            // A failure closed the fence, which tells everybody who asks.
            let _ = context.flush(if thorough { 0 } else { self.least_pages });
        }
        context.completions.wakeup();
    }

    fn end(&self) {
        let group = self.desk.groups.take();
        group.complete(&self.context.force());
        self.desk.groups.close(&Err(ended()));
        self.context.completions.wakeup();
    }
}

impl FlushService for FlushRealTimeService {
    fn wakeup(&self) {
        if !self.timed {
            self.desk.signal.wakeup();
        }
    }

    fn demand(&self) -> Arc<FlushGroup> {
        self.desk.demand()
    }

    fn shutdown(&self) {
        self.thread.stop_and_join();
    }
}
