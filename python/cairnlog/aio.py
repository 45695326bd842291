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
from typing import TYPE_CHECKING, Any, Literal, Self

from ._native import (
    AppendResult,
    Batch,
    CompletionGroup,
    Consumer,
    Delivery,
    Filter,
    GroupProgress,
    Message,
    MessageView,
    Positions,
    QueueRange,
    RemovedFiles,
    Scan,
    Store,
    StoreReader,
    StoreStats,
    Tail,
    Transaction,
    TransactionCheck,
)
from .transaction import TransactionAnswer

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

    from .errors import Error

__all__ = ["AsyncConsumer", "AsyncReadableStore", "AsyncStore", "AsyncStoreReader", "AsyncTail"]

# A group of completions: each a token with what came of it.
_Group = list[tuple[int, AppendResult | BaseException]]

# What a tail gave, and where it goes on.
_Given = tuple[MessageView | None, int]

# A wait on a thread looks at least this often whether its task was cancelled.
_SLICE_SECONDS = 0.1


class AsyncReadableStore:
    """What can be read from one event loop: an :class:`AsyncStore`, or an
    :class:`AsyncStoreReader`."""

    def __init__(self, readable: Store | StoreReader) -> None:
        self._readable = readable
        self._loop = asyncio.get_running_loop()

    @property
    def closed(self) -> bool:
        """Whether the store was closed."""
        return self._readable.closed

    @property
    def min_offset(self) -> int:
        """Where the log begins."""
        return self._readable.min_offset

    @property
    def max_offset(self) -> int:
        """One past the last byte of the log; of a reader, that can be read."""
        return self._readable.max_offset

    async def read_at(self, offset: int) -> MessageView:
        """The message whose record begins at ``offset``."""
        return await asyncio.to_thread(self._readable.read_at, offset)

    async def read_log(
        self, from_offset: int, *, max_messages: int = 32, max_bytes: int = 4 * 1024 * 1024
    ) -> Batch:
        """Messages from ``from_offset`` on, as :meth:`cairnlog.Store.read_log`."""
        return await asyncio.to_thread(
            self._readable.read_log, from_offset, max_messages=max_messages, max_bytes=max_bytes
        )

    async def scan(self, from_offset: int | None = None) -> AsyncIterator[MessageView]:
        """The messages from ``from_offset`` (default: the first) to the readable end."""
        with self._readable.scan(from_offset) as scan:
            while (found := await asyncio.to_thread(_next, scan)) is not None:
                yield found

    def tail_log(
        self, from_offset: int | None = None, *, timeout: float | None = None
    ) -> AsyncTail:
        """The log from ``from_offset`` (default: what is appended from now on), waiting for more at
        the end; stops when there was none for ``timeout`` seconds."""
        return AsyncTail(self._readable.tail_log(from_offset), timeout)

    async def read(
        self,
        topic: str,
        queue_id: int,
        offset: int,
        *,
        max_messages: int = 32,
        max_bytes: int = 128 * 1024 * 1024,
        filter: Filter | str | None = None,
    ) -> Batch:
        """Messages of a queue from index ``offset`` on, as :meth:`cairnlog.Store.read`."""
        return await asyncio.to_thread(
            self._readable.read,
            topic,
            queue_id,
            offset,
            max_messages=max_messages,
            max_bytes=max_bytes,
            filter=filter,
        )

    def tail(
        self,
        topic: str,
        queue_id: int = 0,
        offset: int = 0,
        *,
        filter: Filter | str | None = None,
        timeout: float | None = None,
    ) -> AsyncTail:
        """The messages of a queue from index ``offset`` on, waiting for more at the end; stops when
        there was none for ``timeout`` seconds. The queue need not exist yet."""
        return AsyncTail(self._readable.tail(topic, queue_id, offset, filter=filter), timeout)

    async def queue_range(self, topic: str, queue_id: int) -> QueueRange | None:
        """The messages a queue holds, as :meth:`cairnlog.Store.queue_range`."""
        return await asyncio.to_thread(self._readable.queue_range, topic, queue_id)

    async def offset_at_time(
        self,
        topic: str,
        queue_id: int,
        timestamp_ms: int,
        *,
        boundary: Literal["lower", "upper"] = "lower",
    ) -> int | None:
        """The index of the message stored around a time, as
        :meth:`cairnlog.Store.offset_at_time`."""
        return await asyncio.to_thread(
            self._readable.offset_at_time, topic, queue_id, timestamp_ms, boundary=boundary
        )

    async def topics(self) -> list[str]:
        """The topics that have had messages, sorted."""
        return await asyncio.to_thread(self._readable.topics)

    async def queues_of(self, topic: str) -> list[int]:
        """The numbers of a topic's queues that have had messages, ascending."""
        return await asyncio.to_thread(self._readable.queues_of, topic)

    async def query_key(
        self,
        topic: str,
        key: str,
        *,
        begin_ms: int = 0,
        end_ms: int | None = None,
        max_messages: int = 64,
    ) -> list[MessageView]:
        """The newest messages with a key, as :meth:`cairnlog.Store.query_key`."""
        return await asyncio.to_thread(
            self._readable.query_key,
            topic,
            key,
            begin_ms=begin_ms,
            end_ms=end_ms,
            max_messages=max_messages,
        )

    async def find_by_message_id(self, topic: str, id: str) -> MessageView | None:
        """The message with an id, as :meth:`cairnlog.Store.find_by_message_id`."""
        return await asyncio.to_thread(self._readable.find_by_message_id, topic, id)

    async def wait_message(
        self, topic: str, queue_id: int, offset: int, timeout: float | None = None
    ) -> bool:
        """Waits until a queue can be read at an index; False when the time ran out."""
        return await self._wait(
            timeout, lambda slice: self._readable.wait_message(topic, queue_id, offset, slice)
        )

    async def _wait(self, timeout: float | None, wait: Callable[[float], bool]) -> bool:
        end = None if timeout is None else self._loop.time() + timeout
        while True:
            slice = _slice(self._loop, end)
            if await asyncio.to_thread(wait, slice):
                return True
            if end is not None and self._loop.time() >= end:
                return False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None:
        await asyncio.to_thread(self._readable.close)


class AsyncStoreReader(AsyncReadableStore):
    """A store that is only read, beside the process that writes it, from one event loop.

    >>> async def main() -> None:
    ...     with cairnlog.Store.open(directory) as store:
    ...         store.append("orders", b"20 pears")
    ...         async with await cairnlog.aio.AsyncStoreReader.open(directory) as reader:
    ...             async for message in reader.tail("orders", timeout=1):
    ...                 print(bytes(message.body))
    >>> asyncio.run(main())
    b'20 pears'
    """

    def __init__(self, reader: StoreReader) -> None:
        """Wraps an open reader; call it inside the running loop."""
        super().__init__(reader)
        self._reader = reader

    @classmethod
    async def open(cls, path: str | os.PathLike[str], **options: Any) -> Self:
        """Opens a store for reading only, as :meth:`cairnlog.Store.open_reader`."""
        return cls(await asyncio.to_thread(Store.open_reader, path, **options))

    @property
    def reader(self) -> StoreReader:
        """The reader behind this object."""
        return self._reader

    async def close(self) -> None:
        """Ends all waits and refuses further calls."""
        await asyncio.to_thread(self._reader.close)


class AsyncStore(AsyncReadableStore):
    """A store used from one event loop, the one it was opened in.

    Appending copies the message on the loop's own thread, which takes microseconds, and awaits the
    rest; however many appends one flush covers, the loop is woken once for them. Reads and other
    calls that can wait run in the loop's default executor.
    """

    def __init__(self, store: Store) -> None:
        """Wraps an open store; call it inside the running loop."""
        super().__init__(store)
        self._store = store
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

    async def consumer(
        self,
        group: str,
        topics: str | Iterable[str] | Mapping[str, Filter] | Mapping[str, Filter | str | None],
        *,
        filter: Filter | str | None = None,
        timeout: float | None = None,
        **options: Any,
    ) -> AsyncConsumer:
        """Joins a consumer group as one more member; the arguments are those of
        :meth:`cairnlog.Store.consumer`."""
        join = self._store.consumer
        consumer = await asyncio.to_thread(join, group, topics, filter=filter, **options)
        return AsyncConsumer(consumer, timeout)

    async def groups(self) -> list[str]:
        """The groups that have committed an offset, sorted."""
        return await asyncio.to_thread(self._store.groups)

    async def group_progress(self, group: str) -> list[GroupProgress]:
        """How far a group has come with each queue it committed an offset of."""
        return await asyncio.to_thread(self._store.group_progress, group)

    async def consumer_offset(self, group: str, topic: str, queue_id: int) -> int | None:
        """The index a group consumes next; None if it has committed none."""
        return await asyncio.to_thread(self._store.consumer_offset, group, topic, queue_id)

    async def commit_offset(self, group: str, topic: str, queue_id: int, offset: int) -> None:
        """Sets the index a group consumes next, as :meth:`cairnlog.Store.commit_offset`."""
        await asyncio.to_thread(self._store.commit_offset, group, topic, queue_id, offset)

    async def persist_offsets(self) -> None:
        """Makes committed offsets and the list of topics durable now."""
        await asyncio.to_thread(self._store.persist_offsets)

    async def begin_transaction(self, message: Message) -> Transaction:
        """Stores a message that comes to its queue only when the transaction is committed."""
        return await asyncio.to_thread(self._store.begin_transaction, message)

    async def commit_transaction(self, half_offset: int) -> AppendResult:
        """Commits an open transaction, as :meth:`cairnlog.Store.commit_transaction`."""
        return await asyncio.to_thread(self._store.commit_transaction, half_offset)

    async def rollback_transaction(self, half_offset: int) -> None:
        """Ends an open transaction: nobody will ever see its message."""
        await asyncio.to_thread(self._store.rollback_transaction, half_offset)

    async def set_transaction_checker(
        self, checker: Callable[[TransactionCheck], TransactionAnswer | None]
    ) -> None:
        """Sets the callable that is asked about transactions that stay open, on a thread of the
        store and not in the loop, as :meth:`cairnlog.Store.set_transaction_checker`."""
        await asyncio.to_thread(self._store.set_transaction_checker, checker)

    async def open_transactions(self) -> list[int]:
        """Where the half messages of all open transactions lie, oldest first."""
        return await asyncio.to_thread(self._store.open_transactions)

    async def remove_expired(self) -> RemovedFiles:
        """Removes what is expired or too much, as :meth:`cairnlog.Store.remove_expired`."""
        return await asyncio.to_thread(self._store.remove_expired)

    async def remove_before(self, offset: int) -> RemovedFiles:
        """Removes the commit log files that end at or in front of ``offset``."""
        return await asyncio.to_thread(self._store.remove_before, offset)

    async def wait_dispatched(self, offset: int, timeout: float | None = None) -> bool:
        """Waits until everything below ``offset`` of the log is in the queues and the key index;
        False when the time ran out."""
        return await self._wait(timeout, lambda slice: self._store.wait_dispatched(offset, slice))

    @property
    def dispatched_offset(self) -> int:
        """Everything of the log below this offset is in the queues and the key index."""
        return self._store.dispatched_offset

    @property
    def dispatch_error(self) -> Error | None:
        """Why the log is not put into the queues at present; None while it is."""
        return self._store.dispatch_error

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


class AsyncTail:
    """Follows a queue or the log: an asynchronous iterator, from :meth:`AsyncReadableStore.tail`
    or :meth:`AsyncReadableStore.tail_log`.

    One that stopped because nothing came in time goes on when there is more. A message that a
    cancelled wait would have given is given by the next: none is lost. Tasks can share the
    iterator; each message goes to one of them. It waits in the loop's default executor, for at most
    100 ms at a time, so that it never keeps a thread for itself.
    """

    def __init__(self, tail: Tail | Scan, timeout: float | None = None) -> None:
        """Wraps the iterator of a store; call it inside the running loop."""
        self._tail = tail
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        self._turn = asyncio.Lock()
        self._offset = tail.offset
        self._running: asyncio.Future[_Given] | None = None

    @property
    def offset(self) -> int:
        """Behind the message that was returned last, where a later tail goes on."""
        return self._offset

    async def next_message(self, timeout: float | None = None) -> MessageView | None:
        """The next message, awaited at most ``timeout`` seconds (None: without end), or None when
        the time ran out."""
        end = None if timeout is None else self._loop.time() + timeout
        async with self._turn:
            while True:
                if self._running is None:
                    slice = _slice(self._loop, end)
                    self._running = self._loop.run_in_executor(None, self._next, slice)
                    self._running.add_done_callback(_look_at_outcome)
                # A cancelled task leaves the work to whoever asks next.
                await asyncio.wait([self._running])
                done, self._running = self._running, None
                found, self._offset = done.result()
                if found is not None or (end is not None and self._loop.time() >= end):
                    return found

    def close(self) -> None:
        """Gives up the place. A wait under way ends within 100 ms, with ClosedError."""
        self._tail.close()

    def _next(self, timeout: float) -> _Given:
        return self._tail.next_message(timeout), self._tail.offset

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> MessageView:
        found = await self.next_message(self._timeout)
        if found is None:
            raise StopAsyncIteration
        return found

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None:
        self.close()


class AsyncConsumer:
    """A member of a consumer group: an asynchronous iterator, from :meth:`AsyncStore.consumer`.

    As :class:`cairnlog.Consumer`, nothing is acknowledged by itself; ``delivery.acknowledge()``
    takes microseconds and needs no ``await``. What a cancelled poll would have given is given by
    the next. It waits in the loop's default executor, for at most 100 ms at a time.

    >>> async def main() -> None:
    ...     async with await cairnlog.aio.AsyncStore.open(directory) as store:
    ...         await store.append("orders", b"20 pears")
    ...         join = store.consumer("billing", "orders", start_from="first", timeout=1)
    ...         async with await join as consumer:
    ...             async for delivery in consumer:
    ...                 print(bytes(delivery.message.body), delivery.acknowledge())
    >>> asyncio.run(main())
    b'20 pears' True
    """

    def __init__(self, consumer: Consumer, timeout: float | None = None) -> None:
        """Wraps a consumer; call it inside the running loop."""
        self._consumer = consumer
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        self._turn = asyncio.Lock()
        self._ahead: list[Delivery] = []
        self._running: asyncio.Future[list[Delivery]] | None = None

    @property
    def consumer(self) -> Consumer:
        """The consumer behind this object."""
        return self._consumer

    @property
    def group(self) -> str:
        """The group."""
        return self._consumer.group

    @property
    def assigned(self) -> list[tuple[str, int]]:
        """The queues assigned to this member at present: (topic, number)."""
        return self._consumer.assigned

    @property
    def closed(self) -> bool:
        """Whether consumer or store were closed."""
        return self._consumer.closed

    async def poll(self, max_messages: int = 32, timeout: float | None = None) -> list[Delivery]:
        """Messages of one of the member's queues, at most ``max_messages``, awaited at most
        ``timeout`` seconds (None: without end). Empty when the time ran out."""
        end = None if timeout is None else self._loop.time() + timeout
        async with self._turn:
            while True:
                if not self._ahead:
                    await self._fetch(max_messages, _slice(self._loop, end))
                given, self._ahead = self._ahead[:max_messages], self._ahead[max_messages:]
                if given or (end is not None and self._loop.time() >= end):
                    return given

    async def _fetch(self, max_messages: int, timeout: float) -> None:
        if self._running is None:
            poll = self._consumer.poll
            self._running = self._loop.run_in_executor(None, poll, max_messages, timeout)
            self._running.add_done_callback(_look_at_outcome)
        # A cancelled task leaves the work to whoever asks next.
        await asyncio.wait([self._running])
        done, self._running = self._running, None
        self._ahead = done.result()

    def acknowledge(self, delivery: Delivery) -> bool:
        """The message was processed; False if it is no longer in this consumer's hand."""
        return self._consumer.acknowledge(delivery)

    async def retry_later(self, delivery: Delivery) -> bool:
        """The message could not be processed now, as :meth:`cairnlog.Consumer.retry_later`."""
        return await asyncio.to_thread(self._consumer.retry_later, delivery)

    async def seek(self, topic: str, queue_id: int, offset: int) -> bool:
        """Goes to an index of a queue, as :meth:`cairnlog.Consumer.seek`."""
        return await asyncio.to_thread(self._consumer.seek, topic, queue_id, offset)

    async def commit(self) -> None:
        """Makes what was acknowledged durable now."""
        await asyncio.to_thread(self._consumer.commit)

    def close(self) -> None:
        """Leaves the group; a poll under way ends with ClosedError."""
        self._consumer.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Delivery:
        found = await self.poll(1, self._timeout)
        if not found:
            raise StopAsyncIteration
        return found[0]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None:
        self.close()


def _look_at_outcome(done: asyncio.Future[Any]) -> None:
    """Keeps asyncio from logging an exception that nobody asks for."""
    if not done.cancelled():
        done.exception()


def _slice(loop: asyncio.AbstractEventLoop, end: float | None) -> float:
    """How long a thread waits before it looks again; zero once the end is over."""
    return _SLICE_SECONDS if end is None else min(_SLICE_SECONDS, max(0.0, end - loop.time()))


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
