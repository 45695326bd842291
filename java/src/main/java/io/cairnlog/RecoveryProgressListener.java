package io.cairnlog;

/** Is told how far opening a store is. */
@FunctionalInterface
public interface RecoveryProgressListener {
  /**
   * Says how far opening is: at most ten times a second, and once more at the end of each {@link
   * RecoveryPhase}; called on the thread that opens, which goes on when it returns.
   *
   * @param progress how far it is
   * @throws Exception if it fails: that is logged, this opening tells it nothing more, and goes on
   */
  void told(RecoveryProgress progress) throws Exception;
}
