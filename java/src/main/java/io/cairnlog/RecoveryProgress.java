package io.cairnlog;

/** How far opening a store is; immutable, usable from any thread. */
public final class RecoveryProgress {
  private static final RecoveryPhase[] PHASES = RecoveryPhase.values();

  private final RecoveryPhase phase;
  private final long bytesDone;
  private final long bytesTotal;

  private RecoveryProgress(RecoveryPhase phase, long bytesDone, long bytesTotal) {
    this.phase = phase;
    this.bytesDone = bytesDone;
    this.bytesTotal = bytesTotal;
  }

  /** Called by progress.rs; says whether to tell the listener more. Throws nothing. */
  private static boolean tell(
      RecoveryProgressListener listener, int phase, long bytesDone, long bytesTotal) {
    RecoveryProgress progress = null;
    try {
      progress = new RecoveryProgress(PHASES[phase], bytesDone, bytesTotal);
      listener.told(progress);
      return true;
    } catch (Throwable failure) {
      Diagnostics.report(
          "the listener failed that was told " + progress + "; it is told nothing more", failure);
      return false;
    }
  }

  /**
   * Returns what opening is busy with; callable from any thread.
   *
   * @return the phase
   */
  public RecoveryPhase phase() {
    return phase;
  }

  /**
   * Returns how much this phase has done; callable from any thread.
   *
   * @return bytes of the log; never falls within a phase
   */
  public long bytesDone() {
    return bytesDone;
  }

  /**
   * Returns how much this phase has to do; callable from any thread.
   *
   * @return bytes of the log, at least {@link #bytesDone}. While the end of the log is looked for,
   *     free space in its last file counts, so the last call of that phase may state fewer than
   *     those before
   */
  public long bytesTotal() {
    return bytesTotal;
  }

  /**
   * Returns whether this is the last call of its phase; callable from any thread.
   *
   * @return whether everything is done
   */
  public boolean isComplete() {
    return bytesDone == bytesTotal;
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof RecoveryProgress
        && ((RecoveryProgress) other).phase == phase
        && ((RecoveryProgress) other).bytesDone == bytesDone
        && ((RecoveryProgress) other).bytesTotal == bytesTotal;
  }

  @Override
  public int hashCode() {
    return 31 * (31 * phase.hashCode() + Long.hashCode(bytesDone)) + Long.hashCode(bytesTotal);
  }

  @Override
  public String toString() {
    return "RecoveryProgress["
        + phase
        + ", bytesDone="
        + bytesDone
        + ", bytesTotal="
        + bytesTotal
        + "]";
  }
}
