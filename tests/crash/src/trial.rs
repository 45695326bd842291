//! One store and its writers, from the first to the last.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cairnlog::StoreOptions;

use crate::content::Bodies;
use crate::failure::{Failure, Kind, Result};
use crate::host::options_of;
use crate::life::{Stage, Usual, run_and_kill};
use crate::plan::{Language, LifePlan, StorePlan};
use crate::report::{Failed, Totals};
use crate::{Outcome, RunArguments, check};

/// What all stores of a run have in common.
pub(crate) struct Trial<'a> {
    arguments: &'a RunArguments,
    seed: u64,
    bodies: Bodies,
    own_program: PathBuf,
    pattern: PathBuf,
    /// The lives that are over: what does not grow any more hangs.
    pub(crate) lives: Arc<AtomicU64>,
}

/// The directories of one store.
struct Places {
    /// Holds the others.
    base: PathBuf,
    store: PathBuf,
    copy: PathBuf,
    errors: PathBuf,
}

impl Places {
    fn make(directory: &Path, number: u64) -> Result<Self> {
        let base = directory.join(format!("store-{number}"));
        if base.exists() {
            std::fs::remove_dir_all(&base)?;
        }
        std::fs::create_dir_all(&base)?;
        Ok(Self {
            store: base.join("store"),
            copy: base.join("copy"),
            errors: base.join("errors"),
            base,
        })
    }
}

impl<'a> Trial<'a> {
    pub(crate) fn new(arguments: &'a RunArguments, seed: u64) -> Outcome<Self> {
        let pattern = Bodies::pattern(seed);
        for directory in &arguments.directory {
            std::fs::create_dir_all(directory)?;
        }
        let first = arguments.directory.first().ok_or("there is no directory for stores")?;
        let path = first.join("pattern");
        std::fs::write(&path, &pattern)?;
        Ok(Self {
            arguments,
            seed,
            bodies: Bodies::new(pattern),
            own_program: std::env::current_exe()?,
            pattern: path,
            lives: Arc::default(),
        })
    }

    /// Takes a store through its lives. It is removed, unless something is wrong with it.
    pub(crate) fn run(&self, number: u64) -> Totals {
        let mut totals = Totals { stores: 1, ..Totals::default() };
        if let Err(failure) = self.run_store(number, &mut totals) {
            let text = failure.to_string();
            totals.failures.push(Failed { store: number, kind: failure.kind, text });
        }
        totals
    }

    fn run_store(&self, number: u64, totals: &mut Totals) -> Result<()> {
        let directories = &self.arguments.directory;
        let directory = directories
            .get(number as usize % directories.len().max(1))
            .ok_or_else(|| Failure::driver("there is no directory"))?;
        let places = Places::make(directory, number)?;
        let mut plan = StorePlan::new(self.seed, number);
        let options = options_of(&plan.options).map_err(|e| Failure::driver(e.to_string()))?;
        let mut facts = check::Facts::default();
        let mut usual = Usual::default();
        for life_number in 0..plan.lives {
            let life = plan.next_life(life_number);
            self.run_life(&plan, &life, &places, &mut facts, &mut usual, totals)
                .and_then(|()| self.check(&life, &places, &options, &mut facts, totals))
                .map_err(|failure| failure.and(&describe(&plan, &life, &places)))?;
            self.lives.fetch_add(1, Ordering::Relaxed);
        }
        std::fs::remove_dir_all(&places.base)?;
        Ok(())
    }

    fn command(&self, plan: &StorePlan, life: &LifePlan, places: &Places) -> Command {
        let mut command = match life.language {
            Language::Rust => {
                let mut command = Command::new(&self.own_program);
                command.arg("host");
                command
            }
            other => Command::new(self.arguments.hosts.join(other.name())),
        };
        command.args([&places.store, &self.pattern]);
        command.args([life.seed.to_string(), life.number.to_string(), life.threads.to_string()]);
        command.args([u8::from(plan.mode.waits).to_string(), life.close_after.to_string()]);
        command.args(&plan.options);
        if life.slowed {
            command.env("LD_PRELOAD", self.arguments.hosts.join("slow.so"));
        }
        command
    }

    fn run_life(
        &self,
        plan: &StorePlan,
        life: &LifePlan,
        places: &Places,
        facts: &mut check::Facts,
        usual: &mut Usual,
        totals: &mut Totals,
    ) -> Result<()> {
        if life.without_queues {
            for derived in ["consumequeue", "index"] {
                remove_if_there(&places.store.join(derived))?;
            }
        }
        let mut command = self.command(plan, life, places);
        let lived = run_and_kill(&mut command, life, usual, &places.errors)?;
        totals.kills += 1;
        *totals.kills_by_language.entry(life.language.name()).or_default() += 1;
        *totals.kills_by_mode.entry(plan.mode.name).or_default() += 1;
        *totals.kills_by_stage.entry(lived.reached.name()).or_default() += 1;
        totals.kills_slowed += u64::from(life.slowed);
        let opening = life.without_queues && lived.reached == Stage::Opening;
        totals.kills_opening_without_queues += u64::from(opening);
        totals.acknowledged += lived.acks.iter().map(|ack| ack.count).sum::<u64>();
        totals.promised += facts.promised(&lived, plan.mode.promise)?;
        Ok(())
    }

    /// Looks at the store as the kill left it, and as recovery makes it.
    fn check(
        &self,
        life: &LifePlan,
        places: &Places,
        options: &StoreOptions,
        facts: &mut check::Facts,
        totals: &mut Totals,
    ) -> Result<()> {
        let left = check::as_left(&places.store, &self.bodies)?;
        facts.check(&left).map_err(|failure| failure.and("as the kill left it"))?;
        let reopened = if life.reopened_in_place {
            &places.store
        } else {
            remove_if_there(&places.copy)?;
            copy_tree(&places.store, &places.copy)?;
            &places.copy
        };
        let (log, report) = check::reopened(reopened, options, &self.bodies)?;
        facts.check(&log).map_err(|failure| failure.and("after recovery"))?;
        if log.len() > left.len() {
            let text = format!("recovery made {} records of {}", log.len(), left.len());
            return Err(Failure::new(Kind::Order, text));
        }
        if life.reopened_in_place {
            facts.settle(&log)?;
        }
        check::verify(&self.arguments.tool, reopened)?;
        totals.verified += 1;
        totals.records_checked += (left.len() + log.len()) as u64;
        totals.torn_tails += u64::from(report.bytes_set_aside > 0);
        totals.bytes_set_aside += report.bytes_set_aside;
        Ok(())
    }
}

/// What a reader of a failure needs.
fn describe(plan: &StorePlan, life: &LifePlan, places: &Places) -> String {
    format!(
        "mode {}, life {} in {:?} of {} threads{}, killed while {:?}, {}; {}",
        plan.mode.name,
        life.number,
        life.language,
        life.threads,
        if life.slowed { ", slowed" } else { "" },
        life.moment,
        places.base.display(),
        plan.options.join(" ")
    )
}

fn remove_if_there(directory: &Path) -> Result<()> {
    if directory.exists() {
        std::fs::remove_dir_all(directory)?;
    }
    Ok(())
}

fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    if !from.exists() {
        return Ok(());
    }
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
