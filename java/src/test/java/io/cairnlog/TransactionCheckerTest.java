package io.cairnlog;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentSkipListSet;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.logging.Handler;
import java.util.logging.LogRecord;
import java.util.logging.Logger;
import org.junit.jupiter.api.Test;

/** What is asked about open transactions: answers, failures, and closing meanwhile. */
class TransactionCheckerTest extends StoreTestCase {
  private static final Duration LONG = Duration.ofSeconds(60);

  /** A store that asks soon, and three times at most. */
  private CairnStore openChecked() {
    StoreOptions.Builder options = small();
    options.set("transaction_timeout_ms", "100");
    options.set("transaction_check_interval_ms", "100");
    options.set("transaction_check_max", "3");
    return CairnStore.open(directory, options.build());
  }

  private static long begin(CairnStore store, String body) {
    Message message =
        Message.builder(TOPIC, body.getBytes(UTF_8))
            .queueId(2)
            .property("UNIQ_KEY", "id-7")
            .build();
    return store.transactions().begin(message).physicalOffset();
  }

  private static String body(TransactionCheck check) {
    return new String(check.message().body(), UTF_8);
  }

  /** What is in a queue once it has so many messages. */
  private static List<String> bodies(CairnStore store, String topic, int queue, int count) {
    assertTrue(count == 0 || store.waitMessage(topic, queue, count - 1, LONG));
    List<String> bodies = new ArrayList<>();
    try (MessageBatch batch = store.read(ReadRequest.of(topic, queue, 0))) {
      batch.messages().forEach(message -> bodies.add(new String(message.body(), UTF_8)));
    }
    return bodies;
  }

  @Test
  void answersAreFollowed() {
    ConcurrentSkipListSet<String> asked = new ConcurrentSkipListSet<>();
    try (CairnStore store = openChecked()) {
      Transactions transactions = store.transactions();
      TransactionChecker checker =
          check -> {
            asked.add(body(check) + check.times());
            boolean asMeant =
                check.topic().equals(TOPIC)
                    && check.queueId() == 2
                    && check.id().equals(Optional.of("id-7"))
                    && check.message().topic().equals("RMQ_SYS_TRANS_HALF_TOPIC")
                    && transactions.open().contains(check.halfOffset());
            if (!asMeant) {
              return TransactionAnswer.UNKNOWN;
            }
            switch (body(check)) {
              case "commit":
                return TransactionAnswer.COMMIT;
              case "rollback":
                return TransactionAnswer.ROLLBACK;
              case "later":
                return check.times() == 2 ? TransactionAnswer.COMMIT : TransactionAnswer.UNKNOWN;
              default:
                return TransactionAnswer.UNKNOWN;
            }
          };
      for (String body : List.of("commit", "rollback", "never", "later")) {
        begin(store, body);
      }
      transactions.setChecker(checker);
      // Whom nobody knows about, it is asked as often as it may be, and then it is put aside.
      assertEquals(List.of("never"), bodies(store, "TRANS_CHECK_MAX_TIME_TOPIC", 0, 1));
      assertEquals(List.of("commit", "later"), bodies(store, TOPIC, 2, 2));
      assertEquals(List.of(), transactions.open());
    }
    assertEquals(
        List.of("commit1", "later1", "later2", "never1", "never2", "never3", "rollback1"),
        List.copyOf(asked));
  }

  @Test
  void whatFailsIsNotKnown() {
    List<LogRecord> logged = Collections.synchronizedList(new ArrayList<>());
    Handler handler =
        new Handler() {
          @Override
          public void publish(LogRecord record) {
            logged.add(record);
          }

          @Override
          public void flush() {}

          @Override
          public void close() {}
        };
    Logger logger = Logger.getLogger("io.cairnlog");
    logger.addHandler(handler);
    logger.setUseParentHandlers(false);
    AtomicInteger asked = new AtomicInteger();
    try (CairnStore store = openChecked()) {
      begin(store, "one");
      store
          .transactions()
          .setChecker(
              check -> {
                switch (asked.incrementAndGet()) {
                  case 1:
                    throw new IllegalStateException("no database");
                  case 2:
                    Thread.currentThread().interrupt();
                    return null;
                  default:
                    return TransactionAnswer.COMMIT;
                }
              });
      assertEquals(List.of("one"), bodies(store, TOPIC, 2, 1));
    } finally {
      logger.removeHandler(handler);
      logger.setUseParentHandlers(true);
    }
    List<Class<?>> thrown = new ArrayList<>();
    for (LogRecord record : logged) {
      if (record.getThrown() != null) {
        assertTrue(record.getMessage().contains("TransactionCheck(" + TOPIC + ", halfOffset="));
        thrown.add(record.getThrown().getClass());
      }
    }
    assertEquals(List.of(IllegalStateException.class, NullPointerException.class), thrown);
    assertEquals(3, asked.get());
  }

  @Test
  void theCheckerMayUseTheStoreButNotCloseIt() throws Exception {
    CompletableFuture<CairnException> refused = new CompletableFuture<>();
    try (CairnStore store = openChecked()) {
      Runnable close = store::close;
      store
          .transactions()
          .setChecker(
              check -> {
                store.append(Message.of("told", check.id().orElseThrow().getBytes(UTF_8)));
                store.flush();
                try {
                  close.run();
                } catch (CairnException failure) {
                  refused.complete(failure);
                }
                // It ends the transaction itself; what it answers then changes nothing.
                store.transactions().commit(check.halfOffset());
                return TransactionAnswer.ROLLBACK;
              });
      begin(store, "own");
      assertEquals(List.of("own"), bodies(store, TOPIC, 2, 1));
      assertEquals(List.of("id-7"), bodies(store, "told", 0, 1));
      CairnException failure = refused.get(20, TimeUnit.SECONDS);
      assertEquals(Status.INVALID_ARGUMENT, failure.status());
      assertTrue(failure.getMessage().contains("wait for itself"), failure.getMessage());
      assertFalse(store.isClosed());
    }
  }

  @Test
  void closingWaitsForACheck() throws Exception {
    CountDownLatch isAsked = new CountDownLatch(1);
    CountDownLatch mayAnswer = new CountDownLatch(1);
    CairnStore store = openChecked();
    long half = begin(store, "late");
    store
        .transactions()
        .setChecker(
            check -> {
              isAsked.countDown();
              mayAnswer.await();
              return TransactionAnswer.COMMIT;
            });
    assertTrue(isAsked.await(20, TimeUnit.SECONDS));
    CompletableFuture<Void> closing = CompletableFuture.runAsync(store::close);
    eventually("closing does not begin", store::isClosed);
    assertThrows(TimeoutException.class, () -> closing.get(200, TimeUnit.MILLISECONDS));
    mayAnswer.countDown();
    closing.get(20, TimeUnit.SECONDS);
    // The answer came too late: the transaction is open.
    try (CairnStore again = openSmall()) {
      List<Long> open = again.transactions().open();
      assertEquals(1, open.size());
      assertTrue(open.get(0) > half);
      assertEquals(List.of(), bodies(again, TOPIC, 2, 0));
    }
  }

  @Test
  void anotherTakesThePlace() {
    CairnStore store = openChecked();
    Transactions transactions = store.transactions();
    AtomicInteger former = new AtomicInteger();
    assertThrows(NullPointerException.class, () -> transactions.setChecker(null));
    transactions.setChecker(
        check -> {
          former.incrementAndGet();
          return TransactionAnswer.ROLLBACK;
        });
    transactions.setChecker(check -> TransactionAnswer.COMMIT);
    // The thread of the former ends.
    eventually("one thread asks", () -> checkingThreads() == 1);
    begin(store, "one");
    assertEquals(List.of("one"), bodies(store, TOPIC, 2, 1));
    assertEquals(0, former.get());
    store.close();
    eventually("no thread asks", () -> checkingThreads() == 0);
    assertThrows(
        StoreClosedException.class,
        () -> transactions.setChecker(check -> TransactionAnswer.COMMIT));
    assertEquals(0, checkingThreads());
  }

  private static long checkingThreads() {
    return Thread.getAllStackTraces().keySet().stream()
        .filter(thread -> thread.getName().equals("cairnlog-check-transactions"))
        .count();
  }
}
