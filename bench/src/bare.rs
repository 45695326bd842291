//! The raw limit of groups: what the machine does when so many records are written and synced at
//! once, and nothing else is done for them. No store's appends that wait together can be faster.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate};

use crate::amounts::Amounts;
use crate::report::{Figure, Report};
use crate::scene::rates;
use crate::{Case, Result};

/// Bytes of a record with a body of 1 KiB.
pub(crate) const RECORD_BYTES: usize = 1126;
/// Bytes of the file; it begins again at its end.
const FILE_BYTES: usize = 64 << 20;
/// Zeros written ahead at a time: a sync of space that was never written takes longer.
pub(crate) const ZEROS: usize = 1 << 20;

const OF_16: Figure = Figure {
    name: "bare groups of 16: pwrite and fdatasync, zeros written ahead",
    unit: "records/s",
    floor: "pwrite and fdatasync, one by one",
    target: None,
};
const OF_64: Figure =
    Figure { name: "bare groups of 64: pwrite and fdatasync, zeros written ahead", ..OF_16 };
const OF_128: Figure =
    Figure { name: "bare groups of 128: pwrite and fdatasync, zeros written ahead", ..OF_16 };
const OF_512: Figure =
    Figure { name: "bare groups of 512: pwrite and fdatasync, zeros written ahead", ..OF_16 };

/// A file that is written group by group.
pub(crate) struct Groups {
    file: File,
    /// What is written next.
    pub(crate) group: Vec<u8>,
    next: usize,
    /// How far space was written already since the file began anew.
    written: usize,
}

impl Groups {
    /// A new file, and a group of so many records.
    pub(crate) fn new(path: &Path, records: usize) -> Result<Self> {
        let file = File::options().write(true).create(true).truncate(true).open(path)?;
        fallocate(&file, FallocateFlags::empty(), 0, FILE_BYTES as u64)?;
        file.sync_all()?;
        Ok(Self { file, group: vec![7; records * RECORD_BYTES], next: 0, written: 0 })
    }

    /// Writes and syncs a group, and returns the number of its records.
    pub(crate) fn step(&mut self, zeros: &[u8]) -> Result<u64> {
        let mut end = self.next + self.group.len();
        if end > FILE_BYTES {
            self.file.set_len(0)?;
            fallocate(&self.file, FallocateFlags::empty(), 0, FILE_BYTES as u64)?;
            (self.next, self.written, end) = (0, 0, self.group.len());
        }
        while self.written < end {
            self.file.write_all_at(zeros, self.written as u64)?;
            self.written += zeros.len();
        }
        self.file.write_all_at(&self.group, self.next as u64)?;
        self.file.sync_data()?;
        self.next = end;
        Ok((self.group.len() / RECORD_BYTES) as u64)
    }
}

struct Bare {
    path: PathBuf,
    amounts: Amounts,
}

/// Files are made in each round.
pub(crate) fn prepare(path: &Path, amounts: Amounts) -> Result<Box<dyn Case>> {
    Ok(Box::new(Bare { path: path.to_path_buf(), amounts }))
}

impl Case for Bare {
    fn round(&mut self, report: &mut Report) -> Result<()> {
        let zeros = vec![0; ZEROS];
        for (figure, records) in [(OF_16, 16), (OF_64, 64), (OF_128, 128), (OF_512, 512)] {
            let mut groups = Groups::new(&self.path.join("groups"), records)?;
            let mut single = Groups::new(&self.path.join("single"), 1)?;
            let (value, floor) =
                rates(self.amounts.turn, &mut || groups.step(&zeros), &mut || single.step(&zeros))?;
            report.add(figure, value, floor);
        }
        Ok(())
    }
}
