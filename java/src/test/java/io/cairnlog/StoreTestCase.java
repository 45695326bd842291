package io.cairnlog;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.io.TempDir;

/** A test with a directory of its own, which leaves no object of the engine and no future. */
abstract class StoreTestCase {
  static final String TOPIC = "orders";

  @TempDir Path directory;

  private int waitingBefore;

  @BeforeEach
  void loadLibrary() {
    NativeLoader.load();
    waitingBefore = Completions.waiting();
  }

  @AfterEach
  void nothingIsLeft() {
    eventually(
        "handles were left: " + Native.liveObjectCount(),
        () -> {
          System.gc();
          return Native.liveObjectCount() == 0;
        });
    assertEquals(waitingBefore, Completions.waiting(), "futures were left");
  }

  static void eventually(String otherwise, BooleanSupplier condition) {
    long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(20);
    while (!condition.getAsBoolean()) {
      assertTrue(System.nanoTime() < deadline, otherwise);
      try {
        Thread.sleep(5);
      } catch (InterruptedException e) {
        throw new AssertionError(e);
      }
    }
  }

  static StoreOptions.Builder small() {
    return StoreOptions.builder().segmentSizeBytes(1 << 20);
  }

  CairnStore openSmall() {
    return CairnStore.open(directory, small().build());
  }

  static Message message(String body) {
    return Message.of(TOPIC, body.getBytes(UTF_8));
  }

  static List<String> bodies(CairnStore store) {
    List<String> bodies = new ArrayList<>();
    for (MessageView message : store.scan(store.positions().minOffset())) {
      bodies.add(new String(message.body(), UTF_8));
    }
    return bodies;
  }

  /** Starts another JVM on this one's class path; its output and errors come as one stream. */
  static Process startJvm(List<String> options, Class<?> main, String... arguments)
      throws IOException {
    List<String> command = new ArrayList<>();
    command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
    command.addAll(List.of("-Xmx64m", "-cp", System.getProperty("java.class.path")));
    command.addAll(options);
    command.add(main.getName());
    command.addAll(Arrays.asList(arguments));
    return new ProcessBuilder(command).redirectErrorStream(true).start();
  }

  /** Runs another JVM to its end and returns what it said. */
  static String runJvm(int expectedExit, List<String> options, Class<?> main, String... arguments)
      throws IOException, InterruptedException {
    Process process = startJvm(options, main, arguments);
    process.getOutputStream().close();
    String said = new String(process.getInputStream().readAllBytes(), UTF_8);
    assertTrue(process.waitFor(60, TimeUnit.SECONDS), said);
    assertEquals(expectedExit, process.exitValue(), said);
    return said;
  }
}
