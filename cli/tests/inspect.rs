//! `inspect`: what stock RocketMQ wrote is shown as it says itself, and nothing is changed.
#![allow(missing_docs, clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "tests")]

mod common;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::Stdio;

use common::*;
use serde_json::{Value, json};

/// The fields of a manifest's record that the log does not hold.
const NOT_IN_THE_LOG: [&str; 3] = ["put_status", "dispatched", "tags_code"];

fn expected_records(manifest: &Value) -> Vec<Value> {
    let mut records = manifest["records"].as_array().unwrap().clone();
    for record in &mut records {
        for field in NOT_IN_THE_LOG {
            record.as_object_mut().unwrap().remove(field);
        }
    }
    records
}

fn expected_lines(manifest: &Value) -> Vec<Value> {
    let mut lines = expected_records(manifest);
    for line in &mut lines {
        // RocketMQ shows the record's CRC to consumers.
        if let Some(properties) = line["properties"].as_object_mut() {
            properties.remove("__CRC32#");
        }
    }
    for blank in manifest["blanks"].as_array().unwrap() {
        let mut blank = blank.clone();
        blank["blank"] = json!(true);
        lines.push(blank);
    }
    lines.sort_by_key(|line| line["physical_offset"].as_u64().unwrap());
    lines
}

#[test]
fn records_of_every_fixture_equal_its_manifest() {
    for (name, manifest) in manifests() {
        let output = run(&["inspect", &fixture_store(&name), "records", "--json"]);
        let mut expected = expected_lines(&manifest);
        match name.as_str() {
            "v533-corrupt-middle" => {
                let damaged = &manifest["damage"]["record_physical_offset"];
                assert_fails(&output, 1, &["commitlog", &damaged.to_string()]);
                expected.retain(|line| &line["physical_offset"] != damaged);
            }
            "v533-torn" => {
                let torn = &manifest["damage"]["record_before_damage"]["physical_offset"];
                assert_fails(&output, 1, &["commitlog", &torn.to_string()]);
            }
            _ => {
                assert_eq!(output.status.code(), Some(0), "{name}: {}", stderr(&output));
                assert_eq!(stderr(&output), "");
            }
        }
        let found = json_lines(&output.stdout);
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!(found, expected, "{name}");
        }
        assert_eq!(found.len(), expected.len(), "{name}");
    }
}

#[test]
fn records_have_every_field_in_the_documented_order() {
    let output = run(&["inspect", &fixture_store("v533-basic"), "records", "--json"]);
    let text = stdout_of(&output);
    let fields = [
        "physical_offset",
        "total_size",
        "magic",
        "queue_id",
        "flag",
        "queue_offset",
        "sys_flag",
        "born_timestamp",
        "born_host",
        "store_timestamp",
        "store_host",
        "reconsume_times",
        "prepared_transaction_offset",
        "body_length",
        "body_crc32",
        "body_sha256",
        "topic",
        "properties",
        "properties_raw_hex",
    ];
    let first = text.lines().next().unwrap();
    let positions: Vec<usize> =
        fields.iter().map(|field| first.find(&format!("\"{field}\":")).unwrap()).collect();
    assert!(positions.is_sorted());
    let object: Value = serde_json::from_str(first).unwrap();
    assert_eq!(object.as_object().unwrap().len(), fields.len());
}

#[test]
fn queues_of_every_fixture_equal_its_manifest() {
    for (name, manifest) in manifests() {
        let store = fixture_store(&name);
        let output = run(&["inspect", &store, "queues", "--json"]);
        let found: Vec<Value> = json_lines(stdout_of(&output).as_bytes())
            .into_iter()
            .map(|queue| {
                json!({
                    "topic": queue["topic"], "queue_id": queue["queue_id"],
                    "min_offset": queue["min_offset"], "max_offset": queue["max_offset"],
                })
            })
            .collect();
        let mut expected = manifest["queues"].as_array().unwrap().clone();
        expected.retain(|queue| queue["max_offset"] != 0);
        let key = |queue: &Value| (queue["topic"].to_string(), queue["queue_id"].as_i64());
        expected.sort_by_key(key);
        let mut found = found;
        found.retain(|queue| queue["max_offset"] != 0);
        found.sort_by_key(key);
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn units_of_every_fixture_lead_to_the_records() {
    for (name, manifest) in manifests() {
        let store = fixture_store(&name);
        let output = run(&["inspect", &store, "queues", "--entries", "--json"]);
        let mut units = BTreeMap::new();
        for unit in json_lines(stdout_of(&output).as_bytes()) {
            let key = [&unit["topic"], &unit["queue_id"], &unit["queue_offset"]];
            units.insert(json!(key).to_string(), unit);
        }
        let mut dispatched = 0;
        for record in manifest["records"].as_array().unwrap() {
            if record["dispatched"] != true {
                continue;
            }
            dispatched += 1;
            let key = [&record["topic"], &record["queue_id"], &record["queue_offset"]];
            let unit = &units[&json!(key).to_string()];
            assert_eq!(unit["physical_offset"], record["physical_offset"], "{name}");
            assert_eq!(unit["size"], record["total_size"], "{name}");
            assert_eq!(unit["tags_code"], record["tags_code"], "{name}");
        }
        // The unit of the destroyed record is still there.
        let torn = usize::from(name == "v533-torn");
        assert_eq!(units.len(), dispatched + torn, "{name}");
    }
}

/// What the fixtures' notes say about the index: first `UNIQ_KEY`, then each part of `KEYS`,
/// of every record that is not ROLLBACK.
fn expected_index(manifest: &Value) -> Vec<(i64, i64)> {
    let mut entries = Vec::new();
    for record in manifest["records"].as_array().unwrap() {
        if record["sys_flag"].as_i64().unwrap() & 0xC == 0xC {
            continue;
        }
        let topic = record["topic"].as_str().unwrap();
        let properties = &record["properties"];
        let unique = properties["UNIQ_KEY"].as_str();
        let keys = properties["KEYS"].as_str().unwrap_or_default();
        let keys = keys.split(' ').filter(|key| !key.is_empty());
        for key in unique.into_iter().chain(keys) {
            let hash = format!("{topic}#{key}")
                .encode_utf16()
                .fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
            let hash = if hash == i32::MIN { 0 } else { hash.abs() };
            entries.push((i64::from(hash), record["physical_offset"].as_i64().unwrap()));
        }
    }
    entries
}

#[test]
fn the_index_of_every_fixture_holds_every_key() {
    for (name, manifest) in manifests() {
        let store = fixture_store(&name);
        let found_out = run(&["inspect", &store, "index", "--entries", "--json"]);
        let mut arguments = vec!["inspect", store.as_str(), "index", "--entries", "--json"];
        arguments.extend(["--index-slots", "100", "--index-items", "400"]);
        assert_eq!(stdout_of(&found_out), stdout_of(&run(&arguments)), "{name}");
        let mut found: Vec<(i64, i64)> = json_lines(&found_out.stdout)
            .iter()
            .map(|entry| {
                let hash = entry["key_hash"].as_i64().unwrap();
                (hash, entry["physical_offset"].as_i64().unwrap())
            })
            .collect();
        if name == "v533-torn" {
            let torn = &manifest["damage"]["record_before_damage"]["physical_offset"];
            found.retain(|(_, offset)| json!(offset) != *torn);
        }
        assert_eq!(found, expected_index(&manifest), "{name}");
        for file in json_lines(stdout_of(&run(&["inspect", &store, "index", "--json"])).as_bytes())
        {
            if file["entries"] != 0 {
                assert_eq!((&file["slots"], &file["items"]), (&json!(100), &json!(400)));
            }
        }
    }
}

#[test]
fn files_are_those_of_the_manifest() {
    let manifest = &manifests()["v533-basic"];
    let store = fixture_store("v533-basic");
    let files = json_lines(stdout_of(&run(&["inspect", &store, "files", "--json"])).as_bytes());
    assert_eq!(files.len(), 4);
    let mut records = 0;
    for (number, file) in files.iter().enumerate() {
        assert_eq!(file["start_offset"], 65_536 * number);
        assert_eq!(file["size"], 65_536);
        assert!(file["file"].as_str().unwrap().ends_with(&format!("{:020}", 65_536 * number)));
        records += file["records"].as_u64().unwrap();
    }
    assert_eq!(records, 300);
    let end = manifest["max_phy_offset"].as_u64().unwrap();
    assert_eq!(files[3]["used"], end - 3 * 65_536);
    assert_eq!(files[0]["used"], 65_536);
}

#[test]
fn topics_count_what_the_log_holds() {
    let manifest = &manifests()["v533-basic"];
    let store = fixture_store("v533-basic");
    let topics = json_lines(stdout_of(&run(&["inspect", &store, "topics", "--json"])).as_bytes());
    for queue in manifest["queues"].as_array().unwrap() {
        let found = topics
            .iter()
            .find(|topic| {
                topic["topic"] == queue["topic"] && topic["queue_id"] == queue["queue_id"]
            })
            .unwrap();
        assert_eq!(found["records"], queue["max_offset"]);
        let max = queue["max_offset"].as_u64().unwrap();
        assert_eq!(found["max_queue_offset"], max - 1);
    }
}

#[test]
fn the_checkpoint_is_shown_as_stored() {
    let store = fixture_store("v533-running");
    let bytes = std::fs::read(Path::new(&store).join("checkpoint")).unwrap();
    let field = |at: usize| i64::from_be_bytes(bytes[at..at + 8].try_into().unwrap());
    let shown =
        json_lines(stdout_of(&run(&["inspect", &store, "checkpoint", "--json"])).as_bytes());
    assert_eq!(shown.len(), 1);
    let names = [
        "physic_msg_timestamp",
        "logics_msg_timestamp",
        "index_msg_timestamp",
        "master_flushed_offset",
        "confirm_phy_offset",
    ];
    for (number, name) in names.iter().enumerate() {
        assert_eq!(shown[0][name], field(8 * number), "{name}");
    }
    assert_ne!(field(0), 0);
}

#[test]
fn text_has_a_line_for_each_thing() {
    let store = fixture_store("v533-basic");
    let lines = |view: &str| stdout_of(&run(&["inspect", &store, view])).lines().count();
    assert_eq!(lines("records"), 1 + 300 + 3);
    assert_eq!(lines("files"), 1 + 4);
    assert_eq!(lines("queues"), 1 + 6);
    assert_eq!(lines("topics"), 1 + 6);
    assert_eq!(lines("checkpoint"), 5);
    assert!(lines("index") > 1);
}

#[test]
fn no_view_changes_anything() {
    for name in ["v533-running", "v498-basic", "v533-corrupt-middle"] {
        let (_directory, store) = fixture_copy(name);
        let before = snapshot(Path::new(&store));
        for view in ["records", "files", "queues", "index", "checkpoint", "topics"] {
            run(&["inspect", &store, view]);
        }
        run(&["verify", &store]);
        run(&["cat", &store]);
        run(&["recover", &store, "--dry-run"]);
        assert_eq!(snapshot(Path::new(&store)), before, "{name}");
    }
}

#[test]
fn a_store_in_use_is_shown_and_stays_usable() {
    let (_directory, store) = new_store();
    let mut child = cairnlog(["append", &store, "-t", "T", "--acks", "-", "--segment-size", "64K"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut acks = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    for body in ["one", "two"] {
        writeln!(input, "{body}").unwrap();
        acks.read_line(&mut line).unwrap();
        let found = records(&store);
        assert_eq!(found.last().unwrap()["body_length"], body.len());
    }
    assert_eq!(line, "1 0 0 0\n2 115 0 1\n");
    drop(input);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn wrong_directories_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let missing = text(&directory.path().join("missing"));
    let file = text(&directory.path().join("file"));
    std::fs::write(&file, "x").unwrap();
    let empty = text(directory.path());
    for path in [&missing, &file, &empty] {
        for command in ["records", "files", "queues", "index", "checkpoint", "topics"] {
            assert_fails(&run(&["inspect", path, command, "--json"]), 1, &[path]);
        }
        assert_fails(&run(&["cat", path]), 1, &[path]);
        assert_fails(&run(&["verify", path]), 1, &[path]);
        assert_fails(&run(&["recover", path]), 1, &[path]);
        assert_fails(&run(&["recover", path, "--dry-run"]), 1, &[path]);
    }
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn a_closed_pipe_ends_it_quietly() {
    let (_directory, store) = new_store();
    let lines = "a line of some length that fills the pipe\n".repeat(20_000);
    let arguments = ["append", &store, "-t", "T", "--inflight", "64"];
    stdout_of(&run_with_input(&arguments, lines.as_bytes()));
    for command in [
        vec!["inspect", &store, "records", "--json"],
        vec!["inspect", &store, "records"],
        vec!["cat", &store],
    ] {
        let mut child =
            cairnlog(command).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut output = child.stdout.take().unwrap();
        output.read_exact(&mut [0; 100]).unwrap();
        drop(output);
        let ended = child.wait_with_output().unwrap();
        assert_eq!(stderr(&ended), "");
        assert_eq!(ended.status.code(), Some(0));
    }
}

#[test]
fn wrong_usage_is_status_two_and_one_line() {
    for arguments in [
        &["inspect"][..],
        &["inspect", "x", "nothing"],
        &["nothing"],
        &[],
        &["append", "x"],
        &["append", "x", "-t", "T", "-q", "-1"],
        &["append", "x", "-t", "T", "-q", "1", "--queues", "2"],
        &["append", "x", "-t", "T", "--flush", "maybe"],
        &["append", "x", "-t", "T", "--inflight", "0"],
        &["append", "x", "-t", "T", "--segment-size", "100"],
        &["append", "x", "-t", "T", "--acks", "-", "--json"],
        &["cat", "x", "-q", "1"],
        &["inspect", "x", "index", "--index-slots", "5"],
        &["bench", "--seconds", "0"],
    ] {
        assert_fails(&run(arguments), 2, &[]);
    }
    assert!(!Path::new("x").exists());
    let help = stdout_of(&run(&["append", "--help"]));
    for option in [
        "--topic",
        "--queue",
        "--queues",
        "--tag",
        "--keys",
        "--flush",
        "--pool",
        "--inflight",
        "--threads",
        "--no-wait",
        "--segment-size",
        "--format",
        "--acks",
        "--conf",
    ] {
        assert!(help.contains(option), "{option}");
    }
}
