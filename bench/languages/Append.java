import io.cairnlog.AppendResult;
import io.cairnlog.CairnStore;
import io.cairnlog.Message;
import io.cairnlog.QueueAppender;
import io.cairnlog.StoreOptions;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.lang.management.ThreadMXBean;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Semaphore;
import java.util.concurrent.atomic.AtomicReference;
import java.util.stream.Stream;

/**
 * Appends through the Java package, as append.rs does through the engine.
 *
 * <pre>java Append DIRECTORY WAY BODY_BYTES MESSAGES BURSTS [OPTION=VALUE]...</pre>
 *
 * <p>WAY is {@code loop}, {@code named}, {@code many} or {@code flight} as there, {@code fresh}
 * (as loop, with a message built for every append), or {@code call}: the store is asked for the
 * size of its files instead, which costs what every call into the native library costs at least. A
 * first burst goes by unmeasured, in which the virtual machine compiles.
 */
public final class Append {
  private static final String TOPIC = "bench";
  private static final int MANY = 1000;
  private static final int IN_FLIGHT = 512;
  private static final int BEFORE = 1000;

  private final String way;
  private final byte[] body;
  private final int messages;
  private double seconds;
  /** Of the appending thread, which may wait for a processor, too. */
  private double processorSeconds;

  private long syncs;
  private long seen;

  private Append(String way, byte[] body, int messages) {
    this.way = way;
    this.body = body;
    this.messages = messages;
  }

  public static void main(String[] arguments) throws Exception {
    Path path = Path.of(arguments[0], "store");
    byte[] body = new byte[Integer.parseInt(arguments[2])];
    java.util.Arrays.fill(body, (byte) 'x');
    Append work = new Append(arguments[1], body, Integer.parseInt(arguments[3]));
    int bursts = Integer.parseInt(arguments[4]);
    StoreOptions.Builder options = StoreOptions.builder().appendRecordCrc(false);
    String mode = "async";
    for (int i = 5; i < arguments.length; i++) {
      String[] option = arguments[i].split("=", 2);
      options.set(option[0], option[1]);
      mode = option[0].equals("flush_mode") ? option[1] : mode;
    }
    for (int i = 0; i <= bursts; i++) {
      if (i == 1) {
        work.seconds = 0;
        work.processorSeconds = 0;
        work.syncs = 0;
      }
      work.burst(path, options.build());
    }
    work.report(mode, bursts);
  }

  private void report(String mode, int bursts) {
    long appended = (long) messages * bursts;
    System.out.printf(
        Locale.ROOT,
        "{\"mode\": \"%s\", \"size\": %d, \"threads\": 1, \"inflight\": %d, \"seconds\": %.9f, "
            + "\"messages\": %d, \"messages_per_second\": %.3f, \"thread_cpu_seconds\": %.9f, "
            + "\"p50_ns\": null, "
            + "\"p99_ns\": null, \"p999_ns\": null, \"p9999_ns\": null, \"max_ns\": null, "
            + "\"syncs\": %d, \"floor_messages_per_second\": null, \"ratio_to_floor\": null}%n",
        mode,
        body.length,
        way.equals("flight") ? IN_FLIGHT : 1,
        seconds,
        appended,
        appended / seconds,
        processorSeconds,
        syncs);
  }

  private void burst(Path path, StoreOptions options) throws Exception {
    try (CairnStore store = CairnStore.open(path, options);
        QueueAppender queue = store.queue(TOPIC, 0)) {
      append(store, queue, BEFORE);
      long before = store.stats().syncs();
      ThreadMXBean threads = ManagementFactory.getThreadMXBean();
      long worked = threads.getCurrentThreadCpuTime();
      long started = System.nanoTime();
      append(store, queue, messages);
      seconds += (System.nanoTime() - started) / 1e9;
      processorSeconds += (threads.getCurrentThreadCpuTime() - worked) / 1e9;
      syncs += store.stats().syncs() - before;
    }
    remove(path);
  }

  private void append(CairnStore store, QueueAppender queue, int count) throws Exception {
    Message message = Message.builder(TOPIC, body).build();
    switch (way) {
      case "loop":
        for (int i = 0; i < count; i++) {
          seen += queue.append(message).queueOffset();
        }
        break;
      case "fresh":
        for (int i = 0; i < count; i++) {
          seen += queue.append(Message.builder(TOPIC, body).build()).queueOffset();
        }
        break;
      case "named":
        for (int i = 0; i < count; i++) {
          seen += store.append(message).queueOffset();
        }
        break;
      case "many":
        List<Message> batch = new ArrayList<>(Collections.nCopies(MANY, message));
        for (int i = 0; i < count / MANY; i++) {
          seen += store.appendAll(batch).size();
        }
        break;
      case "flight":
        inFlight(queue, message, count);
        break;
      case "call":
        for (int i = 0; i < count; i++) {
          seen += store.segmentSizeBytes();
        }
        break;
      default:
        throw new IllegalArgumentException("there is no way " + way);
    }
  }

  private static void inFlight(QueueAppender queue, Message message, int count)
      throws InterruptedException {
    Semaphore places = new Semaphore(IN_FLIGHT);
    AtomicReference<Throwable> failed = new AtomicReference<>();
    for (int i = 0; i < count; i++) {
      places.acquire();
      queue
          .appendAsync(message)
          .whenComplete(
              (AppendResult result, Throwable failure) -> {
                if (failure != null) {
                  failed.set(failure);
                }
                places.release();
              });
    }
    places.acquire(IN_FLIGHT);
    if (failed.get() != null) {
      throw new IllegalStateException("an append failed", failed.get());
    }
  }

  private static void remove(Path directory) throws IOException {
    try (Stream<Path> files = Files.walk(directory)) {
      for (Path file : (Iterable<Path>) files.sorted(Comparator.reverseOrder())::iterator) {
        Files.delete(file);
      }
    }
  }
}
