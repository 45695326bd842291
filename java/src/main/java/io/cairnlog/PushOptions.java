package io.cairnlog;

/**
 * How a listener is called; immutable, usable from any thread. Each setter returns other options.
 */
public final class PushOptions {
  private static final int MAX_THREADS = 1024;
  private static final PushOptions DEFAULTS = new PushOptions(4, 1);

  private final int threads;
  private final int maxBatch;

  private PushOptions(int threads, int maxBatch) {
    this.threads = threads;
    this.maxBatch = maxBatch;
  }

  /**
   * Returns 4 threads and 1 message per call; callable from any thread.
   *
   * @return the defaults
   */
  public static PushOptions defaults() {
    return DEFAULTS;
  }

  /**
   * Sets how many threads call the listener; callable from any thread.
   *
   * @param count from 1 to 1024; default 4
   * @return the options with so many threads
   */
  public PushOptions threads(int count) {
    return new PushOptions(count, maxBatch);
  }

  /**
   * Sets how many messages a call gets at most; callable from any thread.
   *
   * @param messages at least 1; default 1
   * @return the options with this limit
   */
  public PushOptions maxBatch(int messages) {
    return new PushOptions(threads, messages);
  }

  int threads() {
    return threads;
  }

  int maxBatch() {
    return maxBatch;
  }

  void check() {
    if (threads < 1 || threads > MAX_THREADS || maxBatch < 1) {
      throw new CairnException.Failure(
              Status.INVALID_ARGUMENT,
              "a push consumer has 1 to 1024 threads and batches of at least one message: found "
                  + this)
          .toException();
    }
  }

  @Override
  public String toString() {
    return "PushOptions[threads=" + threads + ", maxBatch=" + maxBatch + "]";
  }
}
