"""Iterating over the log: to the readable end, and following it."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from conftest import OpenStore

import cairnlog
from cairnlog import Store


def test_a_scan_crosses_files(open_store: OpenStore) -> None:
    store = open_store(segment_size_bytes=65536)
    bodies = [f"{n}".encode() * 500 for n in range(300)]
    placed = [store.append("orders", body) for body in bodies]
    assert placed[-1].physical_offset > 4 * 65536
    assert [bytes(message.body) for message in store.scan()] == bodies
    later = [bytes(message.body) for message in store.scan(placed[200].physical_offset)]
    assert later == bodies[200:]


def test_a_scan_goes_on_when_there_is_more(store: Store) -> None:
    scan = store.scan()
    assert list(scan) == []
    placed = store.append("orders", b"x")
    assert scan.offset == placed.physical_offset
    assert [bytes(message.body) for message in scan] == [b"x"]
    assert scan.offset == placed.end_offset


def test_next_message_waits_for_its_time(store: Store) -> None:
    with store.scan() as scan:
        started = time.monotonic()
        assert scan.next_message(0.15) is None
        assert 0.14 <= time.monotonic() - started < 5
        assert scan.next_message(0) is None
        store.append("orders", b"x")
        found = scan.next_message()
        assert found is not None
        assert bytes(found.body) == b"x"
    with pytest.raises(cairnlog.ClosedError):
        scan.next_message(0)
    with pytest.raises(cairnlog.ClosedError):
        next(scan)


def test_a_tail_gives_what_is_appended_later(store: Store) -> None:
    store.append("orders", b"before")
    tail = store.tail_log(timeout=60)
    writer = threading.Thread(target=lambda: [store.append("orders", b"%d" % n) for n in range(50)])
    writer.start()
    bodies = [bytes(next(tail).body) for _ in range(50)]
    writer.join()
    assert bodies == [b"%d" % n for n in range(50)]


def test_a_tail_ends_when_nothing_comes_in_time(store: Store) -> None:
    store.append("orders", b"x")
    assert [bytes(message.body) for message in store.tail_log(0, timeout=0.05)] == [b"x"]


def test_closing_the_store_ends_an_endless_tail(open_store: OpenStore) -> None:
    store = open_store()
    closer = threading.Timer(0.1, store.close)
    closer.start()
    with pytest.raises(cairnlog.ClosedError):
        next(store.tail_log())
    closer.join()


def test_an_iterator_keeps_its_store_alive(directory: Path) -> None:
    with cairnlog.Store.open(directory, segment_size_bytes="1M") as first:
        first.append("orders", b"x")
    scan = cairnlog.Store.open(directory).scan()
    assert [bytes(message.body) for message in scan] == [b"x"]
    queue = cairnlog.Store.open(directory.parent / "other", segment_size_bytes="1M").queue("a", 0)
    assert queue.append(b"x").queue_offset == 0


def test_a_scan_of_a_store_closed_meanwhile_raises(open_store: OpenStore) -> None:
    store = open_store()
    store.append("orders", b"x")
    scan, tail = store.scan(), store.tail_log(0)
    store.close()
    for iterator in (scan, tail):
        with pytest.raises(cairnlog.ClosedError):
            next(iterator)


def test_threads_share_a_scan(store: Store) -> None:
    for n in range(400):
        store.append("orders", b"%d" % n)
    scan = store.scan()
    found: list[bytes] = []

    def take() -> None:
        for message in scan:
            found.append(bytes(message.body))

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found, key=int) == [b"%d" % n for n in range(400)]


def test_a_scan_starts_at_a_record(store: Store) -> None:
    store.append("orders", b"x")
    with pytest.raises(cairnlog.Error):
        list(store.scan(4))
