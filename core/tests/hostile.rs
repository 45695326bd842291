//! A store directory that somebody made to do harm: opening ends with an error, or does what it
//! should. It takes bounded time and memory, and changes nothing outside the directory.
//!
//! Each case runs in a child, which is this program once more, with little address space and a
//! watchdog.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(unsafe_code, reason = "limits and the mask of modes are C calls")]

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use cairnlog::{
    DamagePolicy, LogReader, Message, QueueOffset, ReadRequest, Status, Store, StoreOptions,
};

const CASE: &str = "CAIRNLOG_HOSTILE_CASE";
const DIRECTORY: &str = "CAIRNLOG_HOSTILE_DIRECTORY";
/// Of which the C library takes 64 MiB for each thread that asks it for memory.
const ADDRESS_SPACE: u64 = 3 << 29;
const PATIENCE: Duration =
    Duration::from_secs(if cfg!(cairnlog_thread_sanitizer) { 600 } else { 60 });

fn options() -> StoreOptions {
    let mut options = StoreOptions::default();
    options.segment_size_bytes = 64 * 1024;
    options.consume_queue_file_size_bytes = 400;
    options.max_hash_slot_num = 100;
    options.max_index_num = 400;
    options
}

/// A closed store with everything in it that there can be.
fn fill(store: &Path) {
    let opened = Store::open(store, &options()).unwrap();
    let body = [b'x'; 3000];
    for number in 0..30 {
        let key = number.to_string();
        let keys = [&*key];
        opened.append(&Message::new("t", &body).keys(&keys)).unwrap();
    }
    assert!(opened.wait_dispatched(opened.max_offset(), PATIENCE).unwrap());
    opened.commit_offset("g", "t", 0, QueueOffset::new(3)).unwrap();
    opened.close().unwrap();
}

/// The files of a store that somebody may have put something else in the place of.
fn files(store: &Path) -> Vec<PathBuf> {
    let index = fs::read_dir(store.join("index")).unwrap().next().unwrap().unwrap().path();
    let names = [
        "lock",
        "checkpoint",
        "commitlog/00000000000000000000",
        "commitlog/00000000000000065536",
        "consumequeue/t/0/00000000000000000000",
        "config/topics.json",
        "config/consumerOffset.json",
    ];
    names.iter().map(|name| store.join(name)).chain([index]).collect()
}

const DIRECTORIES: [&str; 6] =
    ["commitlog", "consumequeue", "consumequeue/t", "consumequeue/t/0", "index", "config"];

/// Moves a file or directory out of the store, and leaves a link to it.
fn lead_out(path: &Path, outside: &Path) {
    let target = outside.join("target");
    fs::rename(path, &target).unwrap();
    symlink(target, path).unwrap();
}

fn make_pipe(path: &Path) {
    fs::remove_file(path).unwrap();
    let name = CString::new(path.as_os_str().as_bytes()).unwrap();
    // SAFETY: a path that ends in a zero.
    assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
}

fn make_long(path: &Path, length: u64) {
    File::options().write(true).open(path).unwrap().set_len(length).unwrap();
}

/// Opens the store in every way, and reads what can be read. The first error of `Store::open`.
fn use_in_every_way(path: &Path) -> Option<cairnlog::Error> {
    let _ = Store::plan_recovery(path, &options());
    if let Ok(log) = LogReader::open(path) {
        assert!(log.entries(log.min_offset()).count() < 1000);
    }
    if let Ok(reader) = Store::open_reader(path, &options()) {
        for offset in [0, 5, 29, i64::MAX] {
            let _ = reader.read(&ReadRequest::new("t", 0, offset));
        }
        let _ = reader.query_key("t", "7", 0, i64::MAX, 10);
        reader.close();
    }
    let mut first = None;
    for policy in [DamagePolicy::Refuse, DamagePolicy::Truncate] {
        let mut options = options();
        options.damage_policy = policy;
        match Store::open(path, &options) {
            Ok(store) => {
                for offset in [0, 5, 29, i64::MAX] {
                    let _ = store.read(&ReadRequest::new("t", 0, offset));
                }
                let _ = store.query_key("t", "7", 0, i64::MAX, 10);
                let _ = store.append(&Message::new("t", b"more"));
                let _ = store.close();
            }
            Err(error) => first = first.or(Some(error)),
        }
    }
    first
}

/// What lies in a directory.
fn content(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(content(&path));
            found.insert(path, Vec::new());
        } else {
            found.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    found
}

/// Refused with this status, and with nothing changed outside.
fn refused(store: &Path, outside: &Path, status: Status, at: &str) {
    let before = content(outside);
    let error = use_in_every_way(store).unwrap_or_else(|| panic!("{at}: the store was opened"));
    assert_eq!(error.status(), status, "{at}: {error}");
    assert!(content(outside) == before, "{at}: something was changed outside the store");
}

/// A new store for each, and a directory outside of it.
fn each(directory: &Path, count: usize, mut run: impl FnMut(usize, &Path, &Path)) {
    fill(&directory.join("model"));
    for number in 0..count {
        let at = directory.join(number.to_string());
        let (store, outside) = (at.join("store"), at.join("outside"));
        copy(&directory.join("model"), &store);
        fs::create_dir(&outside).unwrap();
        run(number, &store, &outside);
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn linked_files(directory: &Path) {
    each(directory, 8, |number, store, outside| {
        let file = files(store).remove(number);
        lead_out(&file, outside);
        refused(store, outside, Status::ForeignFile, &file.display().to_string());
    });
}

fn linked_directories(directory: &Path) {
    each(directory, DIRECTORIES.len(), |number, store, outside| {
        lead_out(&store.join(DIRECTORIES[number]), outside);
        refused(store, outside, Status::ForeignFile, DIRECTORIES[number]);
    });
}

/// Links to what is not there yet: whoever follows them makes files outside.
fn dangling(directory: &Path) {
    let names = ["lock", "lost+found", "checkpoint", "batchconsumequeue", "commitlog"];
    each(directory, names.len(), |number, store, outside| {
        let path = store.join(names[number]);
        let _ = fs::remove_file(&path);
        let _ = fs::remove_dir_all(&path);
        symlink(outside.join("made"), &path).unwrap();
        refused(store, outside, Status::ForeignFile, names[number]);
    });
}

/// Nobody writes to the pipes: to open one for reading would wait for ever.
fn pipes(directory: &Path) {
    each(directory, 8, |number, store, outside| {
        let file = files(store).remove(number);
        make_pipe(&file);
        refused(store, outside, Status::ForeignFile, &file.display().to_string());
    });
}

fn sockets_and_devices(directory: &Path) {
    each(directory, 8, |number, store, outside| {
        let file = files(store).remove(number);
        fs::remove_file(&file).unwrap();
        // The path of a socket is short.
        let near = directory.join("s");
        drop(UnixListener::bind(&near).unwrap());
        fs::rename(&near, &file).unwrap();
        refused(store, outside, Status::ForeignFile, &file.display().to_string());
    });
    each(&directory.join("devices"), 8, |number, store, outside| {
        let file = files(store).remove(number);
        fs::remove_file(&file).unwrap();
        symlink("/dev/zero", &file).unwrap();
        refused(store, outside, Status::ForeignFile, &file.display().to_string());
    });
}

/// Files that are directories.
fn directories_for_files(directory: &Path) {
    each(directory, 8, |number, store, outside| {
        let file = files(store).remove(number);
        fs::remove_file(&file).unwrap();
        fs::create_dir(&file).unwrap();
        let before = content(outside);
        use_in_every_way(store);
        assert!(content(outside) == before);
    });
}

/// Files of a terabyte, without any data.
fn long_files(directory: &Path) {
    each(directory, 8, |number, store, outside| {
        let file = files(store).remove(number);
        make_long(&file, 1 << 40);
        let before = content(outside);
        use_in_every_way(store);
        assert!(content(outside) == before);
    });
}

fn json_bombs(directory: &Path) {
    let state = ["config/topics.json", "config/consumerOffset.json"];
    let bomb = |number: usize| match number {
        0 => "{\"a\":".repeat(1_000_000),
        1 => format!("{{\"offsetTable\":[{}0]}}", "0,".repeat(30_000_000)),
        2 => format!("{{{}\"b\":{{}}}}", "\"a\":{},".repeat(8_000_000)),
        _ => format!("{{\"x\":\"{}\"}}", "y".repeat(70 << 20)),
    };
    each(directory, 8, |number, store, outside| {
        let file = store.join(state[number % 2]);
        fs::write(&file, bomb(number / 2)).unwrap();
        fs::copy(&file, format!("{}.bak", file.display())).unwrap();
        refused(store, outside, Status::Corruption, &format!("bomb {number}"));
    });
}

/// Many entries of many lengths in the log's directory, and many topics.
fn many_entries(directory: &Path) {
    each(directory, 2, |number, store, outside| {
        for at in 0..60_000u64 {
            if number == 0 {
                let path = store.join(format!("commitlog/{:020}", 65_536 * (at + 2)));
                File::create(path).unwrap().set_len(at).unwrap();
            } else if at < 20_000 {
                fs::create_dir_all(store.join(format!("consumequeue/topic{at}/0"))).unwrap();
            }
        }
        match number {
            0 => refused(store, outside, Status::WrongFileSize, "many files"),
            _ => assert!(use_in_every_way(store).is_none()),
        }
    });
}

/// The greatest offsets there can be: nothing overflows.
fn last_offsets(directory: &Path) {
    each(directory, 2, |number, store, _| {
        let last = (i64::MAX as u64) / 65_536 * 65_536;
        fs::remove_dir_all(store.join("commitlog")).unwrap();
        fs::remove_file(store.join("checkpoint")).unwrap();
        fs::create_dir(store.join("commitlog")).unwrap();
        let file = store.join(format!("commitlog/{last:020}"));
        File::create(&file).unwrap().set_len(65_536).unwrap();
        if number == 1 {
            let queue = store.join("consumequeue/t/0");
            let from = queue.join(format!("{:020}", 0));
            let start = (i64::MAX as u64) / 400 * 400;
            fs::rename(from, queue.join(format!("{start:020}"))).unwrap();
        }
        use_in_every_way(store);
        if let Ok(store) = Store::open(store, &options()) {
            let body = vec![0; 30_000];
            for _ in 0..5 {
                let _ = store.append(&Message::new("t", &body));
            }
            let _ = store.close();
        }
    });
}

/// Everything is made with mode 0640 at most, and less where the process says so.
fn modes(directory: &Path) {
    for (mask, file_mode, directory_mode) in [(0, 0o640, 0o750), (0o077, 0o600, 0o700)] {
        // SAFETY: this process has one thread that makes files.
        unsafe { libc::umask(mask) };
        let store = directory.join(format!("{mask}"));
        fill(&store);
        let _ = fs::remove_file(store.join("abort"));
        let modes = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(modes(&store), directory_mode, "{}", store.display());
        for (path, content) in content(&store) {
            let expected = if path.is_dir() { directory_mode } else { file_mode };
            assert_eq!(modes(&path), expected, "{}: {} bytes", path.display(), content.len());
        }
    }
}

type Case = (&'static str, fn(&Path));

const CASES: [Case; 11] = [
    ("linked_files", linked_files),
    ("linked_directories", linked_directories),
    ("dangling", dangling),
    ("pipes", pipes),
    ("sockets_and_devices", sockets_and_devices),
    ("directories_for_files", directories_for_files),
    ("long_files", long_files),
    ("json_bombs", json_bombs),
    ("many_entries", many_entries),
    ("last_offsets", last_offsets),
    ("modes", modes),
];

/// What a child does.
#[test]
fn child() {
    let Ok(name) = std::env::var(CASE) else {
        return;
    };
    let limit = libc::rlimit { rlim_cur: ADDRESS_SPACE, rlim_max: ADDRESS_SPACE };
    // A sanitizer has reserved thousands of times that.
    if !cfg!(any(cairnlog_address_sanitizer, cairnlog_thread_sanitizer)) {
        // SAFETY: a whole limit.
        unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const limit) };
    }
    let directory = PathBuf::from(std::env::var_os(DIRECTORY).unwrap());
    let case = CASES.iter().find(|case| case.0 == name).unwrap();
    case.1(&directory);
}

#[test]
fn hostile_directories_do_no_harm() {
    for (name, _) in CASES {
        let directory = tempfile::tempdir().unwrap();
        let started = Instant::now();
        let errors = tempfile::NamedTempFile::new().unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture"])
            .env(CASE, name)
            .env(DIRECTORY, directory.path())
            .stdout(Stdio::null())
            .stderr(errors.reopen().unwrap())
            .spawn()
            .unwrap();
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if started.elapsed() > PATIENCE {
                child.kill().unwrap();
                child.wait().unwrap();
                panic!("{name}: it never ends: {}", fs::read_to_string(errors.path()).unwrap());
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        let said = fs::read_to_string(errors.path()).unwrap();
        assert!(status.success(), "{name}: {status}: {said}");
    }
}
