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

/// Runs that begin at once after one that waited for appends in vain.
const RUNS_AT_ONCE: u32 = 16;
/// How long a run waits for appends at most; half of a sync, if that is less.
const LONGEST_COLLECTING: Duration = Duration::from_micros(50);

/// The service. What came during the last sync is the next group.
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
    running: Mutex<Collecting>,
    /// Whether the last run was short enough for an appender to do the next.
    fast: AtomicBool,
}

/// When a run begins, where appends are in flight without a thread that waits for each.
///
/// Whoever keeps many of them in flight follows up those that the last run acknowledged with as
/// many new ones at once. A run that began before would have only those that came during the last
/// sync, and so it would go on by turns: two groups in place of one.
#[derive(Debug, Default, Clone)]
struct Collecting {
    /// What was published and not durable, with what the last run was for.
    in_flight_bytes: u64,
    longest: Duration,
    runs_at_once: u32,
}

impl Collecting {
    /// Waits until there are as many bytes as were in flight, but not for long, and for a while not
    /// at all after that was in vain.
    fn wait(&mut self, waited: impl Fn() -> Duration, bytes: impl Fn() -> u64) {
        if self.runs_at_once > 0 {
            self.runs_at_once -= 1;
            return;
        }
        while bytes() < self.in_flight_bytes {
            if waited() >= self.longest {
                self.runs_at_once = RUNS_AT_ONCE;
                return;
            }
            std::thread::yield_now();
        }
    }

    fn note(&mut self, in_flight_bytes: u64, sync: Duration) {
        self.in_flight_bytes = in_flight_bytes;
        self.longest = LONGEST_COLLECTING.min(sync / 2);
    }
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
        let mut collecting = self.running.lock();
        let FlushContext { queue, completions, .. } = &*self.context;
        if completions.are_awaited() {
            let begin = Instant::now();
            collecting.wait(|| begin.elapsed(), || queue.unsynced_bytes());
        }
        self.run_locked(&mut collecting);
    }

    /// Runs on the calling thread if nobody runs and it will not take long. True if it did.
    fn run_if_idle(&self) -> bool {
        if !self.fast.load(Ordering::Relaxed) {
            return false;
        }
        let Some(mut collecting) = self.running.try_lock() else {
            return false;
        };
        if let Err(cause) = catch_unwind(AssertUnwindSafe(|| self.run_locked(&mut collecting))) {
            self.after_panic(&panic_message(cause));
        }
        true
    }

    fn run_locked(&self, collecting: &mut Collecting) {
        let queue = &self.context.queue;
        let (begin, durable) = (Instant::now(), queue.durable().get());
        let group = self.desk.groups.take();
        let result = self.context.force();
        let took = begin.elapsed();
        self.fast.store(took <= FAST_SYNC, Ordering::Relaxed);
        collecting.note(queue.published() - durable, took);
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

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::fence::Fence;
    use crate::flush::{Completion, CompletionService, CompletionSink, Waiting};
    use crate::mapped::MappedFileQueue;
    use crate::message::AppendResult;
    use crate::offset::{PhysicalOffset, QueueOffset};
    use crate::sys::disk::OsDisk;

    const MICROSECOND: Duration = Duration::from_micros(1);

    /// How often a run looked whether appends came, which have the bytes of `coming`, one each
    /// microsecond.
    fn looks(collecting: &mut Collecting, coming: &[u64]) -> usize {
        let looks = Cell::new(0);
        let bytes = || {
            looks.set(looks.get() + 1);
            coming[..looks.get().min(coming.len())].iter().sum()
        };
        collecting.wait(|| MICROSECOND * looks.get() as u32, bytes);
        looks.get()
    }

    struct Deaf;

    impl CompletionSink for Deaf {
        fn complete(&self, _: Vec<Completion>) {}
    }

    fn in_flight() -> Waiting {
        let store_host = "127.0.0.1:1".parse().unwrap();
        let appended = AppendResult {
            physical_offset: PhysicalOffset::new(0),
            size_bytes: 100,
            queue_offset: QueueOffset::new(0),
            queue_id: 0,
            message_count: 1,
            store_timestamp_ms: 0,
            store_host,
        };
        Waiting { end: 100, deadline: None, appended, token: 0, sink: Arc::new(Deaf) }
    }

    #[test]
    fn a_run_waits_only_where_appends_are_in_flight() {
        // Without files, so that a run for what is published ends with an error.
        let queue = Arc::new(MappedFileQueue::new(Arc::new(OsDisk), 4096, Vec::new()));
        let fence = Arc::new(Fence::default());
        let completions = CompletionService::start(Arc::clone(&queue), Arc::clone(&fence)).unwrap();
        let context = FlushContext { queue, fence, completions, moved: Arc::default() };
        let longest = Duration::from_secs(60);
        let collecting = Collecting { in_flight_bytes: 100, longest, runs_at_once: 0 };
        let shared = Shared {
            context: Arc::new(context),
            desk: Desk::default(),
            running: Mutex::default(),
            fast: AtomicBool::default(),
        };
        let FlushContext { queue, fence, completions, .. } = &*shared.context;
        let begin = Instant::now();
        for _ in 0..2 {
            *shared.running.lock() = collecting.clone();
            shared.run();
        }
        assert!(begin.elapsed() < longest, "it waited for threads");
        completions.submit(in_flight());
        *shared.running.lock() = collecting;
        std::thread::scope(|scope| {
            let run = scope.spawn(|| shared.run());
            // Long enough for a run that does not wait.
            std::thread::sleep(Duration::from_millis(50));
            assert_eq!(fence.cause().map(Error::status), None);
            queue.publish(100, true);
            run.join().unwrap();
        });
        assert_eq!(fence.cause().map(Error::status), Some(Status::Internal));
        assert!(begin.elapsed() < longest, "it did not see what was published");
        completions.shutdown();
    }

    #[test]
    fn a_run_waits_for_as_much_as_was_in_flight() {
        let mut collecting = Collecting::default();
        assert_eq!(looks(&mut collecting, &[]), 1, "nothing is known before the first sync");
        collecting.note(400, Duration::from_millis(1));
        assert_eq!(looks(&mut collecting, &[100; 4]), 4);
        assert_eq!(looks(&mut collecting, &[400]), 1);
    }

    #[test]
    fn after_it_waited_in_vain_runs_begin_at_once() {
        for (sync, longest) in [(60, 30), (5000, 50)] {
            let mut collecting = Collecting::default();
            collecting.note(400, MICROSECOND * sync);
            for _ in 0..3 {
                assert_eq!(looks(&mut collecting, &[399]), longest);
                for _ in 0..RUNS_AT_ONCE {
                    assert_eq!(looks(&mut collecting, &[]), 0);
                }
            }
            assert_eq!(looks(&mut collecting, &[400]), 1);
        }
    }
}
