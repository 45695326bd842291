//! The words of an SQL92 condition.

use crate::error::{Error, Result};
use crate::status::Status;

/// The most bytes of an expression that an error repeats.
const MAX_SHOWN_BYTES: usize = 40;

/// What a word is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The name of a property.
    Name,
    /// Digits, with or without an `L`.
    Integer,
    /// A number with a point or an exponent.
    Decimal,
    /// Text with its quotes.
    Text,
    And,
    Between,
    Contains,
    EndsWith,
    False,
    In,
    Is,
    Not,
    Null,
    Or,
    StartsWith,
    True,
    Equal,
    NotEqual,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
    Plus,
    Minus,
    Open,
    Close,
    Comma,
    /// Behind the last word.
    End,
}

/// The keywords, which are no names in either case.
const KEYWORDS: [(&str, Kind); 12] = [
    ("AND", Kind::And),
    ("BETWEEN", Kind::Between),
    ("CONTAINS", Kind::Contains),
    ("ENDSWITH", Kind::EndsWith),
    ("FALSE", Kind::False),
    ("IN", Kind::In),
    ("IS", Kind::Is),
    ("NOT", Kind::Not),
    ("NULL", Kind::Null),
    ("OR", Kind::Or),
    ("STARTSWITH", Kind::StartsWith),
    ("TRUE", Kind::True),
];

/// Signs, of which the longer ones are tried first.
const SIGNS: [(&str, Kind); 11] = [
    ("<>", Kind::NotEqual),
    ("<=", Kind::LessOrEqual),
    (">=", Kind::GreaterOrEqual),
    ("<", Kind::Less),
    (">", Kind::Greater),
    ("=", Kind::Equal),
    ("+", Kind::Plus),
    ("-", Kind::Minus),
    ("(", Kind::Open),
    (")", Kind::Close),
    (",", Kind::Comma),
];

/// A word and where it begins, in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind,
    pub(super) text: &'a str,
    pub(super) at: usize,
}

impl Token<'_> {
    /// The refusal of this word where something else should be.
    pub(super) fn refuse(&self, expected: &str) -> Error {
        refusal(self.at, expected, self.text)
    }
}

/// The refusal of what stands at a place; nothing stands at the end.
pub(super) fn refusal(at: usize, expected: &str, found: &str) -> Error {
    let error = Error::new(Status::FilterIllegal, "the filter expression is malformed")
        .at_offset(u64::try_from(at).unwrap_or(u64::MAX));
    if found.is_empty() {
        return error.expected(expected, "its end");
    }
    let shown = found.get(..found.floor_char_boundary(MAX_SHOWN_BYTES)).unwrap_or_default();
    error.expected(expected, shown.replace(|character: char| character.is_control(), " "))
}

/// Cuts an expression into words, each the longest that can begin where it does.
#[derive(Debug)]
pub(super) struct Lexer<'a> {
    rest: &'a str,
    at: usize,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(expression: &'a str) -> Self {
        Self { rest: expression, at: 0 }
    }

    /// The next word, [`Kind::End`] again and again behind the last.
    pub(super) fn word(&mut self) -> Result<Token<'a>> {
        while let Some(length) = gap(self.rest) {
            self.take(length);
        }
        let Some(first) = self.rest.bytes().next() else {
            return Ok(Token { kind: Kind::End, text: "", at: self.at });
        };
        let (kind, length) = match first {
            b'\'' => (Kind::Text, self.text_length()?),
            b'0'..=b'9' | b'.' => self.number()?,
            _ if is_name_start(first) => self.name(),
            _ => SIGNS
                .into_iter()
                .find(|(sign, _)| self.rest.starts_with(sign))
                .map(|(sign, kind)| (kind, sign.len()))
                .ok_or_else(|| refusal(self.at, "a name, a value or an operator", self.rest))?,
        };
        let at = self.at;
        Ok(Token { kind, text: self.take(length), at })
    }

    fn take(&mut self, length: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at_checked(length).unwrap_or((self.rest, ""));
        self.rest = rest;
        self.at += taken.len();
        taken
    }

    fn name(&self) -> (Kind, usize) {
        let length = count(self.rest, |byte| is_name_start(byte) || byte.is_ascii_digit());
        let name = self.rest.get(..length).unwrap_or_default();
        let keyword = KEYWORDS.into_iter().find(|(word, _)| word.eq_ignore_ascii_case(name));
        (keyword.map_or(Kind::Name, |(_, kind)| kind), length)
    }

    /// The length of the string that begins here: its end is a quote that is not written twice.
    fn text_length(&self) -> Result<usize> {
        let mut end = 1;
        loop {
            let behind = self.rest.get(end..).unwrap_or_default();
            let Some(quote) = memchr::memchr(b'\'', behind.as_bytes()) else {
                return Err(refusal(self.at, "a string that ends with a quote", self.rest));
            };
            end += quote + 1;
            if !self.rest.get(end..).is_some_and(|next| next.starts_with('\'')) {
                return Ok(end);
            }
            end += 1;
        }
    }

    /// An integer has no leading zero, so `007` is three words; a decimal number may.
    fn number(&self) -> Result<(Kind, usize)> {
        let whole = count(self.rest, |byte| byte.is_ascii_digit());
        let behind = self.rest.get(whole..).unwrap_or_default();
        if let Some(behind) = behind.strip_prefix('.') {
            let fraction = count(behind, |byte| byte.is_ascii_digit());
            if whole + fraction == 0 {
                return Err(refusal(self.at, "a name, a value or an operator", self.rest));
            }
            let behind = behind.get(fraction..).unwrap_or_default();
            return Ok((Kind::Decimal, whole + 1 + fraction + exponent(behind)));
        }
        match exponent(behind) {
            0 if self.rest.starts_with('0') => Ok((Kind::Integer, 1)),
            0 => Ok((Kind::Integer, whole + usize::from(behind.starts_with(['l', 'L'])))),
            length => Ok((Kind::Decimal, whole + length)),
        }
    }
}

fn is_name_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte == b'$'
}

/// How many bytes at the start are of a kind.
fn count(text: &str, of_kind: impl Fn(u8) -> bool) -> usize {
    text.bytes().take_while(|&byte| of_kind(byte)).count()
}

/// The length of the exponent at the start, 0 if there is none.
fn exponent(text: &str) -> usize {
    let Some(behind) = text.strip_prefix(['e', 'E']) else {
        return 0;
    };
    let unsigned = behind.strip_prefix(['+', '-']).unwrap_or(behind);
    match count(unsigned, |byte| byte.is_ascii_digit()) {
        0 => 0,
        digits => text.len() - unsigned.len() + digits,
    }
}

/// The length of the white space or comment at the start. A `--` is a comment only if its line
/// ends, else two minus signs; a `/*` without an end is refused as the slash it begins with.
fn gap(text: &str) -> Option<usize> {
    let spaces = count(text, |byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b'\x0c'));
    if spaces > 0 {
        return Some(spaces);
    }
    if text.starts_with("--") {
        return text.find(['\n', '\r']).map(|end| end + 1);
    }
    let comment = text.strip_prefix("/*")?;
    comment.find("*/").map(|end| end + 4)
}
