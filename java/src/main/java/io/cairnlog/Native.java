package io.cairnlog;

import java.nio.ByteBuffer;

/** The engine's natives, in the order of the table in natives.rs, which registers them. */
final class Native {
  private Native() {}

  static native long storeOpen(byte[] request);

  static native byte[] storePlanRecovery(byte[] request);

  static native void storeClose(long store);

  static native void storeRelease(long store);

  static native void storeAppend(long store, long scratch, int length, int capacity);

  static native void storeAppendAsync(
      long store, long scratch, int length, int capacity, long token);

  static native void storeAppendAll(long store, long scratch, int length, int capacity);

  static native void storeAppendBatch(
      long store, long scratch, int length, int capacity, boolean inner);

  static native void storeFlush(long store);

  static native boolean storeWaitDurable(long store, long end, long limitMs);

  static native boolean storeWaitReadable(long store, long offset, long limitMs);

  static native long[] storePositions(long store);

  static native long storeNextQueueOffset(long store, byte[] topic, int queueId);

  static native long storeSegmentSizeBytes(long store);

  static native byte[] storeStats(long store);

  static native byte[] storeRecoveryReport(long store);

  static native byte[] storeReadAt(long store, long offset);

  static native byte[] storeReadLog(long store, long from, int maxMessages, int maxBytes);

  static native byte[] storeRead(long store, byte[] request);

  static native byte[] storeQueryKey(long store, byte[] request);

  static native byte[] storeFindByMessageId(long store, byte[] topic, byte[] id);

  static native long[] storeQueueRange(long store, byte[] topic, int queueId);

  static native long storeOffsetAtTime(
      long store, byte[] topic, int queueId, long timeMs, boolean upper);

  static native byte[] storeTopics(long store);

  static native int[] storeQueuesOf(long store, byte[] topic);

  static native boolean storeWaitMessage(
      long store, byte[] topic, int queueId, long offset, long limitMs);

  static native boolean storeWaitDispatched(long store, long end, long limitMs);

  static native long storeDispatchedOffset(long store);

  static native byte[] storeDispatchError(long store);

  static native void checkFilter(int kind, byte[] expression);

  static native long tailOpen(long store, byte[] request);

  static native byte[] tailNext(long tail, long limitMs);

  static native void tailRelease(long tail);

  static native long queueOpen(long store, byte[] topic, int queueId);

  static native void queueRelease(long queue);

  static native void queueAppend(long queue, long scratch, int length, int capacity);

  static native void queueAppendAsync(
      long queue, long scratch, int length, int capacity, long token);

  static native byte[] encodeBatchItems(byte[] request);

  static native byte[] batchBody(long batch, int index);

  static native long batchPin(long batch, int index);

  static native void batchRelease(long batch);

  static native ByteBuffer pinBuffer(long pin);

  static native void pinRelease(long pin);

  static native long scratchAddress(ByteBuffer scratch);

  static native byte[] awaitCompletions();

  static native byte[] awaitDiagnostics();

  static native void setDiagnosticsLevel(int level);

  static native byte[] statuses();

  static native byte[] readOutcomes();

  static native long liveObjectCount();

  static native void panicForTest();
}
