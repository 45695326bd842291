"""Opening, closing and what lies between: locks, recovery, use after close, exit."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import OpenStore, damage_after_crash

import cairnlog
from cairnlog import Message, Status, Store, _native

ITEMS = cairnlog.encode_batch([Message("orders", b"x")])

USES: dict[str, Callable[[Store], Any]] = {
    "append": lambda store: store.append("orders", b"x"),
    "append_many": lambda store: store.append_many([Message("orders", b"x")]),
    "append_batch": lambda store: store.append_batch("orders", ITEMS),
    "append_inner_batch": lambda store: store.append_inner_batch("orders", ITEMS),
    "append_async": lambda store: store.append_async("orders", b"x"),
    "queue": lambda store: store.queue("orders", 0),
    "flush": lambda store: store.flush(),
    "wait_durable": lambda store: store.wait_durable(1 << 40, 5),
    "read_at": lambda store: store.read_at(0),
    "read_log": lambda store: store.read_log(0),
    "scan": lambda store: list(store.scan()),
    "tail": lambda store: next(store.tail("orders", 0, 1)),
    "tail_log": lambda store: next(store.tail_log()),
    "read": lambda store: store.read("orders", 0, 0),
    "queue_range": lambda store: store.queue_range("orders", 0),
    "offset_at_time": lambda store: store.offset_at_time("orders", 0, 0),
    "topics": lambda store: store.topics(),
    "queues_of": lambda store: store.queues_of("orders"),
    "query_key": lambda store: store.query_key("orders", "42"),
    "find_by_message_id": lambda store: store.find_by_message_id("orders", "42"),
    "wait_message": lambda store: store.wait_message("orders", 0, 1 << 40, 5),
    "wait_dispatched": lambda store: store.wait_dispatched(1 << 40, 5),
    "consumer": lambda store: store.consumer("billing", "orders"),
    "subscribe": lambda store: store.subscribe("billing", "orders", print),
    "groups": lambda store: store.groups(),
    "group_progress": lambda store: store.group_progress("billing"),
    "consumer_offset": lambda store: store.consumer_offset("billing", "orders", 0),
    "commit_offset": lambda store: store.commit_offset("billing", "orders", 0, 0),
    "persist_offsets": lambda store: store.persist_offsets(),
    "begin_transaction": lambda store: store.begin_transaction(Message("orders", b"x")),
    "commit_transaction": lambda store: store.commit_transaction(0),
    "rollback_transaction": lambda store: store.rollback_transaction(0),
    "open_transactions": lambda store: store.open_transactions(),
    "set_transaction_checker": lambda store: store.set_transaction_checker(print),
    "remove_expired": lambda store: store.remove_expired(),
    "remove_before": lambda store: store.remove_before(0),
    "dispatched_offset": lambda store: store.dispatched_offset,
    "dispatch_error": lambda store: store.dispatch_error,
    "positions": lambda store: store.positions(),
    "min_offset": lambda store: store.min_offset,
    "max_offset": lambda store: store.max_offset,
    "next_queue_offset": lambda store: store.next_queue_offset("orders", 0),
    "stats": lambda store: store.stats(),
    "with": lambda store: store.__enter__(),
}


@pytest.mark.parametrize("use", USES)
def test_a_closed_store_raises(open_store: OpenStore, use: str) -> None:
    store = open_store()
    store.append("orders", b"x")
    store.close()
    with pytest.raises(cairnlog.ClosedError) as caught:
        USES[use](store)
    assert caught.value.status is Status.STORE_CLOSED


def test_every_method_of_a_store_is_tried_closed() -> None:
    methods = {
        name
        for name, value in [*vars(cairnlog.ReadableStore).items(), *vars(Store).items()]
        if callable(value) and not name.startswith("_")
    }
    assert methods - set(USES) == {"close", "open", "open_reader", "plan_recovery"}


def test_what_a_closed_store_still_tells(open_store: OpenStore, directory: Path) -> None:
    store = open_store()
    queue = store.queue("orders", 0)
    scan = store.scan()
    assert not store.closed
    store.close()
    store.close()
    assert store.closed
    assert store.path == directory
    assert store.segment_size_bytes == 1 << 20
    assert store.recovery_report.created
    assert "closed" in repr(store)
    with pytest.raises(cairnlog.ClosedError):
        queue.append(b"x")
    with pytest.raises(cairnlog.ClosedError):
        queue.append_async(b"x")
    scan.close()


def test_with_closes_also_after_an_exception(directory: Path) -> None:
    with pytest.raises(KeyError, match="mine"):
        with Store.open(directory, segment_size_bytes="1M") as store:
            raise KeyError("mine")
    assert store.closed


def test_closing_while_others_append_raises_and_loses_nothing(
    open_store: OpenStore, directory: Path
) -> None:
    store = open_store(flush_mode="sync")
    acknowledged: list[bytes] = []
    failures: list[BaseException] = []

    def work(name: int) -> None:
        for n in range(100_000):
            body = b"%d-%d" % (name, n)
            try:
                store.append("orders", body)
            except cairnlog.ClosedError:
                return
            except BaseException as failure:
                failures.append(failure)
                return
            acknowledged.append(body)

    threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    while len(acknowledged) < 20 and not failures:
        pass
    store.close()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    assert failures == []
    with open_store() as again:
        assert again.recovery_report.clean_stop
        stored = {bytes(message.body) for message in again.scan()}
    assert set(acknowledged) <= stored


def test_closing_while_others_read_is_safe(open_store: OpenStore) -> None:
    store = open_store()
    for n in range(100):
        store.append("orders", b"%d" % n * 50)
    started = threading.Barrier(5)
    failures: list[BaseException] = []

    def work() -> None:
        started.wait()
        try:
            while True:
                for message in store.scan():
                    assert bytes(message.body)[:1].isdigit()
        except cairnlog.ClosedError:
            return
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    started.wait()
    store.close()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    assert failures == []


def test_a_second_opener_is_told_who_holds_the_store(
    open_store: OpenStore, directory: Path
) -> None:
    store = open_store()
    with pytest.raises(cairnlog.LockedError) as caught:
        Store.open(directory)
    assert caught.value.status is Status.STORE_LOCKED
    code = (
        "import cairnlog, sys\n"
        "try: cairnlog.Store.open(sys.argv[1])\n"
        "except cairnlog.LockedError as error: sys.exit(str(error))"
    )
    other = subprocess.run(
        [sys.executable, "-c", code, str(directory)], capture_output=True, text=True, check=False
    )
    assert other.returncode == 1
    assert str(directory) in other.stderr
    store.append("orders", b"x")


def test_a_store_that_nobody_holds_any_more_is_closed(
    open_store: OpenStore, directory: Path
) -> None:
    store = Store.open(directory, segment_size_bytes="1M", flush_interval_ms=60_000)
    store.append("orders", b"x")
    del store
    gc.collect()
    with open_store() as again:
        assert again.recovery_report.clean_stop
        assert again.recovery_report.end_offset > 0
        assert bytes(again.read_at(0).body) == b"x"


def test_a_store_left_open_at_exit_is_closed(open_store: OpenStore, directory: Path) -> None:
    code = (
        "import cairnlog, sys, threading\n"
        "store = cairnlog.Store.open(sys.argv[1], segment_size_bytes='1M', flush_mode='sync')\n"
        "futures = [store.append_async('orders', b'%d' % n) for n in range(500)]\n"
        "def follow():\n"
        "    for message in store.tail_log(0): pass\n"
        "threading.Thread(target=follow, daemon=True).start()\n"
    )
    for _ in range(3):
        run = subprocess.run(
            [sys.executable, "-c", code, str(directory)],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert run.returncode == 0, run.stderr
    with open_store() as again:
        assert again.recovery_report.clean_stop
        assert len(list(again.scan())) == 1500


def test_opening_again_recovers_and_counts_on(open_store: OpenStore, directory: Path) -> None:
    with open_store() as store:
        assert (store.recovery_report.created, store.recovery_report.records) == (True, 0)
        end = [store.append("orders", b"x", queue_id=1) for _ in range(3)][-1].end_offset
    with open_store() as store:
        report = store.recovery_report
        assert (report.created, report.clean_stop, report.files) == (False, True, 1)
        assert (report.min_offset, report.end_offset) == (0, end)
        assert (report.bytes_set_aside, report.set_aside, report.files_removed) == (0, None, 0)
        assert report.duration_seconds >= 0
        assert "clean_stop=True" in repr(report)
        assert store.append("orders", b"x", queue_id=1).queue_offset == 3


def test_damage_in_the_middle_is_refused_or_set_aside(
    open_store: OpenStore, directory: Path
) -> None:
    with open_store() as store:
        placed = [store.append("orders", bytes([n]) * 100) for n in range(1, 6)]
    damage_after_crash(directory, placed[2].physical_offset + 120)
    with pytest.raises(cairnlog.CorruptionError) as caught:
        open_store()
    assert caught.value.status is Status.CORRUPTION
    assert caught.value.offset == placed[2].physical_offset
    assert "commitlog" in str(caught.value.path)

    plan = Store.plan_recovery(directory, damage_policy="truncate")
    assert plan.end_offset == placed[2].physical_offset
    assert plan.bytes_set_aside > 0
    with pytest.raises(cairnlog.CorruptionError):
        open_store()

    with open_store(damage_policy="truncate") as store:
        assert len(list(store.scan())) == 2
        report = store.recovery_report
        assert report.bytes_set_aside == plan.bytes_set_aside
        assert report.set_aside is not None
        assert report.set_aside.stat().st_size >= report.bytes_set_aside


def test_a_store_that_is_not_there_is_not_made_unasked(directory: Path) -> None:
    with pytest.raises(cairnlog.StoreNotFoundError) as caught:
        Store.open(directory, create_if_missing=False)
    assert caught.value.status is Status.STORE_NOT_FOUND
    assert not directory.exists()


def test_options_go_by_the_engines_names(open_store: OpenStore, directory: Path) -> None:
    store = open_store(
        segment_size_bytes="64K",
        syncFlushTimeout=3000,
        flush_timed=False,
        store_host=("10.0.0.1", 1),
        flush_mode=None,
        commit_log_paths=[directory / "one", directory / "two"],
    )
    assert store.segment_size_bytes == 65536
    assert store.append("orders", b"x").store_host == ("10.0.0.1", 1)
    assert (directory / "one").is_dir()


@pytest.mark.parametrize(
    "options",
    [{"nope": 1}, {"nope": [1]}, {"flush_mode": "maybe"}, {"segment_size_bytes": 65537}],
    ids=str,
)
def test_impossible_options_are_refused(directory: Path, options: dict[str, Any]) -> None:
    for call in (Store.open, Store.plan_recovery):
        with pytest.raises(cairnlog.InvalidArgumentError) as caught:
            call(directory, **options)
        assert caught.value.status is Status.INVALID_ARGUMENT
    with pytest.raises(TypeError, match="flush_timed"):
        Store.open(directory, flush_timed=[True])  # type: ignore[arg-type]
    assert not directory.exists()


def test_the_stubs_list_every_option() -> None:
    stub = (Path(cairnlog.__file__).parent / "_native.pyi").read_text()
    start = stub.index("    def open(")
    opening = stub[start : stub.index("    @staticmethod", start)]
    lines = [line for line in opening.splitlines() if " | None = ..." in line]
    listed = [line.split(":")[0].strip() for line in lines]
    assert listed == [ours for ours, _ in _native.OPTION_NAMES]
