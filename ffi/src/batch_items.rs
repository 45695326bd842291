//! The client encoding of a batch, item by item.

use engine::encode_batch_item;

use crate::boundary;
use crate::error::cairn_error;
use crate::status::cairn_status;
use crate::text::cairn_bytes;

/// Messages in RocketMQ's client encoding, for `cairn_store_append_batch`. Used by one thread at a
/// time.
pub struct cairn_batch_items {
    bytes: Vec<u8>,
}

/// Makes an empty batch. Null only if memory ran out.
#[unsafe(no_mangle)]
pub extern "C" fn cairn_batch_items_new() -> *mut cairn_batch_items {
    value!(std::ptr::null_mut(), {
        let items = cairn_batch_items { bytes: Vec::new() };
        Some(Box::into_raw(Box::new(items)))
    })
}

/// Adds a message. `properties` is the stored form: name, byte 0x01, value, byte 0x02, and so on;
/// it may be empty. Everything is copied.
///
/// Gives `CAIRN_STATUS_BATCH_ILLEGAL` for a body above 2147483647 or properties above 32767 bytes.
///
/// # Safety
/// - `items` is null or live, and used by this thread only.
/// - `body` and `properties` are readable for their lengths.
/// - `out_error` is null or writable.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_batch_items_add(
    items: *mut cairn_batch_items,
    flag: i32,
    body: cairn_bytes,
    properties: cairn_bytes,
    out_error: *mut *mut cairn_error,
) -> cairn_status {
    boundary!(out_error, {
        let items = require!(mut items);
        // SAFETY: readable for its length, says the caller.
        let body = unsafe { body.slice("body") }?;
        // SAFETY: readable for its length, says the caller.
        let properties = unsafe { properties.slice("properties") }?;
        encode_batch_item(&mut items.bytes, flag, body, properties)
    })
}

/// Returns the encoding. It lives until the next change of the batch.
///
/// # Safety
/// - `items` is null or live.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cairn_batch_items_bytes(items: *const cairn_batch_items) -> cairn_bytes {
    value!(cairn_bytes::of(&[]), {
        // SAFETY: null or live, says the caller.
        let items = unsafe { items.as_ref() }?;
        Some(cairn_bytes::of(&items.bytes))
    })
}

/// Frees a batch. Null is accepted.
///
/// # Safety
/// - `items` is null or live, and not used afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cairn_batch_items_free(items: *mut cairn_batch_items) {
    // SAFETY: the caller's promise is the same.
    unsafe { boundary::free(items) }
}
