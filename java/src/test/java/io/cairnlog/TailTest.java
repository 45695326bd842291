package io.cairnlog;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.NoSuchElementException;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;

/** Following a queue and waiting for it: woken by messages, closing, interrupts and the time. */
class TailTest extends StoreTestCase {
  private static final Duration LONG = Duration.ofSeconds(60);
  /** Any length is a limit: these are the longest and the shortest. */
  private static final Duration LONGEST = Duration.ofSeconds(Long.MAX_VALUE, 999_999_999);

  private static final Duration SHORTEST = Duration.ofSeconds(Long.MIN_VALUE);

  private static void append(CairnStore store, int from, int until) {
    for (int i = from; i < until; i++) {
      String tag = i % 2 == 0 ? "even" : "odd";
      store.append(Message.builder(TOPIC, ("m" + i).getBytes(UTF_8)).tag(tag).build());
    }
    assertTrue(store.waitDispatched(store.positions().maxOffset(), LONG));
  }

  @Test
  void aTailFollowsAndKnowsWhereItIs() throws Exception {
    try (CairnStore store = openSmall();
        MessageTail tail = store.tail(TOPIC, 0, 0, Filter.all())) {
      assertFalse(tail.hasNext());
      assertThrows(NoSuchElementException.class, tail::next);
      assertEquals(Optional.empty(), tail.next(Duration.ZERO));
      assertEquals(Optional.empty(), tail.next(SHORTEST));
      CompletableFuture<Void> writer =
          CompletableFuture.runAsync(() -> append(store, 0, 300));
      for (int i = 0; i < 300; i++) {
        assertEquals(i, tail.offset());
        MessageView message = tail.next(i % 2 == 0 ? LONG : LONGEST).orElseThrow();
        assertEquals(i, message.queueOffset());
        assertEquals("m" + i, new String(message.body(), UTF_8));
        assertEquals(i + 1, tail.offset());
      }
      writer.get(20, TimeUnit.SECONDS);
      assertFalse(tail.hasNext());
      // Where the iteration ended it goes on.
      append(store, 300, 303);
      List<Long> more = new ArrayList<>();
      for (MessageView message : tail) {
        more.add(message.queueOffset());
      }
      assertEquals(List.of(300L, 301L, 302L), more);
    }
  }

  @Test
  void aFilteredTailPassesOverTheOthers() {
    try (CairnStore store = openSmall()) {
      append(store, 0, 100);
      try (MessageTail tail = store.tail(TOPIC, 0, 10, Filter.tags("odd"))) {
        for (int i = 11; i < 100; i += 2) {
          assertEquals(i, tail.next(LONG).orElseThrow().queueOffset());
          assertTrue(tail.offset() > i);
        }
        assertEquals(Optional.empty(), tail.next(Duration.ofMillis(1)));
        assertEquals(100, tail.offset());
      }
    }
  }

  @Test
  void aWaitEndsByTheMessageOrTheTime() throws Exception {
    try (CairnStore store = openSmall()) {
      long start = System.nanoTime();
      assertFalse(store.waitMessage(TOPIC, 0, 0, Duration.ofMillis(150)));
      assertFalse(store.waitDispatched(1, Duration.ofMillis(150)));
      assertTrue(System.nanoTime() - start >= TimeUnit.MILLISECONDS.toNanos(300));
      CompletableFuture<Boolean> waiter =
          CompletableFuture.supplyAsync(() -> store.waitMessage(TOPIC, 0, 1, LONGEST));
      append(store, 0, 1);
      assertTrue(store.waitMessage(TOPIC, 0, 0, LONG));
      assertFalse(waiter.isDone());
      append(store, 1, 2);
      assertTrue(waiter.get(20, TimeUnit.SECONDS));
      assertTrue(store.waitMessage(TOPIC, 0, 1, SHORTEST), "it is there already");
      assertFalse(store.waitMessage(TOPIC, 0, Long.MAX_VALUE, Duration.ZERO));
      assertFalse(store.waitDispatched(Long.MAX_VALUE, SHORTEST));
      assertTrue(store.waitDispatched(0, Duration.ZERO));
      long end = store.positions().maxOffset();
      assertTrue(store.waitDurable(end, LONGEST));
      assertFalse(store.waitReadable(end, SHORTEST));
      assertTrue(store.scan(0).next(LONGEST).isPresent());
    }
  }

  @Test
  void impossibleQueuesAndOffsetsAreRefused() {
    try (CairnStore store = openSmall()) {
      refused(Status.OFFSET_OUT_OF_RANGE, () -> store.tail(TOPIC, 0, -1, Filter.all()));
      refused(Status.OFFSET_OUT_OF_RANGE, () -> store.waitMessage(TOPIC, 0, -1, LONG));
      refused(Status.OFFSET_OUT_OF_RANGE, () -> store.waitDispatched(Long.MIN_VALUE, LONG));
      refused(Status.QUEUE_ID_ILLEGAL, () -> store.tail(TOPIC, -1, 0, Filter.all()));
      refused(Status.QUEUE_ID_ILLEGAL, () -> store.waitMessage(TOPIC, -1, 0, LONG));
      refused(Status.TOPIC_EMPTY, () -> store.tail("", 0, 0, Filter.all()));
      refused(Status.TOPIC_EMPTY, () -> store.waitMessage("", 0, 0, LONG));
      refused(Status.INVALID_ARGUMENT, () -> store.tail("\udc00", 0, 0, Filter.all()));
      assertThrows(NullPointerException.class, () -> store.tail(TOPIC, 0, 0, null));
      assertThrows(NullPointerException.class, () -> store.read(null));
      assertEquals(1, Native.liveObjectCount());
    }
  }

  private static void refused(Status expected, Executable use) {
    assertEquals(expected, assertThrows(CairnException.class, use).status());
  }

  /** Runs a wait on another thread, disturbs it, and returns what the wait threw, or null. */
  private static Throwable disturbed(Executable wait, Disturbance disturbance) throws Exception {
    AtomicReference<Throwable> thrown = new AtomicReference<>();
    Thread waiter =
        new Thread(
            () -> {
              try {
                wait.execute();
              } catch (Throwable failure) {
                thrown.set(failure);
              }
            });
    waiter.start();
    Thread.sleep(150);
    assertTrue(waiter.isAlive(), "the wait did not wait: " + thrown.get());
    disturbance.of(waiter);
    waiter.join(TimeUnit.SECONDS.toMillis(20));
    assertFalse(waiter.isAlive(), "the wait goes on");
    return thrown.get();
  }

  private interface Disturbance {
    void of(Thread waiter) throws Exception;
  }

  @Test
  void closingTheTailOrTheStoreEndsTheWait() throws Exception {
    CairnStore store = openSmall();
    MessageTail closed = store.tail(TOPIC, 0, 0, Filter.all());
    Throwable byTail = disturbed(() -> closed.next(LONG), waiter -> closed.close());
    assertEquals(StoreClosedException.class, byTail.getClass());
    assertEquals("the tail was closed", byTail.getMessage());
    MessageTail open = store.tail(TOPIC, 0, 0, Filter.all());
    Executable wait = () -> store.waitMessage(TOPIC, 0, 0, LONG);
    Throwable byStore =
        disturbed(
            () -> open.next(LONG),
            waiter -> {
              Throwable byWait = disturbed(wait, other -> store.close());
              assertEquals(StoreClosedException.class, byWait.getClass());
            });
    assertEquals(StoreClosedException.class, byStore.getClass());
    // The tail is not closed, and does not keep the directory.
    try (CairnStore again = openSmall()) {
      append(again, 0, 1);
      assertThrows(StoreClosedException.class, open::hasNext);
      assertThrows(StoreClosedException.class, () -> open.next(LONG));
    }
    open.close();
    open.close();
    assertTrue(open.isClosed());
  }

  @Test
  void anInterruptEndsTheWaitAndStays() throws Exception {
    try (CairnStore store = openSmall();
        MessageTail tail = store.tail(TOPIC, 0, 0, Filter.all())) {
      List<Executable> waits =
          List.of(
              () -> assertEquals(Optional.empty(), tail.next(LONG)),
              () -> assertEquals(Optional.empty(), store.scan(0).next(LONG)),
              () -> assertFalse(store.waitMessage(TOPIC, 0, 0, LONG)),
              () -> assertFalse(store.waitDispatched(1, LONG)),
              () -> assertFalse(store.waitReadable(0, LONG)));
      for (Executable wait : waits) {
        Executable both =
            () -> {
              wait.execute();
              assertTrue(Thread.currentThread().isInterrupted(), "the interrupt was taken");
              // Interrupted already, it only looks.
              wait.execute();
            };
        assertEquals(null, disturbed(both, Thread::interrupt));
      }
      append(store, 0, 1);
      Thread.currentThread().interrupt();
      assertTrue(tail.next(LONG).isPresent(), "what is there is given");
      assertTrue(Thread.interrupted());
    }
  }

  /** Whichever is closed first, and wherever the readers are. */
  @Test
  void closeRacesWithReading() throws Exception {
    for (int round = 0; round < 30; round++) {
      CairnStore store = CairnStore.open(directory.resolve("r" + round % 2), small().build());
      append(store, 0, 40);
      MessageTail tail = store.tail(TOPIC, 0, 0, Filter.sql("TAGS = 'odd'"));
      CompletableFuture<Void> reader = CompletableFuture.runAsync(() -> readUntilClosed(tail));
      CompletableFuture<Void> batches =
          CompletableFuture.runAsync(() -> readUntilClosed(store));
      TimeUnit.MICROSECONDS.sleep(300L * (round % 10));
      if (round % 2 == 0) {
        tail.close();
        store.close();
      } else {
        store.close();
        tail.close();
      }
      reader.get(20, TimeUnit.SECONDS);
      batches.get(20, TimeUnit.SECONDS);
    }
  }

  private static void readUntilClosed(MessageTail tail) {
    assertThrows(
        StoreClosedException.class,
        () -> {
          while (true) {
            tail.next(LONG).ifPresent(message -> assertEquals("odd", message.tag().orElse("")));
          }
        });
  }

  private static void readUntilClosed(CairnStore store) {
    assertThrows(
        StoreClosedException.class,
        () -> {
          while (true) {
            try (MessageBatch batch = store.read(ReadRequest.of(TOPIC, 0, 0))) {
              assertEquals("m0", new String(batch.get(0).body(), UTF_8));
            }
          }
        });
  }
}
