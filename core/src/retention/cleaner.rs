//! Removing files: the log's first, then what points to them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use parking_lot::Mutex;

use super::age::NewestTime;
use super::{Pressure, RemovedFiles, RetentionRules};
use crate::clock::Clock;
use crate::dispatch::QueueFlusher;
use crate::error::{Error, Result};
use crate::fence::Fence;
use crate::mapped::{MappedFile, MappedFileQueue, QueuePaths};
use crate::state::QueueKind;
use crate::status::Status;

/// What a cleaner works on.
#[derive(Debug)]
pub(crate) struct CleanerParts {
    pub(crate) log: Arc<MappedFileQueue>,
    pub(crate) paths: QueuePaths,
    /// The store's directory, in which those of its consume queues may be.
    pub(crate) store_path: PathBuf,
    /// Absent in a store without consume queues.
    pub(crate) queues: Option<Arc<QueueFlusher>>,
    pub(crate) fence: Arc<Fence>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) rules: RetentionRules,
}

/// What one remover at a time knows.
#[derive(Debug, Default)]
struct State {
    newest: NewestTime,
    /// Where the log began when queues last followed it.
    followed: u64,
}

/// Removes old files of one store.
#[derive(Debug)]
pub(crate) struct Cleaner {
    parts: CleanerParts,
    state: Mutex<State>,
    closed: AtomicBool,
    /// How full the file system is while that forbids appends; else 0.
    refusing_per_cent: AtomicU32,
}

/// The file that may go next, and the one behind it.
type Oldest = [Arc<MappedFile>; 2];

impl Cleaner {
    pub(crate) fn new(parts: CleanerParts) -> Self {
        Self {
            parts,
            state: Mutex::default(),
            closed: AtomicBool::new(false),
            refusing_per_cent: AtomicU32::new(0),
        }
    }

    /// Fails with [`Status::DiskUsageHigh`] while the file system is too full for appends. Costs
    /// one relaxed load.
    pub(crate) fn check_room(&self) -> Result<()> {
        match self.refusing_per_cent.load(Ordering::Relaxed) {
            0 => Ok(()),
            per_cent => Err(self.no_room(per_cent)),
        }
    }

    #[cold]
    fn no_room(&self, per_cent: u32) -> Error {
        let most = self.parts.rules.warning_per_cent;
        Error::new(Status::DiskUsageHigh, "the file system is too full for appends")
            .at_path(&self.parts.store_path)
            .expected(format!("at most {most} per cent in use"), per_cent)
    }

    /// Ends removing: when this returns, nothing is removed any more.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        drop(self.state.lock());
    }

    fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::new(Status::StoreClosed, "the store was closed"));
        }
        self.parts.fence.check()
    }

    /// Removes what is expired or too much, whatever the hour.
    pub(crate) fn remove_expired(&self) -> Result<RemovedFiles> {
        self.remove_while(|state, oldest| self.is_too_much() || self.is_expired(state, oldest))
    }

    /// Removes what ends at or in front of an offset.
    pub(crate) fn remove_before(&self, offset: u64) -> Result<RemovedFiles> {
        self.remove_while(|_, [oldest, _]| oldest.end() <= offset)
    }

    fn remove_while(&self, wanted: impl Fn(&mut State, &Oldest) -> bool) -> Result<RemovedFiles> {
        self.check_open()?;
        let mut removed = RemovedFiles::default();
        let outcome = loop {
            match self.remove_oldest(&wanted) {
                Ok(0) => break Ok(()),
                Ok(bytes) => {
                    removed.files += 1;
                    removed.bytes += bytes;
                }
                Err(error) => break Err(error),
            }
        };
        let followed = self.follow();
        outcome.and(followed).map(|()| removed)
    }

    /// One round of the service: measures, and removes what is due, at most as many files as the
    /// rules say. `pause` waits between two files, and says whether to end.
    pub(crate) fn round(&self, pause: impl Fn() -> bool) -> Result<RemovedFiles> {
        let mut removed = RemovedFiles::default();
        let mut pressure = self.measure();
        self.check_open()?;
        let outcome = loop {
            let result = self.remove_oldest(|state, oldest| self.is_due(pressure, state, oldest));
            match result {
                Ok(0) => break Ok(()),
                Ok(bytes) => {
                    removed.files += 1;
                    removed.bytes += bytes;
                    pressure = self.measure();
                    if removed.files >= self.parts.rules.batch_max || pause() {
                        break Ok(());
                    }
                }
                Err(error) => break Err(error),
            }
        };
        outcome.and(self.follow()).map(|()| removed)
    }

    fn is_due(&self, pressure: Pressure, state: &mut State, oldest: &Oldest) -> bool {
        let rules = &self.parts.rules;
        // The lower of the two: either row of the table asks for it.
        let at_once = rules.clean_forcibly_per_cent.min(rules.warning_per_cent);
        if self.is_too_much() || (rules.clean_forcibly && pressure.is_above(at_once)) {
            return true;
        }
        let any_hour = pressure.is_unknown()
            || pressure.is_above(rules.max_used_per_cent.min(at_once))
            || rules.is_delete_hour(self.parts.clock.local_hour());
        any_hour && self.is_expired(state, oldest)
    }

    fn is_too_much(&self) -> bool {
        let most = self.parts.rules.max_total_bytes;
        let log = &self.parts.log;
        most > 0 && log.published().saturating_sub(log.min_offset()) > most
    }

    fn is_expired(&self, state: &mut State, [oldest, next]: &Oldest) -> bool {
        let parts = &self.parts;
        let latest = parts.clock.wall_ms().saturating_sub(parts.rules.reserved_ms);
        let stop = || self.closed.load(Ordering::Acquire);
        state.newest.is_before(&parts.log, [oldest, next], latest, stop)
    }

    /// Removes the oldest file if it is wanted and may be removed. Returns its bytes, or 0.
    fn remove_oldest(&self, wanted: impl Fn(&mut State, &Oldest) -> bool) -> Result<u64> {
        let mut state = self.state.lock();
        self.check_open()?;
        let Some(oldest) = self.parts.log.first_two() else {
            return Ok(0);
        };
        if !wanted(&mut state, &oldest) || !self.may_go(&oldest[0])? {
            return Ok(0);
        }
        self.parts.log.remove_first()?;
        let file = &oldest[0];
        tracing::info!(path = %file.path().display(), "a commit log file was removed");
        Ok(file.size_bytes())
    }

    /// Whether a file is durable, in durable queues, and in a directory that is written.
    fn may_go(&self, file: &MappedFile) -> Result<bool> {
        let parts = &self.parts;
        let directory = file.path().parent();
        let writable = parts.paths.writable().iter().any(|path| Some(&**path) == directory);
        if !writable || file.end() > parts.log.durable().get() {
            return Ok(false);
        }
        let Some(queues) = &parts.queues else {
            return Ok(true);
        };
        if file.end() > queues.noted() {
            queues.flush()?;
            if let Some(error) = queues.queues.sync_failure() {
                return Err(error.clone());
            }
        }
        Ok(file.end() <= queues.noted())
    }

    /// Lets the queues go of what points in front of the log.
    fn follow(&self) -> Result<()> {
        let mut state = self.state.lock();
        let log_min = self.parts.log.min_offset();
        if log_min == state.followed || self.check_open().is_err() {
            return Ok(());
        }
        if let Some(queues) = &self.parts.queues {
            queues.remove_before(log_min)?;
        }
        state.followed = log_min;
        Ok(())
    }

    /// Measures the file systems, and forbids or allows appends.
    pub(super) fn measure(&self) -> Pressure {
        let parts = &self.parts;
        let disk = parts.log.disk();
        let used = |path: &Path| disk.usage(path).map(|usage| usage.used_per_cent());
        let log_per_cent = parts.paths.writable().iter().filter_map(|path| used(path).ok()).min();
        let queues_per_cent = QueueKind::ALL
            .iter()
            .filter_map(|kind| {
                used(&parts.store_path.join(kind.directory()))
                    .or_else(|error| match error.kind() {
                        std::io::ErrorKind::NotFound => used(&parts.store_path),
                        _ => Err(error),
                    })
                    .ok()
            })
            .max();
        let pressure = Pressure { log_per_cent, queues_per_cent };
        let full = pressure.is_above(parts.rules.warning_per_cent);
        let per_cent = log_per_cent.max(queues_per_cent).filter(|_| full).unwrap_or(0);
        let before = self.refusing_per_cent.swap(per_cent, Ordering::Relaxed);
        let path = parts.store_path.display();
        match (before, per_cent) {
            (0, 1..) => {
                tracing::warn!(%path, per_cent, "the file system is too full: appends are refused");
            }
            (1.., 0) => tracing::info!(%path, "there is room again: appends are taken"),
            _ => {}
        }
        pressure
    }
}
