//! `consume`, and delayed messages on their way to it.
#![allow(missing_docs, clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "tests")]

mod common;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{ChildStdout, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use common::*;
use serde_json::{Value, json};

/// Twelve messages: three queues of one topic, tags in turn, and one message in another topic.
fn shop() -> (tempfile::TempDir, String) {
    let (directory, store) = new_store();
    let mut input = String::new();
    for n in 0..12 {
        let tag = ["new", "paid"][n % 2];
        let object = json!({
            "topic": "orders", "queue_id": n % 3, "body": format!("m{n}"), "tags": tag,
            "properties": {"price": n.to_string()},
        });
        input.push_str(&format!("{object}\n"));
    }
    input.push_str("{\"topic\":\"other\",\"body\":\"o\"}\n");
    let arguments = ["append", &store, "--format", "jsonl", "--segment-size", "64K"];
    stdout_of(&run_with_input(&arguments, input.as_bytes()));
    (directory, store)
}

/// What a group gets of a topic, sorted as the order between queues is free.
fn consumed(store: &str, group: &str, extra: &[&str]) -> Vec<String> {
    let arguments = [&["consume", store, "-g", group, "-t", "orders"], extra].concat();
    let mut lines: Vec<_> = stdout_of(&run(&arguments)).lines().map(str::to_owned).collect();
    lines.sort_by_key(|line| line.trim_start_matches('m').parse::<u32>().unwrap());
    lines
}

fn all() -> Vec<String> {
    (0..12).map(|n| format!("m{n}")).collect()
}

/// How much a group has left of each queue.
fn lags(store: &str, group: &str) -> Vec<u64> {
    let lines = json_lines(stdout_of(&run(&["groups", store, "--json"])).as_bytes());
    let of_group = lines.iter().filter(|line| line["group"] == group && line["topic"] == "orders");
    of_group.map(|line| line["lag"].as_u64().unwrap()).collect()
}

fn waiting(store: &str) -> u64 {
    let lines = json_lines(stdout_of(&run(&["delays", store, "--json"])).as_bytes());
    lines.iter().map(|line| line["waiting"].as_u64().unwrap()).sum()
}

fn next(output: &mut BufReader<ChildStdout>) -> String {
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    line
}

#[test]
fn each_group_gets_every_message_once() {
    let (_directory, store) = shop();
    assert_eq!(consumed(&store, "g", &[]), all());
    assert_eq!(lags(&store, "g"), [0, 0, 0]);
    assert!(consumed(&store, "g", &[]).is_empty());
    assert_eq!(consumed(&store, "h", &[]), all());
    append_lines(&store, "orders", "m12\nm13\n");
    assert_eq!(consumed(&store, "g", &[]), ["m12", "m13"]);
    let both = ["consume", &store, "-g", "i", "-t", "orders", "-t", "other", "--json"];
    let found = json_lines(stdout_of(&run(&both)).as_bytes());
    assert_eq!(found.iter().filter(|message| message["topic"] == "orders").count(), 14);
    let other: Vec<_> = found.iter().filter(|message| message["topic"] == "other").collect();
    assert_eq!((other.len(), &other[0]["body"]), (1, &Value::from("o")));
}

#[test]
fn a_group_goes_on_behind_what_was_printed() {
    let (_directory, store) = shop();
    let first = consumed(&store, "g", &["--max", "5"]);
    assert_eq!(first.len(), 5);
    assert_eq!(lags(&store, "g").iter().sum::<u64>(), 7);
    let mut both = [first, consumed(&store, "g", &[])].concat();
    both.sort_by_key(|line| line[1..].parse::<u32>().unwrap());
    assert_eq!(both, all());
    assert!(consumed(&store, "h", &["--max", "0"]).is_empty());
    assert_eq!(consumed(&store, "h", &[]), all());
}

#[test]
fn a_new_group_begins_where_it_is_told() {
    let (_directory, store) = shop();
    assert!(consumed(&store, "last", &["--from", "last"]).is_empty());
    thread::sleep(Duration::from_millis(5));
    append_lines(&store, "orders", "m12\n");
    assert_eq!(consumed(&store, "last", &["--from", "first"]), ["m12"]);
    let time = records(&store).last().unwrap()["store_timestamp"].as_i64().unwrap();
    assert_eq!(consumed(&store, "time", &["--from", &format!("@{time}")]), ["m12"]);
    for wrong in ["7", "@x", "middle"] {
        let arguments = ["consume", &store, "-g", "g", "-t", "orders", "--from", wrong];
        assert_fails(&run(&arguments), 2, &["first, last, or @"]);
    }
}

#[test]
fn filters_choose_and_pass_over_the_rest() {
    let (_directory, store) = shop();
    assert_eq!(consumed(&store, "g", &["--tag", "new"]), ["m0", "m2", "m4", "m6", "m8", "m10"]);
    assert!(consumed(&store, "g", &[]).is_empty());
    assert_eq!(consumed(&store, "h", &["--sql", "price > 9"]), ["m10", "m11"]);
    let arguments = ["consume", &store, "-g", "g", "-t", "orders", "--sql", "price >"];
    assert_fails(&run(&arguments), 2, &["malformed"]);
}

#[test]
fn what_cannot_be_consumed_is_told() {
    let (directory, store) = shop();
    let consume = |store: &str, group: &str| run(&["consume", store, "-g", group, "-t", "orders"]);
    assert_fails(&consume(&store, "a group"), 1, &["group"]);
    assert_fails(&consume(&text(&directory.path().join("none")), "g"), 1, &["none"]);
    assert_fails(&run(&["consume", &store, "-g", "g"]), 2, &["--topic"]);
    let mut writer = cairnlog(["append", &store, "-t", "orders"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    wait_until("the writer has the store", || Path::new(&store).join("abort").exists());
    assert_fails(&consume(&store, "g"), 1, &["lock"]);
    drop(writer.stdin.take());
    writer.wait().unwrap();
    assert_eq!(consumed(&store, "h", &[]), all());
}

#[test]
fn ctrl_c_ends_a_follower_with_what_was_printed_committed() {
    let (_directory, store) = shop();
    let arguments = ["consume", &store, "-g", "g", "-t", "orders", "--follow"];
    let mut child =
        cairnlog(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let lines: Vec<_> = (0..12).map(|_| next(&mut output)).collect();
    interrupt(&child);
    let ended = child.wait_with_output().unwrap();
    assert_eq!((ended.status.code(), stderr(&ended)), (Some(130), String::new()), "{lines:?}");
    assert_eq!(lags(&store, "g"), [0, 0, 0]);
}

#[test]
fn what_nobody_read_is_not_consumed() {
    let (_directory, store) = new_store();
    // More than a pipe and the reader's buffer take.
    let line = "x".repeat(1000);
    let lines: Vec<_> = (0..600).map(|number| format!("{number} {line}\n")).collect();
    append_lines(&store, "orders", &lines.concat());
    let arguments = ["consume", &store, "-g", "g", "-t", "orders"];
    let mut child =
        cairnlog(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    assert_eq!(next(&mut output), lines[0]);
    drop(output);
    let ended = child.wait_with_output().unwrap();
    assert_eq!((ended.status.code(), stderr(&ended)), (Some(0), String::new()));
    // Not even what was taken together with the first.
    assert_eq!(stdout_of(&run(&arguments)), lines.concat());
}

#[test]
fn a_killed_follower_has_committed_what_it_printed_before_it_waited() {
    let (directory, store) = shop();
    let conf = text(&directory.path().join("broker.conf"));
    // Nobody else writes the offsets.
    fs::write(&conf, "flushConsumerOffsetInterval=3600000\n").unwrap();
    let arguments = ["consume", &store, "-g", "g", "-t", "orders", "--follow", "--conf", &conf];
    let mut child = cairnlog(arguments).stdout(Stdio::piped()).spawn().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    (0..12).for_each(|_| drop(next(&mut output)));
    wait_until("the offsets are stored", || lags(&store, "g") == [0, 0, 0]);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(consumed(&store, "g", &[]).is_empty());
}

#[test]
fn delayed_messages_come_when_their_time_has_come() {
    let (_directory, store) = new_store();
    let begun = Instant::now();
    let arguments = ["append", &store, "-t", "orders", "--segment-size", "64K", "--delay-level"];
    // The highest level is two hours: it is not reached here.
    stdout_of(&run_with_input(&[&arguments[..], &["18"]].concat(), b"m3\n"));
    assert_eq!(waiting(&store), 1);
    assert!(consumed(&store, "g", &[]).is_empty());
    // What is due is delivered by whoever has the store: it is not told here what still waits.
    let input = [
        json!({"body": "m0", "delay_level": 0}),
        json!({"body": "m2", "delay_level": 2}),
        json!({"body": "m1"}),
    ];
    let jsonl = [&arguments[..], &["1", "--format", "jsonl"]].concat();
    stdout_of(&run_with_input(&jsonl, input.map(|line| format!("{line}\n")).concat().as_bytes()));
    assert_eq!(consumed(&store, "g", &["--max", "1", "--timeout", "20000"]), ["m0"]);
    assert_eq!(consumed(&store, "g", &["--max", "1", "--timeout", "20000"]), ["m1"]);
    assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_eq!(consumed(&store, "g", &["--max", "1", "--timeout", "20000"]), ["m2"]);
    assert!(begun.elapsed() >= Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!(waiting(&store), 1);
    let too_much = [&arguments[..], &["x"]].concat();
    assert_fails(&run_with_input(&too_much, b"x\n"), 2, &["delay-level"]);
}

#[test]
fn looking_after_a_store_delivers_nothing() {
    let (_directory, store) = new_store();
    let arguments = ["append", &store, "-t", "orders", "--segment-size", "64K"];
    stdout_of(&run_with_input(&arguments, b"m0\n"));
    stdout_of(&run_with_input(&[&arguments[..], &["--delay-level", "1"]].concat(), b"m1\n"));
    thread::sleep(Duration::from_millis(1200));
    for maintenance in [
        &["recover", &store][..],
        &["recover", &store, "--dry-run"],
        &["verify", &store],
        &["inspect", &store, "records"],
        &["groups", &store, "--group", "g", "-t", "orders", "--reset-to", "first"],
        &["retain", &store],
        &["retain", &store, "--dry-run"],
    ] {
        stdout_of(&run(maintenance));
        assert_eq!(waiting(&store), 1, "{maintenance:?}");
    }
    assert_eq!(records(&store).len(), 2);
    assert_eq!(consumed(&store, "g", &["--max", "2", "--timeout", "20000"]), ["m0", "m1"]);
}
