//! Appends messages that survive a power cut, and reads them back.
//!
//! Call it with the directory of a store.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use cairnlog::{FlushMode, Message, PhysicalOffset, Store, StoreOptions};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = std::env::args().nth(1).ok_or("usage: quick_start DIRECTORY")?;

    let mut options = StoreOptions::default();
    options.flush_mode = FlushMode::Sync;
    let store = Store::open(directory, &options)?;

    let placed = store.append(&Message::new("orders", b"20 pears").tag("new"))?;
    println!("stored at {} as number {}", placed.physical_offset, placed.queue_offset);

    for message in store.scan(PhysicalOffset::new(0))? {
        let message = message?; // a view on the mapped file: nothing is copied
        println!("{}: {}", message.topic(), String::from_utf8_lossy(message.body()));
    }
    store.close()?;
    Ok(())
}
