"""The judge says about the fixtures what their manifests say, and notices damage.

The manifests were made by RocketMQ when it wrote the directories. So these tests hold the judge
itself: the compatibility tests lean on it. Each release looks at all directories in one process.

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

import json
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from stock_judge import (
    RELEASES,
    Abort,
    Inspection,
    JudgeError,
    Observation,
    Record,
    Release,
    build,
    judge,
    judge_all,
)
from store_compare import compare, compare_messages, seen_queues

FIXTURES = Path(__file__).resolve().parent / "fixtures"
NAMES = tuple(sorted(path.parent.name for path in FIXTURES.glob("*/manifest.json")))
UNDAMAGED = tuple(name for name in NAMES if name not in ("v533-torn", "v533-corrupt-middle"))
ABORTS: tuple[Abort, ...] = ("absent", "present")
# 4.9.8 does not know records with topics longer than 127 bytes, which this directory holds.
UNREADABLE_BY_498 = "v533-features"


@cache
def manifest(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((FIXTURES / name / "manifest.json").read_text("utf-8"))
    return loaded


def inspection(name: str, root: Path, abort: Abort = "as-is", **options: Any) -> Inspection:
    config = manifest(name)["config"]
    return Inspection(
        root,
        abort=abort,
        commit_log_size=config["mappedFileSizeCommitLog"],
        queue_size=config["mappedFileSizeConsumeQueue"],
        index_slots=config["maxHashSlotNum"],
        index_items=config["maxIndexNum"],
        **options,
    )


@cache
def observations(release: Release) -> dict[tuple[str, Abort], Observation]:
    cases = [(name, abort) for name in NAMES for abort in ABORTS]
    wanted = [
        inspection(name, FIXTURES / name / "store", abort, walk=True) for name, abort in cases
    ]
    return dict(zip(cases, judge_all(wanted, release), strict=True))


def manifest_queues(queues: list[Record]) -> dict[tuple[str, int], tuple[int, int]]:
    return {
        (q["topic"], q["queue_id"]): (q["min_offset"], q["max_offset"])
        for q in queues
        if q["max_offset"] > 0
    }


@pytest.mark.parametrize("abort", ABORTS)
@pytest.mark.parametrize("name", UNDAMAGED)
@pytest.mark.parametrize("release", RELEASES)
def test_undamaged_store_equals_its_manifest(release: Release, name: str, abort: Abort) -> None:
    if release == "498" and name == UNREADABLE_BY_498:
        check_498_stops_at_the_first_long_topic(abort)
        return
    seen = observations(release)[name, abort]
    assert compare(manifest(name)["records"], seen) == []
    assert seen_queues(seen) == manifest_queues(manifest(name)["queues"])
    assert seen.log_blanks == manifest(name)["blanks"]
    assert seen.summary["max_phy_offset"] == manifest(name)["max_phy_offset"]
    assert seen.summary["min_phy_offset"] == manifest(name)["min_phy_offset"]
    assert seen.summary["last_exit_ok"] == (abort == "absent")


def check_498_stops_at_the_first_long_topic(abort: Abort) -> None:
    long_topics = [
        r["physical_offset"]
        for r in manifest(UNREADABLE_BY_498)["records"]
        if len(r["topic"]) > 127
    ]
    seen = observations("498")[UNREADABLE_BY_498, abort]
    assert seen.summary["log_walk_end"] == min(long_topics)
    if abort == "present":
        assert seen.summary["max_phy_offset"] == min(long_topics)


@pytest.mark.parametrize("abort", ABORTS)
@pytest.mark.parametrize("name", NAMES)
def test_reopening_finds_what_the_manifest_says(name: str, abort: Abort) -> None:
    release: Release = "533" if name.startswith("v533") else "498"
    recorded = manifest(name)["reopened"][f"abort_{abort}"]
    found = observations(release)[name, abort].summary
    for field in (
        "load_ok",
        "last_exit_ok",
        "max_phy_offset",
        "min_phy_offset",
        "log_records",
        "messages",
    ):
        assert found[field] == recorded[field], field
    assert found["queues"] == recorded["queues"]


@pytest.mark.parametrize("abort", ABORTS)
@pytest.mark.parametrize("release", RELEASES)
def test_torn_tail_is_cut_at_the_destroyed_record(release: Release, abort: Abort) -> None:
    seen = observations(release)["v533-torn", abort]
    assert compare(manifest("v533-torn")["records"], seen) == []


@pytest.mark.parametrize("abort", ABORTS)
@pytest.mark.parametrize("release", RELEASES)
def test_damage_in_the_middle(release: Release, abort: Abort) -> None:
    records = manifest("v533-corrupt-middle")["records"]
    seen = observations(release)["v533-corrupt-middle", abort]
    damaged = seen.summary["log_walk_end"]
    before = [record for record in records if record["physical_offset"] < damaged]
    assert 0 < len(before) < len(records)
    if release == "533" and abort == "absent":
        # Recovery starts behind the damage: the store serves the damaged body.
        differences = compare_messages(records, seen)
        assert len(differences) == 1
        assert "body_sha256" in differences[0]
    else:
        assert compare(before, seen) == []


def test_property_crc_is_checked_when_asked(tmp_path: Path) -> None:
    name = "v533-propcrc"
    records = manifest(name)["records"]
    damaged = records[40]
    root = tmp_path / "store"
    shutil.copytree(FIXTURES / name / "store", root)
    flip_first_property_byte(root, damaged)
    sound, unchecked, checked = judge_all(
        [
            inspection(name, FIXTURES / name / "store", walk=True, verify_property_crc=True),
            inspection(name, root, "present", walk=True),
            inspection(name, root, "present", walk=True, verify_property_crc=True),
        ],
        "533",
    )
    assert compare(records, sound) == []
    assert unchecked.summary["log_records"] == len(records)
    assert checked.summary["max_phy_offset"] == damaged["physical_offset"]


def flip_first_property_byte(root: Path, record: Record) -> None:
    size = manifest("v533-propcrc")["config"]["mappedFileSizeCommitLog"]
    properties_at = (
        record["physical_offset"] + record["total_size"] - len(record["properties_raw_hex"]) // 2
    )
    path = root / "commitlog" / f"{properties_at - properties_at % size:020d}"
    data = bytearray(path.read_bytes())
    data[properties_at % size] ^= 0x20
    path.write_bytes(data)


def test_queues_and_index_are_rebuilt_from_the_log_alone(tmp_path: Path) -> None:
    name = "v498-basic"
    root = tmp_path / "store"
    shutil.copytree(FIXTURES / name / "store", root)
    rebuilt = inspection(
        name, root, "present", walk=True, drop=("consumequeue", "index", "checkpoint")
    )
    assert compare(manifest(name)["records"], judge_all([rebuilt], "533")[0]) == []
    assert (root / "consumequeue").is_dir(), "the judge changed the directory it was asked about"


def test_kept_copy_is_closed_and_can_be_judged_again(tmp_path: Path) -> None:
    name = "v533-running"
    kept = tmp_path / "kept"
    judge_all([inspection(name, FIXTURES / name / "store", keep=kept)], "533")
    assert not (kept / "abort").exists()
    assert compare(manifest(name)["records"], judge_all([inspection(name, kept)], "498")[0]) == []


def test_foreign_file_in_the_log_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "store"
    shutil.copytree(FIXTURES / "v533-running" / "store", root)
    (root / "commitlog" / "00000000000000196608").write_bytes(b"short")
    seen = judge(root, "533", commit_log_size=65536)
    assert seen.summary["load_ok"] is False
    assert compare([], seen) == [f"RocketMQ 533 refused to load {root}"]


def test_missing_directory_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(JudgeError, match="cannot copy"):
        judge(tmp_path / "nothing", "498")


def test_nothing_is_left_behind() -> None:
    assert list((build() / "tmp").iterdir()) == []
