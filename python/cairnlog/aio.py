"""The store for ``asyncio``: awaiting an append awaits its acknowledgement.

>>> async def main() -> bytes:
...     async with await cairnlog.aio.AsyncStore.open(directory, flush_mode="sync") as store:
...         placed = await store.append("orders", b"20 pears")
...         return bytes((await store.read_at(placed.physical_offset)).body)
>>> asyncio.run(main())
b'20 pears'
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from ._native import (
    AppendResult,
    Batch,
    CompletionGroup,
    Message,
    MessageView,
    Positions,
    Scan,
    Store,
    StoreStats,
)

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = ["AsyncStore"]

# A group of completions: each a token with what came of it.
_Group = list[tuple[int, AppendResult | BaseException]]

# A wait on a thread looks at least this often whether its task was cancelled.
_SLICE_SECONDS = 0.1


class AsyncStore:
    """A store used from one event loop, the one it was opened in.

    Appending copies the message on the loop's own thread, which takes microseconds, and awaits the
    rest; however many appends one flush covers, the loop is woken once for them. Reads and other
    calls that can wait run in the loop's default executor.
    """

    def __init__(self, store: Store) -> None:
        """Wraps an open store; call it inside the running loop."""
        self._store = store
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[int, asyncio.Future[AppendResult]] = {}
        self._next_token = 0
        self._group = CompletionGroup(_forward(self._loop, self._waiting))

    @classmethod
    async def open(cls, path: str | os.PathLike[str], **options: Any) -> Self:
        """Opens a store; the options are those of :meth:`cairnlog.Store.open`."""
        return cls(await asyncio.to_thread(Store.open, path, **options))

    @property
    def store(self) -> Store:
        """The store behind this object."""
        return self._store

    @property
    def closed(self) -> bool:
        """Whether the store was closed."""
        return self._store.closed

    def append(
        self,
        topic: str,
        body: ReadableBuffer,
        *,
        queue_id: int = 0,
        tag: str | None = None,
        keys: Iterable[str] | None = None,
        properties: Mapping[str, str] | None = None,
        wait_store_ok: bool = True,
        **rare: Any,
    ) -> Awaitable[AppendResult]:
        """Appends one message; the arguments are those of :meth:`cairnlog.Store.append`.

        The record is in the log when this returns. Awaiting the result awaits what the flush mode
        promises: with ``flush_mode="sync"``, that the record survives a power cut. Cancelling the
        wait does not take the record back.
        """
        message = Message(
            topic,
            body,
            queue_id=queue_id,
            tag=tag,
            keys=keys,
            properties=properties,
            wait_store_ok=wait_store_ok,
            **rare,
        )
        return self.append_message(message)

    def append_message(self, message: Message) -> Awaitable[AppendResult]:
        """Appends a prepared :class:`cairnlog.Message`, as :meth:`append`."""
        token = self._next_token
        self._next_token += 1
        future: asyncio.Future[AppendResult] = self._loop.create_future()
        self._waiting[token] = future
        try:
            self._store._append_to_group(self._group, token, message)
        except BaseException:
            del self._waiting[token]
            raise
        return future

    async def append_many(self, messages: Iterable[Message]) -> list[AppendResult]:
        """Appends messages in order and awaits all of them. The first refusal is raised, after
        those before it were awaited."""
        futures: list[Awaitable[AppendResult]] = []
        try:
            for message in messages:
                futures.append(self.append_message(message))
        finally:
            results = await asyncio.gather(*futures)
        return list(results)

    async def flush(self) -> None:
        """Makes everything appended before the call durable."""
        await asyncio.to_thread(self._store.flush)

    async def wait_durable(self, offset: int, timeout: float | None = None) -> None:
        """Waits until everything below ``offset`` is durable; WaitTimeoutError if not in time."""
        await asyncio.to_thread(self._store.wait_durable, offset, timeout)

    async def read_at(self, offset: int) -> MessageView:
        """The message whose record begins at ``offset``."""
        return await asyncio.to_thread(self._store.read_at, offset)

    async def read_log(
        self, from_offset: int, *, max_messages: int = 32, max_bytes: int = 4 * 1024 * 1024
    ) -> Batch:
        """Messages from ``from_offset`` on, as :meth:`cairnlog.Store.read_log`."""
        return await asyncio.to_thread(
            self._store.read_log, from_offset, max_messages=max_messages, max_bytes=max_bytes
        )

    async def scan(self, from_offset: int | None = None) -> AsyncIterator[MessageView]:
        """The messages from ``from_offset`` (default: the first) to the readable end."""
        with self._store.scan(from_offset) as scan:
            while (found := await asyncio.to_thread(_next, scan)) is not None:
                yield found

    async def tail(
        self, from_offset: int | None = None, *, timeout: float | None = None
    ) -> AsyncIterator[MessageView]:
        """The messages from ``from_offset`` (default: those appended from now on), waiting for more
        at the end; stops when there was none for ``timeout`` seconds."""
        with self._store.tail(from_offset) as scan:
            while (found := await self._next_within(scan, timeout)) is not None:
                yield found

    async def _next_within(self, scan: Scan, timeout: float | None) -> MessageView | None:
        end = None if timeout is None else self._loop.time() + timeout
        while True:
            rest = _SLICE_SECONDS if end is None else max(0.0, end - self._loop.time())
            found = await asyncio.to_thread(scan.next_message, min(rest, _SLICE_SECONDS))
            if found is not None or rest == 0.0:
                return found

    def positions(self) -> Positions:
        """The positions of the log now."""
        return self._store.positions()

    def next_queue_offset(self, topic: str, queue_id: int) -> int:
        """The queue offset that the next message of a queue gets."""
        return self._store.next_queue_offset(topic, queue_id)

    def stats(self) -> StoreStats:
        """Counters since the store was opened."""
        return self._store.stats()

    async def close(self) -> None:
        """Makes everything durable and closes the store; appends still awaited are completed."""
        await asyncio.to_thread(self._store.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None:
        await self.close()


def _next(scan: Scan) -> MessageView | None:
    return next(scan, None)


def _complete(waiting: dict[int, asyncio.Future[AppendResult]], group: _Group) -> None:
    for token, outcome in group:
        future = waiting.pop(token, None)
        if future is None or future.done():
            continue
        if isinstance(outcome, BaseException):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)


def _forward(
    loop: asyncio.AbstractEventLoop, waiting: dict[int, asyncio.Future[AppendResult]]
) -> Callable[[_Group], None]:
    """Passes a group on to the loop with one wake-up; after the loop's end nobody waits for it.

    What it returns does not refer to the store, which would keep both alive for ever.
    """

    def forward(group: _Group) -> None:
        if not loop.is_closed():
            try:
                loop.call_soon_threadsafe(_complete, waiting, group)
            except RuntimeError:
                # The loop was closed in between.
                return

    return forward
