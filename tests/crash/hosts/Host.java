/*
 * The writer in Java: called like the one in Rust (src/host.rs), and says the same.
 *
 * SPDX-License-Identifier: Apache-2.0
 */

import io.cairnlog.AppendResult;
import io.cairnlog.CairnStore;
import io.cairnlog.EncodedBatch;
import io.cairnlog.Message;
import io.cairnlog.StoreClosedException;
import io.cairnlog.StoreOptions;
import io.cairnlog.StorePositions;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** The program. */
public final class Host {
  private static final String[] TOPICS = {"crash-even", "crash-odd"};
  private static final int QUEUE_MASK = 3;
  private static final FileOutputStream OUT = new FileOutputStream(FileDescriptor.out);

  private final CairnStore store;
  private final byte[] pattern;
  private final boolean waits;
  private long random;
  private long nextName;

  private Host(CairnStore store, byte[] pattern, long seed, long firstName, boolean waits) {
    this.store = store;
    this.pattern = pattern;
    this.waits = waits;
    random = mix(seed ^ firstName);
    nextName = firstName;
  }

  private static long mix(long number) {
    number = (number ^ (number >>> 30)) * 0xBF58476D1CE4E5B9L;
    number = (number ^ (number >>> 27)) * 0x94D049BB133111EBL;
    return number ^ (number >>> 31);
  }

  private static void say(String line) {
    try {
      OUT.write(line.getBytes(StandardCharsets.US_ASCII));
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private void write(int steps) {
    for (int taken = 0; steps == 0 || taken < steps; taken++) {
      step();
    }
  }

  private void step() {
    random += 0x9E3779B97F4A7C15L;
    long choice = mix(random);
    String topic = TOPICS[(int) (choice >>> 8) & 1];
    int queueId = (int) (choice >>> 9) & QUEUE_MASK;
    switch ((int) choice & 7) {
      case 0:
        appendBatch(topic, queueId, 1 + ((int) (choice >>> 3) & 7));
        break;
      case 1:
        appendMany(topic, queueId, 1 + ((int) (choice >>> 3) & 3));
        break;
      case 2:
      case 3:
        appendAsync(topic, queueId);
        break;
      default:
        long name = takeNames(1);
        acknowledge(topic, name, store.append(message(topic, queueId, name, true)));
    }
  }

  private long takeNames(int count) {
    long first = nextName;
    nextName += count;
    return first;
  }

  private byte[] body(long name) {
    long mixed = mix(name);
    int length = (int) (mixed >>> 8) & ((mixed & 15) == 0 ? 0xFFF : 0x1FF);
    int offset = (int) (mixed >>> 32) & 0x7FFF;
    return ByteBuffer.allocate(8 + length).putLong(name).put(pattern, offset, length).array();
  }

  private Message message(String topic, int queueId, long name, boolean mayHaveKey) {
    Message.Builder message =
        Message.builder(topic, body(name))
            .queueId(queueId)
            .tag((name & 1) == 0 ? "even" : "odd")
            .waitStoreOk(waits);
    if (mayHaveKey && (mix(name) >>> 20 & 3) == 0) {
      message.keys(Long.toString(name));
    }
    return message.build();
  }

  private void appendAsync(String topic, int queueId) {
    long name = takeNames(1);
    store
        .appendAsync(message(topic, queueId, name, true))
        .whenComplete(
            (placed, failure) -> {
              try {
                if (failure != null) {
                  throw failure;
                }
                acknowledge(topic, name, placed);
              } catch (Throwable e) {
                die(e);
              }
            });
  }

  private void appendMany(String topic, int queueId, int count) {
    long first = takeNames(count);
    List<Message> messages = new ArrayList<>();
    for (int i = 0; i < count; i++) {
      messages.add(message(topic, queueId, first + i, false));
    }
    List<AppendResult> results = store.appendAll(messages);
    for (int i = 0; i < count; i++) {
      acknowledge(topic, first + i, results.get(i));
    }
  }

  private void appendBatch(String topic, int queueId, int count) {
    long first = takeNames(count);
    List<Message> items = new ArrayList<>();
    for (int i = 0; i < count; i++) {
      items.add(Message.of(topic, body(first + i)));
    }
    Message shared = Message.builder(topic).queueId(queueId).waitStoreOk(waits).build();
    acknowledge(topic, first, store.appendBatch(EncodedBatch.of(shared, items)));
  }

  private void acknowledge(String topic, long first, AppendResult placed) {
    long committed = -1;
    long durable = -1;
    try {
      StorePositions positions = store.positions();
      committed = positions.committedOffset();
      durable = positions.durableOffset();
    } catch (StoreClosedException e) {
      // What was under way is acknowledged while the store closes.
    }
    say(
        String.join(
            " ",
            "ack",
            Long.toString(placed.physicalOffset()),
            Long.toString(placed.endOffset()),
            topic,
            Integer.toString(placed.queueId()),
            Long.toString(placed.queueOffset()),
            Integer.toString(placed.messageCount()),
            Long.toString(first),
            Long.toString(committed),
            durable + "\n"));
  }

  /** Ends the process with an error. */
  private static void die(Throwable error) {
    error.printStackTrace();
    Runtime.getRuntime().halt(1);
  }

  /**
   * Runs the program.
   *
   * @param arguments as src/host.rs takes them
   * @throws Exception when the pattern cannot be read, or something else fails
   */
  public static void main(String[] arguments) throws Exception {
    byte[] pattern = Files.readAllBytes(Path.of(arguments[1]));
    long seed = Long.parseUnsignedLong(arguments[2]);
    long life = Long.parseLong(arguments[3]);
    boolean waits = arguments[5].equals("1");
    int closeAfter = Integer.parseInt(arguments[6]);
    StoreOptions.Builder options = StoreOptions.builder();
    for (int i = 7; i < arguments.length; i++) {
      String[] option = arguments[i].split("=", 2);
      options.set(option[0], option[1]);
    }
    say("opening\n");
    CairnStore store = CairnStore.open(Path.of(arguments[0]), options.build());
    say("open\n");
    List<Thread> threads = new ArrayList<>();
    for (long number = 0; number < Long.parseLong(arguments[4]); number++) {
      Host host = new Host(store, pattern, seed, life << 40 | number << 32, waits);
      Thread thread = new Thread(() -> host.write(closeAfter));
      thread.setUncaughtExceptionHandler((which, error) -> die(error));
      thread.start();
      threads.add(thread);
    }
    for (Thread thread : threads) {
      thread.join();
    }
    say("closing\n");
    store.close();
    say("closed\n");
    Thread.sleep(3_600_000);
  }
}
