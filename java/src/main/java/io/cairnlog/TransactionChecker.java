package io.cairnlog;

/** Knows what is to become of open transactions; asked on one thread at a time. */
@FunctionalInterface
public interface TransactionChecker {
  /**
   * Says what is to become of a transaction; called on a daemon thread of the store's own. It may
   * use the store, also to end this transaction or others, but {@link CairnStore#close()} refuses
   * it, and waits for it when another thread calls.
   *
   * @param check the transaction
   * @return the answer
   * @throws Exception if it cannot be said: taken as {@link TransactionAnswer#UNKNOWN}, as null is,
   *     and logged
   */
  TransactionAnswer check(TransactionCheck check) throws Exception;
}
