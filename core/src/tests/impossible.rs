//! Files that are whole, every checksum right, and say what no store would write. Fuzzing found
//! what happened then; each test tells it.

use crate::codec::host::EncodedHost;
use crate::codec::properties::PropertySource;
use crate::codec::record::{DraftFields, RecordDraft, Stamp};
use crate::tests::scene::{SEGMENT, Scene, bodies};
use crate::{
    EncodedBatch, Filter, FlushMode, Message, QueueOffset, ReadRequest, Status, encode_batch_item,
};

/// A record that is whole.
fn record(topic: &str, index: u64, physical_offset: u64) -> Vec<u8> {
    let host = EncodedHost::new(([127, 0, 0, 1], 10_911).into());
    let draft = RecordDraft::new(DraftFields {
        topic: topic.as_bytes(),
        queue_id: 0,
        body: b"body",
        flag: 0,
        sys_flag: 0,
        born_timestamp_ms: None,
        born_host: host,
        store_host: host,
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        properties: PropertySource::raw(b""),
        record_crc: false,
    });
    let store_timestamp_ms = 1_600_000_000_000;
    let stamp = Stamp { physical_offset, queue_offset: index, store_timestamp_ms };
    let mut bytes = Vec::new();
    draft.unwrap().encode(stamp, &mut bytes);
    bytes
}

/// A directory with a log of records, of which topic and index are given, and nothing else.
pub(super) fn log_of(records: &[(&str, u64)]) -> Scene {
    let scene = Scene::new(FlushMode::Async);
    let mut bytes = Vec::new();
    for (topic, index) in records {
        bytes.extend(record(topic, *index, bytes.len() as u64));
    }
    bytes.resize(SEGMENT as usize, 0);
    std::fs::create_dir(scene.path().join("commitlog")).unwrap();
    std::fs::write(scene.file(0), bytes).unwrap();
    scene
}

/// A body's CRC does not cover the index. That of 2^62 times the 20 bytes of a unit is more than 64
/// bits hold: the dispatcher panicked where overflow is checked, and elsewhere wrote the unit into
/// the file of another index. The next message got an index that no reader takes for one.
#[test]
fn an_index_that_no_queue_reaches_is_passed_over() {
    let beyond = i64::MAX as u64;
    let scene = log_of(&[("t", 0), ("t", 1 << 62), ("t", beyond), ("t", 1), ("u", 1 << 60)]);
    for appended in 0..2 {
        let store = scene.open().unwrap();
        assert_eq!(bodies(&store).len(), 5 + appended);
        let end = QueueOffset::new(2 + appended as u64);
        assert_eq!(store.queue_range("t", 0).unwrap(), Some(QueueOffset::new(0)..end));
        assert_eq!(store.queue_range("u", 0).unwrap(), None);
        assert_eq!(store.append(&Message::new("t", b"b")).unwrap().queue_offset, end);
        store.close().unwrap();
    }
}

/// Opening went through a queue of half messages index by index. A log that skips indexes, all of
/// it whole, kept it busy for as long as it takes to count to the next one.
#[test]
fn a_gap_between_half_messages_does_not_hold_opening_up() {
    let half = |index| ("RMQ_SYS_TRANS_HALF_TOPIC", index);
    let scene = log_of(&[half(0), half(1 << 50), half((1 << 50) + 1), half(1 << 55)]);
    for _ in 0..2 {
        let store = scene.open().unwrap();
        assert_eq!(store.open_transactions().unwrap().len(), 4);
        store.close().unwrap();
    }
}

/// The checkpoint notes the size of the log's files, for when there is none left. One of 7 bytes,
/// its checksum right, made every append panic; one of 2^40 made a file that large.
#[test]
fn a_noted_file_size_that_cannot_be_is_no_note() {
    for size in [0, 7, 1 << 40, u64::MAX] {
        let scene = Scene::new(FlushMode::Async);
        scene.open().unwrap().close().unwrap();
        let path = scene.path().join("checkpoint");
        let mut checkpoint = std::fs::read(&path).unwrap();
        let crc = |notes: &[u8]| u64::from(crc32fast::hash(notes)).to_be_bytes();
        assert_eq!(checkpoint[2112..2120], crc(&checkpoint[2048..2112]));
        checkpoint[2056..2064].copy_from_slice(&u64::to_be_bytes(size));
        let changed = crc(&checkpoint[2048..2112]);
        checkpoint[2112..2120].copy_from_slice(&changed);
        std::fs::write(&path, checkpoint).unwrap();
        let store = scene.open().unwrap();
        assert_eq!(store.segment_size_bytes(), SEGMENT);
        store.append(&Message::new("t", b"b")).unwrap();
        store.close().unwrap();
    }
}

/// Reading went on at the index it came from when the unit that came next in a batch queue said an
/// index behind the queue's end, and went back when one said an index in front: a reader was handed
/// nothing, or the same, for ever.
#[test]
fn a_wrong_index_in_a_batch_queue_does_not_hold_readers_up() {
    for (unit, index) in [(1, 1000), (0, 1000), (1, 0), (2, 0), (1, i64::MAX)] {
        let scene = Scene::new(FlushMode::Async);
        let store = scene.open().unwrap();
        let mut items = Vec::new();
        for _ in 0..3 {
            encode_batch_item(&mut items, 0, b"body", b"").unwrap();
        }
        let shared = Message::new("t", b"").tag("a");
        for _ in 0..3 {
            store.append_inner_batch(&EncodedBatch { shared, items: &items }).unwrap();
        }
        store.close().unwrap();
        let path = scene.path().join(format!("batchconsumequeue/t/0/{:020}", 0));
        let mut units = std::fs::read(&path).unwrap();
        units[unit * 46 + 28..][..8].copy_from_slice(&i64::to_be_bytes(index));
        std::fs::write(&path, units).unwrap();
        let store = scene.open().unwrap();
        for filter in [Filter::all(), Filter::tags("b").unwrap()] {
            let mut next = 0;
            while next < 9 {
                let request = ReadRequest::new("t", 0, next).filter(filter.clone());
                match store.read(&request) {
                    Ok(batch) => {
                        assert!(batch.next_offset() > next, "{unit} {index} at {next}");
                        next = batch.next_offset();
                    }
                    Err(error) => {
                        assert_eq!(error.status(), Status::Corruption, "{error}");
                        break;
                    }
                }
            }
        }
        store.close().unwrap();
    }
}
