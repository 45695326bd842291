"""Consumes a topic with two members of a group, one of which is lost halfway; then waits for a
delayed message. Ends with one line of JSON.

    python consume_group.py STORE TOPIC COUNT
"""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path

import cairnlog

DELAY_LEVEL = 1


def consume(consumer: cairnlog.Consumer, seen: list[int], give_up_after: int | None) -> int:
    """Consumes until nothing comes for a second; returns what was left unacknowledged."""
    while deliveries := consumer.poll(64, timeout=1.0):
        if give_up_after is not None and len(seen) >= give_up_after:
            # As a member that dies: what it has in hand is nobody's, until another gets it.
            consumer.close()
            return len(deliveries)
        for delivery in deliveries:
            seen.append(delivery.message.physical_offset)
            delivery.acknowledge()
    return 0


def main() -> None:
    path, topic, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    with cairnlog.Store.open(path, create_if_missing=False) as store:
        members = [store.consumer("demo", topic, start_from="first") for _ in range(2)]
        queues = [len(member.assigned) for member in members]
        seen: list[list[int]] = [[], []]
        left: list[int] = [0, 0]

        def run(number: int, give_up_after: int | None) -> None:
            left[number] = consume(members[number], seen[number], give_up_after)

        threads = [
            threading.Thread(target=run, args=(0, None)),
            threading.Thread(target=run, args=(1, count // 4)),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        members[0].close()

        late = store.consumer("late", "delayed", start_from="first")
        placed = store.append("delayed", b"in a second", delay_level=DELAY_LEVEL)
        arrived = late.poll(1, timeout=60.0)
        waited = 0
        for delivery in arrived:
            waited = delivery.message.store_timestamp_ms - placed.store_timestamp_ms
            delivery.acknowledge()
        late.close()
    Path(path).with_name("consumed.json").write_text(json.dumps(sorted(seen[0] + seen[1])))
    print(json.dumps({
        "queues": queues,
        "consumed": [len(seen[0]), len(seen[1])],
        "left_in_hand": left[1],
        "delayed_arrived": [bytes(delivery.message.body).decode() for delivery in arrived],
        "delayed_after_ms": waited,
    }))


if __name__ == "__main__":
    main()
