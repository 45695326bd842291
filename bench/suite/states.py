"""What a store costs before and between appends: cold start, opening, memory, rest, slow syncs.

`cairnlog-hold` opens a store, appends, says what that took and holds the store; this module looks
at it from outside, ends it or kills it.
"""

from __future__ import annotations

import functools
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
from collections import Counter

from . import figures
from .cases import Case, Context, Results

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BODY_BYTES = 1024
RECORD_BYTES = 1126
MIB = 1 << 20
# The walk of a crashed store has to be longer than what opening costs at least.
CRASHED_BYTES = {"full": 2048 * MIB, "quick": 512 * MIB, "smoke": MIB}
# What was not synced has to be written again, which is what takes the time then.
UNSYNCED_BYTES = {"full": 512 * MIB, "quick": 128 * MIB, "smoke": MIB}
# How far the log is synced is noted within a second.
NOTED_SECONDS = 2.0
HOURS_MS = 36_000_000
# A store of as many files as one of 50 GiB has, each of this size.
LARGE_FILES = {"full": 50, "quick": 20, "smoke": 4}
LARGE_SEGMENT = {"full": 64 * MIB, "quick": 16 * MIB, "smoke": 64 << 10}
REST_SECONDS = {"full": 10.0, "quick": 4.0, "smoke": 0.2}
# After this a store at rest has flushed everything, and its services have nothing left to do.
SETTLE_SECONDS = {"full": 12.0, "quick": 4.0, "smoke": 0.2}
SLOW_SECONDS = {"full": 5.0, "quick": 1.0, "smoke": 0.05}
RAW_SYNCS = 20
SYNC_CALLS = "fsync,fdatasync,msync,sync_file_range,sync,syncfs"


class Held:
    """A process that holds a store."""

    def __init__(self, context: Context, store: pathlib.Path, bytes_: int, *options: str) -> None:
        command = [str(context.binaries / "cairnlog-hold"), str(store), str(BODY_BYTES)]
        self.process = subprocess.Popen(
            [*command, str(bytes_), *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{command} ended with {self.process.wait()}")
        self.said = json.loads(line)

    def status(self, thread: str = "") -> dict[str, str]:
        """What the system tells about the process, or one of its threads."""
        place = f"/proc/{self.process.pid}/" + (f"task/{thread}/" if thread else "") + "status"
        lines = pathlib.Path(place).read_text(encoding="utf-8").splitlines()
        pairs = (line.partition(":") for line in lines)
        return {name: value.strip() for name, _, value in pairs}

    def wake_ups(self) -> Counter[str]:
        """How often each thread has given the processor away of its own accord."""
        counts: Counter[str] = Counter()
        for thread in os.listdir(f"/proc/{self.process.pid}/task"):
            status = self.status(thread)
            counts[status["Name"]] += int(status["voluntary_ctxt_switches"])
        return counts

    def flush(self) -> None:
        """Makes everything durable."""
        self.process.stdin.write("flush\n")
        self.process.stdin.flush()
        if not self.process.stdout.readline():
            raise RuntimeError(f"cairnlog-hold ended with {self.process.wait()}")

    def close(self) -> None:
        """Closes the store."""
        self.process.communicate("", timeout=600)
        if self.process.returncode != 0:
            raise RuntimeError(f"cairnlog-hold ended with {self.process.returncode}")

    def kill(self) -> None:
        """As a crash does."""
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()


def in_directory(measure):
    """Gives a measurement a directory of its own."""

    @functools.wraps(measure)
    def measured(context: Context) -> dict:
        with tempfile.TemporaryDirectory(dir=context.directory) as directory:
            return measure(context, pathlib.Path(directory))

    return measured


def raw_sync_seconds(directory: pathlib.Path) -> float:
    """A record written and synced, the middle of some."""
    record, times = b"x" * RECORD_BYTES, []
    file = os.open(directory / "raw", os.O_CREAT | os.O_RDWR)
    try:
        os.posix_fallocate(file, 0, RAW_SYNCS * RECORD_BYTES)
        os.fsync(file)
        for number in range(RAW_SYNCS):
            started = time.perf_counter()
            os.pwrite(file, record, number * RECORD_BYTES)
            os.fdatasync(file)
            times.append(time.perf_counter() - started)
    finally:
        os.close(file)
    return sorted(times)[RAW_SYNCS // 2]


@in_directory
def cold_start(context: Context, directory: pathlib.Path) -> dict:
    """Opens a store that is not there, closes it, and opens it again."""
    raw = raw_sync_seconds(directory)
    result = {"raw_seconds": raw}
    for state in ("new", "closed"):
        held = Held(context, directory / "store", 0, "flush_mode=sync")
        result[f"{state}_seconds"] = held.said["first_append_seconds"]
        held.close()
    return result


@in_directory
def large_store(context: Context, directory: pathlib.Path) -> dict:
    """Fills many files, closes the store, and appends to it again."""
    segment = LARGE_SEGMENT[context.amount]
    store = directory / "store"
    first = Held(context, store, (LARGE_FILES[context.amount] - 1) * segment,
                 f"segment_size_bytes={segment}")
    first.close()
    again = Held(context, store, 0)
    again.close()
    shutil.rmtree(store)
    small = Held(context, store, 0, f"segment_size_bytes={segment}")
    small.close()
    small = Held(context, store, 0)
    small.close()
    return {"large": again.said, "small": small.said}


@in_directory
def crash(context: Context, directory: pathlib.Path) -> dict:
    """Kills the process that appends, and opens what it left: everything synced, then nothing."""
    options = ["consume_queue_enable=false", f"flush_interval_ms={HOURS_MS}"]
    found = {}
    for state, bytes_ in ("synced", CRASHED_BYTES), ("not_synced", UNSYNCED_BYTES):
        store = directory / state
        first = Held(context, store, bytes_[context.amount], *options)
        if state == "synced":
            first.flush()
            time.sleep(NOTED_SECONDS)
        first.kill()
        again = Held(context, store, 0, *options)
        again.close()
        if again.said["clean_stop"] or not again.said["walked_bytes"]:
            raise RuntimeError(f"nothing was recovered: {again.said}")
        found[state] = again.said
        shutil.rmtree(store)
    found["raw_bytes_per_second"] = raw_write_rate(directory, UNSYNCED_BYTES[context.amount])
    return found


def raw_write_rate(directory: pathlib.Path, bytes_: int) -> float:
    """How fast so many bytes of a file that is in memory are written once more, and synced."""
    block = b"x" * MIB
    file = os.open(directory / "raw", os.O_CREAT | os.O_RDWR)
    try:
        for _ in range(2):
            started = time.perf_counter()
            for at in range(0, bytes_, MIB):
                os.pwrite(file, block, at)
            os.fdatasync(file)
        return bytes_ / (time.perf_counter() - started)
    finally:
        os.close(file)


def syncs_of(process: int, seconds: float) -> int | None:
    """The syncs that the system sees in that time; none where they cannot be counted."""
    if shutil.which("strace") is None:
        time.sleep(seconds)
        return None
    command = ["strace", "-f", "-q", "-e", f"trace={SYNC_CALLS}", "-p", str(process)]
    with tempfile.TemporaryFile("w+") as output:
        tracer = subprocess.Popen(command, stdout=output, stderr=output)
        time.sleep(seconds)
        tracer.send_signal(signal.SIGINT)
        tracer.wait()
        output.seek(0)
        lines = output.read().splitlines()
    if any("Operation not permitted" in line for line in lines):
        return None
    return sum("sync" in line and "(" in line for line in lines)


@in_directory
def rest(context: Context, directory: pathlib.Path) -> dict:
    """A store that was appended to once and is left alone."""
    held = Held(context, directory / "store", 0)
    time.sleep(SETTLE_SECONDS[context.amount])
    resident = int(held.status()["VmRSS"].removesuffix(" kB")) * 1024
    seconds = REST_SECONDS[context.amount]
    before, started = held.wake_ups(), time.perf_counter()
    time.sleep(seconds)
    after, elapsed = held.wake_ups(), time.perf_counter() - started
    # Traced afterwards: whoever traces wakes threads up himself.
    syncs = syncs_of(held.process.pid, seconds)
    held.close()
    return {
        "resident_bytes": resident,
        "resident_bytes_before": held.said["resident_bytes_before"],
        "wake_ups": after.total() - before.total(),
        "wake_ups_by_thread": dict(after - before),
        "seconds": elapsed,
        "syncs": syncs,
    }


@functools.cache
def slow_sync() -> str:
    """The library that makes syncs slow."""
    place = ROOT / "target" / "bench-languages"
    place.mkdir(parents=True, exist_ok=True)
    library = place / "slow_sync.so"
    source = ROOT / "bench" / "states" / "slow_sync.c"
    command = [os.environ.get("CC", "cc"), "-O2", "-shared", "-fPIC", "-Wall", "-Wextra"]
    subprocess.run([*command, "-Werror", str(source), "-o", str(library), "-ldl"], check=True)
    return str(library)


def append_latency(slow: bool, context: Context) -> dict:
    """Appends that wait for nothing, while syncs are slow or not."""
    command = [str(context.binaries / "cairnlog"), "bench", str(context.directory), "--json"]
    command += ["--mode", "async", "--size", str(BODY_BYTES)]
    command += ["--seconds", str(SLOW_SECONDS[context.amount])]
    environment = os.environ | ({"LD_PRELOAD": slow_sync()} if slow else {})
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, env=environment)
    return json.loads(done.stdout)


CASES = {
    "cold start": cold_start,
    "opening of a large store": large_store,
    "opening after a crash": crash,
    "a store at rest": rest,
    "appends while syncs are as they are": functools.partial(append_latency, False),
    "appends while syncs are slow": functools.partial(append_latency, True),
}

# Those take long and do not change from round to round. For every day one round is enough of all.
ONCE = {"opening of a large store", "a store at rest"}


def cases(context: Context) -> list[Case]:
    """All of them; those of slow syncs right after each other."""
    once = CASES.keys() if context.amount == "quick" else ONCE
    return [
        Case(name, measure, "slow syncs" if name.startswith("appends") else name, name in once)
        for name, measure in CASES.items()
    ]


def start_rows(results: Results) -> list[dict]:
    """Cold start, and the opening of what was there."""
    cold = results["cold start"]
    raws = [result["raw_seconds"] * 1e6 for result in cold]
    made = []
    for state in ("new", "closed"):
        above = [(result[f"{state}_seconds"] - result["raw_seconds"]) * 1e6 for result in cold]
        name = f"first durable append of a {state} store, above a raw sync"
        made.append(figures.row(name, "us", above, "pwrite and fdatasync of a record", raws,
                                {"at_most": 20_000}))
    large = results["opening of a large store"]
    files = large[0]["large"]["files"]
    times = {
        size: [result[size]["first_append_seconds"] * 1e6 for result in large]
        for size in ("large", "small")
    }
    made.append(figures.row(f"first append after a clean close, {files} files", "us",
                            times["large"], "the same with one file", times["small"],
                            {"at_most": 100_000}))
    crashed = results["opening after a crash"]
    rates = {
        state: [result[state]["walked_bytes"] / result[state]["walk_seconds"] for result in crashed]
        for state in ("synced", "not_synced")
    }
    floors = [result["synced"]["floor_bytes_per_second"] for result in crashed]
    made.append(figures.row("open after a crash, log walked with CRC", "bytes/s",
                            rates["synced"], "read and compute the CRC of all bytes, two threads",
                            floors, {"at_least": 3e9}))
    written = [result["raw_bytes_per_second"] for result in crashed]
    made.append(figures.row("open after a crash, nothing of the log synced", "bytes/s",
                            rates["not_synced"], "write so many bytes once more, and sync",
                            written, None))
    return made


def rest_rows(results: Results) -> list[dict]:
    """A store at rest."""
    rested = results["a store at rest"]
    resident = figures.row(
        "resident memory of an idle store",
        "bytes",
        [result["resident_bytes"] for result in rested],
        "the process before it opens the store",
        [result["resident_bytes_before"] for result in rested],
        {"at_most": 20 * MIB},
    )
    wake_ups = figures.row(
        "wake-ups of an idle store",
        "wake-ups/s",
        # None at all is less than one in all that time.
        [max(result["wake_ups"], 1) / result["seconds"] for result in rested],
        "a thread that wakes up once a second",
        [1.0 for _ in rested],
        {"at_most": 5},
    )
    wake_ups["syncs"] = [result["syncs"] for result in rested]
    wake_ups["wake_ups_by_thread"] = [result["wake_ups_by_thread"] for result in rested]
    return [resident, wake_ups]


def rows(_context: Context, results: Results) -> list[dict]:
    """Everything."""
    slow = results["appends while syncs are slow"]
    usual = results["appends while syncs are as they are"]
    latencies = [[result["p999_ns"] / 1000 for result in rounds] for rounds in (slow, usual)]
    while_slow = figures.row("async append while every sync takes 300 ms, p99.9", "us",
                             latencies[0], "the same appends with syncs as they are",
                             latencies[1], {"ratio_at_most": 1.2})
    return [*start_rows(results), *rest_rows(results), while_slow]
