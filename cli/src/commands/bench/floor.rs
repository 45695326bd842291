//! The raw limit: what the machine does without a store around it.

use std::fs::{File, OpenOptions};
use std::hint::black_box;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Instant;

use memmap2::MmapMut;

use super::load::body;
use super::{Rate, Turn};
use crate::arguments::{Bench, Flush};
use crate::failure::Failure;

/// Bytes of the mapped file, over all threads. More than the processor's caches hold.
const MAPPED_BYTES: usize = 256 << 20;
/// Bytes of the file that is written and synced; it begins again at its end.
const SYNCED_BYTES: u64 = 64 << 20;
/// After how many copies the clock is read.
const COPIES_PER_LOOK: u64 = 64;

/// The limit for one mode.
pub(crate) enum Floor {
    /// Copies records and their CRC into a mapped file whose pages were all touched.
    Mapped(MappedFloor),
    /// Writes records one by one, each followed by a sync.
    Synced(SyncedFloor),
}

impl Floor {
    /// Prepares the file.
    pub(crate) fn new(command: &Bench, record_bytes: usize, path: &Path) -> Result<Self, Failure> {
        let record = body(record_bytes);
        let made = match command.mode {
            Flush::Async => MappedFloor::new(path, record, command).map(Self::Mapped),
            Flush::Sync => SyncedFloor::new(path, record).map(Self::Synced),
        };
        made.map_err(|error| cannot(path, &error))
    }

    /// Works until the turn is over.
    pub(crate) fn turn(&mut self, turn: Turn) -> Result<Rate, Failure> {
        match self {
            Self::Mapped(floor) => Ok(floor.turn(turn)),
            Self::Synced(floor) => floor.turn(turn).map_err(|error| cannot(&floor.path, &error)),
        }
    }
}

fn cannot(path: &Path, error: &io::Error) -> Failure {
    Failure::failed(format!("cannot measure with {}", path.display()), error)
}

fn new_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create_new(true).open(path)
}

/// Reserves the file's space where the system can, as the store does with its own.
fn reserve(file: &File, bytes: u64) -> io::Result<()> {
    file.set_len(bytes)?;
    #[cfg(target_os = "linux")]
    rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, bytes)?;
    Ok(())
}

/// See [`Floor::Mapped`].
pub(crate) struct MappedFloor {
    mapping: MmapMut,
    lanes: Vec<LanePosition>,
    lane_bytes: usize,
    record: Vec<u8>,
    body_bytes: usize,
}

#[derive(Debug, Clone, Copy, Default)]
struct LanePosition {
    next: usize,
}

impl MappedFloor {
    fn new(path: &Path, record: Vec<u8>, command: &Bench) -> io::Result<Self> {
        let threads = command.threads as usize;
        let lane_bytes = (MAPPED_BYTES / threads).max(record.len());
        let bytes = lane_bytes * threads;
        let file = new_file(path)?;
        reserve(&file, bytes as u64)?;
        let mut mapping = map(&file)?;
        mapping.fill(1);
        Ok(Self {
            mapping,
            lanes: vec![LanePosition::default(); threads],
            lane_bytes,
            body_bytes: command.size.min(record.len()),
            record,
        })
    }

    fn turn(&mut self, turn: Turn) -> Rate {
        let started = Instant::now();
        let lanes = self.mapping.chunks_exact_mut(self.lane_bytes).zip(&mut self.lanes);
        let (record, body_bytes) = (self.record.as_slice(), self.body_bytes);
        let messages = thread::scope(|scope| {
            let mut lanes: Vec<_> = lanes.collect();
            let own = lanes.pop();
            let threads: Vec<_> = lanes
                .into_iter()
                .map(|(memory, at)| scope.spawn(move || copy(memory, at, record, body_bytes, turn)))
                .collect();
            let own = own.map_or(0, |(memory, at)| copy(memory, at, record, body_bytes, turn));
            threads.into_iter().map(|thread| thread.join().unwrap_or_default()).sum::<u64>() + own
        });
        Rate { messages, elapsed: started.elapsed() }
    }
}

/// The CRC of a body, and a copy of its record, over and over.
fn copy(
    memory: &mut [u8],
    position: &mut LanePosition,
    record: &[u8],
    body_bytes: usize,
    turn: Turn,
) -> u64 {
    let body = record.get(..body_bytes).unwrap_or(record);
    let mut messages = 0;
    while messages < turn.messages {
        let crc = crc32fast::hash(black_box(body));
        if position.next + record.len() > memory.len() {
            position.next = 0;
        }
        let end = position.next + record.len();
        if let Some(place) = memory.get_mut(position.next..end) {
            place.copy_from_slice(record);
            if let Some(field) = place.get_mut(..4) {
                field.copy_from_slice(&crc.to_be_bytes());
            }
        }
        position.next = end;
        messages += 1;
        if messages % COPIES_PER_LOOK == 0 && Instant::now() >= turn.until {
            break;
        }
    }
    black_box(&memory);
    messages
}

#[allow(unsafe_code, reason = "a mapping is what the floor measures")]
fn map(file: &File) -> io::Result<MmapMut> {
    // SAFETY: the file was made by this process under a name of its own a moment ago; nobody else
    // changes or shortens it while it is mapped.
    unsafe { MmapMut::map_mut(file) }
}

/// See [`Floor::Synced`].
pub(crate) struct SyncedFloor {
    path: PathBuf,
    file: File,
    record: Vec<u8>,
    next: u64,
}

impl SyncedFloor {
    fn new(path: &Path, record: Vec<u8>) -> io::Result<Self> {
        let file = new_file(path)?;
        reserve(&file, SYNCED_BYTES.max(record.len() as u64))?;
        file.sync_all()?;
        Ok(Self { path: path.to_path_buf(), file, record, next: 0 })
    }

    fn turn(&mut self, turn: Turn) -> io::Result<Rate> {
        let started = Instant::now();
        let mut messages = 0;
        while messages < turn.messages {
            if self.next + self.record.len() as u64 > SYNCED_BYTES {
                self.next = 0;
            }
            self.write_and_sync()?;
            self.next += self.record.len() as u64;
            messages += 1;
            if Instant::now() >= turn.until {
                break;
            }
        }
        Ok(Rate { messages, elapsed: started.elapsed() })
    }

    #[cfg(unix)]
    fn write_and_sync(&mut self) -> io::Result<()> {
        let written = rustix::io::pwrite(&self.file, &self.record, self.next)?;
        let rest = self.record.get(written..).unwrap_or_default();
        if !rest.is_empty() {
            self.file.seek(SeekFrom::Start(self.next + written as u64))?;
            self.file.write_all(rest)?;
        }
        self.file.sync_data()
    }

    #[cfg(not(unix))]
    fn write_and_sync(&mut self) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(self.next))?;
        self.file.write_all(&self.record)?;
        self.file.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn turn() -> Turn {
        Turn { until: Instant::now() + Duration::from_secs(60), messages: 1000 }
    }

    #[test]
    fn a_turn_copies_every_record_and_begins_again_at_the_end() {
        let record = body(100);
        let mut memory = vec![0; 250];
        let mut position = LanePosition::default();
        assert_eq!(copy(&mut memory, &mut position, &record, 90, turn()), 1000);
        assert_eq!(memory[..4], crc32fast::hash(&record[..90]).to_be_bytes());
        assert_eq!(memory[104..200], record[4..]);
        assert_eq!(memory[200..], [0; 50]);
    }

    #[test]
    fn a_turn_writes_each_record() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("floor");
        let record = body(700);
        let mut floor = SyncedFloor::new(&path, record.clone()).unwrap();
        let rate = floor.turn(Turn { messages: 3, ..turn() }).unwrap();
        assert_eq!(rate.messages, 3);
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(bytes[..700], record);
        assert_eq!(bytes[1400..2100], record);
        assert_eq!(bytes[2100], 0);
    }
}
