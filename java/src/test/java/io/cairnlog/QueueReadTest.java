package io.cairnlog;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.lang.ref.Reference;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;

/** Reading by queue, key, id and time: outcomes, filters, and how long what was read stays good. */
class QueueReadTest extends StoreTestCase {
  private static final Duration LONG = Duration.ofSeconds(20);

  /** A store whose queue files hold ten messages each. */
  private CairnStore openQueues() {
    StoreOptions.Builder options = small().segmentSizeBytes(64 << 10);
    return CairnStore.open(directory, options.consumeQueueFileSizeBytes(200).build());
  }

  private static void settle(CairnStore store) {
    assertTrue(store.waitDispatched(store.positions().maxOffset(), LONG));
  }

  private static void fill(CairnStore store, int queueId, int count) {
    for (int i = 0; i < count; i++) {
      byte[] body = (queueId + " " + i).getBytes(UTF_8);
      store.append(Message.builder(TOPIC, body).queueId(queueId).build());
    }
    settle(store);
  }

  private static void outcome(
      CairnStore store, ReadRequest request, ReadOutcome outcome, int size, long next) {
    try (MessageBatch batch = store.read(request)) {
      assertEquals(outcome, batch.outcome(), request.toString());
      assertEquals(size, batch.size(), request.toString());
      assertEquals(next, batch.nextOffset(), request.toString());
    }
  }

  @Test
  void theTableOfOutcomesIsTheEngines() {
    ByteBuffer table = Wire.reader(Native.readOutcomes());
    Map<Integer, String> engine = new LinkedHashMap<>();
    for (int left = table.getInt(); left > 0; left--) {
      engine.put(table.getInt(), Wire.readText(table));
    }
    Map<Integer, String> ours = new LinkedHashMap<>();
    for (ReadOutcome outcome : ReadOutcome.values()) {
      ours.put(outcome.code(), outcome.name());
      assertEquals(outcome, ReadOutcome.fromCode(outcome.code()));
    }
    assertEquals(engine, ours);
    CairnException thrown = assertThrows(CairnException.class, () -> ReadOutcome.fromCode(99));
    assertEquals(Status.INTERNAL, thrown.status());
  }

  @Test
  void outcomesAndNextOffsets() {
    try (CairnStore store = openQueues()) {
      fill(store, 2, 25);
      ReadRequest first = ReadRequest.of(TOPIC, 2, 0);
      outcome(store, ReadRequest.of("none", 0, 0), ReadOutcome.NO_MATCHED_LOGIC_QUEUE, 0, 0);
      outcome(store, ReadRequest.of(TOPIC, -1, 3), ReadOutcome.NO_MATCHED_LOGIC_QUEUE, 0, 0);
      for (long early : new long[] {-1, Long.MIN_VALUE}) {
        outcome(store, ReadRequest.of(TOPIC, 2, early), ReadOutcome.OFFSET_TOO_SMALL, 0, 0);
      }
      outcome(store, ReadRequest.of(TOPIC, 2, 25), ReadOutcome.OFFSET_OVERFLOW_ONE, 0, 25);
      for (long late : new long[] {26, Long.MAX_VALUE}) {
        outcome(store, ReadRequest.of(TOPIC, 2, late), ReadOutcome.OFFSET_OVERFLOW_BADLY, 0, 25);
      }
      // One file of the queue at a time.
      outcome(store, first, ReadOutcome.FOUND, 10, 10);
      outcome(store, first.maxMessages(Integer.MAX_VALUE), ReadOutcome.FOUND, 10, 10);
      outcome(store, first.maxMessages(4), ReadOutcome.FOUND, 4, 4);
      // At least one message, whatever the limits.
      outcome(store, first.maxMessages(0), ReadOutcome.FOUND, 1, 1);
      outcome(store, first.maxBytes(0), ReadOutcome.FOUND, 1, 1);
      Filter none = Filter.tags("none");
      outcome(store, first.filter(none), ReadOutcome.NO_MATCHED_MESSAGE, 0, 10);
      try (MessageBatch batch = store.read(ReadRequest.of(TOPIC, 2, 3).maxMessages(2))) {
        assertEquals(0, batch.minOffset());
        assertEquals(25, batch.maxOffset());
        assertEquals("2 4", new String(batch.get(1).body(), UTF_8));
        assertEquals(4, batch.get(1).queueOffset());
      }
      List<ReadRequest> negative = List.of(first.maxMessages(-1), first.maxBytes(-1));
      for (ReadRequest request : negative) {
        CairnException thrown = assertThrows(CairnException.class, () -> store.read(request));
        assertEquals(Status.INVALID_ARGUMENT, thrown.status());
      }
    }
  }

  /** What is lost of the log is told as RocketMQ tells it. */
  @Test
  void removedMessagesAreAnOutcome() throws Exception {
    try (CairnStore store = openQueues()) {
      for (int i = 0; i < 40; i++) {
        store.append(Message.of(TOPIC, new byte[4000]));
      }
      settle(store);
    }
    Files.delete(smallest(directory.resolve("commitlog")));
    try (CairnStore store = openQueues()) {
      // 15 of the messages lay in the log's first file.
      assertEquals(15, store.queueRange(TOPIC, 0).orElseThrow().first());
      outcome(store, ReadRequest.of(TOPIC, 0, 14), ReadOutcome.OFFSET_TOO_SMALL, 0, 15);
      try (MessageTail tail = store.tail(TOPIC, 0, 0, Filter.all())) {
        assertEquals(15, tail.next().queueOffset());
      }
    }
  }

  @Test
  void aMissingQueueFileIsAnOutcome() throws Exception {
    try (CairnStore store = openQueues()) {
      fill(store, 0, 25);
    }
    StoreOptions options = small().maxOpenQueueFiles(1).build();
    try (CairnStore store = CairnStore.open(directory, options)) {
      Path queue = directory.resolve("consumequeue").resolve(TOPIC).resolve("0");
      outcome(store, ReadRequest.of(TOPIC, 0, 20), ReadOutcome.FOUND, 5, 25);
      Files.delete(queue.resolve("00000000000000000200"));
      outcome(store, ReadRequest.of(TOPIC, 0, 12), ReadOutcome.OFFSET_FOUND_NULL, 0, 20);
      try (MessageTail tail = store.tail(TOPIC, 0, 12, Filter.all())) {
        assertEquals(20, tail.next().queueOffset());
      }
    }
  }

  private static Path smallest(Path files) throws IOException {
    try (Stream<Path> listed = Files.list(files)) {
      return listed.sorted().findFirst().orElseThrow();
    }
  }

  @Test
  void readsOfTheLogHaveTheirOutcomesToo() {
    try (CairnStore store = openSmall()) {
      AppendResult placed = store.append(message("m"));
      try (MessageBatch read = store.readLog(0, 10, 1 << 20);
          MessageBatch end = store.readLog(placed.endOffset(), 10, 1 << 20);
          MessageBatch at = store.readAt(0)) {
        assertEquals(ReadOutcome.FOUND, read.outcome());
        assertEquals(ReadOutcome.FOUND, at.outcome());
        assertEquals(ReadOutcome.END_OF_LOG, end.outcome());
        assertEquals(placed.endOffset(), end.nextOffset());
        assertEquals(0, read.minOffset());
        assertEquals(placed.endOffset(), read.maxOffset());
      }
    }
  }

  private static List<String> bodies(MessageBatch batch) {
    List<String> bodies = new ArrayList<>();
    for (MessageView message : batch) {
      bodies.add(new String(message.body(), UTF_8));
    }
    return bodies;
  }

  @Test
  void filtersByTagAndProperty() {
    try (CairnStore store = openSmall()) {
      // "Aa" and "BB" have one hash: only the record tells them apart.
      String[] tags = {"Aa", "BB", "paid", "Aa"};
      for (int i = 0; i < tags.length; i++) {
        Message.Builder builder = Message.builder(TOPIC, tags[i].concat("" + i).getBytes(UTF_8));
        String region = i < 2 ? "north" : "it's";
        store.append(builder.tag(tags[i]).property("a", "" + i).property("b", region).build());
      }
      settle(store);
      Map<Filter, List<String>> expected = new LinkedHashMap<>();
      expected.put(Filter.all(), List.of("Aa0", "BB1", "paid2", "Aa3"));
      expected.put(Filter.tags("*"), List.of("Aa0", "BB1", "paid2", "Aa3"));
      expected.put(Filter.tags("Aa"), List.of("Aa0", "Aa3"));
      expected.put(Filter.tags("BB || paid"), List.of("BB1", "paid2"));
      expected.put(Filter.tags("gr\u00fcn"), List.of());
      expected.put(Filter.sql("a BETWEEN 1 AND 2"), List.of("BB1", "paid2"));
      expected.put(Filter.sql("b IN ('it''s') AND a > 2"), List.of("Aa3"));
      expected.put(Filter.sql("TAGS = 'paid' OR c IS NOT NULL"), List.of("paid2"));
      for (Map.Entry<Filter, List<String>> entry : expected.entrySet()) {
        ReadRequest request = ReadRequest.of(TOPIC, 0, 0).filter(entry.getKey());
        try (MessageBatch batch = store.read(request)) {
          assertEquals(entry.getValue(), bodies(batch), entry.getKey().toString());
          assertEquals(4, batch.nextOffset());
        }
        try (MessageTail tail = store.tail(TOPIC, 0, 0, entry.getKey())) {
          List<String> seen = new ArrayList<>();
          tail.forEachRemaining(message -> seen.add(new String(message.body(), UTF_8)));
          assertEquals(entry.getValue(), seen, entry.getKey().toString());
        }
      }
    }
  }

  @Test
  void aMalformedFilterIsRefusedWhereItIsMade() {
    String tooLong = "a".repeat((64 << 10) + 1);
    List<Executable> illegal =
        List.of(
            () -> Filter.tags(" || "),
            () -> Filter.tags(tooLong),
            () -> Filter.sql(""),
            () -> Filter.sql("a >"),
            () -> Filter.sql("a > 'text'"),
            () -> Filter.sql("(".repeat(10_000) + "a = 1"),
            () -> Filter.sql("a = 99999999999999999999"),
            () -> Filter.sql(tooLong));
    for (int i = 0; i < illegal.size(); i++) {
      CairnException thrown =
          assertThrows(CairnException.class, illegal.get(i), "filter number " + i);
      assertEquals(Status.FILTER_ILLEGAL, thrown.status());
    }
    CairnException where = assertThrows(CairnException.class, () -> Filter.sql("a > 1 )"));
    assertEquals(OptionalLong.of(6), where.offset());
    CairnException half = assertThrows(CairnException.class, () -> Filter.tags("\ud800"));
    assertEquals(Status.INVALID_ARGUMENT, half.status());
    assertThrows(NullPointerException.class, () -> Filter.tags(null));
    assertEquals("a || b", Filter.tags("a || b").toString());
  }

  @Test
  void keysAndIdsLeadToTheirMessages() {
    try (CairnStore store = openSmall()) {
      List<AppendResult> placed = new ArrayList<>();
      for (int i = 0; i < 5; i++) {
        Message.Builder builder = Message.builder(TOPIC, ("m" + i).getBytes(UTF_8));
        placed.add(
            store.append(builder.keys("all", "k" + i).property("UNIQ_KEY", "U" + i).build()));
      }
      settle(store);
      Instant first = Instant.ofEpochMilli(placed.get(0).storeTimestampMs());
      Instant last = Instant.ofEpochMilli(placed.get(4).storeTimestampMs());
      queried(store, "all", first, last, 100, List.of("m0", "m1", "m2", "m3", "m4"));
      queried(store, "all", Instant.MIN, Instant.MAX, Integer.MAX_VALUE, 5);
      queried(store, "all", first, last, 2, List.of("m3", "m4"));
      queried(store, "all", first, last, 0, List.of());
      queried(store, "k3", first, last, 9, List.of("m3"));
      queried(store, "U3", first, last, 9, List.of("m3"));
      queried(store, "other", first, last, 9, List.of());
      queried(store, "all", last.plusNanos(1), Instant.MAX, 9, List.of());
      queried(store, "all", Instant.MIN, first.minusNanos(1), 9, List.of());
      assertEquals(
          Status.INVALID_ARGUMENT,
          assertThrows(CairnException.class, () -> store.queryKey(TOPIC, "k", first, last, -1))
              .status());
      String own;
      try (MessageBatch batch = store.readAt(placed.get(3).physicalOffset())) {
        own = batch.get(0).offsetMessageId();
      }
      for (String id : List.of("U3", own, own.toLowerCase(Locale.ROOT))) {
        MessageView found = store.findByMessageId(TOPIC, id).orElseThrow();
        assertEquals("m3", new String(found.body(), UTF_8));
        assertEquals(Optional.empty(), store.findByMessageId("other", id));
      }
      for (String id : List.of("", "U9", "7F00000100002A9F7FFFFFFFFFFFFFFF")) {
        assertEquals(Optional.empty(), store.findByMessageId(TOPIC, id));
      }
    }
  }

  private static void queried(
      CairnStore store, String key, Instant from, Instant until, int max, List<String> expected) {
    try (MessageBatch batch = store.queryKey(TOPIC, key, from, until, max)) {
      assertEquals(expected, bodies(batch));
      boolean found = !expected.isEmpty();
      assertEquals(
          found ? ReadOutcome.FOUND : ReadOutcome.NO_MATCHED_MESSAGE, batch.outcome(), key);
      assertEquals(-1, batch.nextOffset());
      assertEquals(-1, batch.minOffset());
      assertEquals(-1, batch.maxOffset());
    }
  }

  private static void queried(
      CairnStore store, String key, Instant from, Instant until, int max, int expected) {
    try (MessageBatch batch = store.queryKey(TOPIC, key, from, until, max)) {
      assertEquals(expected, batch.size());
    }
  }

  @Test
  void rangesTopicsAndTimes() throws Exception {
    try (CairnStore store = openQueues()) {
      assertEquals(List.of(), store.topics());
      fill(store, 7, 3);
      Thread.sleep(5);
      AppendResult later = store.append(Message.builder(TOPIC, new byte[1]).queueId(7).build());
      store.append(Message.of("gr\u00fcn".replace('\u00fc', 'u'), new byte[1]));
      settle(store);
      assertEquals(List.of("grun", TOPIC), store.topics());
      assertEquals(List.of(7), store.queuesOf(TOPIC));
      assertEquals(List.of(), store.queuesOf("none"));
      assertThrows(
          UnsupportedOperationException.class, () -> store.queuesOf(TOPIC).add(1));
      QueueRange range = store.queueRange(TOPIC, 7).orElseThrow();
      assertEquals(0, range.first());
      assertEquals(4, range.next());
      assertEquals(range, store.queueRange(TOPIC, 7).orElseThrow());
      assertEquals(Optional.empty(), store.queueRange(TOPIC, 6));
      assertEquals(Optional.empty(), store.queueRange(TOPIC, Integer.MIN_VALUE));
      Instant time = Instant.ofEpochMilli(later.storeTimestampMs());
      Map<Instant, List<Long>> expected =
          Map.of(
              Instant.MIN, List.of(0L, 0L),
              Instant.EPOCH, List.of(0L, 0L),
              time.minusNanos(1), List.of(3L, 2L),
              time, List.of(3L, 3L),
              time.plusNanos(1), List.of(4L, 3L),
              Instant.MAX, List.of(4L, 3L));
      expected.forEach(
          (at, indexes) -> {
            OptionalLong lower = store.offsetAtTime(TOPIC, 7, at, TimeBoundary.LOWER);
            OptionalLong upper = store.offsetAtTime(TOPIC, 7, at, TimeBoundary.UPPER);
            assertEquals(indexes, List.of(lower.orElseThrow(), upper.orElseThrow()), "" + at);
          });
      assertEquals(
          OptionalLong.empty(), store.offsetAtTime(TOPIC, 6, time, TimeBoundary.LOWER));
      assertEquals(store.positions().maxOffset(), store.dispatchedOffset());
      assertEquals(Optional.empty(), store.dispatchError());
    }
  }

  /** A queue whose units were damaged holds up the dispatch, or fails the read, with its file. */
  @Test
  void aQueueThatPointsElsewhereIsCorrupt() throws Exception {
    try (CairnStore store = openQueues()) {
      fill(store, 0, 12);
      fill(store, 1, 1);
      Path unit = smallest(directory.resolve("consumequeue").resolve(TOPIC).resolve("0"));
      try (FileChannel file = FileChannel.open(unit, StandardOpenOption.WRITE)) {
        // The fourth message's unit now points to the second queue's message.
        long elsewhere = store.positions().maxOffset() - 1;
        file.write(ByteBuffer.allocate(8).putLong(0, elsewhere), 3 * 20);
      }
      ReadRequest request = ReadRequest.of(TOPIC, 0, 3);
      CorruptionException thrown =
          assertThrows(CorruptionException.class, () -> store.read(request));
      assertEquals(Optional.of(unit), thrown.path());
      assertEquals(OptionalLong.of(60), thrown.offset());
      try (MessageTail tail = store.tail(TOPIC, 0, 3, Filter.all())) {
        assertThrows(CorruptionException.class, tail::hasNext);
        assertThrows(CorruptionException.class, () -> tail.next(LONG));
      }
    }
  }

  @Test
  void withoutQueuesOrIndexTheCallsSayWhatIsMissing() {
    StoreOptions options = small().consumeQueueEnable(false).build();
    try (CairnStore store = CairnStore.open(directory, options)) {
      List<Executable> uses =
          List.of(
              () -> store.read(ReadRequest.of(TOPIC, 0, 0)),
              () -> store.tail(TOPIC, 0, 0, Filter.all()),
              () -> store.queryKey(TOPIC, "k", Instant.MIN, Instant.MAX, 1),
              () -> store.findByMessageId(TOPIC, "id"),
              () -> store.queueRange(TOPIC, 0),
              () -> store.offsetAtTime(TOPIC, 0, Instant.now(), TimeBoundary.LOWER),
              store::topics,
              () -> store.queuesOf(TOPIC),
              () -> store.waitMessage(TOPIC, 0, 0, LONG),
              () -> store.waitDispatched(0, LONG));
      refusedAll(uses);
    }
    StoreOptions noIndex = small().messageIndexEnable(false).build();
    try (CairnStore store = CairnStore.open(directory.resolve("other"), noIndex)) {
      refusedAll(List.of(() -> store.queryKey(TOPIC, "k", Instant.MIN, Instant.MAX, 1)));
    }
  }

  private static void refusedAll(List<Executable> uses) {
    for (int i = 0; i < uses.size(); i++) {
      CairnException thrown = assertThrows(CairnException.class, uses.get(i), "use number " + i);
      assertEquals(Status.INVALID_ARGUMENT, thrown.status(), "use number " + i);
    }
  }

  @Test
  void everyOptionOfReadingReachesTheEngine() {
    List<StoreOptions.Builder> impossible =
        List.of(
            small().consumeQueueFileSizeBytes(19),
            small().maxOpenQueueFiles(0),
            small().flushConsumeQueueIntervalMs(0),
            small().maxHashSlotNum(0),
            small().maxIndexNum(1),
            small().messageDelayLevel("1x"));
    for (int i = 0; i < impossible.size(); i++) {
      StoreOptions options = impossible.get(i).build();
      CairnException thrown =
          assertThrows(
              CairnException.class,
              () -> CairnStore.open(directory, options).close(),
              "option number " + i);
      assertEquals(Status.INVALID_ARGUMENT, thrown.status(), "option number " + i);
    }
    StoreOptions possible =
        small()
            .maxOpenQueueFiles(1)
            .flushConsumeQueueIntervalMs(1)
            .maxHashSlotNum(10)
            .maxIndexNum(50)
            .messageDelayLevel("1s 2m")
            .readUncommitted(true)
            .flushMode(FlushMode.SYNC)
            .build();
    try (CairnStore store = CairnStore.open(directory, possible)) {
      fill(store, 0, 3);
      outcome(store, ReadRequest.of(TOPIC, 0, 0), ReadOutcome.FOUND, 3, 3);
    }
  }

  @Test
  void whatWasReadOutlivesBatchAndStore() {
    CairnStore store = openQueues();
    fill(store, 0, 3);
    MessageBatch open = store.read(ReadRequest.of(TOPIC, 0, 0));
    MessageBatch closed = store.read(ReadRequest.of(TOPIC, 0, 1));
    MessageTail tail = store.tail(TOPIC, 0, 2, Filter.all());
    MessageView followed = tail.next();
    ByteBuffer buffer = closed.get(0).bodyBuffer();
    closed.close();
    tail.close();
    store.close();
    System.gc();
    assertEquals("0 1", UTF_8.decode(buffer.duplicate()).toString());
    assertEquals(List.of("0 0", "0 1", "0 2"), bodies(open));
    assertEquals("0 2", new String(followed.body(), UTF_8));
    assertEquals(2, followed.queueOffset());
    assertThrows(StoreClosedException.class, () -> closed.get(0).body());
    Reference.reachabilityFence(buffer);
    open.close();
  }

  @Test
  void forgottenBatchesAndTailsAreCollected() {
    try (CairnStore store = openQueues()) {
      fill(store, 0, 5);
      List<MessageView> kept = new ArrayList<>();
      for (int i = 0; i < 200; i++) {
        MessageView view = store.read(ReadRequest.of(TOPIC, 0, i % 5)).get(0);
        MessageView followed = store.tail(TOPIC, 0, i % 5, Filter.tags("*")).next();
        assertEquals(view.physicalOffset(), followed.physicalOffset());
        if (i % 50 == 0) {
          kept.add(view);
        }
      }
      eventually(
          "batches were left: " + Native.liveObjectCount(),
          () -> {
            System.gc();
            return Native.liveObjectCount() == 1 + kept.size();
          });
      List<String> texts =
          kept.stream().map(view -> new String(view.body(), UTF_8)).collect(Collectors.toList());
      assertEquals(List.of("0 0", "0 0", "0 0", "0 0"), texts);
    }
  }
}
