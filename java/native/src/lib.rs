//! The Java binding: natives of `io.cairnlog`, over the core crate.
//!
//! Every native is static and stands in the one table of [`natives`]. It parses all it was given
//! before it takes anything, calls the core, and ends in the one error policy of [`boundary`],
//! which turns errors and panics into `io.cairnlog.CairnException`. Bytes cross in the layouts of
//! [`wire`], so that an append is a single crossing which calls nothing back.
#![deny(unsafe_code)]

#[cfg(panic = "abort")]
compile_error!("a panic must become a CairnException: build cairnlog-jni with panic = \"unwind\"");

mod boundary;
mod checker;
mod completion;
mod diagnostics;
mod groups;
mod handle;
mod message_frame;
mod natives;
mod opened;
mod outcome;
mod progress;
mod queues;
mod reading;
mod store;
mod transactions;
mod wire;
