//! The options of a store: an opaque object with setters.

use std::sync::Arc;

use engine::{AppendLockKind, DamagePolicy, FlushMode, Result, Status, StoreOptions};

use crate::boundary::{self, invalid};
use crate::error::cairn_error;
use crate::recovery_progress::{Listener, forward};
use crate::status::cairn_status;
use crate::text::cairn_str;

/// The options of a store. Used by one thread at a time; opening copies them, so one object may
/// open many stores, and may be freed at once.
pub struct cairn_options {
    options: StoreOptions,
    unknown: Vec<String>,
    listener: Option<Arc<Listener>>,
}

/// When an append is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum cairn_flush_mode {
    /// Once the record is in the page cache: it survives the death of the process, and a power cut
    /// after the next flush. RocketMQ's `ASYNC_FLUSH`. The default.
    Async = 0,
    /// Once the record is synced to the device: it survives a power cut. RocketMQ's `SYNC_FLUSH`.
    Sync = 1,
}

/// How appending threads wait for each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum cairn_append_lock {
    /// Sleep when the lock is taken. The default.
    Mutex = 0,
    /// Never sleep: for more cores than appending threads.
    Spin = 1,
    /// Spin for a while that adapts to how long the lock is held, then sleep.
    Adaptive = 2,
}

/// What opening does with a damaged record that has good records behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum cairn_damage_policy {
    /// Fail with `CAIRN_STATUS_CORRUPTION` and change nothing. The default.
    Refuse = 0,
    /// Cut the log at the damaged record, after copying the removed bytes to `lost+found/`.
    Truncate = 1,
}

impl cairn_options {
    /// The engine's options; the defaults where the caller passed null.
    pub(crate) fn engine_options(options: Option<&Self>) -> StoreOptions {
        options.map(|own| own.options.clone()).unwrap_or_default()
    }

    /// Makes one change, or none if the result lies outside the limits.
    fn change(&mut self, change: impl FnOnce(&mut StoreOptions)) -> Result<()> {
        let mut changed = self.options.clone();
        change(&mut changed);
        changed.validate()?;
        self.options = changed;
        Ok(())
    }

    /// Has this listener told how far opening is, in the place of the one before.
    pub(crate) fn set_listener(&mut self, listener: Option<Arc<Listener>>) {
        if let Some(listener) = &listener {
            self.options.on_recovery_progress(forward(Arc::downgrade(listener)));
        }
        self.listener = listener;
    }
}

/// Reads a boolean that came as a number.
fn boolean(value: i32) -> Result<bool> {
    match value {
        0 => Ok(false),
        1 => Ok(true),
        other => Err(invalid("a boolean option cannot have this value").expected("0 or 1", other)),
    }
}

/// Makes options with every default. Null only if memory ran out.
#[unsafe(no_mangle)]
pub extern "C" fn cairn_options_new() -> *mut cairn_options {
    value!(std::ptr::null_mut(), {
        let options = StoreOptions::default();
        let options = cairn_options { options, unknown: Vec::new(), listener: None };
        Some(Box::into_raw(Box::new(options)))
    })
}

/// Makes options from RocketMQ's `broker.conf` (`name=value` lines, `#` and `!` begin comments)
/// over the defaults. Names that are no option here, a broker's own settings among them, are passed
/// over and listed by `cairn_options_unknown_name`.
///
/// Gives `CAIRN_STATUS_INVALID_ARGUMENT` when a known option has an impossible value.
///
/// # Safety
/// - `text` is readable for its length.
/// - `out_options` is null or writable.
/// - `out_error` is null or writable.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_options_from_properties(
    text: cairn_str,
    out_options: *mut *mut cairn_options,
    out_error: *mut *mut cairn_error,
) -> cairn_status {
    boundary!(out_error, {
        let out_options = require!(out out_options).clear();
        // SAFETY: readable for its length, says the caller.
        let text = unsafe { text.text("text", Status::InvalidArgument) }?;
        let (options, unknown) = StoreOptions::from_properties(text)?;
        out_options.give(cairn_options { options, unknown, listener: None });
        Ok(())
    })
}

/// Returns how many names `cairn_options_from_properties` passed over.
///
/// # Safety
/// - `options` is null or live.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cairn_options_unknown_count(options: *const cairn_options) -> usize {
    value!(0, {
        // SAFETY: null or live, says the caller.
        let options = unsafe { options.as_ref() }?;
        Some(options.unknown.len())
    })
}

/// Returns a name that `cairn_options_from_properties` passed over, in the order of the text; an
/// empty text beyond the last. It lives as long as the options.
///
/// # Safety
/// - `options` is null or live.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cairn_options_unknown_name(
    options: *const cairn_options,
    index: usize,
) -> cairn_str {
    value!(cairn_str::ABSENT, {
        // SAFETY: null or live, says the caller.
        let options = unsafe { options.as_ref() }?;
        let name = options.unknown.get(index)?;
        Some(cairn_str::of(name.as_bytes()))
    })
}

/// Sets any option by name, ours or RocketMQ's, from text: `flush_mode` or `flushDiskType`,
/// `segment_size_bytes` or `mappedFileSizeCommitLog`, and so on.
///
/// Sizes and counts are decimal and may end in `K`, `M` or `G` (powers of 1024); booleans are
/// `true` and `false`; several paths are separated by commas.
///
/// Gives `CAIRN_STATUS_INVALID_ARGUMENT` when there is no such option or it cannot have this value;
/// the options are then as before.
///
/// # Safety
/// - `options` is null or live, and used by this thread only.
/// - `name` and `value` are readable for their lengths.
/// - `out_error` is null or writable.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_options_set(
    options: *mut cairn_options,
    name: cairn_str,
    value: cairn_str,
    out_error: *mut *mut cairn_error,
) -> cairn_status {
    boundary!(out_error, {
        let options = require!(mut options);
        // SAFETY: readable for its length, says the caller.
        let name = unsafe { name.text("name", Status::InvalidArgument) }?;
        // SAFETY: readable for its length, says the caller.
        let value = unsafe { value.text("value", Status::InvalidArgument) }?;
        let mut changed = options.options.clone();
        changed.set(name, value)?;
        changed.validate()?;
        options.options = changed;
        Ok(())
    })
}

/// Sets the size of a commit log file in bytes, for a store that has none yet: a multiple of 4096
/// from 65536 to 1073741824. An existing store keeps the size it has. Default 1073741824.
///
/// Gives `CAIRN_STATUS_INVALID_ARGUMENT` for any other value; the options are then as before.
///
/// # Safety
/// - `options` is null or live, and used by this thread only.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_options_set_segment_size_bytes(
    options: *mut cairn_options,
    value: u64,
) -> cairn_status {
    boundary!({
        let options = require!(mut options);
        options.change(|options| options.segment_size_bytes = value)
    })
}

/// Sets when an append is acknowledged: a `cairn_flush_mode`.
///
/// Gives `CAIRN_STATUS_INVALID_ARGUMENT` for any other value; the options are then as before.
///
/// # Safety
/// - `options` is null or live, and used by this thread only.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_options_set_flush_mode(
    options: *mut cairn_options,
    value: i32,
) -> cairn_status {
    boundary!({
        let options = require!(mut options);
        let value = match value {
            value if value == cairn_flush_mode::Async as i32 => FlushMode::Async,
            value if value == cairn_flush_mode::Sync as i32 => FlushMode::Sync,
            other => {
                return Err(invalid("there is no such flush_mode").expected("0 or 1", other));
            }
        };
        options.change(|options| options.flush_mode = value)
    })
}

/// Sets how appending threads wait for each other: a `cairn_append_lock`.
///
/// Gives `CAIRN_STATUS_INVALID_ARGUMENT` for any other value; the options are then as before.
///
/// # Safety
/// - `options` is null or live, and used by this thread only.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_options_set_append_lock(
    options: *mut cairn_options,
    value: i32,
) -> cairn_status {
    boundary!({
        let options = require!(mut options);
        let value = match value {
            value if value == cairn_append_lock::Mutex as i32 => AppendLockKind::Mutex,
            value if value == cairn_append_lock::Spin as i32 => AppendLockKind::Spin,
            value if value == cairn_append_lock::Adaptive as i32 => AppendLockKind::Adaptive,
            other => {
                return Err(invalid("there is no such append_lock").expected("0, 1 or 2", other));
            }
        };
        options.change(|options| options.append_lock = value)
    })
}

/// Sets what opening does with damage in the middle of the log: a `cairn_damage_policy`.
///
/// Gives `CAIRN_STATUS_INVALID_ARGUMENT` for any other value; the options are then as before.
///
/// # Safety
/// - `options` is null or live, and used by this thread only.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_options_set_damage_policy(
    options: *mut cairn_options,
    value: i32,
) -> cairn_status {
    boundary!({
        let options = require!(mut options);
        let value = match value {
            value if value == cairn_damage_policy::Refuse as i32 => DamagePolicy::Refuse,
            value if value == cairn_damage_policy::Truncate as i32 => DamagePolicy::Truncate,
            other => {
                return Err(invalid("there is no such damage_policy").expected("0 or 1", other));
            }
        };
        options.change(|options| options.damage_policy = value)
    })
}

/// Sets whether a store is made where there is none: 0 or 1. Default 1.
///
/// Gives `CAIRN_STATUS_INVALID_ARGUMENT` for any other value; the options are then as before.
///
/// # Safety
/// - `options` is null or live, and used by this thread only.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_options_set_create_if_missing(
    options: *mut cairn_options,
    value: i32,
) -> cairn_status {
    boundary!({
        let options = require!(mut options);
        let value = boolean(value)?;
        options.change(|options| options.create_if_missing = value)
    })
}

/// Sets how long a synchronous append waits for its sync, in milliseconds, at least 1. Default
/// 5000.
///
/// Gives `CAIRN_STATUS_INVALID_ARGUMENT` for any other value; the options are then as before.
///
/// # Safety
/// - `options` is null or live, and used by this thread only.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_options_set_sync_flush_timeout_ms(
    options: *mut cairn_options,
    value: u64,
) -> cairn_status {
    boundary!({
        let options = require!(mut options);
        options.change(|options| options.sync_flush_timeout_ms = value)
    })
}

/// Sets the period of the asynchronous flush, in milliseconds, at least 1. Default 500.
///
/// Gives `CAIRN_STATUS_INVALID_ARGUMENT` for any other value; the options are then as before.
///
/// # Safety
/// - `options` is null or live, and used by this thread only.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_options_set_flush_interval_ms(
    options: *mut cairn_options,
    value: u64,
) -> cairn_status {
    boundary!({
        let options = require!(mut options);
        options.change(|options| options.flush_interval_ms = value)
    })
}

/// Sets the largest body in bytes, at least 1. Default 4194304.
///
/// Gives `CAIRN_STATUS_INVALID_ARGUMENT` for any other value; the options are then as before.
///
/// # Safety
/// - `options` is null or live, and used by this thread only.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_options_set_max_message_size_bytes(
    options: *mut cairn_options,
    value: u32,
) -> cairn_status {
    boundary!({
        let options = require!(mut options);
        options.change(|options| options.max_message_size_bytes = value)
    })
}

/// Sets the space reserved, and the memory populated, ahead of the append position, in bytes, from
/// 1048576 to 1073741824. Default 33554432.
///
/// Gives `CAIRN_STATUS_INVALID_ARGUMENT` for any other value; the options are then as before.
///
/// # Safety
/// - `options` is null or live, and used by this thread only.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_options_set_reserve_ahead_bytes(
    options: *mut cairn_options,
    value: u64,
) -> cairn_status {
    boundary!({
        let options = require!(mut options);
        options.change(|options| options.reserve_ahead_bytes = value)
    })
}

/// Sets whether appends go to locked private buffers first: 0 or 1. An acknowledged message of an
/// asynchronous store then survives the death of the process only after it was committed. Default
/// 0.
///
/// Gives `CAIRN_STATUS_INVALID_ARGUMENT` for any other value; the options are then as before.
///
/// # Safety
/// - `options` is null or live, and used by this thread only.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_options_set_transient_store_pool_enable(
    options: *mut cairn_options,
    value: i32,
) -> cairn_status {
    boundary!({
        let options = require!(mut options);
        let value = boolean(value)?;
        options.change(|options| options.transient_store_pool_enable = value)
    })
}

/// Sets whether each record that is appended carries a CRC over header, body and properties: 0 or
/// 1. RocketMQ before 5.2 reads such records but takes the CRC for an ordinary property. Default 1.
///
/// Gives `CAIRN_STATUS_INVALID_ARGUMENT` for any other value; the options are then as before.
///
/// # Safety
/// - `options` is null or live, and used by this thread only.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_options_set_append_record_crc(
    options: *mut cairn_options,
    value: i32,
) -> cairn_status {
    boundary!({
        let options = require!(mut options);
        let value = boolean(value)?;
        options.change(|options| options.append_record_crc = value)
    })
}

/// Sets whether opening verifies the CRC of every record: 0 or 1. Default 1.
///
/// Gives `CAIRN_STATUS_INVALID_ARGUMENT` for any other value; the options are then as before.
///
/// # Safety
/// - `options` is null or live, and used by this thread only.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_options_set_check_crc_on_recover(
    options: *mut cairn_options,
    value: i32,
) -> cairn_status {
    boundary!({
        let options = require!(mut options);
        let value = boolean(value)?;
        options.change(|options| options.check_crc_on_recover = value)
    })
}

/// Sets whether records are dispatched to consume queues: 0 or 1. Without them the store is a log
/// that is read by physical offset only, and an opening walks all of it if it was not closed
/// before. Default 1.
///
/// Gives `CAIRN_STATUS_INVALID_ARGUMENT` for any other value; the options are then as before.
///
/// # Safety
/// - `options` is null or live, and used by this thread only.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_options_set_consume_queue_enable(
    options: *mut cairn_options,
    value: i32,
) -> cairn_status {
    boundary!({
        let options = require!(mut options);
        let value = boolean(value)?;
        options.change(|options| options.consume_queue_enable = value)
    })
}

/// Sets whether keys are put into the key index, which `cairn_store_query_key` needs: 0 or 1.
/// Default 1.
///
/// Gives `CAIRN_STATUS_INVALID_ARGUMENT` for any other value; the options are then as before.
///
/// # Safety
/// - `options` is null or live, and used by this thread only.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_options_set_message_index_enable(
    options: *mut cairn_options,
    value: i32,
) -> cairn_status {
    boundary!({
        let options = require!(mut options);
        let value = boolean(value)?;
        options.change(|options| options.message_index_enable = value)
    })
}

/// Sets whether a synchronous store shows consumers messages before they are durable: 0 or 1.
/// Default 0.
///
/// Gives `CAIRN_STATUS_INVALID_ARGUMENT` for any other value; the options are then as before.
///
/// # Safety
/// - `options` is null or live, and used by this thread only.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_options_set_read_uncommitted(
    options: *mut cairn_options,
    value: i32,
) -> cairn_status {
    boundary!({
        let options = require!(mut options);
        let value = boolean(value)?;
        options.change(|options| options.read_uncommitted = value)
    })
}

/// Frees options. Null is accepted.
///
/// # Safety
/// - `options` is null or live, and not used afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cairn_options_free(options: *mut cairn_options) {
    // SAFETY: the caller's promise is the same.
    unsafe { boundary::free(options) }
}
