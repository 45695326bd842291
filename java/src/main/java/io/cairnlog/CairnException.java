package io.cairnlog;

import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;

/**
 * Why a call failed; thrown on the calling thread, or the cause of a failed future.
 *
 * <p>The message is a sentence that names the file, the offset, what was expected and what was
 * found, as far as they apply. Subclasses exist for the causes a program treats differently; a
 * status that has none is a plain {@code CairnException}.
 */
public class CairnException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  private final Status status;
  private final int statusCode;
  private final int osCode;
  private final String path;
  private final long offset;
  private final transient List<AppendResult> appended;

  CairnException(Failure failure) {
    super(failure.message);
    this.status = Status.fromCode(failure.statusCode);
    this.statusCode = failure.statusCode;
    this.osCode = failure.osCode;
    this.path = failure.path;
    this.offset = failure.offset;
    this.appended = failure.appended;
  }

  /**
   * Returns the cause; callable from any thread.
   *
   * @return the cause, {@link Status#INTERNAL} if the engine has one this version does not know
   */
  public final Status status() {
    return status;
  }

  /**
   * Returns the number of the cause as the engine gave it; callable from any thread.
   *
   * @return the number
   */
  public final int statusCode() {
    return statusCode;
  }

  /**
   * Returns the operating system's error number; callable from any thread.
   *
   * @return the number, 0 if no system call failed
   */
  public final int osCode() {
    return osCode;
  }

  /**
   * Returns the file or directory concerned; callable from any thread.
   *
   * @return the path, empty if there is none
   */
  public final Optional<Path> path() {
    return Optional.ofNullable(path).map(Path::of);
  }

  /**
   * Returns the offset concerned; callable from any thread.
   *
   * @return a physical offset for the log, else a position in the file; empty if there is none
   */
  public final OptionalLong offset() {
    return offset < 0 ? OptionalLong.empty() : OptionalLong.of(offset);
  }

  /**
   * Returns where the messages lie that are in the log although the call failed; callable from any
   * thread.
   *
   * <p>After {@link Status#FLUSH_TIMEOUT} this is the message, whose durability is unknown; after a
   * failed {@link CairnStore#appendAll(List)} it is every message before the refused one.
   *
   * @return one result per message, empty if nothing was appended
   */
  public final List<AppendResult> appended() {
    return appended == null ? List.of() : appended;
  }

  /** Called by the natives: makes, but does not throw, the exception of an error. */
  static Throwable fromNative(
      int statusCode, int osCode, String message, String path, long offset, byte[] appended) {
    ByteBuffer results = Wire.reader(appended);
    return new Failure(
            statusCode, osCode, message, path, offset, AppendResult.readRemaining(results))
        .toException();
  }

  /** Reads what boundary.rs wrote behind the status, and behind it what was appended. */
  static CairnException read(int statusCode, ByteBuffer from, boolean withAppended) {
    int osCode = from.getInt();
    String message = Wire.readText(from);
    String path = Wire.readOptionalText(from);
    long offset = from.getLong();
    List<AppendResult> appended =
        withAppended && Wire.readFlag(from) ? List.of(AppendResult.read(from)) : List.of();
    return new Failure(statusCode, osCode, message, path, offset, appended).toException();
  }

  /** What the engine says of a failure. */
  static final class Failure {
    private final int statusCode;
    private final int osCode;
    private final String message;
    private final String path;
    private final long offset;
    private final List<AppendResult> appended;

    Failure(
        int statusCode,
        int osCode,
        String message,
        String path,
        long offset,
        List<AppendResult> appended) {
      this.statusCode = statusCode;
      this.osCode = osCode;
      this.message = message;
      this.path = path;
      this.offset = offset;
      this.appended = appended;
    }

    /** A failure found on this side. */
    Failure(Status status, String message) {
      this(status.code(), 0, message, null, -1, List.of());
    }

    /** The exception of the status, or of its family where the status is unknown. */
    CairnException toException() {
      switch (Status.fromCode(statusCode)) {
        case STORE_CLOSED:
          return new StoreClosedException(this);
        case STORE_LOCKED:
          return new StoreLockedException(this);
        case FENCED:
          return new StoreFencedException(this);
        default:
          break;
      }
      if (statusCode >= 200 && statusCode < 300) {
        return new StorageException(this);
      }
      if (statusCode >= 300 && statusCode < 400) {
        return new CorruptionException(this);
      }
      return new CairnException(this);
    }
  }
}
