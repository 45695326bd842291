//! One case: a store, what was done to it and what came of that, and the judgement in the end.

use std::collections::HashMap;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use super::super::fault_disk::{Call, Made};
use super::super::scene::{Scene, bodies};
use crate::{
    AppendResult, Error, FlushMode, Message, PhysicalOffset, ReadRequest, Result, Status, Store,
};

/// How long something may take that has to happen on a disk that works.
const PATIENCE: Duration = Duration::from_secs(15);
/// What is appended once the disk works again.
const AFTER: &str = "after";

/// What the caller was told of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Acknowledged: with this index in its queue, and, if it is known, at this offset.
    Stored { index: u64, offset: Option<u64> },
    /// As [`Fate::Stored`] once everything was flushed: it is in a buffer of the pool.
    Pooled { index: u64, offset: u64 },
    /// Perhaps in the log, perhaps not durable.
    Unknown,
    /// Not stored.
    Refused,
}

#[derive(Debug)]
struct Entry {
    topic: String,
    fate: Fate,
    /// Comes to its topic later; what was told is where it waits.
    delayed: bool,
}

/// A store on a disk that may fail, and all that was appended to it, by its body.
pub(super) struct Run {
    pub(super) scene: Scene,
    store: Option<Store>,
    entries: HashMap<Vec<u8>, Entry>,
    /// The number of the error that calls fail with; none while nothing may fail.
    pub(super) errno: Option<i32>,
    /// The calls before the store was open.
    opened_at: usize,
    /// The offset that a group committed, and whether that is known to be stored.
    pub(super) offset: Option<(u64, bool)>,
    /// Messages of transactions that were rolled back.
    pub(super) rolled_back: Vec<Vec<u8>>,
    /// Whether appends wait for their sync, where there is one.
    waits: bool,
}

/// The status that is promised for an error of the operating system.
fn status_of(errno: i32) -> Status {
    match errno {
        libc::ENOSPC | libc::EDQUOT => Status::DiskFull,
        libc::EROFS => Status::ReadOnlyFileSystem,
        libc::ENOMEM => Status::OutOfMemory,
        libc::EMFILE => Status::TooManyOpenFiles,
        _ => Status::Io,
    }
}

/// Whether the directory of the first call was synced behind it.
fn is_durable(made: &[Made]) -> bool {
    let directory = made[0].path.parent();
    made.iter().any(|later| {
        later.call == Call::SyncDirectory && directory == Some(&*later.path) && !later.failed
    })
}

impl Run {
    pub(super) fn new(scene: Scene) -> Self {
        Self {
            scene,
            store: None,
            entries: HashMap::new(),
            errno: None,
            opened_at: 0,
            offset: None,
            rolled_back: Vec::new(),
            waits: true,
        }
    }

    /// The store, if it could be opened.
    pub(super) fn store(&self) -> Option<&Store> {
        self.store.as_ref()
    }

    /// Opens the store.
    pub(super) fn open(&mut self) {
        match self.scene.open() {
            Ok(store) => self.store = Some(store),
            Err(error) => {
                self.check_error("opening", &error);
                assert!(error.path().is_some(), "opening names no file: {error}");
            }
        }
        self.opened_at = self.scene.disk.made_count();
    }

    /// The disk forgot its calls: faults come now.
    pub(super) fn forget_opening(&mut self) {
        self.opened_at = 0;
    }

    /// Goes on in a copy of the directory as it is now: the process was killed.
    pub(super) fn crash(&mut self) {
        let crashed = self.scene.copy();
        let store = self.store.take();
        // The one that goes on without us has nothing to say any more.
        drop(store);
        self.scene = crashed;
    }

    /// Closes the store; whatever comes of it has to be told in the same way again.
    pub(super) fn close(&mut self) -> Option<Result<()>> {
        let store = self.store.take()?;
        let outcome = store.close();
        if let Err(error) = &outcome {
            self.check_error("closing", error);
            assert_eq!(store.close().unwrap_err().to_string(), error.to_string());
        } else {
            store.close().unwrap();
            self.flushed();
            self.check_directories(&self.scene.disk.made());
        }
        Some(outcome)
    }

    /// Of a store that was closed well every entry of a directory is durable that was made, and so
    /// is that the mark of an unclean end is gone.
    fn check_directories(&self, made: &[Made]) {
        for (at, change) in made.iter().enumerate().skip(self.opened_at.min(made.len())) {
            let gone = made[at + 1..]
                .iter()
                .any(|later| later.call == Call::Remove && later.path == change.path);
            let lasts = match change.call {
                Call::Create | Call::Rename => !gone && change.path.extension().is_none(),
                Call::Remove => change.path.ends_with("abort"),
                _ => false,
            };
            if lasts && !change.failed {
                assert!(is_durable(&made[at..]), "{} is not durable", change.path.display());
            }
        }
    }

    /// What was appended so far is durable.
    pub(super) fn flushed(&mut self) {
        for entry in self.entries.values_mut() {
            if let Fate::Pooled { index, offset } = entry.fate {
                entry.fate = Fate::Stored { index, offset: Some(offset) };
            }
        }
    }

    /// Fails unless the error tells of the one that the disk was told to return.
    pub(super) fn check_error(&self, what: &str, error: &Error) {
        let Some(errno) = self.errno else { panic!("{what} fails on a good disk: {error:?}") };
        let first = error.status() == status_of(errno) && error.os_code() == Some(errno);
        let later = [Status::Fenced, Status::DispatchBlocked].contains(&error.status())
            && error.to_string().contains(&format!("(os error {errno})"));
        assert!(first || later, "{what} does not tell of error {errno}: {error:?}");
    }

    /// A body that no other message has.
    pub(super) fn body(&self, bytes: usize) -> Vec<u8> {
        self.body_of(0, bytes)
    }

    /// The body of one of several messages that are appended together.
    pub(super) fn body_of(&self, number: usize, bytes: usize) -> Vec<u8> {
        let mut body = format!("{:08}.", self.entries.len() + number).into_bytes();
        body.resize(bytes.max(body.len()), b'x');
        body
    }

    /// As [`Run::append_by`], by one that waits for no sync.
    pub(super) fn append_unwaited(
        &mut self,
        bytes: usize,
        append: impl FnOnce(&Store, &Message<'_>) -> Result<AppendResult>,
    ) {
        self.waits = false;
        self.append_by("t", bytes, |store, message| append(store, &message.wait_store_ok(false)));
        self.waits = true;
    }

    /// Takes down a message of which nobody was told that it is stored, nor that it is not.
    pub(super) fn unclear(&mut self, topic: &str, body: Vec<u8>) {
        let entry = Entry { topic: topic.to_owned(), fate: Fate::Unknown, delayed: false };
        assert!(self.entries.insert(body, entry).is_none(), "two messages have one body");
    }

    /// Appends a message of so many bytes to a topic.
    pub(super) fn append(&mut self, topic: &str, bytes: usize) {
        self.append_by(topic, bytes, |store, message| store.append(message));
    }

    /// As [`Run::append`], in a way of its own.
    pub(super) fn append_by(
        &mut self,
        topic: &str,
        bytes: usize,
        append: impl FnOnce(&Store, &Message<'_>) -> Result<AppendResult>,
    ) {
        let Some(store) = &self.store else { return };
        let body = self.body(bytes);
        let begun = self.scene.disk.made_count();
        let result = append(store, &Message::new(topic, &body));
        self.told(topic, vec![body], begun, result);
    }

    /// Takes down what the caller was told of messages that were appended together.
    pub(super) fn told(
        &mut self,
        topic: &str,
        bodies: Vec<Vec<u8>>,
        begun: usize,
        result: Result<AppendResult>,
    ) {
        let delayed = topic == "delayed";
        for (number, body) in bodies.into_iter().enumerate() {
            let fate = match &result {
                Ok(placed) => {
                    self.check_acknowledged(placed, begun);
                    let offset = placed.physical_offset.get();
                    let index = placed.queue_offset.get() + number as u64;
                    match self.scene.options.transient_store_pool_enable && !self.syncs() {
                        true => Fate::Pooled { index, offset },
                        false => Fate::Stored { index, offset: (number == 0).then_some(offset) },
                    }
                }
                Err(error) => {
                    self.check_error("appending", error);
                    if error.appended().is_some() { Fate::Unknown } else { Fate::Refused }
                }
            };
            let before =
                self.entries.insert(body, Entry { topic: topic.to_owned(), fate, delayed });
            assert!(before.is_none(), "two messages have one body");
        }
    }

    fn syncs(&self) -> bool {
        self.waits && self.scene.options.flush_mode == FlushMode::Sync
    }

    /// What is acknowledged is in the file, and in a synchronous store a sync of that file
    /// succeeded since the append began.
    fn check_acknowledged(&self, placed: &AppendResult, begun: usize) {
        if self.scene.options.transient_store_pool_enable && !self.syncs() {
            return;
        }
        let offset = placed.physical_offset.get();
        let size_bytes = self.scene.options.segment_size_bytes;
        let path = self.scene.file(offset / size_bytes * size_bytes);
        let mut size = [0; 4];
        let file = std::fs::File::open(&path).unwrap();
        file.read_exact_at(&mut size, offset % size_bytes).unwrap();
        assert!(u32::from_be_bytes(size) > 0, "{offset} is acknowledged and not in the file");
        let sync = |made: &Made| made.call == Call::SyncData && made.path == path && !made.failed;
        let made = self.scene.disk.made();
        let created = |made: &Made| made.call == Call::Create && made.path == path && !made.failed;
        if let Some(at) = made.iter().rposition(created) {
            assert!(is_durable(&made[at..]), "{offset} is in a file that a power cut may take");
        }
        assert!(
            !self.syncs() || made[begun..].iter().any(sync),
            "{offset} is acknowledged without a sync that succeeded"
        );
    }

    fn has_queues(&self) -> bool {
        self.scene.options.consume_queue_enable
    }

    /// Waits for the dispatcher, on a disk that works.
    fn check_dispatched(&self, store: &Store) {
        let end = store.max_offset();
        let dispatched = !self.has_queues() || store.wait_dispatched(end, PATIENCE).unwrap();
        assert!(dispatched, "{:?}", store.dispatch_error());
    }

    /// Waits for the dispatcher, which may be kept from going on.
    pub(super) fn wait_dispatched(&self) {
        let Some(store) = self.store.as_ref().filter(|_| self.has_queues()) else { return };
        let patience = if self.errno.is_some() { Duration::from_millis(100) } else { PATIENCE };
        if !store.wait_dispatched(store.max_offset(), patience).unwrap()
            && let Some(error) = store.dispatch_error()
        {
            self.check_error("dispatching", &error);
        }
    }

    /// Judges the case: the disk works from now on.
    pub(super) fn judge(mut self) {
        if let Some(store) = &self.store {
            // What is there can be read, whatever else is wrong.
            self.check_bodies(store, &bodies(store));
        }
        self.scene.disk.mend();
        match self.store.take() {
            Some(store) => self.end(store),
            None => self.check_leaks(),
        }
        self.check_syncs();
        self.errno = None;
        self.open();
        self.check_content();
        self.append(AFTER, 300);
        self.wait_dispatched();
        self.check_content();
        self.close().unwrap().unwrap();
        self.check_leaks();
    }

    /// Goes on with the store that met the faults, and closes it.
    fn end(&mut self, store: Store) {
        self.store = Some(store);
        let errno = self.errno;
        let made = self.scene.disk.made();
        let failed = |calls: &[Call], part: &str| {
            made[self.opened_at..].iter().any(|made| {
                made.failed
                    && calls.contains(&made.call)
                    && made.path.to_string_lossy().contains(part)
            })
        };
        let fenced = failed(&[Call::WriteAt, Call::SyncData, Call::Open], "commitlog/");
        let syncs = [Call::SyncData, Call::SyncAll];
        let lost = failed(&[Call::SyncData], "commitlog/")
            || failed(&[Call::SyncData], "index/")
            || failed(&syncs, "consumequeue/");
        // Those of queues, up to the store's own.
        let perhaps = fenced || failed(&[Call::SyncDirectory], "");

        let appended = {
            let body = self.body(300);
            let begun = self.scene.disk.made_count();
            let result = self.store().unwrap().append(&Message::new(AFTER, &body));
            let works = result.is_ok();
            if !works && !fenced {
                self.errno = None;
            }
            self.told(AFTER, vec![body], begun, result);
            works
        };
        if appended && !lost && !perhaps {
            self.errno = None;
            self.store().unwrap().flush().unwrap();
            self.flushed();
            self.check_dispatched(self.store().unwrap());
            self.check_queues();
        }
        // A batch may have waited for the first sync of a file that cannot be opened.
        let strict = appended && !lost && !perhaps;
        self.errno = if strict { None } else { errno };
        let closed = self.close().unwrap();
        assert!(closed.is_err() || (appended && !lost), "closing does not tell of the failure");
        self.errno = errno;
        self.check_leaks();
    }

    /// Nothing uses the disk any more: no thread of the store, no file.
    fn check_leaks(&self) {
        let begin = Instant::now();
        while self.scene.disk.users() > 0 {
            let users = self.scene.disk.users();
            assert!(begin.elapsed() < PATIENCE, "{users} threads or files were left behind");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// While a store is open no file of log, queues or index is synced again once that failed, and
    /// other files only when they were written again.
    fn check_syncs(&self) {
        let made = self.scene.disk.made();
        let is_sync = |made: &Made| matches!(made.call, Call::SyncData | Call::SyncAll);
        let opened = self.opened_at.min(made.len());
        for (at, failed) in made.iter().enumerate().skip(opened) {
            if !failed.failed || !is_sync(failed) {
                continue;
            }
            let derived = ["commitlog/", "consumequeue/", "index/"];
            let path = failed.path.to_string_lossy();
            let strict = derived.iter().any(|part| path.contains(part));
            for later in made[at + 1..].iter().filter(|later| later.path == failed.path) {
                let anew = match later.call {
                    Call::Create | Call::Remove => true,
                    Call::WriteAt => !strict,
                    _ => false,
                };
                if anew {
                    break;
                }
                assert!(!is_sync(later), "{path} is synced again after a sync that failed");
            }
        }
    }

    /// All that was acknowledged is in the log, and nothing that was refused.
    fn check_bodies(&self, store: &Store, found: &[Vec<u8>]) {
        for (body, entry) in &self.entries {
            let name = String::from_utf8_lossy(&body[..8]);
            let Fate::Stored { offset, .. } = entry.fate else {
                let refused = entry.fate == Fate::Refused;
                assert!(!refused || !found.contains(body), "{name} was refused and is there");
                continue;
            };
            if offset.is_some_and(|offset| offset < store.min_offset().get()) {
                continue;
            }
            assert!(found.contains(body), "{name} was acknowledged and is not there");
            if let Some(offset) = offset {
                let message = store.read_at(PhysicalOffset::new(offset)).unwrap();
                assert_eq!(message.body(), body, "{name} lies elsewhere");
            }
        }
        for body in found.iter().filter(|body| body.len() >= 9 && body[8] == b'.') {
            assert!(self.entries.contains_key(body), "a message is there that nobody appended");
        }
    }

    /// Each message that was acknowledged is in its queue at the index that was told; without
    /// queues none is given that index again.
    fn check_queues(&self) {
        let store = self.store.as_ref().unwrap();
        for (body, entry) in &self.entries {
            let Fate::Stored { index, offset } = entry.fate else { continue };
            if entry.delayed || offset.is_none_or(|offset| offset < store.min_offset().get()) {
                continue;
            }
            if !self.has_queues() {
                let next = store.next_queue_offset(&entry.topic, 0).get();
                assert!(index < next, "{} goes on at {next}, not behind {index}", entry.topic);
                continue;
            }
            let request = ReadRequest::new(&entry.topic, 0, index as i64).max_messages(1);
            let batch = store.read(&request).unwrap();
            let found = batch.messages().first();
            assert!(
                found.is_some_and(|found| found.body() == body),
                "index {index} of {} is {:?}",
                entry.topic,
                batch.outcome()
            );
        }
    }

    fn check_content(&mut self) {
        let store = self.store.as_ref().expect("the store opens on a good disk");
        store.flush().unwrap();
        self.check_dispatched(store);
        self.check_bodies(store, &bodies(store));
        self.check_queues();
        if let Some((value, certain)) = self.offset {
            let found = store.consumer_offset("group", "t", 0).unwrap();
            let found = found.map_or(0, |offset| offset.get());
            assert!(found == value || (!certain && found <= value), "{found} of {value}");
        }
        self.check_delayed();
        let store = self.store.as_ref().unwrap();
        if let Ok(Some(range)) = store.queue_range("t", 0) {
            let most = (range.end.get() - range.start.get()) as usize;
            let request = ReadRequest::new("t", 0, range.start.to_i64()).max_messages(most.max(1));
            for message in store.read(&request).unwrap().messages() {
                let body = message.body().to_vec();
                assert!(!self.rolled_back.contains(&body), "a rolled back message is visible");
            }
        }
    }

    /// Delayed messages come to their topic once their time is over.
    fn check_delayed(&self) {
        let waiting: Vec<_> = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.delayed && matches!(entry.fate, Fate::Stored { .. }))
            .map(|(body, _)| body)
            .collect();
        if waiting.is_empty() {
            return;
        }
        let store = self.store.as_ref().unwrap();
        self.scene.clock.turn_wall(60_000);
        self.scene.clock.pass(120_000);
        let begin = Instant::now();
        loop {
            store.deliver_due();
            store.flush().unwrap();
            self.check_dispatched(store);
            let batch = store.read(&ReadRequest::new("delayed", 0, 0).max_messages(1000)).unwrap();
            let arrived = |body: &&Vec<u8>| batch.messages().iter().any(|m| m.body() == **body);
            if waiting.iter().all(arrived) {
                return;
            }
            assert!(begin.elapsed() < PATIENCE, "a delayed message does not come");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
