"""Stock RocketMQ loads what cairnlog wrote, rebuilds its queues and returns every message.

Each scenario of cairnlog-test-writer is written several times: closed cleanly, with the process
killed in the middle, and with cairnlog going on after that. Both releases look at the directories
as they are. Then cairnlog goes on with directories that RocketMQ wrote, and with its own after
RocketMQ had them open, and RocketMQ looks again. All directories of a round are judged by one
process per release, both at the same time.

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

import pytest

from stock_judge import RELEASES, Inspection, Observation, Record, Release, judge_all
from store_compare import compare, compare_log, keys_of
from writer_program import Written, dump, go_on, write

Ending = Literal["closed", "killed", "recovered"]
ENDINGS: tuple[Ending, ...] = ("closed", "killed")
FIXTURES = Path(__file__).resolve().parent / "fixtures"

# 4.9.8 knows neither of these.
ONLY_533 = ("long-topic", "inner-batch")
SCENARIOS = (
    "plain",
    "edges",
    "batch",
    "inner-batch",
    "ipv6",
    "long-topic",
    "record-crc",
    "sync-flush",
    "transient-pool",
    "sync-pool",
    "transactions",
    "several-directories",
    "no-queues",
)
# Killed, then recovered and continued by cairnlog.
RECOVERED = ("plain", "batch", "sync-flush", "transient-pool", "transactions")
# Killed when a file is as full as it gets, and with one record in the next file.
ROLLOVERS = tuple(f"edges@{side}{number}" for number in range(8) for side in ("before", "after"))
CONTINUED = ("v533-basic", "v498-basic", "v533-running", "v498-running")
# Opened and closed by RocketMQ, then by cairnlog, then by RocketMQ again.
RETURNED = ("plain", "edges", "batch", "ipv6", "transactions", "no-queues")
LOG_DIRECTORIES = {"several-directories": ("log-a", "log-b")}
OPTIONS: dict[str, dict[str, Any]] = {
    "several-directories": {"log_directories": ("log-a", "log-b")},
}
# Of 5.3.3 only.
OPTIONS_533: dict[str, dict[str, Any]] = {
    "inner-batch": {"batch_topics": ("inner",)},
    "record-crc": {"verify_property_crc": True},
}
INNER_BATCH = 0x80


@dataclass(frozen=True)
class Case:
    """A directory, how it came to be, and what must be in it."""

    written: Written
    options: Mapping[str, Any]
    options_533: Mapping[str, Any]
    releases: tuple[Release, ...] = RELEASES

    def inspection(self, release: Release, **more: Any) -> Inspection:
        options = {"index_slots": 1000, "index_items": 4000, "queue_size": 2000, **self.options}
        if release == "533":
            options |= self.options_533
        return Inspection(self.written.root, walk=True, **options, **more)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stores")


@cache
def manifest(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((FIXTURES / name / "manifest.json").read_text("utf-8"))
    return loaded


@cache
def scenario(base: Path, name: str, ending: Ending) -> Case:
    root = base / f"{name}-{ending}"
    releases: tuple[Release, ...] = ("533",) if name in ONLY_533 else RELEASES
    if ending == "closed":
        written = write(name, root)
    else:
        written = write(name.split("@")[0], root, kill=kill_point(base, name))
    if ending == "recovered":
        written = survivors_then(written, go_on(root))
    return Case(written, OPTIONS.get(name, {}), OPTIONS_533.get(name, {}), releases)


def kill_point(base: Path, name: str) -> int:
    """Returns the number of messages after which the process dies."""
    scenario_name, _, rollover = name.partition("@")
    closed = scenario(base, scenario_name, "closed").written
    if not rollover:
        return len(closed.records) * 2 // 3
    blank: int = closed.blanks[int(rollover[-1])]["physical_offset"]
    in_front = [record for record in closed.records if record["physical_offset"] < blank]
    return len(in_front) + int(rollover.startswith("after"))


def survivors_then(killed: Written, later: Written) -> Written:
    """Returns what survived the kill, and what cairnlog appended behind that."""
    end = min(found["physical_offset"] for found in [*later.records, *later.blanks])
    first = survivors(killed, end)
    return replace(
        later, records=first.records + later.records, blanks=first.blanks + later.blanks
    )


@cache
def continued(base: Path, name: str, ending: Ending) -> Case:
    root = base / f"{name}-{ending}"
    shutil.copytree(FIXTURES / name / "store", root)
    written = go_on(root, kill=None if ending == "closed" else 30)
    written.records[:0] = manifest(name)["records"]
    written.blanks[:0] = manifest(name)["blanks"]
    config = manifest(name)["config"]
    sizes = {"index_slots": config["maxHashSlotNum"], "index_items": config["maxIndexNum"]}
    return Case(written, sizes, {})


@cache
def first_round(base: Path) -> dict[tuple[Release, str, Ending], Observation]:
    cases = {(name, end): scenario(base, name, end) for name in SCENARIOS for end in ENDINGS}
    cases |= {(name, "recovered"): scenario(base, name, "recovered") for name in RECOVERED}
    for name in ROLLOVERS:
        for end in ("killed", "recovered"):
            cases[name, end] = scenario(base, name, end)
    cases |= {(name, end): continued(base, name, end) for name in CONTINUED for end in ENDINGS}

    def look(release: Release) -> dict[tuple[Release, str, Ending], Observation]:
        asked = {key: case for key, case in cases.items() if release in case.releases}
        inspections = [
            case.inspection(release, keep=kept(base, release, name))
            if (name, ending) in {(name, "closed") for name in RETURNED}
            else case.inspection(release)
            for (name, ending), case in asked.items()
        ]
        seen = judge_all(inspections, release)
        return {(release, *key): one for key, one in zip(asked, seen, strict=True)}

    with ThreadPoolExecutor() as pool:
        results = pool.map(look, RELEASES)
        return {key: one for result in results for key, one in result.items()}


def kept(base: Path, release: Release, name: str) -> Path:
    return base / f"{name}-kept-{release}"


@cache
def returned(base: Path, release: Release, name: str) -> tuple[Written, Case]:
    """What cairnlog reads after RocketMQ had the directory, and the directory continued."""
    first_round(base)
    root = kept(base, release, name)
    before = dump(root)
    written = go_on(root)
    first = scenario(base, name, "closed").written
    written.records[:0] = first.records
    written.blanks[:0] = first.blanks
    return before, Case(written, {}, {})


@cache
def second_round(base: Path) -> dict[tuple[Release, str], Observation]:
    cases = {(release, name): returned(base, release, name)[1]
             for release in RELEASES for name in RETURNED}

    def look(release: Release) -> dict[tuple[Release, str], Observation]:
        asked = {key: case for key, case in cases.items() if key[0] == release}
        seen = judge_all([case.inspection(release) for case in asked.values()], release)
        return dict(zip(asked, seen, strict=True))

    with ThreadPoolExecutor() as pool:
        return {key: one for result in pool.map(look, RELEASES) for key, one in result.items()}


def survivors(written: Written, end: int) -> Written:
    """Returns the records that must be there when the log ends at this offset.

    That is all of them, but for a killed store with a transient pool: of what was not flushed, a
    part from the front may have been committed.
    """
    if written.flushed_to is None:
        return written
    assert end >= written.flushed_to
    return replace(
        written,
        flushed_to=None,
        records=[r for r in written.records if r["physical_offset"] + r["total_size"] <= end],
        blanks=[blank for blank in written.blanks if blank["physical_offset"] < end],
    )


def check(written: Written, seen: Observation) -> None:
    written = survivors(written, seen.summary["max_phy_offset"])
    assert compare(written.records, seen) == []
    assert bool(seen.keys) == any(keys_of(record) for record in written.records)
    assert seen.log_blanks == written.blanks
    assert seen.summary["max_phy_offset"] == written.end
    assert seen.summary["max_phy_offset_after_load"] == written.end
    assert seen.summary["min_phy_offset"] == 0


SCENARIO_CASES: list[tuple[Release, str, Ending]] = [
    (release, name, ending)
    for release in RELEASES
    for name in SCENARIOS
    for ending in ENDINGS
    if name != "inner-batch" and (release == "533" or name not in ONLY_533)
]


SCENARIO_CASES += [(release, name, "recovered") for release in RELEASES for name in RECOVERED]
SCENARIO_CASES += [
    (release, name, ending)
    for release in RELEASES
    for name in ROLLOVERS
    for ending in ("killed", "recovered")
]


@pytest.mark.parametrize(("release", "name", "ending"), SCENARIO_CASES)
def test_stock_store_finds_everything(
    base: Path, release: Release, name: str, ending: Ending
) -> None:
    seen = first_round(base)[release, name, ending]
    check(scenario(base, name, ending).written, seen)
    assert seen.summary["last_exit_ok"] == (ending != "killed")


@pytest.mark.parametrize("ending", ENDINGS)
def test_stock_store_finds_inner_batches(base: Path, ending: Ending) -> None:
    written = scenario(base, "inner-batch", ending).written
    seen = first_round(base)["533", "inner-batch", ending]
    assert compare_log(written.records, seen) == []
    singles = [r for r in written.records if not r["sys_flag"] & INNER_BATCH]
    batches = [r for r in written.records if r["sys_flag"] & INNER_BATCH]
    assert singles
    assert batches
    assert compare(singles, part_of_topic(seen, "orders")) == []
    # Each index of the queue leads to the record whose batch contains it.
    wanted = [
        (record["queue_offset"] + number, record["physical_offset"], record["body_sha256"])
        for record in batches
        for number in range(int(record["properties"]["INNER_NUM"]))
    ]
    found = [
        (message["index"], message["physical_offset"], message["body_sha256"])
        for message in part_of_topic(seen, "inner").messages
        if message["status"] == "FOUND"
    ]
    assert found == wanted


def part_of_topic(seen: Observation, topic: str) -> Observation:
    queues = [queue for queue in seen.summary["queues"] if queue["topic"] == topic]
    summary = {**seen.summary, "queues": queues}
    del summary["log_records"]
    return replace(
        seen,
        messages=[message for message in seen.messages if message["queue_topic"] == topic],
        keys=[key for key in seen.keys if key["topic"] == topic],
        summary=summary,
    )


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("name", CONTINUED)
@pytest.mark.parametrize("release", RELEASES)
def test_stock_store_finds_everything_in_its_own_directory_continued(
    base: Path, release: Release, name: str, ending: Ending
) -> None:
    case = continued(base, name, ending)
    assert len(case.written.records) == len(manifest(name)["records"]) + (
        50 if ending == "closed" else 30
    )
    seen = first_round(base)[release, name, ending]
    check(case.written, seen)
    assert seen.summary["last_exit_ok"] == (ending != "killed")


@pytest.mark.parametrize("name", SCENARIOS)
def test_only_a_killed_store_has_an_abort_marker(base: Path, name: str) -> None:
    assert not (scenario(base, name, "closed").written.root / "abort").exists()
    assert (scenario(base, name, "killed").written.root / "abort").exists()


@pytest.mark.parametrize("name", CONTINUED)
def test_a_store_of_rocketmq_s_is_closed_without_abort_marker(base: Path, name: str) -> None:
    assert not (continued(base, name, "closed").written.root / "abort").exists()
    assert (continued(base, name, "killed").written.root / "abort").exists()


@pytest.mark.parametrize("name", RETURNED)
@pytest.mark.parametrize("release", RELEASES)
def test_cairnlog_reads_and_continues_what_the_stock_store_had_open(
    base: Path, release: Release, name: str
) -> None:
    before, case = returned(base, release, name)
    written = scenario(base, name, "closed").written
    assert before.records == [stored(record) for record in written.records]
    assert before.blanks == written.blanks
    # In all: queue offsets go on without gaps, or the queues would not match.
    assert len(case.written.records) == len(written.records) + 50
    check(case.written, second_round(base)[release, name])


def stored(record: Record) -> Record:
    """Returns the fields that are stored in the record."""
    return {
        name: value for name, value in record.items() if name not in ("dispatched", "tags_code")
    }


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("name", SCENARIOS)
def test_cairnlog_reads_what_it_wrote(base: Path, name: str, ending: Ending) -> None:
    written = scenario(base, name, ending).written
    found = dump(written.root, LOG_DIRECTORIES.get(name, ("commitlog",)))
    wanted = [stored(record) for record in written.records]
    if written.flushed_to is not None:
        assert found.end >= written.flushed_to
        wanted = wanted[: len(found.records)]
    assert found.records == wanted
