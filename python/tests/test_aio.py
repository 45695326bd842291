"""The store for asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
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
        tail = store.tail_log(0, timeout=60)
        found = [bytes((await anext(tail)).body) for _ in range(20)]
        await writer
        assert found == [b"%d" % n for n in range(20)]
        assert [message async for message in store.tail_log(timeout=0.05)] == []

    run(directory, work)


def test_a_tail_can_be_cancelled(directory: Path) -> None:
    async def work(store: AsyncStore) -> None:
        async def follow() -> None:
            async for _ in store.tail_log():
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


def test_reading_by_queue_time_and_key(directory: Path) -> None:
    async def work(store: AsyncStore) -> None:
        placed = [
            await store.append("orders", b"%d" % n, tag="even" if n % 2 == 0 else "odd", keys=["k"])
            for n in range(6)
        ]
        assert await store.wait_dispatched(placed[-1].end_offset)
        assert not await store.wait_dispatched(1 << 40, 0.05)
        assert store.dispatched_offset == placed[-1].end_offset
        assert store.dispatch_error is None
        with await store.read("orders", 0, 1, max_messages=2, filter="even") as batch:
            assert [bytes(message.body) for message in batch] == [b"2", b"4"]
            assert (batch.outcome, batch.next_offset) == (cairnlog.ReadOutcome.FOUND, 5)
        assert await store.queue_range("orders", 0) == store.store.queue_range("orders", 0)
        assert (await store.topics(), await store.queues_of("orders")) == (["orders"], [0])
        assert await store.offset_at_time("orders", 0, 0, boundary="upper") == 0
        assert len(await store.query_key("orders", "k", max_messages=4)) == 4
        found = await store.find_by_message_id("orders", placed[3].offset_message_id)
        assert found is not None
        assert bytes(found.body) == b"3"
        assert await store.wait_message("orders", 0, 5)
        assert not await store.wait_message("orders", 0, 6, 0.15)

    run(directory, work)


def test_a_queue_is_followed(directory: Path) -> None:
    async def work(store: AsyncStore) -> None:
        async def write() -> None:
            for n in range(20):
                await store.append("orders", b"%d" % n)

        writer = asyncio.create_task(write())
        async with store.tail("orders", 0, 5, timeout=60) as tail:
            found = [bytes((await anext(tail)).body) for _ in range(5, 20)]
            assert found == [b"%d" % n for n in range(5, 20)]
            assert tail.offset == 20
        await writer
        async with store.tail("orders", 0, 20, timeout=0.05) as later:
            assert [message async for message in later] == []
        with pytest.raises(cairnlog.ClosedError):
            await tail.next_message(0)

    run(directory, work)


def test_a_cancelled_wait_loses_no_message(directory: Path) -> None:
    async def work(store: AsyncStore) -> None:
        tail = store.tail("orders")
        found = []
        for n in range(40):
            # The wait ends at any moment around the append.
            waiting = asyncio.ensure_future(tail.next_message())
            appending = asyncio.ensure_future(store.append("orders", b"%d" % n))
            await asyncio.sleep(0.0005 * (n % 10))
            waiting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                message = await waiting
                assert message is not None
                found.append(bytes(message.body))
            assert tail.offset == len(found)
            await appending
        while len(found) < 40:
            message = await tail.next_message(60)
            assert message is not None
            found.append(bytes(message.body))
        assert await tail.next_message(0) is None
        assert found == [b"%d" % n for n in range(40)]
        tail.close()

    run(directory, work)


def test_tasks_share_a_tail(directory: Path) -> None:
    async def work(store: AsyncStore) -> None:
        await store.append_many(Message("orders", b"%d" % n) for n in range(100))
        assert await store.wait_dispatched(store.positions().max_offset, 60)
        tail = store.tail("orders", timeout=0.3)

        async def take() -> list[bytes]:
            return [bytes(message.body) async for message in tail]

        found = await asyncio.gather(*(take() for _ in range(4)))
        assert sorted((body for one in found for body in one), key=int) == [
            b"%d" % n for n in range(100)
        ]

    run(directory, work)


def test_cancelled_tails_leave_no_thread_at_work(directory: Path) -> None:
    async def work(store: AsyncStore) -> None:
        async def follow(n: int) -> None:
            async for _ in store.tail("orders", n):
                pass

        tasks = [asyncio.create_task(follow(n)) for n in range(30)]
        await asyncio.sleep(0.15)
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(one, asyncio.CancelledError) for one in ended)
        # Every thread of the executor comes back for other work.
        started = asyncio.get_running_loop().time()
        await asyncio.gather(*(store.topics() for _ in range(100)))
        assert asyncio.get_running_loop().time() - started < 5

    before = threading.active_count()
    run(directory, work)
    assert threading.active_count() == before


def test_closing_ends_a_tail(directory: Path) -> None:
    async def main() -> None:
        store = await AsyncStore.open(directory, segment_size_bytes="1M")
        waiting = asyncio.ensure_future(store.tail("orders").next_message())
        forgotten = asyncio.ensure_future(store.tail("orders").next_message())
        closed = store.tail("orders")
        alone = asyncio.ensure_future(closed.next_message())
        await asyncio.sleep(0.05)
        closed.close()
        with pytest.raises(cairnlog.ClosedError, match="tail"):
            await alone
        # What goes wrong in a wait that nobody wants any more is not logged.
        forgotten.cancel()
        await store.close()
        with pytest.raises(cairnlog.ClosedError):
            await waiting

    asyncio.run(main(), debug=True)
