package io.cairnlog;

/** What opening a store is busy with, in the order the phases come in; usable from any thread. */
public enum RecoveryPhase {
  /** It looks for the end of the log: every record is checked. */
  LOG,
  /** It brings records to the consume queues and the key index. */
  QUEUES
}
