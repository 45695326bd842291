package io.cairnlog;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import java.util.logging.Handler;
import java.util.logging.LogRecord;
import java.util.logging.Logger;
import java.util.stream.Collectors;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** Members of groups whose messages go to a listener, and how they end. */
class PushConsumerTest extends StoreTestCase {
  /** What was logged of failures; the engine says other things too. */
  private final List<LogRecord> logged = new CopyOnWriteArrayList<>();
  private final Logger logger = Logger.getLogger("io.cairnlog");
  private final Handler handler =
      new Handler() {
        @Override
        public void publish(LogRecord said) {
          if (said.getThrown() != null) {
            logged.add(said);
          }
        }

        @Override
        public void flush() {}

        @Override
        public void close() {}
      };

  @BeforeEach
  void listen() {
    logger.addHandler(handler);
    logger.setUseParentHandlers(false);
  }

  @AfterEach
  void listenNoMore() {
    logger.removeHandler(handler);
    logger.setUseParentHandlers(true);
  }

  private CairnStore openPrompt() {
    return CairnStore.open(directory, small().messageDelayLevel("0s 0s 0s").build());
  }

  private static long threads(String group) {
    return Thread.getAllStackTraces().keySet().stream()
        .filter(thread -> thread.getName().startsWith("cairnlog-consume-" + group + "-"))
        .peek(thread -> assertTrue(thread.isDaemon()))
        .count();
  }

  /** Fails as a listener can: by an exception, by an error, by null, by its answer. */
  private static ConsumeStatus failOnce(Delivery delivery) throws Exception {
    if (delivery.reconsumeTimes() > 0) {
      return ConsumeStatus.SUCCESS;
    }
    switch (GroupTest.number(delivery)) {
      case 13:
        throw new Exception("on purpose");
      case 14:
        throw new AssertionError("on purpose");
      case 15:
        return null;
      case 16:
        return ConsumeStatus.RETRY_LATER;
      default:
        return ConsumeStatus.SUCCESS;
    }
  }

  @Test
  void aListenerGetsEveryMessageAndItsExceptionsAreFailures() throws Exception {
    Map<Integer, Integer> done = new ConcurrentHashMap<>();
    AtomicInteger running = new AtomicInteger();
    AtomicInteger most = new AtomicInteger();
    // The first two calls wait for each other: they run at the same time.
    CountDownLatch two = new CountDownLatch(2);
    MessageListener listener =
        deliveries -> {
          most.accumulateAndGet(running.incrementAndGet(), Math::max);
          try {
            two.countDown();
            assertTrue(two.await(20, TimeUnit.SECONDS));
            Thread.sleep(1);
            assertEquals(1, deliveries.size());
            ConsumeStatus status = failOnce(deliveries.get(0));
            if (status == ConsumeStatus.SUCCESS) {
              done.merge(GroupTest.number(deliveries.get(0)), 1, Integer::sum);
            }
            return status;
          } finally {
            // An interrupt left behind does not end the thread.
            Thread.currentThread().interrupt();
            running.decrementAndGet();
          }
        };
    try (CairnStore store = openPrompt()) {
      GroupTest.fill(store, 4, 0, 200);
      PushConsumer consumer =
          store
              .groups()
              .pushConsumer(
                  GroupTest.first("g").build(), PushOptions.defaults().threads(3), listener);
      assertEquals(3, threads("g"));
      eventually("only " + done.size() + " came", () -> done.size() == 200);
      consumer.close();
      consumer.close();
      assertTrue(consumer.isClosed());
      assertEquals(0, threads("g"));
      assertTrue(done.values().stream().allMatch(times -> times == 1), done.toString());
      assertTrue(most.get() >= 2 && most.get() <= 3, most.toString());
      assertEquals(0, GroupTest.lag(store, "g"));
    }
    List<LogRecord> failures =
        logged.stream()
            .filter(said -> said.getMessage().equals("a listener of group g failed"))
            .collect(Collectors.toList());
    assertEquals(3, failures.size(), "an answer is no failure");
    assertEquals(failures, logged);
  }

  @Test
  void anOrderlyListenerGetsBatchesInOrder() {
    List<Integer> order = new CopyOnWriteArrayList<>();
    AtomicInteger failures = new AtomicInteger();
    MessageListener listener =
        deliveries -> {
          boolean fails = GroupTest.number(deliveries.get(0)) >= 6 && failures.get() < 2;
          if (fails) {
            failures.incrementAndGet();
            return ConsumeStatus.RETRY_LATER;
          }
          deliveries.forEach(delivery -> order.add(GroupTest.number(delivery)));
          return ConsumeStatus.SUCCESS;
        };
    try (CairnStore store = openSmall()) {
      GroupTest.fill(store, 1, 0, 20);
      ConsumerOptions options =
          GroupTest.first("g").order(ConsumeOrder.ORDERLY).suspendQueueMs(1).build();
      PushOptions push = PushOptions.defaults().maxBatch(3);
      try (PushConsumer consumer = store.groups().pushConsumer(options, push, listener)) {
        eventually("not all came: " + order, () -> order.size() == 20);
        assertEquals("g", consumer.consumer().group());
      }
      for (int i = 0; i < 20; i++) {
        assertEquals(i, order.get(i));
      }
      assertEquals(2, failures.get());
      assertEquals(0, GroupTest.lag(store, "g"));
    }
  }

  @Test
  void aListenerMayCloseItsConsumer() throws Exception {
    AtomicReference<PushConsumer> own = new AtomicReference<>();
    CountDownLatch known = new CountDownLatch(1);
    CountDownLatch both = new CountDownLatch(2);
    // Two listeners that close at the same time do not wait for each other.
    MessageListener listener =
        deliveries -> {
          assertTrue(known.await(20, TimeUnit.SECONDS));
          both.countDown();
          assertTrue(both.await(20, TimeUnit.SECONDS));
          own.get().close();
          assertFalse(own.get().isClosed(), "a call of the listener has not ended");
          return ConsumeStatus.SUCCESS;
        };
    try (CairnStore store = openSmall()) {
      GroupTest.fill(store, 2, 0, 2);
      PushConsumer consumer =
          store.groups().pushConsumer(GroupTest.first("g").build(), listener);
      own.set(consumer);
      known.countDown();
      eventually("it goes on", consumer::isClosed);
      consumer.close();
      assertEquals(0, threads("g"));
      assertEquals(0, GroupTest.lag(store, "g"), "what was answered is acknowledged");
    }
    assertEquals(List.of(), logged);
  }

  @Test
  void closeWaitsForTheListenerAndKeepsAnInterrupt() throws Exception {
    CountDownLatch called = new CountDownLatch(1);
    CountDownLatch release = new CountDownLatch(1);
    try (CairnStore store = openSmall()) {
      GroupTest.fill(store, 1, 0, 1);
      PushConsumer consumer =
          store
              .groups()
              .pushConsumer(
                  GroupTest.first("g").build(),
                  deliveries -> {
                    called.countDown();
                    assertTrue(release.await(20, TimeUnit.SECONDS));
                    return ConsumeStatus.SUCCESS;
                  });
      assertTrue(called.await(20, TimeUnit.SECONDS));
      AtomicReference<Boolean> interrupted = new AtomicReference<>();
      Thread closer =
          new Thread(
              () -> {
                consumer.close();
                interrupted.set(Thread.currentThread().isInterrupted());
              });
      closer.start();
      closer.interrupt();
      Thread.sleep(300);
      assertTrue(closer.isAlive(), "close did not wait for the listener");
      release.countDown();
      closer.join(TimeUnit.SECONDS.toMillis(20));
      assertEquals(true, interrupted.get());
      assertEquals(0, GroupTest.lag(store, "g"));
    }
  }

  @Test
  void closingTheStoreEndsTheThreads() {
    CairnStore store = openSmall();
    PushConsumer consumer =
        store
            .groups()
            .pushConsumer(
                GroupTest.first("g").build(), deliveries -> ConsumeStatus.SUCCESS);
    store.close();
    eventually("the threads stay", () -> threads("g") == 0);
    assertTrue(consumer.isClosed());
    consumer.close();
    assertEquals(List.of(), logged);
  }

  @Test
  void impossibleOptionsAreRefusedAndLeaveNothing() {
    try (CairnStore store = openSmall()) {
      MessageListener listener = deliveries -> ConsumeStatus.SUCCESS;
      ConsumerOptions options = GroupTest.first("g").build();
      PushOptions defaults = PushOptions.defaults();
      for (PushOptions push :
          List.of(defaults.threads(0), defaults.threads(1025), defaults.maxBatch(0))) {
        CairnException refused =
            assertThrows(
                CairnException.class,
                () -> store.groups().pushConsumer(options, push, listener));
        assertEquals(Status.INVALID_ARGUMENT, refused.status());
      }
      assertThrows(
          NullPointerException.class, () -> store.groups().pushConsumer(options, null));
      assertEquals(1, Native.liveObjectCount());
      assertEquals(0, threads("g"));
    }
  }
}
