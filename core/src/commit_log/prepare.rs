//! The checks before an append, in RocketMQ's order, and the making of records.

use crate::codec::batch::BatchItems;
use crate::codec::host::EncodedHost;
use crate::codec::properties::{
    HalfMark, InnerBatch, PROPERTY_DELAY, PROPERTY_UNIQUE_KEY, PropertySource, RealQueue,
};
use crate::codec::record::{BLANK_BYTES, DraftFields, RecordDraft, sys_flag};
use crate::codec::{RecordView, is_name};
use crate::consume_queue::MAX_BATCH_MESSAGES;
use crate::delay::{DelayLevels, SCHEDULE_TOPIC};
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
    store_host: EncodedHost,
    record_crc: bool,
    /// The highest delay level.
    max_delay_level: u32,
}

/// The queue of the schedule topic that a message is stored in, and what its record says.
#[derive(Debug)]
pub(crate) struct Delayed<'m> {
    pub(crate) draft: RecordDraft<'m>,
    pub(crate) queue_id: i32,
}

impl Preparer {
    pub(crate) fn new(options: &StoreOptions, file_size_bytes: u64) -> Result<Self> {
        let levels = DelayLevels::parse(&options.message_delay_level)?.count();
        Ok(Self {
            max_message_size_bytes: options.max_message_size_bytes,
            file_size_bytes,
            store_host: EncodedHost::new(options.store_host),
            record_crc: options.append_record_crc,
            max_delay_level: i32::try_from(levels).unwrap_or(i32::MAX).unsigned_abs(),
        })
    }

    /// The level a message is to be delayed by, 0 for none. Prepared and rolled back transactions
    /// are never delayed, nor is what is addressed to the schedule topic itself.
    pub(crate) fn delay_level(&self, message: &Message<'_>, topic: &str) -> Result<u32> {
        let transaction = message.sys_flag & sys_flag::TRANSACTION_TYPE;
        let level = level_of(message)?;
        let delayed = level > 0
            && [sys_flag::TRANSACTION_NONE, sys_flag::TRANSACTION_COMMIT].contains(&transaction)
            && topic != SCHEDULE_TOPIC;
        Ok(if delayed { level.min(self.max_delay_level) } else { 0 })
    }

    /// Checks a message that is delayed by a level of at least 1, and makes the record that waits
    /// for its time. Topic and queue, where it goes in the end, were checked.
    pub(crate) fn delayed<'m>(
        &self,
        message: &Message<'m>,
        topic: &'m str,
        queue_id: i32,
        level: u32,
    ) -> Result<Delayed<'m>> {
        self.check_body(message.body)?;
        check_sys_flag(message)?;
        let mut properties = properties_of(message, &[]);
        properties.delay_level = level;
        properties.real_queue = Some(RealQueue { topic, queue_id });
        properties.validate()?;
        // A level is at most what an i32 holds.
        let queue_id = (level - 1).cast_signed();
        let fields = self.fields(message, SCHEDULE_TOPIC, queue_id, properties);
        let draft = self.checked(fields)?;
        Ok(Delayed { draft, queue_id })
    }

    /// Checks a message and makes the record that waits in `topic` until its transaction ends. The
    /// topic and queue that it names were checked.
    pub(crate) fn half<'m>(
        &self,
        message: &Message<'m>,
        topic: &'m str,
        queue_id: i32,
    ) -> Result<RecordDraft<'m>> {
        self.check_body(message.body)?;
        check_sys_flag(message)?;
        let unique_key = |(name, _): &&(&str, &str)| *name == PROPERTY_UNIQUE_KEY;
        let id = message.properties.iter().rev().find(unique_key).map(|(_, value)| *value);
        let mut properties = properties_of(message, &[]);
        properties.delay_level = level_of(message)?.min(self.max_delay_level);
        properties.real_queue =
            Some(RealQueue { topic: message.topic, queue_id: message.queue_id });
        properties.half = Some(HalfMark { id });
        properties.validate()?;
        let message =
            Message { sys_flag: message.sys_flag & !sys_flag::TRANSACTION_TYPE, ..*message };
        self.checked(self.fields(&message, topic, queue_id, properties))
    }

    /// Makes the record of a half message that is put once more with other properties.
    pub(crate) fn renewed<'m>(
        &self,
        half: &RecordView<'m>,
        properties: &'m [u8],
        topic: &'m str,
        queue_id: i32,
    ) -> Result<RecordDraft<'m>> {
        let mut fields = self.fields_of(half, topic, queue_id);
        fields.properties = PropertySource::raw(properties);
        self.checked(fields)
    }

    /// The level a stored message is to be delayed by when it is put once more; 0 for none.
    pub(crate) fn stored_delay_level(&self, record: &RecordView<'_>) -> u32 {
        let level = record.property(PROPERTY_DELAY).and_then(|level| level.parse::<i32>().ok());
        level.and_then(|level| u32::try_from(level).ok()).unwrap_or(0).min(self.max_delay_level)
    }

    /// Makes the record of a half message that is committed, for a topic and queue that were
    /// checked.
    pub(crate) fn committed<'m>(
        &self,
        half: &RecordView<'m>,
        topic: &'m str,
        queue_id: i32,
    ) -> Result<RecordDraft<'m>> {
        let mut fields = self.fields_of(half, topic, queue_id);
        fields.sys_flag &= !sys_flag::TRANSACTION_TYPE;
        fields.sys_flag |= sys_flag::TRANSACTION_COMMIT;
        fields.prepared_transaction_offset = half.physical_offset().to_i64();
        self.checked(fields)
    }

    /// Makes the record of a stored message for another topic and queue, which were checked.
    pub(crate) fn copy<'m>(
        &self,
        record: &RecordView<'m>,
        topic: &'m str,
        queue_id: i32,
    ) -> Result<RecordDraft<'m>> {
        self.checked(self.fields_of(record, topic, queue_id))
    }

    fn fields_of<'m>(
        &self,
        record: &RecordView<'m>,
        topic: &'m str,
        queue_id: i32,
    ) -> DraftFields<'m> {
        DraftFields {
            topic: topic.as_bytes(),
            queue_id,
            body: record.body(),
            flag: record.flag(),
            sys_flag: record.sys_flag(),
            born_timestamp_ms: Some(record.born_timestamp_ms()),
            born_host: EncodedHost::new(record.born_host()),
            store_host: EncodedHost::new(record.store_host()),
            reconsume_times: record.reconsume_times(),
            prepared_transaction_offset: 0,
            properties: PropertySource::raw(record.own_properties_raw()),
            record_crc: self.record_crc,
        }
    }

    /// The record of a message for this topic and queue, which were checked. Before it is used it
    /// is to be [checked](Self::check), where it stands.
    #[inline(always)]
    pub(crate) fn message<'m>(
        &self,
        message: &Message<'m>,
        topic: &'m str,
        queue_id: i32,
    ) -> RecordDraft<'m> {
        let properties = properties_of(message, &[]);
        RecordDraft::unmeasured(self.fields(message, topic, queue_id, properties))
    }

    /// Checks a message's record and finds its size.
    #[inline(always)]
    pub(crate) fn check(&self, message: &Message<'_>, draft: &mut RecordDraft<'_>) -> Result<()> {
        self.check_body(message.body)?;
        check_sys_flag(message)?;
        draft.fields().properties.validate()?;
        draft.measure()?;
        self.check_size(draft)
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
            let common = self.fields(shared, topic, queue_id, properties);
            let fields = DraftFields { body: item.body, flag: item.flag, ..common };
            drafts.push(self.checked(fields)?);
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
        if count > MAX_BATCH_MESSAGES {
            return Err(Error::new(Status::BatchIllegal, "the inner batch has too many items")
                .expected(format!("at most {MAX_BATCH_MESSAGES}"), count));
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
        let common = self.fields(shared, topic, queue_id, properties);
        let sys_flag = shared.sys_flag | STORE_BITS;
        self.checked(DraftFields { body: batch.items, sys_flag, ..common })
    }

    /// What a message says, for a topic and a queue that may be others than its own.
    #[inline(always)]
    fn fields<'m>(
        &self,
        message: &Message<'m>,
        topic: &'m str,
        queue_id: i32,
        properties: PropertySource<'m>,
    ) -> DraftFields<'m> {
        DraftFields {
            topic: topic.as_bytes(),
            queue_id,
            body: message.body,
            flag: message.flag,
            sys_flag: message.sys_flag,
            born_timestamp_ms: message.born_timestamp_ms,
            born_host: message.born_host.map_or(self.store_host, EncodedHost::new),
            store_host: self.store_host,
            reconsume_times: message.reconsume_times,
            prepared_transaction_offset: message.prepared_transaction_offset,
            properties,
            record_crc: self.record_crc,
        }
    }

    /// Makes a record and checks its size.
    fn checked<'m>(&self, fields: DraftFields<'m>) -> Result<RecordDraft<'m>> {
        let draft = RecordDraft::new(fields)?;
        self.check_size(&draft)?;
        Ok(draft)
    }

    fn check_size(&self, draft: &RecordDraft<'_>) -> Result<()> {
        let size = u64::from(draft.size_bytes());
        let most = u64::from(self.max_message_size_bytes) + RECORD_OVERHEAD_BYTES;
        if size > most {
            return Err(too_large("the record is too large", most, size));
        }
        self.check_fits(size)
    }

    /// Records of one call stay in one file, in front of its blank.
    fn check_fits(&self, size: u64) -> Result<()> {
        let most = self.file_size_bytes - u64::from(BLANK_BYTES);
        if size > most {
            return Err(too_large("the message does not fit into a commit log file", most, size));
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
        let named = |(name, _): &(&str, &str)| *name == PROPERTY_DELAY;
        if batch.shared.delay_level > 0 || batch.shared.properties.iter().any(named) {
            return Err(illegal("a batch cannot be delayed"));
        }
        properties_of(&batch.shared, &[]).validate()
    }
}

/// The properties of a message, behind encoded ones.
#[inline(always)]
pub(crate) fn properties_of<'m>(message: &Message<'m>, raw: &'m [u8]) -> PropertySource<'m> {
    PropertySource {
        tag: message.tag,
        keys: message.keys,
        pairs: message.properties,
        wait_store_ok: message.wait_store_ok,
        delay_level: message.delay_level,
        ..PropertySource::raw(raw)
    }
}

#[cold]
fn too_large(what: &'static str, most: u64, size: u64) -> Error {
    Error::new(Status::MessageTooLarge, what).expected(format!("at most {most} bytes"), size)
}

/// The delay level that a message asks for.
fn level_of(message: &Message<'_>) -> Result<u32> {
    if message.delay_level > 0 {
        return Ok(message.delay_level);
    }
    let property = message.properties.iter().rev().find(|(name, _)| *name == PROPERTY_DELAY);
    let Some((_, value)) = property else {
        return Ok(0);
    };
    let level: i32 = value.parse().map_err(|_| {
        Error::new(Status::PropertiesIllegal, "the delay level is no number")
            .expected("an integer", format!("{value:?}"))
    })?;
    Ok(u32::try_from(level).unwrap_or(0))
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
#[inline]
pub(crate) fn check_topic(topic: &str) -> Result<()> {
    if topic.is_empty() {
        return Err(Error::new(Status::TopicEmpty, "the topic is empty"));
    }
    if topic.len() > MAX_TOPIC_BYTES {
        return Err(Error::new(Status::TopicTooLong, "the topic is too long")
            .expected(format!("at most {MAX_TOPIC_BYTES} bytes"), topic.len()));
    }
    if !is_name(topic) {
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
