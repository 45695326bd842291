//! No thread of a store outlives it, also when it could not be closed as it should.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![cfg(target_os = "linux")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use cairnlog::{
    ConsumeStatus, ConsumerOptions, Delivery, FlushMode, Message, PushOptions, Store, StoreOptions,
};

/// The names of the threads that cairnlog started in this process.
fn threads() -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let names =
        tasks.filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")).ok());
    names.map(|name| name.trim().to_owned()).filter(|name| name.starts_with("cairn-")).collect()
}

/// Those of them that there are when they are as they should be, or after a while. One gives itself
/// its name when it first runs; one that ended, and was joined, is listed for a moment more.
fn threads_when(right: impl Fn(usize) -> bool) -> Vec<String> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let names = threads();
        if right(names.len()) || Instant::now() > deadline {
            return names;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Closing a store whose directory was gone left its dispatcher running, and it never slept.
#[test]
fn no_thread_is_left_behind() {
    for mode in [FlushMode::Async, FlushMode::Sync] {
        for gone in [false, true] {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("store");
            let mut options = StoreOptions::default();
            options.segment_size_bytes = 64 * 1024;
            options.flush_mode = mode;
            options.retention_enable = true;
            let store = Store::open(&path, &options).unwrap();
            let listener = |_: &[Delivery]| ConsumeStatus::Success;
            let topic = ConsumerOptions::of_topic("t");
            let push = PushOptions::default();
            let consumer = store.push_consumer("g", topic, push, Arc::new(listener)).unwrap();
            store.append(&Message::new("t", b"x").keys(&["k"]).delay_level(1)).unwrap();
            store.append(&Message::new("t", b"y").keys(&["k"])).unwrap();
            let running = threads_when(|count| count > 6);
            assert!(running.len() > 6, "{running:?}");
            if gone {
                std::fs::rename(&path, directory.path().join("elsewhere")).unwrap();
            }
            assert_eq!(store.close().is_err(), gone);
            consumer.close();
            let left = threads_when(|count| count == 0);
            assert_eq!(left, Vec::<String>::new(), "{mode:?}, directory gone: {gone}");
        }
    }
}
