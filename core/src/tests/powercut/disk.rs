//! `ModelDisk`: a file system in memory that writes down what is done to it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;

use super::journal::{Change, Image, ImageFile, Journal, NameChange, Node, PAGE, Page};
use crate::mapped::memory::Memory;
use crate::mapped::region::Region;
use crate::sys::disk::{Access, Disk, DiskFile, DiskUsage, Entry};

/// What is asked before each operation: what somebody may rely on by now.
type Probe = Box<dyn Fn(&mut Journal) + Send>;

#[derive(Default)]
struct State {
    directories: Vec<BTreeMap<OsString, Node>>,
    files: Vec<File>,
    /// None while nobody wants to know what is done.
    journal: Option<Journal>,
    probe: Option<Probe>,
}

struct File {
    memory: Arc<Memory>,
    length: u64,
    /// The pages as they were last written down; none are kept without a journal.
    seen: Vec<Page>,
}

impl File {
    fn of(image: &ImageFile, journaled: bool) -> Self {
        let memory = Arc::new(Memory::zeroed(image.length.next_multiple_of(PAGE as u64) as usize));
        let mut file = Self { memory, length: image.length, seen: Vec::new() };
        for (&number, page) in &image.pages {
            if number * PAGE < file.memory.len() {
                file.memory.store(number * PAGE, &page[..]);
            }
        }
        if journaled {
            file.see();
        }
        file
    }

    /// Takes all pages as seen, with their bytes as they are.
    fn see(&mut self) {
        self.seen = (0..self.memory.len() / PAGE).map(|number| self.page(number)).collect();
    }

    fn page(&self, number: usize) -> Page {
        let mut bytes = [0; PAGE];
        self.memory.load(number * PAGE, &mut bytes);
        Arc::new(bytes)
    }

    /// Makes room for bytes behind the present end. What is mapped has its final length.
    fn grow(&mut self, length: u64, journaled: bool) {
        let room = length.next_multiple_of(PAGE as u64) as usize;
        if room > self.memory.len() {
            assert_eq!(Arc::strong_count(&self.memory), 1, "a mapped file grows");
            let grown = Memory::zeroed(room);
            let mut bytes = vec![0; self.memory.len()];
            self.memory.load(0, &mut bytes);
            grown.store(0, &bytes);
            self.memory = Arc::new(grown);
        }
        self.length = self.length.max(length);
        if journaled {
            self.seen.resize(self.memory.len() / PAGE, Arc::new([0; PAGE]));
        }
    }

    fn is_mapped(&self) -> bool {
        Arc::strong_count(&self.memory) > 1
    }

    /// The pages of a range that differ from what was seen.
    fn changed(&mut self, number: usize, pages: Range<usize>) -> Vec<Change> {
        let mut changes = Vec::new();
        for page in pages {
            let mut bytes = [0; PAGE];
            self.memory.load(page * PAGE, &mut bytes);
            if bytes != *self.seen[page] {
                let bytes = Arc::new(bytes);
                self.seen[page] = Arc::clone(&bytes);
                changes.push(Change::Page { file: number, page, bytes });
            }
        }
        changes
    }
}

impl State {
    fn of(image: &Image, journaled: bool) -> Self {
        Self {
            directories: image.directories.clone(),
            files: image.files.iter().map(|file| File::of(file, journaled)).collect(),
            journal: journaled.then(|| Journal::new(image.clone())),
            probe: None,
        }
    }

    /// Writes down what was stored into mappings since the last operation, and what is promised.
    fn begin(&mut self) {
        let Some(mut journal) = self.journal.take() else {
            return;
        };
        let mut changes = Vec::new();
        for (number, file) in self.files.iter_mut().enumerate() {
            if file.is_mapped() {
                let pages = 0..file.seen.len();
                changes.extend(file.changed(number, pages));
            }
        }
        if !changes.is_empty() {
            journal.push("store".to_owned(), changes);
        }
        if let Some(probe) = &self.probe {
            probe(&mut journal);
        }
        self.journal = Some(journal);
    }

    fn end(&mut self, what: impl FnOnce() -> String, changes: Vec<Change>) {
        if let Some(journal) = &mut self.journal {
            journal.push(what(), changes);
        }
    }

    fn walk(&self, relative: &Path) -> io::Result<Node> {
        let mut node = Node::Directory(0);
        for name in relative.iter() {
            let Node::Directory(directory) = node else {
                return Err(io::ErrorKind::NotADirectory.into());
            };
            node = *self.directories[directory].get(name).ok_or(io::ErrorKind::NotFound)?;
        }
        Ok(node)
    }

    fn directory(&self, relative: &Path) -> io::Result<usize> {
        match self.walk(relative)? {
            Node::Directory(directory) => Ok(directory),
            Node::File(_) => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    fn file(&self, relative: &Path) -> io::Result<usize> {
        match self.walk(relative)? {
            Node::File(file) => Ok(file),
            Node::Directory(_) => Err(io::ErrorKind::IsADirectory.into()),
        }
    }

    /// The directory and the name of a path.
    fn place(&self, relative: &Path) -> io::Result<(usize, OsString)> {
        let (Some(parent), Some(name)) = (relative.parent(), relative.file_name()) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        Ok((self.directory(parent)?, name.to_owned()))
    }

    fn entry(&self, name: &OsString, node: Node) -> Entry {
        let (is_file, size_bytes) = match node {
            Node::File(file) => (true, self.files[file].length),
            Node::Directory(_) => (false, 0),
        };
        Entry { name: name.clone(), is_file, size_bytes }
    }
}

/// The disk, as one process sees it below one directory. Clones are the same.
#[derive(Clone)]
pub(super) struct ModelDisk {
    root: PathBuf,
    state: Arc<Mutex<State>>,
    /// The process was killed: nothing it does reaches the disk any more.
    dead: Arc<AtomicBool>,
}

impl std::fmt::Debug for ModelDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ModelDisk({})", self.root.display())
    }
}

impl ModelDisk {
    /// A disk that holds an image, seen as `root`, and keeps a journal.
    pub(super) fn journaled(root: &Path, image: &Image) -> Self {
        Self::of(root, State::of(image, true))
    }

    /// A disk that holds an image, without a journal.
    pub(super) fn plain(root: &Path, image: &Image) -> Self {
        Self::of(root, State::of(image, false))
    }

    fn of(root: &Path, state: State) -> Self {
        let (root, state) = (root.to_path_buf(), Arc::new(Mutex::new(state)));
        Self { root, state, dead: Arc::default() }
    }

    /// The disk for the next process, after this one was killed.
    pub(super) fn kill(&self, root: &Path) -> Self {
        self.state.lock().begin();
        self.dead.store(true, Ordering::SeqCst);
        self.state.lock().probe = None;
        Self { root: root.to_path_buf(), state: Arc::clone(&self.state), dead: Arc::default() }
    }

    /// Has a function called before each operation.
    pub(super) fn probe(&self, probe: impl Fn(&mut Journal) + Send + 'static) {
        self.state.lock().probe = Some(Box::new(probe));
    }

    /// Looks at what was stored into mappings, as an operation would.
    pub(super) fn look(&self) {
        self.state.lock().begin();
    }

    /// Adds to the journal; the operations so far are in it.
    pub(super) fn note(&self, note: impl FnOnce(&mut Journal)) {
        let mut state = self.state.lock();
        state.begin();
        if let Some(journal) = &mut state.journal {
            note(journal);
        }
    }

    /// How many operations were written down.
    pub(super) fn steps(&self) -> usize {
        self.state.lock().journal.as_ref().map_or(0, |journal| journal.steps.len())
    }

    /// Takes the journal away.
    pub(super) fn finish(&self) -> Journal {
        let mut state = self.state.lock();
        state.probe = None;
        state.begin();
        state.journal.take().expect("the disk keeps a journal")
    }

    /// Every file below a directory, with its bytes.
    pub(super) fn contents(&self, directory: &str) -> Vec<(String, Vec<u8>)> {
        let state = self.state.lock();
        let Ok(directory) = state.directory(Path::new(directory)) else {
            return Vec::new();
        };
        let files = state.directories[directory].iter().filter_map(|(name, node)| match node {
            Node::File(file) => Some((name, &state.files[*file])),
            Node::Directory(_) => None,
        });
        files
            .map(|(name, file)| {
                let mut bytes = vec![0; file.length as usize];
                file.memory.load(0, &mut bytes);
                (name.to_string_lossy().into_owned(), bytes)
            })
            .collect()
    }

    fn relative<'p>(&self, path: &'p Path) -> io::Result<&'p Path> {
        if self.dead.load(Ordering::SeqCst) {
            return Err(io::Error::from_raw_os_error(libc::EIO));
        }
        path.strip_prefix(&self.root).map_err(|_| io::ErrorKind::NotFound.into())
    }

    fn handle(&self, file: usize, path: &Path) -> Box<dyn DiskFile> {
        Box::new(ModelFile { disk: self.clone(), file, path: path.to_path_buf() })
    }

    fn change_names(
        &self,
        what: &str,
        path: &Path,
        change: impl FnOnce(&mut State) -> io::Result<Vec<Change>>,
    ) -> io::Result<()> {
        let mut state = self.state.lock();
        state.begin();
        let changes = change(&mut state)?;
        for change in &changes {
            if let Change::Name(change) = change {
                change.apply(&mut state.directories);
            }
        }
        state.end(|| format!("{what} {}", path.display()), changes);
        Ok(())
    }
}

impl Disk for ModelDisk {
    fn list(&self, directory: &Path) -> io::Result<Vec<Entry>> {
        let relative = self.relative(directory)?;
        let state = self.state.lock();
        let directory = state.directory(relative)?;
        let entries = state.directories[directory].iter();
        Ok(entries.map(|(name, node)| state.entry(name, *node)).collect())
    }

    fn find(&self, path: &Path) -> io::Result<Option<Entry>> {
        let relative = self.relative(path)?;
        let state = self.state.lock();
        match state.walk(relative) {
            Ok(node) => {
                let name = path.file_name().unwrap_or_default().to_owned();
                Ok(Some(state.entry(&name, node)))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn create_directory(&self, directory: &Path) -> io::Result<()> {
        let relative = self.relative(directory)?;
        let mut made = PathBuf::new();
        for name in relative.iter() {
            made.push(name);
            if self.state.lock().directory(&made).is_ok() {
                continue;
            }
            self.change_names("mkdir", &made, |state| {
                let (directory, name) = state.place(&made)?;
                state.directories.push(BTreeMap::new());
                let node = Node::Directory(state.directories.len() - 1);
                Ok(vec![Change::Name(NameChange::set(directory, name, node))])
            })?;
        }
        Ok(())
    }

    fn open(&self, path: &Path, _access: Access) -> io::Result<Box<dyn DiskFile>> {
        let relative = self.relative(path)?;
        let file = self.state.lock().file(relative)?;
        Ok(self.handle(file, relative))
    }

    fn create(&self, path: &Path, size_bytes: u64) -> io::Result<Box<dyn DiskFile>> {
        let relative = self.relative(path)?;
        let mut number = 0;
        self.change_names("create", relative, |state| {
            let (directory, name) = state.place(relative)?;
            if state.directories[directory].contains_key(&name) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            number = state.files.len();
            let image = ImageFile { length: size_bytes, ..ImageFile::default() };
            let journaled = state.journal.is_some();
            state.files.push(File::of(&image, journaled));
            Ok(vec![
                Change::Made { file: number },
                Change::Length { file: number, length: size_bytes },
                Change::Name(NameChange::set(directory, name, Node::File(number))),
            ])
        })?;
        Ok(self.handle(number, relative))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let relative = self.relative(path)?;
        self.change_names("remove", relative, |state| {
            state.file(relative)?;
            let (directory, name) = state.place(relative)?;
            Ok(vec![Change::Name(NameChange { directory, clears: Some(name), sets: None })])
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (from, to) = (self.relative(from)?, self.relative(to)?);
        self.change_names("rename", to, |state| {
            let node = Node::File(state.file(from)?);
            let (directory, name) = state.place(from)?;
            let (target, new_name) = state.place(to)?;
            assert_eq!(directory, target, "renamed from one directory to another");
            let change = NameChange::set(directory, new_name, node);
            Ok(vec![Change::Name(NameChange { clears: Some(name), ..change })])
        })
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        if directory == self.root.parent().unwrap_or(&self.root) {
            return Ok(());
        }
        let relative = self.relative(directory)?;
        let mut state = self.state.lock();
        state.begin();
        let number = state.directory(relative)?;
        let what = || format!("sync directory {}", relative.display());
        state.end(what, vec![Change::SyncDirectory(number)]);
        Ok(())
    }

    fn usage(&self, _path: &Path) -> io::Result<DiskUsage> {
        let (free_bytes, available_bytes) = (90 << 20, 90 << 20);
        Ok(DiskUsage { total_bytes: 100 << 20, free_bytes, available_bytes })
    }

    fn modified(&self, path: &Path) -> io::Result<SystemTime> {
        let file = self.state.lock().file(self.relative(path)?)?;
        Ok(SystemTime::UNIX_EPOCH + Duration::from_secs(file as u64))
    }
}

#[derive(Debug)]
struct ModelFile {
    disk: ModelDisk,
    file: usize,
    path: PathBuf,
}

impl ModelFile {
    fn check(&self) -> io::Result<()> {
        self.disk.relative(&self.disk.root).map(|_| ())
    }

    fn write(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.check()?;
        let mut state = self.disk.state.lock();
        state.begin();
        let journaled = state.journal.is_some();
        let file = &mut state.files[self.file];
        let end = offset + bytes.len() as u64;
        let mut changes = Vec::new();
        if end > file.length {
            file.grow(end, journaled);
            changes.push(Change::Length { file: self.file, length: end });
        }
        file.memory.store(offset as usize, bytes);
        if journaled {
            let pages = offset as usize / PAGE..(end as usize).div_ceil(PAGE);
            changes.extend(file.changed(self.file, pages));
        }
        if !changes.is_empty() {
            state.end(|| format!("write {} {offset}", self.path.display()), changes);
        }
        Ok(())
    }

    fn sync(&self, what: &str, change: Change) -> io::Result<()> {
        self.check()?;
        let mut state = self.disk.state.lock();
        state.begin();
        let what = || format!("{what} {}", self.path.display());
        state.end(what, vec![change]);
        Ok(())
    }
}

impl DiskFile for ModelFile {
    fn map(&self, size_bytes: usize, access: Access) -> io::Result<Region> {
        self.check()?;
        let state = self.disk.state.lock();
        let memory = &state.files[self.file].memory;
        if size_bytes > memory.len() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Ok(Region::of_memory(Arc::clone(memory), size_bytes, access))
    }

    fn allocate(&self, _offset: u64, _length: u64) -> io::Result<()> {
        self.check()
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.write(bytes, offset).map(|()| bytes.len())
    }

    fn write_zeros(&self, offset: u64, length: u64) -> io::Result<()> {
        self.write(&vec![0; length as usize], offset)
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        self.check()?;
        let state = self.disk.state.lock();
        let file = &state.files[self.file];
        let left = usize::try_from(file.length.saturating_sub(offset)).unwrap_or(usize::MAX);
        let count = left.min(bytes.len());
        if count > 0 {
            file.memory.load(offset as usize, &mut bytes[..count]);
        }
        Ok(count)
    }

    fn data_ranges(&self, range: Range<u64>) -> io::Result<Vec<Range<u64>>> {
        self.check()?;
        let state = self.disk.state.lock();
        let file = &state.files[self.file];
        let mut ranges: Vec<Range<u64>> = Vec::new();
        for number in 0..file.memory.len() / PAGE {
            let (start, end) = ((number * PAGE) as u64, ((number + 1) * PAGE) as u64);
            let (start, end) = (start.max(range.start), end.min(range.end).min(file.length));
            if start >= end || *file.page(number) == [0; PAGE] {
                continue;
            }
            match ranges.last_mut() {
                Some(last) if last.end == start => last.end = end,
                _ => ranges.push(start..end),
            }
        }
        Ok(ranges)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.sync("sync data", Change::SyncFile(self.file))
    }

    fn sync_range(&self, _region: &Region, range: Range<usize>) -> io::Result<()> {
        let pages = range.start / PAGE..range.end.div_ceil(PAGE);
        let what = format!("sync pages {pages:?}");
        self.sync(&what, Change::SyncPages { file: self.file, pages })
    }

    fn sync_all(&self) -> io::Result<()> {
        self.sync("sync", Change::SyncFile(self.file))
    }
}
