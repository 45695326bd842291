package io.cairnlog;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;

/** Futures: completed when durable, in groups, on the executor, exactly once, also at close. */
class AppendAsyncTest extends StoreTestCase {
  private static <T> T get(CompletableFuture<T> future) throws Exception {
    return future.get(20, TimeUnit.SECONDS);
  }

  @Test
  void futuresCompleteInGroupsOnTheExecutor() throws Exception {
    AtomicInteger tasks = new AtomicInteger();
    ExecutorService executor =
        Executors.newSingleThreadExecutor(task -> new Thread(task, "application"));
    StoreOptions options =
        small()
            .flushMode(FlushMode.SYNC)
            .completionExecutor(
                task -> {
                  tasks.incrementAndGet();
                  executor.execute(task);
                })
            .build();
    try (CairnStore store = CairnStore.open(directory, options);
        QueueAppender queue = store.queue("queue", 2)) {
      List<CompletableFuture<AppendResult>> futures = new ArrayList<>();
      List<CompletableFuture<String>> threads = new ArrayList<>();
      for (int i = 0; i < 2000; i++) {
        CompletableFuture<AppendResult> future =
            i % 2 == 0
                ? store.appendAsync(message("m" + i))
                : queue.appendAsync(message("m" + i));
        futures.add(future);
        threads.add(future.thenApply(done -> Thread.currentThread().getName()));
      }
      for (int i = 0; i < 2000; i++) {
        AppendResult placed = get(futures.get(i));
        assertEquals(i / 2, placed.queueOffset());
        assertTrue(store.positions().durableOffset() >= placed.endOffset());
        String thread = get(threads.get(i));
        assertTrue(
            thread.equals("application") || thread.equals(Thread.currentThread().getName()),
            thread);
      }
      assertTrue(tasks.get() < 1000, "2000 completions took " + tasks + " tasks");
    } finally {
      executor.shutdown();
      assertTrue(executor.awaitTermination(20, TimeUnit.SECONDS));
    }
  }

  @Test
  void aRefusedAppendThrowsAtOnceAndLeavesNoFuture() {
    try (CairnStore store = openSmall()) {
      CairnException refused =
          assertThrows(
              CairnException.class, () -> store.appendAsync(Message.of("no/slash", new byte[1])));
      assertEquals(Status.TOPIC_ILLEGAL, refused.status());
      assertThrows(
          CairnException.class, () -> store.appendAsync(Message.of(TOPIC, new byte[0])));
    }
  }

  @Test
  void closeCompletesEveryFuture() throws Exception {
    StoreOptions options = small().flushIntervalMs(60_000).build();
    List<CompletableFuture<AppendResult>> futures = new ArrayList<>();
    try (CairnStore store = CairnStore.open(directory, options)) {
      for (int i = 0; i < 100; i++) {
        futures.add(store.appendAsync(message("m" + i)));
      }
    }
    for (CompletableFuture<AppendResult> future : futures) {
      assertEquals(1, get(future).messageCount());
    }
  }

  @Test
  void aStoppedExecutorDoesNotLoseFutures() throws Exception {
    ExecutorService stopped = Executors.newSingleThreadExecutor();
    stopped.shutdown();
    StoreOptions options =
        small().flushMode(FlushMode.SYNC).completionExecutor(stopped).build();
    try (CairnStore store = CairnStore.open(directory, options)) {
      assertEquals(0, get(store.appendAsync(message("m"))).queueOffset());
    }
  }

  @Test
  void aCallbackThatWaitsAndFailsHoldsUpNoLaterGroup() throws Exception {
    ExecutorService executor = Executors.newCachedThreadPool();
    CompletableFuture<Void> attached = new CompletableFuture<>();
    CompletableFuture<Void> entered = new CompletableFuture<>();
    CompletableFuture<Void> release = new CompletableFuture<>();
    StoreOptions options =
        small()
            .flushMode(FlushMode.SYNC)
            .completionExecutor(
                task ->
                    executor.execute(
                        () -> {
                          attached.join();
                          task.run();
                        }))
            .build();
    try (CairnStore store = CairnStore.open(directory, options)) {
      CompletableFuture<AppendResult> first = store.appendAsync(message("first"));
      CompletableFuture<Object> failing =
          first.thenApply(
              placed -> {
                entered.complete(null);
                release.join();
                throw new IllegalStateException("an application's fault");
              });
      attached.complete(null);
      get(entered);
      for (int i = 0; i < 10; i++) {
        assertTrue(get(store.appendAsync(message("m" + i))).physicalOffset() > 0);
      }
      release.complete(null);
      assertThrows(Exception.class, () -> get(failing));
      assertFalse(first.isCompletedExceptionally());
    } finally {
      executor.shutdown();
    }
  }
}
