//! A client's batch: items one after the other in an encoding of their own.

use super::properties::PROPERTY_RECORD_CRC;
use super::{read_i16, read_i32};
use crate::error::{Error, Result};
use crate::status::Status;

/// One message inside a client's batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BatchItem<'a> {
    pub(crate) flag: i32,
    pub(crate) body: &'a [u8],
    pub(crate) properties: &'a [u8],
}

/// The items of a batch; an item that is malformed ends them with an error.
pub(crate) struct BatchItems<'a> {
    items: &'a [u8],
    position: usize,
}

impl<'a> BatchItems<'a> {
    pub(crate) fn new(items: &'a [u8]) -> Self {
        Self { items, position: 0 }
    }

    fn item(&self, rest: &'a [u8]) -> Result<(BatchItem<'a>, usize)> {
        let illegal = |what: &'static str| {
            Error::new(Status::BatchIllegal, what).at_offset(self.position as u64)
        };
        let size = read_i32(rest, 0).and_then(|size| usize::try_from(size).ok());
        let item = size
            .and_then(|size| rest.get(..size))
            .ok_or_else(|| illegal("a batch item's size exceeds the batch"))?;
        let short = || illegal("a batch item's fields exceed the item");
        let flag = read_i32(item, 12).ok_or_else(short)?;
        let body_bytes = read_i32(item, 16).ok_or_else(short)?;
        let body_end = usize::try_from(body_bytes)
            .ok()
            .and_then(|length| length.checked_add(20))
            .ok_or_else(short)?;
        let body = item.get(20..body_end).ok_or_else(short)?;
        let properties_bytes = read_i16(item, body_end).ok_or_else(short)?;
        let properties = usize::try_from(properties_bytes)
            .ok()
            .and_then(|length| item.get(body_end + 2..body_end + 2 + length))
            .ok_or_else(short)?;
        if body_end + 2 + properties.len() != item.len() {
            return Err(illegal("a batch item's size disagrees with its fields"));
        }
        if body.is_empty() {
            return Err(illegal("a batch item has no body"));
        }
        let record_crc = [PROPERTY_RECORD_CRC.as_bytes(), b"\x01"].concat();
        if memchr::memmem::find(properties, &record_crc).is_some() {
            return Err(illegal("a batch item carries a record CRC of its own"));
        }
        Ok((BatchItem { flag, body, properties }, item.len()))
    }
}

impl<'a> Iterator for BatchItems<'a> {
    type Item = Result<BatchItem<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.items.get(self.position..).filter(|rest| !rest.is_empty())?;
        match self.item(rest) {
            Ok((item, size)) => {
                self.position += size;
                Some(Ok(item))
            }
            Err(error) => {
                self.position = self.items.len();
                Some(Err(error))
            }
        }
    }
}

/// Appends one message in the client's batch encoding to `items`.
///
/// # Errors
///
/// - [`Status::BatchIllegal`]: the body exceeds 2^31 - 1 bytes or the properties 32767.
///
/// ```
/// let mut items = Vec::new();
/// cairnlog::encode_batch_item(&mut items, 0, b"b0", b"P\x01v0\x02")?;
/// assert_eq!(items.len(), 29);
/// # Ok::<(), cairnlog::Error>(())
/// ```
pub fn encode_batch_item(
    items: &mut Vec<u8>,
    flag: i32,
    body: &[u8],
    properties: &[u8],
) -> Result<()> {
    let too_long = || Error::new(Status::BatchIllegal, "a batch item is too long");
    let size = i32::try_from(22 + body.len() + properties.len()).map_err(|_| too_long())?;
    let properties_bytes = i16::try_from(properties.len()).map_err(|_| too_long())?;
    items.extend_from_slice(&size.to_be_bytes());
    items.extend_from_slice(&[0; 8]);
    items.extend_from_slice(&flag.to_be_bytes());
    items.extend_from_slice(&(body.len() as u32).to_be_bytes());
    items.extend_from_slice(body);
    items.extend_from_slice(&properties_bytes.to_be_bytes());
    items.extend_from_slice(properties);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_come_back() {
        let mut items = Vec::new();
        encode_batch_item(&mut items, 7, b"b0", b"P\x01v0\x02").unwrap();
        encode_batch_item(&mut items, -1, b"b1", b"").unwrap();
        assert_eq!(
            items[..29],
            *b"\0\0\0\x1D\0\0\0\0\0\0\0\0\0\0\0\x07\0\0\0\x02b0\0\x05P\x01v0\x02"
        );
        let read: Vec<_> = BatchItems::new(&items).collect::<Result<_>>().unwrap();
        assert_eq!(read[0], BatchItem { flag: 7, body: b"b0", properties: b"P\x01v0\x02" });
        assert_eq!(read[1], BatchItem { flag: -1, body: b"b1", properties: b"" });
    }

    #[test]
    fn every_cut_and_every_wrong_size_is_refused() {
        let mut items = Vec::new();
        encode_batch_item(&mut items, 0, b"body", b"P\x01v\x02").unwrap();
        for cut in 1..items.len() {
            assert!(BatchItems::new(&items[..cut]).any(|item| item.is_err()), "cut at {cut}");
        }
        for at in [3, 19, 25] {
            let mut wrong = items.clone();
            wrong[at] = wrong[at].wrapping_add(1);
            assert!(BatchItems::new(&wrong).any(|item| item.is_err()), "byte {at}");
        }
    }
}
