//! One record: its layout, encoding and structural check.

use std::sync::LazyLock;

use super::host::{EncodedHost, IPV4_HOST_BYTES, IPV6_HOST_BYTES};
use super::properties::{
    MAX_PROPERTIES_BYTES, PROPERTY_SEPARATOR, PropertySource, RECORD_CRC_BYTES,
    appended_record_crc, damaged_record_crc, record_crc_property,
};
use super::{RecordSink, Sink, read_i16, read_i32};
use crate::error::{Error, Result};
use crate::state::QueueKind;
use crate::status::Status;

/// Magic of a record with a one-byte topic length.
pub(crate) const MAGIC_V1: u32 = 0xDAA3_20A7;
/// Magic of a record with a two-byte topic length.
pub(crate) const MAGIC_V2: u32 = 0xDAA3_20AB;
/// Magic of the blank that ends a file.
pub(crate) const MAGIC_BLANK: u32 = 0xCBD4_3194;
/// Bytes written for a blank: its size and its magic.
pub(crate) const BLANK_BYTES: u32 = 8;
/// The longest topic length a V1 record can carry.
pub(crate) const MAX_V1_TOPIC_BYTES: usize = 127;

/// Positions inside a record that do not depend on the hosts' address families.
pub(crate) mod at {
    pub(crate) const MAGIC: usize = 4;
    pub(crate) const BODY_CRC: usize = 8;
    pub(crate) const QUEUE_ID: usize = 12;
    pub(crate) const FLAG: usize = 16;
    pub(crate) const QUEUE_OFFSET: usize = 20;
    pub(crate) const PHYSICAL_OFFSET: usize = 28;
    pub(crate) const SYS_FLAG: usize = 36;
    pub(crate) const BORN_TIMESTAMP: usize = 40;
    pub(crate) const BORN_HOST: usize = 48;
}

/// Bits of the system flag.
pub(crate) mod sys_flag {
    pub(crate) const TRANSACTION_TYPE: i32 = 0xC;
    pub(crate) const TRANSACTION_NONE: i32 = 0;
    pub(crate) const TRANSACTION_COMMIT: i32 = 8;
    pub(crate) const TRANSACTION_ROLLBACK: i32 = 0xC;
    pub(crate) const BORN_HOST_V6: i32 = 0x10;
    pub(crate) const STORE_HOST_V6: i32 = 0x20;
    pub(crate) const NEED_UNWRAP: i32 = 0x40;
    pub(crate) const INNER_BATCH: i32 = 0x80;
}

/// The kind of queue that a record of this system flag goes to.
pub(crate) fn queue_kind(sys_flag: i32) -> QueueKind {
    match sys_flag & sys_flag::INNER_BATCH {
        0 => QueueKind::Simple,
        _ => QueueKind::Batch,
    }
}

/// The shortest record: V1, IPv4 hosts, no body, topic or properties.
pub(crate) const MIN_RECORD_BYTES: usize = 91;

/// A CRC of nothing, which knows what the processor can do: to ask for each record would be a fifth
/// of a short one's CRC.
static NO_BYTES: LazyLock<crc32fast::Hasher> = LazyLock::new(crc32fast::Hasher::new);

/// RocketMQ's CRC: CRC-32 with the top bit cleared, 0 for no bytes.
pub(crate) fn masked_crc(bytes: &[u8]) -> u32 {
    let mut hasher = NO_BYTES.clone();
    hasher.update(bytes);
    hasher.finalize() & 0x7FFF_FFFF
}

/// Everything of a record that is known before it has a place in the log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RecordDraft<'a> {
    /// With the host bits of the system flag as the hosts ask for.
    fields: DraftFields<'a>,
    body_crc: u32,
    /// Of a large record that ends with a CRC: the CRC of what stands between its head and that.
    rest_crc: u32,
    properties_bytes: u16,
    size: u32,
}

/// From this size on, body, topic and properties of a record are summed up outside the append lock,
/// and the sum of its head is combined with theirs; below, to sum up the whole takes less time.
const COMBINED_FROM_BYTES: u32 = 4096;

/// The fields of a draft that the caller of [`RecordDraft::unmeasured`] decides.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DraftFields<'a> {
    pub(crate) topic: &'a [u8],
    pub(crate) queue_id: i32,
    pub(crate) body: &'a [u8],
    pub(crate) flag: i32,
    pub(crate) sys_flag: i32,
    /// `None` for the store timestamp.
    pub(crate) born_timestamp_ms: Option<i64>,
    pub(crate) born_host: EncodedHost,
    pub(crate) store_host: EncodedHost,
    pub(crate) reconsume_times: i32,
    pub(crate) prepared_transaction_offset: i64,
    pub(crate) properties: PropertySource<'a>,
    /// Whether the record ends with the CRC property.
    pub(crate) record_crc: bool,
}

impl DraftFields<'_> {
    /// Bytes of the properties, the record's CRC included.
    #[inline(always)]
    fn properties_bytes(&self) -> Result<u16> {
        match (self.properties.is_empty(), self.record_crc) {
            (true, false) => Ok(0),
            (true, true) => Ok(RECORD_CRC_BYTES as u16),
            (false, _) => self.encoded_properties_bytes(),
        }
    }

    fn encoded_properties_bytes(&self) -> Result<u16> {
        let mut bytes = self.properties.length();
        if self.record_crc {
            bytes += RECORD_CRC_BYTES;
            bytes += usize::from(self.properties.lacks_last_separator());
        } else {
            self.properties.check_end()?;
        }
        if bytes > MAX_PROPERTIES_BYTES {
            return Err(too_long(bytes));
        }
        // MAX_PROPERTIES_BYTES fit.
        Ok(bytes as u16)
    }
}

/// What a record gets only under the append lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) physical_offset: u64,
    pub(crate) queue_offset: u64,
    pub(crate) store_timestamp_ms: i64,
}

impl<'a> RecordDraft<'a> {
    /// A record that is to be [measured](Self::measure), and to stay where it is: to hand it on
    /// takes a copy, which waits for what was just stored.
    #[inline(always)]
    pub(crate) fn unmeasured(fields: DraftFields<'a>) -> Self {
        Self { fields, body_crc: 0, rest_crc: 0, properties_bytes: 0, size: 0 }
    }

    /// A record with its lengths and sums.
    pub(crate) fn new(fields: DraftFields<'a>) -> Result<Self> {
        let mut draft = Self::unmeasured(fields);
        draft.measure()?;
        Ok(draft)
    }

    /// Computes lengths and the body CRC. V2 is chosen when the topic exceeds 127 bytes, the host
    /// bits are set from the addresses.
    #[inline(always)]
    pub(crate) fn measure(&mut self) -> Result<()> {
        let fields = &mut self.fields;
        let (born_host, store_host) = (&fields.born_host, &fields.store_host);
        fields.sys_flag &= !(sys_flag::BORN_HOST_V6 | sys_flag::STORE_HOST_V6);
        if born_host.is_ipv6() {
            fields.sys_flag |= sys_flag::BORN_HOST_V6;
        }
        if store_host.is_ipv6() {
            fields.sys_flag |= sys_flag::STORE_HOST_V6;
        }
        let properties_bytes = fields.properties_bytes()?;
        let topic_width = if fields.topic.len() > MAX_V1_TOPIC_BYTES { 2 } else { 1 };
        let size = 74
            + born_host.as_bytes().len()
            + store_host.as_bytes().len()
            + fields.body.len()
            + topic_width
            + fields.topic.len()
            + usize::from(properties_bytes);
        self.size = u32::try_from(size)
            .ok()
            .filter(|&size| i32::try_from(size).is_ok())
            .ok_or_else(|| Error::new(Status::MessageTooLarge, "the record exceeds 2 GiB"))?;
        self.properties_bytes = properties_bytes;
        if self.fields.record_crc && self.size >= COMBINED_FROM_BYTES {
            self.sum_rest();
        } else {
            self.body_crc = masked_crc(self.fields.body);
        }
        Ok(())
    }

    /// What the caller decided.
    #[inline]
    pub(crate) fn fields(&self) -> &DraftFields<'a> {
        &self.fields
    }

    /// Sums up everything behind the head but the CRC at the end.
    #[cold]
    fn sum_rest(&mut self) {
        let mut sum = Sum(crc32fast::Hasher::new());
        sum.put(self.fields.body);
        self.body_crc = sum.0.clone().finalize() & 0x7FFF_FFFF;
        self.encode_behind_body(&mut sum);
        self.rest_crc = sum.0.finalize();
    }

    /// Bytes in front of the body.
    fn head_bytes(&self) -> u32 {
        let (born_host, store_host) = (&self.fields.born_host, &self.fields.store_host);
        // Two addresses and two ports.
        72 + (born_host.as_bytes().len() + store_host.as_bytes().len()) as u32
    }

    /// The record's length in bytes.
    pub(crate) fn size_bytes(&self) -> u32 {
        self.size
    }

    /// Whether the record counts in its queue: prepared and rolled back transactions do not.
    pub(crate) fn takes_queue_offset(&self) -> bool {
        matches!(
            self.fields.sys_flag & sys_flag::TRANSACTION_TYPE,
            sys_flag::TRANSACTION_NONE | sys_flag::TRANSACTION_COMMIT
        )
    }

    /// The kind of queue the record goes to.
    pub(crate) fn queue_kind(&self) -> QueueKind {
        queue_kind(self.fields.sys_flag)
    }

    /// Writes the record, `size_bytes` bytes in order.
    #[inline(always)]
    pub(crate) fn encode(&self, stamp: Stamp, sink: &mut impl RecordSink) {
        let fields = &self.fields;
        let two_byte_topic = fields.topic.len() > MAX_V1_TOPIC_BYTES;
        let magic = if two_byte_topic { MAGIC_V2 } else { MAGIC_V1 };
        sink.put_size(self.size.to_be_bytes());
        match (fields.born_host.as_ipv4(), fields.store_host.as_ipv4()) {
            // In one piece of known length, straight to where it belongs: to copy what was just put
            // together makes the processor wait for it.
            (Some(born_host), Some(store_host)) => sink.put_filled(|head: &mut IPv4Head| {
                self.fill_head(magic, stamp, born_host, store_host, head);
            }),
            _ => self.put_head(magic, stamp, sink),
        }
        sink.put(fields.body);
        self.encode_behind_body(sink);
        if fields.record_crc {
            self.put_crc(sink);
        }
    }

    /// Writes the CRC of all that was written.
    fn put_crc(&self, sink: &mut impl RecordSink) {
        let crc = if self.size < COMBINED_FROM_BYTES {
            sink.sum_first(usize::MAX)
        } else {
            let head = self.head_bytes();
            let mut sum = sink.sum_first(head as usize);
            let rest = u64::from(self.size - head) - RECORD_CRC_BYTES as u64;
            sum.combine(&crc32fast::Hasher::new_with_initial_len(self.rest_crc, rest));
            sum
        };
        sink.put(&record_crc_property(crc.finalize() & 0x7FFF_FFFF));
    }

    /// Writes topic and properties, with a separator in front of the CRC if one follows.
    #[inline(always)]
    fn encode_behind_body(&self, sink: &mut impl Sink) {
        let fields = &self.fields;
        if fields.topic.len() > MAX_V1_TOPIC_BYTES {
            sink.put(&(fields.topic.len() as u16).to_be_bytes());
        } else {
            sink.put(&[fields.topic.len() as u8]);
        }
        sink.put(fields.topic);
        sink.put(&self.properties_bytes.to_be_bytes());
        fields.properties.encode(sink);
        if fields.record_crc && fields.properties.lacks_last_separator() {
            sink.put(&[PROPERTY_SEPARATOR]);
        }
    }

    /// Everything between size and body, with hosts of 8 bytes.
    #[inline(always)]
    fn fill_head(
        &self,
        magic: u32,
        stamp: Stamp,
        born_host: [u8; IPV4_HOST_BYTES],
        store_host: [u8; IPV4_HOST_BYTES],
        head: &mut IPv4Head,
    ) {
        let fields = &self.fields;
        head[..4].copy_from_slice(&magic.to_be_bytes());
        head[4..8].copy_from_slice(&self.body_crc.to_be_bytes());
        head[8..12].copy_from_slice(&fields.queue_id.to_be_bytes());
        head[12..16].copy_from_slice(&fields.flag.to_be_bytes());
        head[16..24].copy_from_slice(&stamp.queue_offset.to_be_bytes());
        head[24..32].copy_from_slice(&stamp.physical_offset.to_be_bytes());
        head[32..36].copy_from_slice(&fields.sys_flag.to_be_bytes());
        head[36..44].copy_from_slice(&self.born_timestamp_ms(stamp).to_be_bytes());
        head[44..52].copy_from_slice(&born_host);
        head[52..60].copy_from_slice(&stamp.store_timestamp_ms.to_be_bytes());
        head[60..68].copy_from_slice(&store_host);
        head[68..72].copy_from_slice(&fields.reconsume_times.to_be_bytes());
        head[72..80].copy_from_slice(&fields.prepared_transaction_offset.to_be_bytes());
        head[80..].copy_from_slice(&(fields.body.len() as u32).to_be_bytes());
    }

    /// The same with hosts of any kind.
    #[cold]
    fn put_head(&self, magic: u32, stamp: Stamp, sink: &mut impl Sink) {
        let mut head = [0; IPV4_HEAD_BYTES];
        self.fill_head(magic, stamp, [0; IPV4_HOST_BYTES], [0; IPV4_HOST_BYTES], &mut head);
        sink.put(&head[..44]);
        sink.put(self.fields.born_host.as_bytes());
        sink.put(&head[52..60]);
        sink.put(self.fields.store_host.as_bytes());
        sink.put(&head[68..]);
    }

    fn born_timestamp_ms(&self, stamp: Stamp) -> i64 {
        self.fields.born_timestamp_ms.unwrap_or(stamp.store_timestamp_ms)
    }
}

#[cold]
fn too_long(properties_bytes: usize) -> Error {
    Error::new(Status::PropertiesTooLarge, "the properties are too long")
        .expected(format!("at most {MAX_PROPERTIES_BYTES} bytes"), properties_bytes)
}

/// Bytes between size and body of a record whose hosts are IPv4 addresses.
const IPV4_HEAD_BYTES: usize = 68 + 2 * IPV4_HOST_BYTES;
type IPv4Head = [u8; IPV4_HEAD_BYTES];

/// Sums bytes up.
struct Sum(crc32fast::Hasher);

impl Sink for Sum {
    fn put(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }
}

/// Writes the blank that fills `room` bytes up to the end of a file.
pub(crate) fn encode_blank(room: u32, sink: &mut impl Sink) {
    sink.put_size(room.to_be_bytes());
    sink.put(&MAGIC_BLANK.to_be_bytes());
}

/// Where the variable parts of a record are, relative to its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RecordLayout {
    pub(crate) size: u32,
    pub(crate) sys_flag: i32,
    pub(crate) body_start: u32,
    pub(crate) body_bytes: u32,
    pub(crate) topic_start: u32,
    pub(crate) topic_bytes: u16,
    pub(crate) properties_start: u32,
    pub(crate) properties_bytes: u16,
}

/// What stands at a position of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parsed {
    /// A whole record.
    Record(RecordLayout),
    /// The blank that ends the file, with the size it states.
    Blank(u32),
}

/// Why there is neither a record nor a blank at a position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Defect {
    /// Zeros, or too few bytes for anything: free space.
    Free,
    /// Something is there, and this is wrong with it.
    Damaged { what: &'static str, expected: String, found: String },
}

impl Defect {
    /// Whether there is a record that is whole but for its content.
    pub(crate) fn is_of_crc(&self) -> bool {
        matches!(self, Self::Damaged { what: BAD_RECORD_CRC | BAD_BODY_CRC, .. })
    }
}

const BAD_RECORD_CRC: &str = "bad record CRC";
const BAD_BODY_CRC: &str = "bad body CRC";

/// How thoroughly [`parse`] looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CrcCheck {
    /// Body CRC, or the record CRC where there is one.
    Verify,
    /// Structure only.
    Skip,
}

fn damaged(what: &'static str, expected: impl ToString, found: impl ToString) -> Defect {
    Defect::Damaged { what, expected: expected.to_string(), found: found.to_string() }
}

/// Looks at what begins with `bytes`, which stands at `physical_offset` and reaches to the end of
/// the file or of what is readable of it.
#[inline(always)]
pub(crate) fn parse(
    bytes: &[u8],
    physical_offset: u64,
    crc: CrcCheck,
) -> std::result::Result<Parsed, Defect> {
    let Some(layout) = usual_layout(bytes, physical_offset) else {
        return parse_any(bytes, physical_offset, crc);
    };
    if crc == CrcCheck::Verify {
        verify_crc(bytes, &layout)?;
    }
    Ok(Parsed::Record(layout))
}

/// The layout of a record as nearly all are: a whole one, V1, of hosts with IPv4 addresses. For
/// everything else there is [`parse_any`], which knows more and takes longer.
#[inline]
fn usual_layout(bytes: &[u8], physical_offset: u64) -> Option<RecordLayout> {
    const HEAD_BYTES: usize = 4 + IPV4_HEAD_BYTES;
    let head = bytes.first_chunk::<HEAD_BYTES>()?;
    let word = |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let long = |at: usize| u64::from(word(at)) << 32 | u64::from(word(at + 4));
    let (size, sys_flag) = (word(0), word(at::SYS_FLAG).cast_signed());
    let v6 = sys_flag::BORN_HOST_V6 | sys_flag::STORE_HOST_V6;
    let usual = word(at::MAGIC) == MAGIC_V1 && sys_flag & v6 == 0;
    if !usual || long(at::PHYSICAL_OFFSET) != physical_offset {
        return None;
    }
    let record = bytes.get(..size as usize).filter(|_| size <= i32::MAX.cast_unsigned())?;
    let body_bytes = word(HEAD_BYTES - 4);
    let topic_at = (body_bytes as usize).checked_add(HEAD_BYTES)?;
    let topic_bytes = *record.get(topic_at)?;
    let properties_at = topic_at + 1 + usize::from(topic_bytes);
    let length = record.get(properties_at..)?.first_chunk::<2>()?;
    let properties_bytes = u16::from_be_bytes(*length);
    let whole = properties_at + 2 + usize::from(properties_bytes) == record.len();
    let legal = (1..=MAX_V1_TOPIC_BYTES).contains(&usize::from(topic_bytes))
        && usize::from(properties_bytes) <= MAX_PROPERTIES_BYTES;
    // Everything lies inside a record of at most 2^31 - 1 bytes, so nothing is cut off here.
    (whole && legal).then_some(RecordLayout {
        size,
        sys_flag,
        body_start: HEAD_BYTES as u32,
        body_bytes,
        topic_start: topic_at as u32 + 1,
        topic_bytes: u16::from(topic_bytes),
        properties_start: properties_at as u32 + 2,
        properties_bytes,
    })
}

/// As [`parse`], for whatever may stand there.
#[cold]
fn parse_any(
    bytes: &[u8],
    physical_offset: u64,
    crc: CrcCheck,
) -> std::result::Result<Parsed, Defect> {
    let (Some(size), Some(magic)) = (read_i32(bytes, 0), read_i32(bytes, at::MAGIC)) else {
        return Err(Defect::Free);
    };
    if size == 0 && magic == 0 {
        return Err(Defect::Free);
    }
    let magic = magic.cast_unsigned();
    if magic == MAGIC_BLANK {
        let size = u32::try_from(size).map_err(|_| damaged("bad size of a blank", ">= 8", size))?;
        return Ok(Parsed::Blank(size));
    }
    if magic != MAGIC_V1 && magic != MAGIC_V2 {
        let expected = format!("{MAGIC_V1:08x} or {MAGIC_V2:08x}");
        return Err(damaged("bad magic", expected, format!("{magic:08x}")));
    }
    let layout = parse_layout(bytes, size, magic)?;
    let stored_offset = super::read_i64(bytes, at::PHYSICAL_OFFSET).unwrap_or(-1);
    if u64::try_from(stored_offset) != Ok(physical_offset) {
        return Err(damaged("bad physical offset", physical_offset, stored_offset));
    }
    if crc == CrcCheck::Verify {
        verify_crc(bytes, &layout)?;
    }
    Ok(Parsed::Record(layout))
}

fn parse_layout(bytes: &[u8], size: i32, magic: u32) -> std::result::Result<RecordLayout, Defect> {
    let record = usize::try_from(size)
        .ok()
        .filter(|&size| size >= MIN_RECORD_BYTES)
        .and_then(|size| bytes.get(..size))
        .ok_or_else(|| {
            damaged("bad record size", format!("{MIN_RECORD_BYTES} to {}", bytes.len()), size)
        })?;
    let short = || damaged("record fields exceed the record", "fields inside", record.len());
    let sys_flag = read_i32(record, at::SYS_FLAG).ok_or_else(short)?;
    let hosts = host_bytes(sys_flag, sys_flag::BORN_HOST_V6)
        + host_bytes(sys_flag, sys_flag::STORE_HOST_V6);
    let body_start = 72 + hosts;
    let body_bytes = read_i32(record, body_start - 4).ok_or_else(short)?;
    let body_bytes = usize::try_from(body_bytes)
        .map_err(|_| damaged("bad body length", "0 or more", body_bytes))?;
    let topic_length_at = body_start.checked_add(body_bytes).ok_or_else(short)?;
    let (topic_start, topic_bytes) = if magic == MAGIC_V2 {
        (topic_length_at + 2, read_i16(record, topic_length_at).ok_or_else(short)?)
    } else {
        let length = *record.get(topic_length_at).ok_or_else(short)?;
        (topic_length_at + 1, i16::from(length.cast_signed()))
    };
    let topic_bytes = u16::try_from(topic_bytes)
        .ok()
        .filter(|&length| length > 0)
        .ok_or_else(|| damaged("bad topic length", "1 or more", topic_bytes))?;
    let properties_length_at = topic_start + usize::from(topic_bytes);
    let properties_bytes = read_i16(record, properties_length_at).ok_or_else(short)?;
    let properties_bytes = u16::try_from(properties_bytes)
        .map_err(|_| damaged("bad properties length", "0 or more", properties_bytes))?;
    let properties_start = properties_length_at + 2;
    let computed = properties_start + usize::from(properties_bytes);
    if computed != record.len() {
        return Err(damaged("record size disagrees with its fields", computed, record.len()));
    }
    // Everything lies inside a record of at most 2^31 - 1 bytes, so nothing is cut off here.
    Ok(RecordLayout {
        size: record.len() as u32,
        sys_flag,
        body_start: body_start as u32,
        body_bytes: body_bytes as u32,
        topic_start: topic_start as u32,
        topic_bytes,
        properties_start: properties_start as u32,
        properties_bytes,
    })
}

/// The length of a host whose address family is told by `bit` of the system flag.
pub(crate) fn host_bytes(sys_flag: i32, bit: i32) -> usize {
    if sys_flag & bit == 0 { IPV4_HOST_BYTES } else { IPV6_HOST_BYTES }
}

/// The CRC of a record up to its own CRC, in front of which a separator stands.
#[cold]
fn crc_with_separator(bytes: &[u8], layout: &RecordLayout) -> u32 {
    let end = layout.size as usize - RECORD_CRC_BYTES;
    // Without another property the length of the properties stands there.
    let alone = usize::from(layout.properties_bytes) == RECORD_CRC_BYTES;
    let mut hasher = crc32fast::Hasher::new();
    match bytes.get(..end).and_then(|covered| covered.split_last()) {
        Some((_, others)) if !alone => {
            hasher.update(others);
            hasher.update(&[PROPERTY_SEPARATOR]);
        }
        _ => hasher.update(bytes.get(..end).unwrap_or_default()),
    }
    hasher.finalize() & 0x7FFF_FFFF
}

fn verify_crc(bytes: &[u8], layout: &RecordLayout) -> std::result::Result<(), Defect> {
    let slice = |start: u32, length: u32| {
        let start = start as usize;
        bytes.get(start..start + length as usize).unwrap_or_default()
    };
    let properties = slice(layout.properties_start, u32::from(layout.properties_bytes));
    let of_body = || {
        let stored = read_i32(bytes, at::BODY_CRC).unwrap_or(-1).cast_unsigned();
        (BAD_BODY_CRC, stored, masked_crc(slice(layout.body_start, layout.body_bytes)))
    };
    let (what, expected, found) = if properties.len() < RECORD_CRC_BYTES {
        of_body()
    } else if let Some(stored) = appended_record_crc(properties) {
        let covered = slice(0, layout.size - RECORD_CRC_BYTES as u32);
        (BAD_RECORD_CRC, stored, masked_crc(covered))
    } else if let Some(stored) = damaged_record_crc(properties)
        && stored.is_none_or(|stored| stored == crc_with_separator(bytes, layout))
    {
        let found =
            String::from_utf8_lossy(properties.last_chunk::<RECORD_CRC_BYTES>().map_or(&[], |b| b));
        return Err(damaged(BAD_RECORD_CRC, "__CRC32# and ten digits", found.escape_debug()));
    } else {
        of_body()
    };
    if expected == found {
        return Ok(());
    }
    Err(damaged(what, format!("{expected:08x}"), format!("{found:08x}")))
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
