package io.cairnlog;

/** A queue of a topic; immutable, usable from any thread. */
public final class TopicQueue {
  private final String topic;
  private final int queueId;

  TopicQueue(String topic, int queueId) {
    this.topic = topic;
    this.queueId = queueId;
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

  @Override
  public boolean equals(Object other) {
    return other instanceof TopicQueue
        && ((TopicQueue) other).topic.equals(topic)
        && ((TopicQueue) other).queueId == queueId;
  }

  @Override
  public int hashCode() {
    return 31 * topic.hashCode() + queueId;
  }

  @Override
  public String toString() {
    return "TopicQueue[topic=" + topic + ", queueId=" + queueId + "]";
  }
}
