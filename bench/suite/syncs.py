"""Counts what programs sync, by asking the system: a store that says it syncs is not believed.

`perf` counts how often the file system syncs a file, which costs nothing: `fdatasync`, `fsync`,
`msync` and writes to files opened with `O_SYNC` are all seen there, also those by io_uring. Without
it `strace` counts the system calls, which costs speed, so that is done in a short run of its own.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable

# What a file system calls its syncs, by its type in /proc/self/mountinfo.
TRACEPOINTS = {
    "ext4": "ext4:ext4_sync_file_enter",
    "f2fs": "f2fs:f2fs_sync_file_enter",
    "btrfs": "btrfs:btrfs_sync_file",
}
CALLS = "fdatasync,fsync,msync"
# How long a run is that is there for counting only.
BRIEF_SECONDS = 0.3
# How long any run may take.
TIMEOUT_SECONDS = 60

# A run of so many seconds, as the words of a command.
Command = Callable[[float], list[str]]


@dataclasses.dataclass(frozen=True)
class Counter:
    """A way to count."""

    name: str
    # Before the name of a file for the result, and before the command.
    prefix: tuple[str, ...]
    parse: Callable[[str], int]
    # Whether what is counted is as fast as otherwise.
    free: bool

    def run(self, command: list[str]) -> tuple[dict, int]:
        """The object that the command prints, and how many syncs it made."""
        with tempfile.TemporaryDirectory() as directory:
            output = pathlib.Path(directory) / "syncs"
            result = printed([*self.prefix, str(output), "--", *command])
            return result, self.parse(output.read_text())


def printed(command: list[str]) -> dict:
    """The object that a command prints. What takes too long is killed with all it started."""
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as running:
        try:
            output, errors = running.communicate(timeout=TIMEOUT_SECONDS)
        except BaseException:
            os.killpg(running.pid, signal.SIGKILL)
            raise
    if running.returncode != 0:
        raise subprocess.CalledProcessError(running.returncode, command, output, errors)
    try:
        return json.loads(output)
    except ValueError as error:
        # What a signal ended looks well to who asks perf.
        errors = errors.strip() or f"printed no figures, but {output!r}"
        raise subprocess.CalledProcessError(1, command, output, errors) from error


def perf_count(text: str) -> int:
    """From `perf stat -x,`: the count is the first field of its line."""
    counts = [line.split(",")[0] for line in text.splitlines() if "_sync_file" in line]
    return sum(int(count) for count in counts)


def strace_count(text: str) -> int:
    """From `strace -c`: the calls are the fourth field of each call's line."""
    lines = [line.split() for line in text.splitlines()]
    calls = [line for line in lines if line and line[-1] in CALLS.split(",")]
    return sum(int(line[3]) for line in calls)


def file_system(directory: pathlib.Path) -> str:
    """The type of the file system that a directory is on."""
    device = os.stat(directory).st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    try:
        lines = pathlib.Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    found = [line.split(" - ")[1].split()[0] for line in lines if line.split()[2] == wanted]
    return found[0] if found else ""


def counter(directory: pathlib.Path) -> Counter | None:
    """The best that works here for files in a directory."""
    found = []
    tracepoint = TRACEPOINTS.get(file_system(directory))
    if tracepoint and shutil.which("perf"):
        prefix = ("perf", "stat", "-x,", "-e", tracepoint, "-o")
        found.append(Counter("perf", prefix, perf_count, free=True))
    if shutil.which("strace"):
        prefix = ("strace", "-f", "--seccomp-bpf", "-c", "-e", f"trace={CALLS}", "-o")
        found.append(Counter("strace", prefix, strace_count, free=False))
    return next((way for way in found if works(way, directory)), None)


def works(way: Counter, directory: pathlib.Path) -> bool:
    """Whether it counts a single sync as one."""
    program = ["sh", "-c", 'dd if=/dev/zero of="$0" bs=1 count=1 conv=fdatasync && echo 1']
    try:
        with tempfile.NamedTemporaryFile(dir=directory) as file:
            return way.run([*program, file.name])[1] == 1
    except (OSError, subprocess.CalledProcessError, ValueError):
        return False


def measured(way: Counter | None, command: Command, seconds: float) -> dict:
    """A run, and in `counted_syncs` and `counted_records` what was counted, and over how many
    records. Neither is there when nothing can count, nor when that takes a run of its own and the
    appends wait for no sync."""
    if way is None:
        return printed(command(seconds))
    if way.free:
        result, syncs = way.run(command(seconds))
        return result | counted(result, syncs)
    result = printed(command(seconds))
    if result["mode"] != "sync":
        return result
    return result | counted(*way.run(command(BRIEF_SECONDS)))


def counted(result: dict, syncs: int) -> dict:
    """The syncs and the records of one run. Each record of a synced floor is a sync of its own."""
    floors = (result.get("floor_messages") or 0) if result["mode"] == "sync" else 0
    records = result.get("appended", result["messages"])
    return {"counted_syncs": syncs - floors, "counted_records": records}


def per_record(rounds: list[dict]) -> float | None:
    """Over all rounds; nothing when they were not counted."""
    if not all("counted_syncs" in result for result in rounds):
        return None
    syncs, records = (
        sum(result[name] for result in rounds) for name in ("counted_syncs", "counted_records")
    )
    return syncs / records
