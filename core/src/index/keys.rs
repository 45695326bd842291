//! What of a record goes into the index, and the hashes it is found under.

use std::borrow::Cow;

/// What the index takes from one record of the log.
#[derive(Debug, Clone)]
pub(crate) struct IndexRecord<'a> {
    pub(crate) topic: Cow<'a, str>,
    /// The producer's unique key, which is indexed before the others.
    pub(crate) unique_key: Option<Cow<'a, str>>,
    /// The keys as stored: separated by spaces; empty for none.
    pub(crate) keys: Cow<'a, str>,
    pub(crate) physical_offset: u64,
    pub(crate) store_timestamp_ms: i64,
}

/// One key of one record, on its way into a file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Keyed {
    pub(super) hash: u32,
    /// Where the record lies.
    pub(super) offset: u64,
    pub(super) time_ms: i64,
}

impl IndexRecord<'_> {
    /// Adds the record's keys, in the order of the file.
    pub(crate) fn keyed(&self, into: &mut Vec<Keyed>) {
        let unique = self.unique_key.iter().map(AsRef::as_ref);
        let keys = self.keys.split(' ').filter(|key| !key.is_empty());
        let topic = hash_on(0, &self.topic);
        into.extend(unique.chain(keys).map(|key| Keyed {
            hash: without_sign(hash_on(hash_on(topic, "#"), key)),
            offset: self.physical_offset,
            time_ms: self.store_timestamp_ms,
        }));
    }
}

/// The hash of `topic#key`: Java's, without its sign.
pub(super) fn key_hash(topic: &str, key: &str) -> u32 {
    without_sign(hash_on(hash_on(hash_on(0, topic), "#"), key))
}

/// Carries Java's `String.hashCode` on over more text.
fn hash_on(hash: i32, text: &str) -> i32 {
    let add = |hash: i32, unit: u16| hash.wrapping_mul(31).wrapping_add(i32::from(unit));
    if text.is_ascii() {
        return text.bytes().map(u16::from).fold(hash, add);
    }
    text.encode_utf16().fold(hash, add)
}

/// The absolute value; 0 for the one number that has none, as RocketMQ does it.
fn without_sign(hash: i32) -> u32 {
    if hash == i32::MIN { 0 } else { hash.unsigned_abs() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::java_hash;

    #[test]
    fn hashes_are_java_s_of_topic_and_key_without_sign() {
        assert_eq!(key_hash("TopicTest", "k1"), 2_746_024);
        for (topic, key) in [("t", "\u{1F680} k"), ("\u{e9}", "a"), ("Log_Topic%A", "key-17")] {
            let whole = java_hash(&format!("{topic}#{key}"));
            assert_eq!(key_hash(topic, key), whole.unsigned_abs());
        }
        assert_eq!(without_sign(java_hash("polygenelubricants")), 0);
        assert_eq!(without_sign(-7), 7);
    }

    #[test]
    fn the_unique_key_comes_first_and_empty_parts_count_for_nothing() {
        let record = IndexRecord {
            topic: "t".into(),
            unique_key: Some("u".into()),
            keys: "  a b  a ".into(),
            physical_offset: 9,
            store_timestamp_ms: 5,
        };
        let mut keyed = Vec::new();
        record.keyed(&mut keyed);
        let hashes: Vec<_> = keyed.iter().map(|key| key.hash).collect();
        assert_eq!(hashes, ["u", "a", "b", "a"].map(|key| key_hash("t", key)));
        assert!(keyed.iter().all(|key| (key.offset, key.time_ms) == (9, 5)));
    }
}
