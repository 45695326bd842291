package io.cairnlog;

import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Optional;

/** What opening a store found and did; immutable, usable from any thread. */
public final class RecoveryReport {
  private final boolean created;
  private final boolean cleanStop;
  private final long files;
  private final long records;
  private final long minOffset;
  private final long endOffset;
  private final String damage;
  private final long bytesSetAside;
  private final String setAside;
  private final long filesRemoved;
  private final long durationNanos;

  RecoveryReport(byte[] report) {
    ByteBuffer from = Wire.reader(report);
    created = Wire.readFlag(from);
    cleanStop = Wire.readFlag(from);
    files = from.getLong();
    records = from.getLong();
    minOffset = from.getLong();
    endOffset = from.getLong();
    damage = Wire.readOptionalText(from);
    bytesSetAside = from.getLong();
    setAside = Wire.readOptionalText(from);
    filesRemoved = from.getLong();
    durationNanos = from.getLong();
  }

  /**
   * Says whether the directory held no store before; callable from any thread.
   *
   * @return whether a store was made
   */
  public boolean created() {
    return created;
  }

  /**
   * Says whether the store was closed before; callable from any thread.
   *
   * @return false if its writer had died
   */
  public boolean cleanStop() {
    return cleanStop;
  }

  /**
   * Returns the number of commit log files; callable from any thread.
   *
   * @return the number
   */
  public long files() {
    return files;
  }

  /**
   * Returns the number of records walked; callable from any thread.
   *
   * @return the number
   */
  public long records() {
    return records;
  }

  /**
   * Returns where the log begins; callable from any thread.
   *
   * @return the physical offset of the first file
   */
  public long minOffset() {
    return minOffset;
  }

  /**
   * Returns where the log ends; callable from any thread.
   *
   * @return one past the last record
   */
  public long endOffset() {
    return endOffset;
  }

  /**
   * Returns what was wrong at the end of the log; callable from any thread.
   *
   * @return a sentence, empty if nothing lay behind the end
   */
  public Optional<String> damage() {
    return Optional.ofNullable(damage);
  }

  /**
   * Returns how much was cut off and kept; callable from any thread.
   *
   * @return bytes copied to {@code lost+found/}
   */
  public long bytesSetAside() {
    return bytesSetAside;
  }

  /**
   * Returns where that was put; callable from any thread.
   *
   * @return the file, empty if nothing was set aside
   */
  public Optional<Path> setAside() {
    return Optional.ofNullable(setAside).map(Path::of);
  }

  /**
   * Returns the number of files removed behind the end; callable from any thread.
   *
   * @return the number
   */
  public long filesRemoved() {
    return filesRemoved;
  }

  /**
   * Returns how long it took; callable from any thread.
   *
   * @return the time
   */
  public Duration duration() {
    return Duration.ofNanos(durationNanos);
  }

  @Override
  public String toString() {
    return "RecoveryReport[created="
        + created
        + ", cleanStop="
        + cleanStop
        + ", files="
        + files
        + ", records="
        + records
        + ", endOffset="
        + endOffset
        + "]";
  }
}
