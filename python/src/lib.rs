//! The native half of the Python package `cairnlog`: the module `cairnlog._native`.
//!
//! Every class is frozen, so that threads can share it without a lock of the interpreter; what
//! changes lies behind locks that are never held while Python code runs. Every call that can wait
//! goes through [`blocking`].
#![deny(unsafe_code)]

#[cfg(panic = "abort")]
compile_error!("the Python module turns panics into exceptions: build it with panic = \"unwind\"");

mod append_result;
mod batch;
mod blocking;
mod checker;
mod completion;
mod consumer;
mod diagnostics;
mod errors;
mod message;
mod options;
mod progress;
mod queue;
mod read;
mod reports;
mod scan;
mod shutdown;
mod store;
mod tail;
mod transaction;
mod view;

use pyo3::prelude::*;

/// The engine of the package cairnlog; use `import cairnlog`.
#[pymodule(gil_used = false)]
mod _native {
    use pyo3::prelude::*;

    #[pymodule_export]
    use super::append_result::AppendResult;
    #[pymodule_export]
    use super::batch::Batch;
    #[pymodule_export]
    use super::checker::TransactionCheck;
    #[pymodule_export]
    use super::completion::CompletionGroup;
    #[pymodule_export]
    use super::consumer::{Consumer, Delivery};
    #[pymodule_export]
    use super::diagnostics::{next_diagnostics, set_diagnostics_level, stop_diagnostics};
    #[pymodule_export]
    use super::message::{Message, encode_batch};
    #[pymodule_export]
    use super::progress::RecoveryProgress;
    #[pymodule_export]
    use super::queue::QueueAppender;
    #[pymodule_export]
    use super::read::{Filter, QueueRange};
    #[pymodule_export]
    use super::reports::{
        GroupProgress, Positions, RecoveryReport, RemovedFiles, StoreStats, TopicStats,
    };
    #[pymodule_export]
    use super::scan::Scan;
    #[pymodule_export]
    use super::shutdown::{begin_child, close_all, hold_locks, release_locks};
    #[pymodule_export]
    use super::store::{ReadableStore, Store, StoreReader};
    #[pymodule_export]
    use super::tail::Tail;
    #[pymodule_export]
    use super::transaction::Transaction;
    #[pymodule_export]
    use super::view::{MappedBytes, MessageView};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        super::diagnostics::install();
        super::add_constants(module)
    }
}

/// What the package's tests compare with the Python side, and the version.
fn add_constants(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let statuses: Vec<(i32, &str)> =
        cairnlog::Status::ALL.iter().map(|status| (status.code(), status.name())).collect();
    module.add("STATUSES", statuses)?;
    let outcomes =
        cairnlog::ReadOutcome::ALL.iter().map(|outcome| (outcome.code(), outcome.name()));
    let outcomes: Vec<(i32, &str)> = outcomes.chain([read::END_OF_LOG]).collect();
    module.add("READ_OUTCOMES", outcomes)?;
    let phases: Vec<(i32, &str)> =
        cairnlog::RecoveryPhase::ALL.iter().map(|phase| (phase.code(), phase.name())).collect();
    module.add("RECOVERY_PHASES", phases)?;
    module.add("OPTION_NAMES", cairnlog::StoreOptions::NAMES.to_vec())?;
    module.add("VERSION", env!("CARGO_PKG_VERSION"))
}
