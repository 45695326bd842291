"""Asks the stock store and cairnlog about many damaged directories, in one process each.

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from build_outputs import built
from stock_judge import JudgeError, Record, Release, java

from .bases import Base

_MAX_SECONDS = 900
# 4.9.8 waits for its threads most of the time.
_PARALLEL: dict[Release, int] = {"533": 4, "498": 64}


@dataclass(frozen=True)
class Asked:
    """A directory and the store it was made from."""

    root: Path
    base: Base


def ask_stock(release: Release, asked: Sequence[Asked], work: Path) -> dict[Path, Record]:
    """Has one Java process look at copies of all directories, and returns its line of each.

    Where the process died, each directory that it did not tell of is asked about alone, so that it
    is known which one it was.
    """
    told, code = _java(release, asked, work)
    if len(told) == len(asked):
        return told
    for one in asked:
        if one.root not in told:
            alone, code = _java(release, [one], work)
            told[one.root] = alone.get(one.root, {"threw": f"the process ended with {code}"})
    return told


def _java(release: Release, asked: Sequence[Asked], work: Path) -> tuple[dict[Path, Record], int]:
    words: list[str] = []
    for one in asked:
        base = one.base
        probes = work / f"probes-{base.name}"
        if not probes.exists():
            text = "".join(f"{offset} {size}\n" for offset, size in base.probes())
            probes.write_text(text, "ascii")
        words += ["--commitlog-size", str(base.segment_bytes), "--cq-size", str(base.queue_bytes)]
        words += ["--index-slots", str(base.index_slots), "--index-items", str(base.index_items)]
        words += ["--survey", str(probes)]
        if release == "498":
            words.append("--start")
        words.append(str(one.root))
    arguments = work / f"words-{release}"
    arguments.write_text("".join(f"{word}\n" for word in words), "utf-8")
    home = work / f"home-{release}"
    home.mkdir(exist_ok=True)
    command = java(
        release,
        home,
        "io.cairnlog.stock.Judge",
        f"-Djudge.parallel={_PARALLEL[release]}",
        "-XX:+UseSerialGC",
    )
    lines, code = _run([*command, f"@{arguments}"], "", work / f"log-{release}", home)
    told: dict[Path, Record] = {}
    root = None
    for line in lines:
        if line["type"] == "store":
            root = Path(line["root"])
        elif line["type"] == "failure":
            raise JudgeError(f"{root}: {line['text']}")
        elif root is not None:
            told[root] = line
    return told, code


def ask_cairnlog(asked: Sequence[Asked], work: Path) -> dict[Path, Record]:
    """Has one process open all directories, which are used up, and returns its line of each.

    One that it did not live to tell of has a line that says so.
    """
    questions = [
        json.dumps(
            {
                "root": str(one.root),
                "probes": one.base.probes(),
                "segment": one.base.segment_bytes,
            }
        )
        for one in asked
    ]
    command = [str(built("cairnlog-test-writer")), "look"]
    lines, code = _run(command, "\n".join(questions), work / "log-cairnlog", work)
    told = {Path(line["root"]): line for line in lines}
    for one in asked:
        if one.root not in told:
            told[one.root] = {"failed": f"the process ended with {code} and did not tell of it"}
    return told


def _run(command: Sequence[str], text: str, log: Path, directory: Path) -> tuple[list[Record], int]:
    """Runs a program that prints JSON lines; a last one that is not whole does not count."""
    # Queue directories are named by topics, which are UTF-8.
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    with log.open("wb") as error:
        try:
            ended = subprocess.run(
                command,
                input=text.encode(),
                cwd=directory,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=error,
                timeout=_MAX_SECONDS,
                check=False,
            )
            output, code = ended.stdout, ended.returncode
        except subprocess.TimeoutExpired as expired:
            output, code = expired.stdout or b"", -1
    whole = output[: output.rfind(b"\n") + 1]
    return [json.loads(line) for line in whole.splitlines()], code
