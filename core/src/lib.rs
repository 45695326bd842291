//! The storage engine of Apache RocketMQ as a library: a durable, very fast commit log inside your
//! own program, byte-compatible with RocketMQ 4.9 and 5.x in both directions.
//!
//! One store is one directory. [`Store::open`] recovers what is there, [`Store::append`] adds a
//! message and returns when it is as safe as the store's [`FlushMode`] promises, [`Store::scan`]
//! reads it back without copying.
//!
//! ```
//! use cairnlog::{FlushMode, Message, PhysicalOffset, Store, StoreOptions};
//!
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path();
//! let mut options = StoreOptions::default();
//! options.flush_mode = FlushMode::Sync;
//! # options.segment_size_bytes = 1 << 20;
//! let store = Store::open(path, &options)?;
//! let placed = store.append(&Message::new("orders", b"20 pears").tag("new"))?;
//! assert_eq!(store.read_at(placed.physical_offset)?.body(), b"20 pears");
//! for message in store.scan(PhysicalOffset::new(0))? {
//!     println!("{}", String::from_utf8_lossy(message?.body()));
//! }
//! store.close()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What an acknowledged append survives:
//!
//! | Store | `append` returns when the record is | It survives |
//! |---|---|---|
//! | [`FlushMode::Async`] | in the page cache | the death of the process |
//! | [`FlushMode::Async`] with transient pool | in a private buffer | nothing until committed |
//! | [`FlushMode::Sync`] | synced to the device | a power cut |
//! | [`FlushMode::Sync`], `wait_store_ok` false | in the page cache | the death of the process |
#![deny(unsafe_code)]

mod checkpoint;
mod clock;
mod codec;
mod commit_log;
mod consume;
mod consume_queue;
mod delay;
mod dispatch;
mod error;
mod fence;
mod filter;
mod flush;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod index;
mod lock;
mod mapped;
mod message;
mod offset;
mod options;
mod progress;
mod read;
mod retention;
mod service;
#[cfg_attr(not(test), expect(dead_code, reason = "nothing in the store commits offsets yet"))]
mod state;
mod stats;
mod status;
mod store;
mod sync;
mod sys;
#[cfg(test)]
mod tests;
mod watermark;

pub use checkpoint::StoreCheckpoint;
pub use codec::batch::encode_batch_item;
pub use codec::message_id::decode_offset_message_id;
pub use codec::properties::{
    PROPERTY_CHECK_IMMUNITY_TIME, PROPERTY_DELAY, PROPERTY_INNER_BASE, PROPERTY_INNER_NUM,
    PROPERTY_KEYS, PROPERTY_REAL_QUEUE_ID, PROPERTY_REAL_TOPIC, PROPERTY_RECORD_CRC, PROPERTY_TAGS,
    PROPERTY_TRANSACTION_CHECK_TIMES, PROPERTY_UNIQUE_KEY, PROPERTY_WAIT,
};
pub use codec::{PropertyIter, RecordView};
pub use commit_log::recover::RecoveryReport;
pub use commit_log::{Batch, Entries, LogEntry, LogFile, LogReader, MessageView, Scan};
pub use consume::{
    ConsumeMode, ConsumeOrder, ConsumeStatus, Consumer, ConsumerOptions, Delivery, GroupProgress,
    MessageListener, PushConsumer, PushOptions, StartFrom,
};
pub use error::{Error, Result};
pub use filter::Filter;
pub use flush::{Completion, CompletionSink};
pub use message::{AppendResult, EncodedBatch, Message};
pub use offset::{PhysicalOffset, QueueOffset};
pub use options::{
    AppendLockKind, DamagePolicy, FlushMode, MAX_SEGMENT_SIZE_BYTES, MIN_SEGMENT_SIZE_BYTES,
    StoreOptions,
};
pub use progress::{RecoveryPhase, RecoveryProgress};
pub use read::{AsyncTail, QueueBatch, ReadOutcome, ReadRequest, Tail, TimeBoundary};
pub use retention::RemovedFiles;
pub use state::{ConsumerOffsets, QueueKind, TopicConfig, Topics};
pub use stats::{APPEND_LATENCY_BOUNDS_MS, StoreStats, TopicStats};
pub use status::Status;
pub use store::{
    AppendFuture, Pending, QueueAppender, Store, StoreReader, Transaction, TransactionAnswer,
    TransactionCheck, TransactionChecker,
};
