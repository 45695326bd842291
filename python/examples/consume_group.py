"""Consumes a topic in a group: members divide its queues, a callback gets what comes, delays."""

import sys
import threading

import cairnlog

with cairnlog.Store.open(sys.argv[1], segment_size_bytes="1M") as store:
    for number in range(6):
        store.append("orders", f"order {number}".encode(), queue_id=number % 2)
    store.wait_dispatched(store.positions().max_offset)

    with store.consumer("billing", "orders", start_from="first") as consumer:
        while deliveries := consumer.poll(timeout=1.0):
            for delivery in deliveries:
                print(bytes(delivery.message.body).decode(), "of queue", delivery.message.queue_id)
                delivery.acknowledge()
    print("not yet consumed:", sum(queue.lag for queue in store.group_progress("billing")))

    done = threading.Event()

    def ship(delivery: cairnlog.Delivery) -> None:
        print("pushed:", bytes(delivery.message.body).decode())
        done.set()

    # What raises or returns False is tried again later, and in the end goes to %DLQ%shipping.
    with store.subscribe("shipping", "orders", ship):
        # Level 1 is one second.
        store.append("orders", b"a delayed order", delay_level=1)
        done.wait()

# Output:
# order 0 of queue 0
# order 2 of queue 0
# order 4 of queue 0
# order 1 of queue 1
# order 3 of queue 1
# order 5 of queue 1
# not yet consumed: 0
# pushed: a delayed order
