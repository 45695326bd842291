//! Processes and machine: the lock that keeps others out, children made by `fork`, boot, clock.
#![allow(
    unsafe_code,
    reason = "fcntl locks with their holder, the fork handler and a coarse clock are C calls"
)]

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// Why a lock was not had.
#[derive(Debug)]
pub(crate) enum LockRefused {
    /// Another process holds it; its id, where the system tells.
    Held(Option<i32>),
    /// The system could not say.
    Failed(io::Error),
}

/// Takes the exclusive lock on the file's first byte, the range RocketMQ locks. The system gives
/// it up when this process closes any descriptor of the file, or ends.
pub(crate) fn try_lock(file: &File) -> Result<(), LockRefused> {
    let mut request = first_byte_write_lock();
    // SAFETY: the descriptor is open while `file` lives, and `request` is a whole flock.
    let done = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLK, &raw mut request) };
    if done == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    if !matches!(error.raw_os_error(), Some(libc::EACCES | libc::EAGAIN)) {
        return Err(LockRefused::Failed(error));
    }
    let mut holder = first_byte_write_lock();
    // SAFETY: as above; the call fills in `holder`.
    let done = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETLK, &raw mut holder) };
    let known = done == 0 && holder.l_type != libc::F_UNLCK as libc::c_short && holder.l_pid > 0;
    Err(LockRefused::Held(known.then_some(holder.l_pid)))
}

/// Opens the file that is locked, making it if need be.
pub(crate) fn open_lock_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o640);
    super::only_a_file(path, &options)
}

/// What tells a file from every other one on the machine, whatever its path: device and inode.
pub(crate) fn file_identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

fn first_byte_write_lock() -> libc::flock {
    // SAFETY: flock is a C struct of integers, for which zero is a value.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = libc::F_WRLCK as libc::c_short;
    lock.l_whence = libc::SEEK_SET as libc::c_short;
    lock.l_len = 1;
    lock
}

static FORKS: AtomicU64 = AtomicU64::new(0);
static WATCHES: AtomicUsize = AtomicUsize::new(0);
static FORKED_WHILE_WATCHED: AtomicBool = AtomicBool::new(false);

extern "C" fn count_fork() {
    FORKS.fetch_add(1, Ordering::Relaxed);
    if WATCHES.load(Ordering::Relaxed) > 0 {
        FORKED_WHILE_WATCHED.store(true, Ordering::Relaxed);
    }
}

/// Whether this process was forked while a store was open in its parent. The locks of such a child
/// may still know threads of the parent, so nothing that waits can be used in it.
pub(crate) fn forked_while_open() -> bool {
    FORKED_WHILE_WATCHED.load(Ordering::Relaxed)
}

/// Tells a child made by `fork` from the process that made the watch. Kept while a store is open.
#[derive(Debug)]
pub(crate) struct ForkWatch {
    forks: u64,
    ended: AtomicBool,
}

impl ForkWatch {
    /// Watches from now on.
    pub(crate) fn new() -> Self {
        static HANDLER: Once = Once::new();
        HANDLER.call_once(|| {
            // SAFETY: the handler only adds to an atomic, which is allowed in a forked child.
            let failed = unsafe { libc::pthread_atfork(None, None, Some(count_fork)) };
            if failed != 0 {
                tracing::warn!("no fork handler: children made by fork are not recognised");
            }
        });
        WATCHES.fetch_add(1, Ordering::Relaxed);
        Self { forks: FORKS.load(Ordering::Relaxed), ended: AtomicBool::new(false) }
    }

    /// The store was closed, its threads have ended: children may open stores of their own.
    pub(crate) fn end(&self) {
        if !self.ended.swap(true, Ordering::Relaxed) {
            WATCHES.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Whether this process is a child of the one that made the watch.
    pub(crate) fn is_child(&self) -> bool {
        FORKS.load(Ordering::Relaxed) != self.forks
    }
}

impl Drop for ForkWatch {
    fn drop(&mut self) {
        self.end();
    }
}

/// A number that is the same until the machine boots again, if there is one.
pub(crate) fn boot_id() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).take(16).collect();
    u64::from_str_radix(&digits, 16).ok()
}

/// Milliseconds of a monotonic clock that costs next to nothing and is a few milliseconds coarse.
#[inline]
pub(crate) fn coarse_monotonic_ms() -> Option<u64> {
    #[cfg(target_os = "linux")]
    return Some(time(libc::CLOCK_MONOTONIC_COARSE)?.0.cast_unsigned());
    #[cfg(not(target_os = "linux"))]
    None
}

/// Milliseconds since the Unix epoch, and the nanoseconds of the millisecond that has begun.
#[inline]
pub(crate) fn wall_time() -> Option<(i64, u32)> {
    time(libc::CLOCK_REALTIME)
}

#[inline]
fn time(clock: libc::clockid_t) -> Option<(i64, u32)> {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a whole timespec; a clock the system does not know is an error.
    let failed = unsafe { libc::clock_gettime(clock, &raw mut now) };
    let milliseconds = now.tv_sec * 1000 + now.tv_nsec / 1_000_000;
    // Less than a million.
    (failed == 0).then_some((milliseconds, (now.tv_nsec % 1_000_000) as u32))
}
