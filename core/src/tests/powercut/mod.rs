//! Power cuts: every script is cut behind each of its operations, on a model of a disk that keeps
//! what was synced and of the rest what chance takes, and the store is opened on what is left.
//!
//! The model stands behind the seam of `sys::disk`. It is stricter than a file system is: a file's
//! bytes and length are durable by a sync of that file alone, a name by a sync of its directory
//! alone. Of all else any part may survive a cut: pages with bytes they had at any time since the
//! file was synced, also stores into mappings that no call told of; pages torn at sectors of 512
//! bytes; lengths without bytes and bytes without lengths; creations, removals and renames in part
//! or in another order. What `docs/design.md` assumes of the machine is assumed here: a sync that
//! returned has made its data durable, and a sector is whole; and a rename that was not synced
//! leaves the old name, the new name, or both.
//!
//! What must hold then: the store opens; its log is what was appended up to some record, and has
//! everything that anybody was told is durable; nothing stands behind its end; queues and index
//! lead to each record and nowhere else; a group's offset is where it was persisted; a further
//! message comes to the next place and gets the next index; and closing and opening keep all that.
//!
//! `CAIRNLOG_POWERCUT_STATES` is how many states are looked at, `CAIRNLOG_SEED` gives the random
//! numbers, `CAIRNLOG_POWERCUT_CUT` repeats one cut that was reported. Files are written with the
//! counts, and with what the script `tool` does to each path, if `CAIRNLOG_POWERCUT_REPORT` and
//! `CAIRNLOG_POWERCUT_MODEL` name them.

mod check;
mod disk;
mod explore;
mod journal;
mod model;
mod session;
mod survival;
mod workloads;

use std::sync::atomic::Ordering;
use std::time::Instant;

use super::scene::Random;
use check::{Depth, check};
use explore::{Explorer, bases};
use session::Recorded;
use survival::Survival;
use workloads::{TOOL, WORKLOADS, pending_at, record, record_again, record_truncation};

/// States that are looked at unless the environment says otherwise.
const STATES: u64 = 20_000;
/// Cuts of each script that another one begins on.
const AGAIN: u64 = 4;

fn number_of(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().and_then(|text| text.parse().ok())
}

fn scripts() -> Vec<Recorded> {
    let mut scripts: Vec<_> = WORKLOADS.iter().map(record).collect();
    scripts.push(record_truncation());
    scripts
}

/// Repeats one cut: `script operation survival`, and for what began on what a cut left
/// `script operation survival > operation survival`, and so on.
fn repeat(cut: &str) {
    let mut parts = cut.split(" > ");
    let words: Vec<_> = parts.next().unwrap().split(' ').collect();
    let [name, step, how] = words[..] else { panic!("not a cut: {cut}") };
    let mut script = match WORKLOADS.iter().find(|workload| workload.name == name) {
        Some(workload) => record(workload),
        None => record_truncation(),
    };
    let (mut step, mut how): (usize, Survival) = (step.parse().unwrap(), how.parse().unwrap());
    for part in parts {
        script = record_again(&script, step, how).expect("the store opens");
        let (next, survival) = part.split_once(' ').unwrap();
        (step, how) = (next.parse().unwrap(), survival.parse().unwrap());
    }
    let pending = pending_at(&script, step);
    let (image, _) = pending.survive(how);
    let root = tempfile::tempdir().unwrap();
    let what = &script.journal.steps[step].what;
    if let Err(wrong) = check(root.path(), &image, &script, &pending.owed, Depth::Reopened) {
        panic!("{cut}, behind \"{what}\": {wrong}; {:#?}", pending.owed);
    }
}

/// Cuts the power behind every operation of every script, and of opening what earlier cuts left.
#[test]
#[allow(clippy::print_stdout, reason = "what was looked at, and how a failure is repeated")]
fn what_was_acknowledged_survives_every_power_cut() {
    if let Ok(cut) = std::env::var("CAIRNLOG_POWERCUT_CUT") {
        return repeat(&cut);
    }
    let begin = Instant::now();
    let seed = Random::seeded().0;
    let most = number_of("CAIRNLOG_POWERCUT_STATES").unwrap_or(STATES);
    let explorer = Explorer::new(seed);
    let first = scripts();
    let mut go_on = explorer.explore(&first, 0, most);
    let mut again = Vec::new();
    if go_on {
        // What opening does is cut, too: on what a cut left, and on what a cut of that left.
        again = record_all_again(&first, seed, AGAIN);
        again.extend(record_all_again(&again, seed, 1));
        go_on = explorer.explore(&again, 0, most);
    }
    let mut round = 1;
    while go_on {
        let before = explorer.states();
        go_on = explorer.explore(&again, round, most) && explorer.explore(&first, round, most);
        go_on &= explorer.states() > before;
        round += 1;
    }
    let failures = explorer.failures();
    let told: Vec<_> = failures
        .iter()
        .map(|failure| {
            format!(
                "\nCAIRNLOG_POWERCUT_CUT=\"{}\" (behind \"{}\"): {}; left in {:?}",
                failure.cut, failure.operation, failure.what, failure.left
            )
        })
        .collect();
    assert!(
        told.is_empty(),
        "CAIRNLOG_SEED={seed}: {} scripts failed{}",
        told.len(),
        told.concat()
    );
    let counts = &explorer.counts;
    let report = serde_json::json!({
        "seed": seed,
        "scripts": first.len(),
        "begun_on_cuts": again.len(),
        "operations": counts.operations.load(Ordering::SeqCst),
        "cuts": counts.cuts.load(Ordering::SeqCst),
        "states": counts.states.load(Ordering::SeqCst),
        "reopened": counts.reopened.load(Ordering::SeqCst),
        "rounds": round,
        "seconds": begin.elapsed().as_secs(),
        "failures": 0,
    });
    println!("power cuts: {report}");
    write_if_asked("CAIRNLOG_POWERCUT_REPORT", &report);
    let tool = first.iter().find(|script| script.name == TOOL).expect("there is one");
    write_if_asked("CAIRNLOG_POWERCUT_MODEL", &serde_json::json!(tool.journal.by_path()));
    assert!(explorer.states() > 1000, "hardly anything was looked at");
}

/// Writes what it is given into the file that a variable of the environment names.
fn write_if_asked(variable: &str, content: &serde_json::Value) {
    if let Some(path) = std::env::var_os(variable) {
        std::fs::write(path, format!("{content}\n")).unwrap();
    }
}

fn record_all_again(scripts: &[Recorded], seed: u64, each: u64) -> Vec<Recorded> {
    let bases = bases(scripts, seed, each);
    let again = bases
        .into_iter()
        .filter_map(|(script, step, how)| record_again(&scripts[script], step, how));
    again.collect()
}
