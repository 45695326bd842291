package io.cairnlog.examples;

import static java.nio.charset.StandardCharsets.UTF_8;

import io.cairnlog.CairnStore;
import io.cairnlog.LogScan;
import io.cairnlog.Message;
import io.cairnlog.MessageView;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Optional;

/** Follows the log while another thread appends, without copying what it reads. */
public final class Follow {
  private Follow() {}

  /**
   * Runs the example.
   *
   * @param arguments the store's directory
   * @throws InterruptedException never
   */
  public static void main(String[] arguments) throws InterruptedException {
    try (CairnStore store = CairnStore.open(Path.of(arguments[0]))) {
      LogScan scan = store.scan(store.positions().maxOffset());
      Thread writer =
          new Thread(
              () -> {
                for (int i = 0; i < 10; i++) {
                  store.append(Message.of("orders", ("order " + i).getBytes(UTF_8)));
                }
              });
      writer.start();
      for (int i = 0; i < 10; i++) {
        Optional<MessageView> message = scan.next(Duration.ofSeconds(10));
        ByteBuffer body = message.orElseThrow().bodyBuffer();
        System.out.println(UTF_8.decode(body));
      }
      writer.join();
    }
  }
}
