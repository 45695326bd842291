//! The format's worked example, and everything that may be wrong with a record.

use super::*;
use crate::codec::RecordView;

fn host(text: &str) -> EncodedHost {
    EncodedHost::new(text.parse().unwrap())
}

fn example(record_crc: bool) -> RecordDraft<'static> {
    let properties = PropertySource {
        tag: Some("TagA"),
        pairs: &[("KEYS", "k1 k2")],
        ..PropertySource::raw(&[])
    };
    RecordDraft::new(DraftFields {
        topic: b"TopicTest",
        queue_id: 1,
        body: b"hello",
        flag: 0,
        sys_flag: 0,
        born_timestamp_ms: Some(1_700_000_000_123),
        born_host: host("192.168.1.10:50123"),
        store_host: host("10.0.0.1:10911"),
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        properties,
        record_crc,
    })
    .unwrap()
}

fn encoded(draft: &RecordDraft<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let stamp =
        Stamp { physical_offset: 0, queue_offset: 0, store_timestamp_ms: 1_700_000_000_456 };
    draft.encode(stamp, &mut bytes);
    assert_eq!(bytes.len(), draft.size_bytes() as usize);
    bytes
}

const EXAMPLE: &str = "0000007EDAA320A73610A6860000000100000000000000000000000000000000000000000000\
    00000000018BCFE5687BC0A8010A0000C3CB0000018BCFE569C80A00000100002A9F000000000000000000000000\
    0000000568656C6C6F09546F7069635465737400154B455953016B31206B3202544147530154616741\
    02";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

#[test]
fn the_worked_example_is_encoded_and_read() {
    let bytes = encoded(&example(false));
    assert_eq!(hex(&bytes), EXAMPLE);
    let Ok(Parsed::Record(layout)) = parse(&bytes, 0, CrcCheck::Verify) else { panic!() };
    let view = RecordView::new(&bytes, layout);
    assert_eq!(view.topic(), "TopicTest");
    assert_eq!(view.body(), b"hello");
    assert_eq!(view.body_crc(), 0x3610_A686);
    assert_eq!(view.born_host().to_string(), "192.168.1.10:50123");
    assert_eq!(view.store_host().to_string(), "10.0.0.1:10911");
    assert_eq!(view.store_timestamp_ms(), 1_700_000_000_456);
    assert_eq!(view.tag().as_deref(), Some("TagA"));
    assert_eq!(view.keys(), ["k1", "k2"]);
    assert_eq!(view.offset_message_id(), "0A00000100002A9F0000000000000000");
}

#[test]
fn the_worked_example_with_record_crc() {
    let bytes = encoded(&example(true));
    assert_eq!(bytes.len(), 146);
    assert!(bytes.ends_with(b"__CRC32#\x012829227340\x02"));
    assert!(parse(&bytes, 0, CrcCheck::Verify).is_ok());
    // Also in the CRC's own name, without which it would be an ordinary property.
    for position in 0..bytes.len() {
        for bit in 0..8 {
            let mut wrong = bytes.clone();
            wrong[position] ^= 1 << bit;
            let parsed = parse(&wrong, 0, CrcCheck::Verify);
            assert!(parsed.is_err(), "flipped bit {bit} in byte {position}: {parsed:?}");
        }
    }
}

/// Small records are summed up whole, large ones in two parts: both are right, whatever stands in
/// head and properties, and no byte of a record goes uncovered.
#[test]
fn the_record_crc_covers_every_byte_of_every_size() {
    let least = COMBINED_FROM_BYTES as usize;
    for body_bytes in [0, 1, 500, least - 200, least - 100, least, 3 * least, 1 << 20] {
        let body: Vec<u8> = (0..body_bytes).map(|at| (at % 251) as u8).collect();
        let long_topic = [b't'; 200];
        for (fields, raw) in [
            (usual_fields(), &b"a\x01b"[..]),
            (usual_fields(), b""),
            (draft_fields(), b"a\x01b\x02"),
            (DraftFields { topic: &long_topic, ..draft_fields() }, b"a\x01b"),
        ] {
            let properties = PropertySource::raw(raw);
            let fields = DraftFields { body: &body, properties, record_crc: true, ..fields };
            let bytes = encoded(&RecordDraft::new(fields).unwrap());
            let (covered, property) = bytes.split_at(bytes.len() - RECORD_CRC_BYTES);
            assert_eq!(property, record_crc_property(masked_crc(covered)), "{body_bytes}");
            let body_crc = read_i32(&bytes, at::BODY_CRC).unwrap();
            assert_eq!(body_crc.cast_unsigned(), masked_crc(&body));
            assert!(parse(&bytes, 0, CrcCheck::Verify).is_ok());
        }
    }
}

#[test]
fn a_topic_of_more_than_127_bytes_makes_a_v2_record() {
    for (bytes, magic) in [(127, MAGIC_V1), (128, MAGIC_V2), (255, MAGIC_V2)] {
        let topic = "t".repeat(bytes);
        let mut fields = draft_fields();
        fields.topic = topic.as_bytes();
        let record = encoded(&RecordDraft::new(fields).unwrap());
        assert_eq!(read_i32(&record, at::MAGIC), Some(magic.cast_signed()));
        let Ok(Parsed::Record(layout)) = parse(&record, 0, CrcCheck::Verify) else { panic!() };
        assert_eq!(RecordView::new(&record, layout).topic(), topic);
    }
}

fn draft_fields() -> DraftFields<'static> {
    DraftFields {
        topic: b"t",
        queue_id: 0,
        body: b"b",
        flag: 0,
        sys_flag: 0,
        born_timestamp_ms: None,
        born_host: host("[2001:db8::1]:1"),
        store_host: host("10.0.0.1:2"),
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        properties: PropertySource::raw(&[]),
        record_crc: false,
    }
}

#[test]
fn host_bits_follow_the_addresses_not_the_caller() {
    let mut fields = draft_fields();
    fields.sys_flag = sys_flag::STORE_HOST_V6 | 1;
    let record = encoded(&RecordDraft::new(fields).unwrap());
    assert_eq!(read_i32(&record, at::SYS_FLAG), Some(sys_flag::BORN_HOST_V6 | 1));
    let Ok(Parsed::Record(layout)) = parse(&record, 0, CrcCheck::Verify) else { panic!() };
    assert_eq!(RecordView::new(&record, layout).born_host().to_string(), "[2001:db8::1]:1");
}

#[test]
fn damage_is_named() {
    let bytes = encoded(&example(false));
    let cases: [(usize, &str); 5] = [
        (3, "bad record size"),
        (4, "bad magic"),
        (35, "bad physical offset"),
        (90, "bad body CRC"),
        (104, "record size disagrees with its fields"),
    ];
    for (position, expected) in cases {
        let mut wrong = bytes.clone();
        wrong[position] ^= 1;
        match parse(&wrong, 0, CrcCheck::Verify) {
            Err(Defect::Damaged { what, .. }) => assert_eq!(what, expected, "byte {position}"),
            other => panic!("byte {position}: {other:?}"),
        }
    }
    assert_eq!(parse(&[0; 100], 0, CrcCheck::Verify), Err(Defect::Free));
    assert_eq!(parse(&[], 0, CrcCheck::Verify), Err(Defect::Free));
}

#[test]
fn properties_of_32767_bytes_fit_and_one_more_does_not() {
    let raw = vec![b'x'; MAX_PROPERTIES_BYTES + 1];
    let mut fields = draft_fields();
    fields.properties = PropertySource::raw(&raw[1..]);
    assert!(RecordDraft::new(fields).is_ok());
    fields.properties = PropertySource::raw(&raw);
    let error = RecordDraft::new(fields).unwrap_err();
    assert_eq!(error.status(), Status::PropertiesTooLarge);
    fields.properties = PropertySource::raw(&raw[30..]);
    fields.record_crc = true;
    assert!(RecordDraft::new(fields).is_ok_and(|draft| draft.properties_bytes == 32_759));
}

/// What a client put at the end of its encoded properties was stored as it came, and then read as
/// the record's CRC, which it was not: an acknowledged message that no reader returned.
#[test]
fn properties_that_end_as_a_record_crc_are_refused() {
    let crc = record_crc_property(7);
    let no_number = b"__CRC32#\x01t's\x02TAGS\x01a\x02";
    let first = [b"a\x01b\x02".as_slice(), &crc].concat();
    for raw in [crc.as_slice(), no_number, &first] {
        let mut fields = draft_fields();
        fields.properties = PropertySource::raw(raw);
        let error = RecordDraft::new(fields).unwrap_err();
        assert_eq!(error.status(), Status::PropertiesIllegal);
        // In front of another one, or of the record's own, it is a property as any other.
        fields.record_crc = true;
        assert!(RecordDraft::new(fields).is_ok());
        fields.record_crc = false;
        fields.properties.tag = Some("t");
        assert!(RecordDraft::new(fields).is_ok());
    }
}

#[test]
fn any_bytes_are_refused_or_read_without_panic() {
    use proptest::prelude::*;
    proptest!(|(mut bytes in prop::collection::vec(any::<u8>(), 0..300), version: bool)| {
        if bytes.len() > 8 {
            let magic = if version { MAGIC_V1 } else { MAGIC_V2 };
            bytes[4..8].copy_from_slice(&magic.to_be_bytes());
            let size = bytes.len() as u32;
            bytes[..4].copy_from_slice(&size.to_be_bytes());
        }
        if let Ok(Parsed::Record(layout)) = parse(&bytes, 0, CrcCheck::Skip) {
            let view = RecordView::new(&bytes, layout);
            prop_assert!(view.body().len() + view.topic().len() <= bytes.len());
            let _ = view.properties().count();
        }
    });
}

/// What is recognised at one look is what the thorough one finds, also when single bytes, or the
/// lengths, are wrong.
#[test]
fn usual_records_are_read_as_all_are() {
    use proptest::prelude::*;
    let whole = [encoded(&example(false)), encoded(&example(true))];
    for bytes in &whole {
        assert_eq!(
            usual_layout(bytes, 0),
            Some(expect_layout(parse_any(bytes, 0, CrcCheck::Skip)))
        );
    }
    // Anywhere, and where sizes, lengths and offsets stand.
    let places = prop_oneof![0..200usize, prop::sample::select(vec![3, 35, 39, 87, 93, 103, 104])];
    let changes = prop::collection::vec((places, any::<u8>()), 0..4);
    proptest!(|(record in prop::sample::select(whole.to_vec()), changes in changes,
                cut in 0usize..4, offset in 0u64..2)| {
        let mut bytes = record;
        for (at, value) in changes {
            let at = at % bytes.len();
            bytes[at] = value;
        }
        let readable = &bytes[..bytes.len() - cut];
        for crc in [CrcCheck::Skip, CrcCheck::Verify] {
            prop_assert_eq!(parse(readable, offset, crc), parse_any(readable, offset, crc));
        }
    });
}

/// Lengths that no signed field can hold are illegal, also when everything else agrees with them.
#[test]
fn lengths_beyond_their_fields_are_not_usual() {
    let refused = |mut bytes: Vec<u8>| {
        let size = bytes.len() as u32;
        bytes[..4].copy_from_slice(&size.to_be_bytes());
        assert!(parse_any(&bytes, 0, CrcCheck::Skip).is_err());
        assert_eq!(parse(&bytes, 0, CrcCheck::Skip), parse_any(&bytes, 0, CrcCheck::Skip));
    };
    let bytes = encoded(&RecordDraft::new(usual_fields()).unwrap());
    let topic_at = 88 + usual_fields().body.len();
    let topic_bytes = usize::from(bytes[topic_at]);
    let mut long_topic = bytes.clone();
    long_topic[topic_at] = 128;
    long_topic.splice(topic_at + 1..topic_at + 1, vec![b't'; 128 - topic_bytes]);
    refused(long_topic);
    let properties_at = topic_at + 1 + topic_bytes;
    let mut long_properties = bytes;
    long_properties.truncate(properties_at);
    long_properties.extend_from_slice(&0x8000u16.to_be_bytes());
    long_properties.extend_from_slice(&[b'p'; 0x8000]);
    refused(long_properties);
}

fn usual_fields() -> DraftFields<'static> {
    DraftFields { born_host: host("10.0.0.1:1"), ..draft_fields() }
}

fn expect_layout(parsed: std::result::Result<Parsed, Defect>) -> RecordLayout {
    match parsed {
        Ok(Parsed::Record(layout)) => layout,
        other => panic!("{other:?}"),
    }
}
