//! Directories that RocketMQ wrote: read field by field, recovered, and appended to.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use cairnlog::{
    ConsumerOffsets, DamagePolicy, LogEntry, LogReader, Message, MessageView, PROPERTY_RECORD_CRC,
    Status, Store, StoreCheckpoint, StoreOptions, Topics,
};
use serde_json::Value;
use sha2::{Digest, Sha256};

struct Fixture {
    path: PathBuf,
    manifest: Value,
}

fn fixtures() -> Vec<Fixture> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        if let Ok(text) = std::fs::read_to_string(path.join("manifest.json")) {
            let manifest = serde_json::from_str(&text).unwrap();
            found.push(Fixture { path, manifest });
        }
    }
    assert!(found.len() >= 11, "{} fixtures", found.len());
    found
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

impl Fixture {
    fn name(&self) -> &str {
        self.manifest["fixture"].as_str().unwrap()
    }

    fn copy(&self) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        copy(&self.path.join("store"), directory.path());
        directory
    }

    fn is_empty(&self) -> bool {
        self.records().is_empty()
    }

    fn records(&self) -> &Vec<Value> {
        self.manifest["records"].as_array().unwrap()
    }

    fn options(&self) -> StoreOptions {
        let mut options = StoreOptions::default();
        options.segment_size_bytes =
            self.manifest["config"]["mappedFileSizeCommitLog"].as_u64().unwrap();
        // Delayed messages in it are due, and their delivery would move the end.
        options.schedule_enable = false;
        options
    }

    /// Where the flipped byte's record begins, in the fixture that is damaged in the middle.
    fn damaged_record(&self) -> Option<u64> {
        self.manifest["damage"]["record_physical_offset"].as_u64()
    }

    fn is_damaged(&self) -> bool {
        !self.manifest["damage"].is_null()
    }

    /// Where RocketMQ ends the log, and its queues, once damage is cut off.
    fn expected(&self) -> &Value {
        if self.is_damaged() { &self.manifest["reopened"]["abort_present"] } else { &self.manifest }
    }

    fn queues(&self) -> Vec<(String, i32, u64)> {
        let queues = self.expected()["queues"].as_array().unwrap().iter();
        queues
            .map(|queue| {
                let topic = queue["topic"].as_str().unwrap().to_owned();
                let queue_id = queue["queue_id"].as_i64().unwrap() as i32;
                (topic, queue_id, queue["max_offset"].as_u64().unwrap())
            })
            .collect()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn assert_host(found: SocketAddr, expected: &Value, at: &str) {
    let expected: SocketAddr = expected.as_str().unwrap().parse().unwrap();
    assert_eq!(found, expected, "{at}");
}

fn assert_record(view: &MessageView, record: &Value, at: &str) {
    let numbers = [
        ("physical_offset", view.physical_offset().to_i64()),
        ("total_size", i64::from(view.size_bytes())),
        ("magic", i64::from(view.magic())),
        ("queue_id", i64::from(view.queue_id())),
        ("flag", i64::from(view.flag())),
        ("queue_offset", view.queue_offset().to_i64()),
        ("sys_flag", i64::from(view.sys_flag())),
        ("born_timestamp", view.born_timestamp_ms()),
        ("store_timestamp", view.store_timestamp_ms()),
        ("reconsume_times", i64::from(view.reconsume_times())),
        ("prepared_transaction_offset", view.prepared_transaction_offset()),
        ("body_length", view.body().len() as i64),
        ("body_crc32", i64::from(view.body_crc())),
    ];
    for (field, found) in numbers {
        assert_eq!(record[field].as_i64(), Some(found), "{at}: {field}");
    }
    assert_host(view.born_host(), &record["born_host"], at);
    assert_host(view.store_host(), &record["store_host"], at);
    assert_eq!(record["topic"].as_str(), Some(&*view.topic()), "{at}");
    assert_eq!(record["body_sha256"].as_str().unwrap(), hex(&Sha256::digest(view.body())), "{at}");
    assert_eq!(record["properties_raw_hex"].as_str().unwrap(), hex(view.properties_raw()), "{at}");
    let properties: BTreeMap<String, Value> = view
        .properties()
        .map(|(name, value)| {
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            (text(name), Value::from(text(value)))
        })
        .collect();
    let mut expected: BTreeMap<String, Value> =
        record["properties"].as_object().unwrap().clone().into_iter().collect();
    // RocketMQ shows the record's CRC to consumers.
    let with_crc = expected.remove(PROPERTY_RECORD_CRC).is_some();
    assert_eq!(with_crc, view.properties_raw() != view.own_properties_raw(), "{at}");
    assert_eq!(properties, expected, "{at}");
    let tag = expected.get("TAGS").and_then(Value::as_str);
    assert_eq!(view.tag().as_deref(), tag, "{at}");
    let keys = expected.get("KEYS").and_then(Value::as_str).unwrap_or("");
    let keys: Vec<_> = keys.split(' ').filter(|key| !key.is_empty()).collect();
    assert_eq!(view.keys(), keys, "{at}");
}

/// The messages, blanks and errors that a look at a log finds.
fn look(path: &Path) -> (Vec<MessageView>, Vec<(u64, u32)>, Vec<cairnlog::Error>) {
    let reader = LogReader::open(path).unwrap();
    let (mut messages, mut blanks, mut errors) = (Vec::new(), Vec::new(), Vec::new());
    for entry in reader.entries(reader.min_offset()) {
        match entry {
            Ok(LogEntry::Message(view)) => messages.push(view),
            Ok(LogEntry::Blank { physical_offset, size_bytes }) => {
                blanks.push((physical_offset.get(), size_bytes))
            }
            Err(error) => errors.push(error),
        }
    }
    (messages, blanks, errors)
}

#[test]
fn every_field_of_every_record_is_as_rocketmq_reads_it() {
    let mut records = 0;
    for fixture in fixtures().iter().filter(|fixture| !fixture.is_empty()) {
        let (messages, blanks, errors) = look(&fixture.path.join("store"));
        let expected: Vec<_> = fixture
            .records()
            .iter()
            .filter(|record| record["physical_offset"].as_u64() != fixture.damaged_record())
            .collect();
        assert_eq!(messages.len(), expected.len(), "{}", fixture.name());
        for (view, record) in messages.iter().zip(expected) {
            let at = format!("{} at {}", fixture.name(), view.physical_offset());
            assert_record(view, record, &at);
            records += 1;
        }
        let expected: Vec<_> = fixture.manifest["blanks"]
            .as_array()
            .unwrap()
            .iter()
            .map(|blank| {
                let size = blank["size"].as_u64().unwrap() as u32;
                (blank["physical_offset"].as_u64().unwrap(), size)
            })
            .collect();
        assert_eq!(blanks, expected, "{}", fixture.name());
        let damage: Vec<_> = errors.iter().map(|error| error.offset()).collect();
        let torn = fixture.manifest["damage"]["record_before_damage"]["physical_offset"].as_u64();
        let expected: Vec<_> = fixture.damaged_record().or(torn).into_iter().map(Some).collect();
        assert_eq!(damage, expected, "{}", fixture.name());
    }
    assert!(records > 1000, "{records} records");
}

#[test]
fn recovery_ends_where_rocketmq_does() {
    for fixture in &fixtures() {
        let name = fixture.name();
        let directory = fixture.copy();
        let mut options = fixture.options();
        if let Some(offset) = fixture.damaged_record() {
            let error = Store::open(directory.path(), &options).unwrap_err();
            assert_eq!(error.status(), Status::Corruption, "{name}");
            assert_eq!(error.offset(), Some(offset), "{name}");
            options.damage_policy = DamagePolicy::Truncate;
        }
        let end = fixture.expected()["max_phy_offset"].as_u64().unwrap();
        if !fixture.is_empty() {
            let plan = Store::plan_recovery(directory.path(), &options).unwrap();
            assert_eq!(plan.end_offset.get(), end, "{name}");
        }
        let had_abort = directory.path().join("abort").exists();
        let store = Store::open(directory.path(), &options).unwrap();
        let report = store.recovery_report();
        assert_eq!(store.max_offset().get(), end, "{name}");
        assert_eq!(store.segment_size_bytes(), options.segment_size_bytes);
        assert_eq!(report.clean_stop, !had_abort, "{name}");
        assert_eq!(report.created, fixture.is_empty(), "{name}");
        assert_eq!(report.damage.is_some(), fixture.is_damaged(), "{name}");
        assert_eq!(report.set_aside.is_some(), fixture.is_damaged(), "{name}");
        let records = if fixture.is_damaged() {
            fixture.expected()["log_records"].as_u64().unwrap()
        } else {
            fixture.records().len() as u64
        };
        assert_eq!(report.records, records, "{name}");
        for (topic, queue_id, next) in fixture.queues() {
            let found = store.next_queue_offset(&topic, queue_id).get();
            assert_eq!(found, next, "{name}: {topic} {queue_id}");
        }
        store.close().unwrap();
    }
}

/// Bodies that roll the log over several times.
fn appended_body(number: usize) -> Vec<u8> {
    format!("{number}-{}", "y".repeat(number % 9 * 900)).into_bytes()
}

#[test]
fn appending_goes_on_where_rocketmq_left_off() {
    for fixture in &fixtures() {
        let name = fixture.name();
        let directory = fixture.copy();
        let mut options = fixture.options();
        // What is due would be delivered meanwhile.
        options.schedule_enable = false;
        options.damage_policy = DamagePolicy::Truncate;
        let checkpoint = StoreCheckpoint::read(directory.path()).unwrap().unwrap();
        let store = Store::open(directory.path(), &options).unwrap();
        let end = store.max_offset();
        let mut queues = fixture.queues();
        queues.push(("a-new-topic".to_owned(), 3, 0));
        let (mut appended, mut refused) = (Vec::new(), HashSet::new());
        let mut last = 0;
        for round in 0..3 {
            for (topic, queue_id, next) in &queues {
                let body = appended_body(appended.len());
                let message = Message::new(topic, &body).queue_id(*queue_id).tag("tag");
                match store.append(&message) {
                    Ok(placed) => {
                        assert_eq!(placed.queue_offset.get(), next + round, "{name} {topic}");
                        last = placed.store_timestamp_ms;
                        appended.push((placed, topic.clone(), body));
                    }
                    Err(error) => {
                        assert_eq!(error.status(), Status::TopicIllegal, "{name} {topic}");
                        assert!(!topic.is_ascii());
                        refused.insert(topic.clone());
                    }
                }
            }
        }
        // Topics that RocketMQ's tools refuse as well, but its store does not.
        assert!(refused.len() <= 3, "{name}: {refused:?}");
        store.close().unwrap();

        let (messages, _, errors) = look(directory.path());
        assert!(errors.is_empty(), "{name}: {errors:?}");
        let (old, new): (Vec<_>, Vec<_>) =
            messages.iter().partition(|view| view.physical_offset() < end);
        for (view, record) in old.iter().zip(fixture.records()) {
            assert_record(view, record, name);
        }
        assert_eq!(new.len(), appended.len(), "{name}");
        for (view, (placed, topic, body)) in new.iter().zip(&appended) {
            assert_eq!(view.physical_offset(), placed.physical_offset, "{name}");
            assert_eq!(view.topic(), *topic, "{name}");
            assert_eq!(view.body(), body, "{name}");
            assert_eq!(view.tag().as_deref(), Some("tag"), "{name}");
        }
        // The times of log, queues and index move; what RocketMQ wrote beside them stays.
        let after = StoreCheckpoint::read(directory.path()).unwrap().unwrap();
        assert_eq!(after.physic_msg_timestamp_ms, last, "{name}");
        assert_eq!(after.logics_msg_timestamp_ms, last, "{name}");
        let keyed = messages.iter().rfind(|view| {
            let has_key = ["KEYS", "UNIQ_KEY"].iter().any(|key| view.property(key).is_some());
            has_key && view.sys_flag() & 0xC != 0xC
        });
        let newest_key = keyed.map_or(0, |view| view.store_timestamp_ms());
        assert_eq!(after.index_msg_timestamp_ms, newest_key, "{name}");
        let untouched = StoreCheckpoint {
            physic_msg_timestamp_ms: checkpoint.physic_msg_timestamp_ms,
            logics_msg_timestamp_ms: checkpoint.logics_msg_timestamp_ms,
            index_msg_timestamp_ms: checkpoint.index_msg_timestamp_ms,
            ..after
        };
        assert_eq!(untouched, checkpoint, "{name}");
        assert!(!directory.path().join("abort").exists(), "{name}");
        let again = Store::open(directory.path(), &options).unwrap();
        for (topic, queue_id, next) in &queues {
            let more = if refused.contains(topic) { 0 } else { 3 };
            let found = again.next_queue_offset(topic, *queue_id).get();
            assert_eq!(found, next + more, "{name}: {topic} {queue_id}");
        }
    }
}

/// RocketMQ rewrites its JSON state files in place and leaves a `.bak` beside them, so a crash can
/// cost both (R11). What it wrote is kept: of what cairnlog does not change, each byte.
#[test]
fn r11_state_files_of_rocketmq_are_kept() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/state");
    for release in ["v498", "v533"] {
        let directory = tempfile::tempdir().unwrap();
        let config = directory.path().join("config");
        copy(&root.join(release), &config);
        let read = |name: &str| std::fs::read(config.join(name)).ok();
        let (offsets, delays) = (read("consumerOffset.json"), read("delayOffset.json"));
        let topics: BTreeSet<_> =
            Topics::read(directory.path()).unwrap().names().into_iter().collect();
        let groups = ConsumerOffsets::read(directory.path()).unwrap().groups();
        assert!(!topics.is_empty() && !groups.is_empty());
        let mut options = StoreOptions::default();
        options.segment_size_bytes = 1 << 20;
        // The queues are as long as their offsets say: an offset beyond the end would be set back.
        options.consume_queue_enable = false;
        let store = Store::open(directory.path(), &options).unwrap();
        store.append(&Message::new("t", b"new")).unwrap();
        store.close().unwrap();
        drop(store);
        assert_eq!(read("consumerOffset.json"), offsets, "{release}");
        assert_eq!(read("delayOffset.json"), delays, "{release}");
        options.consume_queue_enable = true;
        Store::open(directory.path(), &options).unwrap().close().unwrap();
        let mut kept = Topics::read(directory.path()).unwrap().names();
        kept.retain(|name| name != "t");
        assert!(topics.iter().all(|topic| kept.contains(topic)), "{release}");
        let now = ConsumerOffsets::read(directory.path()).unwrap();
        assert_eq!(now.groups(), groups, "{release}");
    }
}
