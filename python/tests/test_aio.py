"""The store for asyncio."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

import cairnlog
from cairnlog import Message
from cairnlog.aio import AsyncStore

Work = Callable[[AsyncStore], Awaitable[None]]


def run(directory: Path, work: Work, **options: Any) -> None:
    """Runs a coroutine with an open store."""

    async def main() -> None:
        options.setdefault("flush_mode", "sync")
        async with await AsyncStore.open(directory, segment_size_bytes="1M", **options) as store:
            await work(store)
        assert store.closed

    asyncio.run(main())


def test_awaiting_an_append_awaits_durability(directory: Path) -> None:
    async def work(store: AsyncStore) -> None:
        placed = await store.append("orders", b"20 pears", tag="new", flag=3)
        assert store.positions().durable_offset >= placed.end_offset
        message = await store.read_at(placed.physical_offset)
        assert (bytes(message.body), message.tag, message.flag) == (b"20 pears", "new", 3)
        assert store.next_queue_offset("orders", 0) == 1
        assert store.stats().messages == 1
        assert not store.closed

    run(directory, work)


def test_a_group_wakes_the_loop_once(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(store: AsyncStore) -> None:
        loop = asyncio.get_running_loop()
        wake_ups: list[int] = []
        original = loop.call_soon_threadsafe

        def counted(callback: Any, *arguments: Any, **keywords: Any) -> asyncio.Handle:
            wake_ups.append(len(arguments[1]))
            return original(callback, *arguments, **keywords)

        monkeypatch.setattr(loop, "call_soon_threadsafe", counted)
        placed = await asyncio.gather(*[store.append("orders", b"x") for _ in range(2000)])
        monkeypatch.undo()
        assert [p.queue_offset for p in placed] == list(range(2000))
        assert sum(wake_ups) == 2000
        assert len(wake_ups) <= store.stats().syncs + 1
        assert len(wake_ups) < 1000

    run(directory, work)


def test_refusals_are_raised_at_the_call(directory: Path) -> None:
    async def work(store: AsyncStore) -> None:
        with pytest.raises(cairnlog.InvalidMessageError):
            store.append("orders", b"")
        assert store._waiting == {}
        with pytest.raises(cairnlog.OffsetError):
            await store.read_at(1 << 40)

    run(directory, work)


def test_many_messages_and_batches_of_reads(directory: Path) -> None:
    async def work(store: AsyncStore) -> None:
        placed = await store.append_many(Message("orders", b"%d" % n) for n in range(10))
        assert [p.queue_offset for p in placed] == list(range(10))
        with await store.read_log(0, max_messages=4) as batch:
            assert [bytes(m.body) for m in batch] == [b"0", b"1", b"2", b"3"]
        assert [bytes(m.body) async for m in store.scan(placed[8].physical_offset)] == [b"8", b"9"]
        with pytest.raises(cairnlog.InvalidMessageError):
            await store.append_many([Message("orders", b"10"), Message("orders", b"")])
        assert store.next_queue_offset("orders", 0) == 11

    run(directory, work)


def test_a_tail_follows_and_runs_out(directory: Path) -> None:
    async def work(store: AsyncStore) -> None:
        async def write() -> None:
            for n in range(20):
                await store.append("orders", b"%d" % n)

        writer = asyncio.create_task(write())
        found = [bytes(message.body) async for message in store.tail(0, timeout=0.5)]
        await writer
        assert found == [b"%d" % n for n in range(20)]

    run(directory, work)


def test_a_tail_can_be_cancelled(directory: Path) -> None:
    async def work(store: AsyncStore) -> None:
        async def follow() -> None:
            async for _ in store.tail():
                pass

        task = asyncio.create_task(follow())
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(directory, work)


def test_cancelling_a_wait_does_not_take_the_message_back(directory: Path) -> None:
    async def work(store: AsyncStore) -> None:
        waiting = asyncio.ensure_future(store.append("orders", b"x"))
        waiting.cancel()
        await store.flush()
        placed = await store.append("orders", b"y")
        await store.wait_durable(placed.end_offset, 10)
        assert [bytes(m.body) async for m in store.scan()] == [b"x", b"y"]
        assert store._waiting == {}

    run(directory, work)


def test_a_closed_store_raises(directory: Path) -> None:
    async def main() -> None:
        store = await AsyncStore.open(directory, segment_size_bytes="1M")
        pending = [store.append("orders", b"x") for _ in range(50)]
        await store.close()
        assert len(await asyncio.gather(*pending)) == 50
        with pytest.raises(cairnlog.ClosedError):
            store.append("orders", b"y")
        with pytest.raises(cairnlog.ClosedError):
            await store.read_at(0)

    asyncio.run(main())


def test_a_store_that_nobody_holds_any_more_is_freed(directory: Path) -> None:
    async def main() -> None:
        store = await AsyncStore.open(directory, segment_size_bytes="1M")
        await store.append("orders", b"x")
        gone = weakref.ref(store.store)
        del store
        gc.collect()
        assert gone() is None

    asyncio.run(main())


def test_a_loop_that_ends_first_is_no_error(directory: Path) -> None:
    kept: list[AsyncStore] = []

    async def main() -> None:
        kept.append(await AsyncStore.open(directory, segment_size_bytes="1M", flush_mode="sync"))
        for _ in range(200):
            kept[0].append("orders", b"x")

    asyncio.run(main())
    kept[0].store.close()
    assert kept[0].closed
