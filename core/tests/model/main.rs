//! Random operations against a plain list of messages.
//!
//! Everything follows from a seed, which stands in the message of a failure with the command that
//! runs it once more. `CAIRNLOG_MODEL_SEED` is the first seed, at random if it is not set, and
//! `CAIRNLOG_MODEL_CASES` is how many are run from there on; every fifth one has the same kind of
//! store. `make model` runs many.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod checks;
mod groups;
mod lifecycle;
mod model;
mod operations;
mod pair;

use std::hash::{BuildHasher, RandomState};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use cairnlog::{FlushMode, StoreOptions};
use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};

use crate::model::LEVELS;
use crate::operations::{Lost, Operation, operations};
use crate::pair::{Pair, SEGMENT};

const CASES: &str = "CAIRNLOG_MODEL_CASES";
const SEED: &str = "CAIRNLOG_MODEL_SEED";
const HOUR_MS: u64 = 3_600_000;
const THREADS: usize = 4;

/// What a store is like, beside its kind.
#[derive(Debug, Clone, Copy)]
struct Manner {
    record_crc: bool,
    notes_at_once: bool,
    limited: bool,
}

fn manners() -> impl Strategy<Value = Manner> {
    let three = [proptest::bool::ANY; 3];
    three.prop_map(|[record_crc, notes_at_once, limited]| Manner {
        record_crc,
        notes_at_once,
        limited,
    })
}

fn options((mode, pool): (FlushMode, Option<usize>), manner: Manner) -> StoreOptions {
    let mut options = StoreOptions::default();
    options.segment_size_bytes = SEGMENT;
    options.flush_mode = mode;
    options.append_record_crc = manner.record_crc;
    options.transient_store_pool_enable = pool.is_some();
    options.transient_store_pool_size = pool.unwrap_or(1);
    // Only the operations commit and flush, so that a copy of the directory is of one moment.
    options.commit_interval_ms = HOUR_MS;
    options.wake_commit_when_append = false;
    options.flush_interval_ms = HOUR_MS;
    options.flush_delay_offset_interval_ms = HOUR_MS;
    options.flush_consumer_offset_interval_ms = HOUR_MS;
    options.flush_consume_queue_interval_ms = if manner.notes_at_once { 1 } else { HOUR_MS };
    options.message_delay_level = LEVELS.to_owned();
    options.max_total_bytes = if manner.limited { 3 * SEGMENT } else { 0 };
    // Small files, so that there are several.
    options.consume_queue_file_size_bytes = 400;
    options.batch_consume_queue_file_size_bytes = 460;
    options.max_hash_slot_num = 10;
    options.max_index_num = 30;
    options
}

fn run(options: StoreOptions, list: &[Operation]) {
    let mut pair = Pair::new(options);
    for operation in list {
        pair.run(operation);
    }
    pair.check();
    pair.check_beside();
    pair.run(&Operation::Kill { lost: Lost::default(), power: None });
    pair.run(&Operation::Reopen { lost: Lost::default() });
    pair.check();
}

const KINDS: [(FlushMode, Option<usize>); 5] = [
    (FlushMode::Async, None),
    (FlushMode::Async, Some(5)),
    (FlushMode::Async, Some(1)),
    (FlushMode::Sync, None),
    (FlushMode::Sync, Some(1)),
];

/// Runs what follows from a seed; returns what went wrong, in the shortest list found for it.
fn run_seed(seed: u64) -> Option<String> {
    let kind = KINDS[(seed % KINDS.len() as u64) as usize];
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_be_bytes());
    let config = Config {
        cases: 1,
        max_shrink_iters: 1000,
        max_shrink_time: 20_000,
        failure_persistence: None,
        ..Config::default()
    };
    let random = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let lists = (manners(), operations());
    let outcome = TestRunner::new_with_rng(config, random).run(&lists, |(manner, list)| {
        run(options(kind, manner), &list);
        Ok(())
    });
    let what = match outcome {
        Ok(()) => return None,
        Err(TestError::Abort(reason)) => reason.to_string(),
        Err(TestError::Fail(reason, (manner, list))) => {
            let lines: Vec<_> = list.iter().map(|done| format!("  {done:?}")).collect();
            format!("{reason}\n{manner:?}\n{}", lines.join("\n"))
        }
    };
    Some(format!(
        "{what}\n{kind:?}; to see it again: \
         {SEED}={seed} {CASES}=1 cargo test -p cairnlog --test model"
    ))
}

#[test]
fn the_store_holds_what_a_plain_list_holds() {
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let first = number(SEED).unwrap_or_else(|| RandomState::new().hash_one(std::process::id()));
    let cases = number(CASES).unwrap_or(20);
    let (next, failure) = (AtomicU64::new(0), Mutex::new(None));
    let work = || {
        while failure.lock().unwrap().is_none() {
            let case = next.fetch_add(1, Ordering::Relaxed);
            if case >= cases {
                break;
            }
            if let Some(what) = run_seed(first.wrapping_add(case)) {
                failure.lock().unwrap().get_or_insert(what);
            }
        }
    };
    // Most of the time is spent waiting for the disk.
    std::thread::scope(|scope| {
        (0..THREADS).for_each(|_| drop(scope.spawn(work)));
    });
    if let Some(what) = failure.into_inner().unwrap() {
        panic!("{what}");
    }
}
