"""Consuming by callback: what :meth:`cairnlog.Store.subscribe` returns."""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from ._native import Consumer, Delivery
from .errors import ClosedError, Error, ForkedError

__all__ = ["PushConsumer"]

logger = logging.getLogger("cairnlog")

# How long a thread rests after messages could not be read.
_PAUSE_SECONDS = 1.0

# What is called: with one delivery, or with a list of them.
_Listener = Callable[[Any], object]


class PushConsumer:
    """A member of a consumer group whose threads call a listener, from :meth:`Store.subscribe`.

    Use it in a ``with`` statement, or call :meth:`close`; one that is dropped stops, too. Close it
    before the store: a message whose call is running when the store closes is handed out again
    later. The exit of the interpreter closes what is open, and waits for calls that are running.

    >>> with cairnlog.Store.open(directory) as store:
    ...     arrived = queue.SimpleQueue()
    ...     def listen(delivery):
    ...         arrived.put(bytes(delivery.message.body))
    ...     with store.subscribe("billing", "orders", listen, start_from="first"):
    ...         placed = store.append("orders", b"20 pears")
    ...         arrived.get(timeout=30)
    b'20 pears'
    """

    def __init__(
        self, consumer: Consumer, listener: _Listener, threads: int, max_batch: int | None
    ) -> None:
        """Starts the threads; :meth:`Store.subscribe` calls this."""
        self._pool = _Pool(consumer, listener, max_batch)
        # The threads know the pool alone, so that a consumer nobody holds ends.
        weakref.finalize(self, self._pool.stop).atexit = False
        self._pool.start(threads)

    @property
    def consumer(self) -> Consumer:
        """The member that is consuming."""
        return self._pool.consumer

    @property
    def group(self) -> str:
        """The group."""
        return self._pool.consumer.group

    @property
    def closed(self) -> bool:
        """Whether consumer or store were closed."""
        return self._pool.stopping.is_set() or self._pool.consumer.closed

    def close(self) -> None:
        """Lets calls of the listener end, and leaves the group. Closing twice is no error.

        Called by the listener, this does not wait: the group is left when all calls have ended.
        """
        self._pool.stop()
        self._pool.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self.closed else "open"
        return f"PushConsumer({self.group!r}, {state})"


class _Pool:
    """The threads of a consumer; the last that ends leaves the group."""

    def __init__(self, consumer: Consumer, listener: _Listener, max_batch: int | None) -> None:
        self.consumer = consumer
        self.stopping = threading.Event()
        self._listener = listener
        self._max_batch = max_batch
        self._threads: list[threading.Thread] = []
        self._running = 0

    def start(self, threads: int) -> None:
        with _lock:
            _pools.add(self)
            self._running = threads
        for number in range(threads):
            name = f"cairnlog-consume-{number}"
            thread = threading.Thread(target=self._run, name=name, daemon=True)
            self._threads.append(thread)
            try:
                thread.start()
            except RuntimeError:
                self._threads.pop()
                self._ended(threads - number)
                self.stop()
                self.join()
                raise

    def stop(self) -> None:
        """Ends the polls; calls of the listener go on. The garbage collector may call this."""
        self.stopping.set()
        self.consumer._stop()

    def join(self) -> None:
        # A listener that closes its consumer cannot wait for itself, and two that do must not wait
        # for each other.
        if threading.current_thread() not in self._threads:
            for thread in self._threads:
                thread.join()

    def _run(self) -> None:
        try:
            while not self.stopping.is_set():
                if not self._serve():
                    return
        finally:
            self._ended(1)

    def _ended(self, threads: int) -> None:
        with _lock:
            self._running -= threads
            last = self._running == 0
            if last:
                _pools.discard(self)
        if last:
            self.consumer.close()

    def _serve(self) -> bool:
        """Gets messages and calls the listener; False when nothing can come any more."""
        try:
            deliveries = self.consumer.poll(self._max_batch or 1)
        except (ClosedError, ForkedError):
            return False
        except Error:
            logger.exception("messages of group %s cannot be read", self._group)
            self.stopping.wait(_PAUSE_SECONDS)
            return True
        processed = self._call(deliveries)
        for delivery in deliveries:
            try:
                if processed:
                    delivery.acknowledge()
                else:
                    delivery.retry_later()
            except ClosedError:
                return False
            except Error:
                # It stays in hand, and is handed out again when its time is over.
                logger.exception("%r of group %s cannot be sent back", delivery, self._group)
        return True

    def _call(self, deliveries: list[Delivery]) -> bool:
        try:
            if self._max_batch is not None:
                return self._listener(deliveries) is not False
            return self._listener(deliveries[0]) is not False
        except BaseException:
            logger.exception("the listener of group %s failed", self._group)
            return False

    @property
    def _group(self) -> str:
        return self.consumer.group


_lock = threading.Lock()
_pools: set[_Pool] = set()


def _close_all() -> None:
    """Ends every consumer of this process, at its exit."""
    with _lock:
        pools = list(_pools)
    for pool in pools:
        pool.stop()
    for pool in pools:
        pool.join()


def _after_fork_in_child() -> None:
    # The parent's threads do not exist here.
    global _lock
    _lock = threading.Lock()
    _pools.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
