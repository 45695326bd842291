//! The status numbers, as C sees them.
//!
//! The table is `core/src/status.rs`; a test holds the two together. It is written out here since
//! the header is made from it.

use std::ffi::c_char;

use engine::Status;

/// What came of a call: zero for success, else the cause, one number per cause.
///
/// 1-99: the call was wrong. 100-199: the state of the store refuses it. 200-299: the machine
/// refused it. 300-399: the data is damaged. 900: a bug of cairnlog. A number is never changed or
/// used again; be ready for numbers that a later version adds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum cairn_status {
    /// The call did what it says.
    Ok = 0,
    /// An argument is outside its limits, or an option is unknown.
    InvalidArgument = 1,
    /// The topic has no characters.
    TopicEmpty = 2,
    /// The topic exceeds 255 bytes.
    TopicTooLong = 3,
    /// The topic holds something other than ASCII letters, digits, `%`, `-`, `_` and `|`.
    TopicIllegal = 4,
    /// The body has no bytes.
    BodyEmpty = 5,
    /// The body exceeds `max_message_size_bytes`.
    BodyTooLarge = 6,
    /// The encoded properties exceed 32767 bytes.
    PropertiesTooLarge = 7,
    /// A property name or value is empty or holds a separator byte (0x01, 0x02) where it must not.
    PropertiesIllegal = 8,
    /// The record, or the batch, is larger than a commit log file can hold.
    MessageTooLarge = 9,
    /// The queue id is negative.
    QueueIdIllegal = 10,
    /// The batch encoding is malformed, or the batch is of a kind that cannot be stored.
    BatchIllegal = 11,
    /// The physical offset lies outside the readable part of the log.
    OffsetOutOfRange = 12,
    /// No record begins at the physical offset.
    NotARecord = 13,
    /// The directory holds no store.
    StoreNotFound = 14,
    /// The filter expression is malformed, or names something that cannot be filtered by.
    FilterIllegal = 15,
    /// The group name is empty, too long or holds an illegal character.
    GroupIllegal = 16,
    /// No open transaction has this half message.
    NoSuchTransaction = 17,
    /// The store was closed.
    StoreClosed = 100,
    /// Another opener, in this or another process, holds the store.
    StoreLocked = 101,
    /// An earlier write or sync failed: writes are refused until the store is opened again.
    Fenced = 102,
    /// The store does not take writes at present.
    NotWriteable = 103,
    /// An append has held the append lock longer than `page_cache_busy_timeout_ms`; try again.
    PageCacheBusy = 104,
    /// The record is in the log, but its sync did not finish within `sync_flush_timeout_ms`:
    /// its durability is unknown. The error carries where it lies.
    FlushTimeout = 105,
    /// What was waited for did not happen in the given time.
    WaitTimeout = 106,
    /// The call came from a child made by `fork()`; only the process that opened the store may
    /// use it.
    Forked = 107,
    /// Every transient pool buffer is taken, and the store is set to fail fast.
    PoolExhausted = 108,
    /// The store was opened for reading only.
    ReadOnly = 109,
    /// A consume queue or an index file cannot be written, so records are not yet dispatched.
    /// The error carries the cause; the dispatcher goes on by itself once it is gone.
    DispatchBlocked = 110,
    /// The file system is filled beyond `disk_space_warning_ratio`: appends are refused until
    /// there is room.
    DiskUsageHigh = 111,
    /// A system call failed; the error carries the operating system's code.
    Io = 200,
    /// The device or the quota is full. Nothing was stored; appends work again once there is room.
    DiskFull = 201,
    /// The operating system denies access to the file or directory.
    PermissionDenied = 202,
    /// The machine has no memory, or no lockable memory, left.
    OutOfMemory = 203,
    /// The process, or the machine, has no file descriptor left; works again once it has.
    TooManyOpenFiles = 204,
    /// The file system is mounted for reading only.
    ReadOnlyFileSystem = 205,
    /// A file would exceed the size limit of the process (`RLIMIT_FSIZE`) or of the file system.
    FileTooLarge = 206,
    /// A file or directory of the store is gone: somebody removed it.
    PathNotFound = 207,
    /// A record is damaged and good records lie behind it.
    Corruption = 300,
    /// A file or directory in the store does not belong there.
    ForeignFile = 301,
    /// A file has a length the store cannot have.
    WrongFileSize = 302,
    /// A file in the middle of the log is missing.
    MissingFile = 303,
    /// A bug of cairnlog; please report it.
    Internal = 900,
}

impl From<Status> for cairn_status {
    fn from(status: Status) -> Self {
        match status {
            Status::Ok => Self::Ok,
            Status::InvalidArgument => Self::InvalidArgument,
            Status::TopicEmpty => Self::TopicEmpty,
            Status::TopicTooLong => Self::TopicTooLong,
            Status::TopicIllegal => Self::TopicIllegal,
            Status::BodyEmpty => Self::BodyEmpty,
            Status::BodyTooLarge => Self::BodyTooLarge,
            Status::PropertiesTooLarge => Self::PropertiesTooLarge,
            Status::PropertiesIllegal => Self::PropertiesIllegal,
            Status::MessageTooLarge => Self::MessageTooLarge,
            Status::QueueIdIllegal => Self::QueueIdIllegal,
            Status::BatchIllegal => Self::BatchIllegal,
            Status::OffsetOutOfRange => Self::OffsetOutOfRange,
            Status::NotARecord => Self::NotARecord,
            Status::StoreNotFound => Self::StoreNotFound,
            Status::FilterIllegal => Self::FilterIllegal,
            Status::GroupIllegal => Self::GroupIllegal,
            Status::NoSuchTransaction => Self::NoSuchTransaction,
            Status::StoreClosed => Self::StoreClosed,
            Status::StoreLocked => Self::StoreLocked,
            Status::Fenced => Self::Fenced,
            Status::NotWriteable => Self::NotWriteable,
            Status::PageCacheBusy => Self::PageCacheBusy,
            Status::FlushTimeout => Self::FlushTimeout,
            Status::WaitTimeout => Self::WaitTimeout,
            Status::Forked => Self::Forked,
            Status::PoolExhausted => Self::PoolExhausted,
            Status::ReadOnly => Self::ReadOnly,
            Status::DispatchBlocked => Self::DispatchBlocked,
            Status::DiskUsageHigh => Self::DiskUsageHigh,
            Status::Io => Self::Io,
            Status::DiskFull => Self::DiskFull,
            Status::PermissionDenied => Self::PermissionDenied,
            Status::OutOfMemory => Self::OutOfMemory,
            Status::TooManyOpenFiles => Self::TooManyOpenFiles,
            Status::ReadOnlyFileSystem => Self::ReadOnlyFileSystem,
            Status::FileTooLarge => Self::FileTooLarge,
            Status::PathNotFound => Self::PathNotFound,
            Status::Corruption => Self::Corruption,
            Status::ForeignFile => Self::ForeignFile,
            Status::WrongFileSize => Self::WrongFileSize,
            Status::MissingFile => Self::MissingFile,
            Status::Internal => Self::Internal,
            // A status the engine has and the header lacks would be an oversight; a test says so.
            _ => Self::Internal,
        }
    }
}

/// Returns the name of a status in capitals, as in `"STORE_LOCKED"`; never null. A number that no
/// status has gives `"UNKNOWN"`. The text lives as long as the library is loaded.
#[unsafe(no_mangle)]
pub extern "C" fn cairn_status_name(status: i32) -> *const c_char {
    let name = match Status::from_code(status) {
        Some(Status::Ok) => c"OK",
        Some(Status::InvalidArgument) => c"INVALID_ARGUMENT",
        Some(Status::TopicEmpty) => c"TOPIC_EMPTY",
        Some(Status::TopicTooLong) => c"TOPIC_TOO_LONG",
        Some(Status::TopicIllegal) => c"TOPIC_ILLEGAL",
        Some(Status::BodyEmpty) => c"BODY_EMPTY",
        Some(Status::BodyTooLarge) => c"BODY_TOO_LARGE",
        Some(Status::PropertiesTooLarge) => c"PROPERTIES_TOO_LARGE",
        Some(Status::PropertiesIllegal) => c"PROPERTIES_ILLEGAL",
        Some(Status::MessageTooLarge) => c"MESSAGE_TOO_LARGE",
        Some(Status::QueueIdIllegal) => c"QUEUE_ID_ILLEGAL",
        Some(Status::BatchIllegal) => c"BATCH_ILLEGAL",
        Some(Status::OffsetOutOfRange) => c"OFFSET_OUT_OF_RANGE",
        Some(Status::NotARecord) => c"NOT_A_RECORD",
        Some(Status::StoreNotFound) => c"STORE_NOT_FOUND",
        Some(Status::FilterIllegal) => c"FILTER_ILLEGAL",
        Some(Status::GroupIllegal) => c"GROUP_ILLEGAL",
        Some(Status::NoSuchTransaction) => c"NO_SUCH_TRANSACTION",
        Some(Status::StoreClosed) => c"STORE_CLOSED",
        Some(Status::StoreLocked) => c"STORE_LOCKED",
        Some(Status::Fenced) => c"FENCED",
        Some(Status::NotWriteable) => c"NOT_WRITEABLE",
        Some(Status::PageCacheBusy) => c"PAGE_CACHE_BUSY",
        Some(Status::FlushTimeout) => c"FLUSH_TIMEOUT",
        Some(Status::WaitTimeout) => c"WAIT_TIMEOUT",
        Some(Status::Forked) => c"FORKED",
        Some(Status::PoolExhausted) => c"POOL_EXHAUSTED",
        Some(Status::ReadOnly) => c"READ_ONLY",
        Some(Status::DispatchBlocked) => c"DISPATCH_BLOCKED",
        Some(Status::DiskUsageHigh) => c"DISK_USAGE_HIGH",
        Some(Status::Io) => c"IO",
        Some(Status::DiskFull) => c"DISK_FULL",
        Some(Status::PermissionDenied) => c"PERMISSION_DENIED",
        Some(Status::OutOfMemory) => c"OUT_OF_MEMORY",
        Some(Status::TooManyOpenFiles) => c"TOO_MANY_OPEN_FILES",
        Some(Status::ReadOnlyFileSystem) => c"READ_ONLY_FILE_SYSTEM",
        Some(Status::FileTooLarge) => c"FILE_TOO_LARGE",
        Some(Status::PathNotFound) => c"PATH_NOT_FOUND",
        Some(Status::Corruption) => c"CORRUPTION",
        Some(Status::ForeignFile) => c"FOREIGN_FILE",
        Some(Status::WrongFileSize) => c"WRONG_FILE_SIZE",
        Some(Status::MissingFile) => c"MISSING_FILE",
        Some(Status::Internal) => c"INTERNAL",
        _ => c"UNKNOWN",
    };
    name.as_ptr()
}
