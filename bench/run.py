"""Measures what cairnlog reaches beside the raw limits of this machine, and prints tables.

    python3 bench/run.py [--quick] [--only PART] [--directory DIR] [--output FILE]

What is measured is in `suite/`, a module for each part. Every figure stands beside a floor of the
same round: figures of different runs on a shared machine cannot be compared, ratios can. All rows,
with the spread over the rounds, go to FILE as JSON, `target/bench.json` by default; the tables go
to stdout and, beside FILE, to a `.md`.
"""

import argparse
import json
import os
import pathlib
import platform
import sys
import types

from suite import PARTS
from suite.cases import Context, measure
from suite.report import markdown
from suite.syncs import counter

ROOT = pathlib.Path(__file__).resolve().parent.parent

# Seconds that a case of one round appends.
SECONDS = {"full": 2.0, "quick": 0.5, "smoke": 0.05}
ROUNDS = {"full": 3, "quick": 3, "smoke": 1}


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    amount = parser.add_mutually_exclusive_group()
    amount.add_argument("--quick", dest="amount", action="store_const", const="quick",
                        help="under three minutes")
    amount.add_argument("--smoke", dest="amount", action="store_const", const="smoke",
                        help="so little that the figures mean nothing")
    parser.add_argument("--only", choices=PARTS, action="append", help="measure this part alone")
    parser.add_argument("--directory", type=pathlib.Path, default=ROOT / "target" / "bench")
    parser.add_argument("--binaries", type=pathlib.Path, default=ROOT / "target" / "release")
    parser.add_argument("--peers", type=pathlib.Path, default=ROOT / "target" / "peers",
                        help="where bench/peers/build.sh built")
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "target" / "bench.json")
    parser.set_defaults(amount="full")
    return parser.parse_args()


def chosen(arguments: argparse.Namespace) -> list[types.ModuleType]:
    """The parts to measure. Peers are compared with the appends of their rounds, and take too
    long for every day."""
    names = set(arguments.only or PARTS)
    if arguments.amount == "quick" and not arguments.only:
        names.remove("peers")
    if "peers" in names:
        names.add("appends")
    return [part for name, part in PARTS.items() if name in names]


def main() -> None:
    """Measures everything."""
    arguments = parse()
    for name in ("cairnlog", "cairnlog-bench"):
        if not (arguments.binaries / name).is_file():
            sys.exit(f"{arguments.binaries / name} does not exist: run make bench")
    arguments.directory.mkdir(parents=True, exist_ok=True)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    amount = arguments.amount
    context = Context(
        directory=arguments.directory,
        binaries=arguments.binaries,
        peers=arguments.peers,
        amount=amount,
        rounds=ROUNDS[amount],
        seconds=SECONDS[amount],
        counter=counter(arguments.directory),
    )
    before = os.getloadavg()[0]
    parts = chosen(arguments)
    results = measure(context, [case for part in parts for case in part.cases(context)])
    rows = [row for part in parts for row in part.rows(context, results)]
    remarks = [
        remark
        for part in parts
        if hasattr(part, "remarks")
        for remark in part.remarks(context, results)
    ]
    machine = {"system": platform.system(), "release": platform.release(), "cpu": cpu()}
    machine["load_average"] = [before, os.getloadavg()[0]]
    machine["syncs_counted_by"] = context.counter.name if context.counter else None
    report = {"machine": machine, "rows": rows, "remarks": remarks}
    arguments.output.write_text(json.dumps(report, indent=1) + "\n")
    text = markdown(machine, rows, remarks)
    arguments.output.with_suffix(".md").write_text(text)
    print(text, end="")


def cpu() -> str:
    """The processor's name, if the system tells it."""
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{len(names)} x {names[0]}" if names else platform.processor()


if __name__ == "__main__":
    main()
