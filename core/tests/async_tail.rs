//! Following queues from tasks, without a runtime.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use cairnlog::{AsyncTail, Filter, Message, QueueOffset, Store, StoreOptions};
use futures_core::Stream;

/// Nothing here takes longer, unless a wakeup is lost.
const PATIENCE: Duration = Duration::from_secs(20);

/// Tasks that were woken.
#[derive(Default)]
struct Ready {
    tasks: Mutex<VecDeque<usize>>,
    changed: Condvar,
}

impl Ready {
    fn push(&self, task: usize) {
        self.tasks.lock().unwrap().push_back(task);
        self.changed.notify_one();
    }

    fn next(&self) -> usize {
        let (mut tasks, timed_out) = self
            .changed
            .wait_timeout_while(self.tasks.lock().unwrap(), PATIENCE, |tasks| tasks.is_empty())
            .unwrap();
        assert!(!timed_out.timed_out(), "a wakeup was lost");
        tasks.pop_front().unwrap()
    }
}

struct Task {
    number: usize,
    ready: Arc<Ready>,
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.ready.push(self.number);
    }
}

/// Runs tasks on this thread to their ends. A task is polled only when it was woken.
fn run(tasks: Vec<Pin<Box<dyn Future<Output = ()> + '_>>>) {
    let ready = Arc::new(Ready::default());
    let mut left = tasks.len();
    (0..left).for_each(|number| ready.push(number));
    let mut tasks: Vec<_> = tasks.into_iter().map(Some).collect();
    while left > 0 {
        let number = ready.next();
        let waker = Waker::from(Arc::new(Task { number, ready: Arc::clone(&ready) }));
        let Some(task) = &mut tasks[number] else {
            continue;
        };
        if task.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
            tasks[number] = None;
            left -= 1;
        }
    }
}

fn block_on(future: impl Future<Output = ()>) {
    run(vec![Box::pin(future)]);
}

fn open(directory: &tempfile::TempDir) -> Store {
    let mut options = StoreOptions::default();
    options.segment_size_bytes = 1 << 20;
    Store::open(directory.path(), &options).unwrap()
}

fn follow(store: &Store, queue_id: i32) -> AsyncTail {
    store.tail_async("t", queue_id, QueueOffset::new(0), Filter::all()).unwrap()
}

fn append(store: &Store, queue_id: i32, body: &str) {
    store.append(&Message::new("t", body.as_bytes()).queue_id(queue_id)).unwrap();
}

async fn next(tail: &mut AsyncTail) -> Option<String> {
    let message = tail.next().await?.unwrap();
    Some(String::from_utf8(message.body().to_vec()).unwrap())
}

/// Messages wake the task, from the first of a queue that did not exist, and the end of the store
/// ends the stream, as it ends a wait of the iterator.
#[test]
fn a_task_is_woken_by_messages_and_by_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory);
    let mut tail = follow(&store, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..2000 {
                append(&store, 0, &number.to_string());
                if number % 50 == 0 {
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        });
        block_on(async {
            for number in 0..2000 {
                assert_eq!(next(&mut tail).await.unwrap(), number.to_string());
            }
        });
    });
    assert_eq!(tail.offset().get(), 2000);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(50));
            store.close().unwrap();
        });
        block_on(async {
            assert!(tail.next().await.is_none());
            assert!(tail.next().await.is_none());
        });
    });
}

/// A thousand streams cost no thread, and each gets every message of its queue.
#[test]
fn a_thousand_streams_in_one_thread() {
    const QUEUES: i32 = 20;
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory);
    (0..QUEUES).for_each(|queue_id| append(&store, queue_id, "0"));
    assert!(store.wait_dispatched(store.max_offset(), PATIENCE).unwrap());
    let (waiting, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let tasks: Vec<Pin<Box<dyn Future<Output = ()>>>> = (0..1000)
        .map(|number| {
            let mut tail = follow(&store, number % QUEUES);
            let (waiting, done) = (&waiting, &done);
            let task = async move {
                assert_eq!(next(&mut tail).await.unwrap(), "0");
                waiting.fetch_add(1, Ordering::Relaxed);
                for count in 1..20 {
                    assert_eq!(next(&mut tail).await.unwrap(), count.to_string());
                }
                done.fetch_add(1, Ordering::Relaxed);
                assert!(tail.next().await.is_none());
            };
            Box::pin(task) as Pin<Box<dyn Future<Output = ()>>>
        })
        .collect();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let wait_for = |count: &AtomicUsize| {
                while count.load(Ordering::Relaxed) < 1000 {
                    std::thread::sleep(Duration::from_millis(1));
                }
            };
            wait_for(&waiting);
            for count in 1..20 {
                (0..QUEUES).for_each(|queue_id| append(&store, queue_id, &count.to_string()));
            }
            wait_for(&done);
            store.close().unwrap();
        });
        run(tasks);
    });
}

/// Counts how often it is woken.
#[derive(Default)]
struct Counter(AtomicUsize);

impl Wake for Counter {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A stream that is dropped while it waits leaves nothing behind, nor does one that is polled
/// again and again.
#[test]
fn a_dropped_stream_lets_go_of_its_waker() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory);
    let counter = Arc::new(Counter::default());
    let waker = Waker::from(Arc::clone(&counter));
    let mut context = Context::from_waker(&waker);
    let mut tail = follow(&store, 0);
    let held = Arc::strong_count(&counter);
    for _ in 0..100 {
        assert!(Pin::new(&mut tail).poll_next(&mut context).is_pending());
        assert_eq!(Arc::strong_count(&counter), held + 1);
    }
    drop(tail);
    assert_eq!(Arc::strong_count(&counter), held);
    append(&store, 0, "nobody waits");
    assert!(store.wait_dispatched(store.max_offset(), PATIENCE).unwrap());
    assert_eq!(counter.0.load(Ordering::Relaxed), 0);
}

/// A wait that is given up loses no message.
#[test]
fn a_wait_that_is_given_up_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory);
    let mut tail = follow(&store, 0);
    for number in 0..10 {
        let mut context = Context::from_waker(Waker::noop());
        assert!(pin!(tail.next()).poll(&mut context).is_pending());
        append(&store, 0, &number.to_string());
        block_on(async { assert_eq!(next(&mut tail).await.unwrap(), number.to_string()) });
    }
}

/// A filter that lets nothing pass keeps no other task from its turn.
#[test]
fn a_long_search_gives_other_tasks_their_turn() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory);
    let body = [b'x'; 10];
    for _ in 0..40_000 {
        store.append(&Message::new("t", &body).tag("no")).unwrap();
    }
    store.append(&Message::new("t", &body).tag("yes")).unwrap();
    assert!(store.wait_dispatched(store.max_offset(), PATIENCE).unwrap());
    let filter = Filter::tags("yes").unwrap();
    let mut tail = store.tail_async("t", 0, QueueOffset::new(0), filter).unwrap();
    let mut polls = 0;
    block_on(poll_fn(|context| {
        polls += 1;
        match Pin::new(&mut tail).poll_next(context) {
            Poll::Ready(message) => {
                assert_eq!(message.unwrap().unwrap().queue_offset().get(), 40_000);
                Poll::Ready(())
            }
            Poll::Pending => Poll::Pending,
        }
    }));
    assert!(polls > 1);
}

/// Polls its stream inside the wakeup, as no waker should, on the store's own thread.
struct Inline {
    tail: Mutex<Option<AsyncTail>>,
    seen: AtomicUsize,
}

impl Wake for Inline {
    fn wake(self: Arc<Self>) {
        let waker = Waker::from(Arc::clone(&self));
        let mut tail = self.tail.lock().unwrap();
        let mut context = Context::from_waker(&waker);
        while let Some(Poll::Ready(Some(message))) =
            tail.as_mut().map(|tail| Pin::new(tail).poll_next(&mut context))
        {
            message.unwrap();
            self.seen.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[test]
fn a_waker_that_polls_at_once_blocks_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(&directory);
    let tail = Mutex::new(Some(follow(&store, 0)));
    let inline = Arc::new(Inline { tail, seen: AtomicUsize::new(0) });
    Arc::clone(&inline).wake();
    for number in 0..500 {
        append(&store, 0, &number.to_string());
    }
    assert!(store.wait_dispatched(store.max_offset(), PATIENCE).unwrap());
    store.close().unwrap();
    inline.tail.lock().unwrap().take();
    assert_eq!(inline.seen.load(Ordering::Relaxed), 500);
}
