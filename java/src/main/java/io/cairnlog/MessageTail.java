package io.cairnlog;

import java.time.Duration;
import java.util.Iterator;
import java.util.NoSuchElementException;
import java.util.Optional;

/**
 * A walk along a queue; for one thread at a time, but closable from any.
 *
 * <p>As an {@link Iterator} it ends where the queue ends for now, and goes on there when more was
 * appended. {@link #next(Duration)} waits for more instead. Messages that retention removed are
 * passed over. A message stays good while it is reachable and pins the files of those that were
 * read with it.
 */
public final class MessageTail extends NativeHandle
    implements Iterator<MessageView>, Iterable<MessageView> {
  /** Keeps the store from being collected, and so from being closed. */
  private final ReadableStore store;

  private MessageBatch batch;
  private int index;
  private long nextOffset;

  MessageTail(long tail, ReadableStore store, long from) {
    super(new State(tail, Native::tailRelease, "tail"));
    this.store = store;
    this.nextOffset = from;
  }

  /**
   * Returns where a later tail would go on; call on the reading thread.
   *
   * @return an index behind the message that was returned last
   */
  public long offset() {
    return batch == null ? nextOffset : batch.get(index).queueOffset();
  }

  /**
   * Returns this walk, so that it can stand in a for loop; call on the reading thread.
   *
   * @return this walk, wherever it is
   */
  @Override
  public Iterator<MessageView> iterator() {
    return this;
  }

  /**
   * Says whether there is a message at present; call on the reading thread.
   *
   * @return false where the queue ends for now
   * @throws StoreClosedException if the tail or the store was closed
   * @throws CorruptionException if the queue points to something that is not its message
   */
  @Override
  public boolean hasNext() {
    return readAhead(0);
  }

  /**
   * Returns the next message; call on the reading thread.
   *
   * @return the message
   * @throws NoSuchElementException where the queue ends for now
   */
  @Override
  public MessageView next() {
    if (!hasNext()) {
      throw new NoSuchElementException("the queue ends for now at " + nextOffset);
    }
    return take();
  }

  /**
   * Waits for the next message; call on the reading thread.
   *
   * @param limit how long to wait at most; zero looks once
   * @return the message, empty when the time ran out or the thread was interrupted, which stays
   *     interrupted
   * @throws StoreClosedException if the tail or the store was closed
   * @throws CorruptionException if the queue points to something that is not its message
   */
  public Optional<MessageView> next(Duration limit) {
    return Optional.ofNullable(
        Waiting.inSlices(limit, milliseconds -> readAhead(milliseconds) ? take() : null));
  }

  private MessageView take() {
    MessageView message = batch.get(index++);
    if (index == batch.size()) {
      batch = null;
    }
    return message;
  }

  /** Makes {@code batch} have the next message at {@code index}; false if there is none. */
  private boolean readAhead(long milliseconds) {
    store.enter();
    try {
      long tail = enter();
      try {
        if (batch != null) {
          return true;
        }
        MessageBatch read = MessageBatch.take(Native.tailNext(tail, milliseconds));
        nextOffset = read.nextOffset();
        if (read.isEmpty()) {
          read.close();
          return false;
        }
        batch = read;
        index = 0;
        return true;
      } finally {
        leave();
      }
    } finally {
      store.leave();
    }
  }
}
