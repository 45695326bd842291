"""The benchmarks run and say what they found. No figure is judged here."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from build_outputs import CHECKOUT, built

sys.path.insert(0, str(CHECKOUT / "bench"))

from suite import syncs  # noqa: E402

# In place of the program that drives other stores: one that syncs, one that only says so, and one
# that fails and leaves a file behind.
STAND_IN = """#!{python}
import json, os, sys
words = {{sys.argv[at]: sys.argv[at + 1] for at in range(1, len(sys.argv) - 1)}}
file = os.open(sys.argv[-1] + "/log", os.O_WRONLY | os.O_CREAT)
if words["--peer"] == "walrus":
    sys.exit("walrus does not feel like it")
for number in range(20):
    os.write(file, b"record")
    if words["--mode"] == "sync" and words["--peer"] != "fjall":
        os.fdatasync(file)
times = {{f"p{{part}}_ns": 1000 for part in (50, 99, 999, 9999)}}
rate = {{"messages": 20, "messages_per_second": 1e4, "max_ns": 1000, "mode": words["--mode"]}}
print(json.dumps(times | rate))
"""


def run(directory: Path, *words: str | Path) -> tuple[dict, str]:
    """The report as JSON and as a person reads it."""
    output = directory / "out" / "bench.json"
    command = [sys.executable, CHECKOUT / "bench" / "run.py", "--smoke", "--output", output]
    command += ["--directory", directory / "stores", "--peers", directory / "peers", *words]
    command += ["--binaries", built("cairnlog-bench").parent]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert output.with_suffix(".md").read_text() == done.stdout
    assert not list((directory / "stores").iterdir()), "left behind"
    return json.loads(output.read_text()), done.stdout


def test_every_case_ends_in_a_row(tmp_path: Path) -> None:
    program = tmp_path / "peers" / "release" / "peer-bench"
    program.parent.mkdir(parents=True)
    program.write_text(STAND_IN.format(python=sys.executable))
    program.chmod(0o755)
    report, text = run(tmp_path)
    rows = {row["name"]: row for row in report["rows"]}
    assert len(rows) == len(report["rows"])
    expected = {"async append, 100 B, 1 thread", "scan the log, 1 KiB, CRC verified"}
    expected |= {"C append, 100 B", "Python append, 100 B", "Java append, 100 B"}
    expected |= {"wake-ups of an idle store", "open after a crash, log walked with CRC"}
    expected |= {"open after a crash, nothing of the log synced"}
    assert expected <= set(rows)
    assert set(rows["wake-ups of an idle store"]["syncs"]) <= {0, None}, "an idle store syncs"
    for name, row in rows.items():
        for part in ("value", "floor", "ratio"):
            assert 0 < row[part]["min"] <= row[part]["median"] <= row[part]["max"], row
        assert (row["target"] is None) == (row["met"] is None), row
        assert f"| {row.get('peer', name)} |" in text
    work = "sync append, 1024 B, 1 thread"
    peers = {row["peer"]: row for row in report["rows"] if row.get("work") == work}
    assert set(peers) >= {"raft-engine 0.4.2", "fjall 3.1.13", "okaywal 0.3.1"}
    assert peers["fjall 3.1.13"]["value"]["median"] == 1e4
    assert peers["fjall 3.1.13"]["floor"] == rows[work]["value"]
    assert peers["raft-engine 0.4.2"]["target"] == {"ratio_at_least": 1.0}
    # What has no figures is told.
    assert f"walrus-rust 0.2.0: {work}: walrus does not feel like it" in report["remarks"]
    assert "RocketMQ 5.3.3 (Java) is not built." in report["remarks"]
    assert all(remark in text for remark in report["remarks"])
    # A synced append of one thread is a sync of its own; nobody syncs each of 64 in flight.
    counted = [
        rows[work]["syncs_per_record"],
        rows["sync append, 1024 B, 1 thread, 64 in flight"]["syncs_per_record"],
        peers["raft-engine 0.4.2"]["syncs_per_record"],
        peers["fjall 3.1.13"]["syncs_per_record"],
    ]
    if report["machine"]["syncs_counted_by"] is None:
        assert counted == [None] * 4
    else:
        assert counted[0] >= 1 > counted[1] > 0 and counted[2:] == [1, 0]


def test_syncs_of_a_floor_are_taken_off() -> None:
    both = {"mode": "sync", "messages": 100, "floor_messages": 80}
    assert syncs.per_record([both | syncs.counted(both, 130)] * 2) == 0.5
    # The floor of appends that wait for nothing syncs nothing.
    both["mode"] = "async"
    assert syncs.counted(both, 3) == {"counted_syncs": 3, "counted_records": 100}
    # Those of a warm-up are counted, too.
    warm = {"mode": "sync", "messages": 100, "appended": 150}
    assert syncs.per_record([warm | syncs.counted(warm, 150)]) == 1
    assert syncs.per_record([warm | syncs.counted(warm, 150), warm]) is None


def test_either_program_counts_syncs(tmp_path: Path) -> None:
    assert syncs.perf_count("# started\n\n12,,ext4:ext4_sync_file_enter,119750574,100.00,,\n") == 12
    table = "% time seconds usecs/call calls errors syscall\n--- --- --- --- --- ---\n"
    table += "99.00    0.000053           5        10           fdatasync\n"
    table += " 1.00    0.000001           1         2         1 msync\n------ - - -\n"
    assert syncs.strace_count(f"{table}100.00 0.000054 5 12 1 total\n") == 12
    way = syncs.counter(tmp_path)
    assert way is None or syncs.works(way, tmp_path)


def test_what_hangs_is_killed_with_all_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(syncs, "TIMEOUT_SECONDS", 0.5)
    mark = tmp_path / "mark"
    script = f"(sleep 2; echo late > {mark}) & wait"
    with pytest.raises(subprocess.TimeoutExpired):
        syncs.printed(["sh", "-c", script])
    time.sleep(2)
    assert not mark.exists()


def test_what_prints_no_figures_has_failed() -> None:
    with pytest.raises(subprocess.CalledProcessError) as failed:
        syncs.printed(["sh", "-c", "echo none"])
    assert failed.value.stderr == "printed no figures, but 'none\\n'"
    with pytest.raises(subprocess.CalledProcessError) as failed:
        syncs.printed(["sh", "-c", "echo why >&2"])
    assert failed.value.stderr == "why"
