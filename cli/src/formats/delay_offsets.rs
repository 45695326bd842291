//! `config/delayOffset.json`: the next index that is delivered, by delay level.
//!
//! RocketMQ's writer leaves the quotes of integer keys away, which is no JSON.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use serde::Deserialize;

use crate::failure::Failure;

#[derive(Debug, Default, Deserialize)]
struct DelayOffset {
    #[serde(default, rename = "offsetTable")]
    offset_table: BTreeMap<i32, u64>,
}

/// The offsets of a store; from the `.bak` if the file is missing, blank or damaged, none if there
/// is neither.
pub(crate) fn read(store: &Path) -> Result<BTreeMap<i32, u64>, Failure> {
    let mut failed = None;
    for name in ["delayOffset.json", "delayOffset.json.bak"] {
        let path = store.join("config").join(name);
        let text = match fs::read_to_string(&path) {
            Ok(text) if text.trim().is_empty() => continue,
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => {
                return Err(Failure::failed(format!("cannot read {}", path.display()), error));
            }
        };
        match serde_json::from_str::<DelayOffset>(&quote_keys(&text)) {
            Ok(parsed) => return Ok(parsed.offset_table),
            Err(error) => {
                failed.get_or_insert_with(|| Failure::failed(path.display(), error));
            }
        }
    }
    failed.map_or_else(|| Ok(BTreeMap::new()), Err)
}

/// Puts quotes around keys that are bare numbers.
fn quote_keys(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 64);
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' => string_length(rest),
            '-' | '0'..='9' => {
                rest.find(|c: char| c != '-' && !c.is_ascii_digit()).unwrap_or(rest.len())
            }
            other => other.len_utf8(),
        };
        let (token, behind) = rest.split_at(length);
        if first != '"' && length > 0 && behind.trim_start().starts_with(':') && is_number(token) {
            quoted.extend(["\"", token, "\""]);
        } else {
            quoted.push_str(token);
        }
        rest = behind;
    }
    quoted
}

fn is_number(token: &str) -> bool {
    token.parse::<i64>().is_ok()
}

/// The bytes of the string that the text begins with, its quotes included.
fn string_length(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bare_keys_are_quoted_and_nothing_else() {
        assert_eq!(quote_keys(r#"{1:12, -2 :3}"#), r#"{"1":12, "-2" :3}"#);
        let sound = r#"{"a 1:2 \" 3:4":[5,6],"7":8.5}"#;
        assert_eq!(quote_keys(sound), sound);
        assert_eq!(quote_keys(r#"{"open 1:2"#), r#"{"open 1:2"#);
    }
}
