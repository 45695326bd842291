//! Transactions: messages that nobody sees until they are committed.

use crate::boundary;
use crate::error::cairn_error;
use crate::message::{MessageParts, UseTopic, cairn_append_result, cairn_message};
use crate::open_struct::OutStruct;
use crate::status::cairn_status;
use crate::store::{cairn_store, physical_offset};

/// The half messages of the transactions that were open at one moment. They do not change.
pub struct cairn_open_transactions {
    halves: Vec<i64>,
}

/// Stores a message that comes to its queue only when the transaction is committed: its half
/// message. The result says where that lies; `physical_offset` is what commit and rollback take.
///
/// The transaction stays open until one of them, also over closing and opening the store. The
/// transaction type in the message's `sys_flag` is not looked at, and a delay begins with the
/// commit.
///
/// Gives `CAIRN_STATUS_INVALID_ARGUMENT` in a store without consume queues; else the statuses are
/// those of `cairn_store_append`.
///
/// # Safety
/// - `store` is null or live.
/// - `message` is null, or readable for as many bytes as its `struct_size` says, and so is what it
///   points to.
/// - `out_half` is null, or writable for as many bytes as its `struct_size` says.
/// - `out_error` is null or writable.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_store_begin_transaction(
    store: *mut cairn_store,
    message: *const cairn_message,
    out_half: *mut cairn_append_result,
    out_error: *mut *mut cairn_error,
) -> cairn_status {
    boundary!(out_error, {
        let store = require!(store);
        // SAFETY: null or as long as it says, says the caller.
        let out_half = unsafe { OutStruct::new(out_half, "out_half") }?;
        // SAFETY: readable as it says, says the caller.
        let parts = unsafe { MessageParts::read(message) }?;
        let _inside = store.fence.enter_write()?;
        let writer = store.writer()?;
        // SAFETY: what it points to is readable during the call, says the caller.
        let half = unsafe {
            parts.with_message(UseTopic::Yes, |message| {
                Ok(writer.begin_transaction(message)?.half())
            })
        }?;
        out_half.write(half.into());
        Ok(())
    })
}

/// Puts the message of an open transaction into its queue. `out_result` says where it lies, and may
/// be null.
///
/// Gives `CAIRN_STATUS_NO_SUCH_TRANSACTION` when no open transaction has its half message there. On
/// another failure the transaction stays open, unless `cairn_error_appended` says where the message
/// lies: it is committed then, but after a crash the transaction may be open again.
///
/// # Safety
/// - `store` is null or live.
/// - `out_result` is null, or writable for as many bytes as its `struct_size` says.
/// - `out_error` is null or writable.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_store_commit_transaction(
    store: *mut cairn_store,
    half_offset: i64,
    out_result: *mut cairn_append_result,
    out_error: *mut *mut cairn_error,
) -> cairn_status {
    boundary!(out_error, {
        let store = require!(store);
        // SAFETY: null or as long as it says, says the caller.
        let out_result = unsafe { OutStruct::optional(out_result, "out_result") }?;
        let half = physical_offset(half_offset, "half_offset")?;
        let _inside = store.fence.enter_write()?;
        let placed = store.writer()?.commit_transaction(half)?;
        if let Some(out_result) = out_result {
            out_result.write(placed.into());
        }
        Ok(())
    })
}

/// Ends an open transaction: nobody will ever see its message.
///
/// Gives `CAIRN_STATUS_NO_SUCH_TRANSACTION` when no open transaction has its half message there.
///
/// # Safety
/// - `store` is null or live.
/// - `out_error` is null or writable.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_store_rollback_transaction(
    store: *mut cairn_store,
    half_offset: i64,
    out_error: *mut *mut cairn_error,
) -> cairn_status {
    boundary!(out_error, {
        let store = require!(store);
        let half = physical_offset(half_offset, "half_offset")?;
        let _inside = store.fence.enter_write()?;
        store.writer()?.rollback_transaction(half)
    })
}

/// Lists the open transactions, oldest first, by the physical offsets of their half messages, which
/// `cairn_store_read_at` reads. Free the list with `cairn_open_transactions_free`.
///
/// # Safety
/// - `store` is null or live.
/// - `out_transactions` is null or writable.
/// - `out_error` is null or writable.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_store_open_transactions(
    store: *const cairn_store,
    out_transactions: *mut *mut cairn_open_transactions,
    out_error: *mut *mut cairn_error,
) -> cairn_status {
    boundary!(out_error, {
        let out_transactions = require!(out out_transactions).clear();
        let store = require!(store);
        let _inside = store.fence.enter();
        let open = store.writer()?.open_transactions()?;
        let halves = open.into_iter().map(|offset| offset.to_i64()).collect();
        out_transactions.give(cairn_open_transactions { halves });
        Ok(())
    })
}

/// Returns the number of transactions.
///
/// # Safety
/// - `transactions` is null or live.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cairn_open_transactions_len(
    transactions: *const cairn_open_transactions,
) -> usize {
    value!(0, {
        // SAFETY: null or live, says the caller.
        let transactions = unsafe { transactions.as_ref() }?;
        Some(transactions.halves.len())
    })
}

/// Returns the physical offset of a half message of the list, from 0; -1 beyond the last.
///
/// # Safety
/// - `transactions` is null or live.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cairn_open_transactions_get(
    transactions: *const cairn_open_transactions,
    index: usize,
) -> i64 {
    value!(-1, {
        // SAFETY: null or live, says the caller.
        let transactions = unsafe { transactions.as_ref() }?;
        transactions.halves.get(index).copied()
    })
}

/// Frees a list of transactions. Null is accepted.
///
/// # Safety
/// - `transactions` is null or live, and not used afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cairn_open_transactions_free(transactions: *mut cairn_open_transactions) {
    // SAFETY: the caller's promise is the same.
    unsafe { boundary::free(transactions) }
}
