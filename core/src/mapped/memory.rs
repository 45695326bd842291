//! `Memory`: what takes the place of a file's pages in tests.
#![allow(unsafe_code, reason = "memory shared with regions is reached through raw pointers")]
#![cfg_attr(not(test), allow(dead_code, reason = "only tests make it"))]

use std::cell::UnsafeCell;
#[cfg(test)]
use std::ptr::NonNull;

/// Zeroed memory of this process that regions map, and that the model of a disk reads and writes
/// beside them as a kernel does: whoever stores into a region is not waited for.
#[derive(Debug)]
pub(crate) struct Memory {
    words: Box<[UnsafeCell<u64>]>,
}

// SAFETY: as of a region, which keeps writers and readers of one byte apart; the model reads bytes
// that are being stored as a kernel does, and takes what it finds.
unsafe impl Send for Memory {}
// SAFETY: as above; every access goes through raw pointers.
unsafe impl Sync for Memory {}

impl Memory {
    /// Memory of at least so many bytes.
    #[cfg(test)]
    pub(crate) fn zeroed(length: usize) -> Self {
        let words = Box::into_raw(vec![0u64; length.div_ceil(8)].into_boxed_slice());
        // SAFETY: a cell is laid out as what is in it, and the box was just given up.
        Self { words: unsafe { Box::from_raw(words as *mut [UnsafeCell<u64>]) } }
    }

    /// Where it begins.
    #[cfg(test)]
    pub(super) fn base(&self) -> NonNull<u8> {
        NonNull::from(&*self.words).cast()
    }

    /// The length in bytes.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.words.len() * 8
    }

    /// Copies bytes out of it.
    #[cfg(test)]
    pub(crate) fn load(&self, offset: usize, bytes: &mut [u8]) {
        assert!(offset + bytes.len() <= self.len());
        // SAFETY: the offset lies inside, as was just looked at.
        let source = unsafe { self.base().as_ptr().add(offset) };
        // SAFETY: so does the range, and the target is a buffer of the caller's.
        unsafe { std::ptr::copy_nonoverlapping(source, bytes.as_mut_ptr(), bytes.len()) };
    }

    /// Copies bytes into it.
    #[cfg(test)]
    pub(crate) fn store(&self, offset: usize, bytes: &[u8]) {
        assert!(offset + bytes.len() <= self.len());
        // SAFETY: the offset lies inside, as was just looked at.
        let target = unsafe { self.base().as_ptr().add(offset) };
        // SAFETY: so does the range, and the source is a buffer of the caller's.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), target, bytes.len()) };
    }
}
