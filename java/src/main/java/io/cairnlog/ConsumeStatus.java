package io.cairnlog;

/** What became of the messages a listener got; usable from any thread. */
public enum ConsumeStatus {
  /** All were processed. */
  SUCCESS,
  /** They are to be handed out again, as {@link Consumer#retryLater} says. */
  RETRY_LATER
}
