"""Cuts the power under the tool on a real file system, and recovers what is left by the tool.

record.c writes down what `cairnlog append` does to its directory and when it acknowledged which
message. Behind acknowledgements, and behind operations taken at random, directories are made of
what was synced by then and of random parts of the rest. In each, `cairnlog recover` must succeed,
`cairnlog verify` must find nothing, and `cairnlog cat` must print the first lines of the input,
with all that were acknowledged as durable. Then the operations are held against those of the
model in core/src/tests/powercut, if it left its own of the same work.

    python3 tests/powercut/replay.py [--states N] [--seed N] [--model FILE] [--counts FILE]
                                     [--report FILE]

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from build_outputs import CHECKOUT, built  # noqa: E402
from recording import EXTREMES, Disk, Event, lay, read_events, sequences  # noqa: E402

CONF = """
mapperFileSizeBatchConsumeQueue=46000
mappedFileSizeConsumeQueue=20000
maxHashSlotNum=100
maxIndexNum=1000
"""
THREADS = 2
_MAX_SECONDS = 60


@dataclass(frozen=True)
class Work:
    """One way to append."""

    name: str
    arguments: tuple[str, ...]
    lines: int
    bytes_each: int
    durable: bool

    def input(self) -> list[bytes]:
        def line(number: int) -> bytes:
            return f"{number}:".encode() + bytes([97 + number % 26]) * self.bytes_each

        return [line(number) for number in range(self.lines)]


SYNC = ("--flush", "sync")
WORKS = (
    # The same as the model's script of this name.
    Work("tool", (*SYNC, "--keys", "k"), 14, 20_000, durable=True),
    Work("small", (*SYNC, "--queues", "3"), 60, 700, durable=True),
    Work("inflight", (*SYNC, "--inflight", "8"), 80, 3_000, durable=True),
    Work("pool", (*SYNC, "--pool"), 40, 4_000, durable=True),
    Work("async", ("--flush", "async", "--queues", "2"), 80, 3_000, durable=False),
)


class Wrong(Exception):
    """What is left is not what it must be."""


@dataclass
class Recording:
    work: Work
    directory: Path
    root: int
    events: list[Event]
    conf: Path


@dataclass
class Cut:
    """Where the power is cut, and what survives."""

    recording: Recording
    number: int
    how: str
    seed: int
    disk: Disk

    def __str__(self) -> str:
        event = self.recording.events[self.number]
        return (
            f"{self.recording.work.name}, behind operation {self.number} "
            f"({event.what} {event.path}), {self.how}, seed {self.seed}"
        )


@dataclass
class Counts:
    seed: int
    states: int = 0
    operations: int = 0
    syncs: int = 0
    acknowledged: int = 0
    recovered: int = 0
    set_aside: int = 0
    compared_paths: int = 0
    failures: list[str] = field(default_factory=list)


def build_recorder(directory: Path) -> Path:
    """Compiles record.c."""
    library = directory / "record.so"
    source = Path(__file__).resolve().parent / "record.c"
    compiler = os.environ.get("CC", "cc")
    flags = ["-O2", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared"]
    subprocess.run([compiler, *flags, source, "-o", library, "-ldl", "-lpthread"], check=True)
    return library


def record(work: Work, recorder: Path, directory: Path) -> Recording:
    """Runs the tool and writes down what it does."""
    store, output = directory / "store", directory / "recording"
    store.mkdir(parents=True)
    output.mkdir()
    root = store.stat().st_ino
    conf = directory / "store.conf"
    conf.write_text(CONF)
    boot_id = directory / "boot_id"
    boot_id.write_text("11111111-2222-3333-4444-555555555555\n")
    command = [built("cairnlog"), "--conf", conf, "append", store, "-t", "t", "--acks", "-"]
    command += ["--segment-size", "64K", *work.arguments]
    environment = {
        **os.environ,
        "LD_PRELOAD": str(recorder),
        "CAIRN_RECORD": str(output),
        "CAIRN_RECORD_DIR": str(store),
        "CAIRN_BOOT_ID": str(boot_id),
    }
    lines = b"".join(line + b"\n" for line in work.input())
    done = subprocess.run(
        command, input=lines, env=environment, capture_output=True, timeout=_MAX_SECONDS
    )
    if done.returncode != 0:
        raise Wrong(f"{work.name}: the tool failed: {done.stderr.decode(errors='replace')}")
    return Recording(work, output, root, read_events(output), conf)


def cuts(recording: Recording, count: int, random: Random) -> Iterator[Cut]:
    """Behind every acknowledgement what was synced alone; and ``count`` others."""
    numbers = range(len(recording.events))
    others: dict[int, list[str]] = {}
    for index in range(count):
        number = random.choice(numbers)
        how = EXTREMES[index % 8] if index % 8 < len(EXTREMES) else "random"
        others.setdefault(number, []).append(how)
    disk = Disk(recording.directory, recording.root)
    for number, event in enumerate(recording.events):
        disk.step(event)
        hows = others.get(number, [])
        if any(line[0] == "A" for line in event.lines):
            hows = ["nothing", *hows]
        for how in hows:
            pages, disk.pages = disk.pages, b""
            copy = deepcopy(disk)
            copy.pages = disk.pages = pages
            yield Cut(recording, number, how, random.getrandbits(48), copy)


def tool(*words: str | Path) -> bytes:
    """Runs the tool on a directory."""
    command = [built("cairnlog"), *words]
    done = subprocess.run(command, capture_output=True, timeout=_MAX_SECONDS)
    if done.returncode != 0:
        text = (done.stdout + done.stderr).decode(errors="replace")
        raise Wrong(f"{' '.join(map(str, words[2:]))} ended with {done.returncode}: {text}")
    return done.stdout


def check(cut: Cut, work: Path) -> bool:
    """Recovers what a cut left; returns whether something was set aside."""
    recording = cut.recording
    root = work / f"{recording.work.name}-{cut.number}-{cut.how}-{cut.seed}"
    lay(cut.disk.survive(cut.how, Random(cut.seed)), root)
    conf = ("--conf", recording.conf)
    if not (root / "commitlog").is_dir():
        # Nothing was promised before the log's directory was durable.
        if cut.disk.acknowledged and recording.work.durable:
            raise Wrong("there is no log although messages were acknowledged")
        shutil.rmtree(root)
        return False
    report = json.loads(tool(*conf, "recover", root, "--json"))
    tool(*conf, "verify", root, "--json")
    expected = recording.work.input()
    left = tool(*conf, "cat", root).splitlines()
    if left != expected[: len(left)]:
        raise Wrong(f"the {len(left)} messages are not the first of the input")
    least = len(cut.disk.acknowledged) if recording.work.durable else 0
    if len(left) < least:
        raise Wrong(f"{len(left)} messages are left of {least} acknowledged")
    shutil.rmtree(root)
    return report["bytes_set_aside"] > 0


def compare(recording: Recording, model: Path, counts: Counts) -> None:
    """Holds what was done to each path against what the model saw."""
    seen = json.loads(model.read_text())
    really = sequences(recording.events)

    def usual(found: dict[str, list[str]]) -> dict[str, list[str]]:
        # Index files are named by the time; the lock is taken outside the seam.
        def renamed(path: str) -> str:
            return "index/TIME" if path.startswith("index/2") else path

        return {renamed(path): done for path, done in found.items() if path != "lock"}

    one, other = usual(seen), usual(really)
    for path in sorted({*one, *other}):
        if one.get(path) != other.get(path):
            counts.failures.append(
                f"{path}: the model saw {one.get(path)}, the file system {other.get(path)}"
            )
    counts.compared_paths = len({*one, *other})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--states", type=int, default=250)
    parser.add_argument("--seed", type=int, default=time.time_ns() % (1 << 48))
    parser.add_argument("--model", type=Path, help="what the model did of the work `tool`")
    parser.add_argument("--counts", type=Path, help="what the model counted, for the report")
    parser.add_argument("--report", type=Path)
    arguments = parser.parse_args()
    counts = Counts(arguments.seed)
    random = Random(arguments.seed)
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="powercut-") as name:
        explore(Path(name), arguments, counts, random)
    result = {**vars(counts), "seconds": round(time.monotonic() - begin, 1)}
    print("power cuts of the tool:", json.dumps(result))
    if arguments.report:
        model = json.loads(arguments.counts.read_text()) if arguments.counts else None
        report = {"model": model, "tool": result}
        arguments.report.write_text(json.dumps(report, indent=1) + "\n")
    return 1 if counts.failures else 0


def explore(
    directory: Path, arguments: argparse.Namespace, counts: Counts, random: Random
) -> None:
    recorder = build_recorder(directory)
    each = arguments.states // len(WORKS)
    for work in WORKS:
        recording = record(work, recorder, directory / work.name)
        counts.operations += len(recording.events)
        syncs = (line[0] in "FG" for event in recording.events for line in event.lines)
        counts.syncs += sum(syncs)
        if work.name == "tool" and arguments.model:
            compare(recording, arguments.model, counts)

        def one(cut: Cut) -> None:
            try:
                counts.set_aside += check(cut, directory)
                counts.recovered += 1
            except Wrong as wrong:
                kept = CHECKOUT / "target" / "powercut" / str(cut.seed)
                shutil.rmtree(kept, ignore_errors=True)
                lay_again(cut, kept)
                counts.failures.append(f"{cut}: {wrong}; left in {kept}")

        with ThreadPoolExecutor(THREADS) as pool:
            for _ in pool.map(one, cuts(recording, each, random)):
                counts.states += 1
        acknowledged = (line[0] == "A" for event in recording.events for line in event.lines)
        counts.acknowledged += sum(acknowledged)


def lay_again(cut: Cut, kept: Path) -> None:
    """Makes what a cut left once more, for whoever looks into it."""
    kept.parent.mkdir(parents=True, exist_ok=True)
    lay(cut.disk.survive(cut.how, Random(cut.seed)), kept)


if __name__ == "__main__":
    sys.exit(main())
