//! Reading JSON as fastjson writes it, and looking into it.
//!
//! Fastjson leaves the keys of maps with integer keys unquoted, and reads identifiers as keys and
//! single-quoted strings. Such text is made strict first, then parsed by `serde_json`.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::str::Chars;

use serde_json::{Map, Value};

/// More values are not read: each takes some fifty bytes of memory, even if it is one byte in the
/// file.
pub(super) const MAX_VALUES: usize = 1 << 22;

/// How many values a text has at most.
pub(super) fn count_values(text: &str) -> usize {
    memchr::memchr3_iter(b',', b'[', b'{', text.as_bytes()).count()
}

/// The fields of the object a file holds; `None` if the file is blank.
pub(super) fn parse(bytes: &[u8]) -> Result<Option<Map<String, Value>>, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
    if text.trim().is_empty() {
        return Ok(None);
    }
    if count_values(text) > MAX_VALUES {
        return Err(format!("it has more than {MAX_VALUES} values"));
    }
    // The columns of an error would be those of the strict text; lines are the same in both.
    match serde_json::from_str(&strict(text)) {
        Ok(Value::Object(fields)) => Ok(Some(fields)),
        Ok(other) => Err(format!("an object was expected, not {}", kind(&other))),
        Err(error) => Err(error.to_string()),
    }
}

/// The bytes of a file that holds these fields: strict JSON, which fastjson reads as well.
pub(super) fn encode(fields: Map<String, Value>) -> Result<Vec<u8>, String> {
    serde_json::to_vec_pretty(&Value::Object(fields)).map_err(|error| error.to_string())
}

/// The text with bare keys and single-quoted strings in double quotes.
fn strict(text: &str) -> String {
    let mut strict = String::with_capacity(text.len() + text.len() / 4);
    let mut rest = text.chars().peekable();
    while let Some(next) = rest.next() {
        match next {
            '"' | '\'' => copy_string(&mut rest, next, &mut strict),
            next if in_word(next) => copy_word(&mut rest, next, &mut strict),
            next => strict.push(next),
        }
    }
    strict
}

/// Copies a string up to its closing `quote`, or to the end of the text if there is none.
fn copy_string(rest: &mut Peekable<Chars<'_>>, quote: char, strict: &mut String) {
    strict.push('"');
    while let Some(next) = rest.next() {
        match next {
            next if next == quote => {
                strict.push('"');
                return;
            }
            '"' => strict.push_str("\\\""),
            '\\' => match rest.next() {
                Some('\'') => strict.push('\''),
                Some(escaped) => strict.extend(['\\', escaped]),
                None => strict.push('\\'),
            },
            next => strict.push(next),
        }
    }
}

/// Copies a number, literal or bare key; a key is what a colon follows.
fn copy_word(rest: &mut Peekable<Chars<'_>>, first: char, strict: &mut String) {
    let mut word = String::from(first);
    while let Some(next) = rest.next_if(|next| in_word(*next)) {
        word.push(next);
    }
    let mut blanks = String::new();
    while let Some(next) = rest.next_if(|next| next.is_ascii_whitespace()) {
        blanks.push(next);
    }
    let quote = if rest.peek() == Some(&':') { "\"" } else { "" };
    for part in [quote, &word, quote, &blanks] {
        strict.push_str(part);
    }
}

fn in_word(character: char) -> bool {
    character.is_alphanumeric() || "_$+-.".contains(character)
}

/// What a value is, in words.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

fn wrong(name: &str, expected: &str, value: &Value) -> String {
    format!("{name}: {expected} was expected, not {}", kind(value))
}

/// Takes an object out of the fields; a missing one, or null, is empty.
pub(super) fn take_object(
    fields: &mut Map<String, Value>,
    name: &str,
) -> Result<Map<String, Value>, String> {
    fields.remove(name).map_or_else(|| Ok(Map::new()), |value| object(name, value))
}

/// An object; null is an empty one.
pub(super) fn object(name: &str, value: Value) -> Result<Map<String, Value>, String> {
    match value {
        Value::Object(object) => Ok(object),
        Value::Null => Ok(Map::new()),
        other => Err(wrong(name, "an object", &other)),
    }
}

/// Takes a 32-bit integer out of the fields.
pub(super) fn take_i32(
    fields: &mut Map<String, Value>,
    name: &str,
    default: i32,
) -> Result<i32, String> {
    match fields.remove(name) {
        None | Some(Value::Null) => Ok(default),
        Some(value) => value
            .as_i64()
            .and_then(|value| i32::try_from(value).ok())
            .ok_or_else(|| wrong(name, "a 32-bit integer", &value)),
    }
}

/// Takes a truth value out of the fields.
pub(super) fn take_bool(fields: &mut Map<String, Value>, name: &str) -> Result<bool, String> {
    match fields.remove(name) {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(value)) => Ok(value),
        Some(other) => Err(wrong(name, "a truth value", &other)),
    }
}

/// Takes a string out of the fields.
pub(super) fn take_string(
    fields: &mut Map<String, Value>,
    name: &str,
    default: &str,
) -> Result<String, String> {
    match fields.remove(name) {
        None | Some(Value::Null) => Ok(default.to_owned()),
        Some(Value::String(value)) => Ok(value),
        Some(other) => Err(wrong(name, "a string", &other)),
    }
}

/// A map from 32-bit integers to offsets.
pub(super) fn offsets(name: &str, table: Map<String, Value>) -> Result<BTreeMap<i32, i64>, String> {
    table
        .into_iter()
        .map(|(key, value)| {
            let number = key.parse().map_err(|_| {
                format!("{name}: a 32-bit integer was expected as key, not {key:?}")
            })?;
            let offset = value
                .as_i64()
                .ok_or_else(|| wrong(&format!("{name}.{key}"), "an integer", &value))?;
            Ok((number, offset))
        })
        .collect()
}

/// The object that such a map is written as.
pub(super) fn offsets_object(offsets: &BTreeMap<i32, i64>) -> Value {
    offsets.iter().map(|(key, offset)| (key.to_string(), Value::from(*offset))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bare_keys_and_single_quotes_become_strict() {
        for (lenient, expected) in [
            ("{0:123}", r#"{"0":123}"#),
            ("{ -1 :\t2, 11\n:-3}", "{ \"-1\" :\t2, \"11\"\n:-3}"),
            ("{a_b:true,$c:null, \u{e9}t\u{e9}:1.5e-3}", r#"{"a_b":true,"$c":null, "~":1.5e-3}"#),
            (r#"{"a:b,{0:1}":"x\"y:1"}"#, r#"{"a:b,{0:1}":"x\"y:1"}"#),
            (r#"{'a"b':'it\'s \n'}"#, r#"{"a\"b":"it's \n"}"#),
            (r#"{"it's":[1,2]}"#, r#"{"it's":[1,2]}"#),
        ] {
            assert_eq!(strict(lenient), expected.replace("~", "\u{e9}t\u{e9}"));
            assert!(parse(lenient.as_bytes()).unwrap().is_some(), "{lenient}");
        }
    }

    #[test]
    fn what_is_no_object_is_an_error() {
        for text in [
            "[1]",
            "null",
            "7",
            "{",
            "{\"a\":",
            "{\"a",
            "{'a",
            "{\"a\\",
            "{a:b}",
            "{a:1:2}",
            "{1 2:3}",
            "{}x",
            "\u{0}\u{0}",
            "{\"a\":\"\\ud800\"}",
        ] {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
        assert!(parse(&[b'{', 0xff, b'}']).is_err());
        for blank in ["", " \r\n\t"] {
            assert_eq!(parse(blank.as_bytes()), Ok(None));
        }
    }

    /// Nesting without bound would use up the stack.
    #[test]
    fn deep_nesting_is_an_error() {
        for (open, close) in [("{a:", "}"), ("[", "]")] {
            for (depth, accepted) in [(100, true), (1_000_000, false)] {
                let text = format!("{{x:{}1{}}}", open.repeat(depth), close.repeat(depth));
                assert_eq!(parse(text.as_bytes()).is_ok(), accepted, "{open} {depth}");
            }
        }
    }
}
