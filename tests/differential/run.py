"""Damages stores at random, has the stock store and cairnlog open each, and compares.

    PYTHONPATH=tests python -m differential.run [--stores N] [--seed N] [--only N]

Fails when cairnlog keeps less than RocketMQ, loses anything that is good, returns anything wrong,
or when an outcome differs in a way that has no name in docs/compatibility.md. ``--only`` repeats
one store of a seed and says what both made of it. Counts go to target/differential.json.

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from build_outputs import CHECKOUT
from stock_judge import RELEASES, Record, Release, build

from .bases import Base, make_bases
from .damage import damage
from .rules import Outcome, classify, failures
from .survey import Asked, ask_cairnlog, ask_stock
from .views import look_at_damage, our_view, stock_view

_BATCH = 250
_OTHER_RELEASE = 0.15
_MEMORY = Path("/dev/shm")


@dataclass
class Case:
    """One damaged store."""

    number: int
    base: Base
    release: Release
    told: list[str]

    def name(self, seed: int) -> str:
        text = "; ".join(self.told)
        return f"store {self.number} of seed {seed} ({self.base.name}, {self.release}): {text}"


@dataclass
class Result:
    """What came of a run."""

    seed: int
    classes: Counter[str] = field(default_factory=Counter)
    releases: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def add(self, case: Case, outcome: Outcome) -> None:
        """Counts one outcome, and notes what is wrong with it."""
        told = failures(outcome)
        rule = classify(outcome)
        if rule is None and not told:
            told = [f"differs in a way that has no name: {describe(outcome)}"]
        self.classes[rule or "no rule"] += 1
        self.releases[case.release] += 1
        self.statuses[outcome.ours.refused or "opened"] += 1
        self.failures += [f"{case.name(self.seed)}: {text}" for text in told]


def describe(outcome: Outcome) -> str:
    """Says in numbers what both made of a store."""
    stock, ours = outcome.stock, outcome.ours
    all_records, intact = len(outcome.base.truth), len(outcome.damaged.intact)
    text = (
        f"{all_records} records, {intact} intact, {len(outcome.damaged.altered)} altered; RocketMQ "
    )
    if stock.kept is None:
        text += f"did not open it ({stock.said})"
    else:
        kept = stock.kept
        text += f"ends at {kept.end}, {len(kept.log)} in the log, {len(kept.queues)} in queues, "
        text += f"{len(kept.wrong)} wrong"
    kept_by_us = ours.kept or ours.cut
    if ours.kept is None:
        text += (
            f"; cairnlog refused with {ours.refused} ({ours.said}), readers find {len(ours.read)}"
        )
        text += ", cut it"
    if kept_by_us is not None:
        text += f"; cairnlog ends at {kept_by_us.end}, {len(kept_by_us.log)} in the log, "
        text += f"{len(kept_by_us.queues)} in queues, {len(kept_by_us.wrong)} wrong, "
        text += f"{len(ours.set_aside | ours.cut_set_aside)} set aside, damage: {ours.damage}"
    return text


def make_cases(
    bases: Sequence[Base], seed: int, numbers: Sequence[int], work: Path
) -> Iterator[Case]:
    """Damages a store for each number, in the directories stock/N and ours/N."""
    for number in numbers:
        rng = Random(f"{seed}/{number}")
        base = rng.choice(bases)
        other = rng.random() < _OTHER_RELEASE
        release: Release = "498" if other and "498" in base.releases else "533"
        ours = work / "ours" / str(number)
        shutil.copytree(base.root, ours)
        told = damage(rng, ours, base)
        shutil.copytree(ours, work / "stock" / str(number))
        yield Case(number, base, release, told)


def look(cases: Sequence[Case], work: Path) -> Iterator[tuple[Case, Outcome]]:
    """Has both open the stores of a batch, side by side."""
    damaged = [look_at_damage(work / "stock" / str(case.number), case.base) for case in cases]

    def stock(release: Release) -> dict[Path, Record]:
        asked = [
            Asked(work / "stock" / str(case.number), case.base)
            for case in cases
            if case.release == release
        ]
        return ask_stock(release, asked, work) if asked else {}

    with ThreadPoolExecutor() as pool:
        surveys = [pool.submit(stock, release) for release in RELEASES]
        asked = [Asked(work / "ours" / str(case.number), case.base) for case in cases]
        ours = ask_cairnlog(asked, work)
        lines = {path: line for survey in surveys for path, line in survey.result().items()}
    for case, left in zip(cases, damaged, strict=True):
        from_stock = stock_view(lines[work / "stock" / str(case.number)], case.base)
        from_us = our_view(ours[work / "ours" / str(case.number)], case.base)
        yield case, Outcome(case.base, left, from_stock, from_us)


def run(seed: int, numbers: Sequence[int], *, verbose: bool = False) -> Result:
    """Makes, asks about and judges so many stores."""
    build()
    result = Result(seed)
    with tempfile.TemporaryDirectory(prefix="differential", dir=_scratch()) as directory:
        bases = make_bases(Path(directory) / "bases")
        for begin in range(0, len(numbers), _BATCH):
            work = Path(directory) / f"batch-{begin}"
            cases = list(make_cases(bases, seed, numbers[begin : begin + _BATCH], work))
            for case, outcome in look(cases, work):
                result.add(case, outcome)
                if verbose:
                    print(f"{case.name(seed)}\n  {classify(outcome)}: {describe(outcome)}")
            shutil.rmtree(work)
    return result


def _scratch() -> str | None:
    """Stores are small and many: memory serves better than a disk, unless somebody says else."""
    if "TMPDIR" not in os.environ and os.access(_MEMORY, os.W_OK):
        return str(_MEMORY)
    return None


def main() -> int:
    """Runs from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stores", type=int, default=100)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--only", type=int, default=None)
    arguments = parser.parse_args()
    seed = Random().randrange(1 << 32) if arguments.seed is None else arguments.seed
    numbers = range(arguments.stores) if arguments.only is None else [arguments.only]
    began = time.monotonic()
    result = run(seed, numbers, verbose=arguments.only is not None)
    seconds = round(time.monotonic() - began, 1)
    report = {
        "seed": seed,
        "stores": len(numbers),
        "seconds": seconds,
        "releases": dict(sorted(result.releases.items())),
        "classes": dict(result.classes.most_common()),
        "cairnlog": dict(result.statuses.most_common()),
        "failures": result.failures,
    }
    (CHECKOUT / "target").mkdir(exist_ok=True)
    path = CHECKOUT / "target" / "differential.json"
    path.write_text(json.dumps(report, indent=2) + "\n", "utf-8")
    for text in result.failures[:40]:
        print(text)
    counts = ", ".join(f"{count} {name}" for name, count in result.classes.most_common())
    print(f"seed {seed}: {len(numbers)} stores in {seconds} s: {counts}")
    print(f"{len(result.failures)} failures; the counts are in {path.relative_to(CHECKOUT)}")
    if result.failures:
        print(f"one again: make differential SEED={seed} ONLY=NUMBER")
    return 1 if result.failures else 0


if __name__ == "__main__":
    sys.exit(main())
