"""Runs the targets under libFuzzer and AddressSanitizer, one after the other.

    python3 fuzz/run.py [--seconds 600] [--target NAME] [--seed N]
                        [--no-build]

Each begins with the inputs in `seeds/` and `found/` and adds to a corpus of its own in
`target/fuzz-corpus`. What it finds is kept in `artifacts/`, and the other targets run all the same.
Seeds, executions and coverage are printed and written to `target/fuzz.json`.
"""

import argparse
import datetime
import json
import os
import pathlib
import platform
import random
import re
import subprocess
import sys
import time

FUZZ = pathlib.Path(__file__).resolve().parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", FUZZ.parent / "target"))
TRIPLE = f"{platform.machine()}-unknown-linux-gnu"
NAMES = sorted(path.stem for path in (FUZZ / "targets").glob("*.rs"))
# Seconds for one input, MiB of the process, bytes of an input.
LIMITS = ["-timeout=60", "-rss_limit_mb=2048", "-max_len=4096"]

MISSING = """Fuzzing needs a nightly compiler and cargo-fuzz. Install them:
rustup toolchain install nightly --profile minimal; cargo install cargo-fuzz --locked"""


def nightly():
    """What a command of the nightly toolchain begins with."""
    return ["rustup", "run", os.environ.get("FUZZ_TOOLCHAIN", "nightly")]


def cargo(*arguments):
    """The command line of cargo with the nightly compiler."""
    return [*nightly(), "cargo", *arguments]


def output_of(command):
    """What a command prints, or None if it cannot be run."""
    try:
        done = subprocess.run(command, cwd=FUZZ, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def build(wanted):
    """Builds every target if that is wanted; what with."""
    compiler = output_of([*nightly(), "rustc", "--version"])
    tool = output_of(cargo("fuzz", "--version"))
    if compiler is None or tool is None:
        sys.exit(MISSING)
    if not wanted:
        return compiler, tool
    command = cargo("fuzz", "build", "--fuzz-dir", ".", "--target", TRIPLE)
    environment = {**os.environ, "CARGO_TARGET_DIR": str(TARGET)}
    if subprocess.run(command, cwd=FUZZ, env=environment, check=False).returncode != 0:
        sys.exit("the targets could not be built")
    return compiler, tool


def last_number(pattern, text):
    """The last number that stands behind a word of libFuzzer's."""
    found = re.findall(pattern, text)
    return int(found[-1]) if found else None


def run(name, seconds, seed):
    """Runs a target; its figures."""
    corpus = TARGET / "fuzz-corpus" / name
    artifacts = FUZZ / "artifacts" / name
    for directory in (corpus, artifacts):
        directory.mkdir(parents=True, exist_ok=True)
    before = set(artifacts.iterdir())
    kept = [FUZZ / kind / name for kind in ("seeds", "found")]
    inputs = [str(path) for path in (corpus, *kept) if path.is_dir()]
    binary = TARGET / TRIPLE / "release" / name
    command = [str(binary), *inputs, f"-seed={seed}", f"-max_total_time={seconds}", *LIMITS]
    command += ["-print_final_stats=1", f"-artifact_prefix={artifacts}/"]
    print(f"{name}: {seconds} s, -seed={seed}", flush=True)
    started = time.monotonic()
    log = TARGET / f"fuzz-{name}.log"
    with log.open("w", encoding="utf-8") as out:
        leaks = f"suppressions={FUZZ / 'leaks.txt'}:print_suppressions=0"
        asan = "detect_odr_violation=0"
        environment = {"ASAN_OPTIONS": asan, "LSAN_OPTIONS": leaks, **os.environ}
        done = subprocess.run(command, stdout=out, stderr=out, env=environment, check=False)
    text = log.read_text(encoding="utf-8", errors="replace")
    figures = {
        "seed": seed,
        "seconds": round(time.monotonic() - started),
        "executions": last_number(r"stat::number_of_executed_units:\s*(\d+)", text)
        or last_number(r"(?m)^#(\d+)\s", text),
        "coverage": last_number(r"\bcov: (\d+)", text),
        "features": last_number(r"\bft: (\d+)", text),
        "corpus": last_number(r"\bcorp: (\d+)", text),
        "peak_rss_mib": last_number(r"stat::peak_rss_mb:\s*(\d+)", text),
        "findings": sorted(path.name for path in set(artifacts.iterdir()) - before),
        "failed": done.returncode != 0,
    }
    print(f"{name}: {json.dumps(figures)}", flush=True)
    if figures["failed"]:
        print("\n".join(text.splitlines()[-60:]))
        print(f"{name} failed: all of it is in {log}", flush=True)
    return figures


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--target", choices=NAMES, action="append")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1, 2**31))
    parser.add_argument("--no-build", action="store_true", help="run what was built before")
    arguments = parser.parse_args()
    compiler, tool = build(not arguments.no_build)
    report = {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "machine": f"{platform.machine()}, {os.cpu_count()} processors, {platform.release()}",
        "compiler": compiler,
        "tool": tool,
        "targets": {},
    }
    for number, name in enumerate(arguments.target or NAMES):
        report["targets"][name] = run(name, arguments.seconds, arguments.seed + number)
        text = json.dumps(report, indent=2) + "\n"
        (TARGET / "fuzz.json").write_text(text, encoding="utf-8")
    return 1 if any(figures["failed"] for figures in report["targets"].values()) else 0


if __name__ == "__main__":
    sys.exit(main())
