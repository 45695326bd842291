package io.cairnlog;

/** Who gets a message; usable from any thread. */
public enum ConsumeMode {
  /** One member of the group. The group's offsets are kept in the store. */
  CLUSTERING,
  /**
   * Every member. Each begins where {@link ConsumerOptions} say, and what it cannot process is
   * dropped; {@link Consumer#seek} goes to an offset that the application kept.
   */
  BROADCASTING
}
