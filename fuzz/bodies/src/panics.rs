//! Panics on any thread. The engine catches those of its own threads and goes on, fenced, so nobody
//! would notice them.

use std::cell::RefCell;
use std::sync::{Mutex, Once, PoisonError};

static SEEN: Mutex<Option<String>> = Mutex::new(None);
static ONCE: Once = Once::new();

thread_local! {
    static OWN: RefCell<String> = RefCell::default();
}

/// Remembers panics, and prints none: the first of other threads than those with the name `own`,
/// and the last of each of these, who see theirs.
pub fn watch(own: &'static str) {
    std::panic::set_hook(Box::new(move |panic| {
        let thread = std::thread::current();
        if thread.name() == Some(own) {
            OWN.set(panic.to_string());
            return;
        }
        let text = format!("thread {:?}: {panic}", thread.name().unwrap_or("without a name"));
        SEEN.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(text);
    }));
}

/// Prints panics again, and remembers none.
pub fn watch_no_more() {
    drop(std::panic::take_hook());
}

/// The last panic of this thread, which is one of those that see theirs.
#[must_use]
pub fn own() -> String {
    OWN.take()
}

/// Ends the process at any panic, as libFuzzer does. The C ABI takes the hook over for itself when
/// it is first called.
pub fn abort_under_libfuzzer() {
    ONCE.call_once(|| {
        if cfg!(fuzzing) {
            std::panic::set_hook(Box::new(|panic| {
                eprintln!("{panic}\n{}", std::backtrace::Backtrace::force_capture());
                std::process::abort();
            }));
        }
    });
}

/// The panic that was remembered; it is forgotten.
pub fn take() -> Option<String> {
    SEEN.lock().unwrap_or_else(PoisonError::into_inner).take()
}
