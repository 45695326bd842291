package io.cairnlog;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Executor;
import java.util.concurrent.ForkJoinPool;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.atomic.AtomicLong;

/**
 * The futures of asynchronous appends. One daemon thread per process takes whole groups from the
 * engine and hands each, as one task, to the executor of its store; it completes nothing itself and
 * so never waits for an application.
 */
final class Completions {
  private static final AtomicLong NEXT_TOKEN = new AtomicLong();
  private static final Map<Long, Waiting> WAITING = new ConcurrentHashMap<>();

  private Completions() {}

  /** Starts the thread at the first use. */
  private static final class Starter {
    static {
      Thread thread = new Thread(Completions::run, "cairnlog-completions");
      thread.setDaemon(true);
      thread.setContextClassLoader(null);
      thread.start();
    }

    private Starter() {}

    static void started() {}
  }

  /** A future and where to complete it. */
  private static final class Waiting {
    private final CompletableFuture<AppendResult> future;
    private final Executor executor;

    Waiting(CompletableFuture<AppendResult> future, Executor executor) {
      this.future = future;
      this.executor = executor;
    }
  }

  /** Keeps a future until its completion arrives; returns the token that tells it. */
  static long expect(CompletableFuture<AppendResult> future, Executor executor) {
    Starter.started();
    long token = NEXT_TOKEN.incrementAndGet();
    WAITING.put(token, new Waiting(future, executor));
    return token;
  }

  /** Forgets a future whose append was refused. */
  static void forget(long token) {
    WAITING.remove(token);
  }

  /** The number of futures that wait. */
  static int waiting() {
    return WAITING.size();
  }

  private static void run() {
    while (true) {
      try {
        deliver(Wire.reader(Native.awaitCompletions()));
      } catch (Throwable failure) {
        // Nobody else would complete the futures to come, so the thread outlives everything.
        Diagnostics.report("cannot hand out completions", failure);
      }
    }
  }

  private static void deliver(ByteBuffer group) {
    Map<Executor, List<Runnable>> byExecutor = new IdentityHashMap<>();
    for (int left = group.getInt(); left > 0; left--) {
      Waiting waiting = WAITING.remove(group.getLong());
      int statusCode = group.getInt();
      Runnable completion;
      if (statusCode == Status.OK.code()) {
        AppendResult result = AppendResult.read(group);
        completion = () -> waiting.future.complete(result);
      } else {
        CairnException failure = CairnException.read(statusCode, group, true);
        completion = () -> waiting.future.completeExceptionally(failure);
      }
      if (waiting != null) {
        byExecutor.computeIfAbsent(waiting.executor, any -> new ArrayList<>()).add(completion);
      }
    }
    byExecutor.forEach(Completions::hand);
  }

  private static void hand(Executor executor, List<Runnable> group) {
    Runnable task = () -> group.forEach(Runnable::run);
    try {
      executor.execute(task);
    } catch (RejectedExecutionException shutDown) {
      // The application stopped its executor, but somebody may still wait for the futures.
      ForkJoinPool.commonPool().execute(task);
    }
  }
}
