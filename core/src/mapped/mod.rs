//! Files in memory: the only code that maps, and that hands out mapped bytes.
//!
//! A log is a [`MappedFileQueue`] of [`MappedFile`]s of one size. Three positions belong to it,
//! each only moving forward: *published* (everything below is whole records), *committed* (below it
//! the bytes are in the page cache and readable) and *durable* (below it they are synced).
//! Invariants:
//!
//! 1. durable <= committed <= published.
//! 2. Bytes below committed never change while the queue is shared; a [`Pin`] gives slices of those
//!    only, and keeps their file mapped for as long as it lives, whatever happens to the queue.
//! 3. Bytes at and above published are zero in the file and its mapping.
//! 4. Durable moves only after a sync that succeeded, over the older file before the newer one.

pub(crate) mod allocate;
pub(crate) mod guard;
mod mapped_file;
pub(crate) mod memory;
mod queue;
pub(crate) mod region;
mod slot;
mod staging;
mod transient_pool;

pub(crate) use mapped_file::{MappedFile, Pin, sync_parent};
pub(crate) use queue::{
    FoundFile, MappedFileQueue, QueuePaths, WritesHeld, list_files, open_files,
};
pub(crate) use region::RegionWriter;
pub(crate) use staging::StagingBuffer;
pub(crate) use transient_pool::{PoolBuffer, TransientStorePool};
