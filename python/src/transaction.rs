//! Messages that nobody sees until their transaction is committed.

use cairnlog::PhysicalOffset;
use pyo3::prelude::*;

use crate::append_result::AppendResult;
use crate::blocking;
use crate::errors::OrRaise;
use crate::message::Message;
use crate::store::Store;

/// A transaction, from `Store.begin_transaction`: its message is stored, and comes to its queue
/// only by `commit`. In a `with` statement it is committed at the end, and rolled back when an
/// exception leaves the block; one that was ended in the block is left as it is. Dropping it ends
/// nothing: it stays open, over closing and opening the store, too (`Store.open_transactions`).
///
/// >>> with cairnlog.Store.open(directory) as store:
/// ...     with store.begin_transaction(cairnlog.Message("orders", b"20 pears")) as transaction:
/// ...         store.open_transactions() == [transaction.half_offset]
/// ...     store.wait_message("orders", 0, 0), store.open_transactions()
/// True
/// (True, [])
#[pyclass(frozen, module = "cairnlog")]
pub(crate) struct Transaction {
    half: cairnlog::AppendResult,
    id: Option<String>,
    store: Py<Store>,
}

impl Transaction {
    pub(crate) fn begin(store: &Bound<'_, Store>, message: &Message) -> PyResult<Self> {
        let (py, engine) = (store.py(), store.get().engine());
        let lists = message.lists();
        let message = message.lend(&lists);
        let begun = blocking::run(py, || engine.begin_transaction(&message)).or_raise(py)?;
        let id = begun.id().map(str::to_owned);
        Ok(Self { half: begun.half(), id, store: store.clone().unbind() })
    }

    fn offset(&self) -> PhysicalOffset {
        self.half.physical_offset
    }
}

#[pymethods]
impl Transaction {
    /// What appending the half message gave.
    #[getter]
    fn half(&self) -> AppendResult {
        self.half.into()
    }

    /// Where the half message lies; `Store.commit_transaction` takes it.
    #[getter]
    fn half_offset(&self) -> u64 {
        self.offset().get()
    }

    /// The message's unique key (property `UNIQ_KEY`), RocketMQ's id of the transaction.
    #[getter]
    fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Puts the message into its queue and returns where it lies. TransactionError if the
    /// transaction was ended before.
    fn commit(&self, py: Python<'_>) -> PyResult<AppendResult> {
        let engine = self.store.get().engine();
        let placed = blocking::run(py, || engine.commit_transaction(self.offset()));
        Ok(placed.or_raise(py)?.into())
    }

    /// Ends the transaction: nobody will ever see its message. TransactionError as `commit`.
    fn rollback(&self, py: Python<'_>) -> PyResult<()> {
        let engine = self.store.get().engine();
        blocking::run(py, || engine.rollback_transaction(self.offset())).or_raise(py)
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (exception_type, exception, traceback, /))]
    fn __exit__(
        &self,
        py: Python<'_>,
        exception_type: &Bound<'_, PyAny>,
        exception: &Bound<'_, PyAny>,
        traceback: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let _ = (exception, traceback);
        let engine = self.store.get().engine();
        let open = blocking::run(py, || engine.open_transactions()).or_raise(py)?;
        if !open.contains(&self.offset()) {
            return Ok(());
        }
        if exception_type.is_none() { self.commit(py).map(|_| ()) } else { self.rollback(py) }
    }

    fn __repr__(&self) -> String {
        format!("Transaction(half_offset={})", self.offset())
    }
}
