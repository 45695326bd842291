package io.cairnlog;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.zip.CRC32;
import org.junit.jupiter.api.Test;

/** What goes in comes out, field by field, also after the store was opened again. */
class RoundTripTest extends StoreTestCase {
  @Test
  void everyFieldComesBack() {
    byte[] body = "20 pears".getBytes(UTF_8);
    Message message =
        Message.builder(TOPIC, body)
            .queueId(3)
            .tag("new")
            .keys("42", "43")
            .property("colour", "gr\u00fcn \ud83c\udf50")
            .properties(Map.of("UNIQ_KEY", "7F000001"))
            .flag(-5)
            .sysFlag(8)
            .bornTime(Instant.ofEpochMilli(1_700_000_000_123L))
            .bornHost(new InetSocketAddress("2001:db8::7", 65_535))
            .reconsumeTimes(2)
            .preparedTransactionOffset(77)
            .waitStoreOk(false)
            .build();
    StoreOptions options = small().storeHost(new InetSocketAddress("10.1.2.3", 10_911)).build();
    AppendResult placed;
    try (CairnStore store = CairnStore.open(directory, options)) {
      store.append(message("before"));
      placed = store.append(message);
      assertEquals(placed.endOffset(), store.positions().maxOffset());
      checkEveryField(store, placed, body);
    }
    try (CairnStore store = openSmall()) {
      checkEveryField(store, placed, body);
    }
  }

  private static void checkEveryField(CairnStore store, AppendResult placed, byte[] body) {
    try (MessageBatch batch = store.readAt(placed.physicalOffset())) {
      assertEquals(1, batch.size());
      assertEquals(placed.endOffset(), batch.nextOffset());
      MessageView read = batch.get(0);
      CRC32 crc = new CRC32();
      crc.update(body);
      assertArrayEquals(body, read.body());
      assertEquals(body.length, read.bodySizeBytes());
      assertEquals((int) crc.getValue() & 0x7fffffff, read.bodyCrc());
      assertEquals(TOPIC, read.topic());
      assertEquals(3, read.queueId());
      assertEquals(3, placed.queueId());
      assertEquals(0, read.queueOffset());
      assertEquals(placed.physicalOffset(), read.physicalOffset());
      assertEquals(placed.sizeBytes(), read.sizeBytes());
      assertEquals(placed.endOffset(), read.endOffset());
      assertEquals(0xDAA320A7, read.magic());
      assertEquals(-5, read.flag());
      assertEquals(8, read.sysFlag() & 8);
      assertEquals(1_700_000_000_123L, read.bornTimestampMs());
      assertEquals(new InetSocketAddress("2001:db8::7", 65_535), read.bornHost());
      assertEquals(new InetSocketAddress("10.1.2.3", 10_911), read.storeHost());
      assertEquals(read.storeHost(), placed.storeHost());
      assertEquals(placed.storeTimestampMs(), read.storeTimestampMs());
      assertEquals(2, read.reconsumeTimes());
      assertEquals(77, read.preparedTransactionOffset());
      assertEquals(Optional.of("new"), read.tag());
      assertEquals(List.of("42", "43"), read.keys());
      assertEquals(Optional.of("gr\u00fcn \ud83c\udf50"), read.property("colour"));
      assertEquals(Optional.of("7F000001"), read.property("UNIQ_KEY"));
      assertEquals(Optional.of("false"), read.property("WAIT"));
      assertEquals(Optional.empty(), read.property("absent"));
      assertEquals(32, read.offsetMessageId().length());
    }
  }

  @Test
  void aStoreHostOfEitherFamilyComesBack() {
    for (String address : List.of("10.1.2.3", "2001:db8::7")) {
      boolean ipv6 = address.contains(":");
      Path place = directory.resolve(ipv6 ? "ipv6" : "ipv4");
      StoreOptions options =
          StoreOptions.builder()
              .set("store_host", ipv6 ? "[" + address + "]:65535" : address + ":65535")
              .build();
      try (CairnStore store = CairnStore.open(place, options)) {
        AppendResult placed = store.append(Message.of(TOPIC, new byte[] {1}));
        assertEquals(new InetSocketAddress(address, 65_535), placed.storeHost());
        try (MessageBatch batch = store.readAt(placed.physicalOffset())) {
          assertEquals(batch.get(0).storeHost(), placed.storeHost());
        }
      }
    }
  }

  @Test
  void bodiesOfEverySizeAndKindComeBack() {
    Random random = new Random(7);
    StoreOptions options = StoreOptions.builder().segmentSizeBytes(16 << 20).build();
    int[] sizes = {1, 2, 4095, 4096, 70_000, 1 << 20, 4 << 20};
    try (CairnStore store = CairnStore.open(directory, options)) {
      for (int size : sizes) {
        byte[] body = new byte[size];
        random.nextBytes(body);
        ByteBuffer direct = ByteBuffer.allocateDirect(size + 3);
        direct.position(3);
        direct.put(body).position(3);
        byte[] wider = new byte[size + 5];
        System.arraycopy(body, 0, wider, 3, size);
        List<Message> forms =
            List.of(
                Message.of(TOPIC, body),
                Message.builder(TOPIC, direct).build(),
                Message.builder(TOPIC, ByteBuffer.wrap(wider, 3, size)).build(),
                Message.builder(TOPIC, ByteBuffer.wrap(body).asReadOnlyBuffer()).build());
        for (Message form : forms) {
          AppendResult placed = store.append(form);
          try (MessageBatch batch = store.readAt(placed.physicalOffset())) {
            assertArrayEquals(body, batch.get(0).body());
            assertEquals(ByteBuffer.wrap(body), batch.get(0).bodyBuffer());
          }
        }
        assertEquals(3, direct.position(), "a message must not move its buffer");
      }
    }
  }

  @Test
  void aCallAboveWhatAThreadKeepsGetsMemoryOfItsOwn() {
    List<Message> large = new ArrayList<>();
    for (int i = 0; i < 3; i++) {
      byte[] body = new byte[4 << 20];
      Arrays.fill(body, (byte) i);
      large.add(Message.of(TOPIC, body));
    }
    assertTrue(3 * (4 << 20) > Scratch.MAX_KEPT_BYTES);
    StoreOptions options = StoreOptions.builder().segmentSizeBytes(16 << 20).build();
    try (CairnStore store = CairnStore.open(directory, options)) {
      List<AppendResult> placed = store.appendAll(large);
      for (int i = 0; i < 3; i++) {
        try (MessageBatch batch = store.readAt(placed.get(i).physicalOffset())) {
          assertEquals(large.get(i).body(), batch.get(0).bodyBuffer());
        }
      }
    }
  }

  @Test
  void manyMessagesAndPreparedQueuesKeepTheirOrder() {
    List<String> expected = new ArrayList<>();
    try (CairnStore store = openSmall();
        QueueAppender queue = store.queue("queue", 9)) {
      List<Message> many = new ArrayList<>();
      for (int i = 0; i < 500; i++) {
        many.add(message("many " + i));
        expected.add("many " + i);
      }
      List<AppendResult> placed = store.appendAll(many);
      assertEquals(500, placed.size());
      for (int i = 0; i < 500; i++) {
        assertEquals(i, placed.get(i).queueOffset());
      }
      assertEquals(500, store.nextQueueOffset(TOPIC, 0));
      assertEquals(List.of(), store.appendAll(List.of()));
      for (int i = 0; i < 10; i++) {
        AppendResult result = queue.append(message("queued " + i));
        assertEquals(i, result.queueOffset());
        assertEquals(9, result.queueId());
        expected.add("queued " + i);
      }
      assertEquals("queue", queue.topic());
      assertEquals(10, store.nextQueueOffset("queue", 9));
      assertEquals(0, store.nextQueueOffset("unknown", 0));
      assertEquals(expected, bodies(store));
      assertEquals(10, store.stats().topics().get("queue").messages());
    }
    try (CairnStore store = openSmall()) {
      assertEquals(expected, bodies(store));
      assertEquals(500, store.nextQueueOffset(TOPIC, 0));
      RecoveryReport report = store.recoveryReport();
      assertFalse(report.created());
      assertTrue(report.cleanStop());
      assertEquals(1, report.files());
      assertEquals(store.positions().maxOffset(), report.endOffset());
    }
  }

  @Test
  void batchesBecomeRecordsOrOneRecord() {
    Message shared = Message.builder(TOPIC).queueId(1).property("shared", "yes").build();
    List<Message> items =
        List.of(
            Message.builder(TOPIC, "a".getBytes(UTF_8)).tag("t").keys("k1", "k2").build(),
            Message.builder(TOPIC, "b".getBytes(UTF_8)).flag(4).property("p", "v").build());
    EncodedBatch batch = EncodedBatch.of(shared, items);
    assertTrue(batch.sizeBytes() > 2);
    try (CairnStore store = openSmall()) {
      AppendResult plain = store.appendBatch(batch);
      assertEquals(2, plain.messageCount());
      try (MessageBatch read = store.readLog(plain.physicalOffset(), 10, 1 << 20)) {
        assertEquals(2, read.size());
        assertEquals(plain.endOffset(), read.nextOffset());
        assertEquals(Optional.of("t"), read.get(0).tag());
        assertEquals(List.of("k1", "k2"), read.get(0).keys());
        assertEquals(4, read.get(1).flag());
        assertEquals(1, read.get(1).queueOffset());
        assertEquals(Optional.of("v"), read.get(1).property("p"));
        for (MessageView message : read) {
          assertEquals(Optional.of("yes"), message.property("shared"));
          assertEquals(1, message.queueId());
        }
      }
      // A topic has records of messages or of inner batches, and never both.
      CairnException mixed =
          assertThrows(CairnException.class, () -> store.appendInnerBatch(batch));
      assertEquals(Status.BATCH_ILLEGAL, mixed.status());
      Message inOther = Message.builder("inner").queueId(1).build();
      AppendResult inner = store.appendInnerBatch(EncodedBatch.of(inOther, items));
      assertEquals(2, inner.messageCount());
      try (MessageBatch read = store.readLog(inner.physicalOffset(), 10, 1 << 20)) {
        assertEquals(1, read.size());
        assertEquals(Optional.of("2"), read.get(0).property("INNER_NUM"));
      }
      assertEquals(2, store.nextQueueOffset(TOPIC, 1));
      assertEquals(2, store.nextQueueOffset("inner", 1));
    }
  }

  @Test
  void theLogRollsOverAndIsReadInPieces() {
    byte[] body = new byte[50_000];
    StoreOptions options = StoreOptions.builder().segmentSizeBytes(256 << 10).build();
    try (CairnStore store = CairnStore.open(directory, options)) {
      assertEquals(256 << 10, store.segmentSizeBytes());
      for (int i = 0; i < 40; i++) {
        body[0] = (byte) i;
        store.append(Message.of(TOPIC, body));
      }
      int next = 0;
      for (MessageView message : store.scan(0)) {
        assertEquals(next++, message.body()[0]);
      }
      assertEquals(40, next);
      try (MessageBatch read = store.readLog(0, 2, 1 << 20)) {
        assertEquals(2, read.size());
      }
      try (MessageBatch read = store.readLog(0, 100, 1)) {
        assertEquals(1, read.size(), "the first message comes whatever its size");
      }
      assertTrue(Files.exists(directory.resolve("commitlog/00000000000000262144")));
    }
  }

  @Test
  void aScanFollowsWhatIsAppended() throws Exception {
    try (CairnStore store = openSmall()) {
      LogScan scan = store.scan(0);
      assertFalse(scan.hasNext());
      assertEquals(Optional.empty(), scan.next(Duration.ofMillis(20)));
      Thread writer =
          new Thread(
              () -> {
                for (int i = 0; i < 100; i++) {
                  store.append(message("m" + i));
                }
              });
      writer.start();
      for (int i = 0; i < 100; i++) {
        MessageView message = scan.next(Duration.ofSeconds(20)).orElseThrow();
        assertEquals("m" + i, new String(message.body(), UTF_8));
      }
      writer.join();
      assertEquals(store.positions().maxOffset(), scan.offset());
      Thread.currentThread().interrupt();
      assertFalse(store.waitReadable(scan.offset(), Duration.ofSeconds(60)));
      assertTrue(Thread.interrupted(), "the thread stays interrupted");
    }
  }

  @Test
  void statisticsPositionsAndPlansAddUp() {
    RecoveryReport plan;
    try (CairnStore store = openSmall()) {
      assertTrue(store.recoveryReport().created());
      assertEquals(directory, store.directory());
      AppendResult placed = store.append(message("one"));
      StoreStats stats = store.stats();
      assertEquals(1, stats.messages());
      assertEquals(placed.sizeBytes(), stats.bytes());
      assertEquals(0, stats.refused());
      assertEquals(1, Arrays.stream(stats.appendLatencyCounts()).sum());
      store.flush();
      assertTrue(store.stats().syncs() >= 1);
      StorePositions positions = store.positions();
      assertEquals(0, positions.minOffset());
      assertEquals(placed.endOffset(), positions.durableOffset());
      assertEquals(placed.endOffset(), positions.committedOffset());
      assertEquals(placed.endOffset(), positions.maxOffset());
    }
    plan = CairnStore.planRecovery(directory, StoreOptions.defaults());
    assertTrue(plan.cleanStop());
    assertEquals(Optional.empty(), plan.setAside());
  }
}
