//! The smallest run: every figure is there, positive, and nothing is left behind.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

use std::process::Command;

use serde_json::Value;

const NAMES: [&str; 44] = [
    "async append by handle into a touched file, 1 KiB",
    "async append by handle beside a bare one, 1 KiB",
    "async append by name into a touched file, 1 KiB",
    "async append by handle into a touched file, 100 B",
    "async append by handle beside a bare one, 100 B",
    "async append by name into a touched file, 100 B",
    "bare groups of 16: pwrite and fdatasync, zeros written ahead",
    "bare groups of 64: pwrite and fdatasync, zeros written ahead",
    "bare groups of 128: pwrite and fdatasync, zeros written ahead",
    "bare groups of 512: pwrite and fdatasync, zeros written ahead",
    "bare groups of 64 threads that wait for their record",
    "bare groups of 64 threads that wait for their record, p99",
    "bare groups of 128 threads that wait for their record",
    "dispatch to a queue, 100 B",
    "dispatch to queue and index, 100 B, one key",
    "async append while dispatched to a queue, 100 B",
    "async append while dispatched to queue and index, 100 B",
    "read a queue in order, 1024 views a read",
    "read a queue in order, 32 views a read",
    "read a queue in order, every field and property decoded",
    "read one message at a random offset",
    "scan the log, 1 KiB, no CRC",
    "scan the log, 1 KiB, CRC verified",
    "query a key, one index file",
    "query a missing key, one index file",
    "query a key, eight index files",
    "query a missing key, eight index files",
    "bare: wake a thread that wakes the reader, p50",
    "append to waiting reader, async store, p50",
    "append to waiting reader, async store, p99",
    "append to waiting reader, sync store, p50",
    "append to waiting reader, sync store, p99",
    "consume 1 queue, 1 member",
    "consume 1 queue, 2 members",
    "consume 16 queues, 1 member",
    "consume 16 queues, 2 members",
    "consume 256 queues, 1 member",
    "consume 256 queues, 2 members",
    "async append across ten rollovers, 50 k/s, p99.99",
    "async append across ten rollovers, 50 k/s, longest",
    "async append across ten rollovers, as fast as it goes, p99.99",
    "async append across ten rollovers, as fast as it goes, longest",
    "async append, 1 KiB, 2 threads beside 1",
    "async append, 1 KiB, 16 threads beside 1",
];

fn spread(row: &Value, name: &str) -> [f64; 3] {
    ["min", "median", "max"].map(|part| row[name][part].as_f64().unwrap())
}

#[test]
fn every_figure_is_measured_beside_its_floor() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_cairnlog-bench"));
    let output = command.arg("--smoke").arg("--directory").arg(directory.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let rows: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let names: Vec<_> = rows.iter().map(|row| row["name"].as_str().unwrap()).collect();
    assert_eq!(names, NAMES);
    for row in &rows {
        for part in ["value", "floor", "ratio"] {
            let spread = spread(row, part);
            assert!(spread[0] > 0.0 && spread.is_sorted() && spread[2].is_finite(), "{row}");
        }
        assert!(!row["floor_name"].as_str().unwrap().is_empty(), "{row}");
        assert_eq!(row["target"].is_null(), row["met"].is_null(), "{row}");
        assert_eq!(row["rounds"].as_u64(), Some(1));
    }
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "left behind");
}
