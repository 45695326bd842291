"""Appends through the C ABI, Python and Java, beside the same work in the engine's own language.

The programs are in `bench/languages`. They append bursts that fit into memory which the store made
ready before, so that neither the kernel nor the host of a virtual machine is measured. Those that
are compared come right after each other in every round.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
from collections.abc import Callable

from . import figures
from .cases import Case, Context, Results

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SOURCES = ROOT / "bench" / "languages"
# A record has no more bytes than its body and these.
AROUND_BODY = 128
# The next file is made ready when an eighth of the first is used: a burst ends before that.
USED_OF_SEGMENT = 8
LARGEST_SEGMENT = 1 << 30
SEGMENT_STEP = 1 << 20
# Messages of a call that appends many.
MANY = 1000


@dataclasses.dataclass(frozen=True)
class Work:
    """What is appended, and how: the ways are those of `bench/languages/append.rs`."""

    group: str
    way: str
    # Bytes of a body.
    size: int
    # Bytes of the log in one burst, or the number of appends where each waits for a sync.
    mib: int = 0
    synced: int = 0

    def messages(self, context: Context) -> int:
        """Of one burst."""
        if context.amount == "smoke":
            return 2 * MANY
        part = 1 if context.amount == "full" else 4
        whole = self.synced or (self.mib << 20) // (self.size + AROUND_BODY)
        return whole // part // MANY * MANY

    def options(self, context: Context) -> list[str]:
        """Of the store."""
        if self.synced:
            return ["flush_mode=sync"]
        records = self.messages(context) + 2 * MANY
        needed = USED_OF_SEGMENT * records * (self.size + AROUND_BODY)
        segment = min(-(-needed // SEGMENT_STEP) * SEGMENT_STEP, LARGEST_SEGMENT)
        return ["warm_mapped_file_enable=true", f"segment_size_bytes={segment}"]


SMALL = Work("loop, 100 B", "loop", 100, mib=120)
LARGE = Work("loop, 1 KiB", "loop", 1024, mib=120)
MANY_SMALL = Work("many, 100 B", "many", 100, mib=120)
FLIGHT = Work("flight, 1 KiB", "flight", 1024, synced=200_000)
ASYNCIO = Work("flight, 100 B", "asyncio", 100, synced=100_000)
PYTHON_FLIGHT = Work("flight, 100 B", "flight", 100, synced=100_000)
CALL = Work("loop, 100 B", "call", 100, mib=120)


@dataclasses.dataclass(frozen=True)
class Row:
    """A language's work, the one in Rust beside it, and what is to be reached."""

    name: str
    language: str
    work: Work
    beside: Work
    target: dict[str, float] | None

    @property
    def case(self) -> str:
        return f"{self.language}: {self.work.way}, {self.work.size} B"

    @property
    def floor_case(self) -> str:
        return f"rust: {self.beside.way}, {self.beside.size} B"


ROWS = [
    Row("C append, 100 B", "c", SMALL, SMALL, {"ratio_at_least": 0.95}),
    Row("C append, 1 KiB", "c", LARGE, LARGE, {"ratio_at_least": 0.95}),
    Row("Python append, 100 B", "python", SMALL, SMALL, {"at_least": 1.5e6}),
    Row("Python append_many of 1000, 100 B", "python", MANY_SMALL, MANY_SMALL, {"at_least": 5e6}),
    Row("Python, nothing but a call", "python", CALL, SMALL, None),
    Row("Python durable append_async, 512 in flight, 100 B", "python", PYTHON_FLIGHT,
        PYTHON_FLIGHT, {"at_least": 1e5}),
    Row("Python durable asyncio, 512 tasks, 100 B", "python", ASYNCIO, PYTHON_FLIGHT,
        {"at_least": 1e5}),
    Row("Java append, 100 B", "java", SMALL, SMALL, {"at_least": 3e6}),
    Row("Java, nothing but a call", "java", CALL, SMALL, None),
    Row("Java durable append, 512 futures in flight, 1 KiB", "java", FLIGHT, FLIGHT,
        {"ratio_at_least": 0.8}),
]


def python(_context: Context) -> list[str]:
    """The package is in the checkout's own virtual environment, unless a variable names another."""
    venv = os.environ.get("CAIRNLOG_VENV", ROOT / "target" / "venv")
    return [str(pathlib.Path(venv) / "bin" / "python"), str(SOURCES / "append.py")]


@functools.cache
def c_program(binaries: pathlib.Path) -> str:
    """Compiled beside the library, and linked with it by the name a program looks for."""
    place = ROOT / "target" / "bench-languages"
    place.mkdir(parents=True, exist_ok=True)
    for name in ("libcairnlog.so", "libcairnlog.so.0"):
        (place / name).unlink(missing_ok=True)
        (place / name).symlink_to(binaries / "libcairnlog.so")
    program = place / "append"
    command = [os.environ.get("CC", "cc"), "-O2", "-std=c17", "-Wall", "-Wextra", "-Werror"]
    command += [f"-I{ROOT / 'include'}", str(SOURCES / "append.c"), "-o", str(program)]
    command += [f"-L{place}", "-lcairnlog", f"-Wl,-rpath,{place}"]
    subprocess.run(command, check=True)
    return str(program)


@functools.cache
def java_classes() -> str:
    """The package and the program, compiled by `javac` alone."""
    place = ROOT / "target" / "bench-languages" / "classes"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    sources = sorted((ROOT / "java" / "src" / "main" / "java").rglob("*.java"))
    command = ["javac", "-nowarn", "-d", str(place), str(SOURCES / "Append.java")]
    subprocess.run(command + [str(source) for source in sources], check=True)
    return str(place)


def java(context: Context) -> list[str]:
    library = context.binaries / "libcairnlog_jni.so"
    return ["java", f"-Dio.cairnlog.library.path={library}", "-cp", java_classes(), "Append"]


PROGRAMS: dict[str, Callable[[Context], list[str]]] = {
    "rust": lambda context: [str(context.binaries / "cairnlog-append")],
    "c": lambda context: [c_program(context.binaries)],
    "python": python,
    "java": java,
}


def measure(language: str, work: Work, context: Context) -> dict:
    """One round, as the object the program prints."""
    bursts = {"full": 8, "quick": 2, "smoke": 1}[context.amount]
    with tempfile.TemporaryDirectory(dir=context.directory) as directory:
        command = [*PROGRAMS[language](context), directory, work.way, str(work.size)]
        command += [str(work.messages(context)), str(bursts), *work.options(context)]
        # What goes well is not worth the lines that the bindings log.
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}\n{done.stderr}")
    return json.loads(done.stdout)


def cases(_context: Context) -> list[Case]:
    """One for each program and work."""
    made: dict[str, Case] = {}
    for row in ROWS:
        for name, language, work in (
            (row.floor_case, "rust", row.beside),
            (row.case, row.language, row.work),
        ):
            group = f"languages, {row.beside.group}"
            made.setdefault(name, Case(name, functools.partial(measure, language, work), group))
    return list(made.values())


def rows(_context: Context, results: Results) -> list[dict]:
    """One for each language and work."""

    def rates(case: str) -> list[float]:
        return [result["messages_per_second"] for result in results[case]]

    floor = "the same appends in Rust"
    return [
        figures.row(row.name, "records/s", rates(row.case), floor, rates(row.floor_case),
                    row.target)
        for row in ROWS
    ]
