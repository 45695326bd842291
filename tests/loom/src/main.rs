//! Explores every order in which threads can meet in the engine's locks and hand-overs.
//!
//! The files of the engine are compiled as they are, with locks, atomics and threads of the model
//! checker (`sync.rs` here in the place of the engine's). `cairnlog-test-loom [NAME]` explores all
//! models, or those whose name has NAME in it, and tells how many orders each has.
//!
//! `LOOM_MAX_PREEMPTIONS` bounds how often a thread is interrupted in one order (default 3, or 2).

// Not everything of those files is used by a model.
#![allow(dead_code, reason = "the engine's files are compiled whole")]

#[path = "../../../core/src/commit_log/append_lock.rs"]
mod append_lock;
mod engine;
#[path = "../../../core/src/flush/group.rs"]
mod group;
mod models;
#[path = "../../../core/src/service.rs"]
mod service;
#[path = "../../../core/src/mapped/slot.rs"]
mod slot;
mod sync;
#[path = "../../../core/src/watermark.rs"]
mod watermark;

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use engine::{error, options, status, sys};

fn main() -> ExitCode {
    let wanted = std::env::args().nth(1).unwrap_or_default();
    let chosen: Vec<_> = models::ALL.iter().filter(|(name, ..)| name.contains(&wanted)).collect();
    if chosen.is_empty() {
        let _ = writeln!(std::io::stderr(), "there is no model {wanted}");
        return ExitCode::FAILURE;
    }
    for (name, model, preemptions) in chosen {
        let orders = explore(*model, *preemptions);
        // There is nobody left to tell when this fails.
        let _ = writeln!(std::io::stdout(), "{name}: {orders} orders");
    }
    ExitCode::SUCCESS
}

/// Runs a model in every order, and says how many there are. Panics in the first that is wrong.
fn explore(model: fn(), preemptions: usize) -> u64 {
    let orders = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&orders);
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(preemptions));
    builder.check(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        model();
    });
    orders.load(Ordering::Relaxed)
}
