package io.cairnlog;

import java.util.List;

/** Gets the messages of a {@link PushConsumer}, on several of its threads at the same time. */
@FunctionalInterface
public interface MessageListener {
  /**
   * Processes messages of one queue; called on a thread of the consumer's own. It may use the
   * store, and close the consumer that calls it.
   *
   * @param deliveries the messages in the queue's order, at least one; unmodifiable
   * @return what became of all of them
   * @throws Exception if they could not be processed: taken as {@link ConsumeStatus#RETRY_LATER},
   *     and logged
   */
  ConsumeStatus consume(List<Delivery> deliveries) throws Exception;
}
