//! The appends that are measured.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use cairnlog::{Completion, CompletionSink, Error, Message, QueueAppender, Store};

use super::{Rate, Turn};
use crate::arguments::Bench;
use crate::failure::Failure;
use crate::latency::Latencies;

/// The topic of every message.
const TOPIC: &str = "bench";

/// One thread's part.
struct Lane {
    queue: QueueAppender,
    body: Vec<u8>,
    /// Makes the appends of this lane wait for their acknowledgement together.
    pipeline: Option<Arc<Pipeline>>,
}

/// Appending threads with their queues.
pub(crate) struct Load {
    lanes: Vec<Lane>,
}

impl Load {
    /// One queue for each thread.
    pub(crate) fn new(store: &Store, command: &Bench) -> Result<Self, Failure> {
        let mut lanes = Vec::new();
        for thread in 0..command.threads {
            let queue = store.queue(TOPIC, i32::try_from(thread).unwrap_or_default())?;
            let pipeline = match command.inflight {
                1 => None,
                inflight => Some(Arc::new(Pipeline::new(inflight as usize)?)),
            };
            lanes.push(Lane { queue, body: body(command.size), pipeline });
        }
        Ok(Self { lanes })
    }

    /// The bytes of a record in the log.
    pub(crate) fn record_bytes(&self) -> Result<usize, Failure> {
        let Some(lane) = self.lanes.first() else {
            return Ok(0);
        };
        let placed = lane.queue.append(&lane.message())?;
        Ok(placed.size_bytes as usize)
    }

    /// Appends until the turn is over, with every thread, and waits for all acknowledgements.
    pub(crate) fn turn(&mut self, turn: Turn, latencies: &mut Latencies) -> Result<Rate, Failure> {
        let started = Instant::now();
        let results: Vec<Result<Latencies, Failure>> = match self.lanes.as_slice() {
            [lane] => vec![lane.turn(turn)],
            lanes => thread::scope(|scope| {
                let threads: Vec<_> =
                    lanes.iter().map(|lane| scope.spawn(move || lane.turn(turn))).collect();
                threads
                    .into_iter()
                    .map(|thread| {
                        thread.join().unwrap_or_else(|_| {
                            Err(Failure::failed("cannot measure", "a thread failed"))
                        })
                    })
                    .collect()
            }),
        };
        let elapsed = started.elapsed();
        let mut messages = 0;
        for result in results {
            let result = result?;
            messages += result.count();
            latencies.add(&result);
        }
        Ok(Rate { messages, elapsed })
    }
}

/// Bytes that compress and check like data, the same in every run.
pub(crate) fn body(size: usize) -> Vec<u8> {
    let mut state: u32 = 0x9E37_79B9;
    (0..size)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            (state >> 24) as u8
        })
        .collect()
}

impl Lane {
    fn message(&self) -> Message<'_> {
        Message::new(TOPIC, &self.body).queue_id(self.queue.queue_id())
    }

    fn turn(&self, turn: Turn) -> Result<Latencies, Failure> {
        match &self.pipeline {
            None => self.one_by_one(turn),
            Some(pipeline) => self.pipelined(turn, pipeline),
        }
    }

    /// One clock reading per append: the end of one is the beginning of the next.
    fn one_by_one(&self, turn: Turn) -> Result<Latencies, Failure> {
        let mut latencies = Latencies::new()?;
        let message = self.message();
        let mut before = Instant::now();
        for _ in 0..turn.messages {
            self.queue.append(&message)?;
            let now = Instant::now();
            latencies.record(now - before);
            before = now;
            if now >= turn.until {
                break;
            }
        }
        Ok(latencies)
    }

    fn pipelined(&self, turn: Turn, pipeline: &Arc<Pipeline>) -> Result<Latencies, Failure> {
        let sink: Arc<dyn CompletionSink> = Arc::<Pipeline>::clone(pipeline);
        let message = self.message();
        let mut free: Vec<u64> = Vec::new();
        for _ in 0..turn.messages {
            let token = match free.pop() {
                Some(token) => token,
                None => {
                    pipeline.take_free(&mut free)?;
                    match free.pop() {
                        Some(token) => token,
                        None => break,
                    }
                }
            };
            let now = Instant::now();
            if now >= turn.until {
                free.push(token);
                break;
            }
            pipeline.begin(token, now);
            if let Err(error) = self.queue.append_to_sink(&message, &sink, token) {
                free.push(token);
                pipeline.drain(free)?;
                return Err(error.into());
            }
        }
        pipeline.drain(free)
    }
}

/// A bounded number of appends on their way.
struct Pipeline {
    size: usize,
    state: Mutex<State>,
    changed: Condvar,
    epoch: Instant,
    started_ns: Vec<AtomicU64>,
}

struct State {
    free: Vec<u64>,
    latencies: Latencies,
    failure: Option<Error>,
}

impl Pipeline {
    fn new(size: usize) -> Result<Self, Failure> {
        Ok(Self {
            size,
            state: Mutex::new(State {
                free: (0..size as u64).collect(),
                latencies: Latencies::new()?,
                failure: None,
            }),
            changed: Condvar::new(),
            epoch: Instant::now(),
            started_ns: (0..size).map(|_| Default::default()).collect(),
        })
    }

    fn begin(&self, token: u64, now: Instant) {
        if let Some(started) =
            usize::try_from(token).ok().and_then(|slot| self.started_ns.get(slot))
        {
            let nanoseconds = u64::try_from((now - self.epoch).as_nanos()).unwrap_or(u64::MAX);
            started.store(nanoseconds, Ordering::Release);
        }
    }

    /// Takes all free places, waiting until there is one.
    fn take_free(&self, free: &mut Vec<u64>) -> Result<(), Failure> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while state.free.is_empty() {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if let Some(failure) = &state.failure {
            return Err(failure.clone().into());
        }
        std::mem::swap(free, &mut state.free);
        Ok(())
    }

    /// Gives unused places back, waits for everything on its way and takes the latencies.
    fn drain(&self, mut unused: Vec<u64>) -> Result<Latencies, Failure> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.free.append(&mut unused);
        while state.free.len() < self.size {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if let Some(failure) = state.failure.take() {
            return Err(failure.into());
        }
        Ok(std::mem::replace(&mut state.latencies, Latencies::new()?))
    }
}

impl CompletionSink for Pipeline {
    fn complete(&self, group: Vec<Completion>) {
        let now = u64::try_from(self.epoch.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for completion in group {
            let started = usize::try_from(completion.token)
                .ok()
                .and_then(|slot| self.started_ns.get(slot))
                .map_or(now, |at| at.load(Ordering::Acquire));
            match completion.result {
                Ok(_) => state.latencies.record(Duration::from_nanos(now.saturating_sub(started))),
                Err(error) => state.failure = Some(error),
            }
            state.free.push(completion.token);
        }
        drop(state);
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_completion_fails_the_turn_and_frees_its_place() {
        let pipeline = Pipeline::new(2).unwrap();
        let mut free = Vec::new();
        pipeline.take_free(&mut free).unwrap();
        assert_eq!(free.len(), 2);
        let token = free.pop().unwrap();
        pipeline.begin(token, Instant::now());
        pipeline.complete(vec![Completion {
            token,
            result: Err(Error::new(cairnlog::Status::Io, "no")),
        }]);
        assert!(pipeline.drain(free).is_err());
        let mut free = Vec::new();
        pipeline.take_free(&mut free).unwrap();
        assert_eq!(free.len(), 2);
    }

    #[test]
    fn bodies_are_the_same_in_every_run() {
        assert_eq!(body(8), body(8));
        assert_eq!(body(1024).len(), 1024);
        assert!(body(1024).iter().any(|byte| *byte != 0));
    }
}
