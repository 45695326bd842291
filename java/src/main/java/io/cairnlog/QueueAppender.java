package io.cairnlog;

import java.lang.ref.Reference;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;

/**
 * A prepared (topic, queue) for the hot path; usable and closable from any thread. It keeps its
 * store from being collected, but not from being closed: appends throw {@link StoreClosedException}
 * then.
 */
public final class QueueAppender extends NativeHandle {
  private final CairnStore store;
  private final String topic;
  private final int queueId;
  private final Executor completionExecutor;

  QueueAppender(
      long queue, CairnStore store, String topic, int queueId, Executor completionExecutor) {
    super(new State(queue, Native::queueRelease, "queue appender"));
    this.store = store;
    this.topic = topic;
    this.queueId = queueId;
    this.completionExecutor = completionExecutor;
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
   * Appends a message, from any thread, and waits as the flush mode and the message say.
   *
   * @param message the message; its own topic and queue are not looked at
   * @return where it lies
   * @throws CairnException as {@link CairnStore#append}
   */
  public AppendResult append(Message message) {
    long queue = enter();
    try {
      return Appending.append(
          message,
          (scratch, length, capacity) -> Native.queueAppend(queue, scratch, length, capacity));
    } finally {
      leave();
      Reference.reachabilityFence(store);
    }
  }

  /**
   * Appends a message, from any thread, and returns at once with a future of its acknowledgement.
   *
   * @param message the message; its own topic and queue are not looked at
   * @return the future, as of {@link CairnStore#appendAsync}
   * @throws CairnException if the append was refused, as {@link CairnStore#append}
   */
  public CompletableFuture<AppendResult> appendAsync(Message message) {
    long queue = enter();
    try {
      return Appending.appendAsync(
          message,
          completionExecutor,
          (scratch, length, capacity, token) ->
              Native.queueAppendAsync(queue, scratch, length, capacity, token));
    } finally {
      leave();
      Reference.reachabilityFence(store);
    }
  }
}
