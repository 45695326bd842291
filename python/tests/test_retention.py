"""Delayed messages, and old files that are removed."""

from __future__ import annotations

import time

import pytest
from conftest import OpenStore, wait_until

import cairnlog
from cairnlog import Message, ReadOutcome, Store


def bodies(store: Store, topic: str, queue_id: int = 0) -> list[bytes]:
    with store.read(topic, queue_id, 0) as batch:
        return [bytes(message.body) for message in batch]


def test_delayed_messages_come_to_their_queue(open_store: OpenStore) -> None:
    store = open_store(message_delay_level="0s 10d")
    store.append("orders", b"append", delay_level=1)
    store.append_many([Message("orders", b"many", delay_level=1)])
    store.queue("orders", 0).append(b"handle", delay_level=1)
    store.append_async("orders", b"future", delay_level=1).result(30)
    store.append("orders", b"much later", delay_level=99)
    assert store.wait_message("orders", 0, 3, 30)
    assert bodies(store, "orders") == [b"append", b"many", b"handle", b"future"]
    assert store.wait_message("SCHEDULE_TOPIC_XXXX", 1, 0, 30)
    assert bodies(store, "SCHEDULE_TOPIC_XXXX", 1) == [b"much later"]
    # A message is counted after it is there.
    wait_until(lambda: store.stats().delayed_delivered == 4)
    assert store.stats().delayed_undeliverable == 0
    with pytest.raises(OverflowError):
        store.append("orders", b"x", delay_level=-1)
    items = cairnlog.encode_batch([Message("orders", b"x")])
    with pytest.raises(cairnlog.InvalidMessageError):
        store.append_batch("orders", items, delay_level=1)


def test_a_delayed_message_comes_not_before_its_time(open_store: OpenStore) -> None:
    store = open_store(message_delay_level="1s")
    with store.consumer("billing", "orders", start_from="first") as consumer:
        placed = store.append("orders", b"x", delay_level=1)
        (delivery,) = consumer.poll(timeout=60)
        assert delivery.message.store_timestamp_ms - placed.store_timestamp_ms >= 990


def open_small(open_store: OpenStore, **options: object) -> Store:
    store = open_store(
        segment_size_bytes=64 * 1024, consume_queue_file_size_bytes=400, **options
    )
    for _ in range(200):
        store.append("orders", bytes(1000))
    store.flush()
    assert store.wait_dispatched(store.positions().max_offset, 30)
    return store


def test_files_in_front_of_an_offset_go(open_store: OpenStore) -> None:
    store = open_small(open_store)
    first = store.read_at(0)
    held = store.read("orders", 0, 0)
    assert store.remove_expired() == store.remove_before(0)
    removed = store.remove_before(2 * 64 * 1024)
    assert (removed.files, removed.bytes) == (2, 2 * 64 * 1024)
    assert repr(removed) == "RemovedFiles(files=2, bytes=131072)"
    assert store.positions().min_offset == 2 * 64 * 1024
    # What was read before stays.
    assert bytes(first.body) == bytes(1000) == bytes(held[0].body)
    held.close()
    with pytest.raises(cairnlog.OffsetError):
        store.read_at(0)
    kept = store.queue_range("orders", 0)
    assert kept is not None and 100 < kept.first < 200 == kept.next
    # What is gone is nothing that a group has left.
    store.commit_offset("billing", "orders", 0, 1)
    (progress,) = store.group_progress("billing")
    assert (progress.committed, progress.min_offset) == (1, kept.first)
    assert progress.lag == 200 - kept.first
    with store.read("orders", 0, 0) as batch:
        assert (batch.outcome, len(batch)) == (ReadOutcome.OFFSET_TOO_SMALL, 0)
        assert batch.next_offset == batch.min_offset == kept.first
    # A tail passes over what is gone.
    with store.tail("orders", timeout=0) as tail:
        assert [message.queue_offset for message in tail] == list(range(kept.first, 200))
    with pytest.raises(cairnlog.OffsetError):
        store.remove_before(store.positions().max_offset + 1)
    store.close()
    with pytest.raises(cairnlog.ClosedError):
        store.remove_expired()


def test_expired_files_go_under_a_reader(open_store: OpenStore) -> None:
    store = open_small(open_store, file_reserved_time_hours=0, max_total_bytes="64K")
    assert store.remove_expired().files == 3
    offset, outcomes = 0, set()
    end = time.monotonic() + 1
    while time.monotonic() < end:
        store.append("orders", bytes(1000))
        if offset % 7 == 0:
            store.flush()
            store.remove_expired()
        # Always a little behind: retention overtakes it.
        with store.read("orders", 0, max(0, offset - 120), max_messages=3) as batch:
            outcomes.add(batch.outcome)
            assert all(len(message.body) == 1000 for message in batch)
            offset = max(offset + 1, batch.next_offset)
    removing = {ReadOutcome.OFFSET_TOO_SMALL, ReadOutcome.MESSAGE_WAS_REMOVING}
    assert outcomes & removing
    assert outcomes <= removing | {
        ReadOutcome.FOUND,
        ReadOutcome.OFFSET_FOUND_NULL,
        ReadOutcome.OFFSET_OVERFLOW_ONE,
        ReadOutcome.OFFSET_OVERFLOW_BADLY,
    }
