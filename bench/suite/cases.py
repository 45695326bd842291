"""Cases, and the rounds they are measured in."""

from __future__ import annotations

import dataclasses
import mmap
import os
import pathlib
import sys
from collections.abc import Callable

from .syncs import Counter

Results = dict[str, list[dict]]

# Memory that is touched before a case that fills new memory.
TOUCHED_BYTES = 8 << 30


@dataclasses.dataclass(frozen=True)
class Context:
    """What every case may use."""

    # Where stores are made; every case removes its own.
    directory: pathlib.Path
    # Where the programs are.
    binaries: pathlib.Path
    # Where those that drive other stores are, if they are built.
    peers: pathlib.Path
    # How much is measured: "full", "quick", or "smoke" with figures that mean nothing.
    amount: str
    rounds: int
    # How long a case of one round appends.
    seconds: float
    # Counts syncs, if anything here can.
    counter: Counter | None


@dataclasses.dataclass(frozen=True)
class Case:
    """Something that is measured in rounds."""

    name: str
    # Measures one round. Raises when that fails, which ends the whole run.
    measure: Callable[[Context], dict]
    # Cases of one group are measured one right after the other: those that are to be compared.
    group: str
    # Measured in the first round only, by a program that has rounds of its own.
    once: bool = False
    # Fills new memory as fast as it can, so that this has to be in the machine before.
    memory: bool = False


def touch_memory() -> None:
    """Has most of the free memory in the machine.

    A virtual machine gives free memory back to its host, and to get it again takes ten times as
    long as to fill it: host and kernel would be measured, not a store. The system gives out free
    memory in no order of use, so that it takes much more than a store needs.
    """
    available = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    size = min(TOUCHED_BYTES, available // 2)
    with mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_POPULATE):
        pass


def in_groups(cases: list[Case]) -> list[list[Case]]:
    """Groups in the order of their first case."""
    groups: dict[str, list[Case]] = {}
    for case in cases:
        groups.setdefault(case.group, []).append(case)
    return list(groups.values())


def measure(context: Context, cases: list[Case]) -> Results:
    """Every case in every round. Each round begins with another case of a group, since whoever
    comes first finds the machine another way than those behind."""
    results: Results = {case.name: [] for case in cases}
    assert len(results) == len(cases), "two cases have one name"
    for number in range(context.rounds):
        for group in in_groups(cases):
            first = number % len(group)
            for case in group[first:] + group[:first]:
                if not (case.once and number):
                    print(f"round {number + 1}: {case.name}", file=sys.stderr, flush=True)
                    if case.memory and context.amount != "smoke":
                        touch_memory()
                    results[case.name].append(case.measure(context))
    return results
