package io.cairnlog;

import java.time.Duration;

/**
 * Waits in slices, between which a close and an interrupt are noticed. No thread is ever held in
 * the engine for longer than a slice.
 */
final class Waiting {
  private static final long MAX_SLICE_MS = 100;
  private static final long NANOS_PER_MS = 1_000_000;
  /** Longer limits are this long, about 146 years, for nanoTime to count them. */
  private static final Duration LONGEST = Duration.ofNanos(Long.MAX_VALUE / 2);

  private Waiting() {}

  /** One slice of a wait; done when the result is not null. */
  interface Slice<T> {
    T forMilliseconds(long milliseconds);
  }

  /** Runs slices until one has a result. Null when the time ran out or on an interrupt. */
  static <T> T inSlices(Duration limit, Slice<T> slice) {
    long start = System.nanoTime();
    long limitNanos = nanos(limit);
    while (true) {
      long left = Math.max(limitNanos - (System.nanoTime() - start), 0);
      // Rounded up, so that the last slice does not end too early.
      long leftMs = left / NANOS_PER_MS + (left % NANOS_PER_MS == 0 ? 0 : 1);
      // An interrupted thread looks once and does not wait.
      boolean interrupted = Thread.currentThread().isInterrupted();
      T result = slice.forMilliseconds(interrupted ? 0 : Math.min(leftMs, MAX_SLICE_MS));
      if (result != null || interrupted || leftMs == 0) {
        return result;
      }
    }
  }

  private static long nanos(Duration limit) {
    if (limit.isNegative()) {
      return 0;
    }
    return (limit.compareTo(LONGEST) < 0 ? limit : LONGEST).toNanos();
  }
}
