"""Reading by queue, time and key: outcomes, filters, batches."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from conftest import MAPS, OpenStore, mapped_files

import cairnlog
from cairnlog import Batch, Filter, MessageView, QueueRange, ReadOutcome, Status, Store


def bodies(messages: Sequence[MessageView]) -> list[str]:
    return [bytes(message.body).decode() for message in messages]


def settle(store: Store) -> None:
    store.flush()
    assert store.wait_dispatched(store.positions().max_offset, 30)


def fill(store: Store, count: int, **fields: Any) -> None:
    """Appends messages 0, 1 and so on to queue 0 of orders."""
    for number in range(count):
        store.append("orders", str(number).encode(), **fields)
    settle(store)


def ended(batch: Batch) -> tuple[ReadOutcome, int, int]:
    return batch.outcome, len(batch), batch.next_offset


def test_a_batch_says_what_came_of_the_read(open_store: OpenStore) -> None:
    # Ten units to a file of a queue.
    store = open_store(consume_queue_file_size_bytes=200)
    fill(store, 25)
    outcomes = {
        0: (ReadOutcome.FOUND, 10, 10),
        24: (ReadOutcome.FOUND, 1, 25),
        25: (ReadOutcome.OFFSET_OVERFLOW_ONE, 0, 25),
        26: (ReadOutcome.OFFSET_OVERFLOW_BADLY, 0, 25),
        (1 << 63) - 1: (ReadOutcome.OFFSET_OVERFLOW_BADLY, 0, 25),
        -1: (ReadOutcome.OFFSET_TOO_SMALL, 0, 0),
    }
    for offset, expected in outcomes.items():
        assert ended(store.read("orders", 0, offset)) == expected
    with store.read("orders", 0, 3, max_messages=4) as batch:
        assert bodies(batch) == ["3", "4", "5", "6"]
        assert (batch.next_offset, batch.min_offset, batch.max_offset) == (7, 0, 25)
        assert isinstance(batch.outcome, ReadOutcome)
    assert ended(store.read("orders", 1, 0)) == (ReadOutcome.NO_MATCHED_LOGIC_QUEUE, 0, 0)
    nothing = store.read("orders", 0, 0, filter="no-such-tag")
    assert ended(nothing) == (ReadOutcome.NO_MATCHED_MESSAGE, 0, 10)
    assert repr(nothing) == "Batch(<0 messages>, NO_MATCHED_MESSAGE, next_offset=10)"
    with pytest.raises(OverflowError):
        store.read("orders", 0, 1 << 63)


def test_a_queue_file_that_is_gone_is_passed_over(open_store: OpenStore, directory: Path) -> None:
    store = open_store(consume_queue_file_size_bytes=200, max_open_queue_files=1)
    fill(store, 40)
    assert store.read("orders", 0, 39).outcome is ReadOutcome.FOUND
    files = sorted((directory / "consumequeue" / "orders" / "0").iterdir())
    away = directory / "away"
    files[1].rename(away)
    assert ended(store.read("orders", 0, 13)) == (ReadOutcome.OFFSET_FOUND_NULL, 0, 20)
    with store.tail("orders", 0, 8, timeout=0.1) as tail:
        assert [message.queue_offset for message in tail] == [8, 9, *range(20, 40)]
    # Closing makes every file of the queue durable.
    away.rename(files[1])


def test_a_log_that_lost_its_begin(open_store: OpenStore, directory: Path) -> None:
    with open_store(segment_size_bytes=65536) as store:
        for number in range(60):
            store.append("orders", str(number).encode().ljust(3000))
    min(path for path in (directory / "commitlog").iterdir()).unlink()
    store = open_store()
    known = store.queue_range("orders", 0)
    assert known is not None
    assert (0 < known.first < 60, known.next) == (True, 60)
    assert ended(store.read("orders", 0, 0)) == (ReadOutcome.OFFSET_TOO_SMALL, 0, known.first)
    tail = store.tail("orders", timeout=0)
    assert [message.queue_offset for message in tail] == list(range(known.first, 60))


def test_limits_of_messages_and_bytes(store: Store) -> None:
    fill(store, 40)
    size = store.read_at(0).size_bytes
    assert len(store.read("orders", 0, 0)) == 32
    assert len(store.read("orders", 0, 0, max_messages=40)) == 40
    for max_bytes, messages in ((0, 1), (2 * size - 1, 1), (2 * size, 2)):
        assert len(store.read("orders", 0, 0, max_bytes=max_bytes)) == messages
    with pytest.raises(OverflowError):
        store.read("orders", 0, 0, max_messages=-1)
    with pytest.raises(OverflowError):
        store.read("orders", 0, 0, max_bytes=-1)


def test_batches_of_log_and_queue_are_one_class(store: Store) -> None:
    fill(store, 3)
    of_queue, of_log = store.read("orders", 0, 1), store.read_log(0)
    assert type(of_queue) is type(of_log) is Batch
    assert isinstance(of_queue, Sequence)
    assert of_queue[0] == of_log[1]
    assert of_log.outcome is ReadOutcome.FOUND
    end = store.positions().max_offset
    assert (of_log.min_offset, of_log.max_offset, of_log.next_offset) == (0, end, end)
    assert ended(store.read_log(end)) == (ReadOutcome.END_OF_LOG, 0, end)


def test_views_outlive_batch_and_store(open_store: OpenStore, directory: Path) -> None:
    store = open_store()
    fill(store, 3)
    with store.read("orders", 0, 0) as batch:
        body = batch[1].body
        message = batch[2]
    with pytest.raises(cairnlog.ClosedError):
        len(batch)
    store.close()
    del store, batch
    gc.collect()
    assert (bytes(body), bytes(message.body), message.queue_offset) == (b"1", b"2", 2)
    assert bool(mapped_files(directory)) == MAPS.exists()
    del message
    body.release()
    gc.collect()
    assert mapped_files(directory) == []


def test_a_text_is_a_tag_expression(store: Store) -> None:
    for number in range(9):
        tag = ("red", "green", None)[number % 3]
        store.append("orders", str(number).encode(), tag=tag)
    settle(store)
    expected: dict[str | Filter | None, list[str]] = {
        "red": ["0", "3", "6"],
        "red || green": ["0", "1", "3", "4", "6", "7"],
        "blue": [],
        "*": [str(number) for number in range(9)],
        "": [str(number) for number in range(9)],
        None: [str(number) for number in range(9)],
        Filter.all(): [str(number) for number in range(9)],
        Filter.tags("green||blue"): ["1", "4", "7"],
        Filter.sql("TAGS IS NULL"): ["2", "5", "8"],
    }
    for wanted, found in expected.items():
        assert bodies(store.read("orders", 0, 0, filter=wanted)) == found, wanted
    with pytest.raises(TypeError):
        store.read("orders", 0, 0, filter=5)  # type: ignore[arg-type]


def test_tags_of_equal_hashes_are_told_apart(store: Store) -> None:
    for tag in ("Aa", "BB", "Aa"):
        store.append("orders", tag.encode(), tag=tag)
    settle(store)
    assert bodies(store.read("orders", 0, 0, filter="BB")) == ["BB"]


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        ("a > 5", ["6", "7", "8", "9"]),
        ("a BETWEEN 2 AND 4", ["2", "3", "4"]),
        ("a >= 8 OR region = 'x'", ["0", "3", "6", "8", "9"]),
        ("region IN ('x', 'z') AND a > 3", ["5", "6", "8", "9"]),
        ("a IS NULL", ["10"]),
        ("region CONTAINS 'y'", ["1", "4", "7", "10"]),
        ("NOT (a < 9)", ["9"]),
        ("nothing = 1", []),
    ],
)
def test_conditions_on_properties(store: Store, condition: str, found: list[str]) -> None:
    for number in range(11):
        properties = {"region": "xyz"[number % 3]}
        if number < 10:
            properties["a"] = str(number)
        store.append("orders", str(number).encode(), properties=properties)
    settle(store)
    wanted = Filter.sql(condition)
    assert bodies(store.read("orders", 0, 0, filter=wanted)) == found
    assert [str(n) for n, m in enumerate(store.scan()) if wanted.matches(m)] == found


def test_a_filter_tells_its_expression(store: Store) -> None:
    assert str(Filter.sql("a > 5")) == "a > 5"
    assert repr(Filter.tags("a || b")) == 'Filter("a || b")'
    assert (str(Filter.all()), Filter.all().is_all, Filter.tags("*").is_all) == ("*", True, True)
    assert not Filter.tags("a").is_all


def test_a_malformed_filter_is_refused(store: Store) -> None:
    def read(expression: str) -> object:
        return store.read("orders", 0, 0, filter=expression)

    def tail(expression: str) -> object:
        return store.tail("orders", filter=expression)

    uses: list[Callable[[str], object]] = [Filter.tags, read, tail]
    for use in uses:
        for wrong in ("||", " || ", "a" * 70_000):
            with pytest.raises(cairnlog.FilterError) as caught:
                use(wrong)
            assert caught.value.status is Status.FILTER_ILLEGAL
    for wrong in ("price >", "", "a = 1 b", "a BETWEEN 5 AND 1"):
        with pytest.raises(cairnlog.FilterError) as caught:
            Filter.sql(wrong)
        assert isinstance(caught.value, ValueError)
    with pytest.raises(cairnlog.FilterError) as caught:
        Filter.sql("price > 5 AND > 3")
    assert caught.value.offset == len("price > 5 AND ")


def test_topics_queues_and_ranges(store: Store) -> None:
    assert store.topics() == []
    for queue_id in (3, 0, 3):
        store.append("orders", b"x", queue_id=queue_id)
    store.append("bills", b"x")
    settle(store)
    assert store.topics() == ["bills", "orders"]
    assert (store.queues_of("orders"), store.queues_of("letters")) == ([0, 3], [])
    found = store.queue_range("orders", 3)
    assert found is not None
    assert (found.first, found.next, repr(found)) == (0, 2, "QueueRange(first=0, next=2)")
    assert found == store.queue_range("orders", 3) != store.queue_range("orders", 0)
    assert hash(found) == hash(store.queue_range("orders", 3))
    assert isinstance(found, QueueRange)
    assert store.queue_range("orders", 1) is None


def test_messages_around_a_time(store: Store) -> None:
    times = []
    for _ in range(4):
        times.append(store.append("orders", b"x", queue_id=1).store_timestamp_ms)
        time.sleep(0.01)
    settle(store)

    def upper(ms: int) -> int | None:
        return store.offset_at_time("orders", 1, ms, boundary="upper")

    for index, ms in enumerate(times):
        assert store.offset_at_time("orders", 1, ms) == index
        assert store.offset_at_time("orders", 1, ms + 1, boundary="lower") == index + 1
        assert upper(ms) == upper(ms + 1) == index
    assert (store.offset_at_time("orders", 1, 0), upper(0)) == (0, 0)
    assert store.offset_at_time("letters", 0, 0) is None
    assert store.offset_at_time("orders", 0, 0) is None
    with pytest.raises(cairnlog.InvalidArgumentError, match="middle"):
        store.offset_at_time("orders", 1, 0, boundary="middle")  # type: ignore[arg-type]


def test_messages_by_key_and_time(store: Store) -> None:
    placed = [
        store.append("orders", str(n).encode(), keys=["all", f"no-{n}"], queue_id=n % 2)
        for n in range(5)
    ]
    store.append("bills", b"x", keys=["all"])
    settle(store)
    assert bodies(store.query_key("orders", "all")) == ["0", "1", "2", "3", "4"]
    assert bodies(store.query_key("orders", "all", max_messages=2)) == ["3", "4"]
    assert bodies(store.query_key("orders", "no-3")) == ["3"]
    assert store.query_key("orders", "no-7") == []
    first, last = placed[0].store_timestamp_ms, placed[-1].store_timestamp_ms
    assert len(store.query_key("orders", "all", begin_ms=first, end_ms=last)) == 5
    assert store.query_key("orders", "all", begin_ms=last + 2000) == []
    assert store.query_key("orders", "all", end_ms=first - 2000) == []


def test_messages_by_id(store: Store) -> None:
    placed = store.append("orders", b"x")
    unique = store.append("orders", b"y", properties={"UNIQ_KEY": "7F00000100002A9F"})
    settle(store)
    by_offset = store.find_by_message_id("orders", placed.offset_message_id)
    assert by_offset == store.read_at(placed.physical_offset)
    by_key = store.find_by_message_id("orders", "7F00000100002A9F")
    assert by_key == store.read_at(unique.physical_offset)
    assert store.find_by_message_id("bills", placed.offset_message_id) is None
    assert store.find_by_message_id("orders", "nothing") is None


def test_waits_say_whether_something_came(store: Store) -> None:
    started = time.monotonic()
    assert not store.wait_message("orders", 0, 0, 0.15)
    assert not store.wait_dispatched(1, 0.15)
    assert 0.29 <= time.monotonic() - started < 10
    placed = store.append("orders", b"x")
    assert store.wait_message("orders", 0, 0, 30)
    assert store.wait_dispatched(placed.end_offset)
    assert store.dispatched_offset == placed.end_offset
    assert store.dispatch_error is None
    assert not store.wait_message("orders", 0, 1, 0)
    with pytest.raises(cairnlog.InvalidMessageError):
        store.wait_message("", 0, 0, 0)
    with pytest.raises(cairnlog.InvalidArgumentError):
        store.wait_message("orders", 0, (1 << 64) - 1, 0)
    with pytest.raises(ValueError, match="timeout"):
        store.wait_message("orders", 0, 0, -1)


def test_a_synchronous_store_shows_what_is_durable(open_store: OpenStore) -> None:
    store = open_store(flush_mode="sync", read_uncommitted=False)
    placed = store.append("orders", b"x")
    assert store.wait_message("orders", 0, 0, 30)
    assert store.positions().durable_offset >= placed.end_offset


def test_a_store_without_queues_or_index(open_store: OpenStore, directory: Path) -> None:
    store = open_store(consume_queue_enable=False)
    store.append("orders", b"x", keys=["42"])
    for use in (
        lambda: store.read("orders", 0, 0),
        lambda: store.tail("orders"),
        lambda: store.topics(),
        lambda: store.query_key("orders", "42"),
    ):
        with pytest.raises(cairnlog.InvalidArgumentError):
            use()
    assert [bytes(message.body) for message in store.scan()] == [b"x"]
    store.close()
    assert not (directory / "consumequeue").exists()
    other = open_store(directory.parent / "other", message_index_enable=False)
    fill(other, 1, keys=["42"])
    assert len(other.read("orders", 0, 0)) == 1
    with pytest.raises(cairnlog.InvalidArgumentError, match="index"):
        other.query_key("orders", "42")
