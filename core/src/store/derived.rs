//! Opening what follows from the log: where queues can be trusted, building the rest again, and
//! the services that keep them up.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use parking_lot::Mutex;

use crate::checkpoint::{CheckpointFile, Notes};
use crate::codec::record::CrcCheck;
use crate::commit_log::recover::{Before, WalkStart};
use crate::commit_log::{Found, TopicTable, Walk, view};
use crate::consume_queue::{ConsumeQueues, LeftOut, QueueSettings, Slot};
use crate::delay::{DelayLevels, ScheduleMessageService};
use crate::dispatch::{
    DispatchLimit, DispatchParts, Dispatcher, FlushConsumeQueueService, QueueFlusher,
    ReputMessageService, index_keys,
};
use crate::error::Result;
use crate::fence::Fence;
use crate::index::{Index, IndexSettings, LastStop};
use crate::mapped::MappedFileQueue;
use crate::options::{FlushMode, StoreOptions};
use crate::progress::{RecoveryPhase, Reporter};
use crate::service::Signal;
use crate::status::Status;
use crate::sys::disk::{Access, Disk};

/// Where queues and index lie.
#[derive(Clone, Copy)]
pub(super) struct DerivedFiles<'a> {
    pub(super) disk: &'a Arc<dyn Disk>,
    /// The store's.
    pub(super) path: &'a Path,
    pub(super) options: &'a StoreOptions,
    pub(super) access: Access,
}

/// What was found of the queues, before anything is changed.
pub(super) struct FoundQueues {
    pub(super) queues: Arc<ConsumeQueues>,
    index: Option<Arc<Index>>,
    left_out: LeftOut,
    /// Where the log is walked from.
    pub(super) walk: WalkStart,
    /// Where the queues go on.
    start: WalkStart,
    /// Whether everything in front of `start` is in the queues.
    trusted: bool,
}

impl FoundQueues {
    /// Looks at the queues. What the checkpoint notes is trusted if the queues are those that it
    /// tells of, and the log is whole from the last of them to the noted position; then the walk
    /// begins there, or with what the index lacks. Else it begins with the log.
    pub(super) fn look(
        files: DerivedFiles<'_>,
        log: &MappedFileQueue,
        notes: Option<Notes>,
    ) -> Result<Self> {
        let DerivedFiles { disk, path, options, access } = files;
        let settings = QueueSettings {
            file_bytes: options.consume_queue_file_bytes(),
            batch_file_bytes: options.batch_consume_queue_file_bytes(),
            max_open_files: options.max_open_queue_files,
            access,
        };
        let queues = Arc::new(ConsumeQueues::new(Arc::clone(disk), path, settings));
        let index = if options.consume_queue_enable && options.message_index_enable {
            let settings =
                IndexSettings { slots: options.max_hash_slot_num, entries: options.max_index_num };
            Some(Arc::new(Index::open(Arc::clone(disk), path, settings)?))
        } else {
            None
        };
        if let Some(notes) = notes.filter(|_| options.consume_queue_enable)
            && let Some((start, left_out)) = trusted_start(&queues, log, notes)?
        {
            let from = index.as_ref().map(|index| index_start(index, log, notes.index_end, start));
            let from = from.transpose()?;
            let walk = match from.filter(|from| *from < start.position) {
                Some(position) => WalkStart { position, timestamp_ms: 0 },
                None => start,
            };
            return Ok(Self { queues, index, left_out, walk, start, trusted: true });
        }
        let min = log.min_offset();
        let left_out = queues.load(min, min)?;
        let start = WalkStart { position: min, timestamp_ms: 0 };
        Ok(Self { queues, index, left_out, walk: start, start, trusted: false })
    }

    /// Whether what the queues are trusted for lies in front of `log_end`.
    pub(super) fn are_within(&self, log_end: u64) -> bool {
        self.start.position <= log_end
    }

    /// Makes sure that no queue gives out an index that it already has, and that topics keep the
    /// kind of their queues.
    pub(super) fn raise_next_offsets(&self, topics: &TopicTable) {
        for queue in self.queues.all() {
            let next = queue.range().end;
            if next > 0 {
                let state = topics.queue(queue.topic(), queue.queue_id());
                state.topic.set_kind(queue.kind());
                state.raise_next_offset(next);
            }
        }
    }
}

/// Where the noted position is a record's beginning and the queues have everything in front of it.
fn trusted_start(
    queues: &ConsumeQueues,
    log: &MappedFileQueue,
    notes: Notes,
) -> Result<Option<(WalkStart, LeftOut)>> {
    let (min, position) = (log.min_offset(), notes.dispatched_offset);
    if !(min..=log.committed().get()).contains(&position) {
        return Ok(None);
    }
    let left_out = queues.load(min, position)?;
    if !left_out.damaged.is_empty() || queues.summary() != notes.queues {
        return Ok(None);
    }
    let last = last_message(queues)?.filter(|last| *last >= min);
    let mut walk = Walk::new(log, last.unwrap_or(min), CrcCheck::Verify);
    let mut timestamp_ms = 0;
    while walk.position() < position {
        match walk.step() {
            Found::Record(pin, layout) => timestamp_ms = view(&pin, layout).store_timestamp_ms(),
            Found::Blank(..) => {}
            Found::Free | Found::Damaged(_) => return Ok(None),
        }
    }
    let reached = walk.position() == position;
    Ok(reached.then_some((WalkStart { position, timestamp_ms }, left_out)))
}

/// Where the last message lies that is in a queue.
fn last_message(queues: &ConsumeQueues) -> Result<Option<u64>> {
    let mut last = None;
    for queue in queues.all() {
        if let Slot::Unit(unit) = queue.last_unit()? {
            last = last.max(Some(unit.physical_offset));
        }
    }
    Ok(last)
}

/// How the index was last in use.
fn last_stop(before: Before, checkpoint: &CheckpointFile) -> LastStop {
    let index_timestamp_ms = checkpoint.fields().index_msg_timestamp_ms;
    match before.clean_stop {
        true => LastStop::Clean,
        false if before.same_boot() => LastStop::Killed,
        false => LastStop::PowerLost { index_timestamp_ms },
    }
}

/// From where the log has to be put into the index: where the queues go on, if it has all keys up
/// to those of the record at `noted`, the last one that was noted with them.
fn index_start(index: &Index, log: &MappedFileQueue, noted: u64, queues: WalkStart) -> Result<u64> {
    let end = index.end_offset();
    let lacks = match end {
        Some(end) if end > noted => false,
        // Its last keys may be in a file of their own, which is gone. Of an index without keys it
        // is noted, too, that it ends at 0.
        None if noted == 0 => keys_at(log, 0) > 0,
        Some(end) if end == noted => keys_at(log, noted) > index.keys_of_last()? as usize,
        _ => true,
    };
    let from = end.unwrap_or(0).clamp(log.min_offset(), queues.position);
    Ok(if lacks { from } else { queues.position })
}

/// How many keys the record at `offset` has in an index; none if there is no such record.
fn keys_at(log: &MappedFileQueue, offset: u64) -> usize {
    if offset < log.min_offset() {
        return 0;
    }
    let mut keys = Vec::new();
    if let Found::Record(pin, layout) = Walk::new(log, offset, CrcCheck::Skip).step() {
        index_keys(&view(&pin, layout), &mut keys);
    }
    keys.len()
}

/// What a store has beside queues and index.
#[derive(Clone, Copy)]
pub(super) struct Beside<'a> {
    pub(super) before: Before,
    pub(super) options: &'a StoreOptions,
    pub(super) log: &'a Arc<MappedFileQueue>,
    pub(super) checkpoint: &'a Arc<CheckpointFile>,
}

/// The parts that keep queues up with the log, in an open store.
#[derive(Debug)]
pub(super) struct Dispatching {
    pub(super) dispatcher: Arc<Dispatcher>,
    reput: ReputMessageService,
    flusher: Arc<QueueFlusher>,
    flush: FlushConsumeQueueService,
}

impl Dispatching {
    /// Cuts what points behind the trusted part, dispatches the rest of the log, and starts the
    /// services. What cannot be written now is left to them. Fails where the log is damaged.
    pub(super) fn start(
        found: FoundQueues,
        beside: Beside<'_>,
        schedule: Option<Arc<ScheduleMessageService>>,
        fence: &Arc<Fence>,
        reporter: &mut Reporter,
    ) -> Result<Self> {
        let Beside { before, options, log, checkpoint } = beside;
        let FoundQueues { queues, index, left_out, walk: _, start, trusted } = found;
        if !trusted {
            // Queues are about to be cut: nobody who finds them so may rely on the checkpoint.
            checkpoint.update(|fields, notes| {
                fields.logics_msg_timestamp_ms = 0;
                notes.dispatched_offset = start.position;
                notes.queues = queues.summary();
            })?;
        }
        queues.cut(&left_out)?;
        let from = match &index {
            None => start.position,
            Some(index) => {
                index.recover(log.committed().get(), last_stop(before, checkpoint))?;
                match before.notes.filter(|_| trusted) {
                    Some(notes) => index_start(index, log, notes.index_end, start)?,
                    None => log.min_offset(),
                }
            }
        };
        let limit = match options.flush_mode {
            FlushMode::Sync if !options.read_uncommitted => DispatchLimit::Durable,
            _ => DispatchLimit::Committed,
        };
        let dispatched = Arc::new(Signal::default());
        let parts = DispatchParts {
            log: Arc::clone(log),
            queues: Arc::clone(&queues),
            index: index.clone(),
            delays: DelayLevels::parse(&options.message_delay_level)?,
            schedule,
            limit,
            fence: Arc::clone(fence),
            flush: Arc::clone(&dispatched),
        };
        let dispatcher = Arc::new(Dispatcher::new(parts, from, start.timestamp_ms));
        let flusher = Arc::new(QueueFlusher {
            log: Arc::clone(log),
            queues,
            index,
            dispatcher: Arc::clone(&dispatcher),
            checkpoint: Arc::clone(checkpoint),
            synced: Mutex::new(None),
            noted: AtomicU64::new(from),
            files: Mutex::new(()),
        });
        // The index is about to be written to.
        let noted = checkpoint.fields().logics_msg_timestamp_ms;
        let logics = flusher.rebuilt_from(noted);
        if logics < noted {
            checkpoint.update(|fields, _| fields.logics_msg_timestamp_ms = logics)?;
        }
        let end = log.durable().get();
        reporter.begin(RecoveryPhase::Queues, end.saturating_sub(from));
        let rebuilt = dispatcher.catch_up(end, |at| reporter.look(at.saturating_sub(from)));
        reporter.end(dispatcher.dispatched().get().saturating_sub(from));
        if let Err(error) = rebuilt {
            if trusted && error.status() == Status::Corruption {
                // In front of what is noted the log was not walked. The next opening does that.
                checkpoint.update(|_, notes| notes.dispatched_offset = u64::MAX)?;
                return Err(error);
            }
            tracing::error!(%error, "not all of the log could be dispatched at opening");
        } else if !trusted || from < start.position {
            flusher.flush()?;
        }
        let interval = Duration::from_millis(options.flush_consume_queue_interval_ms);
        let flush = FlushConsumeQueueService::start(Arc::clone(&flusher), interval, dispatched)?;
        let reput = ReputMessageService::start(Arc::clone(&dispatcher))?;
        Ok(Self { dispatcher, reput, flusher, flush })
    }

    /// Ends the services, whatever is left undone.
    pub(super) fn stop(&self) {
        self.reput.stop();
        self.flush.shutdown();
    }

    /// Dispatches what there is, ends the services, and makes everything durable.
    pub(super) fn shutdown(&self, end: u64) -> Result<()> {
        let dispatched = self.reput.shutdown(end);
        self.flush.shutdown();
        let forced = self.flusher.index.as_ref().map(|index| index.force()).transpose();
        let flushed = forced.and_then(|_| self.flusher.flush());
        dispatched.and(flushed)?;
        // It may have been a thread of the store that was told.
        self.flusher.queues.sync_failure().map_or(Ok(()), |error| Err(error.clone()))
    }

    /// The key index.
    pub(super) fn index(&self) -> Option<&Arc<Index>> {
        self.flusher.index.as_ref()
    }

    /// What makes the queues durable.
    pub(super) fn flusher(&self) -> &Arc<QueueFlusher> {
        &self.flusher
    }

    /// The queues.
    pub(super) fn queues(&self) -> &Arc<ConsumeQueues> {
        &self.flusher.queues
    }
}
