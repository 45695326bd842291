//! A disk whose calls are counted and can be made to fail, to dawdle or to write short, and a clock
//! that is turned by hand.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::thread::{self, ThreadId};
use std::time::{Duration, SystemTime};

use parking_lot::{Condvar, Mutex};

use crate::clock::Clock;
use crate::mapped::region::Region;
use crate::sys::disk::{Access, Disk, DiskFile, DiskUsage, Entry, OsDisk};

/// The calls that can be counted and failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    List,
    CreateDirectory,
    Open,
    Create,
    Remove,
    Rename,
    SyncDirectory,
    Usage,
    Modified,
    Map,
    Allocate,
    WriteAt,
    WriteZeros,
    ReadAt,
    DataRanges,
    /// Also of a range.
    SyncData,
    SyncAll,
}

/// Which of the calls that a fault matches it hits, counted from its making.
#[derive(Debug, Clone, Copy)]
pub(super) enum Hits {
    /// Only the nth, from 1.
    Nth(u64),
    /// The nth and the next, from 1.
    Twice(u64),
    /// The nth and all later ones, from 1.
    From(u64),
}

impl Hits {
    fn hit(self, number: u64) -> bool {
        match self {
            Self::Nth(nth) => number == nth,
            Self::Twice(nth) => number == nth || number == nth + 1,
            Self::From(first) => number >= first,
        }
    }
}

#[derive(Debug, Clone)]
enum Fault {
    Fail(i32),
    Panic,
    /// Writes at most this many bytes.
    Short(usize),
    Hold(Arc<Gate>),
    /// Shows no entry of this name.
    Hide(String),
}

/// What the faults of a call leave of it.
#[derive(Debug, Default)]
struct Met {
    /// The most bytes a write may take, if there is such a limit.
    most: Option<usize>,
    /// Names that a listing does not show.
    hidden: Vec<String>,
}

#[derive(Debug)]
struct Rule {
    call: Call,
    path_part: String,
    hits: Hits,
    seen: u64,
    fault: Fault,
}

/// Holds calls until it is opened.
#[derive(Debug, Default)]
pub(super) struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct GateState {
    arrived: u64,
    open: bool,
}

impl Gate {
    /// Waits until a call stands before the gate.
    pub(super) fn wait_for_call(&self) {
        let patience = Duration::from_secs(10);
        let mut state = self.state.lock();
        self.changed.wait_while_for(&mut state, |state| state.arrived == 0, patience);
        assert!(state.arrived > 0, "no such call was made");
    }

    /// Lets all calls pass, now and later.
    pub(super) fn open(&self) {
        self.state.lock().open = true;
        self.changed.notify_all();
    }

    fn pass(&self) {
        let mut state = self.state.lock();
        state.arrived += 1;
        self.changed.notify_all();
        // A test that fails before it opens the gate must end all the same.
        let patience = Duration::from_secs(10);
        self.changed.wait_while_for(&mut state, |state| !state.open, patience);
    }
}

/// A call that was made.
#[derive(Debug, Clone)]
pub(super) struct Made {
    pub(super) call: Call,
    pub(super) path: PathBuf,
    /// Which bytes were to be written, or synced if it was not all of them.
    pub(super) bytes: Range<u64>,
    /// Whether a fault made it fail.
    pub(super) failed: bool,
    /// The thread that made it.
    pub(super) by: ThreadId,
}

#[derive(Debug, Default)]
struct Shared {
    rules: Mutex<Vec<Rule>>,
    calls: Mutex<Vec<Made>>,
    /// Per cent in use that file systems pretend to, by a part of the path; the last one counts.
    use_per_cent: Mutex<Vec<(String, u64)>>,
}

impl Shared {
    /// Counts the call and does to it what the rules say.
    fn meet(&self, call: Call, path: &Path) -> io::Result<Met> {
        self.meet_at(call, path, 0..0)
    }

    /// As [`Shared::meet`], for a call on some of a file's bytes.
    fn meet_at(&self, call: Call, path: &Path, bytes: Range<u64>) -> io::Result<Met> {
        let mut faults = Vec::new();
        for rule in self.rules.lock().iter_mut() {
            if rule.call == call && path.to_string_lossy().contains(&rule.path_part) {
                rule.seen += 1;
                if rule.hits.hit(rule.seen) {
                    faults.push(rule.fault.clone());
                }
            }
        }
        let failed = faults.iter().any(|fault| matches!(fault, Fault::Fail(_)));
        let (path, by) = (path.to_path_buf(), thread::current().id());
        self.calls.lock().push(Made { call, path, bytes, failed, by });
        let mut met = Met::default();
        for fault in faults {
            match fault {
                Fault::Fail(errno) => return Err(io::Error::from_raw_os_error(errno)),
                Fault::Panic => panic!("on purpose"),
                Fault::Short(bytes) => met.most = Some(bytes),
                Fault::Hold(gate) => gate.pass(),
                Fault::Hide(name) => met.hidden.push(name),
            }
        }
        Ok(met)
    }
}

/// The operating system's disk with faults. Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct FaultDisk(Arc<Shared>);

impl FaultDisk {
    fn add(&self, call: Call, path_part: &str, hits: Hits, fault: Fault) {
        self.0.rules.lock().push(Rule {
            call,
            path_part: path_part.to_owned(),
            hits,
            seen: 0,
            fault,
        });
    }

    /// Makes calls on paths that contain `path_part` fail with an error number.
    pub(super) fn fail(&self, call: Call, path_part: &str, hits: Hits, errno: i32) {
        self.add(call, path_part, hits, Fault::Fail(errno));
    }

    /// Makes calls on paths that contain `path_part` panic.
    pub(super) fn panic_at(&self, call: Call, path_part: &str, hits: Hits) {
        self.add(call, path_part, hits, Fault::Panic);
    }

    /// Makes each write take at most `bytes` bytes.
    pub(super) fn write_short(&self, path_part: &str, bytes: usize) {
        self.write_some_short(path_part, Hits::From(1), bytes);
    }

    /// Makes some writes take at most `bytes` bytes.
    pub(super) fn write_some_short(&self, path_part: &str, hits: Hits, bytes: usize) {
        self.add(Call::WriteAt, path_part, hits, Fault::Short(bytes));
    }

    /// Holds calls before a gate.
    pub(super) fn hold(&self, call: Call, path_part: &str, hits: Hits) -> Arc<Gate> {
        let gate = Arc::new(Gate::default());
        self.add(call, path_part, hits, Fault::Hold(Arc::clone(&gate)));
        gate
    }

    /// Makes listings not show the entries of a name.
    pub(super) fn hide(&self, path_part: &str, name: &str, hits: Hits) {
        self.add(Call::List, path_part, hits, Fault::Hide(name.to_owned()));
    }

    /// Makes the file systems of paths that contain `path_part` so full.
    pub(super) fn fill_to(&self, path_part: &str, per_cent: u64) {
        self.0.use_per_cent.lock().push((path_part.to_owned(), per_cent));
    }

    /// Takes all faults away; a gate that still holds calls must be opened.
    pub(super) fn mend(&self) {
        self.0.rules.lock().clear();
    }

    /// Forgets the calls so far.
    pub(super) fn forget_calls(&self) {
        self.0.calls.lock().clear();
    }

    /// All calls so far, in order.
    pub(super) fn made(&self) -> Vec<Made> {
        self.0.calls.lock().clone()
    }

    /// How many calls were made so far.
    pub(super) fn made_count(&self) -> usize {
        self.0.calls.lock().len()
    }

    /// How many files, stores and threads still use the disk, besides this clone of it.
    pub(super) fn users(&self) -> usize {
        Arc::strong_count(&self.0) - 1
    }

    /// The paths of the calls of one kind that contain `path_part`, in order.
    pub(super) fn calls(&self, call: Call, path_part: &str) -> Vec<PathBuf> {
        let calls = self.0.calls.lock();
        calls
            .iter()
            .filter(|made| made.call == call && made.path.to_string_lossy().contains(path_part))
            .map(|made| made.path.clone())
            .collect()
    }

    /// How often such a call was made.
    pub(super) fn count(&self, call: Call, path_part: &str) -> usize {
        self.calls(call, path_part).len()
    }

    fn wrap(&self, path: &Path, file: Box<dyn DiskFile>) -> Box<dyn DiskFile> {
        Box::new(FaultFile { shared: Arc::clone(&self.0), path: path.to_path_buf(), file })
    }
}

impl Disk for FaultDisk {
    fn list(&self, directory: &Path) -> io::Result<Vec<Entry>> {
        let hidden = self.0.meet(Call::List, directory)?.hidden;
        let shown = |entry: &Entry| hidden.iter().all(|name| *entry.name != **name);
        OsDisk.list(directory).map(|entries| entries.into_iter().filter(shown).collect())
    }

    fn find(&self, path: &Path) -> io::Result<Option<Entry>> {
        OsDisk.find(path)
    }

    fn create_directory(&self, directory: &Path) -> io::Result<()> {
        self.0.meet(Call::CreateDirectory, directory)?;
        OsDisk.create_directory(directory)
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn DiskFile>> {
        self.0.meet(Call::Open, path)?;
        OsDisk.open(path, access).map(|file| self.wrap(path, file))
    }

    fn create(&self, path: &Path, size_bytes: u64) -> io::Result<Box<dyn DiskFile>> {
        self.0.meet(Call::Create, path)?;
        OsDisk.create(path, size_bytes).map(|file| self.wrap(path, file))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.meet(Call::Rename, to)?;
        OsDisk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.meet(Call::Remove, path)?;
        OsDisk.remove(path)
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        self.0.meet(Call::SyncDirectory, directory)?;
        OsDisk.sync_directory(directory)
    }

    fn usage(&self, path: &Path) -> io::Result<DiskUsage> {
        self.0.meet(Call::Usage, path)?;
        let pretended = self.0.use_per_cent.lock();
        let text = path.to_string_lossy();
        match pretended.iter().rev().find(|(part, _)| text.contains(part)) {
            None => OsDisk.usage(path),
            Some((_, per_cent)) => {
                let free = (100 - per_cent) << 20;
                let (free_bytes, available_bytes) = (free, free);
                Ok(DiskUsage { total_bytes: 100 << 20, free_bytes, available_bytes })
            }
        }
    }

    fn modified(&self, path: &Path) -> io::Result<SystemTime> {
        self.0.meet(Call::Modified, path)?;
        OsDisk.modified(path)
    }
}

#[derive(Debug)]
struct FaultFile {
    shared: Arc<Shared>,
    path: PathBuf,
    file: Box<dyn DiskFile>,
}

impl DiskFile for FaultFile {
    fn map(&self, size_bytes: usize, access: Access) -> io::Result<Region> {
        self.shared.meet(Call::Map, &self.path)?;
        self.file.map(size_bytes, access)
    }

    fn allocate(&self, offset: u64, length: u64) -> io::Result<()> {
        self.shared.meet(Call::Allocate, &self.path)?;
        self.file.allocate(offset, length)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let range = offset..offset + bytes.len() as u64;
        let most = self.shared.meet_at(Call::WriteAt, &self.path, range)?.most;
        let length = most.unwrap_or(bytes.len()).min(bytes.len());
        self.file.write_at(&bytes[..length], offset)
    }

    fn write_zeros(&self, offset: u64, length: u64) -> io::Result<()> {
        let range = offset..offset + length;
        self.shared.meet_at(Call::WriteZeros, &self.path, range)?;
        self.file.write_zeros(offset, length)
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        self.shared.meet(Call::ReadAt, &self.path)?;
        self.file.read_at(bytes, offset)
    }

    fn data_ranges(&self, range: Range<u64>) -> io::Result<Vec<Range<u64>>> {
        self.shared.meet(Call::DataRanges, &self.path)?;
        self.file.data_ranges(range)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.shared.meet(Call::SyncData, &self.path)?;
        self.file.sync_data()
    }

    fn sync_range(&self, region: &Region, range: Range<usize>) -> io::Result<()> {
        let bytes = range.start as u64..range.end as u64;
        self.shared.meet_at(Call::SyncData, &self.path, bytes)?;
        self.file.sync_range(region, range)
    }

    fn sync_all(&self) -> io::Result<()> {
        self.shared.meet(Call::SyncAll, &self.path)?;
        self.file.sync_all()
    }
}

/// A clock that moves only when it is told to.
#[derive(Debug)]
pub(super) struct TurnableClock {
    wall_ms: AtomicI64,
    monotonic_ms: AtomicU64,
    local_hour: AtomicU32,
}

impl TurnableClock {
    /// A clock at some moment.
    pub(super) fn new() -> Self {
        Self {
            wall_ms: AtomicI64::new(1_700_000_000_000),
            monotonic_ms: AtomicU64::new(1000),
            local_hour: AtomicU32::new(12),
        }
    }

    /// Turns the wall clock, also backwards.
    pub(super) fn turn_wall(&self, by_ms: i64) {
        self.wall_ms.fetch_add(by_ms, Ordering::SeqCst);
    }

    /// Turns the clock on the wall, which does not follow the others.
    pub(super) fn set_local_hour(&self, hour: u32) {
        self.local_hour.store(hour, Ordering::SeqCst);
    }

    /// Lets time pass.
    pub(super) fn pass(&self, by_ms: u64) {
        self.monotonic_ms.fetch_add(by_ms, Ordering::SeqCst);
    }
}

impl Clock for TurnableClock {
    fn wall_ms(&self) -> i64 {
        self.wall_ms.load(Ordering::SeqCst)
    }

    fn monotonic_ms(&self) -> u64 {
        self.monotonic_ms.load(Ordering::SeqCst)
    }

    fn local_hour(&self) -> Option<u32> {
        Some(self.local_hour.load(Ordering::SeqCst))
    }
}
