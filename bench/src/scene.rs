//! Stores to measure, and what is in them.

use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cairnlog::{Message, Store, StoreOptions};

use crate::Result;

/// The topic of every message.
pub(crate) const TOPIC: &str = "bench";
/// Longer than anything here takes.
pub(crate) const LONG: Duration = Duration::from_secs(120);
/// What the size of a log file is a multiple of.
const SEGMENT_STEP: u64 = 1 << 20;
/// The largest log file.
const MAX_SEGMENT_BYTES: u64 = 1 << 30;
/// The next file is made ready when one part of so many is used.
pub(crate) const USED_OF_SEGMENT: u64 = 8;
/// Memory is touched in steps of this many bytes, no more than the smallest page.
const PAGE_BYTES: usize = 4096;
/// Characters of a key.
const KEY_BYTES: usize = 12;

/// A small body, and one of a kilobyte.
pub(crate) const SMALL_BODY: usize = 100;
/// See [`SMALL_BODY`].
pub(crate) const LARGE_BODY: usize = 1024;

/// Numbers that look random, the same in every run.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    /// The same numbers for the same seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound.max(1)
    }
}

/// Bytes of a body.
pub(crate) fn body(size: usize) -> Vec<u8> {
    let mut random = Random::new(7);
    (0..size).map(|_| random.below(256).try_into().unwrap_or_default()).collect()
}

/// The text of a number, made in place: what is measured is not how text is made.
#[derive(Debug, Clone)]
pub(crate) struct Key([u8; KEY_BYTES]);

impl Key {
    /// The key of number 0.
    pub(crate) fn new() -> Self {
        Self([b'0'; KEY_BYTES])
    }

    /// The key of a number.
    pub(crate) fn set(&mut self, number: u64) -> &str {
        let mut rest = number;
        for byte in self.0.iter_mut().rev() {
            *byte = b"0123456789abcdef"[usize::try_from(rest & 15).unwrap_or_default()];
            rest >>= 4;
        }
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// The options all stores here have.
pub(crate) fn options() -> StoreOptions {
    let mut options = StoreOptions::default();
    options.schedule_enable = false;
    // The floors sum up bodies alone, and only where it is said so.
    options.append_record_crc = false;
    options.check_crc_on_read = false;
    options
}

/// Options of a store that has memory for so many bytes of log ready when its first append returns,
/// and begins no second file before they are used up.
pub(crate) fn ready_options(bytes: u64) -> StoreOptions {
    let mut options = self::options();
    options.warm_mapped_file_enable = true;
    options.segment_size_bytes =
        (bytes * USED_OF_SEGMENT).next_multiple_of(SEGMENT_STEP).min(MAX_SEGMENT_BYTES);
    options
}

/// A store whose directory goes with it.
#[derive(Debug)]
pub(crate) struct TemporaryStore {
    pub(crate) store: Store,
    path: PathBuf,
}

impl TemporaryStore {
    /// A new store, for about so many bytes.
    pub(crate) fn new(path: &Path, options: &StoreOptions, bytes: usize) -> Result<Self> {
        touch_memory(bytes);
        Ok(Self { store: Store::open(path, options)?, path: path.to_path_buf() })
    }

    /// The file the log begins with.
    pub(crate) fn log_file(&self) -> PathBuf {
        self.path.join("commitlog").join(format!("{:020}", 0))
    }

    /// The units of a queue of [`TOPIC`].
    pub(crate) fn units(&self, queue_id: i32) -> Result<Vec<u8>> {
        let directory = self.path.join("consumequeue").join(TOPIC).join(queue_id.to_string());
        let mut files = Vec::new();
        for entry in fs::read_dir(directory)? {
            files.push(entry?.path());
        }
        files.sort();
        let mut units = Vec::new();
        for file in files {
            units.extend(fs::read(file)?);
        }
        Ok(units)
    }

    /// Waits until every message can be read.
    pub(crate) fn wait_dispatched(&self) -> Result<()> {
        match self.store.wait_dispatched(self.store.max_offset(), LONG)? {
            true => Ok(()),
            false => Err("records were not dispatched in time".into()),
        }
    }

    /// Appends so many messages with one key each, and waits until they can be read.
    pub(crate) fn fill(&self, count: u64, body: &[u8]) -> Result<()> {
        let queue = self.store.queue(TOPIC, 0)?;
        let mut key = Key::new();
        for number in 0..count {
            let keys = [key.set(number)];
            let message = Message::new(TOPIC, body).tag("new").keys(&keys);
            queue.append(&message.properties(&[("region", "north")]))?;
        }
        self.wait_dispatched()
    }

    /// Closes the store and removes its files.
    pub(crate) fn remove(self) -> Result<()> {
        self.store.close()?;
        drop(self.store);
        Ok(fs::remove_dir_all(&self.path)?)
    }
}

/// Has the memory for a store's pages in the machine before it is needed. A virtual machine gives
/// free memory back to its host, and to get it again takes many times as long as an append: that
/// would be measured, not the store.
pub(crate) fn touch_memory(bytes: usize) {
    let mut memory = vec![0u8; bytes];
    for page in memory.chunks_mut(PAGE_BYTES) {
        if let Some(byte) = page.first_mut() {
            *byte = 1;
        }
    }
    black_box(&memory);
}

/// Does something and returns how often.
pub(crate) type Pass<'a> = dyn FnMut() -> Result<u64> + 'a;

/// How many a second of a figure, and of its floor: passes of both alternate until `turn` is over,
/// so that whatever else the machine does meets both.
pub(crate) fn rates(
    turn: Duration,
    figure: &mut Pass<'_>,
    floor: &mut Pass<'_>,
) -> Result<(f64, f64)> {
    let (mut done, mut times) = ([0; 2], [Duration::ZERO; 2]);
    loop {
        let started = Instant::now();
        done[1] += floor()?;
        let between = Instant::now();
        done[0] += figure()?;
        times[1] += between - started;
        times[0] += between.elapsed();
        if times[0] >= turn {
            return Ok((per_second(done[0], times[0]), per_second(done[1], times[1])));
        }
    }
}

/// So many in a time, as a rate.
pub(crate) fn per_second(count: u64, elapsed: Duration) -> f64 {
    count as f64 / elapsed.as_secs_f64().max(1e-9)
}
