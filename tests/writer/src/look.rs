//! Opens damaged stores and tells what is kept of them.
//!
//! Each line of the standard input is a JSON object: `root`, a directory that is used up; `probes`,
//! offset and size of each record that was in it before it was damaged; `segment`, the size of a
//! log file. Each line of the standard output tells of one directory, in any order:
//!
//! * `root`, and `panicked` or `failed` if something did not go on;
//! * `opened`, what [`Kept`] says of a store that opened as it was;
//! * or `refused`, the status; `said`, the text; `changed`, files that differ afterwards though
//!   opening failed; `read`, what readers that change nothing find of each probe; and then `cut`,
//!   what is kept when opening is told to cut, or `cut_refused`, the status.
//!
//! When reading some index failed, `rebuilt` has the queues as they are built again once they were
//! removed, or is null: the log, which is read whole then, is damaged.
//! A record is told of by the CRC-32 of its bytes, or null; an index whose reading fails by -1.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use cairnlog::{
    DamagePolicy, LogEntry, LogReader, Message, PhysicalOffset, ReadRequest, Status, Store,
    StoreOptions,
};
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::Outcome;
use crate::scenarios::small_files;

/// A damaged queue may claim any length.
const MAX_INDEXES: u64 = 20_000;
/// The topic of the message that is appended to a store once it was looked at.
const AFTERWARDS: &str = "afterwards";
/// Directories looked at side by side: syncs are waited for.
const THREADS: usize = 4;

/// Looks at the directories that the standard input names.
pub(crate) fn look() -> Outcome<()> {
    // A panic is told of in the line of its store.
    std::panic::set_hook(Box::new(|_| {}));
    let lines = Mutex::new(BufReader::new(std::io::stdin()).lines());
    let outcomes: Vec<Result<(), String>> = std::thread::scope(|scope| {
        let work = || -> Result<(), String> {
            loop {
                let Some(line) = lines.lock().next() else {
                    return Ok(());
                };
                let told = look_at(&line.map_err(|error| error.to_string())?);
                let told = told.map_err(|error| error.to_string())?;
                writeln!(std::io::stdout().lock(), "{told}").map_err(|error| error.to_string())?;
            }
        };
        let threads: Vec<_> = (1..THREADS).map(|_| scope.spawn(work)).collect();
        let mut outcomes = vec![work()];
        let failed = |_| Err("a thread panicked".to_owned());
        outcomes.extend(threads.into_iter().map(|thread| thread.join().unwrap_or_else(failed)));
        outcomes
    });
    outcomes.into_iter().collect::<Result<(), String>>().map_err(Into::into)
}

fn look_at(line: &str) -> Outcome<Value> {
    let asked: Value = serde_json::from_str(line)?;
    let case = Case {
        root: PathBuf::from(asked["root"].as_str().ok_or("no root")?),
        probes: serde_json::from_value(asked["probes"].clone())?,
        segment_bytes: asked["segment"].as_u64().ok_or("no segment")?,
    };
    let told = catch_unwind(AssertUnwindSafe(|| case.look()));
    let mut told = match told {
        Ok(Ok(told)) => told,
        Ok(Err(error)) => json!({"failed": error.to_string()}),
        Err(cause) => {
            let text = cause.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| cause.downcast_ref::<&str>().copied());
            json!({"panicked": text.unwrap_or("with something else than text")})
        }
    };
    told["root"] = json!(case.root);
    Ok(told)
}

/// One directory.
struct Case {
    root: PathBuf,
    /// Offset and size.
    probes: Vec<(u64, u64)>,
    segment_bytes: u64,
}

impl Case {
    fn look(&self) -> Outcome<Value> {
        let mut options = small_files();
        // Nothing is to be appended but what this program appends.
        options.schedule_enable = false;
        options.create_if_missing = false;
        let before = contents(&self.root)?;
        let error = match Store::open(&self.root, &options) {
            Ok(store) => return Ok(json!({"opened": self.kept(store, &options)?})),
            Err(error) => error,
        };
        let mut told = json!({
            "refused": error.status().name(),
            "said": error.to_string(),
            "changed": differing(&before, &contents(&self.root)?),
            "read": self.read()?,
        });
        options.damage_policy = DamagePolicy::Truncate;
        match Store::open(&self.root, &options) {
            Ok(store) => told["cut"] = self.kept(store, &options)?,
            Err(error) => told["cut_refused"] = json!(error.status().name()),
        }
        Ok(told)
    }

    /// What an open store holds, what it set aside, and whether it goes on after that.
    fn kept(&self, store: Store, options: &StoreOptions) -> Outcome<Value> {
        let report = store.recovery_report().clone();
        let mut complaints = Vec::new();
        let kept: Vec<Option<u32>> = self.probes.iter().map(|&probe| at(&store, probe)).collect();
        let (scanned, stopped) = scan(&store);
        let queues = queues(&store, &mut complaints)?;
        let end = store.max_offset();
        let placed = store.append(&Message::new(AFTERWARDS, b"goes on").queue_id(0))?;
        store.close()?;
        let again = Store::open(&self.root, options)?;
        let appended = again.read_at(placed.physical_offset).map(|message| message.body().to_vec());
        if appended.as_deref().unwrap_or_default() != b"goes on" {
            complaints.push("what was appended is not there after opening again".to_owned());
        }
        if again.max_offset() != placed.end_offset() {
            let (expected, found) = (placed.end_offset(), again.max_offset());
            complaints.push(format!("opened again it ends at {found}, not at {expected}"));
        }
        again.close()?;
        let rebuilt = match queues.iter().any(has_error) {
            true => self.rebuilt(options)?,
            false => Some(Vec::new()),
        };
        Ok(json!({
            "min": report.min_offset.get(),
            "end": end.get(),
            "damage": report.damage,
            "kept": kept,
            "scanned": scanned,
            "stopped": stopped,
            "queues": queues,
            "rebuilt": rebuilt,
            "lost_and_found": self.set_aside()?,
            "complaints": complaints,
        }))
    }

    /// The queues after they were removed and the store was opened again; `None` if the log is
    /// damaged.
    fn rebuilt(&self, options: &StoreOptions) -> Outcome<Option<Vec<Value>>> {
        fs::remove_dir_all(self.root.join("consumequeue"))?;
        let store = match Store::open(&self.root, options) {
            Err(error) if error.status() == Status::Corruption => return Ok(None),
            opened => opened?,
        };
        let queues = queues(&store, &mut Vec::new())?;
        store.close()?;
        Ok(Some(queues))
    }

    /// What is in `lost+found` of each probe.
    fn set_aside(&self) -> Outcome<Vec<Option<u32>>> {
        let mut found = vec![None; self.probes.len()];
        let Ok(entries) = fs::read_dir(self.root.join("lost+found")) else {
            return Ok(found);
        };
        for entry in entries {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let start = name.strip_prefix("commitlog-").and_then(|rest| rest.split('.').next());
            let start: u64 = start.ok_or("a strange name in lost+found")?.parse()?;
            let bytes = fs::read(&path)?;
            for (slot, &(offset, size)) in found.iter_mut().zip(&self.probes) {
                let from = offset.checked_sub(start).and_then(|from| usize::try_from(from).ok());
                let Some(part) = from.and_then(|from| bytes.get(from..)) else {
                    continue;
                };
                // The copy ends with the last byte that is not zero; a record may end in zeros.
                let mut record = part.to_vec();
                record.resize(size as usize, 0);
                *slot = Some(crc32fast::hash(&record));
            }
        }
        Ok(found)
    }

    /// What a reader that changes nothing finds of each probe. Files that fit no log are passed
    /// over, and a log with gaps is read in parts, each by itself.
    fn read(&self) -> Outcome<Vec<Option<u32>>> {
        let mut seen = BTreeMap::new();
        for part in self.parts()? {
            let directory = self.root.join("part");
            fs::create_dir(&directory)?;
            for path in part {
                fs::hard_link(&path, directory.join(path.file_name().unwrap_or_default()))?;
            }
            let mut options = small_files();
            options.commit_log_paths = vec![directory.clone()];
            let reader = LogReader::open_with(&self.root, &options)?;
            // Damage is an error, behind which they go on.
            for entry in reader.entries(reader.min_offset()).flatten() {
                if let LogEntry::Message(message) = entry {
                    let bytes = message.bytes();
                    let place = (message.physical_offset().get(), bytes.len() as u64);
                    seen.insert(place, crc32fast::hash(bytes));
                }
            }
            fs::remove_dir_all(&directory)?;
        }
        Ok(self.probes.iter().map(|probe| seen.get(probe).copied()).collect())
    }

    /// The files of the log that have their name and size, in runs without a gap.
    fn parts(&self) -> Outcome<Vec<Vec<PathBuf>>> {
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(self.root.join("commitlog")).into_iter().flatten() {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let metadata = entry.metadata()?;
            let start = name.parse::<u64>().ok().filter(|_| name.len() == 20);
            if let Some(start) = start
                && metadata.is_file()
                && metadata.len() == self.segment_bytes
                && start % self.segment_bytes == 0
            {
                files.insert(start, entry.path());
            }
        }
        let mut parts: Vec<Vec<PathBuf>> = Vec::new();
        let mut next = None;
        for (start, path) in files {
            match parts.last_mut().filter(|_| next == Some(start)) {
                Some(part) => part.push(path),
                None => parts.push(vec![path]),
            }
            next = start.checked_add(self.segment_bytes);
        }
        Ok(parts)
    }
}

/// The CRC-32 of the record at a place, if there is one of that size.
fn at(store: &Store, (offset, size): (u64, u64)) -> Option<u32> {
    let message = store.read_at(PhysicalOffset::new(offset)).ok()?;
    let bytes = message.bytes();
    (bytes.len() as u64 == size).then(|| crc32fast::hash(bytes))
}

/// Offset and CRC-32 of each record of the log, and what a scan stopped with in front of its end.
fn scan(store: &Store) -> (Vec<(u64, u32)>, Option<String>) {
    let mut records = Vec::new();
    let messages = match store.scan(store.min_offset()) {
        Ok(messages) => messages,
        Err(error) => return (records, Some(error.to_string())),
    };
    for message in messages {
        match message {
            Ok(message) => {
                let offset = message.physical_offset().get();
                records.push((offset, crc32fast::hash(message.bytes())));
            }
            Err(error) => return (records, Some(error.to_string())),
        }
    }
    (records, None)
}

/// What each index of each queue leads to.
fn queues(store: &Store, complaints: &mut Vec<String>) -> Outcome<Vec<Value>> {
    let mut told = Vec::new();
    for topic in store.topics()? {
        for queue in store.queues_of(&topic)? {
            let Some(range) = store.queue_range(&topic, queue)? else {
                continue;
            };
            let (min, max) = (range.start.get(), range.end.get());
            if max - min > MAX_INDEXES {
                complaints.push(format!("{topic}/{queue} goes from {min} to {max}"));
            }
            let indexes = min..max.min(min + MAX_INDEXES);
            let found: Vec<_> =
                indexes.map(|index| index_of(store, &topic, queue, index)).collect();
            told.push(
                json!({"topic": topic, "queue": queue, "min": min, "max": max, "found": found}),
            );
        }
    }
    Ok(told)
}

/// Whether reading some index of a queue failed.
fn has_error(queue: &Value) -> bool {
    queue["found"].as_array().is_some_and(|found| found.contains(&json!(-1)))
}

/// The CRC-32 of what one index leads to; -1 for an error, null for nothing. A read passes over an
/// index that no message has.
fn index_of(store: &Store, topic: &str, queue: i32, index: u64) -> Option<i64> {
    let request = ReadRequest::new(topic, queue, i64::try_from(index).ok()?).max_messages(1);
    match store.read(&request) {
        Ok(batch) => {
            let found = batch.messages().first();
            let found = found.filter(|message| message.queue_offset().get() == index);
            found.map(|message| crc32fast::hash(message.bytes()).into())
        }
        Err(_) => Some(-1),
    }
}

/// Path, length and CRC-32 of every file that a refusal must leave alone.
fn contents(root: &Path) -> Outcome<BTreeMap<PathBuf, (usize, u32)>> {
    let mut all = BTreeMap::new();
    let mut directories = vec![root.to_path_buf()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory)? {
            let entry = entry?;
            let path = entry.path();
            if entry.file_type()?.is_dir() {
                directories.push(path);
            } else if path != root.join("lock") {
                let bytes = fs::read(&path)?;
                all.insert(path, (bytes.len(), crc32fast::hash(&bytes)));
            }
        }
    }
    Ok(all)
}

fn differing<V: PartialEq>(
    before: &BTreeMap<PathBuf, V>,
    after: &BTreeMap<PathBuf, V>,
) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> =
        before.iter().filter(|(path, value)| after.get(*path) != Some(value)).map(clone).collect();
    paths.extend(after.iter().filter(|(path, _)| !before.contains_key(*path)).map(clone));
    paths
}

fn clone<V>((path, _): (&PathBuf, V)) -> PathBuf {
    path.clone()
}
