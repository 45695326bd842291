//! `config/delayOffset.json`: how far the delayed messages of each level were delivered.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::{Content, State, json};
use crate::error::Result;
use crate::offset::QueueOffset;
use crate::sys::disk::Disk;

const OFFSET_TABLE: &str = "offsetTable";

/// The next index to deliver of each delay level. Any thread may use it.
#[derive(Debug)]
pub(crate) struct DelayOffsets(State<LevelTable>);

/// The offsets by level.
#[derive(Debug, Clone, Default)]
pub(super) struct LevelTable(BTreeMap<i32, i64>);

impl Content for LevelTable {
    const FILE: &'static str = "delayOffset.json";

    fn decode(fields: &mut Map<String, Value>) -> std::result::Result<Self, String> {
        let table = json::take_object(fields, OFFSET_TABLE)?;
        json::offsets(OFFSET_TABLE, table).map(Self)
    }

    fn encode(&self, fields: &mut Map<String, Value>) {
        fields.insert(OFFSET_TABLE.to_owned(), json::offsets_object(&self.0));
    }
}

impl DelayOffsets {
    /// Loads what the store has.
    ///
    /// # Errors
    ///
    /// - [`crate::Status::Corruption`]: neither the file nor its `.bak` can be understood.
    /// - [`crate::Status::Io`], [`crate::Status::PermissionDenied`]: it cannot be read.
    pub(crate) fn load(disk: Arc<dyn Disk>, store_path: &Path) -> Result<Self> {
        State::load(disk, store_path).map(Self)
    }

    /// The next index to deliver of a level, counted from 1; `None` if nothing is known.
    pub(crate) fn get(&self, level: i32) -> Option<QueueOffset> {
        self.0.read(|table| table.0.get(&level).copied().and_then(QueueOffset::from_i64))
    }

    /// Sets the next index to deliver of a level.
    pub(crate) fn set(&self, level: i32, offset: QueueOffset) {
        let offset = offset.to_i64();
        self.0.change(|table| table.0.insert(level, offset) != Some(offset));
    }

    /// Every level that is known, ascending, and its next index.
    pub(crate) fn levels(&self) -> Vec<(i32, QueueOffset)> {
        self.0.read(|table| {
            let levels = table.0.iter();
            levels.filter_map(|(level, at)| Some((*level, QueueOffset::from_i64(*at)?))).collect()
        })
    }

    /// Whether there are changes that are not in the file.
    pub(crate) fn is_dirty(&self) -> bool {
        self.0.is_dirty()
    }

    /// Writes the file, durably, if anything changed since; says whether it did.
    ///
    /// # Errors
    ///
    /// - [`crate::Status::Io`], [`crate::Status::DiskFull`], [`crate::Status::PermissionDenied`]:
    ///   a system call failed. The store still has the former content or already the new one, and
    ///   the next call tries again.
    pub(crate) fn persist(&self) -> Result<bool> {
        self.0.persist()
    }
}
