"""Push consumers: what a listener gets, what its failures do, and how it ends."""

from __future__ import annotations

import gc
import itertools
import logging
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from conftest import OpenStore, wait_until
from test_consumer import NO_DELAY, fill, lag, number

import cairnlog
from cairnlog import Delivery, Store


def consume_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if "cairnlog-consume" in thread.name]


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Any:
    yield
    assert consume_threads() == []


def test_a_listener_gets_every_message_and_its_failures_come_again(
    open_store: OpenStore, caplog: pytest.LogCaptureFixture
) -> None:
    store = open_store(message_delay_level=NO_DELAY)
    fill(store, 4, range(100))
    done: Counter[int] = Counter()
    running: list[int] = []
    most: list[int] = []
    # The first two calls wait for each other: they run at the same time.
    two, calls = threading.Barrier(2), itertools.count()

    def listen(delivery: Delivery) -> bool | None:
        running.append(0)
        most.append(len(running))
        if next(calls) < 2:
            two.wait(60)
        time.sleep(0.001)
        running.pop()
        if number(delivery) == 13 and delivery.reconsume_times == 0:
            raise LookupError("on purpose")
        if number(delivery) == 14 and delivery.reconsume_times < 2:
            return False
        done[number(delivery)] += 1
        return None if number(delivery) % 2 else True

    with (
        caplog.at_level(logging.ERROR, "cairnlog"),
        store.subscribe("billing", "orders", listen, threads=3, start_from="first") as push,
    ):
        wait_until(lambda: len(done) == 100)
        assert (push.group, push.closed) == ("billing", False)
        assert repr(push) == "PushConsumer('billing', open)"
        assert len(consume_threads()) == 3
    assert set(done.values()) == {1}
    assert 2 <= max(most) <= 3
    (logged,) = [record for record in caplog.records if record.name == "cairnlog"]
    assert "billing" in logged.getMessage()
    assert logged.exc_info is not None and logged.exc_info[0] is LookupError
    del logged
    assert push.closed and push.consumer.closed
    assert lag(store, "billing") == 0
    # What was logged holds the frames of the calls, and with them their messages.
    caplog.clear()


def test_a_listener_that_always_fails_fills_the_dead_letter_topic(
    open_store: OpenStore, caplog: pytest.LogCaptureFixture
) -> None:
    store = open_store(message_delay_level=NO_DELAY)
    fill(store, 1, range(1))
    tried: list[int] = []

    def listen(delivery: Delivery) -> None:
        tried.append(delivery.reconsume_times)
        sys.exit("also not an end of the thread")

    options: dict[str, Any] = {"start_from": "first", "max_reconsume_times": 2}
    with store.subscribe("billing", "orders", listen, threads=1, **options):
        assert store.wait_message("%DLQ%billing", 0, 0, 30)
    assert tried == [0, 1, 2]
    assert len(caplog.records) == 3
    caplog.clear()


def test_batches_and_order(store: Store) -> None:
    fill(store, 1, range(20))
    seen: list[int] = []
    sizes: list[int] = []

    def listen(deliveries: list[Delivery]) -> bool:
        sizes.append(len(deliveries))
        for delivery in deliveries:
            if number(delivery) == 7 and seen.count(7) == 0:
                seen.append(7)
                return False
            seen.append(number(delivery))
        return True

    with store.subscribe(
        "billing",
        "orders",
        listen,
        max_batch=6,
        order="orderly",
        start_from="first",
        suspend_queue_ms=1,
    ):
        wait_until(lambda: seen[-1:] == [19])
    # The whole batch failed: it begins again with its first.
    assert seen == [*range(6), 6, 7, 6, *range(7, 20)]
    assert max(sizes) == 6
    assert lag(store, "billing") == 0


def test_closing_waits_for_a_running_call(store: Store) -> None:
    began, ended = threading.Event(), threading.Event()

    def listen(delivery: Delivery) -> None:
        began.set()
        time.sleep(0.3)
        ended.set()

    push = store.subscribe("billing", "orders", listen, threads=2)
    fill(store, 1, range(1))
    assert began.wait(30)
    push.close()
    assert ended.is_set()
    assert consume_threads() == []
    # What it did counts: the consumer left after its last call.
    assert lag(store, "billing") == 0
    push.close()


def test_a_listener_may_close_its_consumer(store: Store) -> None:
    fill(store, 1, range(3))
    seen: list[int] = []
    joined = threading.Event()

    def listen(delivery: Delivery) -> None:
        joined.wait(30)
        seen.append(number(delivery))
        push.close()

    push = store.subscribe("billing", "orders", listen, threads=1, start_from="first")
    joined.set()
    wait_until(lambda: push.consumer.closed)
    wait_until(lambda: consume_threads() == [])
    assert seen == [0]
    assert lag(store, "billing") == 2


def test_closing_the_store_ends_the_threads(store: Store) -> None:
    began = threading.Event()

    def listen(delivery: Delivery) -> None:
        began.set()
        time.sleep(0.2)

    push = store.subscribe("billing", "orders", listen)
    fill(store, 1, range(1))
    assert began.wait(30)
    store.close()
    wait_until(lambda: consume_threads() == [])
    assert push.closed
    push.close()


def test_a_dropped_consumer_ends(store: Store) -> None:
    push = store.subscribe("billing", "orders", lambda delivery: None)
    consumer = push.consumer
    del push
    gc.collect()
    wait_until(lambda: consumer.closed)
    wait_until(lambda: consume_threads() == [])


def test_wrong_use(store: Store) -> None:
    for options in ({"threads": 0}, {"threads": 1025}, {"max_batch": 0}):
        with pytest.raises(cairnlog.InvalidArgumentError, match="1 to 1024"):
            store.subscribe("billing", "orders", print, **options)  # type: ignore[call-overload]
    with pytest.raises(TypeError):
        store.subscribe("billing", "orders", "listener")  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="colour"):
        store.subscribe("billing", "orders", print, colour=1)  # type: ignore[call-overload]
    with pytest.raises(cairnlog.GroupError):
        store.subscribe("", "orders", print)


# Nothing is closed: the exit does it, after the call that is running.
LEFT_OPEN = """
import sys, threading, time
import cairnlog

store = cairnlog.Store.open(sys.argv[1], segment_size_bytes="1M")
began = threading.Event()

def listen(delivery):
    began.set()
    time.sleep(0.3)
    print(bytes(delivery.message.body).decode())

push = store.subscribe("billing", "orders", listen)
waiting = store.consumer("other", "orders")
store.append("orders", b"the last")
began.wait()
"""


def test_the_exit_closes_what_is_open(open_store: OpenStore, directory: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-X", "dev", "-c", LEFT_OPEN, str(directory)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "the last\n", "")
    store = open_store()
    assert store.recovery_report.clean_stop
    assert lag(store, "billing") == 0
