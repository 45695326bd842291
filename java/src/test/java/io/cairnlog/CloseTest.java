package io.cairnlog;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertDoesNotThrow;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;

/** Closing while others use the store, and using it afterwards: exceptions, never a crash. */
class CloseTest extends StoreTestCase {
  private static final int THREADS = 4;

  @Test
  void theProtocolReleasesOnceAndNeverDuringACall() throws Exception {
    ExecutorService threads = Executors.newFixedThreadPool(THREADS);
    for (int round = 0; round < 2000; round++) {
      AtomicInteger released = new AtomicInteger();
      NativeHandle.State state =
          new NativeHandle.State(1, pointer -> released.incrementAndGet(), "handle");
      CountDownLatch start = new CountDownLatch(1);
      List<Future<?>> users = new ArrayList<>();
      for (int i = 0; i < THREADS; i++) {
        boolean closes = i == 0;
        users.add(
            threads.submit(
                () -> {
                  start.await();
                  for (int call = 0; call < 20; call++) {
                    if (closes && call == 10) {
                      state.run();
                    }
                    try {
                      state.enter();
                    } catch (StoreClosedException closed) {
                      break;
                    }
                    assertEquals(0, released.get(), "released during a call");
                    state.leave();
                  }
                  return null;
                }));
      }
      start.countDown();
      for (Future<?> user : users) {
        user.get(20, TimeUnit.SECONDS);
      }
      state.run();
      assertEquals(1, released.get());
    }
    threads.shutdown();
  }

  @Test
  void fourThreadsAgainstClose() throws Exception {
    ExecutorService threads = Executors.newFixedThreadPool(THREADS);
    for (int round = 0; round < 60; round++) {
      Path place = directory.resolve("round" + round % 2);
      CairnStore store = CairnStore.open(place, small().build());
      long first = store.append(message("first")).physicalOffset();
      CyclicBarrier start = new CyclicBarrier(THREADS + 1);
      List<Executable> uses =
          List.of(
              () -> store.append(message("appended")),
              () -> assertTrue(bodies(store).size() > 0),
              () -> store.waitReadable(store.positions().maxOffset(), Duration.ofMillis(5)),
              () -> {
                store.appendAsync(message("later"));
                try (MessageBatch batch = store.readAt(first)) {
                  assertEquals("first", new String(batch.get(0).body(), UTF_8));
                }
              });
      List<Future<?>> users = new ArrayList<>();
      for (Executable use : uses) {
        users.add(
            threads.submit(
                () -> {
                  start.await();
                  useUntilClosed(use);
                  return null;
                }));
      }
      start.await();
      TimeUnit.MICROSECONDS.sleep(200L * (round % 10));
      store.close();
      for (Future<?> user : users) {
        user.get(20, TimeUnit.SECONDS);
      }
    }
    threads.shutdown();
    eventually("futures were left", () -> Completions.waiting() == 0);
  }

  private static void useUntilClosed(Executable use) {
    while (true) {
      try {
        use.execute();
      } catch (StoreClosedException closed) {
        return;
      } catch (Throwable other) {
        throw new AssertionError("not a StoreClosedException", other);
      }
    }
  }

  @Test
  void everyCallAfterCloseThrows() {
    CairnStore store = openSmall();
    QueueAppender queue = store.queue(TOPIC, 0);
    AppendResult placed = store.append(message("m"));
    MessageBatch open = store.readAt(placed.physicalOffset());
    MessageBatch closed = store.readAt(placed.physicalOffset());
    LogScan scan = store.scan(0);
    MessageTail tail = store.tail(TOPIC, 0, 0, Filter.all());
    closed.close();
    store.close();
    store.close();
    assertTrue(store.isClosed());
    EncodedBatch batch = EncodedBatch.of(Message.builder(TOPIC).build(), List.of(message("m")));
    List<Executable> uses =
        List.of(
            () -> store.append(message("m")),
            () -> store.appendAll(List.of(message("m"))),
            () -> store.appendAsync(message("m")),
            () -> store.appendBatch(batch),
            () -> store.appendInnerBatch(batch),
            () -> store.queue(TOPIC, 0),
            () -> store.readAt(0),
            () -> store.readLog(0, 1, 1),
            () -> store.waitDurable(0, Duration.ZERO),
            () -> store.waitReadable(0, Duration.ZERO),
            store::flush,
            store::positions,
            () -> store.nextQueueOffset(TOPIC, 0),
            store::segmentSizeBytes,
            store::stats,
            store::recoveryReport,
            () -> store.read(ReadRequest.of(TOPIC, 0, 0)),
            () -> store.tail(TOPIC, 0, 0, Filter.all()),
            () -> store.queryKey(TOPIC, "k", Instant.MIN, Instant.MAX, 1),
            () -> store.findByMessageId(TOPIC, "id"),
            () -> store.queueRange(TOPIC, 0),
            () -> store.offsetAtTime(TOPIC, 0, Instant.EPOCH, TimeBoundary.LOWER),
            store::topics,
            () -> store.queuesOf(TOPIC),
            () -> store.waitMessage(TOPIC, 0, 0, Duration.ZERO),
            () -> store.waitDispatched(0, Duration.ZERO),
            store::dispatchedOffset,
            store::dispatchError,
            tail::hasNext,
            tail::next,
            () -> tail.next(Duration.ofSeconds(1)),
            scan::hasNext,
            () -> scan.next(Duration.ofSeconds(1)),
            () -> queue.append(message("m")),
            () -> queue.appendAsync(message("m")),
            () -> closed.get(0).body(),
            () -> closed.get(0).bodyBuffer());
    for (int i = 0; i < uses.size(); i++) {
      StoreClosedException thrown =
          assertThrows(StoreClosedException.class, uses.get(i), "use number " + i);
      assertEquals(Status.STORE_CLOSED, thrown.status());
    }
    assertEquals("m", new String(open.get(0).body(), UTF_8), "what was read stays good");
    assertEquals(TOPIC, closed.get(0).topic(), "fields were copied");
    tail.close();
    queue.close();
    assertThrows(StoreClosedException.class, () -> queue.append(message("m")));
    open.close();
  }

  @Test
  void closeEndsTheWaitsOfOthers() throws Exception {
    CairnStore store = openSmall();
    AtomicBoolean ended = new AtomicBoolean();
    Thread waiter =
        new Thread(
            () -> {
              assertThrows(
                  StoreClosedException.class,
                  () -> store.scan(0).next(Duration.ofSeconds(60)));
              ended.set(true);
            });
    waiter.start();
    Thread.sleep(50);
    store.close();
    waiter.join(TimeUnit.SECONDS.toMillis(20));
    assertTrue(ended.get());
  }

  @Test
  void aForgottenStoreIsClosedWhenItIsCollected() {
    openAndForget();
    eventually(
        "the store was not collected",
        () -> {
          System.gc();
          return Native.liveObjectCount() == 0;
        });
    assertDoesNotThrow(
        () -> {
          try (CairnStore store = openSmall()) {
            assertEquals(List.of("kept"), bodies(store));
          }
        });
  }

  /** A queue appender once let its store be collected, and closed, while it was in use. */
  @Test
  void aQueueAppenderKeepsItsStoreFromBeingCollected() throws Exception {
    QueueAppender queue = openSmall().queue(TOPIC, 0);
    for (int i = 0; i < 5; i++) {
      System.gc();
      Thread.sleep(20);
      assertEquals(i, queue.append(message("m" + i)).queueOffset());
    }
    assertEquals(2, Native.liveObjectCount());
    queue.close();
  }

  @Test
  void aStoreThatIsLeftOpenDoesNotKeepTheProcessAlive() throws Exception {
    Said said = runJvm(0, CHECKED, Leaver.class, directory.toString());
    assertEquals("done\n", said.output);
    try (CairnStore store = openSmall()) {
      assertFalse(store.recoveryReport().cleanStop());
      assertEquals(List.of("left"), bodies(store));
    }
  }

  /** Uses every thread of the package and ends without closing. */
  static final class Leaver {
    public static void main(String[] arguments) throws Exception {
      CairnStore store = CairnStore.open(Path.of(arguments[0]), small().build());
      store.appendAsync(message("left")).get(20, TimeUnit.SECONDS);
      System.out.println("done");
    }
  }

  private void openAndForget() {
    openSmall().append(message("kept"));
  }
}
