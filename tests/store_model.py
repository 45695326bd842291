"""What a store must answer to reads, time and key look-ups, worked out from its records alone.

The records come from a fixture's manifest or from ``cairnlog inspect records --json``. Nothing
here looks at queue or index files, and nothing is shared with cairnlog or RocketMQ: it is the third
opinion beside theirs.

A question is a dict with ``op`` and, by operation:

* read: topic, queue, offset, max, and one of tags or sql if there is a filter
* time: topic, queue, ms, boundary (LOWER or UPPER)
* key: topic, key, begin, end, max
* range: topic, queue
* topics: nothing else

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from stock_judge import Record
from store_compare import index_hash, java_hash, keys_of

TagRule = Literal["hash", "text"]
Queue = tuple[str, int]
Properties = dict[str, str]

UNIT_BYTES = 20
INNER_BATCH = 0x80
MAX_KEY_RESULTS = 64
NO_LIMIT = (1 << 31) - 1
_TRANSACTION_TYPE = 0b1100
_COMMIT, _ROLLBACK = 0b1000, 0b1100
_SCHEDULE_TOPIC = "SCHEDULE_TOPIC_XXXX"
_DELAY_SECONDS = (1, 5, 10, 30, *range(60, 601, 60), 1200, 1800, 3600, 7200)
_SCAN_BYTES = 16_000
_INDEX_TICK_MS = 1000


@dataclass
class Units:
    """One queue: the record of each index from ``first`` on."""

    first: int
    records: list[Record] = field(default_factory=list)

    @property
    def end(self) -> int:
        """One past the last index."""
        return self.first + len(self.records)


@dataclass(frozen=True)
class Limits:
    """What the store's options say about reading.

    By default those of RocketMQ. cairnlog's reads end with the number that was asked for only:
    ``NO_LIMIT`` for both tells RocketMQ to do the same.
    """

    units_per_file: int
    transfer_count: int = 32
    transfer_bytes: int = 262_144
    index_items: int = 20_000_000
    """Of an index file; one less are used."""


@dataclass
class Entry:
    """A key of a record in an index file."""

    topic: str
    key: str
    record: Record
    time_ms: int
    """What a reader takes for the store time: whole seconds after the begin of the file."""


@dataclass
class IndexFile:
    """One index file: its entries, oldest first, by hash."""

    begin_ms: int
    end_ms: int
    last_offset: int = 0
    """Of the newest entry's record."""
    count: int = 0
    entries: dict[int, list[Entry]] = field(default_factory=lambda: defaultdict(list))

    @property
    def first(self) -> Entry:
        """The oldest entry."""
        return next(iter(self.entries.values()))[0]

    def overlaps(self, begin: int, end: int) -> bool:
        """RocketMQ's condition, which also holds for some ranges that end before they begin."""
        return (
            begin < self.begin_ms and end > self.end_ms
            or self.begin_ms <= begin <= self.end_ms
            or self.begin_ms <= end <= self.end_ms
        )


class StoreModel:
    """The queues and keys of a store, as they follow from its records in log order."""

    def __init__(
        self, records: Sequence[Record], limits: Limits, index_kept_ms: int | None = None
    ) -> None:
        """With ``index_kept_ms`` the index is what RocketMQ makes of it after a crash.

        It is the checkpoint's time of the index: files that end later are deleted, and built again
        from the last record of those that stay, which may then have its keys in the index twice.
        """
        self.limits = limits
        self.queues: dict[Queue, Units] = {}
        self.predicates: dict[str, Callable[[Properties], bool]] = {}
        """What each SQL expression that is asked with means."""
        self.index: list[IndexFile] = []
        """The index files as RocketMQ would write them."""
        for record in records:
            assert not record["sys_flag"] & INNER_BATCH, "queues of batches are not modelled"
            self._add(record)
        if index_kept_ms is not None:
            self._build_index_again(records, index_kept_ms)

    def _build_index_again(self, records: Sequence[Record], kept_ms: int) -> None:
        if all(file.end_ms <= kept_ms for file in self.index):
            return
        self.index = [file for file in self.index if file.end_ms <= kept_ms]
        indexed = self.index[-1].last_offset if self.index else 0
        for record in records:
            if record["physical_offset"] >= indexed:
                self._add_keys(record)

    def _add(self, record: Record) -> None:
        kind = record["sys_flag"] & _TRANSACTION_TYPE
        if kind in (0, _COMMIT):
            queue = record["topic"], record["queue_id"]
            units = self.queues.setdefault(queue, Units(record["queue_offset"]))
            assert record["queue_offset"] == units.end, f"{queue} has a gap at {units.end}"
            units.records.append(record)
        self._add_keys(record)

    def _add_keys(self, record: Record) -> None:
        if record["sys_flag"] & _TRANSACTION_TYPE != _ROLLBACK:
            for key in keys_of(record):
                self._add_key(record, key)

    def _add_key(self, record: Record, key: str) -> None:
        time = record["store_timestamp"]
        if not self.index:
            self.index.append(IndexFile(time, time))
        file = self.index[-1]
        since = file.begin_ms
        if file.count == self.limits.index_items - 1:
            # The time of a file's first entry counts from the end of the file before.
            since = file.end_ms
            file = IndexFile(time, time)
            self.index.append(file)
        ticks = (time - since) // _INDEX_TICK_MS
        entry = Entry(record["topic"], key, record, file.begin_ms + ticks * _INDEX_TICK_MS)
        file.entries[index_hash(record["topic"], key)].append(entry)
        file.end_ms = time
        file.last_offset = record["physical_offset"]
        file.count += 1

    @cached_property
    def keys(self) -> list[tuple[str, str]]:
        """Topic and key of every index entry, each once."""
        chains = (chain for file in self.index for chain in file.entries.values())
        return sorted({(entry.topic, entry.key) for chain in chains for entry in chain})

    def answer(self, query: Record, tag_rule: TagRule = "hash") -> Record:
        """Returns RocketMQ's answer, which is the only right one but for key look-ups."""
        if query["op"] == "key":
            return {"physical_offsets": self._look_up(query)}
        if query["op"] == "topics":
            return {"topics": self.topics()}
        units = self.queues.get((query["topic"], query["queue"]), Units(0))
        if query["op"] == "range":
            return {"min": units.first, "max": units.end}
        if query["op"] == "time":
            return {"offset": _offset_at_time(units, query["ms"], query["boundary"])}
        return self._read(units, query, tag_rule)

    def topics(self) -> list[Record]:
        """Returns every queue with its range, in the form of a manifest."""
        return [
            {"topic": topic, "queue_id": queue, "min_offset": units.first, "max_offset": units.end}
            for (topic, queue), units in sorted(self.queues.items())
        ]

    def _read(self, units: Units, query: Record, tag_rule: TagRule) -> Record:
        offset = query["offset"]
        outside = _outside(units, offset)
        if outside is not None:
            status, following = outside
            return _batch(status, following, units, [])
        next_offset, found = self._scan(units, query, self._filter(query, tag_rule))
        return _batch("FOUND" if found else "NO_MATCHED_MESSAGE", next_offset, units, found)

    def _scan(
        self, units: Units, query: Record, matches: Callable[[Record], bool]
    ) -> tuple[int, list[Record]]:
        """Goes through one queue file at most."""
        start, most = query["offset"], query["max"]
        per_file = self.limits.units_per_file
        end = min(units.end, (start // per_file + 1) * per_file)
        end = min(end, start + max(_SCAN_BYTES, most * UNIT_BYTES) // UNIT_BYTES)
        found: list[Record] = []
        taken = 0
        for index in range(start, end):
            record = units.records[index - units.first]
            if found and (
                len(found) >= min(most, self.limits.transfer_count)
                or taken + record["total_size"] > self.limits.transfer_bytes
            ):
                return index, found
            if matches(record):
                found.append(record)
                taken += record["total_size"]
        return end, found

    def _filter(self, query: Record, tag_rule: TagRule) -> Callable[[Record], bool]:
        if query.get("sql") is not None:
            predicate = self.predicates[query["sql"]]
            return lambda record: predicate(record["properties"])
        expression = query.get("tags")
        if expression in (None, "", "*"):
            return lambda record: True
        tags = {tag.strip() for tag in expression.split("||")} - {""}
        if tag_rule == "text":
            return lambda record: record["properties"].get("TAGS") in tags
        codes = {java_hash(tag) for tag in tags}
        return lambda record: _low_32_bits(tags_code(record)) in codes

    def _look_up(self, query: Record) -> list[int]:
        """Goes through the index like RocketMQ, which then leaves the rest to its caller."""
        topic, key, begin, end = (query[name] for name in ("topic", "key", "begin", "end"))
        most = min(query["max"], MAX_KEY_RESULTS)
        found: list[Entry] = []
        for file in reversed(self.index):
            if file.overlaps(begin, end):
                chain = file.entries.get(index_hash(topic, key), [])
                found += [one for one in reversed(chain) if begin <= one.time_ms <= end]
            if file.begin_ms < begin or len(found) >= most:
                break
        same = (one for one in found[:most] if (one.topic, one.key) == (topic, key))
        return sorted({one.record["physical_offset"] for one in same})

    def key_differences(self, query: Record, offsets: Sequence[int]) -> list[str]:
        """Says what is wrong with an answer to a key look-up that need not be RocketMQ's.

        More than one answer is right: the index counts time in whole seconds, and an entry with the
        same hash, or a key twice in one record, may count towards the most that were asked for.
        The first of an index file may be taken for late: RocketMQ reads a later time for it.
        """
        topic, key = query["topic"], query["key"]
        most = min(query["max"], MAX_KEY_RESULTS)
        entries = [
            ((one.topic, one.key) == (topic, key), one)
            for file in reversed(self.index)
            for one in reversed(file.entries.get(index_hash(topic, key), []))
            if _may_match(query, one)
        ]
        possible = {one.record["physical_offset"] for same, one in entries if same}
        differences = []
        if list(offsets) != sorted(set(offsets)):
            differences.append(f"not ascending: {list(offsets)}")
        if len(offsets) > most:
            differences.append(f"{len(offsets)} records where {most} were asked for")
        if set(offsets) - possible:
            differences.append(f"not with this key and time: {sorted(set(offsets) - possible)}")
        missing = {
            one.record["physical_offset"]
            for number, (same, one) in enumerate(entries)
            if same and _must_match(query, one)
            if number < most or any(offset < one.record["physical_offset"] for offset in offsets)
        } - set(offsets)
        if missing:
            differences.append(f"missing: {sorted(missing)}")
        return differences


def tags_code(record: Record) -> int:
    """Returns the third field of a record's queue unit."""
    properties = record["properties"]
    level = int(properties.get("DELAY", "0")) if record["topic"] == _SCHEDULE_TOPIC else 0
    if level > 0:
        delay_ms = 1000 * _DELAY_SECONDS[min(level, len(_DELAY_SECONDS)) - 1]
        return int(record["store_timestamp"] + delay_ms)
    return java_hash(properties["TAGS"]) if properties.get("TAGS") else 0


def _outside(units: Units, offset: int) -> tuple[str, int] | None:
    """Status and next offset where there is nothing to scan."""
    if units.end == 0:
        return "NO_MESSAGE_IN_QUEUE", 0
    if offset < units.first:
        return "OFFSET_TOO_SMALL", units.first
    if offset == units.end:
        return "OFFSET_OVERFLOW_ONE", offset
    if offset > units.end:
        return "OFFSET_OVERFLOW_BADLY", units.end
    return None


def _batch(status: str, following: int, units: Units, found: Sequence[Record]) -> Record:
    return {
        "status": status,
        "next": following,
        "min": units.first,
        "max": units.end,
        "physical_offsets": [record["physical_offset"] for record in found],
        "body_sha256": [record["body_sha256"] for record in found],
    }


def _offset_at_time(units: Units, ms: int, boundary: str) -> int:
    times = [record["store_timestamp"] for record in units.records]
    assert times == sorted(times), "the clock went back while the store was written"
    if boundary == "LOWER":
        return units.first + bisect_left(times, ms)
    return units.first + max(0, bisect_right(times, ms) - 1)


def _may_match(query: Record, entry: Entry) -> bool:
    begin, end, time = query["begin"], query["end"], entry.record["store_timestamp"]
    near = begin <= time and time - _INDEX_TICK_MS < end
    return bool(near or begin <= entry.time_ms <= end)


def _must_match(query: Record, entry: Entry) -> bool:
    begin, end, time = query["begin"], query["end"], entry.record["store_timestamp"]
    inside = begin <= time - _INDEX_TICK_MS and time <= end
    return bool(inside and begin <= entry.time_ms <= end)


def _low_32_bits(code: int) -> int:
    low = code & 0xFFFFFFFF
    return low - (1 << 32) if low >> 31 else low
