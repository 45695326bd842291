//! What is appended and what comes back.

use std::net::SocketAddr;

use crate::codec::message_id::offset_message_id;
use crate::offset::{PhysicalOffset, QueueOffset};

/// One message to append. Everything is borrowed for the call.
///
/// ```
/// use cairnlog::Message;
///
/// let message = Message::new("orders", b"20 pears").queue_id(3).tag("new").keys(&["42"]);
/// assert_eq!(message.topic, "orders");
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// The topic: 1 to 255 bytes of ASCII letters, digits, `%`, `-`, `_` and `|`. A RocketMQ broker
    /// takes at most 127 bytes from its clients.
    pub topic: &'a str,
    /// The queue inside the topic, from 0.
    pub queue_id: i32,
    /// The payload, at least one byte and at most `max_message_size_bytes`.
    pub body: &'a [u8],
    /// The tag consumers filter by (property `TAGS`).
    pub tag: Option<&'a str>,
    /// Keys the message can be found by (property `KEYS`, joined by spaces; a key holds no space).
    pub keys: &'a [&'a str],
    /// Further properties. Names and values are not empty; neither holds 0x02, a name no 0x01. Of
    /// a name that occurs twice, readers see the last value.
    pub properties: &'a [(&'a str, &'a str)],
    /// An application's own number, not looked at by the store.
    pub flag: i32,
    /// RocketMQ's system flag bits, e.g. 0x1 for a compressed body or 0x8 for a committed
    /// transaction. The host bits (0x10, 0x20) are set from the addresses; 0xC0 is refused here.
    pub sys_flag: i32,
    /// The producer's clock, in milliseconds since the Unix epoch; `None` for the store time.
    pub born_timestamp_ms: Option<i64>,
    /// The producer's address; `None` for the store's own host.
    pub born_host: Option<SocketAddr>,
    /// How often the message was consumed before.
    pub reconsume_times: i32,
    /// For a committed transaction, the physical offset of its half message; else 0.
    pub prepared_transaction_offset: i64,
    /// After which delay the message comes to its queue: a level of `message_delay_level`, counted
    /// from 1, the highest for a larger number, and 0 for no delay (property `DELAY`, which counts
    /// when this is 0). A delayed message is stored in the topic `SCHEDULE_TOPIC_XXXX` at first,
    /// which is what [`AppendResult`] then speaks of.
    pub delay_level: u32,
    /// Whether `append` waits for the sync in a store with synchronous flush (property `WAIT`).
    pub wait_store_ok: bool,
}

impl<'a> Message<'a> {
    /// A message for queue 0 of `topic`, without tag, keys and properties, which waits for the
    /// sync where there is one.
    #[must_use]
    pub const fn new(topic: &'a str, body: &'a [u8]) -> Self {
        Self {
            topic,
            queue_id: 0,
            body,
            tag: None,
            keys: &[],
            properties: &[],
            flag: 0,
            sys_flag: 0,
            born_timestamp_ms: None,
            born_host: None,
            reconsume_times: 0,
            prepared_transaction_offset: 0,
            delay_level: 0,
            wait_store_ok: true,
        }
    }

    /// Sets the queue.
    #[must_use]
    pub const fn queue_id(mut self, queue_id: i32) -> Self {
        self.queue_id = queue_id;
        self
    }

    /// Sets the tag.
    #[must_use]
    pub const fn tag(mut self, tag: &'a str) -> Self {
        self.tag = Some(tag);
        self
    }

    /// Sets the keys.
    #[must_use]
    pub const fn keys(mut self, keys: &'a [&'a str]) -> Self {
        self.keys = keys;
        self
    }

    /// Sets further properties.
    #[must_use]
    pub const fn properties(mut self, properties: &'a [(&'a str, &'a str)]) -> Self {
        self.properties = properties;
        self
    }

    /// Sets the delay level.
    #[must_use]
    pub const fn delay_level(mut self, level: u32) -> Self {
        self.delay_level = level;
        self
    }

    /// Sets whether `append` waits for the sync.
    #[must_use]
    pub const fn wait_store_ok(mut self, wait: bool) -> Self {
        self.wait_store_ok = wait;
        self
    }
}

/// Messages already encoded by a client, to be stored as consecutive records (a plain batch) or as
/// one record (an inner batch).
///
/// `items` is RocketMQ's client encoding: items one after the other, each an i32 size of the item,
/// an i32 magic and an i32 CRC (both ignored), an i32 flag, an i32 body length and the body, an i16
/// properties length and the properties, all big-endian.
#[derive(Debug, Clone, Copy)]
pub struct EncodedBatch<'a> {
    /// Everything the messages share: topic, queue, system flag, hosts, tag, keys and properties.
    /// Its properties are appended to those of each item; its body and flag are not used.
    pub shared: Message<'a>,
    /// The items.
    pub items: &'a [u8],
}

/// Where a message, or a batch, came to lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppendResult {
    /// Where the first record begins in the log.
    pub physical_offset: PhysicalOffset,
    /// Bytes written for all records of the call, blanks not included.
    pub size_bytes: u32,
    /// The first message's index in its queue; 0 for prepared and rolled back transactions.
    pub queue_offset: QueueOffset,
    /// The queue.
    pub queue_id: i32,
    /// The number of messages.
    pub message_count: u32,
    /// The store's clock at the append, milliseconds since the Unix epoch; never decreasing along
    /// the log.
    pub store_timestamp_ms: i64,
    /// The address stored as the store's host.
    pub store_host: SocketAddr,
}

impl AppendResult {
    /// One past the last byte of the call: [`crate::Store::wait_durable`] takes it.
    #[must_use]
    pub fn end_offset(&self) -> PhysicalOffset {
        PhysicalOffset::new(self.physical_offset.get() + u64::from(self.size_bytes))
    }

    /// RocketMQ's `offsetMsgId` of the first record: host, port and physical offset in hex.
    #[must_use]
    pub fn offset_message_id(&self) -> String {
        offset_message_id(self.store_host, self.physical_offset)
    }
}
