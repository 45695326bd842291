//! The slots of the file that is written, kept in memory as far as they were needed.

use super::layout::SLOT_BYTES;
use crate::codec::read_i32;
use crate::error::Result;

/// Slots are read and kept in pieces of this many bytes.
const PIECE_BYTES: usize = 64 << 10;
const PIECE_SLOTS: u32 = (PIECE_BYTES / SLOT_BYTES) as u32;

/// A copy of a file's slots, for whoever writes it: 20 MB with RocketMQ's defaults when keys have
/// come to all pieces, and less before.
#[derive(Debug)]
pub(super) struct SlotTable {
    slots: u32,
    pieces: Vec<Option<Box<[u8]>>>,
}

impl SlotTable {
    /// Of a file with this many slots, of which none is in memory yet.
    pub(super) fn new(slots: u32) -> Self {
        let mut pieces = Vec::new();
        pieces.resize_with(slots.div_ceil(PIECE_SLOTS) as usize, || None);
        Self { slots, pieces }
    }

    /// What a slot holds. `read` fills a piece of which the first slot is given.
    pub(super) fn get(
        &mut self,
        slot: u32,
        read: impl FnOnce(u32, &mut [u8]) -> Result<()>,
    ) -> Result<u32> {
        let first = slot / PIECE_SLOTS * PIECE_SLOTS;
        let Some(piece) = self.pieces.get_mut((slot / PIECE_SLOTS) as usize) else {
            return Ok(0);
        };
        if piece.is_none() {
            let count = PIECE_SLOTS.min(self.slots - first) as usize;
            let mut bytes = vec![0; count * SLOT_BYTES].into_boxed_slice();
            read(first, &mut bytes)?;
            *piece = Some(bytes);
        }
        let at = (slot - first) as usize * SLOT_BYTES;
        let value = piece.as_deref().and_then(|bytes| read_i32(bytes, at));
        Ok(value.unwrap_or_default().cast_unsigned())
    }

    /// Sets a slot that was looked at.
    pub(super) fn set(&mut self, slot: u32, number: u32) {
        let piece = self.pieces.get_mut((slot / PIECE_SLOTS) as usize);
        let at = (slot % PIECE_SLOTS) as usize * SLOT_BYTES;
        let target = piece.and_then(|piece| piece.as_mut()?.get_mut(at..at + SLOT_BYTES));
        if let Some(target) = target {
            target.copy_from_slice(&number.to_be_bytes());
        }
    }

    /// Copies the slots from `first` to `last`, which lie in pieces that were looked at.
    pub(super) fn span(&self, first: u32, last: u32, into: &mut Vec<u8>) {
        into.clear();
        let (first, end) = (first as usize * SLOT_BYTES, (last as usize + 1) * SLOT_BYTES);
        let mut at = first;
        while at < end {
            let start = at % PIECE_BYTES;
            let length = (PIECE_BYTES - start).min(end - at);
            let piece = self.pieces.get(at / PIECE_BYTES).and_then(|piece| piece.as_deref());
            into.extend_from_slice(
                piece.and_then(|bytes| bytes.get(start..start + length)).unwrap_or_default(),
            );
            at += length;
        }
    }

    /// The bytes that are kept.
    #[cfg(test)]
    pub(super) fn kept_bytes(&self) -> usize {
        self.pieces.iter().flatten().map(|piece| piece.len()).sum()
    }
}
