"""Consumer groups: who gets what, what becomes of failures, and how polls end."""

from __future__ import annotations

import gc
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import OpenStore

import cairnlog
from cairnlog import Consumer, Delivery, Filter, Store

# Retried messages come back at once.
NO_DELAY = " ".join(["0s"] * 8)


def fill(store: Store, queues: int, numbers: range, topic: str = "orders") -> None:
    for number in numbers:
        store.append(topic, b"%d" % number, queue_id=number % queues)
    assert store.wait_dispatched(store.positions().max_offset, 30)


def number(delivery: Delivery) -> int:
    return int(bytes(delivery.message.body))


def take(consumer: Consumer, count: int) -> list[int]:
    """Polls until `count` messages came, and acknowledges them."""
    numbers: list[int] = []
    while len(numbers) < count:
        deliveries = consumer.poll(count - len(numbers), 30)
        assert deliveries, f"only {numbers} came"
        for delivery in deliveries:
            assert delivery.acknowledge()
            numbers.append(number(delivery))
    return numbers


def lag(store: Store, group: str) -> int:
    return sum(queue.lag for queue in store.group_progress(group))


def test_two_members_and_one_is_dropped(store: Store) -> None:
    fill(store, 4, range(40))
    one = store.consumer("billing", "orders", start_from="first")
    two = store.consumer("billing", ["orders"], start_from="first")
    assert one.assigned == [("orders", 0), ("orders", 1)]
    assert two.assigned == [("orders", 2), ("orders", 3)]
    seen = set(take(one, 20)) | set(take(two, 10))
    in_hand = two.poll(10, 30)
    lost = {number(delivery) for delivery in in_hand}
    assert lost and not lost & seen
    # Deliveries keep their consumer: only without them it is gone.
    del two
    gc.collect()
    assert len(one.assigned) == 2
    del in_hand
    gc.collect()
    assert len(one.assigned) == 4
    rest = set(take(one, 10))
    assert lost <= rest
    assert seen | rest == set(range(40))
    assert one.poll(timeout=0) == []


def test_progress_and_offsets_across_closing(open_store: OpenStore) -> None:
    store = open_store()
    fill(store, 1, range(10))
    with store.consumer("billing", "orders", start_from="first") as consumer:
        deliveries = consumer.poll(6, 30)
        assert [number(delivery) for delivery in deliveries] == list(range(6))
        for delivery in (*deliveries[:3], *deliveries[4:]):
            assert consumer.acknowledge(delivery)
            assert not consumer.acknowledge(delivery)
        consumer.commit()
        assert (consumer.group, repr(consumer)) == ("billing", 'Consumer("billing", open)')
        assert repr(deliveries[0]) == 'Delivery("orders", physical_offset=0, reconsume_times=0)'
    assert consumer.closed
    with pytest.raises(cairnlog.ClosedError, match="consumer"):
        deliveries[3].acknowledge()
    store.close()
    store = open_store()
    assert store.groups() == ["billing"]
    (progress,) = store.group_progress("billing")
    assert (progress.topic, progress.queue_id, progress.lag) == ("orders", 0, 7)
    assert (progress.committed, progress.min_offset, progress.max_offset) == (3, 0, 10)
    assert progress == store.group_progress("billing")[0]
    assert repr(progress) == (
        'GroupProgress("orders", 0, committed=3, min_offset=0, max_offset=10, lag=7)'
    )
    assert take(store.consumer("billing", "orders"), 7) == list(range(3, 10))
    assert lag(store, "billing") == 0


def test_offsets_of_programs_that_read_themselves(store: Store, directory: Path) -> None:
    fill(store, 3, range(15))
    assert store.consumer_offset("own", "orders", 2) is None
    store.commit_offset("own", "orders", 2, 3)
    store.persist_offsets()
    assert "orders@own" in (directory / "config" / "consumerOffset.json").read_text()
    assert store.consumer_offset("own", "orders", 2) == 3
    assert store.consumer_offset("own", "orders", 0) is None
    with pytest.raises(cairnlog.OffsetError):
        store.commit_offset("own", "orders", 2, 6)
    with pytest.raises(cairnlog.GroupError):
        store.commit_offset("no group", "orders", 0, 1)
    assert take(store.consumer("own", "orders"), 2) == [11, 14]


def test_what_is_committed_is_in_the_file(open_store: OpenStore, directory: Path) -> None:
    # Nobody else writes the offsets.
    store = open_store(flush_consumer_offset_interval_ms=3_600_000)
    file = directory / "config" / "consumerOffset.json"

    def written() -> str | None:
        text = file.read_text() if file.exists() else ""
        found = re.search(r'"orders@billing":\s*\{\s*"?0"?:\s*(\d+)', text)
        return found and found[1]

    fill(store, 1, range(5))
    with store.consumer("billing", "orders", start_from="first") as consumer:
        take(consumer, 3)
        assert written() is None
        consumer.commit()
        assert written() == "3"
        take(consumer, 1)
        assert written() == "3"


def test_where_a_group_begins(store: Store) -> None:
    fill(store, 1, range(3))
    time.sleep(0.02)
    middle = store.append("orders", b"3").store_timestamp_ms
    fill(store, 1, range(4, 6))
    last = store.consumer("last", "orders")
    assert last.poll(timeout=0) == []
    assert take(store.consumer("timed", "orders", start_from=middle), 3) == [3, 4, 5]
    fill(store, 1, range(6, 7))
    assert take(last, 1) == [6]
    assert last.seek("orders", 0, 5)
    assert not last.seek("orders", 1, 5)
    assert take(last, 2) == [5, 6]


def test_filters_of_topics(store: Store) -> None:
    for topic in ("orders", "returns", "others"):
        for tag in ("new", "old"):
            store.append(topic, tag.encode(), tag=tag, properties={"age": tag})
    assert store.wait_dispatched(store.positions().max_offset, 30)

    def came(topics: Any, **options: Any) -> set[tuple[str, bytes]]:
        name = f"group-{len(store.groups())}"
        with store.consumer(name, topics, start_from="first", timeout=0.2, **options) as consumer:
            return {(d.topic, bytes(d.message.body)) for d in consumer if d.acknowledge()}

    own = {"orders": Filter.sql("age = 'old'"), "returns": "new", "others": None}
    old, new = b"old", b"new"
    assert came("orders", filter="new") == {("orders", new)}
    assert came(["orders", "returns"], filter="old") == {("orders", old), ("returns", old)}
    both = {("orders", old), ("returns", new), ("others", new), ("others", old)}
    assert came(own) == both
    assert came(own, filter="new") == both - {("others", old)}


def test_failures_are_retried_and_end_in_the_dead_letter_topic(open_store: OpenStore) -> None:
    store = open_store(message_delay_level=NO_DELAY)
    placed = store.append("orders", b"7", tag="new", keys=["42"], properties={"shop": "north"})
    consumer = store.consumer("billing", "orders", start_from="first", max_reconsume_times=2)
    for attempt in range(3):
        (delivery,) = consumer.poll(timeout=30)
        assert (delivery.reconsume_times, delivery.topic) == (attempt, "orders")
        assert delivery.message.topic == ("%RETRY%billing" if attempt else "orders")
        message = delivery.message
        assert (bytes(message.body), message.tag, message.keys) == (b"7", "new", ["42"])
        assert message.property("shop") == "north"
        assert delivery.retry_later()
        assert not delivery.retry_later()
    assert consumer.poll(timeout=0.1) == []
    (dead,) = store.consumer("last", "%DLQ%billing", start_from="first").poll(timeout=30)
    assert dead.message.property("ORIGIN_MESSAGE_ID") == placed.offset_message_id
    assert lag(store, "billing") == 0


def test_an_orderly_queue_waits_for_its_message(store: Store) -> None:
    fill(store, 1, range(5))
    consumer = store.consumer(
        "billing",
        "orders",
        order="orderly",
        start_from="first",
        suspend_queue_ms=1,
        max_reconsume_times=1,
    )
    order: list[int] = []
    while order[-1:] != [4]:
        deliveries = consumer.poll(2, 30)
        assert consumer.poll(2, 0) == [], "the batch before is in hand"
        for delivery in deliveries:
            order.append(number(delivery))
            if order[-1] == 2:
                assert consumer.retry_later(delivery)
                break
            assert delivery.acknowledge()
    assert order == [0, 1, 2, 2, 3, 4]
    dead = store.consumer("last", "%DLQ%billing", start_from="first")
    assert take(dead, 1) == [2]


def test_an_orderly_queue_pauses_for_as_long_as_it_is_told(store: Store) -> None:
    fill(store, 1, range(1))
    consumer = store.consumer(
        "billing", "orders", order="orderly", start_from="first", suspend_queue_ms=3_600_000
    )
    (delivery,) = consumer.poll(timeout=30)
    assert delivery.retry_later()
    # Longer than it would pause unasked.
    assert consumer.poll(timeout=1.5) == []


def test_broadcasting(store: Store) -> None:
    fill(store, 3, range(9))
    join: Callable[[], Consumer] = lambda: store.consumer(
        "news", "orders", mode="broadcasting", start_from="first"
    )
    for member in (one := join(), join()):
        assert sorted(take(member, 9)) == list(range(9))
    assert store.groups() == []
    fill(store, 1, range(9, 10))
    assert one.poll(timeout=30)[0].retry_later()
    assert one.poll(timeout=0.05) == [], "it was dropped"


def test_what_is_in_hand_is_bounded_and_timed(store: Store) -> None:
    fill(store, 1, range(5))
    bounded = store.consumer("bounded", "orders", start_from="first", max_in_hand=3)
    assert [number(delivery) for delivery in bounded.poll(timeout=30)] == [0, 1, 2]
    assert bounded.poll(timeout=0) == []
    timed = store.consumer(
        "timed", "orders", start_from="first", max_in_hand=3, consume_timeout_ms=3000
    )
    late = timed.poll(timeout=30)
    # When their time is over they come again, and only those count.
    again = timed.poll(timeout=30)
    assert [number(delivery) for delivery in again] == [0, 1, 2]
    assert [delivery.acknowledge() for delivery in again] == [True] * 3
    assert [delivery.acknowledge() for delivery in late] == [False] * 3


def test_iteration_acknowledges_nothing(store: Store) -> None:
    fill(store, 1, range(3))
    with store.consumer("billing", "orders", start_from="first", timeout=0.1) as consumer:
        assert [number(delivery) for delivery in consumer] == [0, 1, 2]
        fill(store, 1, range(3, 4))
        assert [number(delivery) for delivery in consumer] == [3]
    assert lag(store, "billing") == 4


@pytest.mark.parametrize("what", ["consumer", "store"])
def test_closing_ends_a_poll(store: Store, what: str) -> None:
    consumer = store.consumer("billing", "orders")
    ended: list[BaseException] = []

    def wait() -> None:
        try:
            consumer.poll()
        except BaseException as error:
            ended.append(error)

    threads = [threading.Thread(target=wait) for _ in range(3)]
    for thread in threads:
        thread.start()
    time.sleep(0.15)
    started = time.monotonic()
    (consumer if what == "consumer" else store).close()
    for thread in threads:
        thread.join(10)
    assert time.monotonic() - started < 5
    assert [type(error) for error in ended] == [cairnlog.ClosedError] * 3
    assert all(what in str(error) for error in ended)
    assert consumer.closed
    for use in (consumer.poll, lambda: next(consumer), consumer.commit):
        with pytest.raises(cairnlog.ClosedError):
            use()
    consumer.close()


def test_wrong_use(store: Store) -> None:
    for group in ("", "a b", "x" * 256):
        with pytest.raises(cairnlog.GroupError) as refused:
            store.consumer(group, "orders")
        assert refused.value.status is cairnlog.Status.GROUP_ILLEGAL
    wrong: list[tuple[dict[str, Any], type[Exception]]] = [
        ({"topics": []}, cairnlog.InvalidArgumentError),
        ({"topics": "a/b"}, cairnlog.InvalidMessageError),
        ({"topics": {"a": "||"}}, cairnlog.FilterError),
        ({"topics": 7}, TypeError),
        ({"mode": "all"}, cairnlog.InvalidArgumentError),
        ({"order": "strict"}, cairnlog.InvalidArgumentError),
        ({"start_from": "middle"}, cairnlog.InvalidArgumentError),
        ({"start_from": 1.5}, TypeError),
        ({"max_in_hand": 0}, cairnlog.InvalidArgumentError),
        ({"max_in_hand": -1}, OverflowError),
        ({"colour": "red"}, TypeError),
        ({"timeout": -1}, ValueError),
    ]
    for options, error in wrong:
        with pytest.raises(error):
            store.consumer("billing", **{"topics": "orders", **options})
    with pytest.raises(cairnlog.InvalidArgumentError, match="at least 1"):
        store.consumer("billing", "orders").poll(0)


def test_other_threads_run_during_a_poll(store: Store) -> None:
    consumer = store.consumer("billing", "orders")
    waiter = threading.Thread(target=lambda: consumer.poll(timeout=0.5))
    waiter.start()
    counted = 0
    while waiter.is_alive():
        counted += 1
        assert consumer.assigned == []
    assert counted > 100
