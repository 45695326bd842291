//! Properties: any bytes as a decoder that was written without care for speed reads them, and what
//! comes back of what was encoded.

use cairnlog::Message;
use cairnlog::fuzzing::{
    encode_properties, properties, properties_with_number, properties_without_crc,
};

use crate::input::Input;

/// The most bytes of properties that a record has.
const MAX_BYTES: usize = 32_767;

type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// Reads any bytes, or encodes pairs and reads them again.
pub fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    if input.flag() {
        encoded(&mut input);
    } else {
        any_bytes(input.take_rest());
    }
}

fn pairs_in(raw: &[u8]) -> Pairs {
    properties(raw).map(|(name, value)| (name.to_vec(), value.to_vec())).collect()
}

/// What RocketMQ's decoder makes of them.
fn expected(raw: &[u8]) -> Pairs {
    let mut pairs = Vec::new();
    for segment in raw.split(|byte| *byte == 2) {
        let Some(split) = segment.iter().position(|byte| *byte == 1) else {
            continue;
        };
        let (name, value) = (&segment[..split], &segment[split + 1..]);
        if !name.is_empty() && !value.is_empty() {
            pairs.push((name.to_vec(), value.to_vec()));
        }
    }
    pairs
}

fn any_bytes(raw: &[u8]) {
    let pairs = pairs_in(raw);
    assert_eq!(pairs, expected(raw));
    for (name, _) in &pairs {
        let Ok(name) = std::str::from_utf8(name) else {
            continue;
        };
        let last = pairs.iter().rev().find(|(found, _)| found == name.as_bytes());
        assert_eq!(properties(raw).find(name), last.map(|(_, value)| &**value));
    }
    let without = properties_without_crc(raw);
    assert!(raw.starts_with(without));
    let mut kept = expected(without);
    kept.retain(|(name, _)| name != b"N");
    kept.push((b"N".to_vec(), b"4294967295".to_vec()));
    let numbered = properties_with_number(raw, "N", u32::MAX);
    assert_eq!(pairs_in(&numbered), kept);
}

fn encoded(input: &mut Input<'_>) {
    let raw = input.some_bytes();
    let tag = input.flag().then(|| input.text());
    let texts: Vec<String> = (0..input.below(8)).map(|_| input.text()).collect();
    let (keys, rest) = texts.split_at(input.below(texts.len() + 1));
    let keys: Vec<&str> = keys.iter().map(|key| &**key).collect();
    let pairs: Vec<(&str, &str)> =
        rest.chunks_exact(2).map(|pair| (&*pair[0], &*pair[1])).collect();
    let mut message = Message::new("t", b"b").keys(&keys).properties(&pairs);
    message.tag = tag.as_deref();
    message.wait_store_ok = input.flag();
    message.delay_level = input.number() as u32;
    let Ok(bytes) = encode_properties(&message, raw) else {
        return;
    };
    let mut wanted = expected(raw);
    let delayed = message.delay_level > 0;
    let stored = |name: &str| name != "__CRC32#" && (name != "DELAY" || !delayed);
    for (name, value) in pairs.iter().filter(|(name, _)| stored(name)) {
        wanted.push((name.as_bytes().to_vec(), value.as_bytes().to_vec()));
    }
    let mut single = |name: &str, value: String| {
        wanted.push((name.as_bytes().to_vec(), value.into_bytes()));
    };
    if let Some(tag) = message.tag {
        single("TAGS", tag.to_owned());
    }
    if !keys.is_empty() {
        single("KEYS", keys.join(" "));
    }
    if !message.wait_store_ok {
        single("WAIT", "false".to_owned());
    }
    if delayed {
        single("DELAY", message.delay_level.to_string());
    }
    if bytes.len() <= MAX_BYTES {
        assert_eq!(pairs_in(&bytes), wanted);
    }
}
