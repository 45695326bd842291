//! What is too large is refused up front.

use super::fault_disk::Call;
use super::scene::{SEGMENT, Scene, assert_unchanged, bodies, snapshot};
use crate::{EncodedBatch, FlushMode, Message, Status, encode_batch_item};

/// F9. A record larger than a file was answered with PUT_OK, after the rest of one file and a whole
/// second one had been blanked.
#[test]
fn f9_a_record_larger_than_a_file_is_refused_and_nothing_is_written() {
    let scene = Scene::new(FlushMode::Sync);
    let store = scene.open().unwrap();
    let before = snapshot(scene.path());
    scene.disk.forget_calls();
    // 91 bytes of a record are neither body nor topic, and 8 are kept for the blank.
    let largest = SEGMENT as usize - 8 - 91 - 1;
    for length in [largest + 1, largest + 9, 2 * SEGMENT as usize] {
        let body = vec![1; length];
        let error = store.append(&Message::new("t", &body)).unwrap_err();
        assert_eq!(error.status(), Status::MessageTooLarge, "{length}");
        assert_eq!(error.appended(), None);
        assert_eq!(store.max_offset().get(), 0);
    }
    assert_eq!(scene.disk.count(Call::Create, ""), 0);
    assert_unchanged(&before, &snapshot(scene.path()));
    assert!(store.stats().topics.is_empty());
    let body = vec![1; largest];
    for index in 0..3 {
        let placed = store.append(&Message::new("t", &body)).unwrap();
        assert_eq!(placed.physical_offset.get(), index * SEGMENT);
        assert_eq!(placed.queue_offset.get(), index);
    }
    store.close().unwrap();
    assert_eq!(bodies(&scene.open().unwrap()).len(), 3);
}

fn items(count: usize, body: &[u8], properties: &[u8]) -> Vec<u8> {
    let mut items = Vec::new();
    for _ in 0..count {
        encode_batch_item(&mut items, 0, body, properties).unwrap();
    }
    items
}

/// F11. An oversized batch threw an exception; the joined length of item and batch properties could
/// exceed 16 bits.
#[test]
fn f11_batches_that_do_not_fit_are_refused_whole() {
    let mut scene = Scene::new(FlushMode::Async);
    scene.options.max_message_size_bytes = 100_000;
    let store = scene.open().unwrap();
    let before = snapshot(scene.path());
    let value = "v".repeat(20_000);
    let shared_properties = [("shared", value.as_str())];
    let long = format!("own\u{1}{value}\u{2}");
    let cases = [
        (items(2, b"b", long.as_bytes()), &shared_properties[..], Status::PropertiesTooLarge),
        (items(5, &[1; 25_000], b""), &[], Status::BatchIllegal),
        (items(3, &[1; 22_000], b""), &[], Status::MessageTooLarge),
        (items(1, &[1; 66_000], b""), &[], Status::MessageTooLarge),
        (Vec::new(), &[], Status::BatchIllegal),
        (items(1, b"", b""), &[], Status::BatchIllegal),
        (items(1, b"b", b"__CRC32#\x010000000000\x02"), &[], Status::BatchIllegal),
    ];
    for (number, (items, properties, status)) in cases.iter().enumerate() {
        let shared = Message::new("t", b"").properties(properties);
        let batch = EncodedBatch { shared, items };
        let error = store.append_batch(&batch).unwrap_err();
        assert_eq!(error.status(), *status, "case {number}: {error}");
        assert_eq!(store.max_offset().get(), 0);
        assert_eq!(store.next_queue_offset("t", 0).get(), 0);
    }
    let good = items(2, b"b", b"");
    for (name, value, sys_flag, status) in [
        ("DELAY", "3", 0, Status::BatchIllegal),
        ("a", "b", 0x4, Status::BatchIllegal),
        ("a", "b", 0x80, Status::InvalidArgument),
        ("a", "b\u{2}", 0, Status::PropertiesIllegal),
    ] {
        let properties = [(name, value)];
        let mut shared = Message::new("t", b"").properties(&properties);
        shared.sys_flag = sys_flag;
        let batch = EncodedBatch { shared, items: &good };
        assert_eq!(store.append_batch(&batch).unwrap_err().status(), status);
        assert_eq!(store.append_inner_batch(&batch).unwrap_err().status(), status);
    }
    assert_unchanged(&before, &snapshot(scene.path()));
}

/// F11. With an appended CRC and no batch properties, a missing separator made the CRC part of the
/// last property: both were unreadable.
#[test]
fn f11_a_missing_separator_does_not_corrupt_the_last_property() {
    for record_crc in [false, true] {
        for shared_properties in [&[][..], &[("shared", "value")]] {
            let mut scene = Scene::new(FlushMode::Async);
            scene.options.append_record_crc = record_crc;
            let store = scene.open().unwrap();
            let items = items(3, b"body", b"own\x01last");
            let shared = Message::new("t", b"").properties(shared_properties);
            let placed = store.append_batch(&EncodedBatch { shared, items: &items }).unwrap();
            assert_eq!(placed.message_count, 3);
            let end = placed.end_offset();
            store.close().unwrap();
            drop(store);
            let store = scene.open().unwrap();
            assert_eq!(store.max_offset(), end, "the CRCs verify");
            for (number, view) in store.scan(placed.physical_offset).unwrap().enumerate() {
                let view = view.unwrap();
                assert_eq!(view.property("own").as_deref(), Some("last"));
                assert_eq!(
                    view.property("shared").as_deref(),
                    shared_properties.first().map(|(_, value)| *value)
                );
                assert_eq!(view.properties_raw() != view.own_properties_raw(), record_crc);
                assert_eq!(view.property("__CRC32#"), None);
                assert_eq!(view.queue_offset().get(), number as u64);
            }
        }
    }
}

/// A batch that does not fit into the rest of a file moves to the next as a whole.
#[test]
fn a_batch_stays_in_one_file() {
    let scene = Scene::new(FlushMode::Async);
    let store = scene.open().unwrap();
    store.append(&Message::new("t", &[1; 50_000])).unwrap();
    let items = items(3, &[2; 6000], b"");
    let batch = EncodedBatch { shared: Message::new("t", b""), items: &items };
    let placed = store.append_batch(&batch).unwrap();
    assert_eq!(placed.physical_offset.get(), SEGMENT);
    assert_eq!(placed.queue_offset.get(), 1);
    let batch = EncodedBatch { shared: Message::new("inner", b""), items: &items };
    store.append_inner_batch(&batch).unwrap();
    let inner = store.append_inner_batch(&batch).unwrap();
    assert_eq!((inner.queue_offset.get(), inner.message_count), (3, 3));
    assert_eq!(store.next_queue_offset("inner", 0).get(), 6);
    let view = store.read_at(inner.physical_offset).unwrap();
    assert_eq!(view.property("INNER_BASE").as_deref(), Some("3"));
    assert_eq!(view.property("INNER_NUM").as_deref(), Some("3"));
    assert_eq!(view.body(), items);
    store.close().unwrap();
    let store = scene.open().unwrap();
    assert_eq!(store.next_queue_offset("inner", 0).get(), 6);
    assert_eq!(store.next_queue_offset("t", 0).get(), 4);
    assert_eq!(store.recovery_report().records, 0);
    store.close().unwrap();
    drop(store);
    scene.forget_checkpoint();
    let store = scene.open().unwrap();
    assert_eq!(store.next_queue_offset("inner", 0).get(), 6);
    assert_eq!(store.recovery_report().records, 6);
}

/// Every file ends with a blank of at least 8 bytes: a record that leaves exactly that much stays,
/// one that leaves less moves to the next file.
#[test]
fn a_record_leaves_room_for_the_blank() {
    for (room, stays) in [(9, true), (8, true), (7, false), (1, false), (0, false)] {
        let scene = Scene::new(FlushMode::Async);
        let store = scene.open().unwrap();
        let first = store.append(&Message::new("t", &[1; 30_000])).unwrap();
        let overhead = u64::from(first.size_bytes) - 30_000;
        let left = SEGMENT - first.end_offset().get();
        let body = vec![2; (left - room - overhead) as usize];
        let second = store.append(&Message::new("t", &body)).unwrap();
        let expected = if stays { first.end_offset().get() } else { SEGMENT };
        assert_eq!(second.physical_offset.get(), expected, "room {room}");
        store.append(&Message::new("t", b"third")).unwrap();
        store.close().unwrap();
        let blank = if stays { SEGMENT - room } else { first.end_offset().get() };
        let size = ((SEGMENT - blank) as u32).to_be_bytes();
        let magic = [0xCB, 0xD4, 0x31, 0x94];
        assert_eq!(scene.bytes(blank..blank + 8), [size, magic].concat());
        assert_eq!(bodies(&scene.open().unwrap()).len(), 3, "room {room}");
    }
}
