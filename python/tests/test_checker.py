"""What is asked about transactions that stay open."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from conftest import OpenStore

import cairnlog
from cairnlog import (
    InvalidArgumentError,
    Message,
    Store,
    TransactionAnswer,
    TransactionCheck,
    TransactionError,
)
from cairnlog.aio import AsyncStore

COMMIT, ROLLBACK, UNKNOWN = (
    TransactionAnswer.COMMIT,
    TransactionAnswer.ROLLBACK,
    TransactionAnswer.UNKNOWN,
)


@pytest.fixture
def checked(open_store: OpenStore) -> Store:
    """A store that asks soon, and three times at most."""
    return open_store(
        transaction_timeout_ms=100, transaction_check_interval_ms=100, transaction_check_max=3
    )


def begin(store: Store, body: bytes) -> int:
    message = Message("orders", body, queue_id=2, properties={"UNIQ_KEY": "id-7"})
    return store.begin_transaction(message).half_offset


def bodies(store: Store, topic: str, queue_id: int, count: int) -> list[bytes]:
    """What is in a queue once it has so many messages."""
    if count > 0:
        assert store.wait_message(topic, queue_id, count - 1, 30)
    with store.read(topic, queue_id, 0) as batch:
        return [bytes(message.body) for message in batch]


def test_answers(checked: Store) -> None:
    asked: list[tuple[bytes, int]] = []

    def check(check: TransactionCheck) -> TransactionAnswer:
        body = bytes(check.message.body)
        asked.append((body, check.times))
        assert (check.topic, check.queue_id, check.id) == ("orders", 2, "id-7")
        assert check.message.topic == "RMQ_SYS_TRANS_HALF_TOPIC"
        assert check.half_offset in checked.open_transactions()
        answers = {b"commit": COMMIT, b"rollback": ROLLBACK, b"never": UNKNOWN}
        return answers.get(body, COMMIT if check.times == 2 else UNKNOWN)

    for body in (b"commit", b"rollback", b"never", b"later"):
        begin(checked, body)
    checked.set_transaction_checker(check)
    # Whom nobody knows about, it is asked as often as it may be, and then it is put aside.
    assert bodies(checked, "TRANS_CHECK_MAX_TIME_TOPIC", 0, 1) == [b"never"]
    assert bodies(checked, "orders", 2, 2) == [b"commit", b"later"]
    assert checked.open_transactions() == []
    assert sorted(asked) == [
        (b"commit", 1),
        (b"later", 1),
        (b"later", 2),
        (b"never", 1),
        (b"never", 2),
        (b"never", 3),
        (b"rollback", 1),
    ]


def test_what_fails_is_not_known(checked: Store, caplog: pytest.LogCaptureFixture) -> None:
    answers: list[object] = [LookupError("no database"), SystemExit(), "commit", 1, None]
    again = threading.Event()

    def check(check: TransactionCheck) -> TransactionAnswer | None:
        if not answers:
            again.set()
            return COMMIT
        answer = answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer  # type: ignore[return-value]

    with caplog.at_level(logging.ERROR, "cairnlog"):
        for number in range(2):
            begin(checked, str(number).encode())
        checked.set_transaction_checker(check)
        assert again.wait(30)
        assert bodies(checked, "orders", 2, 1) in ([b"0"], [b"1"])
        checked.close()
    logged = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(logged) == 4
    raised = [record.exc_info[0] for record in logged if record.exc_info]
    assert raised == [LookupError, SystemExit]
    assert "no answer about TransactionCheck(\"orders\"" in logged[2].getMessage()
    assert "'commit'" in logged[2].getMessage() and logged[3].getMessage().endswith("but 1")
    # What was raised leads to its frames, and so to the messages.
    caplog.clear()


def test_it_may_use_the_store(checked: Store) -> None:
    refused: list[Exception] = []

    def check(check: TransactionCheck) -> TransactionAnswer:
        checked.append("told", check.id.encode() if check.id else b"none")
        checked.flush()
        assert checked.wait_message("told", 0, 0, 30)
        for close in (checked.close, lambda: checked.__exit__(None, None, None)):
            try:
                close()
            except InvalidArgumentError as error:
                refused.append(error)
        # It ends the transaction itself; what it answers then changes nothing.
        checked.commit_transaction(check.half_offset)
        return ROLLBACK

    checked.set_transaction_checker(check)
    half = begin(checked, b"own")
    assert bodies(checked, "orders", 2, 1) == [b"own"]
    assert bodies(checked, "told", 0, 1) == [b"id-7"]
    assert [str(error).count("wait for itself") for error in refused] == [1, 1]
    with pytest.raises(TransactionError):
        checked.commit_transaction(half)


def test_closing_waits_for_a_check(checked: Store, open_store: OpenStore) -> None:
    asked, may_answer = threading.Event(), threading.Event()

    def check(_: TransactionCheck) -> TransactionAnswer:
        asked.set()
        # The interpreter is free meanwhile, or the other thread could not close.
        assert may_answer.wait(30)
        assert checked.closed
        return COMMIT

    half = begin(checked, b"late")
    checked.set_transaction_checker(check)
    assert asked.wait(30)
    closing = threading.Thread(target=checked.close)
    closing.start()
    while not checked.closed:
        closing.join(0.01)
    closing.join(0.2)
    assert closing.is_alive()
    may_answer.set()
    closing.join(30)
    assert not closing.is_alive()
    # The answer came too late: the transaction is open.
    store = open_store()
    (moved,) = store.open_transactions()
    assert moved > half and bodies(store, "orders", 2, 0) == []


def test_another_takes_the_place(checked: Store) -> None:
    class Checker:
        def __call__(self, _: TransactionCheck) -> TransactionAnswer:
            raise AssertionError

    checked.set_transaction_checker(Checker())
    checked.set_transaction_checker(lambda _: COMMIT)
    begin(checked, b"one")
    assert bodies(checked, "orders", 2, 1) == [b"one"]
    with pytest.raises(TypeError):
        checked.set_transaction_checker(COMMIT)  # type: ignore[arg-type]
    checked.close()
    with pytest.raises(cairnlog.ClosedError):
        checked.set_transaction_checker(lambda _: COMMIT)


def test_with_asyncio(directory: Path) -> None:
    async def main() -> None:
        options = {"segment_size_bytes": "1M", "transaction_timeout_ms": 100}
        async with await AsyncStore.open(directory, **options) as store:
            await store.begin_transaction(Message("orders", b"one", queue_id=2))
            await store.set_transaction_checker(lambda check: COMMIT)
            assert await store.wait_message("orders", 2, 0, 30)

    asyncio.run(main())


def test_a_program_may_end_while_it_is_asked(directory: Path) -> None:
    program = """
import sys, threading, time, cairnlog
store = cairnlog.Store.open(sys.argv[1], transaction_timeout_ms=50, segment_size_bytes=65536)
asked = threading.Event()
def check(check):
    asked.set()
    while not store.closed:
        time.sleep(0.01)
    print("answered", store.closed, flush=True)
    return cairnlog.TransactionAnswer.COMMIT
store.set_transaction_checker(check)
store.begin_transaction(cairnlog.Message("orders", b"one"))
asked.wait()
"""
    command = [sys.executable, "-c", program, str(directory)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert (ended.stdout, ended.stderr) == ("answered True\n", "")
    assert not (directory / "abort").exists()
