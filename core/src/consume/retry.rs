//! Messages that could not be processed: to the group's retry topic, and in the end to its
//! dead-letter topic, as a RocketMQ broker puts them there.

use super::{DEAD_LETTER_TOPIC_PREFIX, RETRY_TOPIC_PREFIX};
use crate::commit_log::MessageView;
use crate::error::Result;
use crate::message::Message;
use crate::store::StoreHandle;

/// The topic the message was first appended to.
pub(super) const PROPERTY_RETRY_TOPIC: &str = "RETRY_TOPIC";
/// The `offsetMsgId` the message had first.
const PROPERTY_ORIGIN_MESSAGE_ID: &str = "ORIGIN_MESSAGE_ID";
const PROPERTY_DELAY: &str = "DELAY";
/// The delay level of the first attempt; each further one takes the next level.
const FIRST_LEVEL: i32 = 3;
/// What belongs to the way a message came, and not to the message.
const LEFT_OUT: [&str; 6] =
    [PROPERTY_DELAY, "REAL_TOPIC", "REAL_QID", "WAIT", "__CRC32#", "TRAN_MSG"];

/// Sends messages of one group on their way.
pub(super) struct Retry<'g> {
    pub(super) group: &'g str,
}

impl Retry<'_> {
    /// Puts a message where it is tried once more, or where it ends after `most` attempts.
    pub(super) fn send_back(
        &self,
        store: &StoreHandle,
        message: &MessageView,
        most: i32,
    ) -> Result<()> {
        let attempts = message.reconsume_times();
        if attempts >= most {
            return self.give_up(store, message);
        }
        let level = FIRST_LEVEL.saturating_add(attempts);
        self.put(store, message, RETRY_TOPIC_PREFIX, Some(level))
    }

    /// Puts a message into the dead-letter topic.
    pub(super) fn give_up(&self, store: &StoreHandle, message: &MessageView) -> Result<()> {
        self.put(store, message, DEAD_LETTER_TOPIC_PREFIX, None)
    }

    fn put(
        &self,
        store: &StoreHandle,
        message: &MessageView,
        prefix: &str,
        delay_level: Option<i32>,
    ) -> Result<()> {
        let topic = format!("{prefix}{}", self.group);
        let own_topic = message.topic();
        let own_id = message.offset_message_id();
        let level = delay_level.map(|level| level.to_string());
        let kept: Vec<_> = message
            .properties()
            .map(|(name, value)| (String::from_utf8_lossy(name), String::from_utf8_lossy(value)))
            .filter(|(name, value)| !value.is_empty() && !LEFT_OUT.contains(&&**name))
            .collect();
        let has = |wanted: &str| kept.iter().any(|(name, _)| name == wanted);
        let mut properties: Vec<(&str, &str)> =
            kept.iter().map(|(name, value)| (&**name, &**value)).collect();
        if !has(PROPERTY_RETRY_TOPIC) {
            properties.push((PROPERTY_RETRY_TOPIC, &own_topic));
        }
        if !has(PROPERTY_ORIGIN_MESSAGE_ID) {
            properties.push((PROPERTY_ORIGIN_MESSAGE_ID, &own_id));
        }
        if let Some(level) = &level {
            properties.push((PROPERTY_DELAY, level));
        }
        let mut again = Message::new(&topic, message.body()).properties(&properties);
        again.flag = message.flag();
        again.sys_flag = message.sys_flag() & 0x1;
        again.born_timestamp_ms = Some(message.born_timestamp_ms());
        again.born_host = Some(message.born_host());
        again.reconsume_times = message.reconsume_times().saturating_add(1);
        store.append(&again).map(|_| ())
    }
}
