//! Queues of inner batches: shown, read and checked as those of single messages are.
#![allow(missing_docs, clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "tests")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use cairnlog::{EncodedBatch, Message, Store, StoreOptions, encode_batch_item};
use common::*;
use serde_json::Value;

const UNIT: u64 = 46;
/// The messages of each batch.
const COUNTS: [usize; 5] = [3, 1, 2, 5, 4];

/// A store with five batches of one queue, in two queue files, and single messages of another.
fn batches() -> (tempfile::TempDir, String) {
    let (directory, store) = new_store();
    let mut options = StoreOptions::default();
    options.segment_size_bytes = 64 * 1024;
    options.batch_consume_queue_file_size_bytes = 4 * UNIT;
    let open = Store::open(&store, &options).unwrap();
    for (number, count) in COUNTS.into_iter().enumerate() {
        let mut items = Vec::new();
        for _ in 0..count {
            encode_batch_item(&mut items, 0, format!("batch {number}").as_bytes(), b"").unwrap();
        }
        let shared = Message::new("batches", b"").tag(["odd", "even"][count % 2]);
        open.append_inner_batch(&EncodedBatch { shared, items: &items }).unwrap();
        open.append(&Message::new("single", b"one")).unwrap();
    }
    open.close().unwrap();
    (directory, store)
}

fn objects(arguments: &[&str]) -> Vec<Value> {
    json_lines(stdout_of(&run(arguments)).as_bytes())
}

fn indexes(arguments: &[&str]) -> Vec<u64> {
    objects(arguments).iter().map(|line| line["queue_offset"].as_u64().unwrap()).collect()
}

fn queue_file(store: &str, start: u64) -> PathBuf {
    Path::new(store).join(format!("batchconsumequeue/batches/0/{start:020}"))
}

/// The kinds of what `verify` finds.
fn findings(store: &str) -> Vec<Value> {
    let output = run(&["verify", store, "--json"]);
    let mut lines = json_lines(&output.stdout);
    let summary = lines.pop().unwrap();
    assert_eq!(summary["findings"], lines.len());
    assert_eq!(output.status.code(), Some(i32::from(!lines.is_empty())));
    lines
}

#[test]
fn they_are_listed_with_their_messages() {
    let (_directory, store) = batches();
    let topics = objects(&["topics", &store, "--json"]);
    let line = |topic: &str| topics.iter().find(|line| line["topic"] == topic).unwrap();
    assert_eq!(
        (&line("batches")["first_offset"], &line("batches")["next_offset"]),
        (&0.into(), &15.into())
    );
    assert_eq!(line("batches")["messages"], 15);
    assert_eq!(line("single")["messages"], 5);
    let newest = records(&store).iter().map(|r| r["store_timestamp"].clone()).nth(8).unwrap();
    assert_eq!(line("batches")["last_store_timestamp"], newest);
    let queues = objects(&["inspect", &store, "queues", "--json"]);
    let shown: Vec<_> = queues
        .iter()
        .map(|line| (line["kind"].as_str().unwrap(), line["max_offset"].as_u64().unwrap()))
        .collect();
    assert_eq!(shown, [("batch", 15), ("simple", 5)]);
    let units = objects(&["inspect", &store, "queues", "--entries", "--json"]);
    let of_batches = units.iter().filter(|unit| unit["topic"] == "batches");
    let counts: Vec<_> = of_batches.map(|unit| unit["messages"].as_u64().unwrap()).collect();
    assert_eq!(counts, COUNTS.map(|count| count as u64));
}

#[test]
fn they_are_read_batch_by_batch() {
    let (_directory, store) = batches();
    let cat = ["cat", &store, "-t", "batches", "-q", "0", "--json"];
    let with = |extra: &[&str]| indexes(&[&cat[..], extra].concat());
    assert_eq!(with(&[]), [0, 3, 4, 6, 11]);
    // An offset inside a batch leads to the batch.
    assert_eq!(with(&["--from-queue-offset", "8"]), [6, 11]);
    assert_eq!(with(&["--from-queue-offset", "11", "--max", "1"]), [11]);
    assert!(with(&["--from-queue-offset", "15"]).is_empty());
    assert_eq!(with(&["--tag", "even"]), [0, 3, 6]);
    let time = objects(&cat)[3]["store_timestamp"].as_i64().unwrap().to_string();
    assert!(with(&["--from-time", &time]).ends_with(&[6, 11]));
}

#[test]
fn a_group_consumes_them() {
    let (_directory, store) = batches();
    let consume = ["consume", &store, "-g", "g", "-t", "batches", "--json"];
    assert_eq!(indexes(&[&consume[..], &["--max", "2"]].concat()), [0, 3]);
    assert_eq!(indexes(&consume), [4, 6, 11]);
    let groups = objects(&["groups", &store, "--group", "g", "-t", "batches", "--json"]);
    assert_eq!((&groups[0]["next_consumed"], &groups[0]["lag"]), (&15.into(), &0.into()));
}

#[test]
fn each_field_of_a_unit_is_checked() {
    let (_directory, store) = batches();
    assert!(findings(&store).is_empty());
    // The last byte of each field, and what is then said.
    for (at, part) in [
        (7, "another record"),
        (11, "another size"),
        (19, "another tag hash"),
        (27, "another store time"),
        (35, "there is no unit"),
        (37, "other queue offsets"),
    ] {
        let file = queue_file(&store, 0);
        // The third unit, its batch of two messages.
        flip(&file, 2 * UNIT + at, 1);
        let found = findings(&store);
        let told = found.iter().any(|finding| finding.to_string().contains(part));
        assert!(told, "byte {at}: {found:?}");
        flip(&file, 2 * UNIT + at, 1);
    }
    assert!(findings(&store).is_empty());
}

#[test]
fn units_and_records_without_each_other_are_found() {
    let (_directory, store) = batches();
    let second = queue_file(&store, 4 * UNIT);
    let bytes = fs::read(&second).unwrap();
    // A unit of a batch that the log does not have.
    let mut more = bytes.clone();
    let (unit, next) = more.split_at_mut(UNIT as usize);
    next[..UNIT as usize].copy_from_slice(unit);
    next[35] = 15;
    fs::write(&second, &more).unwrap();
    let found = findings(&store);
    assert!(found.iter().any(|f| f.to_string().contains("points to no record")), "{found:?}");
    // The last batch lost its unit.
    fs::write(&second, vec![0; bytes.len()]).unwrap();
    assert_eq!(findings(&store)[0]["kind"], "queue_missing");
    fs::remove_dir_all(Path::new(&store).join("batchconsumequeue")).unwrap();
    let found = findings(&store);
    assert!(found.iter().all(|finding| finding["kind"] == "queue_missing"), "{found:?}");
    assert_eq!(found.len(), 5);
    assert!(found[0]["file"].as_str().unwrap().ends_with("batchconsumequeue"));
}
