//! The stores that are written, each with what it is there for.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use cairnlog::{FlushMode, MIN_SEGMENT_SIZE_BYTES, StoreOptions};

use crate::Outcome;
use crate::message::{Item, Numbers, OwnedMessage};
use crate::writer::Writer;

/// Born times, so that they differ from store times.
const BORN_MS: i64 = 1_700_000_000_123;
const BORN_V4: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 168, 1, 10)), 50_123);
const BORN_V6: SocketAddr =
    SocketAddr::new(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0xa, 1)), 40_001);
const STORE_V6: SocketAddr =
    SocketAddr::new(IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 1, 2, 3, 4, 5)), 10_911);

/// One way to write a store.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) configure: fn(&mut StoreOptions, &Path),
    pub(crate) write: fn(&mut Writer) -> Outcome<()>,
}

impl Scenario {
    /// Every scenario.
    pub(crate) const ALL: &'static [Self] = &[
        Self { name: "plain", configure: as_it_is, write: plain },
        Self { name: "edges", configure: as_it_is, write: edges },
        Self { name: "batch", configure: as_it_is, write: batch },
        Self { name: "inner-batch", configure: as_it_is, write: inner_batch },
        Self { name: "ipv6", configure: ipv6_store, write: ipv6 },
        Self { name: "long-topic", configure: as_it_is, write: long_topic },
        Self { name: "record-crc", configure: record_crc, write: crc_mix },
        Self { name: "sync-flush", configure: sync_flush, write: plain },
        Self { name: "transient-pool", configure: transient_pool, write: plain },
        Self { name: "sync-pool", configure: sync_pool, write: plain },
        Self { name: "transactions", configure: as_it_is, write: transactions },
        Self { name: "several-directories", configure: several_directories, write: plain },
        Self { name: "no-queues", configure: no_queues, write: plain },
    ];
}

/// The options all scenarios begin with.
pub(crate) fn small_files() -> StoreOptions {
    let mut options = StoreOptions::default();
    options.segment_size_bytes = MIN_SEGMENT_SIZE_BYTES;
    // As the judges open the store; RocketMQ takes no other sizes than it is told.
    options.consume_queue_file_size_bytes = 2000;
    options.max_hash_slot_num = 1000;
    options.max_index_num = 4000;
    // Releases before 5.2 show it as a property.
    options.append_record_crc = false;
    options
}

fn as_it_is(_: &mut StoreOptions, _: &Path) {}

fn ipv6_store(options: &mut StoreOptions, _: &Path) {
    options.store_host = STORE_V6;
}

fn record_crc(options: &mut StoreOptions, _: &Path) {
    options.append_record_crc = true;
}

fn sync_flush(options: &mut StoreOptions, _: &Path) {
    options.flush_mode = FlushMode::Sync;
}

fn transient_pool(options: &mut StoreOptions, _: &Path) {
    options.transient_store_pool_enable = true;
}

fn sync_pool(options: &mut StoreOptions, directory: &Path) {
    sync_flush(options, directory);
    transient_pool(options, directory);
}

fn several_directories(options: &mut StoreOptions, directory: &Path) {
    options.commit_log_paths = vec![directory.join("log-a"), directory.join("log-b")];
}

fn no_queues(options: &mut StoreOptions, _: &Path) {
    options.consume_queue_enable = false;
}

/// One of everything a single message can have, over four files.
fn plain(writer: &mut Writer) -> Outcome<()> {
    let mut numbers = Numbers(0x5eed_0001);
    for number in 0..240 {
        writer.put(&any_message(&mut numbers, number))?;
    }
    let bare: Vec<OwnedMessage> = (0..12)
        .map(|queue_id| OwnedMessage::new("Many_In-One%Call", queue_id % 2, numbers.body(300)))
        .collect();
    writer.put_many(&bare)
}

/// What is appended to a store that was there before.
pub(crate) fn continue_mix(writer: &mut Writer) -> Outcome<()> {
    let mut numbers = Numbers(0x5eed_0002);
    for number in 0..50 {
        let mut message = any_message(&mut numbers, number);
        // The fixtures' topics go on, and so do those of the scenarios.
        let topics = ["OrderTopic", "Log_Topic%A", "pay-events", "orders", "TxTopic"];
        message.topic = topics[number % topics.len()].to_owned();
        message.queue_id = (number / topics.len() % 2) as i32;
        writer.put(&message)?;
    }
    Ok(())
}

fn any_message(numbers: &mut Numbers, number: usize) -> OwnedMessage {
    let topics = ["orders", "Log_Topic%A", "%RETRY%group-1", "pay|events"];
    let topic = topics[numbers.below(topics.len())];
    let length = match number % 20 {
        0 => 1,
        1 => 8192,
        _ => 1 + numbers.below(1500),
    };
    let mut message = OwnedMessage::new(topic, numbers.below(3) as i32, numbers.body(length));
    if number.is_multiple_of(2) {
        let tags = ["TagA", "polygenelubricants", "\u{417}\u{430}\u{43a}\u{430}\u{437}"];
        message = message.tag(tags[numbers.below(tags.len())]);
    }
    if number.is_multiple_of(3) {
        let (one, two) = (format!("key-{number}"), format!("g{}", number % 7));
        message = message.keys(&[&one, &two, "\u{1f350}\u{68a8}"]);
    }
    if number.is_multiple_of(4) {
        message = message.property("UNIQ_KEY", &format!("7F0000010001{number:020X}"));
    }
    if number.is_multiple_of(5) {
        message = message
            .property("\u{5730}\u{533a}", "\u{fc}ber \u{1f30d} = 1\u{1}2")
            .property("twice", "first")
            .property("twice", "last");
    }
    if !number.is_multiple_of(6) {
        let host = [None, Some(BORN_V4), Some(BORN_V6)][number % 3];
        message = message.born(BORN_MS + number as i64, host);
    }
    message.flag = [0, 1, -1, i32::MAX, i32::MIN][number % 5];
    // Compressed bodies (zlib, LZ4, zstd) would be inflated by RocketMQ's decoder: these are plain.
    message.sys_flag = if number.is_multiple_of(11) { 0x2 } else { 0 };
    message.reconsume_times = (number % 17) as i32;
    message.wait_store_ok = !number.is_multiple_of(13);
    message
}

/// A message whose record has exactly this size.
fn of_size(writer: &Writer, size: u64) -> Outcome<OwnedMessage> {
    let mut message = OwnedMessage::new("edges", 0, vec![b'e']).tag("edge").keys(&["fit"]);
    let least = writer.size_of(&message);
    let more = size.checked_sub(least).ok_or("the record cannot be that small")?;
    message.body.resize(1 + more as usize, b'e');
    Ok(message)
}

/// Records that just fit, and records that just do not.
fn edges(writer: &mut Writer) -> Outcome<()> {
    let file = writer.file_size_bytes();
    let fill = |writer: &mut Writer, left: u64| -> Outcome<()> {
        while writer.room() > 3000 + left {
            writer.put(&OwnedMessage::new("edges", 1, vec![b'f'; 700]))?;
        }
        Ok(())
    };
    // Leaves exactly the eight bytes of a blank; the next record goes to the next file.
    writer.put(&of_size(writer, 1000)?)?;
    fill(writer, 0)?;
    writer.put(&of_size(writer, writer.room() - 8)?)?;
    writer.put(&of_size(writer, 500)?)?;
    // One byte too long: the blank takes what is left, however much that is.
    fill(writer, 0)?;
    writer.put(&of_size(writer, writer.room() - 7)?)?;
    // As long as what is left, without space for a blank.
    fill(writer, 0)?;
    writer.put(&of_size(writer, writer.room())?)?;
    // Nine bytes are left, and twelve.
    for left in [9, 12] {
        fill(writer, left)?;
        writer.put(&of_size(writer, writer.room() - left)?)?;
        writer.put(&of_size(writer, 300)?)?;
    }
    // The longest record there can be, twice: each fills a file of its own.
    writer.put(&of_size(writer, file - 8)?)?;
    writer.put(&of_size(writer, file - 8)?)?;
    writer.put(&of_size(writer, 200)?)?;
    Ok(())
}

fn item(numbers: &mut Numbers, number: usize, length: usize) -> Item {
    let properties: &[&str] = &[
        "",
        "TAGS\u{1}in-item\u{2}KEYS\u{1}i1 i2\u{2}",
        "name\u{1}no last separator",
        "KEYS\u{1}\u{43a}\u{43b}\u{44e}\u{447}\u{2}UNIQ_KEY\u{1}U1",
    ];
    Item {
        flag: number as i32 - 2,
        body: numbers.body(length),
        properties: properties[number % properties.len()].as_bytes().to_vec(),
    }
}

fn items(numbers: &mut Numbers, count: usize, length: usize) -> Vec<Item> {
    (0..count).map(|number| item(numbers, number, length + number)).collect()
}

/// Batches with and without properties of their own, one of which does not fit.
fn batch(writer: &mut Writer) -> Outcome<()> {
    let mut numbers = Numbers(0x5eed_0003);
    let bare = OwnedMessage::new("batches", 0, Vec::new());
    let shared = OwnedMessage::new("batches", 1, Vec::new())
        .property("CLUSTER", "\u{96c6}\u{7fa4}")
        .tag("of-all")
        .born(BORN_MS, Some(BORN_V6));
    for round in 0..6 {
        writer.put_batch(&bare, &items(&mut numbers, 3 + round, 200))?;
        writer.put_batch(&shared, &items(&mut numbers, 5, 1 + 90 * round))?;
        writer.put(&OwnedMessage::new("batches", 0, numbers.body(64)).tag("single"))?;
    }
    // The first records would fit: the whole batch moves.
    while writer.room() > 4000 {
        writer.put(&OwnedMessage::new("batches", 0, numbers.body(1500)))?;
    }
    let start = writer.position();
    writer.put_batch(&shared, &items(&mut numbers, 4, 1000))?;
    if writer.position() / writer.file_size_bytes() == start / writer.file_size_bytes() {
        return Err("the batch was to move to the next file".into());
    }
    writer.put_batch(&bare, &items(&mut numbers, 1, 10))
}

/// Inner batches in a topic of their own, between ordinary messages of another.
fn inner_batch(writer: &mut Writer) -> Outcome<()> {
    let mut numbers = Numbers(0x5eed_0004);
    let shared = OwnedMessage::new("inner", 0, Vec::new()).keys(&["b1", "b2"]).tag("inner");
    for round in 0..12 {
        writer.put_inner_batch(&shared, &items(&mut numbers, 1 + round % 5, 900))?;
        writer.put(&OwnedMessage::new("orders", 0, numbers.body(2000)).keys(&["single"]))?;
    }
    Ok(())
}

/// Every combination of born hosts in a store whose host is IPv6.
fn ipv6(writer: &mut Writer) -> Outcome<()> {
    let mut numbers = Numbers(0x5eed_0005);
    for number in 0..80_usize {
        let host = [None, Some(BORN_V4), Some(BORN_V6)][number % 3];
        let message = OwnedMessage::new("six", (number % 2) as i32, numbers.body(1200))
            .keys(&["v6"])
            .born(BORN_MS, host)
            // Left over from where the message was stored before.
            .sys_flag([0, 0x10, 0x20][number % 3]);
        writer.put(&message)?;
    }
    writer.put_batch(
        &OwnedMessage::new("six", 0, Vec::new()).born(BORN_MS, Some(BORN_V4)),
        &items(&mut numbers, 3, 100),
    )
}

/// Topics whose length needs two bytes, and the longest that does not.
fn long_topic(writer: &mut Writer) -> Outcome<()> {
    let mut numbers = Numbers(0x5eed_0006);
    for number in 0..90_usize {
        let length = [127, 128, 255][number % 3];
        let mut message =
            OwnedMessage::new(&"t".repeat(length), (number % 2) as i32, numbers.body(1000));
        if number % 2 == 0 {
            message = message.keys(&["long"]).tag("Long").born(BORN_MS, Some(BORN_V6));
        }
        writer.put(&message)?;
    }
    writer
        .put_batch(&OwnedMessage::new(&"b".repeat(200), 0, Vec::new()), &items(&mut numbers, 3, 50))
}

/// Singles and batches, with and without other properties in front of the CRC.
fn crc_mix(writer: &mut Writer) -> Outcome<()> {
    let mut numbers = Numbers(0x5eed_0007);
    for number in 0..100 {
        writer.put(&any_message(&mut numbers, number))?;
    }
    writer.put(&OwnedMessage::new("bare", 0, numbers.body(10)))?;
    writer.put_batch(&OwnedMessage::new("bare", 0, Vec::new()), &items(&mut numbers, 7, 60))?;
    let shared = OwnedMessage::new("bare", 1, Vec::new()).property("CLUSTER", "c");
    writer.put_batch(&shared, &items(&mut numbers, 4, 60))
}

/// All transaction types in the same queues; a commit points to its half message.
fn transactions(writer: &mut Writer) -> Outcome<()> {
    let mut numbers = Numbers(0x5eed_0008);
    for number in 0..40 {
        let queue_id = number % 2;
        let of_type = |numbers: &mut Numbers, sys_flag: i32| {
            OwnedMessage::new("TxTopic", queue_id, numbers.body(500))
                .keys(&["tx"])
                .property("PGROUP", "producers")
                .sys_flag(sys_flag)
        };
        writer.put(&of_type(&mut numbers, 0))?;
        let half = writer.put(&of_type(&mut numbers, 0x4))?;
        let mut end = of_type(&mut numbers, if number % 3 == 0 { 0xC } else { 0x8 });
        end.prepared_transaction_offset = half.physical_offset.to_i64();
        writer.put(&end)?;
    }
    Ok(())
}
