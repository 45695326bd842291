//! The only system calls of the engine, and what each platform makes of them.
//!
//! Linux is served first. Where a call does not exist, the fallback keeps the promise at a cost:
//! space is reserved by writing zeros, populating does nothing, the boot is unknown.

pub(crate) mod disk;
pub(crate) mod local_time;
mod process;
mod ticks;

pub(crate) use process::{
    ForkWatch, LockRefused, boot_id, coarse_monotonic_ms, file_identity, forked_while_open,
    open_lock_file, try_lock, wall_time,
};
pub(crate) use ticks::ticks;

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

/// The least that is reserved in one call once a signal interrupted one.
const LEAST_ALLOCATED_BYTES: u64 = 1 << 20;

/// Makes a call again as long as signals interrupt it, which is not the caller's concern.
pub(crate) fn uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// Whether the process or the machine has no descriptor left.
pub(crate) fn is_descriptor_limit(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

/// Refuses a file that would end at `end` where the process may have none so long: the system would
/// not only refuse it, but also send SIGXFSZ, of which a host dies that does not expect it.
pub(crate) fn check_file_limit(end: u64) -> io::Result<()> {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Fsize);
    match limit.current {
        Some(most) if end > most => Err(rustix::io::Errno::FBIG.into()),
        _ => Ok(()),
    }
}

/// Opens a file of a store, and nothing else: a symbolic link is not followed, and a pipe that
/// nobody writes to does not keep the caller.
pub(crate) fn open_file(path: &Path, access: disk::Access) -> io::Result<File> {
    let mut options = File::options();
    options.read(true).write(access == disk::Access::Write);
    only_a_file(path, &options)
}

/// Opens as the options say, unless it is no file.
fn only_a_file(path: &Path, options: &OpenOptions) -> io::Result<File> {
    let mut options = options.clone();
    options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY);
    let opened = options.open(path).and_then(|file| {
        let kind = file.metadata()?.file_type();
        if kind.is_file() { Ok(file) } else { Err(disk::ForeignEntry::of(name(path), kind).into()) }
    });
    opened.map_err(|error| match std::fs::symlink_metadata(path) {
        // What the system says of links, pipes and sockets tells little.
        Ok(metadata) if !metadata.is_file() => {
            disk::ForeignEntry::of(name(path), metadata.file_type()).into()
        }
        _ => error,
    })
}

fn name(path: &Path) -> &OsStr {
    path.file_name().unwrap_or(path.as_os_str())
}

/// Reserves space for `length` bytes from `offset`, which hold nothing yet.
pub(crate) fn allocate(file: &File, offset: u64, length: u64) -> io::Result<()> {
    check_file_limit(offset + length)?;
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{FallocateFlags, fallocate};
        use rustix::io::Errno;
        let (mut reserved, mut step) = (0, length);
        while reserved < length {
            let part = step.min(length - reserved);
            match fallocate(file, FallocateFlags::KEEP_SIZE, offset + reserved, part) {
                Ok(()) => reserved += part,
                // Some file systems give back all of an interrupted call: where signals come
                // regularly, only calls that are short enough come to an end.
                Err(Errno::INTR) => step = (part / 2).max(LEAST_ALLOCATED_BYTES),
                Err(Errno::OPNOTSUPP | Errno::NOSYS) => break,
                Err(error) => return Err(error.into()),
            }
        }
        if reserved >= length {
            return Ok(());
        }
    }
    write_zeros(file, offset, length)
}

/// The length of a file.
///
/// Times are not asked for: after that, the next `fdatasync` behind a write writes the inode, too,
/// which takes half as long as all the rest of it (ext4 on Linux 6.18, whose times are fine only
/// when somebody looks at them). The descriptor's position, which this moves, nobody uses.
pub(crate) fn length(file: &File) -> io::Result<u64> {
    Ok(rustix::fs::seek(file, rustix::fs::SeekFrom::End(0))?)
}

/// Writes zeros.
pub(crate) fn write_zeros(file: &File, offset: u64, length: u64) -> io::Result<()> {
    check_file_limit(offset + length)?;
    static ZEROS: [u8; 1 << 17] = [0; 1 << 17];
    let mut written = 0;
    while written < length {
        let part = (length - written).min(ZEROS.len() as u64) as usize;
        file.write_all_at(&ZEROS[..part], offset + written)?;
        written += part as u64;
    }
    Ok(())
}

/// Makes a file, mode 0640, that is given its name when it has its length: no other process, and
/// nobody after a kill, finds it shorter. None where that cannot be done.
pub(crate) fn create_whole(path: &Path, size_bytes: u64) -> io::Result<Option<File>> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat, open};
        use std::os::fd::AsRawFd;
        let Some(directory) = path.parent() else { return Ok(None) };
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let Ok(file) = open(directory, flags, Mode::from_raw_mode(0o640)) else {
            return Ok(None);
        };
        let file = File::from(file);
        check_file_limit(size_bytes)?;
        file.set_len(size_bytes)?;
        let unnamed = format!("/proc/self/fd/{}", file.as_raw_fd());
        match linkat(CWD, unnamed, CWD, path, AtFlags::SYMLINK_FOLLOW) {
            // Opened anew, since a descriptor from before the name is shown as of a deleted file.
            Ok(()) => File::options().read(true).write(true).open(path).map(Some),
            Err(error @ rustix::io::Errno::EXIST) => Err(error.into()),
            Err(_) => Ok(None),
        }
    }
    #[cfg(not(target_os = "linux"))]
    Ok(None)
}

/// The parts of a range that may hold something else than zeros, in order: the file system knows
/// where a file has no data, so that gigabytes of reserved space need not be read.
pub(crate) fn data_ranges(file: &File, range: Range<u64>) -> io::Result<Vec<Range<u64>>> {
    let mut ranges = Vec::new();
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{SeekFrom, seek};
        use rustix::io::Errno;
        let mut position = range.start;
        while position < range.end {
            let start = match seek(file, SeekFrom::Data(position)) {
                Ok(start) => start,
                Err(Errno::NXIO) => break,
                Err(_) => return Ok(vec![range]),
            };
            let Ok(end) = seek(file, SeekFrom::Hole(start)) else {
                return Ok(vec![range]);
            };
            if start < range.end {
                ranges.push(start..end.min(range.end));
            }
            position = end.max(start + 1);
        }
    }
    #[cfg(not(target_os = "linux"))]
    ranges.push(range);
    Ok(ranges)
}

/// Makes the file's data durable, with the metadata needed to read it.
pub(crate) fn sync_data(file: &File) -> io::Result<()> {
    // On macOS the standard library's call is fcntl(F_FULLFSYNC).
    file.sync_data()
}

/// How full the file system of a path is.
pub(crate) fn disk_usage(path: &Path) -> io::Result<disk::DiskUsage> {
    let found = rustix::fs::statvfs(path)?;
    let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
    Ok(disk::DiskUsage {
        total_bytes: bytes(found.f_blocks),
        free_bytes: bytes(found.f_bfree),
        available_bytes: bytes(found.f_bavail),
    })
}

/// Makes creations, removals and renames in a directory durable.
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::io::Seek;

    use super::*;

    /// Each group of a synchronous store asked for all of the log file's metadata, to see that it
    /// was not cut off, and so made its own sync write the inode: 0.8 of the bare speed with one
    /// waiter, and 1.1 without.
    #[test]
    fn the_length_is_found_without_asking_for_times() {
        let mut file = tempfile::tempfile().unwrap();
        file.set_len(1 << 20).unwrap();
        assert_eq!(length(&file).unwrap(), 1 << 20);
        // Which a call that asks for metadata leaves where it is.
        assert_eq!(file.stream_position().unwrap(), 1 << 20);
    }
}
