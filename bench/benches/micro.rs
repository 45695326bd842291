//! The smallest parts, one call each: CRC, codec, append, look-up and read.
//!
//! Run by `make bench-micro`, and once each, unmeasured, by `cargo test`.
#![allow(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use std::hint::black_box;
use std::ops::Deref;

use cairnlog::{LogReader, Message, PhysicalOffset, ReadRequest, Store, StoreOptions};
use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use tempfile::TempDir;

/// Bytes of a body.
const BODIES: [usize; 2] = [100, 1024];
const TOPIC: &str = "bench";
/// Messages of a store that is read.
const FILLED: u64 = 20_000;

fn main() {
    divan::main();
}

/// A store that is removed in the end.
struct Scene {
    store: Store,
    directory: TempDir,
}

impl Deref for Scene {
    type Target = Store;

    fn deref(&self) -> &Store {
        &self.store
    }
}

impl Scene {
    fn new() -> Self {
        Self::with_record_crc(false)
    }

    fn with_record_crc(record_crc: bool) -> Self {
        let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let mut options = StoreOptions::default();
        options.segment_size_bytes = 128 << 20;
        options.schedule_enable = false;
        options.append_record_crc = record_crc;
        options.check_crc_on_read = false;
        Self { store: Store::open(directory.path(), &options).unwrap(), directory }
    }

    /// One whose messages have been dispatched.
    fn filled(body_bytes: usize) -> Self {
        let (scene, body) = (Self::new(), body(body_bytes));
        let queue = scene.queue(TOPIC, 0).unwrap();
        for _ in 0..FILLED {
            queue.append(&full(&body)).unwrap();
        }
        let end = scene.max_offset();
        assert!(scene.wait_dispatched(end, std::time::Duration::from_secs(60)).unwrap());
        scene
    }
}

fn body(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|number| (number % 251) as u8).collect()
}

/// A message with a tag, keys and properties.
fn full(body: &[u8]) -> Message<'_> {
    let properties: &[(&str, &str)] = &[("region", "north"), ("trace", "0123456789abcdef")];
    Message::new(TOPIC, body).tag("new").keys(&["k1", "k2"]).properties(properties)
}

#[divan::bench(args = [100, 1024, 65536])]
fn crc(bencher: Bencher<'_, '_>, bytes: usize) {
    let body = body(bytes);
    bencher.counter(BytesCount::new(bytes)).bench_local(|| crc32fast::hash(black_box(&body)));
}

/// What a record is, in memory.
#[divan::bench_group]
mod codec {
    use super::*;

    /// A client's batch: body and properties of one message.
    #[divan::bench(args = BODIES)]
    fn encode_batch_item(bencher: Bencher<'_, '_>, bytes: usize) {
        let body = body(bytes);
        let mut batch = Vec::with_capacity(1 << 12);
        bencher.counter(ItemsCount::new(1u32)).bench_local(|| {
            batch.clear();
            let properties = black_box(b"TAGS\x01new\x02KEYS\x01k1 k2\x02region\x01north\x02");
            cairnlog::encode_batch_item(&mut batch, 0, black_box(&body), properties).unwrap();
            black_box(batch.len())
        });
    }

    /// The structure of a record: sizes, magic, place.
    #[divan::bench(args = BODIES)]
    fn parse(bencher: Bencher<'_, '_>, bytes: usize) {
        let scene = Scene::filled(bytes);
        bencher.counter(ItemsCount::new(FILLED)).bench_local(|| {
            let scan = scene.scan(PhysicalOffset::new(0)).unwrap();
            assert_eq!(scan.filter(|message| black_box(message).is_ok()).count() as u64, FILLED);
        });
    }

    /// The structure of a record and its CRC.
    #[divan::bench(args = BODIES)]
    fn parse_and_verify(bencher: Bencher<'_, '_>, bytes: usize) {
        let scene = Scene::filled(bytes);
        let reader = LogReader::open(scene.directory.path()).unwrap();
        bencher.counter(ItemsCount::new(FILLED)).bench_local(|| {
            let entries = reader.entries(PhysicalOffset::new(0)).take(FILLED as usize);
            assert_eq!(entries.filter(|entry| black_box(entry).is_ok()).count() as u64, FILLED);
        });
    }

    #[divan::bench]
    fn decode_properties(bencher: Bencher<'_, '_>) {
        let scene = Scene::filled(100);
        let message = scene.read_at(PhysicalOffset::new(0)).unwrap();
        let record = message.record();
        bencher.counter(ItemsCount::new(1u32)).bench_local(|| {
            let lengths = black_box(&record).properties().map(|(name, value)| {
                String::from_utf8_lossy(name).len() + String::from_utf8_lossy(value).len()
            });
            black_box(lengths.sum::<usize>())
        });
    }
}

/// To an asynchronous store.
#[divan::bench_group(max_time = 0.3)]
mod append {
    use super::*;

    #[divan::bench(args = [100, 1024, 16384])]
    fn by_handle(bencher: Bencher<'_, '_>, bytes: usize) {
        let (scene, body) = (Scene::new(), body(bytes));
        let queue = scene.queue(TOPIC, 0).unwrap();
        let message = Message::new(TOPIC, &body);
        bencher.counter(ItemsCount::new(1u32)).bench_local(|| queue.append(&message).unwrap());
    }

    /// With a CRC over the whole record, as stores have it unless they are told otherwise.
    #[divan::bench(args = [100, 1024, 16384])]
    fn with_record_crc(bencher: Bencher<'_, '_>, bytes: usize) {
        let (scene, body) = (Scene::with_record_crc(true), body(bytes));
        let queue = scene.queue(TOPIC, 0).unwrap();
        let message = Message::new(TOPIC, &body);
        bencher.counter(ItemsCount::new(1u32)).bench_local(|| queue.append(&message).unwrap());
    }

    #[divan::bench(args = BODIES)]
    fn by_name(bencher: Bencher<'_, '_>, bytes: usize) {
        let (scene, body) = (Scene::new(), body(bytes));
        let message = Message::new(TOPIC, &body);
        bencher.counter(ItemsCount::new(1u32)).bench_local(|| scene.append(&message).unwrap());
    }

    #[divan::bench(args = BODIES)]
    fn with_properties(bencher: Bencher<'_, '_>, bytes: usize) {
        let (scene, body) = (Scene::new(), body(bytes));
        let queue = scene.queue(TOPIC, 0).unwrap();
        let message = full(&body);
        bencher.counter(ItemsCount::new(1u32)).bench_local(|| queue.append(&message).unwrap());
    }
}

#[divan::bench_group]
mod queue {
    use super::*;

    /// A handle, of a queue among a thousand.
    #[divan::bench]
    fn look_up(bencher: Bencher<'_, '_>) {
        let scene = Scene::new();
        let topics: Vec<_> = (0..1000).map(|number| format!("topic-{number}")).collect();
        topics.iter().for_each(|topic| drop(scene.queue(topic, 0).unwrap()));
        let mut topics = topics.iter().cycle();
        bencher
            .counter(ItemsCount::new(1u32))
            .bench_local(|| scene.queue(black_box(topics.next().unwrap()), 0).unwrap());
    }

    #[divan::bench(args = [1, 32, 1024])]
    fn read(bencher: Bencher<'_, '_>, messages: usize) {
        let scene = Scene::filled(100);
        let request = ReadRequest::new(TOPIC, 0, 0).max_messages(messages);
        bencher.counter(ItemsCount::new(messages)).bench_local(|| {
            let batch = scene.read(black_box(&request)).unwrap();
            assert_eq!(batch.messages().len(), messages);
            batch
        });
    }
}
