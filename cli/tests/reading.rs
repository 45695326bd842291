//! Reading by queue, key and id, and the views of topics, groups and delays.
#![allow(missing_docs, clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "tests")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::Stdio;

use common::*;
use serde_json::{Value, json};

/// Sixteen messages in two queues: tags in turn, prices ascending, keys shared by two.
fn shop() -> (tempfile::TempDir, String) {
    let (directory, store) = new_store();
    let mut input = String::new();
    for n in 0..16 {
        let tag = ["new", "paid", "sent"][n % 3];
        let object = json!({
            "topic": "orders", "queue_id": n % 2, "body": format!("m{n}"), "tags": tag,
            "keys": [format!("k{}", n / 2), "all"], "properties": {"price": n.to_string()},
        });
        input.push_str(&format!("{object}\n"));
    }
    let arguments = ["append", &store, "--format", "jsonl", "--segment-size", "64K"];
    stdout_of(&run_with_input(&arguments, input.as_bytes()));
    (directory, store)
}

fn lines(arguments: &[&str]) -> Vec<String> {
    stdout_of(&run(arguments)).lines().map(str::to_owned).collect()
}

fn objects(arguments: &[&str]) -> Vec<Value> {
    json_lines(stdout_of(&run(arguments)).as_bytes())
}

fn state(store: &str, name: &str, content: &str) {
    let config = Path::new(store).join("config");
    fs::create_dir_all(&config).unwrap();
    fs::write(config.join(name), content).unwrap();
}

fn is_whole(manifest: &Value) -> bool {
    manifest.get("damage").is_none_or(Value::is_null)
}

#[test]
fn every_queue_of_every_fixture_is_read_as_its_manifest_says() {
    for (name, manifest) in manifests() {
        if !is_whole(&manifest) {
            continue;
        }
        let store = fixture_store(&name);
        let before = snapshot(Path::new(&store));
        for queue in manifest["queues"].as_array().unwrap() {
            let expected: Vec<_> = manifest["records"]
                .as_array()
                .unwrap()
                .iter()
                .filter(|record| {
                    record["topic"] == queue["topic"]
                        && record["queue_id"] == queue["queue_id"]
                        && record["dispatched"] == true
                })
                .map(|record| (record["queue_offset"].clone(), record["physical_offset"].clone()))
                .collect();
            let (topic, id) = (queue["topic"].as_str().unwrap(), queue["queue_id"].to_string());
            let found: Vec<_> = objects(&["cat", &store, "-t", topic, "-q", &id, "--json"])
                .into_iter()
                .map(|line| (line["queue_offset"].clone(), line["physical_offset"].clone()))
                .collect();
            assert_eq!(found, expected, "{name} {queue}");
        }
        assert_eq!(snapshot(Path::new(&store)), before, "{name}");
    }
}

#[test]
fn a_queue_is_read_through_its_units() {
    let (_directory, store) = shop();
    let cat = ["cat", &store, "-t", "orders", "-q", "1"];
    assert_eq!(lines(&cat), ["m1", "m3", "m5", "m7", "m9", "m11", "m13", "m15"]);
    let file = Path::new(&store).join("consumequeue/orders/1/00000000000000000000");
    flip(&file, 2 * 20 + 11, 1);
    let output = run(&cat);
    assert_fails(&output, 1, &["orders queue 1", "offset 2"]);
    assert_eq!(output.stdout, b"m1\nm3\nm7\nm9\nm11\nm13\nm15\n");
    // Without its files a queue is read from the log that they are made from.
    fs::remove_dir_all(Path::new(&store).join("consumequeue")).unwrap();
    assert_eq!(lines(&cat).len(), 8);
}

#[test]
fn offsets_times_tags_and_conditions_choose_messages() {
    let (_directory, store) = shop();
    let cat =
        |extra: &[&str]| lines(&[&["cat", &store, "-t", "orders", "-q", "0"], extra].concat());
    assert_eq!(cat(&["--from-queue-offset", "6"]), ["m12", "m14"]);
    assert_eq!(cat(&["--from-queue-offset", "6", "--max", "1"]), ["m12"]);
    assert!(cat(&["--from-queue-offset", "8"]).is_empty());
    assert_eq!(cat(&["--tag", "new"]), ["m0", "m6", "m12"]);
    assert_eq!(cat(&["--tag", "new || sent", "--max", "3"]), ["m0", "m2", "m6"]);
    assert_eq!(cat(&["--sql", "price > 9 AND TAGS <> 'new'"]), ["m10", "m14"]);
    let log_order = ["cat", &store, "--sql", "price BETWEEN 3 AND 4"];
    assert_eq!(lines(&log_order), ["m3", "m4"]);
    std::thread::sleep(std::time::Duration::from_millis(5));
    append_lines(&store, "orders", "late\n");
    let time = records(&store).last().unwrap()["store_timestamp"].as_i64().unwrap();
    assert_eq!(cat(&["--from-time", &time.to_string()]), ["late"]);
    assert!(cat(&["--from-time", &(time + 1).to_string()]).is_empty());
    assert_eq!(cat(&["--from-time", "0"]).len(), 9);
}

#[test]
fn malformed_filters_are_wrong_usage() {
    let (_directory, store) = shop();
    for (extra, part) in [
        (&["--sql", "price >"][..], "malformed"),
        (&["--tag", "||"], "no tag"),
        (&["--tag", "a", "--sql", "b = 1"], "cannot be used with"),
    ] {
        for place in [&["cat", store.as_str()][..], &["cat", &store, "-t", "orders", "-q", "0"]] {
            assert_fails(&run(&[place, extra].concat()), 2, &["wrong usage", part]);
        }
    }
    for arguments in [
        &["query", store.as_str(), "-t", "orders"][..],
        &["query", &store, "--key", "k"],
        &["query", &store, "-t", "orders", "--key", "k", "--id", "x"],
        &["query", &store, "-t", "orders", "--key", "k", "--max", "0"],
    ] {
        assert_fails(&run(arguments), 2, &["wrong usage"]);
    }
}

#[test]
fn a_queue_is_followed_while_it_is_written() {
    let (_directory, store) = shop();
    let arguments = ["cat", &store, "-t", "orders", "-q", "1", "--follow", "--tag", "paid"];
    let mut child =
        cairnlog(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut next = || {
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        line
    };
    assert_eq!([next(), next(), next()], ["m1\n", "m7\n", "m13\n"]);
    let mut writer = cairnlog(["append", &store, "-t", "orders", "-q", "1", "--tag", "paid"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = writer.stdin.take().unwrap();
    // Past the end of the first log file.
    for number in 0..150 {
        let line = format!("{number} {}\n", "x".repeat(1000));
        input.write_all(line.as_bytes()).unwrap();
        assert_eq!(next(), line);
    }
    drop(input);
    writer.wait().unwrap();
    interrupt(&child);
    let ended = child.wait_with_output().unwrap();
    assert_eq!(stderr(&ended), "");
    assert_eq!(ended.status.code(), Some(130));
}

#[test]
fn keys_find_their_messages() {
    let (_directory, store) = shop();
    let query = |extra: &[&str]| lines(&[&["query", &store, "-t", "orders"], extra].concat());
    assert_eq!(query(&["--key", "k3"]), ["m6", "m7"]);
    assert_eq!(query(&["--key", "all"]).len(), 16);
    assert_eq!(query(&["--key", "all", "--max", "2"]), ["m14", "m15"]);
    assert!(query(&["--key", "k"]).is_empty());
    assert!(lines(&["query", &store, "-t", "other", "--key", "k3"]).is_empty());
    let all = records(&store);
    let time = |at: usize| all[at]["store_timestamp"].as_i64().unwrap();
    let (first, last) = (time(0).to_string(), time(15).to_string());
    assert_eq!(query(&["--key", "all", "--begin", &first, "--end", &last]).len(), 16);
    let (after, before) = ((time(15) + 1).to_string(), (time(0) - 1).to_string());
    assert!(query(&["--key", "all", "--begin", &after]).is_empty());
    assert!(query(&["--key", "all", "--end", &before]).is_empty());
}

#[test]
fn keys_that_share_a_hash_are_told_apart() {
    let (_directory, store) = new_store();
    // Java has the same hash for both.
    let input = "{\"body\":\"1\",\"keys\":[\"Aa\"]}\n{\"body\":\"2\",\"keys\":[\"BB\"]}\n";
    let arguments = ["append", &store, "-t", "T", "--format", "jsonl", "--segment-size", "64K"];
    stdout_of(&run_with_input(&arguments, input.as_bytes()));
    assert_eq!(lines(&["query", &store, "-t", "T", "--key", "Aa"]), ["1"]);
    assert_eq!(lines(&["query", &store, "-t", "T", "--key", "BB", "--max", "1"]), ["2"]);
    assert_eq!(lines(&["query", &store, "-t", "T", "--key", "Aa", "--max", "1"]), ["1"]);
}

#[test]
fn keys_and_ids_of_fixtures_lead_to_the_manifest_s_records() {
    for name in ["v533-basic", "v498-basic"] {
        let store = fixture_store(name);
        let manifest = &manifests()[name];
        let mut expected: BTreeMap<(String, String), BTreeSet<u64>> = BTreeMap::new();
        for record in manifest["records"].as_array().unwrap() {
            let topic = record["topic"].as_str().unwrap();
            let offset = record["physical_offset"].as_u64().unwrap();
            let property = |name: &str| record["properties"][name].as_str().unwrap_or_default();
            for key in property("KEYS").split(' ').chain([property("UNIQ_KEY")]) {
                if !key.is_empty() {
                    let key = (topic.to_owned(), key.to_owned());
                    expected.entry(key).or_default().insert(offset);
                }
            }
        }
        assert!(expected.len() > 100, "{name}");
        for ((topic, key), offsets) in expected.iter().step_by(expected.len() / 60) {
            let found: Vec<u64> =
                objects(&["query", &store, "-t", topic, "--key", key, "--max", "999", "--json"])
                    .iter()
                    .map(|message| message["physical_offset"].as_u64().unwrap())
                    .collect();
            assert_eq!(found, offsets.iter().copied().collect::<Vec<_>>(), "{name} {topic} {key}");
        }
        let record = &manifest["records"][7];
        // RocketMQ's id: the store's address, its port, the physical offset.
        let id = format!("0A00000100002A9F{:016X}", record["physical_offset"].as_u64().unwrap());
        assert_eq!(record["store_host"], "10.0.0.1:10911");
        let found = objects(&["query", &store, "--id", &id, "--json"]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0]["physical_offset"], record["physical_offset"]);
        let elsewhere = ["query", &store, "-t", "elsewhere", "--id", &id];
        assert_fails(&run(&elsewhere), 1, &["no message has id"]);
    }
    let store = fixture_store("v533-basic");
    let id = "DCC365561F576F636F9702372CD12E0E";
    let found = objects(&["query", &store, "--id", id, "--json"]);
    assert_eq!(found[0]["properties"]["UNIQ_KEY"], id);
    assert_fails(&run(&["query", &store, "--id", "nonsense"]), 1, &["nonsense"]);
}

#[test]
fn topics_are_those_of_the_manifest_with_their_settings() {
    for (name, manifest) in manifests() {
        if !is_whole(&manifest) {
            continue;
        }
        let store = fixture_store(&name);
        let mut expected: Vec<_> = manifest["queues"].as_array().unwrap().iter().collect();
        expected.retain(|queue| queue["max_offset"] != 0);
        let mut found = objects(&["topics", &store, "--json"]);
        found.retain(|queue| queue["next_offset"] != 0);
        assert_eq!(found.len(), expected.len(), "{name}");
        for queue in &found {
            let same = expected.iter().find(|same| {
                (&same["topic"], &same["queue_id"]) == (&queue["topic"], &queue["queue_id"])
            });
            assert_eq!(queue["first_offset"], same.unwrap()["min_offset"], "{name} {queue}");
            assert_eq!(queue["next_offset"], same.unwrap()["max_offset"], "{name} {queue}");
            assert_eq!(queue["perm"], Value::Null);
        }
    }
    let (_directory, store) = shop();
    state(
        &store,
        "topics.json",
        &fs::read_to_string(fixtures().join("state/v533/topics.json")).unwrap(),
    );
    let found = objects(&["topics", &store, "--json"]);
    let orders: Vec<_> = found.iter().filter(|queue| queue["topic"] == "orders").collect();
    assert_eq!(orders.len(), 2);
    let last = records(&store)[15]["store_timestamp"].clone();
    assert_eq!(
        *orders[1],
        json!({
            "topic": "orders", "queue_id": 1, "first_offset": 0, "next_offset": 8, "messages": 8,
            "last_store_timestamp": last, "perm": 6, "read_queues": 4, "write_queues": 4,
        })
    );
    // A topic with settings and no message yet.
    let compacted = found.iter().find(|queue| queue["topic"] == "compacted").unwrap();
    assert_eq!((&compacted["queue_id"], &compacted["read_queues"]), (&Value::Null, &json!(2)));
    let text = lines(&["topics", &store]);
    assert!(text.contains(&"compacted - - - 0 - 6 2 2".to_owned()), "{text:#?}");
    assert!(text.contains(&format!("orders 1 0 8 8 {last} 6 4 4")), "{text:#?}");
}

#[test]
fn groups_show_what_they_have_left() {
    let (_directory, store) = shop();
    let table = r#"{"offsetTable":{"orders@billing":{0:7,1:3},"orders@audit":{"1":8},"#;
    state(&store, "consumerOffset.json", &format!("{table}\"gone@audit\":{{0:5}}}}}}"));
    let found = lines(&["groups", &store]);
    assert_eq!(
        found[1..],
        [
            "audit gone 0 5 - - -",
            "audit orders 1 8 0 8 0",
            "billing orders 0 7 0 8 1",
            "billing orders 1 3 0 8 5"
        ]
    );
    let billing = objects(&["groups", &store, "--group", "billing", "--json"]);
    assert_eq!(billing.len(), 2);
    assert_eq!(
        billing[1],
        json!({
            "group": "billing", "topic": "orders", "queue_id": 1, "next_consumed": 3,
            "first_offset": 0, "next_offset": 8, "lag": 5,
        })
    );
    let gone = objects(&["groups", &store, "-t", "gone", "--json"]);
    assert_eq!((gone.len(), &gone[0]["lag"]), (1, &Value::Null));
    state(&store, "consumerOffset.json", "{nonsense");
    assert_fails(&run(&["groups", &store]), 1, &["consumerOffset.json"]);
}

#[test]
fn groups_are_set_to_other_offsets() {
    let (_directory, store) = shop();
    let of_orders = ["groups", &store, "--group", "g", "-t", "orders"];
    let reset = |extra: &[&str]| lines(&[&of_orders[..], extra].concat())[1..].to_vec();
    assert_eq!(reset(&["--reset-to", "first"]), ["g orders 0 0 0 8 8", "g orders 1 0 0 8 8"]);
    assert_eq!(reset(&["-q", "1", "--reset-to", "last"]), ["g orders 1 8 0 8 0"]);
    assert_eq!(reset(&["-q", "0", "--reset-to", "5"]), ["g orders 0 5 0 8 3"]);
    assert_eq!(reset(&["-q", "0", "--reset-to", "2"]), ["g orders 0 2 0 8 6"]);
    assert_eq!(reset(&[]), ["g orders 0 2 0 8 6", "g orders 1 8 0 8 0"]);
    std::thread::sleep(std::time::Duration::from_millis(5));
    append_lines(&store, "orders", "late\n");
    let time = records(&store)[16]["store_timestamp"].to_string();
    assert_eq!(reset(&["-q", "0", "--reset-to", &format!("@{time}")]), ["g orders 0 8 0 9 1"]);
    // Queue 0 reaches to 9, queue 1 only to 8: neither is changed.
    let too_far = [&of_orders[..], &["--reset-to", "9"]].concat();
    assert_fails(&run(&too_far), 1, &["orders queue 1", "0 to 8"]);
    assert_eq!(reset(&[]), ["g orders 0 8 0 9 1", "g orders 1 8 0 8 0"]);
    for (extra, status, part) in [
        (&["-q", "7", "--reset-to", "first"][..], 1, "no such queue"),
        (&["--reset-to", "soon"], 2, "first, last"),
        (&["--reset-to", "@"], 2, "first, last"),
    ] {
        assert_fails(&run(&[&of_orders[..], extra].concat()), status, &[part]);
    }
    assert_fails(&run(&["groups", &store, "--reset-to", "first"]), 2, &["--group"]);
    let mut writer = cairnlog(["append", &store, "-t", "orders"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let abort = Path::new(&store).join("abort");
    wait_until("the writer has the store", || abort.exists());
    assert_fails(&run(&[&of_orders[..], &["--reset-to", "last"]].concat()), 1, &["lock"]);
    assert_eq!(reset(&[]), ["g orders 0 8 0 9 1", "g orders 1 8 0 8 0"]);
    drop(writer.stdin.take());
    writer.wait().unwrap();
}

#[test]
fn delays_show_what_waits_and_until_when() {
    let (directory, store) = fixture_copy("v533-features");
    let level = |extra: &[&str], level: u64| {
        let all = objects(&[&["delays", &store, "--json"], extra].concat());
        assert_eq!(all.len(), 18);
        all.into_iter().find(|line| line["level"] == level).unwrap()
    };
    let scheduled: Vec<_> = manifests()["v533-features"]["records"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|record| record["topic"] == "SCHEDULE_TOPIC_XXXX")
        .cloned()
        .collect();
    assert_eq!(scheduled.len(), 3);
    for record in &scheduled {
        let line = level(&[], record["queue_id"].as_u64().unwrap() + 1);
        assert_eq!((&line["waiting"], &line["next_offset"]), (&json!(1), &Value::Null));
        let due = line["next_due"].as_i64().unwrap();
        let stored = record["store_timestamp"].as_i64().unwrap();
        let delay = line["delay_ms"].as_i64().unwrap();
        assert!((due - stored - delay).abs() <= 1000, "{line} {stored}");
    }
    assert_eq!(level(&[], 1)["waiting"], 0);
    state(&store, "delayOffset.json", r#"{"offsetTable":{5:1,18:0}}"#);
    let delivered = json!({
        "level": 5, "delay_ms": 60_000, "next_offset": 1, "waiting": 0, "next_due": null,
    });
    assert_eq!(level(&[], 5), delivered);
    assert_eq!(level(&[], 18)["waiting"], 1);
    let conf = text(&directory.path().join("broker.conf"));
    fs::write(&conf, "messageDelayLevel=3s 2m").unwrap();
    let text = lines(&["delays", &store, "--conf", &conf]);
    // Levels that no longer have a delay are shown while there is something of them.
    assert_eq!(text[1..3], ["1 3000 - 0 -", "2 120000 - 0 -"]);
    assert_eq!(text[3], "5 - 1 0 -");
    assert_eq!(text.len(), 6);
    state(&store, "delayOffset.json", "{nonsense");
    assert_fails(&run(&["delays", &store]), 1, &["delayOffset.json"]);
    state(&store, "delayOffset.json.bak", r#"{"offsetTable":{5:1}}"#);
    assert_eq!(level(&[], 5), delivered);
}

#[test]
fn an_empty_store_has_nothing_and_a_missing_one_is_named() {
    let (directory, store) = new_store();
    stdout_of(&run_with_input(&["append", &store, "-t", "T", "--segment-size", "64K"], b""));
    for store in [store, fixture_store("v533-empty"), fixture_store("v498-empty")] {
        for arguments in [
            &["topics", store.as_str(), "--json"][..],
            &["groups", &store, "--json"],
            &["query", &store, "-t", "T", "--key", "k", "--json"],
            &["cat", &store, "-t", "T", "-q", "0", "--json"],
        ] {
            let messages: Vec<_> = objects(arguments)
                .into_iter()
                .filter(|line| line.get("messages").is_none_or(|messages| *messages != 0))
                .collect();
            assert_eq!(messages, Vec::<Value>::new(), "{arguments:?}");
        }
        assert!(objects(&["delays", &store, "--json"]).iter().all(|line| line["waiting"] == 0));
        assert_fails(&run(&["query", &store, "--id", "x"]), 1, &["no message has id x"]);
    }
    let missing = text(&directory.path().join("missing"));
    for arguments in [
        &["topics", missing.as_str()][..],
        &["groups", &missing],
        &["delays", &missing],
        &["query", &missing, "-t", "T", "--key", "k"],
        &["cat", &missing, "-t", "T", "-q", "0"],
    ] {
        assert_fails(&run(arguments), 1, &["missing"]);
    }
    assert!(!Path::new(&missing).exists());
}

#[test]
fn a_closed_pipe_ends_each_command_quietly() {
    let (_directory, store) = new_store();
    let input: String = (0..5000)
        .map(|n| {
            let body = format!("a message of some length that fills the pipe {n}");
            format!("{}\n", json!({"topic": "T", "body": body, "keys": ["k"]}))
        })
        .collect();
    let arguments = ["append", &store, "--format", "jsonl", "--inflight", "64"];
    stdout_of(&run_with_input(&arguments, input.as_bytes()));
    let groups: Vec<String> = (0..5000).map(|n| format!("\"T@group-{n}\":{{0:{n}}}")).collect();
    state(&store, "consumerOffset.json", &format!("{{\"offsetTable\":{{{}}}}}", groups.join(",")));
    let config = |n: i32| format!("\"topic-{n}\":{{\"topicName\":\"topic-{n}\"}}");
    let topics: Vec<String> = (0..5000).map(config).collect();
    state(&store, "topics.json", &format!("{{\"topicConfigTable\":{{{}}}}}", topics.join(",")));
    for command in [
        &["cat", store.as_str(), "-t", "T", "-q", "0"][..],
        &["query", &store, "-t", "T", "--key", "k", "--max", "5000"],
        &["groups", &store, "--json"],
        &["topics", &store],
    ] {
        let mut child =
            cairnlog(command).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut output = child.stdout.take().unwrap();
        output.read_exact(&mut [0; 100]).unwrap();
        drop(output);
        let ended = child.wait_with_output().unwrap();
        assert_eq!(stderr(&ended), "", "{command:?}");
        assert_eq!(ended.status.code(), Some(0), "{command:?}");
    }
}
