//! Who may touch a store: its `lock` and `abort` files.

use std::collections::HashSet;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

use crate::error::{Error, Result};
use crate::mapped::sync_parent;
use crate::status::Status;
use crate::sys::disk::Disk;
use crate::sys::{LockRefused, check_file_limit, file_identity, open_lock_file, try_lock};

/// The file whose first byte is locked; RocketMQ's name and range.
const LOCK_FILE: &str = "lock";
const LOCK_CONTENT: &[u8] = b"lock";
/// The file that exists while a store is open, or was not closed.
pub(crate) const ABORT_FILE: &str = "abort";
const ABORT_TEMPORARY: &str = "abort.tmp";

/// Device and inode of the lock files held by this process: locks of the system do not keep a
/// process from itself.
static HELD: Mutex<Option<HashSet<(u64, u64)>>> = Mutex::new(None);

/// The exclusive right to a store directory, until dropped.
#[derive(Debug)]
pub(crate) struct StoreLock {
    key: (u64, u64),
    /// Closing any descriptor of this file gives up the lock, so there is only this one.
    _file: File,
}

impl StoreLock {
    /// Takes the lock, making the file if need be.
    pub(crate) fn take(store_path: &Path) -> Result<Self> {
        let path = store_path.join(LOCK_FILE);
        let failed = |source| Error::io("cannot lock", source).at_path(&path);
        let mut held = HELD.lock();
        let held = held.get_or_insert_default();
        let in_this_process =
            std::fs::symlink_metadata(&path).is_ok_and(|of| held.contains(&file_identity(&of)));
        if in_this_process {
            return Err(locked(&path, Some(std::process::id().cast_signed())));
        }
        let mut file = open_lock_file(&path).map_err(failed)?;
        match try_lock(&file) {
            Ok(()) => {}
            Err(LockRefused::Held(holder)) => return Err(locked(&path, holder)),
            Err(LockRefused::Failed(source)) => return Err(failed(source)),
        }
        let metadata = file.metadata().map_err(failed)?;
        if metadata.len() == 0 {
            check_file_limit(LOCK_CONTENT.len() as u64).map_err(failed)?;
            file.write_all(LOCK_CONTENT).map_err(failed)?;
        }
        let key = file_identity(&metadata);
        held.insert(key);
        Ok(Self { key, _file: file })
    }
}

impl Drop for StoreLock {
    fn drop(&mut self) {
        if let Some(held) = HELD.lock().as_mut() {
            held.remove(&self.key);
        }
    }
}

fn locked(path: &Path, holder: Option<i32>) -> Error {
    let holder = holder.map_or("another process".to_owned(), |pid| format!("process {pid}"));
    Error::new(Status::StoreLocked, format!("the store is in use by {holder}")).at_path(path)
}

/// The `abort` file: while it exists, the last use of the store has not ended cleanly.
#[derive(Debug)]
pub(crate) struct AbortMarker(PathBuf);

impl AbortMarker {
    /// Whether a store was not closed.
    pub(crate) fn exists(disk: &dyn Disk, store_path: &Path) -> Result<bool> {
        let path = store_path.join(ABORT_FILE);
        disk.find(&path)
            .map(|found| found.is_some())
            .map_err(|source| Error::io("cannot look at", source).at_path(&path))
    }

    /// Makes the file, durably. Its content is the process id, as RocketMQ writes it. One that a
    /// crash left is never away: another crash then would look like a clean stop.
    pub(crate) fn set(disk: &dyn Disk, store_path: &Path) -> Result<Self> {
        let path = store_path.join(ABORT_FILE);
        let temporary = store_path.join(ABORT_TEMPORARY);
        let content = std::process::id().to_string();
        let unused = match disk.remove(&temporary) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
        unused
            .and_then(|()| disk.create(&temporary, 0))
            .and_then(|file| {
                file.write_all_at(content.as_bytes(), 0)?;
                file.sync_all()
            })
            .and_then(|()| disk.rename(&temporary, &path))
            .and_then(|()| sync_parent(disk, &path))
            .map_err(|source| Error::io("cannot make", source).at_path(&path))?;
        Ok(Self(path))
    }

    /// Removes the file, durably: the store ends cleanly.
    pub(crate) fn clear(&self, disk: &dyn Disk) -> Result<()> {
        disk.remove(&self.0)
            .and_then(|()| sync_parent(disk, &self.0))
            .map_err(|source| Error::io("cannot remove", source).at_path(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_opener_in_this_process_is_refused_with_our_pid() {
        let directory = tempfile::tempdir().unwrap();
        let lock = StoreLock::take(directory.path()).unwrap();
        let error = StoreLock::take(directory.path()).unwrap_err();
        assert_eq!(error.status(), Status::StoreLocked);
        assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
        drop(lock);
        drop(StoreLock::take(directory.path()).unwrap());
    }
}
