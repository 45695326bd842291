"""Appends that return a future."""

from __future__ import annotations

import concurrent.futures
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from conftest import OpenStore

import cairnlog
from cairnlog import AppendResult, Status, Store


@pytest.mark.parametrize("flush_mode", ["async", "sync"])
def test_futures_give_where_the_message_lies(open_store: OpenStore, flush_mode: str) -> None:
    store = open_store(flush_mode=flush_mode)
    futures = [store.append_async("orders", b"%d" % n) for n in range(1000)]
    placed = [future.result(30) for future in futures]
    assert [p.queue_offset for p in placed] == list(range(1000))
    assert bytes(store.read_at(placed[500].physical_offset).body) == b"500"
    if flush_mode == "sync":
        assert store.positions().durable_offset >= placed[-1].end_offset


def test_futures_work_with_the_standard_library(open_store: OpenStore) -> None:
    store = open_store(flush_mode="sync")
    futures = [store.append_async("orders", b"x") for _ in range(10)]
    done, waiting = concurrent.futures.wait(futures, 30)
    assert (len(done), len(waiting)) == (10, 0)
    assert not futures[0].cancel()


def test_closing_completes_every_future(open_store: OpenStore) -> None:
    store = open_store(flush_mode="sync")
    futures = [store.append_async("orders", b"x") for _ in range(500)]
    store.close()
    assert all(future.done() for future in futures)
    assert [future.result().queue_offset for future in futures] == list(range(500))


def test_a_callback_may_append(open_store: OpenStore) -> None:
    store = open_store(flush_mode="sync")
    second: concurrent.futures.Future[AppendResult] = concurrent.futures.Future()

    def again(first: concurrent.futures.Future[AppendResult]) -> None:
        try:
            second.set_result(store.append("orders", b"second"))
        except BaseException as failure:
            second.set_exception(failure)

    store.append_async("orders", b"first").add_done_callback(again)
    assert second.result(30).queue_offset == 1


def test_a_callback_must_not_close_the_store(open_store: OpenStore) -> None:
    store = open_store(flush_mode="sync")
    outcomes: list[BaseException | None] = []
    started = threading.Event()

    def try_to_close(_: object) -> None:
        try:
            store.close()
        except BaseException as failure:
            outcomes.append(failure)
        else:
            outcomes.append(None)

    def hold(_: object) -> None:
        # Until this returns, the next append's completion waits for the same thread.
        started.wait(30)

    store.append_async("orders", b"first").add_done_callback(hold)
    later = store.append_async("orders", b"second")
    later.add_done_callback(try_to_close)
    started.set()
    later.result(30)
    store.flush()
    store.append("orders", b"third")
    store.append_async("orders", b"fourth").result(30)
    (failure,) = outcomes
    assert isinstance(failure, cairnlog.InvalidArgumentError)
    assert failure.status is Status.INVALID_ARGUMENT
    assert not store.closed


def test_the_last_reference_may_go_in_a_callback(directory: Path) -> None:
    code = (
        "import cairnlog, sys, threading\n"
        "ready, done = threading.Event(), threading.Event()\n"
        "holder = [cairnlog.Store.open(sys.argv[1], segment_size_bytes='1M', flush_mode='sync')]\n"
        "def hold(_): ready.wait(30)\n"
        "def drop(_): holder.clear(); done.set()\n"
        "holder[0].append_async('orders', b'x').add_done_callback(hold)\n"
        "holder[0].append_async('orders', b'y').add_done_callback(drop)\n"
        "ready.set()\n"
        "assert done.wait(30)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(directory)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert run.returncode == 0, run.stderr


def test_the_flusher_goes_on_while_a_callback_runs(open_store: OpenStore) -> None:
    store = open_store(flush_mode="sync")
    release = threading.Event()
    store.append_async("orders", b"x").add_done_callback(lambda _: release.wait(30))
    placed = [store.append("orders", b"y") for _ in range(20)]
    assert store.positions().durable_offset >= placed[-1].end_offset
    release.set()
