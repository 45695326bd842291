//! Asking what is to become of transactions that stay open.
//!
//! 1. A check is counted before it is made: the half message is put once more, with its count, and
//!    the older copy is ended by an op message. So a checker that takes the process down counts.
//! 2. The half messages' own times say when the next check is due, also after opening.
//! 3. The thread is started when there is a checker and an open transaction. It sleeps until the
//!    next check is due; while nothing is open it does not run at all.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;

use super::transactions::{HALF_TOPIC, OpenHalf, OpenHalves, QUEUE_ID, real_queue};
use super::{Inner, Store};
use crate::codec::properties::{
    PROPERTY_TRANSACTION_CHECK_TIMES, PROPERTY_UNIQUE_KEY, with_number,
};
use crate::commit_log::MessageView;
use crate::error::{Error, Result};
use crate::message::AppendResult;
use crate::offset::PhysicalOffset;
use crate::service::{ServiceThread, Signal, Wake, panic_message};
use crate::status::Status;

/// The topic of half messages that were asked about in vain.
const CHECK_MAX_TIME_TOPIC: &str = "TRANS_CHECK_MAX_TIME_TOPIC";
/// The longest sleep while something is open: the wall clock may have been turned meanwhile.
const MAX_SLEEP: Duration = Duration::from_secs(30);
/// The shortest sleep: what becomes due within it is asked about together.
const MIN_SLEEP: Duration = Duration::from_millis(50);

/// What is to become of an open transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransactionAnswer {
    /// Its message goes to its queue.
    Commit,
    /// Nobody will ever see its message.
    Rollback,
    /// It is not known yet: it is asked again later.
    Unknown,
}

/// What knows about open transactions: the application.
///
/// It is asked on a thread of the store, one transaction after the other, and may use the store,
/// but must not close it. A panic counts as [`TransactionAnswer::Unknown`]. The store keeps it
/// until it is closed, so it should not itself keep the store.
pub trait TransactionChecker: Send + Sync {
    /// Says what is to become of a transaction.
    fn check(&self, check: &TransactionCheck) -> TransactionAnswer;
}

impl<F: Fn(&TransactionCheck) -> TransactionAnswer + Send + Sync> TransactionChecker for F {
    fn check(&self, check: &TransactionCheck) -> TransactionAnswer {
        self(check)
    }
}

/// An open transaction that it is asked about.
#[derive(Debug, Clone)]
pub struct TransactionCheck {
    message: MessageView,
    half: PhysicalOffset,
    topic: String,
    queue_id: i32,
    times: u32,
}

impl TransactionCheck {
    /// Where the half message lies now; [`Store::commit_transaction`] takes it.
    #[must_use]
    pub fn half_offset(&self) -> PhysicalOffset {
        self.half
    }

    /// The half message, as it was before this check. Its own topic is that of half messages.
    #[must_use]
    pub fn message(&self) -> &MessageView {
        &self.message
    }

    /// The topic the message is meant for.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The queue the message is meant for.
    #[must_use]
    pub fn queue_id(&self) -> i32 {
        self.queue_id
    }

    /// The message's unique key (property `UNIQ_KEY`), which is RocketMQ's id of the transaction.
    #[must_use]
    pub fn id(&self) -> Option<String> {
        self.message.property(PROPERTY_UNIQUE_KEY).map(std::borrow::Cow::into_owned)
    }

    /// Which time this is, from 1 on.
    #[must_use]
    pub fn times(&self) -> u32 {
        self.times
    }
}

/// The service; see the module.
pub(super) struct Checking {
    signal: Arc<Signal>,
    checker: Mutex<Option<Arc<dyn TransactionChecker>>>,
    has_checker: AtomicBool,
    /// When the thread looks next, by the wall clock. Changed under the lock of what is open.
    wakes_at_ms: AtomicI64,
    started: AtomicBool,
    /// Held while it is asked about what is due.
    round: Mutex<()>,
    thread: Mutex<Thread>,
}

#[derive(Default)]
struct Thread {
    running: Option<ServiceThread>,
    stopped: bool,
}

impl Default for Checking {
    fn default() -> Self {
        Self {
            signal: Arc::default(),
            checker: Mutex::default(),
            has_checker: AtomicBool::new(false),
            wakes_at_ms: AtomicI64::new(i64::MAX),
            started: AtomicBool::new(false),
            round: Mutex::default(),
            thread: Mutex::default(),
        }
    }
}

impl Checking {
    /// Ends the thread, when a check that is being made has its answer, and lets the checker go.
    pub(super) fn shutdown(&self) {
        let running = {
            let mut thread = self.thread.lock();
            thread.stopped = true;
            thread.running.take()
        };
        if let Some(running) = running {
            running.stop_and_join();
        }
        let checker = self.checker.lock().take();
        drop(checker);
    }

    fn start(&self, inner: &Arc<Inner>) {
        let mut thread = self.thread.lock();
        if thread.stopped || thread.running.is_some() {
            return;
        }
        let (store, fence) = (Arc::downgrade(inner), Arc::clone(&inner.fence));
        let body = move |signal: &Signal| serve(&store, signal);
        let started =
            ServiceThread::start("cairn-check", Arc::clone(&self.signal), body, move |text| {
                fence.close_after_panic("TransactionalMessageCheckService", &text);
            });
        match started {
            Ok(running) => {
                thread.running = Some(running);
                self.started.store(true, Ordering::Release);
            }
            // The next half message tries again.
            Err(error) => tracing::error!(%error, "open transactions are not asked about"),
        }
    }
}

#[cfg(test)]
impl Checking {
    /// Whether the thread was started.
    pub(super) fn is_started(&self) -> bool {
        self.started.load(Ordering::Acquire)
    }
}

fn serve(store: &Weak<Inner>, signal: &Signal) {
    loop {
        let Some(inner) = store.upgrade() else {
            return;
        };
        let sleep = inner.check_transactions();
        drop(inner);
        if signal.wait(sleep.map(|sleep| sleep.clamp(MIN_SLEEP, MAX_SLEEP))) == Wake::Stopped {
            return;
        }
    }
}

impl Store {
    /// Sets what is asked about transactions that stay open, in the place of what was set before.
    ///
    /// Each is asked about when its message is older than `transaction_timeout_ms`, or than the
    /// seconds in its property `CHECK_IMMUNITY_TIME_IN_SECONDS`; as long as the answer is unknown,
    /// it is asked again each `transaction_check_interval_ms`, `transaction_check_max` times in
    /// all, over closing and opening the store, too. Then the half message goes to queue 0 of the
    /// topic `TRANS_CHECK_MAX_TIME_TOPIC`, and the transaction is ended.
    ///
    /// # Errors
    ///
    /// - [`Status::InvalidArgument`]: the store was opened without consume queues.
    /// - [`Status::StoreClosed`], [`Status::Forked`]: the store cannot.
    pub fn set_transaction_checker(&self, checker: Arc<dyn TransactionChecker>) -> Result<()> {
        let inner = &self.inner;
        inner.check_readable()?;
        inner.dispatching()?;
        let checking = &inner.checking;
        let former = {
            // Closing takes the checker away when it has stopped the thread.
            let thread = checking.thread.lock();
            if thread.stopped {
                return Err(Error::new(Status::StoreClosed, "the store was closed"));
            }
            checking.checker.lock().replace(checker)
        };
        drop(former);
        checking.has_checker.store(true, Ordering::SeqCst);
        let open = !inner.transactions.open.lock().by_offset.is_empty();
        if open {
            checking.signal.wakeup();
            checking.start(inner);
        }
        Ok(())
    }
}

impl Inner {
    /// Says that a half message is open that is to be asked about at a time.
    pub(super) fn notice_half(self: &Arc<Self>, due_ms: i64) {
        let checking = &self.checking;
        if !checking.has_checker.load(Ordering::SeqCst) {
            return;
        }
        if !checking.started.load(Ordering::Acquire) {
            checking.start(self);
        } else if due_ms < checking.wakes_at_ms.load(Ordering::Relaxed) {
            checking.signal.wakeup();
        }
    }

    /// Asks about what is due. Returns how long nothing is; `None` if that is until a transaction
    /// is begun.
    pub(super) fn check_transactions(&self) -> Option<Duration> {
        let _round = self.checking.round.lock();
        let checker = self.checking.checker.lock().clone()?;
        let due = self.transactions.open.lock().due(self.clock.wall_ms());
        for offset in due {
            if self.check().is_err() {
                return None;
            }
            if let Some(check) = self.count_check(offset) {
                self.ask(&*checker, &check);
            }
        }
        let halves = self.transactions.open.lock();
        let now_ms = self.clock.wall_ms();
        let wait_ms = halves.by_offset.values().map(|open| open.remaining_ms(now_ms)).min();
        let wakes_at_ms = wait_ms.map_or(i64::MAX, |wait| now_ms.saturating_add(wait));
        self.checking.wakes_at_ms.store(wakes_at_ms, Ordering::Relaxed);
        wait_ms.map(|wait| Duration::from_millis(wait.unsigned_abs()))
    }

    fn ask(&self, checker: &dyn TransactionChecker, check: &TransactionCheck) {
        let (half, times) = (check.half, check.times);
        let answer = catch_unwind(AssertUnwindSafe(|| checker.check(check)));
        let ended = match answer {
            Ok(TransactionAnswer::Commit) => self.commit_transaction(half).map(|_| ()),
            Ok(TransactionAnswer::Rollback) => self.rollback_transaction(half),
            Ok(TransactionAnswer::Unknown) => Ok(()),
            Err(cause) => {
                let cause = panic_message(cause);
                tracing::error!(%half, times, cause, "a transaction's checker panicked");
                Ok(())
            }
        };
        match ended {
            // Who was asked, or somebody else, ended it meanwhile; or the store is being closed.
            Ok(()) => {}
            Err(error)
                if matches!(error.status(), Status::NoSuchTransaction | Status::StoreClosed) => {}
            Err(error) => tracing::error!(%error, %half, times, "a transaction cannot be ended"),
        }
    }

    /// Counts a check of what is open and due, and returns what to ask. What was asked about too
    /// often is ended instead.
    fn count_check(&self, offset: u64) -> Option<TransactionCheck> {
        let mut halves = self.transactions.open.lock();
        let now_ms = self.clock.wall_ms();
        let open = halves.by_offset.get_mut(&offset)?;
        if open.remaining_ms(now_ms) > 0 {
            return None;
        }
        // Whatever comes of it, it is not tried again at once.
        (open.since_ms, open.wait_ms) = (now_ms, self.transactions.interval_ms);
        let half = PhysicalOffset::new(offset);
        if offset < self.log.queue().min_offset() {
            if let Some(open) = halves.by_offset.remove(&offset) {
                halves.forget_former(&open);
            }
            tracing::warn!(%half, "retention removed the message of an open transaction");
            return None;
        }
        let (times, most) = (open.times, self.options.transaction_check_max);
        let message = match self.read_half(half) {
            Ok(message) => message,
            Err(error) => {
                tracing::error!(%error, %half, "the message of an open transaction is unreadable");
                return None;
            }
        };
        match real_queue(&message) {
            Ok((topic, queue_id)) if times < most => {
                let times = times + 1;
                let half = self.move_half(&mut halves, half, &message, times)?;
                Some(TransactionCheck { message, half, topic, queue_id, times })
            }
            // It was asked often enough, or can never be committed.
            _ => {
                drop(halves);
                self.set_aside(half, &message);
                None
            }
        }
    }

    /// Puts a half message once more, with its count, and returns where it is; `None` if it cannot
    /// be put now.
    fn move_half(
        &self,
        halves: &mut OpenHalves,
        half: PhysicalOffset,
        message: &MessageView,
        times: u32,
    ) -> Option<PhysicalOffset> {
        let placed = match self.place_renewed(message, times) {
            Ok(placed) => placed,
            // It has no room for the count, and will have none later: it is counted here alone.
            Err(error) if (1..100).contains(&error.status().code()) => {
                tracing::warn!(%error, %half, times, "a transaction's check cannot be stored");
                halves.by_offset.get_mut(&half.get())?.times = times;
                return Some(half);
            }
            Err(error) => {
                tracing::warn!(%error, %half, times, "a transaction cannot be checked yet");
                return None;
            }
        };
        let OpenHalf { index, since_ms, wait_ms, mut former, mut unended, .. } =
            halves.by_offset.remove(&half.get())?;
        former.push(half.get());
        unended.push(index);
        match self.place_op(&unended) {
            Ok(_) => unended.clear(),
            // The next op message of this transaction ends the older copy, too.
            Err(error) => tracing::warn!(%error, %half, "an older half message is not ended yet"),
        }
        if let Err(error) = self.settle_unwaited() {
            tracing::error!(%error, %half, "committing a half message failed");
        }
        let (offset, index) = (placed.physical_offset, placed.queue_offset.get());
        halves.moved.extend(former.iter().map(|former| (*former, offset.get())));
        let moved = OpenHalf { index, times, since_ms, wait_ms, former, unended };
        halves.by_offset.insert(offset.get(), moved);
        Some(offset)
    }

    fn place_renewed(&self, message: &MessageView, times: u32) -> Result<AppendResult> {
        let record = message.record();
        let properties =
            with_number(record.properties_raw(), PROPERTY_TRANSACTION_CHECK_TIMES, times);
        let draft = self.preparer.renewed(&record, &properties, HALF_TOPIC, QUEUE_ID)?;
        self.put(&[draft], HALF_TOPIC, QUEUE_ID, 1)
    }

    /// Ends a transaction that nobody knew about, and keeps its half message.
    fn set_aside(&self, half: PhysicalOffset, message: &MessageView) {
        let set_aside = self.end_transaction(half, |_, indexes| {
            let draft = self.preparer.copy(&message.record(), CHECK_MAX_TIME_TOPIC, QUEUE_ID)?;
            let placed = self.put(&[draft], CHECK_MAX_TIME_TOPIC, QUEUE_ID, 1)?;
            let op = self.place_op(indexes).map_err(|error| error.with_appended(placed))?;
            Ok((placed, op))
        });
        match set_aside {
            Ok(placed) => {
                let kept = placed.physical_offset;
                tracing::warn!(%half, %kept, "a transaction was ended that nobody knew about");
            }
            Err(error) if error.status() == Status::NoSuchTransaction => {}
            Err(error) => tracing::error!(%error, %half, "a transaction cannot be ended yet"),
        }
    }
}

impl OpenHalves {
    /// Where the half messages lie that are to be asked about.
    fn due(&self, now_ms: i64) -> Vec<u64> {
        let due = self.by_offset.iter().filter(|(_, open)| open.remaining_ms(now_ms) == 0);
        due.map(|(offset, _)| *offset).collect()
    }
}
