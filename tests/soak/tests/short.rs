//! A short use in every way at once: whatever is done happens, and nothing stays behind.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::process::Command;

use serde_json::Value;

#[test]
fn a_store_that_is_used_in_every_way_does_not_grow() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_cairnlog-test-soak"));
    command.arg(directory.path().join("store"));
    command.args(["--seconds", "8", "--life-seconds", "1", "--sample-seconds", "0.1"]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let samples: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(samples.len() > 20, "{} samples", samples.len());
    let last = samples.last().unwrap();
    assert_eq!(last["ended"], true);
    assert!(last["lives"].as_u64().unwrap() >= 3);
    for name in ["appended", "consumed", "read", "queried", "transactions"] {
        assert!(last[name].as_u64().unwrap() > 0, "{name}: {last}");
    }
}
