"""The plots of a run of the benchmarks: drawn from rows as `bench/run.py` writes them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as tree
from pathlib import Path

import pytest

from build_outputs import CHECKOUT

NAMES = {"durable-appends.svg", "latencies.svg", "rollovers.svg", "soak.svg"}
MAX_BYTES = 100_000


def spread(middle: float) -> dict[str, float]:
    return {"median": middle, "min": 0.9 * middle, "max": 1.2 * middle}


def append(name: str, rate: float, peer: str | None = None) -> dict:
    latency = {"p50_ns": spread(300), "p99_ns": spread(9e4), "p9999_ns": spread(4e6)}
    row = {"name": name, "value": spread(rate), "floor": spread(6000), "latency": latency}
    return row if peer is None else row | {"peer": peer}


def rows() -> list[dict]:
    threads = {1: 6e3, 16: 44e3, 64: 120e3, 128: 150e3}
    name = "sync append, 1024 B, {} thread{}"
    ours = [append(name.format(n, "s" * (n > 1)), rate) for n, rate in threads.items()]
    another = "another log: " + name
    peers = [
        append(another.format(n, "s" * (n > 1)), rate / 2, "another log")
        for n, rate in threads.items()
    ]
    series = {"slice_ms": 50, "slices": [9, 8, 9, 2], "floor_slices": [11, 12, 3]}
    rollovers = {"name": "async append across ten rollovers", "value": spread(170)}
    rollovers["series"] = series | {"rollovers_ms": [40.0, 80.0]}
    return [append("async append, 1024 B, 2 threads", 4e6), *ours, *peers, rollovers, soak()]


def soak() -> dict:
    fields = {"anonymous_kib": 9e3, "store_kib": 5e4, "descriptors": 40}
    fields |= {"mappings": 9, "threads": 8}
    samples = [
        fields | {"ended": False, "seconds": 60 * life, "appended": 5000 * life, "lives": life}
        for life in range(1, 4)
    ]
    return {"name": "soak", "samples": [*samples, samples[-1] | {"ended": True, "appended": 99}]}


def draw(rows: list[dict], directory: Path) -> None:
    file = directory / "bench.json"
    file.write_text(json.dumps({"machine": {}, "rows": rows}))
    command = [CHECKOUT / "bench" / "plot.sh", file, directory]
    environment = os.environ | {"PYTHON": sys.executable}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def texts(file: Path) -> list[str]:
    elements = tree.parse(file).iter("{http://www.w3.org/2000/svg}text")
    return ["".join(element.itertext()).strip() for element in elements]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("plots")
    draw(rows(), directory)
    return directory


def test_every_plot_is_drawn_and_small(drawn: Path) -> None:
    files = {file.name: file for file in drawn.glob("*.svg")}
    assert files.keys() == NAMES
    assert all(file.stat().st_size < MAX_BYTES for file in files.values())


def test_a_plot_says_what_is_on_it(drawn: Path) -> None:
    durable = texts(drawn / "durable-appends.svg")
    assert {"cairnlog", "another log", "records per second"} <= set(durable)
    # Two threads that do not wait are no waiters.
    assert {"1", "16", "64", "128"} <= set(durable)
    assert "2" not in durable
    latencies = texts(drawn / "latencies.svg")
    assert {"p50", "p99", "p99.99", "sync append, 1024 B, 64 threads"} <= set(latencies)
    assert not [text for text in latencies if "another log" in text]
    assert {"15,000 appends, opened 3 times", "mappings"} <= set(texts(drawn / "soak.svg"))
    assert "time in ms, in slices of 50 ms" in texts(drawn / "rollovers.svg")


def test_the_same_rows_give_the_same_bytes(drawn: Path, tmp_path: Path) -> None:
    draw(rows(), tmp_path)
    for name in NAMES:
        assert (tmp_path / name).read_bytes() == (drawn / name).read_bytes()


def test_what_was_not_measured_is_not_drawn(tmp_path: Path) -> None:
    draw(rows()[:1], tmp_path)
    assert {file.name for file in tmp_path.glob("*.svg")} == {"latencies.svg"}
