"""A log file that another program shortens while it is mapped does not end the interpreter."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

# Runs in a process of its own, which may end by a signal.
READER = """
import os, sys
import cairnlog

path, guard = sys.argv[1], sys.argv[2] == "on"
store = cairnlog.Store.open(path, segment_size_bytes="64K", sigbus_guard_enable=guard)
placed = [store.append("orders", b"x" * 1000) for _ in range(10)]
last = store.read_at(placed[9].physical_offset)
body = last.body
assert bytes(body[:4]) == b"xxxx"
file = os.path.join(path, "commitlog", "0" * 20)
os.truncate(file, 4096)
assert not any(body) and bytes(body) == bytes(1000) and body == bytes(1000)
try:
    os.write(os.open(os.devnull, os.O_WRONLY), last.record)
except OSError as error:
    assert error.errno == 14, error
for use in (
    lambda: store.read_at(placed[9].physical_offset),
    lambda: list(store.scan()),
    lambda: store.append("orders", b"late"),
):
    try:
        use()
    except cairnlog.CorruptionError as error:
        assert error.status is cairnlog.Status.WRONG_FILE_SIZE, error
        assert file in str(error), error
    else:
        sys.exit("what is gone was read")
try:
    store.append("orders", b"later")
except cairnlog.FencedError:
    pass
else:
    sys.exit("the store is not fenced")
assert bytes(store.read_at(0).body) == b"x" * 1000
print("alive")
"""


def run(path: Path, guard: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", READER, str(path), guard],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_reads_and_appends_fail_and_the_interpreter_lives(tmp_path: Path) -> None:
    ended = run(tmp_path, "on")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == "alive\n"


def test_without_the_guard_the_signal_ends_it(tmp_path: Path) -> None:
    assert run(tmp_path, "off").returncode == -signal.SIGBUS
