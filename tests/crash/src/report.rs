//! The figures of a run.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::failure::Kind;

/// A store that was wrong.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Failed {
    pub(crate) store: u64,
    pub(crate) kind: Kind,
    pub(crate) text: String,
}

/// What was done and found, in one store or in all.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Totals {
    pub(crate) stores: u64,
    pub(crate) kills: u64,
    pub(crate) kills_by_language: BTreeMap<&'static str, u64>,
    pub(crate) kills_by_mode: BTreeMap<&'static str, u64>,
    /// What the writer was doing when it was killed.
    pub(crate) kills_by_stage: BTreeMap<&'static str, u64>,
    /// Of writers whose writes and syncs were drawn out.
    pub(crate) kills_slowed: u64,
    /// Of those that were opening: how many found no queues and built them again.
    pub(crate) kills_opening_without_queues: u64,
    /// Messages of all acknowledgements.
    pub(crate) acknowledged: u64,
    /// Messages of those that had to survive.
    pub(crate) promised: u64,
    /// Records that were read and compared, after each kill all of them.
    pub(crate) records_checked: u64,
    /// Stores that had a record cut short at their end.
    pub(crate) torn_tails: u64,
    pub(crate) bytes_set_aside: u64,
    pub(crate) verified: u64,
    pub(crate) failures: Vec<Failed>,
}

/// The file that a run leaves.
#[derive(Serialize)]
pub(crate) struct Report<'a> {
    command: &'static str,
    seed: u64,
    seconds: f64,
    #[serde(flatten)]
    totals: &'a Totals,
    found: BTreeMap<Kind, usize>,
}

impl Totals {
    pub(crate) fn add(&mut self, other: Self) {
        self.stores += other.stores;
        self.kills += other.kills;
        add_each(&mut self.kills_by_language, other.kills_by_language);
        add_each(&mut self.kills_by_mode, other.kills_by_mode);
        add_each(&mut self.kills_by_stage, other.kills_by_stage);
        self.kills_slowed += other.kills_slowed;
        self.kills_opening_without_queues += other.kills_opening_without_queues;
        self.acknowledged += other.acknowledged;
        self.promised += other.promised;
        self.records_checked += other.records_checked;
        self.torn_tails += other.torn_tails;
        self.bytes_set_aside += other.bytes_set_aside;
        self.verified += other.verified;
        self.failures.extend(other.failures);
    }

    fn found(&self, kind: Kind) -> usize {
        self.failures.iter().filter(|failure| failure.kind == kind).count()
    }

    pub(crate) fn report(&self, seed: u64, took: Duration) -> Report<'_> {
        Report {
            command: "crash",
            seed,
            seconds: (took.as_secs_f64() * 10.0).round() / 10.0,
            totals: self,
            found: Kind::ALL.into_iter().map(|kind| (kind, self.found(kind))).collect(),
        }
    }

    pub(crate) fn text(&self, seed: u64, took: Duration) -> String {
        let each = |counts: &BTreeMap<&str, u64>| {
            let texts: Vec<_> = counts.iter().map(|(name, n)| format!("{n} {name}")).collect();
            texts.join(", ")
        };
        format!(
            "crash: seed {seed}: {} kills of {} stores in {:.0} s ({}; {})\n\
             crash: {} messages acknowledged, {} of them had to survive; {} records compared, \
             {} torn tails\n\
             crash: {} acknowledged lost, {} wrong bytes, {} gaps, {} reused, {} other failures",
            self.kills,
            self.stores,
            took.as_secs_f64(),
            each(&self.kills_by_language),
            each(&self.kills_by_stage),
            self.acknowledged,
            self.promised,
            self.records_checked,
            self.torn_tails,
            self.found(Kind::AcknowledgedLost),
            self.found(Kind::WrongBytes),
            self.found(Kind::QueueGap),
            self.found(Kind::Reused),
            self.failures.len()
                - [Kind::AcknowledgedLost, Kind::WrongBytes, Kind::QueueGap, Kind::Reused]
                    .into_iter()
                    .map(|kind| self.found(kind))
                    .sum::<usize>(),
        )
    }
}

fn add_each(sum: &mut BTreeMap<&'static str, u64>, more: BTreeMap<&'static str, u64>) {
    for (name, count) in more {
        *sum.entry(name).or_default() += count;
    }
}
