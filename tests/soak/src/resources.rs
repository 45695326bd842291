//! What a process holds, by `/proc`.

use std::fs;
use std::path::Path;

use serde::Serialize;

use crate::Outcome;

/// What the process holds at one moment.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Resources {
    /// Memory that is no file's.
    pub(crate) anonymous_kib: u64,
    /// Pages of mapped files that are in memory.
    pub(crate) file_kib: u64,
    pub(crate) threads: u64,
    pub(crate) descriptors: u64,
    /// Mappings of files of the store.
    pub(crate) mappings: u64,
    /// Bytes of the store's files.
    pub(crate) store_kib: u64,
}

impl Resources {
    /// Those of this process, whose store is in `directory`.
    pub(crate) fn now(directory: &Path) -> Outcome<Self> {
        let status = fs::read_to_string("/proc/self/status")?;
        let number = |name: &str| -> Outcome<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let word = line.and_then(|line| line.split_whitespace().next());
            Ok(word.ok_or_else(|| format!("/proc/self/status has no {name}"))?.parse()?)
        };
        let store = fs::canonicalize(directory)?;
        let store = store.to_string_lossy();
        let maps = fs::read_to_string("/proc/self/maps")?;
        Ok(Self {
            anonymous_kib: number("RssAnon:")?,
            file_kib: number("RssFile:")?,
            threads: number("Threads:")?,
            descriptors: fs::read_dir("/proc/self/fd")?.count() as u64,
            mappings: maps.lines().filter(|line| line.contains(&*store)).count() as u64,
            store_kib: file_bytes(directory)? / 1024,
        })
    }

    /// The numbers that have to stay bounded, by name.
    fn bounded(self) -> [(&'static str, u64); 5] {
        [
            ("KiB of memory that is no file's", self.anonymous_kib),
            ("threads", self.threads),
            ("descriptors", self.descriptors),
            ("mappings", self.mappings),
            ("KiB of files", self.store_kib),
        ]
    }
}

/// The bytes that the files in a directory take. Those that vanish meanwhile do not count.
fn file_bytes(directory: &Path) -> Outcome<u64> {
    use std::os::unix::fs::MetadataExt;
    let mut bytes = 0;
    let Ok(entries) = fs::read_dir(directory) else { return Ok(0) };
    for entry in entries {
        let Ok(metadata) =
            entry.as_ref().map_err(|_| ()).and_then(|e| e.metadata().map_err(|_| ()))
        else {
            continue;
        };
        bytes += match (entry, metadata.is_dir()) {
            (Ok(entry), true) => file_bytes(&entry.path())?,
            _ => metadata.blocks() * 512,
        };
    }
    Ok(bytes)
}

/// Fewer samples are not compared.
const LEAST_SAMPLES: usize = 300;

/// Keeps the samples that later ones are held to.
#[derive(Debug, Default)]
pub(crate) struct Bounds {
    samples: Vec<Resources>,
    /// What was left when the store was closed for the first time.
    closed: Option<Resources>,
}

/// Later samples may hold so much more than earlier ones: a tenth, and what a few more threads of
/// the load come to.
fn limit(name: &str, early: u64) -> u64 {
    let slack = match name {
        "KiB of memory that is no file's" => 8192,
        "KiB of files" => 32 << 10,
        _ => 8,
    };
    early + early / 10 + slack
}

impl Bounds {
    /// Takes a sample of an open store.
    pub(crate) fn add(&mut self, sample: Resources) {
        self.samples.push(sample);
    }

    /// A closed store must have left nothing behind.
    pub(crate) fn closed(&mut self, now: Resources) -> Outcome<()> {
        let first = *self.closed.get_or_insert(now);
        if now.mappings > 0 {
            return Err(format!("a closed store left {} mappings", now.mappings).into());
        }
        for (what, then, now) in [
            ("threads", first.threads, now.threads),
            ("descriptors", first.descriptors, now.descriptors),
        ] {
            if now > then {
                return Err(format!("a closed store left {what}: {now}, at first {then}").into());
            }
        }
        Ok(())
    }

    /// The largest of the last half of the samples against those of the first. False if there are
    /// too few to compare: which files there are just then counts more than anything else.
    pub(crate) fn check(&self) -> Outcome<bool> {
        let count = self.samples.len();
        if count < LEAST_SAMPLES {
            return Ok(false);
        }
        let largest = |samples: &[Resources]| {
            samples
                .iter()
                .map(|sample| sample.bounded())
                .reduce(|most, next| std::array::from_fn(|i| (most[i].0, most[i].1.max(next[i].1))))
        };
        let early = largest(self.samples.get(..count / 2).unwrap_or_default());
        let late = largest(self.samples.get(count / 2..).unwrap_or_default());
        let (Some(early), Some(late)) = (early, late) else {
            return Ok(false);
        };
        for ((name, early), (_, late)) in early.into_iter().zip(late) {
            if late > limit(name, early) {
                return Err(format!("{name} grow: {early} at first, {late} later").into());
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds(descriptors: impl Fn(u64) -> u64) -> Bounds {
        let mut bounds = Bounds::default();
        for number in 0..400 {
            bounds.add(Resources { descriptors: descriptors(number), ..Resources::default() });
        }
        bounds
    }

    #[test]
    fn what_grows_is_found() {
        assert!(bounds(|number| 50 + number % 8).check().is_ok_and(|judged| judged));
        let error = bounds(|number| 50 + number).check().unwrap_err().to_string();
        assert_eq!(error, "descriptors grow: 249 at first, 449 later");
    }

    #[test]
    fn what_a_closed_store_leaves_is_found() {
        let mut bounds = Bounds::default();
        let now = Resources { threads: 2, descriptors: 5, ..Resources::default() };
        assert!(bounds.closed(now).is_ok());
        assert!(bounds.closed(Resources { descriptors: 6, ..now }).is_err());
        assert!(bounds.closed(Resources { threads: 3, ..now }).is_err());
        assert!(bounds.closed(Resources { mappings: 1, ..now }).is_err());
        assert!(bounds.closed(now).is_ok());
    }
}
