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
  private final long nextOffset;

  private MessageBatch(State state, ByteBuffer described) {
    super(state);
    nextOffset = described.getLong();
    int count = described.getInt();
    List<MessageView> read = new ArrayList<>(count);
    for (int index = 0; index < count; index++) {
      read.add(new MessageView(this, index, described));
    }
    messages = Collections.unmodifiableList(read);
  }

  /** Takes over what reading.rs gave: the batch, where to go on, the messages. */
  static MessageBatch take(byte[] given) {
    ByteBuffer described = Wire.reader(given);
    return new MessageBatch(
        new State(described.getLong(), Native::batchRelease, "batch"), described);
  }

  /**
   * Returns the messages; callable from any thread.
   *
   * @return the messages in log order; unmodifiable
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
   * @return the physical offset behind the last message
   */
  public long nextOffset() {
    return nextOffset;
  }

  /**
   * Goes through the messages in log order; callable from any thread.
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
