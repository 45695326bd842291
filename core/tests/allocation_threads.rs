//! Neither an appending thread nor the store's own threads take memory from the heap for each
//! message: counted over thousands of messages, after a warm-up in which buffers grow. A test
//! binary of its own, because it counts what the allocator is asked for.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod counting;

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cairnlog::{
    AppendResult, Completion, CompletionSink, FlushMode, Message, QueueAppender, Result, Store,
    StoreOptions,
};
use parking_lot::{Condvar, Mutex, MutexGuard};

use counting::Counting;

/// Messages that are counted where an append waits for nothing.
const MANY: u64 = 10_000;
/// Messages that are counted where each waits for a sync.
const SYNCED: u64 = 400;
/// Completions that are awaited together.
const WINDOW: u64 = 256;
/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(60);

/// Whether this thread is one of a store, the appending one, or neither.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Unknown,
    Appender,
    Engine,
    Other,
}

thread_local! {
    static ROLE: Cell<Role> = const { Cell::new(Role::Unknown) };
}

static COUNTS: AtomicBool = AtomicBool::new(false);
static BY_APPENDER: AtomicU64 = AtomicU64::new(0);
static BY_ENGINE: AtomicU64 = AtomicU64::new(0);

/// A store's threads are told by their name, which needs no memory.
fn role_by_name() -> Role {
    let mut name = [0u8; 16];
    // SAFETY: the call writes at most 16 bytes to an array of 16.
    unsafe { libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr()) };
    if name.starts_with(b"cairn-") { Role::Engine } else { Role::Other }
}

fn count() {
    if !COUNTS.load(Ordering::Relaxed) {
        return;
    }
    // A thread that is ending has no role any more.
    let role = ROLE.try_with(|role| {
        if role.get() == Role::Unknown {
            role.set(role_by_name());
        }
        role.get()
    });
    match role {
        Ok(Role::Appender) => BY_APPENDER.fetch_add(1, Ordering::Relaxed),
        Ok(Role::Engine) => BY_ENGINE.fetch_add(1, Ordering::Relaxed),
        _ => 0,
    };
}

#[global_allocator]
static ALLOCATOR: Counting = Counting(count);

/// What was asked of the allocator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Allocations {
    by_appender: u64,
    by_engine: u64,
}

/// The stores of one test at a time: the threads of all are counted together.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock()
}

/// Counts while `act` runs on this thread.
fn allocations(act: impl FnOnce()) -> Allocations {
    let counters = [&BY_APPENDER, &BY_ENGINE];
    counters.iter().for_each(|counter| counter.store(0, Ordering::SeqCst));
    ROLE.set(Role::Appender);
    COUNTS.store(true, Ordering::SeqCst);
    act();
    COUNTS.store(false, Ordering::SeqCst);
    let [by_appender, by_engine] = counters.map(|counter| counter.load(Ordering::SeqCst));
    Allocations { by_appender, by_engine }
}

/// Counts the completions of appends.
#[derive(Default)]
struct Completed {
    count: Mutex<u64>,
    more: Condvar,
    groups: AtomicU64,
}

impl CompletionSink for Completed {
    fn complete(&self, group: Vec<Completion>) {
        assert!(group.iter().all(|completion| completion.result.is_ok()));
        self.groups.fetch_add(1, Ordering::Relaxed);
        *self.count.lock() += group.len() as u64;
        self.more.notify_one();
    }
}

impl Completed {
    fn wait_for(&self, count: u64) {
        let mut completed = self.count.lock();
        while *completed < count {
            assert!(!self.more.wait_for(&mut completed, LONG).timed_out(), "no completion came");
        }
    }
}

/// How a message is appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Path {
    Handle,
    Name,
    HandleToSink,
    NameToSink,
}

struct Scene {
    _directory: tempfile::TempDir,
    store: Store,
    queue: QueueAppender,
    completed: Arc<Completed>,
    sink: Arc<dyn CompletionSink>,
    submitted: Cell<u64>,
}

impl Scene {
    fn new(mode: FlushMode) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut options = StoreOptions::default();
        options.segment_size_bytes = 64 << 20;
        options.flush_mode = mode;
        let store = Store::open(directory.path(), &options).unwrap();
        let queue = store.queue("topic", 0).unwrap();
        let completed = Arc::new(Completed::default());
        let sink = Arc::clone(&completed) as Arc<dyn CompletionSink>;
        Self { _directory: directory, store, queue, completed, sink, submitted: Cell::new(0) }
    }

    fn append(&self, path: Path, message: &Message<'_>) -> Result<AppendResult> {
        let token = self.submitted.get();
        match path {
            Path::Handle => self.queue.append(message),
            Path::Name => self.store.append(message),
            Path::HandleToSink => self.queue.append_to_sink(message, &self.sink, token),
            Path::NameToSink => self.store.append_to_sink(message, &self.sink, token),
        }
    }

    /// Appends so many, waits for their completions by and by, and until they are dispatched.
    fn append_all(&self, path: Path, message: &Message<'_>, count: u64) {
        for number in 1..=count {
            self.append(path, message).unwrap();
            if matches!(path, Path::HandleToSink | Path::NameToSink) {
                self.submitted.set(self.submitted.get() + 1);
                if number % WINDOW == 0 || number == count {
                    self.completed.wait_for(self.submitted.get());
                }
            }
        }
        // Who waits dispatches, and would be counted.
        let started = Instant::now();
        while self.store.dispatched_offset() < self.store.max_offset() {
            assert!(started.elapsed() < LONG, "nothing is dispatched");
            std::thread::yield_now();
        }
    }
}

/// Appends `count` messages of every kind to a store that is warm, and looks what was allocated:
/// by the appending thread at most `most`, which the threads' turns decide.
///
/// By the store's threads: the vector of each group of completions, which the sink gets to keep,
/// and what a batch of units needs, of which there are far fewer than messages, or which is small
/// and used again.
fn check_all(mode: FlushMode, paths: &[Path], count: u64, most: u64) {
    let properties = [("region", "north"), ("trace", "0123456789abcdef")];
    for body in [vec![b'x'; 100], vec![b'x'; 1024]] {
        let plain = Message::new("topic", &body);
        let full = plain.tag("new").keys(&["k1", "k2"]).properties(&properties);
        for message in [plain, full] {
            let scene = Scene::new(mode);
            for &path in paths {
                scene.append_all(path, &message, count);
                let groups = || scene.completed.groups.load(Ordering::Relaxed);
                let before = groups();
                let counted = allocations(|| scene.append_all(path, &message, count));
                let what = format!("{mode:?}, {path:?}, {} bytes, {counted:?}", body.len());
                assert!(counted.by_appender <= most, "{what}");
                let groups = groups() - before;
                assert!(counted.by_engine <= groups + count / 5, "{what}, {groups} groups");
            }
        }
    }
}

#[test]
fn the_counters_count() {
    let _alone = alone();
    let name = |name: &str| std::thread::Builder::new().name(name.to_owned());
    let (start, started) = std::sync::mpsc::sync_channel(2);
    let (proceed, counting) = std::sync::mpsc::sync_channel::<()>(0);
    let counting = Arc::new(Mutex::new(counting));
    let threads = ["cairn-test", "another"].map(|text| {
        let (start, counting) = (start.clone(), Arc::clone(&counting));
        let body = move || {
            start.send(()).unwrap();
            counting.lock().recv().unwrap();
            drop(std::hint::black_box(Box::new(1)));
        };
        name(text).spawn(body).unwrap()
    });
    (0..2).for_each(|_| started.recv().unwrap());
    let counted = allocations(|| {
        (0..3).for_each(|number| drop(std::hint::black_box(Box::new(number))));
        threads.iter().for_each(|_| proceed.send(()).unwrap());
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
    assert!(counted.by_appender >= 3, "{counted:?}");
    assert!((1..10).contains(&counted.by_engine), "{counted:?}");
    let nothing = allocations(|| ());
    assert_eq!(nothing, Allocations { by_appender: 0, by_engine: 0 });
}

#[test]
fn an_append_that_waits_for_nothing() {
    let _alone = alone();
    check_all(FlushMode::Async, &[Path::Handle, Path::Name], MANY, 0);
}

/// Groups are used again. One is made when a waiter is back before its group is laid aside.
#[test]
fn an_append_that_waits_for_its_sync() {
    let _alone = alone();
    check_all(FlushMode::Sync, &[Path::Handle, Path::Name], SYNCED, 8);
}

/// The list of what waits grows to what was under way at most, twice as large at a time.
#[test]
fn an_append_whose_completion_comes_later() {
    let _alone = alone();
    for mode in [FlushMode::Async, FlushMode::Sync] {
        check_all(mode, &[Path::HandleToSink, Path::NameToSink], MANY, 20);
    }
}
