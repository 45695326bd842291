"""What the stock store and cairnlog each made of a damaged store, beside what was in it.

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field, replace
from pathlib import Path

from stock_judge import Record

from .bases import Base, Truth, slice_of

Place = tuple[str, int, int]
Numbers = frozenset[int]
"""Records, by their number in the base's truth."""
NONE: Numbers = frozenset()
_ERROR = -1
# What is appended to each store once it was looked at.
_AFTERWARDS = "afterwards"
_RECORD_CRC_BYTES = 20


@dataclass(frozen=True)
class Kept:
    """What an open store holds."""

    log: Numbers = NONE
    """Read unchanged from their place in the log."""
    queues: Numbers = NONE
    """Read unchanged by topic, queue and index."""
    reported: Numbers = NONE
    """Reading the index is an error, and not any more once the queues were built again; or these
    cannot be built while the log is damaged elsewhere."""
    wrong: tuple[tuple[Place, int], ...] = ()
    """Where something else is returned, or something where nothing was; and its CRC-32."""
    end: int = 0
    """One past the last byte of the log."""
    not_rebuilt: bool = False
    """Whether the log was too damaged for building the queues again."""


@dataclass(frozen=True)
class Stock:
    """What RocketMQ made of a store."""

    kept: Kept | None
    """None: it could not load the store, or threw."""
    said: str = ""


@dataclass(frozen=True)
class Ours:
    """What cairnlog made of a store."""

    kept: Kept | None
    """None: opening was refused."""
    set_aside: Numbers = NONE
    """Copied to lost+found by that."""
    damage: str | None = None
    """What opening reported."""
    refused: str = ""
    """The status."""
    said: str = ""
    changed: tuple[str, ...] = ()
    """Files that differ after opening was refused."""
    read: Numbers = NONE
    """Of a store that is refused: what readers that change nothing find."""
    cut: Kept | None = None
    """What is kept when opening is told to cut; None if that is refused, too."""
    cut_set_aside: Numbers = NONE
    complaints: tuple[str, ...] = ()
    """What must never be."""


@dataclass
class Damaged:
    """What the damage left of the records."""

    intact: set[int] = field(default_factory=set)
    """Byte for byte at their place, in a file that has its size."""
    log_changed: bool = False
    """Whether any byte or name of the log is another one."""
    altered: dict[int, int] = field(default_factory=dict)
    """Number and CRC-32 of those of which only bytes changed that no CRC covers."""


def look_at_damage(root: Path, base: Base) -> Damaged:
    """Compares the log's files with what was in them."""
    damaged = Damaged(log_changed=_log(root) != _log(base.root))
    for number, record in enumerate(base.truth):
        name = f"{record.offset - record.offset % base.segment_bytes:020d}"
        path = root / "commitlog" / name
        if not path.is_file() or path.stat().st_size != base.segment_bytes:
            continue
        data = slice_of(root, base.segment_bytes, record.offset, record.size)
        if data == record.data:
            damaged.intact.add(number)
        elif data is not None and _only_altered(record, data, base.record_crc):
            damaged.altered[number] = zlib.crc32(data)
    return damaged


def _log(root: Path) -> dict[str, bytes | None]:
    files = (root / "commitlog").glob("*")
    return {path.name: path.read_bytes() if path.is_file() else None for path in files}


def _only_altered(record: Truth, data: bytes, record_crc: bool) -> bool:
    begin, end = record.body
    # A CRC of the whole record is a property: damaged, it is one that nobody knows.
    if record_crc and data[-_RECORD_CRC_BYTES:] == record.data[-_RECORD_CRC_BYTES:]:
        return False
    # Sizes, magic, CRC and the position lead to the body, and are as good as covered.
    head = slice(0, 12)
    return data[begin:end] == record.data[begin:end] and data[head] == record.data[head]


def stock_view(line: Record, base: Base) -> Stock:
    """Understands a survey of tests/stock."""
    if not line.get("loaded") or "threw" in line:
        return Stock(None, str(line.get("threw", "does not load")))
    kept = _kept(line["kept"], line["queues"], base, line["max"])
    return Stock(kept, str(line.get("threw_at_read", "")))


def our_view(line: Record, base: Base) -> Ours:
    """Understands what ``cairnlog-test-writer look`` says."""
    for name in ("panicked", "failed"):
        if name in line:
            return Ours(None, complaints=(f"{name}: {line[name]}",))
    if "opened" in line:
        told = line["opened"]
        return Ours(
            _ours_kept(told, base),
            _equal(told["lost_and_found"], base),
            told["damage"],
            complaints=tuple(told["complaints"]),
        )
    cut = line.get("cut")
    return Ours(
        None,
        refused=line["refused"],
        said=line["said"],
        changed=tuple(line["changed"]),
        read=_equal(line["read"], base),
        cut=_ours_kept(cut, base) if cut else None,
        cut_set_aside=_equal(cut["lost_and_found"], base) if cut else NONE,
        complaints=tuple(cut["complaints"]) if cut else (),
    )


def _ours_kept(told: Record, base: Base) -> Kept:
    kept = _kept(told["kept"], told["queues"], base, told["end"], told["scanned"])
    if told["rebuilt"] is None:
        return replace(kept, reported=kept.reported & kept.log, not_rebuilt=True)
    rebuilt = _kept(told["kept"], told["rebuilt"], base, told["end"])
    return replace(kept, reported=kept.reported & rebuilt.queues, wrong=kept.wrong + rebuilt.wrong)


def _kept(
    found: list[int | None],
    queues: list[Record],
    base: Base,
    end: int,
    scanned: list[tuple[int, int]] | None = None,
) -> Kept:
    places = {record.place: number for number, record in enumerate(base.truth) if record.place}
    served: set[int] = set()
    reported: set[int] = set()
    wrong: list[tuple[Place, int]] = []
    for queue in queues:
        for index, crc in enumerate(queue["found"], queue["min"]):
            place = (queue["topic"], queue["queue"], index)
            number = places.get(place)
            if crc is None or queue["topic"] == _AFTERWARDS:
                continue
            if crc == _ERROR:
                reported |= {number} if number is not None else set()
            elif number is not None and base.truth[number].crc == crc:
                served.add(number)
            else:
                wrong.append((place, crc))
    at = {record.offset: record.crc for record in base.truth}
    wrong += [(("log", 0, where), crc) for where, crc in scanned or () if at.get(where) != crc]
    log = _equal(found, base)
    return Kept(log, frozenset(served), frozenset(reported), tuple(wrong), end)


def _equal(found: list[int | None], base: Base) -> Numbers:
    pairs = enumerate(zip(found, base.truth, strict=True))
    return frozenset(number for number, (crc, record) in pairs if crc == record.crc)
