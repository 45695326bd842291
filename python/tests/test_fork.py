"""A child made by fork() must not use its parent's store, and does it no harm."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from conftest import OpenStore

# Runs in a process of its own: a fork of the test runner would carry pytest along.
PARENT = """
import os, sys, warnings
import cairnlog
warnings.simplefilter("ignore", DeprecationWarning)

store = cairnlog.Store.open(sys.argv[1], segment_size_bytes="1M", flush_mode="sync")
store.append("orders", b"parent")
child = os.fork()
if child == 0:
    uses = [
        lambda: store.append("orders", b"child"),
        lambda: store.append_async("orders", b"child"),
        lambda: store.append_many([cairnlog.Message("orders", b"child")]),
        lambda: store.flush(),
        lambda: store.close(),
    ]
    for use in uses:
        try:
            use()
        except cairnlog.ForkedError as error:
            assert error.status is cairnlog.Status.FORKED
        else:
            os._exit(10)
    with cairnlog.Store.open(sys.argv[2], segment_size_bytes="1M", flush_mode="sync") as own:
        own.append("orders", b"of the child")
    # An ordinary exit, with atexit functions and destructors.
    sys.exit(0)
_, status = os.waitpid(child, 0)
assert os.waitstatus_to_exitcode(status) == 0, status
store.append("orders", b"parent again")
assert [bytes(m.body) for m in store.scan()] == [b"parent", b"parent again"]
store.close()
"""


def test_a_forked_child_is_refused(open_store: OpenStore, tmp_path: Path) -> None:
    assert hasattr(os, "fork")
    stores = [tmp_path / "store", tmp_path / "child"]
    run = subprocess.run(
        [sys.executable, "-c", PARENT, *map(str, stores)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert run.returncode == 0, run.stderr
    for path, count in zip(stores, (2, 1), strict=True):
        with open_store(path) as store:
            assert store.recovery_report.clean_stop
            assert len(list(store.scan())) == count
