"""The comparison notices every kind of difference between expected messages and an observation.

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from stock_judge import Observation, Record
from store_compare import compare

RECORDS: list[Record] = json.loads(
    (Path(__file__).resolve().parent / "fixtures" / "v533-basic" / "manifest.json").read_text(
        "utf-8"
    )
)["records"]


def observation() -> Observation:
    """Returns an observation that agrees with the records in everything."""
    messages = [
        {
            **copy.deepcopy(record),
            "queue_topic": record["topic"],
            "queue": record["queue_id"],
            "index": record["queue_offset"],
            "status": "FOUND",
            "unit_physical_offset": record["physical_offset"],
            "unit_size": record["total_size"],
        }
        for record in RECORDS
    ]
    lengths: dict[tuple[str, int], int] = {}
    for record in RECORDS:
        queue = (record["topic"], record["queue_id"])
        lengths[queue] = lengths.get(queue, 0) + 1
    end = RECORDS[-1]["physical_offset"] + RECORDS[-1]["total_size"]
    summary = {
        "load_ok": True,
        "dispatch_caught_up": True,
        "log_records": len(RECORDS),
        "log_walk_end": end,
        "log_walk_stopped": "end of the log",
        "max_phy_offset": end,
        "queues": [
            {"topic": topic, "queue_id": queue_id, "min_offset": 0, "max_offset": length}
            for (topic, queue_id), length in lengths.items()
        ],
    }
    return Observation("533", Path("store"), messages, [], copy.deepcopy(RECORDS), [], summary)


def test_equal_is_equal() -> None:
    assert compare(RECORDS, observation()) == []


@pytest.mark.parametrize(
    "field", sorted(RECORDS[7].keys() - {"put_status", "dispatched", "tags_code"})
)
def test_each_field_of_a_record_is_compared(field: str) -> None:
    seen = observation()
    seen.log_records[7][field] = "something else"
    assert [text for text in compare(RECORDS, seen) if f"log record 7: {field}: expected" in text]


@pytest.mark.parametrize(
    "field", ["body_sha256", "properties", "unit_physical_offset", "unit_size", "tags_code"]
)
def test_each_part_of_a_message_is_compared(field: str) -> None:
    seen = observation()
    seen.messages[7][field] = {}
    differences = compare(RECORDS, seen)
    assert len(differences) == 1
    assert field in differences[0]


@pytest.mark.parametrize("part", ["tags", "keys"])
def test_tags_and_keys_stand_for_properties(part: str) -> None:
    seen = observation()
    record = seen.messages[0]
    right = {
        "topic": record["topic"],
        "queue_id": record["queue_id"],
        "queue_offset": record["queue_offset"],
    }
    others = RECORDS[1:]
    assert compare([{**right, part: record["properties"][part.upper()]}, *others], seen) == []
    differences = compare([{**right, part: None}, *others], seen)
    assert len(differences) == 2, "once in the queue, once in the log"


def test_missing_field_is_a_difference_even_from_none() -> None:
    seen = observation()
    assert compare([{**RECORDS[0], "no_such_field": None}, *RECORDS[1:]], seen) != []


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda seen: seen.messages.pop(), "missing"),
        (lambda seen: seen.messages.append(seen.messages[0]), "2 times"),
        (lambda seen: seen.messages[3].update(status="NO_MATCHED_MESSAGE"), "NO_MATCHED_MESSAGE"),
        (lambda seen: seen.messages[3].update(index=9999), "not expected"),
        (lambda seen: seen.summary["queues"][0].update(max_offset=9999), "expected indices"),
        (lambda seen: seen.summary["queues"].pop(), "expected indices"),
        (lambda seen: seen.summary.update(load_ok=False), "refused to load"),
        (lambda seen: seen.summary.update(dispatch_caught_up=False), "dispatcher"),
        (lambda seen: seen.summary.update(max_phy_offset=1 << 40), "walked to"),
        (lambda seen: seen.log_records.pop(), "log: expected 300 records"),
    ],
)
def test_each_kind_of_difference_is_told(change: Any, text: str) -> None:
    seen = observation()
    change(seen)
    assert [line for line in compare(RECORDS, seen) if text in line]


def test_key_look_ups_are_compared() -> None:
    key = RECORDS[0]["properties"]["UNIQ_KEY"]
    seen = observation()
    answer = {
        "topic": RECORDS[0]["topic"],
        "key": key,
        "physical_offsets": [RECORDS[0]["physical_offset"]],
    }
    seen.keys.append(answer)
    assert compare(RECORDS, seen) == []
    answer["physical_offsets"] = []
    assert len(compare(RECORDS, seen)) == 1
    answer["physical_offsets"] = [RECORDS[0]["physical_offset"], RECORDS[1]["physical_offset"]]
    assert len(compare(RECORDS, seen)) == 1


def test_record_no_queue_leads_to_must_not_be_in_one() -> None:
    seen = observation()
    differences = compare([{**RECORDS[0], "dispatched": False}, *RECORDS[1:]], seen)
    assert [line for line in differences if "not expected" in line]
