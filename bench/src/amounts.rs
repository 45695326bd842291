//! How much is measured.

use std::time::Duration;

/// The amounts of one run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Amounts {
    /// How often everything is measured.
    pub(crate) rounds: usize,
    /// What can be repeated is repeated for so long.
    pub(crate) turn: Duration,
    /// Records appended and dispatched in a turn.
    pub(crate) dispatched: u64,
    /// Records of the queue that is read, with bodies of 100 bytes.
    pub(crate) read: u64,
    /// Records of the log that is scanned, with bodies of 1024 bytes.
    pub(crate) scanned: u64,
    /// Keys in the index.
    pub(crate) keys: u32,
    /// Messages that a waiting reader gets in a turn, from an asynchronous store.
    pub(crate) tail_async: usize,
    /// The same from a synchronous store.
    pub(crate) tail_sync: usize,
    /// Messages that a group consumes in a turn.
    pub(crate) consumed: u64,
    /// How often a touched file is filled in a turn; 0 for a thousand records.
    pub(crate) bursts: u32,
    /// Messages of 1 KiB that are appended to one store with memory that was made ready.
    pub(crate) burst: u64,
    /// Bytes of a log file, where it is measured what it costs to begin the next.
    pub(crate) segment_bytes: u64,
}

/// Everything happens, quickly.
pub(crate) const SMOKE: Amounts = Amounts {
    rounds: 1,
    turn: Duration::ZERO,
    dispatched: 2000,
    read: 1000,
    scanned: 200,
    keys: 1000,
    tail_async: 100,
    tail_sync: 20,
    consumed: 1024,
    bursts: 0,
    burst: 400,
    segment_bytes: 64 << 10,
};

/// For daily use.
pub(crate) const QUICK: Amounts = Amounts {
    rounds: 3,
    turn: Duration::from_millis(150),
    dispatched: 1_000_000,
    read: 500_000,
    scanned: 200_000,
    keys: 400_000,
    tail_async: 2000,
    tail_sync: 1000,
    consumed: 1 << 17,
    bursts: 1,
    burst: 50_000,
    segment_bytes: 8 << 20,
};

/// For figures that are written down.
pub(crate) const FULL: Amounts = Amounts {
    rounds: 7,
    turn: Duration::from_millis(400),
    dispatched: 2_000_000,
    read: 1_000_000,
    scanned: 400_000,
    keys: 1_000_000,
    tail_async: 5000,
    tail_sync: 2000,
    consumed: 1 << 18,
    bursts: 2,
    burst: 100_000,
    segment_bytes: 16 << 20,
};
