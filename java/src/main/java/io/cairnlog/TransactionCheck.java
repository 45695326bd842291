package io.cairnlog;

import java.nio.ByteBuffer;
import java.util.Optional;

/** An open transaction that it is asked about; immutable, usable from any thread. */
public final class TransactionCheck {
  private final MessageView message;
  private final long halfOffset;
  private final int times;
  private final int queueId;
  private final String topic;
  private final String id;

  /** Takes over what transactions.rs gave: the half message in a batch, then what is asked. */
  TransactionCheck(ByteBuffer described) {
    message = MessageBatch.take(described).get(0);
    halfOffset = described.getLong();
    times = described.getInt();
    queueId = described.getInt();
    topic = Wire.readText(described);
    id = Wire.readOptionalText(described);
  }

  /**
   * Returns where the half message lies now; callable from any thread.
   *
   * @return its physical offset, for {@link Transactions#commit} and {@link Transactions#rollback}
   */
  public long halfOffset() {
    return halfOffset;
  }

  /**
   * Returns the half message, as it was before this check; callable from any thread.
   *
   * @return the message, whose own topic is that of half messages; it stays good while it is
   *     reachable, and pins its file
   */
  public MessageView message() {
    return message;
  }

  /**
   * Returns the topic that the message is meant for; callable from any thread.
   *
   * @return the topic
   */
  public String topic() {
    return topic;
  }

  /**
   * Returns the queue that the message is meant for; callable from any thread.
   *
   * @return the queue
   */
  public int queueId() {
    return queueId;
  }

  /**
   * Returns the message's unique key (property {@code UNIQ_KEY}), RocketMQ's id of the transaction;
   * callable from any thread.
   *
   * @return the id, empty if it has none
   */
  public Optional<String> id() {
    return Optional.ofNullable(id);
  }

  /**
   * Returns which time this transaction is asked about; callable from any thread.
   *
   * @return the number, from 1 on
   */
  public int times() {
    return times;
  }

  @Override
  public String toString() {
    return "TransactionCheck(" + topic + ", halfOffset=" + halfOffset + ", times=" + times + ")";
  }
}
