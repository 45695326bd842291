"""Damages stores at random: what disks, crashes, copies and people do to directories.

Every function takes a random generator and a store, damages it, and says in words what it did.
Nothing here knows what a reader makes of it.

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

import shutil
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

from .bases import Base

Damage = Callable[[Random, Path, Base], str]
_MAX_DAMAGES = 3
_CHECKPOINT_FIELDS = 5
_HOUR_MS = 3_600_000


def damage(rng: Random, root: Path, base: Base) -> list[str]:
    """Does one to three damages, and leaves the store closed or as after a crash."""
    told = [_abort(rng, root, base)]
    for _ in range(rng.choices((1, 2, _MAX_DAMAGES), (6, 3, 1))[0]):
        (chosen,) = rng.choices(tuple(_WEIGHTS), tuple(_WEIGHTS.values()))
        told.append(chosen(rng, root, base))
    return told


def _abort(rng: Random, root: Path, base: Base) -> str:
    """Either state, whatever was true: a stale file, or one that got lost."""
    abort = root / "abort"
    if rng.random() < 0.5:
        abort.unlink(missing_ok=True)
        return "closed"
    abort.write_bytes(b"4711" if rng.random() < 0.5 else b"")
    return "crashed"


def _record_flipped(rng: Random, root: Path, base: Base) -> str:
    """Bits of one record, in a part of it that is drawn first: bodies are most of the bytes."""
    record = rng.choice(base.truth)
    begin, end = record.body
    low, high = rng.choice([(0, 28), (28, begin), (begin, end), (end, record.size)])
    at = record.offset + (rng.randrange(low, high) if low < high else 0)
    return _edit_log(root, base, at, _flipped(rng, 1), f"record at {record.offset}")


def _log_flipped(rng: Random, root: Path, base: Base) -> str:
    at = rng.randrange(base.end)
    return _edit_log(root, base, at, _flipped(rng, rng.choice((1, 4, 64))), "log")


def _log_zeroed(rng: Random, root: Path, base: Base) -> str:
    at = rng.randrange(base.end)
    size = rng.choice((1, 8, 64, 512, 4096, base.segment_bytes))
    if size >= 512 and rng.random() < 0.5:
        at -= at % size
    return _edit_log(root, base, at, lambda old: bytes(len(old)), "log zeroed", size)


def _log_garbage(rng: Random, root: Path, base: Base) -> str:
    at, size = rng.randrange(base.end), rng.choice((4, 100, 4096))
    return _edit_log(root, base, at, lambda old: rng.randbytes(len(old)), "garbage in log", size)


def _log_repeated(rng: Random, root: Path, base: Base) -> str:
    """An old record once more, as a write to the wrong place leaves it."""
    source, target = rng.choice(base.truth), rng.choice([*base.truth, None])
    at = base.end if target is None else target.offset
    text = f"record at {source.offset} again"
    return _edit_log(root, base, at, lambda old: source.data[: len(old)], text, source.size)


def _tail_torn(rng: Random, root: Path, base: Base) -> str:
    """Zeros from somewhere in one of the last records on."""
    record = base.truth[-rng.randint(1, min(3, len(base.truth)))]
    at = record.offset + rng.randrange(record.size)
    size = base.segment_bytes
    return _edit_log(root, base, at, lambda old: bytes(len(old)), "tail torn", size)


def _bytes_behind_the_end(rng: Random, root: Path, base: Base) -> str:
    at, size = base.end + rng.choice((0, 4, 100)), rng.choice((1, 8, 1000))
    return _edit_log(root, base, at, lambda old: rng.randbytes(len(old)), "behind the end", size)


def _edit_log(
    root: Path, base: Base, at: int, edit: Callable[[bytes], bytes], text: str, size: int = 64
) -> str:
    path = root / "commitlog" / f"{at - at % base.segment_bytes:020d}"
    return _edit(path, at % base.segment_bytes, size, edit, text)


def _edit(path: Path, at: int, size: int, edit: Callable[[bytes], bytes], text: str) -> str:
    """Changes bytes of a file that may have gone, or may be shorter by now."""
    if not path.is_file():
        return f"{text}: no file {path.name}"
    data = path.read_bytes()
    new = edit(data[at : at + size])
    path.write_bytes(data[:at] + new + data[at + len(new) :])
    return f"{text}: {len(new)} bytes of {path.name} at {at}"


def _flipped(rng: Random, most: int) -> Callable[[bytes], bytes]:
    """Flips bits of the first of these bytes, as many bytes as are to be changed at most."""

    def edit(old: bytes) -> bytes:
        new = bytearray(old[:most])
        for number in range(len(new)):
            new[number] ^= 1 << rng.randrange(8)
        return bytes(new)

    return edit


def _in(*directories: str) -> Callable[[Path], list[Path]]:
    def files(root: Path) -> list[Path]:
        found = [path for name in directories for path in (root / name).rglob("*")]
        return sorted(path for path in found if path.is_file())

    return files


_LOG, _QUEUES, _INDEX = _in("commitlog"), _in("consumequeue"), _in("index")


def _bytes_of(files: Callable[[Path], list[Path]]) -> Damage:
    """Flips, zeroes or overwrites bytes of a file, often near its front, where most is."""

    def run(rng: Random, root: Path, base: Base) -> str:
        found = files(root)
        if not found:
            return "no file to damage"
        path = rng.choice(found)
        length = path.stat().st_size
        at = rng.randrange(max(1, length if rng.random() < 0.5 else min(length, 600)))
        edit, text = rng.choice(
            (
                (_flipped(rng, rng.choice((1, 20))), "flipped"),
                (lambda old: bytes(len(old)), "zeroed"),
                (lambda old: rng.randbytes(len(old)), "garbage"),
            )
        )
        text = f"{path.relative_to(root)} {text}"
        return _edit(path, at, rng.choice((1, 20, 40, 1000)), edit, text)

    return run


def _file_of(files: Callable[[Path], list[Path]]) -> Damage:
    """Something happens to a whole file."""

    def run(rng: Random, root: Path, base: Base) -> str:
        found = files(root)
        if not found:
            return "no file to damage"
        path = rng.choice(found)
        name = path.relative_to(root)
        act = rng.choice(_ACTS)
        return f"{name} {act(rng, path, found)}"

    return run


def _removed(rng: Random, path: Path, others: Sequence[Path]) -> str:
    path.unlink()
    return "removed"


def _emptied(rng: Random, path: Path, others: Sequence[Path]) -> str:
    path.write_bytes(b"")
    return "emptied"


def _shortened(rng: Random, path: Path, others: Sequence[Path]) -> str:
    data = path.read_bytes()
    keep = rng.randrange(len(data)) if data else 0
    keep -= keep % rng.choice((1, 20, 4096))
    path.write_bytes(data[:keep])
    return f"shortened to {keep}"


def _lengthened(rng: Random, path: Path, others: Sequence[Path]) -> str:
    more = rng.choice((1, 20, 4096, 65536))
    path.write_bytes(path.read_bytes() + bytes(more))
    return f"lengthened by {more}"


def _swapped(rng: Random, path: Path, others: Sequence[Path]) -> str:
    other = rng.choice(others)
    first, second = path.read_bytes(), other.read_bytes()
    path.write_bytes(second)
    other.write_bytes(first)
    return f"swapped with {other.parent.name}/{other.name}"


def _duplicated(rng: Random, path: Path, others: Sequence[Path]) -> str:
    """Its content also stands in another file, or in one that comes next."""
    if rng.random() < 0.5:
        other = rng.choice(others)
    else:
        other = path.parent / _next_name(path)
    other.write_bytes(path.read_bytes())
    return f"copied to {other.parent.name}/{other.name}"


def _next_name(path: Path) -> str:
    if not path.name.isdigit():
        return path.name + ".copy"
    last = max(int(one.name) for one in path.parent.iterdir() if one.name.isdigit())
    return f"{last + path.stat().st_size:0{len(path.name)}d}"


def _renamed(rng: Random, path: Path, others: Sequence[Path]) -> str:
    name = rng.choice((f"{path.name}.bak", _next_name(path), f"{rng.randrange(10**12):020d}"))
    path.rename(path.parent / name)
    return f"renamed to {name}"


def _foreign(rng: Random, path: Path, others: Sequence[Path]) -> str:
    """Something beside it that does not belong there."""
    size = path.stat().st_size
    name, data = rng.choice(
        (
            ("notes.txt", b"do not delete"),
            (_next_name(path), b""),
            (_next_name(path), bytes(size)),
            (_next_name(path), b"short"),
            ("00000000000000000001", bytes(size)),
            (".nfs0001", b"x"),
        )
    )
    if (path.parent / name).exists():
        return f"left alone beside {name}"
    if rng.random() < 0.2:
        (path.parent / name).mkdir()
        return f"joined by a directory {name}"
    (path.parent / name).write_bytes(data)
    return f"joined by {name} of {len(data)} bytes"


_ACTS = (
    _removed,
    _emptied,
    _shortened,
    _lengthened,
    _swapped,
    _duplicated,
    _renamed,
    _foreign,
)


def _queues_gone(rng: Random, root: Path, base: Base) -> str:
    """Queues, of one topic or of all, or the index, as a whole."""
    topics = [path for path in (root / "consumequeue").glob("*") if path.is_dir()]
    targets = [root / "consumequeue", root / "index", *sorted(topics)]
    target = rng.choice(targets)
    shutil.rmtree(target, ignore_errors=True)
    return f"{target.relative_to(root)} gone"


def _queue_behind(rng: Random, root: Path, base: Base) -> str:
    """The last units of some queues were not written."""
    count, told = rng.randint(1, 40), []
    for path in _QUEUES(root):
        if rng.random() < 0.5:
            data = path.read_bytes()
            used = len(data.rstrip(b"\0"))
            used += -used % 20
            keep = max(0, used - 20 * count)
            path.write_bytes(data[:keep] + bytes(len(data) - keep))
            told.append(f"{path.parent.parent.name}/{path.parent.name}")
    return f"{count} units short: {', '.join(told)}"


def _checkpoint(rng: Random, root: Path, base: Base) -> str:
    """Stale, too new, or not there."""
    path = root / "checkpoint"
    if not path.is_file():
        return "no checkpoint"
    data = path.read_bytes()
    choice = rng.choice(("older", "newer", "removed", "emptied", "zeroed", "flipped"))
    if choice == "older" and base.old_checkpoint is not None:
        path.write_bytes(base.old_checkpoint)
    elif choice in ("older", "newer") and len(data) >= 8 * _CHECKPOINT_FIELDS:
        shift = rng.choice((1, 5000, _HOUR_MS)) * (1 if choice == "newer" else -1)
        times = struct.unpack_from(">3q", data)
        moved = struct.pack(">3q", *(max(0, min(time + shift, (1 << 63) - 1)) for time in times))
        path.write_bytes(moved + data[len(moved) :])
    elif choice == "removed":
        path.unlink()
    elif choice == "flipped" and data:
        at = rng.choice((rng.randrange(40), 2048 + rng.randrange(72))) % len(data)
        path.write_bytes(data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :])
    else:
        path.write_bytes(b"" if choice == "emptied" else bytes(len(data)))
    return f"checkpoint {choice}"


def _state_file(rng: Random, root: Path, base: Base) -> str:
    """One of the JSON files, which may be one that only gets there now."""
    (root / "config").mkdir(exist_ok=True)
    names = ("consumerOffset.json", "topics.json", "delayOffset.json")
    path = root / "config" / (rng.choice(names) + rng.choice(("", "", ".bak")))
    data = path.read_bytes() if path.is_file() else b'{"offsetTable":{"a@b":{0:1}}}'
    data = rng.choice(
        (
            b"",
            bytes(len(data)),
            data[: rng.randrange(len(data) + 1)],
            rng.randbytes(100),
            b'{"offsetTable":' * 50,
            _flipped(rng, len(data))(data),
        )
    )
    path.write_bytes(data)
    return f"{path.name} has {len(data)} other bytes"


_WEIGHTS: dict[Damage, int] = {
    _record_flipped: 14,
    _log_flipped: 6,
    _log_zeroed: 8,
    _log_garbage: 4,
    _log_repeated: 4,
    _tail_torn: 8,
    _bytes_behind_the_end: 4,
    _file_of(_LOG): 14,
    _bytes_of(_QUEUES): 10,
    _file_of(_QUEUES): 10,
    _queues_gone: 4,
    _queue_behind: 8,
    _bytes_of(_INDEX): 4,
    _file_of(_INDEX): 4,
    _checkpoint: 8,
    _state_file: 6,
}
