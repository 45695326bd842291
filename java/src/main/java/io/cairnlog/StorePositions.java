package io.cairnlog;

/**
 * How far a store has come; immutable, usable from any thread. Each position was read at its own
 * moment, the durable one first: {@code durable <= committed <= max}.
 */
public final class StorePositions {
  private final long minOffset;
  private final long durableOffset;
  private final long committedOffset;
  private final long maxOffset;

  StorePositions(long[] positions) {
    minOffset = positions[0];
    durableOffset = positions[1];
    committedOffset = positions[2];
    maxOffset = positions[3];
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
   * Returns how far the log survives a power cut; callable from any thread.
   *
   * @return one past the last synced byte
   */
  public long durableOffset() {
    return durableOffset;
  }

  /**
   * Returns how far the log survives the death of the process; callable from any thread.
   *
   * @return one past the last byte in the page cache
   */
  public long committedOffset() {
    return committedOffset;
  }

  /**
   * Returns how far the log can be read; callable from any thread.
   *
   * @return one past the last readable byte
   */
  public long maxOffset() {
    return maxOffset;
  }

  @Override
  public String toString() {
    return "StorePositions[min="
        + minOffset
        + ", durable="
        + durableOffset
        + ", committed="
        + committedOffset
        + ", max="
        + maxOffset
        + "]";
  }
}
