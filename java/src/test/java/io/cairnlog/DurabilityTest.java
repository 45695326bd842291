package io.cairnlog;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.lang.ProcessBuilder.Redirect;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;

/** What was acknowledged as durable is durable. */
class DurabilityTest extends StoreTestCase {
  @Test
  void aSynchronousAppendReturnsWhenTheRecordIsDurable() {
    StoreOptions options = small().flushMode(FlushMode.SYNC).build();
    try (CairnStore store = CairnStore.open(directory, options)) {
      for (int i = 0; i < 20; i++) {
        AppendResult placed = store.append(message("m" + i));
        assertTrue(store.positions().durableOffset() >= placed.endOffset());
      }
      List<AppendResult> many = store.appendAll(List.of(message("a"), message("b")));
      assertTrue(store.positions().durableOffset() >= many.get(1).endOffset());
    }
  }

  @Test
  void anAsynchronousStoreWaitsWhenAsked() {
    StoreOptions options = small().flushIntervalMs(60_000).build();
    try (CairnStore store = CairnStore.open(directory, options)) {
      AppendResult placed = store.append(message("m"));
      assertTrue(store.waitDurable(placed.endOffset(), Duration.ofSeconds(20)));
      assertTrue(store.positions().durableOffset() >= placed.endOffset());
      CairnException beyond =
          assertThrows(
              CairnException.class,
              () -> store.waitDurable(placed.endOffset() + 1, Duration.ofSeconds(20)));
      assertEquals(Status.OFFSET_OUT_OF_RANGE, beyond.status());
      AppendResult next = store.append(message("n"));
      store.flush();
      assertTrue(store.positions().durableOffset() >= next.endOffset());
    }
  }

  @Test
  void nothingAcknowledgedIsLostWhenTheWriterIsKilled() throws Exception {
    Process writer = startJvm(Redirect.DISCARD, List.of(), SyncWriter.class, directory.toString());
    List<Long> acknowledged = new ArrayList<>();
    try (BufferedReader said =
        new BufferedReader(new InputStreamReader(writer.getInputStream(), UTF_8))) {
      while (acknowledged.size() < 50) {
        String line = said.readLine();
        assertTrue(line != null && line.matches("[0-9]+"), "the writer said: " + line);
        acknowledged.add(Long.parseLong(line));
      }
      writer.destroyForcibly();
      assertTrue(writer.waitFor(20, TimeUnit.SECONDS));
    }
    try (CairnStore store = openSmall()) {
      assertFalse(store.recoveryReport().cleanStop());
      for (int i = 0; i < acknowledged.size(); i++) {
        try (MessageBatch batch = store.readAt(acknowledged.get(i))) {
          assertEquals("m" + i, new String(batch.get(0).body(), UTF_8));
        }
      }
    }
  }

  /** Appends until it is killed and prints where each acknowledged message lies. */
  static final class SyncWriter {
    public static void main(String[] arguments) {
      StoreOptions options = small().flushMode(FlushMode.SYNC).build();
      try (CairnStore store = CairnStore.open(Path.of(arguments[0]), options)) {
        for (int i = 0; ; i++) {
          System.out.println(store.append(message("m" + i)).physicalOffset());
        }
      }
    }
  }
}
