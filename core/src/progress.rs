//! How far the opening of a store is: for the caller, and for the diagnostics.
//!
//! Everything here is called on the thread that opens, and under no lock. A listener that panics is
//! not called again, and the opening goes on without it.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::service::panic_message;

/// How often a listener is told, at most.
const TELL_EVERY: Duration = Duration::from_millis(100);
/// How often a long recovery is seen in the diagnostics.
const TRACE_EVERY: Duration = Duration::from_secs(1);

/// What opening is busy with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(i32)]
pub enum RecoveryPhase {
    /// It looks for the end of the log: every record is checked.
    Log = 0,
    /// It brings records to the consume queues and the key index.
    Queues = 1,
}

impl RecoveryPhase {
    /// Every phase, in the order they come in.
    pub const ALL: &'static [Self] = &[Self::Log, Self::Queues];

    /// The number, the same in every language.
    #[must_use]
    pub const fn code(self) -> i32 {
        self as i32
    }

    /// The name in capitals, as other languages spell it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Log => "LOG",
            Self::Queues => "QUEUES",
        }
    }
}

/// How far opening a store is; see [`crate::StoreOptions::on_recovery_progress`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecoveryProgress {
    /// What it is busy with.
    pub phase: RecoveryPhase,
    /// Bytes of the log that this phase has done. Never falls within a phase.
    pub bytes_done: u64,
    /// Bytes of the log that this phase has to do, at least `bytes_done`. While the end of the log
    /// is looked for, free space in its last file counts, so the last call of that phase may state
    /// fewer than those before.
    pub bytes_total: u64,
}

impl RecoveryProgress {
    /// Whether this is the last call of its phase.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.bytes_done == self.bytes_total
    }
}

type Listen = dyn Fn(RecoveryProgress) + Send + Sync;

/// Who is told, if anybody is.
#[derive(Clone, Default)]
pub(crate) struct RecoveryListener(Option<Arc<Listen>>);

impl RecoveryListener {
    pub(crate) fn new(listen: impl Fn(RecoveryProgress) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(listen)))
    }
}

impl fmt::Debug for RecoveryListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Some(..)" } else { "None" })
    }
}

impl PartialEq for RecoveryListener {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (None, None) => true,
            (Some(one), Some(two)) => Arc::ptr_eq(one, two),
            _ => false,
        }
    }
}

/// Tells of one opening.
#[derive(Debug)]
pub(crate) struct Reporter {
    listener: RecoveryListener,
    phase: RecoveryPhase,
    done: u64,
    total: u64,
    told: Instant,
    traced: Instant,
}

impl Reporter {
    /// Tells this listener.
    pub(crate) fn new(listener: &RecoveryListener) -> Self {
        let now = Instant::now();
        let listener = listener.clone();
        Self { listener, phase: RecoveryPhase::Log, done: 0, total: 0, told: now, traced: now }
    }

    /// Begins a phase.
    pub(crate) fn begin(&mut self, phase: RecoveryPhase, total: u64) {
        (self.phase, self.done, self.total) = (phase, 0, total);
    }

    /// So many bytes are done by now. Cheap, to be called often.
    pub(crate) fn look(&mut self, done: u64) {
        self.done = done.clamp(self.done, self.total.max(self.done));
        let now = Instant::now();
        if now.duration_since(self.traced) >= TRACE_EVERY {
            self.traced = now;
            let (phase, bytes_done, bytes_total) = (self.phase.name(), self.done, self.total);
            tracing::info!(phase, bytes_done, bytes_total, "recovering");
        }
        // The last call of the phase is left to its end.
        if self.done < self.total && now.duration_since(self.told) >= TELL_EVERY {
            self.told = now;
            self.tell();
        }
    }

    /// Ends a phase, which had so many bytes.
    pub(crate) fn end(&mut self, total: u64) {
        (self.done, self.total) = (total, total);
        self.tell();
    }

    fn tell(&mut self) {
        let Some(listener) = &self.listener.0 else {
            return;
        };
        let (phase, bytes_done, bytes_total) = (self.phase, self.done, self.total);
        let progress = RecoveryProgress { phase, bytes_done, bytes_total };
        if let Err(cause) = catch_unwind(AssertUnwindSafe(|| listener(progress))) {
            let message = panic_message(cause);
            tracing::error!(message, "a recovery listener panicked");
            self.listener = RecoveryListener::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn a_listener_is_told_ten_times_a_second_and_at_the_end() {
        let (sender, told) = mpsc::channel();
        let listener = RecoveryListener::new(move |progress| sender.send(progress).unwrap());
        let mut reporter = Reporter::new(&listener);
        reporter.begin(RecoveryPhase::Log, 1000);
        let started = Instant::now();
        for done in 0..=1000 {
            reporter.look(done);
            std::thread::sleep(Duration::from_micros(300));
        }
        let most = started.elapsed().as_millis() / TELL_EVERY.as_millis();
        reporter.end(990);
        let told: Vec<_> = told.try_iter().collect();
        let (last, before) = told.split_last().unwrap();
        assert!((1..=most as usize).contains(&before.len()), "{} calls", before.len());
        assert!(before.iter().all(|told| !told.is_complete() && told.bytes_total == 1000));
        assert!(before.is_sorted_by_key(|told| told.bytes_done));
        assert_eq!((last.bytes_done, last.bytes_total), (990, 990));
    }

    /// Nor does it matter that dropping what it panicked with panics, too.
    #[test]
    fn a_listener_that_panics_is_not_called_again() {
        struct Carried {
            _held: Arc<()>,
        }
        impl Drop for Carried {
            fn drop(&mut self) {
                panic!("a listener's own fault");
            }
        }
        let (sender, told) = mpsc::channel();
        let held = Arc::new(());
        let carried = Arc::clone(&held);
        let listener = RecoveryListener::new(move |progress: RecoveryProgress| {
            sender.send(progress.phase).unwrap();
            std::panic::panic_any(Carried { _held: Arc::clone(&carried) });
        });
        let mut reporter = Reporter::new(&listener);
        for phase in RecoveryPhase::ALL {
            reporter.begin(*phase, 10);
            reporter.end(10);
        }
        assert_eq!(told.try_iter().collect::<Vec<_>>(), [RecoveryPhase::Log]);
        drop(listener);
        drop(reporter);
        assert_eq!(Arc::strong_count(&held), 1, "what the panic carried is left");
    }
}
