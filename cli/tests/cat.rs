//! `cat`: bodies in log or queue order, from any place on, and as they come.
#![allow(missing_docs, clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "tests")]

mod common;

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use common::*;
use serde_json::Value;

/// Three queues, written in turn: a0 b1 c2 d0 e1 f2.
fn small_store() -> (tempfile::TempDir, String) {
    let (directory, store) = new_store();
    let arguments = ["append", &store, "-t", "T", "--queues", "3", "--segment-size", "64K"];
    stdout_of(&run_with_input(&arguments, b"a\nb\nc\nd\ne\nf\n"));
    append_lines(&store, "Other", "x\ny\n");
    (directory, store)
}

fn bodies(store: &str, extra: &[&str]) -> String {
    let mut arguments = vec!["cat", store];
    arguments.extend(extra);
    stdout_of(&run(&arguments)).replace('\n', "")
}

#[test]
fn filters_choose_messages() {
    let (_directory, store) = small_store();
    assert_eq!(bodies(&store, &[]), "abcdefxy");
    assert_eq!(bodies(&store, &["-t", "T"]), "abcdef");
    assert_eq!(bodies(&store, &["-t", "T", "-q", "2"]), "cf");
    assert_eq!(bodies(&store, &["-t", "T", "-q", "9"]), "");
    assert_eq!(bodies(&store, &["--max", "3"]), "abc");
    assert_eq!(bodies(&store, &["--max", "0"]), "");
    assert_eq!(bodies(&store, &["-t", "Other", "--max", "1"]), "x");
    let from = ["-t", "T", "-q", "1", "--from-queue-offset", "1"];
    assert_eq!(bodies(&store, &from), "e");
}

#[test]
fn offsets_and_times_choose_the_beginning() {
    let (_directory, store) = small_store();
    std::thread::sleep(std::time::Duration::from_millis(5));
    append_lines(&store, "Other", "z\n");
    let all = records(&store);
    let fourth = all[3]["physical_offset"].to_string();
    assert_eq!(bodies(&store, &["--from-offset", &fourth]), "defxyz");
    let last = all.last().unwrap();
    let time = last["store_timestamp"].to_string();
    assert_eq!(bodies(&store, &["--from-time", &time]), "z");
    let later = (last["store_timestamp"].as_i64().unwrap() + 1).to_string();
    assert_eq!(bodies(&store, &["--from-time", &later]), "");
    let inside = run(&["cat", &store, "--from-offset", "3"]);
    assert_eq!(inside.status.code(), Some(1));
    assert!(inside.stdout.is_empty() || !inside.stderr.is_empty());
}

#[test]
fn queue_order_leaves_out_what_consumers_do_not_see() {
    let store = fixture_store("v533-features");
    let manifest = &manifests()["v533-features"];
    let seen: Vec<&Value> = manifest["records"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|record| record["topic"] == "tx-types" && record["dispatched"] == true)
        .collect();
    let queue = seen[0]["queue_id"].to_string();
    let output = run(&["cat", &store, "-t", "tx-types", "-q", &queue, "--json"]);
    let printed = json_lines(stdout_of(&output).as_bytes());
    assert_eq!(printed.len(), seen.len());
    for (printed, seen) in printed.iter().zip(seen) {
        assert_eq!(printed["physical_offset"], seen["physical_offset"]);
    }
    let all = run(&["cat", &store, "-t", "tx-types", "--json"]);
    assert!(json_lines(&all.stdout).len() > printed.len());
}

#[test]
fn bytes_that_are_no_text_are_base64_in_json() {
    let (_directory, store) = new_store();
    let arguments = ["append", &store, "-t", "T", "--segment-size", "64K"];
    stdout_of(&run_with_input(&arguments, b"\xFF\x00\nplain \"text\"\n"));
    let printed = json_lines(&run(&["cat", &store, "--json"]).stdout);
    assert_eq!(printed[0]["body_base64"], "/wA=");
    assert!(printed[0].get("body").is_none());
    assert_eq!(printed[1]["body"], "plain \"text\"");
}

#[test]
fn follow_prints_what_comes_until_ctrl_c() {
    let (_directory, store) = new_store();
    append_lines(&store, "T", "first\n");
    let mut child = cairnlog(["cat", &store, "--follow"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut next = || {
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        line
    };
    assert_eq!(next(), "first\n");
    append_lines(&store, "T", "second\n");
    assert_eq!(next(), "second\n");
    // Past the end of the first file, while the writer is running.
    let mut writer = cairnlog(["append", &store, "-t", "T"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = writer.stdin.take().unwrap();
    for number in 0..300 {
        let line = format!("{number} {}\n", "x".repeat(1000));
        input.write_all(line.as_bytes()).unwrap();
        assert_eq!(next(), line);
    }
    drop(input);
    writer.wait().unwrap();
    interrupt(&child);
    let ended = child.wait_with_output().unwrap();
    assert_eq!((ended.status.code(), stderr(&ended).as_str()), (Some(130), ""));
}

/// Every file and directory of a store with its length and its times.
fn listing(store: &str) -> Vec<(PathBuf, u64, i64, i64)> {
    let mut found = Vec::new();
    let mut directories = vec![PathBuf::from(store)];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let metadata = path.metadata().unwrap();
            if metadata.is_dir() {
                directories.push(path.clone());
            }
            let (changed, ns) = (metadata.ctime(), metadata.ctime_nsec());
            found.push((path, metadata.len(), changed, ns));
        }
    }
    found.sort();
    found
}

/// Followers in both orders go on when the writer is killed and another comes, and change nothing.
#[test]
fn followers_outlive_the_writer() {
    let (_directory, store) = new_store();
    let mut writer = cairnlog(["append", &store, "-t", "T", "--acks", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = writer.stdin.take().unwrap();
    let mut acks = BufReader::new(writer.stdout.take().unwrap());
    input.write_all(b"first\nsecond\n").unwrap();
    for _ in 0..2 {
        acks.read_line(&mut String::new()).unwrap();
    }
    let follow = |arguments: &[&str]| {
        let mut child = cairnlog([&["cat", &store, "--follow"], arguments].concat())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        (child, output)
    };
    let mut followers = [follow(&[]), follow(&["-t", "T", "-q", "0"])];
    let mut assert_next = |expected: &str| {
        for (_, output) in &mut followers {
            let mut line = String::new();
            output.read_line(&mut line).unwrap();
            assert_eq!(line, expected);
        }
    };
    assert_next("first\n");
    assert_next("second\n");
    input.write_all(b"third\n").unwrap();
    assert_next("third\n");
    writer.kill().unwrap();
    writer.wait().unwrap();
    let before = listing(&store);
    std::thread::sleep(Duration::from_millis(600));
    assert_eq!(listing(&store), before);
    append_lines(&store, "T", "fourth\n");
    assert_next("fourth\n");
    for (child, _) in followers {
        interrupt(&child);
        let ended = child.wait_with_output().unwrap();
        assert_eq!((ended.status.code(), &*stderr(&ended)), (Some(130), ""));
    }
}

#[test]
fn follow_ends_by_itself_at_the_maximum() {
    let (_directory, store) = new_store();
    append_lines(&store, "T", "one\ntwo\nthree\n");
    let output = run(&["cat", &store, "--follow", "--max", "2"]);
    assert_eq!(stdout_of(&output), "one\ntwo\n");
}

#[test]
fn damage_is_told_and_the_rest_printed() {
    let (_directory, store) = fixture_copy("v533-corrupt-middle");
    let output = run(&["cat", &store, "--json"]);
    assert_fails(&output, 1, &["143523"]);
    assert_eq!(json_lines(&output.stdout).len(), 299);
}
