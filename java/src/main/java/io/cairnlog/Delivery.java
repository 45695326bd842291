package io.cairnlog;

/**
 * A message handed out to a {@link Consumer}; immutable, usable from any thread.
 *
 * <p>It stays good while it is reachable, and pins the files of those that were handed out with it.
 */
public final class Delivery {
  private final Consumer consumer;
  private final MessageBatch batch;
  private final int index;
  private final String topic;

  Delivery(Consumer consumer, MessageBatch batch, int index, String topic) {
    this.consumer = consumer;
    this.batch = batch;
    this.index = index;
    this.topic = topic;
  }

  Consumer consumer() {
    return consumer;
  }

  MessageBatch batch() {
    return batch;
  }

  int index() {
    return index;
  }

  /**
   * Returns the message; callable from any thread.
   *
   * @return the message; of one that is tried again, the topic is the group's retry topic
   */
  public MessageView message() {
    return batch.get(index);
  }

  /**
   * Returns the topic the message was first appended to; callable from any thread.
   *
   * @return the topic
   */
  public String topic() {
    return topic;
  }

  /**
   * Returns how often the message was tried before; callable from any thread.
   *
   * @return the number, 0 at first
   */
  public int reconsumeTimes() {
    return message().reconsumeTimes();
  }

  @Override
  public String toString() {
    return "Delivery[topic=" + topic + ", message=" + message() + "]";
  }
}
