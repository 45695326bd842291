"""Runs each Rust test alone in a process, and looks what is left when it has passed.

A library loaded in front of libc (hook.c) looks for threads, file descriptors and mappings when the
process ends; LeakSanitizer for objects that nothing points to, which handles and messages are that
nobody freed; and this program for what is left in the directory of temporary files, which each test
has for itself. Programs of the tool that the tool's tests start are looked at in the same way.

    python3 tests/leaks/leaks.py [--all] [--share N] [--seed N] [--only NAME] [--report FILE]

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

import argparse
import concurrent.futures
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from purpose import MANY_THREADS, ON_PURPOSE

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
# Those that `make rust` names: cargo then has nothing to build again. Of them the tests of these
# directories are run.
PACKAGES = os.environ.get("CAIRNLOG_PACKAGES", "-p cairnlog -p cairnlog-ffi -p cairnlog-cli")
DIRECTORIES = ("core", "ffi", "cli")
LIMIT_SECONDS = 600
WAIT_MS = 5000
# Tests that do as much as they are told do little.
VARIABLES = {
    "CAIRNLOG_MODEL_CASES": "2",
    "CAIRNLOG_POWERCUT_STATES": "100",
    "PROPTEST_CASES": "8",
    # Telling of a panic maps the program's symbols for good.
    "RUST_BACKTRACE": "0",
}
# What leaker.c leaves, and as what it has to be found.
LEAKS = {
    "thread": ["thread"],
    "descriptor": ["descriptor"],
    "mapping": ["mapping"],
    "memory": ["mapping"],
    "object": ["object"],
    "directory": ["directory"],
    "shortly": [],
    "nothing": [],
}


@dataclass(frozen=True)
class Test:
    """A test, or a program that is looked at like one."""

    name: str
    command: tuple[str, ...]
    directory: Path
    starts_tool: bool = False

    def sanitized(self) -> bool:
        """Whether LeakSanitizer can look at it."""
        return self.name not in MANY_THREADS


@dataclass
class Seen:
    """What came of a test."""

    test: Test
    passed: bool = False
    said: str = ""
    left: list[str] = field(default_factory=list)
    processes: int = 0
    seconds: float = 0.0

    def kinds(self) -> list[str]:
        """The first words of what is left."""
        return [line.split(" ")[0] for line in self.left]


class Looker:
    """The libraries that look, and where their reports go."""

    def __init__(self, work: Path) -> None:
        self.work = work
        self.left_out: dict[str, str] = {}
        self.hook = self.compile("hook.so", "hook.c", "-shared", "-fPIC")
        self.leaker = self.compile("leaker", "leaker.c")
        self.sanitizer = self.find_sanitizer()

    def compile(self, name: str, source: str, *options: str) -> Path:
        """Builds a program or library of this directory."""
        built = self.work / name
        words = [os.environ.get("CC", "cc"), "-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror"]
        words += [*options, "-pthread", "-o", str(built), str(HERE / source)]
        subprocess.run(words, check=True)
        return built

    def find_sanitizer(self) -> Path | None:
        """The compiler's LeakSanitizer, which can be loaded in front of any program."""
        words = [os.environ.get("CC", "cc"), "-print-file-name=liblsan.so"]
        found = subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()
        if os.path.isabs(found):
            return Path(found).resolve()
        self.left_out["objects"] = "the C compiler has no liblsan.so"
        print("*** LEFT OUT: objects: the C compiler has no liblsan.so ***", file=sys.stderr)
        return None

    def look(self, test: Test, wait_ms: int = WAIT_MS, slowly: bool = False) -> Seen:
        """Runs a test."""
        place = Path(tempfile.mkdtemp(dir=self.work))
        temporary, report = place / "tmp", place / "report"
        temporary.mkdir()
        environment = {key: value for key, value in os.environ.items() if key != "CAIRNLOG_SEED"}
        environment |= VARIABLES | {"TMPDIR": str(temporary), "LEAKS_REPORT": str(report)}
        environment["LEAKS_WAIT_MS"] = str(wait_ms)
        if test.starts_tool:
            # The crate `ctrlc` waits for signals as long as the process lives.
            environment |= {"LEAKS_TOOL": "1", "LEAKS_PERMITTED_THREAD": "ctrl-c"}
        libraries = [self.hook]
        if self.sanitizer is not None and test.sanitized():
            libraries.insert(0, self.sanitizer)
        environment["LD_PRELOAD"] = ":".join(map(str, libraries))
        unwinding = "fast_unwind_on_malloc=0" if slowly else "fast_unwind_on_malloc=1"
        options = f"log_path={place}/lsan:leak_check_at_exit=0:{unwinding}"
        environment["LSAN_OPTIONS"] = options
        seen, begin = Seen(test), time.monotonic()
        try:
            self.run(seen, environment)
            self.gather(seen, place)
        finally:
            shutil.rmtree(place, ignore_errors=True)
        seen.seconds = time.monotonic() - begin
        return seen

    def run(self, seen: Seen, environment: dict[str, str]) -> None:
        """Runs the process to its end."""
        with tempfile.TemporaryFile("w+", errors="replace") as said:
            process = subprocess.Popen(
                seen.test.command,
                cwd=seen.test.directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
            )
            try:
                process.wait(LIMIT_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            said.seek(0)
            seen.passed = process.returncode == 0
            seen.said = f"it ended with {process.returncode}\n{said.read()}"

    def gather(self, seen: Seen, place: Path) -> None:
        """What the looking libraries wrote, and what is left in the directory."""
        found = sorted(place.glob("lsan.*"))
        if not seen.passed:
            seen.said += "".join(path.read_text(errors="replace") for path in found)
            return
        report = place / "report"
        lines = report.read_text(errors="replace").splitlines() if report.exists() else []
        program = str(Path(seen.test.command[0]).resolve())
        if f"looked {program}" not in lines:
            seen.left.append("nobody looked at the process")
        seen.processes = sum(line.startswith("looked ") for line in lines)
        seen.left += [line for line in lines if not line.startswith(("looked ", "object"))]
        seen.left += [f"object {objects(path.read_text(errors='replace'))}" for path in found]
        if lines.count("object") != len(found):
            seen.left.append("object of which LeakSanitizer says nothing")
        temporary = place / "tmp"
        seen.left += [f"directory {path.relative_to(temporary)}" for path in temporary.iterdir()]

    def check(self) -> list[str]:
        """Whether each kind of leak is seen, and nothing where nothing is."""
        wrong = []
        for what, expected in LEAKS.items():
            if what == "object" and self.sanitizer is None:
                continue
            test = Test(what, (str(self.leaker), what), self.work)
            seen = self.look(test, WAIT_MS if what == "shortly" else 300)
            if not seen.passed or seen.kinds() != expected:
                wrong.append(f"leaker {what}: {seen.left} is seen, and {expected} was to be")
        failing = self.look(Test("failing", (str(self.leaker), "failing"), self.work))
        if failing.passed or failing.left:
            wrong.append(f"leaker failing: {failing.left} is seen after a test that failed")
        return wrong


def objects(text: str) -> str:
    """How much LeakSanitizer found, and where the first of it was made."""
    summary = re.search(r"SUMMARY: LeakSanitizer: (.*)", text)
    first = text[text.find("leak of") :].split("\n\n")[0] if "leak of" in text else text
    return f"{summary.group(1) if summary else 'without a summary'}\n{first}"


def tests_of(message: dict[str, object]) -> list[Test]:
    """The tests in a program that cargo built."""
    executable = str(message["executable"])
    directory = Path(str(message["manifest_path"])).parent
    listed = subprocess.run(
        [executable, "--list", "--format", "terse"],
        cwd=directory,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    names = [line.removesuffix(": test") for line in listed.splitlines() if ": test" in line]
    target = message["target"]
    assert isinstance(target, dict)
    place = f"{directory.name}/{target['name']}"
    return [
        Test(
            f"{place}/{name}",
            (executable, "--exact", name, "--nocapture"),
            directory,
            directory.name == "cli" and "bin" not in target["kind"],
        )
        for name in names
    ]


def build_tests() -> list[Test]:
    """All tests, built where they are not."""
    words = [os.environ.get("CARGO", "cargo"), "test", "--locked", "--no-run", "--quiet"]
    words += ["--message-format=json", *PACKAGES.split()]
    built = subprocess.run(words, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    tests: list[Test] = []
    for line in built.stdout.splitlines():
        message = json.loads(line)
        if not message.get("executable") or not message["profile"]["test"]:
            continue
        if Path(message["manifest_path"]).parent.name in DIRECTORIES:
            tests += tests_of(message)
    return tests


def unexpected(seen: Seen) -> list[str]:
    """What is left and was not to be."""
    if seen.test.name not in ON_PURPOSE:
        return seen.left
    allowed = ON_PURPOSE[seen.test.name][0]
    return [line for line in seen.left if not re.match(allowed, line)]


def tell(looker: Looker, seen: Seen) -> str | None:
    """What is wrong, if something is."""
    if not seen.passed:
        return f"{seen.test.name} did not pass:\n{seen.said}"
    left = unexpected(seen)
    if not left:
        return None
    if any(line.startswith("object") for line in left):
        # Once more, for where the objects were made.
        left = unexpected(looker.look(seen.test, slowly=True)) or left
    return f"{seen.test.name} leaves behind:\n" + "\n".join(f"  {line}" for line in left[:20])


def chosen(tests: list[Test], share: float, chance: random.Random) -> list[Test]:
    """Some of the tests, none of them among the longest."""
    short = [test for test in tests if test.sanitized()]
    return chance.sample(short, max(1, round(len(short) * share)))


def main() -> int:
    """Runs the tests."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--all", action="store_true", help="all tests")
    parser.add_argument("--share", type=float, default=0.2, help="how much of the tests otherwise")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--only", default="", help="tests whose names have it")
    parser.add_argument("--report", type=Path, default=ROOT / "target/leaks.json")
    given = parser.parse_args()
    seed = given.seed if given.seed is not None else time.time_ns() % (1 << 32)
    every = build_tests()
    names = {test.name for test in every}
    failed = [f"{name} is no test, but in purpose.py" for name in ON_PURPOSE if name not in names]
    tests = [test for test in every if given.only in test.name]
    if not given.all and not given.only:
        tests = chosen(every, given.share, random.Random(seed))
    work = Path(tempfile.mkdtemp(prefix="cairnlog-leaks-"))
    ran: list[Seen] = []
    begin = time.monotonic()
    try:
        looker = Looker(work)
        failed += looker.check()
        for text in failed:
            print(text, file=sys.stderr, flush=True)
        with concurrent.futures.ThreadPoolExecutor(2 * (os.cpu_count() or 1)) as pool:
            ran = list(pool.map(looker.look, tests))
        # Some have little time for what they do: those that did not pass are run alone.
        ran = [seen if seen.passed else looker.look(seen.test) for seen in ran]
        for seen in ran:
            wrong = tell(looker, seen)
            if wrong:
                failed.append(wrong)
                print(wrong, file=sys.stderr, flush=True)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    seconds = time.monotonic() - begin
    report = {
        "tests": len(tests),
        "of": len(every),
        "processes": sum(seen.processes for seen in ran),
        "left": Counter(kind for seen in ran for kind in seen.kinds()),
        "failed": failed,
        "left_out": looker.left_out,
        "slowest": {
            seen.test.name: round(seen.seconds, 1)
            for seen in sorted(ran, key=lambda seen: -seen.seconds)[:20]
        },
        "seed": seed,
        "seconds": round(seconds, 1),
    }
    given.report.parent.mkdir(parents=True, exist_ok=True)
    given.report.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(
        f"leaks: {len(tests)} of {len(every)} tests, {report['processes']} processes, "
        f"{len(failed)} failed, in {seconds:.1f} s, seed {seed}"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
