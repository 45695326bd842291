//! One state file: loading it or its `.bak`, and replacing it so that no crash loses both.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value};

use super::json;
use crate::error::{Error, Result};
use crate::mapped::sync_parent;
use crate::status::Status;
use crate::sys::disk::{Disk, DiskFile};

/// The largest file that is read or written.
pub(super) const MAX_STATE_FILE_BYTES: usize = 64 << 20;

/// Where a state file is and what is known of it.
#[derive(Debug)]
pub(super) struct StateFile {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    /// The file is readable, hence worth more than the `.bak` that there may be.
    good: bool,
    /// The directory is known to be there, durably.
    directory_made: bool,
}

/// What came of reading one file.
enum Found<T> {
    Nothing,
    Content(T),
    Damaged(Error),
}

impl StateFile {
    /// Loads the file, or its `.bak` if the file is missing, blank or damaged; `None` if there is
    /// nothing in either.
    ///
    /// # Errors
    ///
    /// - [`Status::Corruption`]: what there is cannot be understood.
    /// - [`Status::Io`], [`Status::PermissionDenied`]: a file cannot be read; an older state is not
    ///   taken for it.
    pub(super) fn load<T>(
        disk: Arc<dyn Disk>,
        path: PathBuf,
        decode: impl Fn(Map<String, Value>) -> std::result::Result<T, String>,
    ) -> Result<(Self, Option<T>)> {
        let mut file = Self { disk, path, good: false, directory_made: false };
        let damage = match find(&*file.disk, &file.path, &decode)? {
            Found::Content(content) => {
                file.good = true;
                return Ok((file, Some(content)));
            }
            Found::Nothing => None,
            Found::Damaged(error) => Some(error),
        };
        let backup = file.beside(".bak");
        match (find(&*file.disk, &backup, &decode)?, damage) {
            (Found::Content(content), damage) => {
                tracing::warn!(
                    path = %backup.display(), damage = damage.map(tracing::field::display),
                    "an older state is used: the file itself is missing, empty or damaged"
                );
                Ok((file, Some(content)))
            }
            (Found::Nothing, None) => Ok((file, None)),
            (_, Some(error)) | (Found::Damaged(error), None) => Err(error),
        }
    }

    /// Replaces the content of the file, durably. The former one is kept as `.bak`.
    ///
    /// # Errors
    ///
    /// - [`Status::InvalidArgument`]: the content is larger than could be read again.
    /// - [`Status::Io`], [`Status::DiskFull`], [`Status::PermissionDenied`]: a system call failed;
    ///   the file, or its `.bak`, holds the former or the new content.
    pub(super) fn write(&mut self, fields: Map<String, Value>) -> Result<()> {
        let bytes = json::encode(fields)
            .map_err(|error| Error::new(Status::Internal, error).at_path(&self.path))?;
        let values = std::str::from_utf8(&bytes).map_or(usize::MAX, json::count_values);
        if bytes.len() > MAX_STATE_FILE_BYTES || values > json::MAX_VALUES {
            let what = "the state is too large for its file";
            return Err(Error::new(Status::InvalidArgument, what).at_path(&self.path).expected(
                format!("at most {MAX_STATE_FILE_BYTES} bytes and {} values", json::MAX_VALUES),
                format!("{} bytes and {values} values", bytes.len()),
            ));
        }
        let temporary = self.beside(".tmp");
        self.replace(&temporary, &bytes).map_err(|source| {
            // Of no use to anyone, and the disk may be full. The error that matters is the first.
            let _ = self.disk.remove(&temporary);
            Error::io("cannot write", source).at_path(&self.path)
        })
    }

    fn replace(&mut self, temporary: &Path, bytes: &[u8]) -> io::Result<()> {
        let file = self.create(temporary)?;
        file.write_all_at(bytes, 0)?;
        file.sync_all()?;
        drop(file);
        if self.good {
            // Until the new file is in its place only the `.bak` is there, which is what loading
            // then takes.
            match self.disk.rename(&self.path, &self.beside(".bak")) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        self.disk.rename(temporary, &self.path)?;
        self.good = true;
        sync_parent(&*self.disk, &self.path)
    }

    /// Makes the temporary file, in place of one that a crash left, and the directory.
    fn create(&mut self, temporary: &Path) -> io::Result<Box<dyn DiskFile>> {
        if !self.directory_made {
            if let Some(directory) = self.path.parent() {
                self.disk.create_directory(directory)?;
                sync_parent(&*self.disk, directory)?;
            }
            self.directory_made = true;
        }
        match self.disk.create(temporary, 0) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                self.disk.remove(temporary)?;
                self.disk.create(temporary, 0)
            }
            other => other,
        }
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        let mut name = OsString::from(&self.path);
        name.push(suffix);
        name.into()
    }
}

fn find<T>(
    disk: &dyn Disk,
    path: &Path,
    decode: impl Fn(Map<String, Value>) -> std::result::Result<T, String>,
) -> Result<Found<T>> {
    let damaged = |what: String| {
        let what = format!("the state cannot be read: {what}");
        Found::Damaged(Error::new(Status::Corruption, what).at_path(path))
    };
    let bytes = match disk.read_whole(path, MAX_STATE_FILE_BYTES) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) => return Err(Error::io("cannot read", error).at_path(path)),
    };
    if bytes.len() > MAX_STATE_FILE_BYTES {
        return Ok(damaged(format!("it has more than {MAX_STATE_FILE_BYTES} bytes")));
    }
    Ok(match json::parse(&bytes) {
        Ok(None) => Found::Nothing,
        Ok(Some(fields)) => decode(fields).map_or_else(damaged, Found::Content),
        Err(error) => damaged(error),
    })
}
