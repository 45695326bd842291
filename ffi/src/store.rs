//! A store: open, positions, flush, close.

use std::sync::Arc;
use std::time::Duration;

use engine::{PhysicalOffset, Result, Status, Store};

use crate::boundary::{self, invalid};
use crate::callbacks::Callbacks;
use crate::error::cairn_error;
use crate::fence::Fence;
use crate::open_struct::{OpenStruct, OutStruct};
use crate::opened::{Opened, of_either};
use crate::options::cairn_options;
use crate::recovery::cairn_recovery;
use crate::status::cairn_status;
use crate::text::cairn_str;
use crate::transaction_checker::refuse_inside;

/// A store: one directory, open for appending and reading, or for reading only.
///
/// Every function may be called from any thread at the same time, except `cairn_store_free`, which
/// is last. After `cairn_store_close` calls give `CAIRN_STATUS_STORE_CLOSED`.
pub struct cairn_store {
    pub(crate) opened: Opened,
    pub(crate) fence: Fence,
    pub(crate) callbacks: Arc<Callbacks>,
    /// Absent in a store that is only read.
    recovery: Option<cairn_recovery>,
    path: Vec<u8>,
}

impl cairn_store {
    /// The store, for a call that one which is only read refuses.
    pub(crate) fn writer(&self) -> Result<&Arc<Store>> {
        self.opened.writer()
    }
}

impl Drop for cairn_store {
    /// Closes the store here and now: a tail may hold it a moment longer.
    fn drop(&mut self) {
        // The engine reports a failure when the last holder drops the store.
        let _ = self.opened.close();
    }
}

/// The positions of the log, each only moving forward. Begin with `CAIRN_POSITIONS_INIT`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct cairn_positions {
    /// The size of this struct as the program knows it.
    pub struct_size: u32,
    /// Zero.
    pub reserved: u32,
    /// The first byte the log still has.
    pub min_offset: i64,
    /// One past the last byte that was appended.
    pub max_offset: i64,
    /// Everything below is in the page cache: it is readable and survives the death of the process.
    pub committed_offset: i64,
    /// Everything below is synced to the device: it survives a power cut.
    pub durable_offset: i64,
    /// Everything below can be found in the queues and by key; `min_offset` in a store without
    /// queues.
    pub dispatched_offset: i64,
}

// SAFETY: repr(C) with the size first, numbers only, no padding (`abi/layout.txt` is checked for
// that), and all zeroes is valid.
unsafe impl OpenStruct for cairn_positions {
    const MIN_SIZE: usize = std::mem::offset_of!(cairn_positions, committed_offset);
}

/// The longest wait that is passed on; more counts as without limit.
const MAX_WAIT: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// A time in milliseconds, within what clocks can add.
pub(crate) fn wait_limit(timeout_ms: u64) -> Duration {
    Duration::from_millis(timeout_ms).min(MAX_WAIT)
}

/// A physical offset of the caller.
pub(crate) fn physical_offset(offset: i64, name: &str) -> Result<PhysicalOffset> {
    PhysicalOffset::from_i64(offset)
        .ok_or_else(|| invalid(format!("{name} is negative")).expected("at least 0", offset))
}

/// A path of the caller, in the operating system's spelling.
///
/// # Safety
///
/// - `path` is readable for its length.
pub(crate) unsafe fn path_argument(path: &cairn_str) -> Result<std::path::PathBuf> {
    // SAFETY: readable for its length, says the caller.
    let bytes = unsafe { path.bytes("path") }?;
    if bytes.is_empty() || bytes.contains(&0) {
        return Err(invalid("path is empty or holds a zero byte"));
    }
    path_from_bytes(bytes)
}

#[cfg(unix)]
fn path_from_bytes(bytes: &[u8]) -> Result<std::path::PathBuf> {
    use std::os::unix::ffi::OsStrExt;
    Ok(std::ffi::OsStr::from_bytes(bytes).into())
}

#[cfg(not(unix))]
fn path_from_bytes(bytes: &[u8]) -> Result<std::path::PathBuf> {
    std::str::from_utf8(bytes)
        .map(std::path::PathBuf::from)
        .map_err(|_| invalid("path is no UTF-8"))
}

/// Opens a store, or makes one: recovers what is there, takes the lock, starts the services.
///
/// `options` may be null for every default. On failure `*out_store` is null. Among the statuses:
/// `CAIRN_STATUS_STORE_LOCKED` (another opener holds it; the message names its process where
/// known), `CAIRN_STATUS_CORRUPTION` (a damaged record with good ones behind it),
/// `CAIRN_STATUS_FOREIGN_FILE`, `CAIRN_STATUS_WRONG_FILE_SIZE`, `CAIRN_STATUS_PERMISSION_DENIED`,
/// `CAIRN_STATUS_STORE_NOT_FOUND`. A failed opening has changed nothing.
///
/// # Safety
/// - `path` is readable for its length.
/// - `options` is null or live.
/// - `out_store` is null or writable.
/// - `out_error` is null or writable.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_store_open(
    path: cairn_str,
    options: *const cairn_options,
    out_store: *mut *mut cairn_store,
    out_error: *mut *mut cairn_error,
) -> cairn_status {
    boundary!(out_error, {
        let out_store = require!(out out_store).clear();
        // SAFETY: readable for its length, says the caller.
        let path = unsafe { path_argument(&path) }?;
        // SAFETY: null or live, says the caller.
        let options = cairn_options::engine_options(unsafe { options.as_ref() });
        let store = Store::open(&path, &options)?;
        out_store.give(cairn_store {
            recovery: Some(cairn_recovery::from(store.recovery_report().clone())),
            path: path.as_os_str().as_encoded_bytes().to_vec(),
            opened: Opened::Store(Arc::new(store)),
            fence: Fence::default(),
            callbacks: Arc::default(),
        });
        Ok(())
    })
}

/// Opens the store in a directory for reading only, beside the process that writes it, which may be
/// this one, or beside nobody. It takes no lock, makes no file and changes nothing; the right to
/// read the directory is enough.
///
/// What reads works as on a store that `cairn_store_open` gave, `cairn_tail_open` included. It sees
/// what the writer stored until then: messages of a queue once the writer dispatched them, records
/// of the log as soon as they are whole. Waiting calls look again in pauses that double up to 50 ms
/// while nothing comes. The writer may close the store, die, and open it again. What retention
/// removes can be read no longer a second later, at most; batches stay valid. Should the writer cut
/// the log below what was read, which it does only after damage, reading there gives
/// `CAIRN_STATUS_CORRUPTION`, and the reader has to be opened again.
///
/// All other calls give `CAIRN_STATUS_READ_ONLY`: those that append, flush or remove, and those on
/// groups, transactions, statistics and dispatching.
///
/// Of the options, which may be null, those count that say where the log's files are, whether there
/// is a key index, and how many queue files stay open. On failure `*out_store` is null. Among the
/// statuses: `CAIRN_STATUS_STORE_NOT_FOUND` (there is no commit log with a file),
/// `CAIRN_STATUS_FOREIGN_FILE`, `CAIRN_STATUS_WRONG_FILE_SIZE`, `CAIRN_STATUS_MISSING_FILE`,
/// `CAIRN_STATUS_PERMISSION_DENIED`.
///
/// # Safety
/// - `path` is readable for its length.
/// - `options` is null or live.
/// - `out_store` is null or writable.
/// - `out_error` is null or writable.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_store_open_reader(
    path: cairn_str,
    options: *const cairn_options,
    out_store: *mut *mut cairn_store,
    out_error: *mut *mut cairn_error,
) -> cairn_status {
    boundary!(out_error, {
        let out_store = require!(out out_store).clear();
        // SAFETY: readable for its length, says the caller.
        let path = unsafe { path_argument(&path) }?;
        // SAFETY: null or live, says the caller.
        let options = cairn_options::engine_options(unsafe { options.as_ref() });
        let reader = Store::open_reader(&path, &options)?;
        out_store.give(cairn_store {
            opened: Opened::Reader(Arc::new(reader)),
            fence: Fence::default(),
            callbacks: Arc::default(),
            recovery: None,
            path: path.as_os_str().as_encoded_bytes().to_vec(),
        });
        Ok(())
    })
}

/// Tells whether the store was opened by `cairn_store_open_reader`; false for null.
///
/// # Safety
/// - `store` is null or live.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cairn_store_is_reader(store: *const cairn_store) -> bool {
    value!(false, {
        // SAFETY: null or live, says the caller.
        let store = unsafe { store.as_ref() }?;
        Some(store.writer().is_err())
    })
}

/// Returns the path the store was opened with. It lives as long as the store.
///
/// # Safety
/// - `store` is null or live.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cairn_store_path(store: *const cairn_store) -> cairn_str {
    value!(cairn_str::ABSENT, {
        // SAFETY: null or live, says the caller.
        let store = unsafe { store.as_ref() }?;
        Some(cairn_str::of(&store.path))
    })
}

/// Returns the size of a commit log file in bytes; 0 for null.
///
/// # Safety
/// - `store` is null or live.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cairn_store_segment_size_bytes(store: *const cairn_store) -> u64 {
    value!(0, {
        // SAFETY: null or live, says the caller.
        let store = unsafe { store.as_ref() }?;
        Some(of_either!(store.opened, it => it.segment_size_bytes()))
    })
}

/// Returns what opening found and did. It lives as long as the store; do not free it. Null for
/// null and for a store that is only read.
///
/// # Safety
/// - `store` is null or live.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cairn_store_recovery(store: *const cairn_store) -> *const cairn_recovery {
    value!(std::ptr::null(), {
        // SAFETY: null or live, says the caller.
        let store = unsafe { store.as_ref() }?;
        store.recovery.as_ref().map(std::ptr::from_ref)
    })
}

/// Tells the positions of the log. They are read one after the other, so that durable is at most
/// committed and committed at most max, also while others append. A store that is only read knows
/// nothing of what is durable or dispatched: both are -1, and `committed_offset` is `max_offset`.
///
/// # Safety
/// - `store` is null or live.
/// - `out_positions` is null, or writable for as many bytes as its `struct_size` says.
/// - `out_error` is null or writable.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_store_positions(
    store: *const cairn_store,
    out_positions: *mut cairn_positions,
    out_error: *mut *mut cairn_error,
) -> cairn_status {
    boundary!(out_error, {
        let store = require!(store);
        // SAFETY: null or as long as it says, says the caller.
        let out_positions = unsafe { OutStruct::new(out_positions, "out_positions") }?;
        let _inside = store.fence.enter();
        out_positions.write(match &store.opened {
            Opened::Store(store) => positions_of(store),
            Opened::Reader(reader) => {
                let max_offset = reader.max_offset().to_i64();
                cairn_positions {
                    struct_size: size_of::<cairn_positions>() as u32,
                    reserved: 0,
                    min_offset: reader.min_offset().to_i64(),
                    max_offset,
                    committed_offset: max_offset,
                    durable_offset: UNKNOWN,
                    dispatched_offset: UNKNOWN,
                }
            }
        });
        Ok(())
    })
}

/// A position that is not known.
const UNKNOWN: i64 = -1;

fn positions_of(store: &Store) -> cairn_positions {
    let min_offset = store.min_offset().to_i64();
    let durable_offset = store.durable_offset().to_i64();
    let committed_offset = store.committed_offset().to_i64();
    let max_offset = store.max_offset().to_i64();
    cairn_positions {
        struct_size: size_of::<cairn_positions>() as u32,
        reserved: 0,
        min_offset,
        max_offset,
        committed_offset,
        durable_offset,
        dispatched_offset: store.dispatched_offset().to_i64(),
    }
}

/// Tells the offset the next message of a queue gets, 0 for a queue that has none yet.
///
/// # Safety
/// - `store` is null or live.
/// - `topic` is readable for its length.
/// - `out_offset` is null or writable.
/// - `out_error` is null or writable.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_store_next_queue_offset(
    store: *const cairn_store,
    topic: cairn_str,
    queue_id: i32,
    out_offset: *mut i64,
    out_error: *mut *mut cairn_error,
) -> cairn_status {
    boundary!(out_error, {
        let store = require!(store);
        let out_offset = require!(out out_offset);
        // SAFETY: readable for its length, says the caller.
        let topic = unsafe { topic.text("topic", Status::TopicIllegal) }?;
        let _inside = store.fence.enter();
        out_offset.set(store.writer()?.next_queue_offset(topic, queue_id).to_i64());
        Ok(())
    })
}

/// Waits until everything below `physical_offset` is durable, at most `timeout_ms` milliseconds
/// (`CAIRN_WAIT_FOREVER`: without limit). The offset is usually a result's `end_offset`.
///
/// Gives `CAIRN_STATUS_WAIT_TIMEOUT` when the time runs out, `CAIRN_STATUS_FENCED` when a sync
/// failed, `CAIRN_STATUS_OFFSET_OUT_OF_RANGE` for an offset beyond the log.
///
/// # Safety
/// - `store` is null or live.
/// - `out_error` is null or writable.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_store_wait_durable(
    store: *const cairn_store,
    physical_offset: i64,
    timeout_ms: u64,
    out_error: *mut *mut cairn_error,
) -> cairn_status {
    boundary!(out_error, {
        let store = require!(store);
        let end = self::physical_offset(physical_offset, "physical_offset")?;
        let _inside = store.fence.enter();
        store.writer()?.wait_durable(end, wait_limit(timeout_ms))
    })
}

/// Makes everything appended so far durable, and returns when it is.
///
/// # Safety
/// - `store` is null or live.
/// - `out_error` is null or writable.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_store_flush(
    store: *mut cairn_store,
    out_error: *mut *mut cairn_error,
) -> cairn_status {
    boundary!(out_error, {
        let store = require!(store);
        let _inside = store.fence.enter_write()?;
        store.writer()?.flush()
    })
}

/// Flushes until everything is durable, runs every callback still due, stops the services and gives
/// up the lock. The handle stays valid until `cairn_store_free`; batches stay valid until they are
/// freed. A second call returns what the first did. Not to be called from a callback; that of
/// `cairn_store_set_transaction_checker` is refused with `CAIRN_STATUS_INVALID_ARGUMENT`.
///
/// On failure something appended may not be durable; the error says why. The store is closed all
/// the same.
///
/// # Safety
/// - `store` is null or live.
/// - `out_error` is null or writable.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_store_close(
    store: *mut cairn_store,
    out_error: *mut *mut cairn_error,
) -> cairn_status {
    boundary!(out_error, {
        let store = require!(store);
        refuse_inside()?;
        let _inside = store.fence.enter();
        store.opened.close()
    })
}

/// Tells whether the store was closed; true for null.
///
/// # Safety
/// - `store` is null or live.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cairn_store_is_closed(store: *const cairn_store) -> bool {
    value!(true, {
        // SAFETY: null or live, says the caller.
        let store = unsafe { store.as_ref() }?;
        Some(store.opened.is_closed())
    })
}

/// Frees a store; closes it first if that was not done, and then tells a failure to the log
/// callback only. Null is accepted. Batches, queue handles and tails stay valid until they are
/// freed. Not to be called from a callback.
///
/// # Safety
/// - `store` is null or live, and no call on it is running or comes later.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cairn_store_free(store: *mut cairn_store) {
    // SAFETY: the caller's promise is the same.
    unsafe { boundary::free(store) }
}
