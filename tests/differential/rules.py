"""How outcomes may differ, each way with a name that docs/compatibility.md explains, and what must
never happen.

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .bases import Base
from .views import NONE, Damaged, Kept, Numbers, Ours, Stock

_FILES = ("MISSING_FILE", "FOREIGN_FILE", "WRONG_FILE_SIZE")


@dataclass(frozen=True)
class Outcome:
    """Both views of one store, beside the truth."""

    base: Base
    damaged: Damaged
    stock: Stock
    ours: Ours

    @property
    def stock_keeps(self) -> Numbers:
        """Everything good that RocketMQ returns in any way."""
        kept = self.stock.kept
        return kept.log | kept.queues if kept else NONE

    def behind(self, end: int) -> Numbers:
        """The good records behind an end of the log."""
        truth = self.base.truth
        return frozenset(number for number in self.damaged.intact if truth[number].offset >= end)


def failures(outcome: Outcome) -> list[str]:
    """Returns a sentence for each thing that must never happen."""
    ours = outcome.ours
    # An altered queue offset makes a queue as long as it says.
    long = bool(outcome.damaged.altered)
    told = [one for one in ours.complaints if not (long and " goes from " in one)]
    if any(complaint.startswith(("panicked", "failed")) for complaint in ours.complaints):
        return told
    if ours.kept is not None:
        told += _failures_of(outcome, ours.kept, "the open store")
        told += _lost(outcome, ours.kept.log, "in the log of the open store")
        told += _queues_behind_log(outcome, ours.kept)
        if ours.kept.not_rebuilt and not outcome.damaged.log_changed:
            told.append("queues were not built again although the log is as it was")
        return told
    if ours.changed:
        told.append(f"opening was refused, and changed {', '.join(ours.changed)}")
    told += _lost(outcome, ours.read, "found by a reader of the refused store")
    if ours.cut is not None:
        told += _failures_of(outcome, ours.cut, "the cut store")
        told += _lost(outcome, ours.cut.log | ours.cut_set_aside, "in the cut store or lost+found")
    return told


def _failures_of(outcome: Outcome, kept: Kept, what: str) -> list[str]:
    altered = set(outcome.damaged.altered.values())
    return [
        f"{what} returns something wrong at {place}"
        for place, crc in kept.wrong
        if crc not in altered
    ]


def _lost(outcome: Outcome, kept: Numbers, where: str) -> list[str]:
    told = []
    for who, good in (
        ("RocketMQ keeps", outcome.stock_keeps),
        ("is intact", outcome.damaged.intact),
    ):
        missing = sorted(good - kept)
        if missing:
            first = outcome.base.truth[missing[0]]
            told.append(
                f"{len(missing)} not {where}: the first, which {who}, lay at {first.offset}"
            )
    return told


def _queues_behind_log(outcome: Outcome, kept: Kept) -> list[str]:
    """What is in the log is in its queue, unless an altered record claims another index; or the
    queue is damaged there, and says so."""
    truth = outcome.base.truth
    dispatched = {number for number in kept.log if truth[number].place}
    missing = sorted(dispatched - kept.queues - kept.reported)
    if not missing or outcome.damaged.altered:
        return []
    return [f"{len(missing)} not in their queues: the first is {truth[missing[0]].place}"]


def _same(outcome: Outcome) -> bool:
    stock, ours = outcome.stock.kept, outcome.ours.kept
    if stock is None or ours is None:
        return False
    # Both may return the same altered record.
    wrong = {one for one in ours.wrong if one[0][0] != "log"}
    return (stock.log, stock.queues, set(stock.wrong)) == (ours.log, ours.queues, wrong)


def _neither_opens(outcome: Outcome) -> bool:
    # What cairnlog refuses there has to be wrong in the log, too, or in a state file.
    good = outcome.ours.refused == "CORRUPTION" and not outcome.damaged.log_changed
    good = good and "/config/" not in outcome.ours.said
    return outcome.stock.kept is None and outcome.ours.kept is None and not good


def _rocketmq_does_not_open(outcome: Outcome) -> bool:
    return outcome.stock.kept is None and outcome.ours.kept is not None


def _queue_reported(outcome: Outcome) -> bool:
    ours = outcome.ours.kept
    return ours is not None and bool(ours.reported & ours.log) and _not_more(outcome)


def _files_do_not_fit(outcome: Outcome) -> bool:
    return outcome.stock.kept is not None and outcome.ours.refused in _FILES


def _refused(outcome: Outcome) -> bool:
    corrupt = outcome.ours.refused == "CORRUPTION" and outcome.damaged.log_changed
    return outcome.stock.kept is not None and corrupt


def _state_file(outcome: Outcome) -> bool:
    corrupt = outcome.ours.refused == "CORRUPTION" and "/config/" in outcome.ours.said
    return outcome.stock.kept is not None and corrupt


def _refused_not_cut(outcome: Outcome) -> bool:
    stock = outcome.stock.kept
    return _refused(outcome) and stock is not None and bool(outcome.behind(stock.end))


def _both_open(outcome: Outcome) -> bool:
    return outcome.stock.kept is not None and outcome.ours.kept is not None


def _altered(outcome: Outcome) -> bool:
    return _both_open(outcome) and bool(outcome.damaged.altered)


def _wrong_from_rocketmq(outcome: Outcome) -> bool:
    stock = outcome.stock.kept
    return _both_open(outcome) and stock is not None and bool(stock.wrong) and _not_more(outcome)


def _cut_by_rocketmq(outcome: Outcome) -> bool:
    stock, ours = outcome.stock.kept, outcome.ours.kept
    return stock is not None and ours is not None and stock.log < ours.log and _not_more(outcome)


def _behind_in_rocketmq(outcome: Outcome) -> bool:
    stock, ours = outcome.stock.kept, outcome.ours.kept
    return stock is not None and ours is not None and stock.log == ours.log and _not_more(outcome)


def _not_more(outcome: Outcome) -> bool:
    """RocketMQ returns nothing good that cairnlog does not return, be it after queues that it says
    are damaged were built again."""
    stock, ours = outcome.stock.kept, outcome.ours.kept
    return (
        stock is not None
        and ours is not None
        and (stock.log <= ours.log and stock.queues <= ours.queues | ours.reported)
    )


RULES: dict[str, Callable[[Outcome], bool]] = {
    "same": _same,
    "neither-opens": _neither_opens,
    "rocketmq-does-not-open": _rocketmq_does_not_open,
    "files-do-not-fit": _files_do_not_fit,
    "state-file-refused": _state_file,
    "refused-not-cut": _refused_not_cut,
    "refused-not-passed-over": _refused,
    "altered-outside-the-body": _altered,
    "queue-damage-reported": _queue_reported,
    "wrong-from-rocketmq": _wrong_from_rocketmq,
    "cut-by-rocketmq": _cut_by_rocketmq,
    "queues-behind-in-rocketmq": _behind_in_rocketmq,
}
"""The first that holds counts."""


def classify(outcome: Outcome) -> str | None:
    """Returns the name of the rule, or None: then the outcome is one that nobody thought of."""
    for name, holds in RULES.items():
        if holds(outcome):
            return name
    return None
