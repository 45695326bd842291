//! Arguments of the C ABI as a program makes them that is wrong at times: text that is absent or no
//! UTF-8, structs of any stated size, numbers that are no enumeration.

use cairnlog_fuzz_abi::message::cairn_message;
use cairnlog_fuzz_abi::text::{cairn_bytes, cairn_property, cairn_str};

use crate::input::Input;

/// The largest `struct_size` that the library takes.
const MAX_STRUCT_BYTES: usize = 4096;

const TEXTS: [&str; 22] = [
    "t",
    "orders",
    "g",
    "group",
    "%RETRY%g",
    "%DLQ%g",
    "SCHEDULE_TOPIC_XXXX",
    "RMQ_SYS_TRANS_HALF_TOPIC",
    "a || b",
    "*",
    "a > 5 AND region IN ('x', 'y')",
    "TAGS IS NOT NULL",
    "k1",
    "k1 k2",
    "UNIQ_KEY",
    "DELAY",
    "2",
    "true",
    "64K",
    "sync",
    "0A00000100002A9F0000000000000000",
    "..",
];

const LENGTHS: [usize; 8] = [1, 100, 4096, 30_000, 60_000, 65_400, 65_536, 70_000];

/// What the arguments of one call point to.
#[derive(Default)]
pub(super) struct Arena {
    bytes: Vec<Box<[u8]>>,
    texts: Vec<Box<[cairn_str]>>,
    properties: Vec<Box<[cairn_property]>>,
}

impl Arena {
    fn keep(&mut self, bytes: &[u8]) -> *const u8 {
        // A block of its own, so that a byte too many that is read is noticed.
        self.bytes.push(bytes.into());
        self.bytes.last().map_or(std::ptr::null(), |bytes| bytes.as_ptr())
    }

    /// Bytes that a pointer and a length name, the pointer being null at times.
    pub(super) fn bytes(&mut self, input: &mut Input<'_>) -> cairn_bytes {
        match input.below(10) {
            0 => cairn_bytes { data: std::ptr::null(), length: 0 },
            1 => cairn_bytes { data: std::ptr::null(), length: input.number() as usize },
            2 => cairn_bytes { data: std::ptr::dangling(), length: 0 },
            3 => cairn_bytes { data: std::ptr::dangling(), length: usize::MAX },
            4 => {
                let bytes = vec![input.u8(); input.pick(&LENGTHS)];
                cairn_bytes { data: self.keep(&bytes), length: bytes.len() }
            }
            5 | 6 => self.given(input.some_bytes()),
            _ => self.given(input.pick(&TEXTS).as_bytes()),
        }
    }

    /// Exactly these bytes.
    pub(super) fn given(&mut self, bytes: &[u8]) -> cairn_bytes {
        cairn_bytes { data: self.keep(bytes), length: bytes.len() }
    }

    /// Text, which may be none.
    pub(super) fn text(&mut self, input: &mut Input<'_>) -> cairn_str {
        let cairn_bytes { data, length } = self.bytes(input);
        cairn_str { data: data.cast(), length }
    }

    /// One of the first few texts: topics, groups and the like that come again.
    pub(super) fn name(&mut self, input: &mut Input<'_>) -> cairn_str {
        if input.u8() < 32 {
            return self.text(input);
        }
        let cairn_bytes { data, length } = self.given(input.pick(&TEXTS[..4]).as_bytes());
        cairn_str { data: data.cast(), length }
    }

    /// A message, most of it as it should be.
    pub(super) fn message(&mut self, input: &mut Input<'_>) -> cairn_message {
        let mut message = Buffer::zeroed::<cairn_message>();
        message.struct_size = size_of::<cairn_message>() as u32;
        message.topic = self.name(input);
        message.body = self.bytes(input);
        message.queue_id = (input.u8() % 3).into();
        if input.flag() {
            return message;
        }
        message.tag = self.text(input);
        let keys: Vec<_> = (0..input.below(3)).map(|_| self.text(input)).collect();
        message.key_count = if input.u8() < 8 { 1 } else { keys.len() };
        if message.key_count == keys.len() {
            self.texts.push(keys.into());
            message.keys = self.texts.last().map_or(std::ptr::null(), |keys| keys.as_ptr());
        }
        let pair = |arena: &mut Self, input: &mut Input<'_>| cairn_property {
            name: arena.text(input),
            value: arena.text(input),
        };
        let properties: Vec<_> = (0..input.below(3)).map(|_| pair(self, input)).collect();
        message.property_count = if input.u8() < 8 { 2 } else { properties.len() };
        if message.property_count == properties.len() {
            self.properties.push(properties.into());
            let kept = self.properties.last();
            message.properties = kept.map_or(std::ptr::null(), |pairs| pairs.as_ptr());
        }
        message.queue_id = input.i32();
        message.flag = input.i32();
        message.sys_flag = input.i32() & input.pick(&[0, 0xC, -1]);
        message.born_timestamp_ms = input.i64();
        message.born_host.address_length = input.pick(&[0, 4, 16, 5]);
        message.born_host.port = input.number() as u32;
        message.reconsume_times = input.i32();
        message.wait_mode = input.i32();
        message.prepared_transaction_offset = input.i64();
        message.delay_level = input.pick(&[0, 0, 1, u32::MAX]);
        message.reserved = u32::from(input.u8() == 255);
        message
    }
}

/// A struct as a program of another time has it: as long as it states, and not a byte longer.
pub(super) struct Buffer {
    bytes: Box<[u8]>,
    /// Where the struct begins; odd if it is not aligned.
    start: usize,
    null: bool,
}

impl Buffer {
    /// A struct of the C ABI with nothing in it.
    pub(super) fn zeroed<T: Copy>() -> T {
        // SAFETY: used for structs of the C ABI only, which are numbers and raw pointers: all
        // zeroes is a value of them.
        unsafe { std::mem::zeroed() }
    }

    /// Some structs that follow each other, of a size that the input has.
    pub(super) fn of<T: Copy>(input: &mut Input<'_>, values: &[T]) -> Self {
        let size = size_of::<T>();
        let kind = input.u8();
        let stated = match kind {
            0..=199 => size,
            200..=219 => size.saturating_sub(usize::from(input.u8())),
            220..=239 => size + usize::from(input.u8()),
            _ => input.number() as u32 as usize,
        };
        let tail = if kind & 1 == 0 { 0 } else { 0xAA };
        let stride = stated.clamp(4, MAX_STRUCT_BYTES);
        let start = usize::from(kind % 16 == 15);
        let mut bytes = vec![tail; start + stride * values.len().max(1)].into_boxed_slice();
        for (index, value) in values.iter().enumerate() {
            let at = start + index * stride;
            let from = std::ptr::from_ref(value).cast::<u8>();
            let target = &mut bytes[at..at + stride.min(size)];
            // SAFETY: `value` has `size` bytes, and the target no more.
            unsafe { std::ptr::copy_nonoverlapping(from, target.as_mut_ptr(), target.len()) };
            // Now and then one that does not agree with the first.
            let own = if index > 0 && input.u8() == 255 { stated ^ 4 } else { stated };
            bytes[at..at + 4].copy_from_slice(&(own as u32).to_ne_bytes());
        }
        Self { bytes, start, null: input.u8() >= 248 }
    }

    /// A struct that is to be filled.
    pub(super) fn out<T: Copy>(input: &mut Input<'_>) -> Self {
        Self::of(input, &[Self::zeroed::<T>()])
    }

    /// What is passed to the library.
    pub(super) fn pointer<T>(&mut self) -> *mut T {
        if self.null {
            return std::ptr::null_mut();
        }
        self.bytes[self.start..].as_mut_ptr().cast()
    }

    /// The struct as the library left it; what it did not fill is zero.
    pub(super) fn read<T: Copy>(&self) -> T {
        let mut value = Self::zeroed::<T>();
        let filled = &self.bytes[self.start..];
        let length = filled.len().min(size_of::<T>());
        // SAFETY: both have so many bytes.
        unsafe {
            std::ptr::copy_nonoverlapping(
                filled.as_ptr(),
                std::ptr::from_mut(&mut value).cast::<u8>(),
                length,
            );
        }
        value
    }
}
