//! Reading: batches whose views point into the mapped files.

use std::ffi::{CStr, c_char};
use std::sync::{Arc, Weak};
use std::time::Instant;

use engine::{
    Batch, Consumer, Delivery, MessageView, PROPERTY_KEYS, PROPERTY_TAGS, PhysicalOffset, Result,
};

use crate::boundary::{self, invalid};
use crate::error::cairn_error;
use crate::open_struct::{self, OpenStruct, OutStruct};
use crate::opened::{Opened, of_either};
use crate::status::cairn_status;
use crate::store::{cairn_store, physical_offset, wait_limit};
use crate::text::{cairn_bytes, cairn_host, cairn_property, cairn_str, write_text};

/// What a reading found. Finding nothing is no error. The numbers below 100 are RocketMQ's, for
/// queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum cairn_read_outcome {
    /// At least one message.
    Found = 0,
    /// None of the messages that were looked at is wanted; go on at the batch's next offset.
    NoMatchedMessage = 1,
    /// Retention removed the messages that were looked at; go on at the batch's next offset.
    MessageWasRemoving = 2,
    /// The queue has no file there; go on at the batch's next offset. A store that is only read
    /// stays at the same offset while the log has messages that the file had: wait for them.
    OffsetFoundNull = 3,
    /// The offset lies behind the end of the queue, which is the batch's next offset.
    OffsetOverflowBadly = 4,
    /// The offset is the end of the queue: nothing has come yet.
    OffsetOverflowOne = 5,
    /// The offset lies in front of the queue's first message, which is the batch's next offset.
    OffsetTooSmall = 6,
    /// There is no such queue.
    NoMatchedLogicQueue = 7,
    /// The queue has had no message yet.
    NoMessageInQueue = 8,
    /// Nothing yet: the physical offset is the end of the log.
    EndOfLog = 100,
}

/// Every outcome with its name.
const OUTCOMES: [(cairn_read_outcome, &CStr); 10] = [
    (cairn_read_outcome::Found, c"FOUND"),
    (cairn_read_outcome::NoMatchedMessage, c"NO_MATCHED_MESSAGE"),
    (cairn_read_outcome::MessageWasRemoving, c"MESSAGE_WAS_REMOVING"),
    (cairn_read_outcome::OffsetFoundNull, c"OFFSET_FOUND_NULL"),
    (cairn_read_outcome::OffsetOverflowBadly, c"OFFSET_OVERFLOW_BADLY"),
    (cairn_read_outcome::OffsetOverflowOne, c"OFFSET_OVERFLOW_ONE"),
    (cairn_read_outcome::OffsetTooSmall, c"OFFSET_TOO_SMALL"),
    (cairn_read_outcome::NoMatchedLogicQueue, c"NO_MATCHED_LOGIC_QUEUE"),
    (cairn_read_outcome::NoMessageInQueue, c"NO_MESSAGE_IN_QUEUE"),
    (cairn_read_outcome::EndOfLog, c"END_OF_LOG"),
];

/// Returns the name of a read outcome in capitals, as in `"FOUND"`; never null. A number that no
/// outcome has gives `"UNKNOWN"`. The text lives as long as the library is loaded.
#[unsafe(no_mangle)]
pub extern "C" fn cairn_read_outcome_name(outcome: i32) -> *const c_char {
    let known = OUTCOMES.iter().find(|(known, _)| *known as i32 == outcome);
    known.map_or(c"UNKNOWN", |(_, name)| *name).as_ptr()
}

/// Messages that were read. Its views point into the mapped files, which stay as they are until the
/// batch is freed, also when the store was closed or freed before. It does not change, so several
/// threads may look at it, and it may be freed by any.
pub struct cairn_batch {
    messages: Messages,
    outcome: i32,
    next_offset: i64,
    /// Where what was read from begins and ends.
    range: (i64, i64),
}

enum Messages {
    One(MessageView),
    Many(Vec<MessageView>),
    /// Handed out to a consumer; with the topic each was first appended to.
    Delivered(Vec<(Delivery, String)>, Weak<Consumer>),
}

impl cairn_batch {
    /// Messages read from a queue, whose first index and end are `range`.
    pub(crate) fn of_queue(
        outcome: i32,
        messages: Vec<MessageView>,
        next_offset: i64,
        range: (i64, i64),
    ) -> Self {
        Self { messages: Messages::Many(messages), outcome, next_offset, range }
    }

    /// Messages that were looked up: there is nowhere to go on.
    pub(crate) fn looked_up(messages: Vec<MessageView>) -> Self {
        let found = !messages.is_empty();
        let outcome =
            if found { cairn_read_outcome::Found } else { cairn_read_outcome::NoMatchedMessage };
        Self::of_queue(outcome as i32, messages, NONE, (NONE, NONE))
    }

    /// Messages handed out to a consumer; that of a callback is none that C knows.
    pub(crate) fn of_deliveries(deliveries: Vec<Delivery>, consumer: Weak<Consumer>) -> Self {
        let found = !deliveries.is_empty();
        let outcome =
            if found { cairn_read_outcome::Found } else { cairn_read_outcome::OffsetOverflowOne };
        let with_topic = |delivery: Delivery| {
            let topic = delivery.topic();
            (delivery, topic)
        };
        let deliveries = deliveries.into_iter().map(with_topic).collect();
        Self {
            messages: Messages::Delivered(deliveries, consumer),
            outcome: outcome as i32,
            next_offset: NONE,
            range: (NONE, NONE),
        }
    }

    /// Whether the messages were handed out to this consumer.
    pub(crate) fn is_of(&self, consumer: &Arc<Consumer>) -> bool {
        match &self.messages {
            Messages::Delivered(_, own) => std::ptr::eq(own.as_ptr(), Arc::as_ptr(consumer)),
            _ => false,
        }
    }

    /// A message that was handed out to a consumer, and the topic it was first appended to.
    pub(crate) fn delivery(&self, index: usize) -> Option<(&Delivery, &str)> {
        match &self.messages {
            Messages::Delivered(deliveries, _) => {
                deliveries.get(index).map(|(delivery, topic)| (delivery, &**topic))
            }
            _ => None,
        }
    }

    fn len(&self) -> usize {
        match &self.messages {
            Messages::One(_) => 1,
            Messages::Many(messages) => messages.len(),
            Messages::Delivered(deliveries, _) => deliveries.len(),
        }
    }

    fn message(&self, index: usize) -> Option<&MessageView> {
        match &self.messages {
            Messages::One(message) => (index == 0).then_some(message),
            Messages::Many(messages) => messages.get(index),
            Messages::Delivered(deliveries, _) => {
                deliveries.get(index).map(|(delivery, _)| delivery.message())
            }
        }
    }
}

/// An offset of a batch that has none.
const NONE: i64 = -1;

/// The readable part of the log.
fn log_range(opened: &Opened) -> (i64, i64) {
    match opened {
        Opened::Store(store) => (store.min_offset().to_i64(), store.committed_offset().to_i64()),
        Opened::Reader(reader) => (reader.min_offset().to_i64(), reader.max_offset().to_i64()),
    }
}

/// A message inside a batch, for the functions that take a view.
pub struct cairn_record {
    _opaque: [u8; 0],
}

/// A message that was read. Begin with `CAIRN_MESSAGE_VIEW_INIT`. Everything it points to lives
/// until `cairn_batch_free`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct cairn_message_view {
    /// The size of this struct as the program knows it.
    pub struct_size: u32,
    /// The queue inside the topic.
    pub queue_id: i32,
    /// The message inside its batch; `cairn_message_view_property` needs it.
    pub record: *const cairn_record,
    /// The record's bytes as stored; `record_length` of them.
    pub record_data: *const u8,
    /// Where the record begins in the log.
    pub physical_offset: i64,
    /// One past the record's last byte in the log.
    pub end_offset: i64,
    /// The index in the queue.
    pub queue_offset: i64,
    /// The store's clock at the append, milliseconds since the Unix epoch.
    pub store_timestamp_ms: i64,
    /// The producer's clock, milliseconds since the Unix epoch.
    pub born_timestamp_ms: i64,
    /// For a committed transaction, the physical offset of its half message; else 0.
    pub prepared_transaction_offset: i64,
    /// The topic.
    pub topic: cairn_str,
    /// The payload.
    pub body: cairn_bytes,
    /// The tag; absent if there is none.
    pub tag: cairn_str,
    /// The keys, separated by spaces; absent if there are none.
    pub keys: cairn_str,
    /// The message's own properties as stored: those without the appended record CRC.
    pub properties: cairn_bytes,
    /// The length of the record in bytes.
    pub record_length: u32,
    /// The record's magic: -626843481 (V1) or -626843477 (V2).
    pub magic: i32,
    /// The stored CRC-32 of the body, its top bit cleared.
    pub body_crc: u32,
    /// The application's own number.
    pub flag: i32,
    /// RocketMQ's system flag bits.
    pub sys_flag: i32,
    /// How often the message was consumed before.
    pub reconsume_times: i32,
    /// The producer's address.
    pub born_host: cairn_host,
    /// The store's address.
    pub store_host: cairn_host,
}

// SAFETY: repr(C) with the size first, numbers and raw pointers only, no padding (`abi/layout.txt`
// is checked for that), and all zeroes is valid.
unsafe impl OpenStruct for cairn_message_view {
    const MIN_SIZE: usize = std::mem::offset_of!(cairn_message_view, record_data);
}

impl From<&MessageView> for cairn_message_view {
    fn from(message: &MessageView) -> Self {
        let record = message.record();
        let text = |bytes: Option<&[u8]>| bytes.map_or(cairn_str::ABSENT, cairn_str::of);
        Self {
            struct_size: size_of::<Self>() as u32,
            queue_id: record.queue_id(),
            record: std::ptr::from_ref(message).cast(),
            record_data: record.bytes().as_ptr(),
            physical_offset: record.physical_offset().to_i64(),
            end_offset: record.end_offset().to_i64(),
            queue_offset: record.queue_offset().to_i64(),
            store_timestamp_ms: record.store_timestamp_ms(),
            born_timestamp_ms: record.born_timestamp_ms(),
            prepared_transaction_offset: record.prepared_transaction_offset(),
            topic: cairn_str::of(record.topic_bytes()),
            body: cairn_bytes::of(record.body()),
            tag: text(record.properties().find(PROPERTY_TAGS)),
            keys: text(record.properties().find(PROPERTY_KEYS)),
            properties: cairn_bytes::of(record.own_properties_raw()),
            record_length: record.size_bytes(),
            magic: record.magic(),
            body_crc: record.body_crc(),
            flag: record.flag(),
            sys_flag: record.sys_flag(),
            reconsume_times: record.reconsume_times(),
            born_host: record.born_host().into(),
            store_host: record.store_host().into(),
        }
    }
}

/// Reads the message whose record begins at `physical_offset`.
///
/// Gives `CAIRN_STATUS_OFFSET_OUT_OF_RANGE`, `CAIRN_STATUS_NOT_A_RECORD` or
/// `CAIRN_STATUS_CORRUPTION`; `*out_batch` is then null.
///
/// # Safety
/// - `store` is null or live.
/// - `out_batch` is null or writable.
/// - `out_error` is null or writable.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_store_read_at(
    store: *const cairn_store,
    physical_offset: i64,
    out_batch: *mut *mut cairn_batch,
    out_error: *mut *mut cairn_error,
) -> cairn_status {
    boundary!(out_error, {
        let out_batch = require!(out out_batch).clear();
        let store = require!(store);
        let offset = self::physical_offset(physical_offset, "physical_offset")?;
        let _inside = store.fence.enter();
        let message = of_either!(store.opened, it => it.read_at(offset))?;
        out_batch.give(cairn_batch {
            next_offset: message.record().end_offset().to_i64(),
            messages: Messages::One(message),
            outcome: cairn_read_outcome::Found as i32,
            range: log_range(&store.opened),
        });
        Ok(())
    })
}

/// Reads messages in the order of the log, from a record boundary on: at most `max_messages` and,
/// beyond the first, at most `max_bytes` of records. Where there is nothing yet, it waits up to
/// `timeout_ms` milliseconds (0: not at all, `CAIRN_WAIT_FOREVER`: without limit).
///
/// Begin with the log's `min_offset` and go on with `cairn_batch_next_offset`. When the time runs
/// out, or the store is closed while this waits, the batch is empty and its outcome
/// `CAIRN_READ_OUTCOME_END_OF_LOG`.
///
/// # Safety
/// - `store` is null or live.
/// - `out_batch` is null or writable.
/// - `out_error` is null or writable.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_store_read_log(
    store: *const cairn_store,
    from_offset: i64,
    max_messages: usize,
    max_bytes: usize,
    timeout_ms: u64,
    out_batch: *mut *mut cairn_batch,
    out_error: *mut *mut cairn_error,
) -> cairn_status {
    boundary!(out_error, {
        let out_batch = require!(out out_batch).clear();
        let store = require!(store);
        let from = physical_offset(from_offset, "from_offset")?;
        if max_messages == 0 {
            return Err(invalid("max_messages is zero"));
        }
        let _inside = store.fence.enter();
        let limits = ReadLimits { max_messages, max_bytes, timeout_ms };
        let batch = read_following(&store.opened, from, &limits)?;
        let found = !batch.messages().is_empty();
        let outcome = if found { cairn_read_outcome::Found } else { cairn_read_outcome::EndOfLog };
        out_batch.give(cairn_batch {
            next_offset: batch.next_offset().to_i64(),
            messages: Messages::Many(batch.into_messages()),
            outcome: outcome as i32,
            range: log_range(&store.opened),
        });
        Ok(())
    })
}

struct ReadLimits {
    max_messages: usize,
    max_bytes: usize,
    timeout_ms: u64,
}

/// Reads, and waits where there is nothing yet. The end of a file is passed without a message, so
/// one wait may not be enough.
fn read_following(opened: &Opened, from: PhysicalOffset, limits: &ReadLimits) -> Result<Batch> {
    let limit = wait_limit(limits.timeout_ms);
    let begin = Instant::now();
    let mut from = from;
    loop {
        let (max_messages, max_bytes) = (limits.max_messages, limits.max_bytes);
        let batch = of_either!(*opened, it => it.read_log(from, max_messages, max_bytes))?;
        if !batch.messages().is_empty() {
            return Ok(batch);
        }
        from = batch.next_offset();
        let left = limit.saturating_sub(begin.elapsed());
        if left.is_zero() || !of_either!(*opened, it => it.wait_readable(from, left))? {
            return Ok(batch);
        }
    }
}

/// Returns what the reading found: a `cairn_read_outcome`; `CAIRN_READ_OUTCOME_END_OF_LOG` for
/// null.
///
/// # Safety
/// - `batch` is null or live.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cairn_batch_outcome(batch: *const cairn_batch) -> i32 {
    value!(cairn_read_outcome::EndOfLog as i32, {
        // SAFETY: null or live, says the caller.
        let batch = unsafe { batch.as_ref() }?;
        Some(batch.outcome)
    })
}

/// Returns the number of messages.
///
/// # Safety
/// - `batch` is null or live.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cairn_batch_len(batch: *const cairn_batch) -> usize {
    value!(0, {
        // SAFETY: null or live, says the caller.
        let batch = unsafe { batch.as_ref() }?;
        Some(batch.len())
    })
}

/// Returns where to go on reading: an index of the queue, or a physical offset if the batch was
/// read by one; -1 for messages that were looked up or handed out, and for null.
///
/// # Safety
/// - `batch` is null or live.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cairn_batch_next_offset(batch: *const cairn_batch) -> i64 {
    value!(NONE, {
        // SAFETY: null or live, says the caller.
        let batch = unsafe { batch.as_ref() }?;
        Some(batch.next_offset)
    })
}

/// Returns where what was read from began at the time: the index of the queue's first message, or
/// the log's first offset if the batch was read by physical offset; -1 for messages that were
/// looked up, and for null.
///
/// # Safety
/// - `batch` is null or live.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cairn_batch_min_offset(batch: *const cairn_batch) -> i64 {
    value!(NONE, {
        // SAFETY: null or live, says the caller.
        let batch = unsafe { batch.as_ref() }?;
        Some(batch.range.0)
    })
}

/// Returns where what was read from ended at the time: one past the index of the queue's last
/// message, or past the readable log if the batch was read by physical offset; -1 for messages
/// that were looked up, and for null.
///
/// # Safety
/// - `batch` is null or live.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cairn_batch_max_offset(batch: *const cairn_batch) -> i64 {
    value!(NONE, {
        // SAFETY: null or live, says the caller.
        let batch = unsafe { batch.as_ref() }?;
        Some(batch.range.1)
    })
}

/// Gives a view of a message of the batch, from 0.
///
/// Gives `CAIRN_STATUS_INVALID_ARGUMENT` for an index beyond the last.
///
/// # Safety
/// - `batch` is null or live.
/// - `out_view` is null, or writable for as many bytes as its `struct_size` says.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_batch_get(
    batch: *const cairn_batch,
    index: usize,
    out_view: *mut cairn_message_view,
) -> cairn_status {
    boundary!({
        let batch = require!(batch);
        // SAFETY: null or as long as it says, says the caller.
        let out_view = unsafe { OutStruct::new(out_view, "out_view") }?;
        let message = batch
            .message(index)
            .ok_or_else(|| invalid(format!("the batch has no message {index}")))?;
        out_view.write(cairn_message_view::from(message));
        Ok(())
    })
}

/// The message a view belongs to; `None` for a view that was not filled.
///
/// # Safety
///
/// - `view` is null, or readable as its `struct_size` says.
/// - It was filled by [`cairn_batch_get`], or its `record` is null; the batch is live during `'a`.
pub(crate) unsafe fn viewed<'a>(view: *const cairn_message_view) -> Option<&'a MessageView> {
    // SAFETY: null or as long as it says, says the caller.
    let view = unsafe { open_struct::read(view, "view") }.ok()?;
    // SAFETY: null or made from a message of a live batch, says the caller.
    unsafe { view.record.cast::<MessageView>().as_ref() }
}

/// Finds a property by name. Of a name that occurs twice it gives the last value. Returns whether
/// there is one; `*out_value` is absent if not.
///
/// # Safety
/// - `view` is null, or was begun with `CAIRN_MESSAGE_VIEW_INIT`; if it was filled, its batch is
///   live.
/// - `key` is readable for its length.
/// - `out_value` is null or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cairn_message_view_property(
    view: *const cairn_message_view,
    key: cairn_str,
    out_value: *mut cairn_str,
) -> bool {
    value!(false, {
        // SAFETY: null or writable, says the caller.
        let out_value = unsafe { boundary::Out::new(out_value, "out_value") }.ok()?;
        out_value.set(cairn_str::ABSENT);
        // SAFETY: the caller's promise is the same.
        let message = unsafe { viewed(view) }?;
        // SAFETY: readable for its length, says the caller.
        let key = unsafe { key.text("key", engine::Status::InvalidArgument) }.ok()?;
        let value = message.record().properties().find(key)?;
        out_value.set(cairn_str::of(value));
        Some(true)
    })
}

/// Gives the properties one after the other, in stored order: set `*cursor` to 0, then call until
/// it returns false.
///
/// # Safety
/// - `view` is null, or was begun with `CAIRN_MESSAGE_VIEW_INIT`; if it was filled, its batch is
///   live.
/// - `cursor` and `out_property` are null or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cairn_message_view_next_property(
    view: *const cairn_message_view,
    cursor: *mut usize,
    out_property: *mut cairn_property,
) -> bool {
    value!(false, {
        // SAFETY: null or writable and initialized, says the caller.
        let cursor = unsafe { cursor.as_mut() }?;
        // SAFETY: null or writable, says the caller.
        let out_property = unsafe { boundary::Out::new(out_property, "out_property") }.ok()?;
        // SAFETY: the caller's promise is the same.
        let message = unsafe { viewed(view) }?;
        let (name, value) = message.record().properties().nth(*cursor)?;
        *cursor += 1;
        out_property.set(cairn_property { name: cairn_str::of(name), value: cairn_str::of(value) });
        Some(true)
    })
}

/// Writes RocketMQ's `offsetMsgId` of a message, 32 or 56 characters in upper-case hex, and a
/// terminator.
///
/// Gives `CAIRN_STATUS_INVALID_ARGUMENT` when `capacity` is less than 57 or the view was not
/// filled.
///
/// # Safety
/// - `view` is null, or was begun with `CAIRN_MESSAGE_VIEW_INIT`; if it was filled, its batch is
///   live.
/// - `out_text` is null or writable for `capacity` bytes.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_message_view_message_id(
    view: *const cairn_message_view,
    out_text: *mut c_char,
    capacity: usize,
) -> cairn_status {
    boundary!({
        // SAFETY: the caller's promise is the same.
        let message = unsafe { viewed(view) }
            .ok_or_else(|| invalid("view is null, too small or was not filled"))?;
        let id = message.record().offset_message_id();
        // SAFETY: null or writable for `capacity` bytes, says the caller.
        unsafe { write_text(&id, out_text, capacity) }
    })
}

/// Frees a batch; its views end with it. Null is accepted.
///
/// # Safety
/// - `batch` is null or live, and neither it nor its views are used afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cairn_batch_free(batch: *mut cairn_batch) {
    // SAFETY: the caller's promise is the same.
    unsafe { boundary::free(batch) }
}
