//! The store: the only type that knows all the others.

mod appends;
mod checks;
mod derived;
mod groups;
pub(crate) mod open;
mod pending;
mod queues;
mod reader;
mod retention;
mod transactions;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

pub use appends::QueueAppender;
use checks::Checking;
pub use checks::{TransactionAnswer, TransactionCheck, TransactionChecker};
use derived::Dispatching;
pub(crate) use groups::StoreHandle;
use pending::Caller;
pub use pending::{AppendFuture, Pending};
pub use reader::StoreReader;
pub use transactions::Transaction;
use transactions::Transactions;

use crate::checkpoint::{CheckpointFile, NO_BOOT};
use crate::clock::Clock;
use crate::commit_log::recover::RecoveryReport;
use crate::commit_log::{
    self, Batch, CommitLog, MessageView, Preparer, Scan, TopicTable, next_offsets,
};
use crate::consume::ConfigService;
use crate::delay::ScheduleMessageService;
use crate::error::{Error, Result};
use crate::fence::Fence;
use crate::flush::{CheckpointService, CompletionService, FlushService};
use crate::lock::{AbortMarker, StoreLock};
use crate::offset::{PhysicalOffset, QueueOffset};
use crate::options::{FlushMode, StoreOptions};
use crate::retention::{CleanCommitLogService, Cleaner};
use crate::stats::{Counters, StoreStats};
use crate::status::Status;
use crate::sys::ForkWatch;

/// A store: one directory, open for appending and reading.
///
/// Every method may be called from any thread. Dropping a store closes it; what that could not do
/// is then only seen in the diagnostics, so call [`Store::close`].
pub struct Store {
    inner: Arc<Inner>,
}

/// What the store and its handles share.
pub(crate) struct Inner {
    path: PathBuf,
    options: StoreOptions,
    report: RecoveryReport,
    fork: ForkWatch,
    clock: Arc<dyn Clock>,
    log: CommitLog,
    preparer: Preparer,
    topics: TopicTable,
    counters: Counters,
    fence: Arc<Fence>,
    flush: Arc<dyn FlushService>,
    commit: Option<Arc<dyn FlushService>>,
    completions: Arc<CompletionService>,
    /// Absent in a store without consume queues.
    dispatching: Option<Dispatching>,
    /// Absent in a store without consume queues.
    config: Option<ConfigService>,
    /// Only in a store without consume queues.
    noting: Option<CheckpointService>,
    /// Absent in a store that delivers no delayed messages.
    schedule: Option<Arc<ScheduleMessageService>>,
    cleaner: Arc<Cleaner>,
    /// Absent in a store whose old files stay until somebody asks.
    cleaning: Option<CleanCommitLogService>,
    transactions: Transactions,
    checking: Checking,
    checkpoint: Arc<CheckpointFile>,
    closed: AtomicBool,
    /// What must be given up at the end; taken by the first call of `close`.
    ending: Mutex<Ending>,
}

/// What the end of a store needs, and how it went.
struct Ending {
    lock: Option<StoreLock>,
    abort: AbortMarker,
    /// Queues that RocketMQ wrote are behind the log now: the next opener must rebuild them.
    keep_abort: bool,
    outcome: Option<Result<()>>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Store({}, {})", self.inner.path.display(), self.inner.log.queue().published())
    }
}

impl Store {
    /// Opens the store in a directory, or makes one, and recovers what is there.
    ///
    /// Takes the directory's lock before anything is touched. A tail that a crash cut short is
    /// copied to `lost+found/` and zeroed; [`Store::recovery_report`] tells of it.
    ///
    /// # Errors
    ///
    /// - [`Status::InvalidArgument`]: an option is outside its limits.
    /// - [`Status::StoreNotFound`]: there is no store, and `create_if_missing` is off.
    /// - [`Status::StoreLocked`]: somebody else has it open.
    /// - [`Status::Forked`]: this process was forked while its parent had a store open.
    /// - [`Status::Corruption`]: a record is damaged and good ones lie behind it; nothing was
    ///   changed. Set `damage_policy` to cut the log there.
    /// - [`Status::ForeignFile`], [`Status::WrongFileSize`], [`Status::MissingFile`]: the commit
    ///   log's files are not a log; nothing was changed.
    /// - [`Status::Io`], [`Status::DiskFull`], [`Status::PermissionDenied`],
    ///   [`Status::OutOfMemory`], [`Status::TooManyOpenFiles`], [`Status::ReadOnlyFileSystem`],
    ///   [`Status::FileTooLarge`]: a system call failed.
    pub fn open(path: impl AsRef<Path>, options: &StoreOptions) -> Result<Self> {
        open::open(path.as_ref(), options, &open::Environment::of_this_machine())
    }

    /// What opening would do. Reads only: takes no lock and changes nothing.
    ///
    /// # Errors
    ///
    /// As [`Store::open`], but for the lock.
    pub fn plan_recovery(path: impl AsRef<Path>, options: &StoreOptions) -> Result<RecoveryReport> {
        open::plan(path.as_ref(), options)
    }

    /// The store's directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// The size of each commit log file in bytes.
    #[must_use]
    pub fn segment_size_bytes(&self) -> u64 {
        self.inner.log.queue().file_size_bytes()
    }

    /// What opening found and did.
    #[must_use]
    pub fn recovery_report(&self) -> &RecoveryReport {
        &self.inner.report
    }

    /// Forces everything appended before the call, and returns when it is durable.
    ///
    /// # Errors
    ///
    /// - [`Status::StoreClosed`], [`Status::Forked`], [`Status::Fenced`]: the store cannot.
    /// - [`Status::Io`], [`Status::DiskFull`]: the write or sync failed; the store is fenced.
    pub fn flush(&self) -> Result<()> {
        self.inner.pending_flush(Caller::WaitsHere)?.wait()
    }

    /// As [`Store::flush`], with the waiting left to the caller.
    ///
    /// # Errors
    ///
    /// As [`Store::flush`].
    pub fn begin_flush(&self) -> Result<Pending> {
        self.inner.pending_flush(Caller::WaitsLater)
    }

    /// Waits until everything below `end` is durable, and has it flushed if need be.
    ///
    /// # Errors
    ///
    /// - [`Status::OffsetOutOfRange`]: the log does not reach that far.
    /// - [`Status::WaitTimeout`]: the time ran out.
    /// - As [`Store::flush`].
    pub fn wait_durable(&self, end: PhysicalOffset, timeout: Duration) -> Result<()> {
        self.inner.check_readable()?;
        let queue = self.inner.log.queue();
        if end.get() <= queue.durable().get() {
            return Ok(());
        }
        self.inner.fence.check()?;
        let published = queue.published();
        if end.get() > published {
            return Err(Error::new(Status::OffsetOutOfRange, "the log does not reach that far")
                .at_offset(end.get())
                .expected(format!("at most {published}"), end));
        }
        let pending = Pending::new(&self.inner, end.get(), None, None, Caller::WaitsLater);
        pending.wait_for(timeout).unwrap_or_else(|| {
            let what = "the log was not durable in time";
            Err(Error::new(Status::WaitTimeout, what).at_offset(end.get()))
        })
    }

    /// The message whose record begins at an offset, its CRC verified.
    ///
    /// # Errors
    ///
    /// - [`Status::OffsetOutOfRange`]: the offset is outside the readable log.
    /// - [`Status::NotARecord`]: no record begins there.
    /// - [`Status::Corruption`]: the record's CRC is wrong.
    /// - [`Status::StoreClosed`], [`Status::Forked`]: the store cannot.
    pub fn read_at(&self, offset: PhysicalOffset) -> Result<MessageView> {
        self.inner.check_readable()?;
        commit_log::read_at(self.inner.log.queue(), offset)
    }

    /// Messages in log order from a record's offset on: at most `max_messages` and, beyond the
    /// first, `max_bytes` of records. None is no error.
    ///
    /// # Errors
    ///
    /// As [`Store::read_at`].
    pub fn read_log(
        &self,
        from: PhysicalOffset,
        max_messages: usize,
        max_bytes: usize,
    ) -> Result<Batch> {
        self.inner.check_readable()?;
        let crc = self.inner.options.crc_check_on_read();
        commit_log::read_log(self.inner.log.queue(), from, (max_messages, max_bytes), crc)
    }

    /// Iterates over the messages from a record's offset on, in log order.
    ///
    /// # Errors
    ///
    /// - [`Status::OffsetOutOfRange`]: the offset is outside the readable log.
    /// - [`Status::StoreClosed`], [`Status::Forked`]: the store cannot.
    pub fn scan(&self, from: PhysicalOffset) -> Result<Scan> {
        self.inner.check_readable()?;
        let crc = self.inner.options.crc_check_on_read();
        commit_log::open_scan(self.inner.log.queue(), from, crc)
    }

    /// Waits until something at or behind `offset` is readable. False when the time ran out or the
    /// store was closed.
    ///
    /// # Errors
    ///
    /// - [`Status::StoreClosed`], [`Status::Forked`]: the store cannot.
    pub fn wait_readable(&self, offset: PhysicalOffset, timeout: Duration) -> Result<bool> {
        self.inner.check_readable()?;
        let deadline = Instant::now().checked_add(timeout);
        Ok(self.inner.log.queue().committed().wait_past(offset.get(), deadline))
    }

    /// Where the log begins.
    #[must_use]
    pub fn min_offset(&self) -> PhysicalOffset {
        PhysicalOffset::new(self.inner.log.queue().min_offset())
    }

    /// One past the last byte that was appended.
    #[must_use]
    pub fn max_offset(&self) -> PhysicalOffset {
        PhysicalOffset::new(self.inner.log.queue().published())
    }

    /// One past the last byte that is readable and survives the death of the process.
    #[must_use]
    pub fn committed_offset(&self) -> PhysicalOffset {
        PhysicalOffset::new(self.inner.log.queue().committed().get())
    }

    /// One past the last byte that survives a power cut.
    #[must_use]
    pub fn durable_offset(&self) -> PhysicalOffset {
        PhysicalOffset::new(self.inner.log.queue().durable().get())
    }

    /// The index the next message of a queue gets; 0 for a queue that has none yet.
    #[must_use]
    pub fn next_queue_offset(&self, topic: &str, queue_id: i32) -> QueueOffset {
        let queue = self.inner.topics.find(topic, queue_id);
        QueueOffset::new(queue.map_or(0, |queue| queue.next_offset()))
    }

    /// What the store did since it was opened.
    #[must_use]
    pub fn stats(&self) -> StoreStats {
        let syncs = self.inner.log.queue().syncs();
        let mut stats = self.inner.counters.read(syncs, self.inner.topics.stats());
        if let Some(schedule) = &self.inner.schedule {
            let counts = schedule.counts();
            stats.delayed_delivered = counts.delivered;
            stats.delayed_undeliverable = counts.undeliverable;
        }
        stats
    }

    /// Ends the store: refuses further appends, flushes until everything is durable, and gives up
    /// the lock. A second call returns what the first did.
    ///
    /// Other calls then fail with [`Status::StoreClosed`]; views stay valid.
    ///
    /// # Errors
    ///
    /// - [`Status::Fenced`], [`Status::Io`], [`Status::DiskFull`]: not everything could be made
    ///   durable. The store is closed all the same, and the next opening recovers.
    /// - [`Status::Forked`]: only the process that opened the store can close it.
    pub fn close(&self) -> Result<()> {
        self.inner.close()
    }

    /// Whether the store was closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.inner.closed.load(Ordering::Acquire)
    }
}

#[cfg(test)]
impl Store {
    /// Whether somebody asked for the append lock while it was held.
    pub(crate) fn lock_is_asked_for(&self) -> bool {
        self.inner.log.is_asked_for()
    }

    /// Whether a reader waits for more to dispatch while the dispatcher's thread sleeps.
    pub(crate) fn reader_stands_in(&self) -> bool {
        let dispatching = self.inner.dispatching.as_ref();
        dispatching.is_some_and(|dispatching| dispatching.dispatcher.is_stood_in_for())
    }

    /// Delivers the delayed messages whose time has come, as the service's thread does.
    pub(crate) fn deliver_due(&self) -> Option<Duration> {
        self.inner.schedule.as_ref()?.round(&*self.inner)
    }

    /// Whether the thread that delivers delayed messages was started.
    pub(crate) fn delivers(&self) -> bool {
        self.inner.schedule.as_ref().is_some_and(|schedule| schedule.is_started())
    }

    /// Asks about the open transactions that are old enough, as the service's thread does.
    pub(crate) fn check_transactions(&self) -> Option<Duration> {
        self.inner.check_transactions()
    }

    /// Syncs the queues and notes it, as the service's thread does.
    pub(crate) fn flush_queues(&self) -> Result<()> {
        self.inner.dispatching()?.flusher().flush()
    }

    /// Whether the thread that asks about open transactions was started.
    pub(crate) fn checks_transactions(&self) -> bool {
        self.inner.checking.is_started()
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if self.inner.fork.is_child() {
            // The threads are the parent's: nothing here may be given back.
            std::mem::forget(Arc::clone(&self.inner));
            return;
        }
        if let Err(error) = self.inner.close() {
            tracing::error!(%error, path = %self.inner.path.display(), "closing failed");
        }
    }
}

impl Inner {
    /// Refuses a call that needs the store open in this process.
    fn check_readable(&self) -> Result<()> {
        if self.fork.is_child() {
            let what = "a child made by fork cannot use the store of its parent";
            return Err(Error::new(Status::Forked, what));
        }
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::new(Status::StoreClosed, "the store was closed"));
        }
        Ok(())
    }

    /// Refuses a call that needs the store open and not fenced.
    fn check(&self) -> Result<()> {
        self.check_readable()?;
        self.fence.check()
    }

    /// Refuses an append while the store takes none.
    fn check_appendable(&self) -> Result<()> {
        self.check()?;
        self.cleaner.check_room()
    }

    fn pending_flush(&self, caller: Caller) -> Result<Pending> {
        self.check()?;
        let end = self.log.queue().published();
        Ok(Pending::new(self, end, None, None, caller))
    }

    fn close(&self) -> Result<()> {
        if self.fork.is_child() {
            return self.check_readable();
        }
        let mut ending = self.ending.lock();
        if let Some(outcome) = &ending.outcome {
            return outcome.clone();
        }
        self.closed.store(true, Ordering::Release);
        if let Some(schedule) = &self.schedule {
            schedule.shutdown();
        }
        self.checking.shutdown();
        self.log.close();
        self.cleaner.close();
        if let Some(cleaning) = &self.cleaning {
            cleaning.shutdown();
        }
        let outcome = self.end(&mut ending);
        self.stop_threads();
        if let Err(error) = &outcome {
            self.distrust_cache(error);
        }
        self.log.queue().committed().close();
        if let Some(dispatching) = &self.dispatching {
            dispatching.queues().close();
            if let Some(index) = dispatching.index() {
                index.close();
            }
            dispatching.dispatcher.dispatched().close();
        }
        self.log.queue().clear();
        ending.lock.take();
        self.fork.end();
        ending.outcome = Some(outcome.clone());
        let end = self.log.queue().published();
        tracing::info!(path = %self.path.display(), end, ok = outcome.is_ok(), "store closed");
        outcome
    }

    /// Notes that the next opening must take the page cache for no more than what a power cut
    /// leaves: after a failed sync it shows what is not on the disk.
    fn distrust_cache(&self, cause: &Error) {
        let noted = self.checkpoint.update(|_, notes| notes.boot_id = NO_BOOT);
        if let Err(error) = noted {
            tracing::error!(%error, %cause, "it cannot be noted that the store ended badly");
        }
    }

    /// Ends what is still running when the store could not be ended as it should.
    fn stop_threads(&self) {
        if let Some(dispatching) = &self.dispatching {
            dispatching.stop();
        }
        if let Some(config) = &self.config {
            config.stop();
        }
        if let Some(noting) = &self.noting {
            noting.shutdown();
        }
    }

    /// Flushes, ends the services and leaves the files of a clean stop, if it is one.
    fn end(&self, ending: &mut Ending) -> Result<()> {
        let queue = self.log.queue();
        if let Some(commit) = &self.commit {
            commit.shutdown();
        }
        // The service's last run commits and syncs whatever there is.
        self.flush.shutdown();
        self.completions.shutdown();
        let allocation = self.log.shutdown_allocation();
        if let Some(cause) = self.fence.cause() {
            return Err(cause.clone());
        }
        let (durable, published) = (queue.durable().get(), queue.published());
        if durable != published {
            return Err(Error::new(
                Status::Internal,
                "the log is not durable after its last flush",
            )
            .expected(published, durable));
        }
        allocation?;
        if let Some(dispatching) = &self.dispatching {
            // On failure the abort marker stays, and the next opening dispatches the rest.
            dispatching.shutdown(published)?;
        }
        if let Some(config) = &self.config {
            if let Some(dispatching) = &self.dispatching {
                Transactions::note(queue, dispatching.queues(), config.groups())?;
            }
            config.shutdown()?;
        }
        let newest = self.log.last_timestamp_ms();
        self.checkpoint.update(|fields, notes| {
            fields.physic_msg_timestamp_ms = fields.physic_msg_timestamp_ms.max(newest);
            if self.dispatching.is_some() {
                fields.logics_msg_timestamp_ms = fields.physic_msg_timestamp_ms;
            }
            notes.durable_offset = durable;
        })?;
        if self.noting.is_some() {
            self.note_next_offsets(newest);
        }
        if !ending.keep_abort {
            ending.abort.clear(queue.disk())?;
        }
        // Last, for log and queues are whole without: messages would only be delivered again.
        self.schedule.as_ref().map_or(Ok(()), |schedule| schedule.store_all())
    }

    /// Keeps the next offsets for the opening that comes, which walks the whole log without.
    fn note_next_offsets(&self, newest_ms: i64) {
        let log = self.log.queue();
        let noted = next_offsets::write(log.disk(), &self.path, log, &self.topics, newest_ms);
        if let Err(error) = noted {
            tracing::warn!(%error, "the next opening will walk the log");
        }
    }

    /// Whether `append` waits for the sync of a message that wants it.
    fn syncs_appends(&self) -> bool {
        self.options.flush_mode == FlushMode::Sync
    }
}
