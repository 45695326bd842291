//! What is left of a disk after a power cut: everything that was synced, and of the rest what a
//! [`Survival`] says.

use std::collections::BTreeMap;
use std::collections::hash_map::DefaultHasher;
use std::ffi::OsString;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Range;
use std::str::FromStr;
use std::sync::Arc;

use super::super::scene::Random;
use super::journal::{Change, Image, ImageFile, Journal, NameChange, Node, PAGE, Page, Promise};

/// Bytes that a device writes whole or not at all.
const SECTOR: usize = 512;
const SECTORS: usize = PAGE / SECTOR;

/// What survives of all that was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Survival {
    Nothing,
    Everything,
    /// Names and lengths, and no bytes.
    Names,
    /// Bytes, and no names or lengths.
    Data,
    /// What chance takes: some of the pages, with bytes they had at some time since they were last
    /// synced, some of them torn; some of the lengths; of the names a beginning, as a journal
    /// leaves it, or any, as other file systems do.
    Random(u64),
}

impl fmt::Display for Survival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("nothing"),
            Self::Everything => f.write_str("everything"),
            Self::Names => f.write_str("names"),
            Self::Data => f.write_str("data"),
            Self::Random(seed) => write!(f, "r{seed:x}"),
        }
    }
}

impl FromStr for Survival {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "nothing" => Self::Nothing,
            "everything" => Self::Everything,
            "names" => Self::Names,
            "data" => Self::Data,
            other => {
                let digits = other.strip_prefix('r').ok_or(format!("no survival: {other}"))?;
                Self::Random(u64::from_str_radix(digits, 16).map_err(|error| error.to_string())?)
            }
        })
    }
}

/// What may be relied on when the power is cut.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Owed {
    /// Everything below this position of the log.
    pub(super) durable: u64,
    /// So many records at least, counted from the log's beginning as it was made.
    pub(super) records: usize,
    /// The offsets of the group, by queue.
    pub(super) committed: BTreeMap<i32, u64>,
    /// Where the log may begin at most.
    pub(super) most_min: u64,
}

/// A page that changed, with a number of its own for each of its contents.
#[derive(Debug, Clone)]
struct Version {
    number: u32,
    bytes: Page,
}

#[derive(Debug, Clone, Default)]
struct PendingFile {
    length: u64,
    pages: BTreeMap<usize, Version>,
    lengths: Vec<u64>,
    versions: BTreeMap<usize, Vec<Version>>,
}

/// A disk at some step of a journal: what is durable, and what waits for a sync.
#[derive(Debug, Clone)]
pub(super) struct Pending {
    files: Vec<PendingFile>,
    directories: Vec<BTreeMap<OsString, Node>>,
    /// As the process sees them.
    live: Vec<BTreeMap<OsString, Node>>,
    names: Vec<NameChange>,
    next_version: u32,
    pub(super) owed: Owed,
}

impl Pending {
    /// The disk at the journal's beginning: everything on it is durable.
    pub(super) fn new(journal: &Journal, owed: Owed) -> Self {
        let mut next_version = 0;
        let mut file = |file: &ImageFile| {
            let mut version = |(&page, bytes): (&usize, &Page)| {
                next_version += 1;
                (page, Version { number: next_version, bytes: Arc::clone(bytes) })
            };
            let pages = file.pages.iter().map(&mut version).collect();
            PendingFile { length: file.length, pages, ..PendingFile::default() }
        };
        let files = journal.start.files.iter().map(&mut file).collect();
        let directories = journal.start.directories.clone();
        let (live, names) = (directories.clone(), Vec::new());
        Self { files, directories, live, names, next_version, owed }
    }

    /// Does what an operation did.
    pub(super) fn step(&mut self, changes: &[Change], promises: &[Promise]) {
        for change in changes {
            match change {
                Change::Made { file } => self.files.resize(*file + 1, PendingFile::default()),
                Change::Page { file, page, bytes } => {
                    self.next_version += 1;
                    let version = Version { number: self.next_version, bytes: Arc::clone(bytes) };
                    self.files[*file].versions.entry(*page).or_default().push(version);
                }
                Change::Length { file, length } => self.files[*file].lengths.push(*length),
                Change::SyncFile(file) => self.files[*file].sync(),
                Change::SyncPages { file, pages } => self.files[*file].sync_pages(pages),
                Change::Name(change) => {
                    change.apply(&mut self.live);
                    self.names.push(change.clone());
                }
                Change::SyncDirectory(directory) => {
                    let synced = |change: &NameChange| change.directory == *directory;
                    for change in self.names.iter().filter(|change| synced(change)) {
                        change.apply(&mut self.directories);
                    }
                    self.names.retain(|change| !synced(change));
                }
            }
        }
        for promise in promises {
            match *promise {
                Promise::Durable(position) => self.owed.durable = self.owed.durable.max(position),
                Promise::Committed { queue_id, offset } => {
                    self.owed.committed.insert(queue_id, offset);
                }
            }
        }
        self.owed.most_min = self.owed.most_min.max(self.first_file());
    }

    /// Where the oldest file of the log begins.
    fn first_file(&self) -> u64 {
        let log = match self.live[0].get(&OsString::from("commitlog")) {
            Some(Node::Directory(log)) => self.live.get(*log),
            _ => None,
        };
        let first = log.and_then(|log| log.keys().next()?.to_str()?.parse().ok());
        first.unwrap_or(0)
    }

    /// What is left when the power is cut now, and a number that tells it from what else may be
    /// left.
    pub(super) fn survive(&self, how: Survival) -> (Image, u64) {
        let mut hasher = DefaultHasher::new();
        let mut random = match how {
            Survival::Random(seed) => Random(seed | 1),
            _ => Random(1),
        };
        let mut directories = self.directories.clone();
        self.survive_names(how, &mut random, &mut directories);
        directories.hash(&mut hasher);
        let reachable = reachable(&directories);
        let mut files = Vec::with_capacity(self.files.len());
        let luck = Luck::draw(&mut random);
        for (number, file) in self.files.iter().enumerate() {
            // Each file draws by itself, whether it is reachable or not.
            let mut of_file = Random((random.below(u64::MAX) << 1) | 1);
            if !reachable.get(number).copied().unwrap_or(false) {
                files.push(ImageFile::default());
                continue;
            }
            number.hash(&mut hasher);
            files.push(file.survive(how, luck, &mut of_file, &mut hasher));
        }
        (Image { directories, files }, hasher.finish())
    }

    fn survive_names(
        &self,
        how: Survival,
        random: &mut Random,
        directories: &mut Vec<BTreeMap<OsString, Node>>,
    ) {
        let count = self.names.len() as u64;
        let (until, any) = match how {
            Survival::Nothing | Survival::Data => (0, false),
            Survival::Everything | Survival::Names => (count, false),
            Survival::Random(_) => match random.below(4) {
                0 => (count, false),
                1 => (random.below(count + 1), false),
                _ => (count, true),
            },
        };
        for change in self.names.iter().take(until as usize) {
            if any {
                match random.below(5) {
                    0 | 1 => continue,
                    2 if change.sets.is_some() => {
                        // A rename of which the new name is there, and the old one, too.
                        NameChange { clears: None, ..change.clone() }.apply(directories);
                        continue;
                    }
                    _ => {}
                }
            }
            change.apply(directories);
        }
        // A directory whose name is lost takes its own names along; its number may be missing.
        let highest = self.live.len();
        if directories.len() < highest {
            directories.resize(highest, BTreeMap::new());
        }
    }
}

/// How much of the pages a cut spares, of all files.
#[derive(Debug, Clone, Copy)]
struct Luck {
    /// Of eight pages.
    pages: u64,
    /// Of eight that survive.
    torn: u64,
    /// Of eight that survive, with bytes from before the last.
    older: u64,
}

impl Luck {
    fn draw(random: &mut Random) -> Self {
        let pages = [1, 4, 7, 8][random.below(4) as usize];
        let torn = [0, 1, 4][random.below(3) as usize];
        let older = [0, 2][random.below(2) as usize];
        Self { pages, torn, older }
    }
}

impl PendingFile {
    fn sync_pages(&mut self, pages: &Range<usize>) {
        for (page, mut versions) in self.versions.extract_if(pages.clone(), |_, _| true) {
            if let Some(last) = versions.pop() {
                self.pages.insert(page, last);
            }
        }
    }

    fn sync(&mut self) {
        self.sync_pages(&(0..usize::MAX));
        if let Some(last) = std::mem::take(&mut self.lengths).pop() {
            self.length = last;
        }
    }

    fn survive(
        &self,
        how: Survival,
        luck: Luck,
        random: &mut Random,
        hasher: &mut DefaultHasher,
    ) -> ImageFile {
        let newest = self.lengths.last().copied().unwrap_or(self.length);
        let length = match how {
            Survival::Nothing | Survival::Data => self.length,
            Survival::Everything | Survival::Names => newest,
            Survival::Random(_) => {
                let at = random.below(2 * self.lengths.len() as u64 + 1) as usize;
                // Half of the time the newest, which most often survives with its name.
                match at.checked_sub(1) {
                    None => self.length,
                    Some(at) => self.lengths.get(at).copied().unwrap_or(newest),
                }
            }
        };
        length.hash(hasher);
        let mut pages = BTreeMap::new();
        for (&page, version) in &self.pages {
            if !self.versions.contains_key(&page) {
                (page, version.number).hash(hasher);
                pages.insert(page, Arc::clone(&version.bytes));
            }
        }
        for (&page, versions) in &self.versions {
            let kept = self.keep(page, versions, how, luck, random, hasher);
            if let Some(bytes) = kept {
                pages.insert(page, bytes);
            }
        }
        clear_behind(&mut pages, length);
        ImageFile { length, pages }
    }

    /// What is left of a page that changed since it was synced.
    fn keep(
        &self,
        page: usize,
        versions: &[Version],
        how: Survival,
        luck: Luck,
        random: &mut Random,
        hasher: &mut DefaultHasher,
    ) -> Option<Page> {
        let old = self.pages.get(&page);
        let survives = match how {
            Survival::Nothing | Survival::Names => false,
            Survival::Everything | Survival::Data => true,
            Survival::Random(_) => random.below(8) < luck.pages,
        };
        let is_random = matches!(how, Survival::Random(_));
        let mut new = versions.last().filter(|_| survives);
        if new.is_some() && is_random && random.below(8) < luck.older {
            new = versions.get(random.below(versions.len() as u64) as usize);
        }
        let mask = match new {
            None => 0,
            Some(_) if is_random && random.below(8) < luck.torn => random.below(256) as usize,
            Some(_) => 255,
        };
        let numbers = (old.map(|old| old.number), new.map(|new| new.number));
        (page, numbers, mask).hash(hasher);
        match (old, new) {
            (old, None) => old.map(|old| Arc::clone(&old.bytes)),
            (_, Some(new)) if mask == 255 => Some(Arc::clone(&new.bytes)),
            (old, Some(new)) => {
                let mut bytes = old.map_or([0; PAGE], |old| *old.bytes);
                for sector in (0..SECTORS).filter(|sector| mask & (1 << sector) != 0) {
                    let range = sector * SECTOR..(sector + 1) * SECTOR;
                    bytes[range.clone()].copy_from_slice(&new.bytes[range]);
                }
                Some(Arc::new(bytes))
            }
        }
    }
}

/// Takes away what lies behind a file's end.
fn clear_behind(pages: &mut BTreeMap<usize, Page>, length: u64) {
    pages.retain(|page, _| ((page * PAGE) as u64) < length);
    let within = (length % PAGE as u64) as usize;
    if within == 0 {
        return;
    }
    if let Some(last) = pages.get_mut(&(length as usize / PAGE)) {
        let mut bytes = **last;
        bytes[within..].fill(0);
        *last = Arc::new(bytes);
    }
}

/// Which files have a name.
fn reachable(directories: &[BTreeMap<OsString, Node>]) -> Vec<bool> {
    let mut files = Vec::new();
    let mut unseen = vec![0];
    while let Some(directory) = unseen.pop() {
        for node in directories[directory].values() {
            match *node {
                Node::Directory(number) => unseen.push(number),
                Node::File(number) => {
                    if files.len() <= number {
                        files.resize(number + 1, false);
                    }
                    files[number] = true;
                }
            }
        }
    }
    files
}
