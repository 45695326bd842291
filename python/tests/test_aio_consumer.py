"""Consumer groups with asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from test_consumer import NO_DELAY, number

import cairnlog
from cairnlog.aio import AsyncStore


def run(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(main, 60))


async def opened(directory: Path) -> AsyncStore:
    return await AsyncStore.open(
        directory, segment_size_bytes="1M", message_delay_level=NO_DELAY
    )


async def fill(store: AsyncStore, numbers: range, queues: int = 1) -> None:
    for number in numbers:
        await store.append("orders", b"%d" % number, queue_id=number % queues)
    assert await store.wait_dispatched(store.positions().max_offset, 30)


def test_members_share_the_messages(directory: Path) -> None:
    async def consume(store: AsyncStore, both: asyncio.Barrier, seen: list[int]) -> None:
        join = store.consumer("billing", "orders", start_from="first", timeout=1)
        async with await join as consumer:
            await both.wait()
            assert (consumer.group, len(consumer.assigned)) == ("billing", 2)
            async for delivery in consumer:
                seen.append(number(delivery))
                assert consumer.acknowledge(delivery)
            await both.wait()
        assert consumer.closed

    async def main() -> None:
        async with await opened(directory) as store:
            await fill(store, range(20), queues=4)
            one: list[int] = []
            two: list[int] = []
            both = asyncio.Barrier(2)
            await asyncio.gather(consume(store, both, one), consume(store, both, two))
            assert sorted(one + two) == list(range(20))
            assert one and two
            assert await store.groups() == ["billing"]
            assert [queue.lag for queue in await store.group_progress("billing")] == [0] * 4
            assert await store.consumer_offset("billing", "orders", 3) == 5
            await store.commit_offset("billing", "orders", 3, 2)
            await store.persist_offsets()
            again = await store.consumer("billing", "orders", filter="*")
            assert len(await again.poll(timeout=30)) == 3
            assert await again.seek("orders", 3, 4)
            assert [number(delivery) for delivery in await again.poll(timeout=30)] == [19]
            await again.commit()

    run(main())


def test_retries(directory: Path) -> None:
    async def main() -> None:
        async with await opened(directory) as store:
            await fill(store, range(1))
            consumer = await store.consumer("billing", {"orders": None}, start_from="first")
            for attempt in range(3):
                (delivery,) = await consumer.poll(timeout=30)
                assert delivery.reconsume_times == attempt
                assert await consumer.retry_later(delivery) is True

    run(main())


def test_a_cancelled_poll_loses_nothing(directory: Path) -> None:
    async def main() -> None:
        async with await opened(directory) as store:
            consumer = await store.consumer("billing", "orders", start_from="first")
            assert await consumer.poll(timeout=0.05) == []
            seen: list[int] = []
            for round in range(20):
                waiting = asyncio.create_task(consumer.poll(8))
                await asyncio.sleep(0.002 * (round % 5))
                await fill(store, range(round * 3, round * 3 + 3))
                waiting.cancel()
                try:
                    seen += [number(delivery) for delivery in await waiting]
                except asyncio.CancelledError:
                    pass
            while len(seen) < 60:
                deliveries = await consumer.poll(2, 30)
                assert 1 <= len(deliveries) <= 2
                seen += [number(delivery) for delivery in deliveries]
            assert seen == list(range(60))

    run(main())


@pytest.mark.parametrize("what", ["consumer", "store"])
def test_closing_ends_a_poll(directory: Path, what: str) -> None:
    async def main() -> None:
        store = await opened(directory)
        consumer = await store.consumer("billing", "orders")
        waiting = asyncio.create_task(consumer.poll())
        await asyncio.sleep(0.15)
        if what == "consumer":
            consumer.close()
        else:
            await store.close()
        with pytest.raises(cairnlog.ClosedError, match=what):
            await waiting
        await store.close()

    run(main())


def test_retention(directory: Path) -> None:
    async def main() -> None:
        async with await AsyncStore.open(directory, segment_size_bytes="64K") as store:
            for _ in range(100):
                await store.append("orders", bytes(1000))
            await store.flush()
            assert await store.wait_dispatched(store.positions().max_offset, 30)
            assert (await store.remove_expired()).files == 0
            assert (await store.remove_before(64 * 1024)).files == 1

    run(main())
