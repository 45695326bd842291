"""The tool loses nothing that it acknowledged when the power is cut, on a real file system.

What survives a cut is worked out from what the tool was seen to do; see powercut/replay.py.

SPDX-License-Identifier: Apache-2.0
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

REPLAY = Path(__file__).resolve().parent / "powercut" / "replay.py"
STATES = 100


def test_what_the_tool_acknowledged_survives_power_cuts(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    command = [sys.executable, REPLAY, "--states", str(STATES), "--report", report]
    done = subprocess.run(command, env=dict(os.environ), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    counts = json.loads(report.read_text())["tool"]
    assert counts["failures"] == []
    assert counts["recovered"] == counts["states"] > STATES
    assert counts["acknowledged"] > 0 and counts["syncs"] > counts["acknowledged"] / 10
