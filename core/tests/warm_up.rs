//! Warm-up: new files are touched and locked in memory whole, and unlocked some seconds after the
//! log has gone on in the next file, when their dirty pages have had time to be flushed.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use cairnlog::{Message, Store, StoreOptions};

const SEGMENT: u64 = 64 * 1024;

/// What a locked file has. Under a sanitizer locking does nothing.
const LOCKED_KIB: u64 =
    if cfg!(any(cairnlog_address_sanitizer, cairnlog_thread_sanitizer)) { 0 } else { 64 };

/// How many KiB of a mapped file are resident and locked, as the system counts them.
fn resident_and_locked_kib(file_name: &str) -> Option<(u64, u64)> {
    let smaps = std::fs::read_to_string("/proc/self/smaps").unwrap();
    let mut lines = smaps.lines().skip_while(|line| !line.ends_with(file_name));
    lines.next()?;
    let mut field = |name: &str| {
        let line = lines.find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    Some((field("Rss:"), field("Locked:")))
}

#[test]
fn warm_files_are_locked_until_some_seconds_after_their_end() {
    let directory = tempfile::tempdir().unwrap();
    let mut options = StoreOptions::default();
    options.segment_size_bytes = SEGMENT;
    options.warm_mapped_file_enable = true;
    let store = Store::open(directory.path(), &options).unwrap();
    store.append(&Message::new("t", b"one")).unwrap();
    let (first, second) = (format!("/{:020}", 0), format!("/{SEGMENT:020}"));
    assert_eq!(resident_and_locked_kib(&first), Some((64, LOCKED_KIB)));

    let body = vec![1; 60_000];
    let placed = store.append(&Message::new("t", &body)).unwrap();
    assert!(placed.physical_offset.get() < SEGMENT);
    let placed = store.append(&Message::new("t", &body)).unwrap();
    assert_eq!(placed.physical_offset.get(), SEGMENT);
    assert_eq!(resident_and_locked_kib(&second), Some((64, LOCKED_KIB)));
    assert_eq!(resident_and_locked_kib(&first), Some((64, LOCKED_KIB)), "still to be flushed");
    while resident_and_locked_kib(&first) != Some((64, 0)) {
        std::thread::sleep(Duration::from_millis(50));
    }
    store.close().unwrap();
    assert_eq!(resident_and_locked_kib(&second), None, "unmapped with the store");
}
