package io.cairnlog;

import java.nio.ByteBuffer;

/**
 * Brings what the engine says to the {@link System.Logger} {@code io.cairnlog}. One daemon thread
 * per process takes events from a queue that never makes the engine wait.
 */
final class Diagnostics {
  private static final System.Logger LOGGER = System.getLogger("io.cairnlog");
  private static final System.Logger.Level[] LEVELS = {
    System.Logger.Level.ERROR,
    System.Logger.Level.WARNING,
    System.Logger.Level.INFO,
    System.Logger.Level.DEBUG,
    System.Logger.Level.TRACE
  };

  private Diagnostics() {}

  /** Starts the thread; called once, when the library was loaded. */
  static void start() {
    takeLevel();
    Thread thread = new Thread(Diagnostics::run, "cairnlog-diagnostics");
    thread.setDaemon(true);
    thread.setContextClassLoader(null);
    thread.start();
  }

  /** Tells the engine which levels the logger wants at present. */
  static void takeLevel() {
    int level = LEVELS.length;
    while (level > 0 && !LOGGER.isLoggable(LEVELS[level - 1])) {
      level--;
    }
    Native.setDiagnosticsLevel(level);
  }

  /** Says that something failed on this side. */
  static void report(String what, Throwable failure) {
    say(System.Logger.Level.ERROR, what, failure);
  }

  private static void run() {
    while (true) {
      try {
        log(Wire.reader(Native.awaitDiagnostics()));
        takeLevel();
      } catch (Throwable failure) {
        // No memory, most likely; the next events are still worth saying.
        Thread.yield();
      }
    }
  }

  private static void log(ByteBuffer events) {
    long leftOut = events.getLong();
    if (leftOut > 0) {
      say(
          System.Logger.Level.WARNING,
          leftOut + " diagnostics were left out, for they came faster than they were logged",
          null);
    }
    for (int left = events.getInt(); left > 0; left--) {
      System.Logger.Level level = LEVELS[events.getInt() - 1];
      String target = Wire.readText(events);
      say(level, target + ": " + Wire.readText(events), null);
    }
  }

  /** Logs one event; a handler of the application that fails costs that event and no other. */
  private static void say(System.Logger.Level level, String text, Throwable failure) {
    try {
      LOGGER.log(level, text, failure);
    } catch (Throwable handlerFailed) {
      // There is nobody left to tell.
    }
  }
}
