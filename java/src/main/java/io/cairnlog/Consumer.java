package io.cairnlog;

import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

/**
 * A member of a group that asks for messages; usable and closable from any thread.
 *
 * <p>Delivery is at least once: what was handed out and not acknowledged is handed out again, to
 * whoever has the queue then. A consumer that nobody closes leaves its group when it is collected.
 */
public final class Consumer extends NativeHandle {
  /** Keeps the store from being collected, and so from being closed. */
  private final CairnStore store;

  private final ConsumerOptions options;

  Consumer(long consumer, CairnStore store, ConsumerOptions options) {
    super(new State(consumer, Native::consumerRelease, "consumer"));
    this.store = store;
    this.options = options;
  }

  /** A call that needs the store open, and this consumer. */
  private interface Call<T> {
    T with(long consumer);
  }

  private <T> T call(Call<T> call) {
    store.enter();
    try {
      long consumer = enter();
      try {
        return call.with(consumer);
      } finally {
        leave();
      }
    } finally {
      store.leave();
    }
  }

  /**
   * Returns the group; callable from any thread.
   *
   * @return the group
   */
  public String group() {
    return options.group();
  }

  boolean isOrderly() {
    return options.isOrderly();
  }

  /**
   * Takes messages of one of this member's queues, on any thread, and waits for them if there are
   * none yet.
   *
   * @param max at most so many messages, at least 1
   * @param limit how long to wait at most; zero looks once
   * @return the messages in the queue's order, for {@link #acknowledge} or {@link #retryLater};
   *     none when the time ran out or the thread was interrupted, which stays interrupted;
   *     unmodifiable
   * @throws StoreClosedException if the consumer or the store was closed
   * @throws CairnException {@link Status#INVALID_ARGUMENT} for less than one message; else as
   *     {@link CairnStore#read}
   */
  public List<Delivery> poll(int max, Duration limit) {
    List<Delivery> found = Waiting.inSlices(limit, milliseconds -> pollOnce(max, milliseconds));
    return found == null ? List.of() : found;
  }

  private List<Delivery> pollOnce(int max, long milliseconds) {
    byte[] given = call(consumer -> Native.consumerPoll(consumer, max, milliseconds));
    if (given == null) {
      return null;
    }
    ByteBuffer described = Wire.reader(given);
    MessageBatch batch = MessageBatch.take(described);
    List<Delivery> deliveries = new ArrayList<>(batch.size());
    for (int index = 0; index < batch.size(); index++) {
      deliveries.add(new Delivery(this, batch, index, Wire.readText(described)));
    }
    return Collections.unmodifiableList(deliveries);
  }

  /**
   * Says that a message was processed; callable from any thread.
   *
   * @param delivery a message that this consumer handed out
   * @return false if it is no longer this member's: it timed out, or was acknowledged before
   * @throws StoreClosedException if the consumer or the store was closed
   * @throws CairnException {@link Status#INVALID_ARGUMENT} if another consumer handed it out
   */
  public boolean acknowledge(Delivery delivery) {
    return callWith(delivery, Native::consumerAcknowledge);
  }

  /**
   * Says that a message could not be processed now; callable from any thread.
   *
   * <p>It is handed out again: in an orderly queue after a pause, with everything behind it
   * waiting; else by way of the group's retry topic, after a delay that grows with each attempt.
   * After {@code maxReconsumeTimes} it goes to the group's dead-letter topic. When broadcasting it
   * is dropped.
   *
   * @param delivery a message that this consumer handed out
   * @return false if it is no longer this member's
   * @throws StoreClosedException if the consumer or the store was closed
   * @throws CairnException {@link Status#INVALID_ARGUMENT} if another consumer handed it out; as
   *     {@link CairnStore#append} if it cannot be put into the retry or dead-letter topic, and it
   *     stays in hand then
   */
  public boolean retryLater(Delivery delivery) {
    return callWith(delivery, Native::consumerRetryLater);
  }

  private interface Answer {
    boolean of(long consumer, long batch, int index);
  }

  private boolean callWith(Delivery delivery, Answer answer) {
    if (delivery.consumer() != this) {
      throw new CairnException.Failure(
              Status.INVALID_ARGUMENT, "another consumer handed this message out")
          .toException();
    }
    MessageBatch batch = delivery.batch();
    return call(
        consumer -> {
          long deliveries = batch.enter();
          try {
            return answer.of(consumer, deliveries, delivery.index());
          } finally {
            batch.leave();
          }
        });
  }

  /**
   * Goes to an index of a queue, forwards or backwards; callable from any thread.
   *
   * @param topic the topic
   * @param queueId the queue
   * @param offset the index, not negative
   * @return false if the queue is not assigned to this member
   * @throws StoreClosedException if the consumer or the store was closed
   * @throws CairnException {@link Status#OFFSET_OUT_OF_RANGE} for a negative index
   */
  public boolean seek(String topic, int queueId, long offset) {
    byte[] topicBytes = Wire.utf8(topic);
    return call(consumer -> Native.consumerSeek(consumer, topicBytes, queueId, offset));
  }

  /**
   * Makes the offsets of all groups durable now, instead of with the next interval; callable from
   * any thread.
   *
   * @throws StoreClosedException if the consumer or the store was closed
   * @throws StorageException if the file cannot be written
   */
  public void commit() {
    call(
        consumer -> {
          Native.consumerCommit(consumer);
          return null;
        });
  }

  /**
   * Returns the queues assigned to this member at present; callable from any thread.
   *
   * @return the queues, those of the group's retry topic among them
   * @throws StoreClosedException if the consumer or the store was closed
   */
  public List<TopicQueue> assigned() {
    ByteBuffer described = Wire.reader(call(Native::consumerAssigned));
    List<TopicQueue> queues = new ArrayList<>();
    for (int left = described.getInt(); left > 0; left--) {
      queues.add(new TopicQueue(Wire.readText(described), described.getInt()));
    }
    return Collections.unmodifiableList(queues);
  }

  /**
   * Leaves the group, from any thread, and does nothing when that was done already. What is in hand
   * is handed out to others. Polls of other threads end with {@link StoreClosedException}.
   */
  @Override
  public void close() {
    if (!beginClose()) {
      return;
    }
    try {
      Native.consumerClose(closing());
    } finally {
      leave();
      closed();
    }
  }
}
