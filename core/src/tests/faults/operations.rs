//! What is done on a disk that fails.

use std::time::Duration;

use super::super::scene::Scene;
use super::run::Run;
use crate::{
    ConsumerOptions, EncodedBatch, FlushMode, Message, QueueOffset, ReadRequest, encode_batch_item,
};

/// Something that is done to a store.
pub(super) struct Operation {
    pub(super) name: &'static str,
    pub(super) scene: fn() -> Scene,
    /// What happens before, on a disk that works.
    pub(super) before: fn(&mut Run),
    pub(super) act: fn(&mut Run),
}

macro_rules! operations {
    ($($name:literal: $scene:expr, $before:expr => $act:expr;)+) => {
        /// All of them.
        pub(super) const OPERATIONS: &[Operation] =
            &[$(Operation { name: $name, scene: $scene, before: $before, act: $act },)+];
    };
}

operations! {
    "open_new": asynchronous, |_| {} => open_and_append;
    "open_clean": asynchronous, closed => open_and_append;
    "open_clean_sync": synchronous, closed => open_and_append;
    "open_crashed": asynchronous, crashed => open_and_append;
    "open_crashed_sync": synchronous, crashed => open_and_append;
    "open_unnoted": asynchronous, crashed_without_checkpoint => open_and_append;
    "open_without_queues": without_queues, closed => open_and_append;
    "open_pool": pool, closed => open_and_append;
    "append_first": asynchronous, opened => append_some;
    "append": asynchronous, filled => append_some;
    "append_sync": synchronous, filled => append_some;
    "append_unwaited": synchronous, filled => append_unwaited;
    "append_pool": pool, filled => append_and_flush;
    "append_pool_sync": pool_sync, filled => append_some;
    "append_handle": synchronous, filled => append_by_handle;
    "append_batch": synchronous, filled => append_batches;
    "append_many": synchronous, filled => append_many;
    "append_async": synchronous, filled => append_async;
    "append_async_unwaited": synchronous, filled => append_async_unwaited;
    "append_reserving": reserving, filled => append_and_reserve;
    "append_warm": warm, opened => append_and_roll;
    "flush": asynchronous, filled => append_and_flush;
    "rollover": asynchronous, filled => append_and_roll;
    "rollover_sync": synchronous, filled => append_and_roll;
    "rollover_pool": pool, filled => append_and_roll;
    "dispatch": busy_queues, filled => append_and_dispatch;
    "dispatch_topics": busy_queues, opened => append_to_topics;
    "index": small_index, filled => append_keys;
    "query": small_index, with_keys => query;
    "read": asynchronous, filled => read;
    "read_after_opening": asynchronous, reopened => read;
    "offsets": asynchronous, filled => commit_offsets;
    "consume": asynchronous, filled => consume;
    "retention": small_files, with_files => remove_files;
    "delay": asynchronous, filled => delay;
    "delay_delivery": asynchronous, delayed => deliver;
    "transactions": asynchronous, filled => transactions;
    "transactions_sync": synchronous, filled => transactions;
    "close": asynchronous, filled => close;
    "close_sync": synchronous, filled => close;
    "close_without_queues": without_queues, reopened => append_and_close;
    "close_pool": pool, with_files => close;
    "close_all": small_index, with_all => close;
}

fn asynchronous() -> Scene {
    Scene::new(FlushMode::Async)
}

fn without_queues() -> Scene {
    let mut scene = asynchronous();
    scene.options.consume_queue_enable = false;
    scene
}

fn synchronous() -> Scene {
    Scene::new(FlushMode::Sync)
}

/// Space is reserved in small steps.
fn reserving() -> Scene {
    let mut scene = synchronous();
    scene.options.segment_size_bytes = 4 << 20;
    scene.options.reserve_ahead_bytes = 1 << 20;
    scene
}

fn pool() -> Scene {
    Scene::with_pool(FlushMode::Async, 2)
}

fn pool_sync() -> Scene {
    Scene::with_pool(FlushMode::Sync, 2)
}

fn warm() -> Scene {
    let mut scene = asynchronous();
    scene.options.warm_mapped_file_enable = true;
    scene
}

/// Queues are made durable as soon as they have something.
fn busy_queues() -> Scene {
    let mut scene = asynchronous();
    scene.options.flush_consume_queue_interval_ms = 1;
    scene.options.consume_queue_file_size_bytes = 40;
    scene
}

fn small_files() -> Scene {
    let mut scene = asynchronous();
    scene.options.consume_queue_file_size_bytes = 40;
    scene.options.max_index_num = 4;
    scene
}

/// A file of the index is full after three keys.
fn small_index() -> Scene {
    let mut scene = asynchronous();
    scene.options.max_index_num = 4;
    scene.options.flush_consume_queue_interval_ms = 1;
    scene
}

fn opened(run: &mut Run) {
    run.open();
}

fn filled(run: &mut Run) {
    run.open();
    for _ in 0..3 {
        run.append("t", 1000);
    }
    run.store().unwrap().flush().unwrap();
    run.wait_dispatched();
}

fn closed(run: &mut Run) {
    filled(run);
    run.close().unwrap().unwrap();
}

fn reopened(run: &mut Run) {
    closed(run);
    run.open();
}

fn with_files(run: &mut Run) {
    run.open();
    for _ in 0..8 {
        run.append_by("t", 20_000, |store, message| store.append(&message.keys(&["key"])));
    }
    if run.scene.options.transient_store_pool_enable {
        return;
    }
    run.store().unwrap().flush().unwrap();
    run.wait_dispatched();
}

fn with_keys(run: &mut Run) {
    run.open();
    append_keys(run);
}

fn with_all(run: &mut Run) {
    with_keys(run);
    delay(run);
    transactions(run);
    commit_offsets(run);
}

/// Killed with a torn record at the end, and with queues and index behind.
fn crashed(run: &mut Run) {
    closed(run);
    run.open();
    for _ in 0..5 {
        run.append_by("t", 20_000, |store, message| store.append(&message.keys(&["key"])));
    }
    run.store().unwrap().flush().unwrap();
    run.wait_dispatched();
    let end = run.store().unwrap().max_offset().get();
    run.crash();
    run.scene.overwrite(end, b"torn bytes");
}

fn crashed_without_checkpoint(run: &mut Run) {
    crashed(run);
    run.scene.forget_checkpoint();
}

fn delayed(run: &mut Run) {
    filled(run);
    delay(run);
}

fn open_and_append(run: &mut Run) {
    run.open();
    run.append("t", 1000);
    run.wait_dispatched();
}

fn append_some(run: &mut Run) {
    for _ in 0..4 {
        run.append("t", 1000);
    }
}

fn append_unwaited(run: &mut Run) {
    for _ in 0..4 {
        run.append_unwaited(1000, |store, message| store.append(message));
    }
}

fn append_and_flush(run: &mut Run) {
    append_some(run);
    flush(run);
    append_some(run);
    flush(run);
}

fn flush(run: &mut Run) {
    let Some(store) = run.store() else { return };
    match store.flush() {
        Ok(()) => {
            assert!(store.durable_offset() >= store.max_offset());
            run.flushed();
        }
        Err(error) => run.check_error("flushing", &error),
    }
}

fn append_and_roll(run: &mut Run) {
    for _ in 0..6 {
        run.append("t", 25_000);
    }
    flush(run);
}

fn append_and_reserve(run: &mut Run) {
    for _ in 0..3 {
        run.append("t", 500_000);
        run.append("t", 500);
    }
}

fn append_by_handle(run: &mut Run) {
    for _ in 0..4 {
        run.append_by("t", 1000, |store, message| store.queue("t", 0)?.append(message));
    }
}

fn append_batches(run: &mut Run) {
    for inner in [false, true, false, true] {
        let topic = if inner { "inner" } else { "t" };
        let bodies: Vec<_> = (0..3).map(|number| run.body_of(number, 400)).collect();
        let mut items = Vec::new();
        for body in &bodies {
            encode_batch_item(&mut items, 0, body, b"").unwrap();
        }
        let batch = EncodedBatch { shared: Message::new(topic, b""), items: &items };
        let begun = run.scene.disk.made_count();
        let Some(store) = run.store() else { return };
        let result =
            if inner { store.append_inner_batch(&batch) } else { store.append_batch(&batch) };
        // The record of an inner batch has all of them for its body.
        run.told(topic, if inner { vec![items] } else { bodies }, begun, result);
    }
}

fn append_many(run: &mut Run) {
    for _ in 0..2 {
        let bodies: Vec<_> = (0..4).map(|number| run.body_of(number, 2000)).collect();
        let messages: Vec<_> = bodies.iter().map(|body| Message::new("t", body)).collect();
        let begun = run.scene.disk.made_count();
        let Some(store) = run.store() else { return };
        let mut results = Vec::new();
        let outcome = store.append_many(&messages, &mut results);
        for (number, body) in bodies.iter().enumerate() {
            let told = match (&outcome, results.get(number)) {
                (Ok(()), Some(placed)) => Ok(*placed),
                (Err(error), Some(placed)) => Err(error.clone().with_appended(*placed)),
                // Behind the first that was refused.
                (Err(error), None) => Err(error.clone()),
                (Ok(()), None) => panic!("a message was neither appended nor refused"),
            };
            run.told("t", vec![body.clone()], begun, told);
        }
    }
}

fn append_async(run: &mut Run) {
    for _ in 0..4 {
        run.append_by("t", 1000, |store, message| store.append_async(message)?.wait());
    }
}

fn append_async_unwaited(run: &mut Run) {
    for _ in 0..4 {
        run.append_unwaited(1000, |store, message| store.append_async(message)?.wait());
    }
}

fn append_and_dispatch(run: &mut Run) {
    for _ in 0..3 {
        append_some(run);
        run.wait_dispatched();
        std::thread::sleep(Duration::from_millis(3));
    }
}

fn append_to_topics(run: &mut Run) {
    for topic in ["t", "u", "v"] {
        run.append(topic, 500);
        run.wait_dispatched();
    }
    std::thread::sleep(Duration::from_millis(3));
}

fn append_keys(run: &mut Run) {
    for _ in 0..5 {
        run.append_by("t", 500, |store, message| store.append(&message.keys(&["key", "other"])));
        run.wait_dispatched();
    }
}

fn query(run: &mut Run) {
    let Some(store) = run.store() else { return };
    for _ in 0..3 {
        match store.query_key("t", "key", 0, i64::MAX, 100) {
            Ok(found) => assert_eq!(found.len(), 5, "a key is not found"),
            Err(error) => run.check_error("a query", &error),
        }
    }
}

fn read(run: &mut Run) {
    let Some(store) = run.store() else { return };
    for offset in [0, 1, 2] {
        match store.read(&ReadRequest::new("t", 0, offset)) {
            Ok(batch) => assert_eq!(batch.messages().len() as i64, 3 - offset),
            Err(error) => run.check_error("reading", &error),
        }
        let found = store.read_at(store.min_offset()).unwrap();
        assert_eq!(found.queue_offset().get(), 0);
    }
}

fn commit_offsets(run: &mut Run) {
    for value in 1..=3 {
        let Some(store) = run.store() else { return };
        if let Err(error) = store.commit_offset("group", "t", 0, QueueOffset::new(value)) {
            run.check_error("committing", &error);
            continue;
        }
        match store.persist_offsets() {
            Ok(()) => run.offset = Some((value, true)),
            Err(error) => {
                run.check_error("storing offsets", &error);
                // Closing stores it, if it can.
                run.offset = Some((value, false));
            }
        }
    }
}

fn consume(run: &mut Run) {
    let Some(store) = run.store() else { return };
    let consumer = match store.consumer("group", ConsumerOptions::of_topic("t")) {
        Ok(consumer) => consumer,
        Err(error) => return run.check_error("joining", &error),
    };
    match consumer.poll(10, Duration::from_millis(200)) {
        Ok(deliveries) => deliveries.iter().for_each(|delivery| {
            consumer.acknowledge(delivery);
        }),
        Err(error) => run.check_error("polling", &error),
    }
    if let Err(error) = consumer.commit() {
        run.check_error("storing offsets", &error);
    }
    consumer.close();
}

fn remove_files(run: &mut Run) {
    let Some(store) = run.store() else { return };
    for _ in 0..3 {
        if let Err(error) = store.remove_before(store.max_offset()) {
            run.check_error("removing", &error);
        }
    }
}

fn delay(run: &mut Run) {
    for _ in 0..3 {
        run.append_by("delayed", 500, |store, message| store.append(&message.delay_level(1)));
        run.wait_dispatched();
    }
}

fn deliver(run: &mut Run) {
    for _ in 0..3 {
        run.scene.clock.turn_wall(20_000);
        run.scene.clock.pass(20_000);
        let Some(store) = run.store() else { return };
        store.deliver_due();
        run.wait_dispatched();
    }
}

fn transactions(run: &mut Run) {
    for commit in [true, false, true] {
        let body = run.body(2000);
        let Some(store) = run.store() else { return };
        let transaction = match store.begin_transaction(&Message::new("t", &body)) {
            Ok(transaction) => transaction,
            Err(error) => {
                run.check_error("beginning a transaction", &error);
                run.unclear("t", body);
                continue;
            }
        };
        if commit {
            let begun = run.scene.disk.made_count();
            // The half message has the body, too, so one that was not committed is not missed.
            match transaction.commit() {
                Ok(placed) => run.told("t", vec![body], begun, Ok(placed)),
                Err(error) => {
                    run.check_error("committing a transaction", &error);
                    run.unclear("t", body);
                }
            }
        } else {
            match transaction.rollback() {
                Ok(()) => run.rolled_back.push(body.clone()),
                Err(error) => run.check_error("rolling back", &error),
            }
            run.unclear("t", body);
        }
    }
}

fn append_and_close(run: &mut Run) {
    append_some(run);
    close(run);
}

fn close(run: &mut Run) {
    run.close();
}
