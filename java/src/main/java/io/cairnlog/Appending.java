package io.cairnlog;

import java.lang.ref.Reference;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;

/** How a message crosses to the engine: written to the thread's scratch memory, in one call. */
final class Appending {
  private Appending() {}

  /** A native that takes a request and puts the result in its place. */
  interface Append {
    void call(long scratch, int length, int capacity);
  }

  /** A native that takes a request and the token of its completion. */
  interface AppendAsync {
    void call(long scratch, int length, int capacity, long token);
  }

  static AppendResult append(Message message, Append append) {
    Scratch scratch =
        Scratch.withCapacity(Math.max(message.encodedBytes(), AppendResult.BYTES));
    try {
      message.write(scratch.buffer());
      append.call(scratch.address(), scratch.length(), scratch.capacity());
      scratch.buffer().clear();
      return AppendResult.read(scratch.buffer());
    } finally {
      Reference.reachabilityFence(scratch);
    }
  }

  static CompletableFuture<AppendResult> appendAsync(
      Message message, Executor executor, AppendAsync append) {
    Scratch scratch =
        Scratch.withCapacity(Math.max(message.encodedBytes(), AppendResult.BYTES));
    CompletableFuture<AppendResult> future = new CompletableFuture<>();
    message.write(scratch.buffer());
    // The completion may arrive before the call returns, so the future is there first.
    long token = Completions.expect(future, executor);
    try {
      append.call(scratch.address(), scratch.length(), scratch.capacity(), token);
    } catch (Throwable refused) {
      Completions.forget(token);
      throw refused;
    } finally {
      Reference.reachabilityFence(scratch);
    }
    return future;
  }
}
