"""Appends without waiting, and asks later whether everything is durable."""

import sys

import cairnlog

with cairnlog.Store.open(sys.argv[1], flush_mode="sync", segment_size_bytes="1M") as store:
    futures = [store.append_async("orders", f"order {n}".encode()) for n in range(100)]
    try:
        placed = [future.result() for future in futures]
    except cairnlog.FlushTimeoutError as error:
        print("not known to be durable:", error.appended)
    else:
        print("durable:", len(placed))

    items = cairnlog.encode_batch(cairnlog.Message("orders", b"item %d" % n) for n in range(3))
    batch = store.append_batch("orders", items)
    print("all or none:", batch.message_count, "from number", batch.queue_offset)

# Output:
# durable: 100
# all or none: 3 from number 100
