"""Waits release the interpreter and notice signals."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import cairnlog
from cairnlog import Store

WAITS: dict[str, Callable[[Store], Any]] = {
    "tail of the log": lambda store: next(store.tail_log()),
    "tail of a queue": lambda store: next(store.tail("orders")),
    "next_message of a queue": lambda store: store.tail("orders", 1).next_message(60),
    "poll": lambda store: store.consumer("billing", "orders").poll(),
    "next of a consumer": lambda store: next(store.consumer("billing", "orders")),
    "wait_message": lambda store: store.wait_message("orders", 0, 0),
    "wait_dispatched": lambda store: store.wait_dispatched(1 << 40),
    "next_message": lambda store: store.scan().next_message(60),
    "read through an iterator": lambda store: list(store.tail_log(0, timeout=60)),
}


@pytest.fixture
def interruptible() -> Iterator[None]:
    """An alarm raises KeyboardInterrupt in the main thread, as Ctrl-C does."""
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    yield
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("wait", WAITS)
def test_ctrl_c_ends_a_wait(store: Store, interruptible: None, wait: str) -> None:
    with pytest.raises(KeyboardInterrupt):
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        WAITS[wait](store)
    store.append("orders", b"still usable")


@pytest.mark.parametrize("wait", WAITS)
def test_other_threads_run_during_a_wait(store: Store, wait: str) -> None:
    ended = threading.Event()

    def work() -> None:
        with pytest.raises(cairnlog.Error):
            WAITS[wait](store)
        ended.set()

    waiter = threading.Thread(target=work)
    waiter.start()
    turns = 0
    until = time.monotonic() + 0.25
    while time.monotonic() < until:
        turns += 1
    assert not ended.is_set()
    # With the interpreter held through each slice of 100 ms there would be a handful of turns.
    assert turns > 1000
    store.close()
    waiter.join(10)
    assert ended.is_set()
