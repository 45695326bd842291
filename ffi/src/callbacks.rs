//! Completions of asynchronous appends: from the engine's groups to the caller's function.

use std::ffi::c_void;
use std::ptr;
use std::sync::{Arc, Mutex, PoisonError};

use engine::{Completion, CompletionSink};

use crate::append::cairn_append_callback;
use crate::error::cairn_error;
use crate::message::cairn_append_result;
use crate::status::cairn_status;

/// The function behind a [`cairn_append_callback`] that is not null.
pub(crate) type AppendCallback =
    unsafe extern "C" fn(cairn_status, *const cairn_append_result, *const cairn_error, *mut c_void);

/// How many functions are remembered; a program has one or a few.
const MAX_REMEMBERED: usize = 16;

/// Calls one function for each completion; `user_data` travels as the token.
struct CallbackSink(AppendCallback);

impl CompletionSink for CallbackSink {
    fn complete(&self, group: Vec<Completion>) {
        for completion in group {
            let user_data = ptr::with_exposed_provenance_mut(completion.token as usize);
            match completion.result {
                Ok(placed) => {
                    let result = cairn_append_result::from(placed);
                    // SAFETY: the caller of the append promised that the function may be called
                    // with its `user_data` on this thread; the result lives until it returns.
                    unsafe { (self.0)(cairn_status::Ok, &result, ptr::null(), user_data) };
                }
                Err(error) => {
                    let status = cairn_status::from(error.status());
                    let result = error.appended().map(cairn_append_result::from);
                    let error = cairn_error::from(error);
                    let result = result.as_ref().map_or(ptr::null(), ptr::from_ref);
                    // SAFETY: as above; result and error live until the function returns.
                    unsafe { (self.0)(status, result, &error, user_data) };
                }
            }
        }
    }
}

/// The sinks of a store, one per function, so that the engine hands over whole groups.
#[derive(Default)]
pub(crate) struct Callbacks(Mutex<Vec<(AppendCallback, Arc<dyn CompletionSink>)>>);

impl Callbacks {
    /// The sink that calls this function.
    pub(crate) fn sink(&self, callback: AppendCallback) -> Arc<dyn CompletionSink> {
        let mut sinks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = sinks.iter().find(|(function, _)| ptr::fn_addr_eq(*function, callback));
        if let Some((_, sink)) = known {
            return Arc::clone(sink);
        }
        let sink: Arc<dyn CompletionSink> = Arc::new(CallbackSink(callback));
        if sinks.len() < MAX_REMEMBERED {
            sinks.push((callback, Arc::clone(&sink)));
        }
        sink
    }
}

/// The function of a callback argument, or the error for a null one.
pub(crate) fn required(callback: cairn_append_callback) -> engine::Result<AppendCallback> {
    callback.ok_or_else(|| crate::boundary::null_argument("callback"))
}

/// The token that carries `user_data` through the engine.
pub(crate) fn token(user_data: *mut c_void) -> u64 {
    user_data.expose_provenance() as u64
}
