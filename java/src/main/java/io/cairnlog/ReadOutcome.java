package io.cairnlog;

/** What came of a read; finding nothing is no error. Up to 8 they are RocketMQ's, of queues. */
public enum ReadOutcome {
  /** At least one message was read. */
  FOUND(0),
  /** None of the messages that were looked at is wanted; go on at the next offset. */
  NO_MATCHED_MESSAGE(1),
  /** Retention removed the messages that were looked at; go on at the next offset. */
  MESSAGE_WAS_REMOVING(2),
  /**
   * The queue has no file there; go on at the next offset. A {@link StoreReader} stays at the same
   * offset while the log has messages that the file had: wait for them.
   */
  OFFSET_FOUND_NULL(3),
  /** The offset lies behind the end of the queue, which is the next offset. */
  OFFSET_OVERFLOW_BADLY(4),
  /** The offset is the end of the queue: nothing has come yet. */
  OFFSET_OVERFLOW_ONE(5),
  /** The offset lies in front of the queue's first message, which is the next offset. */
  OFFSET_TOO_SMALL(6),
  /** There is no such queue. */
  NO_MATCHED_LOGIC_QUEUE(7),
  /** The queue has had no message yet. */
  NO_MESSAGE_IN_QUEUE(8),
  /** The physical offset is the readable end of the log: nothing has come yet. */
  END_OF_LOG(100);

  private final int code;

  ReadOutcome(int code) {
    this.code = code;
  }

  /**
   * Returns the outcome's number, the same in every language; callable from any thread.
   *
   * @return the number
   */
  public int code() {
    return code;
  }

  static ReadOutcome fromCode(int code) {
    for (ReadOutcome outcome : values()) {
      if (outcome.code == code) {
        return outcome;
      }
    }
    throw new CairnException.Failure(
            Status.INTERNAL, "the engine gave an outcome this package does not know: " + code)
        .toException();
  }
}
