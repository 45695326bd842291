"""Stock RocketMQ answers random questions about stores as a model of their records says.

The stores are the fixtures, and what cairnlog wrote: there a log is all that RocketMQ gets, and it
builds queues and index itself. All directories are asked by one process per release, both at the
same time. What the questions are, and how to repeat them, is in stock_queries.py.

cairnlog is asked the same: about the fixtures, what its Python package wrote and closed or was
killed in, where RocketMQ reads the very queues and index that cairnlog wrote, and logs alone.

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import struct
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import cairnlog
import pytest

from build_outputs import built
from stock_judge import RELEASES, Abort, Observation, Record, Release, judge_all
from stock_queries import (
    Case,
    ask_stock,
    cairnlog_answers,
    case,
    compare_answers,
    open_as_asked,
    seed,
    stock_differences,
)
from store_model import NO_LIMIT, Limits, Properties, StoreModel, tags_code
from writer_program import write

FIXTURES = Path(__file__).resolve().parent / "fixtures"
NAMES = tuple(
    name
    for name in sorted(path.parent.name for path in FIXTURES.glob("*/manifest.json"))
    if name not in ("v533-torn", "v533-corrupt-middle")
)
ABORTS: tuple[Abort, ...] = ("absent", "present")
# 4.9.8 does not know records with topics longer than 127 bytes.
ONLY_533 = ("v533-features", "long-topic")
SCENARIOS = ("plain", "edges", "batch", "ipv6", "long-topic", "transactions")
MIXED = ("mixed", "full-files", "retained", "unlimited")
KILLED_AFTER = 160
# What is taken from the copies: RocketMQ then has nothing to go by but the log.
LOG_ALONE = ("consumequeue", "index", "checkpoint")
QUESTIONS = 150
# Of the stores made for it.
MORE_QUESTIONS = 600
SEED = seed()
# RocketMQ names index files by the millisecond: with few entries several would get one name.
SMALL = Limits(units_per_file=100, index_items=4_000)
TIGHT = Limits(
    units_per_file=15, transfer_count=10, transfer_bytes=9_000, index_items=4_000
)
WIDE = Limits(units_per_file=5_000, index_items=8_000)
UNLIMITED = Limits(
    units_per_file=5_000, transfer_count=NO_LIMIT, transfer_bytes=NO_LIMIT, index_items=8_000
)
# What the Python package writes, with queues and index of these sizes.
OWN = Limits(
    units_per_file=200, transfer_count=NO_LIMIT, transfer_bytes=NO_LIMIT, index_items=8_000
)
OWN_SLOTS = 1_000
# Queue files are full at the end of the long queue; an index file is before the last round.
FULL = Limits(units_per_file=500, index_items=4 * 700 + 1)


@cache
def manifest(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((FIXTURES / name / "manifest.json").read_text("utf-8"))
    return loaded


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stores")


def inspected(root: Path) -> list[Record]:
    """Returns the records of a store as the tool shows them."""
    command = [str(built("cairnlog")), "inspect", str(root), "records", "--json"]
    shown = subprocess.run(command, capture_output=True, check=True, timeout=60)
    lines = [json.loads(line) for line in shown.stdout.decode("utf-8").splitlines()]
    return [line for line in lines if not line.get("blank")]


def fixture_case(
    name: str, abort: Abort, release: Release, questions: int = QUESTIONS, **wider: int
) -> Case:
    config = manifest(name)["config"]
    limits = Limits(
        units_per_file=config["mappedFileSizeConsumeQueue"] // 20,
        index_items=config["maxIndexNum"],
        **wider,
    )
    kept_ms = checkpoint_index_ms(FIXTURES / name / "store") if abort == "present" else None
    return case(
        f"{name}, abort {abort}",
        StoreModel(manifest(name)["records"], limits, kept_ms),
        SEED,
        questions,
        release,
        root=FIXTURES / name / "store",
        abort=abort,
        commit_log_size=config["mappedFileSizeCommitLog"],
        index_slots=config["maxHashSlotNum"],
    )


def checkpoint_index_ms(root: Path) -> int:
    """Returns the third time in a checkpoint: the end of the newest index file that was full."""
    (time_ms,) = struct.unpack_from(">q", (root / "checkpoint").read_bytes(), 16)
    return int(time_ms)


def written_case(name: str, root: Path, limits: Limits, release: Release) -> Case:
    model = StoreModel(inspected(root), limits)
    if name in MIXED:
        model.predicates = PREDICATES
    return case(
        name,
        model,
        SEED,
        MORE_QUESTIONS if name in MIXED else QUESTIONS,
        release,
        root=root,
        drop=LOG_ALONE,
        index_slots=1000,
    )


@cache
def stores(base: Path) -> dict[str, tuple[Path, Limits]]:
    """Writes the stores that cairnlog wrote."""
    found = {name: (base / name, SMALL) for name in SCENARIOS}
    for name, (root, _) in found.items():
        write(name, root)
    write("plain", base / "killed", kill=KILLED_AFTER)
    write_mixed(base / "mixed")
    found["killed"] = base / "killed", SMALL
    found["tight"] = base / "plain", TIGHT
    found["mixed"] = base / "mixed", WIDE
    found["full-files"] = base / "mixed", FULL
    found["unlimited"] = base / "mixed", UNLIMITED
    found["retained"] = base / "retained", SMALL
    shutil.copytree(base / "mixed", base / "retained")
    for path in sorted((base / "retained" / "commitlog").iterdir())[:2]:
        path.unlink()
    return found


def write_mixed(root: Path) -> None:
    """Writes one long queue with few tags, and two others with tags and keys of equal hashes.

    The rounds lie some milliseconds apart, the last a second and more: the index counts seconds.
    """
    append = [str(built("cairnlog")), "append", str(root), "--format", "jsonl"]
    append += ["--segment-size", "64K"]
    for pause_seconds in (0.0, 0.004, 0.02, 0.004, 1.3):
        time.sleep(pause_seconds)
        lines = [json.dumps(mixed_message(number)) for number in range(600)]
        subprocess.run(
            append, input="\n".join(lines).encode(), capture_output=True, check=True, timeout=60
        )


def mixed_message(number: int) -> Record:
    if number % 2:
        tags = "rare" if number % 299 == 1 else "frequent"
        return {"topic": "long", "queue_id": 0, "body": f"body {number}", "tags": tags}
    name = ("Aa", "BB", "AaBB", "BBAa", "C#")[number // 2 % 5]
    properties = {"region": "xyz"[number // 2 % 3]}
    if number % 7:
        properties["a"] = str(number % 13 - 2)
    message: Record = {
        "topic": "twins",
        "queue_id": number // 4 % 2,
        "body": f"body {number}",
        "keys": [name, f"key-{number}", *([name] if number % 3 == 0 else [])],
        "properties": properties,
    }
    if number % 8:
        message["tags"] = name
    return message


def number_of(properties: Properties) -> float:
    """The property ``a``; nothing compares with a number that is not there."""
    return float(properties.get("a", "nan"))


PREDICATES: dict[str, Callable[[Properties], bool]] = {
    "a > 5": lambda found: number_of(found) > 5,
    "a <= 0 OR region = 'x'": lambda found: number_of(found) <= 0 or found.get("region") == "x",
    "a BETWEEN 2 AND 4": lambda found: 2 <= number_of(found) <= 4,
    "region IN ('x', 'z') AND a >= 3": lambda found: (
        found.get("region") in ("x", "z") and number_of(found) >= 3
    ),
    "region IS NOT NULL AND a IS NULL": lambda found: "region" in found and "a" not in found,
    "region <> 'y' AND TAGS = 'BB'": lambda found: (
        found.get("region") not in (None, "y") and found.get("TAGS") == "BB"
    ),
}


@cache
def asked(base: Path) -> dict[tuple[Release, str], tuple[Case, Observation]]:
    written = stores(base)

    def ask(release: Release) -> dict[tuple[Release, str], tuple[Case, Observation]]:
        cases = [
            fixture_case(name, abort, release)
            for name in NAMES
            for abort in ABORTS
            if release == "533" or name not in ONLY_533
        ]
        cases += [
            written_case(name, root, limits, release)
            for name, (root, limits) in written.items()
            if release == "533" or name not in ONLY_533
        ]
        seen = ask_stock(cases, release)
        return {(release, one.name): (one, all_) for one, all_ in zip(cases, seen, strict=True)}

    with ThreadPoolExecutor() as pool:
        return {key: one for part in pool.map(ask, RELEASES) for key, one in part.items()}


ALL = [
    (release, f"{name}, abort {abort}")
    for release in RELEASES
    for name in NAMES
    for abort in ABORTS
    if release == "533" or name not in ONLY_533
]
ALL += [
    (release, name)
    for release in RELEASES
    for name in (*SCENARIOS, "killed", "tight", *MIXED)
    if release == "533" or name not in ONLY_533
]


@pytest.mark.parametrize("name", NAMES)
def test_the_model_derives_what_the_manifest_says(name: str) -> None:
    records = manifest(name)["records"]
    model = StoreModel(records, SMALL)
    wanted = [queue for queue in manifest(name)["queues"] if queue["max_offset"] > 0]
    assert model.topics() == sorted(wanted, key=lambda one: (one["topic"], one["queue_id"]))
    in_queues = [record for units in model.queues.values() for record in units.records]
    assert len(in_queues) == sum(record["dispatched"] for record in records)
    for record in in_queues:
        assert record["dispatched"]
        assert tags_code(record) == record["tags_code"]


@pytest.mark.parametrize(("release", "name"), ALL)
def test_stock_answers_what_the_model_says(base: Path, release: Release, name: str) -> None:
    one, seen = asked(base)[release, name]
    assert stock_differences(one, seen, SEED) == []


@pytest.mark.parametrize("release", RELEASES)
def test_enough_was_asked(base: Path, release: Release) -> None:
    """Every status that the stores allow occurs, and every limit of reading was reached."""
    names = [name for of, name in asked(base) if of == release]
    answers = [pair for name in names for pair in pairs(base, release, name)]
    assert len(answers) >= 1000
    reads = [(query, answer) for query, answer in answers if query["op"] == "read"]
    assert {answer["status"] for _, answer in reads} == {
        "FOUND",
        "NO_MATCHED_MESSAGE",
        "NO_MESSAGE_IN_QUEUE",
        "OFFSET_TOO_SMALL",
        "OFFSET_OVERFLOW_ONE",
        "OFFSET_OVERFLOW_BADLY",
    }
    counts = {len(answer["physical_offsets"]) for _, answer in reads}
    assert {1, 10, 32} <= counts
    assert max(counts) == 1000
    limited = {len(answer["physical_offsets"]) for _, answer in pairs(base, release, "mixed")
               if "status" in answer}
    assert max(limited) == 32
    # By bytes: less than ten messages although more were there and asked for.
    assert any(
        query.get("tags") is None and answer["next"] < answer["max"]
        for query, answer in pairs(base, release, "tight")
        if query["op"] == "read" and query["max"] > 10
        if 0 < len(answer["physical_offsets"]) < 10
        if answer["next"] % TIGHT.units_per_file
    )
    scanned = {answer["next"] - query["offset"] for query, answer in reads}
    assert 800 in scanned
    keys = [answer["physical_offsets"] for query, answer in answers if query["op"] == "key"]
    assert any(keys)
    assert not all(keys)


def pairs(base: Path, release: Release, name: str) -> list[tuple[Record, Record]]:
    """Returns questions and answers about one store."""
    one, seen = asked(base)[release, name]
    return list(zip(one.queries, seen.answers, strict=True))


def test_our_own_answers_are_held_against_both(base: Path) -> None:
    one, seen = asked(base)["533", "mixed"]
    of_stock = {json.dumps(query): answer for query, answer in pairs(base, "533", "mixed")}

    def repeated(query: Record) -> Record:
        return of_stock[json.dumps(query)]

    assert compare_answers(one, seen, repeated, SEED) == []
    assert compare_answers(one, seen, repeated, SEED, exact_keys=True) == []
    for operation, name, change in CHANGES:
        changed = compare_answers(one, seen, one_changed(repeated, operation, name, change), SEED)
        assert len(changed) > 1, (operation, name)
        assert changed[0].startswith(f"CAIRNLOG_SEED={SEED}: ")


Change = Callable[[Any], Any]
CHANGES: tuple[tuple[str, str, Change], ...] = (
    ("read", "status", lambda status: "OFFSET_FOUND_NULL"),
    ("read", "next", lambda offset: offset + 1),
    ("read", "physical_offsets", lambda offsets: offsets[1:]),
    ("read", "body_sha256", lambda digests: digests[::-1] + ["00"]),
    ("time", "offset", lambda offset: offset + 1),
    ("key", "physical_offsets", lambda offsets: offsets[:-1]),
    ("key", "physical_offsets", lambda offsets: [*offsets, offsets[-1] + 1]),
    ("range", "max", lambda offset: offset + 1),
    ("topics", "topics", lambda topics: topics[1:]),
)


def one_changed(
    answerer: Callable[[Record], Record], operation: str, name: str, change: Change
) -> Callable[[Record], Record]:
    """Answers like ``answerer``, but for the first answer of that kind that is not empty."""
    done = False

    def answer(query: Record) -> Record:
        nonlocal done
        right = answerer(query)
        if done or query["op"] != operation or right[name] == []:
            return right
        if operation == "key" and not whole_range(query):
            return right
        done = True
        return {**right, name: change(right[name])}

    return answer


def whole_range(query: Record) -> bool:
    """Whether just one answer is right."""
    return bool(query["begin"] == 0 and query["end"] > 1 << 62)


def test_the_text_of_tags_may_be_compared_instead(base: Path) -> None:
    one, seen = asked(base)["533", "mixed"]

    def by(rule: Any) -> Callable[[Record], Record]:
        stock = iter(seen.answers)

        def answer(query: Record) -> Record:
            given = next(stock)
            return given if query["op"] == "key" else one.model.answer(query, rule)

        return answer

    assert compare_answers(one, seen, by("text"), SEED, tag_rule="text") == []
    assert compare_answers(one, seen, by("hash"), SEED) == []
    assert compare_answers(one, seen, by("text"), SEED) != []


def test_the_stores_are_what_they_are_made_for(base: Path) -> None:
    full = asked(base)["533", "full-files"][0].model
    assert full.queues["long", 0].end == 3 * FULL.units_per_file
    late = full.index[-1].first
    assert late.time_ms - late.record["store_timestamp"] >= 1000
    retained = asked(base)["533", "retained"][0].model
    assert all(units.first > 0 for units in retained.queues.values())


def write_mixed_here(root: Path, killed: bool) -> None:
    """Writes a store through the Python package, with queue files of 200 messages."""
    store = cairnlog.Store.open(
        root,
        segment_size_bytes="64K",
        consume_queue_file_size_bytes=20 * OWN.units_per_file,
        max_hash_slot_num=OWN_SLOTS,
        max_index_num=OWN.index_items,
    )
    for pause_seconds in (0.0, 0.004, 0.02, 1.3):
        time.sleep(pause_seconds)
        for number in range(600):
            message = mixed_message(number)
            tag = message.pop("tags", None)
            placed = store.append(message.pop("topic"), message.pop("body").encode(), tag=tag,
                                  **message)
    if killed:
        # Some of it is in the queues, some is not.
        assert store.wait_dispatched(placed.physical_offset // 2, 60)
        os.kill(os.getpid(), signal.SIGKILL)
    store.close()


@cache
def own_stores(base: Path) -> dict[str, Path]:
    """Writes the stores that the Python package wrote."""
    write_mixed_here(base / "own-closed", killed=False)
    process = multiprocessing.get_context("spawn").Process(
        target=write_mixed_here, args=(base / "own-killed", True)
    )
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL
    return {name: base / name for name in ("own-closed", "own-killed")}


def own_case(name: str, root: Path, release: Release, drop: tuple[str, ...]) -> Case:
    model = StoreModel(inspected(root), OWN)
    model.predicates = PREDICATES
    return case(
        name, model, SEED, MORE_QUESTIONS, release, root=root, drop=drop, index_slots=OWN_SLOTS
    )


@cache
def asked_with_us(base: Path) -> dict[tuple[Release, str], tuple[Case, Observation]]:
    """The cases that cairnlog is asked about, too: RocketMQ has no limits of its own there."""
    own = own_stores(base)
    written = stores(base)
    no_limits = {"transfer_count": NO_LIMIT, "transfer_bytes": NO_LIMIT}
    alone = (*SCENARIOS, "killed", "retained", "unlimited")

    def ask(release: Release) -> dict[tuple[Release, str], tuple[Case, Observation]]:
        cases = [
            fixture_case(name, abort, release, **no_limits)
            for name in NAMES
            for abort in ABORTS
            if release == "533" or name not in ONLY_533
        ]
        cases += [
            written_case(name, written[name][0], replace(written[name][1], **no_limits), release)
            for name in alone
            if release == "533" or name not in ONLY_533
        ]
        cases += [own_case(name, root, release, ()) for name, root in own.items()]
        seen = ask_stock(cases, release)
        return {(release, one.name): (one, all_) for one, all_ in zip(cases, seen, strict=True)}

    with ThreadPoolExecutor() as pool:
        return {key: one for part in pool.map(ask, RELEASES) for key, one in part.items()}


WITH_US = [pair for pair in ALL if pair[1] not in ("tight", "mixed", "full-files")]
WITH_US += [(release, name) for release in RELEASES for name in ("own-closed", "own-killed")]


@pytest.mark.parametrize(("release", "name"), WITH_US)
def test_cairnlog_answers_what_rocketmq_does(
    base: Path, tmp_path: Path, release: Release, name: str
) -> None:
    print(f"CAIRNLOG_SEED={SEED}")
    one, seen = asked_with_us(base)[release, name]
    assert stock_differences(one, seen, SEED) == []
    with open_as_asked(one, tmp_path / "store") as store:
        assert store.wait_dispatched(store.positions().max_offset, 60)
        ours = cairnlog_answers(store)
        differences = compare_answers(one, seen, ours, SEED, tag_rule="text")
        assert not differences, "\n".join(differences)


@pytest.mark.parametrize("release", RELEASES)
def test_cairnlog_was_asked_enough(base: Path, release: Release) -> None:
    cases = {name: one for (of, name), (one, _) in asked_with_us(base).items() if of == release}
    assert set(cases) == {name for of, name in WITH_US if of == release}
    assert sum(len(one.queries) for one in cases.values()) >= 1000
    for name in ("own-closed", "own-killed"):
        kinds = {query["op"] for query in cases[name].queries}
        assert kinds == {"read", "time", "key", "range", "topics"}


def test_a_wrong_answer_of_cairnlog_is_noticed(base: Path, tmp_path: Path) -> None:
    one, seen = asked_with_us(base)["533", "own-closed"]
    with open_as_asked(one, tmp_path / "store") as store:
        ours = cairnlog_answers(store)
        for operation, name, change in CHANGES:
            wrong = one_changed(ours, operation, name, change)
            assert compare_answers(one, seen, wrong, SEED, tag_rule="text") != [], (operation, name)


def test_a_seed_repeats_the_questions() -> None:
    model = StoreModel(manifest("v533-basic")["records"], SMALL)

    def queries(number: int) -> list[Record]:
        one = case("v533-basic", model, number, 50, "533", root=FIXTURES)
        return list(one.queries)

    assert queries(7) == queries(7)
    assert queries(7) != queries(8)


def test_the_seed_is_taken_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAIRNLOG_SEED", "123456")
    assert seed() == 123456


def test_a_damaged_unit_is_noticed(tmp_path: Path) -> None:
    """The queue of a clean store is believed: RocketMQ answers with what lies there."""
    name = "v533-running"
    one = fixture_case(name, "absent", "533", MORE_QUESTIONS)
    root = tmp_path / "store"
    shutil.copytree(one.inspection.root, root)
    topic, queue = max(one.model.queues, key=lambda queue: one.model.queues[queue].end)
    path = root / "consumequeue" / topic / str(queue) / f"{0:020d}"
    units = bytearray(path.read_bytes())
    units[20:40] = units[:20]
    path.write_bytes(units)
    (seen,) = judge_all([replace(one.inspection, root=root)], "533")
    assert stock_differences(one, seen, SEED) != []
