"""Appends from asyncio; all appends that one sync covers are awaited together."""

import asyncio
import sys

from cairnlog.aio import AsyncStore


async def main() -> None:
    async with await AsyncStore.open(
        sys.argv[1], flush_mode="sync", segment_size_bytes="1M"
    ) as store:
        placed = await asyncio.gather(
            *(store.append("orders", f"{n} apples".encode()) for n in range(1000))
        )
        print("durable:", len(placed), "messages")
        last = await store.read_at(placed[-1].physical_offset)
        print("the last one:", bytes(last.body).decode())


asyncio.run(main())

# Output:
# durable: 1000 messages
# the last one: 999 apples
