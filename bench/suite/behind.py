"""What is behind the appends, measured by `cairnlog-bench` in rounds of its own."""

from __future__ import annotations

import json
import subprocess
from functools import partial

from .cases import Case, Context, Results

# Each in a process of its own: what one leaves in memory is written back while others run.
PARTS = ("append", "bare", "dispatch", "read", "keys", "tail", "groups", "rollover", "threads")


def measure(context: Context, part: str) -> dict:
    """All rounds of a part, as the rows the program prints."""
    command = [str(context.binaries / "cairnlog-bench"), "--directory", str(context.directory)]
    command += [] if context.amount == "full" else [f"--{context.amount}"]
    done = subprocess.run([*command, "--only", part], stdout=subprocess.PIPE, check=True)
    return {"rows": [json.loads(line) for line in done.stdout.splitlines()]}


def cases(_context: Context) -> list[Case]:
    """One for each part."""
    return [Case(part, partial(measure, part=part), part, once=True, memory=True) for part in PARTS]


def rows(_context: Context, results: Results) -> list[dict]:
    """As the program has them."""
    return [row for part in PARTS for row in results[part][0]["rows"]]
