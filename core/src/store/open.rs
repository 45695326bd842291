//! Opening: the lock, the files, recovery, then the services.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use parking_lot::Mutex;

use super::checks::Checking;
use super::derived::{Beside, DerivedFiles, Dispatching, FoundQueues};
use super::transactions::Transactions;
use super::{Ending, Inner, Store};
use crate::checkpoint::{self, CheckpointFile, Notes, StoreCheckpoint};
use crate::clock::{Clock, SystemClock};
use crate::commit_log::next_offsets;
use crate::commit_log::recover::{self, Before, Plan, RecoveryReport};
use crate::commit_log::{
    CommitLog, CommitLogParts, Preparer, TopicTable, check_places, open_read_only, paths_of,
};
use crate::consume::{ConfigService, Groups};
use crate::consume_queue::{LeftOut, has_queues};
use crate::delay::{DelayLevels, Redeliver, ScheduleMessageService, ScheduleParts};
use crate::error::{Error, Result};
use crate::fence::Fence;
use crate::flush::{
    CheckpointService, CommitRealTimeService, CompletionService, FlushContext,
    FlushRealTimeService, FlushService, GroupCommitService,
};
use crate::lock::{AbortMarker, StoreLock};
use crate::mapped::allocate::{AllocateMappedFileService, AllocateSettings};
use crate::mapped::{
    FoundFile, MappedFileQueue, QueuePaths, StagingBuffer, TransientStorePool, guard, list_files,
    open_files,
};
use crate::options::{FlushMode, StoreOptions};
use crate::progress::Reporter;
use crate::retention::{CleanCommitLogService, Cleaner, CleanerParts, RetentionRules};
use crate::service::Signal;
use crate::state::delay_offsets::DelayOffsets;
use crate::state::{ConsumerOffsets, Topics};
use crate::stats::Counters;
use crate::status::Status;
use crate::sys::disk::{Access, Disk, Entry, OsDisk};
use crate::sys::{ForkWatch, boot_id, forked_while_open};

/// The ring of a synchronous store's staging buffer: more than comes between two syncs.
const STAGING_BYTES: u64 = 4 << 20;

/// What a store gets from outside.
#[derive(Debug, Clone)]
pub(crate) struct Environment {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) boot_id: Option<u64>,
}

impl Environment {
    /// The machine's file system and clocks.
    pub(crate) fn of_this_machine() -> Self {
        Self { disk: Arc::new(OsDisk), clock: Arc::new(SystemClock), boot_id: boot_id() }
    }
}

/// What is in the directory before it is opened.
struct Found {
    paths: QueuePaths,
    files: Vec<FoundFile>,
    checkpoint: StoreCheckpoint,
    notes: Option<Notes>,
    before: Before,
}

impl Found {
    fn look(path: &Path, options: &StoreOptions, environment: &Environment) -> Result<Self> {
        check_places(path, options)?;
        let paths = paths_of(path, options);
        let disk = &*environment.disk;
        let files = list_files(disk, &paths)?;
        let (checkpoint, notes) = checkpoint::read(disk, path)?.unwrap_or_default();
        if let (Some(notes), Some(first)) = (notes, files.first())
            && notes.segment_size_bytes != first.size_bytes
        {
            return Err(Error::new(Status::WrongFileSize, "the file has a wrong size")
                .at_path(&first.path)
                .expected(format!("{} bytes", notes.segment_size_bytes), first.size_bytes));
        }
        let clean_stop = !AbortMarker::exists(disk, path)?;
        let boot_id = environment.boot_id;
        let before = Before { created: files.is_empty(), clean_stop, notes, boot_id };
        Ok(Self { paths, files, checkpoint, notes, before })
    }

    fn file_size_bytes(&self, options: &StoreOptions) -> u64 {
        let found = self.files.first().map(|file| file.size_bytes);
        let noted = self.notes.map(|notes| notes.segment_size_bytes);
        found.or(noted).unwrap_or(options.segment_size_bytes)
    }
}

/// Opens a store.
pub(crate) fn open(
    path: &Path,
    options: &StoreOptions,
    environment: &Environment,
) -> Result<Store> {
    if forked_while_open() {
        let what = "this process was forked while a store was open, and can open none itself";
        return Err(Error::new(Status::Forked, what).at_path(path));
    }
    options.validate()?;
    guard::install_if(options.sigbus_guard_enable);
    let path = absolute(path)?;
    let disk = &environment.disk;
    check_places(&path, options)?;
    make_directories(&path, options, &**disk)?;
    // Looked at before the lock is taken, so that nothing changes where there is no store.
    Found::look(&path, options, environment)?;
    let lock = StoreLock::take(&path)?;
    let found = Found::look(&path, options, environment)?;

    let size = found.file_size_bytes(options);
    let files = open_files(&**disk, &found.files)?;
    let queue = Arc::new(MappedFileQueue::new(Arc::clone(disk), size, files));
    let mut reporter = Reporter::new(&options.recovery_listener);
    let derived = DerivedFiles { disk, path: &path, options, access: Access::Write };
    let (queues, topics, mut plan) = decide(derived, &queue, &found, &mut reporter)?;
    let mut behind = LeftOut::default();
    if !options.consume_queue_enable {
        behind.empty = queues.queues.load(queue.min_offset(), plan.end)?.empty;
    }
    queues.raise_next_offsets(&topics);
    check_last_is_writable(&found.files, plan.end)?;
    let state = StateFiles::load(disk, &path, options)?;
    let abort = AbortMarker::set(&**disk, &path)?;
    next_offsets::remove(&**disk, &path)?;
    remove_empty_last_files(&**disk, &found)?;
    recover::apply(&mut plan, found.before, &queue, &path)?;
    let boot_id = environment.boot_id.unwrap_or(0);
    let before = found.notes.unwrap_or_default();
    let notes = Notes { segment_size_bytes: size, durable_offset: plan.end, boot_id, ..before };
    let fields = found.checkpoint;
    let checkpoint = Arc::new(CheckpointFile::new(Arc::clone(disk), &path, fields, notes));
    checkpoint.update(|_, _| {})?;
    let mut keep_abort = false;
    if !options.consume_queue_enable {
        queues.queues.cut(&behind)?;
        keep_abort = has_queues(&**disk, &path);
    }
    let ending = Ending { lock: Some(lock), abort, keep_abort, outcome: None };
    let paths = found.paths;
    let before = found.before;
    let parts = Recovered { before, queue, paths, topics, plan, queues, state, checkpoint, ending };
    self::start(path, options, environment, parts, reporter)
}

/// What recovery leaves to the services.
struct Recovered {
    before: Before,
    queue: Arc<MappedFileQueue>,
    paths: QueuePaths,
    topics: TopicTable,
    plan: Plan,
    queues: FoundQueues,
    state: StateFiles,
    checkpoint: Arc<CheckpointFile>,
    ending: Ending,
}

/// What the state files say. They are read before anything is changed: one that is damaged refuses
/// opening.
#[derive(Default)]
struct StateFiles {
    /// With consume queues.
    groups: Option<(ConsumerOffsets, Topics)>,
    /// If delayed messages are delivered.
    delays: Option<DelayOffsets>,
}

impl StateFiles {
    fn load(disk: &Arc<dyn Disk>, path: &Path, options: &StoreOptions) -> Result<Self> {
        if !options.consume_queue_enable {
            return Ok(Self::default());
        }
        let offsets = ConsumerOffsets::load(Arc::clone(disk), path)?;
        let groups = Some((offsets, Topics::load(Arc::clone(disk), path)?));
        let delays = match options.schedule_enable {
            true => Some(DelayOffsets::load(Arc::clone(disk), path)?),
            false => None,
        };
        Ok(Self { groups, delays })
    }
}

/// What opening would do, from a read-only look.
pub(crate) fn plan(path: &Path, options: &StoreOptions) -> Result<RecoveryReport> {
    options.validate()?;
    guard::install_if(options.sigbus_guard_enable);
    let found = Found::look(path, options, &Environment::of_this_machine())?;
    if !found.paths.writable().iter().any(|directory| directory.is_dir()) {
        return Err(not_found(path));
    }
    let queue = open_read_only(&found.files)?;
    let disk: Arc<dyn Disk> = Arc::new(OsDisk);
    let mut reporter = Reporter::new(&options.recovery_listener);
    let derived = DerivedFiles { disk: &disk, path, options, access: Access::Read };
    let (_, _, plan) = decide(derived, &queue, &found, &mut reporter)?;
    Ok(plan.report)
}

/// Looks at queues and log, and decides what to do. Changes nothing.
fn decide(
    derived: DerivedFiles<'_>,
    log: &MappedFileQueue,
    found: &Found,
    reporter: &mut Reporter,
) -> Result<(FoundQueues, TopicTable, Plan)> {
    let DerivedFiles { disk, path, options, .. } = derived;
    let before = found.before;
    let mut counted = match options.consume_queue_enable {
        true => None,
        false => next_offsets::read(&**disk, path, log, before)?,
    };
    let mut notes = found.notes;
    loop {
        let queues = FoundQueues::look(derived, log, notes)?;
        let from_queues = || (TopicTable::default(), queues.walk);
        let (topics, walk) = counted.take().unwrap_or_else(from_queues);
        let plan = recover::plan(log, options, before, walk, &topics, reporter)?;
        if queues.are_within(plan.end) {
            return Ok((queues, topics, plan));
        }
        // What they are trusted for is about to be cut off the log.
        notes = None;
    }
}

fn not_found(path: &Path) -> Error {
    Error::new(Status::StoreNotFound, "there is no store here").at_path(path)
}

/// The process may change its directory while the store is open.
fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path)
        .map_err(|source| Error::io("cannot make the path absolute", source).at_path(path))
}

fn make_directories(path: &Path, options: &StoreOptions, disk: &dyn Disk) -> Result<()> {
    let paths = paths_of(path, options);
    for directory in std::iter::once(path).chain(paths.writable().iter().map(PathBuf::as_path)) {
        // What is no directory, or cannot be looked at, making the directory tells of.
        if disk.has_directory(directory) {
            continue;
        }
        if !options.create_if_missing {
            return Err(not_found(path));
        }
        disk.create_directory(directory)
            .and_then(|()| crate::mapped::sync_parent(disk, directory))
            .map_err(|source| Error::io("cannot make", source).at_path(directory))?;
    }
    Ok(())
}

/// Refuses a log that goes on in a file of a directory that is only read.
fn check_last_is_writable(files: &[FoundFile], end: u64) -> Result<()> {
    match files.iter().find(|file| (file.start..file.start + file.size_bytes).contains(&end)) {
        Some(last) if last.access == Access::Read => Err(Error::new(
            Status::InvalidArgument,
            "the file that is appended to lies in a directory that is only read",
        )
        .at_path(&last.path)),
        _ => Ok(()),
    }
}

/// Removes a last file of zero length, which a creation that was cut short leaves.
fn remove_empty_last_files(disk: &dyn Disk, found: &Found) -> Result<()> {
    let next = found.files.last().map_or(0, |last| last.start + last.size_bytes);
    for directory in found.paths.writable() {
        let path = directory.join(format!("{next:020}"));
        let is_empty = |found: Entry| found.is_file && found.size_bytes == 0;
        if disk.find(&path).is_ok_and(|found| found.is_some_and(is_empty)) {
            disk.remove(&path)
                .and_then(|()| disk.sync_directory(directory))
                .map_err(|source| Error::io("cannot remove", source).at_path(&path))?;
        }
    }
    Ok(())
}

fn start(
    path: PathBuf,
    options: &StoreOptions,
    environment: &Environment,
    recovered: Recovered,
    reporter: Reporter,
) -> Result<Store> {
    let fence = Arc::new(Fence::default());
    let completions = CompletionService::start(Arc::clone(&recovered.queue), Arc::clone(&fence))?;
    // Its thread holds the service, so it does not end by being forgotten, as the others do.
    start_with(path, options, environment, recovered, reporter, &fence, &completions)
        .inspect_err(|_| completions.shutdown())
}

fn start_with(
    path: PathBuf,
    options: &StoreOptions,
    environment: &Environment,
    recovered: Recovered,
    mut reporter: Reporter,
    fence: &Arc<Fence>,
    completions: &Arc<CompletionService>,
) -> Result<Store> {
    let Recovered { before, queue, paths, topics, plan, queues, state, checkpoint, ending } =
        recovered;
    let report = &plan.report;
    tracing::info!(
        path = %path.display(), clean_stop = report.clean_stop, records = report.records,
        end = plan.end, bytes_set_aside = report.bytes_set_aside, took = ?report.duration,
        "store opened"
    );
    let fence = Arc::clone(fence);
    let pool = make_pool(options, queue.file_size_bytes())?;
    let pooled = pool.is_some();
    if options.flush_mode == FlushMode::Sync && !pooled {
        queue.set_staging(StagingBuffer::new(STAGING_BYTES)?);
    }
    let settings = AllocateSettings {
        paths: paths.clone(),
        reserve_ahead_bytes: options.reserve_ahead_bytes,
        synced_often: options.flush_mode == FlushMode::Sync,
        warm: options.warm_mapped_file_enable,
        pool,
        fail_without_buffer: options.fast_fail_if_no_buffer,
    };
    let on_panic = Arc::clone(&fence);
    let allocate =
        AllocateMappedFileService::start(Arc::clone(&queue), settings, move |message| {
            on_panic.close_after_panic("AllocateMappedFileService", &message);
        })?;
    let completions = Arc::clone(completions);
    let moved = Arc::new(Signal::default());
    let context = Arc::new(FlushContext {
        queue: Arc::clone(&queue),
        fence: Arc::clone(&fence),
        completions: Arc::clone(&completions),
        moved: Arc::clone(&moved),
    });
    let flush: Arc<dyn FlushService> = match options.flush_mode {
        FlushMode::Sync => Arc::new(GroupCommitService::start(Arc::clone(&context))?),
        FlushMode::Async => Arc::new(FlushRealTimeService::start(Arc::clone(&context), options)?),
    };
    let commit: Option<Arc<dyn FlushService>> = if pooled {
        Some(Arc::new(CommitRealTimeService::start(context, Arc::clone(&flush), options)?))
    } else {
        None
    };
    let schedule = match state.delays {
        Some(offsets) => Some(schedule(options, environment, offsets, &queue, &queues, &fence)?),
        None => None,
    };
    let (mut dispatching, mut config) = (None, None);
    let mut transactions = Transactions::new(options);
    if let Some((offsets, topics)) = state.groups {
        let told = schedule.clone();
        let beside = Beside { before, options, log: &queue, checkpoint: &checkpoint };
        let parts = Dispatching::start(queues, beside, told, &fence, &mut reporter)?;
        let groups = Arc::new(Groups::new(offsets, topics, Arc::clone(parts.queues())));
        // What was set back has to stay so: those indexes are about to be given out again.
        groups.offsets.persist()?;
        transactions.load(&queue, parts.queues(), &groups)?;
        let interval = Duration::from_millis(options.flush_consumer_offset_interval_ms);
        config = Some(ConfigService::start(groups, interval)?);
        dispatching = Some(parts);
    }
    let noting = if options.consume_queue_enable {
        None
    } else {
        let interval = Duration::from_millis(options.flush_consume_queue_interval_ms);
        let (log, checkpoint) = (Arc::clone(&queue), Arc::clone(&checkpoint));
        Some(CheckpointService::start(log, checkpoint, interval, moved)?)
    };
    let cleaner = Arc::new(Cleaner::new(CleanerParts {
        log: Arc::clone(&queue),
        paths,
        store_path: path.clone(),
        queues: dispatching.as_ref().map(|parts| Arc::clone(parts.flusher())),
        fence: Arc::clone(&fence),
        clock: Arc::clone(&environment.clock),
        rules: RetentionRules::new(options)?,
    }));
    let cleaning = if options.retention_enable {
        Some(CleanCommitLogService::start(Arc::clone(&cleaner), options)?)
    } else {
        None
    };
    let preparer = Preparer::new(options, queue.file_size_bytes())?;
    let parts = CommitLogParts {
        queue,
        allocate,
        fence: Arc::clone(&fence),
        clock: Arc::clone(&environment.clock),
        last_timestamp_ms: plan.last_timestamp_ms,
    };
    let inner = Inner {
        path,
        options: options.clone(),
        report: plan.report,
        fork: ForkWatch::new(),
        clock: Arc::clone(&environment.clock),
        log: CommitLog::new(parts, options),
        preparer,
        topics,
        counters: Counters::default(),
        fence,
        flush,
        commit,
        completions,
        dispatching,
        config,
        noting,
        schedule,
        cleaner,
        cleaning,
        transactions,
        checking: Checking::default(),
        checkpoint,
        closed: AtomicBool::new(false),
        ending: Mutex::new(ending),
    };
    if let Some(schedule) = &inner.schedule {
        schedule.set_back_offsets()?;
    }
    let inner = Arc::new(inner);
    if let Some(schedule) = &inner.schedule {
        let target: Arc<dyn Redeliver> = Arc::clone(&inner) as Arc<dyn Redeliver>;
        schedule.bind(Arc::downgrade(&target));
    }
    Ok(Store { inner })
}

/// What delivers delayed messages.
fn schedule(
    options: &StoreOptions,
    environment: &Environment,
    offsets: DelayOffsets,
    log: &Arc<MappedFileQueue>,
    found: &FoundQueues,
    fence: &Arc<Fence>,
) -> Result<Arc<ScheduleMessageService>> {
    let parts = ScheduleParts {
        log: Arc::clone(log),
        queues: Arc::clone(&found.queues),
        clock: Arc::clone(&environment.clock),
        fence: Arc::clone(fence),
        levels: DelayLevels::parse(&options.message_delay_level)?,
        offsets,
        flush_interval_ms: options.flush_delay_offset_interval_ms,
    };
    Ok(Arc::new(ScheduleMessageService::new(parts)))
}

fn make_pool(options: &StoreOptions, size_bytes: u64) -> Result<Option<TransientStorePool>> {
    if !options.transient_store_pool_enable {
        return Ok(None);
    }
    let size = usize::try_from(size_bytes)
        .map_err(|_| Error::new(Status::OutOfMemory, "a file size exceeds the address space"))?;
    TransientStorePool::new(options.transient_store_pool_size, size).map(Some)
}
