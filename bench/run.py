"""Runs `cairnlog bench` over the usual cases and prints a table.

    python3 bench/run.py [--seconds N] [--directory DIR] [--tool PATH] [--output FILE]

Every case measures its raw limit in the same run and reports the ratio to it: figures of different
runs on a shared machine cannot be compared, ratios can. One JSON object per case goes to FILE,
`target/bench.jsonl` by default.
"""

import argparse
import json
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent

CASES = [
    ("async", 1024, 1, 1),
    ("async", 100, 1, 1),
    ("async", 1024, 2, 1),
    ("sync", 1024, 1, 1),
    ("sync", 1024, 16, 1),
    ("sync", 1024, 64, 1),
    ("sync", 1024, 1, 64),
    ("sync", 1024, 1, 512),
    ("sync", 1024, 4, 256),
]

HEADER = ["mode", "bytes", "threads", "in flight", "messages/s"]
HEADER += ["p50", "p99", "p99.99", "floor", "ratio"]
WIDTHS = [5, 6, 7, 9, 11, 9, 9, 9, 10, 6]


def measure(tool, directory, seconds, case):
    """One case, as the object the tool prints."""
    mode, size, threads, inflight = case
    command = [str(tool), "bench", str(directory), "--floor", "--json", "--mode", mode]
    command += ["--size", str(size), "--threads", str(threads)]
    command += ["--inflight", str(inflight), "--seconds", str(seconds)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def microseconds(nanoseconds):
    """Nanoseconds as text in microseconds."""
    return f"{nanoseconds / 1000:.1f} us"


def row(result):
    """The cells of one case."""
    return [
        result["mode"],
        str(result["size"]),
        str(result["threads"]),
        str(result["inflight"]),
        f"{result['messages_per_second']:,.0f}",
        microseconds(result["p50_ns"]),
        microseconds(result["p99_ns"]),
        microseconds(result["p9999_ns"]),
        f"{result['floor_messages_per_second']:,.0f}",
        f"{result['ratio_to_floor']:.2f}",
    ]


def line(cells):
    """Cells, right-aligned."""
    return "  ".join(cell.rjust(width) for cell, width in zip(cells, WIDTHS))


def main():
    """Measures every case."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--directory", type=pathlib.Path, default=ROOT / "target" / "bench")
    tool = ROOT / "target" / "release" / "cairnlog"
    parser.add_argument("--tool", type=pathlib.Path, default=tool)
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "target" / "bench.jsonl")
    arguments = parser.parse_args()
    if not arguments.tool.is_file():
        sys.exit(f"{arguments.tool} does not exist: build it with make build")
    arguments.directory.mkdir(parents=True, exist_ok=True)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    print(line(HEADER), flush=True)
    with arguments.output.open("w", encoding="ascii") as output:
        for case in CASES:
            result = measure(arguments.tool, arguments.directory, arguments.seconds, case)
            output.write(json.dumps(result) + "\n")
            output.flush()
            print(line(row(result)), flush=True)


if __name__ == "__main__":
    main()
