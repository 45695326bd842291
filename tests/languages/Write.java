/*
 * Appends the messages that the standard input describes, and says where they lie. Input and output
 * are those of write.c.
 *
 * SPDX-License-Identifier: Apache-2.0
 */

import io.cairnlog.AppendResult;
import io.cairnlog.CairnStore;
import io.cairnlog.EncodedBatch;
import io.cairnlog.FlushMode;
import io.cairnlog.Message;
import io.cairnlog.StoreOptions;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;

/** The program. */
public final class Write {
  private Write() {}

  private static Message.Builder shared(String[] fields) {
    return Message.builder(fields[1])
        .queueId(Integer.parseInt(fields[2]))
        .bornTime(Instant.ofEpochMilli(Long.parseLong(fields[8])));
  }

  private static Message message(String[] fields) {
    Message.Builder message =
        Message.builder(fields[1], fields[9].getBytes(StandardCharsets.UTF_8))
            .queueId(Integer.parseInt(fields[2]))
            .flag(Integer.parseInt(fields[7]))
            .bornTime(Instant.ofEpochMilli(Long.parseLong(fields[8])));
    if (!fields[3].isEmpty()) {
      message.tag(fields[3]);
    }
    if (!fields[4].isEmpty()) {
      message.keys(fields[4]);
    }
    if (!fields[5].isEmpty()) {
      message.property(fields[5], fields[6]);
    }
    return message.build();
  }

  private static void show(AppendResult placed) {
    System.out.println(
        placed.physicalOffset() + "\t" + placed.queueOffset() + "\t" + placed.storeTimestampMs());
  }

  private static void append(CairnStore store, List<String[]> lines) {
    String[] last = null;
    List<Message> batch = new ArrayList<>();
    for (String[] fields : lines) {
      if (!batch.isEmpty() && !last[0].equals(fields[0])) {
        show(store.appendBatch(EncodedBatch.of(shared(last).build(), batch)));
        batch.clear();
      }
      if (fields[0].equals("-")) {
        show(store.append(message(fields)));
      } else {
        batch.add(message(fields));
      }
      last = fields;
    }
    if (!batch.isEmpty()) {
      show(store.appendBatch(EncodedBatch.of(shared(last).build(), batch)));
    }
  }

  /**
   * Runs the program.
   *
   * @param arguments the store's directory
   * @throws IOException when the input cannot be read
   */
  public static void main(String[] arguments) throws IOException {
    List<String[]> lines = new ArrayList<>();
    BufferedReader in =
        new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = in.readLine(); line != null; line = in.readLine()) {
      lines.add(line.split("\t", -1));
    }
    StoreOptions options =
        StoreOptions.builder()
            .flushMode(FlushMode.SYNC)
            .appendRecordCrc(false)
            .segmentSizeBytes(65536)
            .build();
    try (CairnStore store = CairnStore.open(Path.of(arguments[0]), options)) {
      append(store, lines);
    }
  }
}
