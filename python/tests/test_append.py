"""Appending: what goes in comes out, in every form, and what is refused has its own status."""

from __future__ import annotations

import array
import collections
from typing import Any

import numpy
import pytest
from conftest import OpenStore

import cairnlog
from cairnlog import Message, Status, Store


def test_every_field_comes_back(store: Store) -> None:
    placed = store.append(
        "orders",
        b"20 pears",
        queue_id=3,
        tag="new",
        keys=["42", "43"],
        properties={"colour": "gr\u00fcn"},
        flag=-7,
        sys_flag=1,
        born_timestamp_ms=1_700_000_000_123,
        born_host=("10.1.2.3", 4567),
        reconsume_times=2,
        prepared_transaction_offset=99,
    )
    message = store.read_at(placed.physical_offset)
    assert bytes(message.body) == b"20 pears"
    assert (message.topic, message.queue_id, message.queue_offset) == ("orders", 3, 0)
    assert (message.tag, message.keys) == ("new", ["42", "43"])
    assert message.properties["colour"] == "gr\u00fcn"
    assert message.property("colour") == "gr\u00fcn"
    assert message.property("none") is None
    assert (message.flag, message.reconsume_times) == (-7, 2)
    assert message.sys_flag & 1 == 1
    assert message.prepared_transaction_offset == 99
    assert message.born_timestamp_ms == 1_700_000_000_123
    assert message.born_host == ("10.1.2.3", 4567)
    assert message.store_host == placed.store_host == ("127.0.0.1", 10911)
    assert message.store_timestamp_ms == placed.store_timestamp_ms
    assert message.offset_message_id == placed.offset_message_id
    assert (message.physical_offset, message.end_offset) == (0, placed.end_offset)
    assert message.size_bytes == placed.size_bytes == len(message.record)
    assert placed.message_count == 1
    assert "orders" in repr(message)
    assert "physical_offset=0" in repr(placed)


def test_ipv6_producers_are_stored(store: Store) -> None:
    placed = store.append("orders", b"x", born_host=("2001:db8::1", 9))
    assert store.read_at(placed.physical_offset).born_host == ("2001:db8::1", 9)
    with pytest.raises(cairnlog.InvalidArgumentError, match="IP address"):
        store.append("orders", b"x", born_host=("localhost", 9))


# Neither of bytes nor contiguous.
TABLE = numpy.arange(6, dtype=">i4").reshape(2, 3).T

BODIES: list[tuple[Any, bytes]] = [
    (b"\x00\x01\xff", b"\x00\x01\xff"),
    (bytearray(b"abc"), b"abc"),
    (memoryview(b"abcdef")[1:3], b"bc"),
    (memoryview(b"abcdef")[::2], b"ace"),
    (array.array("H", [1, 2]), array.array("H", [1, 2]).tobytes()),
    (numpy.arange(5, dtype=numpy.uint8), bytes(range(5))),
    (TABLE, TABLE.tobytes()),
]


@pytest.mark.parametrize(("body", "expected"), BODIES, ids=lambda value: type(value).__name__)
def test_any_buffer_is_a_body(store: Store, body: Any, expected: bytes) -> None:
    placed = store.append("orders", body)
    assert bytes(store.read_at(placed.physical_offset).body) == expected
    assert Message("orders", body).body == expected


def test_a_body_read_from_the_store_can_be_appended(store: Store) -> None:
    first = store.append("orders", b"again")
    second = store.append("copies", store.read_at(first.physical_offset).body)
    assert bytes(store.read_at(second.physical_offset).body) == b"again"


@pytest.mark.parametrize("body", ["text", None, 5, ["a"]])
def test_other_bodies_are_refused(store: Store, body: Any) -> None:
    with pytest.raises(TypeError):
        store.append("orders", body)
    assert store.positions().max_offset == 0


REFUSED: list[tuple[dict[str, Any], Status]] = [
    ({"topic": ""}, Status.TOPIC_EMPTY),
    ({"topic": "t" * 256}, Status.TOPIC_TOO_LONG),
    ({"topic": "a b"}, Status.TOPIC_ILLEGAL),
    ({"body": b""}, Status.BODY_EMPTY),
    ({"body": bytes(70_000)}, Status.BODY_TOO_LARGE),
    ({"properties": {"p": "v" * 33_000}}, Status.PROPERTIES_TOO_LARGE),
    ({"properties": {"a\x01b": "v"}}, Status.PROPERTIES_ILLEGAL),
    ({"queue_id": -1}, Status.QUEUE_ID_ILLEGAL),
]


@pytest.mark.parametrize(("arguments", "status"), REFUSED, ids=lambda value: str(value)[:30])
def test_each_refusal_has_its_status(
    open_store: OpenStore, arguments: dict[str, Any], status: Status
) -> None:
    store = open_store(max_message_size_bytes=65536)
    whole = {"topic": "orders", "body": b"x"} | arguments
    with pytest.raises(cairnlog.InvalidMessageError) as caught:
        store.append(**whole)
    assert caught.value.status is status
    with pytest.raises(cairnlog.InvalidMessageError) as caught:
        store.append_async(**whole)
    assert caught.value.status is status
    assert store.positions().max_offset == 0


def test_keyword_arguments_are_checked(store: Store) -> None:
    with pytest.raises(TypeError, match="colour"):
        store.append("orders", b"x", colour="red")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="list of str"):
        store.append("orders", b"x", keys="42")
    with pytest.raises(TypeError):
        store.append("orders", b"x", properties={"a": 1})  # type: ignore[dict-item]
    with pytest.raises(TypeError):
        store.append("orders", b"x", properties=["a"])  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        Store()


def test_properties_are_any_mapping_and_keys_any_iterable(store: Store) -> None:
    properties = collections.ChainMap({"a": "1"}, {"b": "2"})
    placed = store.append("orders", b"x", properties=properties, keys=iter(("k", "l")))
    message = store.read_at(placed.physical_offset)
    assert {"a": "1", "b": "2"}.items() <= message.properties.items()
    assert message.keys == ["k", "l"]


def test_queue_offsets_count_per_queue(store: Store) -> None:
    offsets = [store.append("orders", b"x", queue_id=n % 2).queue_offset for n in range(6)]
    assert offsets == [0, 0, 1, 1, 2, 2]
    assert store.next_queue_offset("orders", 0) == 3
    assert store.next_queue_offset("orders", 7) == 0


def test_many_are_appended_in_order(store: Store) -> None:
    messages = [Message("orders", f"{n}".encode(), queue_id=n % 3) for n in range(100)]
    placed = store.append_many(iter(messages))
    assert [bytes(message.body) for message in store.scan()] == [m.body for m in messages]
    assert [p.queue_offset for p in placed[:6]] == [0, 0, 0, 1, 1, 1]
    assert placed[1].physical_offset == placed[0].end_offset
    assert store.append_many([]) == []
    with pytest.raises(TypeError):
        store.append_many([b"no message"])  # type: ignore[list-item]


def test_many_stop_at_the_first_refusal_and_tell_what_was_stored(open_store: OpenStore) -> None:
    store = open_store(flush_mode="sync")
    messages = [Message("orders", body) for body in (b"a", b"b", b"", b"c")]
    with pytest.raises(cairnlog.InvalidMessageError) as caught:
        store.append_many(messages)
    assert caught.value.status is Status.BODY_EMPTY
    assert [bytes(store.read_at(p.physical_offset).body) for p in caught.value.results] == [
        b"a",
        b"b",
    ]
    assert len(list(store.scan())) == 2


def test_a_batch_becomes_consecutive_records(store: Store) -> None:
    items = cairnlog.encode_batch(
        Message("ignored", body, tag="t", keys=["k"], properties={"p": "v"}, flag=5)
        for body in (b"a", b"b", b"c")
    )
    placed = store.append_batch("orders", items, queue_id=2)
    assert placed.message_count == 3
    found = list(store.scan())
    assert [bytes(message.body) for message in found] == [b"a", b"b", b"c"]
    assert [message.queue_offset for message in found] == [0, 1, 2]
    assert all(message.tag == "t" and message.keys == ["k"] for message in found)
    assert all(message.property("p") == "v" and message.flag == 5 for message in found)


def test_an_inner_batch_becomes_one_record(store: Store) -> None:
    items = cairnlog.encode_batch(Message("ignored", body) for body in (b"a", b"b"))
    placed = store.append_inner_batch("orders", items)
    (found,) = store.scan()
    assert bytes(found.body) == items
    assert found.property("INNER_NUM") == "2"
    assert store.next_queue_offset("orders", 0) == placed.queue_offset + 2


def test_malformed_batches_are_refused(store: Store) -> None:
    items = cairnlog.encode_batch([Message("ignored", b"a")])
    for append in (store.append_batch, store.append_inner_batch):
        with pytest.raises(cairnlog.InvalidMessageError) as caught:
            append("orders", items[:-1])
        assert caught.value.status is Status.BATCH_ILLEGAL
    with pytest.raises(cairnlog.InvalidMessageError) as caught:
        cairnlog.encode_batch([Message("ignored", b"a", properties={"p": ""})])
    assert caught.value.status is Status.PROPERTIES_ILLEGAL


def test_a_prepared_queue_appends(store: Store) -> None:
    queue = store.queue("orders", 4)
    assert (queue.topic, queue.queue_id) == ("orders", 4)
    placed = [queue.append(b"x", tag="t"), queue.append_async(bytearray(b"y")).result(10)]
    assert [p.queue_offset for p in placed] == [0, 1]
    assert [(m.topic, m.queue_id, bytes(m.body)) for m in store.scan()] == [
        ("orders", 4, b"x"),
        ("orders", 4, b"y"),
    ]
    with pytest.raises(cairnlog.InvalidMessageError):
        store.queue("a b", 0)
    with pytest.raises(cairnlog.InvalidMessageError):
        store.queue("orders", -1)


def test_sync_appends_are_durable_unless_they_do_not_wait(open_store: OpenStore) -> None:
    store = open_store(flush_mode="sync")
    placed = store.append("orders", b"x")
    assert store.positions().durable_offset >= placed.end_offset
    late = store.append("orders", b"y", wait_store_ok=False)
    store.wait_durable(late.end_offset, 10)
    assert store.positions().durable_offset >= late.end_offset


def test_flush_makes_everything_durable(open_store: OpenStore) -> None:
    store = open_store(flush_interval_ms=60_000)
    placed = store.append("orders", b"x")
    store.flush()
    positions = store.positions()
    assert positions.durable_offset == positions.max_offset == placed.end_offset
    assert positions.min_offset == 0
    assert positions.committed_offset == placed.end_offset


def test_a_wait_that_runs_out_has_its_own_error(store: Store) -> None:
    failures: list[cairnlog.WaitTimeoutError] = []
    for _ in range(200):
        placed = store.append("orders", bytes(100_000))
        try:
            store.wait_durable(placed.end_offset, 0)
        except cairnlog.WaitTimeoutError as error:
            failures.append(error)
            break
    (failure,) = failures
    assert failure.status is Status.WAIT_TIMEOUT
    assert isinstance(failure, TimeoutError)
    store.wait_durable(placed.end_offset, 30)
    assert store.positions().durable_offset >= placed.end_offset


def test_a_sync_that_is_late_tells_where_the_record_lies(open_store: OpenStore) -> None:
    store = open_store(flush_mode="sync", sync_flush_timeout_ms=1, segment_size_bytes="64M")
    failures: list[cairnlog.FlushTimeoutError] = []
    for _ in range(200):
        try:
            store.append("orders", bytes(4_000_000))
        except cairnlog.FlushTimeoutError as error:
            failures.append(error)
            break
    (failure,) = failures
    assert failure.status is Status.FLUSH_TIMEOUT
    assert failure.appended is not None
    assert len(store.read_at(failure.appended.physical_offset).body) == 4_000_000


def test_a_wait_beyond_the_log_is_refused(store: Store) -> None:
    with pytest.raises(cairnlog.OffsetError):
        store.wait_durable(1 << 40, 5)
    for nonsense in (-1.0, float("nan")):
        with pytest.raises(ValueError, match="seconds"):
            store.wait_durable(0, nonsense)


def test_statistics_count_messages_and_bytes(store: Store) -> None:
    placed = [store.append(topic, b"x") for topic in ("a", "a", "b")]
    with pytest.raises(cairnlog.Error):
        store.append("a", b"")
    stats = store.stats()
    assert stats.messages == 3
    assert stats.bytes == sum(p.size_bytes for p in placed)
    assert stats.topics["a"].messages == 2
    assert stats.topics["b"].bytes == placed[2].size_bytes
    assert stats.refused == 1
    assert sum(stats.append_latency_counts) == stats.messages + stats.refused
