"""Follows the log while another thread appends to it."""

import sys
import threading

import cairnlog

with cairnlog.Store.open(sys.argv[1], segment_size_bytes="1M") as store:
    orders = store.queue("orders", 0)

    def write() -> None:
        for number in range(3):
            orders.append(f"order {number}".encode())

    tail = store.tail_log(timeout=1.0)
    writer = threading.Thread(target=write)
    writer.start()
    for message in tail:
        print(bytes(message.body).decode())
    writer.join()
    print("nothing for a second")

# Output:
# order 0
# order 1
# order 2
# nothing for a second
