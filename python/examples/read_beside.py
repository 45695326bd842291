"""Reads a store beside the process that writes it."""

import subprocess
import sys

import cairnlog

WRITER = """
import sys, cairnlog
with cairnlog.Store.open(sys.argv[1], segment_size_bytes="1M") as store:
    for text in ("20 pears", "3 plums"):
        store.append("orders", text.encode())
    print("stored", flush=True)
    sys.stdin.read()
"""

directory = sys.argv[1]
command = [sys.executable, "-c", WRITER, directory]
with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
    assert writer.stdout is not None
    writer.stdout.readline()
    with cairnlog.Store.open_reader(directory) as reader:
        for message in reader.tail("orders", timeout=1):
            print(bytes(message.body).decode())
    print("the writer runs:", writer.poll() is None)

# Output:
# 20 pears
# 3 plums
# the writer runs: True
