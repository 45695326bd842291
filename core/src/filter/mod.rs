//! Which messages a reader wants: by tag, or by an expression over the properties.
//!
//! A filter is asked twice. The queue unit holds a hash of the tag, which rules messages out
//! without their record being read; the record itself then decides, so a hash that two tags share
//! never lets a wrong message through.

mod evaluate;
mod lexer;
mod parser;
mod tags;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use self::evaluate::Node;
use self::tags::TagSet;
use crate::codec::RecordView;
use crate::commit_log::MessageView;
use crate::error::{Error, Result};
use crate::status::Status;

/// The most bytes an expression may have.
const MAX_EXPRESSION_BYTES: usize = 64 * 1024;

/// Which messages a reader wants.
///
/// Two kinds of expressions are understood, both as RocketMQ does: tags ([`Filter::tags`]) and
/// SQL92 conditions on properties ([`Filter::sql`]). Clones share the parsed expression. The
/// filter's text ([`fmt::Display`]) is the expression it was made from, `*` for all messages.
///
/// ```
/// use cairnlog::{Filter, Status};
///
/// let filter = Filter::sql("price BETWEEN 10 AND 20 AND region IN ('north', 'west')")?;
/// assert!(!filter.is_all());
/// let error = Filter::sql("price >").unwrap_err();
/// assert_eq!(error.status(), Status::FilterIllegal);
/// # Ok::<(), cairnlog::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Filter {
    text: Arc<str>,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    All,
    Tags(Arc<TagSet>),
    Sql(Arc<Node>),
}

impl Filter {
    /// Wants every message.
    #[must_use]
    pub fn all() -> Self {
        Self { text: Arc::from("*"), kind: Kind::All }
    }

    /// Wants messages with one of the tags in `A || B || C`; `*` and the empty text want all.
    ///
    /// Spaces around a tag and empty places between `||` are passed over. A `*` beside other tags
    /// is a tag of that name. The expression has at most 64 KiB.
    ///
    /// # Errors
    ///
    /// [`Status::FilterIllegal`]: the expression names no tag, or is too long.
    pub fn tags(expression: &str) -> Result<Self> {
        if expression.is_empty() || expression == "*" {
            return Ok(Self::all());
        }
        check_length(expression)?;
        let tags = TagSet::parse(expression)?;
        Ok(Self { text: Arc::from(expression), kind: Kind::Tags(Arc::new(tags)) })
    }

    /// Wants messages for whose properties a condition is true.
    ///
    /// ```text
    /// condition:  condition OR condition, condition AND condition, NOT condition, (condition),
    ///             TRUE, FALSE
    /// comparison: > >= < <= with numbers, = <> with numbers, strings, TRUE and FALSE,
    ///             BETWEEN 1 AND 5, NOT BETWEEN 1 AND 5, IN ('a', 'b'), NOT IN ('a', 'b'),
    ///             CONTAINS 'a', NOT CONTAINS 'a', STARTSWITH 'a', NOT STARTSWITH 'a',
    ///             ENDSWITH 'a', NOT ENDSWITH 'a', IS NULL, IS NOT NULL
    /// numbers:    5, 5L, 5.25, .5, 5E10, -5
    /// strings:    'text', a quote inside is written twice: 'it''s'
    /// properties: a letter, _ or $, then letters, digits, _ and $; TAGS and KEYS are such names
    /// ```
    ///
    /// Keywords may be in either case, property names are taken literally. Comments are `/* .. */`
    /// and `-- ..` up to a line break. `NOT` binds more tightly than a comparison: write
    /// `NOT (a = 1)`.
    ///
    /// A property that is missing is unknown, and only a condition that is true wants a message:
    /// `a <> 1` and `NOT (a = 1)` both pass over a message without `a`. `CONTAINS`, `STARTSWITH`,
    /// `ENDSWITH` and their `NOT` forms are false for it.
    ///
    /// Property values are text. Compared with an integer they are read as one (32 bits if the
    /// number in the expression fits, else 64), with a decimal number or another property by order
    /// as a double, with TRUE or FALSE as a truth value. A message for which that fails, as when
    /// `a` is `5.0` or `five` in `a > 4`, is passed over, also if the rest of the condition would
    /// want it; what stands behind a true side of `OR`, or a false one of `AND`, is not looked at.
    ///
    /// These are RocketMQ's answers, with three exceptions. Text behind a complete condition is
    /// refused, RocketMQ ignores it. An expression has at most 64 KiB, and its parts are nested at
    /// most 64 deep. Property values in hexadecimal floating point, or with other digits than
    /// 0 to 9, are no numbers.
    ///
    /// # Errors
    ///
    /// [`Status::FilterIllegal`]: the expression is malformed, exceeds a limit, orders by something
    /// that is no number, compares with NULL, has an integer beyond 64 bits or a decimal number
    /// that is zero or infinite as a double, or bounds of BETWEEN in the wrong order. The error
    /// carries where, in bytes from the start.
    pub fn sql(expression: &str) -> Result<Self> {
        check_length(expression)?;
        let node = parser::parse(expression)?;
        Ok(Self { text: Arc::from(expression), kind: Kind::Sql(Arc::new(node)) })
    }

    /// Whether every message is wanted, whatever its record holds.
    #[must_use]
    pub fn is_all(&self) -> bool {
        matches!(self.kind, Kind::All)
    }

    /// Whether a message whose queue unit has this tags code may be wanted. `true` is no promise:
    /// tags can share a code.
    pub(crate) fn may_match_tags_code(&self, tags_code: i64) -> bool {
        match &self.kind {
            Kind::Tags(tags) => tags.has_code(tags_code),
            Kind::All | Kind::Sql(_) => true,
        }
    }

    /// Whether the message is wanted.
    #[must_use]
    #[inline]
    pub fn matches(&self, message: &MessageView) -> bool {
        self.matches_record(&message.record())
    }

    /// Whether the message in this record is wanted.
    #[must_use]
    #[inline]
    pub fn matches_record(&self, record: &RecordView<'_>) -> bool {
        match &self.kind {
            Kind::All => true,
            Kind::Tags(tags) => tags.wants(record.properties()),
            Kind::Sql(node) => node.wants(&record.properties()),
        }
    }
}

impl Default for Filter {
    /// Wants every message.
    fn default() -> Self {
        Self::all()
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn check_length(expression: &str) -> Result<()> {
    if expression.len() <= MAX_EXPRESSION_BYTES {
        return Ok(());
    }
    let expected = format!("at most {MAX_EXPRESSION_BYTES} bytes");
    Err(Error::new(Status::FilterIllegal, "the filter expression is too long")
        .expected(expected, expression.len()))
}
