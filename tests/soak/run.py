"""Uses a store in every way at once for a long time, and keeps what the process held meanwhile.

    tests/soak/run.py --minutes 30 --seed 1

The samples go to target/soak.json, which bench/plot.sh draws. The directory of the store is removed
afterwards.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def main() -> int:
    """Runs the program; its status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    target = ROOT / "target"
    program = pathlib.Path(os.environ.get("CAIRNLOG_TARGET", target / "release"))
    with tempfile.TemporaryDirectory(prefix="soak-", dir=target) as directory:
        command = [str(program / "cairnlog-test-soak"), f"{directory}/store"]
        command += ["--seconds", str(60 * arguments.minutes), "--seed", str(arguments.seed)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    samples = [json.loads(line) for line in done.stdout.splitlines()]
    report = {"rows": [{"name": "soak", "samples": samples}]}
    (target / "soak.json").write_text(json.dumps(report), encoding="utf-8")
    print(json.dumps(samples[-1] if samples else {}))
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
