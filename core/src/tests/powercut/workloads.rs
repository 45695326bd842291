//! The scripts.

use super::check::recovered;
use super::journal::{Image, Node, PAGE};
use super::session::{BATCH_TOPIC, History, Recorded, Session, TOPIC, options};
use super::survival::{Owed, Pending, Survival};
use crate::{DamagePolicy, FlushMode, PhysicalOffset, StoreOptions};

/// A script that begins on an empty disk.
pub(super) struct Workload {
    pub(super) name: &'static str,
    options: fn() -> StoreOptions,
    script: fn(&mut Session),
}

/// The script that does what tests/powercut/replay.py has the tool do on a real file system.
pub(super) const TOOL: &str = "tool";

/// Every script.
pub(super) const WORKLOADS: [Workload; 17] = [
    Workload { name: "sync-single", options: synced, script: single },
    Workload { name: "sync-group", options: synced, script: group },
    Workload { name: "async", options: unsynced, script: flushed },
    Workload { name: "killed", options: unsynced, script: killed },
    Workload { name: "sync-killed", options: synced, script: killed },
    Workload { name: "pool", options: pooled, script: flushed },
    Workload { name: "pool-sync", options: pooled_synced, script: single },
    Workload { name: "rollover", options: synced, script: rollover },
    Workload { name: "rollover-async", options: unsynced, script: rollover },
    Workload { name: "retention", options: small_queue_files, script: retention },
    Workload { name: "queues", options: small_index, script: queues },
    Workload { name: "queue-files", options: small_queue_files, script: queues },
    Workload { name: "no-queues", options: without_queues, script: reopened },
    Workload { name: "batches", options: synced, script: batches },
    Workload { name: "batches-async", options: small_queue_files, script: batches },
    Workload { name: "config", options: synced, script: config },
    Workload { name: TOOL, options: synced, script: tool },
];

fn synced() -> StoreOptions {
    options(FlushMode::Sync)
}

fn unsynced() -> StoreOptions {
    options(FlushMode::Async)
}

fn pooled() -> StoreOptions {
    StoreOptions { transient_store_pool_enable: true, ..unsynced() }
}

fn pooled_synced() -> StoreOptions {
    StoreOptions { transient_store_pool_enable: true, ..synced() }
}

fn without_queues() -> StoreOptions {
    StoreOptions { consume_queue_enable: false, ..unsynced() }
}

/// Index files are full after some messages.
fn small_index() -> StoreOptions {
    StoreOptions { max_index_num: 40, ..unsynced() }
}

/// Queue files are full after some messages.
fn small_queue_files() -> StoreOptions {
    StoreOptions {
        consume_queue_file_size_bytes: 200,
        batch_consume_queue_file_size_bytes: 460,
        ..small_index()
    }
}

fn single(session: &mut Session) {
    session.open().unwrap();
    for number in 0..50 {
        session.append(TOPIC, number % 2, 1800);
    }
    session.close();
}

fn group(session: &mut Session) {
    session.open().unwrap();
    for round in 0..8 {
        session.append_group(4, 300 + 400 * round);
    }
    session.append_many(20, 2500);
    session.append_many(5, 10_000);
    session.close();
}

fn flushed(session: &mut Session) {
    session.open().unwrap();
    for number in 0..60 {
        session.append(TOPIC, number % 2, 1500);
        if number % 7 == 6 {
            session.flush();
        }
    }
    // What comes now is nowhere but in memory when it is closed.
    session.close();
}

fn killed(session: &mut Session) {
    session.open().unwrap();
    for round in 0..3 {
        for number in 0..12 {
            session.append(TOPIC, number % 2, 900 + 500 * round);
        }
        session.kill();
        session.append(TOPIC, 0, 700);
    }
    session.flush();
    session.kill();
    session.close();
}

fn rollover(session: &mut Session) {
    session.open().unwrap();
    for number in 0..14 {
        session.append(TOPIC, 0, 20_000);
        if number % 4 == 3 {
            session.flush();
        }
    }
    session.close();
    session.open().unwrap();
    session.append(TOPIC, 0, 20_000);
    session.close();
}

/// Next offsets are kept from one closing to the next opening, and not over a kill.
fn reopened(session: &mut Session) {
    for round in 0..3 {
        session.open().unwrap();
        for number in 0..8 {
            session.append(TOPIC, number % 2, 6000 * (round + 1));
        }
        if round == 1 {
            session.flush();
            session.append(TOPIC, 1, 500);
            session.kill();
            session.append(TOPIC, 0, 700);
        }
        session.close();
    }
}

fn retention(session: &mut Session) {
    session.open().unwrap();
    for round in 0..2u64 {
        for number in 0..13 {
            session.append(TOPIC, number % 2, 20_000);
        }
        session.flush();
        session.flush_queues();
        let target = session.store().max_offset().get() / 2 * (round + 1) / 2;
        session.store().remove_before(PhysicalOffset::new(target)).unwrap();
        session.settle();
    }
    session.append(TOPIC, 0, 20_000);
    let end = session.store().durable_offset();
    session.store().remove_before(end).unwrap();
    session.settle();
    session.close();
}

fn queues(session: &mut Session) {
    session.open().unwrap();
    for round in 0..2 {
        for number in 0..70 {
            let topic = if number % 5 == 4 { "other" } else { TOPIC };
            session.append(topic, number % 2, 120);
            match number % 20 {
                9 => session.flush(),
                // Queues are synced with more in them than the log has durable.
                14 => session.flush_queues(),
                _ => {}
            }
        }
        session.flush_queues();
        session.flush();
        if round == 0 {
            session.close();
            session.open().unwrap();
        }
    }
    session.close();
}

fn config(session: &mut Session) {
    session.open().unwrap();
    for number in 0..12 {
        session.append(TOPIC, number % 2, 500);
        session.commit(number % 2, number as u64 / 2);
        if number % 3 == 2 {
            session.persist();
        }
    }
    session.close();
    session.open().unwrap();
    session.append(TOPIC, 0, 500);
    session.commit(0, 7);
    session.persist();
    session.commit(1, 6);
    session.close();
}

fn batches(session: &mut Session) {
    session.open().unwrap();
    for round in 0..8 {
        session.append_inner_batch(3 + round, 400);
        session.append_batch(4, 900);
        session.append(TOPIC, 1, 300);
        match round {
            2 | 6 => session.flush(),
            4 => session.flush_queues(),
            _ => {}
        }
    }
    session.flush_queues();
    session.append_inner_batch(2, 10_000);
    session.close();
}

fn tool(session: &mut Session) {
    session.open().unwrap();
    for _ in 0..14 {
        session.append(TOPIC, 0, 20_000);
    }
    session.close();
}

/// Runs a script.
pub(super) fn record(workload: &Workload) -> Recorded {
    let mut session = Session::new((workload.options)(), &Image::empty(), 1);
    (workload.script)(&mut session);
    session.finish(workload.name.to_owned(), Owed::default())
}

/// The disk as it is behind an operation of a script.
pub(super) fn pending_at(recorded: &Recorded, step: usize) -> Pending {
    let mut pending = Pending::new(&recorded.journal, recorded.owed.clone());
    for step in &recorded.journal.steps[..=step] {
        pending.step(&step.changes, &step.promises);
    }
    pending
}

/// Runs a script on what a cut left: opens the store, appends, and closes. What it does while it
/// opens is cut, too. None if the store cannot be opened, which the check of that cut tells of.
pub(super) fn record_again(recorded: &Recorded, step: usize, how: Survival) -> Option<Recorded> {
    let pending = pending_at(recorded, step);
    let (image, _) = pending.survive(how);
    let boot_id = recorded.boot_id + 1;
    let found = recovered(&image, recorded, boot_id).ok()?;
    let mut session = Session::new(recorded.options.clone(), &image, boot_id);
    session.history = History {
        records: recorded.history.records[..found.records].to_vec(),
        ..recorded.history.clone()
    };
    session.open().ok()?;
    for number in 0..3 {
        // Of the size of what was lost: it ends where that did.
        match recorded.history.records.get(found.records + number) {
            Some(lost) if lost.topic != BATCH_TOPIC => {
                session.append(&lost.topic, lost.queue_id, lost.body.len());
            }
            _ => session.append(TOPIC, number as i32 % 2, 600),
        }
    }
    session.flush();
    session.append(TOPIC, 0, 600);
    session.close();
    // What was found is on the disk: no cut may take it any more.
    let owed = Owed { records: found.records, most_min: found.min, ..pending.owed };
    Some(session.finish(format!("{} {step} {how} >", recorded.name), owed))
}

/// A store of several files with a damaged record, opened so that it cuts the log there.
pub(super) fn record_truncation() -> Recorded {
    let mut session = Session::new(unsynced(), &Image::empty(), 1);
    session.open().unwrap();
    for _ in 0..10 {
        session.append(TOPIC, 0, 15_000);
    }
    session.close();
    let whole = session.finish("whole".to_owned(), Owed::default());
    let steps = whole.journal.steps.len();
    let (mut image, _) = pending_at(&whole, steps - 1).survive(Survival::Everything);
    let mut history = whole.history;
    let damaged = &history.records[2];
    let (cut, end) = (damaged.start, history.records[9].end);
    overwrite(&mut image, cut + 200, b"damage");
    remove(&mut image, "checkpoint");
    let mut bytes = log_bytes(&image, cut, end);
    bytes.truncate(bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1));
    history.records.truncate(2);
    history.set_aside = Some(bytes);
    let options = StoreOptions { damage_policy: DamagePolicy::Truncate, ..whole.options };
    let mut session = Session::new(options, &image, 1);
    session.history = history;
    session.open().unwrap();
    assert_eq!(session.store().max_offset().get(), cut);
    for _ in 0..4 {
        session.append(TOPIC, 0, 15_000);
    }
    session.flush();
    session.close();
    let owed = Owed { durable: cut, records: 2, ..Owed::default() };
    session.finish("truncation".to_owned(), owed)
}

/// The number of a file of the log in an image.
fn log_file(image: &Image, start: u64) -> usize {
    let Some(Node::Directory(log)) = image.directories[0].get(std::ffi::OsStr::new("commitlog"))
    else {
        panic!("no log");
    };
    let name = std::ffi::OsString::from(format!("{start:020}"));
    match image.directories[*log].get(&name) {
        Some(Node::File(file)) => *file,
        _ => panic!("no file {start}"),
    }
}

fn overwrite(image: &mut Image, offset: u64, bytes: &[u8]) {
    let size = super::super::scene::SEGMENT;
    let file = log_file(image, offset / size * size);
    let within = (offset % size) as usize;
    let page = image.files[file].pages.get_mut(&(within / PAGE)).expect("the page is there");
    let mut changed = **page;
    changed[within % PAGE..within % PAGE + bytes.len()].copy_from_slice(bytes);
    *page = std::sync::Arc::new(changed);
}

fn remove(image: &mut Image, name: &str) {
    image.directories[0].remove(std::ffi::OsStr::new(name));
}

fn log_bytes(image: &Image, from: u64, to: u64) -> Vec<u8> {
    let size = super::super::scene::SEGMENT;
    (from..to)
        .map(|position| {
            let file = log_file(image, position / size * size);
            let within = (position % size) as usize;
            let page = image.files[file].pages.get(&(within / PAGE));
            page.map_or(0, |page| page[within % PAGE])
        })
        .collect()
}
