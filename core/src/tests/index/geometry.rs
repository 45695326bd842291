//! Files whose numbers of slots and entries nobody tells: found again, or given up in time.

use std::os::unix::fs::FileExt;

use super::{Place, Random, Row, assert_all_found, candidates, put, random_rows};
use crate::index::LastStop;

const START_MS: i64 = 1_700_000_000_000;

/// Rows of which each has a unique key and others, the first one at the log's beginning.
fn keyed_rows(random: &mut Random, count: usize, offset: u64) -> Vec<Row> {
    let mut rows = random_rows(random, count, offset, START_MS);
    for row in &mut rows {
        row.unique_key = Some(format!("u{}", row.offset));
    }
    rows
}

/// Every fifth number of slots gives a file the same length, and the unused entry looks like an
/// entry of the log's first record.
#[test]
fn numbers_of_the_same_length_are_told_apart() {
    let mut random = Random::seeded();
    for round in 0..40 {
        let slots = 6 + random.below(300) as u32;
        let mut place = Place::new(slots, 10 + random.below(200) as u32);
        let made_with = place.settings;
        let count = 1 + random.below(120) as usize;
        let rows = keyed_rows(&mut random, count, if round % 2 == 0 { 0 } else { 77 });
        put(&place.open(), &rows).unwrap();
        let whole = place.bytes();
        for steps in [-1i32, 1, 2, -(random.below(40) as i32)] {
            let slots = made_with.slots.cast_signed() + 5 * steps;
            let entries = made_with.entries.cast_signed() - steps;
            if slots < 1 || entries < 2 {
                continue;
            }
            place.settings.slots = slots.cast_unsigned();
            place.settings.entries = entries.cast_unsigned();
            assert_eq!(place.settings.file_bytes(), made_with.file_bytes());
            let index = place.open();
            assert_all_found(&index, &rows);
            index.recover(u64::MAX, LastStop::PowerLost { index_timestamp_ms: i64::MAX }).unwrap();
            put(&index, &rows).unwrap();
            assert!(place.bytes() == whole, "{made_with:?} as {:?}", place.settings);
        }
    }
}

/// A file goes on with its numbers until it is full, and so do those that follow, whatever the
/// settings say by then: RocketMQ reads files of one pair of numbers only.
#[test]
fn further_files_are_made_like_the_newest() {
    let mut random = Random::seeded();
    let rows = keyed_rows(&mut random, 300, 0);
    let mut place = Place::new(9, 40);
    let mut lengths = Vec::new();
    for (number, part) in rows.chunks(30).enumerate() {
        place.settings.slots = 3 + 17 * (number as u32 % 4);
        place.settings.entries = 20 + number as u32;
        let index = place.open();
        put(&index, part).unwrap();
        assert_all_found(&index, &rows[..30 * number + part.len()]);
        let now: Vec<_> = place.bytes().iter().map(Vec::len).collect();
        assert_eq!(now[..lengths.len()], lengths, "files were made longer or shorter");
        assert!(now.iter().all(|length| *length == now[0]), "{now:?}");
        lengths = now;
    }
    assert!(lengths.len() > 10);
    let index = place.open();
    let from = index.recover(u64::MAX, LastStop::Killed).unwrap();
    assert_eq!(Some(from), index.end_offset());
    assert_all_found(&index, &rows);
    assert_eq!(place.bytes().len(), lengths.len());
}

#[test]
fn a_file_without_entries_is_made_anew_with_other_numbers() {
    let rows = keyed_rows(&mut Random(5), 10, 0);
    let mut place = Place::new(11, 50);
    put(&place.open(), &rows[..1]).unwrap();
    let path = place.files().remove(0);
    let mut bytes = std::fs::read(&path).unwrap();
    for count in [0i32, 1] {
        bytes[..40].fill(0);
        bytes[36..40].copy_from_slice(&count.to_be_bytes());
        std::fs::write(&path, &bytes).unwrap();
        place.settings.slots = 7;
        let index = place.open();
        assert_eq!(candidates(&index, "t0", "k1", 0, i64::MAX), [0; 0]);
        assert!(path.exists(), "opening changes nothing");
        assert_eq!(index.recover(u64::MAX, LastStop::Clean).unwrap(), 0);
        assert!(!path.exists());
        put(&index, &rows).unwrap();
        assert_all_found(&place.open(), &rows);
        assert_eq!(place.bytes()[0].len() as u64, place.settings.file_bytes());
        std::fs::remove_file(&place.files()[0]).unwrap();
    }
}

#[test]
fn a_file_that_no_numbers_fit_is_made_again() {
    let rows = keyed_rows(&mut Random(6), 60, 100);
    let place = Place::new(11, 50);
    put(&place.open(), &rows).unwrap();
    let whole = place.bytes();
    assert!(whole.len() > 2);
    let entries = 40 + 4 * 11;
    for (at, length) in [(entries + 24, 8), (entries, 20), (40, 44), (16, 8), (24, 8)] {
        let place = place.copy();
        let mut bytes = whole[1].clone();
        bytes[at..at + length].fill(1);
        std::fs::write(&place.files()[1], &bytes).unwrap();
        let index = place.open();
        let from = index.recover(u64::MAX, LastStop::Clean).unwrap();
        assert!(place.bytes() == whole[..1], "{at}");
        put(&index, &rows[rows.partition_point(|row| row.offset < from)..]).unwrap();
        assert!(place.bytes() == whole, "{at}");
    }
    // Shortened and lengthened files.
    for length in [1, 39, 40, 60, whole[1].len() - 1, whole[1].len() + 3] {
        let place = place.copy();
        let file = std::fs::File::options().write(true).open(&place.files()[1]).unwrap();
        file.set_len(length as u64).unwrap();
        let index = place.open();
        index.recover(u64::MAX, LastStop::Clean).unwrap();
        assert!(place.bytes() == whole[..1], "{length}");
    }
}

/// A header that promises entries from the log's beginning, in a file of this length.
fn promising(place: &Place, length: u64, next: i32) -> std::fs::File {
    let directory = place.directory.path().join("index");
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.join("20261120222433274");
    let file = std::fs::File::create_new(path).unwrap();
    file.set_len(length).unwrap();
    let mut header = [0; 40];
    header[24..32].copy_from_slice(&i64::MAX.to_be_bytes());
    header[36..].copy_from_slice(&next.to_be_bytes());
    file.write_all_at(&header, 0).unwrap();
    file
}

/// Neither holes nor data without end nor places that look right keep an opening busy.
#[test]
fn a_hostile_file_is_given_up() {
    let entry = |hash: i32| {
        let mut bytes = [0; 20];
        bytes[..4].copy_from_slice(&hash.to_be_bytes());
        bytes
    };
    let looks_right: Vec<u8> = (1..=52_000).flat_map(entry).collect();
    for (data, megabytes) in [(Vec::new(), 0), (vec![0xFF; 1 << 20], 80), (looks_right, 80)] {
        let place = Place::new(100, 400);
        let file = promising(&place, 40 + (40u64 << 30), 20);
        for number in 0..megabytes {
            file.write_all_at(&data, 40 + number * data.len() as u64).unwrap();
        }
        let started = std::time::Instant::now();
        let index = place.open();
        assert!(started.elapsed().as_secs() < 20, "{megabytes} {:?}", started.elapsed());
        index.recover(u64::MAX, LastStop::Clean).unwrap();
        assert!(place.files().is_empty(), "{megabytes}");
    }
}

/// The search reads 64 MiB of data, but any number of holes.
#[test]
fn a_search_ends_where_it_has_read_enough() {
    let rows = keyed_rows(&mut Random(7), 4, 100);
    for (filled, found) in [(0, true), (60 << 20, true), (65 << 20, false)] {
        let mut place = Place::new(200_000_000, 1000);
        put(&place.open(), &rows).unwrap();
        let file = std::fs::File::options().write(true).open(&place.files()[0]).unwrap();
        // No slot of the few keys lies there.
        let filling = vec![0xFF; filled];
        let mut slots: Vec<_> = rows
            .iter()
            .flat_map(|row| row.all_keys().into_iter().map(move |key| (row, key)))
            .collect();
        slots.sort_by_key(|(row, key)| slot_of(row, key));
        let free = slots.windows(2).map(|pair| {
            let (one, other) = (slot_of(pair[0].0, pair[0].1), slot_of(pair[1].0, pair[1].1));
            (4 * (other - one), one)
        });
        let (room, slot) = free.max().unwrap();
        assert!(room as usize > filled + 8192);
        file.write_all_at(&filling, 40 + 4 * (slot + 1)).unwrap();
        place.settings.slots = 12_345;
        let index = place.open();
        if found {
            assert_all_found(&index, &rows);
        } else {
            assert_eq!(index.end_offset(), None);
        }
    }
}

fn slot_of(row: &Row, key: &str) -> u64 {
    let hash = crate::codec::java_hash(&format!("{}#{key}", row.topic));
    u64::from(hash.unsigned_abs() % 200_000_000)
}

/// An index that is only read, or not used at all, holds no slots in memory, and one with few keys
/// only those around them.
#[test]
fn slots_are_in_memory_only_where_keys_were_put() {
    let rows = keyed_rows(&mut Random(9), 3, 100);
    let place = Place::new(5_000_000, 1000);
    let index = place.open();
    put(&index, &rows[..2]).unwrap();
    let keys: usize = rows.iter().map(|row| row.all_keys().len()).sum();
    assert!((1..=keys * 65_536).contains(&index.kept_slot_bytes()));
    let index = place.open();
    index.recover(u64::MAX, LastStop::Killed).unwrap();
    assert_all_found(&index, &rows[..2]);
    put(&index, &[]).unwrap();
    put(&index, &rows[..2]).unwrap();
    assert_eq!(index.kept_slot_bytes(), 0);
    put(&index, &rows).unwrap();
    assert!((1..=keys * 65_536).contains(&index.kept_slot_bytes()));
    assert_all_found(&place.open(), &rows);
}

#[test]
fn queries_keep_a_bounded_number_of_files_open() {
    let place = Place::new(1, 2);
    let index = place.open();
    let row = |number: u64| Row {
        topic: "t".to_owned(),
        unique_key: None,
        keys: "k".to_owned(),
        offset: number * 100,
        time_ms: 1_000,
    };
    // One entry a file.
    let mut rows: Vec<Row> = (1..=100).map(row).collect();
    put(&index, &rows).unwrap();
    assert_eq!(place.files().len(), 100);
    assert_eq!(candidates(&index, "t", "k", 0, i64::MAX).len(), 100);
    assert_eq!(index.kept_readers(), 64);
    for number in 101..=110 {
        rows.push(row(number));
        put(&index, &rows[rows.len() - 1..]).unwrap();
        assert!(index.kept_readers() <= 64);
    }
    assert_eq!(candidates(&index, "t", "k", 0, i64::MAX).len(), 110);
    assert_eq!(index.kept_readers(), 64);
}
