//! RocketMQ's derived files, read only: consume queues and key index files.
//!
//! Nothing here writes, locks or maps; a file that another process extends or replaces meanwhile
//! is read as it is at that moment.

pub(crate) mod consume_queue;
pub(crate) mod delay_offsets;
pub(crate) mod index;

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// A file whose name is the byte offset of its beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NamedFile {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// The number in its name.
    pub(crate) start: u64,
    /// Its length in bytes.
    pub(crate) size: u64,
}

/// The entries of a directory by name, ascending; empty if the directory does not exist.
pub(crate) fn list(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut paths =
        entries.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

/// The name of a path as text, with what is no UTF-8 replaced.
pub(crate) fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The number a 20-digit file name stands for.
pub(crate) fn number_of(path: &Path) -> Option<u64> {
    let name = name(path);
    if name.len() != 20 || !name.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    name.parse().ok()
}

/// Reads up to `buffer.len()` bytes, fewer only at the end of the file.
pub(crate) fn read_full(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read(rest) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// The big-endian i32 at `at`; 0 beyond the end.
pub(crate) fn i32_at(bytes: &[u8], at: usize) -> i32 {
    bytes.get(at..at + 4).and_then(|field| field.try_into().ok()).map_or(0, i32::from_be_bytes)
}

/// The big-endian i64 at `at`; 0 beyond the end.
pub(crate) fn i64_at(bytes: &[u8], at: usize) -> i64 {
    bytes.get(at..at + 8).and_then(|field| field.try_into().ok()).map_or(0, i64::from_be_bytes)
}

/// Java's `String.hashCode`, over UTF-16 code units.
pub(crate) fn java_hash(text: &str) -> i32 {
    text.encode_utf16().fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_java_s() {
        assert_eq!(java_hash("TagA"), 2_598_919);
        assert_eq!(java_hash("polygenelubricants"), i32::MIN);
        assert_eq!(java_hash("TopicTest#k1"), 2_746_024);
        // One code point outside the basic plane is two units.
        assert_eq!(java_hash("\u{1F680}"), 0xD83D * 31 + 0xDE80);
    }

    #[test]
    fn file_names_are_twenty_digits() {
        assert_eq!(number_of(Path::new("a/00000000000000002000")), Some(2000));
        assert_eq!(number_of(Path::new("a/2000")), None);
        assert_eq!(number_of(Path::new("a/0000000000000000200x")), None);
    }
}
