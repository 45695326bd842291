package io.cairnlog;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.cairnlog.examples.AsyncAppend;
import io.cairnlog.examples.Consume;
import io.cairnlog.examples.ConsumeGroup;
import io.cairnlog.examples.Follow;
import io.cairnlog.examples.QuickStart;
import org.junit.jupiter.api.Test;

/** The examples run as they stand, and the JVM's check of JNI finds nothing to say. */
class ExamplesTest extends StoreTestCase {
  private String run(Class<?> example) throws Exception {
    Said said = runJvm(0, CHECKED, example, directory.toString());
    assertFalse(said.contains("WARNING"), said.toString());
    assertFalse(said.contains("native method"), said.toString());
    assertFalse(said.errors.contains("SEVERE"), said.toString());
    return said.output;
  }

  @Test
  void quickStart() throws Exception {
    assertEquals("stored at 0\norders: 20 pears\n", run(QuickStart.class));
  }

  @Test
  void asyncAppend() throws Exception {
    assertEquals("durable: 1000\n", run(AsyncAppend.class));
  }

  @Test
  void follow() throws Exception {
    String said = run(Follow.class);
    assertTrue(said.startsWith("order 0\n") && said.endsWith("order 9\n"), said);
  }

  @Test
  void consume() throws Exception {
    assertEquals("93: order 93\n97: order 97\n100: order 101\n", run(Consume.class));
  }

  @Test
  void consumeGroup() throws Exception {
    assertEquals("20 pears\n0 to go\n", run(ConsumeGroup.class));
  }
}
