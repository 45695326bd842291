//! One defect of each kind, which the sanitizer that this is built with has to report. Built as a
//! program and as a library: `defect` is called from Rust, C and Python.
#![allow(dead_code, reason = "a library has no use for main")]

use std::cell::UnsafeCell;
use std::hint::black_box;
use std::thread;

struct Shared(UnsafeCell<u64>);

// SAFETY: none: this is the defect.
unsafe impl Sync for Shared {}

/// Reads memory that was freed.
fn use_after_free() -> u64 {
    let freed = black_box(Box::into_raw(Box::new(7u64)));
    // SAFETY: it came from a box.
    drop(unsafe { Box::from_raw(freed) });
    // SAFETY: none: this is the defect.
    black_box(unsafe { *freed })
}

/// Has two threads write what neither guards.
fn race() -> u64 {
    let shared = Shared(UnsafeCell::new(0));
    let write = |shared: &Shared| {
        for _ in 0..1000 {
            // SAFETY: none: this is the defect.
            unsafe { *black_box(shared.0.get()) += 1 };
        }
    };
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| write(&shared));
        }
    });
    shared.0.into_inner()
}

/// The defect that a sanitizer reports: 1 is that of AddressSanitizer, 2 that of ThreadSanitizer, 0
/// is none.
#[unsafe(no_mangle)]
pub extern "C" fn defect(kind: i32) -> u64 {
    match kind {
        1 => use_after_free(),
        2 => race(),
        _ => 0,
    }
}

fn main() {
    let kind = std::env::args().nth(1).and_then(|kind| kind.parse().ok());
    println!("{}", defect(kind.unwrap_or(0)));
}
