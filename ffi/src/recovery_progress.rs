//! How far the opening of a store is: from the engine to a function of the host.

use std::ffi::c_void;
use std::sync::{Arc, Weak};

use engine::RecoveryProgress;

use crate::options::cairn_options;
use crate::status::cairn_status;
use crate::transaction_checker::cairn_release_callback;

/// What opening a store is busy with, in the order the phases come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum cairn_recovery_phase {
    /// It looks for the end of the log: every record is checked.
    Log = 0,
    /// It brings records to the consume queues and the key index.
    Queues = 1,
}

/// How far opening a store is, from the library. A later version may write more fields than
/// `struct_size` of the program's header says, never fewer.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct cairn_recovery_progress {
    /// The size of this struct as the library knows it.
    pub struct_size: u32,
    /// A `cairn_recovery_phase`.
    pub phase: i32,
    /// Bytes of the log that this phase has done. Never falls within a phase.
    pub bytes_done: u64,
    /// Bytes of the log that this phase has to do: `bytes_done` in its last call, else more. While
    /// the end of the log is looked for, free space in its last file counts, so the last call of
    /// that phase may state fewer than those before.
    pub bytes_total: u64,
}

/// Is told how far opening a store is: at most ten times a second, and once more at the end of each
/// `cairn_recovery_phase`.
///
/// It runs on the thread that opens, inside `cairn_store_open` or `cairn_plan_recovery`, which goes
/// on when it returns. `progress` is borrowed for the call; `user_data` is what was passed to
/// `cairn_options_set_recovery_progress`.
///
/// It may call the library, but must not change or free the options that open. It must not leave by
/// an exception or `longjmp`.
pub type cairn_recovery_progress_callback =
    Option<unsafe extern "C" fn(progress: *const cairn_recovery_progress, user_data: *mut c_void)>;

type ProgressFunction = unsafe extern "C" fn(*const cairn_recovery_progress, *mut c_void);

/// The function that is told, held by the options alone: a store keeps a copy of what it was opened
/// with, but its opening is over.
pub(crate) struct Listener {
    function: ProgressFunction,
    release: cairn_release_callback,
    user_data: *mut c_void,
}

// SAFETY: the caller of `cairn_options_set_recovery_progress` promises that both functions may be
// called with `user_data` on whichever thread uses the options.
unsafe impl Send for Listener {}
// SAFETY: as above; options are used by one thread at a time.
unsafe impl Sync for Listener {}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some(release) = self.release {
            // SAFETY: the function may be called so, says the caller of
            // `cairn_options_set_recovery_progress`; nobody is told any more.
            unsafe { release(self.user_data) };
        }
    }
}

impl Listener {
    fn tell(&self, progress: RecoveryProgress) {
        let given = cairn_recovery_progress {
            struct_size: size_of::<cairn_recovery_progress>() as u32,
            phase: progress.phase.code(),
            bytes_done: progress.bytes_done,
            bytes_total: progress.bytes_total,
        };
        // SAFETY: the function may be called so, says the caller of
        // `cairn_options_set_recovery_progress`; what it is given lives until it returns.
        unsafe { (self.function)(&given, self.user_data) };
    }
}

/// What the engine calls for as long as the options hold this listener.
pub(crate) fn forward(listener: Weak<Listener>) -> impl Fn(RecoveryProgress) + Send + Sync {
    move |progress| {
        if let Some(listener) = listener.upgrade() {
            listener.tell(progress);
        }
    }
}

/// Sets the function that is told how far opening a store with these options is, in the place of
/// the one that was set before; null for none. `cairn_plan_recovery` tells of
/// `CAIRN_RECOVERY_PHASE_LOG` only, `cairn_store_open_reader` nothing.
///
/// `release`, which may be null, is called once with `user_data` when `callback` is not called any
/// more: when this function was called again, or the options were freed, also while a store that
/// they opened is open; not if this call fails. Without a `callback` neither it nor `user_data` is
/// looked at.
///
/// # Safety
/// - `options` is null or live, and used by this thread only.
/// - `callback` is null or may be called with `user_data` by the thread that uses the options.
/// - `release` is null or may be called with `user_data` by the thread that uses the options.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_options_set_recovery_progress(
    options: *mut cairn_options,
    callback: cairn_recovery_progress_callback,
    release: cairn_release_callback,
    user_data: *mut c_void,
) -> cairn_status {
    boundary!({
        let options = require!(mut options);
        let listener = callback.map(|function| Arc::new(Listener { function, release, user_data }));
        options.set_listener(listener);
        Ok(())
    })
}
