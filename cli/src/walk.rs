//! Walking a log that somebody may be writing to.

use std::thread;
use std::time::Duration;

use cairnlog::{Entries, Error, LogEntry, LogReader, PhysicalOffset};

/// How often a place that looks damaged is looked at again.
const LOOKS: u32 = 3;
/// The pause before each look.
const PAUSE: Duration = Duration::from_millis(2);

/// Records and blanks in log order, as [`LogReader::entries`] gives them, except that damage is
/// believed only when it stays: a writer that appends between two looks at the end of the log
/// makes it seem that a record is missing there.
pub(crate) struct Walk<'a> {
    reader: &'a LogReader,
    entries: Entries<'a>,
    position: PhysicalOffset,
}

impl<'a> Walk<'a> {
    /// Begins at the boundary of a record or blank.
    pub(crate) fn new(reader: &'a LogReader, from: PhysicalOffset) -> Self {
        Self { reader, entries: reader.entries(from), position: from }
    }

    /// One past the last entry that was good.
    pub(crate) fn position(&self) -> PhysicalOffset {
        self.position
    }

    /// Looks again where the good entries end.
    fn look_again(&mut self) -> Option<LogEntry> {
        for _ in 0..LOOKS {
            thread::sleep(PAUSE);
            let mut entries = self.reader.entries(self.position);
            if let Some(Ok(entry)) = entries.next() {
                self.entries = entries;
                return Some(entry);
            }
        }
        None
    }
}

impl Iterator for Walk<'_> {
    type Item = Result<LogEntry, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let entry = match self.entries.next()? {
            Ok(entry) => entry,
            Err(error) => match self.look_again() {
                Some(entry) => entry,
                None => return Some(Err(error)),
            },
        };
        self.position = match &entry {
            LogEntry::Message(message) => message.record().end_offset(),
            LogEntry::Blank { physical_offset, size_bytes } => {
                PhysicalOffset::new(physical_offset.get() + u64::from(*size_bytes))
            }
        };
        Some(Ok(entry))
    }
}
