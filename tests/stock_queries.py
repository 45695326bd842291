"""Asks stock RocketMQ and others the same random questions about a store, and compares.

The questions are made from a model of the store's records (store_model.py), with all the edges of
its queues and times among them. RocketMQ's answers come from the judge, in any number of
directories by one process; each must be what the model says. ``compare_answers`` holds anyone
else's answers, given by a function from a question to an answer, against the model and RocketMQ.

The variable CAIRNLOG_SEED repeats a run; every difference names the seed it came from.

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cairnlog

from stock_judge import Inspection, Observation, Record, Release, judge_all
from store_model import MAX_KEY_RESULTS, Queue, StoreModel, TagRule

MAX_LONG = (1 << 63) - 1
_FAR = 1 << 62
_UNKNOWN_TOPICS = ("Nothing_Here", "orders%2")
_UNKNOWN_KEYS = ("no-such-key", "AaAa", "BBBB")
_COUNTS = (1, 2, 3, 7, 8, 9, 31, 32, 33, 64, 100, 1000)
_KEY_COUNTS = (1, 2, 3, 10, 63, 64, 65, 100)
# Fields of an answer to a read that nobody but RocketMQ has to give.
_OPTIONAL = ("min", "max", "body_sha256")
_SHOWN = 10
# Its queue units hold times of delivery where others hold hashes of tags.
_SCHEDULE_TOPIC = "SCHEDULE_TOPIC_XXXX"

Answerer = Callable[[Record], Record]


def seed() -> int:
    """Returns what CAIRNLOG_SEED says, else a number never used before."""
    given = os.environ.get("CAIRNLOG_SEED")
    return int(given) if given else int.from_bytes(os.urandom(4), "little")


@dataclass(frozen=True)
class Case:
    """A directory with the model of what it holds, and the questions about it."""

    name: str
    inspection: Inspection
    model: StoreModel
    queries: Sequence[Record]


def ask_stock(cases: Sequence[Case], release: Release) -> list[Observation]:
    """Has one process answer the questions of all cases, in the same order."""
    return judge_all([case.inspection for case in cases], release)


def case(
    name: str, model: StoreModel, seed_number: int, count: int, release: Release, **options: Any
) -> Case:
    """Makes a case with random questions; the options are the fields of Inspection."""
    queries = random_queries(model, f"{seed_number} {name}", count, release)
    inspection = Inspection(
        queries=queries,
        queue_size=20 * model.limits.units_per_file,
        transfer_count=model.limits.transfer_count,
        transfer_bytes=model.limits.transfer_bytes,
        index_items=model.limits.index_items,
        **options,
    )
    return Case(name, inspection, model, queries)


def stock_differences(case: Case, seen: Observation, seed_number: int) -> list[str]:
    """Returns where RocketMQ and the model differ, the first few in full."""
    if not seen.summary.get("load_ok"):
        return [f"RocketMQ {seen.release} refused to load {seen.root}"]
    differences = []
    if not seen.summary["dispatch_caught_up"]:
        differences.append("the dispatcher did not reach the end of the log")
    if len(seen.answers) != len(case.queries):
        differences.append(f"{len(case.queries)} questions, {len(seen.answers)} answers")
    for query, answer in zip(case.queries, seen.answers, strict=False):
        if query["op"] == "time" and answer["offset"] is None:
            continue
        differences += _differences(case.model, query, answer)
    return _shortened(case, differences, seed_number)


def open_as_asked(case: Case, root: Path) -> cairnlog.Store:
    """Opens a copy, in ``root``, of the directory that RocketMQ is asked about, with its sizes.

    What RocketMQ is to find without queues or index, cairnlog finds without them, too.
    """
    inspection = case.inspection
    shutil.copytree(inspection.root, root)
    for name in inspection.drop:
        path = root / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    if inspection.abort == "present":
        (root / "abort").touch()
    if inspection.abort == "absent":
        (root / "abort").unlink(missing_ok=True)
    return cairnlog.Store.open(
        root,
        # What is due would be delivered meanwhile.
        schedule_enable=False,
        # RocketMQ's empty stores have no file of a log.
        segment_size_bytes="64K",
        consume_queue_file_size_bytes=20 * case.model.limits.units_per_file,
        max_hash_slot_num=inspection.index_slots,
        max_index_num=inspection.index_items,
    )


def cairnlog_answers(store: cairnlog.Store) -> Answerer:
    """Returns what answers questions from an open store, through the Python package."""

    def topics() -> Record:
        queues = []
        for topic in store.topics():
            for queue in store.queues_of(topic):
                known = answer({"op": "range", "topic": topic, "queue": queue})
                ends = {"min_offset": known["min"], "max_offset": known["max"]}
                queues.append({"topic": topic, "queue_id": queue, **ends})
        return {"topics": queues}

    def read(query: Record, place: Queue) -> Record:
        wanted: cairnlog.Filter | str | None = query.get("tags")
        if query.get("sql") is not None:
            wanted = cairnlog.Filter.sql(query["sql"])
        most = {"max_messages": query["max"], "max_bytes": MAX_LONG}
        with store.read(*place, query["offset"], filter=wanted, **most) as batch:
            return {
                "status": batch.outcome.name,
                "next": batch.next_offset,
                "min": batch.min_offset,
                "max": batch.max_offset,
                "physical_offsets": [message.physical_offset for message in batch],
                "body_sha256": [hashlib.sha256(message.body).hexdigest() for message in batch],
            }

    def answer(query: Record) -> Record:
        if query["op"] == "topics":
            return topics()
        if query["op"] == "key":
            found = store.query_key(
                query["topic"],
                query["key"],
                begin_ms=query["begin"],
                end_ms=query["end"],
                max_messages=min(query["max"], MAX_KEY_RESULTS),
            )
            return {"physical_offsets": [message.physical_offset for message in found]}
        place = query["topic"], query["queue"]
        if query["op"] == "read":
            return read(query, place)
        if query["op"] == "time":
            at = store.offset_at_time(*place, query["ms"], boundary=query["boundary"].lower())
            return {"offset": at or 0}
        known = store.queue_range(*place)
        return {"min": known.first, "max": known.next} if known else {"min": 0, "max": 0}

    return answer


def compare_answers(
    case: Case,
    seen: Observation,
    ours: Answerer,
    seed_number: int,
    *,
    tag_rule: TagRule = "hash",
    exact_keys: bool = False,
) -> list[str]:
    """Returns where ``ours`` differs from the model or from RocketMQ's answers.

    ``ours`` takes a question and returns an answer with the fields of the judge's; of a read it may
    leave out min, max and body_sha256. With the tag rule "text" it is held to compare tags
    themselves where RocketMQ leaves that to the consumer. With exact_keys a key look-up has to
    find what RocketMQ's does also at the edges of time and number; see StoreModel.key_differences.
    """
    assert len(seen.answers) == len(case.queries)
    differences = []
    for query, stock in zip(case.queries, seen.answers, strict=True):
        answer = _like_stock(case.model, query, ours(query))
        rule: TagRule = "hash" if query.get("topic") == _SCHEDULE_TOPIC else tag_rule
        if query["op"] == "key" and not exact_keys:
            found = case.model.key_differences(query, answer["physical_offsets"])
            found = [f"{query}: {one}" for one in found]
        else:
            found = _differences(case.model, query, answer, rule)
        if not found and _comparable(case.model, query, stock, rule, exact_keys):
            found = _field_differences(query, stock, answer, f"RocketMQ {seen.release}")
        differences += found
    return _shortened(case, differences, seed_number)


def random_queries(
    model: StoreModel, seed_text: str, count: int, release: Release
) -> list[Record]:
    """Makes questions about a store, after those that are asked of every queue."""
    numbers = random.Random(seed_text)
    always = _always(model)
    makers = [_read] * 10 + [_time] * 6 + [_range]
    if model.keys:
        makers += [_key] * 5
    queries = [numbers.choice(makers)(model, numbers) for _ in range(count - len(always))]
    if release == "533" and model.predicates:
        for query in queries:
            if query["op"] == "read" and numbers.random() < 0.2:
                query.pop("tags", None)
                query["sql"] = numbers.choice(sorted(model.predicates))
    return always + queries


def _always(model: StoreModel) -> list[Record]:
    """The topics; each queue's range, all of it, and nothing of it; each index file's begin."""
    queries: list[Record] = [{"op": "topics"}]
    for (topic, queue), units in model.queues.items():
        place = {"topic": topic, "queue": queue}
        read = {"op": "read", **place, "offset": units.first, "max": 1000}
        queries += [{"op": "range", **place}, read, {**read, "tags": "no-such-tag"}]
    for file in model.index:
        first = file.first
        key = {"op": "key", "topic": first.topic, "key": first.key, "max": 100}
        for moment in (first.time_ms, first.record["store_timestamp"]):
            queries.append({**key, "begin": moment, "end": moment})
            queries.append({**key, "begin": moment, "end": MAX_LONG})
    return queries


def _queue(model: StoreModel, numbers: random.Random) -> Queue:
    known = sorted(model.queues)
    if known and numbers.random() < 0.95:
        return numbers.choice(known)
    if known and numbers.random() < 0.5:
        return numbers.choice(known)[0], 99
    return numbers.choice(_UNKNOWN_TOPICS), numbers.randrange(3)


def _range(model: StoreModel, numbers: random.Random) -> Record:
    topic, queue = _queue(model, numbers)
    return {"op": "range", "topic": topic, "queue": queue}


def _read(model: StoreModel, numbers: random.Random) -> Record:
    topic, queue = _queue(model, numbers)
    answer = model.answer({"op": "range", "topic": topic, "queue": queue})
    first, end = answer["min"], answer["max"]
    per_file = model.limits.units_per_file
    edge = numbers.randrange(first, end + 1) // per_file * per_file
    offset = numbers.choice(
        (-1, -_FAR, 0, first - 1, first, first + 1, end - 1, end, end + 1, end + 7, _FAR, MAX_LONG)
        + (edge - 33, edge - 1, edge, edge + 1)
        + tuple(numbers.randrange(first, end + 1) for _ in range(16))
    )
    query = {"op": "read", "topic": topic, "queue": queue, "offset": offset}
    query["max"] = numbers.choice(_COUNTS)
    if numbers.random() < 0.5:
        query["tags"] = _tags(model, numbers, (topic, queue))
    return query


def _tags(model: StoreModel, numbers: random.Random, queue: Queue) -> str:
    records = model.queues[queue].records if queue in model.queues else []
    found = {record["properties"].get("TAGS", "") for record in records} - {""}
    # Tags with separators inside mean something else in an expression.
    known: list[str] = sorted(tag for tag in found if "|" not in tag and tag == tag.strip())
    tags = [*known, *(_twin(tag) for tag in known), "no-such-tag"]
    chosen = [numbers.choice(tags) for _ in range(numbers.choice((1, 1, 1, 2, 3)))]
    return numbers.choice(("*", numbers.choice(("||", " || ")).join(chosen), *chosen))


def _time(model: StoreModel, numbers: random.Random) -> Record:
    queue = _queue(model, numbers)
    return {
        "op": "time",
        "topic": queue[0],
        "queue": queue[1],
        "ms": numbers.choice((0, -1, 1, MAX_LONG, *[_moment(model, numbers, queue)] * 20)),
        "boundary": numbers.choice(("LOWER", "UPPER")),
    }


def _moment(model: StoreModel, numbers: random.Random, queue: Queue) -> int:
    """A time at, just beside or between those of a queue."""
    records = model.queues[queue].records if queue in model.queues else []
    if not records:
        return numbers.randrange(1 << 41)
    one, other = (numbers.choice(records)["store_timestamp"] for _ in range(2))
    ends = [records[0]["store_timestamp"], records[-1]["store_timestamp"]]
    return int(numbers.choice((one, one, (one + other) // 2, *ends))) + numbers.choice((-1, 0, 1))


def _key(model: StoreModel, numbers: random.Random) -> Record:
    topic, key = numbers.choice(model.keys)
    draw = numbers.random()
    if draw < 0.1:
        topic = numbers.choice([*_UNKNOWN_TOPICS, *(other for other, _ in model.queues)])
    elif draw < 0.2:
        key = numbers.choice((*_UNKNOWN_KEYS, _twin(key)))
    moments = sorted(_moment(model, numbers, queue) for queue in numbers.choices(
        sorted(model.queues), k=2))
    begin, end = numbers.choice((
        (0, MAX_LONG), (0, MAX_LONG), (moments[0] - 1000, moments[1]), (0, moments[0]),
        (moments[0], MAX_LONG), (moments[1], moments[0] - 2000), (0, 1), (_FAR, MAX_LONG),
    ))
    return {
        "op": "key",
        "topic": topic,
        "key": key,
        "begin": begin,
        "end": end,
        "max": numbers.choice(_KEY_COUNTS),
    }


def _twin(text: str) -> str:
    """Another string with the same hash, if there is an easy one."""
    return text.replace("Aa", "BB") if "Aa" in text else text.replace("BB", "Aa")


def _differences(
    model: StoreModel, query: Record, answer: Record, rule: TagRule = "hash"
) -> list[str]:
    wanted = model.answer(query, rule)
    if query["op"] == "topics":
        return _topic_differences(wanted["topics"], answer["topics"])
    return _field_differences(query, wanted, answer, "the model")


def _field_differences(query: Record, wanted: Record, answer: Record, whose: str) -> list[str]:
    return [
        f"{query}: {name} is {answer[name]!r}, but {value!r} for {whose}"
        for name, value in wanted.items()
        if (name in answer or name not in _OPTIONAL) and answer[name] != value
    ]


def _topic_differences(wanted: Sequence[Record], found: Sequence[Record]) -> list[str]:
    """Compares lists of queues; RocketMQ also keeps empty ones."""

    def by_queue(queues: Sequence[Record]) -> dict[Queue, tuple[int, int]]:
        return {
            (queue["topic"], queue["queue_id"]): (queue["min_offset"], queue["max_offset"])
            for queue in queues
            if queue["max_offset"] > 0
        }

    left, right = by_queue(wanted), by_queue(found)
    return [
        f"queue {queue}: {right.get(queue)}, but {left.get(queue)} for the model"
        for queue in sorted(left.keys() | right.keys())
        if left.get(queue) != right.get(queue)
    ]


def _comparable(
    model: StoreModel, query: Record, stock: Record, tag_rule: TagRule, exact_keys: bool
) -> bool:
    """False where RocketMQ does not answer, or where its answer is not the only right one."""
    if query["op"] == "key":
        return exact_keys
    if query["op"] == "time":
        return stock["offset"] is not None
    if query["op"] == "topics":
        return False
    return model.answer(query, tag_rule) == model.answer(query, "hash")


def _like_stock(model: StoreModel, query: Record, answer: Record) -> Record:
    """RocketMQ makes a queue when it is asked for one: it has empty queues, but none missing."""
    missing = answer.get("status") == "NO_MATCHED_LOGIC_QUEUE"
    if missing and (query["topic"], query["queue"]) not in model.queues:
        answer = {**answer, "status": "NO_MESSAGE_IN_QUEUE"}
    return answer


def _shortened(case: Case, differences: Sequence[str], seed_number: int) -> list[str]:
    if not differences:
        return []
    shown = [f"{case.name}: {difference}" for difference in differences[:_SHOWN]]
    return [f"CAIRNLOG_SEED={seed_number}: {len(differences)} differences", *shown]
