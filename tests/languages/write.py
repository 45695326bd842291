"""Appends the messages that the standard input describes, and says where they lie.

Input and output are those of write.c.

SPDX-License-Identifier: Apache-2.0
"""

import io
import itertools
import sys

import cairnlog


def message(fields: list[str]) -> cairnlog.Message:
    _, topic, queue_id, tag, key, name, value, flag, born, body = fields
    return cairnlog.Message(
        topic,
        body.encode(),
        queue_id=int(queue_id),
        tag=tag or None,
        keys=[key] if key else [],
        properties={name: value} if name else {},
        flag=int(flag),
        born_timestamp_ms=int(born),
    )


def show(placed: cairnlog.AppendResult) -> None:
    print(placed.physical_offset, placed.queue_offset, placed.store_timestamp_ms, sep="\t")


def main() -> None:
    text = io.TextIOWrapper(sys.stdin.buffer, encoding="utf-8", newline="\n")
    lines = [line.rstrip("\n").split("\t") for line in text]
    options = {"append_record_crc": False, "segment_size_bytes": 65536}
    with cairnlog.Store.open(sys.argv[1], flush_mode="sync", **options) as store:
        for name, group in itertools.groupby(lines, key=lambda fields: fields[0]):
            fields = list(group)
            messages = [message(one) for one in fields]
            if name == "-":
                for placed in store.append_many(messages):
                    show(placed)
            else:
                _, topic, queue_id, *_, born, _ = fields[0]
                items = cairnlog.encode_batch(messages)
                placed = store.append_batch(
                    topic, items, queue_id=int(queue_id), born_timestamp_ms=int(born)
                )
                show(placed)


main()
