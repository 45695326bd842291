package io.cairnlog;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;

/** When messages come and go: delayed, transactional, and removed with their files. */
class RetentionTest extends StoreTestCase {
  private static final Duration LONG = Duration.ofSeconds(20);
  private static final int SEGMENT = 64 * 1024;

  private static void refused(Status expected, Executable use) {
    assertEquals(expected, assertThrows(CairnException.class, use).status());
  }

  private static String body(CairnStore store, long index) {
    try (MessageBatch batch = store.read(ReadRequest.of(TOPIC, 0, index))) {
      return new String(batch.get(0).body(), UTF_8);
    }
  }

  @Test
  void aDelayedMessageArrivesWhenItsTimeHasCome() {
    StoreOptions options = small().messageDelayLevel("1s 1h").build();
    try (CairnStore store = CairnStore.open(directory, options)) {
      Message.Builder delayed = Message.builder(TOPIC, "later".getBytes(UTF_8));
      long start = System.nanoTime();
      AppendResult placed = store.append(delayed.delayLevel(1).build());
      try (MessageBatch batch = store.readAt(placed.physicalOffset())) {
        assertEquals("SCHEDULE_TOPIC_XXXX", batch.get(0).topic());
      }
      store.append(delayed.delayLevel(Integer.MAX_VALUE).build());
      assertTrue(store.waitMessage(TOPIC, 0, 0, LONG));
      assertTrue(System.nanoTime() - start >= 900_000_000L, "it came too early");
      assertEquals("later", body(store, 0));
      eventually("it is not counted", () -> store.stats().delayedDelivered() == 1);
      assertEquals(0, store.stats().delayedUndeliverable());
      refused(Status.INVALID_ARGUMENT, () -> store.append(delayed.delayLevel(-1).build()));
      Message item = delayed.delayLevel(1).build();
      refused(
          Status.BATCH_ILLEGAL,
          () -> EncodedBatch.of(Message.builder(TOPIC).build(), List.of(item)));
    }
  }

  @Test
  void aTransactionIsSeenWhenItIsCommitted() {
    long committed;
    long left;
    try (CairnStore store = openSmall()) {
      Transactions transactions = store.transactions();
      AppendResult half = transactions.begin(message("sold"));
      committed = half.physicalOffset();
      long rolledBack = transactions.begin(message("given back")).physicalOffset();
      left = transactions.begin(message("undecided")).physicalOffset();
      assertEquals(List.of(committed, rolledBack, left), transactions.open());
      AppendResult placed = transactions.commit(committed);
      transactions.rollback(rolledBack);
      assertTrue(store.waitDispatched(store.positions().maxOffset(), LONG));
      assertEquals(new QueueRange(new long[] {0, 1}), store.queueRange(TOPIC, 0).orElseThrow());
      assertEquals("sold", body(store, 0));
      try (MessageBatch batch = store.readAt(placed.physicalOffset())) {
        assertEquals(TOPIC, batch.get(0).topic());
        assertEquals(committed, batch.get(0).preparedTransactionOffset());
      }
      refused(Status.NO_SUCH_TRANSACTION, () -> transactions.commit(rolledBack));
      refused(Status.NO_SUCH_TRANSACTION, () -> transactions.rollback(half.physicalOffset()));
      refused(Status.OFFSET_OUT_OF_RANGE, () -> transactions.commit(-1));
      refused(Status.BODY_EMPTY, () -> transactions.begin(message("")));
    }
    try (CairnStore store = openSmall()) {
      assertEquals(List.of(left), store.transactions().open());
      store.transactions().commit(left);
      assertTrue(store.waitMessage(TOPIC, 0, 1, LONG));
      assertEquals("undecided", body(store, 1));
      assertEquals(List.of(), store.transactions().open());
    }
  }

  private CairnStore openWithFiles(StoreOptions.Builder options) {
    return CairnStore.open(directory, options.segmentSizeBytes(SEGMENT).build());
  }

  private static void fill(CairnStore store, int count) {
    byte[] body = new byte[1000];
    for (int i = 0; i < count; i++) {
      store.append(Message.of(TOPIC, body));
    }
    store.flush();
    assertTrue(store.waitDispatched(store.positions().maxOffset(), LONG));
  }

  @Test
  void filesGoWhenAskedAndWhatWasReadStays() {
    try (CairnStore store = openWithFiles(StoreOptions.builder())) {
      fill(store, 200);
      assertEquals(new RemovedFiles(new long[] {0, 0}), store.removeExpired());
      long end = store.positions().maxOffset();
      refused(Status.OFFSET_OUT_OF_RANGE, () -> store.removeBefore(end + 1));
      refused(Status.OFFSET_OUT_OF_RANGE, () -> store.removeBefore(-1));
      ByteBuffer shown;
      try (MessageBatch batch = store.read(ReadRequest.of(TOPIC, 0, 0))) {
        shown = batch.get(0).bodyBuffer();
      }
      RemovedFiles removed = store.removeBefore(2 * SEGMENT + 5);
      assertEquals(2, removed.files());
      assertEquals(2 * SEGMENT, removed.bytes());
      assertEquals(2 * SEGMENT, store.positions().minOffset());
      assertEquals(1000, shown.remaining());
      assertEquals(0, shown.get(999), "a buffer outlives its file");
      try (MessageBatch batch = store.read(ReadRequest.of(TOPIC, 0, 0))) {
        assertEquals(ReadOutcome.OFFSET_TOO_SMALL, batch.outcome());
        assertTrue(batch.nextOffset() > 100, "go on at " + batch.nextOffset());
        assertEquals(store.queueRange(TOPIC, 0).orElseThrow().first(), batch.nextOffset());
      }
      store.groups().commitOffset("g", TOPIC, 0, 0);
      GroupProgress progress = store.groups().progress("g").get(0);
      assertEquals(200 - progress.minOffset(), progress.lag(), "what is gone is no lag");
    }
    try (CairnStore store = openWithFiles(StoreOptions.builder().fileReservedTimeHours(0))) {
      assertEquals(1, store.removeExpired().files(), "the newest stays");
    }
  }

  @Test
  void tooMuchGoesByItself() {
    StoreOptions.Builder options =
        StoreOptions.builder()
            .retentionEnable(true)
            .deleteWhen("")
            .maxTotalBytes(SEGMENT)
            .set("clean_resource_interval_ms", "10")
            .set("delete_commit_log_files_interval_ms", "0");
    try (CairnStore store = openWithFiles(options)) {
      fill(store, 200);
      eventually("old files stay", () -> store.positions().minOffset() == 3 * SEGMENT);
    }
    refused(
        Status.INVALID_ARGUMENT, () -> openWithFiles(StoreOptions.builder().deleteWhen("24")));
  }
}
