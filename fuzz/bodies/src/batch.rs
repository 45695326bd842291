//! A client's batch: any bytes, and what comes back of items that were encoded.

use cairnlog::fuzzing::{Item, batch_items};
use cairnlog::{Status, encode_batch_item};

use crate::input::Input;

/// Decodes any bytes, or encodes items, reads them again and damages them.
pub fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    if input.flag() {
        encoded(&mut input);
    } else {
        any_bytes(input.take_rest());
    }
}

fn decode(items: &[u8]) -> Option<Vec<Item<'_>>> {
    match batch_items(items) {
        Ok(found) => Some(found),
        Err(error) => {
            assert_eq!(error.status(), Status::BatchIllegal, "{error}");
            None
        }
    }
}

fn any_bytes(bytes: &[u8]) {
    let Some(items) = decode(bytes) else {
        return;
    };
    let mut again = Vec::new();
    for (flag, body, properties) in &items {
        assert!(!body.is_empty());
        encode_batch_item(&mut again, *flag, body, properties).expect("it was encoded before");
    }
    assert_eq!(again.len(), bytes.len());
    assert_eq!(decode(&again).as_ref(), Some(&items));
}

fn encoded(input: &mut Input<'_>) {
    let mut items = Vec::new();
    let mut wanted = Vec::new();
    for _ in 0..input.below(8) {
        let item = (input.i32(), input.some_bytes(), input.some_bytes());
        encode_batch_item(&mut items, item.0, item.1, item.2).expect("short enough");
        wanted.push(item);
    }
    let legal = wanted.iter().all(|(_, body, properties)| {
        let crc = properties.windows(9).any(|part| part == b"__CRC32#\x01");
        !body.is_empty() && !crc
    });
    assert_eq!(decode(&items), legal.then_some(wanted));
    if !items.is_empty() {
        let at = input.below(items.len());
        let cut = decode(&items[..at]).map_or(0, |found| found.len());
        assert!(cut <= 8);
        items[at] ^= input.u8() | 1;
        let _ = decode(&items);
    }
}
