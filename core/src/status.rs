//! The one table of status numbers, shared by every language.
//!
//! Groups: 1-99 the call was wrong, 100-199 the store's state refuses it, 200-299 the machine
//! refused it, 300-399 the data is damaged, 900 a bug of cairnlog. A number is never changed or
//! used again.

/// Declares [`Status`] with its number, its name in other languages and its meaning.
macro_rules! statuses {
    ($($(#[doc = $doc:literal])+ $variant:ident = $number:literal, $name:literal;)+) => {
        /// What came of a call: zero for success, else the cause, one number per cause.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        #[repr(i32)]
        pub enum Status {
            $($(#[doc = $doc])+ $variant = $number,)+
        }

        impl Status {
            /// Every status, in ascending order of its number.
            pub const ALL: &'static [Status] = &[$(Status::$variant,)+];

            /// The number, the same in every language and release.
            #[must_use]
            pub const fn code(self) -> i32 {
                self as i32
            }

            /// The name in capitals, as C, Python and Java spell it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Status::$variant => $name,)+
                }
            }

            /// The status with this number, if there is one.
            #[must_use]
            pub const fn from_code(code: i32) -> Option<Status> {
                match code {
                    $($number => Some(Status::$variant),)+
                    _ => None,
                }
            }
        }
    };
}

statuses! {
    /// The call did what it says.
    Ok = 0, "OK";

    /// An argument is outside its limits, or an option is unknown.
    InvalidArgument = 1, "INVALID_ARGUMENT";
    /// The topic has no characters.
    TopicEmpty = 2, "TOPIC_EMPTY";
    /// The topic exceeds 255 bytes.
    TopicTooLong = 3, "TOPIC_TOO_LONG";
    /// The topic holds something other than ASCII letters, digits, `%`, `-`, `_` and `|`.
    TopicIllegal = 4, "TOPIC_ILLEGAL";
    /// The body has no bytes.
    BodyEmpty = 5, "BODY_EMPTY";
    /// The body exceeds `max_message_size_bytes`.
    BodyTooLarge = 6, "BODY_TOO_LARGE";
    /// The encoded properties exceed 32767 bytes.
    PropertiesTooLarge = 7, "PROPERTIES_TOO_LARGE";
    /// A property name or value is empty or holds a separator byte (0x01, 0x02) where it must not.
    PropertiesIllegal = 8, "PROPERTIES_ILLEGAL";
    /// The record, or the batch, is larger than a commit log file can hold.
    MessageTooLarge = 9, "MESSAGE_TOO_LARGE";
    /// The queue id is negative.
    QueueIdIllegal = 10, "QUEUE_ID_ILLEGAL";
    /// The batch encoding is malformed, or the batch is of a kind that cannot be stored.
    BatchIllegal = 11, "BATCH_ILLEGAL";
    /// The physical offset lies outside the readable part of the log.
    OffsetOutOfRange = 12, "OFFSET_OUT_OF_RANGE";
    /// No record begins at the physical offset.
    NotARecord = 13, "NOT_A_RECORD";
    /// The directory holds no store.
    StoreNotFound = 14, "STORE_NOT_FOUND";
    /// The filter expression is malformed, or names something that cannot be filtered by.
    FilterIllegal = 15, "FILTER_ILLEGAL";
    /// The group name is empty, too long or holds an illegal character.
    GroupIllegal = 16, "GROUP_ILLEGAL";
    /// No open transaction has this half message.
    NoSuchTransaction = 17, "NO_SUCH_TRANSACTION";

    /// The store was closed.
    StoreClosed = 100, "STORE_CLOSED";
    /// Another opener, in this or another process, holds the store.
    StoreLocked = 101, "STORE_LOCKED";
    /// An earlier write or sync failed: writes are refused until the store is opened again.
    Fenced = 102, "FENCED";
    /// The store does not take writes at present.
    NotWriteable = 103, "NOT_WRITEABLE";
    /// An append has held the append lock longer than `page_cache_busy_timeout_ms`; try again.
    PageCacheBusy = 104, "PAGE_CACHE_BUSY";
    /// The record is in the log, but its sync did not finish within `sync_flush_timeout_ms`:
    /// its durability is unknown. The error carries where it lies.
    FlushTimeout = 105, "FLUSH_TIMEOUT";
    /// What was waited for did not happen in the given time.
    WaitTimeout = 106, "WAIT_TIMEOUT";
    /// The call came from a child made by `fork()`; only the process that opened the store may
    /// use it.
    Forked = 107, "FORKED";
    /// Every transient pool buffer is taken, and the store is set to fail fast.
    PoolExhausted = 108, "POOL_EXHAUSTED";
    /// The store was opened for reading only.
    ReadOnly = 109, "READ_ONLY";
    /// A consume queue or an index file cannot be written, so records are not yet dispatched.
    /// The error carries the cause; the dispatcher goes on by itself once it is gone.
    DispatchBlocked = 110, "DISPATCH_BLOCKED";
    /// The file system is filled beyond `disk_space_warning_ratio`: appends are refused until
    /// there is room.
    DiskUsageHigh = 111, "DISK_USAGE_HIGH";

    /// A system call failed; the error carries the operating system's code.
    Io = 200, "IO";
    /// The device or the quota is full. Nothing was stored; appends work again once there is room.
    DiskFull = 201, "DISK_FULL";
    /// The operating system denies access to the file or directory.
    PermissionDenied = 202, "PERMISSION_DENIED";
    /// The machine has no memory, or no lockable memory, left.
    OutOfMemory = 203, "OUT_OF_MEMORY";
    /// The process, or the machine, has no file descriptor left; works again once it has.
    TooManyOpenFiles = 204, "TOO_MANY_OPEN_FILES";
    /// The file system is mounted for reading only.
    ReadOnlyFileSystem = 205, "READ_ONLY_FILE_SYSTEM";
    /// A file would exceed the size limit of the process (`RLIMIT_FSIZE`) or of the file system.
    FileTooLarge = 206, "FILE_TOO_LARGE";
    /// A file or directory of the store is gone: somebody removed it.
    PathNotFound = 207, "PATH_NOT_FOUND";

    /// A record is damaged and good records lie behind it.
    Corruption = 300, "CORRUPTION";
    /// A file or directory in the store does not belong there.
    ForeignFile = 301, "FOREIGN_FILE";
    /// A file has a length the store cannot have.
    WrongFileSize = 302, "WRONG_FILE_SIZE";
    /// A file in the middle of the log is missing.
    MissingFile = 303, "MISSING_FILE";

    /// A bug of cairnlog; please report it.
    Internal = 900, "INTERNAL";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_ascend_and_map_back() {
        assert!(Status::ALL.windows(2).all(|pair| pair[0].code() < pair[1].code()));
        for &status in Status::ALL {
            assert_eq!(Status::from_code(status.code()), Some(status));
        }
        assert_eq!(Status::from_code(899), None);
    }
}
