"""Compares what should be in a store with what stock RocketMQ saw in it.

An expected message is a dict with ``topic``, ``queue_id`` and ``queue_offset`` and any of the
fields of a record in a fixture manifest: only the fields that are given are compared. Besides them
``tags`` and ``keys`` stand for the properties TAGS and KEYS (None: not there), ``tags_code`` for
the third field of the queue unit, and ``dispatched: False`` marks a record that no queue leads to.

Every function returns a list of sentences, one for each difference; empty means equal.

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from stock_judge import Observation, Record

_LOCATION = ("topic", "queue_id", "queue_offset")
# Fields that say something about the put or the queue, not about the bytes of the record.
_NOT_IN_RECORD = frozenset({"put_status", "dispatched", "tags_code"})
_PROPERTY_OF = {"tags": "TAGS", "keys": "KEYS"}
_TRANSACTION_TYPE = 0b1100
_ROLLBACK = 0b1100
_MAX_KEY_RESULTS = 64


def compare(expected: Sequence[Record], seen: Observation) -> list[str]:
    """Returns every difference: queues, messages and, where observed, log and index."""
    if not seen.summary.get("load_ok"):
        return [f"RocketMQ {seen.release} refused to load {seen.root}"]
    differences = []
    if not seen.summary["dispatch_caught_up"]:
        differences.append("the dispatcher did not reach the end of the log")
    differences += compare_messages(expected, seen)
    if "log_records" in seen.summary:
        differences += compare_log(expected, seen)
    if seen.keys and all("properties" in record for record in expected):
        differences += compare_keys(expected, seen)
    return differences


def compare_messages(expected: Sequence[Record], seen: Observation) -> list[str]:
    """Checks that each queue holds index 0 to n exactly once, found, and equal field by field."""
    differences: list[str] = []
    wanted: dict[tuple[str, int, int], Record] = {}
    for record in expected:
        if not record.get("dispatched", True):
            continue
        place = (record["topic"], record["queue_id"], record["queue_offset"])
        if place in wanted:
            differences.append(f"{_name(place)}: expected twice")
        wanted[place] = record
    differences += _queue_bounds(wanted, seen)
    counts = Counter(_seen_place(message) for message in seen.messages)
    differences += [f"{_name(place)}: {n} times" for place, n in counts.items() if n > 1]
    differences += [f"{_name(place)}: missing" for place in wanted if place not in counts]
    for message in seen.messages:
        place = _seen_place(message)
        if place not in wanted:
            differences.append(f"{_name(place)}: not expected")
        elif message["status"] != "FOUND":
            differences.append(f"{_name(place)}: status {message['status']}")
        else:
            differences += _unit_differences(_name(place), wanted[place], message)
            differences += _field_differences(_name(place), wanted[place], message)
    return differences


def compare_log(expected: Sequence[Record], seen: Observation) -> list[str]:
    """Checks the records of a walk over the log, in order; needs an observation with walk."""
    differences: list[str] = []
    walked = seen.log_records
    if len(walked) != len(expected):
        stopped = seen.summary["log_walk_stopped"]
        differences.append(
            f"log: expected {len(expected)} records, found {len(walked)} up to {stopped}"
        )
    if seen.summary["log_walk_end"] != seen.summary["max_phy_offset"]:
        differences.append(
            f"log: walked to {seen.summary['log_walk_end']} of {seen.summary['max_phy_offset']}, "
            f"then {seen.summary['log_walk_stopped']}"
        )
    for number, (wanted, found) in enumerate(zip(expected, walked, strict=False)):
        differences += _field_differences(f"log record {number}", wanted, found)
    return differences


def compare_keys(expected: Sequence[Record], seen: Observation) -> list[str]:
    """Checks key look-ups; needs properties and physical_offset of all expected records."""
    by_hash: dict[int, set[int]] = defaultdict(set)
    for record in expected:
        if record.get("sys_flag", 0) & _TRANSACTION_TYPE != _ROLLBACK:
            for key in keys_of(record):
                by_hash[index_hash(record["topic"], key)].add(record["physical_offset"])
    differences = []
    for answer in seen.keys:
        topic, key = answer["topic"], answer["key"]
        # The index knows hashes only: a look-up also returns keys with the same hash.
        wanted = by_hash[index_hash(topic, key)]
        found = set(answer["physical_offsets"])
        complete = len(answer["physical_offsets"]) < _MAX_KEY_RESULTS
        if found - wanted or (complete and wanted - found):
            differences.append(
                f"key {topic}#{key}: expected {sorted(wanted)}, found {sorted(found)}"
            )
    return differences


def keys_of(record: Record) -> list[str]:
    """Returns the keys the index holds for a record, in its order."""
    properties = record["properties"]
    unique = [properties["UNIQ_KEY"]] if "UNIQ_KEY" in properties else []
    return unique + [part for part in properties.get("KEYS", "").split(" ") if part]


def java_hash(text: str) -> int:
    """Returns Java's hash of a string: 32 bits, signed, over UTF-16 code units."""
    value = 0
    units = text.encode("utf-16-be", "surrogatepass")
    for high, low in zip(units[::2], units[1::2], strict=True):
        value = (31 * value + (high << 8 | low)) & 0xFFFFFFFF
    return value - (1 << 32) if value >> 31 else value


def index_hash(topic: str, key: str) -> int:
    """Returns what the index stores for a key: the absolute value of the hash of topic#key."""
    value = java_hash(f"{topic}#{key}")
    return 0 if value == -(1 << 31) else abs(value)


def seen_queues(seen: Observation) -> dict[tuple[str, int], tuple[int, int]]:
    """Returns first and next queue index for each queue that is not empty."""
    return {
        (queue["topic"], queue["queue_id"]): (queue["min_offset"], queue["max_offset"])
        for queue in seen.summary["queues"]
        if queue["max_offset"] > 0
    }


def _queue_bounds(wanted: Iterable[tuple[str, int, int]], seen: Observation) -> list[str]:
    lengths = Counter((topic, queue_id) for topic, queue_id, _ in wanted)
    bounds = seen_queues(seen)
    differences = []
    for queue in sorted(lengths.keys() | bounds.keys()):
        expected, found = (0, lengths[queue]), bounds.get(queue, (0, 0))
        if expected != found:
            differences.append(f"{queue[0]}/{queue[1]}: expected indices {expected}, found {found}")
    return differences


def _unit_differences(name: str, wanted: Record, message: Record) -> list[str]:
    pairs = (
        ("physical_offset", "unit_physical_offset"),
        ("total_size", "unit_size"),
        ("tags_code", "tags_code"),
    )
    return [
        f"{name}: {in_unit} of the unit: expected {wanted[field]!r}, found {message[in_unit]!r}"
        for field, in_unit in pairs
        if field in wanted and wanted[field] != message[in_unit]
    ]


def _field_differences(name: str, wanted: Record, found: Record) -> list[str]:
    differences = []
    for field, value in wanted.items():
        if field in _NOT_IN_RECORD:
            continue
        if field in _PROPERTY_OF:
            actual = found["properties"].get(_PROPERTY_OF[field])
        else:
            actual = found.get(field, "nothing")
        if actual != value:
            differences.append(f"{name}: {field}: expected {value!r}, found {actual!r}")
    return differences


def _seen_place(message: Record) -> tuple[str, int, int]:
    return message["queue_topic"], message["queue"], message["index"]


def _name(place: tuple[str, int, int]) -> str:
    return f"{place[0]}/{place[1]}[{place[2]}]"
