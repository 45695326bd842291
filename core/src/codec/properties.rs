//! Properties: `name 0x01 value 0x02`, repeated; the last 0x02 may be missing.

use super::Sink;
use crate::error::{Error, Result};
use crate::status::Status;

/// Between a name and its value.
pub(crate) const NAME_VALUE_SEPARATOR: u8 = 1;
/// After each pair.
pub(crate) const PROPERTY_SEPARATOR: u8 = 2;
/// The most bytes all properties of a record may have, the appended CRC included.
pub(crate) const MAX_PROPERTIES_BYTES: usize = i16::MAX as usize;

/// The tag.
pub const PROPERTY_TAGS: &str = "TAGS";
/// The keys, separated by spaces.
pub const PROPERTY_KEYS: &str = "KEYS";
/// The key that a RocketMQ client gives each message by itself.
pub const PROPERTY_UNIQUE_KEY: &str = "UNIQ_KEY";
/// `false` when the producer does not wait for the sync.
pub const PROPERTY_WAIT: &str = "WAIT";
/// The number of messages in an inner batch.
pub const PROPERTY_INNER_NUM: &str = "INNER_NUM";
/// The queue offset of the first message in an inner batch.
pub const PROPERTY_INNER_BASE: &str = "INNER_BASE";
/// The delay level of a message, counted from 1; 0 or less is no delay.
pub const PROPERTY_DELAY: &str = "DELAY";
/// The topic that a delayed or half message is meant for.
pub const PROPERTY_REAL_TOPIC: &str = "REAL_TOPIC";
/// The queue that a delayed or half message is meant for.
pub const PROPERTY_REAL_QUEUE_ID: &str = "REAL_QID";
/// Marks a half message, and the message that came of it.
pub(crate) const PROPERTY_TRANSACTION_PREPARED: &str = "TRAN_MSG";
/// The unique key of a half message, once more.
pub(crate) const PROPERTY_TRANSACTION_ID: &str = "__transactionId__";
/// How often it was asked what is to become of a half message.
pub const PROPERTY_TRANSACTION_CHECK_TIMES: &str = "TRANSACTION_CHECK_TIMES";
/// The index of the half message that RocketMQ put once more without asking.
pub(crate) const PROPERTY_TRANSACTION_PREPARED_QUEUE_OFFSET: &str = "TRAN_PREPARED_QUEUE_OFFSET";
/// From which age in seconds on it is asked what is to become of this half message.
pub const PROPERTY_CHECK_IMMUNITY_TIME: &str = "CHECK_IMMUNITY_TIME_IN_SECONDS";
/// The CRC over the whole record, always its last property.
pub const PROPERTY_RECORD_CRC: &str = "__CRC32#";

/// The bytes of the appended record CRC: name, separator, ten digits, separator.
pub(crate) const RECORD_CRC_BYTES: usize = RECORD_CRC_NAME.len() + RECORD_CRC_DIGITS + 1;
const RECORD_CRC_NAME: &[u8] = b"__CRC32#\x01";
const RECORD_CRC_DIGITS: usize = 10;

/// Number and first queue offset of an inner batch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct InnerBatch {
    pub(crate) count: u32,
    pub(crate) base: u64,
}

/// Where a message is meant to go that is stored elsewhere for now.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RealQueue<'a> {
    pub(crate) topic: &'a str,
    pub(crate) queue_id: i32,
}

/// What marks a half message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HalfMark<'a> {
    /// The unique key of the message, if it has one.
    pub(crate) id: Option<&'a str>,
}

/// What a record's properties are made of: raw bytes first, then single ones.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PropertySource<'a> {
    /// Already encoded, with or without the last separator.
    pub(crate) raw: &'a [u8],
    pub(crate) tag: Option<&'a str>,
    pub(crate) keys: &'a [&'a str],
    pub(crate) pairs: &'a [(&'a str, &'a str)],
    pub(crate) wait_store_ok: bool,
    pub(crate) inner_batch: Option<InnerBatch>,
    /// 0 for none. In the place of a pair of that name.
    pub(crate) delay_level: u32,
    /// In the place of pairs of those names.
    pub(crate) real_queue: Option<RealQueue<'a>>,
    /// In the place of pairs that mark a half message.
    pub(crate) half: Option<HalfMark<'a>>,
}

impl<'a> PropertySource<'a> {
    /// Properties that are encoded already.
    #[inline]
    pub(crate) fn raw(raw: &'a [u8]) -> Self {
        Self {
            raw,
            tag: None,
            keys: &[],
            pairs: &[],
            wait_store_ok: true,
            inner_batch: None,
            delay_level: 0,
            real_queue: None,
            half: None,
        }
    }

    /// Whether there is nothing to encode.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.raw.is_empty() && self.pairs.is_empty() && self.has_no_singles()
    }

    /// Whether nothing but raw bytes and pairs is to be encoded.
    #[inline]
    fn has_no_singles(&self) -> bool {
        self.tag.is_none()
            && self.keys.is_empty()
            && self.wait_store_ok
            && self.inner_batch.is_none()
            && self.delay_level == 0
            && self.real_queue.is_none()
            && self.half.is_none()
    }

    /// Checks names and values of the single properties.
    #[inline]
    pub(crate) fn validate(&self) -> Result<()> {
        if self.is_empty() { Ok(()) } else { self.validate_all() }
    }

    fn validate_all(&self) -> Result<()> {
        if self.tag.is_some_and(|tag| tag.is_empty() || has(tag, PROPERTY_SEPARATOR)) {
            return Err(illegal("the tag is empty or holds 0x02"));
        }
        for key in self.keys {
            if key.is_empty() || key.contains(' ') || has(key, PROPERTY_SEPARATOR) {
                return Err(illegal("a key is empty or holds a space or 0x02"));
            }
        }
        for (name, value) in self.pairs {
            if name.is_empty() || has(name, NAME_VALUE_SEPARATOR) || has(name, PROPERTY_SEPARATOR) {
                return Err(illegal("a property name is empty or holds 0x01 or 0x02"));
            }
            if value.is_empty() || has(value, PROPERTY_SEPARATOR) {
                return Err(illegal("a property value is empty or holds 0x02"));
            }
        }
        Ok(())
    }

    /// The encoded length in bytes, without a record CRC.
    #[inline]
    pub(crate) fn length(&self) -> usize {
        let mut length = Length(0);
        self.encode(&mut length);
        length.0
    }

    /// Whether a separator must stand before a further property.
    pub(crate) fn lacks_last_separator(&self) -> bool {
        let raw_only = self.has_no_singles() && self.stored_pairs().next().is_none();
        raw_only && self.raw.last().is_some_and(|&last| last != PROPERTY_SEPARATOR)
    }

    /// Refuses raw properties of a caller at whose end a reader would find a record CRC that nobody
    /// computed: a record without one of its own would be taken for damaged.
    pub(crate) fn check_end(&self) -> Result<()> {
        let last = !self.raw.is_empty() && self.has_no_singles();
        if last
            && self.stored_pairs().next().is_none()
            && (appended_record_crc(self.raw).is_some()
                || damaged_record_crc(self.raw) == Some(None))
        {
            return Err(illegal("the properties end as the CRC of a record does"));
        }
        Ok(())
    }

    /// Writes the properties. A `__CRC32#` pair is left out, because it belongs to the record it
    /// was copied from, and so are pairs in whose place others are written.
    #[inline]
    pub(crate) fn encode(&self, sink: &mut impl Sink) {
        if !self.is_empty() {
            self.encode_all(sink);
        }
    }

    fn encode_all(&self, sink: &mut impl Sink) {
        sink.put(self.raw);
        if self.raw.last().is_some_and(|&last| last != PROPERTY_SEPARATOR)
            && !self.lacks_last_separator()
        {
            sink.put(&[PROPERTY_SEPARATOR]);
        }
        for (name, value) in self.stored_pairs() {
            put_pair(sink, name, value.as_bytes());
        }
        if let Some(tag) = self.tag {
            put_pair(sink, PROPERTY_TAGS, tag.as_bytes());
        }
        if let Some((first, others)) = self.keys.split_first() {
            sink.put(PROPERTY_KEYS.as_bytes());
            sink.put(&[NAME_VALUE_SEPARATOR]);
            sink.put(first.as_bytes());
            for key in others {
                sink.put(b" ");
                sink.put(key.as_bytes());
            }
            sink.put(&[PROPERTY_SEPARATOR]);
        }
        if !self.wait_store_ok {
            put_pair(sink, PROPERTY_WAIT, b"false");
        }
        if self.delay_level > 0 {
            put_number(sink, PROPERTY_DELAY, u64::from(self.delay_level));
        }
        if let Some(real) = self.real_queue {
            put_pair(sink, PROPERTY_REAL_TOPIC, real.topic.as_bytes());
            // It was checked not to be negative.
            put_number(sink, PROPERTY_REAL_QUEUE_ID, u64::from(real.queue_id.unsigned_abs()));
        }
        if let Some(half) = self.half {
            put_pair(sink, PROPERTY_TRANSACTION_PREPARED, b"true");
            if let Some(id) = half.id {
                put_pair(sink, PROPERTY_TRANSACTION_ID, id.as_bytes());
            }
        }
        if let Some(inner) = self.inner_batch {
            put_number(sink, PROPERTY_INNER_NUM, u64::from(inner.count));
            put_number(sink, PROPERTY_INNER_BASE, inner.base);
        }
    }

    fn stored_pairs(&self) -> impl Iterator<Item = &'a (&'a str, &'a str)> + use<'a> {
        let (delayed, moved) = (self.delay_level > 0, self.real_queue.is_some());
        let (half, id) = (self.half.is_some(), self.half.is_some_and(|half| half.id.is_some()));
        self.pairs.iter().filter(move |(name, _)| match *name {
            PROPERTY_RECORD_CRC => false,
            PROPERTY_DELAY => !delayed,
            PROPERTY_REAL_TOPIC | PROPERTY_REAL_QUEUE_ID => !moved,
            PROPERTY_TRANSACTION_PREPARED => !half,
            PROPERTY_TRANSACTION_ID => !id,
            _ => true,
        })
    }
}

fn illegal(what: &'static str) -> Error {
    Error::new(Status::PropertiesIllegal, what)
}

fn has(text: &str, byte: u8) -> bool {
    memchr::memchr(byte, text.as_bytes()).is_some()
}

fn put_pair(sink: &mut impl Sink, name: &str, value: &[u8]) {
    sink.put(name.as_bytes());
    sink.put(&[NAME_VALUE_SEPARATOR]);
    sink.put(value);
    sink.put(&[PROPERTY_SEPARATOR]);
}

fn put_number(sink: &mut impl Sink, name: &str, number: u64) {
    let mut digits = [0; 20];
    put_pair(sink, name, decimal(number, &mut digits));
}

/// The decimal digits of a number, written into `buffer`.
fn decimal(mut number: u64, buffer: &mut [u8; 20]) -> &[u8] {
    let mut start = buffer.len();
    loop {
        start -= 1;
        buffer[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return &buffer[start..];
        }
    }
}

/// Counts bytes instead of writing them.
struct Length(usize);

impl Sink for Length {
    fn put(&mut self, bytes: &[u8]) {
        self.0 += bytes.len();
    }
}

/// The appended CRC property for a 31-bit checksum: ten digits, the least significant first.
pub(crate) fn record_crc_property(crc: u32) -> [u8; RECORD_CRC_BYTES] {
    let mut property = *b"__CRC32#\x010000000000\x02";
    let mut rest = crc;
    for digit in &mut property[9..19] {
        *digit += (rest % 10) as u8;
        rest /= 10;
    }
    property
}

/// The checksum in the appended CRC property, if these properties end with one.
pub(crate) fn appended_record_crc(properties: &[u8]) -> Option<u32> {
    let start = properties.len().checked_sub(RECORD_CRC_BYTES)?;
    let (before, last) = properties.split_at_checked(start)?;
    if before.last().is_some_and(|&byte| byte != PROPERTY_SEPARATOR) {
        return None;
    }
    number_of(last.strip_prefix(RECORD_CRC_NAME)?.strip_suffix(&[PROPERTY_SEPARATOR])?)
}

/// The number of digits of which the least significant is the first.
fn number_of(digits: &[u8]) -> Option<u32> {
    let number = digits.iter().rev().try_fold(0u64, |number, digit| {
        digit.is_ascii_digit().then(|| number * 10 + u64::from(digit - b'0'))
    })?;
    u32::try_from(number).ok()
}

/// The checksum in what may have been an appended record CRC before one byte of it, or the
/// separator in front, was damaged: `None` if these properties do not end so, the value `None` if
/// the digits are none.
#[allow(clippy::option_option, reason = "two questions")]
pub(crate) fn damaged_record_crc(properties: &[u8]) -> Option<Option<u32>> {
    let last = properties.last_chunk::<RECORD_CRC_BYTES>()?;
    let before = properties.len().checked_sub(RECORD_CRC_BYTES + 1);
    let before = before.and_then(|at| properties.get(at)).copied().unwrap_or(PROPERTY_SEPARATOR);
    let (name, rest) = last.split_at(RECORD_CRC_NAME.len());
    let (digits, end) = rest.split_at(RECORD_CRC_DIGITS);
    let wrong = name.iter().zip(RECORD_CRC_NAME).filter(|(found, known)| found != known).count()
        + usize::from(end != [PROPERTY_SEPARATOR])
        + usize::from(before != PROPERTY_SEPARATOR);
    match (wrong, number_of(digits)) {
        (0, None) => Some(None),
        (1, Some(number)) => Some(Some(number)),
        _ => None,
    }
}

/// The properties without an appended record CRC.
pub(crate) fn without_record_crc(properties: &[u8]) -> &[u8] {
    let own = properties.len().saturating_sub(RECORD_CRC_BYTES);
    match appended_record_crc(properties) {
        Some(_) => properties.get(..own).unwrap_or_default(),
        None => properties,
    }
}

/// Encoded properties with one more, in the place of any of its name, and without a record CRC.
pub(crate) fn with_number(properties: &[u8], name: &str, number: u32) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(properties.len() + name.len() + 12);
    for (other, value) in PropertyIter::new(without_record_crc(properties)) {
        if other != name.as_bytes() {
            bytes.extend_from_slice(other);
            bytes.push(NAME_VALUE_SEPARATOR);
            bytes.extend_from_slice(value);
            bytes.push(PROPERTY_SEPARATOR);
        }
    }
    put_number(&mut bytes, name, u64::from(number));
    bytes
}

/// The properties of a record, in stored order, as RocketMQ's decoder reads them: a segment
/// without 0x01, or with nothing before or behind it, is passed over.
#[derive(Debug, Clone)]
pub struct PropertyIter<'a> {
    rest: &'a [u8],
}

impl<'a> PropertyIter<'a> {
    pub(crate) fn new(properties: &'a [u8]) -> Self {
        Self { rest: properties }
    }

    /// The value of a name, the last one if it occurs several times.
    #[must_use]
    pub fn find(self, name: &str) -> Option<&'a [u8]> {
        self.filter(|(found, _)| *found == name.as_bytes()).last().map(|(_, value)| value)
    }
}

impl<'a> Iterator for PropertyIter<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() {
            let end = memchr::memchr(PROPERTY_SEPARATOR, self.rest).unwrap_or(self.rest.len());
            let (segment, rest) = self.rest.split_at_checked(end)?;
            self.rest = rest.get(1..).unwrap_or_default();
            let Some(split) = memchr::memchr(NAME_VALUE_SEPARATOR, segment) else {
                continue;
            };
            let (name, value) = (segment.get(..split)?, segment.get(split + 1..)?);
            if !name.is_empty() && !value.is_empty() {
                return Some((name, value));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(source: &PropertySource<'_>) -> Vec<u8> {
        let mut bytes = Vec::new();
        source.encode(&mut bytes);
        assert_eq!(bytes.len(), source.length());
        bytes
    }

    #[test]
    fn parts_follow_raw_bytes_with_one_separator_between() {
        let mut source = PropertySource::raw(b"a\x01b");
        assert_eq!(encoded(&source), b"a\x01b");
        assert!(source.lacks_last_separator());
        source.tag = Some("t");
        source.keys = &["k1", "k2"];
        source.pairs = &[("__CRC32#", "1"), ("x", "y")];
        source.wait_store_ok = false;
        source.inner_batch = Some(InnerBatch { count: 3, base: 120 });
        assert_eq!(
            encoded(&source),
            b"a\x01b\x02x\x01y\x02TAGS\x01t\x02KEYS\x01k1 k2\x02WAIT\x01false\x02\
              INNER_NUM\x013\x02INNER_BASE\x01120\x02"
        );
        assert!(!source.lacks_last_separator());
    }

    #[test]
    fn a_number_takes_the_place_of_an_older_one_and_the_crc_goes() {
        let crc = record_crc_property(7);
        let raw = [b"n\x019\x02a\x01b\x02n\x018\x02".as_slice(), &crc].concat();
        assert_eq!(with_number(&raw, "n", 10), b"a\x01b\x02n\x0110\x02");
        assert_eq!(with_number(b"a\x01b", "n", 1), b"a\x01b\x02n\x011\x02");
    }

    #[test]
    fn reads_both_separator_habits_and_drops_what_is_no_pair() {
        for raw in [&b"a\x01b\x02c\x01d\x02"[..], b"a\x01b\x02c\x01d"] {
            let pairs: Vec<_> = PropertyIter::new(raw).collect();
            assert_eq!(pairs, [(&b"a"[..], &b"b"[..]), (b"c", b"d")]);
        }
        let odd = b"\x01x\x02name\x01\x02plain\x02a\x011\x02\x02a\x012\x013";
        let pairs: Vec<_> = PropertyIter::new(odd).collect();
        assert_eq!(pairs, [(&b"a"[..], &b"1"[..]), (b"a", b"2\x013")]);
        assert_eq!(PropertyIter::new(odd).find("a"), Some(&b"2\x013"[..]));
    }

    #[test]
    fn the_record_crc_has_reversed_digits_and_needs_a_boundary() {
        let property = record_crc_property(437_229_282);
        assert_eq!(&property, b"__CRC32#\x012829227340\x02");
        assert_eq!(appended_record_crc(&property), Some(437_229_282));
        let behind = [b"a\x01b\x02".as_slice(), &property].concat();
        assert_eq!(appended_record_crc(&behind), Some(437_229_282));
        let inside_a_value = [b"a\x01b".as_slice(), &property].concat();
        assert_eq!(appended_record_crc(&inside_a_value), None);
    }

    #[test]
    fn names_and_values_that_would_be_lost_are_refused() {
        let with = |pairs| PropertySource { pairs, ..PropertySource::raw(&[]) };
        for pair in [("", "v"), ("n", ""), ("n\x01", "v"), ("n\x02", "v"), ("n", "v\x02")] {
            let pairs = [pair];
            let error = PropertySource { pairs: &pairs, ..with(&[]) }.validate().unwrap_err();
            assert_eq!(error.status(), Status::PropertiesIllegal);
        }
        with(&[("n", "v\x01w")]).validate().unwrap();
    }
}
