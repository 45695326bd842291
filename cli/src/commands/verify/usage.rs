//! Whether somebody writes to the store that is looked at.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::SystemTime;

/// Whether queues and index may lag behind the log: the store is in use, was not closed, or was
/// opened since this was made. Clones share what they learn.
#[derive(Debug, Clone)]
pub(crate) struct Usage(Rc<Seen>);

#[derive(Debug)]
struct Seen {
    store: PathBuf,
    /// When a name in the directory was last added or removed, as opening and closing do.
    changed: Option<SystemTime>,
    in_use: Cell<bool>,
}

impl Usage {
    /// Looks at the store before anything else does.
    pub(crate) fn new(store: &Path) -> Self {
        let changed = changed(store);
        let in_use = Cell::new(store.join("abort").exists());
        Self(Rc::new(Seen { store: store.to_path_buf(), changed, in_use }))
    }

    /// Whether what was missing a moment ago may only not have been written yet.
    pub(crate) fn may_lag(&self) -> bool {
        let seen = &self.0;
        if !seen.in_use.get() {
            seen.in_use.set(changed(&seen.store) != seen.changed);
        }
        seen.in_use.get()
    }
}

fn changed(store: &Path) -> Option<SystemTime> {
    fs::metadata(store).and_then(|metadata| metadata.modified()).ok()
}
