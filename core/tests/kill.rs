//! A process that is killed at any moment loses nothing it acknowledged.
//!
//! The test runs itself as a child that appends and reports each acknowledgement through a pipe,
//! kills it with SIGKILL, and looks at the directory. The next child goes on where it stands.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use cairnlog::{
    EncodedBatch, FlushMode, LogEntry, LogReader, Message, PhysicalOffset, Store, StoreOptions,
    encode_batch_item,
};

const DIRECTORY: &str = "CAIRNLOG_KILL_TEST_DIRECTORY";
const MODE: &str = "CAIRNLOG_KILL_TEST_MODE";
const SEED: &str = "CAIRNLOG_KILL_TEST_SEED";

/// Flush mode, transient pool, and whether messages wait for the sync.
const MODES: [(FlushMode, bool, bool); 5] = [
    (FlushMode::Async, false, true),
    (FlushMode::Async, true, true),
    (FlushMode::Sync, false, true),
    (FlushMode::Sync, true, true),
    (FlushMode::Sync, true, false),
];
const ROUNDS_PER_MODE: usize = 4;

/// A small generator, so that a seed tells everything.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

fn options(mode: usize) -> StoreOptions {
    let (flush_mode, pool, _) = MODES[mode];
    let mut options = StoreOptions::default();
    options.segment_size_bytes = 64 * 1024;
    options.flush_mode = flush_mode;
    options.transient_store_pool_enable = pool;
    options.commit_interval_ms = 1;
    options
}

/// A body that tells its own content.
fn body(name: u64) -> Vec<u8> {
    let mut random = Random(name | 1);
    let length = random.below(5000) as usize;
    let mut body = name.to_be_bytes().to_vec();
    body.extend((0..length).map(|_| random.below(256) as u8));
    body
}

/// Appends until it is killed. Each line on the error output is one acknowledgement.
fn append_until_killed(directory: &Path, mode: usize, seed: u64) -> ! {
    let store = Store::open(directory, &options(mode)).unwrap();
    let (_, pool, waits) = MODES[mode];
    let lazily_committed = mode == 1 && pool;
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let store = &store;
            scope.spawn(move || {
                let mut random = Random((seed ^ (thread + 1)) | 1);
                loop {
                    let name = random.below(u64::MAX) | 1;
                    let body = body(name);
                    let message =
                        Message::new("killed", &body).queue_id(thread as i32).wait_store_ok(waits);
                    let placed = match random.below(8) {
                        0 => store.append_async(&message).unwrap().wait().unwrap(),
                        1 => {
                            let mut items = Vec::new();
                            for _ in 0..3 {
                                encode_batch_item(&mut items, 0, &body, b"").unwrap();
                            }
                            let batch = EncodedBatch { shared: message, items: &items };
                            store.append_batch(&batch).unwrap()
                        }
                        _ => store.append(&message).unwrap(),
                    };
                    if lazily_committed {
                        // Only what was committed is promised in this mode.
                        let last = PhysicalOffset::new(placed.end_offset().get() - 1);
                        store.wait_readable(last, Duration::from_secs(60)).unwrap();
                    }
                    let line =
                        format!("ack {} {} {name}\n", placed.physical_offset, placed.message_count);
                    std::io::stderr().write_all(line.as_bytes()).unwrap();
                }
            });
        }
    });
    unreachable!("the threads end only with the process")
}

/// The body's name by the physical offset of its first record, with the number of its records.
type Acknowledged = HashMap<u64, (u64, u32)>;

/// Runs a child and kills it, some time after its first acknowledgement or, now and then, any time
/// after its start. Adds what it acknowledged.
fn run_and_kill(directory: &Path, mode: usize, random: &mut Random, acks: &mut Acknowledged) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "nothing_acknowledged_is_lost_by_a_kill", "--nocapture"])
        .env(DIRECTORY, directory)
        .env(MODE, mode.to_string())
        .env(SEED, random.below(u64::MAX).to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap());
    let (first_seen, first) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        let mut seen = Vec::new();
        let mut line = String::new();
        // The last line may be cut short: it is then no acknowledgement.
        while lines.read_line(&mut line).unwrap() > 0 && line.ends_with('\n') {
            seen.push(parse(&line));
            // Nobody may wait for it.
            let _ = first_seen.send(());
            line.clear();
        }
        seen
    });
    if acks.is_empty() || random.below(4) > 0 {
        first.recv_timeout(Duration::from_secs(30)).unwrap();
    }
    std::thread::sleep(Duration::from_micros(random.below(100_000)));
    child.kill().unwrap();
    child.wait().unwrap();
    let seen = reader.join().unwrap();
    for (offset, count, name) in seen {
        acks.insert(offset, (name, count));
    }
}

/// Physical offset, number of records and body's name of an acknowledgement.
fn parse(line: &str) -> (u64, u32, u64) {
    let fields: Vec<_> = line.trim().split(' ').collect();
    let ["ack", offset, count, name] = fields[..] else {
        panic!("the child said: {line}");
    };
    (offset.parse().unwrap(), count.parse().unwrap(), name.parse().unwrap())
}

/// Whatever was acknowledged in any round is there.
fn check(directory: &Path, acks: &Acknowledged, at: &str) {
    let reader = LogReader::open(directory).unwrap();
    let mut stored = HashMap::new();
    let mut next = HashMap::new();
    for entry in reader.entries(reader.min_offset()) {
        // A torn record at the end is what a kill leaves; nothing may follow it.
        let Ok(LogEntry::Message(view)) = entry else {
            continue;
        };
        let expected = next.entry(view.queue_id()).or_insert(0);
        assert_eq!(view.queue_offset().get(), *expected, "{at}: queue offsets");
        *expected += 1;
        stored.insert(view.physical_offset().get(), view);
    }
    for (&offset, &(name, count)) in acks {
        let mut offset = offset;
        for _ in 0..count {
            let view = stored
                .get(&offset)
                .unwrap_or_else(|| panic!("{at}: lost what was acknowledged at {offset}"));
            assert!(view.body() == body(name), "{at}: another body at {offset}");
            offset = view.end_offset().get();
        }
    }
}

#[test]
fn nothing_acknowledged_is_lost_by_a_kill() {
    if let Ok(directory) = std::env::var(DIRECTORY) {
        let number = |name| std::env::var(name).unwrap().parse::<u64>().unwrap();
        append_until_killed(Path::new(&directory), number(MODE) as usize, number(SEED));
    }
    let seed = std::env::var(SEED).map_or_else(
        |_| RandomState::new().hash_one(std::process::id()),
        |seed| seed.parse().unwrap(),
    );
    let mut random = Random(seed | 1);
    for (mode, named) in MODES.iter().enumerate() {
        let directory = tempfile::tempdir().unwrap();
        let mut acks = Acknowledged::new();
        for round in 0..ROUNDS_PER_MODE {
            let at = format!("{SEED}={seed}, mode {named:?}, round {round}");
            run_and_kill(directory.path(), mode, &mut random, &mut acks);
            if !directory.path().join("commitlog").is_dir() {
                continue;
            }
            // As the kill left it, and every other time as recovery makes it.
            check(directory.path(), &acks, &at);
            if round % 2 == 1 {
                let store = Store::open(directory.path(), &options(mode)).unwrap();
                check(directory.path(), &acks, &at);
                store.close().unwrap();
            }
        }
        assert!(!acks.is_empty());
    }
}
