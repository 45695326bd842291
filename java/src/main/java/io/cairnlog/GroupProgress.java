package io.cairnlog;

import java.nio.ByteBuffer;

/** How far a group has come with a queue; immutable, usable from any thread. */
public final class GroupProgress {
  private final String topic;
  private final int queueId;
  private final long committed;
  private final long minOffset;
  private final long maxOffset;
  private final long lag;

  /** Reads the fields as groups.rs writes them. */
  GroupProgress(ByteBuffer from) {
    topic = Wire.readText(from);
    queueId = from.getInt();
    committed = from.getLong();
    minOffset = from.getLong();
    maxOffset = from.getLong();
    lag = from.getLong();
  }

  /**
   * Returns the topic; callable from any thread.
   *
   * @return the topic
   */
  public String topic() {
    return topic;
  }

  /**
   * Returns the queue; callable from any thread.
   *
   * @return the queue's number in its topic
   */
  public int queueId() {
    return queueId;
  }

  /**
   * Returns what the group consumes next; callable from any thread.
   *
   * @return the index
   */
  public long committed() {
    return committed;
  }

  /**
   * Returns where the queue began at the time; callable from any thread.
   *
   * @return the index of its first message
   */
  public long minOffset() {
    return minOffset;
  }

  /**
   * Returns where the queue ended at the time; callable from any thread.
   *
   * @return one past the index of its last message
   */
  public long maxOffset() {
    return maxOffset;
  }

  /**
   * Returns how much of the queue the group has not consumed; callable from any thread.
   *
   * @return messages; those that retention removed are not counted
   */
  public long lag() {
    return lag;
  }

  @Override
  public String toString() {
    return "GroupProgress[topic="
        + topic
        + ", queueId="
        + queueId
        + ", committed="
        + committed
        + ", minOffset="
        + minOffset
        + ", maxOffset="
        + maxOffset
        + ", lag="
        + lag
        + "]";
  }
}
