//! The objects that a program holds, and what has to hold after every call.

use std::collections::BTreeSet;
use std::ffi::{CStr, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::ptr::null_mut;

use c::batch_items::{cairn_batch_items, cairn_batch_items_free};
use c::consumer::{cairn_consumer, cairn_consumer_free};
use c::consumer_options::{cairn_consumer_options, cairn_consumer_options_free};
use c::error::{
    cairn_error, cairn_error_appended, cairn_error_free, cairn_error_has_appended,
    cairn_error_message, cairn_error_offset, cairn_error_os_code, cairn_error_path,
    cairn_error_status,
};
use c::filter::{cairn_filter, cairn_filter_free};
use c::message::cairn_append_result;
use c::options::{cairn_options, cairn_options_free};
use c::push::{cairn_push_consumer, cairn_push_consumer_free};
use c::queue::{cairn_queue, cairn_queue_free};
use c::read::{cairn_batch, cairn_batch_free};
use c::status::{cairn_status, cairn_status_name};
use c::store::{cairn_store, cairn_store_free};
use c::tail::{cairn_tail, cairn_tail_free};
use c::text::{cairn_bytes, cairn_str};
use cairnlog_fuzz_abi as c;
use tempfile::TempDir;

use super::args::{Arena, Buffer};
use crate::input::Input;
use crate::scratch;

/// Objects of a kind.
pub(super) const SLOTS: usize = 3;

/// Calls a function of the C ABI.
macro_rules! call {
    ($function:path $(, $argument:expr)* $(,)?) => {
        // SAFETY: every pointer is null, belongs to an object that is live, or leads to as many
        // bytes as the function looks at: that is what `World`, `Arena` and `Buffer` are for.
        unsafe { $function($($argument),*) }
    };
}
pub(super) use call;

/// Objects of one kind; they are freed with the value.
pub(super) struct Slots<T> {
    objects: [*mut T; SLOTS],
    free: unsafe extern "C" fn(*mut T),
}

impl<T> Slots<T> {
    fn new(free: unsafe extern "C" fn(*mut T)) -> Self {
        Self { objects: [null_mut(); SLOTS], free }
    }

    /// An object, or null: now and then, and where there is none.
    pub(super) fn pick(&self, input: &mut Input<'_>) -> *mut T {
        match input.u8() {
            byte @ 0..=239 if byte & 1 == 0 => self.objects[0],
            byte @ 0..=239 => self.objects[usize::from(byte) % SLOTS],
            _ => null_mut(),
        }
    }

    /// Keeps a new object, in the place of another.
    pub(super) fn put(&mut self, input: &mut Input<'_>, object: *mut T) {
        if object.is_null() {
            return;
        }
        let empty = self.objects.iter().position(|slot| slot.is_null());
        let place = empty.unwrap_or_else(|| input.below(SLOTS));
        let before = std::mem::replace(&mut self.objects[place], object);
        let free = self.free;
        call!(free, before);
    }

    /// Frees one, or nothing.
    pub(super) fn free(&mut self, input: &mut Input<'_>) {
        let place = input.below(SLOTS + 1);
        let object = self.objects.get_mut(place).map_or(null_mut(), std::mem::take);
        let free = self.free;
        call!(free, object);
    }

    fn free_all(&mut self) {
        let free = self.free;
        for object in &mut self.objects {
            let object = std::mem::replace(object, null_mut());
            call!(free, object);
        }
    }
}

impl<T> Drop for Slots<T> {
    fn drop(&mut self) {
        self.free_all();
    }
}

/// Everything that a program holds.
pub(super) struct World {
    pub(super) batches: Slots<cairn_batch>,
    pub(super) tails: Slots<cairn_tail>,
    pub(super) filters: Slots<cairn_filter>,
    pub(super) queues: Slots<cairn_queue>,
    pub(super) consumers: Slots<cairn_consumer>,
    pub(super) pushes: Slots<cairn_push_consumer>,
    pub(super) consumer_options: Slots<cairn_consumer_options>,
    pub(super) items: Slots<cairn_batch_items>,
    pub(super) options: Slots<cairn_options>,
    pub(super) stores: Slots<cairn_store>,
    pub(super) arena: Arena,
    pub(super) directory: TempDir,
    /// What calls gave, by the number of the call.
    pub(super) seen: BTreeSet<(u8, i32)>,
    pub(super) current: u8,
    /// Where calls put their errors.
    error: *mut *mut cairn_error,
    asked: bool,
}

impl Drop for World {
    fn drop(&mut self) {
        drop(call!(Box::from_raw, self.error));
    }
}

impl World {
    pub(super) fn new() -> Self {
        Self {
            batches: Slots::new(cairn_batch_free),
            tails: Slots::new(cairn_tail_free),
            filters: Slots::new(cairn_filter_free),
            queues: Slots::new(cairn_queue_free),
            consumers: Slots::new(cairn_consumer_free),
            pushes: Slots::new(cairn_push_consumer_free),
            consumer_options: Slots::new(cairn_consumer_options_free),
            items: Slots::new(cairn_batch_items_free),
            options: Slots::new(cairn_options_free),
            stores: Slots::new(cairn_store_free),
            arena: Arena::default(),
            directory: scratch::directory(),
            seen: BTreeSet::new(),
            current: 0,
            error: Box::into_raw(Box::new(null_mut())),
            asked: false,
        }
    }

    /// A directory for a store, seldom one that there cannot be.
    pub(super) fn path(&mut self, input: &mut Input<'_>) -> (cairn_str, PathBuf) {
        let name: &[u8] = match input.u8() {
            0..=199 => b"a",
            200..=229 => b"b",
            230..=235 => b"not/there/yet",
            236..=240 => b"a/commitlog",
            241..=245 => b"with\0zero",
            246..=250 => &[b'n'; 300],
            _ => b"\xFF\xFE",
        };
        let path = self.directory.path().join(OsStr::from_bytes(name));
        if input.u8() >= 250 {
            let absent = cairn_str { data: std::ptr::null(), length: 0 };
            return (absent, path);
        }
        let cairn_bytes { data, length } = self.arena.given(path.as_os_str().as_bytes());
        (cairn_str { data: data.cast(), length }, path)
    }

    /// Where an error goes; null at times.
    pub(super) fn out_error(&mut self, input: &mut Input<'_>) -> *mut *mut cairn_error {
        self.asked = input.u8() < 240;
        if !self.asked {
            return null_mut();
        }
        // The call has to set it to null first.
        call!(std::ptr::write, self.error, std::ptr::dangling_mut());
        self.error
    }

    /// Looks at a status and at the error object that belongs to it. True for a success.
    pub(super) fn settle(&mut self, status: cairn_status) -> bool {
        self.seen.insert((self.current, status as i32));
        assert_ne!(status, cairn_status::Internal, "call {}", self.current);
        let name = call!(CStr::from_ptr, cairn_status_name(status as i32));
        assert_ne!(name, c"UNKNOWN");
        let asked = std::mem::take(&mut self.asked);
        let error = call!(std::ptr::replace, self.error, null_mut());
        assert_ne!(error, std::ptr::dangling_mut(), "call {} left the error", self.current);
        let failed = status != cairn_status::Ok;
        assert!(!asked || error.is_null() != failed, "call {}: {status:?}", self.current);
        if !error.is_null() {
            assert_eq!(call!(cairn_error_status, error), status);
            let message = call!(cairn_error_message, error);
            assert!(!call!(CStr::from_ptr, message).is_empty());
            touch_text(call!(cairn_error_path, error));
            let _ = (call!(cairn_error_os_code, error), call!(cairn_error_offset, error));
            let mut placed = Buffer::zeroed::<cairn_append_result>();
            placed.struct_size = size_of::<cairn_append_result>() as u32;
            let appended = call!(cairn_error_appended, error, &mut placed);
            assert_eq!(appended == cairn_status::Ok, call!(cairn_error_has_appended, error));
            call!(cairn_error_free, error);
        }
        self.arena = Arena::default();
        !failed
    }
}

/// Where an object goes that a call makes: nowhere at times.
pub(super) struct Made<T> {
    object: *mut T,
    wanted: bool,
}

impl<T> Made<T> {
    pub(super) fn new(input: &mut Input<'_>) -> Self {
        Self { object: std::ptr::dangling_mut(), wanted: input.u8() < 248 }
    }

    pub(super) fn out(&mut self) -> *mut *mut T {
        if self.wanted { &mut self.object } else { null_mut() }
    }

    /// What was made; null exactly if the call failed.
    pub(super) fn take(self, succeeded: bool) -> *mut T {
        if !self.wanted {
            assert!(!succeeded, "a call succeeded without a place for what it made");
            return null_mut();
        }
        assert_eq!(self.object.is_null(), !succeeded, "an object of a call that failed");
        self.object
    }
}

/// Reads every byte of a view.
pub(super) fn touch(bytes: cairn_bytes) {
    if bytes.length > 0 {
        assert!(!bytes.data.is_null());
        let bytes = call!(std::slice::from_raw_parts, bytes.data, bytes.length);
        std::hint::black_box(bytes.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte)));
    }
}

/// Reads every byte of a text.
pub(super) fn touch_text(text: cairn_str) {
    touch(cairn_bytes { data: text.data.cast(), length: text.length });
}
