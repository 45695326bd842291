"""The benchmarks run and say what they found. No figure is judged here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from build_outputs import CHECKOUT, built


def test_every_case_ends_in_a_row_and_leaves_nothing_behind(tmp_path: Path) -> None:
    directory, output = tmp_path / "stores", tmp_path / "out" / "bench.json"
    command = [sys.executable, CHECKOUT / "bench" / "run.py", "--smoke", "--output", output]
    command += ["--directory", directory, "--binaries", built("cairnlog-bench").parent]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = json.loads(output.read_text())["rows"]
    names = [row["name"] for row in rows]
    assert len(set(names)) == len(names)
    assert {"async append, 100 B, 1 thread", "scan the log, 1 KiB, CRC verified"} <= set(names)
    for row in rows:
        for part in ("value", "floor", "ratio"):
            assert 0 < row[part]["min"] <= row[part]["median"] <= row[part]["max"], row
        assert (row["target"] is None) == (row["met"] is None), row
    # A synced append of one thread is a sync of its own; nobody syncs each of 64 in flight.
    syncs = {row["name"]: row["syncs_per_record"] for row in rows if "latency" in row}
    assert syncs["sync append, 1024 B, 1 thread"] >= 1
    assert syncs["sync append, 1024 B, 1 thread, 64 in flight"] < 1
    assert output.with_suffix(".md").read_text() == done.stdout
    assert all(f"| {name} |" in done.stdout for name in names)
    assert not list(directory.iterdir()), "left behind"
