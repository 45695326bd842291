//! `config/topics.json`: the topics a broker serves from the store.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::{Content, State, json};
use crate::error::{Error, Result};
use crate::status::Status;
use crate::sys::disk::{Disk, OsDisk};

const TOPIC_CONFIG_TABLE: &str = "topicConfigTable";
const QUEUE_TYPE: &str = "queue.type";
const BATCH_QUEUE: &str = "BatchCQ";
/// What RocketMQ takes for a field that is missing.
const MISSING_QUEUE_NUMS: i32 = 16;
const SINGLE_TAG: &str = "SINGLE_TAG";
/// Readable and writeable.
const READ_WRITE: i32 = 6;
/// How many queues a broker gives a topic that it makes itself.
const NEW_TOPIC_QUEUE_NUMS: i32 = 8;

/// The kind of a topic's queue files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum QueueKind {
    /// 20 bytes per message: `SimpleCQ`.
    Simple,
    /// 46 bytes per batch: `BatchCQ`.
    Batch,
}

/// What `config/topics.json` says of one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicConfig {
    /// The topic.
    pub topic: String,
    /// How many queues are read, from queue id 0 on.
    pub read_queue_nums: i32,
    /// How many queues are written, from queue id 0 on.
    pub write_queue_nums: i32,
    /// Bits: 1 inherited, 2 writeable, 4 readable, 8 of priority.
    pub perm: i32,
    /// Whether the topic is consumed in order across brokers.
    pub order: bool,
    /// `SINGLE_TAG` or `MULTI_TAG`.
    pub topic_filter_type: String,
    /// RocketMQ's bits for topics that span sites.
    pub topic_sys_flag: i32,
    /// Further settings such as `queue.type` and `cleanup.policy`.
    pub attributes: BTreeMap<String, String>,
    /// Fields that are not known here.
    other: Map<String, Value>,
}

impl TopicConfig {
    fn new(topic: &str, kind: QueueKind) -> Self {
        let queue_nums = new_queue_nums(topic);
        let mut attributes = BTreeMap::new();
        if kind == QueueKind::Batch {
            attributes.insert(QUEUE_TYPE.to_owned(), BATCH_QUEUE.to_owned());
        }
        Self {
            topic: topic.to_owned(),
            read_queue_nums: queue_nums,
            write_queue_nums: queue_nums,
            perm: READ_WRITE,
            order: false,
            topic_filter_type: SINGLE_TAG.to_owned(),
            topic_sys_flag: 0,
            attributes,
            other: Map::new(),
        }
    }

    /// The kind of the topic's queues.
    #[must_use]
    pub fn queue_kind(&self) -> QueueKind {
        match self.attributes.get(QUEUE_TYPE) {
            Some(kind) if kind == BATCH_QUEUE => QueueKind::Batch,
            _ => QueueKind::Simple,
        }
    }

    fn decode(topic: &str, fields: Value) -> std::result::Result<Self, String> {
        let mut fields = json::object(topic, fields)?;
        let attributes = json::take_object(&mut fields, "attributes")?;
        let attributes = attributes.into_iter().map(|(name, value)| match value {
            Value::String(value) => (name, value),
            // As fastjson reads them into strings.
            other => (name, other.to_string()),
        });
        let nums = MISSING_QUEUE_NUMS;
        // The table's key is what counts.
        fields.remove("topicName");
        Ok(Self {
            topic: topic.to_owned(),
            attributes: attributes.collect(),
            order: json::take_bool(&mut fields, "order")?,
            perm: json::take_i32(&mut fields, "perm", READ_WRITE)?,
            read_queue_nums: json::take_i32(&mut fields, "readQueueNums", nums)?,
            topic_filter_type: json::take_string(&mut fields, "topicFilterType", SINGLE_TAG)?,
            topic_sys_flag: json::take_i32(&mut fields, "topicSysFlag", 0)?,
            write_queue_nums: json::take_i32(&mut fields, "writeQueueNums", nums)?,
            other: fields,
        })
    }

    fn encode(&self) -> Value {
        let mut fields = self.other.clone();
        let attributes = self.attributes.iter().map(|(name, value)| (name, value.as_str()));
        let known: [(&str, Value); 8] = [
            ("attributes", attributes.collect()),
            ("order", self.order.into()),
            ("perm", self.perm.into()),
            ("readQueueNums", self.read_queue_nums.into()),
            ("topicFilterType", self.topic_filter_type.as_str().into()),
            ("topicName", self.topic.as_str().into()),
            ("topicSysFlag", self.topic_sys_flag.into()),
            ("writeQueueNums", self.write_queue_nums.into()),
        ];
        fields.extend(known.map(|(name, value)| (name.to_owned(), value)));
        Value::Object(fields)
    }

    fn has_queue(&self, queue_id: i32) -> bool {
        self.read_queue_nums > queue_id && self.write_queue_nums > queue_id
    }
}

/// How many queues a new topic gets. What RocketMQ makes for its own use has as many as there,
/// since a broker goes through all of them.
fn new_queue_nums(topic: &str) -> i32 {
    match topic {
        "SCHEDULE_TOPIC_XXXX" => 18,
        "RMQ_SYS_TRANS_HALF_TOPIC"
        | "RMQ_SYS_TRANS_OP_HALF_TOPIC"
        | "TRANS_CHECK_MAX_TIME_TOPIC" => 1,
        _ if topic.starts_with("%RETRY%") || topic.starts_with("%DLQ%") => 1,
        _ => NEW_TOPIC_QUEUE_NUMS,
    }
}

/// The topics of a store: `config/topics.json`. Any thread may use it.
#[derive(Debug)]
pub struct Topics(State<TopicConfigTable>);

/// The settings by topic.
#[derive(Debug, Clone, Default)]
pub(super) struct TopicConfigTable(HashMap<String, TopicConfig>);

impl Content for TopicConfigTable {
    const FILE: &'static str = "topics.json";

    fn decode(fields: &mut Map<String, Value>) -> std::result::Result<Self, String> {
        json::take_object(fields, TOPIC_CONFIG_TABLE)?
            .into_iter()
            .map(|(topic, fields)| {
                let config = TopicConfig::decode(&topic, fields)
                    .map_err(|error| format!("{TOPIC_CONFIG_TABLE}.{topic}: {error}"))?;
                Ok((topic, config))
            })
            .collect::<std::result::Result<_, String>>()
            .map(Self)
    }

    fn encode(&self, fields: &mut Map<String, Value>) {
        let table = self.0.iter().map(|(topic, config)| (topic, config.encode()));
        fields.insert(TOPIC_CONFIG_TABLE.to_owned(), table.collect());
    }
}

impl Topics {
    /// Reads the topics of a store, without opening it; there are none if the store has no such
    /// file. Later changes are not seen.
    ///
    /// # Errors
    ///
    /// - [`Status::Corruption`]: neither the file nor its `.bak` can be understood.
    /// - [`Status::Io`], [`Status::PermissionDenied`]: it cannot be read.
    pub fn read(store_path: impl AsRef<Path>) -> Result<Self> {
        Self::load(Arc::new(OsDisk), store_path.as_ref())
    }

    /// Loads the topics of the store that is being opened; the errors are those of [`Self::read`].
    pub(crate) fn load(disk: Arc<dyn Disk>, store_path: &Path) -> Result<Self> {
        State::load(disk, store_path).map(Self)
    }

    /// What is set for a topic, if it is known.
    #[must_use]
    pub fn get(&self, topic: &str) -> Option<TopicConfig> {
        self.0.read(|table| table.0.get(topic).cloned())
    }

    /// The topics, sorted.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = self.0.read(|table| table.0.keys().cloned().collect());
        names.sort_unstable();
        names
    }

    /// The kind of a topic's queues, if the topic is known.
    #[must_use]
    pub fn kind_of(&self, topic: &str) -> Option<QueueKind> {
        self.0.read(|table| table.0.get(topic).map(TopicConfig::queue_kind))
    }

    /// Makes sure that a broker serves this queue, and says whether something had to be changed. A
    /// new topic gets 8 queues as in RocketMQ, or as many as the queue id needs; a known one is
    /// widened.
    ///
    /// # Errors
    ///
    /// - [`Status::QueueIdIllegal`]: the queue id is negative, or 2^31 - 1.
    /// - [`Status::BatchIllegal`]: the topic's queues are of the other kind; nothing was changed.
    pub(crate) fn ensure(&self, topic: &str, queue_id: i32, kind: QueueKind) -> Result<bool> {
        let needed = queue_id.checked_add(1).filter(|needed| *needed > 0).ok_or_else(|| {
            Error::new(Status::QueueIdIllegal, "the queue id cannot be served")
                .expected("0 to 2147483646", queue_id)
        })?;
        let known = self.0.read(|table| {
            table.0.get(topic).map(|config| (config.queue_kind(), config.has_queue(queue_id)))
        });
        if known == Some((kind, true)) {
            return Ok(false);
        }
        let mut found = kind;
        let changed = self.0.change(|table| {
            let made = !table.0.contains_key(topic);
            let config =
                table.0.entry(topic.to_owned()).or_insert_with(|| TopicConfig::new(topic, kind));
            found = config.queue_kind();
            if found != kind || (!made && config.has_queue(queue_id)) {
                return false;
            }
            config.read_queue_nums = config.read_queue_nums.max(needed);
            config.write_queue_nums = config.write_queue_nums.max(needed);
            true
        });
        if found != kind {
            let what = format!("the queues of topic {topic:?} are of another kind");
            return Err(Error::new(Status::BatchIllegal, what)
                .expected(format!("{kind:?}"), format!("{found:?}")));
        }
        Ok(changed)
    }

    /// Whether there are changes that are not in the file.
    pub(crate) fn is_dirty(&self) -> bool {
        self.0.is_dirty()
    }

    /// Writes the file, durably, if anything changed since; says whether it did.
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
