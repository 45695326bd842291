package io.cairnlog;

/**
 * Thrown on the calling thread when the store's data is damaged: a record, or a foreign, missing or
 * misshapen file. {@link #path()} and {@link #offset()} say where.
 */
public final class CorruptionException extends CairnException {
  private static final long serialVersionUID = 1L;

  CorruptionException(Failure failure) {
    super(failure);
  }
}
