"""Prints the body of every message of a store, one per line, in log order.

    read_back.py DIRECTORY
"""

import sys

import cairnlog

with cairnlog.Store.open(sys.argv[1]) as store:
    for message in store.scan():
        sys.stdout.buffer.write(message.body)
        sys.stdout.buffer.write(b"\n")
