//! `append`: what was acknowledged is stored, whole, where the acknowledgement says.
#![allow(missing_docs, clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "tests")]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::Stdio;

use common::*;
use serde_json::{Value, json};

fn numbered(count: usize) -> Vec<String> {
    (1..=count).map(|n| format!("line {n} {}", "x".repeat(n % 97))).collect()
}

fn joined(lines: &[String]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

fn borrowed(lines: &[String]) -> Vec<&str> {
    lines.iter().map(String::as_str).collect()
}

#[test]
fn each_line_becomes_a_message_and_an_acknowledgement() {
    let (directory, store) = new_store();
    let acks_file = text(&directory.path().join("acks"));
    let lines = numbered(2000);
    let arguments = ["append", &store, "-t", "T", "--segment-size", "64K", "--acks", &acks_file];
    let summary = stdout_of(&run_with_input(&arguments, joined(&lines).as_bytes()));
    let bytes: usize = lines.iter().map(String::len).sum();
    let begin = format!("2000 messages, {bytes} bytes, ");
    assert!(summary.starts_with(&begin), "{summary}");
    for part in [" messages/s", "p50 ", "p99 ", "max "] {
        assert!(summary.contains(part), "{summary}");
    }
    let acks = acks(&fs::read_to_string(&acks_file).unwrap());
    let numbers: Vec<u64> = acks.iter().map(|ack| ack.line).collect();
    assert_eq!(numbers, (1..=2000).collect::<Vec<u64>>());
    assert_acknowledged_is_stored(&store, &acks, &borrowed(&lines));
    let bodies = stdout_of(&run(&["cat", &store]));
    assert_eq!(bodies, joined(&lines));
    assert!(!Path::new(&store).join("abort").exists());
}

#[test]
fn empty_lines_are_counted_but_not_stored() {
    let (directory, store) = new_store();
    let acks_file = text(&directory.path().join("acks"));
    let arguments = ["append", &store, "-t", "T", "--segment-size", "64K", "--acks", &acks_file];
    let summary = stdout_of(&run_with_input(&arguments, b"\none\n\n\ntwo\r\nlast"));
    assert!(summary.contains("3 empty lines"), "{summary}");
    let acks = acks(&fs::read_to_string(&acks_file).unwrap());
    assert_eq!(acks.iter().map(|ack| ack.line).collect::<Vec<_>>(), [2, 5, 6]);
    assert_eq!(run(&["cat", &store]).stdout, b"one\ntwo\r\nlast\n");
}

#[test]
fn queues_are_used_in_turn() {
    let (_directory, store) = new_store();
    let arguments = ["append", &store, "-t", "T", "--queues", "3", "--segment-size", "64K"];
    stdout_of(&run_with_input(&arguments, b"a\nb\nc\n\nd\ne\n"));
    let places: Vec<_> = records(&store)
        .iter()
        .map(|r| (r["queue_id"].as_i64().unwrap(), r["queue_offset"].as_i64().unwrap()))
        .collect();
    assert_eq!(places, [(0, 0), (1, 0), (2, 0), (0, 1), (1, 1)]);
    assert_eq!(run(&["cat", &store, "-t", "T", "-q", "1"]).stdout, b"b\ne\n");
}

#[test]
fn tag_keys_and_queue_are_stored() {
    let (directory, store) = new_store();
    let input = text(&directory.path().join("input"));
    fs::write(&input, "body\n").unwrap();
    let arguments = [
        "append",
        &store,
        "-t",
        "T",
        "-q",
        "7",
        "--tag",
        "new",
        "--keys",
        "k1",
        "k2",
        "--segment-size",
        "64K",
        &input,
    ];
    stdout_of(&run(&arguments));
    let record = &records(&store)[0];
    assert_eq!(record["properties"], json!({"TAGS": "new", "KEYS": "k1 k2"}));
    assert_eq!(record["queue_id"], 7);
}

#[test]
fn several_files_are_one_input() {
    let (directory, store) = new_store();
    let (first, second) = (directory.path().join("1"), directory.path().join("2"));
    fs::write(&first, "a\nb").unwrap();
    fs::write(&second, "c\n").unwrap();
    let arguments = [
        "append",
        &store,
        "-t",
        "T",
        "--segment-size",
        "64K",
        "--acks",
        "-",
        &text(&first),
        &text(&second),
    ];
    let output = run(&arguments);
    let acks = acks(&stdout_of(&output));
    assert_eq!(acks.iter().map(|ack| ack.line).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(stderr(&output).starts_with("cairnlog: 3 messages, 3 bytes"));
    assert_eq!(run(&["cat", &store]).stdout, b"a\nb\nc\n");
}

#[test]
fn many_in_flight_from_many_threads_all_arrive_once() {
    for flush in ["sync", "async"] {
        for extra in [
            &["--inflight", "32"][..],
            &["--threads", "4"],
            &["--threads", "3", "--inflight", "16"],
        ] {
            let (directory, store) = new_store();
            let acks_file = text(&directory.path().join("acks"));
            let lines = numbered(3000);
            let mut arguments =
                vec!["append", store.as_str(), "-t", "T", "--queues", "4", "--flush", flush];
            arguments.extend(["--segment-size", "64K", "--acks", acks_file.as_str()]);
            arguments.extend(extra);
            stdout_of(&run_with_input(&arguments, joined(&lines).as_bytes()));
            let acks = acks(&fs::read_to_string(&acks_file).unwrap());
            assert_eq!(acks.len(), 3000);
            let numbers: BTreeSet<u64> = acks.iter().map(|ack| ack.line).collect();
            assert_eq!(numbers, (1..=3000).collect(), "{flush} {extra:?}");
            assert_acknowledged_is_stored(&store, &acks, &borrowed(&lines));
            stdout_of(&run(&["verify", &store]));
        }
    }
}

#[test]
fn objects_say_everything_about_a_message() {
    let (_directory, store) = new_store();
    let input = concat!(
        r#"{"topic":"A","queue_id":2,"body":"text","tags":"t","keys":["1","2"],"#,
        r#""properties":{"p":"v"},"flag":-5,"born_timestamp":1700000000000,"wait_store_ok":false}"#,
        "\n  \n",
        r#"{"body_base64":"AP8K"}"#,
        "\n",
    );
    let arguments = ["append", &store, "-t", "D", "--format", "jsonl", "--segment-size", "64K"];
    stdout_of(&run_with_input(&arguments, input.as_bytes()));
    let found = records(&store);
    assert_eq!(found.len(), 2);
    assert_eq!(found[0]["topic"], "A");
    assert_eq!(found[0]["queue_id"], 2);
    assert_eq!(found[0]["flag"], -5);
    assert_eq!(found[0]["born_timestamp"], 1_700_000_000_000_i64);
    let expected = json!({"p": "v", "TAGS": "t", "KEYS": "1 2", "WAIT": "false"});
    assert_eq!(found[0]["properties"], expected);
    assert_eq!((&found[1]["topic"], &found[1]["body_length"]), (&json!("D"), &json!(3)));
}

#[test]
fn what_cat_prints_can_be_appended_again() {
    let (_first_directory, first) = fixture_copy("v533-basic");
    let (_second_directory, second) = new_store();
    let printed = run(&["cat", &first, "--json"]);
    let arguments = ["append", &second, "--format", "jsonl", "--segment-size", "64K"];
    stdout_of(&run_with_input(&arguments, stdout_of(&printed).as_bytes()));
    let (before, after) = (records(&first), records(&second));
    assert_eq!(before.len(), after.len());
    for (before, after) in before.iter().zip(&after) {
        for field in [
            "topic",
            "queue_id",
            "queue_offset",
            "flag",
            "born_timestamp",
            "body_sha256",
            "properties",
        ] {
            assert_eq!(before[field], after[field]);
        }
    }
}

#[test]
fn a_refused_line_ends_it_and_what_came_before_stays() {
    let (directory, store) = new_store();
    let acks_file = text(&directory.path().join("acks"));
    for extra in [&[][..], &["--inflight", "8"]] {
        let mut arguments = vec!["append", store.as_str(), "-t", "T", "--format", "jsonl"];
        arguments.extend(["--segment-size", "64K", "--acks", acks_file.as_str()]);
        arguments.extend(extra);
        let input = "{\"body\":\"good\"}\n{\"body\":\"\"}\n{\"body\":\"never\"}\n";
        let output = run_with_input(&arguments, input.as_bytes());
        assert_fails(&output, 1, &["line 2"]);
        assert_eq!(acks(&fs::read_to_string(&acks_file).unwrap()).len(), 1);
    }
    assert_eq!(run(&["cat", &store]).stdout, b"good\ngood\n");
    let broken = run_with_input(
        &["append", &store, "-t", "T", "--format", "jsonl"],
        b"{\"body\":\"x\"}\nnonsense\n",
    );
    assert_fails(&broken, 1, &["line 2", "no message object"]);
}

#[test]
fn a_line_that_no_message_can_hold_is_refused() {
    let (_directory, store) = new_store();
    let mut input = vec![b'x'; 5 << 20];
    input.push(b'\n');
    let arguments = ["append", &store, "-t", "T"];
    assert_fails(&run_with_input(&arguments, &input), 1, &["line 1"]);
    assert!(records(&store).is_empty());
}

#[test]
fn a_store_in_use_is_refused_with_the_holder() {
    let (_directory, store) = new_store();
    let mut holder =
        cairnlog(["append", &store, "-t", "T", "--acks", "-", "--segment-size", "64K"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
    let mut input = holder.stdin.take().unwrap();
    input.write_all(b"one\n").unwrap();
    let mut line = String::new();
    BufReader::new(holder.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let refused = run_with_input(&["append", &store, "-t", "T"], b"two\n");
    assert_fails(&refused, 1, &[&holder.id().to_string()]);
    assert_fails(&run(&["recover", &store]), 1, &[]);
    drop(input);
    assert_eq!(holder.wait().unwrap().code(), Some(0));
    assert_eq!(run(&["cat", &store]).stdout, b"one\n");
}

#[test]
fn ctrl_c_keeps_what_was_acknowledged_and_closes_the_store() {
    for extra in
        [&[][..], &["--inflight", "16"], &["--threads", "2", "--inflight", "4"], &["--pool"]]
    {
        let (_directory, store) = new_store();
        let mut arguments = vec!["append", store.as_str(), "-t", "T", "--acks", "-"];
        arguments.extend(["--segment-size", "64K"]);
        arguments.extend(extra);
        let mut child = cairnlog(&arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        let lines = numbered(100);
        input.write_all(joined(&lines).as_bytes()).unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut found = String::new();
        for _ in 0..100 {
            output.read_line(&mut found).unwrap();
        }
        // The input is still open: only the signal can end it.
        interrupt(&child);
        let ended = child.wait_with_output().unwrap();
        assert_eq!(ended.status.code(), Some(130), "{}", stderr(&ended));
        assert!(stderr(&ended).starts_with("cairnlog: 100 messages"), "{}", stderr(&ended));
        drop(input);
        assert!(!Path::new(&store).join("abort").exists(), "not closed");
        assert_acknowledged_is_stored(&store, &acks(&found), &borrowed(&lines));
    }
}

#[test]
fn what_was_acknowledged_survives_kill_nine() {
    for extra in [
        &["--flush", "sync"][..],
        &["--flush", "sync", "--inflight", "64"],
        &["--flush", "async", "--threads", "2"],
    ] {
        let (directory, store) = new_store();
        let acks_file = directory.path().join("acks");
        let acks_name = text(&acks_file);
        let lines = numbered(200_000);
        let mut arguments = vec!["append", store.as_str(), "-t", "T", "--acks", acks_name.as_str()];
        arguments.extend(["--segment-size", "256K"]);
        arguments.extend(extra);
        let mut child =
            cairnlog(&arguments).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        let all = joined(&lines);
        let writer = std::thread::spawn(move || {
            // The other end is killed.
            let _ = input.write_all(all.as_bytes());
        });
        wait_until("some acknowledgements", || {
            fs::metadata(&acks_file).is_ok_and(|file| file.len() > 5_000)
        });
        child.kill().unwrap();
        child.wait().unwrap();
        writer.join().unwrap();
        let written = fs::read_to_string(&acks_file).unwrap();
        let complete = written.rfind('\n').map_or("", |end| &written[..=end]);
        let acknowledged = acks(complete);
        assert!(acknowledged.len() > 100);
        assert_acknowledged_is_stored(&store, &acknowledged, &borrowed(&lines));
        stdout_of(&run(&["recover", &store]));
        assert_acknowledged_is_stored(&store, &acknowledged, &borrowed(&lines));
        stdout_of(&run(&["verify", &store]));
    }
}

#[test]
fn a_reader_of_acknowledgements_that_goes_away_ends_it_quietly() {
    for extra in [&[][..], &["--inflight", "8"]] {
        let (_directory, store) = new_store();
        let mut arguments = vec!["append", store.as_str(), "-t", "T", "--acks", "-"];
        arguments.extend(["--segment-size", "64K"]);
        arguments.extend(extra);
        let mut child = cairnlog(&arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let mut input = child.stdin.take().unwrap();
        input.write_all(b"one\n").unwrap();
        // The input stays open: the tool must not wait for its end.
        let ended = child.wait_with_output().unwrap();
        drop(input);
        assert_eq!(stderr(&ended), "");
        assert_eq!(ended.status.code(), Some(0));
        assert!(!Path::new(&store).join("abort").exists(), "not closed");
    }
}

#[test]
fn options_come_from_a_broker_conf_and_the_command_line_wins() {
    let (directory, store) = new_store();
    let conf = text(&directory.path().join("broker.conf"));
    fs::write(&conf, "brokerName=b\nmappedFileSizeCommitLog=131072\nflushDiskType=SYNC_FLUSH\n")
        .unwrap();
    let arguments = ["append", &store, "-t", "T", "--conf", &conf, "--json"];
    let output = run_with_input(&arguments, b"x\n");
    let summary: Value = serde_json::from_str(&stdout_of(&output)).unwrap();
    assert_eq!((&summary["messages"], &summary["bytes"]), (&json!(1), &json!(1)));
    let size = |store: &str| {
        json_lines(&run(&["inspect", store, "files", "--json"]).stdout)[0]["size"].clone()
    };
    assert_eq!(size(&store), 131_072);
    let (_other_directory, other) = new_store();
    let arguments = ["append", &other, "-t", "T", "--conf", &conf, "--segment-size", "64K"];
    stdout_of(&run_with_input(&arguments, b"x\n"));
    assert_eq!(size(&other), 65_536);
    fs::write(&conf, "flushDiskType=SOMETIMES\n").unwrap();
    let refused = run_with_input(&["append", &store, "-t", "T", "--conf", &conf], b"x\n");
    assert_fails(&refused, 1, &["broker.conf", "flushDiskType"]);
}

#[test]
fn no_wait_is_stored_as_the_producer_s_wish() {
    let (_directory, store) = new_store();
    let arguments =
        ["append", &store, "-t", "T", "--flush", "sync", "--no-wait", "--segment-size", "64K"];
    stdout_of(&run_with_input(&arguments, b"x\n"));
    assert_eq!(records(&store)[0]["properties"], json!({"WAIT": "false"}));
}

#[test]
fn wrong_inputs_and_outputs_are_named() {
    let (directory, store) = new_store();
    let missing = text(&directory.path().join("missing"));
    let arguments = ["append", &store, "-t", "T", &missing];
    assert_fails(&run(&arguments), 1, &[&missing]);
    assert!(!Path::new(&store).exists(), "nothing was made");
    let nowhere = text(&directory.path().join("no/acks"));
    let arguments = ["append", &store, "-t", "T", "--segment-size", "64K", "--acks", &nowhere];
    assert_fails(&run_with_input(&arguments, b"x\n"), 1, &[&nowhere]);
    let arguments = ["append", &store, "-t", "a/b", "--segment-size", "64K"];
    assert_fails(&run_with_input(&arguments, b"x\n"), 1, &[]);
}
