//! The examples run to their end; `cargo test -p cairnlog` builds them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::PathBuf;
use std::process::Command;

/// Runs an example with a directory of its own and returns what it printed.
fn run(name: &str) -> String {
    let tests = std::env::current_exe().unwrap();
    let profile = tests.ancestors().nth(2).map(PathBuf::from).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let ended = Command::new(profile.join("examples").join(name))
        .arg(directory.path().join("store"))
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{name} failed: {errors}");
    String::from_utf8(ended.stdout).unwrap()
}

#[test]
fn quick_start() {
    assert_eq!(run("quick_start"), "stored at 0 as number 0\norders: 20 pears\n");
}

#[test]
fn consume() {
    let printed = run("consume");
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(lines[..2], ["FOUND: 3 found", "by key: 1"]);
    let billed: Vec<String> = (0..6).map(|number| format!("billed: order-{number}")).collect();
    assert_eq!(lines[2..], billed);
}

#[test]
fn follow() {
    let printed = run("follow");
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(lines[..2], ["LOG: 0 of 0 bytes", "QUEUES: 0 of 0 bytes"]);
    assert_eq!(lines[2..], ["one", "two", "in a task: three", "in a task: the last"]);
}

#[test]
fn retain() {
    assert_eq!(run("retain"), "5 files, 1310720 bytes\n929408 bytes are left\n");
}
