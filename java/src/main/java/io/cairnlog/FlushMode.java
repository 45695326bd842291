package io.cairnlog;

/** When an append is acknowledged; usable from any thread. */
public enum FlushMode {
  /**
   * Once the record is in the page cache: it survives the death of the process, and a power cut
   * after the next flush. RocketMQ's {@code ASYNC_FLUSH}.
   */
  ASYNC,
  /**
   * Once the record is synced to the device: it survives a power cut. RocketMQ's {@code
   * SYNC_FLUSH}.
   */
  SYNC
}
