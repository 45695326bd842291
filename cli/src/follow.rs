//! Waiting for what another process appends.

use std::path::Path;
use std::thread;
use std::time::Duration;

use cairnlog::{Store, StoreOptions, StoreReader};

/// The longest wait until files are looked at again, whatever the reader sees, and Ctrl-C is
/// noticed.
const SLICE: Duration = Duration::from_millis(200);

/// The pause where a reader cannot wait, or what came cannot be printed.
const PAUSE: Duration = Duration::from_millis(20);

/// Waits beside a store's writer, by a reader of its own, which looks at the memory that both map.
/// While there is no log yet, or one that no reader can open, it merely sleeps.
pub(crate) struct Follow<'a> {
    store: &'a Path,
    options: &'a StoreOptions,
    reader: Option<StoreReader>,
    /// Whether something came the last time, which nothing was printed of.
    came: bool,
}

impl<'a> Follow<'a> {
    pub(crate) fn new(store: &'a Path, options: &'a StoreOptions) -> Self {
        Self { store, options, reader: None, came: false }
    }

    /// Says that something was printed.
    pub(crate) fn went_on(&mut self) {
        self.came = false;
    }

    /// Waits until `wait` says that something came, or for a while.
    pub(crate) fn wait(
        &mut self,
        wait: impl FnOnce(&StoreReader, Duration) -> cairnlog::Result<bool>,
    ) {
        if self.came {
            // It is damaged, or whoever looks at it sees it differently.
            self.came = false;
            thread::sleep(PAUSE);
            return;
        }
        if self.reader.is_none() {
            self.reader = Store::open_reader(self.store, self.options).ok();
        }
        match self.reader.as_ref().map(|reader| wait(reader, SLICE)) {
            Some(Ok(came)) => self.came = came,
            // What is wrong is told by whoever reads.
            Some(Err(_)) | None => {
                self.reader = None;
                thread::sleep(PAUSE);
            }
        }
    }
}
