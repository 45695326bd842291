"""The one table of status numbers, the same in every language of cairnlog."""

from enum import IntEnum


class Status(IntEnum):
    """What came of a call: zero for success, else the cause, one number per cause.

    1-99: the call was wrong. 100-199: the store's state refuses it. 200-299: the machine refused
    it. 300-399: the data is damaged. 900: a bug of cairnlog.
    """

    OK = 0

    INVALID_ARGUMENT = 1
    TOPIC_EMPTY = 2
    TOPIC_TOO_LONG = 3
    TOPIC_ILLEGAL = 4
    BODY_EMPTY = 5
    BODY_TOO_LARGE = 6
    PROPERTIES_TOO_LARGE = 7
    PROPERTIES_ILLEGAL = 8
    MESSAGE_TOO_LARGE = 9
    QUEUE_ID_ILLEGAL = 10
    BATCH_ILLEGAL = 11
    OFFSET_OUT_OF_RANGE = 12
    NOT_A_RECORD = 13
    STORE_NOT_FOUND = 14
    FILTER_ILLEGAL = 15
    GROUP_ILLEGAL = 16
    NO_SUCH_TRANSACTION = 17

    STORE_CLOSED = 100
    STORE_LOCKED = 101
    FENCED = 102
    NOT_WRITEABLE = 103
    PAGE_CACHE_BUSY = 104
    FLUSH_TIMEOUT = 105
    WAIT_TIMEOUT = 106
    FORKED = 107
    POOL_EXHAUSTED = 108
    READ_ONLY = 109
    DISPATCH_BLOCKED = 110
    DISK_USAGE_HIGH = 111

    IO = 200
    DISK_FULL = 201
    PERMISSION_DENIED = 202
    OUT_OF_MEMORY = 203
    TOO_MANY_OPEN_FILES = 204
    READ_ONLY_FILE_SYSTEM = 205
    FILE_TOO_LARGE = 206
    PATH_NOT_FOUND = 207

    CORRUPTION = 300
    FOREIGN_FILE = 301
    WRONG_FILE_SIZE = 302
    MISSING_FILE = 303

    INTERNAL = 900
