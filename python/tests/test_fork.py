"""A child made by fork() must not use its parent's store, and does it no harm."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from conftest import OpenStore

import cairnlog

# Runs in a process of its own: a fork of the test runner would carry pytest along.
PARENT = """
import os, sys, threading, warnings
import cairnlog
warnings.simplefilter("ignore", DeprecationWarning)

store = cairnlog.Store.open(sys.argv[1], segment_size_bytes="1M", flush_mode="sync")
store.append("orders", b"parent")
consumer = store.consumer("billing", "orders", start_from="first")
delivery = next(consumer)
push = store.subscribe("shipping", "orders", print)
waiting = threading.Thread(target=lambda: consumer.poll(timeout=2))
waiting.start()
child = os.fork()
if child == 0:
    uses = [
        lambda: consumer.poll(),
        lambda: next(consumer),
        lambda: consumer.acknowledge(delivery),
        lambda: delivery.retry_later(),
        lambda: consumer.assigned,
        lambda: consumer.seek("orders", 0, 0),
        lambda: consumer.commit(),
        lambda: consumer.close(),
        lambda: store.consumer("billing", "orders"),
        lambda: store.subscribe("billing", "orders", print),
        lambda: store.groups(),
        lambda: store.commit_offset("billing", "orders", 0, 1),
        lambda: store.remove_expired(),
        lambda: store.append("orders", b"child"),
        lambda: store.append_async("orders", b"child"),
        lambda: store.append_many([cairnlog.Message("orders", b"child")]),
        lambda: store.flush(),
        lambda: store.close(),
        lambda: store.read_at(0),
        lambda: store.read("orders", 0, 0),
        lambda: next(store.tail("orders")),
        lambda: store.wait_message("orders", 0, 0),
        lambda: cairnlog.Store.open(sys.argv[2]),
    ]
    for use in uses:
        try:
            use()
        except cairnlog.ForkedError as error:
            assert error.status is cairnlog.Status.FORKED
        else:
            os._exit(10)
    push.close()
    del uses, use, push, delivery, waiting, consumer
    # An ordinary exit, with atexit functions and destructors.
    sys.exit(0)
_, status = os.waitpid(child, 0)
assert os.waitstatus_to_exitcode(status) == 0, status
assert delivery.acknowledge()
push.close()
waiting.join()
store.append("orders", b"parent again")
assert [bytes(m.body) for m in store.scan()] == [b"parent", b"parent again"]
store.close()
"""


# The parent's store is closed before the fork: the child may open its own.
LATER = """
import os, sys
import cairnlog

with cairnlog.Store.open(sys.argv[1], segment_size_bytes="1M", flush_mode="sync") as store:
    store.append("orders", b"parent")
child = os.fork()
if child == 0:
    with cairnlog.Store.open(sys.argv[2], segment_size_bytes="1M", flush_mode="sync") as own:
        own.append_async("orders", b"of the child").result(30)
    sys.exit(0)
_, status = os.waitpid(child, 0)
assert os.waitstatus_to_exitcode(status) == 0, status
with cairnlog.Store.open(sys.argv[1], flush_mode="sync") as store:
    store.append("orders", b"parent again")
"""


def run(code: str, *paths: Path) -> None:
    assert hasattr(os, "fork")
    ended = subprocess.run(
        [sys.executable, "-c", code, *map(str, paths)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode == 0, ended.stderr


def bodies(store: cairnlog.Store) -> list[bytes]:
    assert store.recovery_report.clean_stop
    return [bytes(message.body) for message in store.scan()]


def test_a_forked_child_is_refused(open_store: OpenStore, tmp_path: Path) -> None:
    run(PARENT, tmp_path / "store", tmp_path / "child")
    assert bodies(open_store(tmp_path / "store")) == [b"parent", b"parent again"]
    assert not (tmp_path / "child").exists()


def test_a_child_forked_without_open_stores_opens_its_own(
    open_store: OpenStore, tmp_path: Path
) -> None:
    run(LATER, tmp_path / "store", tmp_path / "child")
    assert bodies(open_store(tmp_path / "store")) == [b"parent", b"parent again"]
    assert bodies(open_store(tmp_path / "child")) == [b"of the child"]
