"""The main job on real input, end to end.

Ingests text through the tool with synchronous flush, kills the writer with SIGKILL midway,
recovers, proves that nothing acknowledged is lost, goes on where the log ended, reads everything
back from C, Python and Java, and consumes it in a group that loses a member on the way. Needs what
`make build` makes; builds the language packages itself, inside the checkout.

    python3 tests/demo/demo.py [--file FILE]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TARGET = ROOT / "target"
RELEASE = TARGET / "release"
TOOL = RELEASE / "cairnlog"
WORK = TARGET / "demo"
TOPIC = "lines"
QUEUES = 4


def say(text: str) -> None:
    print(text, flush=True)


def run(arguments: list[str | Path], **options: object) -> subprocess.CompletedProcess[bytes]:
    """Runs a command; its failure ends the demo with what it printed."""
    done = subprocess.run(arguments, capture_output=True, **options)  # type: ignore[call-overload]
    if done.returncode != 0:
        sys.stderr.buffer.write(done.stdout + done.stderr)
        sys.exit(f"demo: failed: {' '.join(map(str, arguments))}")
    return done


# --- Input ------------------------------------------------------------------------------------


def repository_lines() -> Iterator[bytes]:
    """Every line of the repository's own text files."""
    listed = subprocess.run(["git", "-C", ROOT, "ls-files", "-z"], capture_output=True)
    if listed.returncode == 0 and listed.stdout:
        names = [ROOT / os.fsdecode(name) for name in listed.stdout.split(b"\0") if name]
    else:
        names = [
            path
            for path in sorted(ROOT.rglob("*"))
            if not {"target", ".git"}.intersection(path.relative_to(ROOT).parts)
        ]
    for path in names:
        if path.is_file():
            content = path.read_bytes()
            if b"\0" not in content:
                yield from content.split(b"\n")


def make_input(file: str | None) -> list[bytes]:
    """The lines to ingest; a message has a body, so empty lines are left out."""
    source = Path(file).read_bytes().split(b"\n") if file else repository_lines()
    lines = [line for line in source if line.strip() and len(line) <= 1 << 20]
    if len(lines) < 2:
        sys.exit("demo: the input has fewer than two lines that are not empty")
    (WORK / "input.txt").write_bytes(b"\n".join(lines) + b"\n")
    return lines


# --- Ingest and kill --------------------------------------------------------------------------


@dataclass(frozen=True)
class Ack:
    """One acknowledgement: the input line's number and where its message lies."""

    line: int
    physical_offset: int
    queue_id: int
    queue_offset: int


def read_acks(path: Path) -> list[Ack]:
    """The acknowledgements written so far; a last line that was cut short does not count."""
    content = path.read_bytes() if path.exists() else b""
    whole = content[: content.rfind(b"\n") + 1]
    return [Ack(*map(int, line.split())) for line in whole.splitlines()]


def ingest(store: Path, source: Path, acks: Path, kill_after: int | None) -> bool:
    """Appends the lines of a file; true if the writer was killed on the way."""
    command: list[str | Path] = [TOOL, "append", store, "-t", TOPIC, "--queues", str(QUEUES)]
    command += ["--flush", "sync", "--inflight", "32", "--segment-size", "1M"]
    command += ["--acks", acks, source]
    writer = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while kill_after is not None and writer.poll() is None:
        if acks.exists() and acks.read_bytes().count(b"\n") >= kill_after:
            writer.send_signal(signal.SIGKILL)
            break
        time.sleep(0.002)
    _, errors = writer.communicate()
    if writer.returncode == -signal.SIGKILL:
        return True
    if writer.returncode != 0:
        sys.exit(f"demo: the writer failed: {errors.decode()}")
    return False


# --- Check ------------------------------------------------------------------------------------


def records(store: Path) -> list[dict[str, object]]:
    """Every record of the log, as `cairnlog inspect` shows it."""
    shown = run([TOOL, "inspect", store, "records", "--json"]).stdout
    entries = [json.loads(line) for line in shown.splitlines()]
    return [entry for entry in entries if not entry.get("blank")]


def check_acknowledged(lines: list[bytes], acks: list[Ack], found: list[dict[str, object]]) -> None:
    """Every acknowledged line is in the log where the acknowledgement says."""
    at = {record["physical_offset"]: record for record in found}
    for ack in acks:
        record = at.get(ack.physical_offset)
        expected = hashlib.sha256(lines[ack.line - 1]).hexdigest()
        place = (ack.queue_id, ack.queue_offset)
        if record is None:
            sys.exit(f"demo: LOST: line {ack.line} was acknowledged at {ack.physical_offset}")
        if (record["queue_id"], record["queue_offset"]) != place:
            sys.exit(f"demo: line {ack.line} has moved to another place in its queue")
        if record["body_sha256"] != expected:
            sys.exit(f"demo: WRONG BYTES at {ack.physical_offset} (line {ack.line})")


def check_prefix(lines: list[bytes], found: list[dict[str, object]]) -> None:
    """The log holds the input's first lines, in order, each once."""
    for number, (record, line) in enumerate(zip(found, lines, strict=False), start=1):
        if record["body_sha256"] != hashlib.sha256(line).hexdigest():
            sys.exit(f"demo: record {number} is not line {number}")
    if len(found) > len(lines):
        sys.exit("demo: the log holds more records than the input has lines")


# --- Read back --------------------------------------------------------------------------------


def build_reader_c() -> list[str | Path]:
    program = WORK / "read_back"
    source = ROOT / "tests" / "demo" / "read_back.c"
    flags = ["-std=c11", "-O2", "-Wall", "-Wextra", f"-I{ROOT / 'include'}"]
    link = [f"-L{RELEASE}", "-lcairnlog", f"-Wl,-rpath,{RELEASE}"]
    run([os.environ.get("CC", "cc"), *flags, source, "-o", program, *link])
    soname = RELEASE / "libcairnlog.so.0"
    if not soname.exists():
        soname.symlink_to("libcairnlog.so")
    return [program]


def build_reader_python() -> list[str | Path]:
    run([ROOT / "python" / "run-tests.sh", "build"])
    return [TARGET / "venv" / "bin" / "python", ROOT / "tests" / "demo" / "read_back.py"]


def build_reader_java() -> list[str | Path]:
    run([ROOT / "java" / "run-tests.sh", "-DskipTests"])
    jars = sorted((TARGET / "java").glob("cairnlog-[0-9]*[0-9].jar"))
    if not jars:
        sys.exit("demo: the Java build left no jar in target/java")
    classes = WORK / "classes"
    source = ROOT / "tests" / "demo" / "ReadBack.java"
    run(["javac", "-d", classes, "-cp", jars[-1], source])
    return ["java", "-cp", f"{jars[-1]}{os.pathsep}{classes}", "ReadBack"]


# --- Consume ----------------------------------------------------------------------------------


def consume(store: Path, found: list[dict[str, object]]) -> None:
    """Two members of a group consume everything, one is lost halfway; a delayed message comes."""
    python = TARGET / "venv" / "bin" / "python"
    script = ROOT / "tests" / "demo" / "consume_group.py"
    printed = run([python, script, store, TOPIC, str(len(found))]).stdout
    outcome = json.loads(printed.splitlines()[-1])
    consumed = json.loads((WORK / "consumed.json").read_text())
    wanted = {record["physical_offset"] for record in found}
    if set(consumed) != wanted:
        sys.exit(f"demo: {len(wanted - set(consumed))} messages were not consumed")
    first, second = outcome["consumed"]
    say(f"two members of a group consumed {first:,} and {second:,}; the second was lost with "
        f"{outcome['left_in_hand']} in hand, which the first got; "
        f"{len(consumed) - len(wanted)} came twice")
    came = outcome["delayed_arrived"] == ["in a second"]
    if not came or outcome["delayed_after_ms"] < 990:
        sys.exit(f"demo: the delayed message did not come as it should: {outcome}")
    say(f"a message delayed by 1000 ms came after {outcome['delayed_after_ms']} ms")
    shown = run([TOOL, "groups", store]).stdout.decode().rstrip()
    lags = [json.loads(line)["lag"] for line in
            run([TOOL, "groups", store, "--json"]).stdout.splitlines()]
    if not lags or any(lags):
        sys.exit(f"demo: the groups have not consumed everything:\n{shown}")
    say(f"cairnlog groups:\n{shown}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, add_help=True)
    parser.add_argument("--file", help="a text file; default: the repository's own text files")
    file = parser.parse_args().file
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)

    say("building the C, Python and Java readers ...")
    readers = {
        "C": build_reader_c(),
        "Python": build_reader_python(),
        "Java": build_reader_java(),
    }
    began = time.monotonic()
    lines = make_input(file)
    store, acks = WORK / "store", WORK / "acks.txt"
    say(f"\n{len(lines):,} lines to ingest, with synchronous flush, into {QUEUES} queues")

    killed = ingest(store, WORK / "input.txt", acks, kill_after=len(lines) // 2)
    acknowledged = read_acks(acks)
    how = "killed with SIGKILL" if killed else "finished before it could be killed"
    say(f"writer {how} after {len(acknowledged):,} acknowledgements")

    report = json.loads(run([TOOL, "recover", store, "--json"]).stdout.splitlines()[-1])
    found = records(store)
    check_acknowledged(lines, acknowledged, found)
    check_prefix(lines, found)
    say(f"recovered: {json.dumps(report)}")
    say(f"all {len(acknowledged):,} acknowledged messages are there; "
        f"{len(found) - len(acknowledged)} more were stored but not acknowledged")

    rest = lines[len(found):]
    if rest:
        (WORK / "rest.txt").write_bytes(b"\n".join(rest) + b"\n")
        ingest(store, WORK / "rest.txt", WORK / "rest-acks.txt", kill_after=None)
        more = [Ack(ack.line + len(found), ack.physical_offset, ack.queue_id, ack.queue_offset)
                for ack in read_acks(WORK / "rest-acks.txt")]
        if len(more) != len(rest):
            sys.exit(f"demo: {len(rest)} lines went in, {len(more)} were acknowledged")
        check_acknowledged(lines, more, records(store))
        say(f"a second writer went on and added the other {len(rest):,} lines")
    run([TOOL, "verify", store])
    say("cairnlog verify: no findings")

    expected = b"\n".join(lines) + b"\n"
    for language, reader in readers.items():
        bodies = run([*reader, store]).stdout
        if bodies != expected:
            sys.exit(f"demo: {language} read something else than went in")
        digest = hashlib.sha256(bodies).hexdigest()[:16]
        say(f"read back from {language + ':':8} {len(lines):,} messages, sha256 {digest}")
    consume(store, records(store))
    run([TOOL, "verify", store])
    say(f"\ndone in {time.monotonic() - began:.1f} s: nothing acknowledged was lost")


if __name__ == "__main__":
    main()
