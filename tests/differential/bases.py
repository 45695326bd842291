"""The sound stores that get damaged, and every record that is in them.

Fixtures are RocketMQ's; what is in them was told by RocketMQ. The others are written by cairnlog
when they are needed, and told by the model of the program that writes them.

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

import json
import shutil
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stock_judge import Record, Release
from writer_program import write

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"
_FIXTURES: dict[str, tuple[Release, ...]] = {
    "v533-basic": ("533",),
    "v533-running": ("533",),
    # Topics that 4.9.8 does not know.
    "v533-features": ("533",),
    "v533-propcrc": ("533",),
    "v498-basic": ("533", "498"),
    "v498-running": ("533", "498"),
    "v498-features": ("533",),
}
# Scenario of the writer, and after how many messages it is killed, if it is.
_WRITTEN: dict[str, tuple[str, int | None]] = {
    "plain": ("plain", None),
    "plain-killed": ("plain", 170),
    "edges": ("edges", None),
    "batch": ("batch", None),
    "record-crc": ("record-crc", None),
    "sync-flush-killed": ("sync-flush", 200),
    "transactions": ("transactions", None),
}
# From a store that was killed there comes a checkpoint that is older than the store.
_EARLIER_KILL = 60
_BODY_LENGTH_AT = 84
_IPV6_BORN, _IPV6_STORE = 0x10, 0x20


@dataclass(frozen=True)
class Truth:
    """A record as it was before the damage."""

    offset: int
    size: int
    data: bytes
    crc: int
    body: tuple[int, int]
    """Begin and end of the body inside the record."""
    place: tuple[str, int, int] | None
    """Topic, queue and index, if it was dispatched."""


@dataclass(frozen=True)
class Base:
    """A sound store."""

    name: str
    root: Path
    truth: tuple[Truth, ...]
    releases: tuple[Release, ...]
    """Which RocketMQ may be asked about it."""
    record_crc: bool
    """Whether all bytes of a record are covered by a CRC, not only its body."""
    segment_bytes: int
    queue_bytes: int
    index_slots: int
    index_items: int
    old_checkpoint: bytes | None = None

    @property
    def end(self) -> int:
        """One past the last byte of the last record."""
        return self.truth[-1].offset + self.truth[-1].size

    def probes(self) -> list[tuple[int, int]]:
        """Offset and size of each record."""
        return [(record.offset, record.size) for record in self.truth]


def make_bases(directory: Path) -> list[Base]:
    """Copies the fixtures, and writes the other stores, below a directory."""
    bases = [_fixture(name, directory / name) for name in _FIXTURES]
    for name, (scenario, kill) in _WRITTEN.items():
        written = write(scenario, directory / name, kill=kill)
        write(scenario, directory / f"{name}-earlier", kill=_EARLIER_KILL)
        earlier = (directory / f"{name}-earlier" / "checkpoint").read_bytes()
        bases.append(_written(name, written.root, written.records, earlier))
    return bases


def _fixture(name: str, root: Path) -> Base:
    shutil.copytree(FIXTURES / name / "store", root)
    manifest: dict[str, Any] = json.loads((FIXTURES / name / "manifest.json").read_text("utf-8"))
    config = manifest["config"]
    segment = config["mappedFileSizeCommitLog"]
    return Base(
        name,
        root,
        tuple(_truth(root, segment, record) for record in manifest["records"]),
        _FIXTURES[name],
        bool(config.get("enabledAppendPropCRC")),
        segment,
        config["mappedFileSizeConsumeQueue"],
        config["maxHashSlotNum"],
        config["maxIndexNum"],
    )


def _written(name: str, root: Path, records: list[Record], earlier: bytes) -> Base:
    segment = 65536
    truth = tuple(_truth(root, segment, record) for record in records)
    known = name.partition("-")[0] in ("plain", "edges", "batch", "transactions")
    releases: tuple[Release, ...] = ("533", "498") if known else ("533",)
    crc = name == "record-crc"
    return Base(name, root, truth, releases, crc, segment, 2000, 1000, 4000, earlier)


def _truth(root: Path, segment: int, record: Record) -> Truth:
    offset, size = record["physical_offset"], record["total_size"]
    data = slice_of(root, segment, offset, size)
    assert data is not None, f"{root} has no record at {offset}"
    flags = record["sys_flag"]
    body = _BODY_LENGTH_AT + 4
    body += 12 * bool(flags & _IPV6_BORN) + 12 * bool(flags & _IPV6_STORE)
    place = None
    if record.get("dispatched", True):
        place = (record["topic"], record["queue_id"], record["queue_offset"])
    end = body + record["body_length"]
    return Truth(offset, size, data, zlib.crc32(data), (body, end), place)


def slice_of(root: Path, segment: int, offset: int, size: int) -> bytes | None:
    """Returns so many bytes of a log, if the file that should have them does."""
    path = root / "commitlog" / f"{offset - offset % segment:020d}"
    if not path.is_file():
        return None
    with path.open("rb") as file:
        file.seek(offset % segment)
        data = file.read(size)
    return data if len(data) == size else None
