package io.cairnlog;

/**
 * Thrown on the thread that opens a store which another opener, in this or another process, holds.
 */
public final class StoreLockedException extends CairnException {
  private static final long serialVersionUID = 1L;

  StoreLockedException(Failure failure) {
    super(failure);
  }
}
