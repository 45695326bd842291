//! What a store's handle stands for: a store, or one that is only read beside its writer.

use std::sync::{Arc, Weak};

use engine::{Error, Result, Status, Store, StoreReader};

/// An open store.
#[derive(Clone)]
pub(crate) enum Opened {
    /// Open for appending and reading.
    Store(Arc<Store>),
    /// Open for reading only.
    Reader(Arc<StoreReader>),
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
    /// The store, for a call that a reader does not have.
    ///
    /// # Errors
    ///
    /// - [`Status::ReadOnly`]: it was opened for reading only.
    pub(crate) fn writer(&self) -> Result<&Arc<Store>> {
        match self {
            Self::Store(store) => Ok(store),
            Self::Reader(_) => Err(Error::new(
                Status::ReadOnly,
                "the call needs a store that was opened for writing",
            )),
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        of_either!(*self, store => store.is_closed())
    }

    pub(crate) fn close(&self) -> Result<()> {
        match self {
            Self::Store(store) => store.close(),
            Self::Reader(reader) => {
                reader.close();
                Ok(())
            }
        }
    }

    pub(crate) fn downgrade(&self) -> WeakOpened {
        match self {
            Self::Store(store) => WeakOpened::Store(Arc::downgrade(store)),
            Self::Reader(reader) => WeakOpened::Reader(Arc::downgrade(reader)),
        }
    }
}

/// An open store that is not this one's to keep open.
pub(crate) enum WeakOpened {
    Store(Weak<Store>),
    Reader(Weak<StoreReader>),
}

impl WeakOpened {
    pub(crate) fn upgrade(&self) -> Option<Opened> {
        match self {
            Self::Store(store) => store.upgrade().map(Opened::Store),
            Self::Reader(reader) => reader.upgrade().map(Opened::Reader),
        }
    }
}
