package io.cairnlog;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.lang.ProcessBuilder.Redirect;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.io.TempDir;

/**
 * A test with a directory of its own, which leaves no object of the engine, no future, no thread,
 * no mapping and no open file.
 */
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
    // A thread that was told to end may take a moment.
    long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(20);
    while (!Leftovers.of(directory).isEmpty() && System.nanoTime() < deadline) {
      pause();
    }
    assertEquals(List.of(), Leftovers.of(directory), "the system still has something of the store");
  }

  static void eventually(String otherwise, BooleanSupplier condition) {
    long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(20);
    while (!condition.getAsBoolean()) {
      assertTrue(System.nanoTime() < deadline, otherwise);
      pause();
    }
  }

  private static void pause() {
    try {
      Thread.sleep(5);
    } catch (InterruptedException e) {
      throw new AssertionError(e);
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

  /** Starts another JVM on this one's class path. */
  static Process startJvm(
      Redirect errors, List<String> options, Class<?> main, String... arguments)
      throws IOException {
    List<String> command = new ArrayList<>();
    command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
    command.addAll(List.of("-Xmx64m", "-cp", System.getProperty("java.class.path")));
    command.addAll(options);
    command.add(main.getName());
    command.addAll(Arrays.asList(arguments));
    return new ProcessBuilder(command).redirectError(errors).start();
  }

  /** What another JVM wrote: an example's output, and the errors, where loggers write. */
  static final class Said {
    final String output;
    final String errors;

    Said(String output, String errors) {
      this.output = output;
      this.errors = errors;
    }

    boolean contains(String part) {
      return output.contains(part);
    }

    @Override
    public String toString() {
      return output + "\n--- errors ---\n" + errors;
    }
  }

  /** Has a JVM look for misuse of JNI; signal handlers of libraries are none. */
  static final List<String> CHECKED = List.of("-Xcheck:jni", "-XX:+AllowUserSignalHandlers");

  /** Runs another JVM to its end, within five minutes, and returns what it said. */
  static Said runJvm(int expectedExit, List<String> options, Class<?> main, String... arguments)
      throws IOException, InterruptedException {
    Path errors = Files.createTempFile("cairnlog-errors-", ".txt");
    try {
      Process process = startJvm(Redirect.to(errors.toFile()), options, main, arguments);
      process.getOutputStream().close();
      CompletableFuture<Void> watchdog =
          CompletableFuture.runAsync(
              process::destroyForcibly,
              CompletableFuture.delayedExecutor(300, TimeUnit.SECONDS));
      String output = new String(process.getInputStream().readAllBytes(), UTF_8);
      int exit = process.waitFor();
      watchdog.cancel(false);
      Said said = new Said(output, Files.readString(errors));
      assertEquals(expectedExit, exit, said.toString());
      return said;
    } finally {
      Files.delete(errors);
    }
  }
}
