package io.cairnlog;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.lang.ref.Reference;
import java.nio.ByteBuffer;
import java.nio.MappedByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.FileChannel.MapMode;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;

/**
 * A log file that another program shortens while it is mapped does not end the JVM, whose own
 * handler for the signal goes on working: with the JVM's handler alone, and with libjsig, which
 * puts the JVM's in front of all others.
 */
class ShortenedFileTest extends StoreTestCase {
  @Test
  void theJvmLives() throws Exception {
    survives(List.of(), "");
  }

  @Test
  void theJvmLivesUnderCheckJni() throws Exception {
    survives(List.of("-Xcheck:jni"), "");
  }

  @Test
  void theJvmLivesWithSignalChaining() throws Exception {
    Path chaining = Path.of(System.getProperty("java.home"), "lib", "libjsig.so");
    assertTrue(Files.exists(chaining), chaining + " belongs to every JDK");
    survives(List.of(), chaining.toString());
  }

  private void survives(List<String> options, String preload) throws Exception {
    List<String> command = new ArrayList<>();
    command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
    command.addAll(List.of("-Xmx64m", "-cp", System.getProperty("java.class.path")));
    command.add("-XX:ErrorFile=" + directory.resolve("died.log"));
    command.addAll(options);
    command.add(Shortening.class.getName());
    command.add(directory.toString());
    Path output = directory.resolve("said.txt");
    ProcessBuilder builder = new ProcessBuilder(command).redirectErrorStream(true);
    builder.redirectOutput(output.toFile());
    if (!preload.isEmpty()) {
      builder.environment().put("LD_PRELOAD", preload);
    }
    Process process = builder.start();
    boolean ended = process.waitFor(120, TimeUnit.SECONDS);
    process.destroyForcibly().waitFor();
    String said = Files.readString(output);
    assertTrue(ended, said);
    assertEquals(0, process.exitValue(), said);
    assertTrue(said.contains("alive"), said);
  }

  /** What the other JVM does. */
  static final class Shortening {
    private Shortening() {}

    public static void main(String[] arguments) throws IOException {
      Path path = Path.of(arguments[0], "store");
      StoreOptions options = StoreOptions.builder().segmentSizeBytes(1 << 16).build();
      CairnStore store = CairnStore.open(path, options);
      long last = 0;
      byte[] body = new byte[1000];
      java.util.Arrays.fill(body, (byte) 'x');
      for (int i = 0; i < 10; i++) {
        last = store.append(Message.of(TOPIC, body)).physicalOffset();
      }
      MessageBatch batch = store.readAt(last);
      MessageView view = batch.get(0);
      ByteBuffer buffer = view.bodyBuffer();
      // Often enough that the loop is compiled.
      for (int i = 0; i < 20_000; i++) {
        check(sum(buffer) == 1000L * 'x', "the body");
      }
      Path file = path.resolve("commitlog").resolve("0".repeat(20));
      shorten(file);
      try {
        check(sum(buffer) == 0, "a shortened body");
        byte[] copy = new byte[1000];
        buffer.duplicate().get(copy);
        check(java.util.Arrays.equals(copy, new byte[1000]), "a copy of a shortened body");
      } catch (InternalError error) {
        // What the JVM makes of the signal when it comes first, as for buffers of its own.
        check(System.getenv("LD_PRELOAD") != null, error.toString());
      }
      Reference.reachabilityFence(buffer);
      long gone = last;
      fails(Status.WRONG_FILE_SIZE, () -> store.readAt(gone));
      fails(Status.WRONG_FILE_SIZE, () -> store.append(Message.of(TOPIC, body)));
      fails(Status.FENCED, () -> store.append(Message.of(TOPIC, body)));
      theJvmsOwnHandlerWorks(Path.of(arguments[0], "own"));
      System.out.println("alive");
      System.out.flush();
      Runtime.getRuntime().halt(0);
    }

    private static long sum(ByteBuffer buffer) {
      long sum = 0;
      for (int i = 0; i < buffer.limit(); i++) {
        sum += buffer.get(i);
      }
      return sum;
    }

    private static void shorten(Path file) throws IOException {
      try (FileChannel channel = FileChannel.open(file, StandardOpenOption.WRITE)) {
        channel.truncate(4096);
      }
    }

    /** A shortened file that Java itself has mapped: the JVM makes an error of the signal. */
    private static void theJvmsOwnHandlerWorks(Path file) throws IOException {
      Files.write(file, new byte[1 << 16]);
      MappedByteBuffer mapped;
      try (FileChannel channel = FileChannel.open(file, StandardOpenOption.READ)) {
        mapped = channel.map(MapMode.READ_ONLY, 0, 1 << 16);
      }
      shorten(file);
      try {
        // The error comes some time behind the access.
        for (int i = 0; i < 1000; i++) {
          sum(mapped);
        }
      } catch (InternalError error) {
        return;
      }
      throw new AssertionError("the JVM read what is not there");
    }

    private static void fails(Status status, Runnable call) {
      try {
        call.run();
      } catch (CairnException error) {
        check(error.status() == status, error.toString());
        return;
      }
      throw new AssertionError("not " + status);
    }

    private static void check(boolean holds, String what) {
      if (!holds) {
        throw new AssertionError(what);
      }
    }
  }
}
