//! The one error type: a status, what was being done, where, and why.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::message::AppendResult;
use crate::status::Status;
use crate::sys;
use crate::sys::disk::ForeignEntry;

/// A result whose error is cairnlog's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// Why a call failed.
///
/// The text is one sentence that names the file, the offset, what was expected and what was found,
/// as far as they apply. Errors are cheap to clone, so that one failed sync can be told to every
/// waiter.
#[derive(Clone, thiserror::Error)]
#[error("{0}")]
pub struct Error(Arc<Detail>);

#[derive(Clone)]
struct Detail {
    status: Status,
    what: Cow<'static, str>,
    path: Option<PathBuf>,
    offset: Option<u64>,
    expected: Option<String>,
    found: Option<String>,
    appended: Option<AppendResult>,
    os: Option<Arc<io::Error>>,
}

impl Error {
    /// An error with a status and a sentence saying what went wrong.
    #[must_use]
    pub fn new(status: Status, what: impl Into<Cow<'static, str>>) -> Self {
        Self(Arc::new(Detail {
            status,
            what: what.into(),
            path: None,
            offset: None,
            expected: None,
            found: None,
            appended: None,
            os: None,
        }))
    }

    /// An error of the operating system while doing `what`; the status follows from its kind.
    #[must_use]
    pub fn io(what: impl Into<Cow<'static, str>>, source: io::Error) -> Self {
        let foreign = source.get_ref().is_some_and(|source| source.is::<ForeignEntry>());
        let status = match source.kind() {
            _ if foreign => Status::ForeignFile,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Status::DiskFull,
            io::ErrorKind::PermissionDenied => Status::PermissionDenied,
            io::ErrorKind::ReadOnlyFilesystem => Status::ReadOnlyFileSystem,
            io::ErrorKind::OutOfMemory => Status::OutOfMemory,
            io::ErrorKind::FileTooLarge => Status::FileTooLarge,
            io::ErrorKind::NotFound => Status::PathNotFound,
            _ if sys::is_descriptor_limit(&source) => Status::TooManyOpenFiles,
            _ => Status::Io,
        };
        Self::new(status, what).with(|detail| detail.os = Some(Arc::new(source)))
    }

    fn with(mut self, change: impl FnOnce(&mut Detail)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }

    /// Names the file or directory.
    #[must_use]
    pub fn at_path(self, path: impl AsRef<Path>) -> Self {
        let path = path.as_ref().to_path_buf();
        self.with(|detail| detail.path = Some(path))
    }

    /// Names the offset: a physical offset for the log, else a position in the file.
    #[must_use]
    pub fn at_offset(self, offset: u64) -> Self {
        self.with(|detail| detail.offset = Some(offset))
    }

    /// Says what was expected and what was there.
    #[must_use]
    pub fn expected(self, expected: impl fmt::Display, found: impl fmt::Display) -> Self {
        let (expected, found) = (expected.to_string(), found.to_string());
        self.with(|detail| {
            detail.expected = Some(expected);
            detail.found = Some(found);
        })
    }

    /// Carries where the record lies that was appended, although the call failed.
    #[must_use]
    pub fn with_appended(self, appended: AppendResult) -> Self {
        self.with(|detail| detail.appended = Some(appended))
    }

    /// Gives the error another status, keeping its text and source.
    #[must_use]
    pub fn with_status(self, status: Status) -> Self {
        self.with(|detail| detail.status = status)
    }

    /// The cause.
    #[must_use]
    pub fn status(&self) -> Status {
        self.0.status
    }

    /// The operating system's error number, if a system call failed.
    #[must_use]
    pub fn os_code(&self) -> Option<i32> {
        self.0.os.as_ref().and_then(|source| source.raw_os_error())
    }

    /// Whether a file was not there.
    pub(crate) fn is_not_found(&self) -> bool {
        self.0.os.as_ref().is_some_and(|source| source.kind() == io::ErrorKind::NotFound)
    }

    /// Whether a file was there that should not be.
    pub(crate) fn is_already_there(&self) -> bool {
        self.0.os.as_ref().is_some_and(|source| source.kind() == io::ErrorKind::AlreadyExists)
    }

    /// The file or directory concerned, if there is one.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.0.path.as_deref()
    }

    /// The offset concerned, if there is one.
    #[must_use]
    pub fn offset(&self) -> Option<u64> {
        self.0.offset
    }

    /// Where the record lies when it is in the log although the call failed, as after
    /// [`Status::FlushTimeout`].
    #[must_use]
    pub fn appended(&self) -> Option<AppendResult> {
        self.0.appended
    }
}

impl fmt::Display for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(path) = &self.path {
            write!(f, "{}: ", path.display())?;
        }
        f.write_str(&self.what)?;
        if let Some(offset) = self.offset {
            write!(f, " at {offset}")?;
        }
        if let (Some(expected), Some(found)) = (&self.expected, &self.found) {
            write!(f, ": expected {expected}, found {found}")?;
        }
        if let Some(source) = &self.os {
            write!(f, ": {source}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({}: {})", self.status().name(), self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_names_file_offset_expected_and_found() {
        let error = Error::new(Status::Corruption, "bad magic")
            .at_path("commitlog/00000000001073741824")
            .at_offset(1_073_745_920)
            .expected("daa320a7", "00000000");
        assert_eq!(
            error.to_string(),
            "commitlog/00000000001073741824: bad magic at 1073745920: \
             expected daa320a7, found 00000000"
        );
    }

    #[test]
    fn what_an_operator_can_mend_has_its_own_status() {
        for (number, status) in [
            (libc::ENOSPC, Status::DiskFull),
            (libc::EDQUOT, Status::DiskFull),
            (libc::EROFS, Status::ReadOnlyFileSystem),
            (libc::EACCES, Status::PermissionDenied),
            (libc::ENOMEM, Status::OutOfMemory),
            (libc::EFBIG, Status::FileTooLarge),
            (libc::ENOENT, Status::PathNotFound),
            (libc::EMFILE, Status::TooManyOpenFiles),
            (libc::ENFILE, Status::TooManyOpenFiles),
            (libc::EIO, Status::Io),
        ] {
            let error = Error::io("cannot write", io::Error::from_raw_os_error(number));
            assert_eq!((error.status(), error.os_code()), (status, Some(number)));
        }
    }
}
