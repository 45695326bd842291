"""Consumes a queue: reads batches, remembers how far it came, and follows what comes later."""

import sys
import threading

import cairnlog

with cairnlog.Store.open(sys.argv[1], segment_size_bytes="1M") as store:
    for number in range(10):
        tag = "pears" if number % 2 else "apples"
        placed = store.append("orders", f"order {number}".encode(), tag=tag, keys=[f"no-{number}"])
    # A message is in its queue a moment after its append.
    store.wait_dispatched(placed.end_offset)

    wanted = cairnlog.Filter.tags("pears || plums")
    offset = 0
    while offset < 10:
        with store.read("orders", 0, offset, max_messages=2, filter=wanted) as batch:
            bodies = [bytes(message.body).decode() for message in batch]
            print(batch.outcome.name, bodies, "go on at", batch.next_offset)
            offset = batch.next_offset

    by_key = store.query_key("orders", "no-4")
    print("found by key:", [bytes(message.body).decode() for message in by_key])

    late = threading.Timer(0.1, store.append, ["orders", b"a late order"], {"tag": "plums"})
    late.start()
    with store.tail("orders", 0, offset, filter=wanted, timeout=1.0) as tail:
        for message in tail:
            print(bytes(message.body).decode())
        print("nothing for a second; a later run goes on at", tail.offset)
    late.join()

# Output:
# FOUND ['order 1', 'order 3'] go on at 4
# FOUND ['order 5', 'order 7'] go on at 8
# FOUND ['order 9'] go on at 10
# found by key: ['order 4']
# a late order
# nothing for a second; a later run goes on at 11
