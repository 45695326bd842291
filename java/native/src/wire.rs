//! How numbers, text and bytes cross between Java and Rust: little-endian, text and bytes behind
//! their length as an i32. `io.cairnlog.Wire` is the other side.

use cairnlog::{Error, Result, Status};

/// Reads what Java wrote; a read past the end is an error.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    #[inline]
    fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or_else(too_short)?;
        self.rest = rest;
        Ok(taken)
    }

    /// So many bytes, where they lie.
    #[inline]
    pub(crate) fn chunk<const N: usize>(&mut self) -> Result<&'a [u8; N]> {
        let (chunk, rest) = self.rest.split_first_chunk().ok_or_else(too_short)?;
        self.rest = rest;
        Ok(chunk)
    }

    #[inline]
    pub(crate) fn i32(&mut self) -> Result<i32> {
        Ok(i32::from_le_bytes(*self.chunk()?))
    }

    pub(crate) fn i64(&mut self) -> Result<i64> {
        Ok(i64::from_le_bytes(*self.chunk()?))
    }

    /// A count or length, which is not negative.
    #[inline]
    pub(crate) fn length(&mut self) -> Result<usize> {
        usize::try_from(self.i32()?)
            .map_err(|_| malformed("a request of the Java package has a negative length"))
    }

    #[inline]
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8]> {
        let length = self.length()?;
        self.take(length)
    }

    pub(crate) fn text(&mut self) -> Result<&'a str> {
        utf8(self.bytes()?)
    }

    /// Text, or none where the length is -1.
    #[inline]
    pub(crate) fn optional_text(&mut self) -> Result<Option<&'a str>> {
        let mut ahead = Reader::new(self.rest);
        if ahead.i32()? == -1 {
            self.rest = ahead.rest;
            return Ok(None);
        }
        self.text().map(Some)
    }

    /// Refuses bytes that nothing has read.
    pub(crate) fn finish(self) -> Result<()> {
        if self.rest.is_empty() {
            return Ok(());
        }
        Err(malformed("a request of the Java package is too long"))
    }
}

/// Bytes as text.
pub(crate) fn utf8(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|_| Error::new(Status::InvalidArgument, "text is not UTF-8"))
}

#[cold]
fn too_short() -> Error {
    malformed("a request of the Java package ends too early")
}

fn malformed(what: &'static str) -> Error {
    Error::new(Status::Internal, what)
}

/// Writes what Java reads.
#[derive(Default)]
pub(crate) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self { bytes: Vec::with_capacity(capacity) }
    }

    pub(crate) fn i32(&mut self, value: i32) -> &mut Self {
        self.bytes.extend_from_slice(&value.to_le_bytes());
        self
    }

    pub(crate) fn i64(&mut self, value: i64) -> &mut Self {
        self.bytes.extend_from_slice(&value.to_le_bytes());
        self
    }

    /// An unsigned number; those from 2^63 on are held at the largest that Java's long has.
    pub(crate) fn u64(&mut self, value: u64) -> &mut Self {
        self.i64(i64::try_from(value).unwrap_or(i64::MAX))
    }

    /// A count; those from 2^31 on are held at the largest that Java's int has.
    pub(crate) fn count(&mut self, value: usize) -> &mut Self {
        self.i32(i32::try_from(value).unwrap_or(i32::MAX))
    }

    /// A list of texts.
    pub(crate) fn texts<T: AsRef<str>>(&mut self, values: &[T]) -> &mut Self {
        self.count(values.len());
        for value in values {
            self.text(value.as_ref());
        }
        self
    }

    pub(crate) fn flag(&mut self, value: bool) -> &mut Self {
        self.i32(i32::from(value))
    }

    pub(crate) fn bytes(&mut self, value: &[u8]) -> &mut Self {
        self.count(value.len());
        self.raw(value)
    }

    /// Bytes without their length.
    pub(crate) fn raw(&mut self, value: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(value);
        self
    }

    pub(crate) fn text(&mut self, value: &str) -> &mut Self {
        self.bytes(value.as_bytes())
    }

    pub(crate) fn optional_text(&mut self, value: Option<&str>) -> &mut Self {
        match value {
            Some(value) => self.text(value),
            None => self.i32(-1),
        }
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let mut writer = Writer::default();
        writer.i32(-7).i64(i64::MIN).text("gr\u{fc}n");
        writer.optional_text(None).optional_text(Some(""));
        let mut reader = Reader::new(writer.as_slice());
        assert_eq!(reader.i32().unwrap(), -7);
        assert_eq!(reader.i64().unwrap(), i64::MIN);
        assert_eq!(reader.text().unwrap(), "gr\u{fc}n");
        assert_eq!(reader.optional_text().unwrap(), None);
        assert_eq!(reader.optional_text().unwrap(), Some(""));
        reader.finish().unwrap();
    }

    #[test]
    fn short_long_and_negative_are_errors() {
        assert!(Reader::new(&[1, 0, 0]).i32().is_err());
        assert!(Reader::new(&[9, 0, 0, 0, b'x']).bytes().is_err());
        assert!(Reader::new(&[0xff; 4]).length().is_err());
        assert!(Reader::new(&[0]).finish().is_err());
        let not_utf8 = Reader::new(&[1, 0, 0, 0, 0xff]).text().unwrap_err();
        assert_eq!(not_utf8.status(), Status::InvalidArgument);
    }
}
