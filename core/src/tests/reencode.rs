//! Records that RocketMQ wrote, encoded anew from their fields, have the same bytes.

use std::path::{Path, PathBuf};

use crate::codec::RecordView;
use crate::codec::host::EncodedHost;
use crate::codec::properties::{PropertySource, RECORD_CRC_BYTES};
use crate::codec::record::{
    CrcCheck, DraftFields, Parsed, RecordDraft, Stamp, encode_blank, parse,
};

const FILE_BYTES: u64 = 65_536;

fn fixtures() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures");
    let entries = std::fs::read_dir(root).unwrap();
    let directories = entries.map(|entry| entry.unwrap().path());
    directories.filter(|path| path.join("manifest.json").exists()).collect()
}

fn stored(fixture: &Path, offset: u64, length: usize) -> Vec<u8> {
    let start = offset / FILE_BYTES * FILE_BYTES;
    let bytes = std::fs::read(fixture.join(format!("store/commitlog/{start:020}"))).unwrap();
    let at = (offset - start) as usize;
    bytes[at..at + length].to_vec()
}

/// Encodes a record from what its view says.
fn encoded_anew(view: &RecordView<'_>) -> Vec<u8> {
    let raw = view.properties_raw();
    let record_crc = raw.len() > view.own_properties_raw().len();
    let own = if record_crc { &raw[..raw.len() - RECORD_CRC_BYTES] } else { raw };
    let draft = RecordDraft::new(DraftFields {
        topic: view.topic_bytes(),
        queue_id: view.queue_id(),
        body: view.body(),
        flag: view.flag(),
        sys_flag: view.sys_flag(),
        born_timestamp_ms: Some(view.born_timestamp_ms()),
        born_host: EncodedHost::new(view.born_host()),
        store_host: EncodedHost::new(view.store_host()),
        reconsume_times: view.reconsume_times(),
        prepared_transaction_offset: view.prepared_transaction_offset(),
        properties: PropertySource::raw(own),
        record_crc,
    })
    .unwrap();
    let mut bytes = Vec::new();
    let stamp = Stamp {
        physical_offset: view.physical_offset().get(),
        queue_offset: view.queue_offset().get(),
        store_timestamp_ms: view.store_timestamp_ms(),
    };
    draft.encode(stamp, &mut bytes);
    assert_eq!(bytes.len(), draft.size_bytes() as usize);
    bytes
}

#[test]
fn records_of_rocketmq_are_encoded_to_the_same_bytes() {
    let (mut records, mut blanks, mut with_crc) = (0, 0, 0);
    for fixture in fixtures() {
        let text = std::fs::read_to_string(fixture.join("manifest.json")).unwrap();
        let manifest: serde_json::Value = serde_json::from_str(&text).unwrap();
        let damaged = manifest["damage"]["record_physical_offset"].as_u64();
        for record in manifest["records"].as_array().unwrap() {
            let offset = record["physical_offset"].as_u64().unwrap();
            if Some(offset) == damaged {
                continue;
            }
            let size = record["total_size"].as_u64().unwrap() as usize;
            let bytes = stored(&fixture, offset, size);
            let Ok(Parsed::Record(layout)) = parse(&bytes, offset, CrcCheck::Verify) else {
                panic!("{} {offset}: no record", fixture.display());
            };
            let view = RecordView::new(&bytes, layout);
            assert!(encoded_anew(&view) == bytes, "{} {offset}: other bytes", fixture.display());
            records += 1;
            let own = view.own_properties_raw().len();
            with_crc += u32::from(view.properties_raw().len() > own);
        }
        for blank in manifest["blanks"].as_array().unwrap() {
            let offset = blank["physical_offset"].as_u64().unwrap();
            let size = blank["size"].as_u64().unwrap() as u32;
            let mut bytes = Vec::new();
            encode_blank(size, &mut bytes);
            assert_eq!(stored(&fixture, offset, 8), bytes);
            blanks += 1;
        }
    }
    assert!(records > 1000, "{records} records");
    assert!(blanks > 10, "{blanks} blanks");
    assert_eq!(with_crc, 96);
}
