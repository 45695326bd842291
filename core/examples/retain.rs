//! Keeps the newest megabyte of a log.
//!
//! ```sh
//! cargo run --example retain -- DIRECTORY
//! ```
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use cairnlog::{Message, Store, StoreOptions};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = std::env::args().nth(1).ok_or("usage: retain DIRECTORY")?;
    let mut options = StoreOptions::default();
    options.segment_size_bytes = 256 << 10;
    options.max_total_bytes = 1 << 20;
    options.retention_enable = true; // every 10 seconds, by itself
    let store = Store::open(directory, &options)?;
    for _ in 0..2000 {
        store.append(&Message::new("orders", &[7; 1000]))?;
    }
    store.flush()?;
    store.wait_dispatched(store.max_offset(), std::time::Duration::from_secs(10))?;
    let removed = store.remove_expired()?; // or now
    println!("{} files, {} bytes", removed.files, removed.bytes);
    println!("{} bytes are left", store.max_offset().get() - store.min_offset().get());
    store.close()?;
    Ok(())
}
