//! Random use against a plain list, and readers beside the writer.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::{ALWAYS, Place, Random, Row, expected, find, put, random_rows};
use crate::index::{Index, LastStop};

/// Compares look-ups with the list, for records from `least` on: retention may have taken others.
fn compare(index: &Index, random: &mut Random, rows: &[Row], least: u64) {
    for _ in 0..30 {
        let (topic, key) = (format!("t{}", random.below(3)), format!("k{}", random.below(40)));
        let times = match (random.below(2), rows) {
            (0, [first, .., last]) => {
                let range = (last.time_ms - first.time_ms + 2) as u64;
                let begin = first.time_ms + random.below(range) as i64;
                (begin, begin + random.below(range) as i64)
            }
            _ => ALWAYS,
        };
        let mut found = find(index, rows, &topic, &key, times);
        let mut expected = expected(rows, &topic, &key, times);
        found.retain(|&offset| offset >= least);
        expected.retain(|&offset| offset >= least);
        assert_eq!(found, expected, "{topic} {key} {times:?}");
    }
}

#[test]
fn random_use_is_as_a_list_has_it() {
    let mut random = Random::seeded();
    for _ in 0..40 {
        let place = Place::new(1 + random.below(50) as u32, 2 + random.below(100) as u32);
        let mut index = place.open();
        let (mut rows, mut least): (Vec<Row>, u64) = (Vec::new(), 0);
        for _ in 0..60 {
            match random.below(12) {
                0 => {
                    drop(index);
                    index = place.open();
                }
                1 => {
                    // The log is cut, and other records come to lie there.
                    let cut = random.below(rows.len() as u64 + 1) as usize;
                    let log_end = rows.get(cut).map_or(u64::MAX, |row| row.offset);
                    rows.truncate(cut);
                    let stop = [LastStop::Clean, LastStop::Killed][random.below(2) as usize];
                    let from = index.recover(log_end, stop).unwrap();
                    let begin = rows.partition_point(|row| row.offset < from.max(least));
                    put(&index, &rows[begin..]).unwrap();
                }
                2 => {
                    let row = random.below(rows.len() as u64 + 1) as usize;
                    least = least.max(rows.get(row).map_or(0, |row| row.offset));
                    index.remove_before(least).unwrap();
                }
                3 => {
                    index.force().unwrap();
                }
                4 => {
                    let begin = random.below(rows.len() as u64 + 1) as usize;
                    let begin = begin.max(rows.partition_point(|row| row.offset < least));
                    put(&index, &rows[begin.min(rows.len())..]).unwrap();
                }
                5..8 => compare(&index, &mut random, &rows, least),
                _ => {
                    let last = rows.last().map(|row| (row.offset + 99, row.time_ms));
                    let (offset, time_ms) = last.unwrap_or((0, 1_700_000_000_000));
                    let count = random.below(60) as usize;
                    let new = random_rows(&mut random, count, offset, time_ms);
                    put(&index, &new).unwrap();
                    rows.extend(new);
                }
            }
        }
        compare(&index, &mut random, &rows, least);
    }
}

#[test]
fn files_below_the_log_go_but_never_the_newest() {
    let rows = random_rows(&mut Random(17), 100, 0, 1_700_000_000_000);
    let place = Place::new(7, 30);
    let index = place.open();
    put(&index, &rows).unwrap();
    let files = place.files();
    assert_eq!(index.remove_before(0).unwrap(), 0);
    let least = rows[50].offset;
    let removed = index.remove_before(least).unwrap() as usize;
    assert!(removed > 1);
    assert_eq!(place.files(), files[removed..]);
    compare(&index, &mut Random(1), &rows, least);
    assert_eq!(index.remove_before(u64::MAX).unwrap() as usize, files.len() - removed - 1);
    assert_eq!(place.files(), files[files.len() - 1..]);
    assert_eq!(index.remove_before(u64::MAX).unwrap(), 0);
}

/// What was put before a look-up began is found by it, while more is put and files come and go.
#[test]
fn readers_see_whole_puts_beside_the_writer() {
    let rows = random_rows(&mut Random(29), 6000, 0, 1_700_000_000_000);
    let place = Place::new(11, 800);
    let index = place.open();
    let done = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for (number, batch) in rows.chunks(10).enumerate() {
                put(&index, batch).unwrap();
                done.store((number + 1) * 10, Ordering::Release);
                if number % 100 == 99 {
                    index.remove_before(rows[number * 10 - 500].offset).unwrap();
                }
            }
        });
        let mut random = Random(31);
        loop {
            let before = done.load(Ordering::Acquire);
            let (topic, key) = (format!("t{}", random.below(3)), format!("k{}", random.below(40)));
            let found = find(&index, &rows, &topic, &key, ALWAYS);
            // Retention stays more than 1500 records behind the writer's next step.
            let known = &rows[before.saturating_sub(400)..before];
            for offset in expected(known, &topic, &key, ALWAYS) {
                assert!(found.contains(&offset) || done.load(Ordering::Acquire) > before + 10);
            }
            if before == rows.len() {
                break;
            }
        }
    });
}
