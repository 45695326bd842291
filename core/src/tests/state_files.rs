//! The JSON state files: what RocketMQ wrote is read, what is unknown survives, and what is damaged
//! is neither taken for empty nor written over.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};

use crate::state::consumer_offsets::check_group;
use crate::state::delay_offsets::DelayOffsets;
use crate::sys::disk::OsDisk;
use crate::{ConsumerOffsets, QueueKind, QueueOffset, Status, Topics};

fn at(offset: u64) -> QueueOffset {
    QueueOffset::new(offset)
}

fn delays(store: &Path) -> DelayOffsets {
    DelayOffsets::load(Arc::new(OsDisk), store).unwrap()
}

/// A store directory with the state files that a release of RocketMQ wrote.
fn fixture(release: &str) -> tempfile::TempDir {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/state");
    let store = tempfile::tempdir().unwrap();
    fs::create_dir(store.path().join("config")).unwrap();
    for entry in fs::read_dir(source.join(release)).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), config(store.path(), entry.file_name().to_str().unwrap())).unwrap();
    }
    store
}

/// A store directory with this `consumerOffset.json`, and this `.bak`.
fn store_with(main: Option<&[u8]>, backup: Option<&[u8]>) -> tempfile::TempDir {
    let store = tempfile::tempdir().unwrap();
    fs::create_dir(store.path().join("config")).unwrap();
    for (name, content) in [("consumerOffset.json", main), ("consumerOffset.json.bak", backup)] {
        if let Some(content) = content {
            fs::write(config(store.path(), name), content).unwrap();
        }
    }
    store
}

fn config(store: &Path, name: &str) -> PathBuf {
    store.join("config").join(name)
}

/// What a file holds for a reader that knows strict JSON only.
fn strict(store: &Path, name: &str) -> Value {
    serde_json::from_slice(&fs::read(config(store, name)).unwrap()).unwrap()
}

#[test]
fn consumer_offsets_of_rocketmq_are_read() {
    for (release, audit) in [("v533", 77), ("v498", 7)] {
        let store = fixture(release);
        let offsets = ConsumerOffsets::read(store.path()).unwrap();
        assert_eq!(offsets.groups(), ["audit", "billing"]);
        assert_eq!(offsets.get("audit", "orders", 0), Some(at(audit)));
        let expected: Vec<_> = [
            ("%RETRY%billing", 0, 7),
            ("orders", 0, 7),
            ("orders", 1, 107),
            ("orders", 2, 207),
            ("orders", 3, 307),
            ("orders", 11, 5_000_000_000),
        ]
        .map(|(topic, queue_id, offset)| (topic.to_owned(), queue_id, at(offset)))
        .into();
        assert_eq!(offsets.queues_of("billing"), expected, "{release}");
        for (group, topic, queue_id) in
            [("billing", "orders", 4), ("billing", "x", 0), ("x", "orders", 0)]
        {
            assert_eq!(offsets.get(group, topic, queue_id), None);
        }
        assert_eq!(offsets.queues_of("x"), []);
        assert!(!offsets.persist().unwrap(), "nothing was changed");
    }
}

#[test]
fn the_backup_of_rocketmq_stands_in_for_a_file_cut_short() {
    let store = fixture("v533");
    let path = config(store.path(), "consumerOffset.json");
    let whole = fs::read(&path).unwrap();
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        let offsets = ConsumerOffsets::read(store.path()).unwrap();
        assert_eq!(offsets.get("audit", "orders", 0), Some(at(5)), "{length}");
    }
    fs::remove_file(&path).unwrap();
    let offsets = ConsumerOffsets::read(store.path()).unwrap();
    assert_eq!(offsets.get("audit", "orders", 0), Some(at(5)));
}

#[test]
fn topics_of_rocketmq_are_read() {
    let store = fixture("v533");
    let topics = Topics::read(store.path()).unwrap();
    assert_eq!(topics.names().len(), 17);
    assert!(topics.names().is_sorted());
    assert_eq!(topics.kind_of("batches"), Some(QueueKind::Batch));
    assert_eq!(topics.kind_of("orders"), Some(QueueKind::Simple));
    assert_eq!(topics.kind_of("unheard-of"), None);
    let schedule = topics.get("SCHEDULE_TOPIC_XXXX").unwrap();
    assert_eq!((schedule.read_queue_nums, schedule.write_queue_nums), (18, 18));
    assert_eq!((schedule.perm, schedule.order, schedule.topic_sys_flag), (6, false, 0));
    assert_eq!(schedule.topic_filter_type, "SINGLE_TAG");
    assert_eq!(topics.get("TBW102").unwrap().perm, 7);
    assert_eq!(topics.get("compacted").unwrap().attributes["cleanup.policy"], "COMPACTION");
    let store = fixture("v498");
    let topics = Topics::read(store.path()).unwrap();
    assert_eq!(topics.names(), ["%RETRY%billing", "SCHEDULE_TOPIC_XXXX", "orders"]);
    assert_eq!(topics.get("orders").unwrap().write_queue_nums, 4);
}

#[test]
fn delay_offsets_of_rocketmq_are_read() {
    let store = fixture("v533");
    assert_eq!(delays(store.path()).levels(), [(1, at(12)), (2, at(0)), (18, at(5_000_000_000))]);
    let store = fixture("v498");
    assert_eq!(delays(store.path()).levels(), []);
}

/// A number of an unknown field was read with an error in its last digit, and so came to be another
/// one each time the file was written.
#[test]
fn an_unknown_number_is_written_as_it_was_read() {
    let text = format!("{{'offsetTable':{{}},'new':{}}}", "5".repeat(59) + "0");
    let store = store_with(Some(text.as_bytes()), None);
    let mut written = Vec::new();
    for next in 1..4 {
        let offsets = ConsumerOffsets::load(Arc::new(OsDisk), store.path()).unwrap();
        offsets.reset("g", "t", 0, at(next));
        assert!(offsets.persist().unwrap());
        written.push(strict(store.path(), "consumerOffset.json")["new"].to_string());
    }
    assert_eq!(written, [(); 3].map(|()| "5.555555555555556e+59"));
}

#[test]
fn what_is_written_comes_back_and_unknown_fields_survive() {
    let store = store_with(Some(br#"{offsetTable:{"t@g":{0:5,1:-1}},'new':{7:[1]}}"#), None);
    let offsets = ConsumerOffsets::load(Arc::new(OsDisk), store.path()).unwrap();
    assert_eq!(offsets.get("g", "t", 1), None, "a negative offset is none");
    offsets.commit("g", "t", 0, at(5));
    assert!(!offsets.is_dirty() && !offsets.persist().unwrap(), "no change");
    offsets.commit("g", "t", 0, at(3));
    offsets.reset("h", "t", 2, at(9));
    offsets.commit("gone", "t", 0, at(1));
    assert!(offsets.remove_group("gone") && !offsets.remove_group("gone"));
    assert!(offsets.is_dirty() && offsets.persist().unwrap());
    assert!(!offsets.is_dirty() && !offsets.persist().unwrap());
    let written = strict(store.path(), "consumerOffset.json");
    assert_eq!(written["new"], json!({"7": [1]}));
    assert_eq!(written["groupTopicMap"], json!({"g": ["t"], "h": ["t"]}));
    let expected = json!({"t@g": {"0": 3, "1": -1}, "t@h": {"2": 9}});
    assert_eq!(written["offsetTable"], expected);
    assert_eq!(ConsumerOffsets::read(store.path()).unwrap().groups(), ["g", "h"]);
    let backup = fs::read_to_string(config(store.path(), "consumerOffset.json.bak")).unwrap();
    assert!(backup.starts_with("{offsetTable:"), "{backup}");

    let store = fixture("v533");
    let path = config(store.path(), "topics.json");
    let text =
        fs::read_to_string(&path).unwrap().replace("\"order\":", "\"later\":{1:2},\"order\":");
    fs::write(&path, text).unwrap();
    let before = Topics::read(store.path()).unwrap();
    let topics = Topics::load(Arc::new(OsDisk), store.path()).unwrap();
    assert!(topics.ensure("orders", 20, QueueKind::Simple).unwrap());
    assert!(topics.persist().unwrap());
    let written = strict(store.path(), "topics.json");
    assert_eq!(written["topicConfigTable"]["orders"]["later"], json!({"1": 2}));
    assert_eq!(
        written["topicConfigTable"]["batches"]["attributes"],
        json!({"queue.type": "BatchCQ"})
    );
    let after = Topics::read(store.path()).unwrap();
    for name in before.names().iter().filter(|name| *name != "orders") {
        assert_eq!(after.get(name), before.get(name));
    }
    assert_eq!(after.get("orders").unwrap().read_queue_nums, 21);
}

#[test]
fn the_version_counts_what_was_written() {
    let store = fixture("v533");
    let before = strict_version(store.path(), "topics.json");
    let topics = Topics::load(Arc::new(OsDisk), store.path()).unwrap();
    for count in 1..=2 {
        let name = format!("new-{count}");
        assert!(topics.ensure(&name, 0, QueueKind::Simple).unwrap());
        assert!(topics.is_dirty() && topics.persist().unwrap() && !topics.is_dirty());
        let version = strict_version(store.path(), "topics.json");
        assert_eq!(version.0, before.0 + count);
        assert!(version.1 > 1_600_000_000_000, "{version:?}");
    }
    let store = tempfile::tempdir().unwrap();
    let delays = delays(store.path());
    delays.set(3, at(8));
    assert!(delays.is_dirty() && delays.persist().unwrap() && !delays.is_dirty());
    assert_eq!(strict_version(store.path(), "delayOffset.json").0, 1);
    assert_eq!(strict(store.path(), "delayOffset.json")["dataVersion"]["stateVersion"], 0);
    assert_eq!(self::delays(store.path()).get(3), Some(at(8)));
    assert_eq!(self::delays(store.path()).get(4), None);
}

fn strict_version(store: &Path, name: &str) -> (i64, i64) {
    let version = &strict(store, name)["dataVersion"];
    (version["counter"].as_i64().unwrap(), version["timestamp"].as_i64().unwrap())
}

#[test]
fn topics_are_made_and_widened() {
    let store = tempfile::tempdir().unwrap();
    let topics = Topics::load(Arc::new(OsDisk), store.path()).unwrap();
    let queues = |topic: &str| {
        let config = topics.get(topic).unwrap();
        assert_eq!(config.read_queue_nums, config.write_queue_nums);
        config.read_queue_nums
    };
    for (topic, queue_id, expected) in [
        ("a", 0, 8),
        ("b", 8, 9),
        ("SCHEDULE_TOPIC_XXXX", 3, 18),
        ("RMQ_SYS_TRANS_HALF_TOPIC", 0, 1),
        ("%RETRY%g", 2, 3),
        ("most", i32::MAX - 1, i32::MAX),
    ] {
        assert!(topics.ensure(topic, queue_id, QueueKind::Simple).unwrap());
        assert_eq!(queues(topic), expected, "{topic}");
        assert!(!topics.ensure(topic, queue_id, QueueKind::Simple).unwrap());
    }
    assert!(!topics.ensure("a", 7, QueueKind::Simple).unwrap());
    assert!(topics.ensure("a", 8, QueueKind::Simple).unwrap());
    assert_eq!(queues("a"), 9);
    for queue_id in [-1, i32::MIN, i32::MAX] {
        let error = topics.ensure("a", queue_id, QueueKind::Simple).unwrap_err();
        assert_eq!(error.status(), Status::QueueIdIllegal);
    }
    assert!(topics.ensure("batch", 0, QueueKind::Batch).unwrap());
    for (topic, kind) in [("batch", QueueKind::Simple), ("a", QueueKind::Batch)] {
        let error = topics.ensure(topic, 50, kind).unwrap_err();
        assert_eq!(error.status(), Status::BatchIllegal, "{error}");
    }
    assert_eq!((queues("a"), queues("batch")), (9, 8));
    assert!(topics.persist().unwrap());
    let again = Topics::read(store.path()).unwrap();
    assert_eq!(again.names(), topics.names());
    assert_eq!(again.kind_of("batch"), Some(QueueKind::Batch));
}

/// The least a broker needs; what is missing reads as the broker reads it.
#[test]
fn missing_fields_have_the_defaults_of_rocketmq() {
    let store = tempfile::tempdir().unwrap();
    fs::create_dir(store.path().join("config")).unwrap();
    let text = r#"{"topicConfigTable":{"T":{"topicName":"T","attributes":null,"perm":null}}}"#;
    fs::write(config(store.path(), "topics.json"), text).unwrap();
    let found = Topics::read(store.path()).unwrap().get("T").unwrap();
    assert_eq!((found.read_queue_nums, found.write_queue_nums, found.perm), (16, 16, 6));
    assert_eq!(found.topic_filter_type, "SINGLE_TAG");
}

#[test]
fn a_store_without_files_has_nothing_and_reading_makes_nothing() {
    let store = tempfile::tempdir().unwrap();
    let offsets = ConsumerOffsets::read(store.path()).unwrap();
    assert_eq!(offsets.groups(), Vec::<String>::new());
    assert_eq!(Topics::read(store.path()).unwrap().names(), Vec::<String>::new());
    assert_eq!(delays(store.path()).levels(), []);
    assert!(!offsets.persist().unwrap());
    assert_eq!(fs::read_dir(store.path()).unwrap().count(), 0);
    let blank = store_with(Some(b""), Some(b" \n"));
    assert_eq!(ConsumerOffsets::read(blank.path()).unwrap().groups(), Vec::<String>::new());
}

/// Starting over from nothing would consume everything once more.
#[test]
fn damage_without_a_usable_backup_is_corruption_and_is_kept() {
    let damaged: [&[u8]; 10] = [
        b"{\"offsetTable\":{\"t@g\":{0:5",
        &[0; 64],
        b"[]",
        b"{\"offsetTable\":7}",
        b"{\"offsetTable\":{\"t@g\":[]}}",
        b"{\"offsetTable\":{\"t@g\":{x:1}}}",
        b"{\"offsetTable\":{\"t@g\":{2147483648:1}}}",
        b"{\"offsetTable\":{\"t@g\":{0:1.5}}}",
        b"{\"offsetTable\":{\"t@g\":{0:9223372036854775808}}}",
        b"{\"offsetTable\":{\"t@\xff\":{0:1}}}",
    ];
    for bytes in damaged {
        for backup in [None, Some(&b""[..]), Some(bytes)] {
            let store = store_with(Some(bytes), backup);
            let error = ConsumerOffsets::read(store.path()).unwrap_err();
            assert_eq!(error.status(), Status::Corruption, "{error}");
            assert_eq!(error.path(), Some(&*config(store.path(), "consumerOffset.json")));
            assert_eq!(fs::read(config(store.path(), "consumerOffset.json")).unwrap(), bytes);
        }
        let store = store_with(None, Some(bytes));
        let error = ConsumerOffsets::read(store.path()).unwrap_err();
        assert_eq!(error.path(), Some(&*config(store.path(), "consumerOffset.json.bak")));
    }
    let store = store_with(Some(b"{\n\"offsetTable\":\n}"), None);
    let text = ConsumerOffsets::read(store.path()).unwrap_err().to_string();
    assert!(text.contains("expected value at line 3"), "{text}");
    let topics = [
        r#"{"topicConfigTable":{"T":7}}"#,
        r#"{"topicConfigTable":{"T":{"perm":"x"}}}"#,
        r#"{"topicConfigTable":{"T":{"readQueueNums":2147483648}}}"#,
        r#"{"topicConfigTable":{"T":{"order":1}}}"#,
        r#"{"topicConfigTable":{"T":{"topicFilterType":1}}}"#,
    ];
    for text in topics {
        fs::write(config(store.path(), "topics.json"), text).unwrap();
        let error = Topics::read(store.path()).unwrap_err();
        assert_eq!(error.status(), Status::Corruption);
        assert!(error.to_string().contains("topicConfigTable.T: "), "{error}");
    }
}

#[test]
fn a_file_beyond_64_mib_is_not_taken_into_memory() {
    let store = store_with(Some(b"{}"), None);
    let path = config(store.path(), "consumerOffset.json");
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_len(1 << 40).unwrap();
    let error = ConsumerOffsets::read(store.path()).unwrap_err();
    assert_eq!(error.status(), Status::Corruption);
    assert!(error.to_string().contains("more than 67108864 bytes"), "{error}");
    let mut blanks = vec![b' '; 64 << 20];
    blanks[0] = b'{';
    *blanks.last_mut().unwrap() = b'}';
    fs::write(config(store.path(), "consumerOffset.json"), blanks).unwrap();
    assert!(ConsumerOffsets::read(store.path()).is_ok());
}

#[test]
fn group_names_are_those_of_rocketmq() {
    let longest = "g".repeat(255);
    for group in ["g", "%RETRY%g|2_-", &longest] {
        check_group(group).unwrap();
    }
    for group in ["", "a b", "a@b", "a/b", "\u{e9}", "a\n", &format!("{longest}g")] {
        assert_eq!(check_group(group).unwrap_err().status(), Status::GroupIllegal, "{group:?}");
    }
}

/// A topic of a directory that Java wrote may hold the character that separates it from the group.
#[test]
fn the_separator_in_a_topic_does_not_hide_its_group() {
    let store = tempfile::tempdir().unwrap();
    let offsets = ConsumerOffsets::load(Arc::new(OsDisk), store.path()).unwrap();
    offsets.commit("g", "a@b", 1, at(4));
    assert_eq!(offsets.groups(), ["g"]);
    assert_eq!(offsets.queues_of("g"), [("a@b".to_owned(), 1, at(4))]);
}

/// Opening read the state files last, when recovery had already written the marker and the
/// checkpoint, set bytes aside and removed files: a refusal left another store than it found.
#[test]
fn a_damaged_state_file_refuses_opening_before_anything_is_changed() {
    let directory = tempfile::tempdir().unwrap();
    let options = crate::StoreOptions {
        segment_size_bytes: crate::MIN_SEGMENT_SIZE_BYTES,
        ..crate::StoreOptions::default()
    };
    let store = crate::Store::open(directory.path(), &options).unwrap();
    let placed = store.append(&crate::Message::new("orders", b"20 pears")).unwrap();
    store.close().unwrap();
    // Recovery would have much to do: bytes behind the end, and no queues.
    let log = directory.path().join("commitlog/00000000000000000000");
    let mut bytes = fs::read(&log).unwrap();
    bytes[placed.end_offset().get() as usize + 10] = 1;
    fs::write(&log, &bytes).unwrap();
    fs::remove_dir_all(directory.path().join("consumequeue")).unwrap();
    fs::create_dir_all(directory.path().join("config")).unwrap();
    for name in ["consumerOffset.json", "topics.json", "delayOffset.json"] {
        let path = config(directory.path(), name);
        let before = fs::read(&path).ok();
        fs::write(&path, b"{\"offsetTable\":").unwrap();
        let _ = fs::remove_file(config(directory.path(), &format!("{name}.bak")));
        let checkpoint = fs::read(directory.path().join("checkpoint")).unwrap();
        let error = crate::Store::open(directory.path(), &options).unwrap_err();
        assert_eq!(error.status(), Status::Corruption, "{error}");
        assert!(error.to_string().contains(name), "{error}");
        assert_eq!(fs::read(&log).unwrap(), bytes);
        assert_eq!(fs::read(directory.path().join("checkpoint")).unwrap(), checkpoint);
        for made in ["abort", "lost+found", "consumequeue"] {
            assert!(!directory.path().join(made).exists(), "{name}: {made} was made");
        }
        match before {
            Some(content) => fs::write(&path, content).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
    }
    let store = crate::Store::open(directory.path(), &options).unwrap();
    assert!(store.recovery_report().set_aside.is_some());
    store.close().unwrap();
}
