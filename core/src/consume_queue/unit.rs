//! The units of queue files: where a message, or a batch of messages, lies in the log.

use std::ops::Range;

use crate::codec::{read_i16, read_i32, read_i64};
use crate::state::QueueKind;

/// Bytes of a unit of a simple queue.
pub(crate) const UNIT_BYTES: u64 = 20;
/// Bytes of a unit of a batch queue.
pub(crate) const BATCH_UNIT_BYTES: u64 = 46;
/// The size that marks a filler unit, which stands for an index without a message.
const FILLER_SIZE: u32 = i32::MAX.cast_unsigned();
/// Messages that the unit of a batch can state.
pub(crate) const MAX_BATCH_MESSAGES: u32 = 32_767;
const _: () = assert!(MAX_BATCH_MESSAGES == i16::MAX as u32);
/// No queue gets as long: a hundred million messages a second reach it in twenty years. An index
/// beyond is none that a store gave out, and the positions of its unit would not fit into a file.
pub(crate) const MAX_INDEX: u64 = 1 << 56;
const _: () = assert!(MAX_INDEX < i64::MAX as u64 / BATCH_UNIT_BYTES);
/// What stands in a batch unit for a topic that is not compacted.
const NOT_COMPACTED: i32 = -1;

impl QueueKind {
    /// Every kind.
    pub(crate) const ALL: [Self; 2] = [Self::Simple, Self::Batch];

    /// Bytes of a unit.
    pub(crate) const fn unit_bytes(self) -> u64 {
        match self {
            Self::Simple => UNIT_BYTES,
            Self::Batch => BATCH_UNIT_BYTES,
        }
    }

    /// The directory of such queues in the store's root.
    pub(crate) const fn directory(self) -> &'static str {
        match self {
            Self::Simple => "consumequeue",
            Self::Batch => "batchconsumequeue",
        }
    }
}

/// Where a record lies, what it is in its queue, and what queue-level filters look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unit {
    /// The index of the record's first message.
    pub(crate) index: u64,
    /// How many messages, and indexes, the unit stands for. The unit of a simple queue does not
    /// tell, and is read as one.
    pub(crate) messages: u32,
    /// Where the record begins in the log.
    pub(crate) physical_offset: u64,
    /// The length of the record.
    pub(crate) size_bytes: u32,
    /// The hash of the tag, or the delivery time of a delayed message.
    pub(crate) tags_code: i64,
    /// When the record was stored; only the units of batch queues tell.
    pub(crate) store_timestamp_ms: Option<i64>,
}

/// What the bytes of a unit say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slot {
    /// Nothing: behind the end of the queue, or damaged.
    Free,
    /// An index that has no message.
    Filler,
    /// A message or a batch.
    Unit(Unit),
}

impl Unit {
    /// Adds the unit's bytes in a queue of this kind.
    pub(crate) fn encode(&self, kind: QueueKind, bytes: &mut Vec<u8>) {
        put(bytes, self.physical_offset, self.size_bytes, self.tags_code);
        if kind == QueueKind::Batch {
            let messages = i16::try_from(self.messages).unwrap_or(i16::MAX);
            bytes.extend_from_slice(&self.store_timestamp_ms.unwrap_or(0).to_be_bytes());
            bytes.extend_from_slice(&self.index.to_be_bytes());
            bytes.extend_from_slice(&messages.to_be_bytes());
            bytes.extend_from_slice(&NOT_COMPACTED.to_be_bytes());
            bytes.extend_from_slice(&0i32.to_be_bytes());
        }
    }

    /// One past the record's last byte in the log.
    pub(crate) fn physical_end(&self) -> u64 {
        self.physical_offset + u64::from(self.size_bytes)
    }

    /// One past the last index that the unit stands for.
    pub(crate) fn index_end(&self) -> u64 {
        self.index.saturating_add(u64::from(self.messages))
    }
}

/// Adds a filler unit of a simple queue.
pub(crate) fn put_filler(bytes: &mut Vec<u8>) {
    put(bytes, 0, FILLER_SIZE, 0);
}

fn put(bytes: &mut Vec<u8>, physical_offset: u64, size_bytes: u32, tags_code: i64) {
    bytes.extend_from_slice(&physical_offset.to_be_bytes());
    bytes.extend_from_slice(&size_bytes.to_be_bytes());
    bytes.extend_from_slice(&tags_code.to_be_bytes());
}

/// Reads the unit that has a number in its queue. RocketMQ takes a filler unit for the end of a
/// record at 2 GiB, and a queue that holds nothing else then swallows every record below (R10);
/// here it is told apart.
// A call of its own takes a tenth of what reading a message does.
#[inline]
pub(crate) fn decode(kind: QueueKind, number: u64, bytes: &[u8]) -> Slot {
    let fields = read_i64(bytes, 0).zip(read_i32(bytes, 8)).zip(read_i64(bytes, 12));
    let Some(((offset, size), tags_code)) = fields else {
        return Slot::Free;
    };
    let (Ok(physical_offset), Ok(size_bytes)) = (u64::try_from(offset), u32::try_from(size)) else {
        return Slot::Free;
    };
    let batch = match kind {
        QueueKind::Simple => Some((number, 1, None)),
        QueueKind::Batch => decode_batch(bytes),
    };
    match (batch, physical_offset, size_bytes) {
        (None, ..) | (_, _, 0) => Slot::Free,
        (_, 0, FILLER_SIZE) => Slot::Filler,
        (Some((index, messages, store_timestamp_ms)), ..) => Slot::Unit(Unit {
            index,
            messages,
            physical_offset,
            size_bytes,
            tags_code,
            store_timestamp_ms,
        }),
    }
}

/// The first index, the number of messages and the store time of a batch.
fn decode_batch(bytes: &[u8]) -> Option<(u64, u32, Option<i64>)> {
    let store_timestamp_ms = read_i64(bytes, 20)?;
    let index = u64::try_from(read_i64(bytes, 28)?).ok().filter(|index| *index <= MAX_INDEX)?;
    let messages = u32::try_from(read_i16(bytes, 36)?).ok().filter(|messages| *messages > 0)?;
    (bytes.len() as u64 >= BATCH_UNIT_BYTES).then_some((index, messages, Some(store_timestamp_ms)))
}

/// Units that stand one after the other.
#[derive(Debug)]
pub(crate) struct Units {
    pub(super) kind: QueueKind,
    /// The number of the first.
    pub(crate) first: u64,
    pub(super) bytes: Vec<u8>,
}

impl Units {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() / usize::try_from(self.kind.unit_bytes()).unwrap_or(usize::MAX)
    }

    /// The units with their numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, Slot)> + '_ {
        let size = usize::try_from(self.kind.unit_bytes()).unwrap_or(usize::MAX);
        let numbers = self.first..;
        numbers
            .zip(self.bytes.chunks_exact(size))
            .map(|(number, bytes)| (number, decode(self.kind, number, bytes)))
    }
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

    fn encoded(unit: &Unit, kind: QueueKind) -> Vec<u8> {
        let mut bytes = Vec::new();
        unit.encode(kind, &mut bytes);
        assert_eq!(bytes.len() as u64, kind.unit_bytes());
        bytes
    }

    #[test]
    fn units_have_rocketmq_s_bytes() {
        let unit = Unit {
            index: 7,
            messages: 1,
            physical_offset: 0,
            size_bytes: 126,
            tags_code: 2_598_919,
            store_timestamp_ms: None,
        };
        let bytes = encoded(&unit, QueueKind::Simple);
        assert_eq!(bytes[..8], [0; 8]);
        assert_eq!(bytes[8..12], [0, 0, 0, 0x7E]);
        assert_eq!(bytes[12..], [0, 0, 0, 0, 0, 0x27, 0xA8, 0x07]);
        let decode = |bytes: &[u8]| decode(QueueKind::Simple, 7, bytes);
        assert_eq!(decode(&bytes), Slot::Unit(unit));
        let mut filler = Vec::new();
        put_filler(&mut filler);
        assert_eq!(decode(&filler), Slot::Filler);
        assert_eq!(decode(&[0; 20]), Slot::Free);
        assert_eq!(decode(&[0xFF; 20]), Slot::Free);
        assert_eq!(decode(&bytes[..19]), Slot::Free);
    }

    #[test]
    fn units_of_batches_have_rocketmq_s_bytes() {
        let unit = Unit {
            index: 0x0102,
            messages: 3,
            physical_offset: 0x0A00_0000,
            size_bytes: 126,
            tags_code: -2,
            store_timestamp_ms: Some(0x0198_0000_0001),
        };
        let bytes = encoded(&unit, QueueKind::Batch);
        assert_eq!(bytes[..12], [0, 0, 0, 0, 0x0A, 0, 0, 0, 0, 0, 0, 0x7E]);
        assert_eq!(bytes[12..20], (-2i64).to_be_bytes());
        assert_eq!(bytes[20..28], [0, 0, 0x01, 0x98, 0, 0, 0, 1]);
        assert_eq!(bytes[28..38], [0, 0, 0, 0, 0, 0, 1, 2, 0, 3]);
        assert_eq!(bytes[38..], [0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0]);
        let decode = |bytes: &[u8]| decode(QueueKind::Batch, 99, bytes);
        assert_eq!(decode(&bytes), Slot::Unit(unit));
        assert_eq!(decode(&[0; 46]), Slot::Free);
        assert_eq!(decode(&[0xFF; 46]), Slot::Free);
        assert_eq!(decode(&bytes[..45]), Slot::Free);
        for (at, wrong) in [(28, 0x80), (36, 0x80), (37, 0)] {
            let mut damaged = bytes.clone();
            damaged[at] = wrong;
            assert_eq!(decode(&damaged), Slot::Free, "byte {at}");
        }
        // No more messages than the field can state.
        let unit = Unit { messages: MAX_BATCH_MESSAGES + 1, ..unit };
        assert_eq!(encoded(&unit, QueueKind::Batch)[36..38], [0x7F, 0xFF]);
    }
}
