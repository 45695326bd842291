package io.cairnlog;

import java.time.Duration;
import java.util.Iterator;
import java.util.NoSuchElementException;
import java.util.Optional;

/**
 * A walk along the log; for one thread at a time. It needs no closing.
 *
 * <p>As an {@link Iterator} it ends at the readable end of the log, and goes on there when more was
 * appended. {@link #next(Duration)} waits for more instead. A message stays good while it is
 * reachable and pins the files of those that were read with it.
 */
public final class LogScan implements Iterator<MessageView>, Iterable<MessageView> {
  private static final int MAX_MESSAGES = 256;
  private static final int MAX_BYTES = 1 << 20;

  private final ReadableStore store;
  private MessageBatch batch;
  private int index;
  private long nextOffset;

  LogScan(ReadableStore store, long from) {
    this.store = store;
    this.nextOffset = from;
  }

  /**
   * Returns where the next message will be read; call on the scanning thread.
   *
   * @return the physical offset: of the next message, or where it may come to lie
   */
  public long offset() {
    return batch != null && index < batch.size() ? batch.get(index).physicalOffset() : nextOffset;
  }

  /**
   * Returns this walk, so that it can stand in a for loop; call on the scanning thread.
   *
   * @return this walk, wherever it is
   */
  @Override
  public Iterator<MessageView> iterator() {
    return this;
  }

  /**
   * Says whether there is a message at present; call on the scanning thread.
   *
   * @return false at the readable end of the log
   * @throws StoreClosedException if the store was closed
   * @throws CorruptionException if the next record is damaged
   */
  @Override
  public boolean hasNext() {
    if (batch != null && index < batch.size()) {
      return true;
    }
    batch = null;
    MessageBatch read = store.readLog(nextOffset, MAX_MESSAGES, MAX_BYTES);
    nextOffset = read.nextOffset();
    if (read.isEmpty()) {
      read.close();
      return false;
    }
    batch = read;
    index = 0;
    return true;
  }

  /**
   * Returns the next message; call on the scanning thread.
   *
   * @return the message
   * @throws NoSuchElementException at the readable end of the log
   */
  @Override
  public MessageView next() {
    if (!hasNext()) {
      throw new NoSuchElementException("the readable end of the log is at " + nextOffset);
    }
    return batch.get(index++);
  }

  /**
   * Waits for the next message; call on the scanning thread.
   *
   * @param limit how long to wait at most; zero looks once
   * @return the message, empty when the time ran out or the thread was interrupted, which stays
   *     interrupted
   * @throws StoreClosedException if the store was closed
   * @throws CorruptionException if the next record is damaged
   */
  public Optional<MessageView> next(Duration limit) {
    MessageView found =
        Waiting.inSlices(
            limit,
            milliseconds -> {
              boolean there = hasNext() || store.isReadable(nextOffset, milliseconds) && hasNext();
              return there ? next() : null;
            });
    return Optional.ofNullable(found);
  }
}
