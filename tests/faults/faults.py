"""Lets the system itself fail under an unmodified program, and holds it against what is promised.

A file system that is full or read-only, limits of the process, a directory that is removed, and
calls that fail: by a library loaded in front of libc, and by strace for those that do not go
through libc. Each case is a process of its own, which must end by itself, with success, whatever it
was told; then the store is opened where nothing fails, and what was acknowledged must be there.

    python3 tests/faults/faults.py [--program FILE] [--rounds N] [--all] [--seed N] [--report FILE]

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

import argparse
import concurrent.futures
import ctypes
import errno
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from host import MODES, Host, Ledger, Wrong, check_error, verify

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
PROGRAM = ROOT / "target/debug/cairnlog-test-writer"
KIB = 1024
TMPFS_KIB = 4 * KIB

Case = tuple[str, Callable[[Path], None]]


class Suite:
    """The program under test, where it works, and what cannot be done on this machine."""

    def __init__(self, program: Path, work: Path, chance: random.Random, share: float) -> None:
        self.program = program
        self.work = work
        self.chance = chance
        self.share = share
        self.left_out: dict[str, str] = {}

    def some(self, what: Sequence[object]) -> list[object]:
        """Some of the cases of a kind, at least two; all of them in a long run."""
        count = max(2, round(len(what) * self.share))
        return list(what) if count >= len(what) else self.chance.sample(list(what), count)

    def leave_out(self, what: str, why: str) -> None:
        """Says loudly that something is not tried."""
        if what not in self.left_out:
            self.left_out[what] = why
            print(f"*** LEFT OUT: {what}: {why} ***", file=sys.stderr, flush=True)

    def host(self, directory: Path, mode: str, ledger: Ledger, **more: Any) -> Host:
        """A process in front of a store."""
        options = (*MODES[mode], *more.pop("options", ()))
        return Host(self.program, directory, options, ledger=ledger, **more)

    def verify(self, directory: Path, mode: str, ledger: Ledger) -> None:
        """The store is as it should be."""
        verify(self.program, directory, MODES[mode], ledger)

    # --- A file system that is full, or read-only ---------------------------------------------

    @contextmanager
    def tmpfs(self, directory: Path) -> Iterator[Path]:
        """A file system in memory of a few MiB."""
        directory.mkdir(parents=True)
        mounted = ["mount", "-t", "tmpfs", "-o", f"size={TMPFS_KIB}k", "tmpfs", str(directory)]
        subprocess.run(mounted, check=True, capture_output=True)
        try:
            yield directory
        finally:
            subprocess.run(["umount", str(directory)], check=True, capture_output=True)

    def can_mount(self) -> bool:
        """Whether this process may mount file systems."""
        try:
            with self.tmpfs(self.work / "mount"):
                return True
        except (OSError, subprocess.CalledProcessError) as error:
            said = getattr(error, "stderr", b"") or str(error).encode()
            self.leave_out("full and read-only file systems", said.decode(errors="replace").strip())
            return False

    def full(self, directory: Path, mode: str, left_kib: int) -> None:
        """Space runs out, and is there again."""
        with self.tmpfs(directory):
            ledger, store = Ledger(), directory / "store"
            ballast = directory / "ballast"
            # By another process: what this one opens, a host that another thread is starting holds
            # for a moment, and its space is not free when it is removed.
            words = ["fallocate", "--length", f"{TMPFS_KIB - left_kib}KiB", str(ballast)]
            subprocess.run(words, check=True, capture_output=True)
            with self.host(store, mode, ledger) as host:
                opened = host.either("open", errno.ENOSPC)
                if opened:
                    host.refused("append 2000 3000", errno.ENOSPC)
                    host.either("read", errno.ENOSPC)
                ballast.unlink()
                if not opened:
                    host.ok("open")
                host.ok("append 30 3000")
                host.ok("flush")
                host.ok("dispatch")
                host.ok("read")
                host.ok("close")
            self.verify(store, mode, ledger)

    def read_only(self, directory: Path, mode: str) -> None:
        """The file system is mounted for reading only, and for writing again."""
        with self.tmpfs(directory):
            ledger, store = Ledger(), directory / "store"

            def remount(how: str) -> bool:
                words = ["mount", "-o", f"remount,{how}", str(directory)]
                return subprocess.run(words, capture_output=True, check=False).returncode == 0

            with self.host(store, mode, ledger) as host:
                host.ok("open")
                host.ok("append 20 1000")
                # While files are open for writing the system refuses it, and nothing changes.
                if remount("ro"):
                    raise Wrong("a file system with a store in use became read-only")
                host.ok("append 20 1000")
                host.ok("close")
                if not remount("ro"):
                    raise Wrong("a store that was closed keeps its file system busy")
                host.refused("open", errno.EROFS)
                remount("rw")
                host.ok("open")
                host.ok("append 20 1000")
                host.ok("close")
            self.verify(store, mode, ledger)

    # --- Limits of the process ----------------------------------------------------------------

    def file_size(self, directory: Path, mode: str, limit: int) -> None:
        """RLIMIT_FSIZE from the beginning, then lifted."""
        ledger, most = Ledger(), resource.getrlimit(resource.RLIMIT_FSIZE)[1]

        def before() -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, most))

        with self.host(directory, mode, ledger, before=before) as host:
            opened = host.either("open", errno.EFBIG)
            if opened:
                host.either("append 20 3000", errno.EFBIG)
            resource.prlimit(host.pid, resource.RLIMIT_FSIZE, (most, most))
            if not opened:
                host.ok("open")
            host.ok("append 100 3000")
            host.ok("dispatch")
            host.ok("close")
        self.verify(directory, mode, ledger)

    def file_size_later(self, directory: Path, mode: str, limit: int) -> None:
        """RLIMIT_FSIZE falls while the store is open."""
        ledger, most = Ledger(), resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        with self.host(directory, mode, ledger) as host:
            host.ok("open")
            host.ok("append 20 3000")
            resource.prlimit(host.pid, resource.RLIMIT_FSIZE, (limit, most))
            host.either("append 500 3000", errno.EFBIG)
            host.either("flush", errno.EFBIG)
            host.ok("read")
            host.either("close", errno.EFBIG)
        self.verify(directory, mode, ledger)

    def descriptors(self, directory: Path, mode: str, limit: int) -> None:
        """RLIMIT_NOFILE from the beginning, then lifted."""
        ledger, usual = Ledger(), resource.getrlimit(resource.RLIMIT_NOFILE)

        def before() -> None:
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, usual[1]))

        with self.host(directory, mode, ledger, before=before) as host:
            opened = host.either("open", errno.EMFILE)
            if opened:
                host.either("append 200 3000", errno.EMFILE)
                told = host.tell("dispatch")
                late = told.get("late", False)
                host.either("read", errno.EMFILE)
            resource.prlimit(host.pid, resource.RLIMIT_NOFILE, usual)
            if not opened:
                host.ok("open")
            if mode in ("async", "warm"):
                # In the others a file may have had to be opened for a write, which fences.
                host.ok("append 100 3000")
                host.ok("dispatch")
            if opened and late:
                raise Wrong("the queue stands still, and nothing says why")
            host.either("close", errno.EMFILE)
        self.verify(directory, mode, ledger)

    def locked_memory(self, directory: Path, mode: str, limit: int) -> None:
        """RLIMIT_MEMLOCK: what cannot be locked is not locked, and nothing else is different."""
        ledger = Ledger()

        def before() -> None:
            resource.setrlimit(resource.RLIMIT_MEMLOCK, (limit, limit))
            # CAP_IPC_LOCK (14) lifts the limit; out of the bounding set (24) exec loses it.
            ctypes.CDLL(None).prctl(24, 14, 0, 0, 0)

        with self.host(directory, mode, ledger, before=before) as host:
            host.ok("open")
            host.ok("append 300 3000")
            status = Path(f"/proc/{host.pid}/status").read_text(encoding="utf-8")
            locked = next(line for line in status.splitlines() if line.startswith("VmLck"))
            if int(locked.split()[1]) * KIB > limit:
                raise Wrong(f"{locked}, and the limit is {limit}")
            host.ok("dispatch")
            host.ok("close")
        self.verify(directory, mode, ledger)

    def address_space(self, directory: Path, mode: str, more_kib: int) -> None:
        """RLIMIT_AS leaves no room for the mapping of a further file."""
        ledger = Ledger()
        options = ("segment_size_bytes=16777216", "max_message_size_bytes=4194304")
        most = resource.getrlimit(resource.RLIMIT_AS)[1]
        with self.host(directory, mode, ledger, options=options) as host:
            host.ok("open")
            host.ok("append 1 100000")
            status = Path(f"/proc/{host.pid}/status").read_text(encoding="utf-8")
            size = next(line for line in status.splitlines() if line.startswith("VmSize"))
            limit = (int(size.split()[1]) + more_kib) * KIB
            resource.prlimit(host.pid, resource.RLIMIT_AS, (limit, most))
            host.refused("append 400 100000", errno.ENOMEM)
            host.ok("read")
            resource.prlimit(host.pid, resource.RLIMIT_AS, (most, most))
            host.ok("append 200 100000")
            host.ok("dispatch")
            host.ok("close")
        self.verify(directory, mode, ledger)

    # --- A directory that goes away -----------------------------------------------------------

    def removed(self, directory: Path, mode: str) -> None:
        """The whole directory is removed under an open store."""
        with self.host(directory, mode, Ledger()) as host:
            host.ok("open")
            host.ok("append 20 3000")
            host.ok("dispatch")
            shutil.rmtree(directory)
            host.refused("append 500 3000", errno.ENOENT)
            host.tell("read")
            host.refused("close", errno.ENOENT)
            # There is nothing of the old store: this is a new one.
            host.ledger = Ledger(next=host.ledger.next)
            host.ok("open")
            host.ok("append 20 3000")
            host.ok("close")
            ledger = host.ledger
        self.verify(directory, mode, ledger)

    def moved(self, directory: Path, mode: str) -> None:
        """The directory of the log is not there for a while."""
        ledger, log, away = Ledger(), directory / "commitlog", directory / "away"
        with self.host(directory, mode, ledger) as host:
            host.ok("open")
            host.ok("append 20 3000")
            host.ok("dispatch")
            log.rename(away)
            host.refused("append 500 3000", errno.ENOENT)
            host.ok("read")
            away.rename(log)
            host.ok("append 200 3000")
            host.ok("dispatch")
            host.ok("close")
        self.verify(directory, mode, ledger)

    # --- Calls that fail ----------------------------------------------------------------------

    def build_shim(self) -> Path | None:
        """The library that makes calls fail."""
        shim = self.work / "shim.so"
        words = [os.environ.get("CC", "cc"), "-std=c11", "-O1", "-Wall", "-shared", "-fPIC"]
        try:
            words += ["-o", str(shim), str(HERE / "shim.c"), "-ldl"]
            subprocess.run(words, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            self.leave_out("calls of libc", f"the library cannot be built: {error}")
            return None
        return shim

    def do_everything(self, host: Host, number: int) -> None:
        """Each answer is success or the system's error."""
        for command in SCRIPT:
            if command == "open":
                # The second attempt meets the fault again, or not.
                if not host.either(command, number) and not host.either(command, number):
                    return
                continue
            told = host.tell(command)
            if told.get("error") is not None:
                # The queue may not have come so far.
                behind = ["OFFSET_OUT_OF_RANGE"] if command.startswith("offset") else []
                check_error(command, told, number, *behind)

    def count_calls(self, shim: Path) -> dict[tuple[str, str], int]:
        """How often each call is made in each mode when nothing fails."""
        counts: Counter[tuple[str, str]] = Counter()
        for mode in MODES:
            directory, log = self.work / f"count-{mode}", self.work / f"count-{mode}.log"
            with self.host(
                directory, mode, Ledger(), environment=shimmed(shim, directory, log)
            ) as host:
                for command in SCRIPT:
                    host.ok(command)
            for line in log.read_text(encoding="utf-8").splitlines():
                counts[mode, line.split()[0]] += 1
        return dict(counts)

    def call_fails(
        self, directory: Path, shim: Path, mode: str, call: str, nth: int, times: int, number: int
    ) -> None:
        """A call of libc fails the nth time."""
        ledger, log = Ledger(), directory.with_suffix(".log")
        environment = shimmed(shim, directory, log)
        environment |= {"FAULT_CALL": call, "FAULT_NTH": str(nth)}
        environment |= {"FAULT_TIMES": str(times), "FAULT_ERRNO": str(number)}
        with self.host(directory, mode, ledger, environment=environment) as host:
            self.do_everything(host, number)
        check_syncs(log)
        self.verify(directory, mode, ledger)

    def can_trace(self) -> bool:
        """Whether strace is there and may trace."""
        words = ["strace", "-f", "-o", "/dev/null", "-e", "inject=linkat:error=EIO:when=1", "true"]
        try:
            subprocess.run(words, check=True, capture_output=True)
            return True
        except (OSError, subprocess.CalledProcessError) as error:
            self.leave_out("calls that do not go through libc", f"strace does not work: {error}")
            return False

    def traced_call_fails(
        self, directory: Path, mode: str, call: str, nth: int, name: str
    ) -> None:
        """A call of the system fails the nth time a thread makes it."""
        ledger = Ledger()
        under = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}"]
        under += ["-e", f"inject={call}:error={name}:when={nth}"]
        with self.host(directory, mode, ledger, under=under) as host:
            self.do_everything(host, getattr(errno, name))
        self.verify(directory, mode, ledger)

    # --- All cases ----------------------------------------------------------------------------

    def cases(self) -> Iterator[Case]:
        """Each with a name and what it does in a directory of its own."""
        every = tuple(MODES)
        if self.can_mount():
            left = [0, 4, 8, 12, 16, 24, 32, 40, 64, 96, 128, 200, 264, 300, 340, 400]
            left += [500, 600, 700, 900, 1200, 2000, 3000]
            for mode in every:
                for kib in self.some(left):
                    yield f"full {mode} {kib} KiB", lambda at, m=mode, k=kib: self.full(at, m, k)
                yield f"read-only {mode}", lambda at, m=mode: self.read_only(at, m)
        sizes = [0, 1, 3, 4, 100, 4095, 4096, 8000, 20000, 65536, 262143, 262144]
        for mode in every:
            for size in self.some(sizes):
                name = f"file size {mode} {size}"
                yield name, lambda at, m=mode, s=size: self.file_size(at, m, s)
            for size in self.some([0, 100, 4096, 100000, 262143]):
                name = f"file size later {mode} {size}"
                yield name, lambda at, m=mode, s=size: self.file_size_later(at, m, s)
            for most in self.some(range(5, 24)):
                name = f"descriptors {mode} {most}"
                yield name, lambda at, m=mode, n=most: self.descriptors(at, m, n)
        for mode in ("warm", "pool"):
            for limit in self.some([0, 4096, 65536, 262144]):
                name = f"locked memory {mode} {limit}"
                yield name, lambda at, m=mode, n=limit: self.locked_memory(at, m, n)
        for mode in ("async", "sync"):
            for kib in self.some([512, 1024, 2048, 4096, 8192, 12288]):
                name = f"address space {mode} {kib} KiB"
                yield name, lambda at, m=mode, k=kib: self.address_space(at, m, k)
        for mode in every:
            yield f"removed {mode}", lambda at, m=mode: self.removed(at, m)
            yield f"moved {mode}", lambda at, m=mode: self.moved(at, m)
        yield from self.failing_calls()

    def failing_calls(self) -> Iterator[Case]:
        """Each call fails: once, twice in a row, for ever."""
        shim = self.build_shim()
        if shim is not None:
            errors = [errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ENOMEM]
            errors += [errno.EMFILE]
            places = [
                (mode, call, nth)
                for (mode, call), count in self.count_calls(shim).items()
                for nth in range(1, count + 1)
            ]
            for mode, call, nth in self.some(places):
                more = [0] if call == "pwrite64" else []
                number = self.chance.choice(errors + more)
                times = self.chance.choice([0, 1, 2])
                yield (
                    f"{call} {nth} {times} {mode} {errno.errorcode.get(number, 'short')}",
                    lambda at, a=(mode, call, nth, times, number): self.call_fails(at, shim, *a),
                )
        if self.can_trace():
            places = [
                (mode, call, nth, name)
                for mode in MODES
                for call in ("fallocate", "linkat")
                for nth in (1, 2, 3, 4)
                for name in ("ENOSPC", "EIO", "EINTR")
            ]
            for mode, call, nth, name in self.some(places):
                yield (
                    f"traced {call} {nth} {mode} {name}",
                    lambda at, a=(mode, call, nth, name): self.traced_call_fails(at, *a),
                )


SCRIPT = (
    "open",
    "append 10 3000",
    "flush",
    "dispatch",
    "append 20 20000",
    "offset 5",
    "dispatch",
    "close",
    "open",
    "append 10 20000",
    "dispatch",
    "read",
    "close",
)


def shimmed(shim: Path, directory: Path, log: Path) -> dict[str, str]:
    """What loads the library."""
    return {"LD_PRELOAD": str(shim), "FAULT_PATH": str(directory), "FAULT_LOG": str(log)}


def check_syncs(log: Path) -> None:
    """No file is synced again after a sync that failed, unless it was written again."""
    failed: set[str] = set()
    for line in log.read_text(encoding="utf-8").splitlines():
        call, how, path = line.split(" ", 2)
        if Path(path).is_dir():
            continue
        if call in ("pwrite64", "unlink", "rename"):
            failed.discard(path)
        elif call in ("fdatasync", "fsync", "msync"):
            if path in failed:
                raise Wrong(f"{path} is synced again after a sync that failed")
            if how == "failed":
                failed.add(path)


def run_case(name: str, case: Callable[[Path], None], directory: Path) -> str | None:
    """What is wrong, if something is."""
    try:
        case(directory)
    except Wrong as wrong:
        return f"{name}: {wrong}"
    except Exception:
        return f"{name}: {traceback.format_exc()}"
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        directory.with_suffix(".log").unlink(missing_ok=True)
    return None


def main() -> int:
    """Runs the suite."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", type=Path, default=PROGRAM)
    parser.add_argument("--rounds", type=int, default=1, help="how much of the cases, in 1/20")
    parser.add_argument("--all", action="store_true", help="all cases")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--only", default="", help="cases whose names begin so")
    parser.add_argument("--report", type=Path, default=ROOT / "target/faults.json")
    given = parser.parse_args()
    seed = given.seed if given.seed is not None else time.time_ns() % (1 << 32)
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    work = Path(tempfile.mkdtemp(prefix="cairnlog-faults-", dir=memory))
    share = 1.0 if given.all else given.rounds / 20
    begin = time.monotonic()
    try:
        suite = Suite(given.program, work, random.Random(seed), share)
        cases = [case for case in suite.cases() if case[0].startswith(given.only)]
        # Most of a case is waiting for the program.
        workers = 4 * (os.cpu_count() or 1)
        with concurrent.futures.ThreadPoolExecutor(workers) as pool:
            ran = [
                pool.submit(run_case, name, case, work / f"case{number}")
                for number, (name, case) in enumerate(cases)
            ]
            failed = [text for text in (future.result() for future in ran) if text]
    finally:
        shutil.rmtree(work, ignore_errors=True)
    seconds = time.monotonic() - begin
    kinds = Counter(name.split(" ")[0] for name, _ in cases)
    report = json.loads(given.report.read_text()) if given.report.exists() else {}
    report["system"] = {
        "cases": len(cases),
        "kinds": dict(kinds),
        "failed": failed,
        "left_out": suite.left_out,
        "seed": seed,
        "seconds": round(seconds, 1),
    }
    given.report.parent.mkdir(parents=True, exist_ok=True)
    given.report.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    for text in failed:
        print(text, file=sys.stderr)
    print(f"{len(cases)} cases, {len(failed)} failed, in {seconds:.1f} s, seed {seed}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
