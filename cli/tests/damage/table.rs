//! What is damaged, in which way, and whether `verify` has to find it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::common::{copy_tree, flip};
use crate::scene::{Base, Original};

/// Whether `verify` finds it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Found {
    Always,
    /// It is no damage, or what it harms is not the messages.
    Never,
    /// If it does not, then nothing is lost, and opening goes on without ado.
    OrHarmless,
}

/// One way of damaging a store.
pub(crate) struct Damage {
    pub(crate) name: String,
    pub(crate) make: Box<dyn Fn(&Path) + Send + Sync>,
    pub(crate) found: Found,
    /// Nothing may be left of the messages.
    pub(crate) whole_log: bool,
}

const SEGMENT: u64 = 64 * 1024;

fn damage(
    name: impl Into<String>,
    found: Found,
    make: impl Fn(&Path) + Send + Sync + 'static,
) -> Damage {
    Damage { name: name.into(), make: Box::new(make), found, whole_log: false }
}

fn log_file(number: u64) -> PathBuf {
    Path::new("commitlog").join(format!("{:020}", number * SEGMENT))
}

fn queue_file(topic: &str, queue_id: i32, number: u64) -> PathBuf {
    Path::new("consumequeue")
        .join(topic)
        .join(queue_id.to_string())
        .join(format!("{:020}", number * 160))
}

fn set_length(path: &Path, length: u64) {
    File::options().write(true).open(path).unwrap().set_len(length).unwrap();
}

fn zero(path: &Path, from: usize, length: usize) {
    let mut bytes = fs::read(path).unwrap();
    let end = bytes.len().min(from + length);
    bytes[from..end].fill(0);
    fs::write(path, bytes).unwrap();
}

fn swap(one: &Path, other: &Path) {
    let (first, second) = (fs::read(one).unwrap(), fs::read(other).unwrap());
    fs::write(one, second).unwrap();
    fs::write(other, first).unwrap();
}

/// The oldest index file.
fn index_file(store: &Path) -> PathBuf {
    let entries = fs::read_dir(store.join("index")).unwrap();
    entries.map(|entry| entry.unwrap().path()).min().unwrap()
}

/// The fields of a record: name, first byte and length.
fn fields(original: &Original) -> Vec<(&'static str, u64, u64)> {
    let size = original.bytes.len() as u64;
    let body = u64::from(u32::from_be_bytes(original.bytes[84..88].try_into().unwrap()));
    let topic_at = 88 + body;
    let topic = u64::from(original.bytes[topic_at as usize]);
    let properties_at = topic_at + 1 + topic;
    vec![
        ("size", 0, 4),
        ("magic", 4, 4),
        ("body CRC", 8, 4),
        ("queue id", 12, 4),
        ("flag", 16, 4),
        ("queue offset", 20, 8),
        ("physical offset", 28, 8),
        ("system flag", 36, 4),
        ("born timestamp", 40, 8),
        ("born host", 48, 8),
        ("store timestamp", 56, 8),
        ("store host", 64, 8),
        ("reconsume times", 72, 4),
        ("prepared transaction offset", 76, 8),
        ("body length", 84, 4),
        ("body", 88, body),
        ("topic length", topic_at, 1),
        ("topic", topic_at + 1, topic),
        ("properties length", properties_at, 2),
        ("properties", properties_at + 2, size - 22 - properties_at),
        ("record CRC", size - 20, 20),
    ]
}

/// Flipped bits in every field of the first, a middle and the last record.
fn record_flips(base: &Base, all: &mut Vec<Damage>) {
    let count = base.originals.len();
    for number in [0, count / 2, count - 1] {
        let (&offset, original) = base.originals.iter().nth(number).unwrap();
        for (field, at, length) in fields(original) {
            for (byte, bit) in [(at, 0), (at + length - 1, 6), (at + length / 2, 3)] {
                let name = format!("bit {bit} of byte {} of {field} of record {number}", byte - at);
                let at = offset % SEGMENT + byte;
                let make =
                    move |store: &Path| flip(&store.join(log_file(offset / SEGMENT)), at, 1 << bit);
                all.push(damage(name, Found::Always, make));
            }
        }
    }
}

fn log_files(base: &Base, all: &mut Vec<Damage>) {
    let offsets: Vec<u64> = base.originals.keys().copied().collect();
    let middle = offsets[30];
    let last = *offsets.last().unwrap();
    let last_file = last / SEGMENT;
    assert!(last_file >= 2);
    for (name, number) in [("first", 0), ("middle", 1), ("last", last_file)] {
        for length in [0, 4096, SEGMENT / 2 + 1, SEGMENT + 4096] {
            let name = format!("the {name} log file has {length} bytes");
            let make = move |store: &Path| set_length(&store.join(log_file(number)), length);
            all.push(damage(name, Found::Always, make));
        }
        let make = move |store: &Path| zero(&store.join(log_file(number)), 0, SEGMENT as usize);
        let mut zeroed = damage(format!("the {name} log file is zeros"), Found::Always, make);
        zeroed.whole_log = number == 0;
        all.push(zeroed);
        let make = move |store: &Path| zero(&store.join(log_file(number)), 4096, 4096);
        all.push(damage(format!("a page of the {name} log file is zeros"), Found::Always, make));
    }
    let zero_record = move |offset: u64, length: usize| {
        move |store: &Path| {
            let file = store.join(log_file(offset / SEGMENT));
            zero(&file, (offset % SEGMENT) as usize, length);
        }
    };
    let name = "a record in the middle is zeros, good ones stand behind";
    all.push(damage(name, Found::Always, zero_record(middle, 3000)));
    all.push(damage("the last record is zeros", Found::Always, zero_record(last, 3500)));
    let name = "the end of the last record is zeros";
    all.push(damage(name, Found::Always, zero_record(last + 2000, 1500)));
    for (name, number) in [("middle", 1), ("last", last_file)] {
        let make = move |store: &Path| fs::remove_file(store.join(log_file(number))).unwrap();
        all.push(damage(format!("the {name} log file is missing"), Found::Always, make));
    }
    let make = |store: &Path| swap(&store.join(log_file(0)), &store.join(log_file(1)));
    let mut swapped = damage("two log files are swapped", Found::Always, make);
    swapped.whole_log = true;
    all.push(swapped);
    for (from, to) in [(0, 1), (1, last_file), (0, last_file + 1)] {
        // Behind the end it harms nothing, and recovery sets it aside.
        let found = if to > last_file { Found::OrHarmless } else { Found::Always };
        let name = format!("log file {from} is also in the place of {to}");
        let make = move |store: &Path| {
            fs::copy(store.join(log_file(from)), store.join(log_file(to))).unwrap();
        };
        all.push(damage(name, found, make));
    }
    let make = |store: &Path| fs::write(store.join("commitlog/notes.txt"), b"mine").unwrap();
    all.push(damage("a foreign file among the log's", Found::Always, make));
    let next = log_file(last_file + 1);
    let make = move |store: &Path| fs::write(store.join(&next), b"").unwrap();
    all.push(damage("an empty file behind the log", Found::Never, make));
}

/// Garbage behind the end of the log: also a whole record of another place.
fn tails(base: &Base, all: &mut Vec<Damage>) {
    let (&last, original) = base.originals.iter().last().unwrap();
    let end = last + original.bytes.len() as u64;
    let stale = base.originals.values().next().unwrap().bytes.clone();
    for (name, at, bytes) in [
        ("bytes stand behind the end", end + 100, b"garbage".to_vec()),
        ("bytes stand at the end", end, b"garbage".to_vec()),
        ("an old record stands at the end", end, stale.clone()),
        ("an old record stands behind the end", end + 4096, stale),
    ] {
        // Where free space begins, nothing is looked for but good records.
        let found = if at > end { Found::OrHarmless } else { Found::Always };
        let make = move |store: &Path| {
            let file = store.join(log_file(at / SEGMENT));
            let mut all = fs::read(&file).unwrap();
            let from = (at % SEGMENT) as usize;
            all[from..from + bytes.len()].copy_from_slice(&bytes);
            fs::write(file, all).unwrap();
        };
        all.push(damage(name, found, make));
    }
}

fn queues(all: &mut Vec<Damage>) {
    for unit in [0u64, 5, 19] {
        for (field, at) in
            [("offset", 0), ("offset", 7), ("size", 8), ("size", 11), ("tag", 12), ("tag", 19)]
        {
            let name = format!("byte {at}, of the {field}, of unit {unit}");
            let make = move |store: &Path| {
                let file = store.join(queue_file("orders", 1, unit / 8));
                flip(&file, unit % 8 * 20 + at, 0x10);
            };
            all.push(damage(name, Found::Always, make));
        }
        let make = move |store: &Path| {
            let file = store.join(queue_file("orders", 1, unit / 8));
            zero(&file, (unit % 8 * 20) as usize, 20);
        };
        all.push(damage(format!("unit {unit} is zeros"), Found::Always, make));
    }
    for (name, number) in [("first", 0), ("middle", 1), ("last", 2)] {
        // A queue may be behind the log in a store that was not closed; opening brings it up.
        let found = if number == 2 { Found::OrHarmless } else { Found::Always };
        let file = move |store: &Path| store.join(queue_file("orders", 0, number));
        for length in [0, 50, 80, 320] {
            let name = format!("the {name} queue file has {length} bytes");
            let make = move |store: &Path| set_length(&file(store), length);
            all.push(damage(name, found, make));
        }
        let make = move |store: &Path| fs::remove_file(file(store)).unwrap();
        all.push(damage(format!("the {name} queue file is missing"), found, make));
        let make = move |store: &Path| zero(&file(store), 0, 160);
        all.push(damage(format!("the {name} queue file is zeros"), found, make));
        let make = move |store: &Path| {
            fs::copy(store.join(queue_file("pears", 0, number)), file(store)).unwrap();
        };
        let name = format!("the {name} queue file is that of another queue");
        all.push(damage(name, found, make));
    }
    let make = |store: &Path| {
        swap(&store.join(queue_file("pears", 0, 0)), &store.join(queue_file("pears", 0, 1)));
    };
    all.push(damage("two queue files are swapped", Found::Always, make));
    let make = |store: &Path| fs::remove_dir_all(store.join("consumequeue/pears")).unwrap();
    all.push(damage("a topic's queues are missing", Found::OrHarmless, make));
    let make = |store: &Path| fs::remove_dir_all(store.join("consumequeue")).unwrap();
    all.push(damage("all queues are missing", Found::OrHarmless, make));
    let make = |store: &Path| {
        let from = store.join("consumequeue/pears/0");
        copy_tree(&from, &store.join("consumequeue/pears/7"));
    };
    all.push(damage("a queue is there twice", Found::Always, make));
}

fn index(all: &mut Vec<Damage>) {
    // Header, slots from 40 on, entries from 120 on.
    for (field, at) in [
        ("begin time", 7),
        ("end time", 15),
        ("begin offset", 23),
        ("end offset", 31),
        ("used slots", 35),
        ("next entry", 39),
        ("a slot", 43),
        ("another slot", 80),
        ("hash", 143),
        ("offset of an entry", 150),
        ("time of an entry", 155),
        ("entry before", 159),
    ] {
        let make = move |store: &Path| flip(&index_file(store), at, 0x04);
        all.push(damage(format!("{field} of the index"), Found::OrHarmless, make));
    }
    for length in [0, 30, 41, 500] {
        let make = move |store: &Path| set_length(&index_file(store), length);
        all.push(damage(format!("an index file has {length} bytes"), Found::OrHarmless, make));
    }
    let make = |store: &Path| zero(&index_file(store), 0, 1 << 20);
    all.push(damage("an index file is zeros", Found::OrHarmless, make));
    let make = |store: &Path| fs::remove_file(index_file(store)).unwrap();
    all.push(damage("an index file is missing", Found::OrHarmless, make));
    let make = |store: &Path| fs::write(store.join("index/notes.txt"), b"mine").unwrap();
    all.push(damage("a foreign file in the index", Found::OrHarmless, make));
}

fn state(base: &Base, all: &mut Vec<Damage>) {
    for at in (0..40).step_by(7).chain((2048..2120).step_by(5)) {
        let make = move |store: &Path| flip(&store.join("checkpoint"), at, 0x20);
        all.push(damage(format!("byte {at} of the checkpoint"), Found::OrHarmless, make));
    }
    for length in [0, 20, 40, 2100, 9000] {
        let make = move |store: &Path| set_length(&store.join("checkpoint"), length);
        all.push(damage(format!("the checkpoint has {length} bytes"), Found::OrHarmless, make));
    }
    for name in ["checkpoint", "abort", "lock", "config/topics.json", "config/consumerOffset.json"]
    {
        let make = move |store: &Path| drop(fs::remove_file(store.join(name)));
        all.push(damage(format!("{name} is missing"), Found::OrHarmless, make));
    }
    let stale = base.early_checkpoint.clone();
    let make = move |store: &Path| fs::write(store.join("checkpoint"), &stale).unwrap();
    all.push(damage("the checkpoint is that of an earlier time", Found::OrHarmless, make));
    for name in ["config/topics.json", "config/consumerOffset.json"] {
        for at in [0, 1, 10, 30, 60] {
            let make = move |store: &Path| flip(&store.join(name), at, 0x02);
            all.push(damage(format!("byte {at} of {name}"), Found::OrHarmless, make));
        }
        for (what, content) in [
            ("empty", &b""[..]),
            ("zeros", &[0; 100]),
            ("half", br#"{"offsetTable":{"orders@bil"#),
            ("a list", b"[1,2,3]"),
            ("of other types", br#"{"offsetTable":7,"topicConfigTable":[]}"#),
        ] {
            let make = move |store: &Path| fs::write(store.join(name), content).unwrap();
            all.push(damage(format!("{name} is {what}"), Found::OrHarmless, make));
        }
    }
}

/// Everything that is done to a store.
pub(crate) fn all(base: &Base) -> Vec<Damage> {
    let mut all = vec![damage("nothing", Found::OrHarmless, |_: &Path| {})];
    record_flips(base, &mut all);
    log_files(base, &mut all);
    tails(base, &mut all);
    queues(&mut all);
    index(&mut all);
    state(base, &mut all);
    all
}
