package io.cairnlog;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/**
 * Memory in which a thread passes a request to the engine and takes the answer, so that an append
 * is one crossing that calls nothing back. One per thread; requests above {@link #MAX_KEPT_BYTES}
 * get memory of their own.
 */
final class Scratch {
  /** A thread keeps at most this much. */
  static final int MAX_KEPT_BYTES = 8 << 20;

  private static final int MIN_BYTES = 4096;
  private static final ThreadLocal<Scratch> CURRENT = new ThreadLocal<>();

  private final ByteBuffer buffer;
  private final long address;

  private Scratch(int capacity) {
    buffer = ByteBuffer.allocateDirect(capacity).order(ByteOrder.LITTLE_ENDIAN);
    address = Native.scratchAddress(buffer);
  }

  /** The thread's memory with at least this capacity, empty. */
  static Scratch withCapacity(long bytes) {
    if (bytes > Integer.MAX_VALUE) {
      throw new CairnException.Failure(
              Status.MESSAGE_TOO_LARGE, "a call cannot pass more than 2147483647 bytes")
          .toException();
    }
    if (bytes > MAX_KEPT_BYTES) {
      return new Scratch((int) bytes);
    }
    Scratch scratch = CURRENT.get();
    if (scratch == null || scratch.buffer.capacity() < bytes) {
      int capacity = Math.max(MIN_BYTES, Integer.highestOneBit((int) bytes * 2 - 1));
      scratch = new Scratch(capacity);
      CURRENT.set(scratch);
    }
    scratch.buffer.clear();
    return scratch;
  }

  ByteBuffer buffer() {
    return buffer;
  }

  long address() {
    return address;
  }

  int capacity() {
    return buffer.capacity();
  }

  /** The bytes of the request that was written. */
  int length() {
    return buffer.position();
  }
}
