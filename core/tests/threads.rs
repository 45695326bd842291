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

/// What is left of them after a while: one that ended, and was joined, is listed for a moment more.
fn threads_left() -> Vec<String> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let left = threads();
        if left.is_empty() || Instant::now() > deadline {
            return left;
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
            assert!(threads().len() > 6, "{:?}", threads());
            if gone {
                std::fs::rename(&path, directory.path().join("elsewhere")).unwrap();
            }
            assert_eq!(store.close().is_err(), gone);
            consumer.close();
            assert_eq!(threads_left(), Vec::<String>::new(), "{mode:?}, directory gone: {gone}");
        }
    }
}
