"""The engine's diagnostics reach Python's logging."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import OpenStore, damage_after_crash

import cairnlog


def within_seconds(seconds: float, done: Callable[[], object]) -> bool:
    """Whether `done` comes true in time; lines are logged by a thread of their own."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if done():
            return True
        time.sleep(0.01)
    return False


def lines(caplog: pytest.LogCaptureFixture, directory: Path) -> list[logging.LogRecord]:
    return [
        record
        for record in caplog.records
        if record.name == "cairnlog" and str(directory) in record.getMessage()
    ]


def test_what_the_engine_tells_is_logged(
    open_store: OpenStore, directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="cairnlog")
    with open_store():
        pass
    assert within_seconds(10, lambda: len(lines(caplog, directory)) >= 2)
    opened, closed = lines(caplog, directory)[:2]
    assert opened.levelno == closed.levelno == logging.INFO
    assert "opened" in opened.getMessage()
    assert "closed" in closed.getMessage()
    assert vars(opened)["target"].startswith("cairnlog")


def test_a_logger_set_to_warnings_gets_warnings_only(
    open_store: OpenStore, directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, logger="cairnlog")
    with open_store() as store:
        placed = [store.append("orders", bytes(100)) for _ in range(4)]
    damage_after_crash(directory, placed[1].physical_offset + 120)
    with open_store(damage_policy="truncate") as store:
        assert len(list(store.scan())) == 1
    assert within_seconds(10, lambda: caplog.records)
    assert {record.levelno for record in caplog.records} == {logging.WARNING}


def test_a_handler_may_use_the_store(open_store: OpenStore, directory: Path) -> None:
    seen: list[int] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            try:
                seen.append(store.stats().messages)
            except cairnlog.ClosedError:
                seen.append(-1)

    handler = Handler()
    logger = logging.getLogger("cairnlog")
    level = logger.level
    store = open_store()
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        open_store(directory.parent / "other").close()
        assert within_seconds(10, lambda: len(seen) >= 2)
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def test_the_last_lines_are_logged_at_exit_and_none_without_a_handler(directory: Path) -> None:
    code = (
        "import cairnlog, logging, sys\n"
        "if sys.argv[2] == 'loud': logging.basicConfig(level=logging.INFO)\n"
        "store = cairnlog.Store.open(sys.argv[1], segment_size_bytes='1M')\n"
    )
    for mode in ("loud", "silent"):
        run = subprocess.run(
            [sys.executable, "-c", code, str(directory), mode],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert run.returncode == 0, run.stderr
        assert ("INFO:cairnlog:store closed" in run.stderr) == (mode == "loud")
        assert run.stderr == "" or mode == "loud"
        assert run.stdout == ""
