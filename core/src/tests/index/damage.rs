//! Files whose bytes are anything at all.

use super::{Place, Random, candidates, put, random_rows};
use crate::index::LastStop;

/// Nothing panics, hangs or writes outside the file's length, whatever a file holds.
#[test]
fn random_damage_ends_every_call() {
    let mut random = Random::seeded();
    for _ in 0..300 {
        let rows = random_rows(&mut random, 60, 0, 1_700_000_000_000);
        let place = Place::new(7, 60);
        put(&place.open(), &rows[..50]).unwrap();
        let length = place.bytes()[0].len();
        for path in place.files() {
            let mut bytes = std::fs::read(&path).unwrap();
            let (start, end) = match random.below(4) {
                0 => (0, 40),
                1 => (40, 68),
                2 => (68, length as u64),
                _ => (0, length as u64),
            };
            for _ in 0..1 + random.below(20) {
                let at = (start + random.below(end - start)) as usize;
                bytes[at] = [0, 1, 0x7F, 0x80, 0xFF, 30][random.below(6) as usize];
            }
            std::fs::write(path, bytes).unwrap();
        }
        let index = place.open();
        let look = || {
            for key in 0..40 {
                candidates(&index, "t1", &format!("k{key}"), 0, i64::MAX);
            }
        };
        look();
        let stop = match random.below(3) {
            0 => LastStop::Clean,
            1 => LastStop::Killed,
            _ => LastStop::PowerLost { index_timestamp_ms: i64::MAX },
        };
        let from = index.recover(rows[59].offset + 1, stop).unwrap();
        assert!(from <= rows[59].offset);
        look();
        put(&index, &rows).unwrap();
        look();
        assert!(index.end_offset() <= Some(rows[59].offset));
        assert!(place.bytes().iter().all(|bytes| bytes.len() == length));
    }
}

/// Two entries that name each other, and an entry that names itself.
#[test]
fn circles_are_left() {
    let rows = random_rows(&mut Random(8), 10, 0, 1_700_000_000_000);
    let place = Place::new(1, 100);
    put(&place.open(), &rows).unwrap();
    let bytes = place.bytes().remove(0);
    let count = i32::from_be_bytes(bytes[36..40].try_into().unwrap());
    for target in 1..count {
        let mut bytes = bytes.clone();
        for number in 1..count as usize {
            let at = 40 + 4 + 20 * number + 16;
            bytes[at..at + 4].copy_from_slice(&target.to_be_bytes());
        }
        std::fs::write(&place.files()[0], bytes).unwrap();
        let index = place.open();
        for key in 0..40 {
            candidates(&index, "t0", &format!("k{key}"), 0, i64::MAX);
        }
    }
}

/// A header that no file can have costs the file and all newer ones, which are made again.
#[test]
fn an_implausible_header_is_made_again() {
    let rows = random_rows(&mut Random(4), 80, 0, 1_700_000_000_000);
    let place = Place::new(7, 30);
    put(&place.open(), &rows).unwrap();
    let whole = place.bytes();
    assert!(whole.len() > 3);
    let field = |at: usize, value: &[u8]| {
        let mut bytes = whole[1].clone();
        bytes[at..at + value.len()].copy_from_slice(value);
        bytes
    };
    for damaged in [
        field(36, &31i32.to_be_bytes()),
        field(36, &i32::MAX.to_be_bytes()),
        field(16, &(-1i64).to_be_bytes()),
        field(24, &(-1i64).to_be_bytes()),
        field(24, &0i64.to_be_bytes()),
        field(16, &0i64.to_be_bytes()),
        field(24, &i64::MAX.to_be_bytes()),
        field(32, &(-1i32).to_be_bytes()),
    ] {
        let place = place.copy();
        std::fs::write(&place.files()[1], damaged).unwrap();
        let index = place.open();
        let from = index.recover(rows[79].offset + 1, LastStop::Clean).unwrap();
        assert!(place.bytes() == whole[..1]);
        put(&index, &rows[rows.partition_point(|row| row.offset < from)..]).unwrap();
        assert!(place.bytes() == whole);
    }
}
