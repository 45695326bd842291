//! Queue and index files: a log that is whole, and anything beside it.

use cairnlog::{LogEntry, LogReader};

use crate::input::Input;
use crate::opening::open_twice;
use crate::{image, recovery, scratch};

/// Damages queues and index of a store and opens it. The log has to stay as it is.
pub fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let mut options = recovery::options(&mut input);
    options.consume_queue_enable = true;
    options.schedule_enable = false;
    let image = image::build(&mut input, &["consumequeue/", "batchconsumequeue/", "index/"]);
    let directory = scratch::directory();
    image.write(directory.path());
    let reader = LogReader::open(directory.path()).expect("the log is whole");
    let entries = reader.entries(reader.min_offset());
    let messages: Vec<u64> = entries
        .filter_map(|entry| match entry.expect("the log is whole") {
            LogEntry::Message(message) => Some(message.physical_offset().get()),
            LogEntry::Blank { .. } => None,
        })
        .collect();
    let found = open_twice(directory.path(), &options).expect("the log is whole");
    assert_eq!(found.messages, messages);
    assert_eq!(found.report.damage, None);
}
