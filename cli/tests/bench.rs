//! `bench`: the figures are there, fit together, and nothing is left behind.
#![allow(missing_docs, clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "tests")]

mod common;

use std::fs;

use common::*;
use serde_json::Value;

const FIELDS: [&str; 16] = [
    "mode",
    "size",
    "threads",
    "inflight",
    "seconds",
    "messages",
    "messages_per_second",
    "p50_ns",
    "p99_ns",
    "p999_ns",
    "p9999_ns",
    "max_ns",
    "syncs",
    "floor_messages",
    "floor_messages_per_second",
    "ratio_to_floor",
];

fn bench(extra: &[&str]) -> Value {
    let directory = tempfile::tempdir().unwrap();
    let path = text(directory.path());
    let mut arguments = vec!["bench", path.as_str(), "--seconds", "0.3", "--json"];
    arguments.extend(extra);
    let output = stdout_of(&run(&arguments));
    assert_eq!(output.lines().count(), 1);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0, "left behind");
    serde_json::from_str(&output).unwrap()
}

fn assert_sound(result: &Value) {
    assert_eq!(result.as_object().unwrap().len(), FIELDS.len());
    for field in FIELDS {
        assert!(result.get(field).is_some(), "{field}");
    }
    let number = |field: &str| result[field].as_f64().unwrap();
    assert!(number("messages") > 0.0);
    let rate = number("messages") / number("seconds");
    assert!((rate / number("messages_per_second") - 1.0).abs() < 0.01);
    let percentiles = ["p50_ns", "p99_ns", "p999_ns", "p9999_ns", "max_ns"];
    assert!(percentiles.map(number).is_sorted(), "{result}");
    assert!(number("p50_ns") > 0.0);
}

#[test]
fn async_appends_beside_copy_and_crc() {
    let result = bench(&["--floor", "--size", "1024"]);
    assert_sound(&result);
    assert_eq!((result["mode"].as_str(), result["size"].as_u64()), (Some("async"), Some(1024)));
    let ratio = result["ratio_to_floor"].as_f64().unwrap();
    let floor = result["floor_messages_per_second"].as_f64().unwrap();
    let rate = result["messages_per_second"].as_f64().unwrap();
    assert!((rate / floor / ratio - 1.0).abs() < 0.01);
    assert!(ratio > 0.0 && ratio < 1.5, "{result}");
}

#[test]
fn sync_appends_beside_write_and_sync() {
    let result = bench(&["--mode", "sync", "--floor"]);
    assert_sound(&result);
    assert!(result["syncs"].as_u64().unwrap() >= result["messages"].as_u64().unwrap());
    assert!(result["ratio_to_floor"].as_f64().unwrap() > 0.05, "{result}");
    assert!(result["floor_messages"].as_u64().unwrap() > 0);
}

#[test]
fn many_in_flight_share_syncs() {
    let result = bench(&["--mode", "sync", "--threads", "2", "--inflight", "32", "--size", "100"]);
    assert_sound(&result);
    assert!(result["floor_messages"].is_null());
    assert!(result["floor_messages_per_second"].is_null());
    assert!(result["ratio_to_floor"].is_null());
    assert!(result["syncs"].as_u64().unwrap() < result["messages"].as_u64().unwrap());
}

#[test]
fn text_has_the_figures() {
    let directory = tempfile::tempdir().unwrap();
    let path = text(directory.path());
    let output = stdout_of(&run(&["bench", &path, "--seconds", "0.1", "--threads", "2"]));
    for part in ["async append", "messages/s", "p99.99"] {
        assert!(output.contains(part), "{output}");
    }
}

#[test]
fn ctrl_c_leaves_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    let path = text(directory.path());
    let mut child =
        cairnlog(["bench", path.as_str(), "--seconds", "600", "--mode", "sync"]).spawn().unwrap();
    wait_until("the store", || fs::read_dir(&path).unwrap().count() > 0);
    std::thread::sleep(std::time::Duration::from_millis(400));
    interrupt(&child);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(fs::read_dir(&path).unwrap().count(), 0, "left behind");
}
