//! `verify`: says nothing about good stores, and finds each kind of damage where it is.
#![allow(missing_docs, clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "tests")]

mod common;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use common::*;
use serde_json::Value;

/// The findings, after checking the exit status and the summary line.
fn findings(store: &str) -> Vec<Value> {
    let output = run(&["verify", store, "--json"]);
    let mut lines = json_lines(&output.stdout);
    let summary = lines.pop().unwrap();
    assert_eq!(summary["findings"], lines.len());
    let expected = i32::from(!lines.is_empty());
    assert_eq!(output.status.code(), Some(expected), "{}", stderr(&output));
    assert_eq!(stderr(&output), "");
    lines
}

fn only(store: &str) -> Value {
    let mut found = findings(store);
    assert_eq!(found.len(), 1, "{found:#?}");
    found.remove(0)
}

fn queue_file(store: &str, topic: &str, queue: &str) -> PathBuf {
    Path::new(store).join(format!("consumequeue/{topic}/{queue}/00000000000000000000"))
}

#[test]
fn good_fixtures_have_no_findings() {
    for (name, manifest) in manifests() {
        if manifest.get("damage").is_some_and(|damage| !damage.is_null()) {
            continue;
        }
        let store = fixture_store(&name);
        assert_eq!(findings(&store), Vec::<Value>::new(), "{name}");
        let output = run(&["verify", &store, "--json"]);
        let summary = json_lines(&output.stdout).pop().unwrap();
        let records = manifest["records"].as_array().unwrap();
        assert_eq!(summary["records"], records.len(), "{name}");
        assert_eq!(summary["blanks"], manifest["blanks"].as_array().unwrap().len());
        let dispatched = records.iter().filter(|r| r["dispatched"] == true).count();
        assert_eq!(summary["units"], dispatched, "{name}");
    }
}

#[test]
fn a_flipped_bit_is_found_where_it_is() {
    let found = only(&fixture_store("v533-corrupt-middle"));
    assert_eq!(found["kind"], "record");
    assert_eq!(found["offset"], 143_523);
    let file = found["file"].as_str().unwrap();
    assert!(file.ends_with("commitlog/00000000000000131072"), "{file}");
    let output = run(&["verify", &fixture_store("v533-corrupt-middle")]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.lines().count(), 2, "{text}");
    assert!(text.lines().last().unwrap().starts_with("1 findings"));
}

#[test]
fn a_torn_tail_is_found_with_what_points_to_it() {
    let found = findings(&fixture_store("v533-torn"));
    assert!(found.iter().any(|f| f["kind"] == "record" && f["offset"] == 123_517));
    assert!(found.iter().any(|f| f["kind"] == "queue_unit" && f["offset"] == 77 * 20));
}

#[test]
fn every_flipped_byte_of_a_record_is_found() {
    let (_directory, store) = new_store();
    append_lines(&store, "T", "first\nsecond\nthird\n");
    let log = Path::new(&store).join("commitlog/00000000000000000000");
    let second = records(&store)[1].clone();
    let start = second["physical_offset"].as_u64().unwrap();
    let end = start + second["total_size"].as_u64().unwrap();
    // No checksum covers these: queue id and flag, the system flag, born time and host, store
    // time and host, reconsume count and half message offset, and the topic.
    let free = [12..20, 36..84, 95..96];
    for at in start..end {
        if free.iter().any(|range| range.contains(&(at - start))) {
            continue;
        }
        flip(&log, at, 0x10);
        assert!(!findings(&store).is_empty(), "byte {}", at - start);
        flip(&log, at, 0x10);
    }
    assert!(findings(&store).is_empty());
}

#[test]
fn a_gap_in_queue_offsets_is_found() {
    let (directory, store) = new_store();
    // A CRC of the whole record would tell of it first.
    let conf = directory.path().join("body_crc_only.conf");
    fs::write(&conf, "enabledAppendPropCRC=false\n").unwrap();
    let arguments = ["append", &store, "-t", "T", "--segment-size", "64K", "--conf", &text(&conf)];
    let output = run_with_input(&arguments, b"first\nsecond\nthird\n");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let log = Path::new(&store).join("commitlog/00000000000000000000");
    let second = records(&store)[1]["physical_offset"].as_u64().unwrap();
    // Queue offset 1 becomes 5, so that 2 does not follow either.
    flip(&log, second + 27, 4);
    let found = findings(&store);
    // The unit of index 1 has lost its record, and the record has no unit 5.
    let kinds: Vec<_> = found.iter().map(|finding| finding["kind"].as_str().unwrap()).collect();
    assert_eq!(
        kinds,
        ["queue_offset", "queue_missing", "queue_offset", "queue_unit"],
        "{found:#?}"
    );
    assert_eq!(found[3]["offset"], 20);
    assert_eq!(found[0]["offset"], second);
    assert_eq!((found[0]["expected"].as_str(), found[0]["found"].as_str()), (Some("1"), Some("5")));
}

#[test]
fn a_missing_file_in_the_middle_is_found() {
    let (_directory, store) = fixture_copy("v533-basic");
    fs::remove_file(Path::new(&store).join("commitlog/00000000000000065536")).unwrap();
    let found = findings(&store);
    let text = serde_json::to_string(&found).unwrap();
    assert!(text.contains("65536"), "{text}");
}

#[test]
fn a_removed_beginning_is_no_damage() {
    let (_directory, store) = fixture_copy("v533-basic");
    fs::remove_file(Path::new(&store).join("commitlog/00000000000000000000")).unwrap();
    let found = findings(&store);
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn each_field_of_a_queue_unit_is_checked() {
    for (at, part) in [(7, "another record"), (11, "another size"), (19, "tag hash")] {
        let (_directory, store) = fixture_copy("v533-basic");
        let path = queue_file(&store, "OrderTopic", "0");
        flip(&path, 40 + at, 1);
        let found = only(&store);
        assert_eq!(found["kind"], "queue_unit");
        assert_eq!(found["offset"], 40);
        assert_eq!(found["file"].as_str().unwrap(), text(&path));
        assert!(found["what"].as_str().unwrap().contains(part), "{found}");
    }
}

#[test]
fn units_without_records_and_records_without_units_are_found() {
    let (_directory, store) = fixture_copy("v533-basic");
    let path = queue_file(&store, "pay-events", "1");
    let mut bytes = fs::read(&path).unwrap();
    // One past the last of 16 units.
    let last: Vec<u8> = bytes[15 * 20..16 * 20].to_vec();
    bytes[16 * 20..17 * 20].copy_from_slice(&last);
    fs::write(&path, &bytes).unwrap();
    let found = only(&store);
    assert_eq!(found["kind"], "queue_unit");
    assert_eq!(found["offset"], 16 * 20);
    bytes[15 * 20..17 * 20].fill(0);
    fs::write(&path, &bytes).unwrap();
    assert_eq!(only(&store)["kind"], "queue_missing");
    // Queues may lag behind in a store that was not closed.
    fs::write(Path::new(&store).join("abort"), "1").unwrap();
    assert!(findings(&store).is_empty());
}

#[test]
fn a_queue_that_lags_lacks_only_its_last_units() {
    let (_directory, store) = fixture_copy("v533-basic");
    let path = queue_file(&store, "pay-events", "1");
    let mut bytes = fs::read(&path).unwrap();
    bytes[5 * 20..6 * 20].fill(0);
    fs::write(&path, &bytes).unwrap();
    fs::write(Path::new(&store).join("abort"), "1").unwrap();
    let found = only(&store);
    assert_eq!(found["kind"], "queue_missing");
    assert!(found["what"].as_str().unwrap().contains("queue 1 offset 5"), "{found}");
}

#[test]
fn a_unit_of_another_queue_s_record_is_found() {
    let (_directory, store) = fixture_copy("v533-basic");
    let path = queue_file(&store, "pay-events", "1");
    let other = fs::read(queue_file(&store, "OrderTopic", "0")).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes[16 * 20..17 * 20].copy_from_slice(&other[..20]);
    fs::write(&path, &bytes).unwrap();
    // It belongs to no message, in a store that is in use, too.
    for _ in 0..2 {
        let found = only(&store);
        assert_eq!(
            (found["kind"].as_str(), found["offset"].as_u64()),
            (Some("queue_unit"), Some(320))
        );
        fs::write(Path::new(&store).join("abort"), "1").unwrap();
    }
}

#[test]
fn state_files_are_checked() {
    let (_directory, store) = fixture_copy("v533-basic");
    let config = Path::new(&store).join("config");
    fs::create_dir(&config).unwrap();
    let offsets = config.join("consumerOffset.json");
    // 16 messages; the second group is at its end.
    fs::write(&offsets, r#"{"offsetTable":{"pay-events@g":{1:17},"pay-events@h":{1:16}}}"#)
        .unwrap();
    let found = only(&store);
    assert_eq!((&found["kind"], &found["found"]), (&"group_offset".into(), &"17".into()));
    assert!(found["what"].as_str().unwrap().contains("group g "), "{found}");
    fs::write(&offsets, r#"{"offsetTable":{"never-was@g":{0:1},"never-was@h":{0:0}}}"#).unwrap();
    assert_eq!(only(&store)["expected"], "at most 0");
    fs::write(&offsets, "{nonsense").unwrap();
    assert_eq!(only(&store)["kind"], "state_file");
    fs::remove_file(&offsets).unwrap();
    let topics = config.join("topics.json");
    let topic = |perm: i32, read: i32| {
        let fields = format!(r#""topicName":"T","perm":{perm},"readQueueNums":{read}"#);
        format!(r#"{{"topicConfigTable":{{"T":{{{fields},"writeQueueNums":4}}}}}}"#)
    };
    for (content, findings_expected) in [(topic(6, 4), 0), (topic(99, 4), 1), (topic(6, -1), 1)] {
        fs::write(&topics, &content).unwrap();
        let found = findings(&store);
        assert_eq!(found.len(), findings_expected, "{content} {found:#?}");
        assert!(found.iter().all(|finding| finding["kind"] == "topic"));
    }
}

#[test]
fn a_missing_queue_is_found() {
    let (_directory, store) = fixture_copy("v533-basic");
    fs::remove_dir_all(Path::new(&store).join("consumequeue/pay-events/1")).unwrap();
    let found = findings(&store);
    assert_eq!(found.len(), 16);
    assert!(found.iter().all(|f| f["kind"] == "queue_missing"));
    fs::remove_dir_all(Path::new(&store).join("consumequeue")).unwrap();
    assert!(findings(&store).is_empty(), "all queues are made from the log");
}

fn first_index_file(store: &str) -> PathBuf {
    let mut files: Vec<PathBuf> = fs::read_dir(Path::new(store).join("index"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files.remove(0)
}

#[test]
fn each_part_of_the_index_is_checked() {
    let entry = |number: u64| 40 + 4 * 100 + 20 * number;
    // Hash, offset and chain of an entry, the count of used slots.
    for (at, kind) in [
        (entry(5) + 3, "index_entry"),
        (entry(5) + 11, "index_entry"),
        (entry(200) + 19, "index_entry"),
        (35, "index_file"),
    ] {
        let (_directory, store) = fixture_copy("v533-basic");
        flip(&first_index_file(&store), at, 1);
        let arguments =
            ["verify", &store, "--json", "--index-slots", "100", "--index-items", "400"];
        let output = run(&arguments);
        assert_eq!(output.status.code(), Some(1), "{at}");
        let found = json_lines(&output.stdout);
        assert!(found.iter().any(|f| f["kind"] == kind), "{at} {found:#?}");
    }
}

#[test]
fn a_slot_that_names_an_older_entry_is_found() {
    let (_directory, store) = fixture_copy("v533-basic");
    let path = first_index_file(&store);
    let bytes = fs::read(&path).unwrap();
    let used = (0..100).find(|slot| bytes[40 + 4 * slot..44 + 4 * slot] != [0; 4]).unwrap();
    flip(&path, (43 + 4 * used) as u64, 1);
    let arguments = ["verify", &store, "--json", "--index-slots", "100", "--index-items", "400"];
    let found = json_lines(&run(&arguments).stdout);
    assert_eq!(found[0]["kind"], "index_slot");
    assert_eq!(found[0]["offset"], 40 + 4 * used);
}

#[test]
fn keys_missing_from_the_index_are_found() {
    let (_directory, store) = fixture_copy("v533-basic");
    // The newest of two files: the log goes on behind the first one's last entry.
    let mut files: Vec<PathBuf> = fs::read_dir(Path::new(&store).join("index"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert_eq!(files.len(), 2);
    fs::remove_file(&files[1]).unwrap();
    let found = findings(&store);
    assert!(found.iter().all(|f| f["kind"] == "index_missing"));
    assert!(!found.is_empty());
}

#[test]
fn a_checkpoint_from_the_future_is_found() {
    let (_directory, store) = fixture_copy("v533-basic");
    let path = Path::new(&store).join("checkpoint");
    let mut bytes = fs::read(&path).unwrap();
    let time = i64::from_be_bytes(bytes[0..8].try_into().unwrap());
    bytes[0..8].copy_from_slice(&(time + 3_600_000).to_be_bytes());
    fs::write(&path, bytes).unwrap();
    let found = only(&store);
    assert_eq!(found["kind"], "checkpoint");
    assert!(found["what"].as_str().unwrap().contains("physic_msg_timestamp"));
}

#[test]
fn a_blank_of_the_wrong_size_is_found() {
    let (_directory, store) = fixture_copy("v533-basic");
    let log = Path::new(&store).join("commitlog/00000000000000000000");
    flip(&log, 65_357 + 3, 1);
    let found = findings(&store);
    assert!(found.iter().any(|f| f["offset"] == 65_357), "{found:#?}");
}

#[test]
fn a_store_that_is_being_written_has_no_findings() {
    let (_directory, store) = new_store();
    let arguments = ["append", &store, "-t", "T", "--segment-size", "4M"];
    stdout_of(&run_with_input(&arguments, b"first\n"));
    let mut writer = cairnlog(["append", &store, "-t", "T", "--queues", "4", "--keys", "a", "b"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut input = writer.stdin.take().unwrap();
    let feeder = std::thread::spawn(move || {
        // Small pieces, so that the end of the log moves all the time.
        let line = format!("{}\n", "x".repeat(200));
        for number in 0..60_000 {
            input.write_all(line.as_bytes()).unwrap();
            if number % 10 == 0 {
                std::thread::sleep(std::time::Duration::from_micros(20));
            }
        }
    });
    let mut seen = 0;
    while !feeder.is_finished() {
        assert_eq!(findings(&store), Vec::<Value>::new());
        let now = records(&store).len();
        assert!(now >= seen);
        seen = now;
    }
    feeder.join().unwrap();
    assert_eq!(writer.wait().unwrap().code(), Some(0));
    assert_eq!(records(&store).len(), 60_001);
}

#[test]
fn foreign_files_are_found() {
    let (_directory, store) = fixture_copy("v533-basic");
    fs::write(Path::new(&store).join("consumequeue/OrderTopic/0/notes"), "x").unwrap();
    let found = only(&store);
    assert_eq!(found["kind"], "foreign_file");
    assert!(found["file"].as_str().unwrap().ends_with("notes"));
    let (_directory, store) = fixture_copy("v533-basic");
    fs::write(Path::new(&store).join("commitlog/notes"), "x").unwrap();
    let found = only(&store);
    assert!(found["what"].as_str().unwrap().contains("notes"), "{found}");
}
