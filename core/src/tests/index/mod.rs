//! The key index: bytes, look-ups, failing disks, kills, power cuts and damaged files.

mod damage;
mod faults;
mod format;
mod geometry;
mod model;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::fault_disk::FaultDisk;
use super::scene::Random;
use crate::Result;
use crate::index::{Index, IndexRecord, IndexSettings, KeyQuery};

/// A record of some log, as far as the index is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    topic: String,
    unique_key: Option<String>,
    keys: String,
    offset: u64,
    time_ms: i64,
}

impl Row {
    fn record(&self) -> IndexRecord<'_> {
        IndexRecord {
            topic: self.topic.as_str().into(),
            unique_key: self.unique_key.as_deref().map(Into::into),
            keys: self.keys.as_str().into(),
            physical_offset: self.offset,
            store_timestamp_ms: self.time_ms,
        }
    }

    fn all_keys(&self) -> Vec<&str> {
        let keys = self.keys.split(' ').filter(|key| !key.is_empty());
        self.unique_key.as_deref().into_iter().chain(keys).collect()
    }

    fn has(&self, topic: &str, key: &str) -> bool {
        self.topic == topic && self.all_keys().contains(&key)
    }
}

/// Puts rows in one call.
fn put(index: &Index, rows: &[Row]) -> Result<()> {
    let mut keys = Vec::new();
    rows.iter().for_each(|row| row.record().keyed(&mut keys));
    index.put(&keys)
}

/// A directory with an index on a faulty disk.
struct Place {
    directory: tempfile::TempDir,
    disk: FaultDisk,
    settings: IndexSettings,
}

impl Place {
    fn new(slots: u32, entries: u32) -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            disk: FaultDisk::default(),
            settings: IndexSettings { slots, entries },
        }
    }

    fn open(&self) -> Index {
        self.try_open().unwrap()
    }

    fn try_open(&self) -> Result<Index> {
        Index::open(Arc::new(self.disk.clone()), self.directory.path(), self.settings)
    }

    fn files(&self) -> Vec<PathBuf> {
        let Ok(entries) = std::fs::read_dir(self.directory.path().join("index")) else {
            return Vec::new();
        };
        let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }

    /// The bytes of all files, in order of their names.
    fn bytes(&self) -> Vec<Vec<u8>> {
        self.files().iter().map(|path| std::fs::read(path).unwrap()).collect()
    }

    /// A place of its own with the files of an index directory.
    fn copy_of(&self, index: &Path) -> Self {
        let copy = Self::new(self.settings.slots, self.settings.entries);
        let target = copy.directory.path().join("index");
        std::fs::create_dir(&target).unwrap();
        if index.exists() {
            for entry in std::fs::read_dir(index).unwrap() {
                let path = entry.unwrap().path();
                std::fs::copy(&path, target.join(path.file_name().unwrap())).unwrap();
            }
        }
        copy
    }

    fn copy(&self) -> Self {
        self.copy_of(&self.directory.path().join("index"))
    }
}

/// Where records may lie that have the key, whatever their time.
fn candidates(index: &Index, topic: &str, key: &str, begin_ms: i64, end_ms: i64) -> Vec<u64> {
    let mut found = Vec::new();
    let query = KeyQuery { topic, key, begin_ms, end_ms };
    index
        .query(&query, |offset| {
            found.push(offset);
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
    assert!(found.windows(2).all(|pair| pair[0] > pair[1]), "newest first, none twice: {found:?}");
    found
}

/// What a store returns for a key and a time range: candidates whose record really has both.
fn find(index: &Index, rows: &[Row], topic: &str, key: &str, times: (i64, i64)) -> Vec<u64> {
    let by_offset: BTreeMap<u64, &Row> = rows.iter().map(|row| (row.offset, row)).collect();
    let (begin, end) = times;
    candidates(index, topic, key, begin, end)
        .into_iter()
        .filter(|offset| {
            by_offset.get(offset).is_some_and(|row| {
                row.has(topic, key) && row.time_ms >= begin && row.time_ms <= end
            })
        })
        .collect()
}

/// What has to be found, newest first.
fn expected(rows: &[Row], topic: &str, key: &str, times: (i64, i64)) -> Vec<u64> {
    rows.iter()
        .rev()
        .filter(|row| row.has(topic, key) && row.time_ms >= times.0 && row.time_ms <= times.1)
        .map(|row| row.offset)
        .collect()
}

const ALWAYS: (i64, i64) = (0, i64::MAX);

/// Looks every key of every row up.
#[track_caller]
fn assert_all_found(index: &Index, rows: &[Row]) {
    for row in rows {
        for key in row.all_keys() {
            let found = find(index, rows, &row.topic, key, ALWAYS);
            assert_eq!(found, expected(rows, &row.topic, key, ALWAYS), "{} {key}", row.topic);
        }
    }
}

/// Rows as a log would have them behind `offset` and `time_ms`.
fn random_rows(random: &mut Random, count: usize, mut offset: u64, mut time_ms: i64) -> Vec<Row> {
    let mut rows = Vec::new();
    for _ in 0..count {
        let key = |random: &mut Random| format!("k{}", random.below(40));
        let keys: Vec<_> = (0..random.below(4)).map(|_| key(random)).collect();
        let unique = random.below(2) == 0;
        rows.push(Row {
            topic: format!("t{}", random.below(3)),
            unique_key: unique.then(|| format!("u{offset}")),
            keys: keys.join(" "),
            offset,
            time_ms,
        });
        offset += 100 + random.below(900);
        time_ms += random.below(3000) as i64;
    }
    rows
}
