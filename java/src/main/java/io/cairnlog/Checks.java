package io.cairnlog;

import java.util.Objects;

/**
 * Asks an application about the open transactions of a store, on a daemon thread that ends when the
 * engine asks no more. The engine's own thread waits for the answer; so no thread of the engine is
 * ever attached to the virtual machine, and this one refers to no store.
 */
final class Checks extends Thread {
  private final long checker;
  private final TransactionChecker application;

  private Checks(long checker, TransactionChecker application) {
    super("cairnlog-check-transactions");
    this.checker = checker;
    this.application = application;
    setDaemon(true);
  }

  /** Makes the engine of a store ask an application from now on. */
  static void start(long store, TransactionChecker application) {
    Objects.requireNonNull(application, "checker");
    long checker = Native.storeSetTransactionChecker(store);
    try {
      new Checks(checker, application).start();
    } catch (Throwable failure) {
      // The machine has no thread left; nothing is known about any transaction then.
      Native.checkerRelease(checker);
      throw failure;
    }
  }

  /** Refuses what would wait for the end of checks, inside one. */
  static void refuseToWait() {
    if (Thread.currentThread() instanceof Checks) {
      throw new CairnException.Failure(
              Status.INVALID_ARGUMENT,
              "a store cannot be closed by a transaction's checker: it would wait for itself")
          .toException();
    }
  }

  @Override
  public void run() {
    try {
      byte[] asked;
      while ((asked = Native.checkerNext(checker)) != null) {
        Native.checkerAnswer(checker, answer(asked).ordinal());
        // An interrupt that the application left behind would end each wait of the next check.
        Thread.interrupted();
      }
    } catch (Throwable failure) {
      Diagnostics.report("open transactions are not asked about any more", failure);
    } finally {
      Native.checkerRelease(checker);
    }
  }

  private TransactionAnswer answer(byte[] asked) {
    TransactionCheck check = null;
    try {
      check = new TransactionCheck(Wire.reader(asked));
      return Objects.requireNonNull(application.check(check), "the checker's answer");
    } catch (Throwable failure) {
      Diagnostics.report("the checker failed that was asked about " + check, failure);
      return TransactionAnswer.UNKNOWN;
    }
  }
}
