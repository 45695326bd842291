//! Queue files that another process makes, writes and removes.

use super::{QueueFiles, Units};
use crate::error::{Error, Result};
use crate::sys::disk::Access;

impl QueueFiles {
    /// Reads units from `from` on, as many as `most` and up to the end of their file, from the file
    /// that has the name now; an open one may have been removed.
    pub(in crate::consume_queue) fn read_now(&self, from: u64, most: u64) -> Result<Units> {
        let (kind, start) = (self.place.kind, self.start_of(from));
        let path = self.path(start);
        let file = match self.shared.disk.open(&path, Access::Read) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Units { kind, first: from, bytes: Vec::new() });
            }
            other => other.map_err(|source| Error::io("cannot open", source).at_path(&path))?,
        };
        let count = (self.first_in(start) + self.units_per_file()).saturating_sub(from).min(most);
        let mut bytes = vec![0; usize::try_from(count * self.unit_bytes()).unwrap_or(0)];
        let filled = file
            .read_full_at(&mut bytes, from * self.unit_bytes() - start)
            .map_err(|source| Error::io("cannot read", source).at_path(&path))?;
        bytes.truncate(filled);
        Ok(Units { kind, first: from, bytes })
    }

    /// Takes in the file that holds a unit.
    pub(in crate::consume_queue) fn add_file_of(&self, number: u64) {
        let start = self.start_of(number);
        let mut starts = self.starts.write();
        if let Err(place) = starts.binary_search(&start) {
            starts.insert(place, start);
        }
    }

    /// Opens the file that holds a unit anew when it is next read.
    pub(in crate::consume_queue) fn forget_file_of(&self, number: u64) {
        self.shared.handles.forget((self.place.serial, self.start_of(number)));
    }

    /// Takes these files for those that were known.
    pub(in crate::consume_queue) fn set_starts(&self, starts: Vec<u64>) {
        for start in std::mem::replace(&mut *self.starts.write(), starts) {
            self.shared.handles.forget((self.place.serial, start));
        }
    }
}
