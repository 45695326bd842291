//! Files that RocketMQ wrote, made again and read.

use std::path::{Path, PathBuf};

use super::{ALWAYS, Place, Row, assert_all_found, expected, find, put};
use crate::PROPERTY_KEYS;
use crate::codec::RecordView;
use crate::codec::record::{CrcCheck, Parsed, parse};
use crate::index::LastStop;

const SEGMENT: u64 = 65_536;
/// The number of slots of the fixtures' files.
const SLOTS: u32 = 100;
const ENTRIES: u32 = 400;

/// The fixtures with an index whose log is undamaged.
fn fixtures() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures");
    let entries = std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.join("store/index").exists() && manifest(path).is_some()).collect()
}

fn manifest(fixture: &Path) -> Option<serde_json::Value> {
    let text = std::fs::read_to_string(fixture.join("manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&text).unwrap();
    manifest["damage"].is_null().then_some(manifest)
}

/// What the index holds, from the records of the log where they lie.
fn rows(fixture: &Path) -> Vec<Row> {
    let manifest = manifest(fixture).unwrap();
    let mut rows = Vec::new();
    for record in manifest["records"].as_array().unwrap() {
        let offset = record["physical_offset"].as_u64().unwrap();
        let start = offset / SEGMENT * SEGMENT;
        let path = fixture.join(format!("store/commitlog/{start:020}"));
        let bytes = std::fs::read(path).unwrap();
        let bytes = &bytes[(offset - start) as usize..];
        let Ok(Parsed::Record(layout)) = parse(bytes, offset, CrcCheck::Verify) else {
            panic!("{} {offset}: no record", fixture.display());
        };
        let view = RecordView::new(bytes, layout);
        if view.sys_flag() & 0xC == 0xC {
            continue;
        }
        rows.push(Row {
            topic: view.topic().into_owned(),
            unique_key: view.property("UNIQ_KEY").map(Into::into),
            keys: view.property(PROPERTY_KEYS).unwrap_or_default().into_owned(),
            offset,
            time_ms: view.store_timestamp_ms(),
        });
    }
    rows
}

fn stock(fixture: &Path) -> Place {
    Place::new(SLOTS, ENTRIES).copy_of(&fixture.join("store/index"))
}

#[test]
fn the_same_records_make_the_same_bytes_as_rocketmq_s() {
    let mut files = 0;
    for fixture in fixtures() {
        let (stock, rows) = (stock(&fixture).bytes(), rows(&fixture));
        for batch in [rows.len(), 7, 1] {
            let place = Place::new(SLOTS, ENTRIES);
            let index = place.open();
            for rows in rows.chunks(batch) {
                put(&index, rows).unwrap();
            }
            assert!(place.bytes() == stock, "{} in batches of {batch}", fixture.display());
        }
        files += stock.len();
    }
    assert_eq!(files, 9);
}

#[test]
fn every_key_of_rocketmq_s_files_is_found() {
    for fixture in fixtures() {
        let (place, rows) = (stock(&fixture), rows(&fixture));
        let index = place.open();
        assert_all_found(&index, &rows);
        assert_eq!(find(&index, &rows, "no such topic", "k", ALWAYS), [0; 0]);
        for row in &rows {
            for key in row.all_keys() {
                for times in
                    [(row.time_ms, row.time_ms), (row.time_ms + 1, i64::MAX), (0, row.time_ms - 1)]
                {
                    let found = find(&index, &rows, &row.topic, key, times);
                    assert_eq!(found, expected(&rows, &row.topic, key, times));
                }
            }
        }
    }
}

/// Records are dispatched again after an unclean stop: what is in stays as it is, also when a
/// record's keys are divided between two files, and when the second of them has to go.
#[test]
fn records_put_again_change_nothing_and_complete_what_is_there() {
    for fixture in fixtures() {
        let (place, rows) = (stock(&fixture), rows(&fixture));
        let whole = place.bytes();
        put(&place.open(), &rows).unwrap();
        assert!(place.bytes() == whole, "{}", fixture.display());

        let last = rows.iter().rfind(|row| !row.all_keys().is_empty()).unwrap().offset;
        let index = place.open();
        let from = index.recover(last, LastStop::Clean).unwrap();
        assert_eq!(place.bytes(), whole[..whole.len() - 1]);
        let again: Vec<_> = rows.iter().filter(|row| row.offset >= from).cloned().collect();
        put(&index, &again).unwrap();
        assert!(place.bytes() == whole, "{} from {from}", fixture.display());
        assert_all_found(&index, &rows);
    }
}

/// Q3: RocketMQ computes the time of a follow-up file's first entry from the end of the file before
/// it, and readers add it to the file's own begin: the record seems to be late.
#[test]
fn the_first_entry_of_a_file_has_the_time_of_the_file() {
    let place = Place::new(10, 3);
    let index = place.open();
    let row = |number: u64, time_ms: i64| Row {
        topic: "t".into(),
        unique_key: None,
        keys: format!("k{number}"),
        offset: number * 100,
        time_ms,
    };
    let rows = [row(0, 1_000_000), row(1, 1_004_500), row(2, 2_000_000), row(3, 2_002_999)];
    put(&index, &rows).unwrap();
    let seconds = |bytes: &[u8], number: usize| {
        let at = 40 + 4 * 10 + 20 * number + 12;
        i32::from_be_bytes(bytes[at..at + 4].try_into().unwrap())
    };
    let mut bytes = place.bytes();
    assert_eq!(bytes.len(), 2);
    assert_eq!([seconds(&bytes[0], 1), seconds(&bytes[0], 2)], [0, 4]);
    assert_eq!([seconds(&bytes[1], 1), seconds(&bytes[1], 2)], [0, 2]);
    // A file that RocketMQ wrote: its first record is found at its own time all the same.
    let at = 40 + 4 * 10 + 20 + 12;
    bytes[1][at..at + 4].copy_from_slice(&995i32.to_be_bytes());
    std::fs::write(&place.files()[1], &bytes[1]).unwrap();
    let index = place.open();
    for row in &rows {
        let times = (row.time_ms, row.time_ms);
        let found = find(&index, &rows, "t", &row.keys, times);
        assert_eq!(found, [row.offset], "{}", row.keys);
    }
}

/// RocketMQ enlarges a file of other settings and then finds nothing in it.
#[test]
fn files_of_other_settings_are_read_as_they_are() {
    for fixture in fixtures() {
        let (mut place, rows) = (stock(&fixture), rows(&fixture));
        let whole = place.bytes();
        for (slots, entries) in [
            (SLOTS, 1000),
            (101, 400),
            (105, 399),
            (95, 401),
            (105, 400),
            (100_000, 400),
            (1, 2),
            (5_000_000, 20_000_000),
        ] {
            place.settings.slots = slots;
            place.settings.entries = entries;
            let index = place.open();
            assert_all_found(&index, &rows);
            index.recover(u64::MAX, LastStop::PowerLost { index_timestamp_ms: i64::MAX }).unwrap();
            put(&index, &rows).unwrap();
            assert_all_found(&index, &rows);
            assert!(place.bytes() == whole, "{} {slots} {entries}", fixture.display());
        }
    }
}

#[test]
fn what_is_no_index_file_is_passed_over() {
    let place = Place::new(SLOTS, ENTRIES);
    let index = place.open();
    assert_eq!(index.end_offset(), None);
    assert_eq!(index.recover(1000, LastStop::Killed).unwrap(), 0);
    assert_eq!(index.force().unwrap(), None);
    assert!(place.files().is_empty());
    let directory = place.directory.path().join("index");
    std::fs::create_dir_all(directory.join("20991231000000000")).unwrap();
    std::fs::write(directory.join("notes.txt"), "x").unwrap();
    std::fs::write(directory.join("20991231000000001"), "").unwrap();
    let index = place.open();
    assert_eq!(place.files().len(), 3);
    index.recover(1000, LastStop::Clean).unwrap();
    assert_eq!(place.files().len(), 2);
    let row = Row {
        topic: "t".into(),
        unique_key: Some("u".into()),
        keys: String::new(),
        offset: 0,
        time_ms: 5000,
    };
    put(&index, std::slice::from_ref(&row)).unwrap();
    assert_all_found(&place.open(), &[row]);
    assert!(place.files()[1].ends_with("20991231000000002"));
}
