"""Measures what cairnlog reaches beside the raw limits of this machine, and prints a table.

    python3 bench/run.py [--quick] [--directory DIR] [--binaries DIR] [--output FILE]

Appends are measured by `cairnlog bench`, everything behind them by `cairnlog-bench`. Every figure
stands beside a floor of the same round: figures of different runs on a shared machine cannot be
compared, ratios can. All rows, with the spread over the rounds, go to FILE as JSON,
`target/bench.json` by default; the table goes to stdout and, beside FILE, to a `.md`.
"""

import argparse
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent

ASYNC_FLOOR = "copy the record and compute its CRC, into a mapped, touched file"
SYNC_FLOOR = "pwrite and fdatasync, one by one"

# Mode, bytes of a body, threads, appends in flight of each, and the ratio to be reached.
CASES = [
    ("async", 1024, 1, 1, 0.80),
    ("async", 100, 1, 1, 0.70),
    ("async", 1024, 2, 1, None),
    ("sync", 1024, 1, 1, 0.95),
    ("sync", 1024, 16, 1, 6),
    ("sync", 1024, 64, 1, 16),
    ("sync", 1024, 128, 1, 20),
    ("sync", 1024, 1, 64, 35),
    ("sync", 1024, 1, 512, 110),
]
LATENCIES = ["p50_ns", "p99_ns", "p9999_ns"]

HEADER = ["What", "Measured", "Spread", "Floor", "Ratio", "Target"]


def spread(values):
    """The middle and both ends."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def measure_append(tool, directory, seconds, case):
    """One round of one case, as the object the tool prints."""
    mode, size, threads, inflight, _ = case
    command = [str(tool), "bench", str(directory), "--floor", "--json", "--mode", mode]
    command += ["--size", str(size), "--threads", str(threads)]
    command += ["--inflight", str(inflight), "--seconds", str(seconds)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def append_row(case, results):
    """The rounds of one case, as `cairnlog-bench` has its rows."""
    mode, size, threads, inflight, target = case
    ratio = spread([result["ratio_to_floor"] for result in results])
    name = f"{mode} append, {size} B"
    name += f", {threads} threads" if threads > 1 else ", 1 thread"
    name += f", {inflight} in flight" if inflight > 1 else ""
    return {
        "name": name,
        "unit": "records/s",
        "rounds": len(results),
        "value": spread([result["messages_per_second"] for result in results]),
        "floor_name": ASYNC_FLOOR if mode == "async" else SYNC_FLOOR,
        "floor": spread([result["floor_messages_per_second"] for result in results]),
        "ratio": ratio,
        "target": None if target is None else {"ratio_at_least": target},
        "met": None if target is None else ratio["median"] >= target,
        "latency": {name: spread([result[name] for result in results]) for name in LATENCIES},
        "syncs_per_record": sum(result["syncs"] for result in results)
        / sum(result["messages"] for result in results),
    }


def append_rows(tool, directory, seconds, rounds):
    """Every case in every round."""
    results = [[] for _ in CASES]
    for _ in range(rounds):
        for case, of_case in zip(CASES, results):
            of_case.append(measure_append(tool, directory, seconds, case))
    return [append_row(case, of_case) for case, of_case in zip(CASES, results)]


def other_rows(tool, directory, quick):
    """What is behind the appends."""
    command = [str(tool), "--directory", str(directory)] + (["--quick"] if quick else [])
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def amount(value, unit):
    """A figure as a person reads it."""
    if unit == "us":
        return f"{value:.1f} us"
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g} {letter}{'B/s' if unit == 'bytes/s' else '/s'}"
    return f"{value:.0f} /s"


def target_text(row):
    """What is to be reached, and whether it was."""
    if row["target"] is None:
        return ""
    ((kind, value),) = row["target"].items()
    text = {
        "at_least": lambda: f">= {amount(value, row['unit'])}",
        "at_most": lambda: f"<= {amount(value, row['unit'])}",
        "ratio_at_least": lambda: f">= {value:g} of the floor",
    }[kind]()
    return text + (", met" if row["met"] else ", missed")


def cells(row):
    """One line of the table."""
    unit = row["unit"]
    ends = [amount(row["value"][end], unit) for end in ("min", "max")]
    return [
        row["name"],
        amount(row["value"]["median"], unit),
        " to ".join(ends),
        amount(row["floor"]["median"], unit),
        f"{row['ratio']['median']:.3g}",
        target_text(row),
    ]


def table(header, lines):
    """Markdown."""
    head = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return head + ["| " + " | ".join(line) + " |" for line in lines]


def latency_lines(rows):
    """The latencies of appends."""
    for row in rows:
        if "latency" in row:
            times = [amount(row["latency"][name]["median"] / 1000, "us") for name in LATENCIES]
            yield [row["name"], *times, f"{row['syncs_per_record']:.3g}"]


def markdown(machine, rows):
    """The machine, and all tables."""
    before, after = machine["load_average"]
    text = f"{machine['cpu']}, {machine['system']} {machine['release']}; load average {before:.1f}"
    text += f" when it began, with what else ran there, {after:.1f} when it ended."
    latency = ["What", "p50", "p99", "p99.99", "Syncs a record"]
    lines = [text, ""] + table(HEADER, map(cells, rows)) + [""]
    return "\n".join(lines + table(latency, latency_lines(rows))) + "\n"


def main():
    """Measures everything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="under three minutes")
    parser.add_argument("--directory", type=pathlib.Path, default=ROOT / "target" / "bench")
    parser.add_argument("--binaries", type=pathlib.Path, default=ROOT / "target" / "release")
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "target" / "bench.json")
    arguments = parser.parse_args()
    tools = [arguments.binaries / name for name in ("cairnlog", "cairnlog-bench")]
    for tool in tools:
        if not tool.is_file():
            sys.exit(f"{tool} does not exist: run make bench")
    arguments.directory.mkdir(parents=True, exist_ok=True)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    seconds, rounds = (0.5, 3) if arguments.quick else (2, 5)
    before = os.getloadavg()[0]
    rows = append_rows(tools[0], arguments.directory, seconds, rounds)
    rows += other_rows(tools[1], arguments.directory, arguments.quick)
    machine = {"system": platform.system(), "release": platform.release(), "cpu": cpu()}
    machine["load_average"] = [before, os.getloadavg()[0]]
    arguments.output.write_text(json.dumps({"machine": machine, "rows": rows}, indent=1) + "\n")
    text = markdown(machine, rows)
    arguments.output.with_suffix(".md").write_text(text)
    print(text, end="")


def cpu():
    """The processor's name, if the system tells it."""
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{len(names)} x {names[0]}" if names else platform.processor()


if __name__ == "__main__":
    main()
