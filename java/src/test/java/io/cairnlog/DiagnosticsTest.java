package io.cairnlog;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.logging.Handler;
import java.util.logging.Level;
import java.util.logging.LogRecord;
import java.util.logging.Logger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** What the engine says reaches the application's own logging, at the level it asked for. */
class DiagnosticsTest extends StoreTestCase {
  private static final Logger LOGGER = Logger.getLogger("io.cairnlog");

  private final List<LogRecord> said = new CopyOnWriteArrayList<>();
  private Handler handler;

  @AfterEach
  void leaveTheLogger() {
    LOGGER.removeHandler(handler);
    LOGGER.setUseParentHandlers(true);
    LOGGER.setLevel(null);
  }

  @Test
  void theEngineSpeaksThroughTheLogger() {
    handleBy(() -> {});
    openSmall().close();
    eventually("nothing was said", () -> count() == 1);
    LOGGER.setLevel(Level.WARNING);
    openSmall().close();
    assertEquals(1, count());
  }

  @Test
  void aHandlersFaultCostsOneEventOnly() {
    CountDownLatch together = new CountDownLatch(1);
    handleBy(
        () -> {
          try {
            together.await();
          } catch (InterruptedException e) {
            throw new AssertionError(e);
          }
          throw new IllegalStateException("a handler's fault must stop nothing");
        });
    for (int i = 0; i < 3; i++) {
      openSmall().close();
    }
    together.countDown();
    eventually("a handler's fault ended the diagnostics", () -> count() == 3);
  }

  private void handleBy(Runnable afterwards) {
    handler =
        new Handler() {
          @Override
          public void publish(LogRecord event) {
            said.add(event);
            afterwards.run();
          }

          @Override
          public void flush() {}

          @Override
          public void close() {}
        };
    LOGGER.setUseParentHandlers(false);
    LOGGER.addHandler(handler);
    LOGGER.setLevel(Level.FINE);
  }

  private long count() {
    return said.stream()
        .filter(event -> event.getLevel() == Level.FINE)
        .filter(event -> event.getMessage().contains("opened a store for Java"))
        .filter(event -> event.getMessage().contains(directory.toString()))
        .count();
  }
}
