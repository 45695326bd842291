//! Reads a queue, consumes it in a group, and appends delayed and transactional messages.
//!
//! ```sh
//! cargo run --example consume -- DIRECTORY
//! ```
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::time::Duration;

use cairnlog::{ConsumerOptions, Filter, Message, ReadRequest, StartFrom, Store, StoreOptions};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = std::env::args().nth(1).ok_or("usage: consume DIRECTORY")?;
    let mut options = StoreOptions::default();
    options.segment_size_bytes = 1 << 20;
    let store = Store::open(directory, &options)?;
    for number in 0..6 {
        let (key, weight) = (format!("order-{number}"), (number * 2).to_string());
        let (keys, properties) = ([&*key], [("weight", &*weight), ("colour", "red")]);
        let message = Message::new("orders", key.as_bytes()).keys(&keys).properties(&properties);
        store.append(&message)?;
    }
    store.wait_dispatched(store.max_offset(), Duration::from_secs(10))?;

    let wanted = Filter::sql("weight > 5 AND colour IN ('red', 'green')")?;
    let batch = store.read(&ReadRequest::new("orders", 0, 0).max_messages(100).filter(wanted))?;
    println!("{}: {} found", batch.outcome().name(), batch.messages().len());
    let found = store.query_key("orders", "order-3", 0, i64::MAX, 10)?;
    println!("by key: {}", found.len());

    let mut options = ConsumerOptions::of_topic("orders");
    options.start_from = StartFrom::First;
    let consumer = store.consumer("billing", options)?;
    for delivery in consumer.poll(32, Duration::from_secs(1))? {
        println!("billed: {}", String::from_utf8_lossy(delivery.message().body()));
        consumer.acknowledge(&delivery);
    }

    store.append(&Message::new("orders", b"remind me").delay_level(1))?; // a second later

    let transaction = store.begin_transaction(&Message::new("orders", b"paid"))?;
    transaction.commit()?; // nobody sees it before
    for expected in ["paid", "remind me"] {
        let deliveries = consumer.poll(1, Duration::from_secs(20))?;
        let delivery = deliveries.first().ok_or("nothing came")?;
        assert_eq!(delivery.message().body(), expected.as_bytes());
        consumer.acknowledge(delivery);
    }
    drop(consumer);
    store.close()?;
    Ok(())
}
