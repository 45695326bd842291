//! `FlushConsumeQueueService`: makes queues durable and moves the checkpoint behind them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::{DispatchSnapshot, Dispatcher};
use crate::checkpoint::CheckpointFile;
use crate::consume_queue::ConsumeQueues;
use crate::error::Result;
use crate::index::Index;
use crate::mapped::MappedFileQueue;
use crate::service::{ServiceThread, Signal, Wake};

/// Of its time the service spends at most one part in so many in syncs.
const REST_PER_WORK: u32 = 9;

/// What the service works on.
#[derive(Debug)]
pub(crate) struct QueueFlusher {
    pub(crate) log: Arc<MappedFileQueue>,
    pub(crate) queues: Arc<ConsumeQueues>,
    pub(crate) index: Option<Arc<Index>>,
    pub(crate) dispatcher: Arc<Dispatcher>,
    pub(crate) checkpoint: Arc<CheckpointFile>,
    /// What is synced, but cannot be noted before the log is durable that far.
    pub(crate) synced: Mutex<Option<DispatchSnapshot>>,
    /// What the checkpoint says: everything below is in queues that are durable.
    pub(crate) noted: AtomicU64,
    /// Held while queue files are synced or removed: a sync must not miss a file that it has to
    /// sync, nor one that somebody else is still at.
    pub(crate) files: Mutex<()>,
}

impl QueueFlusher {
    /// Makes everything that was dispatched durable, and notes it as far as the log is durable.
    pub(crate) fn flush(&self) -> Result<()> {
        let _one_at_a_time = self.files.lock();
        if self.queues.sync_failure().is_some() {
            return Ok(());
        }
        let earlier = self.synced.lock().take();
        self.note(earlier).inspect_err(|_| *self.synced.lock() = earlier)?;
        // `None`: a batch is partly written, and the dispatcher will ask again.
        let Some(snapshot) = self.dispatcher.snapshot() else {
            return Ok(());
        };
        self.queues.sync()?;
        // What cannot be noted now is noted later: the service comes back for it.
        self.note(Some(snapshot)).inspect_err(|_| *self.synced.lock() = Some(snapshot))
    }

    fn note(&self, snapshot: Option<DispatchSnapshot>) -> Result<()> {
        let Some(snapshot) = snapshot else {
            return Ok(());
        };
        let durable = self.log.durable().get();
        if durable < snapshot.position {
            *self.synced.lock() = Some(snapshot);
            return self.checkpoint.note_durable(durable);
        }
        self.checkpoint.update(|fields, notes| {
            fields.logics_msg_timestamp_ms = self.rebuilt_from(snapshot.timestamp_ms);
            fields.physic_msg_timestamp_ms =
                fields.physic_msg_timestamp_ms.max(snapshot.timestamp_ms);
            notes.durable_offset = durable;
            notes.dispatched_offset = snapshot.position;
            notes.queues = snapshot.queues;
            notes.index_end = snapshot.index_end.unwrap_or(u64::MAX);
            if let Some(forced) = self.index.as_ref().and_then(|index| index.forced_timestamp_ms())
            {
                fields.index_msg_timestamp_ms = forced;
            }
        })?;
        self.noted.store(snapshot.position, Ordering::Release);
        Ok(())
    }

    /// Up to where the queues are durable, and the checkpoint says so.
    pub(crate) fn noted(&self) -> u64 {
        self.noted.load(Ordering::Acquire)
    }

    /// Removes what points below the log's beginning, as far as whole files do.
    pub(crate) fn remove_before(&self, log_min: u64) -> Result<()> {
        let _one_at_a_time = self.files.lock();
        let mut gone = 0;
        let removed = self.queues.remove_before(log_min, self.noted(), &mut gone);
        // Also when not all could be removed: a file that the checkpoint knows of and that is gone
        // makes the next opening build all queues again.
        if gone > 0 {
            if let Some(snapshot) = &mut *self.synced.lock() {
                snapshot.queues.files = snapshot.queues.files.saturating_sub(gone);
            }
            self.checkpoint.update(|_, notes| {
                notes.queues.files = notes.queues.files.saturating_sub(gone);
            })?;
        }
        removed?;
        self.index.as_ref().map_or(Ok(0), |index| index.remove_before(log_min)).map(|_| ())
    }

    /// The time from which RocketMQ has to dispatch again after an unclean stop, when queues are
    /// synced up to `timestamp_ms`: it drops the newest index file, and must find all its keys.
    pub(crate) fn rebuilt_from(&self, timestamp_ms: i64) -> i64 {
        let index_begin = self.index.as_ref().and_then(|index| index.newest_begin_ms());
        index_begin.map_or(timestamp_ms, |begin| begin.min(timestamp_ms))
    }

    /// Whether something was dispatched that the checkpoint does not tell of.
    fn is_behind(&self) -> bool {
        self.synced.lock().is_some()
    }
}

/// The service's thread.
#[derive(Debug)]
pub(crate) struct FlushConsumeQueueService {
    thread: ServiceThread,
}

impl FlushConsumeQueueService {
    /// Starts the service: what is dispatched is durable about `interval` after `signal` was woken.
    pub(crate) fn start(
        flusher: Arc<QueueFlusher>,
        interval: Duration,
        signal: Arc<Signal>,
    ) -> Result<Self> {
        let body = move |signal: &Signal| serve(&flusher, interval, signal);
        let on_panic = |message: String| {
            // Queues follow from the log; only the checkpoint stays behind.
            tracing::error!(message, "FlushConsumeQueueService panicked");
        };
        let thread = ServiceThread::start("cairn-flush-cq", signal, body, on_panic)?;
        Ok(Self { thread })
    }

    /// Ends the service, without a last flush.
    pub(crate) fn shutdown(&self) {
        self.thread.stop_and_join();
    }
}

fn serve(flusher: &QueueFlusher, interval: Duration, signal: &Signal) {
    let mut pause = interval;
    let mut failed = false;
    loop {
        let limit = (failed || flusher.is_behind()).then_some(pause);
        if signal.wait(limit) == Wake::Stopped || signal.rest(pause) {
            return;
        }
        let begin = Instant::now();
        let outcome = flusher.flush();
        failed = outcome.is_err();
        if let Err(error) = outcome {
            tracing::error!(%error, "consume queues cannot be made durable");
        }
        pause = interval.max(begin.elapsed() * REST_PER_WORK);
    }
}
