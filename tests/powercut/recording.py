"""What record.c wrote down, and what a power cut may leave of it.

The rules are those of the model in core/src/tests/powercut: what was synced is there, and of the
rest any part may be.

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

PAGE = 4096
SECTOR = 512
EXTREMES = ("nothing", "everything", "names", "data")


@dataclass
class Event:
    """One operation."""

    what: str
    path: str
    lines: list[list[str]] = field(default_factory=list)


@dataclass
class Node:
    """What a name stands for."""

    kind: str
    inode: int


@dataclass
class Names:
    """A change of a directory's names that happens at once."""

    directory: int
    clears: list[str] = field(default_factory=list)
    sets: dict[str, Node] = field(default_factory=dict)

    def apply(self, directories: dict[int, dict[str, Node]], *, keep: bool = False) -> None:
        """Does it; with ``keep`` a rename leaves the old name, too."""
        names = directories.setdefault(self.directory, {})
        for name in self.clears:
            if not keep:
                names.pop(name, None)
        names.update(self.sets)


@dataclass
class File:
    """A file: what is durable, and what waits for a sync."""

    length: int = 0
    pages: dict[int, int] = field(default_factory=dict)
    lengths: list[int] = field(default_factory=list)
    versions: dict[int, list[int]] = field(default_factory=dict)

    def sync_pages(self, pages: range) -> None:
        for page in [page for page in self.versions if page in pages]:
            self.pages[page] = self.versions.pop(page)[-1]

    def sync(self) -> None:
        self.sync_pages(range(sys.maxsize))
        if self.lengths:
            self.length = self.lengths[-1]
        self.lengths = []


def read_events(directory: Path) -> list[Event]:
    """Returns the operations in order."""
    events: list[Event] = []
    for line in (directory / "events").read_text(encoding="utf-8").splitlines():
        words = line.split(" ")
        if words[0] == "E":
            events.append(Event(words[1], " ".join(words[2:])))
        else:
            events[-1].lines.append(words)
    return events


class Disk:
    """A disk somewhere along a recording."""

    def __init__(self, recording: Path, root: int) -> None:
        self.pages = (recording / "pages").read_bytes()
        self.root = root
        self.files: dict[int, File] = {}
        self.durable: dict[int, dict[str, Node]] = {root: {}}
        self.pending: list[Names] = []
        self.acknowledged: list[str] = []

    def step(self, event: Event) -> None:
        """Does what an operation did."""
        together = Names(0)
        for kind, *words in event.lines:
            if kind == "A":
                # Line, physical offset, queue and index; the summary at the end is something else.
                if len(words) == 4:
                    self.acknowledged.append(" ".join(words))
                continue
            number = int(words[0])
            file = self.files.setdefault(number, File()) if kind in "LPFR" else File()
            if kind == "L":
                file.lengths.append(int(words[1]))
            elif kind == "P":
                file.versions.setdefault(int(words[1]), []).append(int(words[2]))
            elif kind == "F":
                file.sync()
            elif kind == "R":
                file.sync_pages(range(int(words[1]), int(words[2])))
            elif kind == "G":
                self._sync_names(number)
            else:
                change = together if event.what == "rename" else Names(number)
                change.directory = number
                if kind == "C":
                    change.clears.append(words[1])
                else:
                    change.sets[words[1]] = Node(words[2], int(words[3]))
                if change is not together:
                    self.pending.append(change)
        if together.directory:
            self.pending.append(together)

    def _sync_names(self, directory: int) -> None:
        for change in self.pending:
            if change.directory == directory:
                change.apply(self.durable)
        self.pending = [change for change in self.pending if change.directory != directory]

    def survive(self, how: str, random: Random) -> Iterator[tuple[str, bytes | None]]:
        """Yields every directory (without bytes) and file that is left when the power is cut."""
        directories = {number: dict(names) for number, names in self.durable.items()}
        self._survive_names(how, random, directories)
        luck = (random.choice((1, 4, 7, 8)), random.choice((0, 1, 4)), random.choice((0, 2)))
        unseen = [("", self.root)]
        while unseen:
            path, number = unseen.pop()
            for name, node in sorted(directories.get(number, {}).items()):
                below = f"{path}{name}"
                if node.kind == "d":
                    yield below, None
                    unseen.append((below + "/", node.inode))
                else:
                    file = self.files.get(node.inode, File())
                    yield below, self._survive_file(file, how, luck, random)

    def _survive_names(
        self, how: str, random: Random, directories: dict[int, dict[str, Node]]
    ) -> None:
        survivors = list(self.pending)
        some = False
        if how in ("nothing", "data"):
            survivors = []
        elif how == "random":
            kind = random.randrange(4)
            some = kind >= 2
            if kind == 1:
                survivors = survivors[: random.randrange(len(survivors) + 1)]
        for change in survivors:
            luck = random.randrange(5) if some else 4
            if luck >= 2:
                change.apply(directories, keep=luck == 2 and bool(change.sets))

    def _survive_file(
        self, file: File, how: str, luck: tuple[int, int, int], random: Random
    ) -> bytes:
        newest = file.lengths[-1] if file.lengths else file.length
        length = file.length if how in ("nothing", "data") else newest
        if how == "random":
            length = random.choice([file.length, newest, *file.lengths])
        left = bytearray(-(-max(length, 1) // PAGE) * PAGE)
        for page in sorted({*file.pages, *file.versions}):
            if page * PAGE >= length:
                continue
            old = self._page(file.pages.get(page))
            versions = file.versions.get(page, [])
            left[page * PAGE : (page + 1) * PAGE] = self._keep(old, versions, how, luck, random)
        return bytes(left[:length])

    def _keep(
        self, old: bytes, versions: list[int], how: str, luck: tuple[int, int, int], random: Random
    ) -> bytes:
        survive, torn, older = luck
        if not versions or how in ("nothing", "names"):
            return old
        if how in ("everything", "data"):
            return self._page(versions[-1])
        if random.randrange(8) >= survive:
            return old
        version = random.choice(versions) if random.randrange(8) < older else versions[-1]
        new = self._page(version)
        if random.randrange(8) >= torn:
            return new
        sectors = range(0, PAGE, SECTOR)
        return b"".join(random.choice((old, new))[at : at + SECTOR] for at in sectors)

    def _page(self, number: int | None) -> bytes:
        if number is None:
            return bytes(PAGE)
        return self.pages[number * PAGE : (number + 1) * PAGE]


def lay(left: Iterator[tuple[str, bytes | None]], root: Path) -> None:
    """Makes a directory of what is left."""
    root.mkdir()
    for path, content in left:
        if content is None:
            (root / path).mkdir()
        else:
            (root / path).write_bytes(content)


def sequences(events: list[Event]) -> dict[str, list[str]]:
    """Returns what was done to each path: it was made, or removed, or synced."""
    names: dict[int, str] = {}
    found: dict[str, list[str]] = {}
    parents: dict[int, str] = {}

    def note(path: str, what: str) -> None:
        found.setdefault(path, []).append(what)

    for event in events:
        for kind, *words in event.lines:
            if kind == "S":
                parent = parents.get(int(words[0]), "")
                path = f"{parent}{words[1]}"
                if words[2] == "d":
                    parents[int(words[3])] = path + "/"
                names[int(words[3])] = path
                note(path, "made")
            elif kind == "C":
                note(f"{parents.get(int(words[0]), '')}{words[1]}", "gone")
            elif kind in "FR":
                note(names.get(int(words[0]), "?"), "synced")
            elif kind == "G":
                note(parents.get(int(words[0]), "/"), "synced")
    return found
