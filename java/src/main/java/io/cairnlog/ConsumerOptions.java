package io.cairnlog;

import java.time.Instant;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;

/**
 * Which group a consumer joins, and how it consumes; immutable, usable from any thread. The
 * defaults are RocketMQ's. Limits are checked when the consumer joins.
 */
public final class ConsumerOptions {
  private static final int START_LAST = 0;
  private static final int START_FIRST = 1;
  private static final int START_TIME = 2;

  private final String group;
  private final ConsumeOrder order;
  private final byte[] encoded;

  private ConsumerOptions(Builder builder) {
    group = builder.group;
    order = builder.order;
    encoded = builder.encode();
  }

  /**
   * Begins a set of options; callable from any thread.
   *
   * @param group the group: 1 to 255 bytes of ASCII letters, digits, {@code %}, {@code -}, {@code
   *     _} and {@code |}
   * @return the builder
   */
  public static Builder builder(String group) {
    return new Builder(group);
  }

  /**
   * Returns the group; callable from any thread.
   *
   * @return the group
   */
  public String group() {
    return group;
  }

  boolean isOrderly() {
    return order == ConsumeOrder.ORDERLY;
  }

  /** The request to join, as groups.rs reads it. */
  byte[] toBytes() {
    return encoded;
  }

  /** Collects options; for one thread at a time. */
  public static final class Builder {
    private final String group;
    private final Map<String, Filter> subscriptions = new LinkedHashMap<>();
    private ConsumeMode mode = ConsumeMode.CLUSTERING;
    private ConsumeOrder order = ConsumeOrder.CONCURRENT;
    private int start = START_LAST;
    private long startTimeMs;
    private int maxInHand = 1000;
    private long consumeTimeoutMs = 900_000;
    private int maxReconsumeTimes = 16;
    private long suspendQueueMs = 1000;

    private Builder(String group) {
      this.group = Objects.requireNonNull(group, "group");
    }

    /**
     * Adds a topic, of which all messages are wanted; call on the building thread.
     *
     * @param topic the topic, which need not exist yet
     * @return this builder
     */
    public Builder subscribe(String topic) {
      return subscribe(topic, Filter.all());
    }

    /**
     * Adds a topic, or changes its filter; call on the building thread. A consumer needs at least
     * one topic, and all members of a group should subscribe to the same.
     *
     * @param topic the topic, which need not exist yet
     * @param filter which of its messages are wanted; the others count as consumed
     * @return this builder
     */
    public Builder subscribe(String topic, Filter filter) {
      subscriptions.put(
          Objects.requireNonNull(topic, "topic"), Objects.requireNonNull(filter, "filter"));
      return this;
    }

    /**
     * Sets who gets a message; call on the building thread.
     *
     * @param mode default {@link ConsumeMode#CLUSTERING}
     * @return this builder
     */
    public Builder mode(ConsumeMode mode) {
      this.mode = Objects.requireNonNull(mode, "mode");
      return this;
    }

    /**
     * Sets whether a queue's next message may be handed out before the last is acknowledged; call
     * on the building thread.
     *
     * @param order default {@link ConsumeOrder#CONCURRENT}
     * @return this builder
     */
    public Builder order(ConsumeOrder order) {
      this.order = Objects.requireNonNull(order, "order");
      return this;
    }

    /**
     * Begins queues without a committed offset with the first message there is; call on the
     * building thread.
     *
     * @return this builder
     */
    public Builder startFromFirst() {
      start = START_FIRST;
      return this;
    }

    /**
     * Begins queues without a committed offset with the first message that comes after the consumer
     * joined, which is the default; call on the building thread.
     *
     * @return this builder
     */
    public Builder startFromLast() {
      start = START_LAST;
      return this;
    }

    /**
     * Begins queues without a committed offset with the first message stored at or after a time;
     * call on the building thread.
     *
     * @param time the time; messages have theirs in milliseconds
     * @return this builder
     */
    public Builder startFrom(Instant time) {
      startTimeMs = TimeBoundary.LOWER.millisecond(time);
      start = START_TIME;
      return this;
    }

    /**
     * Sets how many messages of one queue are in hand at most; call on the building thread.
     *
     * @param messages at least 1; default 1000
     * @return this builder
     */
    public Builder maxInHand(int messages) {
      maxInHand = messages;
      return this;
    }

    /**
     * Sets after which time a message that was not acknowledged is handed out again; call on the
     * building thread.
     *
     * @param timeoutMs milliseconds, not negative; default 900000 (15 minutes)
     * @return this builder
     */
    public Builder consumeTimeoutMs(long timeoutMs) {
      consumeTimeoutMs = timeoutMs;
      return this;
    }

    /**
     * Sets how often a message is tried again before it goes to the dead-letter topic {@code
     * %DLQ%group}; call on the building thread.
     *
     * @param times the number; default 16
     * @return this builder
     */
    public Builder maxReconsumeTimes(int times) {
      maxReconsumeTimes = times;
      return this;
    }

    /**
     * Sets how long an orderly queue pauses before it tries its message again; call on the building
     * thread.
     *
     * @param pauseMs milliseconds, not negative; default 1000
     * @return this builder
     */
    public Builder suspendQueueMs(long pauseMs) {
      suspendQueueMs = pauseMs;
      return this;
    }

    /**
     * Makes the options; call on the building thread.
     *
     * @return the options
     * @throws CairnException {@link Status#INVALID_ARGUMENT} if a text holds half of a surrogate
     *     pair
     */
    public ConsumerOptions build() {
      return new ConsumerOptions(this);
    }

    private byte[] encode() {
      Wire.Writer writer = new Wire.Writer();
      writer.putText(group).putInt(subscriptions.size());
      subscriptions.forEach((topic, filter) -> filter.write(writer.putText(topic)));
      writer.putInt(mode == ConsumeMode.CLUSTERING ? 0 : 1);
      writer.putInt(order == ConsumeOrder.CONCURRENT ? 0 : 1);
      writer.putInt(start).putLong(startTimeMs);
      writer.putInt(maxInHand).putLong(consumeTimeoutMs);
      writer.putInt(maxReconsumeTimes).putLong(suspendQueueMs);
      return writer.toBytes();
    }
  }
}
