//! Reading records for the dispatcher, on its own thread or ahead of it.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::{DispatchParts, Dispatcher, MAX_BATCH_RECORDS};
use crate::codec::RecordView;
use crate::codec::java_hash;
use crate::codec::properties::{PROPERTY_KEYS, PROPERTY_TAGS, PROPERTY_UNIQUE_KEY};
use crate::codec::record::{CrcCheck, sys_flag};
use crate::commit_log::{Found, Walk, view};
use crate::consume_queue::{ConsumeQueue, MAX_INDEX, Unit};
use crate::delay::SCHEDULE_TOPIC;
use crate::error::{Error, Result};
use crate::index::{IndexRecord, Keyed};
use crate::status::Status;

/// Batches that are read ahead, at most.
const MAX_BATCHES_AHEAD: usize = 4;
/// For less than this, no thread is started to read ahead.
const LEAST_BYTES_AHEAD: u64 = 8 << 20;

/// What follows from some records of the log.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Where the first record begins.
    pub(super) begin: u64,
    /// Behind the last record.
    pub(super) end: u64,
    /// Store time of the last record; `None` without one.
    pub(super) timestamp_ms: Option<i64>,
    /// In the order of the log.
    pub(super) units: Vec<(Arc<ConsumeQueue>, Unit)>,
    /// In the order of the log.
    pub(super) keys: Vec<Keyed>,
}

/// Reads records from one place on.
#[derive(Debug, Default)]
pub(super) struct Reader {
    /// The queue of the last record: the next one often goes there, too.
    last_queue: Option<Arc<ConsumeQueue>>,
}

impl Reader {
    /// Reads the next records below `limit` into an empty batch. What is in front of a damaged one
    /// is read first.
    pub(super) fn read(
        &mut self,
        parts: &DispatchParts,
        begin: u64,
        limit: u64,
        batch: &mut Batch,
    ) -> Result<()> {
        (batch.begin, batch.end, batch.timestamp_ms) = (begin, begin, None);
        let mut walk = Walk::new(&parts.log, begin, CrcCheck::Skip);
        for _ in 0..MAX_BATCH_RECORDS {
            let found = if walk.position() < limit { walk.step() } else { break };
            match found {
                Found::Record(pin, layout) => {
                    if walk.position() > limit {
                        break;
                    }
                    self.take(parts, &view(&pin, layout), batch);
                }
                Found::Blank(..) => {}
                Found::Free | Found::Damaged(_) if batch.end > begin => break,
                Found::Free => {
                    return Err(Error::new(Status::Corruption, "a record is missing")
                        .at_offset(walk.position()));
                }
                Found::Damaged(error) => return Err(error),
            }
            batch.end = walk.position();
        }
        if batch.end == begin {
            let what = "the log ends inside a record";
            return Err(Error::new(Status::Internal, what).at_offset(limit));
        }
        Ok(())
    }

    fn take(&mut self, parts: &DispatchParts, record: &RecordView<'_>, batch: &mut Batch) {
        batch.timestamp_ms = Some(record.store_timestamp_ms());
        if parts.index.is_some() {
            index_keys(record, &mut batch.keys);
        }
        if !record.is_queued() {
            return;
        }
        let index = record.queue_offset().get();
        let Some(queue) = self.queue_of(parts, record).filter(|_| index <= MAX_INDEX) else {
            tracing::warn!(
                offset = %record.physical_offset(), topic = ?record.topic(), index,
                queue_id = record.queue_id(), "a record names a place in a queue that cannot be"
            );
            return;
        };
        let unit = Unit {
            index,
            messages: record.message_count(),
            physical_offset: record.physical_offset().get(),
            size_bytes: record.size_bytes(),
            tags_code: tags_code(parts, record),
            store_timestamp_ms: Some(record.store_timestamp_ms()),
        };
        batch.units.push((queue, unit));
    }

    fn queue_of(
        &mut self,
        parts: &DispatchParts,
        record: &RecordView<'_>,
    ) -> Option<Arc<ConsumeQueue>> {
        let (topic, queue_id) = (record.topic_bytes(), record.queue_id());
        if let Some(last) = &self.last_queue
            && last.queue_id() == queue_id
            && last.topic().as_bytes() == topic
        {
            return Some(Arc::clone(last));
        }
        let topic = std::str::from_utf8(topic).ok()?;
        let queue = parts.queues.queue(topic, queue_id, record.queue_kind())?;
        self.last_queue = Some(Arc::clone(&queue));
        Some(queue)
    }
}

/// The hash of the tag; of a delayed message the time of its delivery.
fn tags_code(parts: &DispatchParts, record: &RecordView<'_>) -> i64 {
    if record.topic_bytes() == SCHEDULE_TOPIC.as_bytes() {
        let level = record.property("DELAY").and_then(|level| level.parse::<usize>().ok());
        if let Some(level) = level.filter(|level| *level > 0) {
            let level = level.min(parts.delays.count());
            let delay = i64::try_from(parts.delays.delay(level).as_millis());
            return record.store_timestamp_ms().saturating_add(delay.unwrap_or(i64::MAX));
        }
    }
    let tag = record.properties().find(PROPERTY_TAGS).filter(|tag| !tag.is_empty());
    tag.map_or(0, |tag| i64::from(java_hash(&String::from_utf8_lossy(tag))))
}

fn index_record<'a>(record: &RecordView<'a>) -> IndexRecord<'a> {
    IndexRecord {
        topic: record.topic(),
        unique_key: record.property(PROPERTY_UNIQUE_KEY),
        keys: record.property(PROPERTY_KEYS).unwrap_or_default(),
        physical_offset: record.physical_offset().get(),
        store_timestamp_ms: record.store_timestamp_ms(),
    }
}

/// Adds the keys that a record has in the index.
pub(crate) fn index_keys(record: &RecordView<'_>, into: &mut Vec<Keyed>) {
    let transaction = record.sys_flag() & sys_flag::TRANSACTION_TYPE;
    if transaction != sys_flag::TRANSACTION_ROLLBACK && has_keys(record) {
        index_record(record).keyed(into);
    }
}

fn has_keys(record: &RecordView<'_>) -> bool {
    let names = [PROPERTY_UNIQUE_KEY, PROPERTY_KEYS];
    record.properties().any(|(name, value)| {
        !value.is_empty() && names.iter().any(|wanted| wanted.as_bytes() == name)
    })
}

impl Dispatcher {
    /// Dispatches everything below `limit`, while another thread reads ahead if that is worth it.
    /// `progress` is told the position after each batch, under no lock. Only while nobody else
    /// dispatches.
    pub(crate) fn catch_up(&self, limit: u64, mut progress: impl FnMut(u64)) -> Result<()> {
        let from = self.work.lock().position;
        let one_core = std::thread::available_parallelism().is_ok_and(|cores| cores.get() == 1);
        let alone = one_core || limit.saturating_sub(from) < LEAST_BYTES_AHEAD;
        std::thread::scope(|scope| {
            let (sender, ahead) = sync_channel(MAX_BATCHES_AHEAD);
            let thread = std::thread::Builder::new().name("cairn-recover".to_owned());
            let reading = if alone {
                drop(sender);
                None
            } else {
                thread.spawn_scoped(scope, move || self.read_ahead(from, limit, &sender)).ok()
            };
            let outcome = self.dispatch_read(limit, &ahead, &mut progress);
            // The thread ends when nobody takes what it reads.
            drop(ahead);
            if reading.is_some_and(|reading| reading.join().is_err()) {
                tracing::error!("the thread that read the log ahead panicked");
            }
            outcome
        })
    }

    fn read_ahead(&self, from: u64, limit: u64, sender: &SyncSender<Result<Batch>>) {
        let mut reader = Reader::default();
        let mut position = from;
        while position < limit {
            let mut batch = Batch::default();
            let read = reader.read(&self.parts, position, limit, &mut batch);
            position = batch.end;
            let last = read.is_err();
            if sender.send(read.map(|()| batch)).is_err() || last {
                return;
            }
        }
    }

    fn dispatch_read(
        &self,
        limit: u64,
        ahead: &Receiver<Result<Batch>>,
        progress: &mut dyn FnMut(u64),
    ) -> Result<()> {
        while self.dispatched.get() < limit {
            // What could not be read ahead is read here, which notes the error.
            let batch = ahead.recv().ok().and_then(Result::ok);
            self.run(self.work.lock(), limit, batch)?;
            progress(self.dispatched.get());
        }
        Ok(())
    }
}
