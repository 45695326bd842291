"""Transactions: what is seen when, and what stays open."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from conftest import OpenStore

import cairnlog
from cairnlog import Message, Store, TransactionError
from cairnlog.aio import AsyncStore


def bodies(store: Store) -> list[bytes]:
    assert store.wait_dispatched(store.positions().max_offset, 30)
    with store.read("orders", 2, 0) as batch:
        return [bytes(message.body) for message in batch]


def order(body: bytes) -> Message:
    return Message("orders", body, queue_id=2, tag="new", properties={"UNIQ_KEY": "id-7"})


def test_commit_and_rollback(store: Store) -> None:
    kept, dropped = store.begin_transaction(order(b"kept")), store.begin_transaction(order(b"no"))
    assert store.open_transactions() == [kept.half_offset, dropped.half_offset]
    assert (kept.id, kept.half.physical_offset) == ("id-7", kept.half_offset)
    assert repr(kept) == f"Transaction(half_offset={kept.half_offset})"
    assert bodies(store) == []
    dropped.rollback()
    placed = kept.commit()
    message = store.read_at(placed.physical_offset)
    assert (message.topic, message.queue_id, message.tag) == ("orders", 2, "new")
    assert bodies(store) == [b"kept"]
    assert store.open_transactions() == []
    for end in (kept.commit, dropped.commit, kept.rollback):
        with pytest.raises(TransactionError) as refused:
            end()
        assert refused.value.status is cairnlog.Status.NO_SUCH_TRANSACTION
    with pytest.raises(TransactionError):
        store.commit_transaction(1)


def test_a_with_statement_ends_what_is_open(store: Store) -> None:
    with store.begin_transaction(order(b"one")):
        assert bodies(store) == []
    with pytest.raises(LookupError), store.begin_transaction(order(b"two")):
        raise LookupError
    with store.begin_transaction(order(b"three")) as transaction:
        transaction.rollback()
    assert (bodies(store), store.open_transactions()) == ([b"one"], [])


def test_what_is_open_stays_open(open_store: OpenStore) -> None:
    store = open_store()
    half = store.begin_transaction(order(b"late")).half_offset
    other = store.begin_transaction(order(b"never")).half_offset
    store.close()
    store = open_store()
    assert store.open_transactions() == [half, other]
    store.rollback_transaction(other)
    store.commit_transaction(half)
    assert (bodies(store), store.open_transactions()) == ([b"late"], [])


def test_with_asyncio(directory: Path) -> None:
    async def main() -> None:
        async with await AsyncStore.open(directory, segment_size_bytes="1M") as store:
            one = await store.begin_transaction(order(b"one"))
            two = await store.begin_transaction(order(b"two"))
            await store.rollback_transaction(one.half_offset)
            assert await store.open_transactions() == [two.half_offset]
            placed = await store.commit_transaction(two.half_offset)
            assert bytes((await store.read_at(placed.physical_offset)).body) == b"two"

    asyncio.run(main())
