package io.cairnlog.examples;

import static java.nio.charset.StandardCharsets.UTF_8;

import io.cairnlog.AppendResult;
import io.cairnlog.CairnStore;
import io.cairnlog.FlushMode;
import io.cairnlog.Message;
import io.cairnlog.MessageView;
import io.cairnlog.StoreOptions;
import java.nio.file.Path;

/** Appends a message that survives a power cut and reads the log back. */
public final class QuickStart {
  private QuickStart() {}

  /**
   * Runs the example.
   *
   * @param arguments the store's directory
   */
  public static void main(String[] arguments) {
    StoreOptions options = StoreOptions.builder().flushMode(FlushMode.SYNC).build();
    try (CairnStore store = CairnStore.open(Path.of(arguments[0]), options)) {
      Message message =
          Message.builder("orders", "20 pears".getBytes(UTF_8)).queueId(0).tag("new").build();
      AppendResult placed = store.append(message);
      System.out.println("stored at " + placed.physicalOffset());
      for (MessageView read : store.scan(0)) {
        System.out.println(read.topic() + ": " + new String(read.body(), UTF_8));
      }
    }
  }
}
