"""A store that is only read, beside the process that writes it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import OpenStore, wait_until

import cairnlog
from cairnlog import ClosedError, OffsetError, ReadOutcome, StoreNotFoundError, StoreReader
from cairnlog.aio import AsyncStoreReader

# Appends to two queues in turn, from where an earlier one was killed, and says when it has begun.
WRITER = """
import itertools, sys, cairnlog
store = cairnlog.Store.open(sys.argv[1], segment_size_bytes=65536)
for count in itertools.count():
    for queue in range(2):
        index = store.next_queue_offset("t", queue)
        store.append("t", f"{queue} {index}".encode(), queue_id=queue, keys=[str(index)])
    if count == 0:
        print("begun", flush=True)
"""

# One message for each line it gets.
OBEDIENT = """
import sys, cairnlog
store = cairnlog.Store.open(sys.argv[1], segment_size_bytes=65536)
for line in sys.stdin:
    store.append("t", line.strip().encode(), queue_id=3)
    print("stored", flush=True)
"""


@contextmanager
def writer(directory: Path, program: str = WRITER) -> Iterator[subprocess.Popen[str]]:
    """A process that writes, killed at the end."""
    process = subprocess.Popen(
        [sys.executable, "-c", program, directory],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def busy_writer(directory: Path) -> Iterator[None]:
    with writer(directory) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        yield
        assert process.poll() is None


def tell(process: subprocess.Popen[str], text: str) -> None:
    assert process.stdin is not None and process.stdout is not None
    print(text, file=process.stdin, flush=True)
    assert process.stdout.readline() == "stored\n"


def listing(directory: Path) -> list[tuple[str, int, int, int]]:
    """Every file and directory with its size and times."""
    found = []
    for path in sorted([directory, *directory.rglob("*")]):
        stat = path.stat()
        found.append((str(path), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns))
    return found


def follow(tail: cairnlog.Tail, queue: int, *, least: int, to_end: bool = False) -> int:
    """Reads and checks messages; returns the index behind the last."""
    index = tail.offset
    end = index + least
    while index < end or to_end:
        message = tail.next_message(30 if index < end else 0.3)
        if message is None:
            assert to_end and index >= end
            break
        assert (message.queue_offset, bytes(message.body)) == (index, f"{queue} {index}".encode())
        index += 1
    return index


def test_it_follows_a_writer_that_is_killed(directory: Path) -> None:
    with busy_writer(directory):
        reader = cairnlog.Store.open_reader(directory, segment_size_bytes=65536)
        tails = [reader.tail("t", queue) for queue in range(2)]
        log = reader.tail_log(0)
        for queue, tail in enumerate(tails):
            follow(tail, queue, least=2000)
        assert [log.next_message(30) is not None for _ in range(4000)] == [True] * 4000
        # The units of a batch are written before its keys.
        wait_until(lambda: len(reader.query_key("t", "7")) == 2)
    before = listing(directory)
    ends = [follow(tail, queue, least=0, to_end=True) for queue, tail in enumerate(tails)]
    assert all(end >= 2000 for end in ends)
    assert (directory / "abort").exists()
    with reader.read("t", 1, ends[1] - 1) as batch:
        assert (len(batch), batch.next_offset, batch.max_offset) == (1, ends[1], ends[1])
    span = reader.queue_range("t", 1)
    assert span is not None and (span.first, span.next) == (0, ends[1])
    assert sum(1 for _ in reader.scan()) >= sum(ends)
    with reader.read_log(reader.max_offset) as rest:
        assert (rest.outcome, rest.max_offset) == (ReadOutcome.END_OF_LOG, reader.max_offset)
    assert (reader.topics(), reader.queues_of("t")) == (["t"], [0, 1])
    assert [message.queue_id for message in reader.query_key("t", "7")] == [0, 1]
    found = reader.find_by_message_id("t", reader.read_at(reader.min_offset).offset_message_id)
    assert found is not None and bytes(found.body) == b"0 0"
    assert reader.offset_at_time("t", 0, 0) == 0
    assert not reader.wait_message("t", 0, ends[0] + 1, 0.01)
    assert listing(directory) == before
    with busy_writer(directory):
        # The writer came again: the reader goes on.
        for queue, tail in enumerate(tails):
            assert follow(tail, queue, least=500) >= ends[queue] + 500
    assert listing(directory) != before
    reader.close()
    assert reader.closed


def test_nothing_is_written_while_the_writer_is_idle(open_store: OpenStore) -> None:
    # What the writer does by itself is done when nothing changes for so long that a thread that
    # waits for a processor would have come to it.
    store = open_store(
        flush_interval_ms=10,
        flush_consume_queue_interval_ms=10,
        flush_consumer_offset_interval_ms=3_600_000,
    )
    for index in range(100):
        store.append("t", str(index).encode(), keys=["k"])
    store.flush()
    assert store.wait_dispatched(store.max_offset, 30)
    directory = store.path
    before: list[tuple[str, int, int, int]] = []
    while (now := listing(directory)) != before:
        before = now
        time.sleep(1)
    with store.open_reader(directory) as reader:
        assert [bytes(message.body) for message in reader.tail("t", timeout=0.3)] == [
            str(index).encode() for index in range(100)
        ]
        assert len(reader.query_key("t", "k")) == 64
        assert repr(reader) == f'StoreReader("{directory}", open)'
    assert listing(directory) == before


def test_it_cannot_write(store: cairnlog.Store) -> None:
    store.append("t", b"one")
    with cairnlog.Store.open_reader(store.path) as reader:
        assert isinstance(reader, cairnlog.ReadableStore)
        assert isinstance(store, cairnlog.ReadableStore)
        for name in ("append", "flush", "begin_transaction", "remove_expired", "consumer"):
            assert hasattr(store, name)
            with pytest.raises(AttributeError, match=f"StoreReader.* no attribute .{name}."):
                getattr(reader, name)
        with pytest.raises(OffsetError):
            reader.read_at(1 << 40)
        assert (reader.path, reader.segment_size_bytes) == (store.path, store.segment_size_bytes)
    with pytest.raises(ClosedError):
        reader.read("t", 0, 0)
    with pytest.raises(ClosedError):
        reader.tail("t")
    with pytest.raises(ClosedError), reader:
        pass
    reader.close()


def test_where_there_is_nothing(directory: Path) -> None:
    with pytest.raises(StoreNotFoundError):
        cairnlog.Store.open_reader(directory)
    assert not directory.exists()
    with pytest.raises(TypeError):
        StoreReader()


def test_a_close_ends_a_wait(store: cairnlog.Store) -> None:
    store.append("t", b"one")
    reader = cairnlog.Store.open_reader(store.path)
    tail = reader.tail("t")
    assert tail.next_message(30) is not None

    async def main() -> None:
        waiting = asyncio.create_task(asyncio.to_thread(tail.next_message))
        await asyncio.sleep(0.05)
        await asyncio.to_thread(reader.close)
        with pytest.raises(ClosedError):
            await waiting

    asyncio.run(main())


def test_with_asyncio(directory: Path) -> None:
    async def main(process: subprocess.Popen[str]) -> None:
        await asyncio.to_thread(tell, process, "first")
        async with await AsyncStoreReader.open(directory) as reader:
            async with reader.tail("t", 3) as tail:
                first = await tail.next_message(30)
                coming = asyncio.create_task(tail.next_message(30))
                waiting = asyncio.create_task(reader.wait_message("t", 3, 1, 30))
                await asyncio.sleep(0.05)
                assert not coming.done() and not waiting.done()
                await asyncio.to_thread(tell, process, "second")
                second, came = await coming, await waiting
                process.kill()
                await asyncio.to_thread(process.wait)
                assert await tail.next_message(0.05) is None
            assert first is not None and second is not None and came
            assert [bytes(first.body), bytes(second.body)] == [b"first", b"second"]
            assert [bytes(message.body) async for message in reader.scan()] == [b"first", b"second"]
            async for message in reader.tail_log(reader.min_offset, timeout=0.05):
                assert message.topic == "t"
            with await reader.read("t", 3, 0) as batch:
                assert (len(batch), reader.max_offset > reader.min_offset) == (2, True)
        assert reader.closed
        with pytest.raises(ClosedError):
            await reader.topics()

    with writer(directory, OBEDIENT) as process:
        asyncio.run(main(process))
    assert os.path.exists(directory / "abort")
