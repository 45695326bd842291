package io.cairnlog;

import java.nio.ByteBuffer;

/** The engine's natives, in the order of the table in natives.rs, which registers them. */
final class Native {
  private Native() {}

  static native long storeOpen(byte[] request, RecoveryProgressListener listener);

  static native long storeOpenReader(byte[] request);

  static native byte[] storePlanRecovery(byte[] request, RecoveryProgressListener listener);

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

  static native long[] storeRange(long store);

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

  static native byte[] storeGroups(long store);

  static native byte[] storeGroupProgress(long store, byte[] group);

  static native long storeConsumerOffset(long store, byte[] group, byte[] topic, int queueId);

  static native void storeCommitOffset(
      long store, byte[] group, byte[] topic, int queueId, long offset);

  static native void storePersistOffsets(long store);

  static native void storeBeginTransaction(long store, long scratch, int length, int capacity);

  static native byte[] storeCommitTransaction(long store, long half);

  static native void storeRollbackTransaction(long store, long half);

  static native long[] storeOpenTransactions(long store);

  static native long storeSetTransactionChecker(long store);

  static native byte[] checkerNext(long checker);

  static native void checkerAnswer(long checker, int answer);

  static native void checkerRelease(long checker);

  static native long[] storeRemoveExpired(long store);

  static native long[] storeRemoveBefore(long store, long offset);

  static native void checkFilter(int kind, byte[] expression);

  static native long tailOpen(long store, byte[] request);

  static native byte[] tailNext(long tail, long limitMs);

  static native void tailRelease(long tail);

  static native long consumerOpen(long store, byte[] request);

  static native byte[] consumerPoll(long consumer, int maxMessages, long limitMs);

  static native boolean consumerAcknowledge(long consumer, long batch, int index);

  static native boolean consumerRetryLater(long consumer, long batch, int index);

  static native boolean consumerSeek(long consumer, byte[] topic, int queueId, long offset);

  static native void consumerCommit(long consumer);

  static native byte[] consumerAssigned(long consumer);

  static native void consumerClose(long consumer);

  static native void consumerRelease(long consumer);

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
