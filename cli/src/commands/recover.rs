//! `recover`: what opening does after a crash, as a report or for real.

use cairnlog::{DamagePolicy, RecoveryReport, Status, Store, StoreOptions};
use serde::Serialize;

use crate::arguments::Recover;
use crate::failure::{Failure, Outcome};
use crate::open;
use crate::output::Output;

/// Runs the command.
pub(crate) fn run(command: &Recover, mut options: StoreOptions) -> Outcome {
    if command.truncate {
        options.damage_policy = DamagePolicy::Truncate;
    }
    let report = if command.dry_run {
        Store::plan_recovery(&command.dir, &options)
    } else {
        open::maintained(&command.dir, &options).and_then(|store| {
            let report = store.recovery_report().clone();
            store.close().map(|()| report)
        })
    };
    let report = report.map_err(|error| match error.status() {
        Status::Corruption if !command.truncate => Failure::Failed(format!(
            "{error} (--truncate cuts the log there and keeps what is cut in lost+found)"
        )),
        _ => Failure::from(error),
    })?;
    let mut output = Output::new();
    if command.json {
        output.json(&ReportJson::new(&report, command.dry_run))?;
    } else {
        print(&mut output, &report, command.dry_run)?;
    }
    output.flush()
}

#[derive(Debug, Serialize)]
struct ReportJson {
    dry_run: bool,
    clean_stop: bool,
    files: u64,
    records: u64,
    min_offset: u64,
    end_offset: u64,
    damage: Option<String>,
    bytes_set_aside: u64,
    set_aside: Option<String>,
    files_removed: u64,
    duration_ms: f64,
}

impl ReportJson {
    fn new(report: &RecoveryReport, dry_run: bool) -> Self {
        Self {
            dry_run,
            clean_stop: report.clean_stop,
            files: report.files,
            records: report.records,
            min_offset: report.min_offset.get(),
            end_offset: report.end_offset.get(),
            damage: report.damage.clone(),
            bytes_set_aside: report.bytes_set_aside,
            set_aside: report.set_aside.as_ref().map(|path| path.display().to_string()),
            files_removed: report.files_removed,
            duration_ms: report.duration.as_secs_f64() * 1e3,
        }
    }
}

fn print(output: &mut Output, report: &RecoveryReport, dry_run: bool) -> Outcome {
    let stop = if report.clean_stop { "the store was closed" } else { "the store was not closed" };
    output.line(format!("last stop:       {stop}"))?;
    output.line(format!("log files:       {}", report.files))?;
    output.line(format!("records walked:  {}", report.records))?;
    output.line(format!("log:             from {} to {}", report.min_offset, report.end_offset))?;
    if let Some(damage) = &report.damage {
        output.line(format!("found there:     {damage}"))?;
    }
    let (set_aside, removed) =
        if dry_run { ("would set aside", "would remove") } else { ("set aside", "removed") };
    let place = match &report.set_aside {
        Some(path) => format!(" in {}", path.display()),
        None => String::new(),
    };
    output.line(format!(
        "behind the end:  {set_aside} {} bytes{place}, {removed} {} files",
        report.bytes_set_aside, report.files_removed
    ))?;
    output.line(format!("took:            {:.1?}", report.duration))
}
