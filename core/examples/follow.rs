//! Follows a queue as it grows: with an iterator, and from a task.
//!
//! ```sh
//! cargo run --example follow -- DIRECTORY
//! ```
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use cairnlog::{Filter, Message, QueueOffset, Result, Store, StoreOptions};

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let directory = std::env::args().nth(1).ok_or("usage: follow DIRECTORY")?;
    let mut options = StoreOptions::default();
    options.segment_size_bytes = 1 << 20;
    options.on_recovery_progress(|progress| {
        let (done, total) = (progress.bytes_done, progress.bytes_total);
        println!("{}: {done} of {total} bytes", progress.phase.name());
    });
    let store = Store::open(directory, &options)?;
    store.append(&Message::new("orders", b"one"))?;
    store.append(&Message::new("orders", b"two"))?;

    let mut tail = store.tail("orders", 0, QueueOffset::new(0), Filter::all())?;
    while let Some(message) = tail.next_timeout(Duration::from_secs(1))? {
        println!("{}", String::from_utf8_lossy(message.body()));
    }
    thread::scope(|scope| {
        let task = scope.spawn(|| block_on(follow(&store, tail.offset())));
        store.append(&Message::new("orders", b"three"))?;
        store.append(&Message::new("orders", b"the last"))?;
        task.join().map_err(|_| "the task panicked")??;
        Ok::<(), Box<dyn std::error::Error>>(())
    })?;
    store.close()?;
    Ok(())
}

async fn follow(store: &Store, from: QueueOffset) -> Result<()> {
    let mut tail = store.tail_async("orders", 0, from, Filter::all())?;
    while let Some(message) = tail.next().await {
        let message = message?;
        println!("in a task: {}", String::from_utf8_lossy(message.body()));
        if message.body() == b"the last" {
            break;
        }
    }
    Ok(())
}

/// What a runtime does, for one task.
fn block_on<T>(task: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut task = pin!(task);
    loop {
        match task.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(outcome) => return outcome,
            Poll::Pending => thread::park(),
        }
    }
}
