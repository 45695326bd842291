//! The checks before an append, in RocketMQ's order, and the making of records.

use std::net::SocketAddr;

use crate::codec::batch::BatchItems;
use crate::codec::properties::{InnerBatch, PropertySource};
use crate::codec::record::{BLANK_BYTES, DraftFields, RecordDraft, sys_flag};
use crate::error::{Error, Result};
use crate::message::{EncodedBatch, Message};
use crate::options::StoreOptions;
use crate::status::Status;

/// The longest topic: a topic is also the name of a directory.
const MAX_TOPIC_BYTES: usize = 255;
/// What a record may have beyond its body.
const RECORD_OVERHEAD_BYTES: u64 = 65_536;
/// System flag bits that only the store sets.
const STORE_BITS: i32 = sys_flag::NEED_UNWRAP | sys_flag::INNER_BATCH;

/// Turns messages into records.
#[derive(Debug)]
pub(crate) struct Preparer {
    max_message_size_bytes: u32,
    file_size_bytes: u64,
    store_host: SocketAddr,
    record_crc: bool,
}

impl Preparer {
    pub(crate) fn new(options: &StoreOptions, file_size_bytes: u64) -> Self {
        Self {
            max_message_size_bytes: options.max_message_size_bytes,
            file_size_bytes,
            store_host: options.store_host,
            record_crc: options.append_record_crc,
        }
    }

    /// Checks a message and makes its record for this topic and queue, which were checked.
    pub(crate) fn message<'m>(
        &self,
        message: &Message<'m>,
        topic: &'m str,
        queue_id: i32,
    ) -> Result<RecordDraft<'m>> {
        self.check_body(message.body)?;
        check_sys_flag(message)?;
        let properties = properties_of(message, &[]);
        properties.validate()?;
        self.draft(message, topic, queue_id, message.body, message.flag, properties, 0)
    }

    /// Makes the records of a plain batch.
    pub(crate) fn batch<'m>(
        &self,
        batch: &EncodedBatch<'m>,
        topic: &'m str,
        queue_id: i32,
    ) -> Result<Vec<RecordDraft<'m>>> {
        let shared = &batch.shared;
        self.check_batch(batch)?;
        let mut drafts = Vec::new();
        for item in BatchItems::new(batch.items) {
            let item = item?;
            let properties = properties_of(shared, item.properties);
            let draft = self.draft(shared, topic, queue_id, item.body, item.flag, properties, 0)?;
            drafts.push(draft);
        }
        self.check_fits(drafts.iter().map(|draft| u64::from(draft.size_bytes())).sum())?;
        Ok(drafts)
    }

    /// Checks an inner batch and counts its messages.
    pub(crate) fn inner_batch_count(&self, batch: &EncodedBatch<'_>) -> Result<u32> {
        self.check_batch(batch)?;
        let mut count = 0;
        for item in BatchItems::new(batch.items) {
            item?;
            count += 1;
        }
        Ok(count)
    }

    /// Makes the one record of an inner batch whose first message gets the index `base`.
    pub(crate) fn inner_batch<'m>(
        &self,
        batch: &EncodedBatch<'m>,
        topic: &'m str,
        queue_id: i32,
        inner: InnerBatch,
    ) -> Result<RecordDraft<'m>> {
        let shared = &batch.shared;
        let mut properties = properties_of(shared, &[]);
        properties.inner_batch = Some(inner);
        self.draft(shared, topic, queue_id, batch.items, shared.flag, properties, STORE_BITS)
    }

    #[allow(clippy::too_many_arguments, reason = "the parts of a record have no common owner")]
    fn draft<'m>(
        &self,
        message: &Message<'m>,
        topic: &'m str,
        queue_id: i32,
        body: &'m [u8],
        flag: i32,
        properties: PropertySource<'m>,
        store_bits: i32,
    ) -> Result<RecordDraft<'m>> {
        let draft = RecordDraft::new(DraftFields {
            topic: topic.as_bytes(),
            queue_id,
            body,
            flag,
            sys_flag: message.sys_flag | store_bits,
            born_timestamp_ms: message.born_timestamp_ms,
            born_host: message.born_host.unwrap_or(self.store_host),
            store_host: self.store_host,
            reconsume_times: message.reconsume_times,
            prepared_transaction_offset: message.prepared_transaction_offset,
            properties,
            record_crc: self.record_crc,
        })?;
        let size = u64::from(draft.size_bytes());
        let most = u64::from(self.max_message_size_bytes) + RECORD_OVERHEAD_BYTES;
        if size > most {
            return Err(Error::new(Status::MessageTooLarge, "the record is too large")
                .expected(format!("at most {most} bytes"), size));
        }
        self.check_fits(size)?;
        Ok(draft)
    }

    /// Records of one call stay in one file, in front of its blank.
    fn check_fits(&self, size: u64) -> Result<()> {
        let most = self.file_size_bytes - u64::from(BLANK_BYTES);
        if size > most {
            return Err(Error::new(
                Status::MessageTooLarge,
                "the message does not fit into a commit log file",
            )
            .expected(format!("at most {most} bytes"), size));
        }
        Ok(())
    }

    fn check_body(&self, body: &[u8]) -> Result<()> {
        if body.is_empty() {
            return Err(Error::new(Status::BodyEmpty, "the message has no body"));
        }
        if body.len() as u64 > u64::from(self.max_message_size_bytes) {
            return Err(Error::new(Status::BodyTooLarge, "the body is too large")
                .expected(format!("at most {} bytes", self.max_message_size_bytes), body.len()));
        }
        Ok(())
    }

    fn check_batch(&self, batch: &EncodedBatch<'_>) -> Result<()> {
        let illegal = |what: &'static str| Error::new(Status::BatchIllegal, what);
        if batch.items.is_empty() {
            return Err(illegal("the batch has no items"));
        }
        if batch.items.len() as u64 > u64::from(self.max_message_size_bytes) {
            return Err(illegal("the batch is too large").expected(
                format!("at most {} bytes", self.max_message_size_bytes),
                batch.items.len(),
            ));
        }
        check_sys_flag(&batch.shared)?;
        if batch.shared.sys_flag & sys_flag::TRANSACTION_TYPE != 0 {
            return Err(illegal("a batch cannot be transactional"));
        }
        let delayed = batch.shared.properties.iter().any(|(name, _)| *name == "DELAY");
        if delayed {
            return Err(illegal("a batch cannot be delayed"));
        }
        properties_of(&batch.shared, &[]).validate()
    }
}

fn properties_of<'m>(message: &Message<'m>, raw: &'m [u8]) -> PropertySource<'m> {
    PropertySource {
        raw,
        tag: message.tag,
        keys: message.keys,
        pairs: message.properties,
        wait_store_ok: message.wait_store_ok,
        inner_batch: None,
    }
}

fn check_sys_flag(message: &Message<'_>) -> Result<()> {
    if message.sys_flag & STORE_BITS != 0 {
        return Err(Error::new(
            Status::InvalidArgument,
            "the inner batch bits of sys_flag are the store's to set",
        ));
    }
    Ok(())
}

/// Whether a caller waits for the sync: both the field and the `WAIT` property may say no.
pub(crate) fn waits(message: &Message<'_>) -> bool {
    let property = message.properties.iter().rev().find(|(name, _)| *name == "WAIT");
    message.wait_store_ok && property.is_none_or(|(_, value)| value.eq_ignore_ascii_case("true"))
}

/// Checks a topic's length and characters.
pub(crate) fn check_topic(topic: &str) -> Result<()> {
    if topic.is_empty() {
        return Err(Error::new(Status::TopicEmpty, "the topic is empty"));
    }
    if topic.len() > MAX_TOPIC_BYTES {
        return Err(Error::new(Status::TopicTooLong, "the topic is too long")
            .expected(format!("at most {MAX_TOPIC_BYTES} bytes"), topic.len()));
    }
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"%-_|".contains(&byte);
    if !topic.bytes().all(legal) {
        return Err(Error::new(Status::TopicIllegal, "the topic has an illegal character")
            .expected("letters, digits, %, -, _ and |", format!("{topic:?}")));
    }
    Ok(())
}

/// Checks a queue's number.
pub(crate) fn check_queue_id(queue_id: i32) -> Result<()> {
    if queue_id < 0 {
        return Err(Error::new(Status::QueueIdIllegal, "the queue id is negative")
            .expected("0 or more", queue_id));
    }
    Ok(())
}
