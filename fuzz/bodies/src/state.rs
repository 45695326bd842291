//! JSON state files: any bytes, and that what is written back says the same.

use cairnlog::fuzzing::{StateKind, state_round_trip};
use cairnlog::{ConsumerOffsets, Status, Topics};

use crate::input::Input;
use crate::scratch;

const FILES: [(StateKind, &str); 3] = [
    (StateKind::ConsumerOffsets, "consumerOffset.json"),
    (StateKind::DelayOffsets, "delayOffset.json"),
    (StateKind::Topics, "topics.json"),
];

/// Reads bytes as a state file, by themselves and in a directory.
pub fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let (kind, name) = input.pick(&FILES);
    // Files are made now and then only: that takes longer than all else.
    let as_file = input.u8().is_multiple_of(16);
    let backup = input.flag().then(|| input.some_bytes());
    let content = input.take_rest();
    let once = state_round_trip(kind, content);
    if let Ok(Some(written)) = &once {
        let twice = state_round_trip(kind, written).expect("what was written can be read");
        assert_eq!(twice.as_ref(), Some(written), "it changes whenever it is written");
    }
    if as_file {
        let good = once.is_ok_and(|content| content.is_some());
        in_a_directory(name, content, backup, good);
    }
}

fn in_a_directory(name: &str, content: &[u8], backup: Option<&[u8]>, good: bool) {
    let directory = scratch::directory();
    let config = directory.path().join("config");
    std::fs::create_dir(&config).expect("a directory");
    std::fs::write(config.join(name), content).expect("a file");
    if let Some(backup) = backup {
        std::fs::write(config.join(format!("{name}.bak")), backup).expect("a file");
    }
    let refused = |status: Status| {
        assert_eq!(status, Status::Corruption);
        assert!(!good, "a file that can be read was refused");
    };
    match ConsumerOffsets::read(directory.path()) {
        Ok(offsets) => look_at_offsets(&offsets),
        Err(error) => refused(error.status()),
    }
    match Topics::read(directory.path()) {
        Ok(topics) => look_at_topics(&topics),
        Err(error) => refused(error.status()),
    }
}

/// Every group's queues are those that are found one by one.
pub fn look_at_offsets(offsets: &ConsumerOffsets) {
    for group in offsets.groups() {
        for (topic, queue_id, next) in offsets.queues_of(&group) {
            assert_eq!(offsets.get(&group, &topic, queue_id), Some(next));
        }
    }
}

/// Every name leads to a topic of that name.
pub fn look_at_topics(topics: &Topics) {
    for name in topics.names() {
        let config = topics.get(&name).expect("a topic that is listed");
        assert_eq!(config.topic, name);
        assert_eq!(topics.kind_of(&name), Some(config.queue_kind()));
    }
}
