"""Appends through the Python package, as append.rs does through the engine.

    python append.py DIRECTORY WAY BODY_BYTES MESSAGES BURSTS [OPTION=VALUE]...

WAY is `loop`, `named`, `many` or `flight` as there, `asyncio` (512 tasks that append and wait, over
and over), or `call`: a property of the store is read instead, which costs what every call into a
native module costs at least.
"""

import asyncio
import collections
import json
import pathlib
import shutil
import sys
import time

import cairnlog
from cairnlog.aio import AsyncStore

TOPIC = "bench"
MANY = 1000
IN_FLIGHT = 512
BEFORE = 1000


def loop(store, body, messages):
    """One message a call, to a prepared queue."""
    append = store.queue(TOPIC, 0).append
    for _ in range(messages):
        append(body)


def named(store, body, messages):
    """One message a call, topic and queue by name."""
    append = store.append
    for _ in range(messages):
        append(TOPIC, body)


def many(store, body, messages):
    """Many messages a call."""
    batch = [cairnlog.Message(TOPIC, body) for _ in range(MANY)]
    for _ in range(messages // MANY):
        store.append_many(batch)


def call(store, _body, messages):
    """Nothing but the call."""
    for _ in range(messages):
        store.closed  # noqa: B018


def flight(store, body, messages):
    """Many on their way, and each waited for."""
    append = store.queue(TOPIC, 0).append_async
    flying = collections.deque()
    for _ in range(messages):
        if len(flying) == IN_FLIGHT:
            flying.popleft().result()
        flying.append(append(body))
    for future in flying:
        future.result()


async def tasks(store, body, messages):
    """Tasks that append and wait."""

    async def append(times):
        for _ in range(times):
            await store.append(TOPIC, body)

    await asyncio.gather(*(append(messages // IN_FLIGHT) for _ in range(IN_FLIGHT)))


def burst(way, path, body, messages, options):
    """The seconds of one burst, the processor seconds of this thread, the syncs of the store."""
    with cairnlog.Store.open(path, **options) as store:
        way(store, body, BEFORE)
        syncs = store.stats().syncs
        started, worked = time.perf_counter(), time.thread_time()
        way(store, body, messages)
        elapsed, processor = time.perf_counter() - started, time.thread_time() - worked
        syncs = store.stats().syncs - syncs
    shutil.rmtree(path)
    return elapsed, processor, syncs


async def async_burst(path, body, messages, options):
    """The same from an event loop."""
    async with await AsyncStore.open(path, **options) as store:
        await tasks(store, body, IN_FLIGHT)
        before = store.stats().syncs
        started, worked = time.perf_counter(), time.thread_time()
        await tasks(store, body, messages)
        elapsed, processor = time.perf_counter() - started, time.thread_time() - worked
        syncs = store.stats().syncs - before
    shutil.rmtree(path)
    return elapsed, processor, syncs


def main():
    """Measures."""
    directory, way, size, messages, bursts = sys.argv[1:6]
    options = {"append_record_crc": "false"}
    options.update(option.split("=", 1) for option in sys.argv[6:])
    path = pathlib.Path(directory) / "store"
    body = b"x" * int(size)
    messages, bursts = int(messages), int(bursts)
    ways = {"loop": loop, "named": named, "many": many, "flight": flight, "call": call}
    elapsed, processor, syncs = 0.0, 0.0, 0
    for _ in range(bursts):
        if way == "asyncio":
            messages -= messages % IN_FLIGHT
            took, worked, synced = asyncio.run(async_burst(path, body, messages, options))
        else:
            took, worked, synced = burst(ways[way], path, body, messages, options)
        elapsed += took
        processor += worked
        syncs += synced
    report = {
        "mode": options.get("flush_mode", "async"),
        "size": int(size),
        "threads": 1,
        "inflight": IN_FLIGHT if way in ("flight", "asyncio") else 1,
        "seconds": elapsed,
        "messages": messages * bursts,
        "messages_per_second": messages * bursts / elapsed,
        "thread_cpu_seconds": processor,
        **dict.fromkeys(("p50_ns", "p99_ns", "p999_ns", "p9999_ns", "max_ns")),
        "syncs": syncs,
        **dict.fromkeys(("floor_messages_per_second", "ratio_to_floor")),
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
