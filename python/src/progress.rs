//! How far the opening of a store is: told to a callable.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cairnlog::StoreOptions;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

static PHASE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
static TELL: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// How far opening a store is.
#[pyclass(frozen, eq, hash, module = "cairnlog")]
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct RecoveryProgress {
    phase: cairnlog::RecoveryPhase,
    bytes_done: u64,
    bytes_total: u64,
    is_complete: bool,
}

impl From<cairnlog::RecoveryProgress> for RecoveryProgress {
    fn from(progress: cairnlog::RecoveryProgress) -> Self {
        Self {
            phase: progress.phase,
            bytes_done: progress.bytes_done,
            bytes_total: progress.bytes_total,
            is_complete: progress.is_complete(),
        }
    }
}

#[pymethods]
impl RecoveryProgress {
    /// What opening is busy with, a `RecoveryPhase`.
    #[getter]
    fn phase<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        PHASE.import(py, "cairnlog.progress", "RecoveryPhase")?.call1((self.phase.code(),))
    }

    /// Bytes of the log that this phase has done. Never falls within a phase.
    #[getter]
    fn bytes_done(&self) -> u64 {
        self.bytes_done
    }

    /// Bytes of the log that this phase has to do, at least `bytes_done`. While the end of the log
    /// is looked for, free space in its last file counts, so the last call of that phase may state
    /// fewer than those before.
    #[getter]
    fn bytes_total(&self) -> u64 {
        self.bytes_total
    }

    /// Whether this is the last call of its phase.
    #[getter]
    fn is_complete(&self) -> bool {
        self.is_complete
    }

    fn __repr__(&self) -> String {
        format!(
            "RecoveryProgress({}, bytes_done={}, bytes_total={})",
            self.phase.name(),
            self.bytes_done,
            self.bytes_total
        )
    }
}

/// A callable that is told, until it raises.
struct Listener {
    callable: Py<PyAny>,
    failed: AtomicBool,
}

impl Listener {
    /// Tells by way of the package, which logs what is raised, and says whether to go on.
    fn tell(&self, py: Python<'_>, progress: cairnlog::RecoveryProgress) -> PyResult<bool> {
        let progress = Bound::new(py, RecoveryProgress::from(progress))?;
        let tell = TELL.import(py, "cairnlog.progress", "_tell")?;
        tell.call1((self.callable.bind(py), progress))?.extract()
    }

    /// Called on the thread that opens, which is attached to the interpreter only meanwhile, if
    /// that is still alive.
    fn listen(&self, progress: cairnlog::RecoveryProgress) {
        if self.failed.load(Ordering::Relaxed) {
            return;
        }
        let goes_on = Python::try_attach(|py| {
            self.tell(py, progress).unwrap_or_else(|error| {
                error.write_unraisable(py, Some(self.callable.bind(py)));
                false
            })
        });
        self.failed.store(goes_on != Some(true), Ordering::Relaxed);
    }
}

/// Keeps a callable while a store is opened. The store keeps a copy of its options, but not this.
pub(crate) struct Listening {
    _listener: Option<Arc<Listener>>,
}

/// Has a callable told how far opening with these options is, while the result is kept.
pub(crate) fn listen(
    options: &mut StoreOptions,
    callable: Option<Bound<'_, PyAny>>,
) -> PyResult<Listening> {
    let Some(callable) = callable else {
        return Ok(Listening { _listener: None });
    };
    if !callable.is_callable() {
        return Err(PyTypeError::new_err("on_recovery_progress takes a callable"));
    }
    let listener =
        Arc::new(Listener { callable: callable.unbind(), failed: AtomicBool::new(false) });
    let told = Arc::downgrade(&listener);
    options.on_recovery_progress(move |progress| {
        if let Some(listener) = told.upgrade() {
            listener.listen(progress);
        }
    });
    Ok(Listening { _listener: Some(listener) })
}
