package io.cairnlog.examples;

import static java.nio.charset.StandardCharsets.UTF_8;

import io.cairnlog.AppendResult;
import io.cairnlog.CairnStore;
import io.cairnlog.FlushMode;
import io.cairnlog.Message;
import io.cairnlog.QueueAppender;
import io.cairnlog.StoreOptions;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;

/** Keeps many appends under way at once and learns of each when it is durable. */
public final class AsyncAppend {
  private AsyncAppend() {}

  /**
   * Runs the example.
   *
   * @param arguments the store's directory
   */
  public static void main(String[] arguments) {
    StoreOptions options = StoreOptions.builder().flushMode(FlushMode.SYNC).build();
    try (CairnStore store = CairnStore.open(Path.of(arguments[0]), options);
        QueueAppender queue = store.queue("orders", 0)) {
      List<CompletableFuture<AppendResult>> futures = new ArrayList<>();
      for (int i = 0; i < 1000; i++) {
        futures.add(queue.appendAsync(Message.of("orders", ("order " + i).getBytes(UTF_8))));
      }
      CompletableFuture.allOf(futures.toArray(new CompletableFuture<?>[0])).join();
      System.out.println("durable: " + futures.size());
    }
  }
}
