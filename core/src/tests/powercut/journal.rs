//! What was done to a disk, step by step, and what was promised meanwhile.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::ops::Range;
use std::sync::Arc;

/// Bytes that a file system writes together, if nothing goes wrong.
pub(super) const PAGE: usize = 4096;

/// A page's bytes.
pub(super) type Page = Arc<[u8; PAGE]>;

/// What a name stands for, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Node {
    File(usize),
    Directory(usize),
}

/// A file at rest. Pages that are not there are zeros.
#[derive(Debug, Clone, Default)]
pub(super) struct ImageFile {
    pub(super) length: u64,
    pub(super) pages: BTreeMap<usize, Page>,
}

/// A disk at rest. The first directory is the store's.
#[derive(Debug, Clone)]
pub(super) struct Image {
    pub(super) directories: Vec<BTreeMap<OsString, Node>>,
    pub(super) files: Vec<ImageFile>,
}

impl Image {
    /// A disk with nothing on it.
    pub(super) fn empty() -> Self {
        Self { directories: vec![BTreeMap::new()], files: Vec::new() }
    }

    /// Lays the files out in a directory of the machine.
    pub(super) fn lay(&self, root: &std::path::Path) -> std::io::Result<()> {
        self.lay_directory(0, root)
    }

    fn lay_directory(&self, number: usize, path: &std::path::Path) -> std::io::Result<()> {
        std::fs::create_dir_all(path)?;
        for (name, node) in &self.directories[number] {
            match *node {
                Node::Directory(directory) => self.lay_directory(directory, &path.join(name))?,
                Node::File(file) => {
                    let file = &self.files[file];
                    let mut bytes = vec![0; file.length.next_multiple_of(PAGE as u64) as usize];
                    for (&page, found) in &file.pages {
                        if let Some(target) = bytes.get_mut(page * PAGE..(page + 1) * PAGE) {
                            target.copy_from_slice(&found[..]);
                        }
                    }
                    bytes.truncate(file.length as usize);
                    std::fs::write(path.join(name), bytes)?;
                }
            }
        }
        Ok(())
    }
}

/// What an operation does to the names of a directory, in one step.
#[derive(Debug, Clone)]
pub(super) struct NameChange {
    pub(super) directory: usize,
    pub(super) clears: Option<OsString>,
    pub(super) sets: Option<(OsString, Node)>,
}

impl NameChange {
    /// A new name.
    pub(super) fn set(directory: usize, name: OsString, node: Node) -> Self {
        Self { directory, clears: None, sets: Some((name, node)) }
    }

    /// Does it.
    pub(super) fn apply(&self, directories: &mut Vec<BTreeMap<OsString, Node>>) {
        let highest = match self.sets {
            Some((_, Node::Directory(made))) => made.max(self.directory),
            _ => self.directory,
        };
        if directories.len() <= highest {
            directories.resize(highest + 1, BTreeMap::new());
        }
        let names = &mut directories[self.directory];
        if let Some(name) = &self.clears {
            names.remove(name);
        }
        if let Some((name, node)) = &self.sets {
            names.insert(name.clone(), *node);
        }
    }
}

/// One thing that an operation does.
#[derive(Debug, Clone)]
pub(super) enum Change {
    /// There is a file of this number, without a name yet.
    Made { file: usize },
    /// A page has these bytes now.
    Page { file: usize, page: usize, bytes: Page },
    /// A file has this length now.
    Length { file: usize, length: u64 },
    /// What a file has is durable.
    SyncFile(usize),
    /// What a file has in these pages is durable.
    SyncPages { file: usize, pages: Range<usize> },
    /// Names changed.
    Name(NameChange),
    /// What a directory has is durable.
    SyncDirectory(usize),
}

/// What somebody was told, and may rely on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Promise {
    /// Everything below this position of the log survives a power cut.
    Durable(u64),
    /// A group's offset in a queue survives a power cut.
    Committed { queue_id: i32, offset: u64 },
}

/// One operation. A cut comes behind it.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) what: String,
    pub(super) changes: Vec<Change>,
    /// Given between this operation and the next.
    pub(super) promises: Vec<Promise>,
}

/// A disk and all that was done to it.
#[derive(Debug, Clone)]
pub(super) struct Journal {
    pub(super) start: Image,
    pub(super) steps: Vec<Step>,
    promised: u64,
}

impl Journal {
    /// Nothing was done yet.
    pub(super) fn new(start: Image) -> Self {
        let first = Step { what: "begin".to_owned(), changes: Vec::new(), promises: Vec::new() };
        Self { start, steps: vec![first], promised: 0 }
    }

    /// Adds an operation.
    pub(super) fn push(&mut self, what: String, changes: Vec<Change>) {
        self.steps.push(Step { what, changes, promises: Vec::new() });
    }

    /// Adds a promise, which was given behind the last operation.
    pub(super) fn promise(&mut self, promise: Promise) {
        if let Promise::Durable(position) = promise {
            if position <= self.promised {
                return;
            }
            self.promised = position;
        }
        if let Some(last) = self.steps.last_mut() {
            last.promises.push(promise);
        }
    }

    /// What was done to each path, in order: it was `made`, it is `gone`, it was `synced`.
    pub(super) fn by_path(&self) -> BTreeMap<String, Vec<&'static str>> {
        let mut directories = vec![String::new()];
        let mut files: BTreeMap<usize, String> = BTreeMap::new();
        let mut done: BTreeMap<String, Vec<&'static str>> = BTreeMap::new();
        let mut note = |path: String, what| done.entry(path).or_default().push(what);
        for change in self.steps.iter().flat_map(|step| &step.changes) {
            match change {
                Change::Made { .. } | Change::Page { .. } | Change::Length { .. } => {}
                Change::SyncFile(file) | Change::SyncPages { file, .. } => {
                    note(files[file].clone(), "synced")
                }
                Change::SyncDirectory(0) => note("/".to_owned(), "synced"),
                Change::SyncDirectory(directory) => note(directories[*directory].clone(), "synced"),
                Change::Name(change) => {
                    let below = |name: &OsString| {
                        format!("{}{}", directories[change.directory], name.to_string_lossy())
                    };
                    if let Some(name) = &change.clears {
                        note(below(name), "gone");
                    }
                    let Some((name, node)) = &change.sets else {
                        continue;
                    };
                    let path = below(name);
                    note(path.clone(), "made");
                    match node {
                        Node::File(file) => drop(files.insert(*file, path)),
                        Node::Directory(_) => directories.push(path + "/"),
                    }
                }
            }
        }
        done
    }
}
