//! `AllocateMappedFileService`: makes the next file, reserves space and takes page faults ahead of
//! the append position, so that no append waits for them while the service keeps up.

use std::collections::VecDeque;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::mapped_file::{MappedFile, sync_parent};
use super::queue::{MappedFileQueue, QueuePaths};
use super::region::PAGE_BYTES;
use super::transient_pool::{PoolBuffer, TransientStorePool};
use crate::error::{Error, Result};
use crate::service::{ServiceThread, Signal, Wake};
use crate::status::Status;

/// How long an append waits for a file or for space.
const ALLOCATION_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a finished file stays locked in memory, so that its dirty pages can be flushed.
const UNLOCK_DELAY: Duration = Duration::from_secs(6);
/// How many times as much as is used is reserved before the next file is made.
const RESERVED_BEFORE_A_FILE: u64 = 4;
/// While so many bytes wait for a sync, no zeros are written ahead: they cost the device more than
/// the journal entry that they save. Of more bytes than that a sync takes longer without.
const SYNCED_WITHOUT_ZEROS: Range<u64> = 384 << 10..3 << 20;
/// How many times as much is populated for a fast appender before the next file is made.
const POPULATED_BEFORE_A_FILE: u64 = 4;
/// The next file is made when this part of the current one is used: making it takes as long as the
/// file system's journal, in which time a fast appender may fill much of a file.
const USED_BEFORE_THE_NEXT: u64 = 8;
/// Memory populated ahead of a slow appender; doubled whenever it turns out to be little.
const LEAST_POPULATED_BYTES: u64 = 1 << 20;

/// What the service is told once.
#[derive(Debug)]
pub(crate) struct AllocateSettings {
    pub(crate) paths: QueuePaths,
    pub(crate) reserve_ahead_bytes: u64,
    /// Whether every append may be synced at once. Populated pages are dirty, and the next sync
    /// writes them: then little is populated.
    pub(crate) synced_often: bool,
    pub(crate) warm: bool,
    pub(crate) pool: Option<TransientStorePool>,
    pub(crate) fail_without_buffer: bool,
}

impl AllocateSettings {
    fn most_populated_bytes(&self) -> u64 {
        if self.synced_often { LEAST_POPULATED_BYTES } else { self.reserve_ahead_bytes }
    }
}

/// A file to append to, and the buffer appends go to first, in pool mode.
#[derive(Debug, Clone)]
pub(crate) struct AppendTarget {
    pub(crate) file: Arc<MappedFile>,
    pub(crate) buffer: Option<Arc<PoolBuffer>>,
}

#[derive(Debug, Default)]
struct State {
    current: Option<AppendTarget>,
    next: Option<AppendTarget>,
    /// Start of the file an appender waits for.
    wanted_file: Option<u64>,
    /// End of the space an appender waits for.
    wanted_space: Option<u64>,
    failure: Option<Error>,
    unlock_later: VecDeque<(Instant, Arc<MappedFile>)>,
    populated: u64,
    populate_ahead: u64,
    /// Whether the file to be made may be there from an attempt that failed.
    leftover: bool,
    stopped: bool,
}

#[derive(Debug)]
struct Shared {
    queue: Arc<MappedFileQueue>,
    settings: AllocateSettings,
    state: Mutex<State>,
    changed: Condvar,
    signal: Arc<Signal>,
    /// The log position at which an append wakes the service.
    wake_at: AtomicU64,
}

/// The service.
#[derive(Debug)]
pub(crate) struct AllocateMappedFileService {
    shared: Arc<Shared>,
    thread: ServiceThread,
}

impl AllocateMappedFileService {
    /// Starts the service. `on_panic` is told when it panics.
    pub(crate) fn start(
        queue: Arc<MappedFileQueue>,
        settings: AllocateSettings,
        on_panic: impl FnOnce(String) + Send + 'static,
    ) -> Result<Self> {
        let signal = Arc::new(Signal::default());
        let shared = Arc::new(Shared {
            queue,
            settings,
            state: Mutex::default(),
            changed: Condvar::new(),
            signal: Arc::clone(&signal),
            wake_at: AtomicU64::new(u64::MAX),
        });
        let service = Arc::clone(&shared);
        let stopped = Arc::clone(&shared);
        let thread = ServiceThread::start(
            "cairn-allocate",
            signal,
            move |signal| service.run(signal),
            move |message| {
                stopped.state.lock().stopped = true;
                stopped.changed.notify_all();
                on_panic(message);
            },
        )?;
        Ok(Self { shared, thread })
    }

    /// Makes `target` the file that space is reserved in.
    pub(crate) fn set_current(&self, target: AppendTarget) {
        self.shared.state.lock().adopt(target, self.shared.queue.published());
        self.shared.signal.wakeup();
    }

    /// The file that starts at `start`, made ahead or now; it becomes the current one.
    pub(crate) fn take(&self, start: u64) -> Result<AppendTarget> {
        let mut state = self.shared.state.lock();
        state.failure = None;
        state.wanted_file = Some(start);
        let taken = self
            .shared
            .wait(&mut state, |state| state.next.take_if(|next| next.file.start() == start));
        state.wanted_file = None;
        let target = taken?;
        state.adopt(target.clone(), start);
        drop(state);
        self.shared.wake_at.store(u64::MAX, Ordering::Relaxed);
        self.shared.signal.wakeup();
        Ok(target)
    }

    /// Waits until everything below `end` in the current file is reserved.
    pub(crate) fn wait_reserved(&self, file: &MappedFile, end: u64) -> Result<()> {
        let mut state = self.shared.state.lock();
        state.failure = None;
        state.wanted_space = Some(end);
        let reserved = self.shared.wait(&mut state, |_| (file.reserved_end() >= end).then_some(()));
        state.wanted_space = None;
        reserved
    }

    /// Tells how far appends have come. Costs a comparison most of the time.
    pub(crate) fn appended_to(&self, position: u64) {
        self.shared.appended_to(position);
    }

    /// Ends the service and removes the file that was made ahead and not used.
    pub(crate) fn shutdown(&self) -> Result<()> {
        self.thread.stop_and_join();
        let unused = {
            let mut state = self.shared.state.lock();
            state.stopped = true;
            state.current = None;
            state.next.take()
        };
        self.shared.changed.notify_all();
        let Some(unused) = unused else { return Ok(()) };
        let disk = self.shared.queue.disk();
        let path = unused.file.path();
        disk.remove(path)
            .and_then(|()| sync_parent(disk, path))
            .map_err(|source| Error::io("cannot remove the unused file", source).at_path(path))
    }
}

impl State {
    /// Whether the file that starts at `start` was made before.
    fn has(&self, start: u64) -> bool {
        let made = |target: &AppendTarget| target.file.start() >= start;
        self.next.as_ref().is_some_and(made) || self.current.as_ref().is_some_and(made)
    }

    fn adopt(&mut self, target: AppendTarget, position: u64) {
        self.populated = position;
        self.populate_ahead = self.populate_ahead.max(LEAST_POPULATED_BYTES);
        if let Some(finished) = self.current.replace(target) {
            self.unlock_later.push_back((Instant::now() + UNLOCK_DELAY, finished.file));
        }
    }
}

impl Shared {
    /// Wakes the service when appends have come to the mark it set.
    fn appended_to(&self, position: u64) {
        if position >= self.wake_at.load(Ordering::Relaxed) {
            self.wake_at.store(u64::MAX, Ordering::Relaxed);
            self.signal.wakeup();
        }
    }

    /// Wakes the service and waits until `ready` yields something, or the service failed.
    fn wait<T>(
        &self,
        state: &mut parking_lot::MutexGuard<'_, State>,
        mut ready: impl FnMut(&mut State) -> Option<T>,
    ) -> Result<T> {
        let deadline = Instant::now() + ALLOCATION_TIMEOUT;
        loop {
            if let Some(value) = ready(state) {
                return Ok(value);
            }
            if let Some(error) = state.failure.take() {
                return Err(error);
            }
            if state.stopped {
                return Err(Error::new(Status::NotWriteable, "the allocation service has ended"));
            }
            self.signal.wakeup();
            if self.changed.wait_until(state, deadline).timed_out() {
                let what = "no space was made ready for appending within 5 seconds";
                return Err(Error::new(Status::NotWriteable, what));
            }
        }
    }

    /// Has the service woken when appends come to `mark`; in any case only by a further append, so
    /// that the service does not go round on its own.
    fn wake_past(&self, position: u64, mark: u64) {
        self.wake_at.fetch_min(mark.max(position + 1), Ordering::Relaxed);
    }

    fn run(&self, signal: &Signal) {
        loop {
            let limit = self.state.lock().unlock_later.front().map(|(due, _)| *due);
            let wake = signal.wait(limit.map(|due| due.saturating_duration_since(Instant::now())));
            if wake == Wake::Stopped {
                break;
            }
            self.unlock_finished(Instant::now());
            match self.work() {
                // An append that came while the work was done may have passed the new mark unseen.
                Ok(()) => self.appended_to(self.queue.published()),
                Err(error) => {
                    tracing::warn!(%error, "no space can be made ready for appending");
                    self.state.lock().failure = Some(error);
                }
            }
            self.changed.notify_all();
        }
        self.unlock_finished(Instant::now() + UNLOCK_DELAY);
    }

    fn unlock_finished(&self, now: Instant) {
        loop {
            let mut state = self.state.lock();
            if state.unlock_later.front().is_none_or(|(due, _)| *due > now) {
                return;
            }
            let finished = state.unlock_later.pop_front();
            drop(state);
            if let (Some((_, file)), true) = (finished, self.settings.warm)
                && let Err(error) = file.region().unlock()
            {
                tracing::warn!(%error, path = %file.path().display(), "cannot unlock");
            }
        }
    }

    fn work(&self) -> Result<()> {
        let (current, wanted_file, wanted_space) = {
            let state = self.state.lock();
            (state.current.clone(), state.wanted_file, state.wanted_space)
        };
        if let Some(start) = wanted_file {
            self.make(start)?;
        }
        let Some(current) = current else {
            return Ok(());
        };
        let position = self.queue.published();
        let (end, size) = (current.file.end(), current.file.size_bytes());
        let mark = current.file.start() + size / USED_BEFORE_THE_NEXT;
        let next_is_due = position >= mark && !self.state.lock().has(end);
        self.reserve(&current.file, position, wanted_space, next_is_due)?;
        self.populate(&current, position, next_is_due);
        if next_is_due {
            self.make(end)?;
        } else if position < mark {
            self.wake_past(position, mark);
        }
        Ok(())
    }

    /// Reserves ahead of `position`, more before the next file is made, and in any case what an
    /// appender waits for.
    fn reserve(
        &self,
        file: &MappedFile,
        position: u64,
        wanted: Option<u64>,
        next_is_due: bool,
    ) -> Result<()> {
        // As much as is used already: with a file's size grows what a fast appender uses up while
        // the system is slow to reserve more, or to make the next file.
        let used = position.saturating_sub(file.start());
        let times = if next_is_due { RESERVED_BEFORE_A_FILE } else { 1 };
        let step = self.settings.reserve_ahead_bytes.max(used * times);
        let disk = self.queue.disk();
        let short = next_is_due || file.reserved_end() < position + step / 2;
        if file.reserved_end() < file.end() && short {
            let target = position.max(file.reserved_end()) + step;
            let ahead = file.reserve(disk, target);
            // On a nearly full disk there may still be room for what is needed now.
            if let (Err(error), Some(wanted)) = (&ahead, wanted)
                && error.status() == Status::DiskFull
                && wanted > file.reserved_end()
            {
                file.reserve(disk, wanted.next_multiple_of(PAGE_BYTES))?;
            }
            if wanted.is_some_and(|wanted| wanted > file.reserved_end()) {
                ahead?;
            }
        }
        self.changed.notify_all();
        if file.reserved_end() < file.end() {
            self.wake_past(position, file.reserved_end().saturating_sub(step / 2));
        }
        Ok(())
    }

    /// Takes the page faults between what was populated before and some way ahead of `position`;
    /// or, where appends are written and not stored into the mapping, writes zeros there: a sync
    /// of space that was never written costs the file system a journal entry. Before the next file
    /// is made, which may take as long as a sync, more is populated for a fast appender.
    fn populate(&self, current: &AppendTarget, position: u64, next_is_due: bool) {
        let (from, mut ahead) = {
            let mut state = self.state.lock();
            // Caught up with: the appender is faster than was thought.
            if state.populated < position + state.populate_ahead / 4 {
                let most = self.settings.most_populated_bytes();
                state.populate_ahead = (state.populate_ahead * 2).min(most);
            }
            (state.populated.max(position), state.populate_ahead)
        };
        let fast = ahead == self.settings.most_populated_bytes();
        if next_is_due && fast && !self.settings.synced_often {
            ahead *= POPULATED_BEFORE_A_FILE;
        }
        let file = &current.file;
        let to = (position + ahead).min(file.reserved_end());
        if to > from {
            let range = file.index(from)..file.index(to);
            match &current.buffer {
                Some(buffer) => {
                    if let Some(region) = buffer.region() {
                        region.populate(range);
                    }
                }
                None if self.queue.staging().is_some() => {
                    if !SYNCED_WITHOUT_ZEROS.contains(&self.queue.unsynced_bytes()) {
                        self.queue.write_zeros(file, from..to);
                    }
                }
                None => file.region().populate(range),
            }
            self.state.lock().populated = to;
        }
        if to < file.end() {
            self.wake_past(position, to.max(from).saturating_sub(ahead / 2));
        }
    }

    /// Removes what an attempt to make the file left that failed. Nobody else makes one there: this
    /// process holds the store's lock.
    fn remove_leftover(&self, path: &Path) -> Result<()> {
        if !self.state.lock().leftover {
            return Ok(());
        }
        match self.queue.disk().remove(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::io("cannot remove the unused file", error).at_path(path))
            }
            _ => {
                self.state.lock().leftover = false;
                Ok(())
            }
        }
    }

    /// Makes a file with space in it.
    fn create(&self, path: PathBuf, start: u64) -> Result<MappedFile> {
        let disk = self.queue.disk();
        let file = MappedFile::create(disk, path, start, self.queue.file_size_bytes())?;
        let ahead = if self.settings.warm { u64::MAX } else { self.settings.reserve_ahead_bytes };
        match file.reserve(disk, start.saturating_add(ahead)) {
            Ok(()) => Ok(file),
            Err(error) => {
                // A file without space is of no use; the error that matters is the first one.
                let _ = disk.remove(file.path());
                Err(error)
            }
        }
    }

    /// Makes the file that starts at `start`, unless it was made before.
    fn make(&self, start: u64) -> Result<()> {
        // Between the look at the state and now, an appender may have taken the file.
        if self.state.lock().has(start) {
            return Ok(());
        }
        let settings = &self.settings;
        let buffer = settings.pool.as_ref().and_then(TransientStorePool::borrow).map(Arc::new);
        if settings.pool.is_some() && buffer.is_none() {
            if settings.fail_without_buffer {
                let what = "every transient pool buffer is taken";
                return Err(Error::new(Status::PoolExhausted, what));
            }
            tracing::warn!(start, "no transient pool buffer is free: appends go to the mapping");
        }
        let size = self.queue.file_size_bytes();
        let path = settings.paths.file(start, size);
        self.remove_leftover(&path)?;
        let file = self.create(path, start).inspect_err(|error| {
            // If it could not be removed, it stands in the way of the next attempt. One that was
            // there before is somebody else's.
            self.state.lock().leftover = !error.is_already_there();
        })?;
        if settings.warm {
            file.region().populate(0..file.index(file.end()));
            if let Err(error) = file.region().lock() {
                tracing::warn!(%error, path = %file.path().display(), "cannot lock in memory");
            }
        } else if buffer.is_none() && self.queue.staging().is_none() {
            let first = start + LEAST_POPULATED_BYTES;
            file.region().populate(0..file.index(first));
        }
        if let Some(buffer) = &buffer {
            file.attach_buffer(Arc::clone(buffer));
        }
        self.state.lock().next = Some(AppendTarget { file: Arc::new(file), buffer });
        self.changed.notify_all();
        Ok(())
    }
}
