package io.cairnlog;

import java.lang.ref.Reference;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;
import java.util.stream.Collectors;

/**
 * A store: one directory, open for appending and reading; usable and closable from any thread.
 *
 * <p>A call after {@link #close()} throws {@link StoreClosedException} and touches nothing. What
 * was read stays good. A store that is never closed is closed when it is collected; what goes
 * wrong then is only logged.
 */
public final class CairnStore extends NativeHandle {
  private final Path directory;
  private final Executor completionExecutor;

  private CairnStore(long store, Path directory, Executor completionExecutor) {
    super(new State(store, CairnStore::release, "store"));
    this.directory = directory;
    this.completionExecutor = completionExecutor;
  }

  private static void release(long store) {
    Native.storeRelease(store);
  }

  /**
   * Opens or makes a store, from any thread: takes its lock, recovers what is there, starts its
   * services.
   *
   * @param directory the store's directory
   * @param options what the store is told
   * @return the store, for the caller to close
   * @throws StoreLockedException if another opener holds the store
   * @throws CorruptionException if a record or file is damaged; nothing was changed
   * @throws StorageException if the machine refuses
   * @throws CairnException {@link Status#INVALID_ARGUMENT} for an impossible option, {@link
   *     Status#STORE_NOT_FOUND} where there is no store and none may be made
   * @throws UnsatisfiedLinkError if the native library cannot be loaded
   */
  public static CairnStore open(Path directory, StoreOptions options) {
    Objects.requireNonNull(directory, "directory");
    NativeLoader.load();
    Diagnostics.takeLevel();
    long store = Native.storeOpen(options.openRequest(directory));
    return new CairnStore(store, directory, options.completionExecutor());
  }

  /**
   * Opens or makes a store with the default options, from any thread.
   *
   * @param directory the store's directory
   * @return the store, for the caller to close
   * @throws CairnException as {@link #open(Path, StoreOptions)}
   */
  public static CairnStore open(Path directory) {
    return open(directory, StoreOptions.defaults());
  }

  /**
   * Says, from any thread, what opening would do; reads only, takes no lock, changes nothing.
   *
   * @param directory the store's directory
   * @param options what the store would be told
   * @return the report
   * @throws CairnException as {@link #open(Path, StoreOptions)}
   */
  public static RecoveryReport planRecovery(Path directory, StoreOptions options) {
    NativeLoader.load();
    return new RecoveryReport(Native.storePlanRecovery(options.openRequest(directory)));
  }

  /**
   * Returns the directory, as given to {@link #open}; callable from any thread.
   *
   * @return the directory
   */
  public Path directory() {
    return directory;
  }

  /**
   * Appends a message, from any thread, and waits as the flush mode and the message say.
   *
   * @param message the message
   * @return where it lies
   * @throws StoreClosedException if the store was closed
   * @throws StoreFencedException if an earlier write or sync failed
   * @throws StorageException if the machine refuses; {@link Status#DISK_FULL} stores nothing
   * @throws CairnException {@link Status#FLUSH_TIMEOUT} if the sync took too long, with {@link
   *     CairnException#appended()}; else the limit that the message breaks
   */
  public AppendResult append(Message message) {
    long store = enter();
    try {
      return Appending.append(
          message,
          (scratch, length, capacity) -> Native.storeAppend(store, scratch, length, capacity));
    } finally {
      leave();
    }
  }

  /**
   * Appends a message, from any thread, and returns at once with a future of its acknowledgement.
   *
   * <p>Futures are completed in groups, one per flush, on the executor of the options and never on
   * a thread of the engine. A callback that waits holds up the rest of its group: attach such a one
   * by an {@code Async} method. Cancelling a future does not undo the append.
   *
   * @param message the message
   * @return completes with where the message lies, or with a {@link CairnException}
   * @throws CairnException if the append was refused, as {@link #append}; there is no future then
   */
  public CompletableFuture<AppendResult> appendAsync(Message message) {
    long store = enter();
    try {
      return Appending.appendAsync(
          message,
          completionExecutor,
          (scratch, length, capacity, token) ->
              Native.storeAppendAsync(store, scratch, length, capacity, token));
    } finally {
      leave();
    }
  }

  /**
   * Appends messages in order, from any thread, and waits once for all of them. It stops at the
   * first that is refused.
   *
   * @param messages the messages
   * @return where each lies
   * @throws CairnException as {@link #append}; {@link CairnException#appended()} has the messages
   *     that are in the log nevertheless
   */
  public List<AppendResult> appendAll(List<Message> messages) {
    long results = (long) messages.size() * AppendResult.BYTES;
    long request = 4;
    for (Message message : messages) {
      request += message.encodedBytes();
    }
    long store = enter();
    try {
      Scratch scratch = Scratch.withCapacity(Math.max(request, results));
      scratch.buffer().putInt(messages.size());
      messages.forEach(message -> message.write(scratch.buffer()));
      Native.storeAppendAll(store, scratch.address(), scratch.length(), scratch.capacity());
      scratch.buffer().clear().limit((int) results);
      List<AppendResult> appended = AppendResult.readRemaining(scratch.buffer());
      Reference.reachabilityFence(scratch);
      return appended;
    } finally {
      leave();
    }
  }

  /**
   * Appends a batch as consecutive records, from any thread: all of them in one file, or none.
   *
   * @param batch the batch
   * @return where the first record lies, and how many there are
   * @throws CairnException {@link Status#BATCH_ILLEGAL} if the encoding is malformed; else as
   *     {@link #append}
   */
  public AppendResult appendBatch(EncodedBatch batch) {
    return appendEncoded(batch, false);
  }

  /**
   * Appends a batch as one record that carries all items, from any thread. A topic has such records
   * or single messages, and never both.
   *
   * @param batch the batch
   * @return where the record lies, and how many messages it carries
   * @throws CairnException {@link Status#BATCH_ILLEGAL} if the encoding is malformed, or the topic
   *     has single messages; else as {@link #append}
   */
  public AppendResult appendInnerBatch(EncodedBatch batch) {
    return appendEncoded(batch, true);
  }

  private AppendResult appendEncoded(EncodedBatch batch, boolean inner) {
    long store = enter();
    try {
      Scratch scratch =
          Scratch.withCapacity(Math.max(batch.encodedBytes(), AppendResult.BYTES));
      batch.write(scratch.buffer());
      Native.storeAppendBatch(
          store, scratch.address(), scratch.length(), scratch.capacity(), inner);
      scratch.buffer().clear();
      AppendResult result = AppendResult.read(scratch.buffer());
      Reference.reachabilityFence(scratch);
      return result;
    } finally {
      leave();
    }
  }

  /**
   * Prepares a (topic, queue) for the hot path; callable from any thread.
   *
   * @param topic the topic
   * @param queueId the queue, from 0
   * @return the prepared queue, for the caller to close
   * @throws CairnException if the topic or the queue is impossible
   */
  public QueueAppender queue(String topic, int queueId) {
    byte[] topicBytes = Wire.utf8(topic);
    long store = enter();
    try {
      long queue = Native.queueOpen(store, topicBytes, queueId);
      return new QueueAppender(queue, this, topic, queueId, completionExecutor);
    } finally {
      leave();
    }
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
  public MessageBatch readAt(long physicalOffset) {
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
  public MessageBatch readLog(long from, int maxMessages, int maxBytes) {
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
  public LogScan scan(long from) {
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
  public MessageBatch read(ReadRequest request) {
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
  public MessageTail tail(String topic, int queueId, long offset, Filter filter) {
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
  public MessageBatch queryKey(
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
  public Optional<MessageView> findByMessageId(String topic, String id) {
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
  public Optional<QueueRange> queueRange(String topic, int queueId) {
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
  public OptionalLong offsetAtTime(
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
  public List<String> topics() {
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
  public List<Integer> queuesOf(String topic) {
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
   * Returns the consumer groups of this store; callable from any thread.
   *
   * @return the groups, to join and to ask
   */
  public ConsumerGroups groups() {
    return new ConsumerGroups(this);
  }

  /**
   * Returns the transactions of this store; callable from any thread.
   *
   * @return the transactions, to begin and to end
   */
  public Transactions transactions() {
    return new Transactions(this);
  }

  /**
   * Removes the commit log files that are expired ({@link
   * StoreOptions.Builder#fileReservedTimeHours}) or too much ({@link
   * StoreOptions.Builder#maxTotalBytes}), and what the consume queues have for them; callable from
   * any thread. Files go whole and oldest first; the newest stays, and so does what is not yet
   * durable or not yet dispatched. Messages that were read stay good, and keep their space.
   *
   * @return what was removed
   * @throws StorageException if a file cannot be removed; it stays with all that follow
   * @throws StoreFencedException if an earlier write or sync failed
   */
  public RemovedFiles removeExpired() {
    long store = enter();
    try {
      return new RemovedFiles(Native.storeRemoveExpired(store));
    } finally {
      leave();
    }
  }

  /**
   * Removes the commit log files that end at or in front of an offset, else as {@link
   * #removeExpired}; callable from any thread.
   *
   * @param physicalOffset the offset
   * @return what was removed
   * @throws CairnException {@link Status#OFFSET_OUT_OF_RANGE} if the log does not reach that far
   */
  public RemovedFiles removeBefore(long physicalOffset) {
    long store = enter();
    try {
      return new RemovedFiles(Native.storeRemoveBefore(store, physicalOffset));
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
  public boolean waitMessage(String topic, int queueId, long offset, Duration limit) {
    byte[] topicBytes = Wire.utf8(topic);
    return waitInSlices(
        limit,
        (store, ms) -> Native.storeWaitMessage(store, topicBytes, queueId, offset, ms));
  }

  /**
   * Waits, on any thread, until everything below an offset is in the queues and the key index.
   *
   * @param endOffset the offset, as {@link AppendResult#endOffset()}
   * @param limit how long to wait at most
   * @return false when the time ran out or the thread was interrupted, which stays interrupted
   * @throws CairnException {@link Status#INVALID_ARGUMENT} in a store without consume queues; else
   *     if the store was closed
   */
  public boolean waitDispatched(long endOffset, Duration limit) {
    return waitInSlices(limit, (store, ms) -> Native.storeWaitDispatched(store, endOffset, ms));
  }

  /**
   * Returns how far the queues and the key index have come; callable from any thread.
   *
   * @return the offset everything below which is in them; the log's first offset in a store without
   */
  public long dispatchedOffset() {
    long store = enter();
    try {
      return Native.storeDispatchedOffset(store);
    } finally {
      leave();
    }
  }

  /**
   * Says why messages do not come into the queues at present; callable from any thread. The engine
   * tries again every second.
   *
   * @return the reason, {@link Status#DISPATCH_BLOCKED}; empty while they do
   */
  public Optional<CairnException> dispatchError() {
    long store = enter();
    try {
      return Optional.ofNullable(Native.storeDispatchError(store))
          .map(Wire::reader)
          .map(described -> CairnException.read(described.getInt(), described, false));
    } finally {
      leave();
    }
  }

  /**
   * Waits, on any thread, until everything below an offset survives a power cut.
   *
   * @param endOffset the offset, as {@link AppendResult#endOffset()}
   * @param limit how long to wait at most
   * @return false when the time ran out or the thread was interrupted, which stays interrupted
   * @throws CairnException if the flush failed or the store was closed
   */
  public boolean waitDurable(long endOffset, Duration limit) {
    return waitInSlices(limit, (store, ms) -> Native.storeWaitDurable(store, endOffset, ms));
  }

  /**
   * Waits, on any thread, until something at or behind an offset can be read.
   *
   * @param physicalOffset the offset
   * @param limit how long to wait at most
   * @return false when the time ran out or the thread was interrupted, which stays interrupted
   * @throws CairnException if the store was closed
   */
  public boolean waitReadable(long physicalOffset, Duration limit) {
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

  private interface Wait {
    boolean forMilliseconds(long store, long milliseconds);
  }

  private boolean waitInSlices(Duration limit, Wait wait) {
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
   * Forces everything appended so far, from any thread, and returns when it survives a power cut.
   *
   * @throws StorageException if the sync failed; the store is fenced then
   */
  public void flush() {
    long store = enter();
    try {
      Native.storeFlush(store);
    } finally {
      leave();
    }
  }

  /**
   * Returns how far the store has come; callable from any thread.
   *
   * @return the positions
   */
  public StorePositions positions() {
    long store = enter();
    try {
      return new StorePositions(Native.storePositions(store));
    } finally {
      leave();
    }
  }

  /**
   * Returns the index that the next message of a queue gets; callable from any thread.
   *
   * @param topic the topic
   * @param queueId the queue
   * @return the index, 0 for an unknown queue
   */
  public long nextQueueOffset(String topic, int queueId) {
    byte[] topicBytes = Wire.utf8(topic);
    long store = enter();
    try {
      return Native.storeNextQueueOffset(store, topicBytes, queueId);
    } finally {
      leave();
    }
  }

  /**
   * Returns the size of a commit log file; callable from any thread.
   *
   * @return bytes
   */
  public long segmentSizeBytes() {
    long store = enter();
    try {
      return Native.storeSegmentSizeBytes(store);
    } finally {
      leave();
    }
  }

  /**
   * Returns what the store has done since it was opened; callable from any thread.
   *
   * @return the statistics
   */
  public StoreStats stats() {
    long store = enter();
    try {
      return new StoreStats(Native.storeStats(store));
    } finally {
      leave();
    }
  }

  /**
   * Returns what opening found and did; callable from any thread.
   *
   * @return the report
   */
  public RecoveryReport recoveryReport() {
    long store = enter();
    try {
      return new RecoveryReport(Native.storeRecoveryReport(store));
    } finally {
      leave();
    }
  }

  /**
   * Closes the store, from any thread: flushes everything, stops the services, gives up the lock.
   * The first call does so and returns when it is done; others do nothing. Waits of other threads
   * end with {@link StoreClosedException}; futures are completed.
   *
   * @throws CairnException if something could not be made durable; the store is closed all the same
   */
  @Override
  public void close() {
    if (!beginClose()) {
      return;
    }
    try {
      Native.storeClose(closing());
    } finally {
      leave();
      closed();
    }
  }
}
