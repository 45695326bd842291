//! What is left of a store after a panic: reads go on, writes are refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use engine::{Error, Result, Status};

/// Set once, when a panic passed through a call on the store or on one of its queues.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fence(Arc<AtomicBool>);

impl Fence {
    /// Lets a call in that writes.
    ///
    /// # Errors
    ///
    /// - [`Status::Fenced`]: a panic passed through an earlier call.
    #[inline(always)]
    pub(crate) fn enter_write(&self) -> Result<FenceGuard<'_>> {
        if self.0.load(Ordering::Acquire) {
            return Err(Error::new(
                Status::Fenced,
                "an earlier call on the store failed through a bug of cairnlog; \
                 close the store and open it again",
            ));
        }
        Ok(FenceGuard(self))
    }

    /// Lets any other call in.
    pub(crate) fn enter(&self) -> FenceGuard<'_> {
        FenceGuard(self)
    }
}

/// A call on the store that is running; sets the fence when it ends by a panic.
#[derive(Debug)]
#[must_use]
pub(crate) struct FenceGuard<'a>(&'a Fence);

impl Drop for FenceGuard<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.0.store(true, Ordering::Release);
        }
    }
}
