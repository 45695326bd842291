//! Open files of many queues, of which a bounded number stays open.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::sys::disk::{Access, Disk, DiskFile};

/// A file of a queue: the queue's number in this process and where the file starts.
pub(super) type FileKey = (u64, u64);

#[derive(Debug)]
struct OpenFile {
    file: Arc<dyn DiskFile>,
    last_use: u64,
}

#[derive(Debug, Default)]
struct OpenFiles {
    files: HashMap<FileKey, OpenFile>,
    uses: u64,
}

/// The files that were used last. Files are neither mapped nor kept open for longer than that, so
/// that ten thousand queues cost memory for their positions only.
#[derive(Debug)]
pub(super) struct HandleCache {
    access: Access,
    max_open: usize,
    open: Mutex<OpenFiles>,
}

impl HandleCache {
    pub(super) fn new(access: Access, max_open: usize) -> Self {
        Self { access, max_open: max_open.max(1), open: Mutex::default() }
    }

    /// The file, opened if need be: only then is its path asked for.
    pub(super) fn get(
        &self,
        disk: &dyn Disk,
        key: FileKey,
        path: impl FnOnce() -> PathBuf,
    ) -> io::Result<Arc<dyn DiskFile>> {
        let mut open = self.open.lock();
        open.uses += 1;
        let now = open.uses;
        if let Some(known) = open.files.get_mut(&key) {
            known.last_use = now;
            return Ok(Arc::clone(&known.file));
        }
        let file: Arc<dyn DiskFile> = disk.open(&path(), self.access)?.into();
        self.keep(&mut open, key, Arc::clone(&file));
        Ok(file)
    }

    /// Takes in a file that was just made.
    pub(super) fn insert(&self, key: FileKey, file: Arc<dyn DiskFile>) {
        let mut open = self.open.lock();
        open.uses += 1;
        self.keep(&mut open, key, file);
    }

    /// Closes a file.
    pub(super) fn forget(&self, key: FileKey) {
        self.open.lock().files.remove(&key);
    }

    /// Closes all files.
    pub(super) fn clear(&self) {
        self.open.lock().files.clear();
    }

    fn keep(&self, open: &mut OpenFiles, key: FileKey, file: Arc<dyn DiskFile>) {
        if open.files.len() >= self.max_open {
            // Half of them at once, so that the search is paid for by as many openings.
            let mut uses: Vec<u64> = open.files.values().map(|file| file.last_use).collect();
            let middle = uses.len() / 2;
            let (_, &mut oldest_kept, _) = uses.select_nth_unstable(middle);
            open.files.retain(|_, file| file.last_use > oldest_kept);
        }
        let last_use = open.uses;
        open.files.insert(key, OpenFile { file, last_use });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::disk::OsDisk;

    #[test]
    fn what_was_used_last_stays_open() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        std::fs::write(&path, b"x").unwrap();
        let named = || path.clone();
        let cache = HandleCache::new(Access::Read, 8);
        for number in 0..100 {
            cache.get(&OsDisk, (number, 0), named).unwrap();
            cache.get(&OsDisk, (0, 0), named).unwrap();
            assert!(cache.open.lock().files.len() <= 8);
        }
        std::fs::remove_file(&path).unwrap();
        assert!(cache.get(&OsDisk, (0, 0), named).is_ok(), "the file in use was closed");
        assert!(cache.get(&OsDisk, (1, 0), named).is_err());
        cache.forget((0, 0));
        assert!(cache.get(&OsDisk, (0, 0), named).is_err());
    }
}
