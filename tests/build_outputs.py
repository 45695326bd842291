"""Where the tests of this directory find what cargo builds.

That is the directory CAIRNLOG_TARGET names. Without it cargo is asked to build, and the outputs are
in target/debug of this checkout.

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

import os
import subprocess
from functools import cache
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
_PACKAGES = (
    "cairnlog-cli",
    "cairnlog-ffi",
    "cairnlog-jni",
    "cairnlog-test-writer",
    "cairnlog-bench",
)


def built(name: str) -> Path:
    """Returns the path of a program or library; it is an error if it is not there."""
    path = _directory() / name
    if not path.is_file():
        raise FileNotFoundError(f"{path} was not built; is CAIRNLOG_TARGET right?")
    return path


@cache
def _directory() -> Path:
    if "CAIRNLOG_TARGET" in os.environ:
        return CHECKOUT / os.environ["CAIRNLOG_TARGET"]
    command = ["cargo", "build", "--quiet", "--locked"]
    for package in _PACKAGES:
        command += ["--package", package]
    environment = {**os.environ, "CARGO_TARGET_DIR": str(CHECKOUT / "target")}
    subprocess.run(command, cwd=CHECKOUT, env=environment, check=True)
    return CHECKOUT / "target" / "debug"
