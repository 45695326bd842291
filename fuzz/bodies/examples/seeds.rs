//! Makes the image of a store and the seeds of the targets anew.
//!
//!     cargo run --manifest-path fuzz/Cargo.toml -p cairnlog-fuzz-bodies --example seeds
#![allow(clippy::print_stdout, reason = "a program")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cairnlog::{EncodedBatch, LogEntry, LogReader, Message, QueueOffset, Store, encode_batch_item};
use cairnlog_fuzz_bodies::image::Image;
use cairnlog_fuzz_bodies::input::Input;
use cairnlog_fuzz_bodies::mutate::Random;
use cairnlog_fuzz_bodies::{abi, recovery, scratch};

const EXPRESSIONS: [&str; 12] = [
    "a > 5 AND region IN ('north', 'it''s')",
    "a BETWEEN 1 AND 5 OR NOT (b = 'x')",
    "TAGS IS NOT NULL AND KEYS IS NULL",
    "a NOT BETWEEN -5 AND 5.25E2 AND b <> TRUE",
    "b CONTAINS 'x' OR b NOT STARTSWITH 'y' AND b ENDSWITH 'z'",
    "a >= 9223372036854775807 AND a < 1L",
    "NOT TRUE = FALSE /* why */ -- end",
    "((((a = b))))",
    "$a_1 <= .5 AND region NOT IN ('a')",
    "a || b || c",
    " a ||| b",
    "*",
];

const SCRIPTS: usize = 24;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Writes the seeds of a target in the place of those that were there.
fn write(target: &str, seeds: &[Vec<u8>]) {
    let directory = root().join("seeds").join(target);
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory).expect("a directory");
    for (number, seed) in seeds.iter().enumerate() {
        std::fs::write(directory.join(format!("{number:02}")), seed).expect("a file");
    }
    println!(
        "{target}: {} seeds, {} bytes",
        seeds.len(),
        seeds.iter().map(Vec::len).sum::<usize>()
    );
}

/// A store with one of everything that has a place in its files.
fn image() {
    let directory = scratch::directory();
    let options = recovery::options(&mut Input::new(&[]));
    let store = Store::open(directory.path(), &options).expect("a new store");
    let body = [7; 100];
    for number in 0..40 {
        let topic = ["t", "orders", "logs"][number % 3];
        let keys = ["k1", "k2"];
        let message = Message::new(topic, &body[..1 + number * 2])
            .queue_id((number / 3 % 2) as i32)
            .tag(["a", "b"][number % 2])
            .keys(&keys[..number % 3])
            .properties(&[("n", "5")]);
        store.append(&message).expect("an append");
    }
    let mut items = Vec::new();
    for body in [&b"b0"[..], b"b1", b"b2"] {
        encode_batch_item(&mut items, 0, body, b"P\x01v\x02").expect("an item");
    }
    let batch = EncodedBatch { shared: Message::new("t", b""), items: &items };
    store.append_batch(&batch).expect("a batch");
    let inner = EncodedBatch { shared: Message::new("inner", b""), items: &items };
    for _ in 0..3 {
        store.append_inner_batch(&inner).expect("an inner batch");
    }
    store.append(&Message::new("t", b"later").delay_level(1)).expect("a delayed message");
    let first = store.begin_transaction(&Message::new("t", b"half")).expect("a half message");
    store.begin_transaction(&Message::new("t", b"open")).expect("a half message");
    first.commit().expect("a commit");
    let dispatched = store.wait_dispatched(store.max_offset(), Duration::from_secs(10));
    assert!(dispatched.expect("an open store"));
    store.commit_offset("g", "t", 0, QueueOffset::new(3)).expect("an offset");
    store.persist_offsets().expect("offsets");
    store.close().expect("the store's end");
    let packed = Image::read(directory.path()).pack();
    println!("image: {} bytes", packed.len());
    std::fs::write(root().join("store.image"), packed).expect("a file");
}

/// Records of every kind that RocketMQ wrote.
fn records() -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    for fixture in ["v533-features", "v533-propcrc", "v498-basic"] {
        let path = root().join("../tests/fixtures").join(fixture).join("store");
        let reader = LogReader::open(path).expect("a store");
        let mut kinds = BTreeSet::new();
        for entry in reader.entries(reader.min_offset()).flatten() {
            let LogEntry::Message(message) = entry else {
                continue;
            };
            let kind = (message.magic(), message.sys_flag(), message.properties().count().min(2));
            if message.size_bytes() < 600 && kinds.insert(kind) {
                records.push(message.bytes().to_vec());
            }
        }
    }
    records
}

fn with_head(head: &[u8], bytes: &[u8]) -> Vec<u8> {
    [head, bytes].concat()
}

/// Scripts of calls that reach statuses that the ones before did not.
fn scripts(seed: u64) -> Vec<Vec<u8>> {
    let mut random = Random::new(seed);
    let mut seen = abi::Seen::new();
    let mut kept: Vec<Vec<u8>> = Vec::new();
    for _ in 0..3000 {
        let length = 64 + random.below(192);
        let script: Vec<u8> = (0..length).map(|_| random.number() as u8).collect();
        let found = abi::run_and_tell(&script);
        if found.difference(&seen).count() > kept.len() / 4 {
            seen.extend(found);
            kept.push(script);
        }
        if kept.len() == SCRIPTS {
            break;
        }
    }
    println!("{} calls and statuses", seen.len());
    kept
}

fn random_inputs(count: usize, random: &mut Random) -> Vec<Vec<u8>> {
    let one = |random: &mut Random| (0..60).map(|_| random.number() as u8).collect();
    (0..count).map(|_| one(random)).collect()
}

fn main() {
    let mut random = Random::new(1);
    image();
    let records = records();
    let mut seeds: Vec<_> = records.iter().map(|record| with_head(&[0, 0], record)).collect();
    for kind in [1, 2] {
        seeds.extend(random_inputs(4, &mut random).iter().map(|input| with_head(&[kind], input)));
    }
    write("record", &seeds);

    let properties: Vec<_> = records
        .iter()
        .filter_map(|record| {
            let view = cairnlog::fuzzing::decode_record(
                record,
                u64::from_be_bytes(record[28..36].try_into().expect("eight bytes")),
                cairnlog::fuzzing::Check::Structure,
            )?;
            Some(view.properties_raw().to_vec())
        })
        .filter(|raw| !raw.is_empty())
        .collect();
    let mut seeds: Vec<_> = properties.iter().map(|raw| with_head(&[0], raw)).collect();
    seeds.push(b"\x01\x06a\x01b\x02c\x01d\x01\x02ta\x04\x01a\x01b\x01c\x01d\x02\x01\x03".to_vec());
    write("properties", &seeds);

    let mut items = Vec::new();
    encode_batch_item(&mut items, 7, b"b0", b"P\x01v0\x02").expect("an item");
    let one = items.clone();
    encode_batch_item(&mut items, -1, b"b1", b"").expect("an item");
    let script = b"\x01\x03\x01\x02b0\x05P\x01v0\x02\x02\x01b\0\x03\x04four\x02ab\x01\x05".to_vec();
    write("batch", &[with_head(&[0], &one), with_head(&[0], &items), script]);

    let raw = b"a\x015\x02b\x01x\x02region\x01it's\x02TAGS\x01a\x02";
    let seeds = EXPRESSIONS.iter().enumerate().map(|(number, expression)| {
        let head = [&[raw.len() as u8][..], raw, &[u8::from(number >= 9)]].concat();
        with_head(&head, expression.as_bytes())
    });
    write("filter", &seeds.collect::<Vec<_>>());

    let state = root().join("../tests/fixtures/state");
    let mut seeds = Vec::new();
    for (kind, file) in [
        (0, "v533/consumerOffset.json"),
        (0, "v498/consumerOffset.json"),
        (1, "v533/delayOffset.json"),
        (2, "v498/topics.json"),
    ] {
        let content = std::fs::read(state.join(file)).expect("a state file");
        seeds.push(with_head(&[kind, 0, 0], &content));
        seeds.push(with_head(&[kind, 16, 1, 2, b'{', b'}'], &content));
    }
    seeds.push(
        b"\x00\x00\x00{'a':.5e3,$b:[1,{\"c\":null}],offsetTable:{'t@g':{0:1,-1:2}}}".to_vec(),
    );
    write("state", &seeds);

    write("recovery", &random_inputs(16, &mut random));
    write("queues", &random_inputs(16, &mut random));
    write("abi", &scripts(1));
}
