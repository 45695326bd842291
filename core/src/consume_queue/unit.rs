//! The 20 bytes of a message in its consume queue.

use std::ops::Range;

use crate::codec::{read_i32, read_i64};

/// Bytes of a unit.
pub(crate) const UNIT_BYTES: u64 = 20;
/// The size that marks a filler unit, which stands for an index without a message.
const FILLER_SIZE: u32 = i32::MAX.cast_unsigned();

/// Where a message lies, and what queue-level filters look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unit {
    /// Where the record begins in the log.
    pub(crate) physical_offset: u64,
    /// The length of the record.
    pub(crate) size_bytes: u32,
    /// The hash of the tag, or the delivery time of a delayed message.
    pub(crate) tags_code: i64,
}

/// What 20 bytes of a queue file say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slot {
    /// Nothing: behind the end of the queue, or damaged.
    Free,
    /// An index that has no message.
    Filler,
    /// A message.
    Unit(Unit),
}

impl Unit {
    /// The unit's bytes.
    pub(crate) fn encode(&self) -> [u8; UNIT_BYTES as usize] {
        encode(self.physical_offset, self.size_bytes, self.tags_code)
    }

    /// One past the record's last byte in the log.
    pub(crate) fn physical_end(&self) -> u64 {
        self.physical_offset + u64::from(self.size_bytes)
    }
}

/// The bytes of a filler unit.
pub(crate) fn filler() -> [u8; UNIT_BYTES as usize] {
    encode(0, FILLER_SIZE, 0)
}

fn encode(physical_offset: u64, size_bytes: u32, tags_code: i64) -> [u8; UNIT_BYTES as usize] {
    let mut bytes = [0; UNIT_BYTES as usize];
    let (offset, rest) = bytes.split_at_mut(8);
    let (size, tags) = rest.split_at_mut(4);
    offset.copy_from_slice(&physical_offset.to_be_bytes());
    size.copy_from_slice(&size_bytes.to_be_bytes());
    tags.copy_from_slice(&tags_code.to_be_bytes());
    bytes
}

/// Reads a unit. RocketMQ takes a filler unit for the end of a record at 2 GiB, and a queue that
/// holds nothing else then swallows every record below (R10); here it is told apart.
pub(crate) fn decode(bytes: &[u8]) -> Slot {
    let fields = read_i64(bytes, 0).zip(read_i32(bytes, 8)).zip(read_i64(bytes, 12));
    let Some(((offset, size), tags_code)) = fields else {
        return Slot::Free;
    };
    let (Ok(physical_offset), Ok(size_bytes)) = (u64::try_from(offset), u32::try_from(size)) else {
        return Slot::Free;
    };
    match (physical_offset, size_bytes) {
        (_, 0) => Slot::Free,
        (0, FILLER_SIZE) => Slot::Filler,
        _ => Slot::Unit(Unit { physical_offset, size_bytes, tags_code }),
    }
}

/// The units that stand one after the other.
pub(crate) fn decode_units(bytes: &[u8]) -> impl Iterator<Item = Slot> + '_ {
    bytes.as_chunks::<{ UNIT_BYTES as usize }>().0.iter().map(|unit| decode(unit))
}

/// The first number of a range for which `below` does not hold; the end if it holds for all. It
/// holds for none behind one for which it does not.
pub(crate) fn partition_point<E>(
    range: Range<u64>,
    mut below: impl FnMut(u64) -> Result<bool, E>,
) -> Result<u64, E> {
    let (mut low, mut high) = (range.start, range.end);
    while low < high {
        let middle = low + (high - low) / 2;
        if below(middle)? {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_have_rocketmq_s_bytes() {
        let unit = Unit { physical_offset: 0, size_bytes: 126, tags_code: 2_598_919 };
        let bytes = unit.encode();
        assert_eq!(bytes[..8], [0; 8]);
        assert_eq!(bytes[8..12], [0, 0, 0, 0x7E]);
        assert_eq!(bytes[12..], [0, 0, 0, 0, 0, 0x27, 0xA8, 0x07]);
        assert_eq!(decode(&bytes), Slot::Unit(unit));
        assert_eq!(decode(&filler()), Slot::Filler);
        assert_eq!(decode(&[0; 20]), Slot::Free);
        assert_eq!(decode(&[0xFF; 20]), Slot::Free);
        assert_eq!(decode(&bytes[..19]), Slot::Free);
    }
}
