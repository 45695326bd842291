//! Structs that grow: both sides state the size they know, and the smaller one counts.
//!
//! A struct handed in is taken up to the smaller size, its missing tail counts as zero, and a
//! longer one is refused when its extra tail is not zero, since the caller then asks for something
//! this library does not know. A struct handed out is written up to the smaller size. In arrays the
//! first element's size is the stride, and all elements must agree.

use std::mem::MaybeUninit;
use std::ops::Deref;
use std::ptr::NonNull;

use engine::Result;

use crate::boundary::{invalid, null_argument, refusal};

/// No struct is larger; a greater `struct_size` is an uninitialized one.
const MAX_STRUCT_SIZE: usize = 4096;

/// A C struct that begins with `uint32_t struct_size`.
///
/// # Safety
///
/// - `repr(C)`, the first field is the `u32` size, and there is no padding.
/// - Every byte pattern, all zeroes too, is a valid value.
/// - `MIN_SIZE` is at least 4 and at most the size of the struct.
pub(crate) unsafe trait OpenStruct: Copy {
    /// The smallest `struct_size` that makes sense: up to the last field that has no default.
    const MIN_SIZE: usize;
}

/// Reads and checks the `struct_size` at the head of a struct.
///
/// # Safety
///
/// - `pointer` is readable for four bytes.
#[inline(always)]
unsafe fn checked_size<T: OpenStruct>(pointer: *const T, name: &'static str) -> Result<usize> {
    let head = pointer.cast::<u32>();
    // SAFETY: readable for four bytes, says the caller; alignment is not relied upon.
    let size = unsafe { head.read_unaligned() } as usize;
    if (T::MIN_SIZE..=MAX_STRUCT_SIZE).contains(&size) {
        return Ok(size);
    }
    Err(refusal(move || {
        invalid(format!("struct_size of {name} is not set or too small"))
            .expected(format!("{} to {MAX_STRUCT_SIZE}", T::MIN_SIZE), size)
    }))
}

/// Copies a struct of the caller's size into one of ours.
///
/// # Safety
///
/// - `pointer` is null, or readable for as many bytes as its `struct_size` says.
pub(crate) unsafe fn read<T: OpenStruct>(pointer: *const T, name: &'static str) -> Result<T> {
    if pointer.is_null() {
        return Err(null_argument(name));
    }
    // SAFETY: not null, so readable at least up to `struct_size`.
    let size = unsafe { checked_size(pointer, name) }?;
    // SAFETY: readable for `size` bytes, says the caller.
    unsafe { copy_in(pointer, size, name) }
}

/// A struct of the caller: where it lies, when it is laid out as ours is, else a copy. The copy of
/// a message costs as much as a small append.
pub(crate) enum Lent<'a, T> {
    InPlace(&'a T),
    Copied(Box<T>),
}

impl<T> Deref for Lent<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        match self {
            Self::InPlace(value) => value,
            Self::Copied(value) => value,
        }
    }
}

/// Borrows a struct of the caller for a call.
///
/// # Safety
///
/// - `pointer` is null, or readable for as many bytes as its `struct_size` says, and not changed,
///   during `'a`.
#[inline(always)]
pub(crate) unsafe fn lend<'a, T: OpenStruct>(
    pointer: *const T,
    name: &'static str,
) -> Result<Lent<'a, T>> {
    if pointer.is_null() {
        return Err(null_argument(name));
    }
    // SAFETY: not null, so readable at least up to `struct_size`.
    let size = unsafe { checked_size(pointer, name) }?;
    // SAFETY: readable for `size` bytes and not changed, says the caller.
    unsafe { lend_sized(pointer, size, name) }
}

/// # Safety
///
/// - `pointer` is readable for `size` bytes, and not changed, during `'a`.
#[inline(always)]
unsafe fn lend_sized<'a, T: OpenStruct>(
    pointer: *const T,
    size: usize,
    name: &'static str,
) -> Result<Lent<'a, T>> {
    if size == size_of::<T>() && pointer.is_aligned() {
        // SAFETY: aligned and as long as a T, every byte pattern is one, and nobody changes it
        // meanwhile, says the caller.
        return Ok(Lent::InPlace(unsafe { &*pointer }));
    }
    // SAFETY: readable for `size` bytes, says the caller.
    unsafe { copy_in(pointer, size, name) }.map(|copy| Lent::Copied(Box::new(copy)))
}

/// # Safety
///
/// - `pointer` is readable for `size` bytes.
#[inline(never)]
unsafe fn copy_in<T: OpenStruct>(pointer: *const T, size: usize, name: &'static str) -> Result<T> {
    let known = size.min(size_of::<T>());
    // SAFETY: readable for `size` bytes, says the caller, and bytes have no alignment.
    let bytes = unsafe { std::slice::from_raw_parts(pointer.cast::<u8>(), size) };
    if bytes[known..].iter().any(|&byte| byte != 0) {
        return Err(invalid(format!(
            "{name} has fields that this version of the library does not know"
        ))
        .expected(format!("a struct_size of {}", size_of::<T>()), size));
    }
    let mut value = MaybeUninit::<T>::zeroed();
    // SAFETY: both are valid for `known` bytes, which is at most the size of T; `value` is new.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), value.as_mut_ptr().cast(), known) };
    // SAFETY: every byte pattern is a valid T, says OpenStruct, and all bytes are set.
    Ok(unsafe { value.assume_init() })
}

/// Where a struct goes that is handed out, its size already checked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OutStruct<T> {
    pointer: NonNull<T>,
    size: usize,
}

impl<T: OpenStruct> OutStruct<T> {
    /// Takes a struct of the caller, before the call does anything.
    ///
    /// # Safety
    ///
    /// - `pointer` is null, or readable and writable for as many bytes as its `struct_size` says,
    ///   for the rest of the call.
    #[inline(always)]
    pub(crate) unsafe fn new(pointer: *mut T, name: &'static str) -> Result<Self> {
        let pointer = NonNull::new(pointer).ok_or_else(|| null_argument(name))?;
        // SAFETY: not null, so readable at least up to `struct_size`.
        let size = unsafe { checked_size(pointer.as_ptr().cast_const(), name) }?;
        Ok(Self { pointer, size })
    }

    /// As [`OutStruct::new`]; null means that the caller does not want the result.
    ///
    /// # Safety
    ///
    /// - As for [`OutStruct::new`].
    #[inline]
    pub(crate) unsafe fn optional(pointer: *mut T, name: &'static str) -> Result<Option<Self>> {
        if pointer.is_null() {
            return Ok(None);
        }
        // SAFETY: the caller's promise is the same.
        unsafe { Self::new(pointer, name) }.map(Some)
    }

    /// Writes the fields the caller knows; its `struct_size` stays as it is.
    #[inline(always)]
    pub(crate) fn write(self, value: T) {
        if self.size == size_of::<T>() {
            // With a length that is known here the fields go where they belong one by one.
            self.write_bytes(&value, size_of::<T>());
        } else {
            self.write_known(value);
        }
    }

    /// Writes to a struct of another size. It has a copy of its own, so that the address of the
    /// value is not taken where nearly every call passes by.
    #[inline(never)]
    fn write_known(self, value: T) {
        self.write_bytes(&value, self.size.min(size_of::<T>()));
    }

    /// Writes the first `size` bytes, which both structs have, but for the head.
    #[inline(always)]
    fn write_bytes(self, value: &T, size: usize) {
        const HEAD: usize = size_of::<u32>();
        let from = std::ptr::from_ref(value).cast::<u8>().wrapping_add(HEAD);
        let to = self.pointer.as_ptr().cast::<u8>().wrapping_add(HEAD);
        // SAFETY: both structs have `size` bytes, of which the head is the first four, as their
        // sizes were checked; one is ours and the other the caller's, so they do not overlap.
        unsafe { std::ptr::copy_nonoverlapping(from, to, size - HEAD) };
    }
}

/// An array of structs of the caller, all of the size that the first one states.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StructArray<T> {
    first: NonNull<T>,
    stride: usize,
    count: usize,
    name: &'static str,
}

impl<T: OpenStruct> StructArray<T> {
    /// Takes an array and checks that its elements agree on their size. An empty one may be null.
    ///
    /// # Safety
    ///
    /// - `pointer` is null, or readable (and writable, if [`StructArray::out`] is used) for `count`
    ///   elements, each as long as the first one's `struct_size`, for the rest of the call.
    pub(crate) unsafe fn new(
        pointer: *mut T,
        count: usize,
        name: &'static str,
    ) -> Result<Option<Self>> {
        if count == 0 {
            return Ok(None);
        }
        let first = NonNull::new(pointer).ok_or_else(|| null_argument(name))?;
        // SAFETY: at least one element is readable, says the caller.
        let stride = unsafe { checked_size(pointer.cast_const(), name) }?;
        if count > isize::MAX as usize / stride {
            return Err(invalid(format!("the count of {name} exceeds the memory"))
                .expected(format!("at most {}", isize::MAX as usize / stride), count));
        }
        let array = Self { first, stride, count, name };
        for index in 1..count {
            // SAFETY: the element lies inside the array, so its head is readable.
            let size = unsafe { checked_size(array.at(index).cast_const(), name) }?;
            if size != stride {
                return Err(invalid(format!(
                    "struct_size of {name}[{index}] differs from that of {name}[0]"
                ))
                .expected(stride, size));
            }
        }
        Ok(Some(array))
    }

    fn at(&self, index: usize) -> *mut T {
        let offset = index * self.stride;
        self.first.as_ptr().wrapping_byte_add(offset)
    }

    /// The number of elements.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Borrows an element.
    ///
    /// # Safety
    ///
    /// - The elements are not changed during `'a`.
    pub(crate) unsafe fn lend<'a>(&self, index: usize) -> Result<Lent<'a, T>> {
        if index >= self.count {
            return Err(invalid(format!("{} has no element {index}", self.name)));
        }
        // SAFETY: the element lies inside the array and is readable for `stride` bytes; that nobody
        // changes it, the caller says.
        unsafe { lend_sized(self.at(index).cast_const(), self.stride, self.name) }
    }

    /// Where an element goes that is handed out; `None` beyond the end.
    pub(crate) fn out(&self, index: usize) -> Option<OutStruct<T>> {
        if index >= self.count {
            return None;
        }
        NonNull::new(self.at(index)).map(|pointer| OutStruct { pointer, size: self.stride })
    }
}
