package io.cairnlog;

import java.lang.ref.Reference;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;

/**
 * A store: one directory, open for appending and reading; usable and closable from any thread.
 *
 * <p>A call after {@link #close()} throws {@link StoreClosedException} and touches nothing. What
 * was read stays good. A store that is never closed is closed when it is collected; what goes
 * wrong then is only logged.
 */
public final class CairnStore extends ReadableStore {
  private final Executor completionExecutor;

  private CairnStore(long store, Path directory, Executor completionExecutor) {
    super(store, directory, "store");
    this.completionExecutor = completionExecutor;
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
    long store =
        Native.storeOpen(options.openRequest(directory), options.recoveryProgressListener());
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
   * Opens a store for reading only, from any thread, beside the process that writes it, which may
   * be this one, or beside nobody: takes no lock and changes nothing.
   *
   * @param directory the store's directory
   * @param options of which those count that say where the log's files are, whether there is a key
   *     index, and how many queue files stay open
   * @return the reader, for the caller to close
   * @throws CorruptionException if the log's files are not a log
   * @throws StorageException if a file cannot be read
   * @throws CairnException {@link Status#STORE_NOT_FOUND} where there is no log with a file, {@link
   *     Status#INVALID_ARGUMENT} for an impossible option
   * @throws UnsatisfiedLinkError if the native library cannot be loaded
   */
  public static StoreReader openReader(Path directory, StoreOptions options) {
    Objects.requireNonNull(directory, "directory");
    NativeLoader.load();
    Diagnostics.takeLevel();
    return new StoreReader(Native.storeOpenReader(options.openRequest(directory)), directory);
  }

  /**
   * Opens a store for reading only, with the default options, from any thread.
   *
   * @param directory the store's directory
   * @return the reader, for the caller to close
   * @throws CairnException as {@link #openReader(Path, StoreOptions)}
   */
  public static StoreReader openReader(Path directory) {
    return openReader(directory, StoreOptions.defaults());
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
    return new RecoveryReport(
        Native.storePlanRecovery(
            options.openRequest(directory), options.recoveryProgressListener()));
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
   * @throws CairnException if something could not be made durable; the store is closed all the
   *     same. {@link Status#INVALID_ARGUMENT} from inside a {@link TransactionChecker}, for which
   *     this would wait; the store stays open then
   */
  @Override
  public void close() {
    Checks.refuseToWait();
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
