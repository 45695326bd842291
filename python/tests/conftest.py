"""What the tests share: a store's directory, stores that get closed, and a look for leaks."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import cairnlog

MAPS = Path("/proc/self/maps")
DESCRIPTORS = Path("/proc/self/fd")
TASKS = Path("/proc/self/task")

OpenStore = Callable[..., cairnlog.Store]


def mapped_files(directory: Path) -> list[str]:
    """The mappings of files below a directory, where the system can tell."""
    if not MAPS.exists():
        return []
    return [line for line in MAPS.read_text().splitlines() if f"{directory}{os.sep}" in line]


def open_files(directory: Path) -> list[str]:
    """The files below a directory that are open, where the system can tell."""
    paths = []
    for descriptor in DESCRIPTORS.iterdir() if DESCRIPTORS.exists() else ():
        try:
            paths.append(os.readlink(descriptor))
        except OSError:
            continue
    return [path for path in paths if path.startswith(f"{directory}{os.sep}")]


def engine_threads() -> list[str]:
    """The names of the engine's threads in this process, where the system can tell."""
    names = []
    for task in TASKS.iterdir() if TASKS.exists() else ():
        try:
            name = (task / "comm").read_text().strip()
        except OSError:
            continue
        if name.startswith("cairn"):
            names.append(name)
    return names


def damage_after_crash(directory: Path, offset: int) -> None:
    """Changes a byte of a store's log, and makes the store look as if its process had died before
    it noted that anything was sound: what it noted is not read again at the next opening."""
    (log,) = (directory / "commitlog").iterdir()
    with log.open("r+b") as file:
        file.seek(offset)
        file.write(b"\xee")
    (directory / "abort").touch()
    (directory / "checkpoint").unlink()


def wait_until(condition: Callable[[], object]) -> None:
    """Waits for what another thread is about to do."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.fixture(autouse=True)
def nothing_is_left(tmp_path: Path) -> Iterator[None]:
    """After each test no file of its stores is mapped or open, and no thread of theirs runs."""
    yield
    gc.collect()
    assert mapped_files(tmp_path) == []
    assert open_files(tmp_path) == []
    # One that ended, and was joined, is listed for a moment more.
    wait_until(lambda: not engine_threads())
    assert engine_threads() == []


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Where a test's store lies; nothing is there yet."""
    return tmp_path / "store"


@pytest.fixture
def open_store(directory: Path, nothing_is_left: None) -> Iterator[OpenStore]:
    """Opens stores with small files, and closes them after the test."""
    opened: list[cairnlog.Store] = []

    def open_one(path: Path = directory, **options: Any) -> cairnlog.Store:
        options.setdefault("segment_size_bytes", 1 << 20)
        store = cairnlog.Store.open(path, **options)
        opened.append(store)
        return store

    yield open_one
    for store in opened:
        store.close()


@pytest.fixture
def store(open_store: OpenStore) -> cairnlog.Store:
    """An empty store with asynchronous flush."""
    return open_store()
