"""How far opening a store is."""

from __future__ import annotations

import asyncio
import gc
import logging
import shutil
import subprocess
import sys
import threading
import weakref
from pathlib import Path

import pytest
from conftest import OpenStore

import cairnlog
from cairnlog import RecoveryPhase, RecoveryProgress, Store, _native
from cairnlog.aio import AsyncStore

MESSAGES = 200


@pytest.fixture
def end(directory: Path) -> int:
    """A store of a process that was killed, without its queues; where its log ends."""
    program = f"""
import os, signal, sys, cairnlog
store = cairnlog.Store.open(sys.argv[1], segment_size_bytes=1 << 20)
for number in range({MESSAGES}):
    store.append("orders", b"a message that outlives its process")
store.wait_dispatched(store.max_offset)
print(store.max_offset, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    command = [sys.executable, "-c", program, str(directory)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (-9, "")
    shutil.rmtree(directory / "consumequeue")
    (directory / "checkpoint").unlink(missing_ok=True)
    return int(ended.stdout)


def check(told: list[RecoveryProgress], end: int, *phases: RecoveryPhase) -> None:
    """What is told goes from phase to phase, and each of them to its end."""
    assert [progress.phase for progress in told] == sorted(progress.phase for progress in told)
    for phase in RecoveryPhase:
        of_phase = [progress for progress in told if progress.phase is phase]
        assert bool(of_phase) == (phase in phases)
        done = [progress.bytes_done for progress in of_phase]
        assert done == sorted(done)
        assert all(progress.bytes_done <= progress.bytes_total for progress in of_phase)
        complete = [progress.is_complete for progress in of_phase]
        assert complete == [False] * (len(complete) - 1) + [True] * bool(complete)
        assert done[-1:] == [end] * bool(done)


def test_phases_are_the_same_in_every_language() -> None:
    phases = [(phase.value, phase.name) for phase in RecoveryPhase]
    assert phases == _native.RECOVERY_PHASES


def test_a_killed_store(open_store: OpenStore, end: int) -> None:
    told: list[RecoveryProgress] = []
    threads: set[int] = set()

    def listen(progress: RecoveryProgress) -> None:
        told.append(progress)
        threads.add(threading.get_ident())

    store = open_store(on_recovery_progress=listen)
    assert store.max_offset == end and store.recovery_report.records == MESSAGES
    check(told, end, RecoveryPhase.LOG, RecoveryPhase.QUEUES)
    assert len(threads) == 1
    last = told[-1]
    assert repr(last) == f"RecoveryProgress(QUEUES, bytes_done={end}, bytes_total={end})"
    assert last == told[-1] and last != told[0] and len({last, told[-1]}) == 1
    with pytest.raises(AttributeError):
        last.bytes_done = 0  # type: ignore[misc]


def test_what_opening_would_do(directory: Path, end: int) -> None:
    told: list[RecoveryProgress] = []
    report = Store.plan_recovery(directory, on_recovery_progress=told.append)
    assert report.end_offset == end
    check(told, end, RecoveryPhase.LOG)


def test_with_asyncio(directory: Path, end: int) -> None:
    told: list[RecoveryProgress] = []

    async def main() -> None:
        async with await AsyncStore.open(directory, on_recovery_progress=told.append) as store:
            assert store.max_offset == end

    asyncio.run(main())
    check(told, end, RecoveryPhase.LOG, RecoveryPhase.QUEUES)


@pytest.mark.parametrize("failure", [LookupError("no window"), SystemExit()])
def test_a_failure_ends_the_calls_and_not_the_opening(
    open_store: OpenStore, end: int, failure: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[RecoveryProgress] = []

    def listen(progress: RecoveryProgress) -> None:
        told.append(progress)
        raise failure

    with caplog.at_level(logging.ERROR, "cairnlog"):
        store = open_store(on_recovery_progress=listen)
    assert store.max_offset == end and store.dispatched_offset == end
    assert len(told) == 1
    (logged,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert logged.exc_info and logged.exc_info[1] is failure
    assert logged.getMessage().startswith("the listener failed that was told RecoveryProgress(LOG,")
    caplog.clear()


def test_the_interpreter_is_free_meanwhile(open_store: OpenStore, end: int, tmp_path: Path) -> None:
    other_went_on = threading.Event()
    opened: list[str] = []

    def listen(progress: RecoveryProgress) -> None:
        # Another thread runs, and the library can be used.
        thread = threading.Thread(target=other_went_on.set)
        thread.start()
        assert other_went_on.wait(30)
        thread.join()
        with Store.open(tmp_path / "other", segment_size_bytes=1 << 20) as other:
            other.append("told", progress.phase.name.encode())
            opened.append(progress.phase.name)

    assert open_store(on_recovery_progress=listen).max_offset == end
    assert opened == ["LOG", "QUEUES"]


def test_it_is_let_go_of_when_the_store_is_open(open_store: OpenStore) -> None:
    class Listener:
        def __call__(self, _: RecoveryProgress) -> None:
            pass

    listener = Listener()
    gone = weakref.ref(listener)
    store = open_store(on_recovery_progress=listener)
    del listener
    gc.collect()
    assert gone() is None and not store.closed


def test_what_is_no_callable(directory: Path, open_store: OpenStore) -> None:
    with pytest.raises(TypeError, match="on_recovery_progress"):
        Store.open(directory, on_recovery_progress=1)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="on_recovery_progress"):
        Store.plan_recovery(directory, on_recovery_progress="a")  # type: ignore[arg-type]
    assert not directory.exists()
    with pytest.raises(cairnlog.StoreNotFoundError):
        open_store(create_if_missing=False, on_recovery_progress=None)
