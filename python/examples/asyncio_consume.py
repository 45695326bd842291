"""Follows a queue in asyncio while another task appends to it."""

import asyncio
import sys

import cairnlog
from cairnlog.aio import AsyncStore


async def write(store: AsyncStore) -> None:
    for number in range(6):
        price = {"price": str(10 * number)}
        await store.append("orders", f"order {number}".encode(), properties=price)


async def main() -> None:
    async with await AsyncStore.open(sys.argv[1], segment_size_bytes="1M") as store:
        writer = asyncio.create_task(write(store))
        dear = cairnlog.Filter.sql("price BETWEEN 20 AND 40")
        async with store.tail("orders", filter=dear, timeout=1.0) as tail:
            async for message in tail:
                print(bytes(message.body).decode())
        await writer


asyncio.run(main())

# Output:
# order 2
# order 3
# order 4
