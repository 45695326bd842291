//! Every target over the inputs that are kept, and over some thousand more that a generator makes
//! of them: what `make test` does of fuzzing, on the stable compiler.
//!
//! - `CAIRNLOG_FUZZ_SEED`: the generator's seed. A failure says with which one it comes again.
//! - `CAIRNLOG_FUZZ_INPUTS`: how many inputs it makes for each target, in hundredths of the usual.
#![allow(missing_docs, clippy::print_stdout, reason = "a test")]

use std::collections::BTreeMap;
use std::fmt::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cairnlog_fuzz_bodies::mutate::{Random, mutated};
use cairnlog_fuzz_bodies::{TARGETS, Target, abi, panics};

const SEED: u64 = 2026;
/// An input that takes longer hangs.
const MAX_TIME: Duration = Duration::from_secs(60);
/// Of the whole process, at any time, in KiB: no input may make it take memory at will.
const MAX_MEMORY_KIB: u64 = 1 << 20;
/// The threads that run targets see their panics themselves.
const OWN_THREADS: &str = "target";

/// How many inputs are made for a target: those that open stores take a thousand times as long.
fn inputs(target: &str) -> u64 {
    let usual = match target {
        "recovery" | "queues" => 150,
        "abi" => 300,
        "state" => 10_000,
        _ => 40_000,
    };
    usual * number("CAIRNLOG_FUZZ_INPUTS", 100) / 100
}

fn number(variable: &str, otherwise: u64) -> u64 {
    let text = std::env::var(variable).ok().filter(|text| !text.is_empty());
    text.map_or(otherwise, |text| text.parse().expect("a number"))
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The inputs in a directory, with their paths.
fn kept(kind: &str, target: &str) -> BTreeMap<PathBuf, Vec<u8>> {
    let directory = root().join(kind).join(target);
    let Ok(entries) = std::fs::read_dir(&directory) else {
        return BTreeMap::new();
    };
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let inputs = paths.filter(|path| path.extension().is_none_or(|ending| ending != "md"));
    inputs.map(|path| (path.clone(), std::fs::read(path).expect("an input"))).collect()
}

/// Watches that inputs end.
#[derive(Default)]
struct Watch {
    since: Mutex<BTreeMap<&'static str, (Instant, Vec<u8>)>>,
    ended: AtomicBool,
}

impl Watch {
    fn run(&self) {
        while !self.ended.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(200));
            for (target, (since, input)) in self.since.lock().expect("a lock").iter() {
                if since.elapsed() > MAX_TIME {
                    println!("{target} hangs: {}", save(target, input).display());
                    std::process::exit(1);
                }
            }
        }
    }
}

/// Keeps an input that failed.
fn save(target: &str, input: &[u8]) -> PathBuf {
    let directory = root().join("artifacts").join(target);
    std::fs::create_dir_all(&directory).expect("a directory");
    let hash = input.iter().fold(0xCBF2_9CE4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01B3)
    });
    let path = directory.join(format!("short-{hash:016x}"));
    std::fs::write(&path, input).expect("a file");
    path
}

/// Runs a target over an input; what went wrong, if something did.
fn run(watch: &Watch, (name, target): Target, input: &[u8]) -> Result<(), String> {
    watch.since.lock().expect("a lock").insert(name, (Instant::now(), input.to_vec()));
    let outcome = catch_unwind(AssertUnwindSafe(|| target(input)));
    watch.since.lock().expect("a lock").remove(name);
    let elsewhere = panics::take();
    match outcome {
        Ok(()) => elsewhere.map_or(Ok(()), Err),
        Err(_) => Err(panics::own()),
    }
}

/// All inputs of a target; how many there were, or what went wrong with one.
fn run_all(watch: &Watch, target: Target, seed: u64) -> Result<u64, String> {
    let name = target.0;
    let seeds = kept("seeds", name);
    assert!(!seeds.is_empty(), "{name} has no seeds");
    let found = kept("found", name);
    for (path, input) in seeds.iter().chain(&found) {
        if let Err(what) = run(watch, target, input) {
            return Err(format!("{name} fails on {}: {what}", path.display()));
        }
    }
    let inputs: Vec<Vec<u8>> = seeds.values().chain(found.values()).cloned().collect();
    // A generator for each target, so that one can be run alone.
    let mut random = Random::new(
        name.bytes().fold(seed, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte))),
    );
    let made = self::inputs(name);
    for _ in 0..made {
        let input = mutated(&mut random, &inputs);
        if let Err(what) = run(watch, target, &input) {
            let path = save(name, &input);
            return Err(format!("{name} fails with seed {seed} on {}: {what}", path.display()));
        }
    }
    Ok(inputs.len() as u64 + made)
}

/// The most memory that this process had at a time, in KiB.
fn memory_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[test]
fn every_target_holds_over_kept_and_made_inputs() {
    let seed = number("CAIRNLOG_FUZZ_SEED", SEED);
    // The C ABI takes the hook over at its first call.
    abi::run(&[]);
    panics::watch(OWN_THREADS);
    let watch = Watch::default();
    let (counts, failures) = (Mutex::new(BTreeMap::new()), Mutex::new(Vec::new()));
    // What panics on other threads can only come from the targets that open stores, so those run
    // one after the other.
    let opens = |target: &Target| ["abi", "queues", "recovery"].contains(&target.0);
    let started = Instant::now();
    let work = |targets: Vec<Target>| {
        for target in targets {
            match run_all(&watch, target, seed) {
                Ok(count) => {
                    counts.lock().expect("a lock").insert(target.0, count);
                }
                Err(what) => failures.lock().expect("a lock").push(what),
            }
        }
    };
    let parts: [Vec<Target>; 2] = [
        TARGETS.into_iter().filter(|target| opens(target)).collect(),
        TARGETS.into_iter().filter(|target| !opens(target)).collect(),
    ];
    std::thread::scope(|scope| {
        let guard = scope.spawn(|| watch.run());
        let work = &work;
        let threads: Vec<_> = parts
            .into_iter()
            .map(|targets| {
                let named = std::thread::Builder::new().name(OWN_THREADS.to_owned());
                named.spawn_scoped(scope, move || work(targets)).expect("a thread")
            })
            .collect();
        let outcomes: Vec<_> = threads.into_iter().map(|thread| thread.join()).collect();
        watch.ended.store(true, Ordering::Relaxed);
        guard.join().expect("the watch");
        assert!(outcomes.iter().all(Result::is_ok), "a seed is missing: {outcomes:?}");
    });
    panics::watch_no_more();
    let failures = failures.into_inner().expect("a lock");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    let memory = memory_kib();
    assert!(memory.is_none_or(|memory| memory < MAX_MEMORY_KIB), "{memory:?} KiB");
    let counts = counts.into_inner().expect("a lock");
    tell(seed, &counts, started.elapsed(), memory);
}

/// Prints what was done, and keeps it beside the figures of the other commands.
fn tell(seed: u64, counts: &BTreeMap<&str, u64>, took: Duration, memory: Option<u64>) {
    let total: u64 = counts.values().sum();
    println!("fuzz: {total} inputs in {:.1} s, seed {seed}: {counts:?}", took.as_secs_f64());
    let mut json = format!("{{\n  \"seed\": {seed},\n  \"inputs\": {{");
    for (index, (target, count)) in counts.iter().enumerate() {
        let comma = if index > 0 { "," } else { "" };
        write!(json, "{comma}\n    \"{target}\": {count}").expect("text");
    }
    let (seconds, memory) = (took.as_secs_f64(), memory.unwrap_or(0));
    write!(json, "\n  }},\n  \"seconds\": {seconds:.1},\n  \"memory_kib\": {memory}\n}}\n")
        .expect("text");
    if let Some(directory) = std::env::var_os("CARGO_TARGET_DIR") {
        let path = PathBuf::from(directory).join("fuzz-short.json");
        std::fs::write(path, json).expect("a file");
    }
}
