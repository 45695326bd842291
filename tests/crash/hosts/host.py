"""The writer in Python: called like the one in Rust (src/host.rs), and says the same.

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

import os
import sys
import threading
import time
import traceback
from concurrent.futures import Future

import cairnlog

WORD = (1 << 64) - 1
TOPICS = ("crash-even", "crash-odd")
QUEUE_MASK = 3


def mix(number: int) -> int:
    number = ((number ^ (number >> 30)) * 0xBF58476D1CE4E5B9) & WORD
    number = ((number ^ (number >> 27)) * 0x94D049BB133111EB) & WORD
    return number ^ (number >> 31)


def say(line: str) -> None:
    os.write(1, line.encode())


class Writer:
    """One thread of a host."""

    def __init__(
        self, store: cairnlog.Store, pattern: bytes, seed: int, name: int, waits: bool
    ) -> None:
        self._store = store
        self._pattern = pattern
        self._random = mix(seed ^ name)
        self._next_name = name
        self._waits = waits

    def write(self, steps: int) -> None:
        taken = 0
        while steps == 0 or taken < steps:
            self._step()
            taken += 1

    def _step(self) -> None:
        self._random = (self._random + 0x9E3779B97F4A7C15) & WORD
        choice = mix(self._random)
        topic, queue_id = TOPICS[choice >> 8 & 1], choice >> 9 & QUEUE_MASK
        match choice & 7:
            case 0:
                self._append_batch(topic, queue_id, 1 + (choice >> 3 & 7))
            case 1:
                self._append_many(topic, queue_id, 1 + (choice >> 3 & 3))
            case 2 | 3:
                self._append_async(topic, queue_id)
            case _:
                self._append(topic, queue_id)

    def _take_names(self, count: int) -> list[int]:
        first = self._next_name
        self._next_name += count
        return list(range(first, first + count))

    def _body(self, name: int) -> bytes:
        mixed = mix(name)
        length = mixed >> 8 & (0x1FF if mixed & 15 else 0xFFF)
        offset = mixed >> 32 & 0x7FFF
        return name.to_bytes(8, "big") + self._pattern[offset : offset + length]

    def _message(self, topic: str, queue_id: int, name: int, *, key: bool) -> cairnlog.Message:
        return cairnlog.Message(
            topic,
            self._body(name),
            queue_id=queue_id,
            tag="odd" if name & 1 else "even",
            keys=[str(name)] if key and mix(name) >> 20 & 3 == 0 else None,
            wait_store_ok=self._waits,
        )

    def _append(self, topic: str, queue_id: int) -> None:
        (name,) = self._take_names(1)
        message = self._message(topic, queue_id, name, key=True)
        placed = self._store.append(
            topic,
            message.body,
            queue_id=queue_id,
            tag=message.tag,
            keys=message.keys or None,
            wait_store_ok=self._waits,
        )
        self._acknowledge(topic, name, placed)

    def _append_async(self, topic: str, queue_id: int) -> None:
        (name,) = self._take_names(1)
        message = self._message(topic, queue_id, name, key=True)

        def finished(future: Future[cairnlog.AppendResult]) -> None:
            try:
                self._acknowledge(topic, name, future.result())
            except BaseException:
                die()

        self._store.append_async(
            topic,
            message.body,
            queue_id=queue_id,
            tag=message.tag,
            keys=message.keys or None,
            wait_store_ok=self._waits,
        ).add_done_callback(finished)

    def _append_many(self, topic: str, queue_id: int, count: int) -> None:
        names = self._take_names(count)
        results = self._store.append_many(
            [self._message(topic, queue_id, name, key=False) for name in names]
        )
        for name, placed in zip(names, results, strict=True):
            self._acknowledge(topic, name, placed)

    def _append_batch(self, topic: str, queue_id: int, count: int) -> None:
        names = self._take_names(count)
        items = cairnlog.encode_batch(
            cairnlog.Message(topic, self._body(name), queue_id=queue_id) for name in names
        )
        placed = self._store.append_batch(
            topic, items, queue_id=queue_id, wait_store_ok=self._waits
        )
        self._acknowledge(topic, names[0], placed)

    def _acknowledge(self, topic: str, first: int, placed: cairnlog.AppendResult) -> None:
        try:
            positions = self._store.positions()
            committed, durable = positions.committed_offset, positions.durable_offset
        except cairnlog.ClosedError:
            # What was under way is acknowledged while the store closes.
            committed, durable = -1, -1
        say(
            f"ack {placed.physical_offset} {placed.end_offset} {topic} {placed.queue_id} "
            f"{placed.queue_offset} {placed.message_count} {first} "
            f"{committed} {durable}\n"
        )


def die() -> None:
    """Ends the process with the error that is being handled."""
    traceback.print_exc()
    sys.stderr.flush()
    os._exit(1)


def main() -> None:
    directory, pattern_path, seed, life, threads, waits, close_after, *options = sys.argv[1:]
    with open(pattern_path, "rb") as file:
        pattern = file.read()
    say("opening\n")
    store = cairnlog.Store.open(directory, **dict(text.split("=", 1) for text in options))
    say("open\n")

    def write(thread: int) -> None:
        try:
            name = int(life) << 40 | thread << 32
            Writer(store, pattern, int(seed), name, waits == "1").write(int(close_after))
        except BaseException:
            die()

    running = [threading.Thread(target=write, args=(n,)) for n in range(int(threads))]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    say("closing\n")
    store.close()
    say("closed\n")
    time.sleep(3600)


main()
