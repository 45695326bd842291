//! The structs of the hot path: a message in, its position out.

use engine::{AppendResult, Message, Result, Status};

use crate::boundary::invalid;
use crate::open_struct::{self, Lent, OpenStruct};
use crate::status::cairn_status;
use crate::text::{array, cairn_bytes, cairn_host, cairn_property, cairn_str};

/// Whether an append waits for the sync in a store with synchronous flush.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum cairn_wait_mode {
    /// It waits: the message survives a power cut when the append returns. The default.
    StoreOk = 0,
    /// It does not: the message survives the death of the process. RocketMQ's `WAIT` property with
    /// the value `false`.
    None = 1,
}

/// One message to append. Begin with `CAIRN_MESSAGE_INIT` and set what you need; everything is
/// borrowed for the call.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct cairn_message {
    /// The size of this struct as the program knows it.
    pub struct_size: u32,
    /// The queue inside the topic, from 0.
    pub queue_id: i32,
    /// The topic: 1 to 255 bytes of ASCII letters, digits, `%`, `-`, `_` and `|`.
    pub topic: cairn_str,
    /// The payload, at least one byte.
    pub body: cairn_bytes,
    /// The tag consumers filter by (property `TAGS`); empty: none.
    pub tag: cairn_str,
    /// Keys the message can be found by (property `KEYS`); a key is not empty and holds no space.
    pub keys: *const cairn_str,
    /// The number of keys.
    pub key_count: usize,
    /// Further properties.
    pub properties: *const cairn_property,
    /// The number of further properties.
    pub property_count: usize,
    /// An application's own number, not looked at by the store.
    pub flag: i32,
    /// RocketMQ's system flag bits; 0x10 and 0x20 are set from the addresses, 0xC0 is refused.
    pub sys_flag: i32,
    /// The producer's clock, milliseconds since the Unix epoch; 0: the store's clock.
    pub born_timestamp_ms: i64,
    /// The producer's address; `address_length` 0: the store's own.
    pub born_host: cairn_host,
    /// How often the message was consumed before.
    pub reconsume_times: i32,
    /// Whether the append waits for the sync: a `cairn_wait_mode`.
    pub wait_mode: i32,
    /// For a committed transaction, the physical offset of its half message; else 0.
    pub prepared_transaction_offset: i64,
    /// After which delay the message comes to its queue: a level of the option
    /// `message_delay_level`, counted from 1, the highest for a larger number; 0 for none. A
    /// delayed message is stored in the topic `SCHEDULE_TOPIC_XXXX` at first, which is what the
    /// result of the append then speaks of.
    pub delay_level: u32,
    /// Zero.
    pub reserved: u32,
}

// SAFETY: repr(C) with the size first, numbers and raw pointers only, no padding (`abi/layout.txt`
// is checked for that), and all zeroes is valid.
unsafe impl OpenStruct for cairn_message {
    const MIN_SIZE: usize = std::mem::offset_of!(cairn_message, tag);
}

/// Where a message, or a batch, came to lie. Set `struct_size` before passing it in, or begin with
/// `CAIRN_APPEND_RESULT_INIT`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct cairn_append_result {
    /// The size of this struct as the program knows it.
    pub struct_size: u32,
    /// Bytes written for all records of the call, blanks not included.
    pub size_bytes: u32,
    /// Where the first record begins in the log.
    pub physical_offset: i64,
    /// One past the last byte of the call: `cairn_store_wait_durable` takes it.
    pub end_offset: i64,
    /// The first message's index in its queue; 0 for prepared and rolled back transactions.
    pub queue_offset: i64,
    /// The queue.
    pub queue_id: i32,
    /// The number of messages.
    pub message_count: u32,
    /// The store's clock at the append, milliseconds since the Unix epoch; never decreasing along
    /// the log.
    pub store_timestamp_ms: i64,
    /// The address stored as the store's host.
    pub store_host: cairn_host,
}

// SAFETY: as for cairn_message.
unsafe impl OpenStruct for cairn_append_result {
    const MIN_SIZE: usize = std::mem::offset_of!(cairn_append_result, end_offset);
}

impl From<AppendResult> for cairn_append_result {
    #[inline]
    fn from(placed: AppendResult) -> Self {
        Self {
            struct_size: size_of::<Self>() as u32,
            size_bytes: placed.size_bytes,
            physical_offset: placed.physical_offset.to_i64(),
            end_offset: placed.end_offset().to_i64(),
            queue_offset: placed.queue_offset.to_i64(),
            queue_id: placed.queue_id,
            message_count: placed.message_count,
            store_timestamp_ms: placed.store_timestamp_ms,
            store_host: cairn_host::from(placed.store_host),
        }
    }
}

/// The parts of a message that cannot be borrowed as they come.
pub(crate) struct MessageParts<'a> {
    source: Lent<'a, cairn_message>,
    /// Absent where there are neither keys nor properties.
    lists: Option<Box<Lists<'a>>>,
}

struct Lists<'a> {
    keys: Vec<&'a str>,
    properties: Vec<(&'a str, &'a str)>,
}

impl<'a> MessageParts<'a> {
    /// Takes a message of the caller.
    ///
    /// # Safety
    ///
    /// - `message` is null, or readable for as many bytes as its `struct_size` says, and not
    ///   changed, during `'a`.
    /// - What it points to is readable during `'a`.
    // Moved between calls, a message would cost as much as a small append.
    #[inline(always)]
    pub(crate) unsafe fn read(message: *const cairn_message) -> Result<Self> {
        // SAFETY: null or as long as it says, and not changed, says the caller.
        let source = unsafe { open_struct::lend(message, "message") }?;
        // SAFETY: what it points to is readable, says the caller.
        unsafe { Self::new(source) }
    }

    /// Takes a message whose size was looked at already.
    ///
    /// # Safety
    ///
    /// - What it points to is readable during `'a`.
    #[inline(always)]
    pub(crate) unsafe fn new(source: Lent<'a, cairn_message>) -> Result<Self> {
        if source.key_count == 0 && source.property_count == 0 {
            return Ok(Self { source, lists: None });
        }
        // SAFETY: what it points to is readable, says the caller.
        let lists = unsafe { Self::lists(&source) }?;
        Ok(Self { source, lists: Some(lists) })
    }

    /// # Safety
    ///
    /// - What `source` points to is readable during `'a`.
    #[inline(never)]
    unsafe fn lists(source: &cairn_message) -> Result<Box<Lists<'a>>> {
        const ILLEGAL: Status = Status::PropertiesIllegal;
        // SAFETY: readable for the count, says the caller.
        let keys = unsafe { array::<cairn_str>(source.keys, source.key_count, "message.keys") }?;
        // SAFETY: readable for the count, says the caller.
        let pairs = unsafe {
            array::<cairn_property>(source.properties, source.property_count, "message.properties")
        }?;
        let keys = keys
            .iter()
            // SAFETY: each key is readable for its length, says the caller.
            .map(|key| unsafe { key.text("a key", ILLEGAL) })
            .collect::<Result<_>>()?;
        let mut properties = Vec::with_capacity(pairs.len());
        for pair in pairs {
            // SAFETY: readable for its length, says the caller.
            let name = unsafe { pair.name.text("a property's name", ILLEGAL) }?;
            // SAFETY: readable for its length, says the caller.
            let value = unsafe { pair.value.text("a property's value", ILLEGAL) }?;
            properties.push((name, value));
        }
        Ok(Box::new(Lists { keys, properties }))
    }

    /// Runs `take` on the engine's message, which borrows from these parts and from the caller's
    /// memory. It is put together where it is used: a copy of what was just stored in smaller
    /// pieces waits for the stores.
    ///
    /// # Safety
    ///
    /// - What the message points to is still readable during `'a`.
    #[inline(always)]
    pub(crate) unsafe fn with_message<T>(
        &'a self,
        use_topic: UseTopic,
        take: impl FnOnce(&Message<'a>) -> Result<T>,
    ) -> Result<T> {
        let source = &*self.source;
        let topic = match use_topic {
            // SAFETY: readable for its length, says the caller.
            UseTopic::Yes => unsafe { source.topic.text("message.topic", Status::TopicIllegal) }?,
            UseTopic::No => "",
        };
        // SAFETY: readable for its length, says the caller.
        let body = unsafe { source.body.slice("message.body") }?;
        // SAFETY: readable for its length, says the caller.
        let tag = unsafe { source.tag.optional("message.tag", Status::PropertiesIllegal) }?;
        let wait_store_ok = match source.wait_mode {
            mode if mode == cairn_wait_mode::StoreOk as i32 => true,
            mode if mode == cairn_wait_mode::None as i32 => false,
            other => {
                return Err(invalid("there is no such wait_mode").expected("0 or 1", other));
            }
        };
        if source.reserved != 0 {
            return Err(invalid("message.reserved is not zero").expected(0, source.reserved));
        }
        let born_host = source.born_host.socket_address("message.born_host")?;
        let (keys, properties): (&[_], &[_]) = match &self.lists {
            Some(lists) => (&lists.keys, &lists.properties),
            None => (&[], &[]),
        };
        take(&Message {
            topic,
            queue_id: source.queue_id,
            body,
            tag,
            keys,
            properties,
            flag: source.flag,
            sys_flag: source.sys_flag,
            born_timestamp_ms: (source.born_timestamp_ms != 0).then_some(source.born_timestamp_ms),
            born_host,
            reconsume_times: source.reconsume_times,
            prepared_transaction_offset: source.prepared_transaction_offset,
            delay_level: source.delay_level,
            wait_store_ok,
        })
    }
}

/// Whether a message's topic counts, or that of a prepared queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UseTopic {
    Yes,
    No,
}

/// Writes RocketMQ's `offsetMsgId` of the first record, 32 or 56 characters in upper-case hex, and
/// a terminator.
///
/// Gives `CAIRN_STATUS_INVALID_ARGUMENT` when `capacity` is less than 57 or the host has no
/// address.
///
/// # Safety
/// - `result` is null, or readable for as many bytes as its `struct_size` says.
/// - `out_text` is null or writable for `capacity` bytes.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn cairn_append_result_message_id(
    result: *const cairn_append_result,
    out_text: *mut std::ffi::c_char,
    capacity: usize,
) -> cairn_status {
    boundary!({
        // SAFETY: null or as long as it says, says the caller.
        let result = unsafe { open_struct::read(result, "result") }?;
        let host = result.store_host.socket_address("result.store_host")?;
        let offset = engine::PhysicalOffset::from_i64(result.physical_offset);
        let (Some(store_host), Some(physical_offset)) = (host, offset) else {
            return Err(invalid("the result names no host and offset"));
        };
        let id = AppendResult {
            physical_offset,
            size_bytes: 0,
            queue_offset: engine::QueueOffset::default(),
            queue_id: 0,
            message_count: 0,
            store_timestamp_ms: 0,
            store_host,
        }
        .offset_message_id();
        // SAFETY: null or writable for `capacity` bytes, says the caller.
        unsafe { crate::text::write_text(&id, out_text, capacity) }
    })
}
