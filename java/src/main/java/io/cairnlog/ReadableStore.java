package io.cairnlog;

import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.stream.Collectors;

/**
 * What can be read: a {@link CairnStore}, or a {@link StoreReader} beside it; usable and closable
 * from any thread. A call after {@link #close()} throws {@link StoreClosedException}; what was read
 * stays good.
 */
public abstract class ReadableStore extends NativeHandle {
  private final Path directory;

  ReadableStore(long store, Path directory, String name) {
    super(new State(store, ReadableStore::release, name));
    this.directory = directory;
  }

  private static void release(long store) {
    Native.storeRelease(store);
  }

  /**
   * Returns the directory, as given when it was opened; callable from any thread.
   *
   * @return the directory
   */
  public final Path directory() {
    return directory;
  }

  /**
   * Reads the message whose record begins at an offset; callable from any thread.
   *
   * @param physicalOffset where the record begins
   * @return a batch of this message
   * @throws CairnException {@link Status#OFFSET_OUT_OF_RANGE} outside the log, {@link
   *     Status#NOT_A_RECORD} where no record begins
   * @throws CorruptionException if the record is damaged
   */
  public final MessageBatch readAt(long physicalOffset) {
    long store = enter();
    try {
      return MessageBatch.take(Native.storeReadAt(store, physicalOffset));
    } finally {
      leave();
    }
  }

  /**
   * Reads messages in log order; callable from any thread.
   *
   * @param from where a record, or the blank at the end of a file, begins
   * @param maxMessages at most so many messages
   * @param maxBytes beyond the first message, at most so many bytes of records
   * @return the messages, none at the readable end
   * @throws CairnException as {@link #readAt}
   */
  public final MessageBatch readLog(long from, int maxMessages, int maxBytes) {
    long store = enter();
    try {
      return MessageBatch.take(Native.storeReadLog(store, from, maxMessages, maxBytes));
    } finally {
      leave();
    }
  }

  /**
   * Begins a walk along the log; callable from any thread.
   *
   * @param from where a record begins, as {@link StorePositions#minOffset()}
   * @return the walk, for one thread: an {@link Iterable} to the readable end, or, by {@link
   *     LogScan#next(Duration)}, one that follows what is appended
   */
  public final LogScan scan(long from) {
    return new LogScan(this, from);
  }

  /**
   * Reads messages of a queue; callable from any thread. Finding none is an outcome, no error.
   *
   * <p>A message can be read a moment after its append returned: once it was dispatched to its
   * queue, in a synchronous store only when it is durable, unless {@link
   * StoreOptions.Builder#readUncommitted} was set.
   *
   * @param request what is read
   * @return the messages, the outcome and where to go on
   * @throws CairnException {@link Status#INVALID_ARGUMENT} for a negative limit, and in a store
   *     without consume queues
   * @throws CorruptionException if the queue points to something that is not its message
   * @throws StorageException if a queue file cannot be read
   */
  public final MessageBatch read(ReadRequest request) {
    byte[] encoded = request.toBytes();
    long store = enter();
    try {
      return MessageBatch.take(Native.storeRead(store, encoded));
    } finally {
      leave();
    }
  }

  /**
   * Begins a walk along a queue; callable from any thread.
   *
   * @param topic the topic
   * @param queueId the queue, which need not exist yet
   * @param offset the index of the first message wanted, not negative
   * @param filter which messages are wanted
   * @return the walk, for one thread, which closes it: an {@link Iterable} to the queue's end, or,
   *     by {@link MessageTail#next(Duration)}, one that follows what is appended
   * @throws CairnException {@link Status#OFFSET_OUT_OF_RANGE} for a negative index, {@link
   *     Status#INVALID_ARGUMENT} in a store without consume queues; else if there can be no such
   *     queue
   */
  public final MessageTail tail(String topic, int queueId, long offset, Filter filter) {
    Wire.Writer request = new Wire.Writer().putText(topic).putInt(queueId).putLong(offset);
    filter.write(request);
    long store = enter();
    try {
      return new MessageTail(Native.tailOpen(store, request.toBytes()), this, offset);
    } finally {
      leave();
    }
  }

  /**
   * Finds the newest messages of a topic with a key, which is one of their keys, or the unique key
   * that a RocketMQ client gave them; callable from any thread.
   *
   * @param topic the topic
   * @param key the key
   * @param from stored at this time or later
   * @param until stored at this time or earlier
   * @param maxMessages at most so many messages, not negative
   * @return the messages in the order of the log
   * @throws CairnException {@link Status#INVALID_ARGUMENT} in a store without consume queues or
   *     without key index
   * @throws StorageException if an index file cannot be read
   */
  public final MessageBatch queryKey(
      String topic, String key, Instant from, Instant until, int maxMessages) {
    Wire.Writer request = new Wire.Writer().putText(topic).putText(key);
    request.putLong(TimeBoundary.LOWER.millisecond(from));
    request.putLong(TimeBoundary.UPPER.millisecond(until)).putInt(maxMessages);
    long store = enter();
    try {
      return MessageBatch.take(Native.storeQueryKey(store, request.toBytes()));
    } finally {
      leave();
    }
  }

  /**
   * Finds a message by its id: RocketMQ's {@code offsetMsgId}, or else the unique key that its
   * client gave it; callable from any thread.
   *
   * @param topic the topic
   * @param id the id
   * @return the message, which pins its file until it is collected; empty if there is none, or it
   *     has another topic
   * @throws CairnException as {@link #queryKey}
   */
  public final Optional<MessageView> findByMessageId(String topic, String id) {
    byte[] topicBytes = Wire.utf8(topic);
    byte[] idBytes = Wire.utf8(id);
    long store = enter();
    try {
      MessageBatch found =
          MessageBatch.take(Native.storeFindByMessageId(store, topicBytes, idBytes));
      if (found.isEmpty()) {
        found.close();
        return Optional.empty();
      }
      return Optional.of(found.get(0));
    } finally {
      leave();
    }
  }

  /**
   * Returns which messages a queue has; callable from any thread.
   *
   * @param topic the topic
   * @param queueId the queue
   * @return its first index and one past its last; empty if it never had a message
   * @throws CairnException {@link Status#INVALID_ARGUMENT} in a store without consume queues
   */
  public final Optional<QueueRange> queueRange(String topic, int queueId) {
    byte[] topicBytes = Wire.utf8(topic);
    long store = enter();
    try {
      return Optional.ofNullable(Native.storeQueueRange(store, topicBytes, queueId))
          .map(QueueRange::new);
    } finally {
      leave();
    }
  }

  /**
   * Finds the message of a queue that was stored around a time; callable from any thread.
   *
   * @param topic the topic
   * @param queueId the queue
   * @param time the time; messages have theirs in milliseconds
   * @param boundary which of the messages around it is meant
   * @return its index; empty if the queue never had a message
   * @throws CairnException as {@link #read}
   */
  public final OptionalLong offsetAtTime(
      String topic, int queueId, Instant time, TimeBoundary boundary) {
    byte[] topicBytes = Wire.utf8(topic);
    long timeMs = boundary.millisecond(time);
    boolean upper = boundary == TimeBoundary.UPPER;
    long store = enter();
    try {
      long index = Native.storeOffsetAtTime(store, topicBytes, queueId, timeMs, upper);
      return index < 0 ? OptionalLong.empty() : OptionalLong.of(index);
    } finally {
      leave();
    }
  }

  /**
   * Returns the topics that have had messages; callable from any thread.
   *
   * @return the topics, sorted
   * @throws CairnException {@link Status#INVALID_ARGUMENT} in a store without consume queues
   */
  public final List<String> topics() {
    long store = enter();
    try {
      ByteBuffer described = Wire.reader(Native.storeTopics(store));
      List<String> topics = new ArrayList<>();
      for (int left = described.getInt(); left > 0; left--) {
        topics.add(Wire.readText(described));
      }
      return Collections.unmodifiableList(topics);
    } finally {
      leave();
    }
  }

  /**
   * Returns the queues of a topic that have had messages; callable from any thread.
   *
   * @param topic the topic
   * @return their numbers, ascending
   * @throws CairnException {@link Status#INVALID_ARGUMENT} in a store without consume queues
   */
  public final List<Integer> queuesOf(String topic) {
    byte[] topicBytes = Wire.utf8(topic);
    long store = enter();
    try {
      int[] queues = Native.storeQueuesOf(store, topicBytes);
      return Arrays.stream(queues).boxed().collect(Collectors.toUnmodifiableList());
    } finally {
      leave();
    }
  }

  /**
   * Waits, on any thread, until a queue can be read at an index.
   *
   * @param topic the topic
   * @param queueId the queue, which need not exist yet
   * @param offset the index, not negative
   * @param limit how long to wait at most
   * @return false when the time ran out or the thread was interrupted, which stays interrupted
   * @throws CairnException if the store was closed; else as {@link #tail}
   */
  public final boolean waitMessage(String topic, int queueId, long offset, Duration limit) {
    byte[] topicBytes = Wire.utf8(topic);
    return waitInSlices(
        limit,
        (store, ms) -> Native.storeWaitMessage(store, topicBytes, queueId, offset, ms));
  }

  /**
   * Waits, on any thread, until something at or behind an offset can be read.
   *
   * @param physicalOffset the offset
   * @param limit how long to wait at most
   * @return false when the time ran out or the thread was interrupted, which stays interrupted
   * @throws CairnException if the store was closed
   */
  public final boolean waitReadable(long physicalOffset, Duration limit) {
    return waitInSlices(limit, (store, ms) -> Native.storeWaitReadable(store, physicalOffset, ms));
  }

  /** One slice of {@link #waitReadable}. */
  boolean isReadable(long physicalOffset, long milliseconds) {
    long store = enter();
    try {
      return Native.storeWaitReadable(store, physicalOffset, milliseconds);
    } finally {
      leave();
    }
  }

  /** One slice of a wait in the engine. */
  interface Wait {
    boolean forMilliseconds(long store, long milliseconds);
  }

  final boolean waitInSlices(Duration limit, Wait wait) {
    Boolean happened =
        Waiting.inSlices(
            limit,
            milliseconds -> {
              long store = enter();
              try {
                return wait.forMilliseconds(store, milliseconds) ? true : null;
              } finally {
                leave();
              }
            });
    return happened != null;
  }

  /**
   * Returns the size of a commit log file; callable from any thread.
   *
   * @return bytes
   */
  public final long segmentSizeBytes() {
    long store = enter();
    try {
      return Native.storeSegmentSizeBytes(store);
    } finally {
      leave();
    }
  }

  /**
   * Returns where the log begins; callable from any thread.
   *
   * @return the physical offset of the first file
   */
  public final long minOffset() {
    return range()[0];
  }

  /**
   * Returns where the log ends; callable from any thread.
   *
   * @return one past the last byte that was appended, or, of a reader, that can be read
   */
  public final long maxOffset() {
    return range()[1];
  }

  private long[] range() {
    long store = enter();
    try {
      return Native.storeRange(store);
    } finally {
      leave();
    }
  }
}
