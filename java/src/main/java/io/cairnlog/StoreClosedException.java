package io.cairnlog;

/**
 * Thrown on the calling thread when a closed store, queue or batch is used; nothing was touched.
 */
public final class StoreClosedException extends CairnException {
  private static final long serialVersionUID = 1L;

  StoreClosedException(Failure failure) {
    super(failure);
  }
}
