//! Completions of asynchronous appends, handed to Python a whole group at a time.
//!
//! They arrive on the store's completion thread, which takes no part in flushing: while Python code
//! runs there, the log goes on being flushed. No lock is held while that thread attaches to the
//! interpreter, and once the interpreter shuts down a group is dropped instead.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use cairnlog::{Completion, CompletionSink};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyList;

use crate::append_result::AppendResult;
use crate::errors::exception;

thread_local! {
    static COMPLETING: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is a store's own inside a callback; closing the store there would wait for
/// itself.
pub(crate) fn is_completing() -> bool {
    COMPLETING.get()
}

/// Runs a callback on a thread of the store, attached to the interpreter, if that is still alive.
pub(crate) fn deliver<T>(callback: impl FnOnce(Python<'_>) -> T) -> Option<T> {
    COMPLETING.set(true);
    let outcome = Python::try_attach(callback);
    COMPLETING.set(false);
    outcome
}

/// The value that Python gets for a completion: the place, or the exception.
fn outcome<'py>(
    py: Python<'py>,
    result: cairnlog::Result<cairnlog::AppendResult>,
) -> PyResult<(Bound<'py, PyAny>, bool)> {
    match result {
        Ok(placed) => Ok((Bound::new(py, AppendResult::from(placed))?.into_any(), true)),
        Err(error) => Ok((exception(py, &error).into_value(py).into_bound(py).into_any(), false)),
    }
}

/// Completes `concurrent.futures.Future` objects.
#[derive(Default)]
pub(crate) struct FutureSink {
    next_token: AtomicU64,
    waiting: Mutex<HashMap<u64, Py<PyAny>>>,
}

static FUTURE_CLASS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

impl FutureSink {
    /// Makes a future that runs, so that it cannot be cancelled, and remembers it.
    pub(crate) fn begin<'py>(&self, py: Python<'py>) -> PyResult<(u64, Bound<'py, PyAny>)> {
        let future = FUTURE_CLASS.import(py, "concurrent.futures", "Future")?.call0()?;
        future.call_method0(pyo3::intern!(py, "set_running_or_notify_cancel"))?;
        let token = self.next_token.fetch_add(1, Ordering::Relaxed);
        let remembered = future.clone().unbind();
        self.lock().insert(token, remembered);
        Ok((token, future))
    }

    /// Forgets a future whose append was refused.
    pub(crate) fn forget(&self, token: u64) {
        let forgotten = self.lock().remove(&token);
        drop(forgotten);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Py<PyAny>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn complete_one(&self, py: Python<'_>, completion: Completion) -> PyResult<()> {
        let Some(future) = self.lock().remove(&completion.token) else {
            return Ok(());
        };
        let (value, placed) = outcome(py, completion.result)?;
        let method = if placed {
            pyo3::intern!(py, "set_result")
        } else {
            pyo3::intern!(py, "set_exception")
        };
        future.bind(py).call_method1(method, (value,)).map(drop)
    }
}

impl CompletionSink for FutureSink {
    fn complete(&self, group: Vec<Completion>) {
        deliver(|py| {
            for completion in group {
                if let Err(error) = self.complete_one(py, completion) {
                    error.write_unraisable(py, None);
                }
            }
        });
    }
}

/// Hands each group of completions to a callable, as a list of (token, result or exception).
///
/// The callable runs on the store's completion thread and should only pass the list on, as
/// `cairnlog.aio` does with one `call_soon_threadsafe` per group.
#[pyclass(frozen, module = "cairnlog._native")]
pub(crate) struct CompletionGroup {
    sink: Arc<dyn CompletionSink>,
}

impl CompletionGroup {
    pub(crate) fn sink(&self) -> &Arc<dyn CompletionSink> {
        &self.sink
    }
}

#[pymethods]
impl CompletionGroup {
    #[new]
    fn new(callback: Py<PyAny>) -> Self {
        Self { sink: Arc::new(CallbackSink { callback }) }
    }
}

struct CallbackSink {
    callback: Py<PyAny>,
}

impl CallbackSink {
    fn call(&self, py: Python<'_>, group: Vec<Completion>) -> PyResult<()> {
        let list = PyList::empty(py);
        for completion in group {
            let (value, _) = outcome(py, completion.result)?;
            list.append((completion.token, value))?;
        }
        self.callback.bind(py).call1((list,)).map(drop)
    }
}

impl CompletionSink for CallbackSink {
    fn complete(&self, group: Vec<Completion>) {
        deliver(|py| {
            if let Err(error) = self.call(py, group) {
                error.write_unraisable(py, Some(self.callback.bind(py)));
            }
        });
    }
}
