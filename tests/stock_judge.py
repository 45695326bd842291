"""Asks the stock RocketMQ store what it sees in store directories.

RocketMQ 5.3.3 and 4.9.8 are used as Maven gives them; the Java program around them is in
tests/stock/. Everything built, downloaded or copied goes to target/stock/ and target/m2/ of this
checkout.

``python3 tests/stock_judge.py`` builds the judge ahead of its first use.

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Release = Literal["533", "498"]
Abort = Literal["as-is", "present", "absent"]
Record = dict[str, Any]

RELEASES: tuple[Release, ...] = ("533", "498")

_CHECKOUT = Path(__file__).resolve().parent.parent
_SOURCES = _CHECKOUT / "tests" / "stock"
_OUTPUT = _CHECKOUT / "target" / "stock"
_MAVEN_REPOSITORY = _CHECKOUT / "target" / "m2"
_MAX_SECONDS = 300
_MAX_HEAP = "1g"

# What RocketMQ needs to unmap files and to look into direct buffers on Java 17.
_OPEN_PACKAGES = (
    "--add-opens=java.base/java.nio=ALL-UNNAMED",
    "--add-opens=java.base/sun.nio.ch=ALL-UNNAMED",
    "--add-opens=java.base/java.lang=ALL-UNNAMED",
    "--add-opens=java.base/jdk.internal.ref=ALL-UNNAMED",
    "--add-exports=java.base/jdk.internal.ref=ALL-UNNAMED",
    "--add-exports=java.base/sun.nio.ch=ALL-UNNAMED",
)


class JudgeError(Exception):
    """The judge could not be built, or it could not look at a directory."""


@dataclass(frozen=True)
class Inspection:
    """What to ask about one store directory.

    Sizes are bytes; those of log and queue files are found out from the first file when None. The
    index sizes must be the writer's: RocketMQ enlarges index files of another size and finds
    nothing in them.
    """

    root: Path
    abort: Abort = "as-is"
    """What to do with the abort file of the copy before it is opened."""
    walk: bool = False
    """Also walk the commit log, which finds records that no queue leads to."""
    keys: bool = True
    """Look every key up in the index."""
    commit_log_size: int | None = None
    queue_size: int | None = None
    index_slots: int = 5_000_000
    index_items: int = 20_000_000
    drop: Sequence[str] = ()
    """Names directly under the store root that are removed from the copy first."""
    log_directories: Sequence[str] = ("commitlog",)
    """Names directly under the store root that hold the commit log."""
    batch_topics: Sequence[str] = ()
    """Topics whose queues are batch queues (5.3.3 only)."""
    verify_property_crc: bool = False
    """Check the appended property CRC of each record (5.3.3 only)."""
    queries: Sequence[Record] | None = None
    """When set, only these questions are answered: no message is listed, no key looked up. Each
    has ``op`` (read, time, key, range or topics) and what tests/stock_queries.py says."""
    transfer_count: int = 32
    transfer_bytes: int = 262_144
    """The most of one read: messages, and bytes unless it is a single message."""
    keep: Path | None = None
    """When set, the copy is closed cleanly and kept under this name."""

    def arguments(self, queries: Path) -> list[str]:
        """Returns the words the Java program takes; it reads questions from this file."""
        words = ["--abort", self.abort]
        words += ["--index-slots", str(self.index_slots), "--index-items", str(self.index_items)]
        if self.commit_log_size is not None:
            words += ["--commitlog-size", str(self.commit_log_size)]
        if self.queue_size is not None:
            words += ["--cq-size", str(self.queue_size)]
        for name in self.drop:
            words += ["--drop", name]
        words += ["--log-directories", ",".join(self.log_directories)]
        for topic in self.batch_topics:
            words += ["--batch-topic", topic]
        if self.walk:
            words.append("--walk")
        if not self.keys:
            words.append("--no-keys")
        if self.verify_property_crc:
            words.append("--verify-prop-crc")
        words += ["--transfer-count", str(self.transfer_count)]
        words += ["--transfer-bytes", str(self.transfer_bytes)]
        if self.queries is not None:
            lines = [json.dumps(query) + "\n" for query in self.queries]
            queries.write_text("".join(lines), "ascii")
            words += ["--queries", str(queries)]
        if self.keep is not None:
            words += ["--keep", str(self.keep.resolve())]
        return [*words, str(self.root.resolve())]


@dataclass
class Observation:
    """What one release saw in one directory; records have the fields of a fixture manifest."""

    release: Release
    root: Path
    messages: list[Record] = field(default_factory=list)
    """One for each topic, queue and index from the queue's minimum to its maximum: queue_topic,
    queue, index, status of getMessage, the queue unit, and the record if there was one."""
    keys: list[Record] = field(default_factory=list)
    """topic, key and physical_offsets (at most 64) for each key of those messages."""
    log_records: list[Record] = field(default_factory=list)
    """With walk: every record of the commit log up to the first that fails the record check."""
    log_blanks: list[Record] = field(default_factory=list)
    """With walk: physical_offset and size of the blanks at ends of files."""
    summary: Record = field(default_factory=dict)
    """load_ok, last_exit_ok, max_phy_offset, min_phy_offset, messages, queues, files."""
    answers: list[Record] = field(default_factory=list)
    """With queries: the answers, in the order of the questions."""


def build() -> Path:
    """Builds the judge for both releases unless that is done; returns target/stock.

    Raises JudgeError with Maven's output when the build fails.
    """
    _OUTPUT.mkdir(parents=True, exist_ok=True)
    wanted = _fingerprint()
    with _locked(_OUTPUT / "build.lock"):
        for release in RELEASES:
            stamp = _OUTPUT / f"stamp{release}"
            if stamp.is_file() and stamp.read_text("ascii") == wanted:
                continue
            stamp.unlink(missing_ok=True)
            for name in ("classes", "lib", "work"):
                shutil.rmtree(_OUTPUT / f"{name}{release}", ignore_errors=True)
            _maven(release)
            stamp.write_text(wanted, "ascii")
    return _OUTPUT


def judge(
    store_root: Path, release: Release, *, abort: Abort = "as-is", **options: Any
) -> Observation:
    """Looks at a copy of one directory; the keyword arguments are the fields of Inspection."""
    return judge_all([Inspection(store_root, abort=abort, **options)], release)[0]


def judge_all(inspections: Sequence[Inspection], release: Release) -> list[Observation]:
    """Looks at copies of several directories in one process; the results come in the same order.

    Raises JudgeError when a directory could not be looked at. That RocketMQ refuses to load a
    directory is not an error but load_ok in the summary.
    """
    output = build()
    scratch = output / "tmp"
    scratch.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="judge", dir=scratch) as directory:
        work = Path(directory)
        command = java(release, work, "io.cairnlog.stock.Judge")
        for number, inspection in enumerate(inspections):
            command += inspection.arguments(work / f"queries-{number}")
        lines = _run(command, work)
    observations = list(_observations(lines, release))
    if len(observations) != len(inspections):
        raise JudgeError(
            f"asked about {len(inspections)} directories, told about {len(observations)}"
        )
    return observations


def java(release: Release, work: Path, main: str, *options: str) -> list[str]:
    """Returns the command that runs a program of the judge's build; RocketMQ logs into ``work``."""
    output = build()
    return [
        "java",
        *options,
        f"-Xmx{_MAX_HEAP}",
        f"-XX:MaxDirectMemorySize={_MAX_HEAP}",
        "-Dfile.encoding=UTF-8",
        f"-Duser.home={work}",
        f"-Drocketmq.home.dir={work}",
        f"-Djava.io.tmpdir={work}",
        *_OPEN_PACKAGES,
        "-cp",
        f"{output}/classes{release}:{output}/lib{release}/*",
        main,
    ]


def _run(command: Sequence[str], work: Path) -> list[Record]:
    """Runs the Java program; its log is shown only when it fails."""
    log = work / "standard-error"
    # Queue directories are named by topics, which are UTF-8.
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    with log.open("wb") as error:
        ended = subprocess.run(
            command,
            cwd=work,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=error,
            timeout=_MAX_SECONDS,
            check=False,
        )
    lines: list[Record] = [json.loads(line) for line in ended.stdout.decode("utf-8").splitlines()]
    if ended.returncode != 0:
        failures = "\n".join(line["text"] for line in lines if line["type"] == "failure")
        tail = log.read_text("utf-8", errors="replace")[-4000:]
        raise JudgeError(f"the judge ended with {ended.returncode}\n{failures}\n{tail}")
    return lines


def _observations(lines: Sequence[Record], release: Release) -> Iterator[Observation]:
    current: Observation | None = None
    for line in lines:
        kind = line.pop("type")
        if kind == "store":
            current = Observation(release, Path(line["root"]))
        elif current is None:
            raise JudgeError(f"a line of type {kind} before the first store")
        elif kind == "summary":
            current.summary = line
            yield current
        else:
            {
                "message": current.messages,
                "key": current.keys,
                "log_record": current.log_records,
                "log_blank": current.log_blanks,
                "answer": current.answers,
            }[kind].append(line)


def _maven(release: Release) -> None:
    command = [
        "mvn",
        "--quiet",
        "--batch-mode",
        "--file",
        str(_SOURCES / "pom.xml"),
        f"-Dmaven.repo.local={_MAVEN_REPOSITORY}",
        f"-Djudge.output={_OUTPUT}",
        f"-P{release}",
        "process-classes",
    ]
    ended = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if ended.returncode != 0:
        output = ended.stdout.decode(errors="replace")
        raise JudgeError(f"Maven could not build the judge for {release}:\n{output}")


def _fingerprint() -> str:
    """Returns a digest of everything the build depends on."""
    digest = hashlib.sha256()
    for path in sorted([_SOURCES / "pom.xml", *_SOURCES.glob("src/*/*.java")]):
        digest.update(f"{path.relative_to(_SOURCES)}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Keeps other processes from building at the same time."""
    with path.open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    print(build())
