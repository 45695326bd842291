//! Which bytes are where: pure functions over slices, without files, clocks or locks.
//!
//! All integers are big-endian. `docs/design.md` draws the layouts.

pub(crate) mod batch;
pub(crate) mod host;
pub(crate) mod message_id;
pub(crate) mod properties;
pub(crate) mod record;
mod record_view;

pub use properties::PropertyIter;
pub use record_view::RecordView;

/// Where encoded bytes go, in order. The log's writer is one, a `Vec` in tests another.
pub(crate) trait Sink {
    /// Takes the first four bytes of a record or blank, its size.
    #[inline]
    fn put_size(&mut self, size: [u8; 4]) {
        self.put(&size);
    }

    /// Takes the next bytes.
    fn put(&mut self, bytes: &[u8]);

    /// Takes the next `N` bytes, which are filled in where they belong if that can be done.
    #[inline]
    fn put_filled<const N: usize>(&mut self, fill: impl FnOnce(&mut [u8; N])) {
        let mut bytes = [0; N];
        fill(&mut bytes);
        self.put(&bytes);
    }
}

/// Where a record goes that ends with a CRC of what was put before.
pub(crate) trait RecordSink: Sink {
    /// Sums up the first bytes of the record, at most as many as were put.
    fn sum_first(&self, length: usize) -> crc32fast::Hasher;
}

impl Sink for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

impl RecordSink for Vec<u8> {
    fn sum_first(&self, length: usize) -> crc32fast::Hasher {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(self.get(..length).unwrap_or(self));
        hasher
    }
}

/// The big-endian i32 at `at`, if the slice reaches that far.
pub(crate) fn read_i32(bytes: &[u8], at: usize) -> Option<i32> {
    let field = bytes.get(at..at.checked_add(4)?)?;
    field.try_into().ok().map(i32::from_be_bytes)
}

/// The big-endian i64 at `at`, if the slice reaches that far.
pub(crate) fn read_i64(bytes: &[u8], at: usize) -> Option<i64> {
    let field = bytes.get(at..at.checked_add(8)?)?;
    field.try_into().ok().map(i64::from_be_bytes)
}

/// The big-endian i16 at `at`, if the slice reaches that far.
pub(crate) fn read_i16(bytes: &[u8], at: usize) -> Option<i16> {
    let field = bytes.get(at..at.checked_add(2)?)?;
    field.try_into().ok().map(i16::from_be_bytes)
}

/// Java's `String.hashCode`: over UTF-16 code units, wrapping. RocketMQ's tag codes and key hashes.
pub(crate) fn java_hash(text: &str) -> i32 {
    text.encode_utf16().fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

/// Whether a topic or group has letters, digits, `%`, `-`, `_` and `|` alone.
#[inline]
pub(crate) fn is_name(text: &str) -> bool {
    text.bytes().all(|byte| LEGAL_IN_NAME[usize::from(byte)])
}

/// A table, for each byte of the topic is asked for in each append by name.
static LEGAL_IN_NAME: [bool; 256] = {
    let mut legal = [false; 256];
    let mut byte = 0;
    while byte < legal.len() {
        let character = byte as u8;
        legal[byte] =
            character.is_ascii_alphanumeric() || matches!(character, b'%' | b'-' | b'_' | b'|');
        byte += 1;
    }
    legal
};

#[cfg(test)]
mod tests {
    use super::java_hash;

    #[test]
    fn hashes_are_java_s() {
        assert_eq!(java_hash("TagA"), 2_598_919);
        assert_eq!(java_hash("polygenelubricants"), i32::MIN);
        assert_eq!(java_hash("TopicTest#k1"), 2_746_024);
        // One code point outside the basic plane is two units.
        assert_eq!(java_hash("\u{1F680}"), 0xD83D * 31 + 0xDE80);
    }
}
