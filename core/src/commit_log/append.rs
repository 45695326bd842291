//! Appending: a place, a queue offset and a time under the lock, then the copy.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::append_lock::{AppendGuard, AppendLock};
use super::topics::{QueueState, RecentQueues, TopicTable};
use crate::clock::{Clock, WallReading};
use crate::codec::record::{BLANK_BYTES, RecordDraft, Stamp, encode_blank};
use crate::error::{Error, Result};
use crate::fence::Fence;
use crate::mapped::allocate::{AllocateMappedFileService, AppendTarget};
use crate::mapped::{
    MappedFile, MappedFileQueue, PoolBuffer, RegionWriter, StagingBuffer, WritesHeld,
};
use crate::message::AppendResult;
use crate::offset::{PhysicalOffset, QueueOffset};
use crate::options::StoreOptions;
use crate::state::QueueKind;
use crate::status::Status;

/// What the lock guards.
#[derive(Debug)]
struct AppendState {
    /// The file appends go to; none before the first.
    target: Option<AppendTarget>,
    /// Where the next record goes.
    position: u64,
    last_timestamp_ms: i64,
    clock: WallReading,
    recent: RecentQueues,
}

/// What a commit log is made of.
#[derive(Debug)]
pub(crate) struct CommitLogParts {
    pub(crate) queue: Arc<MappedFileQueue>,
    pub(crate) allocate: AllocateMappedFileService,
    pub(crate) fence: Arc<Fence>,
    pub(crate) clock: Arc<dyn Clock>,
    /// Time of the newest record.
    pub(crate) last_timestamp_ms: i64,
}

impl CommitLogParts {
    /// Commits everything published. A failure closes the fence.
    fn commit(&self) -> Result<()> {
        self.queue.commit(0).map(|_| ()).inspect_err(|error| self.fence.close(error))
    }

    /// Makes everything below a position readable.
    #[inline(always)]
    fn publish(&self, position: u64, mapped: bool) {
        self.queue.publish(position, mapped);
        self.allocate.appended_to(position);
    }

    /// Fails if what was written at a place went nowhere. Then the fence closes: nothing is known
    /// of the file any more.
    #[inline(always)]
    fn check(&self, place: &Place<'_>, position: u64, length: u32) -> Result<()> {
        place.check(position, length).inspect_err(|error| self.fence.close(error))
    }
}

/// The writing end of the log.
#[derive(Debug)]
pub(crate) struct CommitLog {
    parts: CommitLogParts,
    lock: AppendLock<AppendState>,
    busy_timeout_ms: u64,
    store_host: SocketAddr,
    closed: AtomicBool,
}

/// When records become readable.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Publish {
    AtOnce,
    /// With those that follow, by [`Appender::publish`].
    Later,
}

/// The lock, held for one append or for some in a row.
pub(crate) struct Appender<'l> {
    log: &'l CommitLog,
    state: AppendGuard<'l, AppendState>,
    /// The time of the records in the mapping that are not published yet; none if there are none.
    unpublished_ms: Option<i64>,
}

impl CommitLog {
    pub(crate) fn new(parts: CommitLogParts, options: &StoreOptions) -> Self {
        let position = parts.queue.published();
        let target = parts
            .queue
            .last()
            .filter(|last| position < last.end())
            .map(|file| AppendTarget { file, buffer: None });
        if let Some(target) = &target {
            parts.allocate.set_current(target.clone());
        }
        let state = AppendState {
            target,
            position,
            last_timestamp_ms: parts.last_timestamp_ms,
            clock: WallReading::default(),
            recent: RecentQueues::default(),
        };
        Self {
            parts,
            lock: AppendLock::new(options.append_lock, state),
            busy_timeout_ms: options.page_cache_busy_timeout_ms,
            store_host: options.store_host,
            closed: AtomicBool::new(false),
        }
    }

    /// The files and positions.
    pub(crate) fn queue(&self) -> &Arc<MappedFileQueue> {
        &self.parts.queue
    }

    /// Commits everything published: it then is readable, and survives the death of the process. A
    /// failure closes the fence.
    pub(crate) fn commit(&self) -> Result<()> {
        self.parts.commit()
    }

    /// Checks the store's state and takes the append lock.
    #[inline(always)]
    pub(crate) fn lock(&self) -> Result<Appender<'_>> {
        self.check_open()?;
        let held = self.lock.held_ms(|| self.parts.clock.monotonic_ms());
        if held > self.busy_timeout_ms {
            return Err(Error::new(Status::PageCacheBusy, "an append holds the lock for long")
                .expected(format!("at most {} ms", self.busy_timeout_ms), format!("{held} ms")));
        }
        let state = self.lock.lock();
        // Again: while this thread waited, the store may have been closed.
        self.check_open()?;
        Ok(Appender { log: self, state, unpublished_ms: None })
    }

    #[inline(always)]
    fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::new(Status::StoreClosed, "the store was closed"));
        }
        self.parts.fence.check()
    }

    /// Whether somebody asked for the lock while it was held.
    #[cfg(test)]
    pub(crate) fn is_asked_for(&self) -> bool {
        self.lock.is_asked_for()
    }

    /// Ends appending: when this returns, none is under way and none can come.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.lock.lock().target = None;
    }

    /// Ends the allocation service, after [`CommitLog::close`].
    pub(crate) fn shutdown_allocation(&self) -> Result<()> {
        self.parts.allocate.shutdown()
    }

    /// Time of the newest record.
    pub(crate) fn last_timestamp_ms(&self) -> i64 {
        self.lock.lock().last_timestamp_ms
    }
}

impl Appender<'_> {
    /// As [`Appender::place`], to the queue of a name that was checked.
    #[inline(always)]
    pub(crate) fn place_named(
        &mut self,
        drafts: &[RecordDraft<'_>],
        topics: &TopicTable,
        (topic, queue_id): (&str, i32),
        message_count: u32,
        publish: Publish,
    ) -> Result<AppendResult> {
        let queue = self.state.recent.take(topics, topic, queue_id);
        let placed = self.place(drafts, &queue, message_count, publish);
        self.state.recent.give_back(queue);
        placed
    }

    /// Writes the records one after the other into one file and counts them as `message_count`
    /// messages of their queue. On failure nothing is in the log and no offset is used up.
    ///
    /// The first message of a topic tells of what kind its queues are. Records of the other kind
    /// are refused.
    #[inline(always)]
    pub(crate) fn place(
        &mut self,
        drafts: &[RecordDraft<'_>],
        queue: &QueueState,
        message_count: u32,
        publish: Publish,
    ) -> Result<AppendResult> {
        let kind = drafts.first().map_or(QueueKind::Simple, RecordDraft::queue_kind);
        queue.topic.check_kind(kind)?;
        let size: u64 = drafts.iter().map(|draft| u64::from(draft.size_bytes())).sum();
        self.make_room(size)?;
        let state = &mut *self.state;
        let Some(target) = &state.target else {
            return Err(no_target());
        };
        let first = state.position;
        // What becomes visible later never has an older time than when something before it did.
        let now = match self.unpublished_ms {
            Some(now) => now,
            None => {
                let now = self.log.parts.clock.wall_ms_since(&mut state.clock);
                now.max(state.last_timestamp_ms)
            }
        };
        let takes_offset = drafts.first().is_some_and(RecordDraft::takes_queue_offset);
        let first_queue_offset = if takes_offset { queue.next_offset() } else { 0 };
        let mut stamp = Stamp {
            physical_offset: first,
            queue_offset: first_queue_offset,
            store_timestamp_ms: now,
        };
        let place = Place::find(&self.log.parts, target, first, size)?;
        for draft in drafts {
            let mut writer = place.writer(stamp.physical_offset, draft.size_bytes())?;
            draft.encode(stamp, &mut writer);
            self.log.parts.check(&place, stamp.physical_offset, draft.size_bytes())?;
            finish(writer, stamp.physical_offset)?;
            stamp.physical_offset += u64::from(draft.size_bytes());
            stamp.queue_offset += u64::from(takes_offset);
        }
        state.last_timestamp_ms = now;
        state.position = stamp.physical_offset;
        if takes_offset {
            queue.topic.set_kind(kind);
            queue.set_next_offset(first_queue_offset + u64::from(message_count));
        }
        queue.topic.messages.add(u64::from(message_count));
        queue.topic.bytes.add(size);
        match (publish, &place) {
            (Publish::Later, Place::Mapping(_)) => self.unpublished_ms = Some(now),
            _ => self.log.parts.publish(state.position, place.is_mapped()),
        }
        Ok(AppendResult {
            physical_offset: PhysicalOffset::new(first),
            // Everything lies in one file, and a file has at most 1 GiB.
            size_bytes: size as u32,
            queue_offset: QueueOffset::new(first_queue_offset),
            queue_id: queue.queue_id,
            message_count,
            store_timestamp_ms: now,
            store_host: self.log.store_host,
        })
    }

    /// Makes what was written so far readable.
    #[inline(always)]
    pub(crate) fn publish(&mut self) {
        if self.unpublished_ms.take().is_some() {
            self.log.parts.publish(self.state.position, true);
        }
    }

    /// Makes the current file one that has reserved space for `size` bytes and a blank.
    #[inline(always)]
    fn make_room(&mut self, size: u64) -> Result<()> {
        let end = self.state.position + size + u64::from(BLANK_BYTES);
        match &self.state.target {
            Some(target) if end <= target.file.reserved_end().min(target.file.end()) => Ok(()),
            _ => self.wait_for_room(size),
        }
    }

    /// As [`Appender::make_room`] where there may be no room yet. Nobody has to wait for what was
    /// written before.
    #[cold]
    fn wait_for_room(&mut self, size: u64) -> Result<()> {
        self.publish();
        let state = &mut *self.state;
        let parts = &self.log.parts;
        let blank = u64::from(BLANK_BYTES);
        let target = match &state.target {
            Some(target) if state.position + size + blank <= target.file.end() => target,
            _ => {
                roll(parts, state)?;
                state.target.as_ref().ok_or_else(no_target)?
            }
        };
        let end = state.position + size + blank;
        if end > target.file.reserved_end() {
            parts.allocate.wait_reserved(&target.file, end.min(target.file.end()))?;
        }
        Ok(())
    }
}

impl Drop for Appender<'_> {
    /// An append that panics may leave the log's end in any state: then it is the last.
    #[inline]
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.log.parts.fence.close_after_panic("an append", "under the append lock");
        }
    }
}

/// Ends the current file with a blank and goes on in the next, which is there before the blank is
/// written: without it nothing changes. Space for the blank was reserved with the record before.
fn roll(parts: &CommitLogParts, state: &mut AppendState) -> Result<()> {
    let start = match &state.target {
        None => state.position,
        Some(target) => {
            if target.file.reserved_end() < state.position + u64::from(BLANK_BYTES) {
                let end = state.position + u64::from(BLANK_BYTES);
                parts.allocate.wait_reserved(&target.file, end)?;
            }
            target.file.end()
        }
    };
    let next = parts.allocate.take(start)?;
    if let Some(finished) = &state.target {
        let room = u32::try_from(finished.file.end() - state.position).unwrap_or(u32::MAX);
        let place = Place::find(parts, finished, state.position, u64::from(BLANK_BYTES))?;
        let mut writer = place.writer(state.position, BLANK_BYTES)?;
        encode_blank(room, &mut writer);
        parts.check(&place, state.position, BLANK_BYTES)?;
        finish(writer, state.position)?;
        parts.queue.publish(start, place.is_mapped());
        if finished.buffer.is_some() && next.buffer.is_none() {
            // A kill takes what is in a buffer and leaves what is in a mapping: no record may come
            // behind one that a kill would take.
            parts.commit()?;
        }
    }
    parts.queue.push(Arc::clone(&next.file));
    state.position = start;
    state.target = Some(next);
    Ok(())
}

/// Where the bytes of an append go.
enum Place<'p> {
    Mapping(&'p MappedFile),
    /// The mapping, while others who write are kept from it.
    MappingAlone(
        &'p MappedFile,
        #[allow(dead_code, reason = "held until the bytes are published")] WritesHeld<'p>,
    ),
    Pool(&'p MappedFile, &'p PoolBuffer),
    /// At an index of the staging buffer, which is the place of a log position.
    Staging(&'p MappedFile, &'p StagingBuffer, usize, u64),
}

impl<'p> Place<'p> {
    /// Finds the place of `size` bytes at a log position.
    #[inline(always)]
    fn find(
        parts: &'p CommitLogParts,
        target: &'p AppendTarget,
        position: u64,
        size: u64,
    ) -> Result<Self> {
        let file = &*target.file;
        if let Some(buffer) = &target.buffer {
            return Ok(Self::Pool(file, buffer));
        }
        let Some(staging) = parts.queue.staging() else {
            return Ok(Self::Mapping(file));
        };
        if size > staging.most_bytes() {
            // What goes to the mapping is committed at once, and so must be all before it.
            parts.commit()?;
            return Ok(Self::MappingAlone(file, parts.queue.hold_writes()));
        }
        let place = || staging.place(position, size, parts.queue.committed().get());
        if let Some(index) = place() {
            return Ok(Self::Staging(file, staging, index, position));
        }
        parts.commit()?;
        let index = place().ok_or_else(|| internal("the staging buffer has no room", position))?;
        Ok(Self::Staging(file, staging, index, position))
    }

    /// Whether the bytes are committed as soon as they are published.
    fn is_mapped(&self) -> bool {
        matches!(self, Self::Mapping(_) | Self::MappingAlone(..))
    }

    /// Fails if what was written into the mapping went nowhere. Buffers lose nothing.
    #[inline(always)]
    fn check(&self, position: u64, length: u32) -> Result<()> {
        match *self {
            Self::Mapping(file) | Self::MappingAlone(file, _) => {
                file.check(position..position + u64::from(length))
            }
            Self::Pool(..) | Self::Staging(..) => Ok(()),
        }
    }

    /// What writes `length` bytes at a log position, the first four last.
    #[inline(always)]
    fn writer(&self, position: u64, length: u32) -> Result<RegionWriter<'_>> {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let (region, start) = match *self {
            Self::Mapping(file) | Self::MappingAlone(file, _) => {
                (Some(file.region()), file.index(position))
            }
            Self::Pool(file, buffer) => {
                file.note_buffered(position, length);
                (buffer.region(), file.index(position))
            }
            Self::Staging(file, staging, index, first) => {
                file.note_buffered(position, length);
                let before = usize::try_from(position - first).unwrap_or(usize::MAX);
                (Some(staging.region()), index.saturating_add(before))
            }
        };
        // Made in one place: one of several would be copied to where it is used.
        match region.and_then(|region| region.writer(start, length)) {
            Some(writer) => Ok(writer),
            None => Err(internal("a record lies outside its file", position)),
        }
    }
}

#[inline(always)]
fn finish(writer: RegionWriter<'_>, position: u64) -> Result<()> {
    if writer.finish() {
        return Ok(());
    }
    Err(internal("a record has another length than computed", position))
}

#[cold]
fn internal(what: &'static str, position: u64) -> Error {
    Error::new(Status::Internal, what).at_offset(position)
}

#[cold]
fn no_target() -> Error {
    Error::new(Status::Internal, "there is no file to append to")
}
