package io.cairnlog;

import java.util.Arrays;
import java.util.List;
import java.util.stream.Collectors;

/**
 * The transactions of a store: messages that nobody sees until they are committed; usable from any
 * thread. A transaction stays open until it is ended, also over closing and opening the store.
 */
public final class Transactions {
  private final CairnStore store;

  Transactions(CairnStore store) {
    this.store = store;
  }

  /**
   * Stores a message that comes to its queue only when it is committed; callable from any thread. A
   * delay begins with the commit.
   *
   * @param message the message
   * @return where its half message lies; {@link AppendResult#physicalOffset()} is the transaction
   *     for {@link #commit} and {@link #rollback}
   * @throws CairnException {@link Status#INVALID_ARGUMENT} in a store without consume queues; else
   *     as {@link CairnStore#append}
   */
  public AppendResult begin(Message message) {
    long handle = store.enter();
    try {
      return Appending.append(
          message,
          (scratch, length, capacity) ->
              Native.storeBeginTransaction(handle, scratch, length, capacity));
    } finally {
      store.leave();
    }
  }

  /**
   * Puts the message of an open transaction into its queue; callable from any thread.
   *
   * @param halfOffset where its half message lies
   * @return where the message lies, once it is as safe as the store's flush mode promises
   * @throws CairnException {@link Status#NO_SUCH_TRANSACTION} if no open one has its half message
   *     there; else as {@link CairnStore#append}. The transaction stays open if {@link
   *     CairnException#appended()} is empty; else it is committed, and may be open again after a
   *     crash
   */
  public AppendResult commit(long halfOffset) {
    long handle = store.enter();
    try {
      return AppendResult.read(Wire.reader(Native.storeCommitTransaction(handle, halfOffset)));
    } finally {
      store.leave();
    }
  }

  /**
   * Ends an open transaction, so that nobody ever sees its message; callable from any thread.
   *
   * @param halfOffset where its half message lies
   * @throws CairnException {@link Status#NO_SUCH_TRANSACTION} if no open one has its half message
   *     there; else as {@link CairnStore#append}, and the transaction stays open if nothing was
   *     stored
   */
  public void rollback(long halfOffset) {
    long handle = store.enter();
    try {
      Native.storeRollbackTransaction(handle, halfOffset);
    } finally {
      store.leave();
    }
  }

  /**
   * Sets what is asked about transactions that stay open, in the place of what was set before;
   * callable from any thread.
   *
   * <p>It is asked about each whose message is older than {@code transaction_timeout_ms}, or than
   * the seconds in its property {@code CHECK_IMMUNITY_TIME_IN_SECONDS}; as long as the answer is
   * {@link TransactionAnswer#UNKNOWN}, again each {@code transaction_check_interval_ms}, {@code
   * transaction_check_max} times in all, over closing and opening the store, too. Then the half
   * message goes to queue 0 of the topic {@code TRANS_CHECK_MAX_TIME_TOPIC}, and the transaction is
   * ended.
   *
   * @param checker what is asked, kept until the store is closed: if it refers to the store, that
   *     is not collected, and so not closed, before
   * @throws CairnException {@link Status#INVALID_ARGUMENT} in a store without consume queues; else
   *     if the store was closed
   */
  public void setChecker(TransactionChecker checker) {
    long handle = store.enter();
    try {
      Checks.start(handle, checker);
    } finally {
      store.leave();
    }
  }

  /**
   * Returns the transactions that were not ended; callable from any thread.
   *
   * @return where their half messages lie, oldest first
   */
  public List<Long> open() {
    long handle = store.enter();
    try {
      long[] offsets = Native.storeOpenTransactions(handle);
      return Arrays.stream(offsets).boxed().collect(Collectors.toUnmodifiableList());
    } finally {
      store.leave();
    }
  }
}
