//! Tag expressions: `A || B`.

use crate::codec::properties::PROPERTY_TAGS;
use crate::codec::{PropertyIter, java_hash};
use crate::error::{Error, Result};
use crate::status::Status;

/// The tags of an expression and their codes, both in ascending order.
#[derive(Debug)]
pub(super) struct TagSet {
    tags: Box<[Box<str>]>,
    codes: Box<[i32]>,
}

impl TagSet {
    /// Takes the tags out of an expression, as RocketMQ's clients do: whatever Java's `trim`
    /// takes off does not belong to a tag.
    pub(super) fn parse(expression: &str) -> Result<Self> {
        let mut tags: Vec<Box<str>> = expression
            .split("||")
            .map(|tag| tag.trim_matches(|character| character <= ' '))
            .filter(|tag| !tag.is_empty())
            .map(Box::from)
            .collect();
        if tags.is_empty() {
            return Err(Error::new(Status::FilterIllegal, "the tag expression is malformed")
                .expected("tags separated by ||, or *", "no tag"));
        }
        tags.sort_unstable();
        tags.dedup();
        let mut codes: Vec<i32> = tags.iter().map(|tag| java_hash(tag)).collect();
        codes.sort_unstable();
        Ok(Self { tags: tags.into(), codes: codes.into() })
    }

    /// Whether one of the tags has this code; only its low 32 bits are the tag's.
    #[expect(clippy::cast_possible_truncation, reason = "the upper half is not the tag's")]
    pub(super) fn has_code(&self, tags_code: i64) -> bool {
        self.codes.binary_search(&(tags_code as i32)).is_ok()
    }

    /// Whether the message with these properties has one of the tags.
    pub(super) fn wants(&self, properties: PropertyIter<'_>) -> bool {
        let Some(found) = properties.find(PROPERTY_TAGS) else {
            return false;
        };
        self.tags.binary_search_by(|tag| tag.as_bytes().cmp(found)).is_ok()
    }
}
