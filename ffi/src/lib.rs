//! The C ABI of cairnlog: `include/cairnlog.h`, `libcairnlog.so` and `libcairnlog.a`.
//!
//! Every exported function converts its arguments, calls the engine and converts what comes back;
//! it decides nothing. [`boundary`] stops panics, checks for null and fills the error object, for
//! all of them alike. `docs/c-abi.md` tells C programmers the conventions on one page.
//!
//! The header shows functions in the order of the modules below; the lines between the modules
//! keep them from being sorted.
#![allow(non_camel_case_types, reason = "the names of types are those of the C header")]

#[cfg(panic = "abort")]
compile_error!("cairnlog turns panics into CAIRN_STATUS_INTERNAL and needs panic = \"unwind\"");

#[macro_use]
mod boundary;

pub mod status;

pub mod version;

pub mod text;

pub mod error;

pub mod options;

pub mod message;

pub mod store;

pub mod append;

pub mod queue;

pub mod batch_items;

pub mod read;

pub mod filter;

pub mod queue_read;

pub mod queues;

pub mod tail;

pub mod consumer_options;

pub mod consumer;

pub mod push;

pub mod groups;

pub mod transactions;

pub mod transaction_checker;

pub mod retention;

pub mod recovery;

pub mod recovery_progress;

pub mod stats;

pub mod log;

mod callbacks;
mod fence;
mod open_struct;
mod opened;

#[cfg(test)]
mod tests;
