package io.cairnlog;

import java.lang.ref.Cleaner;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.LongConsumer;

/**
 * An object of the engine; may be used and closed from any thread at any time.
 *
 * <p>One word holds "closed" (the top bit) and the number of calls that are running (the rest). A
 * call that finds the bit set is refused; the last one out after that releases the object. So no
 * call ever uses a released object, and none is released twice.
 */
abstract class NativeHandle implements AutoCloseable {
  static final Cleaner CLEANER = Cleaner.create();

  private final State state;
  private final Cleaner.Cleanable cleanable;

  NativeHandle(State state) {
    this.state = state;
    this.cleanable = CLEANER.register(this, state);
  }

  /** Begins a call and returns the object; {@link #leave()} must follow. */
  final long enter() {
    return state.enter();
  }

  /** Ends a call. */
  final void leave() {
    state.leave();
  }

  /** Refuses further calls. True for the one caller who must then end with {@link #leave()}. */
  final boolean beginClose() {
    return state.beginClose();
  }

  /** The object, between {@link #beginClose()} and {@link #leave()}. */
  final long closing() {
    return state.pointer;
  }

  /** Takes the handle off the cleaner, after it was closed. */
  final void closed() {
    cleanable.clean();
  }

  /**
   * Says, from any thread, whether {@link #close()} was called.
   *
   * @return whether calls are refused
   */
  public final boolean isClosed() {
    return state.word.get() < 0;
  }

  /**
   * Closes this object, from any thread, and does nothing when it is closed already. Calls that are
   * running end first; later ones throw {@link StoreClosedException}.
   */
  @Override
  public void close() {
    if (beginClose()) {
      leave();
      closed();
    }
  }

  /** The word and the object. The cleaner holds this, so it must never refer to the handle. */
  static final class State implements Runnable {
    private static final long CLOSED = Long.MIN_VALUE;

    private final AtomicLong word = new AtomicLong();
    private final long pointer;
    private final LongConsumer release;
    private final String name;

    /**
     * Holds an object.
     *
     * @param pointer the object
     * @param release ends the object
     * @param name what error texts call it
     */
    State(long pointer, LongConsumer release, String name) {
      this.pointer = pointer;
      this.release = release;
      this.name = name;
    }

    long enter() {
      while (true) {
        long seen = word.get();
        if (seen < 0) {
          throw new CairnException.Failure(Status.STORE_CLOSED, "the " + name + " was closed")
              .toException();
        }
        if (word.compareAndSet(seen, seen + 1)) {
          return pointer;
        }
      }
    }

    void leave() {
      if (word.decrementAndGet() == CLOSED) {
        release.accept(pointer);
      }
    }

    boolean beginClose() {
      while (true) {
        long seen = word.get();
        if (seen < 0) {
          return false;
        }
        if (word.compareAndSet(seen, CLOSED + seen + 1)) {
          return true;
        }
      }
    }

    @Override
    public void run() {
      if (beginClose()) {
        leave();
      }
    }
  }
}
