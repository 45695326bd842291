//! Calls that fail, and processes and machines that stop in the middle of one.

use super::{Place, Random, Row, assert_all_found, candidates, put, random_rows};
use crate::Status;
use crate::index::LastStop;
use crate::tests::fault_disk::{Call, Hits};

const LOG_END: u64 = u64::MAX;

/// Files that are full after a few records, with few slots, so that chains are long.
fn place() -> Place {
    Place::new(7, 30)
}

/// So many slots that a put writes them in several calls.
fn wide_place() -> Place {
    Place::new(60_013, 30)
}

/// The bytes the rows make when nothing fails.
fn undisturbed(settings: &Place, rows: &[Row]) -> Vec<Vec<u8>> {
    let place = Place::new(settings.settings.slots, settings.settings.entries);
    put(&place.open(), rows).unwrap();
    place.bytes()
}

/// Every call on the disk fails once: the same put made again leaves what it would have left.
#[test]
fn a_put_made_again_after_any_failure_is_whole() {
    let calls = [Call::CreateDirectory, Call::Create, Call::SyncAll, Call::SyncDirectory];
    let calls = calls.into_iter().chain([Call::WriteAt, Call::ReadAt]);
    let rows = random_rows(&mut Random(11), 60, 0, 1_700_000_000_000);
    for call in calls {
        let mut failures = 0;
        for nth in 1.. {
            let place = if call == Call::WriteAt { wide_place() } else { place() };
            let mut index = place.open();
            put(&index, &rows[..20]).unwrap();
            if call == Call::CreateDirectory {
                index.recover(0, LastStop::Clean).unwrap();
            }
            if call == Call::ReadAt {
                index = place.open();
            }
            let before: Vec<_> = (0..40)
                .map(|key| candidates(&index, "t1", &format!("k{key}"), 0, i64::MAX))
                .collect();
            place.disk.fail(call, "", Hits::Nth(nth), libc::ENOSPC);
            let Err(error) = put(&index, &rows) else {
                break;
            };
            assert_eq!(error.status(), Status::DiskFull, "{call:?} {nth}");
            place.disk.mend();
            // What was there is still found, and nothing that is not in the log.
            for (key, before) in before.iter().enumerate() {
                let now = candidates(&index, "t1", &format!("k{key}"), 0, i64::MAX);
                assert!(now.ends_with(before), "{call:?} {nth}: k{key}");
            }
            put(&index, &rows).unwrap();
            assert!(place.bytes() == undisturbed(&place, &rows), "{call:?} {nth}");
            assert_all_found(&index, &rows);
            failures += 1;
        }
        assert!(failures > 0, "{call:?} was never made");
    }
}

/// The process is killed at every write of a put.
#[test]
fn a_killed_put_leaves_what_was_there_and_is_made_again() {
    assert!(kill_at_every_write(place) > 8);
    assert!(kill_at_every_write(wide_place) > 20);
}

/// The number of kills.
fn kill_at_every_write(place: fn() -> Place) -> usize {
    let rows = random_rows(&mut Random(5), 60, 0, 1_700_000_000_000);
    let whole = undisturbed(&place(), &rows);
    let mut kills = 0;
    for nth in 1.. {
        let place = place();
        let index = place.open();
        put(&index, &rows[..20]).unwrap();
        place.disk.fail(Call::WriteAt, "", Hits::From(nth), libc::EIO);
        if put(&index, &rows[20..]).is_ok() {
            break;
        }
        drop(index);
        for stop in [LastStop::Killed, LastStop::Clean] {
            let place = place.copy();
            let index = place.open();
            let from = index.recover(LOG_END, stop).unwrap();
            assert_eq!(Some(from), index.end_offset());
            let committed = rows[..20].iter().rfind(|row| !row.all_keys().is_empty()).unwrap();
            assert!(from >= committed.offset, "{nth} {stop:?}");
            let known: Vec<_> = rows.iter().filter(|row| row.offset < from).cloned().collect();
            for row in &known {
                for key in row.all_keys() {
                    let found = candidates(&index, &row.topic, key, 0, i64::MAX);
                    assert!(found.contains(&row.offset), "{nth} {stop:?}: {key}");
                }
            }
            let rest: Vec<_> = rows.iter().filter(|row| row.offset >= from).cloned().collect();
            put(&index, &rest).unwrap();
            assert!(place.bytes() == whole, "{nth} {stop:?}");
            assert_all_found(&index, &rows);
        }
        kills += 1;
    }
    kills
}

/// Repair leaves no trace of the call that was killed.
#[test]
fn repair_takes_a_killed_put_out() {
    let rows = random_rows(&mut Random(3), 12, 0, 1_700_000_000_000);
    let before = undisturbed(&place(), &rows[..6]);
    for nth in 2..=3 {
        let place = place();
        let index = place.open();
        put(&index, &rows[..6]).unwrap();
        // The entries are written, and perhaps the slots, but not the header.
        place.disk.fail(Call::WriteAt, "", Hits::From(nth), libc::EIO);
        put(&index, &rows[6..]).unwrap_err();
        place.disk.mend();
        assert!(place.bytes() != before);
        place.open().recover(LOG_END, LastStop::Killed).unwrap();
        assert!(place.bytes() == before, "killed at write {nth}");
    }
}

/// After a power cut any of the sectors written since the last sync may be old or new.
#[test]
fn after_a_power_cut_lost_sectors_are_noticed() {
    let mut random = Random::seeded();
    let rows = random_rows(&mut random, 300, 0, 1_700_000_000_000);
    let settings = Place::new(50_021, 1_000);
    let whole = undisturbed(&settings, &rows);
    let (mut kept, mut removed) = (0, 0);
    for round in 0..150 {
        let forced = random.below(150) as usize;
        let written = forced + 1 + random.below(150) as usize;
        let place = Place::new(50_021, 1_000);
        let index = place.open();
        put(&index, &rows[..forced]).unwrap();
        let checkpoint = index.force().unwrap();
        let mut bytes = place.bytes().pop().unwrap_or_else(|| vec![0; whole[0].len()]);
        put(&index, &rows[forced..written]).unwrap();
        let Some(newest) = place.bytes().pop() else {
            continue;
        };
        drop(index);
        // In most rounds few sectors are lost, so that the file looks nearly right.
        let chance = [2, 30, 1000][random.below(3) as usize];
        for (old, new) in bytes.chunks_mut(512).zip(newest.chunks(512)) {
            if random.below(chance) != 0 {
                old.copy_from_slice(new);
            }
        }
        std::fs::write(&place.files()[0], &bytes).unwrap();
        // With the true checkpoint the file goes whenever it has newer records; with a time far
        // off everything hangs on the chains.
        let index_timestamp_ms = match round % 2 {
            0 => checkpoint.unwrap_or(0),
            _ => i64::MAX,
        };
        let index = place.open();
        let from = index.recover(LOG_END, LastStop::PowerLost { index_timestamp_ms }).unwrap();
        kept += usize::from(!place.files().is_empty());
        removed += usize::from(place.files().is_empty());
        let rest: Vec<_> = rows.iter().filter(|row| row.offset >= from).cloned().collect();
        put(&index, &rest).unwrap();
        assert!(place.bytes() == whole, "round {round}: {forced} {written} from {from}");
    }
    assert!(kept > 10 && removed > 10, "{kept} kept, {removed} removed");
}

/// Q4: RocketMQ removes the unfinished file after a power cut and never makes it again.
#[test]
fn files_newer_than_the_checkpoint_go_and_are_made_again() {
    let rows = random_rows(&mut Random(9), 100, 0, 1_700_000_000_000);
    let place = place();
    let index = place.open();
    put(&index, &rows).unwrap();
    let whole = place.bytes();
    let count = whole.len();
    assert!(count > 4);
    let forced = index.forced_timestamp_ms().unwrap();
    assert!(forced < rows[99].time_ms, "full files are forced, the newest is not");
    drop(index);
    place.disk.forget_calls();
    let index = place.open();
    let stop = LastStop::PowerLost { index_timestamp_ms: rows[50].time_ms };
    let from = index.recover(LOG_END, stop).unwrap();
    assert!(place.bytes()[..] == whole[..place.files().len()] && place.files().len() < count - 1);
    assert!(from <= rows[50].offset && Some(from) == index.end_offset());
    // Newest first, each durably, so that no gap can come of another power cut.
    let removed = place.disk.calls(Call::Remove, "index");
    assert!(removed.windows(2).all(|pair| pair[0] > pair[1]));
    assert_eq!(place.disk.count(Call::SyncDirectory, "index"), removed.len());
    put(&index, &rows[rows.partition_point(|row| row.offset < from)..]).unwrap();
    assert!(place.bytes() == whole);
}

/// The system may have dropped what a failed sync could not write: a second sync that succeeds
/// says nothing.
#[test]
fn a_failed_sync_is_not_repeated() {
    let rows = random_rows(&mut Random(21), 100, 0, 1_700_000_000_000);
    let place = place();
    let index = place.open();
    put(&index, &rows[..5]).unwrap();
    assert_eq!(index.force().unwrap(), Some(rows[4].time_ms));
    put(&index, &rows[..7]).unwrap();
    place.disk.fail(Call::SyncData, "index", Hits::Nth(1), libc::EIO);
    assert_eq!(index.force().unwrap_err().status(), Status::Io);
    assert_eq!(index.force().unwrap_err().status(), Status::Fenced);
    assert_eq!(index.forced_timestamp_ms(), Some(rows[4].time_ms));
    // Nor is the file left behind for a new one.
    assert_eq!(put(&index, &rows).unwrap_err().status(), Status::Fenced);
    assert_eq!(place.files().len(), 1);
}

#[test]
fn force_syncs_what_is_new_and_a_full_file_before_the_next() {
    let rows = random_rows(&mut Random(33), 100, 0, 1_700_000_000_000);
    let place = place();
    let index = place.open();
    put(&index, &rows).unwrap();
    let files = place.files();
    let synced = place.disk.calls(Call::SyncData, "index");
    assert_eq!(synced, files[..files.len() - 1]);
    let last = rows.iter().rfind(|row| !row.all_keys().is_empty()).unwrap();
    assert_eq!(index.force().unwrap(), Some(last.time_ms));
    assert_eq!(place.disk.count(Call::SyncData, "index"), files.len());
    index.force().unwrap();
    assert_eq!(place.disk.count(Call::SyncData, "index"), files.len());
    // Only the newest file is kept open: others are opened for a look-up.
    place.disk.forget_calls();
    candidates(&index, "t1", "k1", 0, i64::MAX);
    assert_eq!(place.disk.count(Call::Open, "index"), files.len() - 1);
}
