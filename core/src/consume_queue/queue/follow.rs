//! A queue whose units another process writes.
//!
//! Nothing tells of a new unit, so whoever waits looks. A unit counts when it was read twice with
//! the same bytes, and the log is readable as far as it points.

use std::sync::atomic::Ordering;

use super::{ConsumeQueue, Slot};
use crate::error::Result;
use crate::state::QueueKind;

/// Units that are looked at together.
const UNITS_AT_ONCE: u64 = 256;

/// What became of a queue since it was last looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::consume_queue) enum Followed {
    /// It is as it was, or has more units.
    GoesOn,
    /// Its files are others now: they were removed, or are built again.
    Changed,
}

impl ConsumeQueue {
    /// Takes in units behind the end that point below what `readable` returns, which is asked
    /// after they were read.
    pub(in crate::consume_queue) fn follow(
        &self,
        log_min: u64,
        readable: &dyn Fn() -> u64,
    ) -> Result<Followed> {
        if !self.is_as_known(log_min)? {
            return Ok(Followed::Changed);
        }
        loop {
            let end = self.end.load(Ordering::Acquire);
            let units = self.files.read_now(end, UNITS_AT_ONCE)?;
            let log_end = readable();
            let there = units.iter().take_while(|(_, slot)| match slot {
                Slot::Free => false,
                Slot::Filler => true,
                Slot::Unit(unit) => unit.physical_end() <= log_end,
            });
            let Some((last, slot)) = there.last() else {
                return Ok(Followed::GoesOn);
            };
            self.files.add_file_of(last);
            // The newest may be half written, and the open file may be one that was removed.
            if self.files.unit(last)? != slot {
                self.files.forget_file_of(last);
                return Ok(Followed::GoesOn);
            }
            let max = match (self.kind(), slot) {
                (QueueKind::Batch, Slot::Unit(unit)) => unit.index_end(),
                (QueueKind::Batch, _) => return Ok(Followed::GoesOn),
                (QueueKind::Simple, _) => last + 1,
            };
            self.end.fetch_max(last + 1, Ordering::AcqRel);
            self.max.advance(max);
        }
    }

    /// Whether the last unit is still there, and the log has the first index's record.
    fn is_as_known(&self, log_min: u64) -> Result<bool> {
        let Some(last) = self.end.load(Ordering::Acquire).checked_sub(1) else {
            return Ok(true);
        };
        let there = self.files.read_now(last, 1)?.iter().any(|(_, slot)| slot != Slot::Free);
        let range = self.range();
        if !there || range.is_empty() {
            return Ok(there);
        }
        let first = self.numbers_of(range.start..range.start + 1)?.start;
        Ok(match self.files.unit(first)? {
            Slot::Free => false,
            Slot::Filler => true,
            Slot::Unit(unit) => unit.physical_offset >= log_min,
        })
    }

    /// Whether an index can be read now.
    pub(crate) fn has(&self, index: u64) -> Result<bool> {
        let there = |slot| match slot {
            Slot::Free => false,
            Slot::Filler => true,
            Slot::Unit(unit) => unit.index <= index,
        };
        Ok(self.range().contains(&index)
            && self.read(index, 1)?.iter().any(|(_, slot)| there(slot)))
    }

    /// Whether the unit in front of the first index is there: retention removed its message.
    pub(crate) fn begins_behind_a_unit(&self) -> Result<bool> {
        let first = self.number_of(self.range().start, self.end.load(Ordering::Acquire))?;
        let before = first.checked_sub(1).map(|before| self.files.unit(before)).transpose()?;
        Ok(matches!(before, Some(Slot::Unit(_))))
    }

    /// Where a message in front of an index lies, as near as the files tell at once; `None` if they
    /// tell of none.
    pub(crate) fn physical_offset_before(&self, index: u64) -> Result<Option<u64>> {
        let number = self.number_of(index, self.end.load(Ordering::Acquire))?;
        Ok(self.files.unit_before(number)?.map(|unit| unit.physical_offset))
    }

    /// Takes these files for those that were known, and finds the range anew.
    pub(in crate::consume_queue) fn reload(
        &self,
        starts: Vec<u64>,
        log_min: u64,
        log_end: u64,
    ) -> Result<()> {
        self.files.set_starts(starts);
        self.find_range(log_min, log_end)
    }
}
