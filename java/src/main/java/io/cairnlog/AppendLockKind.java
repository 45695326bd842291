package io.cairnlog;

/** How appending threads wait for each other; usable from any thread. */
public enum AppendLockKind {
  /** Never sleep: for more cores than appending threads. */
  SPIN,
  /** Sleep when the lock is taken. */
  MUTEX,
  /** Spin for a while that adapts to how long the lock is held, then sleep. */
  ADAPTIVE
}
