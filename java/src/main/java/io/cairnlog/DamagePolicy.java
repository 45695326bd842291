package io.cairnlog;

/** What opening does with a damaged record that has good ones behind it; usable from any thread. */
public enum DamagePolicy {
  /** Fail with {@link CorruptionException} and change nothing. */
  REFUSE,
  /** Cut the log at the damaged record, after copying the removed bytes to {@code lost+found/}. */
  TRUNCATE
}
