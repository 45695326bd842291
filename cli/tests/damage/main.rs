//! Damage of every kind in every file of a store: it is found, or harms nothing.
//!
//! A store of several log files, with queues, index, checkpoint and state files, is damaged in one
//! place at a time. What is held of each: no message that differs from what was appended comes out
//! of any way of reading; what cannot be read any more was found by `verify` before, or is an
//! error, or is told by recovery's report; and what recovery cuts off the log lies in
//! `lost+found/`. A table says, besides, which damage `verify` must find.
#![allow(missing_docs, clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "tests")]
#![allow(clippy::print_stdout, reason = "says how many cases there were")]

#[path = "../common/mod.rs"]
mod common;
mod scene;
mod table;

use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use cairnlog::{
    DamagePolicy, LogEntry, LogReader, MessageView, ReadRequest, RecoveryReport, Status, Store,
};

use common::*;
use scene::{Base, Original, TOPICS, options};
use table::{Damage, Found};

/// What a way of reading brought out, by physical offset.
type Read = BTreeMap<u64, Vec<u8>>;

/// What became of a damaged store.
struct Outcome {
    found: bool,
    refused: Option<Status>,
    errors: usize,
    lost: usize,
}

/// Fails if a message is not one that was appended, where it was appended.
fn check_right(
    originals: &BTreeMap<u64, Original>,
    view: &MessageView,
    at: &str,
) -> (u64, Vec<u8>) {
    let offset = view.physical_offset().get();
    let original = originals.get(&offset);
    let original = original.unwrap_or_else(|| panic!("{at}: there was no message at {offset}"));
    assert!(view.bytes() == original.bytes, "{at}: another message at {offset}");
    (offset, view.bytes().to_vec())
}

/// Reads everything by queue. Errors are counted, and the index is passed over.
fn read_queues(store: &Store, base: &Base, at: &str, errors: &mut usize) -> Read {
    let mut read = Read::new();
    for (topic, queue_id) in TOPICS {
        let mut next = 0;
        let end = base.queue_end(topic, queue_id);
        while next < end {
            let request = ReadRequest::new(topic, queue_id, next).max_messages(1);
            match store.read(&request) {
                Ok(batch) => {
                    for view in batch.messages() {
                        assert_eq!(view.topic(), topic, "{at}");
                        assert_eq!(view.queue_id(), queue_id, "{at}");
                        assert!(view.queue_offset().to_i64() >= next, "{at}: an older index");
                        read.extend([check_right(&base.originals, view, at)]);
                    }
                    next = batch.next_offset().max(next + 1);
                }
                Err(error) => {
                    let status = error.status().code();
                    assert!((200..400).contains(&status), "{at}: {error}");
                    *errors += 1;
                    next += 1;
                }
            }
        }
        let range = store.queue_range(topic, queue_id).unwrap_or_default();
        let range_end = range.map_or(0, |range| range.end.to_i64());
        assert!(range_end <= end, "{at}: {topic}/{queue_id} has {range_end} of {end} messages");
    }
    read
}

/// Reads everything by key: what is found is right.
fn read_keys(store: &Store, base: &Base, at: &str, errors: &mut usize) {
    for original in base.originals.values() {
        match store.query_key(&original.topic, &original.key, 0, i64::MAX, 10) {
            Err(_) => *errors += 1,
            Ok(views) => {
                for view in views {
                    check_right(&base.originals, &view, at);
                    assert!(view.keys().iter().any(|key| *key == original.key), "{at}");
                }
            }
        }
    }
}

/// Reads the log, without a lock: what comes with a checked CRC is right.
fn read_log(path: &Path, base: &Base, at: &str) -> Option<Read> {
    let log = LogReader::open(path).ok()?;
    let mut read = Read::new();
    for entry in log.entries(log.min_offset()) {
        if let Ok(LogEntry::Message(view)) = entry {
            read.extend([check_right(&base.originals, &view, at)]);
        }
    }
    Some(read)
}

/// What recovery cut off is in `lost+found/`, byte for byte.
fn check_set_aside(report: &RecoveryReport, before: &[u8], at: &str) {
    if report.bytes_set_aside == 0 {
        return;
    }
    assert!(report.damage.is_some(), "{at}: {report:?}");
    let kept = fs::read(report.set_aside.as_ref().unwrap()).unwrap();
    assert_eq!(kept.len() as u64, report.bytes_set_aside, "{at}");
    let start = usize::try_from(report.end_offset.get() - report.min_offset.get()).unwrap();
    assert!(before[start..start + kept.len()] == kept, "{at}: other bytes were kept");
}

/// Opens a damaged store, with force if it must be, and reads all of it.
fn examine(path: &Path, base: &Base, damage: &Damage, at: &str) -> Outcome {
    let verified = run(&["verify", &text(path), "--json"]);
    let code = verified.status.code();
    assert!(matches!(code, Some(0..=2)), "{at}: verify ended with {code:?}");
    let mut outcome = Outcome { found: code != Some(0), refused: None, errors: 0, lost: 0 };
    read_log(path, base, at);
    if let Ok(reader) = Store::open_reader(path, &options()) {
        let all = reader.scan(reader.min_offset()).unwrap();
        for view in all.map_while(Result::ok) {
            check_right(&base.originals, &view, at);
        }
    }
    let before = scene::log_bytes(path);
    let mut options = options();
    let store = match Store::open(path, &options) {
        Ok(store) => store,
        Err(error) => {
            outcome.refused = Some(error.status());
            assert!((300..400).contains(&error.status().code()), "{at}: {error}");
            assert!(scene::log_bytes(path) == before, "{at}: a refused opening changed the log");
            options.damage_policy = DamagePolicy::Truncate;
            match Store::open(path, &options) {
                Ok(store) => store,
                // Files that are no log, or a state file that is none.
                Err(_) => {
                    assert!(outcome.found, "{at}: refused, but not found by verify");
                    return outcome;
                }
            }
        }
    };
    let report = store.recovery_report().clone();
    check_set_aside(&report, &before, at);
    let end = store.max_offset();
    assert!(store.wait_dispatched(end, PATIENCE).unwrap(), "{at}");
    let read = read_queues(&store, base, at, &mut outcome.errors);
    read_keys(&store, base, at, &mut outcome.errors);
    outcome.lost = base.originals.keys().filter(|offset| !read.contains_key(offset)).count();
    let told = outcome.found || outcome.errors > 0 || report.damage.is_some();
    assert!(outcome.lost == 0 || told, "{at}: {} messages were lost silently", outcome.lost);
    // What is appended now gets an index and a place that no message has.
    let placed = scene::append(&store, 999_999);
    assert!(placed.physical_offset >= end, "{at}");
    let taken = read.len() + outcome.errors;
    assert!(taken > 0 || damage.whole_log, "{at}: nothing is left of the store");
    store.close().unwrap_or_else(|error| panic!("{at}: {error}"));
    outcome
}

/// Damages a copy of a store, and holds what became of it against the table.
fn judge(base: &Base, damage: &Damage, at: &str) -> Outcome {
    let (_directory, store) = new_store();
    copy_tree(&base.path(), Path::new(&store));
    (damage.make)(Path::new(&store));
    let outcome = examine(Path::new(&store), base, damage, at);
    match damage.found {
        Found::Always => assert!(outcome.found, "{at}: verify finds nothing"),
        Found::Never => assert!(!outcome.found, "{at}: verify finds something"),
        Found::OrHarmless => {
            let harmless = outcome.lost == 0 && outcome.refused.is_none();
            assert!(outcome.found || harmless, "{at}: verify finds nothing");
        }
    }
    outcome
}

#[test]
fn damage_is_found_or_harmless() {
    let bases = [Base::closed(), Base::killed()];
    let table = table::all(&bases[0]);
    assert!(table.len() > 150, "{} kinds of damage", table.len());
    let work: Vec<_> = bases.iter().flat_map(|base| table.iter().map(move |d| (base, d))).collect();
    let next = AtomicUsize::new(0);
    let totals = Mutex::new([0usize; 5]);
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some((base, damage)) = work.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let at = format!("{} store, {}", base.name, damage.name);
                    match catch_unwind(AssertUnwindSafe(|| judge(base, damage, &at))) {
                        Ok(outcome) => {
                            let mut totals = totals.lock().unwrap();
                            totals[0] += 1;
                            totals[1] += usize::from(outcome.found);
                            totals[2] += usize::from(outcome.refused.is_some());
                            totals[3] += usize::from(outcome.lost > 0);
                            totals[4] += outcome.errors;
                        }
                        // It said why.
                        Err(_) => failed.lock().unwrap().push(at),
                    }
                }
            });
        }
    });
    let [cases, found, refused, losing, errors] = totals.into_inner().unwrap();
    println!(
        "{cases} damaged stores: {found} found by verify, {refused} refused at first, {losing} \
         lost messages, {errors} errors while reading, no wrong message"
    );
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{} cases failed: {failed:#?}", failed.len());
    assert_eq!(cases, work.len());
}
