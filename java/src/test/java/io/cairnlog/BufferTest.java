package io.cairnlog;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.ref.Reference;
import java.nio.ByteBuffer;
import java.nio.ReadOnlyBufferException;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

/** Buffers over the log: no copy, read-only, good for as long as any view of them is reachable. */
class BufferTest extends StoreTestCase {
  private static String text(ByteBuffer buffer) {
    return UTF_8.decode(buffer.duplicate()).toString();
  }

  @Test
  void aBufferOutlivesBatchAndStore() {
    ByteBuffer buffer;
    try (CairnStore store = openSmall();
        MessageBatch batch = store.readAt(store.append(message("20 pears")).physicalOffset())) {
      buffer = batch.get(0).bodyBuffer();
      assertTrue(buffer.isDirect());
      assertThrows(ReadOnlyBufferException.class, () -> buffer.put(0, (byte) 0));
    }
    System.gc();
    assertEquals("20 pears", text(buffer));
    assertEquals(1, Native.liveObjectCount(), "only the buffer's pin is left");
    Reference.reachabilityFence(buffer);
  }

  @Test
  void theLastViewKeepsThePin() throws Exception {
    ByteBuffer slice;
    try (CairnStore store = openSmall();
        MessageBatch batch = store.readAt(store.append(message("20 pears")).physicalOffset())) {
      slice = batch.get(0).bodyBuffer().position(3).slice().duplicate();
    }
    for (int i = 0; i < 5; i++) {
      System.gc();
      Thread.sleep(20);
      assertEquals(1, Native.liveObjectCount());
    }
    assertEquals("pears", text(slice));
    Reference.reachabilityFence(slice);
  }

  @Test
  void manyBuffersUnderCollectionStayRight() {
    try (CairnStore store = openSmall()) {
      for (int i = 0; i < 500; i++) {
        store.append(message("message " + i));
      }
      List<ByteBuffer> kept = new ArrayList<>();
      int index = 0;
      for (MessageView message : store.scan(0)) {
        ByteBuffer buffer = message.bodyBuffer();
        if (index++ % 7 == 0) {
          kept.add(buffer);
        }
        if (index % 100 == 0) {
          System.gc();
        }
      }
      assertEquals(500, index);
      for (int i = 0; i < kept.size(); i++) {
        assertEquals("message " + i * 7, text(kept.get(i)));
      }
    }
  }
}
