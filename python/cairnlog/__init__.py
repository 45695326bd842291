"""cairnlog: the storage engine of Apache RocketMQ as a library.

One store is one directory. :meth:`Store.open` recovers what is there, :meth:`Store.append` adds a
message and returns when it is as safe as the store's flush mode promises, :meth:`Store.scan` reads
it back without copying.

>>> with cairnlog.Store.open(directory, flush_mode="sync") as store:
...     placed = store.append("orders", b"20 pears", tag="new")
...     [bytes(message.body) for message in store.scan()]
[b'20 pears']

Messages are also found by queue (:meth:`Store.read`, :meth:`Store.tail`), by time
(:meth:`Store.offset_at_time`) and by key (:meth:`Store.query_key`):

>>> with cairnlog.Store.open(directory) as store:
...     with store.read("orders", 0, 0, filter="new || old") as batch:
...         batch.outcome.name, batch.next_offset, [bytes(message.body) for message in batch]
('FOUND', 1, [b'20 pears'])

Consumer groups divide queues among their members (:meth:`Store.consumer`,
:meth:`Store.subscribe`); a message with a ``delay_level`` comes to its queue later,
one of a transaction (:meth:`Store.begin_transaction`) when that is committed.

Other processes read the same directory meanwhile (:meth:`Store.open_reader`).

Errors are subclasses of :class:`Error`. Diagnostics go to the logger ``cairnlog``. For ``asyncio``
see :mod:`cairnlog.aio`.
"""

import atexit as _atexit
from collections.abc import Sequence as _Sequence

from . import _diagnostics, _native, push
from ._native import (
    AppendResult,
    Batch,
    Consumer,
    Delivery,
    Filter,
    GroupProgress,
    MappedBytes,
    Message,
    MessageView,
    Positions,
    QueueAppender,
    QueueRange,
    ReadableStore,
    RecoveryProgress,
    RecoveryReport,
    RemovedFiles,
    Scan,
    Store,
    StoreReader,
    StoreStats,
    Tail,
    TopicStats,
    Transaction,
    TransactionCheck,
    encode_batch,
)
from .errors import (
    BusyError,
    ClosedError,
    CorruptionError,
    DiskFullError,
    Error,
    FencedError,
    FilterError,
    FlushTimeoutError,
    ForkedError,
    GroupError,
    InternalError,
    InvalidArgumentError,
    InvalidMessageError,
    LockedError,
    OffsetError,
    StateError,
    StorageError,
    StoreNotFoundError,
    TransactionError,
    WaitTimeoutError,
)
from .outcome import ReadOutcome
from .progress import RecoveryPhase
from .push import PushConsumer
from .status import Status
from .transaction import TransactionAnswer

__all__ = [
    "AppendResult",
    "Batch",
    "BusyError",
    "ClosedError",
    "Consumer",
    "CorruptionError",
    "Delivery",
    "DiskFullError",
    "Error",
    "FencedError",
    "Filter",
    "FilterError",
    "FlushTimeoutError",
    "ForkedError",
    "GroupError",
    "GroupProgress",
    "InternalError",
    "InvalidArgumentError",
    "InvalidMessageError",
    "LockedError",
    "MappedBytes",
    "Message",
    "MessageView",
    "OffsetError",
    "Positions",
    "PushConsumer",
    "QueueAppender",
    "QueueRange",
    "ReadOutcome",
    "ReadableStore",
    "RecoveryPhase",
    "RecoveryProgress",
    "RecoveryReport",
    "RemovedFiles",
    "Scan",
    "StateError",
    "Status",
    "StorageError",
    "Store",
    "StoreNotFoundError",
    "StoreReader",
    "StoreStats",
    "Tail",
    "TopicStats",
    "Transaction",
    "TransactionAnswer",
    "TransactionCheck",
    "TransactionError",
    "WaitTimeoutError",
    "encode_batch",
]

__version__: str = _native.VERSION

_Sequence.register(Batch)


def _at_exit() -> None:
    # First what calls Python code; then the stores, so that what their threads still say is logged.
    push._close_all()
    _native.close_all()
    _diagnostics.stop()


_atexit.register(_at_exit)
