//! Walking the files of a log at the same time.
//!
//! Every file begins with a record, and none reaches into the next file: so files can be walked
//! each by itself. What was found is put together in the order of the files, up to the first that
//! is not whole to its end. What was found behind it is dropped unseen. The outcome is that of one
//! walk from record to record, however many threads there are.

use std::collections::BTreeMap;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::recover::{Before, WalkStart, count_in_queue, is_torn};
use super::topics::TopicTable;
use super::walk::{Found, Walk, damage_at, view};
use crate::codec::record::CrcCheck;
use crate::error::{Error, Result};
use crate::mapped::MappedFileQueue;
use crate::progress::Reporter;
use crate::service::panic_message;
use crate::status::Status;

/// More threads than this are not started, whatever the machine has.
const MAX_THREADS: usize = 8;
/// A thread that has walked so far looks whether it is still needed, and says how far it is.
const LOOK_AFTER_BYTES: u64 = 1 << 20;
/// How long the opening thread waits for others before it tells how far they are.
const LOOK_AFTER: Duration = Duration::from_millis(50);

/// What came of a walk.
#[derive(Debug)]
pub(super) struct Walked {
    /// Records in front of the end.
    pub(super) records: u64,
    /// Time of the newest of them.
    pub(super) last_timestamp_ms: i64,
    /// Where no record follows.
    pub(super) end: u64,
    /// What stands there, if it is not free.
    pub(super) damage: Option<Error>,
}

/// How many threads are of use on this machine.
pub(super) fn useful_threads() -> usize {
    std::thread::available_parallelism().map_or(1, |threads| threads.get().min(MAX_THREADS))
}

/// Walks from `start` until no record follows, and counts what is in front in `topics`. The thread
/// that calls is one of the `threads`.
pub(super) fn walk_files(
    queue: &MappedFileQueue,
    before: Before,
    start: WalkStart,
    crc: CrcCheck,
    threads: usize,
    topics: &TopicTable,
    reporter: &mut Reporter,
) -> Result<Walked> {
    let behind = |file: Range<u64>| file.start.max(start.position)..file.end;
    let files = queue.files();
    let files = files.iter().filter(|file| file.end() > start.position);
    let files: Vec<_> = files.map(|file| behind(file.start()..file.end())).collect();
    let walked = Walked {
        records: 0,
        last_timestamp_ms: start.timestamp_ms,
        end: start.position,
        damage: None,
    };
    let threads = threads.clamp(1, files.len().max(1));
    let walks = FileWalks {
        queue,
        before,
        crc,
        most_ahead: 2 * threads,
        cut: AtomicUsize::new(files.len()),
        files,
        topics,
        bytes: AtomicU64::new(0),
        state: Mutex::new(State { next: 0, merged: 0, ahead: BTreeMap::new(), walked: Ok(walked) }),
        changed: Condvar::new(),
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            let thread = std::thread::Builder::new().name("cairn-recover".to_owned());
            if let Err(error) = thread.spawn_scoped(scope, || walks.work(&mut |_| {})) {
                tracing::warn!(%error, "the log is walked by fewer threads");
                break;
            }
        }
        walks.work(&mut |bytes| reporter.look(bytes));
    });
    walks.state.into_inner().walked
}

/// What was found in one file.
#[derive(Debug)]
struct Part {
    walked: Walked,
    topics: TopicTable,
}

#[derive(Debug)]
struct FileWalks<'q> {
    queue: &'q MappedFileQueue,
    before: Before,
    crc: CrcCheck,
    /// What is to be walked of each file.
    files: Vec<Range<u64>>,
    /// How many files may be walked in front of the first that is not: what was found in them is
    /// kept until then.
    most_ahead: usize,
    /// The first file that is known not to be whole: nothing behind it matters.
    cut: AtomicUsize,
    topics: &'q TopicTable,
    bytes: AtomicU64,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    /// The file to be walked next.
    next: usize,
    /// How many files were put together.
    merged: usize,
    /// What was found in files behind.
    ahead: BTreeMap<usize, Result<Part>>,
    walked: Result<Walked>,
}

/// What a thread is to do.
enum Task {
    Walk(usize),
    Wait,
    End,
}

impl FileWalks<'_> {
    /// Walks files until all are put together that matter.
    fn work(&self, look: &mut dyn FnMut(u64)) {
        loop {
            let mut state = self.state.lock();
            match self.task(&mut state) {
                Task::End => return,
                Task::Wait => {
                    self.changed.wait_for(&mut state, LOOK_AFTER);
                    drop(state);
                    look(self.bytes.load(Ordering::Relaxed));
                }
                Task::Walk(number) => {
                    drop(state);
                    let walk = AssertUnwindSafe(|| self.walk_file(number, look));
                    let part = catch_unwind(walk).unwrap_or_else(|cause| {
                        let what = format!("walking the log panicked: {}", panic_message(cause));
                        Err(Error::new(Status::Internal, what))
                    });
                    self.put(number, part);
                }
            }
        }
    }

    fn task(&self, state: &mut State) -> Task {
        let last = self.files.len().min(self.cut.load(Ordering::Relaxed).saturating_add(1));
        if state.merged >= last {
            return Task::End;
        }
        if state.next >= last || state.next >= state.merged + self.most_ahead {
            return Task::Wait;
        }
        state.next += 1;
        Task::Walk(state.next - 1)
    }

    /// Walks one file to its end, or to where no record follows.
    fn walk_file(&self, number: usize, look: &mut dyn FnMut(u64)) -> Result<Part> {
        let file = self.files.get(number).cloned().unwrap_or_default();
        let topics = TopicTable::default();
        let mut walk = Walk::new(self.queue, file.start, self.crc);
        let (mut records, mut last_timestamp_ms) = (0, i64::MIN);
        let mut looked = file.start;
        let (mut damage, mut torn_at) = (None, None);
        while walk.position() < file.end {
            let at = walk.position();
            match walk.step() {
                Found::Record(pin, layout) => {
                    let record = view(&pin, layout);
                    if is_torn(&record, &self.before, self.queue, at..walk.position())? {
                        torn_at = Some(at);
                        damage = Some(damage_at(pin.file(), at, "the record was written in part"));
                        break;
                    }
                    records += 1;
                    last_timestamp_ms = record.store_timestamp_ms().max(last_timestamp_ms);
                    count_in_queue(&record, &topics);
                }
                Found::Blank(..) => {}
                Found::Free => break,
                // What cannot be read is not damage: nothing is known of it.
                Found::Damaged(error) if error.status() != Status::Corruption => return Err(error),
                Found::Damaged(error) => {
                    damage = Some(error);
                    break;
                }
            }
            let since = walk.position() - looked;
            if since >= LOOK_AFTER_BYTES || walk.position() == file.end {
                looked = walk.position();
                look(self.bytes.fetch_add(since, Ordering::Relaxed) + since);
                if self.cut.load(Ordering::Relaxed) < number {
                    break;
                }
            }
        }
        let end = torn_at.unwrap_or(walk.position());
        Ok(Part { walked: Walked { records, last_timestamp_ms, end, damage }, topics })
    }

    /// Takes what was found in a file, and puts together what is complete by now.
    fn put(&self, number: usize, part: Result<Part>) {
        let end = self.files.get(number).map(|file| file.end);
        let whole = part.as_ref().is_ok_and(|part| Some(part.walked.end) == end);
        if !whole {
            self.cut.fetch_min(number, Ordering::Relaxed);
        }
        let mut state = self.state.lock();
        state.ahead.insert(number, part);
        let state = &mut *state;
        while state.merged <= self.cut.load(Ordering::Relaxed)
            && let Some(part) = state.ahead.remove(&state.merged)
        {
            state.merged += 1;
            match (part, &mut state.walked) {
                (Ok(part), Ok(walked)) => {
                    self.topics.take_in(part.topics);
                    walked.records += part.walked.records;
                    walked.last_timestamp_ms =
                        walked.last_timestamp_ms.max(part.walked.last_timestamp_ms);
                    (walked.end, walked.damage) = (part.walked.end, part.walked.damage);
                }
                (Err(error), walked) => *walked = Err(error),
                (Ok(_), Err(_)) => {}
            }
        }
        self.changed.notify_all();
    }
}
