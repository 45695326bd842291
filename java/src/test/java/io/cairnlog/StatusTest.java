package io.cairnlog;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.logging.ConsoleHandler;
import java.util.logging.Handler;
import java.util.logging.LogRecord;
import java.util.logging.Logger;
import org.junit.jupiter.api.Test;

/** The statuses are the engine's, and each becomes the exception it should. */
class StatusTest extends StoreTestCase {
  @Test
  void theTableIsTheEngines() {
    ByteBuffer table = Wire.reader(Native.statuses());
    Map<Integer, String> engine = new LinkedHashMap<>();
    for (int left = table.getInt(); left > 0; left--) {
      engine.put(table.getInt(), Wire.readText(table));
    }
    Map<Integer, String> ours = new LinkedHashMap<>();
    for (Status status : Status.values()) {
      ours.put(status.code(), status.name());
      assertEquals(status, Status.fromCode(status.code()));
    }
    assertEquals(engine, ours);
    assertTrue(engine.size() > 30);
  }

  @Test
  void anUnknownNumberIsInternalAndKeepsItsNumber() {
    assertEquals(Status.INTERNAL, Status.fromCode(899));
    CairnException unknown = exception(899);
    assertEquals(Status.INTERNAL, unknown.status());
    assertEquals(899, unknown.statusCode());
    assertEquals(StorageException.class, exception(299).getClass());
    assertEquals(CorruptionException.class, exception(399).getClass());
  }

  @Test
  void everyStatusHasItsException() {
    Map<Status, Class<?>> single =
        Map.of(
            Status.STORE_CLOSED, StoreClosedException.class,
            Status.STORE_LOCKED, StoreLockedException.class,
            Status.FENCED, StoreFencedException.class);
    for (Status status : Status.values()) {
      int family = status.code() / 100;
      Class<?> expected =
          single.getOrDefault(
              status,
              family == 2
                  ? StorageException.class
                  : family == 3 ? CorruptionException.class : CairnException.class);
      assertEquals(expected, exception(status.code()).getClass(), status.name());
    }
  }

  private static CairnException exception(int code) {
    Throwable made = CairnException.fromNative(code, 28, "text", "/a/file", 7, new byte[0]);
    CairnException exception = assertInstanceOf(CairnException.class, made);
    assertEquals("text", exception.getMessage());
    assertEquals(28, exception.osCode());
    assertEquals(Optional.of(Path.of("/a/file")), exception.path());
    assertEquals(OptionalLong.of(7), exception.offset());
    assertEquals(List.of(), exception.appended());
    return exception;
  }

  @Test
  void aPanicBecomesAnExceptionAndPrintsNothing() throws Exception {
    String said = runJvm(0, List.of(), Panicking.class).errors;
    assertTrue(said.contains("SEVERE: cairnlog_jni::diagnostics: cairnlog panicked"), said);
    assertFalse(said.contains("thread '"), said);
    CairnException thrown = assertThrows(CairnException.class, Native::panicForTest);
    assertEquals(Status.INTERNAL, thrown.status());
    assertEquals("cairnlog panicked: asked to by a test", thrown.getMessage());
  }

  /** Has the engine panic and waits for what is said of it. */
  static final class Panicking {
    public static void main(String[] arguments) throws Exception {
      CountDownLatch said = new CountDownLatch(1);
      Handler handler =
          new ConsoleHandler() {
            @Override
            public void publish(LogRecord event) {
              super.publish(event);
              said.countDown();
            }
          };
      Logger logger = Logger.getLogger("io.cairnlog");
      logger.setUseParentHandlers(false);
      logger.addHandler(handler);
      NativeLoader.load();
      assertThrows(CairnException.class, Native::panicForTest);
      assertTrue(said.await(20, TimeUnit.SECONDS));
    }
  }

  @Test
  void aMalformedRequestIsRefusedBeforeAnythingIsTaken() {
    byte[] tooShort = {9, 0, 0, 0, 'x'};
    CairnException thrown =
        assertThrows(CairnException.class, () -> Native.storeOpen(tooShort, null));
    assertEquals(Status.INTERNAL, thrown.status());
    assertThrows(CairnException.class, () -> Native.storeFlush(0));
    assertThrows(CairnException.class, () -> Native.encodeBatchItems(null));
    assertEquals(0, Native.liveObjectCount());
  }
}
