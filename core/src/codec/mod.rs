//! Which bytes are where: pure functions over slices, without files, clocks or locks.
//!
//! All integers are big-endian. `docs/design.md` draws the layouts.

pub(crate) mod batch;
pub(crate) mod host;
pub(crate) mod message_id;
pub(crate) mod properties;
pub(crate) mod record;
mod record_view;

pub use properties::PropertyIter;
pub use record_view::RecordView;

/// Where encoded bytes go, in order. The log's writer is one, a `Vec` in tests another.
pub(crate) trait Sink {
    /// Takes the next bytes.
    fn put(&mut self, bytes: &[u8]);
}

impl Sink for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// The big-endian i32 at `at`, if the slice reaches that far.
pub(crate) fn read_i32(bytes: &[u8], at: usize) -> Option<i32> {
    let field = bytes.get(at..at.checked_add(4)?)?;
    field.try_into().ok().map(i32::from_be_bytes)
}

/// The big-endian i64 at `at`, if the slice reaches that far.
pub(crate) fn read_i64(bytes: &[u8], at: usize) -> Option<i64> {
    let field = bytes.get(at..at.checked_add(8)?)?;
    field.try_into().ok().map(i64::from_be_bytes)
}

/// The big-endian i16 at `at`, if the slice reaches that far.
pub(crate) fn read_i16(bytes: &[u8], at: usize) -> Option<i16> {
    let field = bytes.get(at..at.checked_add(2)?)?;
    field.try_into().ok().map(i16::from_be_bytes)
}
