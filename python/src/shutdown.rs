//! The end of stores that nobody closes: at the exit of the interpreter, and when the last
//! reference goes.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use pyo3::prelude::*;

use crate::blocking;
use crate::completion::is_completing;
use crate::diagnostics;

/// The open stores of a process; a child made by `fork()` has its own number and leaves the
/// parent's stores alone.
struct Registered {
    process: u32,
    store: Weak<cairnlog::Store>,
}

static OPEN_STORES: Mutex<Vec<Registered>> = Mutex::new(Vec::new());

/// The locks of this module that do not belong to a store.
type Held = (MutexGuard<'static, Vec<Registered>>, diagnostics::Held);

thread_local! {
    static HELD: RefCell<Option<Held>> = const { RefCell::new(None) };
}

/// Takes the module's own locks before a `fork()`, so that no other thread holds them in the
/// child, where that thread does not exist.
#[pyfunction]
pub(crate) fn hold_locks() {
    // Nobody waits for the interpreter while holding one of them.
    let stores = OPEN_STORES.lock().unwrap_or_else(PoisonError::into_inner);
    HELD.set(Some((stores, diagnostics::hold())));
}

/// Gives the locks back after a `fork()`, in the parent.
#[pyfunction]
pub(crate) fn release_locks() {
    HELD.set(None);
}

/// Whether this process is a child made while a store was open.
static FORKED_WITH_STORES: AtomicBool = AtomicBool::new(false);

/// Gives the locks back after a `fork()`, in the child.
///
/// What the threads of the parent's open stores were waiting on is still known to the lock library
/// here, but the threads are not: threads of another store would take over their memory. So a
/// child of such a parent opens no store.
#[pyfunction]
pub(crate) fn begin_child() {
    let open = HELD.take().is_some_and(|(stores, _)| {
        let mut stores = stores.iter().filter_map(|known| known.store.upgrade());
        // Dropping the last reference here would end threads that do not exist.
        stores.any(|store| !std::mem::ManuallyDrop::new(store).is_closed())
    });
    FORKED_WITH_STORES.fetch_or(open, Ordering::Relaxed);
}

/// Refuses to open a store in a child made while a store was open.
pub(crate) fn check_child() -> cairnlog::Result<()> {
    if FORKED_WITH_STORES.load(Ordering::Relaxed) {
        return Err(cairnlog::Error::new(
            cairnlog::Status::Forked,
            "this process was forked while a store was open and cannot open one: start it by \
             spawn or exec, or fork before opening",
        ));
    }
    Ok(())
}

/// Remembers a store that was opened, to be closed at exit.
pub(crate) fn register(store: &Arc<cairnlog::Store>) {
    let mut stores = OPEN_STORES.lock().unwrap_or_else(PoisonError::into_inner);
    stores.retain(|known| known.store.strong_count() > 0);
    stores.push(Registered { process: std::process::id(), store: Arc::downgrade(store) });
}

/// Closes every open store of this process; the package calls it at exit, while Python still runs,
/// so that no thread of a store outlives the interpreter.
#[pyfunction]
pub(crate) fn close_all(py: Python<'_>) {
    blocking::run(py, || {
        let stores = {
            let mut stores = OPEN_STORES.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *stores)
        };
        for known in stores.iter().filter(|known| known.process == std::process::id()) {
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

fn close_and_log(store: &Arc<cairnlog::Store>) {
    match store.close() {
        Ok(()) => {}
        // The parent's threads do not exist here: what refers to them is left as it is.
        Err(error) if error.status() == cairnlog::Status::Forked => {
            std::mem::forget(Arc::clone(store));
        }
        Err(error) => {
            tracing::error!(path = %store.path().display(), %error, "closing the store failed");
        }
    }
}
