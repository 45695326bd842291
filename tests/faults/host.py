"""A host of a store in a process of its own, and what it was told of its messages.

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

import errno
import json
import os
import select
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# After so long a host that does not answer counts as hanging.
PATIENCE_S = 40

# Small files, so that a few hundred messages fill some of each.
SMALL = (
    "segment_size_bytes=262144",
    "reserve_ahead_bytes=1048576",
    "consume_queue_file_size_bytes=2000",
    "max_hash_slot_num=100",
    "max_index_num=50",
)

MODES: dict[str, tuple[str, ...]] = {
    "async": ("flush_mode=ASYNC_FLUSH",),
    "sync": ("flush_mode=SYNC_FLUSH",),
    "pool": (
        "flush_mode=SYNC_FLUSH",
        "transient_store_pool_enable=true",
        "transient_store_pool_size=2",
    ),
    "warm": ("flush_mode=ASYNC_FLUSH", "warm_mapped_file_enable=true"),
}

STATUSES = {
    errno.ENOSPC: "DISK_FULL",
    errno.EDQUOT: "DISK_FULL",
    errno.EROFS: "READ_ONLY_FILE_SYSTEM",
    errno.ENOMEM: "OUT_OF_MEMORY",
    errno.EMFILE: "TOO_MANY_OPEN_FILES",
    errno.EFBIG: "FILE_TOO_LARGE",
    errno.ENOENT: "PATH_NOT_FOUND",
}

Told = dict[str, Any]


class Wrong(Exception):
    """What the engine promises does not hold."""


@dataclass
class Ledger:
    """What was told of each message, by its number."""

    stored: dict[int, list[int]] = field(default_factory=dict)
    refused: set[int] = field(default_factory=set)
    next: int = 0

    def note(self, told: Told) -> None:
        """Takes down the answer to ``append``."""
        for number, offset, queue_offset in told.get("stored", []):
            self.stored[number] = [number, offset, queue_offset]
            self.next = number + 1
        if "refused" in told:
            self.next = told["refused"] + 1
            if not told["error"]["appended"]:
                self.refused.add(told["refused"])

    def check(self, told: Told) -> None:
        """Compares with the answer to ``read``."""
        if "wrong" in told:
            raise Wrong(f"the message at {told['wrong']} has a wrong body")
        found = {line[0]: line for line in told["found"]}
        for number, line in self.stored.items():
            if found.get(number) != line:
                raise Wrong(f"{line} was acknowledged, and {found.get(number)} is there")
        there = self.refused.intersection(found)
        if there:
            raise Wrong(f"{sorted(there)} were refused and are there")


class Host:
    """The process. As a context it is ended, and must end as any other does."""

    def __init__(
        self,
        program: Path,
        directory: Path,
        options: Sequence[str],
        *,
        ledger: Ledger | None = None,
        before: Callable[[], None] | None = None,
        environment: dict[str, str] | None = None,
        under: Sequence[str] = (),
    ) -> None:
        self.ledger = ledger if ledger is not None else Ledger()
        words = [str(program), "probe", str(directory), *SMALL, *options]
        self.process = subprocess.Popen(
            [*under, *words, f"next={self.ledger.next}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            preexec_fn=before,
            env={**os.environ, **(environment or {})},
        )
        self._line = b""

    def __enter__(self) -> Host:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self.process.kill()
            self.process.communicate()
            return
        self.end()

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self.process.pid

    def tell(self, command: str) -> Told:
        """Gives a command and returns the answer."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(command.encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            self._ended(command)
        told: Told = json.loads(self._read_line(command))
        if command.startswith("append"):
            self.ledger.note(told)
        elif command == "read" and told["error"] is None:
            self.ledger.check(told)
        return told

    def ok(self, command: str) -> Told:
        """Gives a command that must succeed."""
        told = self.tell(command)
        if told.get("late") or told["error"] is not None:
            raise Wrong(f"{command} fails: {told}")
        return told

    def refused(self, command: str, number: int, *more: str) -> Told:
        """Gives a command that fails with an error of the system."""
        told = self.tell(command)
        if told.get("error") is None:
            raise Wrong(f"{command} does not fail: {told}")
        check_error(command, told, number, *more)
        return told

    def either(self, command: str, number: int, *more: str) -> bool:
        """Gives a command that succeeds or fails with an error of the system; true if it did not
        fail."""
        told = self.tell(command)
        if told.get("late"):
            raise Wrong(f"{command} does not come to an end: {told}")
        if told["error"] is not None:
            check_error(command, told, number, *more)
        return told["error"] is None

    def end(self) -> None:
        """Lets the process end, which it has to do by itself and with success."""
        try:
            _, complaint = self.process.communicate(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise Wrong("the process does not end") from None
        if self.process.returncode != 0:
            text = complaint.decode(errors="replace")
            raise Wrong(f"the process ended with {self.process.returncode}: {text}")

    def _read_line(self, command: str) -> bytes:
        assert self.process.stdout is not None
        deadline = time.monotonic() + PATIENCE_S
        while b"\n" not in self._line:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.process.stdout], [], [], left)[0]:
                raise Wrong(f"{command} hangs")
            more = os.read(self.process.stdout.fileno(), 1 << 16)
            if not more:
                self._ended(command)
            self._line += more
        line, _, self._line = self._line.partition(b"\n")
        return line

    def _ended(self, command: str) -> None:
        _, complaint = self.process.communicate()
        text = complaint.decode(errors="replace")
        raise Wrong(f"the process ended with {self.process.returncode} at {command}: {text}")


def check_error(command: str, told: Told, number: int, *more: str) -> None:
    """Fails unless the answer tells of the system's error, or of one of the statuses ``more``."""
    error = told["error"]
    first = error["status"] == STATUSES.get(number, "IO") and error["os"] == number
    again = ("FENCED", "DISPATCH_BLOCKED")
    later = error["status"] in again and f"(os error {number})" in error["text"]
    if not first and not later and error["status"] not in more:
        raise Wrong(f"{command} does not tell of error {number}: {error}")


def verify(program: Path, directory: Path, options: Sequence[str], ledger: Ledger) -> None:
    """Opens the store where nothing fails: everything is there, and it goes on."""
    with Host(program, directory, options, ledger=ledger) as host:
        host.ok("open")
        host.ok("dispatch")
        told = host.ok("read")
        if told["queued"] != len(told["found"]):
            raise Wrong(f"the queue has {told['queued']} of {len(told['found'])} messages")
        host.ok("append 3 100")
        host.ok("dispatch")
        host.ok("read")
        host.ok("close")
