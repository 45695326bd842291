package io.cairnlog.examples;

import static java.nio.charset.StandardCharsets.UTF_8;

import io.cairnlog.CairnStore;
import io.cairnlog.Filter;
import io.cairnlog.Message;
import io.cairnlog.MessageBatch;
import io.cairnlog.MessageTail;
import io.cairnlog.MessageView;
import io.cairnlog.ReadRequest;
import java.nio.file.Path;
import java.time.Duration;

/** Consumes a queue: first batch by batch up to its end, then message by message as they come. */
public final class Consume {
  private Consume() {}

  /**
   * Runs the example.
   *
   * @param arguments the store's directory
   */
  public static void main(String[] arguments) {
    try (CairnStore store = CairnStore.open(Path.of(arguments[0]))) {
      for (int i = 0; i < 100; i++) {
        append(store, i);
      }
      store.waitMessage("orders", 0, 99, Duration.ofSeconds(10));

      Filter filter = Filter.sql("TAGS = 'paid' AND number >= 90");
      long offset = 0;
      while (offset < store.queueRange("orders", 0).orElseThrow().next()) {
        ReadRequest request = ReadRequest.of("orders", 0, offset).filter(filter);
        try (MessageBatch batch = store.read(request)) {
          batch.forEach(Consume::print);
          offset = batch.nextOffset();
        }
      }

      try (MessageTail tail = store.tail("orders", 0, offset, filter)) {
        append(store, 101);
        print(tail.next(Duration.ofSeconds(10)).orElseThrow());
      }
    }
  }

  private static void append(CairnStore store, int number) {
    store.append(
        Message.builder("orders", ("order " + number).getBytes(UTF_8))
            .tag(number % 4 == 1 ? "paid" : "new")
            .property("number", Integer.toString(number))
            .build());
  }

  private static void print(MessageView message) {
    System.out.println(message.queueOffset() + ": " + new String(message.body(), UTF_8));
  }
}
