//! A store directory on a faulty disk with a turnable clock, and looks at its bytes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::fault_disk::{FaultDisk, TurnableClock};
use crate::checkpoint::{self, Notes};
use crate::store::open::{Environment, open};
use crate::sys::disk::OsDisk;
use crate::{FlushMode, Message, PhysicalOffset, Result, Store, StoreOptions};

/// The size of the log's files in these tests.
pub(super) const SEGMENT: u64 = 64 * 1024;

/// A directory and what a store in it is opened with.
pub(super) struct Scene {
    directory: tempfile::TempDir,
    pub(super) disk: FaultDisk,
    pub(super) clock: Arc<TurnableClock>,
    pub(super) options: StoreOptions,
    pub(super) boot_id: u64,
}

impl Scene {
    pub(super) fn new(mode: FlushMode) -> Self {
        let options = StoreOptions {
            segment_size_bytes: SEGMENT,
            flush_mode: mode,
            // Nothing is flushed or committed unless a test asks for it.
            flush_interval_ms: 3_600_000,
            commit_interval_ms: 3_600_000,
            wake_commit_when_append: false,
            // Directories are copied and compared.
            consume_queue_file_size_bytes: 20_000,
            max_hash_slot_num: 100,
            max_index_num: 1000,
            // Recovery has to tell whole records from torn ones without, too, and RocketMQ's have
            // none.
            append_record_crc: false,
            ..StoreOptions::default()
        };
        Self {
            directory: tempfile::tempdir().unwrap(),
            disk: FaultDisk::default(),
            clock: Arc::new(TurnableClock::new()),
            options,
            boot_id: 1,
        }
    }

    pub(super) fn with_pool(mode: FlushMode, buffers: usize) -> Self {
        let mut scene = Self::new(mode);
        scene.options.transient_store_pool_enable = true;
        scene.options.transient_store_pool_size = buffers;
        scene
    }

    pub(super) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The path of the log's file that starts at `start`.
    pub(super) fn file(&self, start: u64) -> PathBuf {
        self.path().join(format!("commitlog/{start:020}"))
    }

    pub(super) fn open(&self) -> Result<Store> {
        let environment = Environment {
            disk: Arc::new(self.disk.clone()),
            clock: self.clock.clone(),
            boot_id: Some(self.boot_id),
        };
        open(self.path(), &self.options, &environment)
    }

    /// A scene of its own on a copy of this directory as it is now: what a kill of the process
    /// would leave.
    pub(super) fn copy(&self) -> Self {
        let copy = tempfile::tempdir().unwrap();
        for (path, bytes) in snapshot(self.path()) {
            let target = copy.path().join(&path);
            match bytes {
                None => std::fs::create_dir_all(target).unwrap(),
                Some(bytes) => std::fs::write(target, bytes).unwrap(),
            }
        }
        Self {
            directory: copy,
            disk: FaultDisk::default(),
            clock: self.clock.clone(),
            options: self.options.clone(),
            boot_id: self.boot_id,
        }
    }

    /// Changes bytes of the log where they lie on the disk.
    pub(super) fn overwrite(&self, offset: u64, bytes: &[u8]) {
        use std::os::unix::fs::FileExt;
        let path = self.file(offset / SEGMENT * SEGMENT);
        let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
        file.write_all_at(bytes, offset % SEGMENT).unwrap();
    }

    /// What the store noted of itself.
    pub(super) fn notes(&self) -> Notes {
        let (_, notes) = checkpoint::read(&OsDisk, self.path()).unwrap().unwrap();
        notes.unwrap()
    }

    /// Takes away what the store noted of itself, so that opening reads the whole log.
    pub(super) fn forget_checkpoint(&self) {
        std::fs::remove_file(self.path().join("checkpoint")).unwrap();
    }

    /// The bytes of a range that lies in one file of the log.
    pub(super) fn bytes(&self, range: std::ops::Range<u64>) -> Vec<u8> {
        let start = range.start / SEGMENT * SEGMENT;
        let bytes = std::fs::read(self.file(start)).unwrap();
        bytes[(range.start - start) as usize..(range.end - start) as usize].to_vec()
    }
}

/// Every directory (`None`) and file with its bytes, by relative path in order.
pub(super) fn snapshot(root: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    fn visit(root: &Path, at: &Path, found: &mut BTreeMap<PathBuf, Option<Vec<u8>>>) {
        for entry in std::fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            let relative = path.strip_prefix(root).unwrap().to_path_buf();
            if path.is_dir() {
                found.insert(relative, None);
                visit(root, &path, found);
            } else {
                found.insert(relative, Some(std::fs::read(&path).unwrap()));
            }
        }
    }
    let mut found = BTreeMap::new();
    visit(root, root, &mut found);
    found
}

/// Fails when two looks at a directory differ, naming the first difference.
#[track_caller]
pub(super) fn assert_unchanged(
    before: &BTreeMap<PathBuf, Option<Vec<u8>>>,
    after: &BTreeMap<PathBuf, Option<Vec<u8>>>,
) {
    let names = |look: &BTreeMap<PathBuf, _>| look.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(before), names(after));
    for (path, bytes) in before {
        assert!(after[path] == *bytes, "{} changed", path.display());
    }
}

/// The bodies of all messages of a store, in order.
pub(super) fn bodies(store: &Store) -> Vec<Vec<u8>> {
    let scan = store.scan(store.min_offset()).unwrap();
    scan.map(|message| message.unwrap().body().to_vec()).collect()
}

/// Appends `count` messages of `bytes` bytes, and returns where each begins.
pub(super) fn fill(store: &Store, count: usize, bytes: usize) -> Vec<PhysicalOffset> {
    let body = vec![b'x'; bytes];
    let append = |_| store.append(&Message::new("t", &body)).unwrap();
    (0..count).map(append).map(|placed| placed.physical_offset).collect()
}

/// Numbers that depend on a seed alone (xorshift).
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % limit
    }

    /// A seed that differs from run to run, unless the environment gives one; it is printed, and
    /// shown when the test fails.
    #[allow(clippy::print_stdout, reason = "a test that fails shows how to repeat it")]
    pub(super) fn seeded() -> Self {
        let given = std::env::var("CAIRNLOG_SEED").ok().and_then(|seed| seed.parse().ok());
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let seed = given.unwrap_or(now.as_nanos() as u64 | 1);
        println!("CAIRNLOG_SEED={seed}");
        Self(seed)
    }
}
