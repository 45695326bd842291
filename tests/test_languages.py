"""Stock RocketMQ reads what each language wrote, and all languages write the same.

One list of messages goes through the C library, the Python package, the Java package and the
command line tool, each into a store of its own. C, Python and Java also store part of it as
batches.

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import zlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest

from build_outputs import CHECKOUT, built
from stock_judge import RELEASES, Inspection, Observation, Record, Release, judge_all
from store_compare import compare

PROGRAMS = Path(__file__).resolve().parent / "languages"
LANGUAGES = ("c", "python", "java", "cli")
FILE_SIZE_BYTES = 65536
STORE_HOST = "127.0.0.1:10911"
SINGLE = "-"
_MAX_SECONDS = 120


@dataclass(frozen=True)
class Message:
    """One message; the fields that may be empty are then not there."""

    batch: str
    topic: str
    queue_id: int
    tag: str
    key: str
    name: str
    value: str
    flag: int
    born_timestamp: int
    body: str

    def line(self) -> str:
        """Returns the line of the programs' input."""
        return "\t".join(str(part) for part in vars(self).values()) + "\n"

    def properties(self) -> dict[str, str]:
        given = {self.name: self.value, "TAGS": self.tag, "KEYS": self.key}
        return {name: value for name, value in given.items() if name and value}

    def size_bytes(self) -> int:
        """Returns the length of the record: V1, IPv4, every property with both separators."""
        pairs = self.properties().items()
        properties = sum(len(f"{name}{value}".encode()) + 2 for name, value in pairs)
        return 91 + len(self.body.encode()) + len(self.topic) + properties

    def json_line(self) -> str:
        """Returns the line of the tool's input."""
        fields = {
            "topic": self.topic,
            "queue_id": self.queue_id,
            "tags": self.tag or None,
            "keys": [self.key] if self.key else [],
            "properties": {self.name: self.value} if self.name else {},
            "flag": self.flag,
            "born_timestamp": self.born_timestamp,
            "body": self.body,
        }
        return json.dumps(fields, ensure_ascii=False) + "\n"


@dataclass
class Wrote:
    """What a program said: physical offset, queue offset and, if it tells, store time."""

    root: Path
    messages: list[Message]
    acknowledged: list[list[int]] = field(default_factory=list)


@cache
def messages() -> tuple[Message, ...]:
    made = []
    for number in range(180):
        text = f"{number}: \u00fcber \u68a8\u5b50 \U0001f350 " * (1 + number * 7 % 31)
        made.append(
            Message(
                batch=str(number // 6) if number % 30 >= 18 else SINGLE,
                topic=("orders", "Log_Topic%A")[number // 6 % 2],
                queue_id=number // 6 % 3,
                tag=("", "TagA", "\u0417\u0430\u043a\u0430\u0437")[number % 3],
                key=("", f"key-{number}", "shared")[number % 4 % 3],
                name=("", "region", "\u5730\u533a")[number % 5 % 3],
                value=("", "eu", "\U0001f30d = 1")[number % 5 % 3],
                flag=(0, 7, -1, 2**31 - 1, -(2**31))[number % 5],
                # A batch has one born time.
                born_timestamp=1_700_000_000_000 + number // 6,
                body=text,
            )
        )
    return tuple(made)


def expected(wrote: Wrote) -> list[Record]:
    """Returns what must be in the store, and checks the acknowledgements on the way."""
    records: list[Record] = []
    next_offset: Counter[tuple[str, int]] = Counter()
    position = 0
    rest = list(wrote.messages)
    for physical_offset, queue_offset, *store_timestamp in wrote.acknowledged:
        count = sum(one.batch == rest[0].batch for one in rest) if rest[0].batch != SINGLE else 1
        group, rest = rest[:count], rest[count:]
        room = FILE_SIZE_BYTES - position % FILE_SIZE_BYTES
        if sum(one.size_bytes() for one in group) + 8 > room:
            position += room
        queue = (group[0].topic, group[0].queue_id)
        assert (physical_offset, queue_offset) == (position, next_offset[queue])
        for one in group:
            record = record_of(one, position, next_offset[queue])
            if store_timestamp:
                record["store_timestamp"] = store_timestamp[0]
            records.append(record)
            next_offset[queue] += 1
            position += one.size_bytes()
    assert rest == []
    assert position > FILE_SIZE_BYTES, "the log was to have several files"
    return records


def record_of(message: Message, physical_offset: int, queue_offset: int) -> Record:
    body = message.body.encode()
    return {
        "physical_offset": physical_offset,
        "total_size": message.size_bytes(),
        "queue_id": message.queue_id,
        "flag": message.flag,
        "queue_offset": queue_offset,
        "sys_flag": 0,
        "born_timestamp": message.born_timestamp,
        "born_host": STORE_HOST,
        "store_host": STORE_HOST,
        "reconsume_times": 0,
        "prepared_transaction_offset": 0,
        "body_length": len(body),
        "body_crc32": zlib.crc32(body) & 0x7FFFFFFF,
        "body_sha256": hashlib.sha256(body).hexdigest(),
        "topic": message.topic,
        "properties": message.properties(),
    }


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("languages")


def run(command: list[str], text: str, **environment: str) -> str:
    ended = subprocess.run(
        command,
        input=text.encode(),
        env={**os.environ, **environment},
        capture_output=True,
        timeout=_MAX_SECONDS,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr.decode(errors="replace")
    return ended.stdout.decode()


def write_c(base: Path, root: Path, text: str) -> str:
    library = built("libcairnlog.so")
    shutil.copy(library, base / "libcairnlog.so")
    # The name that programs look for is the soname.
    shutil.copy(library, base / "libcairnlog.so.0")
    program = str(base / "write")
    command = ["cc", "-std=c11", "-Wall", "-Wextra", "-Werror", f"-I{CHECKOUT / 'include'}"]
    command += ["-o", program, str(PROGRAMS / "write.c"), f"-L{base}", "-lcairnlog"]
    run([*command, f"-Wl,-rpath,{base}"], "")
    return run([program, str(root)], text)


def write_python(_: Path, root: Path, text: str) -> str:
    return run([sys.executable, str(PROGRAMS / "write.py"), str(root)], text)


def write_java(base: Path, root: Path, text: str) -> str:
    sources = sorted((CHECKOUT / "java" / "src" / "main" / "java").rglob("*.java"))
    classes = base / "classes"
    compiled = [str(source) for source in [*sources, PROGRAMS / "Write.java"]]
    run(["javac", "--release", "11", "-encoding", "UTF-8", "-d", str(classes), *compiled], "")
    library = f"-Dio.cairnlog.library.path={built('libcairnlog_jni.so')}"
    checked = ["-Xcheck:jni", "-XX:+AllowUserSignalHandlers"]
    return run(["java", *checked, library, "-cp", str(classes), "Write", str(root)], text)


def write_cli(base: Path, root: Path, _: str) -> str:
    acks, conf = base / "acks", base / "body_crc_only.conf"
    # As the other programs: records of the sizes that RocketMQ gives them.
    conf.write_text("enabledAppendPropCRC=false\n")
    options = ["--conf", str(conf), "--format", "jsonl", "--flush", "sync", "--segment-size", "64K"]
    command = [str(built("cairnlog")), "append", str(root), *options, "--acks", str(acks)]
    run(command, "".join(message.json_line() for message in messages()))
    # Input line, physical offset, queue, queue offset.
    lines = [line.split() for line in acks.read_text("ascii").splitlines()]
    assert [line[0] for line in lines] == [str(n) for n in range(1, len(messages()) + 1)]
    return "".join(f"{line[1]}\t{line[3]}\n" for line in lines)


WRITERS = {"c": write_c, "python": write_python, "java": write_java, "cli": write_cli}


@cache
def wrote(base: Path, language: str) -> Wrote:
    root = base / language
    said = WRITERS[language](base, root, "".join(message.line() for message in messages()))
    acknowledged = [[int(part) for part in line.split("\t")] for line in said.splitlines()]
    made = list(messages())
    if language == "cli":
        # The tool appends single messages only.
        made = [Message(**{**vars(message), "batch": SINGLE}) for message in made]
    return Wrote(root, made, acknowledged)


@cache
def observations(base: Path) -> dict[tuple[Release, str], Observation]:
    asked = [
        Inspection(
            wrote(base, language).root,
            walk=True,
        )
        for language in LANGUAGES
    ]
    with ThreadPoolExecutor() as pool:
        seen = list(pool.map(lambda release: judge_all(asked, release), RELEASES))
    return {
        (release, language): one
        for release, all_of_release in zip(RELEASES, seen, strict=True)
        for language, one in zip(LANGUAGES, all_of_release, strict=True)
    }


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("release", RELEASES)
def test_stock_store_reads_what_each_language_wrote(
    base: Path, release: Release, language: str
) -> None:
    records = expected(wrote(base, language))
    assert len(records) == len(messages())
    seen = observations(base)[release, language]
    assert compare(records, seen) == []
    assert seen.keys
    last = records[-1]
    assert seen.summary["max_phy_offset"] == last["physical_offset"] + last["total_size"]
    assert seen.summary["last_exit_ok"] is True


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_tool_reads_what_each_language_wrote(base: Path, language: str) -> None:
    records = expected(wrote(base, language))
    command = [str(built("cairnlog")), "inspect", str(base / language), "records", "--json"]
    shown = [json.loads(line) for line in run(command, "").splitlines()]
    found = [entry for entry in shown if not entry.get("blank")]
    assert [{name: entry[name] for name in records[0]} for entry in found] == records
