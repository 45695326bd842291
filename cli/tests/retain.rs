//! `retain`.
#![allow(missing_docs, clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "tests")]

mod common;

use std::fs;
use std::path::Path;
use std::process::Stdio;

use common::*;
use serde_json::Value;

const FILE: u64 = 65_536;

/// A store of five log files and a bit, and how many messages it has.
fn full() -> (tempfile::TempDir, String) {
    let (directory, store) = new_store();
    let line = format!("{}\n", "x".repeat(4000));
    append_lines(&store, "t", &line.repeat(90));
    assert_eq!(log_files(&store).len(), 6);
    (directory, store)
}

fn log_files(store: &str) -> Vec<String> {
    let files = fs::read_dir(Path::new(store).join("commitlog")).unwrap();
    let mut names: Vec<_> =
        files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn retain(store: &str, extra: &[&str]) -> Value {
    let arguments = [&["retain", store, "--json"], extra].concat();
    json_lines(stdout_of(&run(&arguments)).as_bytes()).remove(0)
}

/// Checks that a dry run foretells, and changes nothing, what then happens, and returns the files
/// that went.
fn retained(store: &str, rule: &[&str]) -> u64 {
    let before = snapshot(Path::new(store));
    let mut foretold = retain(store, &[rule, &["--dry-run"]].concat());
    assert_eq!(foretold["dry_run"], true);
    assert_eq!(snapshot(Path::new(store)), before, "{rule:?}");
    let done = retain(store, rule);
    foretold["dry_run"] = Value::from(false);
    assert_eq!(foretold, done, "{rule:?}");
    let files = done["files"].as_u64().unwrap();
    assert_eq!(done["bytes"], files * FILE);
    let min_offset = done["min_offset"].as_u64().unwrap();
    assert_eq!(log_files(store)[0], format!("{min_offset:020}"));
    // What was removed is gone from the queue, and what is left is sound.
    let messages = stdout_of(&run(&["cat", store, "-t", "t", "-q", "0"])).lines().count();
    assert_eq!(messages, records(store).len(), "{rule:?}");
    let topics = json_lines(stdout_of(&run(&["topics", store, "--json"])).as_bytes());
    assert_eq!(topics[0]["messages"], messages as u64, "{rule:?}");
    stdout_of(&run(&["verify", store]));
    files
}

/// The tool counted what retention had taken among what a group has left; the engine did not.
#[test]
fn what_is_gone_is_nothing_that_a_group_has_left() {
    let (_directory, store) = full();
    let group = ["groups", &store, "--group", "g", "-t", "t", "--json"];
    let progress = |extra: &[&str]| {
        json_lines(stdout_of(&run(&[&group[..], extra].concat())).as_bytes()).remove(0)
    };
    assert_eq!(progress(&["--reset-to", "5"])["lag"], 85);
    assert_eq!(retained(&store, &["--max-bytes", "200K"]), 3);
    let now = progress(&[]);
    let first = now["first_offset"].as_u64().unwrap();
    assert!(first > 5, "{now}");
    assert_eq!((&now["next_consumed"], &now["lag"]), (&Value::from(5), &Value::from(90 - first)));
    assert_eq!(progress(&["--reset-to", "last"])["lag"], 0);
}

#[test]
fn the_log_is_cut_to_a_size() {
    let (_directory, store) = full();
    assert_eq!(retained(&store, &["--max-bytes", "1G"]), 0);
    assert_eq!(retained(&store, &["--max-bytes", "200K"]), 3);
    assert_eq!(retained(&store, &["--max-bytes", "200K"]), 0);
    assert_eq!(retained(&store, &["--max-bytes", "1"]), 2);
    assert_eq!(log_files(&store).len(), 1);
    // The store is still one that is appended to.
    append_lines(&store, "t", "late\n");
    assert!(stdout_of(&run(&["cat", &store])).ends_with("late\n"));
}

#[test]
fn files_in_front_of_an_offset_go() {
    let (_directory, store) = full();
    assert_eq!(retained(&store, &["--before", "65535"]), 0);
    assert_eq!(retained(&store, &["--before", "65536"]), 1);
    assert_eq!(retained(&store, &["--before", "196607"]), 1);
    for extra in [&["--dry-run"][..], &[]] {
        let arguments = [&["retain", &store, "--before", "999999"], extra].concat();
        assert_fails(&run(&arguments), 1, &["999999", "does not reach"]);
    }
    // Two rules at once: the one that asks for more counts.
    assert_eq!(retained(&store, &["--before", "196608", "--max-bytes", "70000"]), 3);
}

#[test]
fn old_files_go() {
    let (directory, store) = full();
    assert_eq!(retained(&store, &["--max-age", "1"]), 0);
    // Without a rule those of RocketMQ count, or of its configuration.
    assert_eq!(retained(&store, &[]), 0);
    let conf = text(&directory.path().join("broker.conf"));
    fs::write(&conf, "fileReservedTime=0\n").unwrap();
    assert_eq!(retained(&store, &["--conf", &conf, "--max-bytes", "1G"]), 0);
    assert_eq!(retained(&store, &["--conf", &conf, "--before", "65536"]), 1);
    assert_eq!(retained(&store, &["--conf", &conf]), 4);
    assert_eq!(retained(&store, &["--max-age", "0"]), 0);
    assert_fails(&run(&["retain", &store, "--max-age", "8760001"]), 2, &["8760001"]);
}

#[test]
fn a_store_of_long_ago_is_old() {
    for name in ["v533-features", "v498-features"] {
        let (directory, store) = fixture_copy(name);
        let conf = fixture_conf(name, &directory);
        let files = log_files(&store).len() as u64;
        let rule = ["--conf", &conf, "--max-age", "1"];
        let foretold = retain(&store, &[&rule[..], &["--dry-run"]].concat());
        let done = retain(&store, &rule);
        assert_eq!(done["files"], foretold["files"], "{name}");
        assert_eq!(done["files"], files - 1, "{name}");
        stdout_of(&run(&["verify", &store]));
    }
}

#[test]
fn a_store_in_use_is_left_alone() {
    let (_directory, store) = full();
    let mut writer = cairnlog(["append", &store, "-t", "t"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    wait_until("the writer has the store", || Path::new(&store).join("abort").exists());
    assert_fails(&run(&["retain", &store, "--max-bytes", "1"]), 1, &["lock"]);
    assert_eq!(retain(&store, &["--max-bytes", "1", "--dry-run"])["files"], 5);
    drop(writer.stdin.take());
    writer.wait().unwrap();
    assert_eq!(log_files(&store).len(), 6);
    let output = stdout_of(&run(&["retain", &store, "--max-bytes", "1"]));
    let expected = format!("removed 5 files with {} bytes; the log begins at 327680\n", 5 * FILE);
    assert_eq!(output, expected);
}

#[test]
fn what_is_no_store_is_told() {
    let (directory, store) = new_store();
    for extra in [&["--dry-run"][..], &[]] {
        assert_fails(&run(&[&["retain", store.as_str()], extra].concat()), 1, &["store"]);
    }
    assert!(!directory.path().join("store").exists());
}
