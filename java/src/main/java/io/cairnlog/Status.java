package io.cairnlog;

/**
 * What came of a call; usable from any thread. One number per cause, the same in every language.
 *
 * <p>Groups: 1-99 the call was wrong, 100-199 the store's state refuses it, 200-299 the machine
 * refused it, 300-399 the data is damaged, 900 a bug of cairnlog.
 */
public enum Status {
  /** The call did what it says. */
  OK(0),
  /** An argument is outside its limits, or an option is unknown. */
  INVALID_ARGUMENT(1),
  /** The topic has no characters. */
  TOPIC_EMPTY(2),
  /** The topic exceeds 255 bytes. */
  TOPIC_TOO_LONG(3),
  /** The topic holds something other than ASCII letters, digits and {@code % - _ |}. */
  TOPIC_ILLEGAL(4),
  /** The body has no bytes. */
  BODY_EMPTY(5),
  /** The body exceeds {@code max_message_size_bytes}. */
  BODY_TOO_LARGE(6),
  /** The encoded properties exceed 32767 bytes. */
  PROPERTIES_TOO_LARGE(7),
  /** A property name or value is empty or holds a separator (0x01, 0x02) where it must not. */
  PROPERTIES_ILLEGAL(8),
  /** The record, or the batch, is larger than a commit log file can hold. */
  MESSAGE_TOO_LARGE(9),
  /** The queue id is negative. */
  QUEUE_ID_ILLEGAL(10),
  /** The batch encoding is malformed, or the batch is of a kind that cannot be stored. */
  BATCH_ILLEGAL(11),
  /** The physical offset lies outside the readable part of the log. */
  OFFSET_OUT_OF_RANGE(12),
  /** No record begins at the physical offset. */
  NOT_A_RECORD(13),
  /** The directory holds no store. */
  STORE_NOT_FOUND(14),
  /** The filter expression is malformed, or names something that cannot be filtered by. */
  FILTER_ILLEGAL(15),
  /** The group name is empty, too long or holds an illegal character. */
  GROUP_ILLEGAL(16),
  /** No open transaction has this half message. */
  NO_SUCH_TRANSACTION(17),

  /** The store was closed. */
  STORE_CLOSED(100),
  /** Another opener, in this or another process, holds the store. */
  STORE_LOCKED(101),
  /** An earlier write or sync failed: writes are refused until the store is opened again. */
  FENCED(102),
  /** The store does not take writes at present. */
  NOT_WRITEABLE(103),
  /** An append has held the lock longer than {@code page_cache_busy_timeout_ms}; try again. */
  PAGE_CACHE_BUSY(104),
  /**
   * The record is in the log, but its sync did not finish within {@code sync_flush_timeout_ms}: its
   * durability is unknown. {@link CairnException#appended()} says where it lies.
   */
  FLUSH_TIMEOUT(105),
  /** What was waited for did not happen in the given time. */
  WAIT_TIMEOUT(106),
  /** The call came from a child made by {@code fork()}. */
  FORKED(107),
  /** Every transient pool buffer is taken, and the store is set to fail fast. */
  POOL_EXHAUSTED(108),
  /** The store was opened for reading only. */
  READ_ONLY(109),
  /**
   * A consume queue or an index file cannot be written, so records are not yet dispatched.
   * The error carries the cause; the dispatcher goes on by itself once it is gone.
   */
  DISPATCH_BLOCKED(110),
  /**
   * The file system is filled beyond {@code disk_space_warning_ratio}: appends are refused until
   * there is room.
   */
  DISK_USAGE_HIGH(111),

  /** A system call failed; {@link CairnException#osCode()} is the operating system's number. */
  IO(200),
  /** The device or the quota is full. Nothing was stored; appends work again once there is room. */
  DISK_FULL(201),
  /** The operating system denies access to the file or directory. */
  PERMISSION_DENIED(202),
  /** The machine has no memory, or no lockable memory, left. */
  OUT_OF_MEMORY(203),
  /** The process, or the machine, has no file descriptor left; works again once it has. */
  TOO_MANY_OPEN_FILES(204),
  /** The file system is mounted for reading only. */
  READ_ONLY_FILE_SYSTEM(205),
  /**
   * A file would exceed the size limit of the process ({@code RLIMIT_FSIZE}) or of the file
   * system.
   */
  FILE_TOO_LARGE(206),
  /** A file or directory of the store is gone: somebody removed it. */
  PATH_NOT_FOUND(207),

  /** A record is damaged and good records lie behind it. */
  CORRUPTION(300),
  /** A file or directory in the store does not belong there. */
  FOREIGN_FILE(301),
  /** A file has a length the store cannot have. */
  WRONG_FILE_SIZE(302),
  /** A file in the middle of the log is missing. */
  MISSING_FILE(303),

  /** A bug of cairnlog; please report it. */
  INTERNAL(900);

  private final int code;

  Status(int code) {
    this.code = code;
  }

  /**
   * Returns the number; callable from any thread.
   *
   * @return the number, the same in every language and release
   */
  public int code() {
    return code;
  }

  /**
   * Returns the status of a number; callable from any thread.
   *
   * @param code the number
   * @return its status, {@link #INTERNAL} if this version does not know the number
   */
  public static Status fromCode(int code) {
    for (Status status : values()) {
      if (status.code == code) {
        return status;
      }
    }
    return INTERNAL;
  }
}
