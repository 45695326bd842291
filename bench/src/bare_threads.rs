//! The raw limit of threads that each wait for their record: a buffer under a mutex, a condition
//! variable for all who wait, and a thread that writes and syncs. No store does less for them.

use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use crate::amounts::Amounts;
use crate::bare::{Groups, RECORD_BYTES, ZEROS};
use crate::latency::Latencies;
use crate::report::{Figure, Report};
use crate::scene::rates;
use crate::{Case, Result};

const OF_64: Figure = Figure {
    name: "bare groups of 64 threads that wait for their record",
    unit: "records/s",
    floor: "pwrite and fdatasync, one by one",
    target: None,
};
const OF_128: Figure =
    Figure { name: "bare groups of 128 threads that wait for their record", ..OF_64 };

const TAIL_OF_64: Figure = Figure {
    name: "bare groups of 64 threads that wait for their record, p99",
    unit: "us",
    ..OF_64
};

/// Groups that follow each other, before the floor has its turn: the threads of the last group
/// wake up while that is measured.
const STEPS: u32 = 64;

/// What the threads have asked for.
#[derive(Default)]
struct State {
    /// Records that are to be written next.
    group: Vec<u8>,
    /// The number of that group.
    forming: u64,
    /// Groups that are synced.
    synced: u64,
    /// Counts the turns of the threads, between which the floor has its own.
    turn: u64,
    stopped: bool,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    asked: Condvar,
    done: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a thread does: hands in a record and waits until it is synced, again and again. Returns
    /// how long each took, in nanoseconds, but for those over whose waiting a turn ended.
    fn append(&self) -> Vec<u64> {
        let record = [7; RECORD_BYTES];
        let mut took = Vec::new();
        let mut state = self.lock();
        while !state.stopped {
            let (begin, turn, group) = (Instant::now(), state.turn, state.forming);
            state.group.extend_from_slice(&record);
            self.asked.notify_one();
            let unsynced = |state: &mut State| state.synced <= group && !state.stopped;
            let waited = self.done.wait_while(state, unsynced);
            state = waited.unwrap_or_else(PoisonError::into_inner);
            if state.turn == turn && !state.stopped {
                took.push(u64::try_from(begin.elapsed().as_nanos()).unwrap_or(u64::MAX));
            }
        }
        took
    }

    /// Writes and syncs what was asked for, and returns how many records that was.
    fn step(&self, groups: &mut Groups, zeros: &[u8]) -> Result<u64> {
        let state = self.asked.wait_while(self.lock(), |state| state.group.is_empty());
        let mut state = state.unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut state.group, &mut groups.group);
        state.group.clear();
        state.forming += 1;
        drop(state);
        let records = groups.step(zeros)?;
        self.lock().synced += 1;
        self.done.notify_all();
        Ok(records)
    }

    fn stop(&self) {
        self.lock().stopped = true;
        self.done.notify_all();
    }
}

struct BareThreads {
    path: PathBuf,
    amounts: Amounts,
}

/// Files are made in each round.
pub(crate) fn prepare(path: &Path, amounts: Amounts) -> Result<Box<dyn Case>> {
    Ok(Box::new(BareThreads { path: path.to_path_buf(), amounts }))
}

impl Case for BareThreads {
    fn round(&mut self, report: &mut Report) -> Result<()> {
        let zeros = vec![0; ZEROS];
        for (figure, threads) in [(OF_64, 64), (OF_128, 128)] {
            let mut groups = Groups::new(&self.path.join("groups"), 0)?;
            let mut single = Groups::new(&self.path.join("single"), 1)?;
            let shared = Shared::default();
            let (mut alone, mut together) = (Latencies::new()?, Latencies::new()?);
            let (value, floor) = thread::scope(|scope| {
                let appending: Vec<_> =
                    (0..threads).map(|_| scope.spawn(|| shared.append())).collect();
                let mut steps = || {
                    shared.lock().turn += 1;
                    (0..STEPS).map(|_| shared.step(&mut groups, &zeros)).sum::<Result<u64>>()
                };
                let mut singles = || {
                    let timed = |_| {
                        let begin = Instant::now();
                        let records = single.step(&zeros)?;
                        alone.record(u64::try_from(begin.elapsed().as_nanos())?);
                        Ok(records)
                    };
                    (0..STEPS).map(timed).sum::<Result<u64>>()
                };
                let measured = rates(self.amounts.turn, &mut steps, &mut singles);
                shared.stop();
                for thread in appending {
                    let took = thread.join().map_err(|_| "a thread panicked")?;
                    took.into_iter().for_each(|nanoseconds| together.record(nanoseconds));
                }
                measured
            })?;
            report.add(figure, value, floor);
            if threads == 64 {
                report.add(TAIL_OF_64, together.microseconds(0.99), alone.microseconds(0.99));
            }
        }
        Ok(())
    }
}
