package io.cairnlog;

/** The messages that a queue has; immutable, usable from any thread. */
public final class QueueRange {
  private final long first;
  private final long next;

  QueueRange(long[] bounds) {
    first = bounds[0];
    next = bounds[1];
  }

  /**
   * Returns where the queue begins; callable from any thread.
   *
   * @return the index of its first message
   */
  public long first() {
    return first;
  }

  /**
   * Returns where the queue ends; callable from any thread.
   *
   * @return one past the index of its last message
   */
  public long next() {
    return next;
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof QueueRange
        && ((QueueRange) other).first == first
        && ((QueueRange) other).next == next;
  }

  @Override
  public int hashCode() {
    return 31 * Long.hashCode(first) + Long.hashCode(next);
  }

  @Override
  public String toString() {
    return "QueueRange[first=" + first + ", next=" + next + "]";
  }
}
