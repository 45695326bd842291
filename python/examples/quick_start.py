"""Appends messages that survive a power cut, and reads them back.

Call it with the directory of a store.
"""

import sys

import cairnlog

with cairnlog.Store.open(sys.argv[1], flush_mode="sync", segment_size_bytes="1M") as store:
    placed = store.append("orders", b"20 pears", tag="new", keys=["42"], properties={"for": "Ada"})
    print("stored at", placed.physical_offset, "as number", placed.queue_offset)

    store.append_many(cairnlog.Message("orders", f"{n} apples".encode()) for n in range(1, 4))

    for message in store.scan():
        # The body is a memoryview on the file: nothing is copied until bytes() asks for it.
        print(message.topic, message.queue_offset, bytes(message.body).decode(), message.tag)

# Output:
# stored at 0 as number 0
# orders 0 20 pears new
# orders 1 1 apples None
# orders 2 2 apples None
# orders 3 3 apples None
