//! The fence: after the first failed write or sync nothing is written any more.

use std::sync::OnceLock;

use crate::error::{Error, Result};
use crate::status::Status;

/// Open until something failed that makes later writes unsafe. Never opens again: after a failed
/// sync the kernel may have dropped the pages, so only a new recovery knows what is on the disk.
#[derive(Debug, Default)]
pub(crate) struct Fence(OnceLock<Error>);

impl Fence {
    /// Closes the fence. The first cause stays.
    pub(crate) fn close(&self, cause: &Error) {
        if self.0.set(cause.clone()).is_ok() {
            tracing::error!(%cause, "the store is fenced: it takes no more writes");
        }
    }

    /// Closes the fence because a thread of the store panicked.
    pub(crate) fn close_after_panic(&self, thread: &str, message: &str) {
        self.close(&Error::new(Status::Internal, format!("{thread} panicked: {message}")));
    }

    /// The cause, if the fence is closed.
    pub(crate) fn cause(&self) -> Option<&Error> {
        self.0.get()
    }

    /// Fails with [`Status::Fenced`] when the fence is closed.
    #[inline]
    pub(crate) fn check(&self) -> Result<()> {
        match self.cause() {
            None => Ok(()),
            Some(cause) => Err(Error::new(
                Status::Fenced,
                format!("the store takes no writes since an earlier failure ({cause})"),
            )),
        }
    }
}
