//! The fields of a stored record, read where they lie.

use std::borrow::Cow;
use std::net::{Ipv4Addr, SocketAddr};

use super::host::decode_host;
use super::properties::{
    PROPERTY_INNER_NUM, PROPERTY_KEYS, PROPERTY_TAGS, PropertyIter, without_record_crc,
};
use super::record::{RecordLayout, at, host_bytes, queue_kind, sys_flag};
use super::{read_i32, read_i64};
use crate::offset::{PhysicalOffset, QueueOffset};
use crate::state::QueueKind;

/// An item of a batch with an empty body and no properties.
const MIN_ITEM_BYTES: usize = 22;

/// The bytes of one checked record and its fields.
#[derive(Debug, Clone, Copy)]
pub struct RecordView<'a> {
    bytes: &'a [u8],
    layout: RecordLayout,
}

impl<'a> RecordView<'a> {
    /// `bytes` begins with the record that was parsed to `layout`.
    pub(crate) fn new(bytes: &'a [u8], layout: RecordLayout) -> Self {
        Self { bytes: bytes.get(..layout.size as usize).unwrap_or(bytes), layout }
    }

    fn slice(&self, start: u32, length: u32) -> &'a [u8] {
        let start = start as usize;
        self.bytes.get(start..start + length as usize).unwrap_or_default()
    }

    fn i32_at(&self, at: usize) -> i32 {
        read_i32(self.bytes, at).unwrap_or_default()
    }

    fn i64_at(&self, at: usize) -> i64 {
        read_i64(self.bytes, at).unwrap_or_default()
    }

    fn born_host_bytes(&self) -> usize {
        host_bytes(self.layout.sys_flag, sys_flag::BORN_HOST_V6)
    }

    fn store_host_bytes(&self) -> usize {
        host_bytes(self.layout.sys_flag, sys_flag::STORE_HOST_V6)
    }

    fn host_at(&self, at: usize, length: usize) -> SocketAddr {
        self.bytes
            .get(at..at + length)
            .and_then(decode_host)
            .unwrap_or_else(|| SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)))
    }

    /// The record as it is stored.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The length of the record in bytes.
    #[must_use]
    pub fn size_bytes(&self) -> u32 {
        self.layout.size
    }

    /// The magic: 0xDAA320A7 (V1) or 0xDAA320AB (V2), as the format's signed number.
    #[must_use]
    pub fn magic(&self) -> i32 {
        self.i32_at(at::MAGIC)
    }

    /// The stored CRC-32 of the body, its top bit cleared.
    #[must_use]
    pub fn body_crc(&self) -> u32 {
        self.i32_at(at::BODY_CRC).cast_unsigned()
    }

    /// The queue inside the topic.
    #[must_use]
    pub fn queue_id(&self) -> i32 {
        self.i32_at(at::QUEUE_ID)
    }

    /// The application's own number.
    #[must_use]
    pub fn flag(&self) -> i32 {
        self.i32_at(at::FLAG)
    }

    /// The index in the queue.
    #[must_use]
    pub fn queue_offset(&self) -> QueueOffset {
        QueueOffset::from_i64(self.i64_at(at::QUEUE_OFFSET)).unwrap_or_default()
    }

    /// Where the record begins in the log.
    #[must_use]
    pub fn physical_offset(&self) -> PhysicalOffset {
        PhysicalOffset::from_i64(self.i64_at(at::PHYSICAL_OFFSET)).unwrap_or_default()
    }

    /// One past the record's last byte in the log.
    #[must_use]
    pub fn end_offset(&self) -> PhysicalOffset {
        PhysicalOffset::new(self.physical_offset().get() + u64::from(self.layout.size))
    }

    /// RocketMQ's system flag bits.
    #[must_use]
    pub fn sys_flag(&self) -> i32 {
        self.layout.sys_flag
    }

    /// The producer's clock, milliseconds since the Unix epoch.
    #[must_use]
    pub fn born_timestamp_ms(&self) -> i64 {
        self.i64_at(at::BORN_TIMESTAMP)
    }

    /// The producer's address.
    #[must_use]
    pub fn born_host(&self) -> SocketAddr {
        self.host_at(at::BORN_HOST, self.born_host_bytes())
    }

    /// The store's clock at the append, milliseconds since the Unix epoch.
    #[must_use]
    pub fn store_timestamp_ms(&self) -> i64 {
        self.i64_at(at::BORN_HOST + self.born_host_bytes())
    }

    /// The store's address.
    #[must_use]
    pub fn store_host(&self) -> SocketAddr {
        self.host_at(at::BORN_HOST + self.born_host_bytes() + 8, self.store_host_bytes())
    }

    /// How often the message was consumed before.
    #[must_use]
    pub fn reconsume_times(&self) -> i32 {
        self.i32_at(self.layout.body_start as usize - 16)
    }

    /// The physical offset of the half message of a committed transaction, else 0.
    #[must_use]
    pub fn prepared_transaction_offset(&self) -> i64 {
        self.i64_at(self.layout.body_start as usize - 12)
    }

    /// The payload.
    #[must_use]
    pub fn body(&self) -> &'a [u8] {
        self.slice(self.layout.body_start, self.layout.body_bytes)
    }

    /// The topic; bytes that are no UTF-8 are replaced.
    #[must_use]
    pub fn topic(&self) -> Cow<'a, str> {
        String::from_utf8_lossy(self.topic_bytes())
    }

    /// The topic as stored.
    #[must_use]
    pub fn topic_bytes(&self) -> &'a [u8] {
        self.slice(self.layout.topic_start, u32::from(self.layout.topic_bytes))
    }

    /// The properties as stored, the appended record CRC included.
    #[must_use]
    pub fn properties_raw(&self) -> &'a [u8] {
        self.slice(self.layout.properties_start, u32::from(self.layout.properties_bytes))
    }

    /// The message's own properties as stored: those without the appended record CRC.
    #[must_use]
    pub fn own_properties_raw(&self) -> &'a [u8] {
        without_record_crc(self.properties_raw())
    }

    /// The message's own properties, in stored order.
    #[must_use]
    pub fn properties(&self) -> PropertyIter<'a> {
        PropertyIter::new(self.own_properties_raw())
    }

    /// The value of a property of the message's own; bytes that are no UTF-8 are replaced.
    #[must_use]
    pub fn property(&self, name: &str) -> Option<Cow<'a, str>> {
        self.properties().find(name).map(String::from_utf8_lossy)
    }

    /// The tag.
    #[must_use]
    pub fn tag(&self) -> Option<Cow<'a, str>> {
        self.property(PROPERTY_TAGS)
    }

    /// The keys, each without the spaces around it.
    #[must_use]
    pub fn keys(&self) -> Vec<Cow<'a, str>> {
        let keys = self.properties().find(PROPERTY_KEYS).unwrap_or_default();
        keys.split(|&byte| byte == b' ')
            .filter(|key| !key.is_empty())
            .map(String::from_utf8_lossy)
            .collect()
    }

    /// Whether the record goes to a queue: what prepares a transaction, or takes it back, does not.
    #[inline]
    pub(crate) fn is_queued(&self) -> bool {
        let transaction = self.sys_flag() & sys_flag::TRANSACTION_TYPE;
        [sys_flag::TRANSACTION_NONE, sys_flag::TRANSACTION_COMMIT].contains(&transaction)
    }

    /// The kind of queue the record goes to.
    pub(crate) fn queue_kind(&self) -> QueueKind {
        queue_kind(self.sys_flag())
    }

    /// The number of messages the record stands for: more than one in an inner batch only.
    #[inline]
    pub(crate) fn message_count(&self) -> u32 {
        if self.queue_kind() != QueueKind::Batch {
            return 1;
        }
        let count = self.property(PROPERTY_INNER_NUM).and_then(|count| count.parse::<u32>().ok());
        // No more than the body has room for, whatever the property says.
        let most = u32::try_from(self.body().len() / MIN_ITEM_BYTES).unwrap_or(u32::MAX);
        count.unwrap_or(1).clamp(1, most.max(1))
    }

    /// RocketMQ's `offsetMsgId`.
    #[must_use]
    pub fn offset_message_id(&self) -> String {
        super::message_id::offset_message_id(self.store_host(), self.physical_offset())
    }
}
