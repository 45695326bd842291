//! Walking a log from record to record, and searching for records behind damage.

use std::ops::Range;

use super::scan::defect_at;
use crate::codec::RecordView;
use crate::codec::record::{BLANK_BYTES, CrcCheck, Defect, Parsed, RecordLayout, parse};
use crate::error::{Error, Result};
use crate::mapped::{MappedFile, MappedFileQueue, Pin};
use crate::status::Status;

/// Bytes that are compared with zeros at a time.
const ZERO_BLOCK: usize = 4096;

/// What stands at a position.
#[derive(Debug)]
pub(crate) enum Found {
    /// A record; the pin begins with it.
    Record(Pin, RecordLayout),
    /// The blank that ends a file, with the size it states.
    Blank(u64, u32),
    /// Nothing: the end of what is readable, or free space.
    Free,
    /// Something that is neither, and what is wrong with it: [`Status::Corruption`], or another
    /// status if it cannot be read.
    Damaged(Error),
}

/// Goes through a log record by record.
#[derive(Debug)]
pub(crate) struct Walk<'q> {
    queue: &'q MappedFileQueue,
    position: u64,
    crc: CrcCheck,
    /// The rest of the file that `position` lies in.
    pin: Option<Pin>,
}

impl<'q> Walk<'q> {
    pub(crate) fn new(queue: &'q MappedFileQueue, from: u64, crc: CrcCheck) -> Self {
        Self { queue, position: from, crc, pin: None }
    }

    /// Where the walk goes on.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Looks at the current position and, if a record or blank is there, moves behind it.
    pub(crate) fn step(&mut self) -> Found {
        let at = self.position;
        if self.pin.is_none() {
            self.pin = self.queue.pin(at).filter(|pin| !pin.bytes().is_empty());
        }
        let Some(pin) = &mut self.pin else {
            return Found::Free;
        };
        let parsed = parse(pin.bytes(), at, self.crc);
        let found = match (check_pages(pin, &parsed), parsed) {
            (Ok(()), Ok(Parsed::Record(layout))) => {
                let found = pin.clone();
                self.position = at + u64::from(layout.size);
                if !move_behind(pin, &layout, self.crc) {
                    self.pin = None;
                }
                return Found::Record(found, layout);
            }
            (Ok(()), Ok(Parsed::Blank(size))) => blank(pin, at, size),
            (Ok(()), Err(Defect::Free)) => Found::Free,
            (Ok(()), Err(defect)) => Found::Damaged(defect_at(pin, at, defect)),
            (Err(error), _) => Found::Damaged(error),
        };
        if matches!(found, Found::Blank(..)) {
            self.position = pin.file().end();
        }
        self.pin = None;
        found
    }
}

/// Moves a pin behind the record that it begins with; false if nothing is left. For those who sum
/// up all bytes, memory is asked for ahead.
#[inline(always)]
pub(super) fn move_behind(pin: &mut Pin, layout: &RecordLayout, crc: CrcCheck) -> bool {
    if crc == CrcCheck::Verify {
        pin.fetch_ahead(layout.size as usize);
    }
    pin.advance(layout.size as usize)
}

/// The blank that a pin begins with, if it ends the file.
fn blank(pin: &Pin, at: u64, size: u32) -> Found {
    let room = pin.file().end() - at;
    if u64::from(size) != room || size < BLANK_BYTES {
        let error = damage_at(pin.file(), at, "bad size of a blank");
        return Found::Damaged(error.expected(room, size));
    }
    Found::Blank(at, size)
}

/// Fails if a page was not there when what a pin begins with was looked at: zeros were seen, which
/// the file does not hold.
#[inline(always)]
pub(crate) fn check_pages(pin: &Pin, parsed: &std::result::Result<Parsed, Defect>) -> Result<()> {
    let looked_at = match parsed {
        Ok(Parsed::Record(layout)) => layout.size as usize,
        Ok(Parsed::Blank(_)) => BLANK_BYTES as usize,
        Err(_) => usize::MAX,
    };
    pin.check(looked_at)
}

/// An error about damage, which names the file as `directory/name`.
pub(crate) fn damage_at(file: &MappedFile, offset: u64, what: &'static str) -> Error {
    Error::new(Status::Corruption, what).at_path(file.path()).at_offset(offset)
}

/// The first and one past the last position from `from` on where the log's files hold anything but
/// zeros.
pub(crate) fn used_range(queue: &MappedFileQueue, from: u64) -> Result<Option<Range<u64>>> {
    let mut used: Option<Range<u64>> = None;
    for range in data_ranges(queue, from)? {
        let Some(pin) = queue.pin(range.start) else {
            continue;
        };
        let length = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        let bytes = pin.bytes().get(..length).unwrap_or(pin.bytes());
        let found = nonzero_range(bytes);
        pin.check(length)?;
        if let Some(found) = found {
            let start = used.map_or(range.start + found.start as u64, |used| used.start);
            used = Some(start..range.start + found.end as u64);
        }
    }
    Ok(used)
}

/// The parts of the log's files from `from` on that may hold anything but zeros, each in one file.
pub(crate) fn data_ranges(queue: &MappedFileQueue, from: u64) -> Result<Vec<Range<u64>>> {
    let mut ranges = Vec::new();
    for file in queue.files().iter().filter(|file| file.end() > from) {
        let begin = from.saturating_sub(file.start());
        let all = begin..file.size_bytes();
        let found = queue
            .disk()
            .open(file.path(), crate::sys::disk::Access::Read)
            .and_then(|handle| handle.data_ranges(all.clone()));
        let in_file = match found {
            // Removed by its writer since it was mapped: as a rule the one that was made ahead.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => vec![all],
            found => found
                .map_err(|source| Error::io("cannot look for data", source).at_path(file.path()))?,
        };
        let in_log = in_file.into_iter();
        ranges.extend(in_log.map(|range| file.start() + range.start..file.start() + range.end));
    }
    Ok(ranges)
}

/// The first and one past the last byte that is not zero. As a rule there is none: what was made
/// ahead behind the end is looked through at each opening.
fn nonzero_range(bytes: &[u8]) -> Option<Range<usize>> {
    let (blocks, rest) = bytes.as_chunks::<ZERO_BLOCK>();
    let is_used = |block: &[u8; ZERO_BLOCK]| *block != [0; ZERO_BLOCK];
    let first = blocks.iter().position(is_used).unwrap_or(blocks.len()) * ZERO_BLOCK;
    let start = first + bytes.get(first..)?.iter().position(|&byte| byte != 0)?;
    let end = match rest.iter().rposition(|&byte| byte != 0) {
        Some(last) => blocks.len() * ZERO_BLOCK + last,
        None => {
            let block = blocks.iter().rposition(is_used)?;
            let last = blocks.get(block)?.iter().rposition(|&byte| byte != 0)?;
            block * ZERO_BLOCK + last
        }
    };
    Some(start..end + 1)
}

/// The first whole record, its CRC verified, that begins in `range` at the physical offset it
/// states.
pub(crate) fn find_record(queue: &MappedFileQueue, range: Range<u64>) -> Option<u64> {
    let finder = memchr::memmem::Finder::new(&[0xDA, 0xA3, 0x20]);
    let mut position = range.start;
    while position < range.end {
        let pin = queue.pin(position)?;
        let bytes = pin.bytes();
        for magic in finder.find_iter(bytes) {
            let Some(start) = magic.checked_sub(4) else {
                continue;
            };
            let offset = position + start as u64;
            if offset >= range.end {
                return None;
            }
            let candidate = bytes.get(start..).unwrap_or_default();
            if let Ok(Parsed::Record(_)) = parse(candidate, offset, CrcCheck::Verify) {
                return Some(offset);
            }
        }
        position = pin.file().end();
    }
    None
}

/// The record at the beginning of a pin.
#[inline(always)]
pub(crate) fn view(pin: &Pin, layout: RecordLayout) -> RecordView<'_> {
    RecordView::new(pin.bytes(), layout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_zero_is_found_wherever_it_stands() {
        let places = [0, 1, ZERO_BLOCK - 1, ZERO_BLOCK, 2 * ZERO_BLOCK + 9, 3 * ZERO_BLOCK - 1];
        for length in [0, 1, ZERO_BLOCK, 3 * ZERO_BLOCK, 3 * ZERO_BLOCK + 100] {
            let within = places.iter().copied().chain([3 * ZERO_BLOCK, 3 * ZERO_BLOCK + 99]);
            let within: Vec<_> = within.filter(|&place| place < length).collect();
            assert_eq!(nonzero_range(&vec![0; length]), None, "{length}");
            for &first in &within {
                for &last in within.iter().filter(|&&last| last >= first) {
                    let mut bytes = vec![0; length];
                    (bytes[first], bytes[last]) = (1, 1);
                    assert_eq!(nonzero_range(&bytes), Some(first..last + 1), "of {length}");
                }
            }
        }
    }
}
