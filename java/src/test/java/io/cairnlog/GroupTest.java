package io.cairnlog;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalLong;
import java.util.TreeSet;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;

/** Members of groups that ask for messages: who gets what, and what comes again. */
class GroupTest extends StoreTestCase {
  static final Duration LONG = Duration.ofSeconds(20);
  static final Duration SHORT = Duration.ofMillis(30);

  /** A store whose retries come at once. */
  CairnStore openPrompt() {
    return CairnStore.open(directory, small().messageDelayLevel("0s 0s 0s").build());
  }

  static ConsumerOptions.Builder first(String group) {
    return ConsumerOptions.builder(group).subscribe(TOPIC).startFromFirst();
  }

  static void fill(CairnStore store, int queues, int from, int until) {
    for (int i = from; i < until; i++) {
      byte[] body = Integer.toString(i).getBytes(UTF_8);
      store.append(Message.builder(TOPIC, body).queueId(i % queues).tag("t" + i % 2).build());
    }
    assertTrue(store.waitDispatched(store.positions().maxOffset(), LONG));
  }

  static int number(Delivery delivery) {
    return Integer.parseInt(new String(delivery.message().body(), UTF_8));
  }

  private static List<Integer> numbers(List<Delivery> deliveries) {
    return deliveries.stream().map(GroupTest::number).collect(Collectors.toList());
  }

  /** Takes so many messages and acknowledges them. */
  private static List<Integer> take(Consumer consumer, int count) {
    List<Integer> taken = new ArrayList<>();
    while (taken.size() < count) {
      List<Delivery> deliveries = consumer.poll(8, LONG);
      assertFalse(deliveries.isEmpty(), "only " + taken);
      for (Delivery delivery : deliveries) {
        taken.add(number(delivery));
        assertTrue(consumer.acknowledge(delivery));
      }
    }
    return taken;
  }

  static long lag(CairnStore store, String group) {
    return store.groups().progress(group).stream().mapToLong(GroupProgress::lag).sum();
  }

  @Test
  void twoMembersDivideTheQueuesAndOneTakesOverFromTheOther() {
    try (CairnStore store = openSmall()) {
      fill(store, 4, 0, 40);
      Consumer leaving = store.groups().consumer(first("g").build());
      try (Consumer staying = store.groups().consumer(first("g").build())) {
        assertEquals(2, leaving.assigned().size());
        assertEquals(2, staying.assigned().size());
        assertTrue(leaving.assigned().stream().noneMatch(staying.assigned()::contains));
        List<Delivery> inHand = leaving.poll(5, LONG);
        assertEquals(5, inHand.size());
        TreeSet<Integer> seen = new TreeSet<>(take(staying, 20));
        assertEquals(List.of(), staying.poll(8, SHORT), "the others are the other's");
        leaving.close();
        leaving.close();
        assertTrue(leaving.isClosed());
        assertEquals(4, staying.assigned().size());
        List<Integer> rest = take(staying, 20);
        assertTrue(rest.containsAll(numbers(inHand)), rest + " lacks what was in hand");
        seen.addAll(rest);
        assertEquals(40, seen.size());
        assertThrows(StoreClosedException.class, () -> leaving.acknowledge(inHand.get(0)));
        assertEquals(0, lag(store, "g"));
        assertEquals(List.of("g"), store.groups().names());
        // What was handed out stays good.
        assertEquals(TOPIC, inHand.get(0).topic());
        assertEquals(0, inHand.get(0).reconsumeTimes());
      }
    }
  }

  @Test
  void whatFailsIsTriedAgainAndEndsInTheDeadLetterTopic() {
    try (CairnStore store = openPrompt()) {
      fill(store, 1, 7, 8);
      ConsumerOptions options = first("g").maxReconsumeTimes(2).build();
      try (Consumer consumer = store.groups().consumer(options)) {
        for (int attempt = 0; attempt <= 2; attempt++) {
          Delivery delivery = consumer.poll(8, LONG).get(0);
          assertEquals(attempt, delivery.reconsumeTimes());
          assertEquals(TOPIC, delivery.topic());
          assertEquals(attempt == 0 ? TOPIC : "%RETRY%g", delivery.message().topic());
          assertEquals(7, number(delivery));
          assertEquals("t1", delivery.message().tag().orElse(""));
          assertTrue(consumer.retryLater(delivery));
          assertFalse(consumer.retryLater(delivery), "not in hand any more");
          assertFalse(consumer.acknowledge(delivery));
        }
        assertEquals(List.of(), consumer.poll(8, SHORT));
        assertEquals(0, lag(store, "g"));
      }
      ConsumerOptions dead =
          ConsumerOptions.builder("undertaker").subscribe("%DLQ%g").startFromFirst().build();
      try (Consumer consumer = store.groups().consumer(dead)) {
        Delivery delivery = consumer.poll(8, LONG).get(0);
        assertEquals(TOPIC, delivery.message().property("RETRY_TOPIC").orElse(""));
        assertEquals(7, number(delivery));
      }
    }
  }

  @Test
  void anOrderlyQueueWaitsForTheMessageThatFailed() {
    try (CairnStore store = openSmall()) {
      fill(store, 1, 0, 4);
      ConsumerOptions options =
          first("g").order(ConsumeOrder.ORDERLY).suspendQueueMs(1).build();
      try (Consumer consumer = store.groups().consumer(options)) {
        List<Integer> order = new ArrayList<>();
        while (order.size() < 6) {
          List<Delivery> deliveries = consumer.poll(1, LONG);
          assertEquals(List.of(), consumer.poll(1, SHORT), "the one before is in hand");
          Delivery delivery = deliveries.get(0);
          order.add(number(delivery));
          if (number(delivery) == 1 && order.size() < 4) {
            assertTrue(consumer.retryLater(delivery));
          } else {
            assertTrue(consumer.acknowledge(delivery));
          }
        }
        assertEquals(List.of(0, 1, 1, 1, 2, 3), order);
      }
    }
  }

  @Test
  void everyMemberGetsEverythingWhenBroadcasting() {
    try (CairnStore store = openSmall()) {
      fill(store, 2, 0, 10);
      ConsumerOptions options = first("g").mode(ConsumeMode.BROADCASTING).build();
      try (Consumer one = store.groups().consumer(options);
          Consumer other = store.groups().consumer(options)) {
        List<Integer> all = IntStream.range(0, 10).boxed().collect(Collectors.toList());
        assertEquals(all, take(one, 10).stream().sorted().collect(Collectors.toList()));
        assertEquals(all, take(other, 10).stream().sorted().collect(Collectors.toList()));
        assertEquals(List.of(), store.groups().names(), "its offsets are the application's");
        assertTrue(one.seek(TOPIC, 0, 4));
        assertEquals(List.of(8), take(one, 1));
      }
    }
  }

  @Test
  void offsetsAreKeptAndSet() {
    ConsumerGroups closed;
    try (CairnStore store = openSmall()) {
      closed = store.groups();
      fill(store, 1, 0, 10);
      assertEquals(OptionalLong.empty(), closed.consumerOffset("g", TOPIC, 0));
      try (Consumer consumer = closed.consumer(first("g").maxInHand(4).build())) {
        assertEquals("g", consumer.group());
        List<Delivery> deliveries = consumer.poll(100, LONG);
        assertEquals(List.of(0, 1, 2, 3), numbers(deliveries));
        assertEquals(List.of(), consumer.poll(100, SHORT), "four in hand are enough");
        assertTrue(consumer.acknowledge(deliveries.get(1)));
        assertEquals(OptionalLong.of(0), closed.consumerOffset("g", TOPIC, 0));
        assertTrue(consumer.acknowledge(deliveries.get(0)));
        assertEquals(OptionalLong.of(2), closed.consumerOffset("g", TOPIC, 0));
        consumer.commit();
      }
      closed.commitOffset("h", TOPIC, 0, 7);
      closed.persistOffsets();
      GroupProgress progress = closed.progress("h").get(0);
      assertEquals(TOPIC, progress.topic());
      assertEquals(0, progress.queueId());
      assertEquals(7, progress.committed());
      assertEquals(0, progress.minOffset());
      assertEquals(10, progress.maxOffset());
      assertEquals(3, progress.lag());
    }
    assertThrows(StoreClosedException.class, closed::names);
    try (CairnStore store = openSmall();
        Consumer g = store.groups().consumer(first("g").build());
        Consumer h = store.groups().consumer(first("h").build())) {
      assertEquals(List.of(2, 3, 4, 5, 6, 7, 8, 9), take(g, 8));
      assertEquals(List.of(7, 8, 9), take(h, 3));
      assertTrue(h.seek(TOPIC, 0, 5));
      assertEquals(List.of(5, 6, 7, 8, 9), take(h, 5));
      assertFalse(h.seek(TOPIC, 9, 0));
    }
  }

  @Test
  void aGroupBeginsWhereItIsToldAndFilters() {
    try (CairnStore store = openSmall()) {
      fill(store, 1, 0, 5);
      Instant start = Instant.ofEpochMilli(System.currentTimeMillis() + 3);
      eventually("time stands still", () -> Instant.now().isAfter(start.plusMillis(1)));
      ConsumerOptions.Builder last =
          ConsumerOptions.builder("last").subscribe(TOPIC, Filter.tags("t1"));
      try (Consumer consumer = store.groups().consumer(last.build())) {
        fill(store, 1, 5, 9);
        assertEquals(List.of(5, 7), take(consumer, 2));
      }
      ConsumerOptions.Builder timed = ConsumerOptions.builder("timed").subscribe(TOPIC);
      try (Consumer consumer = store.groups().consumer(timed.startFrom(start).build())) {
        assertEquals(List.of(5, 6, 7, 8), take(consumer, 4));
      }
    }
  }

  @Test
  void wrongUseIsRefused() {
    try (CairnStore store = openSmall()) {
      fill(store, 1, 0, 2);
      ConsumerGroups groups = store.groups();
      refused(Status.GROUP_ILLEGAL, () -> groups.consumer(first("a b").build()));
      refused(
          Status.INVALID_ARGUMENT, () -> groups.consumer(ConsumerOptions.builder("g").build()));
      refused(Status.TOPIC_ILLEGAL, () -> groups.consumer(first("g").subscribe("a/b").build()));
      refused(Status.INVALID_ARGUMENT, () -> groups.consumer(first("g").maxInHand(0).build()));
      refused(
          Status.INVALID_ARGUMENT,
          () -> groups.consumer(first("g").consumeTimeoutMs(-1).build()));
      refused(Status.INVALID_ARGUMENT, () -> first("\ud800").build());
      refused(Status.OFFSET_OUT_OF_RANGE, () -> groups.commitOffset("g", TOPIC, 0, 3));
      refused(Status.OFFSET_OUT_OF_RANGE, () -> groups.commitOffset("g", TOPIC, 0, -1));
      try (Consumer one = groups.consumer(first("one").build());
          Consumer other = groups.consumer(first("other").build())) {
        refused(Status.INVALID_ARGUMENT, () -> one.poll(0, SHORT));
        refused(Status.INVALID_ARGUMENT, () -> one.poll(-1, SHORT));
        refused(Status.OFFSET_OUT_OF_RANGE, () -> one.seek(TOPIC, 0, -1));
        Delivery delivery = one.poll(1, LONG).get(0);
        assertEquals(1, other.poll(1, LONG).size());
        refused(Status.INVALID_ARGUMENT, () -> other.acknowledge(delivery));
        refused(Status.INVALID_ARGUMENT, () -> other.retryLater(delivery));
        assertThrows(NullPointerException.class, () -> one.acknowledge(null));
        assertTrue(one.acknowledge(delivery));
      }
    }
  }

  private static void refused(Status expected, Executable use) {
    assertEquals(expected, assertThrows(CairnException.class, use).status());
  }

  @Test
  void closingTheConsumerOrTheStoreEndsAPoll() throws Exception {
    CairnStore store = openSmall();
    Consumer closed = store.groups().consumer(first("g").build());
    Consumer open = store.groups().consumer(first("h").build());
    CompletableFuture<List<Delivery>> first =
        CompletableFuture.supplyAsync(() -> closed.poll(1, LONG));
    CompletableFuture<List<Delivery>> second =
        CompletableFuture.supplyAsync(() -> open.poll(1, LONG));
    Thread.sleep(150);
    assertFalse(first.isDone() || second.isDone());
    closed.close();
    assertEquals("the consumer was closed", ended(first).getMessage());
    assertFalse(second.isDone());
    store.close();
    ended(second);
    assertThrows(StoreClosedException.class, open::assigned);
    open.close();
  }

  private static Throwable ended(CompletableFuture<?> poll) {
    ExecutionException failed =
        assertThrows(ExecutionException.class, () -> poll.get(10, TimeUnit.SECONDS));
    assertEquals(StoreClosedException.class, failed.getCause().getClass());
    return failed.getCause();
  }

  @Test
  void anInterruptEndsAPollAndStays() throws Exception {
    try (CairnStore store = openSmall();
        Consumer consumer = store.groups().consumer(first("g").build())) {
      List<Object> said = new ArrayList<>();
      Thread waiter =
          new Thread(
              () -> {
                said.add(consumer.poll(1, LONG));
                said.add(Thread.currentThread().isInterrupted());
              });
      waiter.start();
      Thread.sleep(150);
      assertTrue(waiter.isAlive());
      waiter.interrupt();
      waiter.join(TimeUnit.SECONDS.toMillis(10));
      assertEquals(List.of(List.of(), true), said);
    }
  }

  /** The cleaner leaves the group for a consumer that nobody closes. */
  @Test
  void aForgottenConsumerLeavesItsGroup() {
    try (CairnStore store = openSmall()) {
      fill(store, 1, 0, 1);
      assertEquals(1, handsOut(store));
      try (Consumer consumer = store.groups().consumer(first("g").build())) {
        eventually(
            "the message stays with the forgotten one",
            () -> {
              System.gc();
              return consumer.poll(1, Duration.ZERO).size() == 1;
            });
      }
    }
  }

  private static int handsOut(CairnStore store) {
    return store.groups().consumer(first("g").build()).poll(1, LONG).size();
  }
}
