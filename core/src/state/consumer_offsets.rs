//! `config/consumerOffset.json`: how far each group has consumed each queue.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::{Content, State, json};
use crate::codec::is_name;
use crate::error::{Error, Result};
use crate::offset::QueueOffset;
use crate::status::Status;
use crate::sys::disk::{Disk, OsDisk};

const OFFSET_TABLE: &str = "offsetTable";
const GROUP_TOPIC_MAP: &str = "groupTopicMap";
/// Stands between topic and group in a key; no group holds it.
const SEPARATOR: char = '@';
const MAX_GROUP_BYTES: usize = 255;

/// The next index to consume of every queue, by group: `config/consumerOffset.json`. Any thread may
/// use it.
///
/// # Examples
///
/// ```
/// # let directory = tempfile::tempdir()?;
/// # std::fs::create_dir(directory.path().join("config"))?;
/// # let path = directory.path().join("config/consumerOffset.json");
/// # std::fs::write(path, r#"{"offsetTable":{"orders@billing":{0:7,1:9}}}"#)?;
/// let offsets = cairnlog::ConsumerOffsets::read(directory.path())?;
/// for group in offsets.groups() {
///     for (topic, queue_id, next) in offsets.queues_of(&group) {
///         println!("{group} consumed {topic}/{queue_id} up to {next}");
///     }
/// }
/// # assert_eq!(offsets.queues_of("billing").len(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ConsumerOffsets(State<OffsetTable>);

/// The offsets by `topic@group`, then by queue.
#[derive(Debug, Clone, Default)]
pub(super) struct OffsetTable(BTreeMap<String, BTreeMap<i32, i64>>);

impl Content for OffsetTable {
    const FILE: &'static str = "consumerOffset.json";

    fn decode(fields: &mut Map<String, Value>) -> std::result::Result<Self, String> {
        fields.remove(GROUP_TOPIC_MAP);
        json::take_object(fields, OFFSET_TABLE)?
            .into_iter()
            .map(|(key, queues)| {
                let name = format!("{OFFSET_TABLE}.{key}");
                let queues = json::offsets(&name, json::object(&name, queues)?)?;
                Ok((key, queues))
            })
            .collect::<std::result::Result<_, String>>()
            .map(Self)
    }

    /// RocketMQ works the topics of each group out anew whenever it writes; so does this.
    fn encode(&self, fields: &mut Map<String, Value>) {
        let mut topics: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (topic, group) in self.0.keys().filter_map(|key| split_key(key)) {
            topics.entry(group).or_default().push(topic);
        }
        let topics = topics.into_iter().map(|(group, topics)| (group.to_owned(), topics.into()));
        let offsets = self.0.iter().map(|(key, queues)| (key, json::offsets_object(queues)));
        fields.insert(GROUP_TOPIC_MAP.to_owned(), Value::Object(topics.collect()));
        fields.insert(OFFSET_TABLE.to_owned(), offsets.collect());
    }
}

fn key_of(group: &str, topic: &str) -> String {
    format!("{topic}{SEPARATOR}{group}")
}

/// Topic and group of a key.
fn split_key(key: &str) -> Option<(&str, &str)> {
    key.rsplit_once(SEPARATOR).filter(|(topic, group)| !topic.is_empty() && !group.is_empty())
}

/// Checks a group's length and characters.
///
/// # Errors
///
/// - [`Status::GroupIllegal`]: it is empty, exceeds 255 bytes, or holds something other than ASCII
///   letters, digits, `%`, `-`, `_` and `|`.
pub(crate) fn check_group(group: &str) -> Result<()> {
    if group.is_empty() || group.len() > MAX_GROUP_BYTES {
        return Err(Error::new(Status::GroupIllegal, "the group name has an illegal length")
            .expected(format!("1 to {MAX_GROUP_BYTES} bytes"), group.len()));
    }
    if !is_name(group) {
        return Err(Error::new(Status::GroupIllegal, "the group name has an illegal character")
            .expected("letters, digits, %, -, _ and |", format!("{group:?}")));
    }
    Ok(())
}

impl ConsumerOffsets {
    /// Reads the offsets of a store, without opening it; there are none if the store has no such
    /// file. Later changes are not seen.
    ///
    /// # Errors
    ///
    /// - [`Status::Corruption`]: neither the file nor its `.bak` can be understood.
    /// - [`Status::Io`], [`Status::PermissionDenied`]: it cannot be read.
    pub fn read(store_path: impl AsRef<Path>) -> Result<Self> {
        Self::load(Arc::new(OsDisk), store_path.as_ref())
    }

    /// Loads the offsets of the store that is being opened; the errors are those of
    /// [`Self::read`].
    pub(crate) fn load(disk: Arc<dyn Disk>, store_path: &Path) -> Result<Self> {
        State::load(disk, store_path).map(Self)
    }

    /// The next index a group consumes of a queue; `None` if it has committed none.
    #[must_use]
    pub fn get(&self, group: &str, topic: &str, queue_id: i32) -> Option<QueueOffset> {
        self.0.read(|table| {
            let offset = table.0.get(&key_of(group, topic))?.get(&queue_id)?;
            QueueOffset::from_i64(*offset)
        })
    }

    /// The groups that have committed an offset, sorted.
    #[must_use]
    pub fn groups(&self) -> Vec<String> {
        self.0.read(|table| {
            let groups: BTreeSet<_> =
                table.0.keys().filter_map(|key| Some(split_key(key)?.1)).collect();
            groups.into_iter().map(str::to_owned).collect()
        })
    }

    /// The queues a group has committed an offset of, sorted: topic, queue id and the next index it
    /// consumes.
    #[must_use]
    pub fn queues_of(&self, group: &str) -> Vec<(String, i32, QueueOffset)> {
        self.0.read(|table| {
            let of_group = table.0.iter().filter_map(|(key, queues)| {
                let (topic, owner) = split_key(key)?;
                (owner == group).then_some((topic, queues))
            });
            let mut queues = Vec::new();
            for (topic, offsets) in of_group {
                for (queue_id, offset) in offsets {
                    if let Some(offset) = QueueOffset::from_i64(*offset) {
                        queues.push((topic.to_owned(), *queue_id, offset));
                    }
                }
            }
            queues.sort_unstable();
            queues
        })
    }

    /// Sets the next index of a group that passed [`check_group`]. A lower one than before is
    /// accepted, as RocketMQ does, but reported: two members may be consuming one queue.
    pub(crate) fn commit(&self, group: &str, topic: &str, queue_id: i32, offset: QueueOffset) {
        if let Some(before) = self.replace(group, topic, queue_id, offset)
            && before > offset.to_i64()
        {
            tracing::warn!(
                group,
                topic,
                queue_id,
                before,
                offset = offset.get(),
                "a lower consumer offset than before is committed"
            );
        }
    }

    /// Sets the next index of a group that passed [`check_group`] on someone's order, lower or
    /// higher than before.
    pub(crate) fn reset(&self, group: &str, topic: &str, queue_id: i32, offset: QueueOffset) {
        self.replace(group, topic, queue_id, offset);
    }

    /// Sets the next index and returns the one before.
    fn replace(&self, group: &str, topic: &str, queue_id: i32, offset: QueueOffset) -> Option<i64> {
        let key = key_of(group, topic);
        let mut before = None;
        self.0.change(|table| {
            before = table.0.entry(key).or_default().insert(queue_id, offset.to_i64());
            before != Some(offset.to_i64())
        });
        before
    }

    /// Forgets everything of a group; whether there was anything.
    pub(crate) fn remove_group(&self, group: &str) -> bool {
        self.0.change(|table| {
            let before = table.0.len();
            table.0.retain(|key, _| split_key(key).is_none_or(|(_, owner)| owner != group));
            table.0.len() != before
        })
    }

    /// Whether there are changes that are not in the file.
    pub(crate) fn is_dirty(&self) -> bool {
        self.0.is_dirty()
    }

    /// Writes the file, durably, if anything changed since; says whether it did. Offsets can be
    /// read and committed meanwhile.
    ///
    /// # Errors
    ///
    /// - [`Status::Io`], [`Status::DiskFull`], [`Status::PermissionDenied`]: a system call failed.
    ///   The store still has the former content or already the new one, and the next call tries
    ///   again.
    /// - [`Status::InvalidArgument`]: the file would exceed 64 MiB.
    pub(crate) fn persist(&self) -> Result<bool> {
        self.0.persist()
    }
}
