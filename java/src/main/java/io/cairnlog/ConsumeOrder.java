package io.cairnlog;

/**
 * Whether the next message of a queue may be handed out before the last one is acknowledged; usable
 * from any thread.
 */
public enum ConsumeOrder {
  /** It may: several threads process one queue at the same time. */
  CONCURRENT,
  /** It may not: what one poll handed out of a queue ends before the queue goes on. */
  ORDERLY
}
