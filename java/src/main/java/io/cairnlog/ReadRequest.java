package io.cairnlog;

import java.util.Objects;

/**
 * What is read from a queue; immutable, usable from any thread. Each setter returns another
 * request.
 */
public final class ReadRequest {
  private static final int DEFAULT_MAX_MESSAGES = 32;
  private static final int DEFAULT_MAX_BYTES = 128 << 20;

  private final String topic;
  private final int queueId;
  private final long offset;
  private final int maxMessages;
  private final int maxBytes;
  private final Filter filter;

  private ReadRequest(
      String topic, int queueId, long offset, int maxMessages, int maxBytes, Filter filter) {
    this.topic = Objects.requireNonNull(topic, "topic");
    this.queueId = queueId;
    this.offset = offset;
    this.maxMessages = maxMessages;
    this.maxBytes = maxBytes;
    this.filter = Objects.requireNonNull(filter, "filter");
  }

  /**
   * Asks for up to 32 messages from an index on; callable from any thread.
   *
   * @param topic the topic
   * @param queueId the queue
   * @param offset the index of the first message wanted; a negative one is {@link
   *     ReadOutcome#OFFSET_TOO_SMALL}
   * @return the request
   */
  public static ReadRequest of(String topic, int queueId, long offset) {
    return new ReadRequest(
        topic, queueId, offset, DEFAULT_MAX_MESSAGES, DEFAULT_MAX_BYTES, Filter.all());
  }

  /**
   * Sets how many messages are returned; callable from any thread.
   *
   * @param count at most so many, but at least one; not negative, default 32
   * @return the request with this limit
   */
  public ReadRequest maxMessages(int count) {
    return new ReadRequest(topic, queueId, offset, count, maxBytes, filter);
  }

  /**
   * Sets how many bytes of records are returned; callable from any thread.
   *
   * @param bytes beyond the first message, at most so many; not negative, default 128 MiB
   * @return the request with this limit
   */
  public ReadRequest maxBytes(int bytes) {
    return new ReadRequest(topic, queueId, offset, maxMessages, bytes, filter);
  }

  /**
   * Sets which messages are wanted; callable from any thread.
   *
   * @param wanted the filter; default {@link Filter#all()}
   * @return the request with this filter
   */
  public ReadRequest filter(Filter wanted) {
    return new ReadRequest(topic, queueId, offset, maxMessages, maxBytes, wanted);
  }

  /** The request as queues.rs reads it. */
  byte[] toBytes() {
    Wire.Writer writer = new Wire.Writer();
    writer.putText(topic).putInt(queueId).putLong(offset).putInt(maxMessages).putInt(maxBytes);
    filter.write(writer);
    return writer.toBytes();
  }

  @Override
  public String toString() {
    return "ReadRequest[topic="
        + topic
        + ", queueId="
        + queueId
        + ", offset="
        + offset
        + ", maxMessages="
        + maxMessages
        + ", maxBytes="
        + maxBytes
        + ", filter="
        + filter
        + "]";
  }
}
