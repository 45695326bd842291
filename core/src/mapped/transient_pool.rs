//! `TransientStorePool`: private buffers of one file size each, locked in memory.

use std::sync::Arc;

use parking_lot::Mutex;

use super::region::Region;
use crate::error::{Error, Result};

/// A fixed number of buffers. What is in them dies with the process.
#[derive(Debug, Clone)]
pub(crate) struct TransientStorePool {
    free: Arc<Mutex<Vec<Region>>>,
}

impl TransientStorePool {
    /// Maps `count` buffers of `size_bytes`; memory is taken, and locked, as it is touched.
    pub(crate) fn new(count: usize, size_bytes: usize) -> Result<Self> {
        let buffers = (0..count)
            .map(|_| Region::anonymous_locked(size_bytes))
            .collect::<std::io::Result<Vec<_>>>()
            .map_err(|source| Error::io("cannot map the transient store pool", source))?;
        Ok(Self { free: Arc::new(Mutex::new(buffers)) })
    }

    /// Takes a buffer, if one is free; what it held before is still in it.
    pub(crate) fn borrow(&self) -> Option<PoolBuffer> {
        let region = self.free.lock().pop()?;
        Some(PoolBuffer { region: Some(region), pool: Arc::clone(&self.free) })
    }
}

/// A borrowed buffer; goes back to the pool when it is dropped.
#[derive(Debug)]
pub(crate) struct PoolBuffer {
    region: Option<Region>,
    pool: Arc<Mutex<Vec<Region>>>,
}

impl PoolBuffer {
    /// The buffer's memory.
    pub(crate) fn region(&self) -> Option<&Region> {
        self.region.as_ref()
    }
}

impl Drop for PoolBuffer {
    fn drop(&mut self) {
        self.pool.lock().extend(self.region.take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_lent_once_and_come_back() {
        let pool = TransientStorePool::new(2, 8192).unwrap();
        let first = pool.borrow().unwrap();
        let second = pool.borrow().unwrap();
        assert!(pool.borrow().is_none());
        drop(first);
        assert_eq!(pool.borrow().unwrap().region().unwrap().len(), 8192);
        drop(second);
    }
}
