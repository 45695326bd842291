//! The stores that are damaged.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use cairnlog::{AppendResult, Message, PhysicalOffset, QueueOffset, Store, StoreOptions};
use tempfile::TempDir;

use crate::common::{PATIENCE, copy_tree};

/// The queues that have messages.
pub(crate) const TOPICS: [(&str, i32); 3] = [("orders", 0), ("orders", 1), ("pears", 0)];
const MESSAGES: usize = 66;
const BODY_BYTES: usize = 3000;

/// A message that was appended.
pub(crate) struct Original {
    pub(crate) topic: String,
    pub(crate) queue_id: i32,
    pub(crate) key: String,
    pub(crate) bytes: Vec<u8>,
}

/// A store, and what is in it.
pub(crate) struct Base {
    pub(crate) name: &'static str,
    directory: TempDir,
    pub(crate) originals: BTreeMap<u64, Original>,
    /// As it was before there were messages.
    pub(crate) early_checkpoint: Vec<u8>,
}

/// Small files, so that there are several of each kind.
pub(crate) fn options() -> StoreOptions {
    let mut options = StoreOptions::default();
    options.segment_size_bytes = 64 * 1024;
    options.consume_queue_file_size_bytes = 160;
    options.max_hash_slot_num = 20;
    options.max_index_num = 40;
    options
}

/// Appends a message whose body and properties tell its number.
pub(crate) fn append(store: &Store, number: usize) -> AppendResult {
    let body = format!("{number:06}").repeat(BODY_BYTES / 6).into_bytes();
    let (topic, queue_id) = TOPICS[number % TOPICS.len()];
    let (key, number) = (format!("key-{number}"), number.to_string());
    let message = Message::new(topic, &body).queue_id(queue_id).tag("new");
    store.append(&message.keys(&[&key]).properties(&[("number", &number)])).unwrap()
}

/// Every byte of the log's files, in order, without zeros at the end.
pub(crate) fn log_bytes(store: &Path) -> Vec<u8> {
    let entries = fs::read_dir(store.join("commitlog")).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let files = files.iter().filter(|path| path.is_file());
    let mut bytes: Vec<u8> = files.flat_map(|path| fs::read(path).unwrap()).collect();
    let end = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    bytes.truncate(end);
    bytes
}

impl Base {
    fn filled(name: &'static str) -> (Self, Store) {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path().join("open"), &options()).unwrap();
        let early_checkpoint = fs::read(directory.path().join("open/checkpoint")).unwrap();
        let mut originals = BTreeMap::new();
        for number in 0..MESSAGES {
            let placed = append(&store, number);
            let view = store.read_at(placed.physical_offset).unwrap();
            let (topic, queue_id) = TOPICS[number % TOPICS.len()];
            let original = Original {
                topic: topic.to_owned(),
                queue_id,
                key: format!("key-{number}"),
                bytes: view.bytes().to_vec(),
            };
            originals.insert(placed.physical_offset.get(), original);
        }
        let dispatched = store.wait_dispatched(store.max_offset(), PATIENCE).unwrap();
        assert!(dispatched && store.max_offset() > PhysicalOffset::new(2 * 64 * 1024));
        store.commit_offset("billing", "orders", 0, QueueOffset::new(7)).unwrap();
        store.persist_offsets().unwrap();
        store.flush().unwrap();
        (Self { name, directory, originals, early_checkpoint }, store)
    }

    /// One that was closed.
    pub(crate) fn closed() -> Self {
        let (base, store) = Self::filled("a closed");
        store.close().unwrap();
        copy_tree(&base.directory.path().join("open"), &base.path());
        base
    }

    /// One as a killed writer leaves it, whose queues are noted to their end.
    pub(crate) fn killed() -> Self {
        let (base, store) = Self::filled("a killed");
        let noted = base.directory.path().join("open/checkpoint");
        let dispatched = store.max_offset().get().to_be_bytes();
        // The fifth note.
        crate::common::wait_until("the checkpoint is written", || {
            fs::read(&noted).unwrap()[2048 + 32..2048 + 40] == dispatched
        });
        copy_tree(&base.directory.path().join("open"), &base.path());
        store.close().unwrap();
        base
    }

    /// The store's directory, closed or not.
    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("store")
    }

    /// One past the last index of a queue.
    pub(crate) fn queue_end(&self, topic: &str, queue_id: i32) -> i64 {
        let of_queue = |o: &&Original| o.topic == topic && o.queue_id == queue_id;
        self.originals.values().filter(of_queue).count() as i64
    }
}
