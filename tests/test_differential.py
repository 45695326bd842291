"""Damage comes again from its seed, outcomes have the right names, and losses are noticed.

`make differential` runs the comparison itself.

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

import filecmp
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from build_outputs import CHECKOUT
from differential.bases import Base, make_bases
from differential.rules import RULES, Outcome, classify, failures
from differential.run import make_cases
from differential.survey import Asked, ask_cairnlog, ask_stock
from differential.views import (
    Damaged,
    Kept,
    Numbers,
    Ours,
    Stock,
    look_at_damage,
    our_view,
    stock_view,
)

SEED = 20_26


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> list[Base]:
    return make_bases(tmp_path_factory.mktemp("bases"))


@pytest.fixture(scope="module")
def base(bases: list[Base]) -> Base:
    return bases[0]


def everything(base: Base) -> Numbers:
    return frozenset(range(len(base.truth)))


def sound(base: Base) -> Outcome:
    """An outcome of a store that was not damaged."""
    records = everything(base)
    dispatched = frozenset(number for number in records if base.truth[number].place)
    kept = Kept(records, dispatched, end=base.end)
    return Outcome(base, Damaged(set(records)), Stock(kept), Ours(kept))


def test_a_sound_store_has_nothing_to_tell_of(base: Base) -> None:
    assert failures(sound(base)) == []
    assert classify(sound(base)) == "same"


def without(records: Numbers, *numbers: int) -> Numbers:
    return records - set(numbers)


def test_what_rocketmq_keeps_must_not_be_lost(base: Base) -> None:
    outcome = sound(base)
    last = len(base.truth) - 1
    kept = outcome.ours.kept
    assert kept is not None
    less = replace(kept, log=without(kept.log, last), queues=without(kept.queues, last))
    lost = replace(outcome, ours=replace(outcome.ours, kept=less))
    assert "RocketMQ keeps" in failures(lost)[0]
    assert "is intact" in failures(lost)[1]
    assert classify(lost) is None
    # Copied to lost+found by an opening that was not refused, it is lost to readers all the same.
    aside = replace(lost, ours=replace(lost.ours, set_aside=frozenset({last})))
    assert failures(aside) == failures(lost)


def test_a_message_must_be_in_its_queue(base: Base) -> None:
    outcome = sound(base)
    kept = outcome.ours.kept
    assert kept is not None
    less = replace(kept, queues=without(kept.queues, 3))
    (told,) = failures(replace(outcome, ours=replace(outcome.ours, kept=less)))
    assert str(base.truth[3].place) in told


def test_queues_must_be_built_again_from_a_log_that_nobody_damaged(base: Base) -> None:
    outcome = sound(base)
    kept = outcome.ours.kept
    assert kept is not None
    reported = frozenset({3})
    left = replace(kept, queues=kept.queues - reported, reported=reported, not_rebuilt=True)
    told = replace(outcome, ours=replace(outcome.ours, kept=left))
    assert "were not built again" in failures(told)[0]
    told.damaged.log_changed = True
    assert failures(told) == []
    assert classify(told) == "queue-damage-reported"


def test_nothing_wrong_may_be_returned(base: Base) -> None:
    outcome = sound(base)
    kept = outcome.ours.kept
    assert kept is not None
    wrong = replace(kept, wrong=((("orders", 0, 7), 4711),))
    told = replace(outcome, ours=replace(outcome.ours, kept=wrong))
    assert "wrong at ('orders', 0, 7)" in failures(told)[0]
    # No CRC covers what is not the body, unless the store was told to write one.
    told.damaged.altered[7] = 4711
    assert failures(told) == []
    assert classify(told) == "altered-outside-the-body"


def test_a_refusal_changes_nothing_and_leaves_everything_readable(base: Base) -> None:
    outcome = sound(base)
    records = everything(base)
    refused = replace(outcome, ours=Ours(None, refused="CORRUPTION", read=records))
    assert failures(refused) == []
    assert classify(refused) is None, "a log that nobody damaged was refused"
    refused.damaged.log_changed = True
    assert classify(refused) == "refused-not-passed-over"
    changed = replace(refused, ours=replace(refused.ours, changed=("commitlog/0",)))
    assert "changed commitlog/0" in failures(changed)[0]
    unread = replace(refused, ours=replace(refused.ours, read=without(records, 5)))
    assert "by a reader" in failures(unread)[0]
    cut = replace(refused, ours=replace(refused.ours, cut=Kept(without(records, 5))))
    assert "lost+found" in failures(cut)[0]
    aside = replace(cut, ours=replace(cut.ours, cut_set_aside=frozenset({5})))
    assert failures(aside) == []


def test_every_rule_is_explained() -> None:
    text = (CHECKOUT / "docs" / "compatibility.md").read_text("utf-8")
    named = re.findall(r"^\| `([a-z-]+)` \|", text, re.M)
    assert named == list(RULES)


def test_the_same_seed_damages_the_same(bases: list[Base], tmp_path: Path) -> None:
    numbers = range(40)
    first = list(make_cases(bases, SEED, numbers, tmp_path / "a"))
    second = list(make_cases(bases, SEED, numbers, tmp_path / "b"))
    assert first == second
    differing = 0
    for number in numbers:
        names = [path.relative_to(tmp_path / "a") for path in files(tmp_path / "a", number)]
        assert names == [path.relative_to(tmp_path / "b") for path in files(tmp_path / "b", number)]
        equal = filecmp.cmpfiles(tmp_path / "a", tmp_path / "b", names, shallow=False)
        assert equal == (names, [], [])
        root = tmp_path / "a" / "ours" / str(number)
        differing += len(look_at_damage(root, first[number].base).intact) < len(
            first[number].base.truth
        )
    assert 10 < differing < 40


def files(root: Path, number: int) -> list[Path]:
    return sorted(path for path in (root / "ours" / str(number)).rglob("*") if path.is_file())


def test_sound_stores_are_the_same_to_both(bases: list[Base], tmp_path: Path) -> None:
    asked = [Asked(tmp_path / "sound" / base.name, base) for base in bases]
    for one in asked:
        shutil.copytree(one.base.root, one.root)
    stock = ask_stock("533", asked, tmp_path)
    ours = ask_cairnlog(asked, tmp_path)
    for one in asked:
        outcome = Outcome(
            one.base,
            look_at_damage(one.base.root, one.base),
            stock_view(stock[one.root], one.base),
            our_view(ours[one.root], one.base),
        )
        assert failures(outcome) == [], one.base.name
        assert classify(outcome) == "same", one.base.name
