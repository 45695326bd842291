//! The models: a few threads each, and what must hold in every order.

use std::sync::Arc;
use std::task::{Wake, Waker};

use loom::cell::UnsafeCell;
use loom::thread;

use crate::append_lock::AppendLock;
use crate::error::{Error, Result};
use crate::group::{FlushGroup, FlushGroups};
use crate::options::AppendLockKind;
use crate::service::{self, ServiceThread, Signal};
use crate::slot::Slot;
use crate::status::Status;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use crate::sys::disk::Access;
use crate::watermark::Watermark;

/// Every model with its name, and how often a thread is interrupted in one order at most.
pub(crate) const ALL: &[(&str, fn(), usize)] = &[
    ("what is published is written", published_is_written, 3),
    ("a waiting reader misses no append", waiter_misses_nothing, 3),
    ("a waiting task misses no append", task_misses_nothing, 3),
    ("closing wakes who waits", closing_wakes, 3),
    ("a task that no longer waits is forgotten", registration_is_dropped, 3),
    ("who stands in leaves nothing undone", stand_in_leaves_nothing, 2),
    ("who stands in idly hands over", idle_stand_in_hands_over, 3),
    ("a service misses no wakeup", service_misses_nothing, 3),
    ("a wakeup before the stop is served", wakeup_before_stop, 3),
    ("a group ends after a sync of what it waits for", group_is_synced, 3),
    ("nobody waits in a closed group", closed_group, 3),
    ("a service is stopped by two", stopped_by_two, 3),
    ("a slot shows no half of two mappings", slot_shows_whole_mappings, 3),
    ("who reads zeros of a lost page is told", lost_page_is_told, 3),
];

/// Bytes of two records, in memory that nobody else may look at before it is published.
struct Log {
    lock: AppendLock<usize>,
    bytes: [UnsafeCell<u8>; 2],
    published: Watermark,
}

impl Log {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            lock: AppendLock::new(AppendLockKind::Mutex, 0),
            bytes: [UnsafeCell::new(0), UnsafeCell::new(0)],
            published: Watermark::default(),
        })
    }

    /// Appends one byte, as the engine appends a record: reserved, written and published under the
    /// lock.
    fn append(&self) -> u64 {
        let mut end = self.lock.lock();
        self.bytes[*end].with_mut(|byte| {
            // SAFETY: the lock is held, and what is not published is read by nobody, which is what
            // the model checker finds out.
            unsafe { *byte = 1 }
        });
        *end += 1;
        self.published.advance(*end as u64);
        *end as u64
    }

    fn check_up_to(&self, position: u64) {
        for byte in &self.bytes[..usize::try_from(position).unwrap()] {
            // SAFETY: published bytes are never written again.
            byte.with(|byte| assert_eq!(unsafe { *byte }, 1));
        }
    }
}

// SAFETY: the bytes are guarded by lock and position; the model checker finds where they are not.
unsafe impl Sync for Log {}

fn published_is_written() {
    let log = Log::new();
    let appenders: Vec<_> = (0..2)
        .map(|_| {
            let log = Arc::clone(&log);
            thread::spawn(move || log.append())
        })
        .collect();
    log.check_up_to(log.published.get());
    for appender in appenders {
        appender.join().unwrap();
    }
    assert_eq!(log.published.get(), 2);
    log.check_up_to(2);
}

fn waiter_misses_nothing() {
    let log = Log::new();
    let appender = {
        let log = Arc::clone(&log);
        thread::spawn(move || {
            log.append();
            log.append();
        })
    };
    for position in 0..2 {
        assert!(log.published.wait_past(position, None));
        log.check_up_to(position + 1);
    }
    appender.join().unwrap();
}

/// A task that notes that it was woken, and whoever waits for that.
struct Task(Signal);

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.0.wakeup();
    }
}

fn task_misses_nothing() {
    let mark = Arc::new(Watermark::default());
    let moving = Arc::clone(&mark);
    let mover = thread::spawn(move || {
        moving.advance(1);
        moving.advance(2);
    });
    let task = Arc::new(Task(Signal::default()));
    let waker = Waker::from(Arc::clone(&task));
    while mark.get() <= 1 {
        if let Some(registration) = mark.register(1, waker.clone()) {
            task.0.wait(None);
            drop(registration);
        }
    }
    mover.join().unwrap();
}

fn closing_wakes() {
    let mark = Arc::new(Watermark::default());
    let closing = Arc::clone(&mark);
    let closer = thread::spawn(move || closing.close());
    assert!(!mark.wait_past(0, None));
    let waker = Waker::from(Arc::new(Task(Signal::default())));
    assert!(mark.register(0, waker).is_none());
    closer.join().unwrap();
}

fn registration_is_dropped() {
    let mark = Arc::new(Watermark::default());
    let moving = Arc::clone(&mark);
    let mover = thread::spawn(move || moving.advance(1));
    let waker = Waker::from(Arc::new(Task(Signal::default())));
    drop(mark.register(0, waker));
    mover.join().unwrap();
    // With nobody left, a move does not look for waiters.
    drop(mark.advance_quietly(2));
    assert!(mark.wait_past(1, None));
}

/// Work up to a limit, done by a thread or by another in its place, as the dispatcher's is.
#[derive(Default)]
struct Work {
    limit: Watermark,
    done: Watermark,
}

impl Work {
    /// Does what there is, once; whether there was anything.
    fn run(&self) -> bool {
        let (done, limit) = (self.done.get(), self.limit.get());
        self.done.advance(limit);
        done < limit
    }

    fn serve(&self) {
        while !self.limit.is_closed() {
            if !self.run() {
                self.limit.wait_past_behind(self.done.get(), || false);
            }
        }
    }

    /// Does the work, or waits for some, until something is done.
    fn stand_in(&self) {
        loop {
            let done = self.done.get();
            if done > 0 {
                break;
            }
            if !self.run() {
                self.limit.wait_past_in_front(done, None, || false);
            }
        }
        self.leave();
    }

    /// Waits for work and leaves it.
    fn stand_in_idly(&self) {
        self.limit.wait_past_in_front(0, None, || false);
        self.leave();
    }

    fn leave(&self) {
        if self.done.get() < self.limit.get() {
            self.limit.interrupt();
        }
    }
}

fn stands_in(stand_in: fn(&Work), limits: std::ops::RangeInclusive<u64>) {
    let work = Arc::new(Work::default());
    let (serving, moving) = (Arc::clone(&work), Arc::clone(&work));
    let last = *limits.end();
    let server = thread::spawn(move || serving.serve());
    let mover = thread::spawn(move || limits.for_each(|limit| moving.limit.advance(limit)));
    stand_in(&work);
    mover.join().unwrap();
    // If the other slept now, the model checker would find that nobody can go on.
    assert!(work.done.wait_past(last - 1, None));
    work.limit.close();
    server.join().unwrap();
}

fn stand_in_leaves_nothing() {
    stands_in(Work::stand_in, 1..=2);
}

fn idle_stand_in_hands_over() {
    stands_in(Work::stand_in_idly, 1..=1);
}

fn service_misses_nothing() {
    let signal = Arc::new(Signal::default());
    let work = Arc::new(AtomicU64::new(0));
    let (asked, asking) = (Arc::clone(&work), Arc::clone(&signal));
    let caller = thread::spawn(move || {
        for _ in 0..2 {
            asked.fetch_add(1, Ordering::Relaxed);
            asking.wakeup();
        }
    });
    // A service that was woken for each, or once for both, has seen both in the end.
    while work.load(Ordering::Relaxed) < 2 {
        assert_eq!(signal.wait(None), service::Wake::Notified);
    }
    caller.join().unwrap();
}

fn wakeup_before_stop() {
    let signal = Arc::new(Signal::default());
    let telling = Arc::clone(&signal);
    let caller = thread::spawn(move || {
        telling.wakeup();
        telling.stop();
    });
    assert_eq!(signal.wait(None), service::Wake::Notified);
    assert_eq!(signal.wait(None), service::Wake::Stopped);
    caller.join().unwrap();
}

/// What appenders and a flush service share.
#[derive(Default)]
struct Flushing {
    published: AtomicU64,
    durable: AtomicU64,
    /// Held for a run, as in the engine, where an appender may run in the service's place.
    running: Mutex<()>,
    groups: FlushGroups,
    signal: Signal,
}

impl Flushing {
    /// One run: forces what is published, for the group that has formed.
    fn run(&self) {
        let _one_at_a_time = self.running.lock();
        let group = self.groups.take();
        let published = self.published.load(Ordering::Acquire);
        self.durable.fetch_max(published, Ordering::AcqRel);
        group.complete(&Ok(()));
    }

    fn append_and_join(&self) -> (u64, Arc<FlushGroup>) {
        let end = self.published.fetch_add(1, Ordering::AcqRel) + 1;
        let group = self.groups.join();
        self.signal.wakeup();
        (end, group)
    }

    /// The service's thread.
    fn serve(&self) {
        while self.signal.wait(None) == service::Wake::Notified {
            self.run();
        }
        self.run();
        self.groups.close(&closed());
    }
}

fn closed() -> Result<()> {
    Err(Error::new(Status::StoreClosed, "closed"))
}

fn group_is_synced() {
    let flushing = Arc::new(Flushing::default());
    let (serving, appending) = (Arc::clone(&flushing), Arc::clone(&flushing));
    let server = thread::spawn(move || serving.serve());
    let appender = thread::spawn(move || {
        let (end, group) = appending.append_and_join();
        assert!(group.wait(None).is_some_and(|outcome| outcome.is_ok()));
        assert!(appending.durable.load(Ordering::Acquire) >= end, "acknowledged, not durable");
    });
    // An appender that runs in the service's place, and waits like all others.
    let (end, group) = flushing.append_and_join();
    if let Some(guard) = flushing.running.try_lock() {
        drop(guard);
        flushing.run();
    }
    assert!(group.wait(None).is_some_and(|outcome| outcome.is_ok()));
    assert!(flushing.durable.load(Ordering::Acquire) >= end, "acknowledged, not durable");
    appender.join().unwrap();
    flushing.signal.stop();
    server.join().unwrap();
}

fn closed_group() {
    let groups = Arc::new(FlushGroups::default());
    let closing = Arc::clone(&groups);
    let closer = thread::spawn(move || {
        closing.take().complete(&Ok(()));
        closing.close(&closed());
    });
    // Joined before, between or behind: there is an outcome in any case.
    assert!(groups.join().wait(None).is_some());
    closer.join().unwrap();
    assert!(groups.join().wait(None).is_some_and(|outcome| outcome.is_err()));
}

fn stopped_by_two() {
    let signal = Arc::new(Signal::default());
    let over = Arc::new(AtomicBool::new(false));
    let ending = Arc::clone(&over);
    let service = ServiceThread::start(
        "service",
        signal,
        move |signal| {
            while signal.wait(None) != service::Wake::Stopped {}
            ending.store(true, Ordering::Release);
        },
        |_| {},
    );
    let Ok(service) = service.map(Arc::new) else { return };
    let (other, seen) = (Arc::clone(&service), Arc::clone(&over));
    let second = thread::spawn(move || {
        other.stop_and_join();
        assert!(seen.load(Ordering::Acquire), "whoever stopped it found it running");
    });
    service.stop_and_join();
    assert!(over.load(Ordering::Acquire), "whoever stopped it found it running");
    second.join().unwrap();
}

/// A handler looks for addresses while the slot's owner exchanges the mapping for another.
fn slot_shows_whole_mappings() {
    let slot = Arc::new(Slot::default());
    slot.set(10..20, false);
    let owner = {
        let slot = Arc::clone(&slot);
        thread::spawn(move || slot.set(30..40, true))
    };
    let held = slot.holds(15);
    assert!(held.is_none_or(|access| access == Access::Read), "{held:?}");
    let held = slot.holds(35);
    assert!(held.is_none_or(|access| access == Access::Write), "{held:?}");
    assert_eq!(slot.holds(25), None, "the begin of one and the end of the other");
    owner.join().unwrap();
    assert_eq!(slot.holds(35), Some(Access::Write));
}

/// A handler puts zeros in the place of a page, which another thread reads.
fn lost_page_is_told() {
    const ZEROS: u64 = 0;
    let slot = Arc::new(Slot::default());
    slot.set(10..20, false);
    let page = Arc::new(AtomicU64::new(7));
    let handler = {
        let (slot, page) = (Arc::clone(&slot), Arc::clone(&page));
        thread::spawn(move || {
            slot.lose(10..20);
            // The system changes tables that all processors then look at.
            fence(Ordering::SeqCst);
            page.store(ZEROS, Ordering::Relaxed);
        })
    };
    let read = page.load(Ordering::Relaxed);
    let told = slot.lost(10, 0..5);
    assert!(read != ZEROS || told, "zeros were taken for what was written");
    assert!(!slot.lost(10, 10..15), "what lies behind is not lost");
    handler.join().unwrap();
    assert!(slot.lost(10, 9..10));
}
