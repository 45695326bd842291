//! The key index against the log: chains, entries, and keys that are not found.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};

use cairnlog::{PROPERTY_KEYS, PROPERTY_UNIQUE_KEY, RecordView};

use super::finding::{Finding, Findings};
use super::usage::Usage;
use crate::commands::inspect::cannot_read;
use crate::failure::Outcome;
use crate::formats::index::{self, Chains, Entry, EntryReader, Geometry, IndexFile, key_hash};

/// Rolled back messages are not indexed.
const TRANSACTION_ROLLBACK: i32 = 0xC;

/// An entry with its place.
#[derive(Debug, Clone)]
struct Placed {
    entry: Entry,
    path: PathBuf,
    position: u64,
}

/// A file while its entries are read.
struct Reading {
    file: IndexFile,
    geometry: Geometry,
    entries: EntryReader,
    chains: Chains,
}

/// The index of a store while its log is walked.
pub(crate) struct IndexCheck {
    files: VecDeque<IndexFile>,
    foreign: Vec<PathBuf>,
    count: u64,
    reading: Option<Reading>,
    ahead: Option<Placed>,
    /// Problems of files, told once the walk reaches them.
    problems: Vec<Finding>,
    started: bool,
    entries: u64,
    usage: Usage,
}

impl IndexCheck {
    /// Lists the index files of a store.
    pub(crate) fn open(store: &Path, geometry: Option<Geometry>, usage: Usage) -> io::Result<Self> {
        let (paths, foreign) = index::files(store)?;
        let mut files = VecDeque::with_capacity(paths.len());
        for path in &paths {
            match IndexFile::open(path, geometry) {
                // Retention removed it since it was listed.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                opened => files.push_back(opened?),
            }
        }
        let mut check = Self {
            count: files.len() as u64,
            files,
            foreign,
            reading: None,
            ahead: None,
            problems: Vec::new(),
            started: false,
            entries: 0,
            usage,
        };
        check.ahead = check.next_entry()?;
        Ok(check)
    }

    /// The number of index files.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Holds a record's keys against the entries that point to it. Keys from before the first
    /// entry are not looked for: an index made again after a crash may begin later than the log.
    pub(crate) fn record(
        &mut self,
        record: &RecordView<'_>,
        damaged: bool,
        findings: &mut Findings,
    ) -> Outcome {
        if self.count == 0 {
            return Ok(());
        }
        let offset = record.physical_offset().to_i64();
        let mut pointing = Vec::new();
        while let Some(ahead) = self.ahead.as_ref().map(|ahead| ahead.entry.physical_offset) {
            if ahead > offset {
                break;
            }
            let Some(placed) = self.advance()? else {
                break;
            };
            if ahead == offset {
                pointing.push(placed);
            } else if self.started && !damaged {
                findings.add(no_record(&placed))?;
            }
        }
        for problem in self.problems.drain(..) {
            findings.add(problem)?;
        }
        if pointing.is_empty() && !self.started {
            return Ok(());
        }
        self.started = true;
        let hashes = key_hashes(record);
        for placed in &pointing {
            if !hashes.contains(&placed.entry.key_hash) {
                findings.add(
                    at(placed, "the entry has the hash of none of its record's keys")
                        .differs(format!("{hashes:?}"), placed.entry.key_hash),
                )?;
            }
        }
        // Behind the last entry an index that is still being written may lag.
        if self.ahead.is_none() && self.usage.may_lag() {
            return Ok(());
        }
        let absent = hashes
            .iter()
            .find(|hash| !pointing.iter().any(|placed| placed.entry.key_hash == **hash));
        if let Some(hash) = absent {
            findings.add(
                Finding::new(
                    "index_missing",
                    &format!("a key of the record at {offset} is not in the index"),
                )
                .differs(format!("an entry with hash {hash}"), "none"),
            )?;
        }
        Ok(())
    }

    /// Looks for entries behind the end of the log, once that was walked.
    pub(crate) fn finish(
        &mut self,
        damaged: bool,
        findings: &mut Findings,
        entries: &mut u64,
    ) -> Outcome {
        while let Some(placed) = self.advance()? {
            if !damaged {
                findings.add(no_record(&placed))?;
            }
        }
        for problem in self.problems.drain(..) {
            findings.add(problem)?;
        }
        for path in &self.foreign {
            findings.add(Finding::new("foreign_file", "this is no index file").path(path))?;
        }
        *entries = self.entries;
        Ok(())
    }

    /// Returns the entry ahead and reads the next one.
    fn advance(&mut self) -> Result<Option<Placed>, crate::failure::Failure> {
        let next = self.next_entry().map_err(cannot_read(Path::new("index")))?;
        Ok(std::mem::replace(&mut self.ahead, next))
    }

    fn next_entry(&mut self) -> io::Result<Option<Placed>> {
        loop {
            if self.reading.is_none() {
                let Some(file) = self.files.pop_front() else {
                    return Ok(None);
                };
                self.reading = self.begin(file)?;
                continue;
            }
            let Some(reading) = self.reading.as_mut() else {
                return Ok(None);
            };
            if let Some((number, entry)) = reading.entries.next()? {
                self.entries += 1;
                let placed = Placed {
                    entry,
                    path: reading.file.path.clone(),
                    position: reading.geometry.entry_position(number),
                };
                let previous = reading.chains.add(number, &entry);
                if previous != entry.previous {
                    self.problems.push(
                        at(&placed, "the entry's chain is broken")
                            .differs(previous, entry.previous),
                    );
                }
                return Ok(Some(placed));
            }
            if let Some(reading) = self.reading.take() {
                self.end(&reading)?;
            }
        }
    }

    fn begin(&mut self, file: IndexFile) -> io::Result<Option<Reading>> {
        let Some(geometry) = file.geometry else {
            // Slots that change while they are read fit nothing.
            if file.header.entries() > 0 && !self.usage.may_lag() {
                self.problems.push(
                    Finding::new("index_file", "no number of slots and entries fits this file")
                        .path(&file.path)
                        .differs("whole chains", format!("{} bytes", file.size)),
                );
            }
            return Ok(None);
        };
        if file.header.entries() >= geometry.items {
            self.problems.push(
                Finding::new("index_file", "the header counts more entries than fit")
                    .path(&file.path)
                    .offset(36)
                    .differs(format!("at most {}", geometry.items), file.header.index_count),
            );
        }
        let entries = file.entries(geometry)?;
        Ok(Some(Reading { chains: Chains::new(geometry), file, geometry, entries }))
    }

    /// Compares the slots with what the entries make of them. While a store is in use they move.
    fn end(&mut self, reading: &Reading) -> io::Result<()> {
        if self.usage.may_lag() {
            return Ok(());
        }
        let table = reading.file.slots(reading.geometry)?;
        if let Some((slot, expected, found)) = reading.chains.first_difference(&table) {
            self.problems.push(
                Finding::new("index_slot", "a slot does not name its newest entry")
                    .path(&reading.file.path)
                    .offset(Geometry::slot_position(slot))
                    .differs(expected, found),
            );
        }
        let used = reading.file.header.hash_slot_count;
        if used != reading.chains.used() {
            self.problems.push(
                Finding::new("index_file", "the header counts another number of used slots")
                    .path(&reading.file.path)
                    .offset(32)
                    .differs(reading.chains.used(), used),
            );
        }
        Ok(())
    }
}

fn at(placed: &Placed, what: &str) -> Finding {
    Finding::new("index_entry", what).path(&placed.path).offset(placed.position)
}

fn no_record(placed: &Placed) -> Finding {
    at(placed, "the entry points to no record")
        .differs("the beginning of a record", placed.entry.physical_offset)
}

/// The hashes a record is found by.
fn key_hashes(record: &RecordView<'_>) -> Vec<i32> {
    if record.sys_flag() & TRANSACTION_ROLLBACK == TRANSACTION_ROLLBACK {
        return Vec::new();
    }
    let topic = record.topic();
    let unique = record.property(PROPERTY_UNIQUE_KEY);
    let keys = record.property(PROPERTY_KEYS).unwrap_or_default();
    unique
        .iter()
        .map(AsRef::as_ref)
        .chain(keys.split(' ').filter(|key| !key.is_empty()))
        .map(|key| key_hash(&topic, key))
        .collect()
}
