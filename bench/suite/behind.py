"""What is behind the appends, measured by `cairnlog-bench` in rounds of its own."""

from __future__ import annotations

import json
import subprocess

from .cases import Case, Context, Results

NAME = "dispatch, reading, key queries, tails and groups"


def measure(context: Context) -> dict:
    """All rounds, as the rows the program prints."""
    command = [str(context.binaries / "cairnlog-bench"), "--directory", str(context.directory)]
    command += [] if context.amount == "full" else [f"--{context.amount}"]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return {"rows": [json.loads(line) for line in done.stdout.splitlines()]}


def cases(_context: Context) -> list[Case]:
    """A single one."""
    return [Case(NAME, measure, NAME, once=True)]


def rows(_context: Context, results: Results) -> list[dict]:
    """As the program has them."""
    return results[NAME][0]["rows"]
