//! The seam between the engine and the file system, so that tests can fail any call.

use std::ffi::{OsStr, OsString};
use std::fmt::Debug;
use std::fs::{self, File, FileType, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::time::SystemTime;

use crate::mapped::region::Region;

/// What a file is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Reading only.
    Read,
    /// Reading and writing.
    Write,
}

/// An entry of a directory.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) name: OsString,
    pub(crate) is_file: bool,
    pub(crate) size_bytes: u64,
}

/// How full a file system is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DiskUsage {
    pub(crate) total_bytes: u64,
    /// Free, also for the administrator only.
    pub(crate) free_bytes: u64,
    /// Free for this process.
    pub(crate) available_bytes: u64,
}

impl DiskUsage {
    /// Whole per cent in use, rounded up, of what this process could use: as `df` shows it.
    pub(crate) fn used_per_cent(self) -> u32 {
        let used = u128::from(self.total_bytes.saturating_sub(self.free_bytes));
        let usable = used + u128::from(self.available_bytes);
        let per_cent = (used * 100).checked_div(usable).unwrap_or(100);
        let whole = per_cent * usable == used * 100;
        u32::try_from(per_cent).unwrap_or(100) + u32::from(!whole)
    }
}

/// What a directory of a store must not have: a symbolic link, which may lead out of it, or
/// something that is neither file nor directory.
#[derive(Debug, thiserror::Error)]
#[error("{name} is {kind}")]
pub(crate) struct ForeignEntry {
    name: String,
    kind: &'static str,
}

impl ForeignEntry {
    /// An entry of this name and kind.
    pub(crate) fn of(name: &OsStr, kind: FileType) -> Self {
        let kind = match kind {
            kind if kind.is_symlink() => "a symbolic link",
            kind if kind.is_fifo() => "a pipe",
            kind if kind.is_socket() => "a socket",
            kind if kind.is_dir() => "a directory",
            kind if kind.is_file() => "a file",
            _ => "a device",
        };
        Self { name: name.to_string_lossy().into_owned(), kind }
    }
}

impl From<ForeignEntry> for io::Error {
    fn from(entry: ForeignEntry) -> Self {
        io::Error::other(entry)
    }
}

/// What the engine asks of a file system. Names follow the system calls.
pub(crate) trait Disk: Debug + Send + Sync {
    /// The entries of a directory: files and directories. Anything else is an error
    /// ([`ForeignEntry`]).
    fn list(&self, directory: &Path) -> io::Result<Vec<Entry>>;
    /// What stands at a path, if anything does.
    fn find(&self, path: &Path) -> io::Result<Option<Entry>>;
    /// Makes the directory and those above it, with mode 0750.
    fn create_directory(&self, directory: &Path) -> io::Result<()>;
    /// Opens a file; what is none, or a symbolic link, is an error ([`ForeignEntry`]).
    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn DiskFile>>;
    /// Makes a file of this length, mode 0640, that must not exist yet. Where the platform can do
    /// it, the file appears with its whole length: RocketMQ refuses a directory in which one is
    /// shorter.
    fn create(&self, path: &Path, size_bytes: u64) -> io::Result<Box<dyn DiskFile>>;
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Puts a file in the place of another, which need not be there, in one step.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    fn sync_directory(&self, directory: &Path) -> io::Result<()>;
    /// How full the file system is that a file or directory lies in.
    fn usage(&self, path: &Path) -> io::Result<DiskUsage>;
    /// When a file was written last.
    fn modified(&self, path: &Path) -> io::Result<SystemTime>;
}

/// An open file.
pub(crate) trait DiskFile: Debug + Send + Sync {
    fn map(&self, size_bytes: usize, access: Access) -> io::Result<Region>;
    /// Reserves space; the range holds nothing yet.
    fn allocate(&self, offset: u64, length: u64) -> io::Result<()>;
    /// Writes some of the bytes and says how many.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;
    /// Writes zeros, so that the file system keeps the range as written.
    fn write_zeros(&self, offset: u64, length: u64) -> io::Result<()>;
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize>;
    /// The parts of a range that may hold something else than zeros.
    fn data_ranges(&self, range: Range<u64>) -> io::Result<Vec<Range<u64>>>;
    fn sync_data(&self) -> io::Result<()>;
    /// As [`DiskFile::sync_data`], of a range of bytes that `region`, a mapping of the file, shows.
    /// The rest of the file may wait for another sync; where the platform has no such call, it does
    /// not.
    fn sync_range(&self, region: &Region, range: Range<usize>) -> io::Result<()>;
    fn sync_all(&self) -> io::Result<()>;
    /// The file's length in bytes; `None` where files keep that which they were made with.
    fn length(&self) -> io::Result<Option<u64>> {
        Ok(None)
    }
}

/// How often a read or a write is made again that a signal interrupted, before that is an error: a
/// file system that says so for ever must not keep a thread for ever.
const MOST_INTERRUPTIONS: u32 = 1000;

/// How much of a whole file is read at first; it doubles from there.
const FIRST_READ_BYTES: usize = 64 * 1024;

impl dyn Disk + '_ {
    /// A file's bytes; at most one more than `most_bytes`.
    pub(crate) fn read_whole(&self, path: &Path, most_bytes: usize) -> io::Result<Vec<u8>> {
        let file = self.open(path, Access::Read)?;
        let mut bytes = Vec::new();
        let mut length = FIRST_READ_BYTES;
        loop {
            let filled = bytes.len();
            bytes.resize(length, 0);
            let rest = bytes.get_mut(filled..).unwrap_or_default();
            let wanted = rest.len();
            let count = file.read_full_at(rest, filled as u64)?;
            bytes.truncate(filled + count);
            if count < wanted || length > most_bytes {
                return Ok(bytes);
            }
            length = (length * 2).min(most_bytes + 1);
        }
    }

    /// Whether there is a directory, as far as that can be seen.
    pub(crate) fn has_directory(&self, path: &Path) -> bool {
        self.find(path).is_ok_and(|found| found.is_some_and(|found| !found.is_file))
    }
}

/// Counts interruptions of one call.
#[derive(Debug, Default)]
struct Interruptions(u32);

impl Interruptions {
    /// Whether the call that failed so is to be made again.
    fn bear(&mut self, error: &io::Error) -> bool {
        self.0 += 1;
        error.kind() == io::ErrorKind::Interrupted && self.0 < MOST_INTERRUPTIONS
    }
}

impl dyn DiskFile + '_ {
    /// Fills the buffer from the file; fewer bytes are returned only at the end of the file.
    pub(crate) fn read_full_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut filled = 0;
        let mut interruptions = Interruptions::default();
        while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.read_at(rest, offset + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if interruptions.bear(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    /// Writes all of the bytes.
    pub(crate) fn write_all_at(&self, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
        let mut interruptions = Interruptions::default();
        while !bytes.is_empty() {
            match self.write_at(bytes, offset) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    bytes = bytes.get(written..).unwrap_or_default();
                    offset += written as u64;
                }
                Err(error) if interruptions.bear(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// The operating system's file system.
#[derive(Debug)]
pub(crate) struct OsDisk;

impl Disk for OsDisk {
    fn list(&self, directory: &Path) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in super::uninterrupted(|| fs::read_dir(directory))? {
            let entry = entry?;
            // Of the entry itself, not of what it may lead to.
            let metadata = match entry.metadata() {
                // Removed meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                other => other?,
            };
            if !metadata.is_file() && !metadata.is_dir() {
                return Err(ForeignEntry::of(&entry.file_name(), metadata.file_type()).into());
            }
            entries.push(Entry {
                name: entry.file_name(),
                is_file: metadata.is_file(),
                size_bytes: metadata.len(),
            });
        }
        Ok(entries)
    }

    fn find(&self, path: &Path) -> io::Result<Option<Entry>> {
        match fs::symlink_metadata(path) {
            Ok(metadata) => Ok(Some(Entry {
                name: path.file_name().unwrap_or_default().to_owned(),
                is_file: metadata.is_file(),
                size_bytes: metadata.len(),
            })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn create_directory(&self, directory: &Path) -> io::Result<()> {
        use std::os::unix::fs::DirBuilderExt;
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o750);
        super::uninterrupted(|| builder.create(directory))
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(OsFile(super::open_file(path, access)?)))
    }

    fn create(&self, path: &Path, size_bytes: u64) -> io::Result<Box<dyn DiskFile>> {
        if let Some(file) = super::create_whole(path, size_bytes)? {
            return Ok(Box::new(OsFile(file)));
        }
        super::check_file_limit(size_bytes)?;
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create_new(true).mode(0o640).open(path)?;
        file.set_len(size_bytes).inspect_err(|_| {
            // The error that matters is the first one.
            let _ = fs::remove_file(path);
        })?;
        Ok(Box::new(OsFile(file)))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        super::uninterrupted(|| fs::remove_file(path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        super::uninterrupted(|| fs::rename(from, to))
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        super::sync_directory(directory)
    }

    fn usage(&self, path: &Path) -> io::Result<DiskUsage> {
        super::uninterrupted(|| super::disk_usage(path))
    }

    fn modified(&self, path: &Path) -> io::Result<SystemTime> {
        fs::metadata(path)?.modified()
    }
}

#[derive(Debug)]
struct OsFile(File);

impl DiskFile for OsFile {
    fn map(&self, size_bytes: usize, access: Access) -> io::Result<Region> {
        Region::map(&self.0, size_bytes, access)
    }

    fn allocate(&self, offset: u64, length: u64) -> io::Result<()> {
        super::allocate(&self.0, offset, length)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        super::check_file_limit(offset + bytes.len() as u64)?;
        self.0.write_at(bytes, offset)
    }

    fn write_zeros(&self, offset: u64, length: u64) -> io::Result<()> {
        super::write_zeros(&self.0, offset, length)
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(bytes, offset)
    }

    fn data_ranges(&self, range: Range<u64>) -> io::Result<Vec<Range<u64>>> {
        super::data_ranges(&self.0, range)
    }

    fn sync_data(&self) -> io::Result<()> {
        super::sync_data(&self.0)
    }

    fn sync_range(&self, region: &Region, range: Range<usize>) -> io::Result<()> {
        if cfg!(target_os = "linux") { region.sync(range) } else { self.sync_data() }
    }

    fn sync_all(&self) -> io::Result<()> {
        self.0.sync_all()
    }

    fn length(&self) -> io::Result<Option<u64>> {
        super::length(&self.0).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_never_seen_shorter_than_it_was_made() {
        let directory = tempfile::tempdir().unwrap();
        let path = |number: u32| directory.path().join(number.to_string());
        std::thread::scope(|scope| {
            let maker = scope.spawn(|| {
                for number in 0..2000 {
                    OsDisk.create(&path(number), 100).unwrap();
                }
            });
            let mut next = 0;
            while next < 2000 {
                if let Ok(metadata) = fs::metadata(path(next)) {
                    assert_eq!(metadata.len(), 100, "file {next}");
                    next += 1;
                } else if maker.is_finished() {
                    assert!(path(next).exists());
                }
            }
        });
        let again = OsDisk.create(&path(0), 100).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        let nowhere = OsDisk.create(&directory.path().join("missing/0"), 100).unwrap_err();
        assert_eq!(nowhere.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn use_is_whole_per_cent_rounded_up() {
        let used = |total_bytes, free_bytes, available_bytes| {
            DiskUsage { total_bytes, free_bytes, available_bytes }.used_per_cent()
        };
        assert_eq!(used(1000, 250, 250), 75);
        assert_eq!(used(1000, 249, 249), 76);
        // What only the administrator can use is not there for us.
        assert_eq!(used(1000, 250, 200), 79);
        assert_eq!(used(1000, 1000, 1000), 0);
        assert_eq!(used(1000, 0, 0), 100);
        assert_eq!(used(0, 0, 0), 100);
        assert_eq!(used(u64::MAX, 0, 0), 100);
        let here = OsDisk.usage(Path::new(".")).unwrap();
        assert!(here.total_bytes > 0 && here.free_bytes >= here.available_bytes);
    }
}
