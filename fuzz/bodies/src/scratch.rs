//! Directories for stores, in memory where the machine has room for that.

use std::path::Path;
use std::sync::OnceLock;

use tempfile::TempDir;

/// A new directory that is removed with the value.
#[must_use]
pub fn directory() -> TempDir {
    static MEMORY: OnceLock<bool> = OnceLock::new();
    let memory = Path::new("/dev/shm");
    let in_memory = *MEMORY.get_or_init(|| tempfile::tempdir_in(memory).is_ok());
    let made = if in_memory { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.expect("no directory can be made")
}
