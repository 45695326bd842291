//! The state files: the groups' offsets against the queues, and what topics may be like.

use std::path::{Path, PathBuf};

use cairnlog::{ConsumerOffsets, Topics};

use super::finding::{Finding, Findings};
use crate::failure::{Failure, Outcome};
use crate::open;

/// The bits a topic's permission has: inherit, write, read, priority.
const PERM_BITS: i32 = 0xF;

/// The state files of a store, as they were before its log was read.
pub(crate) struct StateCheck {
    offsets: Option<ConsumerOffsets>,
    path: PathBuf,
    topics: usize,
}

impl StateCheck {
    /// Reads the files; what is wrong with them by themselves is found here.
    pub(crate) fn read(store: &Path, findings: &mut Findings) -> Result<Self, Failure> {
        let offsets = found(ConsumerOffsets::read(store), findings)?;
        let topics = found(Topics::read(store), findings)?;
        if let Some(topics) = &topics {
            plausible(topics, &store.join("config/topics.json"), findings)?;
        }
        let path = store.join("config/consumerOffset.json");
        Ok(Self { offsets, path, topics: topics.map_or(0, |topics| topics.names().len()) })
    }

    /// The number of groups that have committed offsets.
    pub(crate) fn groups(&self) -> u64 {
        self.offsets.as_ref().map_or(0, |offsets| offsets.groups().len() as u64)
    }

    /// The number of topics that have settings.
    pub(crate) fn topics(&self) -> u64 {
        self.topics as u64
    }

    /// Holds each group's offsets against the end of its queue; `None` where it is not known.
    pub(crate) fn offsets(
        &self,
        findings: &mut Findings,
        end_of: impl Fn(&str, i32) -> Option<u64>,
    ) -> Outcome {
        let Some(offsets) = &self.offsets else {
            return Ok(());
        };
        for group in offsets.groups() {
            for (topic, queue_id, offset) in offsets.queues_of(&group) {
                let Some(end) = end_of(&topic, queue_id).filter(|end| offset.get() > *end) else {
                    continue;
                };
                let what =
                    format!("group {group} has consumed {topic} queue {queue_id} beyond its end");
                findings.add(
                    Finding::new("group_offset", &what)
                        .path(&self.path)
                        .differs(format!("at most {end}"), offset),
                )?;
            }
        }
        Ok(())
    }
}

/// Settings that no topic can have.
fn plausible(topics: &Topics, path: &Path, findings: &mut Findings) -> Outcome {
    for name in topics.names() {
        let Some(topic) = topics.get(&name) else {
            continue;
        };
        let wrong = |what: &str| {
            Finding::new("topic", &format!("{what} of topic {name} is impossible")).path(path)
        };
        if topic.perm & !PERM_BITS != 0 {
            let expected = format!("0 to {PERM_BITS}");
            findings.add(wrong("the permission").differs(expected, topic.perm))?;
        }
        for (what, nums) in [
            ("the number of read queues", topic.read_queue_nums),
            ("the number of write queues", topic.write_queue_nums),
        ] {
            if nums < 0 {
                findings.add(wrong(what).differs("at least 0", nums))?;
            }
        }
    }
    Ok(())
}

/// What was read; a file that cannot be understood is a finding.
fn found<T>(read: cairnlog::Result<T>, findings: &mut Findings) -> Result<Option<T>, Failure> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(error) if open::is_damage(error.status()) => {
            findings.add(Finding::of_error("state_file", &error))?;
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}
