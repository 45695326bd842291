//! What Java holds as a `long`: objects on the Rust heap, and the scratch memory of a thread.
//!
//! The types of this module stand in the signatures of the natives in place of `long`. Their
//! invariants are Java's to keep: `NativeHandle` passes a handle only between its creation and its
//! release, counts the calls that are running, and releases once, after the last of them;
//! `Scratch` lends its memory to one call at a time and keeps the buffer reachable meanwhile.
#![allow(
    unsafe_code,
    reason = "a long from Java is an address; this module alone turns it into a reference"
)]

use std::marker::PhantomData;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};

use cairnlog::{Consumer, Error, MessageView, QueueAppender, Result, Status, Tail};
use jni::sys::jlong;

use crate::checker::Checker;
use crate::opened::Opened;
use crate::reading::Batch;

/// Objects that Java holds at present.
static LIVE: AtomicI64 = AtomicI64::new(0);

/// How many objects Java holds at present: stores, queues, tails, consumers,
/// checkers, batches and pins.
pub(crate) fn live_objects() -> i64 {
    LIVE.load(Ordering::Acquire)
}

/// A handle that is live for the call it was passed to.
#[repr(transparent)]
pub(crate) struct Handle<T> {
    address: jlong,
    kind: PhantomData<T>,
}

/// A store.
pub(crate) type StoreHandle = Handle<Opened>;
/// A prepared (topic, queue).
pub(crate) type QueueHandle = Handle<QueueAppender>;
/// A walk along a queue, for one thread at a time.
pub(crate) type TailHandle = Handle<Mutex<Tail>>;
/// A member of a group.
pub(crate) type ConsumerHandle = Handle<Consumer>;
/// What is asked about open transactions.
pub(crate) type CheckerHandle = Handle<Checker>;
/// Messages that were read together.
pub(crate) type BatchHandle = Handle<Batch>;
/// One message whose body a buffer shows.
pub(crate) type PinHandle = Handle<MessageView>;

impl<T> From<Handle<T>> for jlong {
    fn from(handle: Handle<T>) -> jlong {
        handle.address
    }
}

impl<T> Handle<T> {
    /// Hands an object to Java, which releases it by [`Handle::release`].
    pub(crate) fn give(value: T) -> jlong {
        LIVE.fetch_add(1, Ordering::AcqRel);
        (Box::into_raw(Box::new(value)).expose_provenance() as u64).cast_signed()
    }

    fn pointer(&self) -> *mut T {
        std::ptr::with_exposed_provenance_mut(self.address.cast_unsigned() as usize)
    }

    /// The object, for the length of the call.
    pub(crate) fn get(&self) -> Result<&T> {
        // SAFETY: by this module's invariants the address came from `give` and was not released,
        // or is zero, which gives none.
        let object = unsafe { self.pointer().as_ref() };
        object.ok_or_else(|| Error::new(Status::Internal, "the Java package passed no handle"))
    }

    /// Ends the object; the handle was passed for the last time.
    pub(crate) fn release(self) {
        let pointer = self.pointer();
        if pointer.is_null() {
            return;
        }
        // SAFETY: the address came from `give`, and by this module's invariants no call uses it and
        // nothing releases it again.
        drop(unsafe { Box::from_raw(pointer) });
        // Counted when the object has ended: a store that ends closes its files first.
        LIVE.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The address of a thread's scratch memory, lent for the call it was passed to.
#[repr(transparent)]
pub(crate) struct ScratchAddress(jlong);

impl From<ScratchAddress> for jlong {
    fn from(address: ScratchAddress) -> jlong {
        address.0
    }
}

impl ScratchAddress {
    /// The memory: `capacity` bytes, which Java states truly.
    pub(crate) fn bytes(&mut self, capacity: i32) -> Result<&mut [u8]> {
        let wrong = || Error::new(Status::Internal, "the Java package passed no scratch memory");
        let capacity = usize::try_from(capacity).map_err(|_| wrong())?;
        let start: *mut u8 = std::ptr::with_exposed_provenance_mut(self.0.cast_unsigned() as usize);
        if start.is_null() {
            return Err(wrong());
        }
        // SAFETY: by this module's invariants the address is that of a direct buffer with this
        // capacity, which stays reachable and which nothing else uses during the call.
        Ok(unsafe { std::slice::from_raw_parts_mut(start, capacity) })
    }
}
