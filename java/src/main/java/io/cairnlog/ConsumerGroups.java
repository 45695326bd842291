package io.cairnlog;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.OptionalLong;

/**
 * The consumer groups of a store; usable from any thread. Members of a group live in one process,
 * in one open store.
 */
public final class ConsumerGroups {
  private final CairnStore store;

  ConsumerGroups(CairnStore store) {
    this.store = store;
  }

  /**
   * Joins a group as one more member, which asks for messages; callable from any thread. The queues
   * are divided among the members anew.
   *
   * @param options the group, its topics and how to consume
   * @return the member, for the caller to close
   * @throws CairnException {@link Status#GROUP_ILLEGAL} for an impossible group, {@link
   *     Status#INVALID_ARGUMENT} for an option outside its limits, for no subscription, and in a
   *     store without consume queues; else if there can be no such topic
   */
  public Consumer consumer(ConsumerOptions options) {
    long handle = store.enter();
    try {
      return new Consumer(Native.consumerOpen(handle, options.toBytes()), store, options);
    } finally {
      store.leave();
    }
  }

  /**
   * Joins a group as one more member, whose messages go to a listener on 4 threads, one by one;
   * callable from any thread.
   *
   * @param options the group, its topics and how to consume
   * @param listener gets the messages
   * @return the member, for the caller to close
   * @throws CairnException as {@link #consumer}
   */
  public PushConsumer pushConsumer(ConsumerOptions options, MessageListener listener) {
    return pushConsumer(options, PushOptions.defaults(), listener);
  }

  /**
   * Joins a group as one more member, whose messages go to a listener; callable from any thread.
   *
   * @param options the group, its topics and how to consume
   * @param push how the listener is called
   * @param listener gets the messages
   * @return the member, for the caller to close
   * @throws CairnException {@link Status#INVALID_ARGUMENT} for an impossible number of threads or
   *     messages; else as {@link #consumer}
   */
  public PushConsumer pushConsumer(
      ConsumerOptions options, PushOptions push, MessageListener listener) {
    return PushConsumer.start(store, options, push, listener);
  }

  /**
   * Returns the groups that have committed an offset; callable from any thread.
   *
   * @return the groups, sorted
   * @throws CairnException {@link Status#INVALID_ARGUMENT} in a store without consume queues
   */
  public List<String> names() {
    long handle = store.enter();
    try {
      ByteBuffer described = Wire.reader(Native.storeGroups(handle));
      List<String> groups = new ArrayList<>();
      for (int left = described.getInt(); left > 0; left--) {
        groups.add(Wire.readText(described));
      }
      return Collections.unmodifiableList(groups);
    } finally {
      store.leave();
    }
  }

  /**
   * Returns how far a group has come; callable from any thread.
   *
   * @param group the group
   * @return each queue of which it has committed an offset
   * @throws CairnException as {@link #names}
   */
  public List<GroupProgress> progress(String group) {
    byte[] groupBytes = Wire.utf8(group);
    long handle = store.enter();
    try {
      ByteBuffer described = Wire.reader(Native.storeGroupProgress(handle, groupBytes));
      List<GroupProgress> queues = new ArrayList<>();
      for (int left = described.getInt(); left > 0; left--) {
        queues.add(new GroupProgress(described));
      }
      return Collections.unmodifiableList(queues);
    } finally {
      store.leave();
    }
  }

  /**
   * Returns what a group consumes next; callable from any thread.
   *
   * @param group the group
   * @param topic the topic
   * @param queueId the queue
   * @return the index; empty if it has committed none
   * @throws CairnException as {@link #names}
   */
  public OptionalLong consumerOffset(String group, String topic, int queueId) {
    byte[] groupBytes = Wire.utf8(group);
    byte[] topicBytes = Wire.utf8(topic);
    long handle = store.enter();
    try {
      long index = Native.storeConsumerOffset(handle, groupBytes, topicBytes, queueId);
      return index < 0 ? OptionalLong.empty() : OptionalLong.of(index);
    } finally {
      store.leave();
    }
  }

  /**
   * Sets what a group consumes next, for applications that read queues themselves; callable from
   * any thread. Consumers that are members of the group at present do not see it.
   *
   * @param group the group
   * @param topic the topic
   * @param queueId the queue
   * @param offset the index, not negative; durable soon, or after {@link #persistOffsets}
   * @throws CairnException {@link Status#GROUP_ILLEGAL} for an impossible group, {@link
   *     Status#OFFSET_OUT_OF_RANGE} if the queue does not reach that far; else if there can be no
   *     such queue, or as {@link #names}
   */
  public void commitOffset(String group, String topic, int queueId, long offset) {
    byte[] groupBytes = Wire.utf8(group);
    byte[] topicBytes = Wire.utf8(topic);
    long handle = store.enter();
    try {
      Native.storeCommitOffset(handle, groupBytes, topicBytes, queueId, offset);
    } finally {
      store.leave();
    }
  }

  /**
   * Makes committed offsets and the list of topics durable now; callable from any thread.
   *
   * @throws StorageException if a file cannot be written
   * @throws CairnException as {@link #names}
   */
  public void persistOffsets() {
    long handle = store.enter();
    try {
      Native.storePersistOffsets(handle);
    } finally {
      store.leave();
    }
  }
}
