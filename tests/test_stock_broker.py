"""A stock broker goes on with what cairnlog wrote, and cairnlog with what a broker wrote.

Not only the messages: how far groups have come, what waits for its time, what is to be tried again,
and which transactions are open.

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

from pathlib import Path

import cairnlog
from cairnlog import Message, Store

from stock_broker import (
    INDEX_ITEMS,
    INDEX_SLOTS,
    LOG_SIZE,
    QUEUE_SIZE,
    Record,
    StockBroker,
)

PRODUCERS = "shop"
# The second level is 5 s, what failed for the first time waits 10 s, the last level is 2 h.
SOON, SOON_MS, RETRY_MS, LATE = 2, 5_000, 10_000, 18


def opened(root: Path) -> Store:
    return Store.open(
        root,
        segment_size_bytes=LOG_SIZE,
        consume_queue_file_size_bytes=QUEUE_SIZE,
        max_hash_slot_num=INDEX_SLOTS,
        max_index_num=INDEX_ITEMS,
    )


def bodies(messages: list[Record]) -> list[str]:
    return [message["body"] for message in messages]


def read(store: Store, topic: str, queue: int, count: int) -> list[str]:
    """The whole queue, once it has so many messages."""
    assert store.wait_message(topic, queue, count - 1, 60)
    with store.read(topic, queue, 0) as batch:
        return [bytes(message.body).decode() for message in batch]


def half(store: Store, body: str) -> cairnlog.Transaction:
    names = {"PGROUP": PRODUCERS, "UNIQ_KEY": f"id-{body}"}
    return store.begin_transaction(Message("sales", body.encode(), queue_id=1, properties=names))


def test_a_broker_goes_on_with_what_cairnlog_wrote(tmp_path: Path) -> None:
    root = tmp_path / "store"
    with opened(root) as store:
        for number in range(10):
            store.append("orders", b"%d" % number, queue_id=2, tag="new", keys=[f"k{number}"])
        soon = store.append("later", b"soon", queue_id=1, tag="new", delay_level=SOON)
        store.append("later", b"late", queue_id=1, delay_level=LATE)
        half(store, "paid").commit()
        half(store, "refused").rollback()
        undecided = half(store, "undecided")
        unasked = half(store, "unasked")
        assert store.wait_dispatched(store.positions().max_offset, 60)
        with store.consumer("billing", "orders", start_from="first") as consumer:
            for delivery in consumer.poll(4, 30):
                # The second is to be tried again.
                if bytes(delivery.message.body) == b"1":
                    failed = delivery.message.store_timestamp_ms
                    assert delivery.retry_later()
                else:
                    assert delivery.acknowledge()
    with StockBroker(root) as broker:
        assert broker.offset("billing", "orders", 2) == 4
        assert broker.offset("others", "orders", 2) is None
        rest = broker.pull("billing", "orders", 2, 4, 6)
        assert bodies(rest) == ["4", "5", "6", "7", "8", "9"]
        assert (rest[0]["properties"]["TAGS"], rest[0]["properties"]["KEYS"]) == ("new", "k4")
        broker.commit("billing", "orders", 2, 10)
        # What cairnlog ended is not asked about; what it left open is.
        broker.produce(PRODUCERS)
        checks = {check["body"]: check for check in (broker.next_check(), broker.next_check())}
        assert sorted(checks) == ["unasked", "undecided"]
        check = checks["undecided"]
        assert (check["topic"], check["queue"]) == ("sales", 1)
        assert check["properties"]["__transactionId__"] == "id-undecided"
        decided = {
            "queue_offset": check["half_queue_offset"],
            "physical_offset": check["half_physical_offset"],
        }
        assert decided["physical_offset"] > undecided.half_offset
        broker.end(PRODUCERS, decided, "commit")
        sales = broker.pull("billing", "sales", 1, 0, 2)
        assert bodies(sales) == ["paid", "undecided"]
        assert [message["sys_flag"] for message in sales] == [8, 8]
        (came,) = broker.pull("billing", "later", 1, 0, 1)
        assert (came["body"], came["properties"]["TAGS"]) == ("soon", "new")
        assert came["store_timestamp"] >= soon.store_timestamp_ms + SOON_MS - 1
        (again,) = broker.pull("billing", "%RETRY%billing", 0, 0, 1)
        assert (again["body"], again["properties"]["RETRY_TOPIC"]) == ("1", "orders")
        assert again["store_timestamp"] >= failed + RETRY_MS - 1
    with opened(root) as store:
        assert store.recovery_report.clean_stop
        assert read(store, "sales", 1, 2) == ["paid", "undecided"]
        assert read(store, "later", 1, 1) == ["soon"]
        (progress,) = (one for one in store.group_progress("billing") if one.topic == "orders")
        assert (progress.queue_id, progress.committed, progress.lag) == (2, 10, 0)
        # The broker stored it anew when it asked.
        (open_still,) = store.open_transactions()
        assert open_still > unasked.half_offset
        assert bytes(store.read_at(open_still).body) == b"unasked"
        store.commit_transaction(open_still)
        assert read(store, "sales", 1, 3) == ["paid", "undecided", "unasked"]


def test_cairnlog_goes_on_with_what_a_broker_wrote(tmp_path: Path) -> None:
    root = tmp_path / "store"
    with StockBroker(root) as broker:
        for number in range(10):
            broker.send("orders", 2, str(number))
        broker.pull("billing", "orders", 2, 0, 4)
        broker.commit("billing", "orders", 2, 4)
        soon = broker.send("later", 1, "soon", delay=SOON)
        broker.send("later", 1, "late", delay=LATE)
        halves = {
            body: broker.send("sales", 1, body, group=PRODUCERS)
            for body in ("paid", "refused", "undecided")
        }
        broker.end(PRODUCERS, halves["paid"], "commit")
        broker.end(PRODUCERS, halves["refused"], "rollback")
    with opened(root) as store:
        assert store.recovery_report.clean_stop
        (open_still,) = store.open_transactions()
        assert bytes(store.read_at(open_still).body) == b"undecided"
        store.commit_transaction(open_still)
        assert read(store, "sales", 1, 2) == ["paid", "undecided"]
        with store.consumer("billing", "orders", start_from="first") as consumer:
            rest = consumer.poll(6, 30)
            assert [bytes(one.message.body) for one in rest] == [b"%d" % n for n in range(4, 10)]
            assert all(one.acknowledge() for one in rest)
        placed = store.read_at(soon["physical_offset"])
        assert placed.topic == "SCHEDULE_TOPIC_XXXX"
        assert read(store, "later", 1, 1) == ["soon"]
        with store.read("later", 1, 0) as batch:
            waited = batch[0].store_timestamp_ms - placed.store_timestamp_ms
            assert waited >= SOON_MS - 1
        half(store, "last")
    with StockBroker(root) as broker:
        assert broker.offset("billing", "orders", 2) == 10
        broker.produce(PRODUCERS)
        # Nothing else is open.
        assert broker.next_check()["body"] == "last"
        assert bodies(broker.pull("billing", "later", 1, 0, 1)) == ["soon"]
        broker.send("sales", 1, "after")
        assert bodies(broker.pull("billing", "sales", 1, 0, 3)) == ["paid", "undecided", "after"]
        broker.kill()
    with opened(root) as store:
        assert not store.recovery_report.clean_stop
        assert read(store, "sales", 1, 3) == ["paid", "undecided", "after"]
        # To ask is to store anew; how far it had come with that died with the broker.
        halves_left = map(store.read_at, store.open_transactions())
        assert {bytes(message.body) for message in halves_left} == {b"last"}
