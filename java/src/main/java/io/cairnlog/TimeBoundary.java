package io.cairnlog;

import java.time.Instant;

/** Which of the messages around a time is meant. */
public enum TimeBoundary {
  /** The first message stored at or after the time; the end of the queue if there is none. */
  LOWER,
  /** The last message stored at or before the time; the first message if there is none. */
  UPPER;

  private static final Instant EARLIEST = Instant.ofEpochMilli(Long.MIN_VALUE);
  private static final Instant LATEST = Instant.ofEpochMilli(Long.MAX_VALUE);

  /**
   * The whole millisecond that stands for a time: the first at or after it, or the last at or
   * before it; the outermost where a long has none.
   */
  long millisecond(Instant time) {
    if (!time.isAfter(EARLIEST)) {
      return Long.MIN_VALUE;
    }
    if (!time.isBefore(LATEST)) {
      return Long.MAX_VALUE;
    }
    long before = time.toEpochMilli();
    return this == LOWER && time.isAfter(Instant.ofEpochMilli(before)) ? before + 1 : before;
  }
}
