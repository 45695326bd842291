//! The record decoder: any bytes, and what comes back of records that were encoded.

use std::net::SocketAddr;
use std::ops::Range;

use cairnlog::fuzzing::{Check, Place, decode_record, encode_record};
use cairnlog::{Message, RecordView};

use crate::input::Input;

/// The appended record CRC: name, separator, ten digits, separator.
const RECORD_CRC_BYTES: usize = 20;

/// Decodes any bytes, or encodes a record, reads it again and damages it.
pub fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    match input.below(3) {
        0 => any_bytes(&mut input),
        1 => round_trip(&mut input, false),
        _ => round_trip(&mut input, true),
    }
}

fn any_bytes(input: &mut Input<'_>) {
    let own_offset = input.flag();
    let bytes = input.take_rest();
    // Where the bytes say that they lie, so that more than their beginning is looked at.
    let stated = bytes.get(28..36).and_then(|field| field.try_into().ok()).map(u64::from_be_bytes);
    let stated = stated.filter(|offset| i64::try_from(*offset).is_ok());
    let offset = if own_offset { 0 } else { stated.unwrap_or(0) };
    let strict = decode_record(bytes, offset, Check::Crc);
    let Some(loose) = decode_record(bytes, offset, Check::Structure) else {
        assert!(strict.is_none(), "a record whose CRC is right has no structure");
        return;
    };
    look_at(&loose);
    assert_eq!(loose.physical_offset().get(), offset);
    assert!(loose.bytes().len() <= bytes.len());
    // What lies behind a record changes nothing.
    let alone = decode_record(loose.bytes(), offset, Check::Structure).expect("the record alone");
    assert_eq!(alone.bytes(), loose.bytes());
    assert!(decode_record(&bytes[..loose.bytes().len() - 1], offset, Check::Structure).is_none());
    if let Some(strict) = strict {
        assert_eq!(strict.bytes(), loose.bytes());
        assert_eq!(strict.body(), loose.body());
    }
}

/// Reads every field; none may lie outside the record.
pub fn look_at(record: &RecordView<'_>) {
    let bytes = record.bytes().as_ptr_range();
    for part in [record.body(), record.topic_bytes(), record.properties_raw()] {
        let part = part.as_ptr_range();
        assert!(part.is_empty() || (bytes.start <= part.start && part.end <= bytes.end));
    }
    assert_eq!(record.size_bytes() as usize, record.bytes().len());
    let end = record.physical_offset().get() + record.bytes().len() as u64;
    assert_eq!(record.end_offset().get(), end.min(i64::MAX as u64));
    let pairs = record.properties().count();
    assert!(pairs <= record.properties_raw().len() / 3 + 1);
    let _ = (record.magic(), record.body_crc(), record.queue_id(), record.flag());
    let _ = (record.sys_flag(), record.born_timestamp_ms(), record.store_timestamp_ms());
    let _ = (record.born_host(), record.store_host(), record.reconsume_times());
    let _ = (record.prepared_transaction_offset(), record.queue_offset());
    let _ = (record.topic(), record.tag(), record.keys(), record.offset_message_id());
}

fn host(input: &mut Input<'_>) -> SocketAddr {
    let port = input.number() as u16;
    if input.flag() {
        let mut address = [0; 16];
        let bytes = input.bytes(16);
        address[..bytes.len()].copy_from_slice(bytes);
        (address, port).into()
    } else {
        ([input.u8(), input.u8(), input.u8(), input.u8()], port).into()
    }
}

/// The fields of a record, as an input has them.
#[derive(Debug)]
struct Fields {
    topic: Vec<u8>,
    body: Vec<u8>,
    raw: Vec<u8>,
    tag: Option<String>,
    born_host: SocketAddr,
    place: Place,
}

fn round_trip(input: &mut Input<'_>, record_crc: bool) {
    let topic_bytes = input.below(300).max(1);
    let place = Place {
        physical_offset: input.number() >> 1,
        queue_offset: input.number() >> 1,
        store_timestamp_ms: input.i64(),
        store_host: host(input),
        record_crc,
    };
    let fields = Fields {
        born_host: host(input),
        raw: input.some_bytes().to_vec(),
        tag: input.flag().then(|| input.text()).filter(|tag| !tag.is_empty()),
        body: input.some_bytes().to_vec(),
        topic: input.bytes(topic_bytes).to_vec(),
        place,
    };
    if fields.topic.is_empty() {
        return;
    }
    let mut message = Message::new("", &fields.body);
    message.queue_id = input.i32();
    message.flag = input.i32();
    message.sys_flag = input.i32();
    message.born_timestamp_ms = input.flag().then(|| input.i64());
    message.born_host = Some(fields.born_host);
    message.reconsume_times = input.i32();
    message.prepared_transaction_offset = input.i64();
    message.tag = fields.tag.as_deref();
    let unread = |text: &[u8]| text.windows(8).any(|part| part == b"__CRC32#");
    if !record_crc
        && (unread(&fields.raw) || fields.tag.as_ref().is_some_and(|tag| unread(tag.as_bytes())))
    {
        // Appends take it out; what is left would count as the CRC of this record.
        return;
    }
    let Ok(bytes) = encode_record(&message, &fields.topic, &fields.raw, place) else {
        return;
    };
    let record = decode_record(&bytes, place.physical_offset, Check::Crc).expect("our own record");
    assert_eq!(record.bytes(), bytes);
    look_at(&record);
    compare(&record, &message, &fields);
    let body_start = record.body().as_ptr().addr() - bytes.as_ptr().addr();
    let body = body_start..body_start + record.body().len();
    let at = input.below(bytes.len());
    damage(&bytes, at, input.u8() | 1, &place, body);
}

fn compare(record: &RecordView<'_>, message: &Message<'_>, fields: &Fields) {
    let place = &fields.place;
    assert_eq!(record.topic_bytes(), fields.topic);
    assert_eq!(record.body(), fields.body);
    assert_eq!(record.queue_id(), message.queue_id);
    assert_eq!(record.flag(), message.flag);
    assert_eq!(record.sys_flag() & !0x30, message.sys_flag & !0x30);
    assert_eq!(record.reconsume_times(), message.reconsume_times);
    assert_eq!(record.prepared_transaction_offset(), message.prepared_transaction_offset);
    assert_eq!(record.queue_offset().get(), place.queue_offset);
    assert_eq!(record.physical_offset().get(), place.physical_offset);
    assert_eq!(record.store_timestamp_ms(), place.store_timestamp_ms);
    let born = message.born_timestamp_ms.unwrap_or(place.store_timestamp_ms);
    assert_eq!(record.born_timestamp_ms(), born);
    assert_eq!(record.born_host(), fields.born_host);
    assert_eq!(record.store_host(), place.store_host);
    assert!(record.properties_raw().starts_with(&fields.raw));
    if let Some(tag) = message.tag.filter(|tag| !tag.contains('\u{2}')) {
        assert_eq!(record.tag().as_deref(), Some(tag));
    }
}

/// One wrong byte is noticed where a CRC covers it.
fn damage(bytes: &[u8], at: usize, change: u8, place: &Place, body: Range<usize>) {
    let mut damaged = bytes.to_vec();
    damaged[at] ^= change;
    let Some(found) = decode_record(&damaged, place.physical_offset, Check::Crc) else {
        return;
    };
    look_at(&found);
    assert!(!body.contains(&at), "a wrong byte of the body at {at} went unnoticed");
    let end = bytes.len().saturating_sub(RECORD_CRC_BYTES);
    // A wrong byte in front of the CRC's property, or in its name, makes an ordinary property of
    // it; so may one in a length, if other bytes happen to fit. Then the body's CRC counts.
    let kept = found.properties_raw().strip_suffix(&bytes[end..]);
    if place.record_crc && kept.is_some_and(|others| others.last().is_none_or(|last| *last == 2)) {
        assert!(at >= end, "a wrong byte at {at} of {} went unnoticed", bytes.len());
    }
}
