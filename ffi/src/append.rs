//! Appending: one message, many, batches, and without waiting.

use std::ffi::c_void;

use engine::{AppendResult, EncodedBatch, Message, Result, Store};

use crate::callbacks;
use crate::error::cairn_error;
use crate::message::{MessageParts, UseTopic, cairn_append_result, cairn_message};
use crate::open_struct::{OutStruct, StructArray};
use crate::status::cairn_status;
use crate::store::cairn_store;
use crate::text::cairn_bytes;

/// Takes the end of an asynchronous append: exactly once, when the message is acknowledged or will
/// not be; never when the append itself returned a failure.
///
/// It runs on the store's completion thread, one call after the other. `result` says where the
/// message lies; it is null when that is unknown. `error` is null exactly if `status` is
/// `CAIRN_STATUS_OK`. Both are borrowed for the call. `user_data` is what was passed to the append.
///
/// It may append, without waiting for the outcome, and read. It must not close or free the store,
/// wait for durability or flush, and must not leave by an exception or `longjmp`.
pub type cairn_append_callback = Option<
    unsafe extern "C" fn(
        status: cairn_status,
        result: *const cairn_append_result,
        error: *const cairn_error,
        user_data: *mut c_void,
    ),
>;

/// Appends one message and returns when it is as safe as the store's flush mode promises.
///
/// `out_result` may be null. A refused message leaves the log as it was.
/// `CAIRN_STATUS_FLUSH_TIMEOUT` means that the record is in the log and its durability unknown;
/// `cairn_error_appended` says where it lies.
///
/// # Safety
/// - `store` is null or live.
/// - `message` is null, or readable for as many bytes as its `struct_size` says, and so is what it
///   points to.
/// - `out_result` is null, or writable for as many bytes as its `struct_size` says.
/// - `out_error` is null or writable.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_store_append(
    store: *mut cairn_store,
    message: *const cairn_message,
    out_result: *mut cairn_append_result,
    out_error: *mut *mut cairn_error,
) -> cairn_status {
    boundary!(out_error, {
        let store = require!(store);
        // SAFETY: null or as long as it says, says the caller.
        let out_result = unsafe { OutStruct::optional(out_result, "out_result") }?;
        // SAFETY: readable as it says, says the caller.
        let parts = unsafe { MessageParts::read(message) }?;
        let _inside = store.fence.enter_write()?;
        let writer = store.writer()?;
        let append = |message: &Message<'_>| {
            let placed = writer.append(message)?;
            if let Some(out_result) = out_result {
                out_result.write(placed.into());
            }
            Ok(())
        };
        // SAFETY: what it points to is readable during the call, says the caller.
        unsafe { parts.with_message(UseTopic::Yes, append) }
    })
}

/// Appends messages in order and waits for all of them once. It stops at the first that is refused;
/// those before it stay appended.
///
/// `*out_appended` says how many were appended, also after a failure; as many elements of
/// `out_results`, which may be null, are written. The elements of both arrays lie `struct_size` of
/// the first one apart, and all must state the same size.
///
/// # Safety
/// - `store` is null or live.
/// - `messages` is null, or readable for `count` elements, and so is what they point to.
/// - `out_results` is null, or writable for `count` elements.
/// - `out_appended` is null or writable.
/// - `out_error` is null or writable.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_store_append_many(
    store: *mut cairn_store,
    messages: *const cairn_message,
    count: usize,
    out_results: *mut cairn_append_result,
    out_appended: *mut usize,
    out_error: *mut *mut cairn_error,
) -> cairn_status {
    boundary!(out_error, {
        let out_appended = require!(out out_appended);
        out_appended.set(0);
        let store = require!(store);
        // SAFETY: null or readable for the count, says the caller; nothing is written to it.
        let messages = unsafe { StructArray::new(messages.cast_mut(), count, "messages") }?;
        let wanted = if out_results.is_null() { 0 } else { count };
        // SAFETY: null or writable for the count, says the caller.
        let out_results = unsafe { StructArray::new(out_results, wanted, "out_results") }?;
        let Some(messages) = messages else {
            return Ok(());
        };
        let _inside = store.fence.enter_write()?;
        let mut results = Vec::with_capacity(messages.count());
        // SAFETY: what the elements point to is readable during the call, says the caller.
        let outcome = unsafe { append_array(store.writer()?, &messages, &mut results) };
        out_appended.set(results.len());
        for (index, placed) in results.into_iter().enumerate() {
            if let Some(out_result) = out_results.and_then(|array| array.out(index)) {
                out_result.write(placed.into());
            }
        }
        outcome
    })
}

/// Appends the elements up to the first that cannot be converted or is refused.
///
/// # Safety
///
/// - Nobody changes the elements during the call, and what they point to is readable.
unsafe fn append_array(
    store: &Store,
    array: &StructArray<cairn_message>,
    results: &mut Vec<AppendResult>,
) -> Result<()> {
    let mut parts = Vec::with_capacity(array.count());
    let mut refused = Ok(());
    for index in 0..array.count() {
        // SAFETY: nobody changes an argument during the call, says the caller.
        let source = unsafe { array.lend(index) };
        let part = source.and_then(|source| {
            // SAFETY: what it points to is readable, says the caller.
            unsafe { MessageParts::new(source) }
        });
        match part {
            Ok(part) => parts.push(part),
            Err(error) => {
                refused = Err(error);
                break;
            }
        }
    }
    let mut messages: Vec<Message<'_>> = Vec::with_capacity(parts.len());
    for part in &parts {
        // SAFETY: what it points to is readable, says the caller.
        match unsafe { part.with_message(UseTopic::Yes, |message| Ok(*message)) } {
            Ok(message) => messages.push(message),
            Err(error) => {
                refused = Err(error);
                break;
            }
        }
    }
    if !messages.is_empty() {
        store.append_many(&messages, results)?;
    }
    refused
}

/// Appends a message and returns at once; `callback` takes its end.
///
/// On success the callback runs exactly once, at the latest inside `cairn_store_close`; it may run
/// before this function returns. On failure it does not run.
///
/// # Safety
/// - `store` is null or live.
/// - `message` is null, or readable for as many bytes as its `struct_size` says, and so is what it
///   points to, until this function returns.
/// - `callback` is null or may be called with `user_data` from another thread.
/// - `out_error` is null or writable.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_store_append_async(
    store: *mut cairn_store,
    message: *const cairn_message,
    callback: cairn_append_callback,
    user_data: *mut c_void,
    out_error: *mut *mut cairn_error,
) -> cairn_status {
    boundary!(out_error, {
        let store = require!(store);
        let callback = callbacks::required(callback)?;
        // SAFETY: readable as it says, says the caller.
        let parts = unsafe { MessageParts::read(message) }?;
        let _inside = store.fence.enter_write()?;
        let sink = store.callbacks.sink(callback);
        let token = callbacks::token(user_data);
        let writer = store.writer()?;
        let append = |message: &Message<'_>| writer.append_to_sink(message, &sink, token);
        // SAFETY: what it points to is readable during the call, says the caller.
        unsafe { parts.with_message(UseTopic::Yes, append) }?;
        Ok(())
    })
}

/// Appends a batch that a client encoded, as consecutive records: all of them or none.
///
/// `shared` gives what the messages have in common: topic, queue, system flag, addresses, tag, keys
/// and properties, which are added to those of each item; its body and flag are not used. `items`
/// is RocketMQ's client encoding, as `cairn_batch_items` makes it. `out_result` may be null.
///
/// # Safety
/// - `store` is null or live.
/// - `shared` is null, or readable for as many bytes as its `struct_size` says, and so is what it
///   points to.
/// - `items` is readable for its length.
/// - `out_result` is null, or writable for as many bytes as its `struct_size` says.
/// - `out_error` is null or writable.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_store_append_batch(
    store: *mut cairn_store,
    shared: *const cairn_message,
    items: cairn_bytes,
    out_result: *mut cairn_append_result,
    out_error: *mut *mut cairn_error,
) -> cairn_status {
    boundary!(out_error, {
        // SAFETY: the caller's promise is the same.
        unsafe { append_encoded(store, shared, items, out_result, Store::append_batch) }
    })
}

/// Appends a batch that a client encoded, as one record that carries all items (an inner batch).
///
/// Arguments as for `cairn_store_append_batch`.
///
/// # Safety
/// - As for `cairn_store_append_batch`.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_store_append_inner_batch(
    store: *mut cairn_store,
    shared: *const cairn_message,
    items: cairn_bytes,
    out_result: *mut cairn_append_result,
    out_error: *mut *mut cairn_error,
) -> cairn_status {
    boundary!(out_error, {
        // SAFETY: the caller's promise is the same.
        unsafe { append_encoded(store, shared, items, out_result, Store::append_inner_batch) }
    })
}

/// # Safety
///
/// - As for [`cairn_store_append_batch`].
unsafe fn append_encoded(
    store: *const cairn_store,
    shared: *const cairn_message,
    items: cairn_bytes,
    out_result: *mut cairn_append_result,
    append: impl FnOnce(&Store, &EncodedBatch<'_>) -> Result<AppendResult>,
) -> Result<()> {
    let store = require!(store);
    // SAFETY: null or as long as it says, says the caller.
    let out_result = unsafe { OutStruct::optional(out_result, "out_result") }?;
    // SAFETY: readable as it says, says the caller.
    let parts = unsafe { MessageParts::read(shared) }?;
    // SAFETY: readable for its length, says the caller.
    let items = unsafe { items.slice("items") }?;
    let _inside = store.fence.enter_write()?;
    let writer = store.writer()?;
    let append = |shared: &Message<'_>| append(writer, &EncodedBatch { shared: *shared, items });
    // SAFETY: what it points to is readable during the call, says the caller.
    let placed = unsafe { parts.with_message(UseTopic::Yes, append) }?;
    if let Some(out_result) = out_result {
        out_result.write(placed.into());
    }
    Ok(())
}
