package io.cairnlog;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTimeoutPreemptively;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.lang.ProcessBuilder.Redirect;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.TreeMap;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/** A store that is only read, beside the process that writes it. */
class ReaderTest extends StoreTestCase {
  private static final Duration LONG = Duration.ofSeconds(60);
  private static final int QUEUES = 2;

  /** Appends to the queues in turn, going on where it was killed before, until it is killed. */
  static final class Writer {
    private Writer() {}

    public static void main(String[] arguments) {
      CairnStore store = CairnStore.open(Path.of(arguments[0]), small().build());
      for (boolean begun = false; ; begun = true) {
        for (int queue = 0; queue < QUEUES; queue++) {
          long index = store.nextQueueOffset(TOPIC, queue);
          byte[] body = (queue + " " + index).getBytes(UTF_8);
          store.append(
              Message.builder(TOPIC, body).queueId(queue).keys("" + index).build());
        }
        if (!begun) {
          System.out.write('!');
          System.out.flush();
        }
      }
    }
  }

  /** Starts a writer and returns when it has appended to every queue. */
  private Process startWriter() throws IOException {
    Process writer = startJvm(Redirect.INHERIT, List.of(), Writer.class, directory.toString());
    assertEquals('!', writer.getInputStream().read());
    return writer;
  }

  private static void kill(Process writer) throws InterruptedException {
    assertTrue(writer.isAlive());
    writer.destroyForcibly();
    assertTrue(writer.waitFor(20, TimeUnit.SECONDS));
  }

  /** Every file and directory with its size and times. */
  private Map<String, String> listing() throws IOException {
    Map<String, String> found = new TreeMap<>();
    try (Stream<Path> paths = Files.walk(directory)) {
      for (Path path : (Iterable<Path>) paths::iterator) {
        String wanted = "unix:size,lastModifiedTime,ctime";
        found.put(path.toString(), Files.readAttributes(path, wanted).toString());
      }
    }
    return found;
  }

  /** Reads at least so many messages, and then, if it is the end, all; returns where it is. */
  private static long follow(MessageTail tail, int queue, long least, boolean toEnd) {
    long end = tail.offset() + least;
    while (tail.offset() < end || toEnd) {
      long index = tail.offset();
      Optional<MessageView> message = tail.next(index < end ? LONG : Duration.ofMillis(300));
      if (message.isEmpty()) {
        assertTrue(toEnd && index >= end);
        return index;
      }
      assertEquals(index, message.get().queueOffset());
      assertEquals(queue + " " + index, new String(message.get().body(), UTF_8));
    }
    return tail.offset();
  }

  @Test
  void aReaderFollowsAWriterThatIsKilled() throws Exception {
    Process writer = startWriter();
    try (StoreReader reader = CairnStore.openReader(directory, small().build());
        MessageTail first = reader.tail(TOPIC, 0, 0, Filter.all());
        MessageTail second = reader.tail(TOPIC, 1, 0, Filter.all())) {
      follow(first, 0, 2000, false);
      follow(second, 1, 2000, false);
      LogScan log = reader.scan(reader.minOffset());
      for (int i = 0; i < 4000; i++) {
        assertTrue(log.next(LONG).isPresent());
      }
      // The units of a batch are written before its keys.
      assertTimeoutPreemptively(
          LONG,
          () -> {
            while (keyed(reader) < QUEUES) {
              Thread.sleep(1);
            }
          });
      kill(writer);
      Map<String, String> before = listing();
      long firstEnd = follow(first, 0, 0, true);
      long secondEnd = follow(second, 1, 0, true);
      allIsRead(reader, firstEnd, secondEnd);
      assertEquals(before, listing());
      // The writer comes again: the reader goes on.
      writer = startWriter();
      follow(first, 0, 500, false);
      follow(second, 1, 500, false);
      kill(writer);
      assertNotEquals(before, listing());
    } finally {
      writer.destroyForcibly().waitFor();
    }
  }

  /** How many messages the index has for a key that each queue has once. */
  private static int keyed(StoreReader reader) {
    Instant end = Instant.now().plusSeconds(60);
    try (MessageBatch batch = reader.queryKey(TOPIC, "7", Instant.EPOCH, end, 10)) {
      return batch.size();
    }
  }

  private void allIsRead(StoreReader reader, long firstEnd, long secondEnd) {
    assertEquals(directory, reader.directory());
    assertEquals(1 << 20, reader.segmentSizeBytes());
    assertEquals(List.of(TOPIC), reader.topics());
    assertEquals(List.of(0, 1), reader.queuesOf(TOPIC));
    QueueRange range = reader.queueRange(TOPIC, 1).orElseThrow();
    assertEquals(List.of(0L, secondEnd), List.of(range.first(), range.next()));
    try (MessageBatch batch = reader.read(ReadRequest.of(TOPIC, 0, firstEnd - 1))) {
      assertEquals(1, batch.size());
      assertEquals(firstEnd, batch.nextOffset());
    }
    assertEquals(QUEUES, keyed(reader));
    try (MessageBatch batch = reader.readAt(reader.minOffset())) {
      String id = batch.get(0).offsetMessageId();
      assertTrue(reader.findByMessageId(TOPIC, id).isPresent());
    }
    try (MessageBatch batch = reader.readLog(reader.maxOffset(), 10, 1 << 20)) {
      assertEquals(ReadOutcome.END_OF_LOG, batch.outcome());
    }
    long records = 0;
    for (MessageView message : reader.scan(reader.minOffset())) {
      assertEquals(TOPIC, message.topic());
      records++;
    }
    assertTrue(records >= firstEnd + secondEnd);
    assertEquals(
        OptionalLong.of(0), reader.offsetAtTime(TOPIC, 0, Instant.EPOCH, TimeBoundary.LOWER));
    assertFalse(reader.waitMessage(TOPIC, 0, firstEnd + 1, Duration.ofMillis(5)));
    assertFalse(reader.waitReadable(reader.maxOffset(), Duration.ofMillis(5)));
  }

  /** The base of stores and readers serves for both. */
  private static long count(ReadableStore readable) {
    return readable.queueRange(TOPIC, 0).map(QueueRange::next).orElse(0L);
  }

  @Test
  void aReaderMayBeInTheWritersProcess() throws Exception {
    try (CairnStore store = openSmall()) {
      store.append(message("one"));
      assertTrue(store.waitDispatched(store.maxOffset(), LONG));
      StoreReader reader = CairnStore.openReader(directory);
      MessageTail tail = reader.tail(TOPIC, 0, 1, Filter.all());
      assertEquals(count(store), count(reader));
      assertEquals(store.minOffset(), reader.minOffset());
      CompletableFuture<Boolean> waiting =
          CompletableFuture.supplyAsync(() -> reader.waitMessage(TOPIC, 0, 1, LONG));
      store.append(message("two"));
      assertTrue(waiting.get(20, TimeUnit.SECONDS));
      assertEquals("two", new String(tail.next(LONG).orElseThrow().body(), UTF_8));
      CompletableFuture<Optional<MessageView>> ended =
          CompletableFuture.supplyAsync(() -> tail.next(LONG));
      Thread.sleep(50);
      reader.close();
      reader.close();
      ExecutionException failed =
          assertThrows(ExecutionException.class, () -> ended.get(20, TimeUnit.SECONDS));
      assertEquals(StoreClosedException.class, failed.getCause().getClass());
      assertTrue(reader.isClosed());
      assertThrows(StoreClosedException.class, () -> reader.read(ReadRequest.of(TOPIC, 0, 0)));
      assertThrows(StoreClosedException.class, reader::maxOffset);
      tail.close();
      store.append(message("three"));
    }
  }

  @Test
  void whereThereIsNothingNothingIsMade() {
    Path none = directory.resolve("none");
    CairnException failed =
        assertThrows(CairnException.class, () -> CairnStore.openReader(none));
    assertEquals(Status.STORE_NOT_FOUND, failed.status());
    assertFalse(Files.exists(none));
  }
}
