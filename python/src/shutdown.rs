//! The end of stores that nobody closes: at the exit of the interpreter, and when the last
//! reference goes.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use pyo3::prelude::*;

use crate::blocking;
use crate::completion::is_completing;

/// The open stores of a process; a child made by `fork()` has its own number and leaves the
/// parent's stores alone.
struct Registered {
    process: u32,
    store: Weak<cairnlog::Store>,
}

static OPEN_STORES: Mutex<Vec<Registered>> = Mutex::new(Vec::new());

/// Remembers a store that was opened, to be closed at exit.
pub(crate) fn register(store: &Arc<cairnlog::Store>) {
    let mut stores = OPEN_STORES.lock().unwrap_or_else(PoisonError::into_inner);
    stores.retain(|known| known.store.strong_count() > 0);
    stores.push(Registered {
        process: std::process::id(),
        store: Arc::downgrade(store),
    });
}

/// Closes every open store of this process; the package calls it at exit, while Python still runs,
/// so that no thread of a store outlives the interpreter.
#[pyfunction]
pub(crate) fn close_all(py: Python<'_>) {
    blocking::run(py, || {
        let stores = {
            // A lock taken in the parent at the time of a fork stays taken in the child.
            let Ok(mut stores) = OPEN_STORES.try_lock() else {
                return;
            };
            std::mem::take(&mut *stores)
        };
        for known in stores
            .iter()
            .filter(|known| known.process == std::process::id())
        {
            if let Some(store) = known.store.upgrade() {
                close_and_log(&store);
            }
        }
    });
}

/// Closes a store whose last reference in Python goes, without the interpreter's lock, which the
/// completion thread may need to finish.
pub(crate) fn close_dropped(store: Arc<cairnlog::Store>) {
    if store.is_closed() {
        return;
    }
    if is_completing() {
        // The completion thread cannot wait for itself; another one closes.
        let handed = Arc::clone(&store);
        let spawned = std::thread::Builder::new()
            .name("cairnlog-close".to_owned())
            .spawn(move || close_and_log(&handed));
        if let Err(error) = spawned {
            tracing::error!(%error, "cannot start the thread that closes a dropped store");
        }
        return;
    }
    let closed = Python::try_attach(|py| blocking::run(py, || close_and_log(&store)));
    if closed.is_none() {
        close_and_log(&store);
    }
}

fn close_and_log(store: &cairnlog::Store) {
    match store.close() {
        Ok(()) => {}
        Err(error) if error.status() == cairnlog::Status::Forked => {}
        Err(error) => {
            tracing::error!(path = %store.path().display(), %error, "closing the store failed");
        }
    }
}
