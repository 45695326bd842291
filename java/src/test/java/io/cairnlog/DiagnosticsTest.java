package io.cairnlog;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.logging.Handler;
import java.util.logging.Level;
import java.util.logging.LogRecord;
import java.util.logging.Logger;
import org.junit.jupiter.api.Test;

/** What the engine says reaches the application's own logging, at the level it asked for. */
class DiagnosticsTest extends StoreTestCase {
  @Test
  void theEngineSpeaksThroughTheLogger() {
    List<LogRecord> said = new CopyOnWriteArrayList<>();
    Handler handler =
        new Handler() {
          @Override
          public void publish(LogRecord event) {
            said.add(event);
            throw new IllegalStateException("a handler's fault must stop nothing");
          }

          @Override
          public void flush() {}

          @Override
          public void close() {}
        };
    Logger logger = Logger.getLogger("io.cairnlog");
    logger.setUseParentHandlers(false);
    logger.addHandler(handler);
    try {
      logger.setLevel(Level.FINE);
      openSmall().close();
      eventually("nothing was said", () -> count(said) == 1);
      openSmall().close();
      eventually("a handler's fault ended the diagnostics", () -> count(said) == 2);
      logger.setLevel(Level.WARNING);
      openSmall().close();
      assertEquals(2, count(said));
    } finally {
      logger.removeHandler(handler);
      logger.setUseParentHandlers(true);
      logger.setLevel(null);
    }
  }

  private long count(List<LogRecord> said) {
    return said.stream()
        .filter(event -> event.getLevel() == Level.FINE)
        .filter(event -> event.getMessage().contains("opened a store for Java"))
        .filter(event -> event.getMessage().contains(directory.toString()))
        .count();
  }
}
