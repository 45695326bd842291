"""What is read: read-only memoryviews that copy nothing and keep their file mapped."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from pathlib import Path

import numpy
import pytest
from conftest import MAPS, OpenStore, mapped_files

import cairnlog
from cairnlog import Store


def test_a_body_is_a_readonly_memoryview(store: Store) -> None:
    placed = store.append("orders", b"20 pears")
    body = store.read_at(placed.physical_offset).body
    assert isinstance(body, memoryview)
    assert (body.readonly, body.format, body.itemsize, body.contiguous) == (True, "B", 1, True)
    with pytest.raises(TypeError):
        body[0] = 0
    assert not numpy.frombuffer(body, dtype=numpy.uint8).flags.writeable
    assert isinstance(body.obj, cairnlog.MappedBytes)
    assert len(body.obj) == 8


def test_two_reads_show_the_same_memory(store: Store) -> None:
    placed = store.append("orders", b"20 pears")
    addresses = {
        numpy.frombuffer(store.read_at(placed.physical_offset).body, dtype=numpy.uint8).ctypes.data
        for _ in range(2)
    }
    assert len(addresses) == 1


def test_a_slice_outlives_message_batch_and_store(open_store: OpenStore, directory: Path) -> None:
    store = open_store()
    store.append("orders", b"20 pears")
    with store.read_log(0) as batch:
        piece = batch[0].body[3:]
    store.close()
    del batch, store
    gc.collect()
    assert bytes(piece) == b"pears"
    assert bool(mapped_files(directory)) == MAPS.exists()
    piece.release()
    gc.collect()
    assert mapped_files(directory) == []


def test_messages_stay_readable_after_close(open_store: OpenStore) -> None:
    store = open_store()
    store.append("orders", b"20 pears", tag="new")
    message = store.read_at(0)
    store.close()
    assert (bytes(message.body), message.tag, message.topic) == (b"20 pears", "new", "orders")


def test_a_batch_is_a_sequence(store: Store) -> None:
    placed = [store.append("orders", f"{n}".encode()) for n in range(5)]
    batch = store.read_log(0, max_messages=4)
    assert isinstance(batch, Sequence)
    assert len(batch) == 4
    assert [bytes(m.body) for m in batch] == [b"0", b"1", b"2", b"3"]
    assert [bytes(m.body) for m in batch[1:3]] == [b"1", b"2"]
    assert bytes(batch[-1].body) == b"3"
    assert batch[0] in batch
    assert (batch.index(batch[2]), batch.count(batch[2])) == (2, 1)
    assert [bytes(m.body) for m in reversed(batch)] == [b"3", b"2", b"1", b"0"]
    assert batch.next_offset == placed[4].physical_offset
    for outside in (4, -5, 1 << 70):
        with pytest.raises(IndexError):
            batch[outside]
    with pytest.raises(TypeError):
        batch["0"]  # type: ignore[call-overload]
    assert len(store.read_log(batch.next_offset)) == 1
    assert len(store.read_log(store.positions().max_offset)) == 0


def test_a_batch_is_limited_in_bytes_beyond_the_first(store: Store) -> None:
    for _ in range(3):
        store.append("orders", bytes(1000))
    assert len(store.read_log(0, max_bytes=1)) == 1
    assert len(store.read_log(0, max_bytes=2500)) == 2


def test_a_closed_batch_raises(store: Store) -> None:
    store.append("orders", b"x")
    with store.read_log(0) as batch:
        assert not batch.closed
    batch.close()
    assert batch.closed
    for use in (lambda: len(batch), lambda: batch[0], lambda: list(batch), lambda: batch[0:1]):
        with pytest.raises(cairnlog.ClosedError):
            use()


def test_messages_compare_by_their_record(store: Store) -> None:
    first, second = (store.append("orders", b"x") for _ in range(2))
    message = store.read_at(first.physical_offset)
    assert message == store.read_at(first.physical_offset)
    assert hash(message) == hash(store.read_at(first.physical_offset))
    assert message != store.read_at(second.physical_offset)
    assert message != "x"
    assert first != second


def test_no_record_there_is_an_offset_error(store: Store) -> None:
    placed = store.append("orders", b"20 pears")
    with pytest.raises(cairnlog.OffsetError) as caught:
        store.read_at(placed.physical_offset + 4)
    assert caught.value.status is cairnlog.Status.NOT_A_RECORD
    with pytest.raises(cairnlog.OffsetError) as caught:
        store.read_at(placed.end_offset)
    assert caught.value.status is cairnlog.Status.OFFSET_OUT_OF_RANGE
    with pytest.raises(OverflowError):
        store.read_at(-1)
