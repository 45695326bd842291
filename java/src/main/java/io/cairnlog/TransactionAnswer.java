package io.cairnlog;

/** What is to become of an open transaction; usable from any thread. */
public enum TransactionAnswer {
  /** It is not known yet: it is asked again later. */
  UNKNOWN,
  /** Its message goes to its queue. */
  COMMIT,
  /** Nobody will ever see its message. */
  ROLLBACK
}
