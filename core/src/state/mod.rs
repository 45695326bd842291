//! The JSON files in a store's `config/` directory: what groups have consumed, which topics there
//! are, and how far delayed messages were delivered. The files are RocketMQ's and serve both.
//!
//! - A file is replaced as a whole and never rewritten in place: at every moment it, or its `.bak`,
//!   holds a complete older or newer content. RocketMQ's writer does not promise this (R11).
//! - Fields that cairnlog does not know are kept and written back.
//! - A file is written only when its content changed; one that cannot be read is never overwritten.

pub(crate) mod consumer_offsets;
pub(crate) mod delay_offsets;
mod file;
mod json;
mod topics;

use std::path::Path;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use serde_json::{Map, Value};

use crate::clock::{Clock, SystemClock};
use crate::error::Result;
use crate::sys::disk::Disk;

pub use consumer_offsets::ConsumerOffsets;
use file::StateFile;
pub use topics::{QueueKind, TopicConfig, Topics};

/// The directory of the state files in the store's root.
pub(crate) const CONFIG_DIRECTORY: &str = "config";
const DATA_VERSION: &str = "dataVersion";

/// What one state file holds, as far as cairnlog knows its fields.
trait Content: Clone + Default {
    /// The file's name.
    const FILE: &'static str;

    /// Takes its fields out of the file's; the error says what is wrong with them.
    fn decode(fields: &mut Map<String, Value>) -> std::result::Result<Self, String>;

    /// Puts its fields among the file's.
    fn encode(&self, fields: &mut Map<String, Value>);
}

/// The content of a state file in memory, and the file.
#[derive(Debug)]
struct State<T> {
    current: RwLock<Current<T>>,
    /// Held while the file is written, so that two writers do not cross. Taken before `current`.
    stored: Mutex<Stored>,
}

#[derive(Debug)]
struct Current<T> {
    content: T,
    /// How often the content was changed since it was loaded.
    changes: u64,
    /// The changes that are in the file.
    persisted: u64,
}

#[derive(Debug)]
struct Stored {
    file: StateFile,
    /// The fields beside the content, as they were last loaded or written.
    other: Map<String, Value>,
}

impl<T: Content> State<T> {
    /// Loads the file, or its `.bak` if the file is missing, empty or damaged; the content is empty
    /// if there is neither.
    fn load(disk: Arc<dyn Disk>, store_path: &Path) -> Result<Self> {
        let path = store_path.join(CONFIG_DIRECTORY).join(T::FILE);
        let (file, loaded) = StateFile::load(disk, path, |mut fields| {
            let content = T::decode(&mut fields)?;
            Ok((content, fields))
        })?;
        let (content, other) = loaded.unwrap_or_default();
        Ok(Self {
            current: RwLock::new(Current { content, changes: 0, persisted: 0 }),
            stored: Mutex::new(Stored { file, other }),
        })
    }

    fn read<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        look(&self.current.read().content)
    }

    /// Lets `change` alter the content; it says whether it did.
    fn change(&self, change: impl FnOnce(&mut T) -> bool) -> bool {
        let mut current = self.current.write();
        let changed = change(&mut current.content);
        current.changes += u64::from(changed);
        changed
    }

    /// Whether there are changes that are not in the file.
    fn is_dirty(&self) -> bool {
        let current = self.current.read();
        current.changes != current.persisted
    }

    /// Writes the file if the content changed since it was last written, and says whether it did.
    /// Changes made meanwhile are for the next time; after an error the old ones are too.
    fn persist(&self) -> Result<bool> {
        let mut stored = self.stored.lock();
        let (content, changes) = {
            let current = self.current.read();
            if current.changes == current.persisted {
                return Ok(false);
            }
            (current.content.clone(), current.changes)
        };
        let mut fields = stored.other.clone();
        content.encode(&mut fields);
        let version = next_version(fields.get(DATA_VERSION), SystemClock.wall_ms());
        fields.insert(DATA_VERSION.to_owned(), version.clone());
        stored.file.write(fields)?;
        stored.other.insert(DATA_VERSION.to_owned(), version);
        self.current.write().persisted = changes;
        Ok(true)
    }
}

/// The version of the next content of a file: one more, at this time.
fn next_version(version: Option<&Value>, now_ms: i64) -> Value {
    let mut fields = version.and_then(Value::as_object).cloned().unwrap_or_default();
    let counter = fields.get("counter").and_then(Value::as_i64).unwrap_or(0);
    fields.insert("counter".to_owned(), counter.wrapping_add(1).into());
    fields.entry("stateVersion").or_insert_with(|| 0.into());
    fields.insert("timestamp".to_owned(), now_ms.into());
    Value::Object(fields)
}

/// The state files, for fuzz targets.
#[cfg(feature = "fuzzing")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StateKind {
    /// `config/consumerOffset.json`.
    ConsumerOffsets,
    /// `config/delayOffset.json`.
    DelayOffsets,
    /// `config/topics.json`.
    Topics,
}

/// What would be written back of a state file of these bytes: `None` if there is nothing in it.
///
/// # Errors
///
/// What is wrong with the bytes.
#[cfg(feature = "fuzzing")]
pub fn state_round_trip(
    kind: StateKind,
    bytes: &[u8],
) -> std::result::Result<Option<Vec<u8>>, String> {
    fn round_trip<T: Content>(bytes: &[u8]) -> std::result::Result<Option<Vec<u8>>, String> {
        let Some(mut fields) = json::parse(bytes)? else {
            return Ok(None);
        };
        T::decode(&mut fields)?.encode(&mut fields);
        json::encode(fields).map(Some)
    }
    match kind {
        StateKind::ConsumerOffsets => round_trip::<consumer_offsets::OffsetTable>(bytes),
        StateKind::DelayOffsets => round_trip::<delay_offsets::LevelTable>(bytes),
        StateKind::Topics => round_trip::<topics::TopicConfigTable>(bytes),
    }
}
