//! What happens to a store, worked out from the run's seed and the store's number: its mode and
//! options, its writers, and when each of them is killed. What a seed cannot say is how far a
//! writer got until then.

use crate::content::{Random, mix};

/// From when on an acknowledged message survives the death of its process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Promise {
    /// From its acknowledgement on, since it is synced by then.
    Durable,
    /// From its acknowledgement on, since it is in the page cache by then.
    Committed,
    /// Once the committed position has passed it.
    OnceCommitted,
}

/// A way to acknowledge, with what `docs/design.md` says of it in section 4.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mode {
    pub(crate) name: &'static str,
    flush_mode: &'static str,
    pool: bool,
    pub(crate) waits: bool,
    pub(crate) promise: Promise,
}

const MODES: [Mode; 6] = [
    mode("async", "async", false, true, Promise::Committed),
    mode("async, pool", "async", true, true, Promise::OnceCommitted),
    mode("sync", "sync", false, true, Promise::Durable),
    mode("sync, pool", "sync", true, true, Promise::Durable),
    mode("sync, no wait", "sync", false, false, Promise::Committed),
    mode("sync, pool, no wait", "sync", true, false, Promise::Committed),
];

const fn mode(
    name: &'static str,
    flush_mode: &'static str,
    pool: bool,
    waits: bool,
    promise: Promise,
) -> Mode {
    Mode { name, flush_mode, pool, waits, promise }
}

/// The language of a writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    Rust,
    C,
    Python,
    Java,
}

impl Language {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::C => "c",
            Self::Python => "python",
            Self::Java => "java",
        }
    }

    /// Interpreters take long to start, so there are fewer of them.
    fn choose(random: &mut Random) -> Self {
        match random.below(100) {
            0..=8 => Self::Python,
            9..=15 => Self::Java,
            16..=39 => Self::C,
            _ => Self::Rust,
        }
    }
}

/// What a writer is to be busy with when it is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    Starting,
    Opening,
    Appending,
    Closing,
}

/// One store of the run.
#[derive(Debug)]
pub(crate) struct StorePlan {
    pub(crate) mode: Mode,
    /// As the hosts take them.
    pub(crate) options: Vec<String>,
    pub(crate) lives: u32,
    random: Random,
}

/// One writer of a store.
#[derive(Debug)]
pub(crate) struct LifePlan {
    pub(crate) number: u32,
    pub(crate) seed: u64,
    pub(crate) language: Language,
    pub(crate) moment: Moment,
    pub(crate) threads: u8,
    /// Calls of each thread; 0 for as many as come until the kill.
    pub(crate) close_after: u32,
    /// Acknowledgements after which an appending writer is killed.
    pub(crate) acknowledgements: usize,
    /// How long after the moment began it ends, in thousandths of what it took lately.
    pub(crate) delay_permille: u64,
    /// Whether its writes and syncs are drawn out, so that kills come in between.
    pub(crate) slowed: bool,
    /// Whether queues and index are taken away before, so that opening builds them again.
    pub(crate) without_queues: bool,
    /// Whether the store itself is opened and checked afterwards, or a copy, so that the next
    /// writer finds what the kill left.
    pub(crate) reopened_in_place: bool,
}

impl StorePlan {
    pub(crate) fn new(run_seed: u64, number: u64) -> Self {
        let mut random = Random::new(mix(run_seed).wrapping_add(number));
        // Each mode comes equally often.
        let mode = MODES[(number % MODES.len() as u64) as usize];
        let options = [
            ("flush_mode", mode.flush_mode),
            ("transient_store_pool_enable", if mode.pool { "true" } else { "false" }),
            ("segment_size_bytes", random.one_of(&["64K", "64K", "256K", "1M"], "64K")),
            ("append_record_crc", random.one_of(&["true", "false"], "true")),
            ("append_lock", random.one_of(&["mutex", "spin", "adaptive"], "mutex")),
            ("flush_interval_ms", random.one_of(&["1", "5", "500"], "5")),
            ("commit_interval_ms", random.one_of(&["1", "5", "20"], "1")),
            ("commit_least_pages", random.one_of(&["0", "4"], "0")),
            ("commit_thorough_interval_ms", "20"),
            ("flush_consume_queue_interval_ms", random.one_of(&["2", "20", "1000"], "20")),
            ("reserve_ahead_bytes", "1M"),
            // So small that every kind of file is followed by further ones.
            ("consume_queue_file_size_bytes", "4000"),
            ("max_hash_slot_num", "200"),
            ("max_index_num", "1000"),
        ];
        Self {
            mode,
            options: options.iter().map(|(name, value)| format!("{name}={value}")).collect(),
            lives: 6 + random.below(7) as u32,
            random,
        }
    }

    /// The next writer.
    pub(crate) fn next_life(&mut self, number: u32) -> LifePlan {
        let random = &mut self.random;
        let language = Language::choose(random);
        let moment = match random.below(100) {
            0..=7 if matches!(language, Language::Rust | Language::C) => Moment::Starting,
            8..=37 if number > 0 => Moment::Opening,
            38..=51 => Moment::Closing,
            _ => Moment::Appending,
        };
        // Most writers live shortly, some for thousands of messages.
        let magnitude = random.below(12);
        LifePlan {
            number,
            seed: random.next(),
            language,
            moment,
            threads: random.one_of(&[1, 2, 2, 3, 4, 8], 2),
            close_after: match moment {
                Moment::Closing => 1 + random.below(200) as u32,
                _ => 0,
            },
            acknowledgements: random.below(1 << magnitude) as usize,
            delay_permille: random.below(1200),
            slowed: random.below(3) == 0,
            without_queues: moment == Moment::Opening && random.below(2) == 0,
            reopened_in_place: random.below(2) == 0,
        }
    }
}
