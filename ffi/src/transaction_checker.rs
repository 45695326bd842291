//! What is asked about transactions that stay open.

use std::cell::Cell;
use std::ffi::c_void;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use engine::{Result, TransactionAnswer, TransactionCheck, TransactionChecker};

use crate::boundary::{invalid, null_argument};
use crate::error::cairn_error;
use crate::read::cairn_batch;
use crate::status::cairn_status;
use crate::store::cairn_store;
use crate::text::cairn_str;

/// What is to become of an open transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum cairn_transaction_answer {
    /// It is not known yet: it is asked again later.
    Unknown = 0,
    /// Its message goes to its queue.
    Commit = 1,
    /// Nobody will ever see its message.
    Rollback = 2,
}

/// An open transaction that a checker is asked about, from the library. A later version may write
/// more fields than `struct_size` of the program's header says, never fewer.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct cairn_transaction_check {
    /// The size of this struct as the library knows it.
    pub struct_size: u32,
    /// Which time this transaction is asked about, from 1 on.
    pub times: u32,
    /// Where the half message lies now; `cairn_store_commit_transaction` takes it.
    pub half_offset: i64,
    /// The half message, as it was before this check, alone in a batch that is not to be freed. Its
    /// own topic is that of half messages.
    pub batch: *const cairn_batch,
    /// The topic the message is meant for.
    pub topic: cairn_str,
    /// The message's unique key (property `UNIQ_KEY`), RocketMQ's id of the transaction, or absent.
    pub id: cairn_str,
    /// The queue the message is meant for.
    pub queue_id: i32,
    /// Zero.
    pub reserved: u32,
}

/// Says what is to become of an open transaction, by a `cairn_transaction_answer`; any other number
/// counts as `CAIRN_TRANSACTION_ANSWER_UNKNOWN`.
///
/// It runs on a thread of the store, for one transaction after the other, any number of times, and
/// never again once `cairn_store_close` returned, or another checker was set and a call that was
/// running has ended. `check` and what it points to are borrowed for the call; `user_data` is what
/// was passed to `cairn_store_set_transaction_checker`.
///
/// It may call the library, also to append, to wait, and to end this or other transactions; but it
/// must not free a store, and `cairn_store_close` refuses it. It must not leave by an exception or
/// `longjmp`.
pub type cairn_transaction_callback = Option<
    unsafe extern "C" fn(check: *const cairn_transaction_check, user_data: *mut c_void) -> i32,
>;

/// Takes back the `user_data` of a callback that is not called any more. It runs once, on any
/// thread, and must not leave by an exception or `longjmp`.
pub type cairn_release_callback = Option<unsafe extern "C" fn(user_data: *mut c_void)>;

type CheckFunction = unsafe extern "C" fn(*const cairn_transaction_check, *mut c_void) -> i32;

thread_local! {
    /// Whether this thread is inside a checker.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Refuses a call that waits for the end of checkers, made by one.
pub(crate) fn refuse_inside() -> Result<()> {
    if INSIDE.get() {
        return Err(invalid("a transaction's checker cannot wait for the end of checks"));
    }
    Ok(())
}

/// The function that knows about transactions.
struct Checker {
    function: CheckFunction,
    release: cairn_release_callback,
    user_data: *mut c_void,
    /// Whether the store took it: what it refused stays the caller's.
    taken: AtomicBool,
}

// SAFETY: the caller of `cairn_store_set_transaction_checker` promises that both functions may be
// called with `user_data` on any thread.
unsafe impl Send for Checker {}
// SAFETY: as above; the engine asks about one transaction after the other.
unsafe impl Sync for Checker {}

impl Drop for Checker {
    fn drop(&mut self) {
        if let Some(release) = self.release.filter(|_| *self.taken.get_mut()) {
            // SAFETY: the function may be called so, says the caller of
            // `cairn_store_set_transaction_checker`; nobody asks any more.
            unsafe { release(self.user_data) };
        }
    }
}

impl TransactionChecker for Checker {
    fn check(&self, check: &TransactionCheck) -> TransactionAnswer {
        let batch = cairn_batch::looked_up(vec![check.message().clone()]);
        let id = check.id();
        let given = cairn_transaction_check {
            struct_size: size_of::<cairn_transaction_check>() as u32,
            times: check.times(),
            half_offset: check.half_offset().to_i64(),
            batch: &raw const batch,
            topic: cairn_str::of(check.topic().as_bytes()),
            id: id.as_ref().map_or(cairn_str::ABSENT, |id| cairn_str::of(id.as_bytes())),
            queue_id: check.queue_id(),
            reserved: 0,
        };
        INSIDE.set(true);
        // SAFETY: the function may be called so, says the caller of
        // `cairn_store_set_transaction_checker`; what it is given lives until it returns.
        let answer = unsafe { (self.function)(&given, self.user_data) };
        INSIDE.set(false);
        match answer {
            answer if answer == cairn_transaction_answer::Commit as i32 => {
                TransactionAnswer::Commit
            }
            answer if answer == cairn_transaction_answer::Rollback as i32 => {
                TransactionAnswer::Rollback
            }
            _ => TransactionAnswer::Unknown,
        }
    }
}

/// Sets the function that is asked about transactions that stay open, in the place of the one that
/// was set before.
///
/// It is asked about each whose message is older than the option `transaction_timeout_ms`, or than
/// the seconds in its property `CHECK_IMMUNITY_TIME_IN_SECONDS`; as long as the answer is unknown,
/// again each `transaction_check_interval_ms`, `transaction_check_max` times in all, over closing
/// and opening the store, too. Then the half message goes to queue 0 of the topic
/// `TRANS_CHECK_MAX_TIME_TOPIC`, and the transaction is ended.
///
/// `release`, which may be null, is called with `user_data` once `callback` is not called any more:
/// when another one was set, or the store was closed; not if this call fails.
///
/// Gives `CAIRN_STATUS_INVALID_ARGUMENT` in a store without consume queues.
///
/// # Safety
/// - `store` is null or live.
/// - `callback` is null or may be called with `user_data` from other threads.
/// - `release` is null or may be called with `user_data` from other threads.
/// - `out_error` is null or writable.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_store_set_transaction_checker(
    store: *mut cairn_store,
    callback: cairn_transaction_callback,
    release: cairn_release_callback,
    user_data: *mut c_void,
    out_error: *mut *mut cairn_error,
) -> cairn_status {
    boundary!(out_error, {
        let store = require!(store);
        let function = callback.ok_or_else(|| null_argument("callback"))?;
        let _inside = store.fence.enter_write()?;
        let checker =
            Arc::new(Checker { function, release, user_data, taken: AtomicBool::new(false) });
        // Held here, too, until it is known whether the store took it.
        let given = Arc::clone(&checker);
        store.writer()?.set_transaction_checker(given)?;
        checker.taken.store(true, Ordering::Release);
        Ok(())
    })
}
