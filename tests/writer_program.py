"""Runs cairnlog-test-writer: stores that cairnlog writes, and what must be in them.

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from build_outputs import built
from stock_judge import Record

_MAX_SECONDS = 180


@dataclass
class Written:
    """What the writer was told by the engine, or read back."""

    root: Path
    records: list[Record] = field(default_factory=list)
    """One for each message, in log order, in the form store_compare takes."""
    blanks: list[Record] = field(default_factory=list)
    """physical_offset and size of each blank."""
    flushed_to: int | None = None
    """With a transient pool: what was flushed before the process was killed."""

    @property
    def end(self) -> int:
        """One past the last byte of the last record."""
        last = self.records[-1]
        return int(last["physical_offset"]) + int(last["total_size"])


def write(scenario: str, root: Path, *, kill: int | None = None) -> Written:
    """Writes a new store; with ``kill`` the process dies after so many messages."""
    return _run(["write", scenario, str(root)], root, kill)


def go_on(root: Path, *, kill: int | None = None) -> Written:
    """Appends 50 messages to a store; only these are in the result."""
    return _run(["continue", str(root)], root, kill)


def dump(root: Path, log_directories: Sequence[str] = ("commitlog",)) -> Written:
    """Reads a store without opening it."""
    directories = [str(root / name) for name in log_directories]
    return _run(["dump", str(root), *directories], root, None)


def _run(words: Sequence[str], root: Path, kill: int | None) -> Written:
    command = [str(built("cairnlog-test-writer")), *words]
    if kill is not None:
        command += ["--kill", str(kill)]
    ended = subprocess.run(command, capture_output=True, timeout=_MAX_SECONDS, check=False)
    wanted = 0 if kill is None else -signal.SIGKILL
    if ended.returncode != wanted:
        text = ended.stderr.decode(errors="replace")
        raise AssertionError(f"{' '.join(command)} ended with {ended.returncode}: {text}")
    written = Written(root)
    for line in ended.stdout.decode("utf-8").splitlines():
        record = json.loads(line)
        if "flushed_to" in record:
            written.flushed_to = record["flushed_to"]
        elif record.pop("blank", False):
            written.blanks.append(record)
        else:
            written.records.append(record)
    return written
