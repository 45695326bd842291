//! A file that another program shortens while it is mapped: no signal ends the process, reads and
//! appends that met missing pages fail, and the host's own handlers work as before.
//!
//! Each case runs in a child, which is this program once more.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(unsafe_code, reason = "handlers and mappings of a host are C calls")]

use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cairnlog::{
    DamagePolicy, FlushMode, LogReader, Message, PhysicalOffset, ReadRequest, Status, Store,
    StoreOptions,
};

const CASE: &str = "CAIRNLOG_SIGBUS_CASE";
const DIRECTORY: &str = "CAIRNLOG_SIGBUS_DIRECTORY";
const SEGMENT_BYTES: u64 = 64 * 1024;

fn options() -> StoreOptions {
    let mut options = StoreOptions::default();
    options.segment_size_bytes = SEGMENT_BYTES;
    options
}

fn log_file(store: &Path) -> PathBuf {
    store.join("commitlog").join(format!("{:020}", 0))
}

fn shorten(file: &Path, length: u64) {
    File::options().write(true).open(file).unwrap().set_len(length).unwrap();
}

/// A store with ten messages of 1000 bytes, dispatched, and where they lie.
fn filled(path: &Path, options: &StoreOptions) -> (Store, Vec<PhysicalOffset>) {
    let store = Store::open(path, options).unwrap();
    let body = [b'x'; 1000];
    let append = |_| store.append(&Message::new("t", &body)).unwrap();
    let placed: Vec<_> = (0..10).map(append).collect();
    let end = placed.last().unwrap().end_offset();
    assert!(store.wait_dispatched(end, Duration::from_secs(20)).unwrap());
    (store, placed.iter().map(|placed| placed.physical_offset).collect())
}

/// An error that names the file whose pages are gone.
fn is_shortened<T>(result: cairnlog::Result<T>, file: &Path) {
    let error = result.err().unwrap();
    assert_eq!(error.status(), Status::WrongFileSize, "{error}");
    assert_eq!(error.path(), Some(file), "{error}");
    assert!(error.to_string().contains("expected 65536 bytes, found "), "{error}");
}

/// Views read before give zeros; whatever is read afterwards fails.
fn reading(path: &Path) {
    let (store, placed) = filled(path, &options());
    let reader = Store::open_reader(path, &options()).unwrap();
    let log = LogReader::open(path).unwrap();
    let view = store.read_at(placed[9]).unwrap();
    let early = store.read_at(placed[0]).unwrap();
    assert_eq!(log.entries(log.min_offset()).count(), 10);
    let file = log_file(path);
    shorten(&file, 4096);
    assert!(view.body().iter().all(|&byte| byte == 0));
    assert!(early.body().iter().all(|&byte| byte == b'x'));
    is_shortened(store.read_at(placed[9]), &file);
    assert!(store.read_at(placed[0]).is_ok());
    let scanned: Vec<_> = store.scan(store.min_offset()).unwrap().take(5).collect();
    assert!(scanned[..2].iter().all(Result::is_ok));
    is_shortened(scanned.into_iter().nth(4).unwrap(), &file);
    let request = ReadRequest::new("t", 0, 9);
    is_shortened(store.read(&request), &file);
    is_shortened(reader.read(&request), &file);
    is_shortened(reader.read_at(placed[8]), &file);
    let entries = log.entries(log.min_offset()).filter_map(Result::err).next();
    is_shortened(entries.map_or(Ok(()), Err), &file);
    // Whoever copies a view to a file gets an error of the system's, or zeros.
    let mut copy = tempfile::tempfile().unwrap();
    let _ = std::io::Write::write(&mut copy, view.body());
}

/// Pages of a whole file go, and every thread that reads them lives.
fn reading_by_many(path: &Path) {
    let (store, placed) = filled(path, &options());
    let file = log_file(path);
    let views: Vec<_> = placed.iter().map(|at| store.read_at(*at).unwrap()).collect();
    shorten(&file, 0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for view in &views {
                    assert!(view.bytes().iter().all(|&byte| byte == 0));
                }
            });
        }
    });
    is_shortened(store.read_at(placed[0]), &file);
}

/// An append into missing pages is not acknowledged, and the store takes no more.
fn appending(path: &Path) {
    let (store, placed) = filled(path, &options());
    let before = store.max_offset();
    let file = log_file(path);
    shorten(&file, 4096);
    let body = [b'y'; 1000];
    is_shortened(store.append(&Message::new("t", &body)), &file);
    assert_eq!(store.max_offset(), before);
    let refused = store.append(&Message::new("t", &body)).unwrap_err();
    assert_eq!(refused.status(), Status::Fenced);
    assert!(store.read_at(placed[0]).is_ok());
    store.close().unwrap_err();
    refused_at_opening(path, &file);
}

/// Waits until the file has no part that was reserved and not written.
fn wait_until_written(path: &Path) {
    let file = std::fs::File::open(path).unwrap();
    for _ in 0..1000 {
        let hole = rustix::fs::seek(&file, rustix::fs::SeekFrom::Hole(0)).unwrap();
        if hole == file.metadata().unwrap().len() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{} was not written ahead", path.display());
}

/// A synchronous store writes with system calls, which make the file longer again: the sync
/// notices.
fn syncing(path: &Path) {
    let mut options = options();
    options.flush_mode = FlushMode::Sync;
    let (store, placed) = filled(path, &options);
    let file = log_file(path);
    // Zeros written ahead would make the file as long as it was.
    wait_until_written(&file);
    shorten(&file, 4096);
    is_shortened(store.append(&Message::new("t", b"y")), &file);
    assert_eq!(store.append(&Message::new("t", b"y")).unwrap_err().status(), Status::Fenced);
    assert!(store.read_at(placed[0]).is_ok());
    store.close().unwrap_err();
}

/// What was acknowledged by an asynchronous store is found missing by its next flush.
fn flushing(path: &Path) {
    let (store, _) = filled(path, &options());
    shorten(&log_file(path), 0);
    is_shortened(store.flush(), &log_file(path));
    assert_eq!(store.append(&Message::new("t", b"y")).unwrap_err().status(), Status::Fenced);
}

/// Opening a file that is too short fails, and changes nothing.
fn refused_at_opening(path: &Path, file: &Path) {
    let length = || file.metadata().unwrap().len();
    let before = length();
    for policy in [DamagePolicy::Refuse, DamagePolicy::Truncate] {
        let mut options = options();
        options.damage_policy = policy;
        let refused = Store::open(path, &options).unwrap_err();
        assert_eq!(refused.status(), Status::WrongFileSize, "{refused}");
    }
    assert_eq!(length(), before);
}

/// A mapping of the host's own, of a file that is empty by now.
fn missing_page() -> *const u8 {
    let file = tempfile::tempfile().unwrap();
    file.set_len(4096).unwrap();
    let map = memmap2::MmapOptions::new().map_raw_read_only(&file).unwrap();
    let page = map.as_ptr();
    std::mem::forget(map);
    file.set_len(0).unwrap();
    page
}

/// Without the guard, the process ends.
fn off(path: &Path) {
    let mut options = options();
    options.sigbus_guard_enable = false;
    let (store, placed) = filled(path, &options);
    let view = store.read_at(placed[9]).unwrap();
    shorten(&log_file(path), 0);
    std::hint::black_box(view.body().iter().all(|&byte| byte == 0));
}

/// What the host maps is the host's matter: the signal ends it, as without us.
fn of_the_host(path: &Path) {
    let (_store, _) = filled(path, &options());
    // SAFETY: the page is mapped; that it cannot be read is what this is about.
    std::hint::black_box(unsafe { missing_page().read_volatile() });
}

static HANDLED: AtomicUsize = AtomicUsize::new(0);

extern "C" fn host_handler(_: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    HANDLED.fetch_add(1, Ordering::SeqCst);
    // SAFETY: the system's own structure.
    let info = unsafe { &*info };
    // SAFETY: the signal is about an access.
    let page = unsafe { info.si_addr() };
    let protection = libc::PROT_READ;
    let flags = libc::MAP_FIXED | libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: the test's page alone comes here.
    unsafe { libc::mmap(page, 4096, protection, flags, -1, 0) };
}

extern "C" fn count_sent(_: libc::c_int) {
    HANDLED.fetch_add(1, Ordering::SeqCst);
}

/// A handler that was there before gets what is not ours.
fn handled_by_host(path: &Path) {
    // SAFETY: sigaction is integers and pointers.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) = host_handler;
    action.sa_sigaction = handler as libc::sighandler_t;
    action.sa_flags = libc::SA_SIGINFO;
    // SAFETY: the action is whole.
    unsafe { libc::sigaction(libc::SIGBUS, &raw const action, std::ptr::null_mut()) };
    let (store, placed) = filled(path, &options());
    let view = store.read_at(placed[9]).unwrap();
    shorten(&log_file(path), 0);
    assert!(view.body().iter().all(|&byte| byte == 0));
    assert_eq!(HANDLED.load(Ordering::SeqCst), 0);
    // SAFETY: the handler puts a page there.
    assert_eq!(unsafe { missing_page().read_volatile() }, 0);
    assert_eq!(HANDLED.load(Ordering::SeqCst), 1);
    is_shortened(store.read_at(placed[9]), &log_file(path));
}

/// Also one of the old kind, for a signal that was sent.
fn sent_to_host(path: &Path) {
    let handler: extern "C" fn(libc::c_int) = count_sent;
    // SAFETY: a handler that only counts.
    unsafe { libc::signal(libc::SIGBUS, handler as libc::sighandler_t) };
    let (_store, _) = filled(path, &options());
    // SAFETY: the signal is handled.
    unsafe { libc::raise(libc::SIGBUS) };
    assert_eq!(HANDLED.load(Ordering::SeqCst), 1);
}

/// A signal that was sent, and that nobody handles, ends the process.
fn sent(path: &Path) {
    // SAFETY: what Rust installed for its stacks is of no matter here.
    unsafe { libc::signal(libc::SIGBUS, libc::SIG_DFL) };
    let (_store, _) = filled(path, &options());
    // SAFETY: ends the process.
    unsafe { libc::raise(libc::SIGBUS) };
}

/// One that the host ignores is ignored.
fn sent_and_ignored(path: &Path) {
    // SAFETY: no handler is called.
    unsafe { libc::signal(libc::SIGBUS, libc::SIG_IGN) };
    let (_store, _) = filled(path, &options());
    // SAFETY: nothing comes of it.
    unsafe { libc::raise(libc::SIGBUS) };
}

type Case = (&'static str, fn(&Path));

const SURVIVE: [Case; 8] = [
    ("reading", reading),
    ("reading_by_many", reading_by_many),
    ("appending", appending),
    ("syncing", syncing),
    ("flushing", flushing),
    ("handled_by_host", handled_by_host),
    ("sent_to_host", sent_to_host),
    ("sent_and_ignored", sent_and_ignored),
];
const END: [Case; 3] = [("off", off), ("of_the_host", of_the_host), ("sent", sent)];

/// What a child does.
#[test]
fn child() {
    let Ok(name) = std::env::var(CASE) else {
        return;
    };
    let directory = PathBuf::from(std::env::var_os(DIRECTORY).unwrap());
    let case = SURVIVE.iter().chain(&END).find(|case| case.0 == name).unwrap();
    case.1(&directory);
}

fn run(name: &str) -> (ExitStatus, String) {
    let directory = tempfile::tempdir().unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture"])
        .env(CASE, name)
        .env(DIRECTORY, directory.path())
        .output()
        .unwrap();
    (output.status, String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn the_process_survives_what_another_program_does_to_files() {
    for (name, _) in SURVIVE {
        let (status, said) = run(name);
        assert!(status.success(), "{name}: {status}: {said}");
    }
}

#[test]
fn signals_that_are_not_about_a_store_end_the_process_as_ever() {
    for (name, _) in END {
        let (status, said) = run(name);
        assert_eq!(status.signal(), Some(libc::SIGBUS), "{name}: {status}: {said}");
    }
}
