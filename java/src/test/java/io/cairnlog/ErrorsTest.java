package io.cairnlog;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;

/** Each cause has its status, its exception and a sentence to act on. */
class ErrorsTest extends StoreTestCase {
  private static void refused(Status expected, Executable call) {
    CairnException thrown = assertThrows(CairnException.class, call, expected.name());
    assertEquals(expected, thrown.status(), thrown.getMessage());
    assertTrue(thrown.getMessage().length() > 10, thrown.getMessage());
  }

  @Test
  void messagesThatCannotBeStored() {
    byte[] body = "body".getBytes(UTF_8);
    StoreOptions options = small().maxMessageSizeBytes(100_000).build();
    Map<Message, Status> cases = new LinkedHashMap<>();
    cases.put(Message.of("", body), Status.TOPIC_EMPTY);
    cases.put(Message.of("t".repeat(256), body), Status.TOPIC_TOO_LONG);
    cases.put(Message.of("gr\u00fcn", body), Status.TOPIC_ILLEGAL);
    cases.put(Message.of(TOPIC, new byte[0]), Status.BODY_EMPTY);
    cases.put(Message.of(TOPIC, new byte[100_001]), Status.BODY_TOO_LARGE);
    cases.put(Message.builder(TOPIC, body).queueId(-1).build(), Status.QUEUE_ID_ILLEGAL);
    cases.put(
        Message.builder(TOPIC, body).property("a\u0001", "b").build(),
        Status.PROPERTIES_ILLEGAL);
    cases.put(Message.builder(TOPIC, body).keys("a b").build(), Status.PROPERTIES_ILLEGAL);
    cases.put(
        Message.builder(TOPIC, body).property("a", "v".repeat(32_768)).build(),
        Status.PROPERTIES_TOO_LARGE);
    try (CairnStore store = CairnStore.open(directory, options)) {
      cases.forEach(
          (message, status) -> {
            refused(status, () -> store.append(message));
            refused(status, () -> store.appendAsync(message));
          });
      assertEquals(0, store.positions().maxOffset());
      assertTrue(store.append(Message.of("t".repeat(255), body)).physicalOffset() >= 0);
    }
  }

  @Test
  void aListStopsAtTheFirstThatIsRefused() {
    try (CairnStore store = openSmall()) {
      List<Message> messages =
          List.of(message("a"), message("b"), Message.of("", new byte[1]), message("c"));
      CairnException thrown =
          assertThrows(CairnException.class, () -> store.appendAll(messages));
      assertEquals(Status.TOPIC_EMPTY, thrown.status());
      assertEquals(2, thrown.appended().size());
      assertEquals(1, thrown.appended().get(1).queueOffset());
      assertEquals(List.of("a", "b"), bodies(store));
    }
  }

  @Test
  void argumentsThatCannotBe() {
    refused(
        Status.INVALID_ARGUMENT,
        () -> CairnStore.open(directory, StoreOptions.builder().set("nope", "1").build()));
    refused(
        Status.INVALID_ARGUMENT,
        () -> CairnStore.open(directory, StoreOptions.builder().segmentSizeBytes(5).build()));
    refused(
        Status.STORE_NOT_FOUND,
        () ->
            CairnStore.open(
                directory.resolve("none"), StoreOptions.builder().createIfMissing(false).build()));
    refused(Status.INVALID_ARGUMENT, () -> halfPair());
    assertThrows(NullPointerException.class, () -> CairnStore.open(null));
    try (CairnStore store = openSmall()) {
      long first = store.append(message("first")).physicalOffset();
      refused(Status.OFFSET_OUT_OF_RANGE, () -> store.readAt(-1));
      refused(Status.OFFSET_OUT_OF_RANGE, () -> store.readAt(1 << 30));
      refused(Status.NOT_A_RECORD, () -> store.readAt(first + 1));
      refused(Status.INVALID_ARGUMENT, () -> store.readLog(0, -1, 1));
      refused(Status.TOPIC_ILLEGAL, () -> store.queue("a/b", 0));
      assertThrows(NullPointerException.class, () -> store.append(null));
      EncodedBatch malformed =
          EncodedBatch.ofEncoded(Message.builder(TOPIC).build(), new byte[] {0, 0, 0, 99});
      refused(Status.BATCH_ILLEGAL, () -> store.appendBatch(malformed));
    }
  }

  private static Message halfPair() {
    return Message.builder(TOPIC, new byte[1]).property("half", "a\udc00\u00e4").build();
  }

  @Test
  void everyOptionOfRocketMqIsKnownByItsName() {
    StoreOptions options =
        StoreOptions.builder()
            .set("mappedFileSizeCommitLog", "1M")
            .set("flushDiskType", "SYNC_FLUSH")
            .appendLock(AppendLockKind.ADAPTIVE)
            .damagePolicy(DamagePolicy.TRUNCATE)
            .syncFlushTimeoutMs(3000)
            .appendRecordCrc(true)
            .commitLogPaths(directory.resolve("one"), directory.resolve("two"))
            .build();
    try (CairnStore store = CairnStore.open(directory.resolve("store"), options)) {
      AppendResult placed = store.append(message("m"));
      assertEquals(1 << 20, store.segmentSizeBytes());
      assertTrue(store.positions().durableOffset() >= placed.endOffset());
      assertTrue(Files.exists(directory.resolve("one").resolve("0".repeat(20))));
    }
  }

  @Test
  void aSecondOpenerIsRefused() throws Exception {
    try (CairnStore store = openSmall()) {
      StoreLockedException thrown = assertThrows(StoreLockedException.class, this::openSmall);
      assertEquals(Status.STORE_LOCKED, thrown.status());
      Said other = runJvm(0, List.of(), Opener.class, directory.toString());
      assertTrue(other.contains("STORE_LOCKED"), other.toString());
      assertEquals(0, store.positions().maxOffset());
    }
    Said other = runJvm(0, List.of(), Opener.class, directory.toString());
    assertTrue(other.contains("opened"), other.toString());
  }

  /** Opens a store and says what came of it. */
  static final class Opener {
    public static void main(String[] arguments) {
      try (CairnStore store = CairnStore.open(Path.of(arguments[0]))) {
        System.out.println("opened " + store.directory());
      } catch (CairnException refused) {
        System.out.println(refused.status());
      }
    }
  }

  @Test
  void damageIsNamedAndCutOnlyWhenAsked() throws IOException {
    AppendResult damaged;
    try (CairnStore store = openSmall()) {
      store.append(message("good"));
      damaged = store.append(message("damaged"));
      store.append(message("behind"));
    }
    Path file = directory.resolve("commitlog").resolve("0".repeat(20));
    byte[] bytes = Files.readAllBytes(file);
    bytes[(int) damaged.physicalOffset() + 90] ^= 0x55;
    Files.write(file, bytes, StandardOpenOption.WRITE);
    // As if the process had died before it noted that anything was sound.
    Files.createFile(directory.resolve("abort"));
    Files.delete(directory.resolve("checkpoint"));

    CorruptionException thrown = assertThrows(CorruptionException.class, this::openSmall);
    assertEquals(Status.CORRUPTION, thrown.status());
    assertEquals(damaged.physicalOffset(), thrown.offset().orElseThrow());
    assertTrue(thrown.path().orElseThrow().endsWith("commitlog/" + "0".repeat(20)));

    StoreOptions cut = small().damagePolicy(DamagePolicy.TRUNCATE).build();
    try (CairnStore store = CairnStore.open(directory, cut)) {
      assertEquals(List.of("good"), bodies(store));
      RecoveryReport report = store.recoveryReport();
      assertTrue(report.bytesSetAside() > 0);
      assertTrue(Files.isRegularFile(report.setAside().orElseThrow()));
    }
  }

  @Test
  void aFileWhereTheDirectoryShouldBeIsAStorageError() throws IOException {
    Path file = Files.createFile(directory.resolve("file"));
    StorageException thrown =
        assertThrows(StorageException.class, () -> CairnStore.open(file.resolve("store")));
    assertEquals(20, thrown.osCode(), "ENOTDIR");
  }
}
