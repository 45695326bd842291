package io.cairnlog;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Iterator;
import java.util.List;

/**
 * Messages that were read together; usable and closable from any thread.
 *
 * <p>A batch pins the files its messages lie in. {@link #close()} gives the pins up at once; a
 * batch that nobody closes gives them up when it is collected. A buffer from {@link
 * MessageView#bodyBuffer()} has a pin of its own.
 */
public final class MessageBatch extends NativeHandle implements Iterable<MessageView> {
  private final List<MessageView> messages;
  private final ReadOutcome outcome;
  private final long nextOffset;
  private final long minOffset;
  private final long maxOffset;

  private MessageBatch(State state, ByteBuffer described) {
    super(state);
    outcome = ReadOutcome.fromCode(described.getInt());
    nextOffset = described.getLong();
    minOffset = described.getLong();
    maxOffset = described.getLong();
    int count = described.getInt();
    List<MessageView> read = new ArrayList<>(count);
    for (int index = 0; index < count; index++) {
      read.add(new MessageView(this, index, described));
    }
    messages = Collections.unmodifiableList(read);
  }

  /** Takes over what reading.rs gave: the batch, the read, the messages. */
  static MessageBatch take(byte[] given) {
    return take(Wire.reader(given));
  }

  /** Takes over a batch and leaves unread what stands behind its messages. */
  static MessageBatch take(ByteBuffer described) {
    return new MessageBatch(
        new State(described.getLong(), Native::batchRelease, "batch"), described);
  }

  /**
   * Says what came of the read; callable from any thread.
   *
   * @return of messages that were looked up {@link ReadOutcome#FOUND} or {@link
   *     ReadOutcome#NO_MATCHED_MESSAGE}, of the log {@link ReadOutcome#FOUND} or {@link
   *     ReadOutcome#END_OF_LOG}
   */
  public ReadOutcome outcome() {
    return outcome;
  }

  /**
   * Returns the messages; callable from any thread.
   *
   * @return the messages in the order of the queue or the log; unmodifiable
   */
  public List<MessageView> messages() {
    return messages;
  }

  /**
   * Returns the number of messages; callable from any thread.
   *
   * @return the number
   */
  public int size() {
    return messages.size();
  }

  /**
   * Says whether there is no message; callable from any thread.
   *
   * @return whether there is none
   */
  public boolean isEmpty() {
    return messages.isEmpty();
  }

  /**
   * Returns a message; callable from any thread.
   *
   * @param index its index, from 0
   * @return the message
   */
  public MessageView get(int index) {
    return messages.get(index);
  }

  /**
   * Returns where to go on reading; callable from any thread.
   *
   * @return an index of the queue, or a physical offset if the log was read; -1 for messages that
   *     were looked up
   */
  public long nextOffset() {
    return nextOffset;
  }

  /**
   * Returns where what was read from began at the time; callable from any thread.
   *
   * @return the index of the queue's first message, or the log's first offset; -1 for messages that
   *     were looked up
   */
  public long minOffset() {
    return minOffset;
  }

  /**
   * Returns where what was read from ended at the time; callable from any thread.
   *
   * @return one past the index of the queue's last message, or past the readable log; -1 for
   *     messages that were looked up
   */
  public long maxOffset() {
    return maxOffset;
  }

  /**
   * Goes through the messages in order; callable from any thread.
   *
   * @return an iterator for one thread
   */
  @Override
  public Iterator<MessageView> iterator() {
    return messages.iterator();
  }

  byte[] copyBody(int index) {
    long batch = enter();
    try {
      return Native.batchBody(batch, index);
    } finally {
      leave();
    }
  }

  ByteBuffer showBody(int index) {
    long batch = enter();
    long pin;
    try {
      pin = Native.batchPin(batch, index);
    } finally {
      leave();
    }
    State state = new State(pin, Native::pinRelease, "buffer");
    ByteBuffer root;
    try {
      root = Native.pinBuffer(pin);
    } catch (Throwable failure) {
      state.run();
      throw failure;
    }
    // Views of a direct buffer refer to the buffer they were made from, so the root is collected
    // last, and with it goes the pin.
    CLEANER.register(root, state);
    return root.asReadOnlyBuffer();
  }
}
