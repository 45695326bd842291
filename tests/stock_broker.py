"""Runs a stock RocketMQ 5.3.3 broker over a store directory, and asks it as clients do.

The broker is that of the judge's jars, in a process of its own that listens on the loopback
interface on a free port. It has no name server. It ends when it is closed, when this process ends,
and after some minutes in any case.

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any

from stock_judge import JudgeError, build, java

Record = dict[str, Any]

_MAIN = "io.cairnlog.stock.Broker"
# A program of some seconds: to make it fast would take longer than to run it.
_SHORT_LIVED = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")

LOG_SIZE = 64 * 1024
QUEUE_SIZE = 2_000
INDEX_SLOTS = 1_000
INDEX_ITEMS = 4_000


class StockBroker:
    """A broker over a directory, which it changes; the messages it tells of are dicts."""

    def __init__(self, root: Path) -> None:
        scratch = build() / "tmp"
        scratch.mkdir(exist_ok=True)
        self._work = tempfile.TemporaryDirectory(prefix="broker", dir=scratch)
        work = Path(self._work.name)
        self._log = work / "standard-error"
        sizes = map(str, (LOG_SIZE, QUEUE_SIZE, INDEX_SLOTS, INDEX_ITEMS))
        with self._log.open("wb") as error:
            self._process = subprocess.Popen(
                [*java("533", work, _MAIN, *_SHORT_LIVED), str(root.resolve()), *sizes],
                cwd=work,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=error,
                encoding="utf-8",
            )
        self._killed = False
        self._answer()

    def __enter__(self) -> StockBroker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        if error is not None:
            self.kill()
        self._process.stdin.close()
        code = self._process.wait(60)
        self._process.stdout.close()
        if code != 0 and not self._killed:
            raise self._failure()
        self._work.cleanup()

    def kill(self) -> None:
        """Ends the broker at once, in the middle of whatever it does."""
        self._killed = True
        self._process.kill()

    def offset(self, group: str, topic: str, queue: int) -> int | None:
        """Where a group goes on; None for a group that the broker knows nothing of."""
        offset: int | None = self._ask("offset", group, topic, queue)
        return offset

    def commit(self, group: str, topic: str, queue: int, offset: int) -> None:
        """Says that a group goes on at ``offset``."""
        self._ask("commit", group, topic, queue, offset)

    def pull(self, group: str, topic: str, queue: int, offset: int, count: int) -> list[Record]:
        """The messages from ``offset`` on; fewer than ``count`` if they do not come in 20 s."""
        pulled: list[Record] = self._ask("pull", group, topic, queue, offset, count)
        return pulled

    def send(
        self, topic: str, queue: int, body: str, *, delay: int = 0, group: str = "-"
    ) -> Record:
        """Sends a message, a half message if there is a group of producers."""
        sent: Record = self._ask("send", topic, queue, body, delay, group)
        return sent

    def end(self, group: str, half: Record, how: str) -> None:
        """Ends the transaction of a half message by "commit" or "rollback"."""
        self._ask("end", group, half["queue_offset"], half["physical_offset"], how)

    def produce(self, group: str) -> None:
        """Becomes a producer of a group: it is asked about the group's open transactions."""
        self._ask("producer", group)

    def next_check(self) -> Record:
        """What the broker asks about next: a half message. Fails if nothing comes in 20 s."""
        check: Record | None = self._ask("check")
        assert check is not None, "the broker asks about no transaction"
        return check

    def _ask(self, *words: object) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write("\t".join(map(str, words)) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.wait(60)
            raise self._failure()
        return json.loads(line)

    def _failure(self) -> JudgeError:
        tail = self._log.read_text("utf-8", errors="replace")[-4000:]
        return JudgeError(f"the broker ended with {self._process.returncode}\n{tail}")
