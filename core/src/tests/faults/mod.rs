//! Every call of every operation fails: the first, the second and so on; once, twice in a row and
//! for ever; with each error a disk may return.
//!
//! An operation is done once on a disk that works, and its calls are counted. Then it is done again
//! for each of them, on a disk that fails there. Whatever happens, no thread panics, nothing hangs,
//! every failure is told with the system's error, what was acknowledged is there when the disk
//! works again, what was refused is not, and no file is synced again after a sync that failed.
//!
//! How much is tried is set by the environment: `CAIRNLOG_FAULTS_ROUNDS` failures at each call (by
//! default one, at every tenth call), or all of them with `CAIRNLOG_FAULTS_ALL`. What a round tries
//! follows from `CAIRNLOG_SEED`; `CAIRNLOG_FAULTS_ONLY` names an operation.
#![allow(clippy::print_stderr, reason = "a case that hangs has to be named before the test ends")]

mod operations;
mod run;

use std::collections::BTreeMap;
use std::fmt;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::fault_disk::{Call, Hits};
use super::scene::Random;
use crate::service::panic_message;
use operations::{OPERATIONS, Operation};
use run::Run;

/// After so long a case counts as hanging.
const MOST_PER_CASE: Duration = Duration::from_secs(60);
/// Without a word about it in the environment, one call of so many fails.
const STRIDE: u64 = 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failure {
    Error(i32),
    /// A write takes so many bytes at most.
    Short(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Times {
    Once,
    Twice,
    ForEver,
}

const ERRORS: [(i32, &str); 7] = [
    (libc::EIO, "EIO"),
    (libc::ENOSPC, "ENOSPC"),
    (libc::EDQUOT, "EDQUOT"),
    (libc::EINTR, "EINTR"),
    (libc::EROFS, "EROFS"),
    (libc::ENOMEM, "ENOMEM"),
    (libc::EMFILE, "EMFILE"),
];
const SHORT_WRITES: [usize; 2] = [1, 100];
const TIMES: [Times; 3] = [Times::Once, Times::Twice, Times::ForEver];

/// What is done, and where it fails.
#[derive(Clone, Copy)]
struct Case {
    operation: &'static Operation,
    call: Call,
    nth: u64,
    times: Times,
    failure: Failure,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failure = match self.failure {
            Failure::Error(errno) => {
                let named = ERRORS.iter().find(|(number, _)| *number == errno);
                named.map_or("?", |(_, name)| name).to_owned()
            }
            Failure::Short(bytes) => format!("short({bytes})"),
        };
        let Self { operation, call, nth, times, .. } = self;
        write!(f, "{}: {call:?} {nth} {times:?} {failure}", operation.name)
    }
}

impl Case {
    /// Does the operation on a disk that fails. True if a call did fail.
    fn run(&self) -> bool {
        let mut run = Run::new((self.operation.scene)());
        (self.operation.before)(&mut run);
        run.scene.disk.forget_calls();
        run.forget_opening();
        let hits = match self.times {
            Times::Once => Hits::Nth(self.nth),
            Times::Twice => Hits::Twice(self.nth),
            Times::ForEver => Hits::From(self.nth),
        };
        match self.failure {
            Failure::Error(errno) => {
                run.scene.disk.fail(self.call, "", hits, errno);
                run.errno = Some(errno);
            }
            Failure::Short(bytes) => run.scene.disk.write_some_short("", hits, bytes),
        }
        (self.operation.act)(&mut run);
        let hit = run.scene.disk.count(self.call, "") as u64 >= self.nth;
        run.judge();
        hit
    }
}

/// How often each call is made by an operation on a disk that works.
fn count_calls(operation: &'static Operation) -> Vec<(Call, u64)> {
    let mut run = Run::new((operation.scene)());
    (operation.before)(&mut run);
    run.scene.disk.forget_calls();
    run.forget_opening();
    (operation.act)(&mut run);
    // Threads of the store may be at it still.
    std::thread::sleep(Duration::from_millis(20));
    let mut counts: Vec<(Call, u64)> = Vec::new();
    for made in run.scene.disk.made() {
        match counts.iter_mut().find(|(call, _)| *call == made.call) {
            Some((_, count)) => *count += 1,
            None => counts.push((made.call, 1)),
        }
    }
    run.judge();
    counts
}

/// The failures that are tried at each call.
fn failures(call: Call) -> Vec<(Times, Failure)> {
    let errors = ERRORS.iter().map(|(errno, _)| Failure::Error(*errno));
    let short = SHORT_WRITES.iter().map(|bytes| Failure::Short(*bytes));
    let short = short.filter(|_| call == Call::WriteAt);
    let failures: Vec<_> = errors.chain(short).collect();
    let each = |times| failures.iter().map(move |failure| (times, *failure));
    // Byte for byte for ever is no more than slow.
    let slow = (Times::ForEver, Failure::Short(1));
    TIMES.into_iter().flat_map(each).filter(|failure| *failure != slow).collect()
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// The cases that are tried.
fn cases(random: &mut Random) -> Vec<Case> {
    let all = std::env::var_os("CAIRNLOG_FAULTS_ALL").is_some();
    let rounds = number("CAIRNLOG_FAULTS_ROUNDS");
    let only = std::env::var("CAIRNLOG_FAULTS_ONLY").ok();
    let mut cases = Vec::new();
    for operation in OPERATIONS {
        if only.as_ref().is_some_and(|only| *only != operation.name) {
            continue;
        }
        for (call, count) in count_calls(operation) {
            // In the whole one more than was counted: calls of threads vary.
            for nth in 1..=count + u64::from(all) {
                let mut failures = failures(call);
                if !all {
                    let skipped = rounds.is_none() && random.below(STRIDE) != 0;
                    let wanted = if skipped { 0 } else { rounds.unwrap_or(1) };
                    while failures.len() as u64 > wanted {
                        failures.swap_remove(random.below(failures.len() as u64) as usize);
                    }
                }
                let case = |(times, failure)| Case { operation, call, nth, times, failure };
                cases.extend(failures.into_iter().map(case));
            }
        }
    }
    cases
}

/// Ends the test when a case takes too long, and says which.
struct Watchdog {
    running: Vec<Mutex<Option<(Instant, Case)>>>,
}

impl Watchdog {
    fn watch(&self, ended: &AtomicUsize, cases: usize) {
        while ended.load(Ordering::Acquire) < cases {
            std::thread::sleep(Duration::from_millis(50));
            for running in &self.running {
                if let Some((begin, case)) = &*running.lock()
                    && begin.elapsed() > MOST_PER_CASE
                {
                    // Past what the test's output is caught by, which would be lost.
                    let text = format!("{case} hangs since {:?}\n", begin.elapsed());
                    let _ = std::io::stderr().write_all(text.as_bytes());
                    std::process::abort();
                }
            }
        }
    }
}

/// What came of all cases.
#[derive(Default)]
struct Outcome {
    hit: AtomicU64,
    failed: Mutex<Vec<String>>,
}

fn run_all(cases: &[Case]) -> Outcome {
    // Most of a case is waiting for threads.
    let workers = 4 * std::thread::available_parallelism().map_or(2, usize::from);
    let watchdog = Watchdog { running: (0..workers).map(|_| Mutex::default()).collect() };
    let (outcome, next, ended) = (Outcome::default(), AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| watchdog.watch(&ended, cases.len()));
        for running in &watchdog.running {
            let (outcome, next, ended) = (&outcome, &next, &ended);
            scope.spawn(move || {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    *running.lock() = Some((Instant::now(), *case));
                    match catch_unwind(AssertUnwindSafe(|| case.run())) {
                        Ok(hit) => {
                            outcome.hit.fetch_add(u64::from(hit), Ordering::Relaxed);
                        }
                        Err(cause) => {
                            let message = panic_message(cause);
                            outcome.failed.lock().push(format!("{case}: {message}"));
                        }
                    }
                    *running.lock() = None;
                    ended.fetch_add(1, Ordering::Release);
                }
            });
        }
    });
    outcome
}

#[test]
fn whatever_call_fails_nothing_acknowledged_is_lost_and_nothing_hangs() {
    let mut random = Random::seeded();
    let seed = random.0;
    let begin = Instant::now();
    let cases = cases(&mut random);
    let outcome = run_all(&cases);
    let hit = outcome.hit.into_inner();
    let failed = outcome.failed.into_inner();
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    cases.iter().for_each(|case| *counts.entry(case.operation.name).or_default() += 1);
    eprintln!("{} cases, {hit} of which met their fault, in {:?}", cases.len(), begin.elapsed());
    if let Some(path) = std::env::var_os("CAIRNLOG_FAULTS_REPORT") {
        let report = serde_json::json!({
            "cases": cases.len(), "met": hit, "failed": failed, "seed": seed,
            "seconds": begin.elapsed().as_secs_f64(), "operations": counts,
        });
        std::fs::write(path, format!("{report:#}\n")).unwrap();
    }
    assert!(failed.is_empty(), "{} cases failed:\n{}", failed.len(), failed.join("\n"));
    assert!(cases.len() < 100 || hit as usize * 2 > cases.len(), "hardly a fault was met");
}
