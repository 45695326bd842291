"""Stores written by stock RocketMQ, read through the package, are what their manifests say."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from conftest import OpenStore

import cairnlog

FIXTURES = Path(__file__).parents[2] / "tests" / "fixtures"
# The two others are damaged on purpose; test_lifecycle covers what opening does with damage.
WHOLE = sorted(
    path.parent.name
    for path in FIXTURES.glob("*/manifest.json")
    if "torn" not in path.parent.name and "corrupt" not in path.parent.name
)


def signed(number: int) -> int:
    """The number as the format's signed 32-bit integer."""
    return (number & 0xFFFFFFFF) - ((number & 0x80000000) << 1)


def host(address: tuple[str, int]) -> str:
    return f"{address[0]}:{address[1]}"


def fields(message: cairnlog.MessageView) -> dict[str, Any]:
    """A message in the words of the manifests."""
    return {
        "physical_offset": message.physical_offset,
        "total_size": message.size_bytes,
        "magic": signed(message.magic),
        "queue_id": message.queue_id,
        "flag": message.flag,
        "queue_offset": message.queue_offset,
        "sys_flag": message.sys_flag,
        "born_timestamp": message.born_timestamp_ms,
        "store_timestamp": message.store_timestamp_ms,
        "reconsume_times": message.reconsume_times,
        "prepared_transaction_offset": message.prepared_transaction_offset,
        "body_length": len(message.body),
        "body_crc32": message.body_crc,
        "body_sha256": hashlib.sha256(message.body).hexdigest(),
        "topic": message.topic,
        "properties": message.properties,
    }


def test_the_fixtures_are_there() -> None:
    assert len(WHOLE) >= 9


@pytest.mark.parametrize("name", WHOLE)
def test_every_record_equals_its_manifest(
    open_store: OpenStore, tmp_path: Path, name: str
) -> None:
    manifest = json.loads((FIXTURES / name / "manifest.json").read_text())
    directory = tmp_path / "fixture"
    shutil.copytree(FIXTURES / name / "store", directory)
    # Delayed messages whose time has come would be delivered, which is no part of the manifest.
    store = open_store(directory, schedule_enable=False)
    if manifest["records"]:
        # A store that has files keeps their size, whatever the options say.
        assert store.segment_size_bytes == manifest["config"]["mappedFileSizeCommitLog"]
    messages = list(store.scan())
    assert len(messages) == len(manifest["records"])
    for message, record in zip(messages, manifest["records"], strict=True):
        found = fields(message)
        # RocketMQ shows the record's CRC to consumers.
        record["properties"].pop("__CRC32#", None)
        assert found == {key: record[key] for key in found}
        if "." in record["born_host"]:
            assert host(message.born_host) == record["born_host"]
    assert store.positions().max_offset == manifest["max_phy_offset"]
    assert store.wait_dispatched(manifest["max_phy_offset"], 30)
    for queue in manifest["queues"]:
        if queue["max_offset"]:
            found_range = store.queue_range(queue["topic"], queue["queue_id"])
            assert found_range is not None
            assert (found_range.first, found_range.next) == (
                queue["min_offset"],
                queue["max_offset"],
            )
