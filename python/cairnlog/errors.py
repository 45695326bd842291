"""The exceptions of cairnlog. :class:`Error` is the base of all."""

from __future__ import annotations

import errno as _errno
from typing import TYPE_CHECKING

from .status import Status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._native import AppendResult

__all__ = [
    "BusyError",
    "ClosedError",
    "CorruptionError",
    "DiskFullError",
    "Error",
    "FencedError",
    "FilterError",
    "FlushTimeoutError",
    "ForkedError",
    "GroupError",
    "InternalError",
    "InvalidArgumentError",
    "InvalidMessageError",
    "LockedError",
    "OffsetError",
    "StateError",
    "StorageError",
    "StoreNotFoundError",
    "TransactionError",
    "WaitTimeoutError",
]


class Error(Exception):
    """Why a call failed. Its text names file, offset, what was expected and what was found."""

    status: Status | int
    """The cause. A number without a name comes from a later version of the native module."""
    path: str | None
    """The file or directory concerned, if there is one."""
    offset: int | None
    """The offset concerned: a physical offset, or a position in the file or filter expression."""
    os_code: int | None
    """The operating system's error number, if a system call failed."""
    appended: AppendResult | None
    """Where the record lies that is in the log although the call failed."""
    results: Sequence[AppendResult]
    """After `append_many`: where the messages lie that were appended before the failure."""

    def __init__(
        self,
        message: str = "",
        *,
        status: Status | int = Status.INTERNAL,
        path: str | None = None,
        offset: int | None = None,
        os_code: int | None = None,
        appended: AppendResult | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.path = path
        self.offset = offset
        self.os_code = os_code
        self.appended = appended
        self.results = ()

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class InvalidArgumentError(Error, ValueError):
    """The call was wrong: an argument is outside its limits, or an option is unknown."""


class InvalidMessageError(InvalidArgumentError):
    """The message or batch cannot be stored as it is."""


class OffsetError(InvalidArgumentError):
    """The offset lies outside the readable log, or no record begins there."""


class FilterError(InvalidArgumentError):
    """The filter expression is malformed, ``offset`` says where, or exceeds a limit."""


class GroupError(InvalidArgumentError):
    """No consumer group can have this name."""


class StoreNotFoundError(InvalidArgumentError):
    """The directory holds no store."""


class TransactionError(InvalidArgumentError):
    """There is no such open transaction; it may have been ended before."""


class StateError(Error):
    """The store's state refuses the call."""


class ClosedError(StateError):
    """The store, or what was read from it, was closed."""


class LockedError(StateError):
    """Another opener, in this or another process, holds the store."""


class FencedError(StateError):
    """An earlier write or sync failed: writes are refused until the store is opened again."""


class BusyError(StateError):
    """The store does not take the message at present; try again."""


class FlushTimeoutError(StateError, TimeoutError):
    """The record is in the log (see ``appended``), but whether it is durable is unknown."""


class WaitTimeoutError(StateError, TimeoutError):
    """What was waited for did not happen in the given time."""


class ForkedError(StateError):
    """The call came from a child made by ``fork()``; only the opener of a store may use it."""


class StorageError(Error, OSError):
    """The machine refused the call; ``errno`` holds the operating system's number."""

    def __init__(
        self,
        message: str = "",
        *,
        status: Status | int = Status.IO,
        path: str | None = None,
        offset: int | None = None,
        os_code: int | None = None,
        appended: AppendResult | None = None,
    ) -> None:
        super().__init__(
            message, status=status, path=path, offset=offset, os_code=os_code, appended=appended
        )
        self.errno = os_code if os_code is not None else _ERRNO.get(status, _errno.EIO)
        self.strerror = message
        self.filename = path


class DiskFullError(StorageError):
    """The device or the quota is full. Appends work again once there is room."""


class CorruptionError(Error):
    """The data is damaged, or a file in the store does not belong there."""


class InternalError(Error):
    """A bug of cairnlog; please report it."""


_ERRNO: dict[Status | int, int] = {
    Status.DISK_FULL: _errno.ENOSPC,
    Status.PERMISSION_DENIED: _errno.EACCES,
    Status.OUT_OF_MEMORY: _errno.ENOMEM,
    Status.TOO_MANY_OPEN_FILES: _errno.EMFILE,
    Status.READ_ONLY_FILE_SYSTEM: _errno.EROFS,
    Status.FILE_TOO_LARGE: _errno.EFBIG,
    Status.PATH_NOT_FOUND: _errno.ENOENT,
}

_CLASSES: dict[int, type[Error]] = {
    Status.OFFSET_OUT_OF_RANGE: OffsetError,
    Status.NOT_A_RECORD: OffsetError,
    Status.STORE_NOT_FOUND: StoreNotFoundError,
    Status.FILTER_ILLEGAL: FilterError,
    Status.GROUP_ILLEGAL: GroupError,
    Status.NO_SUCH_TRANSACTION: TransactionError,
    Status.STORE_CLOSED: ClosedError,
    Status.STORE_LOCKED: LockedError,
    Status.FENCED: FencedError,
    Status.NOT_WRITEABLE: BusyError,
    Status.PAGE_CACHE_BUSY: BusyError,
    Status.FLUSH_TIMEOUT: FlushTimeoutError,
    Status.WAIT_TIMEOUT: WaitTimeoutError,
    Status.FORKED: ForkedError,
    Status.POOL_EXHAUSTED: BusyError,
    Status.DISPATCH_BLOCKED: BusyError,
    Status.DISK_USAGE_HIGH: BusyError,
    Status.DISK_FULL: DiskFullError,
}
_CLASSES.update(
    {status: InvalidMessageError for status in range(Status.TOPIC_EMPTY, Status.BATCH_ILLEGAL + 1)}
)

_FAMILIES: tuple[tuple[range, type[Error]], ...] = (
    (range(1, 100), InvalidArgumentError),
    (range(100, 200), StateError),
    (range(200, 300), StorageError),
    (range(300, 400), CorruptionError),
    (range(900, 1000), InternalError),
)


def _error_class(status: int) -> type[Error]:
    """The class of a status; of an unknown one, its family's or :class:`Error`."""
    known = _CLASSES.get(status)
    if known is not None:
        return known
    for numbers, family in _FAMILIES:
        if status in numbers:
            return family
    return Error


def _make_error(
    status: int,
    message: str,
    path: str | None,
    offset: int | None,
    os_code: int | None,
    appended: AppendResult | None,
) -> Error:
    """Makes the exception of an error of the engine; called by the native module."""
    named = Status(status) if status in Status._value2member_map_ else status
    return _error_class(status)(
        message, status=named, path=path, offset=offset, os_code=os_code, appended=appended
    )
