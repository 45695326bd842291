package io.cairnlog;

import java.nio.ByteBuffer;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;

/** What a store has done since it was opened; immutable, usable from any thread. */
public final class StoreStats {
  private final long messages;
  private final long bytes;
  private final long refused;
  private final long syncs;
  private final long appendLatencyMaxMs;
  private final long delayedDelivered;
  private final long delayedUndeliverable;
  private final long[] appendLatencyCounts;
  private final Map<String, Topic> topics;

  StoreStats(byte[] stats) {
    ByteBuffer from = Wire.reader(stats);
    messages = from.getLong();
    bytes = from.getLong();
    refused = from.getLong();
    syncs = from.getLong();
    appendLatencyMaxMs = from.getLong();
    delayedDelivered = from.getLong();
    delayedUndeliverable = from.getLong();
    appendLatencyCounts = new long[from.getInt()];
    for (int i = 0; i < appendLatencyCounts.length; i++) {
      appendLatencyCounts[i] = from.getLong();
    }
    Map<String, Topic> read = new LinkedHashMap<>();
    for (int left = from.getInt(); left > 0; left--) {
      read.put(Wire.readText(from), new Topic(from.getLong(), from.getLong()));
    }
    topics = Collections.unmodifiableMap(read);
  }

  /**
   * Returns the number of messages appended; callable from any thread.
   *
   * @return the number
   */
  public long messages() {
    return messages;
  }

  /**
   * Returns the size of their records; callable from any thread.
   *
   * @return bytes
   */
  public long bytes() {
    return bytes;
  }

  /**
   * Returns the number of appends that were refused; callable from any thread.
   *
   * @return the number
   */
  public long refused() {
    return refused;
  }

  /**
   * Returns the number of syncs; callable from any thread.
   *
   * @return the number
   */
  public long syncs() {
    return syncs;
  }

  /**
   * Returns the longest append; callable from any thread.
   *
   * @return milliseconds
   */
  public long appendLatencyMaxMs() {
    return appendLatencyMaxMs;
  }

  /**
   * Returns the number of delayed messages that were put into their queues; callable from any
   * thread.
   *
   * @return the number
   */
  public long delayedDelivered() {
    return delayedDelivered;
  }

  /**
   * Returns the number of delayed messages that were passed over when their time had come, because
   * they can never be put into a queue; callable from any thread.
   *
   * @return the number
   */
  public long delayedUndeliverable() {
    return delayedUndeliverable;
  }

  /**
   * Returns appends by the time they took; callable from any thread.
   *
   * @return counts by rising time, the last class without a bound; a copy
   */
  public long[] appendLatencyCounts() {
    return appendLatencyCounts.clone();
  }

  /**
   * Returns the figures of each topic; callable from any thread.
   *
   * @return by topic; unmodifiable
   */
  public Map<String, Topic> topics() {
    return topics;
  }

  /** The figures of one topic; immutable, usable from any thread. */
  public static final class Topic {
    private final long messages;
    private final long bytes;

    private Topic(long messages, long bytes) {
      this.messages = messages;
      this.bytes = bytes;
    }

    /**
     * Returns the number of messages; callable from any thread.
     *
     * @return the number
     */
    public long messages() {
      return messages;
    }

    /**
     * Returns the size of their records; callable from any thread.
     *
     * @return bytes
     */
    public long bytes() {
      return bytes;
    }
  }
}
