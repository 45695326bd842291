"""Following a queue, by iteration, by threads, until the store is closed."""

from __future__ import annotations

import contextlib
import gc
import threading
import time
import weakref
from pathlib import Path

import pytest
from conftest import OpenStore, mapped_files, wait_until

import cairnlog
from cairnlog import Filter, Store


def settle(store: Store) -> None:
    store.flush()
    assert store.wait_dispatched(store.positions().max_offset, 30)


def test_a_tail_gives_what_is_there_and_what_comes(store: Store) -> None:
    store.append("orders", b"before")
    writer = threading.Thread(target=lambda: [store.append("orders", b"%d" % n) for n in range(99)])
    tail = store.tail("orders", timeout=30)
    writer.start()
    found = [bytes(next(tail).body) for _ in range(100)]
    writer.join()
    assert found == [b"before", *(b"%d" % n for n in range(99))]
    assert (tail.offset, tail.topic, tail.queue_id) == (100, "orders", 0)


def test_a_tail_stops_in_time_and_goes_on(store: Store) -> None:
    tail = store.tail("orders", 2, timeout=0.05)
    assert list(tail) == []
    store.append("orders", b"x", queue_id=2)
    store.append("orders", b"other queue")
    settle(store)
    assert [bytes(message.body) for message in tail] == [b"x"]
    assert (tail.offset, repr(tail)) == (1, 'Tail("orders", 2, filter="*")')
    started = time.monotonic()
    assert tail.next_message(0.15) is None
    assert 0.14 <= time.monotonic() - started < 5


def test_a_tail_tells_where_to_go_on(store: Store) -> None:
    for number in range(80):
        store.append("orders", b"%d" % number)
    settle(store)
    with store.tail("orders", 0, 5) as tail:
        assert tail.offset == 5
        for number in range(5, 50):
            assert bytes(next(tail).body) == b"%d" % number
            assert tail.offset == number + 1
        offset = tail.offset
    tail.close()
    for use in (lambda: next(tail), lambda: tail.next_message(0), lambda: tail.offset):
        with pytest.raises(cairnlog.ClosedError):
            use()
    with store.tail("orders", 0, offset) as later:
        assert bytes(next(later).body) == b"50"


def test_a_filter_that_wants_little_does_not_stop_a_tail(open_store: OpenStore) -> None:
    store = open_store(segment_size_bytes="4M")
    for number in range(2500):
        store.append("orders", b"x", properties={"a": str(number)})
    settle(store)
    last = Filter.sql("a = 2499")
    # One read looks at 800 messages: the time counts only where the queue ends.
    with store.tail("orders", filter=last, timeout=0) as tail:
        assert [message.queue_offset for message in tail] == [2499]
        assert tail.offset == 2500
    assert list(store.tail("orders", filter="no-such-tag", timeout=0)) == []


def test_a_tail_begins_behind_the_end(store: Store) -> None:
    tail = store.tail("orders", 0, 3, timeout=0)
    for number in range(3):
        store.append("orders", b"%d" % number)
    settle(store)
    assert list(tail) == []
    store.append("orders", b"3")
    settle(store)
    assert [bytes(message.body) for message in tail] == [b"3"]


def test_no_tail_of_what_can_be_no_queue(store: Store) -> None:
    with pytest.raises(cairnlog.InvalidMessageError):
        store.tail("")
    with pytest.raises(cairnlog.InvalidMessageError):
        store.tail("orders", -1)
    with pytest.raises(OverflowError):
        store.tail("orders", 0, -1)


@pytest.mark.parametrize("round", range(5))
def test_closing_the_store_ends_endless_tails(open_store: OpenStore, round: int) -> None:
    """However close and reads meet, a tail ends with ClosedError."""
    store = open_store()
    ended: list[BaseException] = []

    def follow(offset: int) -> None:
        try:
            while True:
                for message in store.tail("orders", 0, offset, timeout=0):
                    assert len(message.body) == 100
        except BaseException as error:
            ended.append(error)

    threads = [threading.Thread(target=follow, args=(start,)) for start in (0, 0, 0, 10**6)]
    for _ in range(500):
        store.append("orders", bytes(100))
    for thread in threads:
        thread.start()
    time.sleep(0.05 + round / 50)
    store.close()
    for thread in threads:
        thread.join(10)
    assert [type(error) for error in ended] == [cairnlog.ClosedError] * 4, ended


def test_closing_a_tail_ends_its_wait(store: Store) -> None:
    tail = store.tail("orders")
    closer = threading.Timer(0.1, tail.close)
    closer.start()
    with pytest.raises(cairnlog.ClosedError, match="tail"):
        next(tail)
    closer.join()


def test_the_store_closed_with_messages_read_ahead(open_store: OpenStore, directory: Path) -> None:
    store = open_store()
    for _ in range(3):
        store.append("orders", b"x")
    settle(store)
    tail = store.tail("orders")
    next(tail)
    store.close()
    with pytest.raises(cairnlog.ClosedError):
        next(tail)
    tail.close()
    gc.collect()
    assert mapped_files(directory) == []


def test_threads_share_a_tail(store: Store) -> None:
    for number in range(400):
        store.append("orders", b"%d" % number)
    settle(store)
    tail = store.tail("orders")
    found: list[bytes] = []

    def take() -> None:
        with contextlib.suppress(cairnlog.ClosedError):
            for message in tail:
                found.append(bytes(message.body))

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(400, 800):
        store.append("orders", b"%d" % number)
    wait_until(lambda: len(found) == 800)
    tail.close()
    for thread in threads:
        thread.join()
    assert sorted(found, key=int) == [b"%d" % number for number in range(800)]


def test_the_place_can_be_asked_for_during_a_wait(store: Store) -> None:
    tail = store.tail("orders", 0, 7)
    waiter = threading.Thread(target=lambda: tail.next_message(1.0))
    waiter.start()
    time.sleep(0.05)
    started = time.monotonic()
    asked = 0
    while time.monotonic() - started < 0.5:
        assert tail.offset == 7
        asked += 1
    waiter.join()
    # With the place held through each slice of 100 ms there would be a handful.
    assert asked > 100


def test_a_tail_keeps_its_store_and_goes_with_it(directory: Path) -> None:
    store = cairnlog.Store.open(directory, segment_size_bytes="1M")
    store.append("orders", b"x")
    gone = weakref.ref(store)
    tail = store.tail("orders")
    del store
    gc.collect()
    assert bytes(next(tail).body) == b"x"
    assert gone() is not None
    del tail
    gc.collect()
    assert gone() is None
