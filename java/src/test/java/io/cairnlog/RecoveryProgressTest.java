package io.cairnlog;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.lang.ref.WeakReference;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Comparator;
import java.util.List;
import java.util.logging.Handler;
import java.util.logging.LogRecord;
import java.util.logging.Logger;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** How far opening a store is: phases to their ends, failures, and what is kept. */
class RecoveryProgressTest extends StoreTestCase {
  private static final int MESSAGES = 200;

  @TempDir Path other;

  /** A process that leaves a store as a kill does. */
  static final class Killed {
    public static void main(String[] arguments) {
      CairnStore store = CairnStore.open(Path.of(arguments[0]), small().build());
      for (int number = 0; number < MESSAGES; number++) {
        store.append(message("a message that outlives its process"));
      }
      if (!store.waitMessage(TOPIC, 0, MESSAGES - 1, Duration.ofSeconds(60))) {
        throw new AssertionError("not dispatched");
      }
      System.out.print(store.positions().maxOffset());
      System.out.flush();
      Runtime.getRuntime().halt(9);
    }
  }

  /** Makes a store of a process that died, without its queues; returns where its log ends. */
  private long leaveStore() throws IOException, InterruptedException {
    Said said = runJvm(9, List.of(), Killed.class, directory.toString());
    assertTrue(Files.exists(directory.resolve("abort")), said.toString());
    List<Path> queues;
    try (Stream<Path> walked = Files.walk(directory.resolve("consumequeue"))) {
      queues = walked.sorted(Comparator.reverseOrder()).collect(Collectors.toList());
    }
    for (Path path : queues) {
      Files.delete(path);
    }
    Files.deleteIfExists(directory.resolve("checkpoint"));
    return Long.parseLong(said.output);
  }

  /** What is told goes from phase to phase, and each of them to its end. */
  private static void check(List<RecoveryProgress> told, long end, RecoveryPhase... phases) {
    List<RecoveryPhase> seen = told.stream().map(p -> p.phase()).collect(Collectors.toList());
    assertEquals(seen.stream().sorted().collect(Collectors.toList()), seen);
    assertEquals(Arrays.asList(phases), seen.stream().distinct().collect(Collectors.toList()));
    for (RecoveryPhase phase : phases) {
      long done = 0;
      boolean complete = false;
      for (RecoveryProgress progress : told) {
        if (progress.phase() == phase) {
          assertTrue(!complete && progress.bytesDone() >= done, told::toString);
          assertTrue(progress.bytesDone() <= progress.bytesTotal(), told::toString);
          done = progress.bytesDone();
          complete = progress.isComplete();
        }
      }
      assertTrue(complete, told::toString);
      assertEquals(end, done);
    }
  }

  @Test
  void aKilledStoreTellsBothPhases() throws Exception {
    long end = leaveStore();
    List<RecoveryProgress> told = new ArrayList<>();
    List<Thread> threads = new ArrayList<>();
    StoreOptions options =
        small()
            .onRecoveryProgress(
                progress -> {
                  told.add(progress);
                  threads.add(Thread.currentThread());
                })
            .build();
    try (CairnStore store = CairnStore.open(directory, options)) {
      assertEquals(end, store.positions().maxOffset());
      assertEquals(MESSAGES, store.recoveryReport().records());
    }
    check(told, end, RecoveryPhase.LOG, RecoveryPhase.QUEUES);
    assertEquals(
        List.of(Thread.currentThread()), threads.stream().distinct().collect(Collectors.toList()));
    RecoveryProgress last = told.get(told.size() - 1);
    assertEquals(
        "RecoveryProgress[QUEUES, bytesDone=" + end + ", bytesTotal=" + end + "]",
        last.toString());
    assertNotEquals(told.get(0), last);

    // The same options open many stores.
    told.clear();
    CairnStore.open(other, options).close();
    check(told, 0, RecoveryPhase.LOG, RecoveryPhase.QUEUES);
    RecoveryProgress empty = told.get(0);
    told.clear();
    CairnStore.open(other, options).close();
    assertEquals(empty, told.get(0));
    assertEquals(empty.hashCode(), told.get(0).hashCode());
  }

  @Test
  void whatOpeningWouldDoTellsTheLog() throws Exception {
    long end = leaveStore();
    List<RecoveryProgress> told = new ArrayList<>();
    StoreOptions options = small().onRecoveryProgress(told::add).build();
    assertEquals(end, CairnStore.planRecovery(directory, options).endOffset());
    check(told, end, RecoveryPhase.LOG);
  }

  @Test
  void aFailureEndsTheCallsAndNotTheOpening() throws Exception {
    long end = leaveStore();
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
    List<RecoveryProgress> told = new ArrayList<>();
    StoreOptions options =
        small()
            .onRecoveryProgress(
                progress -> {
                  told.add(progress);
                  throw new IOException("no window");
                })
            .build();
    try (CairnStore store = CairnStore.open(directory, options)) {
      assertEquals(end, store.positions().maxOffset());
      store.append(message("next"));
    } finally {
      logger.removeHandler(handler);
      logger.setUseParentHandlers(true);
    }
    assertEquals(1, told.size());
    List<LogRecord> failures =
        logged.stream().filter(r -> r.getThrown() != null).collect(Collectors.toList());
    assertEquals(1, failures.size());
    assertEquals(IOException.class, failures.get(0).getThrown().getClass());
    String text = failures.get(0).getMessage();
    assertTrue(text.contains("RecoveryProgress[LOG, bytesDone="), text);
  }

  @Test
  void theListenerMayUseTheLibrary() throws Exception {
    long end = leaveStore();
    List<Status> refused = new ArrayList<>();
    StoreOptions options =
        small()
            .onRecoveryProgress(
                progress -> {
                  refused.add(
                      assertThrows(StoreLockedException.class, this::openSmall).status());
                  try (CairnStore store = CairnStore.open(other, small().build())) {
                    store.append(message(progress.phase().name()));
                  }
                })
            .build();
    try (CairnStore store = CairnStore.open(directory, options)) {
      assertEquals(end, store.positions().maxOffset());
    }
    assertEquals(List.of(Status.STORE_LOCKED, Status.STORE_LOCKED), refused);
    try (CairnStore store = CairnStore.open(other, small().build())) {
      assertEquals(List.of("LOG", "QUEUES"), bodies(store));
    }
  }

  @Test
  void theStoreDoesNotKeepTheListener() {
    List<RecoveryProgress> told = new ArrayList<>();
    RecoveryProgressListener listener = told::add;
    WeakReference<RecoveryProgressListener> gone = new WeakReference<>(listener);
    try (CairnStore store =
        CairnStore.open(directory, small().onRecoveryProgress(listener).build())) {
      assertTrue(told.size() >= 2);
      listener = null;
      eventually(
          "the listener is kept",
          () -> {
            System.gc();
            return gone.get() == null;
          });
      assertNull(gone.get());
      store.append(message("one"));
    }
    assertThrows(NullPointerException.class, () -> small().onRecoveryProgress(null));
  }
}
