//! Goes through the cuts of scripts, with several threads, and counts.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use parking_lot::Mutex;

use super::check::{Depth, check};
use super::session::Recorded;
use super::survival::{Pending, Survival};

/// The survivals that every operation is cut with.
const EXTREMES: [Survival; 4] =
    [Survival::Nothing, Survival::Everything, Survival::Names, Survival::Data];
/// One in so many states is opened once more after it was closed.
const REOPENED: u64 = 4;
const THREADS: usize = 2;

/// How a state is found again, and what was wrong with it.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) cut: String,
    pub(super) operation: String,
    pub(super) what: String,
    pub(super) left: Option<PathBuf>,
}

/// What was looked at.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Operations behind which the power was cut.
    pub(super) operations: AtomicU64,
    /// Cuts, each with what survived it.
    pub(super) cuts: AtomicU64,
    /// Of these, those that left what none before had left, or more was promised.
    pub(super) states: AtomicU64,
    pub(super) reopened: AtomicU64,
}

/// Cuts to be made of scripts.
pub(super) struct Explorer {
    seed: u64,
    pub(super) counts: Counts,
    /// The first of each script, which is not looked at any more.
    failures: Mutex<BTreeMap<String, Failure>>,
    /// What was looked at, by script.
    seen: Mutex<BTreeMap<String, HashSet<u64>>>,
}

/// A number that depends on all of these.
fn mix(seed: u64, name: &str, step: usize, round: u64) -> u64 {
    let mut hasher = DefaultHasher::new();
    (seed, name, step, round).hash(&mut hasher);
    hasher.finish() | 1
}

impl Explorer {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, counts: Counts::default(), failures: Mutex::default(), seen: Mutex::default() }
    }

    /// Cuts the scripts: in round 0 behind each operation with each of the extremes and one random
    /// survival, in later ones with one more, until there were `most` states. False if that many
    /// were reached.
    pub(super) fn explore(&self, scripts: &[Recorded], round: u64, most: u64) -> bool {
        let parts = |script| (0..THREADS).map(move |part| (script, part));
        let jobs: VecDeque<_> = (0..scripts.len()).flat_map(parts).collect();
        let jobs = Mutex::new(jobs);
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    let root = tempfile::tempdir().unwrap();
                    loop {
                        let Some((script, part)) = jobs.lock().pop_front() else {
                            return;
                        };
                        self.walk(&scripts[script], part, round, most, root.path());
                    }
                });
            }
        });
        self.states() < most
    }

    pub(super) fn states(&self) -> u64 {
        self.counts.states.load(Ordering::Relaxed)
    }

    /// What failed.
    pub(super) fn failures(&self) -> Vec<Failure> {
        std::mem::take(&mut *self.failures.lock()).into_values().collect()
    }

    /// Cuts every so manyth operation of a script.
    fn walk(&self, script: &Recorded, part: usize, round: u64, most: u64, root: &std::path::Path) {
        let mut pending = Pending::new(&script.journal, script.owed.clone());
        for (number, step) in script.journal.steps.iter().enumerate() {
            pending.step(&step.changes, &step.promises);
            if number % THREADS != part {
                continue;
            }
            if round == 0 {
                self.counts.operations.fetch_add(1, Ordering::Relaxed);
                for how in EXTREMES {
                    self.cut(script, &pending, number, how, root);
                }
            }
            let seed = mix(self.seed, &script.name, number, round);
            self.cut(script, &pending, number, Survival::Random(seed), root);
            let enough = round > 0 && self.states() >= most;
            if enough || self.failures.lock().contains_key(&script.name) {
                return;
            }
        }
    }

    fn cut(
        &self,
        script: &Recorded,
        pending: &Pending,
        number: usize,
        how: Survival,
        root: &std::path::Path,
    ) {
        self.counts.cuts.fetch_add(1, Ordering::Relaxed);
        let (image, left) = pending.survive(how);
        let owed = &pending.owed;
        let mut hasher = DefaultHasher::new();
        (left, owed.durable, owed.records, &owed.committed, owed.most_min).hash(&mut hasher);
        let is_new = {
            let mut seen = self.seen.lock();
            seen.entry(script.name.clone()).or_default().insert(hasher.finish())
        };
        if !is_new {
            return;
        }
        let state = self.counts.states.fetch_add(1, Ordering::Relaxed);
        let depth = if state.is_multiple_of(REOPENED) { Depth::Reopened } else { Depth::Opened };
        if depth == Depth::Reopened {
            self.counts.reopened.fetch_add(1, Ordering::Relaxed);
        }
        let Err(what) = check(root, &image, script, owed, depth) else {
            return;
        };
        self.failures.lock().entry(script.name.clone()).or_insert_with(|| {
            let kept = tempfile::tempdir().map(tempfile::TempDir::keep);
            let left = kept.and_then(|kept| image.lay(&kept).map(|()| kept)).ok();
            let cut = format!("{} {number} {how}", script.name);
            let operation = script.journal.steps[number].what.clone();
            Failure { cut, operation, what, left }
        });
    }
}

/// Picks cuts of scripts to go on from, as many as there are random numbers.
pub(super) fn bases(scripts: &[Recorded], seed: u64, each: u64) -> Vec<(usize, usize, Survival)> {
    let mut bases = Vec::new();
    for (index, script) in scripts.iter().enumerate() {
        for pick in 0..each {
            let drawn = mix(seed, &script.name, usize::MAX, pick);
            let step = (drawn >> 8) as usize % script.journal.steps.len();
            let how = match pick % 3 {
                0 => Survival::Nothing,
                _ => Survival::Random(drawn),
            };
            bases.push((index, step, how));
        }
    }
    bases
}
