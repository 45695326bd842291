"""The one table of read outcomes, the same in every language of cairnlog."""

from enum import IntEnum


class ReadOutcome(IntEnum):
    """What came of a read; below 100, of a queue, RocketMQ's ``GetMessageStatus``."""

    FOUND = 0
    """At least one message was read."""
    NO_MATCHED_MESSAGE = 1
    """The filter let none of the messages pass that were looked at."""
    MESSAGE_WAS_REMOVING = 2
    """Retention removed the messages that were looked at."""
    OFFSET_FOUND_NULL = 3
    """The queue has no file there; go on at the next offset. A ``StoreReader`` stays at the same
    offset while the log has messages that the file had: wait for them."""
    OFFSET_OVERFLOW_BADLY = 4
    """The offset lies behind the end of the queue."""
    OFFSET_OVERFLOW_ONE = 5
    """The offset is the end of the queue: nothing has come yet."""
    OFFSET_TOO_SMALL = 6
    """The offset lies in front of the queue's first message."""
    NO_MATCHED_LOGIC_QUEUE = 7
    """There is no such queue."""
    NO_MESSAGE_IN_QUEUE = 8
    """The queue has had no message yet."""
    END_OF_LOG = 100
    """Reading the log found nothing more."""
