"""Appends, measured by `cairnlog bench` in turns with their floor."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Callable

from . import figures, syncs
from .cases import Case, Context, Results

# As RocketMQ does it, and the floors: a CRC of the body, and none of the whole record.
BODY_CRC_ONLY = pathlib.Path(__file__).with_name("body_crc_only.conf")
ASYNC_FLOOR = "copy the record and compute its CRC, into a mapped, touched file"
SYNC_FLOOR = "pwrite and fdatasync, one by one"


@dataclasses.dataclass(frozen=True)
class Work:
    """What is appended, and how."""

    mode: str
    # Bytes of a body.
    size: int
    threads: int
    # Appends of each thread that are on their way at a time.
    inflight: int = 1

    def __str__(self) -> str:
        name = f"{self.mode} append, {self.size} B"
        name += f", {self.threads} threads" if self.threads > 1 else ", 1 thread"
        return name + (f", {self.inflight} in flight" if self.inflight > 1 else "")

    def arguments(self) -> list[str]:
        """For `cairnlog bench`, and for those of other stores that do the same work."""
        words = ["--json", "--mode", self.mode, "--size", str(self.size)]
        return words + ["--threads", str(self.threads), "--inflight", str(self.inflight)]


# With the ratio to the floor that is to be reached.
WORKS = {
    Work("async", 1024, 1): None,
    Work("async", 100, 1): None,
    Work("async", 1024, 2): None,
    Work("sync", 1024, 1): 0.95,
    Work("sync", 1024, 16): 6,
    Work("sync", 1024, 64): 16,
    Work("sync", 1024, 128): 20,
    Work("sync", 1024, 1, 64): 35,
    Work("sync", 1024, 1, 512): 110,
}
# Enough to see that everything runs.
SMOKE = [Work("async", 100, 1), Work("sync", 1024, 1), Work("sync", 1024, 1, 64)]


def works(context: Context) -> list[Work]:
    """Those that are measured."""
    return SMOKE if context.amount == "smoke" else list(WORKS)


def measure(work: Work, context: Context) -> dict:
    """One round, as the object the tool prints."""
    words = [str(context.binaries / "cairnlog"), "bench", str(context.directory), "--floor"]
    words += ["--conf", str(BODY_CRC_ONLY)]
    words += work.arguments()
    return syncs.measured(
        context.counter, lambda seconds: [*words, "--seconds", str(seconds)], context.seconds
    )


def case(name: str, measure_round: Callable[[Context], dict], work: Work) -> Case:
    """Of this work, by cairnlog or another store."""
    memory = work.mode == "async" or work.inflight > 1
    return Case(name, measure_round, str(work), memory=memory)


def cases(context: Context) -> list[Case]:
    """One for each work."""
    return [case(str(work), functools.partial(measure, work), work) for work in works(context)]


def rows(context: Context, results: Results) -> list[dict]:
    """One for each work, beside its floor."""
    return [row(work, WORKS[work], results[str(work)]) for work in works(context)]


def row(work: Work, target: float | None, rounds: list[dict]) -> dict:
    """The rounds of one work."""
    made = figures.row(
        str(work),
        "records/s",
        [result["messages_per_second"] for result in rounds],
        ASYNC_FLOOR if work.mode == "async" else SYNC_FLOOR,
        [result["floor_messages_per_second"] for result in rounds],
        None if target is None else {"ratio_at_least": target},
    )
    made["latency"] = figures.latency(rounds)
    made["syncs_per_record"] = syncs.per_record(rounds)
    return made
