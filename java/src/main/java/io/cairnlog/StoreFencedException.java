package io.cairnlog;

/**
 * Thrown on a writing thread after an earlier write or sync failed: open the store again; reading
 * goes on.
 */
public final class StoreFencedException extends CairnException {
  private static final long serialVersionUID = 1L;

  StoreFencedException(Failure failure) {
    super(failure);
  }
}
