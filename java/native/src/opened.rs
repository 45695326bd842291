//! What a store's handle stands for: a store, or one that is only read beside its writer.

use cairnlog::{Error, Result, Status, Store, StoreReader};

use crate::handle::StoreHandle;

/// An open store.
pub(crate) enum Opened {
    /// Open for appending and reading.
    Store(Store),
    /// Open for reading only.
    Reader(StoreReader),
}

/// Makes a call that both kinds of an [`Opened`] have.
macro_rules! of_either {
    ($opened:expr, $store:ident => $call:expr) => {
        match &$opened {
            $crate::opened::Opened::Store($store) => $call,
            $crate::opened::Opened::Reader($store) => $call,
        }
    };
}
pub(crate) use of_either;

impl Opened {
    pub(crate) fn close(&self) -> Result<()> {
        match self {
            Self::Store(store) => store.close(),
            Self::Reader(reader) => {
                reader.close();
                Ok(())
            }
        }
    }
}

impl StoreHandle {
    /// The store, for a call that a reader does not have.
    pub(crate) fn writer(&self) -> Result<&Store> {
        match self.get()? {
            Opened::Store(store) => Ok(store),
            Opened::Reader(_) => Err(Error::new(
                Status::ReadOnly,
                "the call needs a store that was opened for writing",
            )),
        }
    }
}
