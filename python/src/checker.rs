//! What is asked about transactions that stay open: a callable.

use std::sync::Arc;

use cairnlog::TransactionAnswer;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use crate::completion::deliver;
use crate::view::MessageView;

/// An open transaction that a checker is asked about.
#[pyclass(frozen, module = "cairnlog")]
pub(crate) struct TransactionCheck(cairnlog::TransactionCheck);

#[pymethods]
impl TransactionCheck {
    /// Where the half message lies now; `Store.commit_transaction` takes it.
    #[getter]
    fn half_offset(&self) -> u64 {
        self.0.half_offset().get()
    }

    /// The half message, as it was before this check. Its own topic is that of half messages.
    #[getter]
    fn message(&self) -> MessageView {
        self.0.message().clone().into()
    }

    /// The topic the message is meant for.
    #[getter]
    fn topic(&self) -> &str {
        self.0.topic()
    }

    /// The queue the message is meant for.
    #[getter]
    fn queue_id(&self) -> i32 {
        self.0.queue_id()
    }

    /// The message's unique key (property `UNIQ_KEY`), RocketMQ's id of the transaction.
    #[getter]
    fn id(&self) -> Option<String> {
        self.0.id()
    }

    /// Which time this transaction is asked about, from 1 on.
    #[getter]
    fn times(&self) -> u32 {
        self.0.times()
    }

    fn __repr__(&self) -> String {
        let (offset, times) = (self.half_offset(), self.0.times());
        format!("TransactionCheck({:?}, half_offset={offset}, times={times})", self.0.topic())
    }
}

static ASK: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// A callable as the engine asks it, on a thread of the store: attached to the interpreter only
/// while it runs, and holding no lock.
pub(crate) struct Checker {
    callable: Py<PyAny>,
}

impl Checker {
    pub(crate) fn new(callable: &Bound<'_, PyAny>) -> PyResult<Arc<Self>> {
        if !callable.is_callable() {
            return Err(PyTypeError::new_err("a transaction's checker is callable"));
        }
        Ok(Arc::new(Self { callable: callable.clone().unbind() }))
    }

    /// Asks by way of the package, which logs what is raised; gives the answer's number.
    fn ask(&self, py: Python<'_>, check: &cairnlog::TransactionCheck) -> PyResult<i32> {
        let check = Bound::new(py, TransactionCheck(check.clone()))?;
        let ask = ASK.import(py, "cairnlog.transaction", "_ask")?;
        ask.call1((self.callable.bind(py), check))?.extract()
    }
}

impl cairnlog::TransactionChecker for Checker {
    fn check(&self, check: &cairnlog::TransactionCheck) -> TransactionAnswer {
        let answer = deliver(|py| match self.ask(py, check) {
            Ok(answer) => answer,
            Err(error) => {
                error.write_unraisable(py, Some(self.callable.bind(py)));
                0
            }
        });
        match answer {
            Some(1) => TransactionAnswer::Commit,
            Some(2) => TransactionAnswer::Rollback,
            // Also when the interpreter is shutting down.
            _ => TransactionAnswer::Unknown,
        }
    }
}
