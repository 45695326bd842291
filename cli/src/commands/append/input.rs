//! Input lines, read ahead by a thread of its own, so that Ctrl-C is noticed while a terminal or a
//! pipe has nothing to give.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;

use crate::failure::{Failure, Outcome};

/// Bytes asked for by one read.
const READ_BYTES: usize = 64 * 1024;

/// One input line that is to become a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// Its number, from 1, counted over all inputs.
    pub(crate) number: u64,
    /// Its number among the lines that become messages, from 0.
    pub(crate) ordinal: u64,
    /// Where it is in the chunk, without the newline.
    pub(crate) range: Range<usize>,
}

/// Lines that were read together.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    bytes: Vec<u8>,
    lines: Vec<Line>,
}

impl Chunk {
    /// The lines with their bytes.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (&Line, &[u8])> {
        self.lines.iter().map(|line| (line, self.bytes.get(line.range.clone()).unwrap_or_default()))
    }
}

/// What the reading thread tells the others.
#[derive(Debug, Default)]
pub(crate) struct InputProgress {
    /// Bytes read so far.
    pub(crate) bytes: AtomicU64,
    /// Empty lines so far: a message has at least one byte.
    pub(crate) empty_lines: AtomicU64,
}

/// The number of bytes of all inputs, if they are files.
pub(crate) fn total_bytes(files: &[PathBuf]) -> Option<u64> {
    if files.is_empty() {
        return None;
    }
    files.iter().try_fold(0u64, |total, file| {
        let metadata = file.metadata().ok().filter(std::fs::Metadata::is_file)?;
        Some(total + metadata.len())
    })
}

/// Checks that the inputs can be read before anything is appended.
pub(crate) fn check(files: &[PathBuf]) -> Outcome {
    for file in files.iter().filter(|file| !is_stdin(file)) {
        let cannot = |error: &io::Error| cannot_read(file, error);
        let metadata = file.metadata().map_err(|error| cannot(&error))?;
        if metadata.is_dir() {
            return Err(cannot(&io::Error::from(io::ErrorKind::IsADirectory)));
        }
        if metadata.is_file() {
            File::open(file).map_err(|error| cannot(&error))?;
        }
    }
    Ok(())
}

fn is_stdin(file: &Path) -> bool {
    file.as_os_str() == "-"
}

fn cannot_read(file: &Path, error: &io::Error) -> Failure {
    Failure::failed(format!("cannot read {}", file.display()), error)
}

/// Reads lines and hands them on.
pub(crate) struct Reader<'a> {
    /// Where chunks go.
    pub(crate) chunks: SyncSender<Chunk>,
    /// The longest line accepted, in bytes.
    pub(crate) max_line_bytes: usize,
    /// What the others see of it.
    pub(crate) progress: &'a InputProgress,
    number: u64,
    ordinal: u64,
}

impl<'a> Reader<'a> {
    /// A reader that has read nothing.
    pub(crate) fn new(
        chunks: SyncSender<Chunk>,
        max_line_bytes: usize,
        progress: &'a InputProgress,
    ) -> Self {
        Self { chunks, max_line_bytes, progress, number: 0, ordinal: 0 }
    }

    /// Reads all inputs to their ends; standard input without any. Ends early, without an error,
    /// when nobody takes chunks any more.
    pub(crate) fn run(&mut self, files: &[PathBuf]) -> Outcome {
        let stdin = [PathBuf::from("-")];
        let files = if files.is_empty() { &stdin } else { files };
        for file in files {
            let goes_on = if is_stdin(file) {
                self.read_source(&mut io::stdin().lock(), file)?
            } else {
                let mut source = File::open(file).map_err(|error| cannot_read(file, &error))?;
                self.read_source(&mut source, file)?
            };
            if !goes_on {
                break;
            }
        }
        Ok(())
    }

    /// False when nobody takes chunks any more.
    fn read_source(&mut self, source: &mut dyn Read, name: &Path) -> Result<bool, Failure> {
        let mut bytes = Vec::new();
        loop {
            let kept = bytes.len();
            bytes.resize(kept + READ_BYTES, 0);
            let count = match source.read(bytes.get_mut(kept..).unwrap_or_default()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
                Err(error) => return Err(cannot_read(name, &error)),
                Ok(0) => {
                    bytes.truncate(kept);
                    return self.send(bytes, kept);
                }
                Ok(count) => count,
            };
            bytes.truncate(kept + count);
            self.progress.bytes.fetch_add(count as u64, Ordering::Relaxed);
            let fresh = bytes.get(kept..).unwrap_or_default();
            let Some(newline) = fresh.iter().rposition(|&byte| byte == b'\n') else {
                self.check_length(bytes.len())?;
                continue;
            };
            let complete = kept + newline + 1;
            let rest = bytes.get(complete..).unwrap_or_default().to_vec();
            bytes.truncate(complete);
            if !self.send(bytes, complete)? {
                return Ok(false);
            }
            bytes = rest;
        }
    }

    fn check_length(&self, length: usize) -> Outcome {
        if length > self.max_line_bytes {
            return Err(Failure::failed(
                format!("line {} is too long", self.number + 1),
                format!("expected at most {} bytes", self.max_line_bytes),
            ));
        }
        Ok(())
    }

    /// Splits complete lines and hands them on; false when nobody takes them.
    fn send(&mut self, bytes: Vec<u8>, end: usize) -> Result<bool, Failure> {
        let mut lines = Vec::new();
        let mut start = 0;
        while start < end {
            let rest = bytes.get(start..end).unwrap_or_default();
            let length = rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len());
            self.check_length(length)?;
            self.number += 1;
            if length == 0 {
                self.progress.empty_lines.fetch_add(1, Ordering::Relaxed);
            } else {
                lines.push(Line {
                    number: self.number,
                    ordinal: self.ordinal,
                    range: start..start + length,
                });
                self.ordinal += 1;
            }
            start += length + 1;
        }
        if lines.is_empty() {
            return Ok(true);
        }
        Ok(self.chunks.send(Chunk { bytes, lines }).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::sync_channel;

    /// Gives its parts one read at a time.
    struct Parts(Vec<&'static [u8]>);

    impl Read for Parts {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.0.is_empty() {
                return Ok(0);
            }
            let part = self.0.remove(0);
            buffer[..part.len()].copy_from_slice(part);
            Ok(part.len())
        }
    }

    fn lines_of(parts: Vec<&'static [u8]>) -> (Vec<(u64, u64, Vec<u8>)>, u64) {
        let (sender, receiver) = sync_channel(100);
        let progress = InputProgress::default();
        let mut reader = Reader::new(sender, 20, &progress);
        assert!(reader.read_source(&mut Parts(parts), Path::new("x")).unwrap());
        drop(reader);
        let lines = receiver
            .iter()
            .flat_map(|chunk| {
                chunk
                    .lines()
                    .map(|(line, bytes)| (line.number, line.ordinal, bytes.to_vec()))
                    .collect::<Vec<_>>()
            })
            .collect();
        (lines, progress.empty_lines.into_inner())
    }

    #[test]
    fn lines_survive_any_cut_between_reads() {
        let (lines, empty) = lines_of(vec![b"one\ntw", b"o\n\n", b"\nthr", b"ee\r\nend"]);
        let expected: Vec<(u64, u64, Vec<u8>)> = vec![
            (1, 0, b"one".to_vec()),
            (2, 1, b"two".to_vec()),
            (5, 2, b"three\r".to_vec()),
            (6, 3, b"end".to_vec()),
        ];
        assert_eq!(lines, expected);
        assert_eq!(empty, 2);
    }

    #[test]
    fn a_line_that_never_ends_is_refused() {
        let (sender, _receiver) = sync_channel(100);
        let progress = InputProgress::default();
        let mut reader = Reader::new(sender, 20, &progress);
        let parts = Parts(vec![b"ok\n", b"0123456789", b"0123456789", b"0"]);
        let failure = reader.read_source(&mut { parts }, Path::new("x"));
        assert!(matches!(failure, Err(Failure::Failed(text)) if text.contains("line 2")));
    }
}
