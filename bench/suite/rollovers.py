"""Appends across the ends of log files, over time."""

from __future__ import annotations

import json
import subprocess

from . import figures
from .appends import ASYNC_FLOOR
from .cases import Case, Context, Results

NAME = "async append across ten rollovers, 1024 B"

# Bytes of a log file, and milliseconds of a slice of time.
AMOUNTS = {"full": (128 << 20, 50), "quick": (64 << 20, 20), "smoke": (1 << 20, 1)}


def measure(context: Context) -> dict:
    """One round, as the object the program prints."""
    file_bytes, slice_ms = AMOUNTS[context.amount]
    command = [str(context.binaries / "cairnlog-rollovers"), str(context.directory)]
    command += ["--file-bytes", str(file_bytes), "--slice-ms", str(slice_ms)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def cases(_context: Context) -> list[Case]:
    """A single one."""
    return [Case(NAME, measure, NAME, memory=True)]


def rows(_context: Context, results: Results) -> list[dict]:
    """The row has how the rate went in the round that was in the middle."""
    rounds = results[NAME]
    rates = [one["records"] / one["seconds"] for one in rounds]
    floors = [one["floor_records"] / one["floor_seconds"] for one in rounds]
    made = figures.row(NAME, "records/s", rates, ASYNC_FLOOR, floors, None)
    middle = sorted(rounds, key=lambda one: one["records"] / one["seconds"])[len(rounds) // 2]
    names = ("slice_ms", "slices", "floor_slices", "rollovers_ms")
    return [made | {"series": {name: middle[name] for name in names}}]
